"""CamVid with 11 classes, in the folder layout that came with SegNet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from sci_plugins.datasets.night_layouts import CAMVID
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS

VOID, IGNORED = 11, 255


@DATASETS.register_module()
class CamVidDataset(SegmentationFolderDataset):
    """``{train,val,test}/*.jpg`` and ``{train,val,test}annot/*.png``, labels 0-11.

    Label 11 (void) becomes 255, the index that mmseg ignores in its losses and
    metrics. Frames are named ``SEQUENCE_FRAME``; the name's beginning selects or
    leaves out whole recordings. ``0001TP`` was filmed at dusk, the others by
    day. Frames of one recording, ``clip``, are not independent of one another.

    Args:
        include_prefix: keep only frames whose name begins so (or with one of
            these); ``None`` keeps all.
        exclude_prefix: leave out frames whose name begins so.
        img_suffix, seg_map_suffix, **kwargs: those of
            :class:`SegmentationFolderDataset`.

    Raises:
        DataError: if no frame is left, or a frame or its label map is missing.
    """

    NAME: ClassVar[str] = 'CamVid'
    METAINFO: ClassVar[dict] = dict(
        classes=CAMVID,
        palette=[
            [128, 128, 128],
            [128, 0, 0],
            [192, 192, 128],
            [128, 64, 128],
            [60, 40, 222],
            [128, 128, 0],
            [192, 128, 128],
            [64, 64, 128],
            [64, 0, 128],
            [64, 64, 0],
            [0, 128, 192],
        ],
    )

    def __init__(
        self,
        *args: Any,
        include_prefix: str | Sequence[str] | None = None,
        exclude_prefix: str | Sequence[str] | None = None,
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        self.include_prefix = _as_tuple(include_prefix)
        self.exclude_prefix = _as_tuple(exclude_prefix)
        super().__init__(*args, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> dict[int, int]:
        """mmseg's map for a choice of classes, and void to ignored in any case."""
        return {**(super().get_label_map(new_classes) or {}), VOID: IGNORED}

    def choose_images(self, images: list[Path]) -> list[Path]:
        """Frames of the wanted sequences."""
        chosen = [image for image in images if self._wanted(image.name)]
        if not chosen:
            raise DataError(
                f'CamVid: no {self.img_suffix} frame in {images[0].parent} with '
                f'include_prefix={self.include_prefix}, '
                f'exclude_prefix={self.exclude_prefix}'
            )
        return chosen

    def _wanted(self, name: str) -> bool:
        if self.include_prefix and not name.startswith(self.include_prefix):
            return False
        return not (self.exclude_prefix and name.startswith(self.exclude_prefix))


def _as_tuple(prefix: str | Sequence[str] | None) -> tuple[str, ...]:
    if prefix is None:
        return ()
    return (prefix,) if isinstance(prefix, str) else tuple(prefix)
