"""ExDark's native text files: annotations of Piotr's toolbox, and the class list."""

import math
from pathlib import Path

from sci_plugins.errors import DataError
from sci_plugins.utils.files import read_numbered_lines

#: In the order of ExDark's own numbers, 1 to 12.
CLASSES = (
    'Bicycle',
    'Boat',
    'Bottle',
    'Bus',
    'Car',
    'Cat',
    'Chair',
    'Cup',
    'Dog',
    'Motorbike',
    'People',
    'Table',
)
#: Last column of ``imageclasslist.txt``.
SPLITS = {'train': '1', 'val': '2', 'test': '3'}
_HEAD = '% bbGt'
Object = tuple[str, tuple[float, float, float, float]]


def read_objects(path: str | Path) -> list[Object]:
    """Objects of one image.

    The first line is ``% bbGt version=3``, each further one ``CLASS left top width
    height`` in pixels and seven numbers on occlusion and orientation, not used.

    Returns:
        ``(class name, (x1, y1, x2, y2))`` in the order of the file. A box may be empty
        or reach over the image's edge, as in the file.

    Raises:
        DataError: naming file and line, if the file is missing, is not text, or is not
            what the layout promises.
    """
    lines = read_numbered_lines(Path(path), 'annotation file')
    if not lines or not lines[0][1].startswith(_HEAD):
        raise DataError(f'{path}, line 1: should begin with {_HEAD!r} (ExDark)')
    return [_parse(path, number, text) for number, text in lines[1:]]


def _parse(path: str | Path, number: int, text: str) -> Object:
    name, *words = text.split()
    if name not in CLASSES:
        raise DataError(
            f'{path}, line {number}: class should be one of {", ".join(CLASSES)}; '
            f'is {name!r}'
        )
    try:
        left, top, width, height = (float(word) for word in words[:4])
    except ValueError:
        left = math.nan
    if math.isnan(left) or not all(map(math.isfinite, (left, top, width, height))):
        raise DataError(
            f'{path}, line {number}: should hold CLASS left top width height, is {text!r}'
        )
    return name, (left, top, left + width, top + height)


def read_class_list(path: str | Path, splits: tuple[str, ...] = ()) -> list[str]:
    """Image names of ``imageclasslist.txt``, or of any list with one name a line.

    Args:
        path: the list. Columns: name, class, lighting, indoor or outdoor, experiment
            (1 train, 2 val, 3 test); a heading with ``|`` is passed over.
        splits: keep the images of these experiments; empty keeps all, and then the
            first column suffices.

    Raises:
        DataError: naming file and line, if it is missing, has no such column, lists an
            image twice, or leaves no image.
    """
    wanted = {SPLITS[name] for name in splits}
    names: dict[str, None] = {}
    for number, text in read_numbered_lines(Path(path), 'list'):
        if '|' in text:
            continue
        columns = text.split()
        if wanted and (len(columns) != 5 or columns[4] not in SPLITS.values()):
            raise DataError(
                f'{path}, line {number}: should hold five columns, the last one 1, 2 or '
                f'3, is {text!r}'
            )
        if wanted and columns[4] not in wanted:
            continue
        if columns[0] in names:
            raise DataError(f'{path}, line {number}: lists {columns[0]} again')
        names[columns[0]] = None
    if not names:
        raise DataError(f'{path}: lists no image' + f' of {splits}' * bool(splits))
    return list(names)
