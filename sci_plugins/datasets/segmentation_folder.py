"""Base of the segmentation sets: folders of images with their label maps, for mmseg."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from sci_plugins.datasets.night_layouts import CITYSCAPES, FolderPair, Names, NightLayout
from sci_plugins.datasets.transforms.check_label_map import CheckLabelMap
from sci_plugins.errors import DataError
from sci_plugins.registry import host_class
from sci_plugins.utils.files import read_numbered_lines

# Checks read the layouts without mmseg.
BaseSegDataset: Any = host_class('mmseg.datasets.BaseSegDataset')
CityscapesDataset: Any = host_class('mmseg.datasets.CityscapesDataset')


class SegmentationFolderDataset(BaseSegDataset):
    """Base of data sets whose folders follow a :class:`NightLayout`.

    A subclass sets ``LAYOUT``, which also gives its ``METAINFO``. Records are sorted by path and
    have the key ``clip``, see :meth:`clip_of`. Every image must have its label map and every label
    map its image; label maps are checked as they are loaded (:class:`CheckLabelMap`).

    Args:
        split: one or several of the layout's splits.
        condition: one or several of its conditions, ``None`` for the default.
        ann_file: a list of the images to use, one path below the image folder per line, with or
            without the suffix.
        data_prefix: instead of ``split`` and ``condition``, as everywhere in mmseg.
        img_suffix, seg_map_suffix: how the names of images and label maps end, if not as usual.
        layout: instead of ``LAYOUT``, for subclasses whose set has several releases.
        **kwargs: those of ``mmseg.datasets.BaseSegDataset``.

    Raises:
        ConfigError: if there is no such split or condition.
        DataError: naming it, if a folder, an image or a label map is missing.
        MissingDependencyError: if mmseg is not installed.
    """

    LAYOUT: ClassVar[NightLayout]
    METAINFO: ClassVar[dict]
    label_map: dict[int, int] | None  # stored value -> value to train on, if one changes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'LAYOUT' in vars(cls) and 'METAINFO' not in vars(cls):
            cls.METAINFO = _metainfo(cls.LAYOUT)

    def __init__(
        self,
        *args: Any,
        split: Names | None = None,
        condition: Names | None = None,
        data_prefix: dict[str, str] | None = None,
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        layout: NightLayout | None = None,
        **kwargs: Any,
    ) -> None:
        layout = layout or self.LAYOUT
        suffixes = img_suffix or layout.img_suffix, seg_map_suffix or layout.label_suffix
        self.layout = replace(layout, img_suffix=suffixes[0], label_suffix=suffixes[1])
        lazy = kwargs.pop('lazy_init', False)
        kwargs |= dict(zip(('img_suffix', 'seg_map_suffix'), suffixes, strict=True))
        super().__init__(*args, data_prefix=data_prefix or {}, lazy_init=True, **kwargs)
        root = self.data_root or '.'
        if data_prefix is not None:
            labels = self.data_prefix.get('seg_map_path')
            images = Path(self.data_prefix.get('img_path') or root)
            self.folders = [FolderPair(images, Path(labels) if labels else None, *suffixes)]
        else:
            self.folders = [part.folder for part in self.layout.parts(root, split, condition)]
        self.label_map = self.layout.code.label_map(self.label_map)
        self._metainfo['label_map'] = self.label_map
        # The check stands behind the pipeline's step that loads the label map.
        check = CheckLabelMap(len(self.metainfo['classes']), self.ignore_index)
        names = [type(step).__name__ for step in self.pipeline.transforms]
        if 'LoadAnnotations' in names:
            self.pipeline.transforms.insert(names.index('LoadAnnotations') + 1, check)
        if not lazy:
            self.full_init()

    def clip_of(self, image: Path) -> str:
        """The recording of an image, else its own name."""
        return self.layout.recording_of(image) or image.stem

    def choose_images(self, images: list[Path]) -> list[Path]:
        """The images of a folder to use; a subclass may use fewer."""
        return images

    def load_data_list(self) -> list[dict]:
        listed, records = self._read_list(), []
        for folder in self.folders:
            images = self._find_images(folder)
            if listed is not None:
                images = _only_listed(folder, images, listed)
            chosen = self.choose_images(images)
            records += [self._record(image, folder.label_of(image)) for image in chosen]
        if listed:
            told = f'below {self.folders[0].images} ({len(listed)} such images)'
            raise DataError(f'{self.layout.name}: found no {min(listed)} of {self.ann_file} {told}')
        labels = {record['img_path']: record.get('seg_map_path') for record in records}
        if missing := {k: path for k, path in labels.items() if path and not Path(path).is_file()}:
            image, label = next(iter(missing.items()))
            told = f'{len(missing)} of {len(records)} images'
            raise DataError(f'{image}: has no label map {label} ({told})')
        return records

    def _read_list(self) -> set[str] | None:
        """Names on the list, which are removed as they are found."""
        if not self.ann_file:
            return None
        if not (lines := read_numbered_lines(Path(self.ann_file), 'list of images')):
            raise DataError(f'{self.layout.name}: the list {self.ann_file} is empty')
        return {line.removesuffix(self.img_suffix) for _, line in lines}

    def _find_images(self, folder: FolderPair) -> list[Path]:
        if not folder.images.is_dir():
            raise DataError(f'{self.layout.name}: image folder {folder.images} does not exist')
        if not (images := folder.find_images()):
            raise DataError(f'{self.layout.name}: no *{folder.img_suffix} below {folder.images}')
        if not self.ann_file and (alone := folder.labels_without_image(images)):
            told = f'has no image in {folder.images} ({len(alone)} such label maps)'
            advice = 'to use a part of the set, list its images in ann_file'
            raise DataError(f'{alone[0]}: {told}; {advice}')
        return images

    def _record(self, image: Path, label: Path | None) -> dict:
        own = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        record = dict(img_path=str(image), clip=self.clip_of(image), seg_fields=[], **own)
        return record if label is None else dict(record, seg_map_path=str(label))


def _only_listed(folder: FolderPair, images: list[Path], listed: set[str]) -> list[Path]:
    """Images on the list; their names are removed from it."""
    paths = {image.relative_to(folder.images).as_posix(): image for image in images}
    names = {path.removesuffix(folder.img_suffix): image for path, image in paths.items()}
    found = listed & set(names)
    listed -= found
    return [image for name, image in names.items() if name in found]


def _metainfo(layout: NightLayout) -> dict[str, Any]:
    """mmseg's own for Cityscapes' classes; without a palette mmseg uses random colours."""
    if layout.classes == CITYSCAPES and not layout.palette:
        return dict(getattr(CityscapesDataset, 'METAINFO', {}))
    return dict(classes=layout.classes, palette=[list(colour) for colour in layout.palette])
