"""The demo's night streets in Cityscapes' layout, for mmseg."""

from pathlib import Path
from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset

from sci_plugins.datasets.demo.classes import STREET_CLASSES, STREET_PALETTE
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class NightStreetDataset(BaseSegDataset):
    """Images ``*_leftImg8bit.png`` with labels ``*_gtFine_labelTrainIds.png``.

    The classes are those of the built-in demo; 255 is ignored. ``metainfo`` with a
    subset of the classes ignores the others, as in mmseg.

    Args:
        img_suffix, seg_map_suffix: endings of image and label files.
        data_prefix: ``dict(img_path='leftImg8bit/test', seg_map_path='gtFine/test')``
            below ``data_root``; the folders of the cities are searched.
        **kwargs: those of ``mmseg.datasets.BaseSegDataset``.

    Raises:
        DataError: naming the file, if there is no image or an image has no label.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=STREET_CLASSES, palette=[list(colour) for colour in STREET_PALETTE]
    )

    def __init__(
        self,
        *args: Any,
        img_suffix: str = '_leftImg8bit.png',
        seg_map_suffix: str = '_gtFine_labelTrainIds.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """One record an image, in the order of the names; each label is there."""
        images = Path(self.data_prefix['img_path'])
        if not images.is_dir():
            raise DataError(f'night streets: there is no image folder {images}')
        data_list = super().load_data_list()
        if not data_list:
            raise DataError(f'night streets: no *{self.img_suffix} below {images}')
        for record in data_list:
            label = record.get('seg_map_path')
            if label is not None and not Path(label).is_file():
                raise DataError(f'{label}: there is no such label file')
        return data_list
