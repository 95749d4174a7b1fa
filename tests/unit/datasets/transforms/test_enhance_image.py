"""The enhancer as a step of the data pipeline, as a host's loader would use it."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from torch.utils.data import DataLoader, Dataset

from sci_plugins.datasets.transforms import EnhanceImage
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers import SCIEnhancer


@pytest.fixture()
def bgr(rng: np.random.Generator) -> np.ndarray:
    """``(9, 12, 3)`` uint8 in a host's order."""
    return rng.integers(0, 90, (9, 12, 3), dtype=np.uint8)


def _sci() -> SCIEnhancer:
    """An enhancer that treats the three channels differently."""
    torch.manual_seed(0)
    enhancer = SCIEnhancer()
    for parameter in enhancer.parameters():
        parameter.data.add_(torch.randn(parameter.shape) * 0.3)
    return enhancer.eval()


def _by_hand(image: np.ndarray, order: str) -> np.ndarray:
    rgb = image[..., ::-1] if order == 'bgr' else image
    tensor = torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        enhanced = _sci()(tensor)[0].permute(1, 2, 0).numpy() * 255
    return enhanced[..., ::-1] if order == 'bgr' else enhanced


@pytest.mark.parametrize('order', ['bgr', 'rgb'])
def test_8_bit_in_8_bit_out(bgr: np.ndarray, order: str) -> None:
    found = EnhanceImage(_sci(), input_order=order)(dict(img=bgr))['img']
    assert (found.dtype, found.shape) == (np.uint8, bgr.shape)
    assert found.flags.c_contiguous
    exact = _by_hand(bgr, order)
    assert (found <= exact + 1e-3).all()  # truncated, as the authors save
    assert (found > exact - 1 - 1e-3).all()
    assert (found != np.round(exact)).any()


@pytest.mark.parametrize('order', ['bgr', 'rgb'])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_float_in_float_out(bgr: np.ndarray, order: str, dtype: type) -> None:
    image = bgr.astype(dtype) + dtype(0.25)
    found = EnhanceImage(_sci(), input_order=order)(dict(img=image))['img']
    assert found.dtype == dtype
    np.testing.assert_allclose(found, _by_hand(image, order), atol=1e-3)
    assert (found % 1 != 0).any()  # not rounded


def test_the_orders_differ(bgr: np.ndarray) -> None:
    results = [EnhanceImage(_sci(), order)(dict(img=bgr))['img'] for order in ('bgr', 'rgb')]
    assert (results[0] != results[1]).any()


def test_every_level_survives_the_identity() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(EnhanceImage('none')(dict(img=levels))['img'], levels)


def test_input_and_other_keys_stay(bgr: np.ndarray) -> None:
    results = dict(img=bgr, img_path='a.png', img_shape=(9, 12), gt_bboxes=np.ones((1, 4)))
    before = copy.deepcopy(results)
    found = EnhanceImage('gamma/0.5')(results)
    np.testing.assert_array_equal(bgr, before['img'])
    assert list(found) == list(before)
    for key in ('img_path', 'img_shape'):
        assert found[key] == before[key]


def test_read_only_images_make_no_noise(bgr: np.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    bgr.flags.writeable = False
    for order in ('bgr', 'rgb'):
        EnhanceImage('gamma', order)(dict(img=bgr))
    assert not recwarn.list


def test_values_outside_the_scale_are_clamped() -> None:
    image = np.array([[[-20.0, 300.0, 128.0]]], np.float32)
    found = EnhanceImage('none')(dict(img=image))['img']
    np.testing.assert_allclose(found, [[[0, 255, 128]]], atol=1e-3)


@pytest.mark.parametrize('size', [(1, 1), (1, 5)])
def test_tiny_images(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 20, np.uint8)
    assert EnhanceImage(_sci())(dict(img=image))['img'].shape == image.shape


def test_through_the_registry_of_any_host(bgr: np.ndarray) -> None:
    config = dict(
        type='sci_plugins.EnhanceImage', enhancer=dict(type='sci_plugins.GammaEnhancer', gamma=0.5)
    )
    wanted = EnhanceImage('gamma/0.5')(dict(img=bgr))['img']
    found = ROOT_TRANSFORMS.build(config)(dict(img=bgr))['img']
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(Compose([config])(dict(img=bgr))['img'], wanted)


def test_pickles_copies_and_says_what_it_is(bgr: np.ndarray) -> None:
    transform = EnhanceImage(_sci())
    wanted = transform(dict(img=bgr))['img']
    for twin in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        np.testing.assert_array_equal(twin(dict(img=bgr))['img'], wanted)
    assert repr(transform) == "EnhanceImage(enhancer=SCIEnhancer, input_order='bgr')"


class _Photos(Dataset):
    def __init__(self, transform: EnhanceImage, photo: np.ndarray) -> None:
        self.transform, self.photo = transform, photo

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        image = self.transform(dict(img=self.photo))['img']
        return torch.from_numpy(image)


def test_works_in_a_data_loader_s_worker(bgr: np.ndarray) -> None:
    transform = EnhanceImage(_sci())
    wanted = transform(dict(img=bgr))['img']
    loader = DataLoader(_Photos(transform, bgr), batch_size=2, num_workers=1)
    (batch,) = list(loader)
    np.testing.assert_array_equal(batch[1].numpy(), wanted)


def test_nothing_of_it_is_trained() -> None:
    transform = EnhanceImage(SCIEnhancer().train())
    assert not transform.enhancer.training
    assert not any(p.requires_grad for p in transform.enhancer.parameters())


@pytest.mark.parametrize(
    ('image', 'word'),
    [
        (np.zeros((4, 4), np.uint8), r'\(H, W, 3\), got \(4, 4\)'),
        (np.zeros((4, 4, 1), np.uint8), r'\(4, 4, 1\)'),
        (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\)'),
        (np.zeros((4, 4, 3), np.uint16), 'uint16'),
        (np.zeros((4, 4, 3), bool), 'bool'),
        (np.full((4, 4, 3), np.nan, np.float32), 'NaN'),
        (torch.zeros(4, 4, 3), r'\(H, W, 3\)'),
        (None, 'NoneType'),
    ],
)
def test_what_is_no_image(image: Any, word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        EnhanceImage('gamma')(dict(img=image, img_path='/photos/a.png'))
    assert '/photos/a.png' in str(caught.value)


def test_images_of_16_bits(bgr: np.ndarray) -> None:
    transform = EnhanceImage('gamma/0.5', input_max=65535)
    found = transform(dict(img=bgr.astype(np.uint16) * 257))['img']
    assert found.dtype == np.uint16
    np.testing.assert_allclose(found, np.sqrt(bgr / 255) * 65535, atol=1)
    found = transform(dict(img=bgr))['img']  # 8 bits as ever
    np.testing.assert_allclose(found, np.sqrt(bgr / 255) * 255, atol=1)


def test_normalised_images_are_refused(bgr: np.ndarray) -> None:
    normalised = ((bgr - 123.0) / 58).astype(np.float32)
    transform = EnhanceImage('gamma')
    for _ in range(9):  # each may be a dark image that was augmented
        transform(dict(img=normalised))
    with pytest.raises(DataError, match='normalised; put EnhanceImage before Normalize'):
        transform(dict(img=normalised))
    for _ in range(3):
        EnhanceImage('gamma', check_values=False)(dict(img=normalised))


@pytest.mark.parametrize('order', ['grb', 'BGR', None, 1])
def test_an_unknown_order(order: Any) -> None:
    with pytest.raises(ConfigError, match='input_order'):
        EnhanceImage('gamma', input_order=order)


def test_an_unknown_enhancer() -> None:
    with pytest.raises(ConfigError, match='unknown enhancer'):
        EnhanceImage('magic')
