"""Looking through a folder: one rule for every tool, and nothing is passed over in silence."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sci_plugins.errors import DataError

PathLike = str | os.PathLike[str]
#: Suffix of a video file: a user who names one wants its frames.
VIDEO_SUFFIXES = frozenset(('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'))
_FRAMES = 'videos: sci-plugins video; their frames alone: ffmpeg -i VIDEO FOLDER/%06d.png'


@dataclass
class FolderListing:
    """What a folder holds, by kind."""

    files: list[Path] = field(default_factory=list)  # those asked for, by :func:`natural_key`
    skipped: Counter[str] = field(default_factory=Counter)  # how many of each kind
    loops: list[Path] = field(default_factory=list)  # links to a folder looked through already

    @property
    def note(self) -> str:
        """One line on what was passed over: ``4 files skipped: 2 .gif, 1 .mp4, 1 .txt``."""
        told = [f'link not followed again: {link}' for link in self.loops]
        if total := self.skipped.total():
            kinds = ', '.join(f'{number} {kind}' for kind, number in self.skipped.most_common())
            files = 'file' if total == 1 else 'files'
            told.insert(0, f'{total} {files} skipped: {kinds}{video_advice(self.skipped)}')
        return '; '.join(told)


def list_files(
    folder: PathLike,
    suffixes: Collection[str],
    *,
    recursive: bool = True,
    ignore_case: bool = True,
    leave_out: Iterable[PathLike] = (),
) -> FolderListing:
    """The regular files in a folder whose names end in one of ``suffixes``.

    Links to folders are followed, each folder once. Hidden files and folders are passed over, among
    them the ``._NAME`` companions that macOS writes.

    Args:
        ignore_case: whether ``.PNG`` is ``.png``; ``suffixes`` are in lower case then.
        recursive: whether to look into subfolders.
        leave_out: folders that are not looked into, such as that of the results.

    Raises:
        DataError: if there is no such folder.
        OSError: if a folder cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f'{folder}: no such folder')
    found = FolderListing()
    left_out = {os.path.realpath(each) for each in leave_out}
    for path in _walk(folder, recursive, left_out, found.loops):
        name = path.name.lower() if ignore_case else path.name
        if kind := _kind_of(path, name.endswith(tuple(suffixes))):
            found.skipped[kind] += 1
        else:
            found.files.append(path)
    found.files.sort(key=natural_key)
    return found


def natural_key(path: Path | str) -> list[tuple[int, int, str]]:
    """Sorts numbers within names by their value: ``img2.png`` before ``img10.png``."""
    # The name itself comes last, so that `1.png` and `01.png` have one order everywhere.
    parts = re.split(r'(\d+)', os.fspath(path))
    numbers = [(1, int(p), '') if p.isdecimal() else (0, 0, p.replace('/', '\0')) for p in parts]
    return [*numbers, (2, 0, os.fspath(path))]


def match_by_name(
    paths: Sequence[str], folder: PathLike, suffixes: Collection[str]
) -> dict[str, Path]:
    """Path -> the file below ``folder`` with its name, whatever the suffix; else ``DataError``.

    Where names repeat among the paths, so must the folders below their common one.
    """
    repeat = len({Path(path).stem for path in paths}) < len(set(paths))

    def key(path: str | Path, top: PathLike) -> str:
        name = os.path.relpath(path, top) if repeat else os.path.basename(path)
        return Path(name).with_suffix('').as_posix()

    there: dict[str, list[Path]] = {}
    for file in list_files(folder, suffixes).files:
        there.setdefault(key(file, folder), []).append(file)
    top = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ''
    keys = {path: key(path, top) for path in paths}
    if absent := [each for each in keys.values() if each not in there]:
        got = f'found none for {len(absent)} of them, such as {absent[0]}'
        raise DataError(f'{folder}: expected a file for each of {len(keys)} images, {got}')
    times = Counter(keys.values())
    for path, each in keys.items():
        if len(there[each]) > 1 or times[each] > 1:
            told = ', '.join(map(str, there[each]))
            raise DataError(f'{folder}: expected one file for {path} alone, got {told}')
    return {path: there[each][0] for path, each in keys.items()}


def check_regular_file(path: PathLike, what: str = 'file') -> Path:
    """Refuse what is no file before it is opened: a pipe would hang.

    Raises:
        FileNotFoundError: such as ``image not found: a.png``, where ``what`` is ``image``.
        DataError: if it is a folder, a pipe, a socket or a device.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise FileNotFoundError(f'{what} not found: {path}')
    kind = 'folder' if path.is_dir() else _special_kind(path)
    raise DataError(f'{path}: expected a regular file, got a {kind}')


def _walk(folder: Path, recursive: bool, seen: set[str], loops: list[Path]) -> Iterator[Path]:
    """All files, folder by folder; ``seen`` holds real paths that are not entered again."""
    real = os.path.realpath(folder)
    if real in seen:
        if folder.is_symlink():
            loops.append(folder)
        return
    seen.add(real)
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: natural_key(entry.name))
    for entry in ordered:
        # Of a link that points to itself, entry.is_dir() raises; of all else it asks nobody.
        if not (os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()):
            yield Path(entry.path)
        elif recursive and not entry.name.startswith('.'):
            yield from _walk(Path(entry.path), recursive, seen, loops)


def _kind_of(path: Path, is_wanted: bool) -> str:
    """What kind of file is passed over; empty for one that is wanted."""
    if path.name.startswith('.'):
        return 'hidden'
    if path.is_symlink() and not path.exists():
        return 'broken link'
    if not is_wanted:
        return path.suffix.lower() or 'without suffix'
    return '' if path.is_file() else _special_kind(path)


def _special_kind(path: Path) -> str:
    return 'named pipe' if path.is_fifo() else 'socket' if path.is_socket() else 'device'


def video_advice(suffixes: Iterable[str]) -> str:
    """What to do with videos, in brackets; empty if none of the suffixes is one's."""
    return f' ({_FRAMES})' if VIDEO_SUFFIXES & {each.lower() for each in suffixes} else ''
