"""NightCity and NightCity-fine in their native layouts, for mmseg."""

from dataclasses import replace
from typing import Any, ClassVar

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import IDS, TRAIN_IDS, NightLayout
from sci_plugins.datasets.segmentation_check import check_segmentation
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.errors import check_choice
from sci_plugins.registry import DATASETS
from sci_plugins.utils.folders import PathLike

NIGHTCITY = NightLayout(
    name='NightCity',
    images='images/{split}',
    labels='label/{split}',
    img_suffix='.png',
    label_suffix='_labelIds.png',
    code=IDS,
    splits=('train', 'val'),
    counts=dict(train=2998, val=1299),
    size=(1024, 512),
)
#: In folders of its own, or beside the original's images.
NIGHTCITY_FINE = replace(
    NIGHTCITY,
    name='NightCity-fine',
    images='{split}/img',
    labels='{split}/lbl',
    label_suffix='_trainIds.png',
    code=TRAIN_IDS,
    elsewhere=(NIGHTCITY.images, NIGHTCITY.labels),
)
RELEASES = dict(original=NIGHTCITY, fine=NIGHTCITY_FINE)


def layout_of(release: str) -> NightLayout:
    """Layout of ``'original'`` or ``'fine'``; ConfigError for another."""
    check_choice('release', release, RELEASES, 'NightCity')
    return RELEASES[release]


def check_nightcity(root: PathLike, *, release: str = 'original', **options: Any) -> CheckReport:
    """:func:`check_segmentation` of a release, see :func:`layout_of`."""
    return check_segmentation(layout_of(release), root, **options)


@DATASETS.register_module()
class NightCityDataset(SegmentationFolderDataset):
    """2998 and 1299 photographs of many cities, 1024x512, Cityscapes' 19 classes.

    ``original``: ``images/SPLIT/*.png`` with ``label/SPLIT/*_labelIds.png``, which hold Cityscapes'
    *ids*; loading turns them into trainIds and ignores every other id up to 33. ``fine``, a later
    correction of the labels: ``SPLIT/img/*.png`` with ``SPLIT/lbl/*_trainIds.png``, or such label
    maps in the original's folders. Results on the two do not compare. ``clip`` is the image's name.

    Args:
        release: ``'original'`` or ``'fine'``; kept in ``metainfo['release']``.
        **kwargs: those of :class:`SegmentationFolderDataset`.

    Raises:
        ConfigError: if there is no such release or split.
        DataError: naming it, if a folder, an image or a label map is missing.
    """

    LAYOUT: ClassVar[NightLayout] = NIGHTCITY

    def __init__(self, *args: Any, release: str = 'original', **kwargs: Any) -> None:
        super().__init__(*args, layout=layout_of(release), **kwargs)
        self._metainfo['release'] = release
