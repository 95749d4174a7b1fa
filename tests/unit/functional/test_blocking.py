"""JPEG's blocks are found where they are, and nowhere else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.blocking import MIN_SIDE, BlockingEstimate, estimate_blocking
from sci_plugins.functional.image_quality import LUMA
from sci_plugins.functional.low_light import compress_jpeg, darken
from sci_plugins.functional.noise import DETAIL_OF_NOISE
from sci_plugins.utils.images import read_image


def _scene(seed: int = 0, size: tuple[int, int] = (160, 200)) -> np.ndarray:
    """Smooth surfaces with edges and grain, uint8 RGB."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(40, 230, (9, 11, 3)).astype(np.uint8)
    picture = cv2.resize(patches, size[::-1], interpolation=cv2.INTER_CUBIC).astype(float)
    for _ in range(20):
        corner, side = rng.integers(0, size), rng.integers(5, 60, 2)
        picture[corner[0] : corner[0] + side[0], corner[1] : corner[1] + side[1]] *= 0.6
    return (picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def _compressed(gain: float, noise: float, quality: int, seed: int = 0) -> Tensor:
    dark = darken(_scene(seed), gain, noise, 0, np.random.default_rng(seed))
    return _tensor(compress_jpeg(dark, quality))


@pytest.mark.parametrize('noise', [0.0, 0.002])
@pytest.mark.parametrize('gain', [0.1, 0.03])
def test_compressed_in_the_dark(gain: float, noise: float) -> None:
    image = _compressed(gain, noise, 65)
    for place in ((0, 0), (3, 5), (7, 2)):  # crops have the grid elsewhere
        assert float(estimate_blocking(image[..., place[0] :, place[1] :]).evidence) == 1
    mirrored = estimate_blocking(image.flip(3))
    torch.testing.assert_close(mirrored.sigma, estimate_blocking(image).sigma, rtol=0.1, atol=0)


@pytest.mark.parametrize('gain', [1.0, 0.1, 0.03])
@pytest.mark.parametrize('noise', [0.0, 0.002])
def test_no_grid_without_compression(gain: float, noise: float) -> None:
    dark = darken(_scene(), gain, noise, 0, np.random.default_rng(0))
    assert float(estimate_blocking(_tensor(dark)).evidence) == 0


@pytest.mark.parametrize('scale', [2, 4, 0.5, 1.3])
def test_resizing_makes_none_and_hides_it(scale: float) -> None:
    for image in (_tensor(darken(_scene(), 0.1)), _compressed(0.1, 0, 65)):
        resized = F.interpolate(image, scale_factor=scale, mode='bilinear', antialias=scale < 1)
        assert float(estimate_blocking(resized).evidence) == 0


@pytest.mark.parametrize(
    ('gain', 'noise', 'quality'),
    [(0.05, 0.002, 85), (0.05, 0.002, 60), (0.03, 0.001, 60), (0.1, 0.004, 70), (0.3, 0.004, 60)],
)
def test_sigma_is_what_compression_and_noise_left(gain: float, noise: float, quality: int) -> None:
    """Against the difference to the dark image without noise and compression."""
    for seed in range(3):
        found, clean = _compressed(gain, noise, quality, seed), darken(_scene(seed), gain)
        left = _squared_luma(found) - _squared_luma(_tensor(clean))
        ratio = float(estimate_blocking(found).sigma) / (DETAIL_OF_NOISE * float(left.std()))
        assert 0.5 < ratio < 1.1


def _squared_luma(image: Tensor) -> Tensor:
    return torch.einsum('nchw,c->nhw', image.square(), torch.tensor(LUMA))


def test_each_image_by_itself() -> None:
    images = torch.cat([_compressed(0.1, 0, 60), _tensor(_scene(1)), _compressed(0.03, 0.001, 60)])
    together, alone = estimate_blocking(images), [estimate_blocking(each[None]) for each in images]
    for values, *others in zip(together, *alone, strict=True):
        torch.testing.assert_close(values, torch.cat(others))


@pytest.mark.parametrize('size', [(1, 1), (5, 200), (MIN_SIDE - 1, MIN_SIDE), (MIN_SIDE, MIN_SIDE)])
@pytest.mark.parametrize('value', [0.0, 1.0])
def test_small_and_plain(size: tuple[int, int], value: float) -> None:
    found = estimate_blocking(torch.full((2, 3, *size), value))
    assert found.evidence.tolist() == found.sigma.tolist() == [0, 0]


def test_no_gradient_and_half_precision() -> None:
    image = _compressed(0.1, 0, 60)
    assert not estimate_blocking(image.requires_grad_()).sigma.requires_grad
    half = estimate_blocking(image.detach().bfloat16())
    assert isinstance(half, BlockingEstimate)
    assert half.sigma.dtype == torch.float32
    with pytest.raises(ValueError, match=r'\(N, 3, H, W\)'):
        estimate_blocking(image[0])


@pytest.mark.parametrize('folder', ['coco/val2017', 'camvid/val', 'wider/images'])
def test_photographs(shared_data: Path, folder: str) -> None:
    """Darkened ones, of which those of WIDER FACE carry the blocks of their own compression."""
    pictures = [read_image(path) for path in sorted((shared_data / 'data' / folder).iterdir())[::4]]
    rng = np.random.default_rng(0)
    clean = [darken(each, 0.1) for each in pictures]
    noisy = [darken(each, 0.05, 0.002, 0, rng) for each in pictures]
    shares = []
    for each in (clean, noisy, [compress_jpeg(picture, 70) for picture in clean + noisy]):
        found = torch.cat([estimate_blocking(_tensor(picture)).evidence for picture in each])
        shares.append(float((found > 0.5).float().mean()))
    assert shares[0] <= (0.3 if 'wider' in folder else 0.05)
    assert shares[1] == 0
    assert shares[2] >= 0.95
