"""The demo's streets as a data set of mmseg, in Cityscapes' layout."""

from typing import ClassVar

from sci_plugins.datasets.night_layouts import LabelCode, NightLayout
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.demo.streets import STREET_CLASSES, STREET_PALETTE
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class NightStreetDataset(SegmentationFolderDataset):
    """Images ``*_leftImg8bit.png`` with labels ``*_gtFine_labelTrainIds.png``, 255 is ignored.

    ``metainfo`` with a subset of the demo's classes ignores the others, as in mmseg. The arguments
    are those of :class:`SegmentationFolderDataset`; ``data_prefix`` may be such as
    ``dict(img_path='leftImg8bit/test_dark', seg_map_path='gtFine/test')``.
    """

    LAYOUT: ClassVar[NightLayout] = NightLayout(
        name='night streets',
        images='leftImg8bit/{split}',
        labels='gtFine/{split}',
        img_suffix='_leftImg8bit.png',
        label_suffix='_gtFine_labelTrainIds.png',
        code=LabelCode(dict(enumerate(STREET_CLASSES))),
        splits=('train', 'test'),
        palette=STREET_PALETTE,
    )
