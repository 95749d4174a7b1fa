"""Low light against the formula, written down a second time, and its statistics."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import (
    compress_jpeg,
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


def test_input_is_unchanged_and_shape_and_dtype_are_kept(rng: np.random.Generator) -> None:
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


@pytest.mark.parametrize('curve', ['power', 'srgb'])
@pytest.mark.parametrize('level', [90, 128, 160])
def test_the_8_bit_picture_has_that_mean_and_variance(level: int, curve: str) -> None:
    """Read back from the pixels: rounding to 8 bits adds a twelfth of its step."""
    noise, shot_noise, count = 0.004, 0.002, 300_000
    image = np.full((count, 1), level, np.uint8)
    signal = float(srgb_to_linear(np.array([level / 255]), curve)[0]) * 0.5
    dark = darken(image, 0.5, noise, shot_noise, np.random.default_rng(0), curve)
    light = srgb_to_linear(dark / 255, curve)
    pixel = linear_to_srgb(np.array([signal]), curve)[0]
    ends = srgb_to_linear(np.array([pixel - 0.5 / 255, pixel + 0.5 / 255]), curve)
    step = ends[1] - ends[0]
    variance = noise**2 + shot_noise * signal
    assert math.sqrt(variance) > 2 * step  # else the rounding is no noise
    assert light.mean() == pytest.approx(signal, abs=5 * math.sqrt(variance / count))
    measured = light.var() - step**2 / 12
    assert measured == pytest.approx(variance, rel=5 * math.sqrt(2 / count))


def test_white_balance_colours_the_noise_and_keeps_the_mean() -> None:
    noise, shot_noise, factors, count = 0.004, 0.001, (1.7, 1.0, 2.2), 300_000
    image = np.full((count, 3), 150, np.uint8)
    signal = (150 / 255) ** 2.2 * 0.5
    dark = darken(image, 0.5, noise, shot_noise, np.random.default_rng(0), white_balance=factors)
    light = (dark / 255) ** 2.2
    step = 2.2 / 255 * signal ** (1.2 / 2.2)
    for channel, factor in enumerate(factors):
        variance = factor**2 * noise**2 + factor * shot_noise * signal
        measured = light[:, channel].var() - step**2 / 12
        assert measured == pytest.approx(variance, rel=5 * math.sqrt(2 / count))
        error = 5 * math.sqrt(variance / count)
        assert light[:, channel].mean() == pytest.approx(signal, abs=error)


def test_white_balance_turns_the_noise_of_black_purple() -> None:
    """Cut off at 0, normal noise of deviation s has the mean s / sqrt(2 pi)."""
    factors = (1.5, 1.0, 2.0)
    black, generator = np.zeros((200_000, 3), np.uint8), np.random.default_rng(0)
    dark = darken(black, 0.5, 0.05, generator=generator, white_balance=factors)
    means = ((dark / 255) ** 2.2).mean(axis=0)
    wanted = np.array(factors) * 0.05 / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(means, wanted, rtol=0.01)


def test_light_multiplies_linear_light(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    light = rng.random((6, 8))
    expected = np.rint(((image / 255) ** 2.2 * 0.4 * light[..., None]) ** (1 / 2.2) * 255)
    np.testing.assert_array_equal(darken(image, 0.4, light=light), expected)
    np.testing.assert_array_equal(darken(image, 0.4, light=np.ones((6, 8))), darken(image, 0.4))
    grey = darken(image[..., 0], 0.4, light=light)
    np.testing.assert_array_equal(grey, expected[..., 0])


def test_white_balance_without_noise_changes_nothing(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    balanced = darken(image, 0.3, white_balance=(2.0, 1.0, 1.5))
    np.testing.assert_array_equal(balanced, darken(image, 0.3))


def test_white_stays_white_under_white_balance(rng: np.random.Generator) -> None:
    """Read noise far too small to be seen, so that the sensor's way is taken."""
    white = np.full((4, 4, 3), 255, np.uint8)
    seen = darken(white, 4.0, 1e-9, generator=rng, white_balance=(2.0, 1.0, 1.5))
    np.testing.assert_array_equal(seen, white)


@pytest.mark.parametrize('shape', [(24, 33, 3), (24, 33), (24, 33, 1)])
def test_jpeg_changes_pixels_and_keeps_the_shape(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    before = image.copy()
    errors = []
    for quality in (1, 30, 100):
        compressed = compress_jpeg(image, quality)
        assert compressed.shape == shape
        assert compressed.dtype == np.uint8
        errors.append(np.abs(compressed.astype(int) - image).mean())
    assert errors[0] > errors[1] > errors[2] > 0
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('quality', [37, 95])
def test_jpeg_has_the_quality_that_was_asked_for(quality: int, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (24, 33, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(image[..., ::-1]).save(file, 'JPEG', quality=quality, subsampling='4:2:0')
    wanted = np.asarray(Image.open(file)).astype(int)[..., ::-1]
    # Two builds of libjpeg; at the qualities beside, the mean differs by 2 and more.
    assert np.abs(compress_jpeg(image, quality) - wanted).mean() < 0.1


def test_jpeg_keeps_a_plain_colour_in_its_channels() -> None:
    image = np.zeros((16, 16, 3), np.uint8) + np.array([200, 90, 30], np.uint8)
    assert np.abs(compress_jpeg(image, 95).astype(int) - image).max() <= 3


@pytest.mark.parametrize('quality', [0, 101, 50.0, True, None])
def test_bad_qualities_are_refused(quality: object) -> None:
    with pytest.raises(ConfigError, match='quality must be an int from 1 to 100'):
        compress_jpeg(np.zeros((8, 8, 3), np.uint8), quality)  # type: ignore[arg-type]


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
        (dict(gain=1.0, curve='log'), "curve must be one of power, srgb; got 'log'"),
        (dict(gain=1.0, white_balance=(2.0, 1.0)), r'got \(2.0, 1.0\) for an image of'),
        (dict(gain=1.0, white_balance=(2.0, 0.9, 1.0)), 'a factor from 1 for each'),
        (dict(gain=1.0, white_balance=()), 'a factor from 1 for each'),
        (dict(gain=1.0, white_balance=(math.nan, 1.0, 1.0)), 'white_balance must be a finite'),
        (dict(gain=1.0, white_balance='red'), 'white_balance must be a finite number'),
        (dict(gain=1.0, light=np.ones((2, 3))), r'light must be \(2, 2\) with values in'),
        (dict(gain=1.0, light=np.full((2, 2), 1.5)), r'with values in \[1.5, 1.5\]'),
        (dict(gain=1.0, light=np.full((2, 2), math.nan)), 'light must be'),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        darken(np.zeros((2, 2, 3), np.uint8), **settings)


def test_float_images_are_refused() -> None:
    with pytest.raises(TypeError, match='expects a uint8 image, got dtype float32'):
        darken(np.zeros((2, 2, 3), np.float32), 0.5)  # type: ignore[arg-type]
