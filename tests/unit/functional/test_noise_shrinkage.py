"""Shrinkage against noise that is known, and a plain implementation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.image_quality import LUMA
from sci_plugins.functional.noise import LEVELS, NOISE_OF_LEVEL, finest_details, shrink_noise


def _double(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2, mode='bilinear')


def test_noise_of_each_level() -> None:
    """The constants, from white noise."""
    noise = torch.randn(2, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor(LUMA).view(3, 1, 1)
    fine = float(finest_details((noise * weights).sum(1, keepdim=True))[0].std())
    for expected in NOISE_OF_LEVEL:
        coarse = F.avg_pool2d(noise, 2)
        detail = ((noise - _double(coarse)) * weights).sum(1)
        assert float(detail.std()) / fine == pytest.approx(expected, rel=0.02)
        noise = coarse


def test_strength_zero_gives_the_image() -> None:
    image = torch.rand(2, 3, 37, 53, dtype=torch.float64)
    shrunk = shrink_noise(
        image, torch.tensor([0.01, 0.1]).double(), torch.zeros(2, LEVELS).double()
    )
    torch.testing.assert_close(shrunk, image, rtol=0, atol=1e-12)


@pytest.mark.parametrize('size', [(5, 5), (1, 1), (16, 16), (100, 7)])
def test_any_size(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    shrunk = shrink_noise(image, torch.tensor([0.1]), torch.ones(1, LEVELS))
    assert shrunk.shape == image.shape
    assert 0 <= shrunk.min() <= shrunk.max() <= 1
    flat = torch.full_like(image, 0.3)
    torch.testing.assert_close(shrink_noise(flat, torch.ones(1), torch.ones(1, LEVELS)), flat)


def test_noise_goes_and_edges_stay() -> None:
    clean = torch.full((1, 3, 128, 128), 0.2)
    clean[..., 64:] = 0.6
    noise = 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.02 * 0.80 * 0.67])
    shrunk = shrink_noise(clean + noise, sigma, torch.full((1, LEVELS), 1.5))
    assert float((shrunk - clean)[..., 8:56].std()) < 0.35 * 0.02
    step = float((shrunk[..., 66:70] - shrunk[..., 58:62]).mean())
    assert step == pytest.approx(0.4, abs=0.01)


def test_weights_by_hand() -> None:
    """One level, with NumPy: Wiener's weight from the luma's energy around."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 16, 16))
    sigma, strength = 0.05, 1.3
    tensor = torch.from_numpy(image)
    coarse = F.avg_pool2d(tensor, 2)
    detail = (tensor - _double(coarse)).numpy()
    luma = np.einsum('nchw,c->hw', detail, LUMA) ** 2
    pairs = luma.reshape(8, 2, 8, 2).mean((1, 3))
    energy = np.empty_like(pairs)
    for y in range(8):
        for x in range(8):
            energy[y, x] = pairs[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean()
    limit = (sigma * strength * NOISE_OF_LEVEL[0]) ** 2
    weight = np.maximum(energy + 1e-12 - limit, 0) / (energy + 1e-12)
    smooth = _double(torch.from_numpy(weight)[None, None]).numpy()
    expected = np.clip(_double(coarse).numpy() + detail * smooth, 0, 1)
    strengths = torch.tensor([[strength, 0, 0, 0]], dtype=torch.float64)
    found = shrink_noise(tensor, torch.tensor([sigma], dtype=torch.float64), strengths)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_sigma_for_each_level() -> None:
    images, strengths = torch.rand(2, 3, 20, 28), torch.rand(2, LEVELS)
    sigma = torch.rand(2) / 10
    by_level = sigma[:, None].expand(2, LEVELS)
    torch.testing.assert_close(
        shrink_noise(images, by_level, strengths), shrink_noise(images, sigma, strengths)
    )
    half = shrink_noise(images, by_level * torch.tensor([0.5, 1, 1, 1]), strengths)
    scaled = shrink_noise(images, sigma, strengths * torch.tensor([0.5, 1, 1, 1]))
    torch.testing.assert_close(half, scaled)


def test_each_image_by_itself() -> None:
    images, sigma, strengths = torch.rand(3, 3, 20, 28), torch.rand(3) / 10, torch.rand(3, LEVELS)
    together = shrink_noise(images, sigma, strengths)
    for index in range(3):
        one = slice(index, index + 1)
        alone = shrink_noise(images[one], sigma[one], strengths[one])
        torch.testing.assert_close(together[one], alone)


def test_gradients() -> None:
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_()
    strengths = torch.rand(1, LEVELS, dtype=torch.float64).requires_grad_()
    sigma = torch.tensor([0.1], dtype=torch.float64)
    inputs = image, strengths
    assert torch.autograd.gradcheck(lambda i, s: shrink_noise(i, sigma, s), inputs, fast_mode=True)


@pytest.mark.parametrize(
    ('sigma', 'strengths'), [((2,), (1, LEVELS)), ((1,), (1, 3)), ((), (1, LEVELS))]
)
def test_wrong_shapes_are_told(sigma: tuple[int, ...], strengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r'expected sigma \(1,\) or \(1, 4\) and strengths \(1, 4'):
        shrink_noise(torch.rand(1, 3, 8, 8), torch.rand(sigma), torch.rand(strengths))
