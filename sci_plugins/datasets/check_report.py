"""What a check of a data set found: facts, tables, problems; and how it reads many images."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any, TypeVar

from tqdm import tqdm

from sci_plugins.errors import DataError
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.images import read_picture

#: How many problems of one kind the text lists; the JSON form has all.
NAMED = 5
Item = TypeVar('Item')
Result = TypeVar('Result')


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or unexpected."""

    kind: str  # such as ``'unreadable image'``
    text: str  # a sentence that names the file
    is_error: bool = True  # training would fail or mislead; otherwise it is a note


@dataclass
class CheckReport:
    """Result of checking one data set."""

    name: str  # of the data set
    facts: dict[str, Any] = field(default_factory=dict)  # what was counted, in order
    #: name -> rows, each a dict with the same keys
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)  # in the order in which they were found

    @property
    def errors(self) -> list[Problem]:
        """The problems that are not notes."""
        return [problem for problem in self.problems if problem.is_error]

    def add(self, kind: str, text: str, is_error: bool = True) -> None:
        self.problems.append(Problem(kind, text, is_error))

    def note(self, kind: str, text: str) -> None:
        self.add(kind, text, is_error=False)

    def to_json(self) -> str:
        """Everything, with the verdict as ``usable``."""
        found = dict(facts=self.facts, tables=self.tables, problems=list(map(vars, self.problems)))
        return json.dumps(dict(name=self.name, usable=not self.errors, **found), indent=2) + '\n'

    def to_text(self) -> str:
        """For reading: at most five problems of each kind, and the verdict in the last line."""
        width = max(map(len, self.facts), default=0)
        lines = [self.name]
        lines += [f'  {key:<{width}}  {value}' for key, value in self.facts.items()]
        for name, rows in self.tables.items():
            table = text_table(list(rows[0]), [list(row.values()) for row in rows])
            lines += ['', name, indent(table, '  ')]
        for word, is_error in (('ERROR', True), ('note', False)):
            chosen = [each for each in self.problems if each.is_error == is_error]
            for kind in dict.fromkeys(each.kind for each in chosen):
                texts = [f'  {each.text}' for each in chosen if each.kind == kind]
                more = [f'  and {len(texts) - NAMED} more'] if len(texts) > NAMED else []
                lines += ['', f'{word}: {kind} ({len(texts)})', *texts[:NAMED], *more]
        count = len(self.errors)
        told = f'NOT usable: {count} error{"s" * (count > 1)}'
        return '\n'.join([*lines, '', told if count else 'usable for training'])


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], title: str, workers: int
) -> Iterator[Result]:
    """Results in the order of the items, with a progress bar after two seconds."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from tqdm(pool.map(function, items), title, len(items), delay=2, leave=False)


def image_digest(path: Path) -> tuple[tuple[int, int] | str, str]:
    """Shape ``(H, W)`` and hash of the decoded pixels; else what is wrong with it, and ``''``."""
    try:
        pixels = read_picture(path).pixels
    except (DataError, OSError) as error:
        return str(error), ''
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return (pixels.shape[0], pixels.shape[1]), f'{pixels.shape} {digest}'
