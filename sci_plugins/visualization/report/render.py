"""The HTML report: the account and pictures rendered by a template."""

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import starmap
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from sci_plugins.evaluation.comparison import Comparison, percent_factor
from sci_plugins.registry import require_host
from sci_plugins.version import __version__
from sci_plugins.visualization.panels import CAPTION_HEIGHT, CELL_WIDTH, GAP
from sci_plugins.visualization.report import plots
from sci_plugins.visualization.report.account import NOT_A_TRAINING_RUN, Account
from sci_plugins.visualization.report.cells import count, places_of, signed
from sci_plugins.visualization.report.plots import Curve, Sheet
from sci_plugins.visualization.report.sections import ABOUT_DECISIONS, DECISIONS

#: Largest size of all pictures together in the file, in bytes of base64.
BUDGET = 8_000_000
#: Widths in pixels and JPEG qualities to try, best first; ``None``: the file as it is.
_LEVELS = (None, (1600, 80), (1100, 70), (800, 60))
_SAMPLE = 6
_SMALLER = 'To keep this file small, pictures are at most {} pixels wide (JPEG quality {}).'
_LEFT_OUT = " Left out {} with smaller effects; all are in the comparison's folder."
_TEMPLATES = Path(__file__).parent / 'templates'


class EmbeddedSheet(NamedTuple):
    """A sheet, its JPEG in base64 and its columns; empty, with the reason, if it cannot be read."""

    sheet: Sheet
    data: str
    width: int = 0
    height: int = 0
    columns: tuple[str, ...] = ()
    problem: str = ''


def collect(sheets: Sequence[Sheet], budget: int = BUDGET) -> tuple[list[EmbeddedSheet], str]:
    """Pictures of all sheets, or of as many as fit, in the order given, and what was done to them.

    Where they take more than ``budget`` bytes of base64, they are made smaller, down to 800 pixels
    across; then those of every condition and variant that changed least are left out.
    """
    if not sheets:
        return [], ''
    for level in (level for level in _LEVELS if _estimate(sheets, level) <= budget):
        pictures = list(_until(budget, (_read(sheet, level) for sheet in sheets)))
        if len(pictures) == len(sheets):
            return pictures, _note(level, 0)
    ranked = (_read(sheet, _LEVELS[-1]) for sheet in _strongest_first(sheets))
    kept = {id(picture.sheet): picture for picture in _until(budget, ranked)}
    pictures = [kept[id(sheet)] for sheet in sheets if id(sheet) in kept]
    return pictures, _note(_LEVELS[-1], len(sheets) - len(pictures))


def _estimate(sheets: Sequence[Sheet], level: tuple[int, int] | None) -> float:
    """Bytes of all, estimated from a few: reading every sheet again takes seconds."""
    some = sheets[:: max(1, len(sheets) // _SAMPLE)]
    return sum(len(_read(sheet, level).data) for sheet in some) / len(some) * len(sheets)


def _until(budget: int, pictures: Iterable[EmbeddedSheet]) -> Iterator[EmbeddedSheet]:
    used = 0
    for picture in pictures:
        used += len(picture.data)
        if used > budget:
            return
        yield picture


def _strongest_first(sheets: Sequence[Sheet]) -> list[Sheet]:
    """First the strongest gain and loss of every condition and variant, and so on."""
    seen: Counter[tuple[str, str, bool]] = Counter()
    ranks = {}
    for sheet in sorted(sheets, key=lambda sheet: -abs(sheet.effect)):
        key = (sheet.condition, sheet.variant, sheet.effect > 0)
        seen[key] += 1
        ranks[id(sheet)] = seen[key]
    return sorted(sheets, key=lambda sheet: ranks[id(sheet)])


def _read(sheet: Sheet, level: tuple[int, int] | None) -> EmbeddedSheet:
    try:
        content = sheet.path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            names = image.info.get('comment', b'').decode(errors='replace').split('\n')[1:]
            # The page declares every picture as JPEG, so other formats are converted.
            if level is not None or image.format != 'JPEG':
                width, quality = level or (image.width, 90)
                image.thumbnail((width, image.height))  # decodes only as much as needed
                buffer = io.BytesIO()
                image.convert('RGB').save(buffer, 'JPEG', quality=quality)
                content = buffer.getvalue()
            size = image.size
    except (OSError, ValueError, SyntaxError) as error:
        # One lost picture must not cost the report of a comparison that took hours.
        return EmbeddedSheet(sheet, '', problem=type(error).__name__)
    columns = ('input, ground truth', *names)
    return EmbeddedSheet(sheet, base64.b64encode(content).decode(), *size, columns)


def _note(level: tuple[int, int] | None, left_out: int) -> str:
    told = _SMALLER.format(*level) if level else ''
    return told + (_LEFT_OUT.format(count(left_out, 'sheet')) if left_out else '')


def render_report(
    comparison: Comparison,
    curves: Mapping[tuple[str, str], Curve],
    sheets: Sequence[Sheet],
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
) -> str:
    """Render a comparison as one self-contained HTML page, UTF-8 when it is written to a file.

    It needs no network. A script of its own sorts tables and enlarges pictures; without it
    everything can be read. Where pictures take more than 8 MB, they are shown smaller, then fewer,
    and the page says so.

    Args:
        comparison: the results, with the analysis of each against the base.
        curves: precision against recall, by the names of condition and variant in the tables.
        sheets: pictures: evenly spaced images, those that gained and lost most, examples.
        legend: names and RGB colours in [0, 255] of the classes in the pictures.

    Raises:
        MissingDependencyError: if Jinja2 is not installed.
        DataError: if recall and precision of a curve differ in length.
    """
    account, (pictures, note) = Account(comparison), collect(sheets, BUDGET)
    script = (_TEMPLATES / 'script.js').read_text(encoding='utf-8')
    places, factor = places_of(account.metric), percent_factor(account.metric)
    alone = [each for each in pictures if not (each.sheet.decided or each.sheet.unlabelled)]
    changed = _by([each for each in alone if each.sheet.variant], 'condition')
    decided = _by([each for each in pictures if each.sheet.decided], 'condition', 'variant')
    page = _environment().get_template('report.html.j2')
    return page.render(
        account=account,
        caveat=NOT_A_TRAINING_RUN,
        drawing=plots,
        plots=plots.draw_curves(account.rows, account.labels, curves),
        legend=legend,
        album_note=note,
        picture_groups={name: _by(some, 'variant') for name, some in changed.items()},
        effect=lambda sheet: signed(sheet.effect * factor, places),
        unlabelled=[each for each in pictures if each.sheet.unlabelled],
        spread=_by([each for each in alone if not each.sheet.variant], 'condition'),
        cell=f'{CELL_WIDTH} {CAPTION_HEIGHT} {GAP}',
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        decisions_title=DECISIONS,
        about_decisions=ABOUT_DECISIONS,
        histograms=[starmap(plots.draw_histogram, e.columns.items()) for e in account.decisions],
        decided=[decided.get((e.condition, e.variant), []) for e in account.decisions],
        diffs={label: diff_lines(text) for label, text in account.diffs.items()},
        version=__version__,
    )


@cache  # compiling the templates takes a second
def _environment() -> Any:
    require_host('the report', 'jinja2', 'det')
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    plain: Any = dict(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, **plain)


def _by(pictures: Sequence[EmbeddedSheet], *names: str) -> dict[Any, list[EmbeddedSheet]]:
    """The pictures by attributes of their sheets, in order."""
    found: dict[Any, list[EmbeddedSheet]] = {}
    for each in pictures:
        found.setdefault(attrgetter(*names)(each.sheet), []).append(each)
    return found


def diff_lines(text: str) -> list[tuple[str, str]]:
    """Lines of a unified diff with their class in the style sheet."""
    kinds = {'+++': 'file', '---': 'file', '+': 'added', '-': 'removed', '@': 'place'}
    return [
        (next((kind for start, kind in kinds.items() if line.startswith(start)), ''), line)
        for line in text.splitlines()
    ]
