"""Where a segmentation set keeps its files; docs/night_segmentation.md shows how to add yours."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from sci_plugins.errors import ConfigError
from sci_plugins.utils.folders import PathLike, list_files

Names = str | Sequence[str]  # one or several


class FolderPair(NamedTuple):
    """Images and label maps whose paths below their folders differ only in the suffix."""

    images: Path  # folder of the images; subfolders are searched too
    labels: Path | None  # folder of the label maps, ``None`` where none are public
    img_suffix: str  # how the name of an image ends, such as ``'_rgb_anon.png'``
    label_suffix: str  # how the name of its label map ends

    def find_images(self) -> list[Path]:
        """All images, sorted by path; empty if the folder does not exist."""
        return sorted(find_files(self.images, self.img_suffix), key=str)

    def label_of(self, image: Path) -> Path | None:
        """Where the label map of an image should be."""
        if self.labels is None:
            return None
        name = str(image.relative_to(self.images)).removesuffix(self.img_suffix)
        return self.labels / f'{name}{self.label_suffix}'

    def labels_without_image(self, images: list[Path]) -> list[Path]:
        """Label maps whose image is not among ``images``."""
        if self.labels is None:
            return []
        wanted = {self.label_of(image) for image in images}
        labels = sorted(find_files(self.labels, self.label_suffix), key=str)
        return [label for label in labels if label not in wanted]


def find_files(folder: Path, suffix: str) -> list[Path]:
    """Files below a folder with this ending; none if there is no such folder."""
    return list_files(folder, [suffix], ignore_case=False).files if folder.is_dir() else []


def listed(names: Names | None) -> tuple[str, ...]:
    """One name, several or none, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names or ())


def choose(data: str, argument: str, value: Names | None, known: Sequence[str]) -> tuple[str, ...]:
    """One or several of the known names, as a tuple; ConfigError for anything else."""
    chosen = listed(value)
    if not chosen or not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
        wish = f'one or several of {", ".join(known)}'
        raise ConfigError(f'{data}: {argument} must be {wish}; got {value!r}')
    return chosen


#: Cityscapes' evaluated classes in the order of their trainIds, 0 to 18.
CITYSCAPES = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
    'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
    'motorcycle', 'bicycle',
)  # fmt: skip
#: CamVid's 11 classes in SegNet's order; label 11 (void) is ignored.
CAMVID = (
    'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car',
    'pedestrian', 'bicyclist',
)  # fmt: skip
CLASS_NAMES = dict(cityscapes=CITYSCAPES, camvid=CAMVID)  # those the command line knows by name

IGNORED = 255  # mmseg's value of pixels that losses and metrics ignore
UNKNOWN = 254  # replaces unknown stored values that would pass for a class
_NAMED = 8  # at most so many unknown values of a label map are listed in a message
_IDS = 34  # Cityscapes' ids are below this, its trainIds below 19


@dataclass(frozen=True)
class LabelCode:
    """What the numbers of a label map mean."""

    classes: Mapping[int, str]  # value -> class, in the order of the classes
    ignored: frozenset[int] = frozenset([IGNORED])  # values of pixels that do not count
    hint: str = ''  # likely cause of other values, for the message; may be empty

    def known(self) -> frozenset[int]:
        """All values that a label map may have."""
        return self.ignored | self.classes.keys()

    def label_map(self, chosen: Mapping[int, int] | None = None) -> dict[int, int] | None:
        """Stored value -> value to train on, where they differ, for mmseg's ``LoadAnnotations``.

        ``chosen`` is mmseg's own map from class to class, for some of them. The result is
        ``None`` if no value changes.
        """
        chosen = chosen or {}
        changed = dict.fromkeys(set(range(len(self.classes))) - self.known(), UNKNOWN)
        changed |= dict.fromkeys(self.ignored, IGNORED)
        changed |= {value: chosen.get(index, index) for index, value in enumerate(self.classes)}
        return {value: new for value, new in changed.items() if value != new} or None

    def describe_unknown(self, unknown: Mapping[int, int]) -> str:
        """The end of a sentence about a label map with ``unknown``, value -> number of pixels."""
        named = [f'{value} ({n} pixels)' for value, n in list(unknown.items())[:_NAMED]]
        if len(unknown) > _NAMED:
            named.append(f'{len(unknown) - _NAMED} more')
        hint = f' ({self.hint})' if self.hint and max(unknown) < _IDS else ''
        return f'contains {", ".join(named)}; expected {_runs(self.known())}{hint}'


def _runs(numbers: frozenset[int]) -> str:
    """``'0 to 18, 255'``"""
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    runs = zip(starts, ends, strict=True)
    return ', '.join(f'{a}' if a == b else f'{a} to {b}' for a, b in runs)


def describe_colours(path: Any, shape: tuple[int, ...]) -> str:
    got = f'a colour picture of the label map ({shape[-1]} channels)'
    return f'{path}: expected one channel of class numbers, got {got}'


def describe_sizes(path: Any, label: tuple[int, ...], image: Any, shape: tuple[int, ...]) -> str:
    return f'{path}: is {label[1]}x{label[0]}, its image {image} is {shape[1]}x{shape[0]}'


_HINT = "these look like Cityscapes' *ids*, not trainIds"
#: Cityscapes' classes as trainIds.
TRAIN_IDS = LabelCode(dict(enumerate(CITYSCAPES)), hint=_HINT)
#: The same classes as Cityscapes' ids; every other id up to 33 is ignored.
IDS = LabelCode(
    dict(zip((7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33), CITYSCAPES, strict=True)),
    frozenset([*range(7), 9, 10, 14, 15, 16, 18, 29, 30, IGNORED]),
)

# Suffixes that say what a file is, not what it shows. `_rgb_ref_anon` is none: ACDC's photograph by
# day of the same place is another picture.
_KINDS = ('_rgb_anon', '_leftImg8bit')


class Overlap(NamedTuple):
    """Frames of a part that another public set has too."""

    part: str  # such as ``'night/val'``
    text: str  # the report's words about them, after the part's name
    #: only about images of this recording; any of its frames in a training set is an error
    recording: str = ''
    is_error: bool = False  # whether having them is an error


@dataclass(frozen=True)
class Part:
    """One split of a data set, in a folder of its own."""

    name: str  # such as ``'night/val'``
    folder: FolderPair  # where its images and label maps are
    published: int | None = None  # number of images according to its authors, ``None`` if unknown
    is_test: bool = False  # whether results are measured on it
    chosen: frozenset[str] | None = None  # names of images, without suffix, to use; ``None``: all

    def exists(self) -> bool:
        """Whether the folder of its images or of its label maps is there."""
        return any(each is not None and each.is_dir() for each in self.folder[:2])

    def find_images(self) -> list[Path]:
        """Its images, sorted by path; empty if the folder does not exist."""
        images = self.folder.find_images()
        return [each for each in images if self.chosen is None or each.stem in self.chosen]


@dataclass(frozen=True)
class NightLayout:
    """A segmentation set as it is downloaded.

    In ``images``, ``labels`` and ``part`` the words ``{split}`` and ``{condition}`` stand for the
    names of ``splits`` and ``conditions``.
    """

    name: str  # of the set, for messages
    images: str  # folder of a split's images, below the set's root; subfolders are searched
    labels: str  # folder of its label maps
    img_suffix: str  # how the names of images end
    label_suffix: str  # how those of label maps end; the rest of the names is equal
    code: LabelCode = TRAIN_IDS  # what the values of the label maps mean
    #: results are measured on those whose name does not begin with ``train``
    splits: tuple[str, ...] = ('train', 'val', 'test')
    conditions: tuple[str, ...] = ()  # if the set has several; the first is the default
    unlabelled: tuple[str, ...] = ()  # splits without public label maps
    part: str = '{split}'  # name of a split (of a condition) in reports
    counts: Mapping[str, int] = field(default_factory=dict)  # part -> images, by the authors
    size: tuple[int, int] | None = None  # (width, height) of every image, ``None`` if they vary
    palette: tuple[tuple[int, int, int], ...] = ()  # RGB of each class, if not mmseg's
    #: pattern at the start of a frame's name whose first group is the recording, if names tell
    recording: str = ''
    overlaps: tuple[Overlap, ...] = ()  # frames that other sets have too
    elsewhere: tuple[str, str] | None = None  # (images, labels) if the first do not exist

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.code.classes.values())

    def parts(
        self, root: PathLike, split: Names | None, condition: Names | None = None
    ) -> list[Part]:
        """The parts of some splits (see :func:`choose`), by condition; ``None``: the first."""
        splits = choose(self.name, 'split', split, self.splits)
        known = self.conditions or (() if condition else ('',))
        conditions = choose(self.name, 'condition', condition or known[:1], known)
        return [self._part(Path(root), *words) for words in product(conditions, splits)]

    def _part(self, root: Path, condition: str, split: str) -> Part:
        words = dict(condition=condition, split=split)
        places = [pair for pair in ((self.images, self.labels), self.elsewhere) if pair]
        pairs = [tuple(root / place.format(**words) for place in pair) for pair in places]
        images, labels = next((pair for pair in pairs if pair[0].is_dir()), pairs[0])
        there = None if split in self.unlabelled else labels
        folder = FolderPair(images, there, self.img_suffix, self.label_suffix)
        name = self.part.format(**words)
        return Part(name, folder, self.counts.get(name), not split.startswith('train'))

    def frame_name(self, path: str | Path) -> str:
        """A frame's name in every set that has it, such as ``REC_frame_NUMBER``."""
        name = Path(path).stem
        for kind in (Path(f'_{self.img_suffix}').stem[1:], *_KINDS):
            name = name.removesuffix(kind)
        return name

    def recording_of(self, path: str | Path) -> str | None:
        """A frame's recording, whose frames are not independent; ``None`` if not in its name."""
        match = re.match(self.recording, self.frame_name(path)) if self.recording else None
        return match[1] if match else None
