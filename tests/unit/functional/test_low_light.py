"""Low light against the formula, written down a second time, and its statistics."""

import math

import numpy as np
import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import (
    darken,
    expose,
    linear_to_srgb,
    srgb_to_linear,
    to_uint8,
)


def _formula(value: int, gain: float, noise: float) -> int:
    """The published darkening of one value; ``noise`` is the drawn number."""
    light = (value / 255) ** 2.2
    light = min(max(light * gain + noise, 0.0), 1.0)
    return round(light ** (1 / 2.2) * 255)


@pytest.mark.parametrize('gain', [1.0, 0.05, 0.02, 3.0])
def test_every_grey_level_follows_the_formula(gain: float) -> None:
    levels = np.arange(256, dtype=np.uint8)
    wanted = [_formula(int(value), gain, 0.0) for value in levels]
    assert darken(levels, gain).tolist() == wanted


def test_noise_follows_the_formula(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    drawn = np.random.default_rng(5).standard_normal(image.shape) * 0.004
    wanted = [
        _formula(int(value), 0.05, noise)
        for value, noise in zip(image.flat, drawn.flat, strict=True)
    ]
    dark = darken(image, 0.05, 0.004, generator=np.random.default_rng(5))
    assert dark.ravel().tolist() == wanted


def test_gain_one_without_noise_is_the_identity(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    for curve in ('power', 'srgb'):
        np.testing.assert_array_equal(darken(image, 1.0, curve=curve), image)


def test_input_is_unchanged_and_shape_and_dtype_are_kept(
    rng: np.random.Generator,
) -> None:
    image = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    before = image.copy()
    for settings in (dict(), dict(noise=0.01, shot_noise=0.01, generator=rng)):
        dark = darken(image, 0.1, **settings)
        assert dark.shape == image.shape
        assert dark.dtype == np.uint8
        assert not np.shares_memory(dark, image)
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('signal', [0.1, 0.3, 0.6])
def test_variance_is_read_noise_plus_shot_noise(signal: float) -> None:
    noise, shot_noise = 0.01, 0.002
    light = np.full(200_000, signal / 0.5)
    sensor = expose(light, 0.5, noise, shot_noise, np.random.default_rng(0))
    variance = noise**2 + shot_noise * signal
    # Of n normal values, the mean spreads by s/sqrt(n), the variance by v*sqrt(2/n).
    assert sensor.mean() == pytest.approx(signal, abs=5 * math.sqrt(variance / 2e5))
    assert sensor.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / 2e5))


def test_channels_and_pixels_have_independent_noise() -> None:
    light = np.full((200, 200, 3), 0.5)
    noise = expose(light, 1.0, 0.05, generator=np.random.default_rng(0)) - 0.5
    correlation = np.corrcoef(noise.reshape(-1, 3).T)
    assert np.abs(correlation - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.02


def test_a_lamp_above_white_stays_white_in_the_dark() -> None:
    np.testing.assert_allclose(expose(np.array([0.5, 40.0]), 0.05), [0.025, 1.0])


def test_exact_curve_has_its_published_values() -> None:
    # IEC 61966-2-1: the two pieces, and 18 % grey is 46.1 % (118 of 255).
    values = srgb_to_linear(np.array([0.0, 0.04, 0.5, 1.0]), 'srgb')
    np.testing.assert_allclose(values, [0.0, 0.04 / 12.92, 0.21404114, 1.0], atol=1e-8)
    assert to_uint8(linear_to_srgb(np.array([0.18]), 'srgb')).item() == 118


@pytest.mark.parametrize('curve', ['power', 'srgb'])
def test_curves_invert_each_other(curve: str) -> None:
    values = np.linspace(0, 1, 1001)
    there_and_back = linear_to_srgb(srgb_to_linear(values, curve), curve)
    np.testing.assert_allclose(there_and_back, values, atol=1e-7)


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (dict(gain=-0.1), 'gain must be a finite number from 0, got -0.1'),
        (dict(gain=math.nan), 'gain'),
        (dict(gain=True), 'gain'),
        (dict(gain=1.0, noise=math.inf), 'noise'),
        (dict(gain=1.0, shot_noise=-1.0), 'shot_noise'),
        (dict(gain=1.0, noise=0.1), 'needs a numpy generator'),
        (dict(gain=1.0, curve='log'), "curve must be one of power, srgb, got 'log'"),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        darken(np.zeros((2, 2, 3), np.uint8), **settings)


def test_float_images_are_refused() -> None:
    with pytest.raises(TypeError, match='expects a uint8 image, got dtype float32'):
        darken(np.zeros((2, 2, 3), np.float32), 0.5)  # type: ignore[arg-type]
