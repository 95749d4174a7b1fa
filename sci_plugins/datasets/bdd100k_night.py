"""The night images among BDD100K's 10,000 with label maps, for mmseg."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmengine.logging import print_log
from mmseg.datasets import BDD100KDataset

from sci_plugins.datasets.bdd100k_attributes import (
    TIMES_OF_DAY,
    find_sources,
    read_times_of_day,
)
from sci_plugins.datasets.folder_pair import FolderPair
from sci_plugins.datasets.night_layouts import BDD100K_SPLITS, bdd100k_pair, choose
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class BDD100KNightDataset(SegmentationFolderDataset):
    """``images/10k/SPLIT/*.jpg`` with ``labels/sem_seg/masks/SPLIT/*.png``.

    Cityscapes' 19 classes as trainIds, 1280x720. Which images are taken at night stands
    in the labels of the boxes, as ``attributes.timeofday``: see
    :data:`sci_plugins.datasets.bdd100k_attributes.SOURCES` for the files that are
    looked through. Images in none of them are left out; the log says how many. Reading
    a file of 70,000 images takes a while at each start: ``tools/prepare_data.py bdd100k
    ROOT --write-lists FOLDER`` does it once and writes lists for ``ann_file``.

    Every image is from a drive of its own: ``clip`` is its name.

    Args:
        split: ``'train'``, ``'val'``, ``'test'`` or several of them.
        timeofday: which images to take: ``'night'``, ``'dawn/dusk'``, ``'daytime'``,
            ``'undefined'`` or several of them.
        attributes: label files (or folders with one file an image) below
            ``data_root``, instead of those that are there.
        ann_file: a list with one image name a line, instead of the label files.
        data_prefix: instead of ``split``, the two folders below ``data_root``, as
            everywhere in mmseg.
        **kwargs: those of :class:`SegmentationFolderDataset`.

    Raises:
        ConfigError: if there is no such split or time of day.
        DataError: naming it, if a folder, an image, a label map or the label files are
            missing, or no image was taken at that time.
    """

    NAME: ClassVar[str] = 'BDD100K'
    METAINFO: ClassVar[dict] = BDD100KDataset.METAINFO

    def __init__(
        self,
        *args: Any,
        split: str | Sequence[str] | None = None,
        timeofday: str | Sequence[str] = 'night',
        attributes: str | Sequence[str] | None = None,
        data_prefix: dict[str, str] | None = None,
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        if data_prefix is None:
            split = choose(self.NAME, 'split', split, BDD100K_SPLITS)
        self.splits = tuple(split or ())
        self.times = choose(self.NAME, 'timeofday', timeofday, TIMES_OF_DAY)
        self.attributes = attributes
        super().__init__(
            *args,
            data_prefix=data_prefix,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            **kwargs,
        )

    def find_folders(self) -> list[FolderPair]:
        root = Path(self.data_root or '.')
        return [bdd100k_pair(root, split) for split in self.splits]

    def choose_images(self, images: list[Path]) -> list[Path]:
        """Those taken at the wanted time of day, if no list says which."""
        if self.ann_file:
            return images
        sources = find_sources(Path(self.data_root or '.'), self.attributes)
        times = read_times_of_day(sources, [image.stem for image in images])
        chosen = [image for image in images if times.get(image.stem) in self.times]
        names = ', '.join(map(str, sources))
        wish = ' or '.join(self.times)
        if not chosen:
            seen = ', '.join(f'{n} {time}' for time, n in Counter(times.values()).items())
            raise DataError(
                f'{self.NAME}: none of the {len(images)} images of {images[0].parent} is '
                f'{wish} by {names} ({seen or "none is listed there"})'
            )
        print_log(
            f'{self.NAME}: {len(chosen)} of {len(images)} images of {images[0].parent} '
            f'are {wish}; {len(images) - len(times)} are in none of {names}',
            logger='current',
        )
        return chosen
