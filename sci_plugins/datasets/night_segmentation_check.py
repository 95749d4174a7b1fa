"""The checks of the night-time segmentation sets, one function a set."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sci_plugins.datasets.bdd100k_night import TIMES_OF_DAY, find_sources, read_times_of_day
from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.frame_leakage import (
    find_leaks,
    tell_acdc_overlap,
    tell_dark_zurich_overlap,
)
from sci_plugins.datasets.night_layouts import (
    ACDC_CONDITIONS,
    ACDC_SPLITS,
    BDD100K_SPLITS,
    CAMVID,
    CITYSCAPES,
    NIGHTCITY_RELEASES,
    NIGHTCITY_SPLITS,
    TRAIN_ID_OF,
    FolderPair,
    LabelCode,
    acdc_pair,
    bdd100k_pair,
    camvid_pair,
    choose,
    dark_zurich_pair,
    night_driving_pair,
    nightcity_pair,
)
from sci_plugins.datasets.segmentation_check import Part, check_segmentation
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.utils.files import write_atomically

Root = str | os.PathLike[str]
TRAIN_IDS = LabelCode(
    dict(enumerate(CITYSCAPES)),
    frozenset([255]),
    "as Cityscapes' *ids* are: these are label maps of ids, not of trainIds",
)
#: Cityscapes' ids, as NightCity stores them.
IDS = LabelCode(
    {n: CITYSCAPES[train] for n, train in TRAIN_ID_OF.items() if train != 255},
    frozenset([n for n, train in TRAIN_ID_OF.items() if train == 255] + [255]),
)
CAMVID_CODE = LabelCode(dict(enumerate(CAMVID)), frozenset([11, 255]))
#: Images of each condition of ACDC by split; night's validation set has 6 more.
_ACDC_IMAGES = dict(train=400, val=100, test=500)
_NIGHT_VAL = 106


def check_acdc(
    root: Root,
    *,
    condition: str | Sequence[str] = 'night',
    workers: int = 2,
    against: Sequence[Root] = (),
    content: bool = False,
) -> CheckReport:
    """ACDC, 1920x1080; the known overlap with Dark Zurich is told by itself.

    Args:
        root: the data set's folder, with ``rgb_anon`` and ``gt``.
        condition: which conditions to check.
        workers: threads that decode.
        against: folders of training sets to look through for this set's val and test
            frames.
        content: compare their pixels as well as their names.

    Raises:
        ConfigError: if there is no such condition.
        DataError: if there is nothing to check, or no image in a folder of ``against``.
    """
    root = Path(root)
    parts = [
        Part(
            f'{name}/{split}',
            acdc_pair(root, name, split, reference=False),
            _NIGHT_VAL if (name, split) == ('night', 'val') else _ACDC_IMAGES[split],
            is_test=split != 'train',
        )
        for name in choose('ACDC', 'condition', condition, ACDC_CONDITIONS)
        for split in ACDC_SPLITS
    ]
    report, found = check_segmentation(f'ACDC in {root}', parts, TRAIN_IDS, (1920, 1080), workers)
    tell_acdc_overlap(report, {name: each.images for name, each in found.items()})
    find_leaks(report, parts, found, against, content, workers)
    return report


def check_dark_zurich(
    root: Root, *, workers: int = 2, against: Sequence[Root] = (), content: bool = False
) -> CheckReport:
    """Dark Zurich by night, 1920x1080; only val has public labels.

    Args, Raises: those of :func:`check_acdc`.
    """
    root = Path(root)
    counts = dict(train=2416, val=50, test=151)
    parts = [
        Part(f'{split}/night', dark_zurich_pair(root, split), count, split != 'train')
        for split, count in counts.items()
    ]
    report, found = check_segmentation(
        f'Dark Zurich in {root}', parts, TRAIN_IDS, (1920, 1080), workers
    )
    tell_dark_zurich_overlap(report, {name: each.images for name, each in found.items()})
    find_leaks(report, parts, found, against, content, workers)
    return report


def check_night_driving(
    root: Root, *, workers: int = 2, against: Sequence[Root] = (), content: bool = False
) -> CheckReport:
    """Nighttime Driving, 1920x1080: 50 test images.

    Args, Raises: those of :func:`check_acdc`.
    """
    root = Path(root)
    parts = [Part('test', night_driving_pair(root), 50, is_test=True)]
    report, found = check_segmentation(
        f'Nighttime Driving in {root}', parts, TRAIN_IDS, (1920, 1080), workers
    )
    find_leaks(report, parts, found, against, content, workers)
    return report


def check_nightcity(
    root: Root,
    *,
    release: str = 'original',
    workers: int = 2,
    against: Sequence[Root] = (),
    content: bool = False,
) -> CheckReport:
    """NightCity with ids, or NightCity-fine with trainIds, 1024x512.

    Args:
        root: the data set's folder.
        release: ``'original'`` or ``'fine'``.
        workers, against, content: those of :func:`check_acdc`.

    Raises:
        ConfigError: if there is no such release.
        DataError: as :func:`check_acdc`.
    """
    if release not in NIGHTCITY_RELEASES:
        raise ConfigError(
            f'release must be one of {", ".join(NIGHTCITY_RELEASES)}; got {release!r}'
        )
    root = Path(root)
    counts = dict(train=2998, val=1299)
    parts = [
        Part(name, nightcity_pair(root, name, release), counts[name], name == 'val')
        for name in NIGHTCITY_SPLITS
    ]
    code = IDS if release == 'original' else TRAIN_IDS
    title = 'NightCity' if release == 'original' else 'NightCity-fine'
    report, found = check_segmentation(f'{title} in {root}', parts, code, (1024, 512), workers)
    find_leaks(report, parts, found, against, content, workers)
    return report


def check_bdd100k(
    root: Root,
    *,
    timeofday: str | Sequence[str] = 'night',
    attributes: str | Sequence[str] | None = None,
    write_lists: Root | None = None,
    workers: int = 2,
    against: Sequence[Root] = (),
    content: bool = False,
) -> CheckReport:
    """The night images of BDD100K's 10,000 with label maps, 1280x720.

    Args:
        root: the data set's folder, with ``images`` and ``labels``.
        timeofday: which images to check.
        attributes: label files below ``root`` that tell the time of day.
        write_lists: a folder for the lists ``night_SPLIT.txt``, for ``ann_file``.
        workers, against, content: those of :func:`check_acdc`.

    Raises:
        ConfigError: if there is no such time of day.
        DataError: as :func:`check_acdc`, or if no label file tells the time of day.
    """
    root = Path(root)
    wanted = choose('BDD100K', 'timeofday', timeofday, TIMES_OF_DAY)
    pairs = {split: bdd100k_pair(root, split) for split in BDD100K_SPLITS}
    stems = {split: [image.stem for image in pair.find_images()] for split, pair in pairs.items()}
    if not any(stems.values()):
        raise DataError(f'BDD100K: there is no *.jpg below {root / "images/10k"}')
    sources = find_sources(root, attributes)
    times = read_times_of_day(sources, {stem for some in stems.values() for stem in some})
    chosen = {
        split: [stem for stem in some if times.get(stem) in wanted] for split, some in stems.items()
    }
    parts = [
        _bdd100k_part(split, pair, wanted, chosen[split])
        for split, pair in pairs.items()
        if stems[split]
    ]
    report, found = check_segmentation(
        f'BDD100K, {" or ".join(wanted)}, in {root}', parts, TRAIN_IDS, (1280, 720), workers
    )
    report.facts['time of day by'] = ', '.join(map(str, sources))
    rows = [_time_row(split, some, times) for split, some in stems.items() if some]
    report.tables['time of day'] = rows
    if write_lists is not None:
        _write_lists(Path(write_lists), '-'.join(wanted).replace('/', '-'), chosen)
    find_leaks(report, parts, found, against, content, workers)
    return report


def _bdd100k_part(split: str, pair: FolderPair, wanted: tuple[str, ...], chosen: list[str]) -> Part:
    count = 87 if (split, wanted) == ('val', ('night',)) else None
    return Part(split, pair, count, is_test=split != 'train', chosen=frozenset(chosen))


def _write_lists(folder: Path, kind: str, chosen: Mapping[str, list[str]]) -> None:
    for split, names in chosen.items():
        if names:
            text = ''.join(f'{name}\n' for name in names)
            write_atomically(folder / f'{kind}_{split}.txt', text)


def _time_row(split: str, stems: list[str], times: Mapping[str, str]) -> dict:
    counts = Counter(times.get(stem, 'in no label file') for stem in stems)
    row = {name: counts[name] for name in (*TIMES_OF_DAY, 'in no label file')}
    return dict(split=split, images=len(stems), **row)


def check_camvid(
    root: Root, *, workers: int = 2, against: Sequence[Root] = (), content: bool = False
) -> CheckReport:
    """CamVid in SegNet's layout, 480x360, 11 classes and void.

    Args, Raises: those of :func:`check_acdc`.
    """
    root = Path(root)
    counts = dict(train=367, val=101, test=233)
    parts = [
        Part(split, camvid_pair(root, split), count, split != 'train')
        for split, count in counts.items()
    ]
    report, found = check_segmentation(f'CamVid in {root}', parts, CAMVID_CODE, (480, 360), workers)
    find_leaks(report, parts, found, against, content, workers)
    return report
