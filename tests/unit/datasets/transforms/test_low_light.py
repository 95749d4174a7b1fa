"""The transform: the same dark image for everyone, and only the image changes."""

import pickle
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import darken
from sci_plugins.registry import TRANSFORMS


def _build(**settings: Any) -> Any:
    return TRANSFORMS.build(dict(type='sci_plugins.SynthesizeLowLight', **settings))


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)


def test_without_noise_it_is_the_function(image: np.ndarray) -> None:
    results = _build(gain=0.05)(dict(img=image, img_path='a/1.png'))
    np.testing.assert_array_equal(results['img'], darken(image, 0.05))


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
    assert results['low_light'] == dict(gain=0.05, noise=0.01, shot_noise=0.0)


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


def test_gains_of_a_range_spread_over_it_in_the_logarithm() -> None:
    transform = _build(gain=(0.01, 1.0))
    pixel = np.zeros((1, 1, 3), np.uint8)
    gains = [
        transform(dict(img=pixel, img_path=f'{index}.png'))['low_light']['gain']
        for index in range(400)
    ]
    assert min(gains) >= 0.01
    assert max(gains) <= 1.0
    assert np.median(gains) == pytest.approx(0.1, rel=0.35)


def test_noise_is_the_same_for_every_gain(image: np.ndarray) -> None:
    black = np.zeros_like(image)
    dark = [
        _build(gain=gain, noise=0.1)(dict(img=black, img_path='1.png'))['img']
        for gain in (0.05, (0.01, 0.5))
    ]
    np.testing.assert_array_equal(dark[0], dark[1])


def test_it_pickles(image: np.ndarray) -> None:
    transform = _build(gain=0.5, noise=0.02)
    copy = pickle.loads(pickle.dumps(transform))
    results = [one(dict(img=image, img_path='1.png'))['img'] for one in (transform, copy)]
    np.testing.assert_array_equal(*results)
    assert repr(copy) == (
        'SynthesizeLowLight(gain=(0.5, 0.5), noise=0.02, shot_noise=0.0, seed=0, '
        "curve='power')"
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
        (dict(gain=1, curve='log'), 'curve'),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        _build(**settings)


def test_float_images_are_refused() -> None:
    with pytest.raises(TypeError, match='right after LoadImageFromFile'):
        _build(gain=0.5)(dict(img=np.zeros((2, 2, 3), np.float32)))
