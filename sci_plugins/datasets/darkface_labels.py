"""DARK FACE's native label files: a count, then one box a line."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sci_plugins.errors import DataError
from sci_plugins.utils.files import read_numbered_lines

Box = tuple[float, float, float, float]
# What a box can be that a label should not hold.
INVERTED = 'empty or inverted box'
OUTSIDE = 'box outside the image'
OVERHANGING = 'box reaching over the edge of the image'
DOUBLED = 'box that the file has already'
ODDITIES = INVERTED, OUTSIDE, OVERHANGING, DOUBLED


def read_boxes(path: str | Path) -> list[Box]:
    """Boxes of one label file, on which a detector can be trained.

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
    return [box for _, box in read_upright_boxes(path)]


def read_upright_boxes(path: str | Path) -> list[tuple[int, Box]]:
    """Boxes of :func:`read_boxes` with their line numbers.

    Raises:
        DataError: as :func:`read_boxes`.
    """
    numbered = read_numbered_boxes(path)
    for number, box in numbered:
        if not is_upright(box):
            raise DataError(
                f'{path}, line {number}: should have x1 < x2 and y1 < y2, is {_text(box)}'
            )
    return numbered


def read_numbered_boxes(path: str | Path) -> list[tuple[int, Box]]:
    """Boxes of one label file with their line numbers, also empty and inverted ones.

    Raises:
        DataError: as :func:`read_boxes`, except for such boxes.
    """
    lines = read_numbered_lines(Path(path), 'label file')
    if not lines:
        raise DataError(f'{path}: empty; line 1 should hold the number of boxes')
    number, text = lines[0]
    if not text.isdecimal():
        raise DataError(
            f'{path}, line {number}: should hold the number of boxes, is {text!r}'
        )
    boxes = [(number, _parse_box(path, number, text)) for number, text in lines[1:]]
    if len(boxes) != int(text):
        raise DataError(
            f'{path}, line {number}: promises {text} boxes, but {len(boxes)} follow'
        )
    return boxes


def is_upright(box: Sequence[float]) -> bool:
    """Whether a box is neither empty nor inverted."""
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2


def strange_boxes(
    path: str | Path,
    numbered: Sequence[tuple[int, Box]],
    size: tuple[int, int] | None = None,
) -> list[tuple[str, str]]:
    """What is odd about the boxes of one label file.

    Args:
        path: the file, for the sentences.
        numbered: boxes with their lines, of :func:`read_numbered_boxes`.
        size: (width, height) of the image, ``None`` if unknown.

    Returns:
        One (kind, sentence) for each odd box; the kinds are those of :data:`ODDITIES`.
    """
    found = []
    seen: dict[Box, int] = {}
    for number, box in numbered:
        kind = _oddity(box, size)
        if not kind and box in seen:
            kind = DOUBLED
        if kind:
            found.append((kind, f'{path}, line {number}: {kind} {_text(box)}'))
        seen.setdefault(box, number)
    return found


def _oddity(box: Box, size: tuple[int, int] | None) -> str:
    if not is_upright(box):
        return INVERTED
    x1, y1, x2, y2 = box
    # Without the image at least the left and upper edge are known.
    width, height = size or (math.inf, math.inf)
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return OUTSIDE
    return OVERHANGING if x1 < 0 or y1 < 0 or x2 > width or y2 > height else ''


def _text(box: Sequence[float]) -> str:
    return ' '.join(f'{value:g}' for value in box)


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
    lines = [_text(box) for box in boxes]
    Path(path).write_text('\n'.join([str(len(lines)), *lines]) + '\n')


def _parse_box(path: str | Path, number: int, text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(word) for word in text.split())
    except ValueError:
        raise DataError(
            f'{path}, line {number}: should hold four numbers x1 y1 x2 y2, is {text!r}'
        ) from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise DataError(f'{path}, line {number}: should be finite, is {text!r}')
    return x1, y1, x2, y2
