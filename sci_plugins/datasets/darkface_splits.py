"""DARK FACE's splits in use, and its two annotation versions told by their counts."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sci_plugins.errors import ConfigError

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
    'HLA-Face, github.com/daooshee/HLA-Face-Code at 9444d6d, '
    'train_code/dataset/mf_dsfd_dark_face_'
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
