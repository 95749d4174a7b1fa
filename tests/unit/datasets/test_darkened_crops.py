"""Pairs of crops: seeded by number, dark where they should be, and told where they cannot be."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sci_plugins.datasets.darkened_crops import DarkenedCrops, Darkness
from sci_plugins.errors import DataError
from sci_plugins.functional.low_light import darken
from sci_plugins.utils.images import write_image

UNTOUCHED = Darkness(untouched=1.0)
PLAIN = Darkness(
    untouched=0, by_day=0, gain=(0.1, 0.1), noisy=0, shot=0, uneven=0, balanced=0, compressed=0,
    resized=0,
)  # fmt: skip


def _photographs(folder: Path, count: int = 3, low: int = 90, size: int = 80) -> Path:
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(low, low + 120, (size, size + 20, 3)).astype(np.uint8)
        write_image(folder / f'{index}.png', pixels)
    return folder


def test_a_batch_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    folder = _photographs(tmp_path)
    crops, again, other = (DarkenedCrops([folder], crop_size=32, seed=s) for s in (1, 1, 2))
    for _ in range(3):
        again.batch(0)
    torch.testing.assert_close(crops.batch(7)[:2], again.batch(7)[:2], rtol=0, atol=0)
    assert not torch.equal(crops.batch(7).bright, other.batch(7).bright)
    assert not torch.equal(crops.batch(7).bright, crops.batch(8).bright)


def test_dark_is_bright_with_less_light(tmp_path: Path) -> None:
    crops = DarkenedCrops([_photographs(tmp_path)], crop_size=32, batch_size=4, darkness=PLAIN)
    bright, dark, _ = crops.batch(0)
    assert bright.shape == dark.shape == (4, 3, 32, 32)
    pixels = (bright * 255).round().byte().permute(0, 2, 3, 1).numpy()
    expected = np.stack([darken(each, 0.1) for each in pixels])
    np.testing.assert_array_equal((dark * 255).round().byte().permute(0, 2, 3, 1), expected)


def test_untouched_crops_stay(tmp_path: Path) -> None:
    bright, dark, _ = DarkenedCrops(
        [_photographs(tmp_path)], crop_size=32, darkness=UNTOUCHED
    ).batch(0)  # fmt: skip
    torch.testing.assert_close(bright, dark, rtol=0, atol=0)


def test_resized_pairs_are_of_one_scene(tmp_path: Path) -> None:
    """Enlarged twice, neighbouring pixels are alike; and dark is still bright with less light."""
    settings = vars(PLAIN) | dict(resized=1, scale=(2.0, 2.0))
    crops = DarkenedCrops([_photographs(tmp_path)], crop_size=32, darkness=Darkness(**settings))
    bright, dark, _ = crops.batch(0)
    assert bright.shape == dark.shape == (6, 3, 32, 32)
    plain = DarkenedCrops([_photographs(tmp_path)], crop_size=32, darkness=PLAIN).batch(0).bright
    assert bright.diff(dim=-1).abs().mean() < 0.6 * plain.diff(dim=-1).abs().mean()
    torch.testing.assert_close(dark, bright * 0.1 ** (1 / 2.2), rtol=0, atol=0.03)


def test_every_kind_of_darkness_comes() -> None:
    """Each share by itself: only what it says differs from plain darkening."""
    crop = np.random.default_rng(0).integers(60, 250, (48, 48, 3)).astype(np.uint8)
    plain = dict(
        untouched=0, by_day=0, gain=(0.3, 0.3), noisy=0, shot=0, uneven=0, balanced=0, compressed=0
    )
    even = darken(crop, 0.3)
    for share in ('noisy', 'shot', 'uneven', 'compressed'):
        dark = Darkness(**(plain | {share: 1})).apply(crop, np.random.default_rng(1))  # type: ignore[arg-type]
        assert dark.shape == crop.shape
        assert (dark != even).mean() > 0.1, share
    balanced = [
        Darkness(**(plain | dict(noisy=1, balanced=share))).apply(crop, np.random.default_rng(1))  # type: ignore[arg-type]
        for share in (0, 1)
    ]
    assert (balanced[0] != balanced[1]).mean() > 0.1


def test_what_is_as_it_is_stays(tmp_path: Path) -> None:
    day, dusk = _photographs(tmp_path / 'day'), _photographs(tmp_path / 'dusk', low=0)
    crops = DarkenedCrops([day], [dusk], share=1.0, crop_size=32, darkness=PLAIN)
    bright, dark, _ = crops.batch(0)
    torch.testing.assert_close(bright, dark, rtol=0, atol=0)
    assert float(bright.mean()) < 0.3
    assert len(crops.files) == 6


def test_dark_photographs_teach_nothing(tmp_path: Path) -> None:
    folder = tmp_path / 'night'
    write_image(folder / 'a.png', np.full((40, 40, 3), 20, np.uint8))
    with pytest.raises(DataError, match='too dark to teach anything: 20 crops in a row'):
        DarkenedCrops([folder], crop_size=32).batch(0)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    folder = _photographs(tmp_path, count=2)
    write_image(folder / 'small.png', np.full((10, 40, 3), 200, np.uint8))
    (folder / 'broken.png').write_bytes(b'no image')
    crops = DarkenedCrops([folder], crop_size=32)
    for number in range(4):
        crops.batch(number)
    assert 'smaller than 32' in crops.skipped[str(folder / 'small.png')]
    assert set(crops.skipped) == {str(folder / 'small.png'), str(folder / 'broken.png')}
    with pytest.raises(DataError, match=r'none of 1 images can be used; first: .*small\.png is'):
        DarkenedCrops([folder / 'small.png'], crop_size=32).batch(0)


def test_no_darkness_is_the_usual_one(tmp_path: Path) -> None:
    folder = [_photographs(tmp_path)]
    plain, none = (DarkenedCrops(folder, crop_size=32, **more) for more in ({}, {'darkness': None}))
    assert torch.equal(plain.batch(3).dark, none.batch(3).dark)
    assert len(repr(plain)) < 200
