"""Writing files so that an interruption leaves the old one or the new one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside ``path`` to write to; renamed on success, removed on failure.

    Makes missing folders. The temporary name keeps the suffix, from which image
    libraries tell the format.

    Raises:
        OSError: if the folder cannot be made or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.stem}.', suffix=path.suffix
    )
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes private files; give the mode that open() would have given.
        beside.chmod(0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write text (UTF-8) or bytes to ``path``, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as beside:
        beside.write_bytes(data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
