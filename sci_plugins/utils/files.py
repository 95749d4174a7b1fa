"""Files that are whole or not there, text by line, arrays, and the cache folder."""

import errno
import io
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sci_plugins.errors import DataError


def write_atomically(
    path: str | os.PathLike[str], content: str | bytes | memoryview, *, sync: bool = False
) -> None:
    """Write text (UTF-8) or bytes to ``path``, whole or not at all.

    The bytes go to a hidden file of a unique name in the same folder, which then takes
    the place of ``path``. Until then, and after any failure, an older file is intact.
    Several processes may write into one folder. As with ``open``: links are followed, an
    older file keeps its permissions, and a write-protected one is not replaced. A device or
    a pipe, such as ``/dev/stdout``, is written to directly. Makes missing folders.

    Args:
        path: of the file.
        content: all of it.
        sync: wait until the bytes are on the disk; needed where another file, such as
            a log, is about to say so.

    Raises:
        OSError: naming the file, if it cannot be written in full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(path, data, sync)
    except OSError as error:  # would name the temporary file, or none
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, data: bytes | memoryview, sync: bool) -> None:
    is_there = path.exists()
    if is_there and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # Independent of the name of `path`, which may be as long as a name can be.
    beside = path.with_name(f'.{secrets.token_hex(8)}.tmp')
    try:
        with open(beside, 'xb', buffering=0) as file:
            _write_all(file, data)
            if sync:
                os.fsync(file.fileno())
        if is_there:
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """A nearly full disk, or more than 2 GB, takes only a part in one call."""
    rest = memoryview(data)
    while len(rest):
        written = file.write(rest)
        if not written:
            raise OSError(errno.EIO, 'nothing was written')
        rest = rest[written:]


#: Folder for downloaded weights and generated demo data.
CACHE_VARIABLE = 'SCI_PLUGINS_CACHE'


def cache_folder() -> Path:
    """``$SCI_PLUGINS_CACHE``, else ``$XDG_CACHE_HOME/sci_plugins``, else ``~/.cache``.

    The folder need not exist yet.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser()
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'sci_plugins'


def read_numbered_lines(path: Path, kind: str = 'file') -> list[tuple[int, str]]:
    """Lines that are not blank, stripped, with their numbers from 1.

    Windows line ends and a byte order mark are fine.

    Args:
        path: the file, UTF-8.
        kind: what it is, for the message.

    Raises:
        DataError: naming the file, if it is missing or is not text.
    """
    try:
        content = path.read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        raise DataError(f'{path}: there is no such {kind}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path} cannot be read as text: {error}') from error
    numbered = enumerate(content.splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


# What NumPy and zipfile raise for damaged files. RuntimeError: a ZIP member marked as
# encrypted, or of an unknown kind; TypeError (AttributeError before Python 3.11): a file
# of one array.
_DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    EOFError,
    MemoryError,
    RuntimeError,
    BadZipFile,
    zlib.error,
)


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays by name to a compressed ``.npz`` file, whole or not at all.

    Raises:
        OSError: naming the file, if it cannot be written in full.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getbuffer())


@contextmanager
def reading_arrays(path: str | os.PathLike[str], what: str) -> Iterator[Any]:
    """The arrays of an ``.npz`` file by name; the file is data, never code.

    Args:
        path: of the file.
        what: what it should hold, in words.

    Raises:
        DataError: naming the file and the cause, if it is missing, damaged or of another
            kind, or if the code inside the ``with`` refuses what it holds.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            yield content
    except _DAMAGED as error:
        raise DataError(f'{path}: is not a file of {what} ({error})') from error
