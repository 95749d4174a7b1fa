"""The transform: the same dark image for everyone, and only the image changes."""

import hashlib
import pickle
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import compress_jpeg, darken
from sci_plugins.registry import TRANSFORMS


def _build(**settings: Any) -> Any:
    return TRANSFORMS.build(dict(type='sci_plugins.SynthesizeLowLight', **settings))


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)


def test_without_noise_it_is_the_function(image: np.ndarray) -> None:
    results = _build(gain=0.05)(dict(img=image, img_path='a/1.png'))
    np.testing.assert_array_equal(results['img'], darken(image, 0.05))


@pytest.mark.parametrize(
    ('settings', 'path', 'wanted'),
    [
        (dict(gain=0.05, noise=0.0), 'a/7.png', '4ff968e30b4ff123'),
        (dict(gain=0.05), 'a/7.png', '13ad6b79604b416f'),
        (dict(shot_noise=0.002, seed=5), 'a/7.png', '9415a2004a73290e'),
        (dict(shot_noise=0.002, seed=5, curve='srgb'), 'a/7.png', '46b792f485a880ae'),
        (dict(seed=None), 'a/7.png', 'f787e11fabd8c184'),
        (dict(gain=0.5, noise=0.01), None, 'f446e1bf3e4dfa54'),
    ],
)
def test_results_are_those_of_every_version(settings: dict, path: str | None, wanted: str) -> None:
    """Published numbers depend on these pixels: the hashes are of the first version."""
    y, x, c = np.ogrid[:32, :48, :3]
    image = ((7 * x + 11 * y + 60 * c + x * y * (c + 1)) % 256).astype(np.uint8)
    transform = _build(**(dict(gain=(0.02, 0.2), noise=0.004) | settings))
    np.random.seed(3)
    dark = transform(dict(img=image, img_path=path))['img']
    assert hashlib.sha256(dark.tobytes()).hexdigest()[:16] == wanted


def test_the_simplest_setting_is_the_published_formula(image: np.ndarray) -> None:
    """Written down again, the seed's way to the noise included."""
    digest = hashlib.sha256(b'1.png').digest()[:8]
    generator = np.random.default_rng([4, int.from_bytes(digest, 'little')])
    generator.random()
    light = (image / 255) ** 2.2 * 0.05 + generator.normal(0, 0.004, image.shape)
    wanted = np.round(np.clip(light, 0, 1) ** (1 / 2.2) * 255)
    dark = _build(gain=0.05, noise=0.004, seed=4)(dict(img=image, img_path='a/1.png'))
    np.testing.assert_array_equal(dark['img'], wanted)


def test_only_the_image_changes(image: np.ndarray) -> None:
    before = image.copy()
    boxes = np.array([[1.0, 2.0, 3.0, 4.0]])
    results = _build(gain=0.05, noise=0.01)(
        dict(img=image, img_path='1.png', gt_bboxes=boxes, img_shape=(12, 16))
    )
    np.testing.assert_array_equal(image, before)
    assert results['gt_bboxes'] is boxes
    assert results['img_shape'] == (12, 16)
    assert results['img'].dtype == np.uint8
    assert results['low_light'] == dict(
        gain=0.05, noise=0.01, shot_noise=0.0, white_balance=None, jpeg_quality=None, uneven=None
    )


def test_noise_belongs_to_the_file_name_not_to_the_order(image: np.ndarray) -> None:
    settings = dict(gain=(0.02, 0.2), noise=0.01, shot_noise=0.001, seed=3)
    paths = ['a/1.png', 'a/2.png', 'a/3.png']
    first, second = _build(**settings), _build(**settings)
    forward = {path: first(dict(img=image, img_path=path)) for path in paths}
    backward = {path: second(dict(img=image, img_path=path)) for path in paths[::-1]}
    for path in paths:
        np.testing.assert_array_equal(forward[path]['img'], backward[path]['img'])
    assert not np.array_equal(forward['a/1.png']['img'], forward['a/2.png']['img'])
    moved = first(dict(img=image, img_path='elsewhere/1.png'))
    np.testing.assert_array_equal(moved['img'], forward['a/1.png']['img'])


def test_numpys_global_state_is_left_alone(image: np.ndarray) -> None:
    np.random.seed(0)
    wanted = np.random.rand()
    np.random.seed(0)
    _build(gain=0.1, noise=0.01)(dict(img=image, img_path='1.png'))
    assert np.random.rand() == wanted


def test_another_seed_is_another_noise(image: np.ndarray) -> None:
    dark = [
        _build(gain=0.5, noise=0.02, seed=seed)(dict(img=image, img_path='1.png'))
        for seed in (0, 1)
    ]
    assert not np.array_equal(dark[0]['img'], dark[1]['img'])


def test_images_in_memory_are_known_by_their_pixels(image: np.ndarray) -> None:
    transform = _build(gain=0.5, noise=0.02)
    first = transform(dict(img=image))['img']
    np.testing.assert_array_equal(transform(dict(img=image.copy()))['img'], first)
    np.testing.assert_array_equal(transform(dict(img=image, img_path=None))['img'], first)


def test_without_a_seed_it_draws_anew_and_follows_numpys_seed(image: np.ndarray) -> None:
    transform = _build(gain=0.5, noise=0.02, seed=None)
    np.random.seed(7)
    first, second = (transform(dict(img=image, img_path='1'))['img'] for _ in range(2))
    np.random.seed(7)
    again = transform(dict(img=image, img_path='1'))['img']
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


#: Every setting as a range, and the distribution function of what is drawn.
RANGES: dict[str, Any] = dict(
    gain=(0.01, 1.0),
    noise=(1e-4, 1e-2),
    shot_noise=(1e-4, 1.2e-2),
    white_balance=((1.9, 2.4), (1.5, 1.9)),
    jpeg_quality=(30, 95),
)


def _draws(count: int) -> dict[str, np.ndarray]:
    transform = _build(**RANGES)
    pixel = np.zeros((1, 1, 3), np.uint8)
    found = [
        transform(dict(img=pixel, img_path=f'{index}.png'))['low_light'] for index in range(count)
    ]
    return {name: np.array([one[name] for one in found]) for name in RANGES}


def _distance(values: np.ndarray) -> float:
    """Kolmogorov and Smirnov's, of values in [0, 1] from the uniform distribution."""
    values = np.sort(values)
    steps = np.arange(len(values) + 1) / len(values)
    return max(np.abs(values - steps[1:]).max(), np.abs(values - steps[:-1]).max())


def test_what_is_drawn_follows_its_distribution() -> None:
    draws = _draws(1000)
    limit = 1.63 / np.sqrt(1000)  # exceeded by chance once in a hundred
    for name in ('gain', 'noise', 'shot_noise'):
        low, high = np.log(RANGES[name])
        assert _distance((np.log(draws[name]) - low) / (high - low)) < limit, name
    for channel, (low, high) in enumerate(RANGES['white_balance']):
        values = draws['white_balance'][:, channel]
        assert _distance((values - low) / (high - low)) < limit, channel
    quality = draws['jpeg_quality']
    assert (quality.min(), quality.max()) == (30, 95)
    assert quality.mean() == pytest.approx(62.5, abs=4 * 19 / np.sqrt(1000))


def test_draws_are_independent() -> None:
    draws = _draws(1000)
    columns = [draws[name].reshape(1000, -1) for name in RANGES]
    correlation = np.corrcoef(np.concatenate(columns, axis=1).T)
    assert np.abs(correlation - np.eye(6)).max() < 0.11  # 3.5 / sqrt(1000)


@pytest.mark.parametrize('name', ['noise', 'shot_noise', 'white_balance', 'jpeg_quality'])
def test_a_range_leaves_the_other_settings_as_they_were(name: str, image: np.ndarray) -> None:
    points = dict(noise=0.01, shot_noise=0.01, white_balance=(2, 1.7), jpeg_quality=50)
    seen = [
        _build(**(RANGES | changed))(dict(img=image, img_path='1.png'))['low_light']
        for changed in (dict(), {name: points[name]})
    ]
    differing = {key for key in seen[0] if seen[0][key] != seen[1][key]}
    assert differing == {name}
    assert seen[1][name] == points[name]


@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_white_balance_knows_the_order_of_the_channels(order: str) -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    transform = _build(gain=1, noise=0.01, white_balance=(4.0, 2.0), channel_order=order)
    deviation = (transform(dict(img=grey))['img'] / 255.0).std(axis=(0, 1))
    ratio = deviation / deviation[1]
    wanted = (4.0, 1.0, 2.0) if order == 'rgb' else (2.0, 1.0, 4.0)
    np.testing.assert_allclose(ratio, wanted, rtol=0.06)


def test_random_white_balance_is_that_of_the_paper(image: np.ndarray) -> None:
    transform = _build(gain=0.5, white_balance='random')
    found = [
        transform(dict(img=image, img_path=str(index)))['low_light']['white_balance']
        for index in range(50)
    ]
    red, blue = np.array(found).T
    assert 1.9 <= red.min() < 2.0 < 2.3 < red.max() <= 2.4
    assert 1.5 <= blue.min() < 1.6 < 1.8 < blue.max() <= 1.9


def test_jpeg_comes_last_and_is_the_same_every_time(image: np.ndarray) -> None:
    plain, jpeg = (
        _build(gain=0.5, noise=0.02, jpeg_quality=quality) for quality in (None, (20, 60))
    )
    wanted = plain(dict(img=image, img_path='1.png'))['img']
    for _ in range(2):
        results = jpeg(dict(img=image, img_path='1.png'))
        quality = results['low_light']['jpeg_quality']
        assert isinstance(quality, int)
        assert results['img'].shape == image.shape
        assert not np.array_equal(results['img'], wanted)
        np.testing.assert_array_equal(results['img'], compress_jpeg(wanted, quality))


def test_jpeg_of_rgb_is_that_of_the_picture(image: np.ndarray) -> None:
    bgr, rgb = (
        _build(gain=0.5, jpeg_quality=20, channel_order=order)(dict(img=picture))['img']
        for order, picture in (('bgr', image), ('rgb', image[..., ::-1]))
    )
    np.testing.assert_array_equal(rgb[..., ::-1], bgr)
    assert rgb.flags.c_contiguous


def test_jpeg_of_a_grey_image(image: np.ndarray) -> None:
    for order in ('bgr', 'rgb'):
        for grey in (image[..., 0], image[..., :1]):
            transform = _build(gain=0.5, jpeg_quality=20, channel_order=order)
            assert transform(dict(img=grey))['img'].shape == grey.shape


def test_noise_is_the_same_for_every_gain(image: np.ndarray) -> None:
    black = np.zeros_like(image)
    dark = [
        _build(gain=gain, noise=0.1)(dict(img=black, img_path='1.png'))['img']
        for gain in (0.05, (0.01, 0.5))
    ]
    np.testing.assert_array_equal(dark[0], dark[1])


def test_uneven_light_belongs_to_the_file_name(image: np.ndarray) -> None:
    results = [
        _build(gain=0.5, uneven='lamps', seed=2)(dict(img=image, img_path=path))
        for path in ('a/1.png', 'b/1.png', '2.png')
    ]
    assert results[0]['low_light']['uneven'] == 'lamps'
    np.testing.assert_array_equal(results[0]['img'], results[1]['img'])
    assert (results[0]['img'] != results[2]['img']).any()
    evenly = _build(gain=0.5, seed=2)(dict(img=image, img_path='1.png'))['img']
    assert (results[0]['img'] <= evenly).all()
    assert results[0]['img'].mean() < 0.9 * evenly.mean()


def test_uneven_light_leaves_the_noise_as_it_was() -> None:
    grey = np.full((60, 80, 3), 128, np.uint8)
    settings = dict(gain=0.3, noise=0.01)
    even, uneven = (
        _build(**settings, uneven=kind)(dict(img=grey, img_path='1.png'))['img'] / 255
        for kind in (None, 'vignette')
    )
    noise = [linear - linear.mean() for linear in (even**2.2, uneven**2.2)]
    middle = (slice(25, 35), slice(35, 45))
    np.testing.assert_allclose(noise[0][middle].std(), noise[1][middle].std(), rtol=0.1)


def test_kinds_are_drawn_alike(image: np.ndarray) -> None:
    transform = _build(gain=0.5, uneven='random')
    paths = [f'{number}.png' for number in range(400)]
    kinds = [transform(dict(img=image, img_path=path))['low_light']['uneven'] for path in paths]
    counts = [kinds.count(kind) for kind in ('smooth', 'lamps', 'headlights', 'vignette')]
    assert sum(counts) == 400
    assert min(counts) > 70


def test_it_pickles(image: np.ndarray) -> None:
    transform = _build(gain=0.5, noise=0.02)
    copy = pickle.loads(pickle.dumps(transform))
    results = [one(dict(img=image, img_path='1.png'))['img'] for one in (transform, copy)]
    np.testing.assert_array_equal(*results)
    assert repr(copy) == (
        'SynthesizeLowLight(gain=(0.5, 0.5), noise=(0.02, 0.02), shot_noise=(0.0, 0.0), '
        "white_balance=None, jpeg_quality=None, curve='power', channel_order='bgr', "
        'uneven=(), seed=0)'
    )


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (dict(gain=-1), 'gain'),
        (dict(gain=(0.5, 0.1)), r'0 < low <= high, got \(0.5, 0.1\)'),
        (dict(gain=(0, 0.1)), 'low'),
        (dict(gain=(0.1, 0.2, 0.3)), 'low'),
        (dict(gain='dark'), "gain must be a finite number from 0, got 'dark'"),
        (dict(gain=1, noise=-1), 'noise'),
        (dict(gain=1, shot_noise=None), 'shot_noise'),
        (dict(gain=1, seed=-1), 'seed'),
        (dict(gain=1, seed=0.5), 'seed'),
        (dict(gain=1, curve='log'), "curve must be one of power, srgb; got 'log'"),
        (dict(gain=1, noise=(0.2, 0.1)), r'noise must be a number or \(low, high\)'),
        (dict(gain=1, noise=(0, 0.1)), '0 < low <= high'),
        (dict(gain=1, shot_noise=(0.1,)), 'shot_noise must be a number or'),
        (dict(gain=1, shot_noise=(0.1, float('inf'))), 'shot_noise must be a finite'),
        (dict(gain=1, white_balance='daylight'), "None, 'random' or"),
        (dict(gain=1, white_balance=2.0), r'or \(red, blue\), got 2.0'),
        (dict(gain=1, white_balance=(2.0, 1.0, 1.5)), r'or \(red, blue\), got'),
        (dict(gain=1, white_balance=(0.9, 1.5)), 'factors from 1, got'),
        (dict(gain=1, white_balance=((2.4, 1.9), 1.5)), '0 < low <= high'),
        (dict(gain=1, jpeg_quality=0), 'jpeg_quality must be an int from 1 to 100'),
        (dict(gain=1, jpeg_quality=(50, 101)), 'an int from 1 to 100, got 101'),
        (dict(gain=1, jpeg_quality=(60, 50)), r'low <= high, got \(60, 50\)'),
        (dict(gain=1, jpeg_quality=0.9), 'jpeg_quality must be an int'),
        (dict(gain=1, channel_order='grb'), 'channel_order must be one of bgr, rgb'),
        (dict(gain=1, uneven='disco'), 'uneven must be one of smooth, lamps, headlights, vign'),
        (dict(gain=1, uneven=('lamps', 3)), 'uneven must be one of'),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        _build(**settings)


def test_float_images_are_refused() -> None:
    with pytest.raises(TypeError, match='right after LoadImageFromFile'):
        _build(gain=0.5)(dict(img=np.zeros((2, 2, 3), np.float32)))


def test_white_balance_of_a_grey_image_is_refused() -> None:
    with pytest.raises(ConfigError, match='white_balance must have a factor'):
        _build(gain=0.5, white_balance='random')(dict(img=np.zeros((2, 2), np.uint8)))
