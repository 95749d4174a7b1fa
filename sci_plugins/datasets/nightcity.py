"""NightCity and NightCity-fine in their native layouts, for mmseg."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmseg.datasets import CityscapesDataset

from sci_plugins.datasets.night_layouts import (
    NIGHTCITY_RELEASES,
    NIGHTCITY_SPLITS,
    TRAIN_ID_OF,
    FolderPair,
    choose,
    nightcity_pair,
)
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.errors import ConfigError
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class NightCityDataset(SegmentationFolderDataset):
    """2998 and 1299 photographs of many cities, 1024x512, Cityscapes' 19 classes.

    ``original``: ``images/SPLIT/*.png`` with ``label/SPLIT/*_labelIds.png``, which
    hold Cityscapes' *ids*; they become trainIds as they are loaded, and every other id
    up to 33 counts nowhere. ``fine``, a later correction of the labels:
    ``SPLIT/img/*.png`` with ``SPLIT/lbl/*_trainIds.png``, or such label maps in
    the original's folders. Numbers on one do not compare with the other.

    Nothing in a name tells the recording: ``clip`` is the image's own name.

    Args:
        split: ``'train'``, ``'val'`` or both.
        release: ``'original'`` or ``'fine'``; kept in ``metainfo['release']``.
        data_prefix: instead of ``split``, the two folders below ``data_root``, as
            everywhere in mmseg.
        **kwargs: those of :class:`SegmentationFolderDataset`.

    Raises:
        ConfigError: if there is no such split or release.
        DataError: naming it, if a folder, an image or a label map is missing.
    """

    NAME: ClassVar[str] = 'NightCity'
    METAINFO: ClassVar[dict] = CityscapesDataset.METAINFO

    def __init__(
        self,
        *args: Any,
        split: str | Sequence[str] | None = None,
        release: str = 'original',
        data_prefix: dict[str, str] | None = None,
        img_suffix: str = '.png',
        seg_map_suffix: str | None = None,
        **kwargs: Any,
    ) -> None:
        if release not in NIGHTCITY_RELEASES:
            raise ConfigError(
                f'{self.NAME}: release must be one of {", ".join(NIGHTCITY_RELEASES)}; '
                f'got {release!r}'
            )
        if data_prefix is None:
            split = choose(self.NAME, 'split', split, NIGHTCITY_SPLITS)
        self.splits = tuple(split or ())
        self.release = release
        suffix = '_labelIds.png' if release == 'original' else '_trainIds.png'
        super().__init__(
            *args,
            data_prefix=data_prefix,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix or suffix,
            **kwargs,
        )

    def find_folders(self) -> list[FolderPair]:
        root = Path(self.data_root or '.')
        return [nightcity_pair(root, split, self.release) for split in self.splits]

    def load_data_list(self) -> list[dict]:
        """As for every set, with the map from the ids that the files hold."""
        self._metainfo['release'] = self.release
        records = super().load_data_list()
        if self.release == 'original':
            chosen = self.label_map or {}
            label_map = {
                number: chosen.get(train_id, train_id) for number, train_id in TRAIN_ID_OF.items()
            }
            for record in records:
                record['label_map'] = label_map
        return records
