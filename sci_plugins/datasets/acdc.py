"""ACDC for mmseg; layouts of Dark Zurich, which shares recordings, and Nighttime Driving."""

from dataclasses import replace
from typing import Any, ClassVar

from sci_plugins.datasets.night_layouts import NightLayout, Overlap
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.registry import DATASETS

_ADVICE = 'do not test a model on one of the two that was trained or chosen on the other'
_HAS_ZURICH = f'the recording of all 50 images of Dark Zurich val, which are among these: {_ADVICE}'
_IN_ACDC = f'a recording of ACDC night val, which has all 50: {_ADVICE}'
_CONDITIONS = ('night', 'fog', 'rain', 'snow')
_COUNTS = dict(train=400, val=100, test=500)
ACDC = NightLayout(
    name='ACDC',
    images='rgb_anon/{condition}/{split}',
    labels='gt/{condition}/{split}',
    img_suffix='_rgb_anon.png',
    label_suffix='_gt_labelTrainIds.png',
    conditions=_CONDITIONS,
    unlabelled=('test',),
    part='{condition}/{split}',
    counts={f'{name}/{split}': n for name in _CONDITIONS for split, n in _COUNTS.items()}
    | {'night/val': 106},
    size=(1920, 1080),
    recording=r'(.+)_frame_\d+',
    overlaps=(
        Overlap('night/val', _HAS_ZURICH, 'GOPR0356'),
        Overlap('night/train', 'the recording of Dark Zurich val', 'GOPR0356', is_error=True),
        Overlap('night/test', "Dark Zurich's 151 test images are among its 500"),
        Overlap('night/train', '296 of its 400 are in Dark Zurich train, unlabelled'),
    ),
)
#: Photographs of the same places by day.
REFERENCE = replace(
    ACDC,
    images='rgb_anon/{condition}/{split}_ref',
    img_suffix='_rgb_ref_anon.png',
    unlabelled=ACDC.splits,
)
# mmseg has data sets for these two.
DARK_ZURICH = replace(
    ACDC,
    name='Dark Zurich',
    images='rgb_anon/{split}/night',
    labels='gt/{split}/night',
    conditions=(),
    unlabelled=('train', 'test'),
    part='{split}/night',
    counts={'train/night': 2416, 'val/night': 50, 'test/night': 151},
    overlaps=(
        Overlap('val/night', _IN_ACDC, 'GOPR0356'),
        Overlap('test/night', 'all 151 are in ACDC night test'),
        Overlap('train/night', '296 of the 400 images of ACDC night train are here'),
    ),
)
NIGHT_DRIVING = NightLayout(
    name='Nighttime Driving',
    images='leftImg8bit/{split}/night',
    labels='gtCoarse_daytime_trainvaltest/{split}/night',
    img_suffix='_leftImg8bit.png',
    label_suffix='_gtCoarse_labelTrainIds.png',
    splits=('test',),
    counts=dict(test=50),
    size=(1920, 1080),
    recording=r'(.+)_frame_\d+',
)


@DATASETS.register_module()
class ACDCDataset(SegmentationFolderDataset):
    """``rgb_anon/CONDITION/SPLIT/REC/*_rgb_anon.png`` and their label maps.

    Label maps are ``gt/CONDITION/SPLIT/REC/*_gt_labelTrainIds.png``: Cityscapes' 19 classes, 255
    ignored, 1920x1080. By night there are 400, 106 and 500 images, in each other condition 400, 100
    and 500; ``test`` has no public labels. ``clip`` is the recording, REC. Night ``val`` and
    ``test`` contain Dark Zurich's: see docs/night_segmentation.md before you train on one set and
    test on the other.

    Args:
        reference: use the photographs of the same places by day and in good weather instead,
            ``SPLIT_ref/REC/*_rgb_ref_anon.png``, without labels.
        **kwargs: those of :class:`SegmentationFolderDataset`, with ``condition``: ``'night'`` (by
            default), ``'fog'``, ``'rain'``, ``'snow'`` or several of them.

    Raises:
        ConfigError: if there is no such split or condition.
        DataError: naming it, if a folder, an image or a label map is missing.
    """

    LAYOUT: ClassVar[NightLayout] = ACDC

    def __init__(self, *args: Any, reference: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, layout=REFERENCE if reference else ACDC, **kwargs)
