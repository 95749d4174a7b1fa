"""Faces in COCO format, with a split by file name and a smallest size."""

import hashlib
import math
import os
from pathlib import PurePosixPath
from typing import Any, ClassVar

from mmdet.datasets import CocoDataset

from sci_plugins.datasets.coco_check import check_coco
from sci_plugins.datasets.text_labels import FACE
from sci_plugins.errors import DataError, check_above, check_at_least, check_choice
from sci_plugins.registry import DATASETS

SPLITS = (None, 'train', 'test')


def hashed_split(file_name: str, test_fraction: float) -> str:
    """``'train'`` or ``'test'`` for an image, from the hash of its name alone, not from others."""
    digest = hashlib.sha256(os.fsencode(PurePosixPath(file_name).stem)).digest()
    position = int.from_bytes(digest[:4], 'big') / 2**32
    return 'test' if position < test_fraction else 'train'


@DATASETS.register_module()
class CocoFaceDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with one class, ``face``, a smallest size, and a split by file name.

    ``CocoMetric`` reads *all* images of its ``ann_file`` and counts untested ones as missed: with
    ``split``, leave its ``ann_file`` out and pack ``'instances'`` as a meta key.

    Args:
        split: ``'train'``, ``'test'`` or ``None`` for all images.
        test_fraction: the expected share of ``'test'``, in (0, 1).
        min_size: ignore faces whose ``sqrt(width * height)`` in the original image is below this
            many pixels.
        **kwargs: those of ``mmdet.datasets.CocoDataset``.

    Raises:
        ConfigError: if an option is out of range.
        DataError: if the annotation file is wrong (:func:`check_coco`) or has no category ``face``,
            or the split has no image.
    """

    METAINFO: ClassVar[dict] = FACE

    def __init__(
        self,
        *args: Any,
        split: str | None = None,
        test_fraction: float = 0.2,
        min_size: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, SPLITS)
        check_above(0, below=1, test_fraction=test_fraction)
        check_at_least(0.0, min_size=min_size)
        self.split, self.test_fraction, self.min_size = split, test_fraction, min_size
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        check_coco(self.ann_file)
        data_list = super().load_data_list()
        if not self.cat_ids:
            names = self.metainfo['classes']
            raise DataError(f'{self.ann_file} has none of the categories {names}')
        data_list = [info for info in data_list if self._wanted(info['img_path'])]
        if not data_list:
            raise DataError(f'{self.ann_file} has no image in the split {self.split!r}')
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        data_info = super().parse_data_info(raw_data_info)
        for instance in data_info['instances']:
            x1, y1, x2, y2 = instance['bbox']
            if math.sqrt((x2 - x1) * (y2 - y1)) < self.min_size:
                instance['ignore_flag'] = 1
        return data_info

    def _wanted(self, file_name: str) -> bool:
        return self.split in (None, hashed_split(file_name, self.test_fraction))
