"""DARK FACE for mmdet: native layout, label files, splits, annotation versions."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmengine.logging import print_log

from sci_plugins.datasets.check_report import NAMED
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS, host_class
from sci_plugins.utils.files import read_numbered_lines, write_atomically
from sci_plugins.utils.images import read_image_size

# Labels and splits are read without mmdet too, to check and to score a folder.
BaseDetDataset: Any = host_class('mmdet.datasets.BaseDetDataset')
Box = tuple[float, float, float, float]
# What a box can be that a label should not hold.
INVERTED = 'empty or inverted box'
OUTSIDE = 'box outside the image'
OVERHANGING = 'box reaching over the edge of the image'
DOUBLED = 'box that the file has already'
ODDITIES = INVERTED, OUTSIDE, OVERHANGING, DOUBLED


def read_boxes(path: str | Path) -> list[Box]:
    """Boxes of one label file, on which a detector can be trained.

    The first line holds the number of boxes, each further one ``x1 y1 x2 y2`` in
    pixels. Blank lines, Windows line ends and fractions are fine.

    Args:
        path: the label file.

    Returns:
        ``(x1, y1, x2, y2)`` in the order of the file, with ``x1 < x2``, ``y1 < y2``.

    Raises:
        DataError: naming file and line, if the file is missing, is not text, or is
            not what the layout promises.
    """
    return [box for _, box in read_upright_boxes(path)]


def read_upright_boxes(path: str | Path) -> list[tuple[int, Box]]:
    """Boxes of :func:`read_boxes` with their line numbers.

    Raises:
        DataError: as :func:`read_boxes`.
    """
    numbered = read_numbered_boxes(path)
    for number, box in numbered:
        if not is_upright(box):
            raise DataError(
                f'{path}, line {number}: should have x1 < x2 and y1 < y2, is {_text(box)}'
            )
    return numbered


def read_numbered_boxes(path: str | Path) -> list[tuple[int, Box]]:
    """Boxes of one label file with their line numbers, also empty and inverted ones.

    Raises:
        DataError: as :func:`read_boxes`, except for such boxes.
    """
    lines = read_numbered_lines(Path(path), 'label file')
    if not lines:
        raise DataError(f'{path}: empty; line 1 should hold the number of boxes')
    number, text = lines[0]
    if not text.isdecimal():
        raise DataError(f'{path}, line {number}: should hold the number of boxes, is {text!r}')
    boxes = [(number, _parse_box(path, number, text)) for number, text in lines[1:]]
    if len(boxes) != int(text):
        raise DataError(f'{path}, line {number}: promises {text} boxes, but {len(boxes)} follow')
    return boxes


def is_upright(box: Sequence[float]) -> bool:
    """Whether a box is neither empty nor inverted."""
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2


def strange_boxes(
    path: str | Path, numbered: Sequence[tuple[int, Box]], size: tuple[int, int] | None = None
) -> list[tuple[str, str]]:
    """What is odd about the boxes of one label file.

    Args:
        path: the file, for the sentences.
        numbered: boxes with their lines, of :func:`read_numbered_boxes`.
        size: (width, height) of the image, ``None`` if unknown.

    Returns:
        One (kind, sentence) for each odd box; the kinds are those of :data:`ODDITIES`.
    """
    found = []
    seen: dict[Box, int] = {}
    for number, box in numbered:
        kind = _oddity(box, size)
        if not kind and box in seen:
            kind = DOUBLED
        if kind:
            found.append((kind, f'{path}, line {number}: {kind} {_text(box)}'))
        seen.setdefault(box, number)
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
    """Sum of the numbers in the first lines of all those label files.

    ``None`` if one is missing or does not begin with a number.
    """
    try:
        return sum(_first_number(Path(folder) / f'{name}.txt') for name in ids)
    except (OSError, ValueError):
        return None


def _first_number(path: Path) -> int:
    with path.open(encoding='utf-8-sig') as file:
        return int(next((line for line in file if line.strip()), ''))


def id_order(name: str) -> tuple[bool, int, str]:
    """Sorts ids as numbers, 2 before 10; names that are no numbers come last."""
    return not name.isdecimal(), len(name), name


def write_boxes(path: str | Path, boxes: Iterable[Sequence[float]]) -> None:
    """Write boxes ``(x1, y1, x2, y2)`` in the native layout, as short as they are."""
    lines = [_text(box) for box in boxes]
    write_atomically(path, '\n'.join([str(len(lines)), *lines]) + '\n')


def _parse_box(path: str | Path, number: int, text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(word) for word in text.split())
    except ValueError:
        raise DataError(
            f'{path}, line {number}: should hold four numbers x1 y1 x2 y2, is {text!r}'
        ) from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise DataError(f'{path}, line {number}: should be finite, is {text!r}')
    return x1, y1, x2, y2


#: All labelled images are named 1 to 6000.
IMAGES = 6000
#: Faces of all images, by the year of the annotations.
FACES = {'2019': 43849, '2021': 50396}
UNKNOWN = 'unknown'
_FOLDER = Path(__file__).parent / 'splits'


@dataclass(frozen=True)
class Split:
    """One list of images.

    Args:
        held_out: the file that lists the images kept for testing, ``''`` for none.
        is_held_out: whether this split is that list, or all other images.
        images: how many it has.
        faces_2019: how many faces the annotations of 2019 have there.
        source: who made the list, and where it is public.
    """

    held_out: str
    is_held_out: bool
    images: int
    faces_2019: int
    source: str


_REGDET = 'REGDet, github.com/sherrycattt/REGDet, splits/'
_HLA = (
    'HLA-Face, github.com/daooshee/HLA-Face-Code at 9444d6d, train_code/dataset/mf_dsfd_dark_face_'
)
_HASHED = (
    'ours, for want of the list behind the 5400/600 of MAET, FeatEnHancer and YOLA: the '
    '600 ids whose decimal text has the smallest sha256 are held out'
)
SPLITS = {
    'regdet_train': Split('regdet_test', False, 5000, 36733, f'{_REGDET}train.txt'),
    'regdet_test': Split('regdet_test', True, 1000, 7116, f'{_REGDET}test.txt'),
    'hlaface_train': Split('hlaface_val', False, 5500, 40179, f'{_HLA}train_5500.txt'),
    'hlaface_val': Split('hlaface_val', True, 500, 3670, f'{_HLA}val_500.txt'),
    'hashed_train': Split('hashed_test', False, 5400, 39408, _HASHED),
    'hashed_test': Split('hashed_test', True, 600, 4441, _HASHED),
    'all': Split('', False, IMAGES, FACES['2019'], 'every labelled image'),
}


def split_ids(name: str) -> list[str]:
    """Ids of a split's images, in the order of their numbers.

    Raises:
        ConfigError: if there is no such split.
    """
    split = find_split(name)
    if not split.held_out:
        return [str(number) for number in range(1, IMAGES + 1)]
    path = _FOLDER / f'darkface_{split.held_out}.txt'
    held_out = path.read_text(encoding='utf-8').split()
    if split.is_held_out:
        return held_out
    others = set(map(str, range(1, IMAGES + 1))).difference(held_out)
    return sorted(others, key=int)


def find_split(name: str) -> Split:
    """What is known of a split.

    Raises:
        ConfigError: if there is no such split.
    """
    if name not in SPLITS:
        raise ConfigError(f'split must be one of {", ".join(SPLITS)}; got {name!r}')
    return SPLITS[name]


def recognise_split(ids: Iterable[str]) -> str | None:
    """Name of the split that has exactly these images, ``None`` if none has."""
    wanted = set(ids)
    for name, split in SPLITS.items():
        if split.images == len(wanted) and wanted == set(split_ids(name)):
            return name
    return None


def ids_sha256(ids: Iterable[str]) -> str:
    """One hash for a set of ids, whatever their order: the same set, the same hash."""
    return hashlib.sha256('\n'.join(sorted(ids)).encode()).hexdigest()


def annotation_version(faces: int, split: str = 'all') -> str:
    """``'2019'``, ``'2021'`` or ``'unknown'``, from a number of faces.

    For parts of the set only the counts of 2019 are known; a part that differs from
    them is ``'unknown'``, for it may as well be damaged.

    Args:
        faces: number of boxes in the label files of the split.
        split: a name of :data:`SPLITS`.

    Raises:
        ConfigError: if there is no such split.
    """
    known = FACES if split == 'all' else {'2019': find_split(split).faces_2019}
    return next((year for year, count in known.items() if count == faces), UNKNOWN)


@DATASETS.register_module()
class DarkFaceDataset(BaseDetDataset):
    """Images ``image/ID.png`` and labels ``label/ID.txt`` below one folder.

    A label file's first line is the number of faces; each further one
    ``x1 y1 x2 y2`` in pixels of the image. There are two annotation versions,
    43,849 faces (2019) and 50,396 (2021): numbers on one do not compare with the
    other. ``metainfo['annotation_version']`` says which one was found, by its count:
    that of all 6000 labels if they are there, else that of the split (of which only
    2019's is known). The truth for ``DarkFaceMetric`` and ``CocoMetric`` comes along if
    the pipeline packs ``'instances'`` as a meta key.

    Args:
        split: one of :data:`sci_plugins.datasets.darkface.SPLITS`, such as
            ``'regdet_test'``; kept in ``metainfo['split']``.
        ann_file: instead of ``split``, a text file with one image a line, of which the
            first word counts (``ID`` or ``ID.png``). Without either every image of the
            folder is taken, in the order of their ids, and every label needs its image.
        data_prefix: folders of images and labels below ``data_root``.
        img_suffix: ending of the image files.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images without faces
            when training.
        **kwargs: those of ``mmdet.datasets.BaseDetDataset``.

    Raises:
        ConfigError: if there is no such split, or a list beside it.
        DataError: naming the file (and line), if a folder, an image or a label is
            missing or not what the layout promises.
    """

    METAINFO: ClassVar[dict] = dict(
        dataset_name='DARK FACE', classes=('face',), palette=[(220, 20, 60)]
    )

    def __init__(
        self,
        *args: Any,
        split: str | None = None,
        data_prefix: dict[str, str] | None = None,
        img_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        if split is not None:
            find_split(split)
        self.split = split
        self.img_suffix = img_suffix
        self._strange_boxes: list[str] = []
        prefix = data_prefix or dict(img='image', label='label')
        super().__init__(*args, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record an image: path, id, size, and ``instances`` with the boxes."""
        images = Path(self.data_prefix['img'])
        if not images.is_dir():
            raise DataError(f'DARK FACE: there is no image folder {images}')
        names = self._names(images)
        self._check_images(images, names)
        records = [self._load_record(images / f'{n}{self.img_suffix}') for n in names]
        self._tell_strange_boxes()
        self._name_version(records)
        return records

    def filter_data(self) -> list[dict]:
        """Without the images that ``filter_cfg`` sorts out of a training."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        return [record for record in self.data_list if record['instances']]

    def _names(self, images: Path) -> list[str]:
        if self.split is not None:
            if self.ann_file:
                raise ConfigError(
                    f'DARK FACE: give split ({self.split!r}) or ann_file '
                    f'({self.ann_file!r}), not both'
                )
            return split_ids(self.split)
        if self.ann_file:
            return self._listed_ids(Path(self.ann_file))
        names = [path.stem for path in images.glob(f'*{self.img_suffix}')]
        if not names:
            raise DataError(f'DARK FACE: no image in {images} (*{self.img_suffix})')
        self._check_labels(images, set(names))
        return sorted(names, key=id_order)

    def _listed_ids(self, path: Path) -> list[str]:
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f'DARK FACE: cannot read the list {path}: {error}') from error
        words = [line.split()[0] for line in lines if line.strip()]
        if not words:
            raise DataError(f'DARK FACE: no image in {path}')
        names = [word.removesuffix(self.img_suffix) for word in words]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DataError(f'DARK FACE: {path} lists {min(twice, key=id_order)} twice')
        return names

    def _check_labels(self, images: Path, names: set[str]) -> None:
        """Every label of the folder has its image: none of them is dropped silently."""
        labels = Path(self.data_prefix['label']).glob('*.txt')
        alone = sorted((path for path in labels if path.stem not in names), key=str)
        if alone:
            raise DataError(
                f'{alone[0]}: has no image in {images} ({len(alone)} such labels); '
                'choose images by split or ann_file to use a part'
            )

    def _check_images(self, images: Path, names: list[str]) -> None:
        there = {path.name for path in images.iterdir()}
        files = [f'{name}{self.img_suffix}' for name in names]
        missing = [file for file in files if file not in there]
        if missing:
            raise DataError(
                f'{images / missing[0]}: there is no such image '
                f'({len(missing)} of {len(names)} are missing)'
            )

    def _tell_strange_boxes(self) -> None:
        """Name boxes outside, over the edge or doubled; they are kept."""
        texts, self._strange_boxes = self._strange_boxes, []
        lines = [f'DARK FACE: {text}' for text in texts[:NAMED]]
        if len(texts) > NAMED:
            lines.append(f'DARK FACE: and {len(texts) - NAMED} more such boxes')
        for line in lines:
            print_log(line, logger='current', level=logging.WARNING)

    def _name_version(self, records: list[dict]) -> None:
        """Put split and annotation version, where they can be told, into metainfo."""
        everything = count_faces(self.data_prefix['label'], split_ids('all'))
        faces = sum(len(record['instances']) for record in records)
        if everything is not None:
            version = annotation_version(everything)
        elif self.split is not None:
            version = annotation_version(faces, self.split)
        else:
            return
        self._metainfo['annotation_version'] = version
        if self.split is None:
            return
        self._metainfo['split'] = self.split
        if version == UNKNOWN:
            print_log(
                f'DARK FACE: {faces} faces in {self.split}, where the annotations of '
                f'2019 have {find_split(self.split).faces_2019}: unknown annotations, '
                'do not compare the results with published ones',
                logger='current',
                level=logging.WARNING,
            )

    def _load_record(self, image: Path) -> dict:
        width, height = read_image_size(image)
        label = Path(self.data_prefix['label']) / f'{image.stem}.txt'
        boxes = read_upright_boxes(label)
        strange = strange_boxes(label, boxes, (width, height))
        self._strange_boxes += [text for _, text in strange]
        instances = [dict(bbox=list(box), bbox_label=0, ignore_flag=0) for _, box in boxes]
        return dict(
            img_path=str(image), img_id=image.stem, width=width, height=height, instances=instances
        )
