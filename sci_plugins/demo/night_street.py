"""The demo's night streets in Cityscapes' layout, for mmseg."""

from typing import Any, ClassVar

from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.demo.streets import STREET_CLASSES, STREET_PALETTE
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class NightStreetDataset(SegmentationFolderDataset):
    """Images ``*_leftImg8bit.png`` with labels ``*_gtFine_labelTrainIds.png``.

    The classes are those of the built-in demo; 255 is ignored. ``metainfo`` with a
    subset of the classes ignores the others, as in mmseg.

    Args:
        img_suffix, seg_map_suffix: endings of image and label files.
        data_prefix: ``dict(img_path='leftImg8bit/test', seg_map_path='gtFine/test')``
            below ``data_root``; the folders of the cities are searched.
        **kwargs: those of :class:`SegmentationFolderDataset`.

    Raises:
        DataError: naming the file, if there is no image, or an image or its label map
            is missing.
    """

    NAME: ClassVar[str] = 'night streets'
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
        super().__init__(*args, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
