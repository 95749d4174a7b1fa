"""DARK FACE for mmdet: native layout, label files, splits, annotation versions."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sci_plugins.datasets import text_labels
from sci_plugins.datasets.check_report import NAMED
from sci_plugins.datasets.text_labels import FACE, Box, TextLabelDataset, is_upright, line_error
from sci_plugins.errors import ConfigError, DataError, check_choice
from sci_plugins.registry import DATASETS
from sci_plugins.utils.files import read_numbered_lines, write_atomically
from sci_plugins.utils.folders import PathLike, list_files

# What can be odd about a box.
INVERTED = 'empty or inverted box'
OUTSIDE = 'box outside the image'
OVERHANGING = 'box reaching beyond the image'
DOUBLED = 'duplicate box'


def read_upright_boxes(path: str | Path) -> list[tuple[int, Box]]:
    """Boxes of :func:`read_numbered_boxes`; an empty or inverted one is a DataError too."""
    numbered = read_numbered_boxes(path)
    for number, box in numbered:
        if not is_upright(box):
            raise line_error(path, number, 'x1 < x2 and y1 < y2', _text(box))
    return numbered


def read_numbered_boxes(path: str | Path) -> list[tuple[int, Box]]:
    """Boxes of one label file with their line numbers, in the order of the file.

    The first line is the number of boxes, each further one ``x1 y1 x2 y2`` in pixels. Blank lines,
    Windows line ends and fractions are fine. A box may be empty or inverted. A DataError names file
    and line, if it is missing, not text, or of another layout.
    """
    lines = read_numbered_lines(Path(path), 'label file')
    number, text = lines[0] if lines else (1, '')
    if not text_labels.is_count(text):
        got = repr(text) if text else 'an empty file'
        raise line_error(path, number, 'the number of boxes', got)
    if len(lines) - 1 != int(text):
        raise line_error(path, number, f'{text} boxes to follow', str(len(lines) - 1))
    numbered = [(n, text, text_labels.parse_numbers(text.split())) for n, text in lines[1:]]
    for number, text, box in numbered:
        if len(box) != 4:
            raise line_error(path, number, 'four finite numbers x1 y1 x2 y2', repr(text))
    return [(number, tuple(box)) for number, _, box in numbered]


def strange_boxes(
    path: str | Path, numbered: Sequence[tuple[int, Box]], size: tuple[int, int] | None = None
) -> list[tuple[str, str]]:
    """What is odd about the boxes of :func:`read_numbered_boxes`: a (kind, sentence) for each.

    ``size`` is the image's (width, height), ``None`` if unknown.
    """
    found = []
    seen: set[Box] = set()
    for number, box in numbered:
        if kind := _oddity(box, size) or (DOUBLED if box in seen else ''):
            found.append((kind, f'{path}, line {number}: {kind} {_text(box)}'))
        seen.add(box)
    return found


def _oddity(box: Box, size: tuple[int, int] | None) -> str:
    if not is_upright(box):
        return INVERTED
    x1, y1, x2, y2 = box
    # Without the image at least the left and upper edge are known.
    width, height = size or (math.inf, math.inf)
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return OUTSIDE
    return OVERHANGING if x1 < 0 or y1 < 0 or x2 > width or y2 > height else ''


def _text(box: Sequence[float]) -> str:
    return ' '.join(f'{value:g}' for value in box)


def count_faces(folder: str | Path, ids: Sequence[str]) -> int | None:
    """Sum of the first lines of these label files; ``None`` if one is missing or no number."""
    labels = (read_numbered_lines(Path(folder, f'{name}.txt')) for name in ids)
    try:
        return sum(int(next((text for _, text in lines), '')) for lines in labels)
    except (OSError, ValueError):
        return None


def id_order(name: str) -> tuple[bool, int, str]:
    """Sort key of ids: numbers by value, 2 before 10, then other names."""
    return not name.isdecimal(), len(name), name


def write_boxes(path: str | Path, boxes: Iterable[Sequence[float]]) -> None:
    """Write boxes ``(x1, y1, x2, y2)`` in the native layout, without trailing zeros."""
    lines = [_text(box) for box in boxes]
    write_atomically(path, '\n'.join([str(len(lines)), *lines]) + '\n')


IMAGES = 6000  # the labelled images are named 1 to 6000
FACES = {'2019': 43849, '2021': 50396}  # in all images, by the year of the annotations
UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Split:
    """One list of images."""

    held_out: str  # the list of the images kept for testing, ``''`` for none
    is_held_out: bool  # whether this split is that list; else it is all other images
    images: int  # number of images
    faces_2019: int  # number of faces in the annotations of 2019
    source: str  # who made the list, and where it is published


_REGDET = 'REGDet, github.com/sherrycattt/REGDet, splits/'
_HLA = 'HLA-Face, github.com/daooshee/HLA-Face-Code at 9444d6d, train_code/dataset/mf_dsfd_'
_HASHED = (
    'ours, because the list behind the 5400/600 of MAET, FeatEnHancer and YOLA is not '
    'public: the 600 ids whose decimal text has the smallest sha256 are held out'
)
SPLITS = {
    'regdet_train': Split('regdet_test', False, 5000, 36733, f'{_REGDET}train.txt'),
    'regdet_test': Split('regdet_test', True, 1000, 7116, f'{_REGDET}test.txt'),
    'hlaface_train': Split('hlaface_val', False, 5500, 40179, f'{_HLA}dark_face_train_5500.txt'),
    'hlaface_val': Split('hlaface_val', True, 500, 3670, f'{_HLA}dark_face_val_500.txt'),
    'hashed_train': Split('hashed_test', False, 5400, 39408, _HASHED),
    'hashed_test': Split('hashed_test', True, 600, 4441, _HASHED),
    'all': Split('', False, IMAGES, FACES['2019'], 'every labelled image'),
}


def split_ids(name: str) -> list[str]:
    """Ids of a split's images, in numerical order; see :func:`find_split`."""
    split = find_split(name)
    everything = list(map(str, range(1, IMAGES + 1)))
    if not split.held_out:
        return everything
    path = Path(__file__).parent / 'splits' / f'darkface_{split.held_out}.txt'
    held_out = dict.fromkeys(path.read_text(encoding='utf-8').split())
    return list(held_out) if split.is_held_out else [n for n in everything if n not in held_out]


def find_split(name: str) -> Split:
    """The split of this name; ConfigError if there is none."""
    check_choice('split', name, SPLITS)
    return SPLITS[name]


def recognise_split(ids: Iterable[str]) -> str | None:
    """Name of the split that has exactly these images; ``None`` if there is none."""
    wanted = set(ids)
    names = (name for name, split in SPLITS.items() if split.images == len(wanted))
    return next((name for name in names if wanted == set(split_ids(name))), None)


def ids_sha256(ids: Iterable[str]) -> str:
    """Hash of a set of ids, independent of their order."""
    return hashlib.sha256('\n'.join(sorted(ids)).encode()).hexdigest()


def annotation_version(faces: int, split: str = 'all') -> str:
    """``'2019'``, ``'2021'`` or ``'unknown'``, from the number of faces in all labels of a split.

    Of parts of the set only the counts of 2019 are known. With another count a part is
    ``'unknown'``: it may be of 2021, or damaged. See :func:`find_split`.
    """
    known = FACES if split == 'all' else {'2019': find_split(split).faces_2019}
    return next((year for year, count in known.items() if count == faces), UNKNOWN)


def find_version(labels: str | Path, faces: int, split: str | None) -> str | None:
    """The annotation version, from all 6000 label files if they are there, else from a split.

    ``faces`` are those in the split; without one, for other images, the version is ``None``.
    """
    if (everything := count_faces(labels, split_ids('all'))) is not None:
        return annotation_version(everything)
    return annotation_version(faces, split) if split else None


def files_by_id(
    folder: PathLike, suffix: str, ignore_case: bool = False
) -> tuple[dict[str, Path], str]:
    """Id -> file in a folder, in the order of the ids; and a note on what else is there."""
    listing = list_files(folder, [suffix], recursive=False, ignore_case=ignore_case)
    files = sorted(listing.files, key=lambda path: id_order(path.stem))
    return {path.stem: path for path in files}, listing.note


@DATASETS.register_module()
class DarkFaceDataset(TextLabelDataset):
    """Images ``image/ID.png`` and labels ``label/ID.txt``, see :func:`read_numbered_boxes`.

    There are two annotation versions, with 43,849 faces (2019) and 50,396 (2021), whose results
    cannot be compared; ``metainfo['annotation_version']`` says which one was found. Metrics get the
    ground truth if the pipeline packs ``'instances'`` as a meta key.

    Args:
        split: one of :data:`SPLITS`, such as ``'regdet_test'``; kept in ``metainfo['split']``.
        ann_file: instead of ``split``, a list with ``ID`` or ``ID.png`` at the start of each line.
            Without either, every image is used, by id, and every label needs its image.
        data_prefix: as in :class:`TextLabelDataset`, with ``img`` and ``label``.
        img_suffix: suffix of the image files.
        **kwargs: those of :class:`TextLabelDataset`, whose errors this has too.

    Raises:
        ConfigError: if there is no such split, or both a split and a list are given.
    """

    NAME: ClassVar[str] = 'DARK FACE'
    METAINFO: ClassVar[dict] = dict(FACE, dataset_name=NAME)
    FOLDERS: ClassVar[dict[str, str]] = dict(img='image', label='label')

    def __init__(
        self, *args: Any, split: str | None = None, img_suffix: str = '.png', **kwargs: Any
    ) -> None:
        if split is not None:
            find_split(split)
        self.split, self.img_suffix = split, img_suffix
        self._strange_boxes: list[str] = []
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        images = self.folder()
        names = self._names(images)
        there = {path.name for path in images.iterdir()}
        if missing := [n for n in names if f'{n}{self.img_suffix}' not in there]:
            told = f'{len(missing)} of {len(names)} are missing'
            path = images / f'{missing[0]}{self.img_suffix}'
            raise DataError(f'{path}: there is no such image ({told})')
        records = [self._load_record(images / f'{n}{self.img_suffix}') for n in names]
        # Outside or beyond the image and duplicates: they are kept.
        texts, self._strange_boxes = self._strange_boxes, []
        more = [f'and {len(texts) - NAMED} more such boxes'] if len(texts) > NAMED else []
        for text in texts[:NAMED] + more:
            self.log(text)
        faces = sum(len(record['instances']) for record in records)
        version = find_version(self.data_prefix['label'], faces, self.split)
        known = dict(annotation_version=version, split=self.split) if version else {}
        self._metainfo |= {name: value for name, value in known.items() if value is not None}
        if version == UNKNOWN and self.split is not None:
            wish = f'{find_split(self.split).faces_2019} faces in {self.split}'
            advice = 'unknown annotations, do not compare the results with published ones'
            self.log(f'expected {wish} (annotations of 2019), got {faces}: {advice}')
        return records

    def _names(self, images: Path) -> list[str]:
        if self.split is not None:
            if self.ann_file:
                got = f'both ({self.split!r} and {self.ann_file!r})'
                raise ConfigError(f'DARK FACE: expected split or ann_file, got {got}')
            return split_ids(self.split)
        if self.ann_file:
            return self._listed_ids(Path(self.ann_file))
        names, _ = files_by_id(images, self.img_suffix)
        if not names:
            raise DataError(f'DARK FACE: no *{self.img_suffix} in {images}')
        # Labels without an image would be dropped silently.
        labels, _ = files_by_id(self.data_prefix['label'], '.txt')
        if alone := [path for name, path in labels.items() if name not in names]:
            told = f'has no image in {images} ({len(alone)} such labels)'
            raise DataError(f'{alone[0]}: {told}; to use a part of the set, pass split or ann_file')
        return list(names)

    def _listed_ids(self, path: Path) -> list[str]:
        if not (words := [text.split()[0] for _, text in read_numbered_lines(path, 'list')]):
            raise DataError(f'DARK FACE: the list {path} is empty')
        names = [word.removesuffix(self.img_suffix) for word in words]
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            name = min(twice, key=id_order)
            raise DataError(f'DARK FACE: {path}: duplicate image {name}')
        return names

    def _load_record(self, image: Path) -> dict:
        label = Path(self.data_prefix['label']) / f'{image.stem}.txt'
        numbered = read_upright_boxes(label)
        record = self.record(image, image.stem, ((box, 0, False) for _, box in numbered))
        size = record['width'], record['height']
        self._strange_boxes += [text for _, text in strange_boxes(label, numbered, size)]
        return record
