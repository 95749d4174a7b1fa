"""ExDark (Exclusively Dark) for mmdet: native layout and text annotations."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import BaseDetDataset
from mmengine.logging import print_log

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.files import read_numbered_lines
from sci_plugins.utils.images import read_image_size

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
            f'{path}, line {number}: class should be one of {", ".join(CLASSES)}; is {name!r}'
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


CLASS_LIST = 'imageclasslist.txt'


@DATASETS.register_module()
class ExDarkDataset(BaseDetDataset):
    """7363 images of 12 classes, ``CLASS/NAME.png``, with ``CLASS/NAME.png.txt``.

    The folders are those of the two archives; the file ``imageclasslist.txt`` of the
    data set's repository gives its own split of 3000, 1800 and 2563 images. Others in
    use, such as MAET's 80/20, come as ``ann_file``. File names match whatever the case
    of their letters.

    Empty boxes are marked as ignored, with one warning. Objects of classes that
    ``metainfo`` leaves out are left out.

    Args:
        split: ``'train'``, ``'val'``, ``'test'`` or several of them, by ``ann_file``.
        ann_file: a list with one image name a line, ``imageclasslist.txt`` if ``split``
            is given and this is not. Without either every annotated image is taken.
        data_prefix: folders below ``data_root``.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images without objects
            when training.
        **kwargs: those of ``mmdet.datasets.BaseDetDataset``.

    Raises:
        ConfigError: if there is no such split.
        DataError: naming the file (and line), if a folder, an image or an annotation
            is missing or not what the layout promises.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=CLASSES,
        palette=[
            (220, 20, 60),
            (0, 0, 230),
            (0, 226, 252),
            (0, 60, 100),
            (0, 0, 142),
            (255, 77, 255),
            (153, 69, 1),
            (120, 166, 157),
            (0, 182, 199),
            (106, 0, 228),
            (250, 170, 30),
            (119, 11, 32),
        ],
    )

    def __init__(
        self,
        *args: Any,
        split: str | Sequence[str] | None = None,
        data_prefix: dict[str, str] | None = None,
        ann_file: str = '',
        **kwargs: Any,
    ) -> None:
        self.splits = (split,) if isinstance(split, str) else tuple(split or ())
        for name in self.splits:
            if name not in SPLITS:
                raise ConfigError(f'ExDark: split must be one of {", ".join(SPLITS)}; got {name!r}')
        super().__init__(
            *args,
            ann_file=ann_file or (CLASS_LIST if self.splits else ''),
            data_prefix=data_prefix or dict(img='ExDark', ann='ExDark_Annno'),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """One record an image: path, id, size, and ``instances`` with the boxes."""
        images = _index(Path(self.data_prefix['img']))
        annotations = _index(Path(self.data_prefix['ann']), '.txt')
        if self.ann_file:
            names = read_class_list(self.ann_file, self.splits)
        else:
            names = [path.name.removesuffix('.txt') for path in annotations.values()]
        records = [self._load_record(name, images, annotations) for name in names]
        empty = sum(instance['ignore_flag'] for each in records for instance in each['instances'])
        if empty:
            print_log(
                f'ExDark: {empty} empty boxes are ignored', logger='current', level=logging.WARNING
            )
        return records

    def filter_data(self) -> list[dict]:
        """Without the images that ``filter_cfg`` sorts out of a training."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        return [record for record in self.data_list if record['instances']]

    def _load_record(
        self, name: str, images: dict[str, Path], annotations: dict[str, Path]
    ) -> dict:
        for kind, key, index in (
            ('image', name.lower(), images),
            ('annotation', f'{name.lower()}.txt', annotations),
        ):
            if key not in index:
                folder = self.data_prefix['img' if kind == 'image' else 'ann']
                raise DataError(f'ExDark: {name} has no {kind} below {folder}')
        image = images[name.lower()]
        width, height = read_image_size(image)
        return dict(
            img_path=str(image),
            img_id=Path(name).stem,
            width=width,
            height=height,
            instances=self._instances(annotations[f'{name.lower()}.txt']),
        )

    def _instances(self, path: Path) -> list[dict]:
        classes = self.metainfo['classes']
        return [
            dict(
                bbox=list(box),
                bbox_label=classes.index(name),
                ignore_flag=int(box[2] <= box[0] or box[3] <= box[1]),
            )
            for name, box in read_objects(path)
            if name in classes
        ]


def _index(folder: Path, suffix: str = '') -> dict[str, Path]:
    """File name in lower case -> file, of all class folders."""
    if not folder.is_dir():
        raise DataError(f'ExDark: there is no folder {folder}')
    paths = sorted(path for path in folder.glob(f'*/*{suffix}') if path.is_file())
    if not paths:
        raise DataError(f'ExDark: {folder} has no files CLASS/NAME{suffix}')
    return {path.name.lower(): path for path in paths}
