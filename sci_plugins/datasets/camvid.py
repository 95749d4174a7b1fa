"""CamVid with 11 classes, in the folder layout that came with SegNet."""

from pathlib import Path
from typing import Any, ClassVar

from sci_plugins.datasets import night_layouts
from sci_plugins.datasets.night_layouts import IGNORED, LabelCode, Names, NightLayout, listed
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS

_VOID = 11
_PALETTE = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip
CAMVID_LAYOUT = NightLayout(
    name='CamVid',
    images='{split}',
    labels='{split}annot',
    img_suffix='.jpg',
    label_suffix='.png',
    code=LabelCode(dict(enumerate(night_layouts.CAMVID)), frozenset([_VOID, IGNORED])),
    counts=dict(train=367, val=101, test=233),
    size=(480, 360),
    palette=_PALETTE,
    # 0016E5_08370, 0006R0_f02670, Seq05VD_f00000
    recording=r'((?:\d{4}|Seq\d\d)[A-Z][A-Z0-9])_f?\d+$',
)


@DATASETS.register_module()
class CamVidDataset(SegmentationFolderDataset):
    """``{train,val,test}/*.jpg`` and ``{train,val,test}annot/*.png``, labels 0-11.

    Label 11 (void) becomes 255, which mmseg's losses and metrics ignore. Frames are named
    ``SEQUENCE_FRAME``; ``0001TP`` was filmed at dusk, the others by day. Frames of one recording,
    ``clip``, are not independent.

    Args:
        include_prefix: keep only frames whose name begins with this (or one of these), if given.
        exclude_prefix: leave out frames whose name begins with this (or one of these).
        **kwargs: those of :class:`SegmentationFolderDataset`.

    Raises:
        ConfigError: if there is no such split.
        DataError: if no frame is left, or a folder, an image or a label map is missing.
    """

    LAYOUT: ClassVar[NightLayout] = CAMVID_LAYOUT

    def __init__(
        self, *args: Any, include_prefix: Names = (), exclude_prefix: Names = (), **kwargs: Any
    ) -> None:
        self.include_prefix, self.exclude_prefix = listed(include_prefix), listed(exclude_prefix)
        super().__init__(*args, **kwargs)

    def choose_images(self, images: list[Path]) -> list[Path]:
        include, exclude = self.include_prefix or ('',), self.exclude_prefix
        left = [each for each in images if each.name.startswith(include)]
        if not (chosen := [each for each in left if not each.name.startswith(exclude)]):
            told = f'include_prefix={self.include_prefix}, exclude_prefix={exclude}'
            raise DataError(f'CamVid: no {self.img_suffix} frame in {images[0].parent} with {told}')
        return chosen
