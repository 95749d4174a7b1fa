"""Files that are whole or not there, text by line, arrays, and the cache folder."""

import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.utils.folders import PathLike, check_regular_file
from sci_plugins.version import __version__

_SEARCHED = 2**16  # bytes at the begin and the end, where a file of ours says so
# What version 0.1.0 wrote into its JSON files and its Markdown.
_OLDER_MARKS = (b'"sci_plugins": "', b'- versions: sci_plugins ')


def write_atomically(path: PathLike, data: str | bytes | memoryview, *, sync: bool = False) -> None:
    """Write text (UTF-8) or bytes to ``path``, whole or not at all; makes missing folders.

    As with ``open``, links are followed, an older file keeps its permissions, and a write-protected
    one is not replaced. A device or a pipe, such as ``/dev/stdout``, is written to directly.
    ``sync`` waits until the bytes are on the disk, for where another file is about to say so. An
    ``OSError`` names the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    # File names in it may not be text.
    data = data.encode(errors='backslashreplace') if isinstance(data, str) else data
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with new_file(path) as file:
            write_all(file, data)
            if sync:
                os.fsync(file.fileno())
    except OSError as error:  # would name the temporary file, or none
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A hidden file beside ``path``, open and unbuffered, which takes its place at the end.

    After any error, and for whoever looks in the meantime, ``path`` is as before.
    """
    # Independent of the name of `path`, which may be as long as a name can be.
    beside = path.with_name(f'.sci_plugins-{secrets.token_hex(8)}.tmp')
    try:
        with open(beside, 'xb', buffering=0) as file:
            yield file
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_all(file: IO[bytes], data: bytes | memoryview) -> None:
    """Write all, or raise ``OSError``: a call may take a part (disk nearly full, over 2 GB)."""
    rest = memoryview(data)
    while len(rest):
        if not (written := file.write(rest)):
            raise OSError(errno.EIO, 'nothing was written')
        rest = rest[written:]


#: What every file of a tool says somewhere: a file with these words may be replaced.
MARK = 'Written by sci_plugins'


def write_json(path: PathLike, content: str | Mapping[str, Any]) -> None:
    """Write a JSON object, or the text of one, marked as ours, by :func:`write_atomically`."""
    write_atomically(path, to_json(json.loads(content) if isinstance(content, str) else content))


def to_json(content: Mapping[str, Any]) -> str:
    """Text of a JSON object, marked as ours."""
    marked = {'written_by': f'{MARK} {__version__}', **content}
    return json.dumps(marked, indent=2, allow_nan=False) + '\n'


def check_outputs(
    *outputs: PathLike | None, inputs: Iterable[PathLike] = (), overwrite: bool | None = None
) -> None:
    """Refuse to write over a user's file, before work begins.

    Args:
        outputs: files that a tool is about to write; ``None`` is passed over.
        inputs: files that it reads, or folders of them: never written over, but for JSON files and
            files of records of ours in a folder.
        overwrite: whether somebody else's file may be replaced; ``None``: it cannot be asked for.

    Raises:
        ConfigError: naming the first output that is a folder, an input, named twice, or not ours.
    """
    read = {os.path.realpath(path): path for path in inputs}
    seen: set[str] = set()
    for path in (Path(each) for each in outputs if each is not None):
        real = os.path.realpath(path)
        if path.is_dir():
            raise ConfigError(f'cannot write {path}: it is a folder, expected the name of a file')
        if real in read:
            raise ConfigError(f'cannot write {path}: it is the input {read[real]}')
        if real in seen:
            raise ConfigError(f'cannot write {path}: two outputs have this name')
        seen.add(real)
        is_free = not path.is_file() or is_ours(path)
        around = [read[each] for each in map(str, Path(real).parents) if each in read]
        if around and not (is_free and path.suffix in ('.json', '.npz')) and path.is_file():
            raise ConfigError(f'cannot write {path}: it is a file of the input {around[0]}')
        if not is_free and not overwrite:
            advice = 'choose another name'
            advice += '' if overwrite is None else ', or pass --overwrite (overwrite=True)'
            raise ConfigError(f'{path} exists and was not written by this package: {advice}')


def is_ours(path: PathLike) -> bool:
    """Whether a file is empty or carries the mark of our tools near its begin or end."""
    with open(path, 'rb') as file:
        head = file.read(_SEARCHED)
        file.seek(max(0, os.path.getsize(path) - _SEARCHED))
        searched = head + file.read()
    return not head or any(mark in searched for mark in (MARK.encode(), *_OLDER_MARKS))


def file_slug(name: str) -> str:
    """A name that any file system takes; no two names give the same one."""
    slug = re.sub(r'[^A-Za-z0-9_.=-]+', '-', name).strip('-.')[:80]
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()
    return slug if slug == name else f'{slug}-{digest[:6]}'


CACHE_VARIABLE = 'SCI_PLUGINS_CACHE'  # folder for downloaded weights and generated demo data


def shipped(folder: str) -> Path:
    """``configs`` or ``tools``, which a wheel carries and a checkout has beside the package."""
    package = Path(__file__).parents[1]
    inside = package / '.mim' / folder
    return inside if inside.is_dir() else package.parent / folder


def cache_folder() -> Path:
    """``$SCI_PLUGINS_CACHE``, else in ``$XDG_CACHE_HOME`` or ``~/.cache``; need not exist yet."""
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    folder = os.environ.get(CACHE_VARIABLE) or os.path.join(base, 'sci_plugins')
    return Path(os.path.expanduser(folder))


_LONGEST_LINE = 5000  # longer than the longest path of a file


def read_numbered_lines(path: Path, kind: str = 'file') -> list[tuple[int, str]]:
    """Lines of a UTF-8 file that are not blank, stripped, with their numbers from 1.

    Windows line ends and a byte order mark are fine. ``kind`` of file is for the message.

    Raises:
        DataError: naming the file, if it is missing or is not text; and the line, if that holds a
            NUL byte or is longer than any of a label file or a list.
    """
    try:
        content = check_regular_file(path, kind).read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        raise DataError(f'{path}: there is no such {kind}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path} cannot be read as text: {error}') from error
    numbered = [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1)]
    for number, line in numbered:
        if '\0' in line or len(line) > _LONGEST_LINE:
            got = 'a NUL byte' if '\0' in line else f'{len(line)} characters'
            raise DataError(f'{path}, line {number}: expected a line of text, got {got}')
    return [(number, line) for number, line in numbered if line]


# What NumPy and zipfile raise for damaged files. RuntimeError: a ZIP member marked as encrypted, or
# of an unknown kind; TypeError (AttributeError before Python 3.11): a file of one array.
_DAMAGED = (
    OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, MemoryError, RuntimeError,
    BadZipFile, zlib.error,
)  # fmt: skip


def write_arrays(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name to a compressed ``.npz`` file, by :func:`write_atomically`."""
    content = io.BytesIO()
    # As np.savez_compressed, but by zlib's fastest level: less than half the time, about as small.
    with ZipFile(content, 'w', ZIP_DEFLATED, compresslevel=1) as archive:
        archive.comment = MARK.encode()
        for name, array in arrays.items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    write_atomically(path, content.getbuffer())


@contextmanager
def reading_arrays(path: PathLike, what: str) -> Iterator[Any]:
    """The arrays of an ``.npz`` file by name, of ``what`` in words; the file is data, never code.

    ``DataError``, with file and cause, if it is missing, damaged or of another kind, also where the
    code inside the ``with`` finds it so.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            yield content
    except _DAMAGED as error:
        raise DataError(f'{path}: is not a file of {what} ({error})') from error
