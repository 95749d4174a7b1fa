"""Reading files of arrays that may be damaged, or files of something else."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sci_plugins.errors import DataError

# What NumPy and zipfile let through where bytes are wrong. RuntimeError: a ZIP member
# that says it is encrypted, or of an unknown kind; TypeError (AttributeError before
# Python 3.11): a file of one array.
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


@contextmanager
def reading_arrays(path: str | os.PathLike[str], what: str) -> Iterator[Any]:
    """The arrays of an ``.npz`` file by name; the file is data, never code.

    Args:
        path: of the file.
        what: it should hold, in words.

    Raises:
        DataError: naming the file and the cause, if it is missing, damaged or something
            else, or what is made of it inside the ``with`` is refused.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            yield content
    except _DAMAGED as error:
        raise DataError(f'{path}: is not a file of {what} ({error})') from error
