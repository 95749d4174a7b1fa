"""DARK FACE's native label files: a count, then one box a line."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sci_plugins.errors import DataError
from sci_plugins.utils.text_lines import read_numbered_lines

Box = tuple[float, float, float, float]


def read_boxes(path: str | Path) -> list[Box]:
    """Boxes of one label file.

    The first line holds the number of boxes, each further one ``x1 y1 x2 y2`` in
    pixels. Blank lines, Windows line ends and fractions are fine.

    Args:
        path: the label file.

    Returns:
        ``(x1, y1, x2, y2)`` in the order of the file, with ``x1 < x2``, ``y1 < y2``.

    Raises:
        DataError: naming file and line, if the file is missing, is not text, or is
            not what the layout promises.
    """
    lines = read_numbered_lines(Path(path), 'label file')
    if not lines:
        raise DataError(f'{path}: empty; line 1 should hold the number of boxes')
    number, text = lines[0]
    if not text.isdecimal():
        raise DataError(
            f'{path}, line {number}: should hold the number of boxes, is {text!r}'
        )
    boxes = [_parse_box(path, number, text) for number, text in lines[1:]]
    if len(boxes) != int(text):
        raise DataError(
            f'{path}, line {number}: promises {text} boxes, but {len(boxes)} follow'
        )
    return boxes


def count_faces(folder: str | Path, ids: Sequence[str]) -> int | None:
    """Sum of the numbers in the first lines of all those label files.

    ``None`` if one is missing or does not begin with a number.
    """
    try:
        return sum(_first_number(Path(folder) / f'{name}.txt') for name in ids)
    except (OSError, ValueError):
        return None


def _first_number(path: Path) -> int:
    with path.open(encoding='utf-8-sig') as file:
        return int(next((line for line in file if line.strip()), ''))


def id_order(name: str) -> tuple[bool, int, str]:
    """Sorts ids as numbers, 2 before 10; names that are no numbers come last."""
    return not name.isdecimal(), len(name), name


def write_boxes(path: str | Path, boxes: Iterable[Sequence[float]]) -> None:
    """Write boxes ``(x1, y1, x2, y2)`` in the native layout, as short as they are."""
    lines = [' '.join(f'{value:g}' for value in box) for box in boxes]
    Path(path).write_text('\n'.join([str(len(lines)), *lines]) + '\n')


def _parse_box(path: str | Path, number: int, text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(word) for word in text.split())
    except ValueError:
        raise DataError(
            f'{path}, line {number}: should hold four numbers x1 y1 x2 y2, is {text!r}'
        ) from None
    # Comparisons with nan are false, so this also refuses nan.
    if not (x1 < x2 and y1 < y2 and all(map(math.isfinite, (x1, y1, x2, y2)))):
        raise DataError(
            f'{path}, line {number}: should have finite x1 < x2 and y1 < y2, is {text!r}'
        )
    return x1, y1, x2, y2
