"""CamVid with 11 classes, in the folder layout that came with SegNet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset

from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS

VOID, IGNORED = 11, 255


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """``{train,val,test}/*.jpg`` and ``{train,val,test}annot/*.png``, labels 0-11.

    Label 11 (void) becomes 255, the index that mmseg ignores in its losses and
    metrics. Frames are named ``SEQUENCE_FRAME``; the name's beginning selects or
    leaves out whole recordings. ``0001TP`` was filmed at dusk, the others by
    day. Frames of one recording are not independent of one another.

    Args:
        include_prefix: keep only frames whose name begins so (or with one of
            these); ``None`` keeps all.
        exclude_prefix: leave out frames whose name begins so.
        img_suffix, seg_map_suffix, **kwargs: those of ``BaseSegDataset``.

    Raises:
        DataError: if no frame is left or a frame has no label file.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=(
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'sign',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),
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
        super().__init__(
            *args, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> dict[int, int]:
        """mmseg's map for a choice of classes, and void to ignored in any case."""
        return {**(super().get_label_map(new_classes) or {}), VOID: IGNORED}

    def load_data_list(self) -> list[dict]:
        """Frames of the wanted sequences in the order of their names."""
        folder = Path(self.data_prefix['img_path'])
        if not self.ann_file and not folder.is_dir():
            raise DataError(f'CamVid: there is no folder {folder}')
        data_list = [info for info in super().load_data_list() if self._wanted(info)]
        if not data_list:
            raise DataError(
                f'CamVid: no {self.img_suffix} frame in {folder} with '
                f'include_prefix={self.include_prefix}, '
                f'exclude_prefix={self.exclude_prefix}'
            )
        _check_labels(data_list)
        return data_list

    def _wanted(self, info: dict) -> bool:
        name = Path(info['img_path']).name
        if self.include_prefix and not name.startswith(self.include_prefix):
            return False
        return not (self.exclude_prefix and name.startswith(self.exclude_prefix))


def _as_tuple(prefix: str | Sequence[str] | None) -> tuple[str, ...]:
    if prefix is None:
        return ()
    return (prefix,) if isinstance(prefix, str) else tuple(prefix)


def _check_labels(data_list: list[dict]) -> None:
    for info in data_list:
        label = info.get('seg_map_path')
        if label is not None and not Path(label).is_file():
            raise DataError(f'CamVid: {info["img_path"]} has no label file {label}')
