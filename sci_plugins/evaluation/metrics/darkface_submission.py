"""Official submission files of DARK FACE: ``ID.txt``, a prediction a line."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.evaluation.detection_records import ImageDetections
from sci_plugins.utils.files import read_numbered_lines, write_atomically

COLUMNS = 'x1 y1 x2 y2 score'


def write_submission(
    folder: str | os.PathLike[str], images: Iterable[ImageDetections]
) -> None:
    """Write one file an image, also for images in which nothing was found.

    Every number is written in full, so that the official tool gets the same ones to
    the bit. Files of other images that lie in the folder stay.

    Raises:
        OSError: if the folder cannot be made or written.
    """
    for image in images:
        rows = sorted(image.predictions.tolist(), key=lambda row: -row[4])
        lines = [' '.join(map(repr, row)) + '\n' for row in rows]
        write_atomically(Path(folder) / f'{image.img_id}.txt', ''.join(lines))


def read_predictions(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[str]]:
    """Predictions of one file, and what is odd about them.

    Blank lines and Windows line ends are fine; an empty file is no detections. An
    inverted box stays, as in the official tool, where it is a false positive.

    Returns:
        ``(P, 5)`` float64, ``x1 y1 x2 y2 score``, in the order of the file; and one
        sentence, with file and line, for each inverted box.

    Raises:
        DataError: naming file and line, if the file is missing, is not text, or a line
            does not hold five finite numbers.
    """
    rows, remarks = [], []
    for number, text in read_numbered_lines(Path(path), 'prediction file'):
        row = _parse(path, number, text)
        if row[2] < row[0] or row[3] < row[1]:
            remarks.append(f'{path}, line {number}: inverted box {text!r} ({COLUMNS})')
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 5), remarks


def _parse(path: str | os.PathLike[str], number: int, text: str) -> list[float]:
    try:
        row = [float(word) for word in text.split()]
    except ValueError:
        row = []
    if len(row) != 5 or not all(map(math.isfinite, row)):
        raise DataError(
            f'{path}, line {number}: should hold five finite numbers {COLUMNS}, '
            f'is {text!r}'
        )
    return row
