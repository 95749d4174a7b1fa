"""ExDark (Exclusively Dark) in its native layout, for mmdet."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import BaseDetDataset
from mmengine.logging import print_log

from sci_plugins.datasets.exdark_labels import (
    CLASSES,
    SPLITS,
    read_class_list,
    read_objects,
)
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import read_image_size

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
                raise ConfigError(
                    f'ExDark: split must be one of {", ".join(SPLITS)}; got {name!r}'
                )
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
        empty = sum(
            instance['ignore_flag'] for each in records for instance in each['instances']
        )
        if empty:
            print_log(
                f'ExDark: {empty} empty boxes are ignored',
                logger='current',
                level=logging.WARNING,
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
