"""The night-time segmentation sets as they are downloaded: folders, names, classes.

Images and label maps are matched by name; some file names tell the recording.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sci_plugins.errors import ConfigError


class FolderPair(NamedTuple):
    """Images and label maps that have the same path below their folders, but the ends.

    Attributes:
        images: folder of the images; those of its subfolders count as well.
        labels: folder of the label maps, ``None`` where none are public.
        img_suffix: how the name of an image ends, such as ``'_rgb_anon.png'``.
        label_suffix: how that of its label map ends.
    """

    images: Path
    labels: Path | None
    img_suffix: str
    label_suffix: str

    def find_images(self) -> list[Path]:
        """All images in the order of their paths; none if there is no such folder."""
        return sorted(find_files(self.images, self.img_suffix), key=str)

    def find_labels(self) -> list[Path]:
        """All label maps in the order of their paths."""
        if self.labels is None:
            return []
        return sorted(find_files(self.labels, self.label_suffix), key=str)

    def label_of(self, image: Path) -> Path | None:
        """Where the label map of an image should be."""
        if self.labels is None:
            return None
        name = str(image.relative_to(self.images)).removesuffix(self.img_suffix)
        return self.labels / f'{name}{self.label_suffix}'

    def labels_without_image(self, images: list[Path]) -> list[Path]:
        """Label maps whose image is not among ``images``."""
        wanted = {self.label_of(image) for image in images}
        return [label for label in self.find_labels() if label not in wanted]


def find_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Files below a folder whose names end so, in no order; hidden ones are left out."""
    for current, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        for name in names:
            if name.endswith(suffix) and not name.startswith('.'):
                yield Path(current, name)


ACDC_CONDITIONS = ('night', 'fog', 'rain', 'snow')
ACDC_SPLITS = ('train', 'val', 'test')
NIGHTCITY_SPLITS = ('train', 'val')
NIGHTCITY_RELEASES = ('original', 'fine')
BDD100K_SPLITS = ('train', 'val', 'test')

#: Id -> trainId as in Cityscapes; every other id of 0 to 33 counts nowhere.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
TRAIN_ID_OF = {
    number: CITYSCAPES_IDS.index(number) if number in CITYSCAPES_IDS else 255
    for number in range(34)
}


def acdc_pair(root: Path, condition: str, split: str, reference: bool) -> FolderPair:
    """One condition and split of ACDC; the labels of ``test`` are not public.

    With ``reference`` the photographs of the same places by day, without labels.
    """
    images, labels = root / 'rgb_anon' / condition, root / 'gt' / condition / split
    if reference:
        return FolderPair(images / f'{split}_ref', None, '_rgb_ref_anon.png', '')
    return FolderPair(
        images / split,
        None if split == 'test' else labels,
        '_rgb_anon.png',
        '_gt_labelTrainIds.png',
    )


def dark_zurich_pair(root: Path, split: str, time: str = 'night') -> FolderPair:
    """Only ``val`` has public labels."""
    return FolderPair(
        root / 'rgb_anon' / split / time,
        root / 'gt/val/night' if split == 'val' else None,
        '_rgb_anon.png',
        '_gt_labelTrainIds.png',
    )


def night_driving_pair(root: Path) -> FolderPair:
    return FolderPair(
        root / 'leftImg8bit/test/night',
        root / 'gtCoarse_daytime_trainvaltest/test/night',
        '_leftImg8bit.png',
        '_gtCoarse_labelTrainIds.png',
    )


def nightcity_pair(root: Path, split: str, release: str) -> FolderPair:
    """NightCity, or NightCity-fine, alone or beside the original's images."""
    if release == 'original':
        return FolderPair(root / 'images' / split, root / 'label' / split, '.png', '_labelIds.png')
    own = root / split
    if own.is_dir() or not (root / 'images' / split).is_dir():
        return FolderPair(own / 'img', own / 'lbl', '.png', '_trainIds.png')
    return FolderPair(root / 'images' / split, root / 'label' / split, '.png', '_trainIds.png')


def bdd100k_pair(root: Path, split: str) -> FolderPair:
    """The 10,000 images with label maps; those of ``test`` are not public."""
    labels = root / 'labels/sem_seg/masks' / split
    return FolderPair(
        root / 'images/10k' / split, None if split == 'test' else labels, '.jpg', '.png'
    )


def camvid_pair(root: Path, split: str) -> FolderPair:
    return FolderPair(root / split, root / f'{split}annot', '.jpg', '.png')


def choose(
    data: str, argument: str, value: str | Sequence[str] | None, known: Sequence[str]
) -> tuple[str, ...]:
    """One or several of the known names, as a tuple.

    Raises:
        ConfigError: naming data set, argument and what was given, for anything else.
    """
    chosen = (value,) if isinstance(value, str) else tuple(value or ())
    if not chosen or not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
        raise ConfigError(
            f'{data}: {argument} must be one or several of {", ".join(known)}; got {value!r}'
        )
    return chosen


#: Cityscapes' evaluated classes in the order of their trainIds, 0 to 18.
CITYSCAPES = (
    'road',
    'sidewalk',
    'building',
    'wall',
    'fence',
    'pole',
    'traffic light',
    'traffic sign',
    'vegetation',
    'terrain',
    'sky',
    'person',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
)
#: CamVid's 11 classes in SegNet's order; the label 11 (void) is to be ignored.
CAMVID = (
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
)
#: Sets of names that have a name of their own at the command line.
CLASS_NAMES = dict(cityscapes=CITYSCAPES, camvid=CAMVID)


#: How many strange values of one label map are named.
_NAMED = 8
#: Cityscapes' ids are below this, its trainIds below 19.
_IDS = 34


@dataclass(frozen=True)
class LabelCode:
    """What the numbers of a label map mean.

    Args:
        classes: value -> class; several values may be no class at all.
        ignored: values of pixels that count nowhere.
        hint: what to say of a label map with other values, ``''`` for nothing.
    """

    classes: Mapping[int, str]
    ignored: frozenset[int]
    hint: str = ''

    def known(self) -> frozenset[int]:
        return self.ignored | self.classes.keys()

    def tell(self, strange: Mapping[int, int]) -> str:
        """The end of a sentence on a label map with values that are not known.

        Args:
            strange: value -> number of pixels.
        """
        named = [f'{value} ({n} pixels)' for value, n in list(strange.items())[:_NAMED]]
        if len(strange) > _NAMED:
            named.append(f'{len(strange) - _NAMED} more')
        hint = f' ({self.hint})' if self.hint and max(strange) < _IDS else ''
        return f'holds {", ".join(named)}; known are {_tell_runs(self.known())}{hint}'


def _tell_runs(numbers: frozenset[int]) -> str:
    """``'0 to 18, 255'``"""
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    runs = zip(starts, ends, strict=True)
    return ', '.join(f'{a}' if a == b else f'{a} to {b}' for a, b in runs)


# GOPR0356_frame_000324: ACDC and Dark Zurich.
_NUMBERED = re.compile(r'(?P<clip>.+)_frame_\d+')
# 0016E5_08370, 0006R0_f02670, Seq05VD_f00000: CamVid.
_CAMVID = re.compile(r'(?P<clip>(\d{4}|Seq\d\d)[A-Z][A-Z0-9])_f?\d+')
#: Ends that say what a file is, not what it shows. Not `_rgb_ref_anon`: the photograph
#: by day that goes with a frame has the frame's name and is another picture.
_KINDS = ('_rgb_anon', '_leftImg8bit')


def frame_name(path: str | Path) -> str:
    """What a frame is called in every data set that has it: ``REC_frame_NUMBER``."""
    name = Path(path).stem
    for kind in _KINDS:
        name = name.removesuffix(kind)
    return name


def recording_of(path: str | Path) -> str | None:
    """The recording of a frame, ``None`` if its name does not tell.

    Frames of one recording follow one another: neighbours show nearly the same, so
    they are no independent images, neither for an interval nor for a training set.
    """
    name = frame_name(path)
    match = _NUMBERED.match(name) or _CAMVID.fullmatch(name)
    return match['clip'] if match else None
