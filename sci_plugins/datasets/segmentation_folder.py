"""What the segmentation sets share: folders of images with their label maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset

from sci_plugins.datasets.night_layouts import FolderPair, recording_of
from sci_plugins.datasets.transforms.check_label_map import CheckLabelMap
from sci_plugins.errors import DataError
from sci_plugins.utils.files import read_numbered_lines


class SegmentationFolderDataset(BaseSegDataset):
    """Base of data sets whose images and label maps lie in pairs of folders.

    Records come in the order of their paths and have the key ``clip``: the recording
    of a video frame, else the image's own name. Every image has its label map and every
    label map its image, or the data set says which has not; label maps are looked at as
    they are loaded (:class:`CheckLabelMap`).

    Args:
        ann_file: a text file with one image a line, as its path below the image folder
            (the suffix may be left out); only these are taken.
        data_prefix: ``dict(img_path=..., seg_map_path=...)`` below ``data_root``, as
            everywhere in mmseg. Subclasses know their own folders without it.
        img_suffix, seg_map_suffix: how the names of images and label maps end.
        **kwargs: those of ``mmseg.datasets.BaseSegDataset``.

    Raises:
        DataError: naming it, if a folder, an image or a label map is missing.
    """

    NAME: ClassVar[str] = 'segmentation'

    def __init__(
        self, *args: Any, data_prefix: dict[str, str] | None = None, **kwargs: Any
    ) -> None:
        self._prefix_given = data_prefix is not None
        lazy = kwargs.pop('lazy_init', False)
        super().__init__(*args, data_prefix=data_prefix or {}, lazy_init=True, **kwargs)
        self._check_labels_when_loaded()
        if not lazy:
            self.full_init()

    def find_folders(self) -> list[FolderPair]:
        """The folders to read, by ``data_prefix``."""
        labels = self.data_prefix.get('seg_map_path')
        return [
            FolderPair(
                Path(self.data_prefix.get('img_path') or self.data_root or '.'),
                Path(labels) if labels else None,
                self.img_suffix,
                self.seg_map_suffix,
            )
        ]

    def clip_of(self, image: Path) -> str:
        """The recording that an image belongs to; alone, it is one of its own."""
        return recording_of(image) or image.stem

    def choose_images(self, images: list[Path]) -> list[Path]:
        """Those of a folder's images that the data set wants; all of them here."""
        return images

    def load_data_list(self) -> list[dict]:
        """One record an image: paths, ``clip`` and what mmseg's transforms need."""
        if self._prefix_given:
            folders = SegmentationFolderDataset.find_folders(self)
        else:
            folders = self.find_folders()
        listed = self._read_list()
        records = []
        for folder in folders:
            images = self._find_images(folder)
            if listed is not None:
                images = _only_listed(folder, images, listed)
            records += [
                self._record(image, folder.label_of(image)) for image in self.choose_images(images)
            ]
        if listed:
            raise DataError(
                f'{self.NAME}: {min(listed)} of {self.ann_file} is not below '
                f'{folders[0].images} ({len(listed)} such images)'
            )
        self._check_labels_exist(records)
        return records

    def _read_list(self) -> set[str] | None:
        """Names that the list has, to be crossed off as they are found."""
        if not self.ann_file:
            return None
        lines = read_numbered_lines(Path(self.ann_file), 'list of images')
        if not lines:
            raise DataError(f'{self.NAME}: no image in the list {self.ann_file}')
        return {line.removesuffix(self.img_suffix) for _, line in lines}

    def _find_images(self, folder: FolderPair) -> list[Path]:
        if not folder.images.is_dir():
            raise DataError(f'{self.NAME}: there is no image folder {folder.images}')
        images = folder.find_images()
        if not images:
            raise DataError(f'{self.NAME}: no *{folder.img_suffix} below {folder.images}')
        if not self.ann_file:
            alone = folder.labels_without_image(images)
            if alone:
                raise DataError(
                    f'{alone[0]}: has no image in {folder.images} ({len(alone)} such '
                    'label maps); choose images by ann_file to use a part'
                )
        return images

    def _record(self, image: Path, label: Path | None) -> dict:
        record = dict(
            img_path=str(image),
            clip=self.clip_of(image),
            label_map=self.label_map,
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
        )
        return record if label is None else dict(record, seg_map_path=str(label))

    def _check_labels_exist(self, records: Sequence[dict]) -> None:
        missing = [
            record
            for record in records
            if 'seg_map_path' in record and not Path(record['seg_map_path']).is_file()
        ]
        if missing:
            raise DataError(
                f'{missing[0]["img_path"]}: has no label map '
                f'{missing[0]["seg_map_path"]} ({len(missing)} of {len(records)} images)'
            )

    def _check_labels_when_loaded(self) -> None:
        """Put a check behind the pipeline's step that loads the label map."""
        check = CheckLabelMap(len(self.metainfo['classes']), self.ignore_index)
        steps = self.pipeline.transforms
        for index, step in enumerate(steps):
            if type(step).__name__ == 'LoadAnnotations':
                steps.insert(index + 1, check)
                return


def _only_listed(folder: FolderPair, images: list[Path], listed: set[str]) -> list[Path]:
    """Images on the list, which loses their names."""
    names = {
        image.relative_to(folder.images).as_posix().removesuffix(folder.img_suffix): image
        for image in images
    }
    found = listed & set(names)
    listed -= found
    return [image for name, image in names.items() if name in found]
