"""Where the night-time segmentation sets keep their files, as they are downloaded."""

from collections.abc import Sequence
from pathlib import Path

from sci_plugins.datasets.folder_pair import FolderPair
from sci_plugins.errors import ConfigError

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
        return FolderPair(
            root / 'images' / split, root / 'label' / split, '.png', '_labelIds.png'
        )
    own = root / split
    if own.is_dir() or not (root / 'images' / split).is_dir():
        return FolderPair(own / 'img', own / 'lbl', '.png', '_trainIds.png')
    return FolderPair(
        root / 'images' / split, root / 'label' / split, '.png', '_trainIds.png'
    )


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
            f'{data}: {argument} must be one or several of {", ".join(known)}; '
            f'got {value!r}'
        )
    return chosen
