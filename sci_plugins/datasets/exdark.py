"""ExDark (Exclusively Dark) for mmdet: native layout and text annotations."""

from pathlib import Path
from typing import Any, ClassVar

from sci_plugins.datasets import text_labels
from sci_plugins.datasets.night_layouts import Names, listed
from sci_plugins.datasets.text_labels import Box, TextLabelDataset, is_upright, line_error
from sci_plugins.errors import DataError, check_choice, shorten
from sci_plugins.registry import DATASETS
from sci_plugins.utils.files import read_numbered_lines
from sci_plugins.utils.folders import list_files

#: In the order of ExDark's own numbers, 1 to 12.
CLASSES = (
    'Bicycle', 'Boat', 'Bottle', 'Bus', 'Car', 'Cat', 'Chair', 'Cup', 'Dog', 'Motorbike',
    'People', 'Table',
)  # fmt: skip
_PALETTE = [
    (220, 20, 60), (0, 0, 230), (0, 226, 252), (0, 60, 100), (0, 0, 142), (255, 77, 255),
    (153, 69, 1), (120, 166, 157), (0, 182, 199), (106, 0, 228), (250, 170, 30), (119, 11, 32),
]  # fmt: skip
SPLITS = {'train': '1', 'val': '2', 'test': '3'}  # last column of ``imageclasslist.txt``
_HEAD = '% bbGt'
Object = tuple[str, Box]


def read_objects(path: str | Path) -> list[Object]:
    """Objects of one image: ``(class name, (x1, y1, x2, y2))`` in the order of the file.

    The first line is ``% bbGt version=3``, each further one ``CLASS left top width height`` in
    pixels and seven unused numbers. A box may be empty or extend beyond the image. A DataError
    names file and line, if it is missing, not text, or of another layout.
    """
    lines = read_numbered_lines(Path(path), 'annotation file')
    head = lines[0][1] if lines else ''
    if not head.startswith(_HEAD):
        raise line_error(path, 1, f'{_HEAD!r} at its start (ExDark)', repr(head))
    return [_parse(path, number, text) for number, text in lines[1:]]


def _parse(path: str | Path, number: int, text: str) -> Object:
    name, *words = text.split()
    if name not in CLASSES:
        raise line_error(path, number, f'a class of {", ".join(CLASSES)}', repr(name))
    numbers = text_labels.parse_numbers(words[:4])
    if len(numbers) != 4:
        raise line_error(path, number, 'CLASS left top width height', repr(text))
    left, top, width, height = numbers
    return name, (left, top, left + width, top + height)


def read_class_list(path: str | Path, splits: tuple[str, ...] = ()) -> list[str]:
    """Image names of ``imageclasslist.txt``, or of any list with one name per line.

    Its columns are name, class, lighting, indoor or outdoor, experiment (1 train, 2 val, 3 test); a
    heading with ``|`` is skipped. Without ``splits`` all are kept, and the name is enough. A
    DataError names file and line: no file, too few columns, a duplicate line, no image left.
    """
    wanted = {SPLITS[name] for name in splits}
    names: dict[str, None] = {}
    for number, text in read_numbered_lines(Path(path), 'list'):
        if '|' in text:
            continue
        columns = text.split()
        if wanted and (len(columns) != 5 or columns[4] not in SPLITS.values()):
            raise line_error(path, number, 'five columns, the last one 1, 2 or 3', repr(text))
        if wanted and columns[4] not in wanted:
            continue
        if columns[0] in names:
            raise DataError(f'{path}, line {number}: duplicate image {shorten(columns[0])}')
        names[columns[0]] = None
    if not names:
        raise DataError(f'{path}: lists no image' + f' of {splits}' * bool(splits))
    return list(names)


CLASS_LIST = 'imageclasslist.txt'


@DATASETS.register_module()
class ExDarkDataset(TextLabelDataset):
    """7363 images of 12 classes, ``CLASS/NAME.png``, with ``CLASS/NAME.png.txt``.

    The folders are those of the two archives; the file ``imageclasslist.txt`` of the data set's
    repository has its own split of 3000, 1800 and 2563 images. For other splits, such as MAET's
    80/20, pass ``ann_file``. The case of file names does not matter. Empty boxes are ignored, with
    one warning. Objects of classes that ``metainfo`` lacks are left out.

    Args:
        split: ``'train'``, ``'val'``, ``'test'`` or several of them, as listed in ``ann_file``.
        ann_file: a list with one image name per line; with ``split`` alone it is
            ``imageclasslist.txt``. Without either every annotated image is used.
        data_prefix: folders below ``data_root``; ``None`` for ``dict(img='ExDark',
            ann='ExDark_Annno')``.
        **kwargs: those of :class:`TextLabelDataset`, whose errors this has too.

    Raises:
        ConfigError: if there is no such split.
    """

    NAME: ClassVar[str] = 'ExDark'
    METAINFO: ClassVar[dict] = dict(classes=CLASSES, palette=_PALETTE)
    FOLDERS: ClassVar[dict[str, str]] = dict(img='ExDark', ann='ExDark_Annno')

    def __init__(
        self, *args: Any, split: Names | None = None, ann_file: str = '', **kwargs: Any
    ) -> None:
        self.splits = listed(split)
        for name in self.splits:
            check_choice('split', name, SPLITS, 'ExDark')
        ann_file = ann_file or (CLASS_LIST if self.splits else '')
        super().__init__(*args, ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        images, labels = self._index('img'), self._index('ann', '.txt')
        if self.ann_file:
            names = read_class_list(self.ann_file, self.splits)
        else:
            names = [path.name.removesuffix('.txt') for path in labels.values()]
        records = [self._load_record(name, images, labels) for name in names]
        if empty := sum(box['ignore_flag'] for each in records for box in each['instances']):
            self.log(f'ignored {empty} empty boxes')
        return records

    def _load_record(self, name: str, images: dict[str, Path], labels: dict[str, Path]) -> dict:
        key = name.lower()
        if key not in images:
            raise DataError(f'ExDark: {name} has no image below {self.data_prefix["img"]}')
        if f'{key}.txt' not in labels:
            raise DataError(f'ExDark: {name} has no annotation below {self.data_prefix["ann"]}')
        numbers = {kind: number for number, kind in enumerate(self.metainfo['classes'])}
        objects = [
            (box, numbers[kind], not is_upright(box))
            for kind, box in read_objects(labels[f'{key}.txt'])
            if kind in numbers
        ]
        return self.record(images[key], Path(name).stem, objects)

    def _index(self, key: str, suffix: str = '') -> dict[str, Path]:
        """File name in lower case -> file, of all class folders."""
        folder = self.folder(key)
        files = list_files(folder, [suffix]).files
        if not (paths := [path for path in files if len(path.relative_to(folder).parts) == 2]):
            raise DataError(f'ExDark: {folder} has no files CLASS/NAME{suffix}')
        return {path.name.lower(): path for path in paths}
