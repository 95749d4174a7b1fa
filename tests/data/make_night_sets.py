"""The night-time segmentation sets' layouts, filled with the demo's generated streets.

Run with ``runpy.run_path`` by the tests that need them and by ``docs/make_pictures.py``.
Frames are 384 x 192 pixels, or each ``step``-th row and column of that: small ones are
one street, turned by as many columns as their number says, so that no two are the same.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from sci_plugins.demo.streets import STREET_CLASSES, draw_street
from sci_plugins.functional.low_light import expose, linear_to_srgb, to_uint8

STEP = 8
#: The streets' classes as Cityscapes' trainIds and ids, and as CamVid's classes.
TRAIN_IDS = dict(road=0, pavement=1, building=2, sky=10, car=13, lamp=5, tree=8, person=11)
IDS = dict(road=7, pavement=8, building=11, sky=23, car=26, lamp=17, tree=21, person=24)
CAMVID = dict(road=3, pavement=4, building=1, sky=0, car=8, lamp=2, tree=5, person=9)
IGNORED, CAMVID_VOID = 255, 11
FRAMES = (('GOPR0351', 1), ('GOPR0351', 2), ('GOPR0356', 324))


@cache
def _street(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng([7, seed])
    radiance, labels = draw_street(generator)
    light = expose(radiance, 0.25, 0.0005, 1e-4, generator)
    return to_uint8(linear_to_srgb(light)), labels


def frame(number: int, step: int, codes: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image ``(H, W, 3)`` and label map ``(H, W)``, uint8; the last row is ignored."""
    image, labels = _street(number if step == 1 else 0)
    turn = 0 if step == 1 else number
    image = np.roll(image[::step, ::step], turn, axis=1)
    labels = np.roll(labels[::step, ::step], turn, axis=1)
    values = np.array([codes[name] for name in STREET_CLASSES], np.uint8)[labels]
    values[-1] = CAMVID_VOID if codes is CAMVID else IGNORED if codes is TRAIN_IDS else 1
    return image, values


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _write_pair(
    image: Path, label: Path | None, number: int, step: int, codes: dict[str, int]
) -> None:
    pixels, values = frame(number, step, codes)
    _write(image, pixels)
    if label is not None:
        _write(label, values)


def write_acdc(
    root: Path,
    condition: str = 'night',
    split: str = 'val',
    frames: Sequence[tuple[str, int]] = FRAMES,
    step: int = STEP,
) -> Path:
    """Photographs, those by day (``SPLIT_ref``), and label maps unless for ``test``."""
    for recording, number in frames:
        place, stem = Path(split, recording), f'{recording}_frame_{number:06d}'
        images, labels = root / 'rgb_anon' / condition, root / 'gt' / condition
        label = labels / place / f'{stem}_gt_labelTrainIds.png'
        image = images / place / f'{stem}_rgb_anon.png'
        _write_pair(image, None if split == 'test' else label, number, step, TRAIN_IDS)
        reference = images / f'{split}_ref' / recording / f'{stem}_rgb_ref_anon.png'
        _write(reference, frame(number + 3, step, TRAIN_IDS)[0])
    return root


def write_dark_zurich(root: Path, numbers: Sequence[int] = (324, 325), step: int = STEP) -> Path:
    """The labelled ``val``, and one night image each of ``train`` and ``test``."""
    for number in numbers:
        stem = f'GOPR0356_frame_{number:06d}'
        image = root / f'rgb_anon/val/night/GOPR0356/{stem}_rgb_anon.png'
        label = root / f'gt/val/night/GOPR0356/{stem}_gt_labelTrainIds.png'
        _write_pair(image, label, number, step, TRAIN_IDS)
    for split, recording, number in (('train', 'GOPR0345', 11), ('test', 'GOPR0355', 12)):
        name = f'{recording}/{recording}_frame_{number:06d}_rgb_anon.png'
        image = root / 'rgb_anon' / split / 'night' / name
        _write_pair(image, None, number, step, TRAIN_IDS)
    return root


def write_night_driving(root: Path, count: int = 2, step: int = STEP) -> Path:
    for number in range(count):
        stem = f'0_frame_{number:04d}'
        label = root / 'gtCoarse_daytime_trainvaltest/test/night'
        _write_pair(
            root / f'leftImg8bit/test/night/{stem}_leftImg8bit.png',
            label / f'{stem}_gtCoarse_labelTrainIds.png',
            20 + number,
            step,
            TRAIN_IDS,
        )
    return root


def write_nightcity(
    root: Path,
    split: str = 'val',
    release: str = 'original',
    numbers: Sequence[int] = (1, 2),
    step: int = STEP,
) -> Path:
    """``original`` with ids, ``fine`` in folders of its own with trainIds."""
    for number in numbers:
        stem = f'Chicago_{number:04d}'
        if release == 'fine':
            image = root / split / f'img/{stem}.png'
            label = root / split / f'lbl/{stem}_trainIds.png'
        else:
            image = root / 'images' / split / f'{stem}.png'
            label = root / 'label' / split / f'{stem}_labelIds.png'
        codes = TRAIN_IDS if release == 'fine' else IDS
        _write_pair(image, label, 30 + number, step, codes)
    return root


def write_bdd100k(
    root: Path,
    times: Sequence[str | None] = ('night', 'daytime', 'night', 'dawn/dusk', None),
    split: str = 'val',
    step: int = STEP,
) -> Path:
    """One image for each time of day; ``None`` is in no label file.

    The labels of the boxes have those in turn in the file of ``val`` and of ``train``.
    """
    entries: tuple[list, list] = ([], [])
    for number, time in enumerate(times):
        stem = f'7d{number:06x}-00000000'
        image = root / f'images/10k/{split}/{stem}.jpg'
        label = root / f'labels/sem_seg/masks/{split}/{stem}.png'
        _write_pair(image, label, 40 + number, step, TRAIN_IDS)
        if time is not None:
            attributes = dict(weather='clear', scene='city street', timeofday=time)
            entry = dict(name=f'{stem}.jpg', attributes=attributes, labels=[])
            entries[number % 2].append(entry)
    (root / 'labels/det_20').mkdir(parents=True, exist_ok=True)
    for name, some in zip(('val', 'train'), entries, strict=True):
        (root / f'labels/det_20/det_{name}.json').write_text(json.dumps(some))
    return root


def write_camvid(
    root: Path,
    split: str = 'train',
    names: Sequence[str] = ('0001TP_006690', '0006R0_f00930', '0016E5_00390'),
    step: int = STEP,
) -> Path:
    for number, name in enumerate(names):
        image, label = root / split / f'{name}.jpg', root / f'{split}annot/{name}.png'
        _write_pair(image, label, 50 + number, step, CAMVID)
    return root
