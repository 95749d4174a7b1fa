"""ACDC (Adverse Conditions Dataset) in its native layout, for mmseg."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmseg.datasets import CityscapesDataset

from sci_plugins.datasets.night_layouts import (
    ACDC_CONDITIONS,
    ACDC_SPLITS,
    FolderPair,
    acdc_pair,
    choose,
)
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class ACDCDataset(SegmentationFolderDataset):
    """``rgb_anon/CONDITION/SPLIT/REC/*_rgb_anon.png`` and their label maps.

    Those are ``gt/CONDITION/SPLIT/REC/*_gt_labelTrainIds.png``: Cityscapes' 19
    classes, 255 ignored, 1920x1080. By night 400, 106 and 500 images, in the other
    conditions 400, 100 and 500; those of ``test`` have no public labels. ``clip`` is
    the recording, REC.

    Its night ``val`` and ``test`` contain Dark Zurich's; see
    docs/night_segmentation.md before training on one and testing on the other.

    Args:
        split: ``'train'``, ``'val'``, ``'test'`` or several of them.
        condition: ``'night'``, ``'fog'``, ``'rain'``, ``'snow'`` or several of them.
        reference: instead of the adverse photographs, those of the same places by day
            and in good weather, ``SPLIT_ref/REC/*_rgb_ref_anon.png``, without labels:
            something to look at, or to train an enhancer on.
        data_prefix: instead of ``split`` and ``condition``, the two folders below
            ``data_root``, as everywhere in mmseg.
        **kwargs: those of :class:`SegmentationFolderDataset`.

    Raises:
        ConfigError: if there is no such split or condition.
        DataError: naming it, if a folder, an image or a label map is missing.
    """

    NAME: ClassVar[str] = 'ACDC'
    METAINFO: ClassVar[dict] = CityscapesDataset.METAINFO

    def __init__(
        self,
        *args: Any,
        split: str | Sequence[str] | None = None,
        condition: str | Sequence[str] = 'night',
        reference: bool = False,
        data_prefix: dict[str, str] | None = None,
        img_suffix: str | None = None,
        seg_map_suffix: str = '_gt_labelTrainIds.png',
        **kwargs: Any,
    ) -> None:
        if data_prefix is None:
            split = choose(self.NAME, 'split', split, ACDC_SPLITS)
        self.splits = tuple(split or ())
        self.conditions = choose(self.NAME, 'condition', condition, ACDC_CONDITIONS)
        self.reference = reference
        suffix = '_rgb_ref_anon.png' if reference else '_rgb_anon.png'
        super().__init__(
            *args,
            data_prefix=data_prefix,
            img_suffix=img_suffix or suffix,
            seg_map_suffix=seg_map_suffix,
            **kwargs,
        )

    def find_folders(self) -> list[FolderPair]:
        """One folder a condition and split, in the order given."""
        root = Path(self.data_root or '.')
        return [
            acdc_pair(root, condition, split, self.reference)
            for condition in self.conditions
            for split in self.splits
        ]
