"""A bilinear enlargement is taken back."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.host_image import undo_enlargement


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(('factor', 'share'), [(1.1, 0.6), (1.25, 0.7), (2, 0.87), (3.3, 0.98)])
@pytest.mark.parametrize('size', [(90, 141), (5, 6), (33, 64)])
def test_eight_bits_come_back(factor: float, share: float, size: tuple[int, int]) -> None:
    """Of noise, the hardest there is, and at every place: nothing is worse at the edges."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    large = cv2.resize(pixels, tuple(int(side * factor + 0.5) for side in size[::-1]))
    found = undo_enlargement(_tensor(large), size, 255)
    steps = ((found - _tensor(pixels)) * 255).abs()
    assert (steps - steps.round()).abs().max() < 1e-3
    # Rounding grows where a pixel is seen only together with its neighbour.
    assert (steps < 0.5).float().mean() > share
    assert (steps < 1.5).float().mean() > 0.95
    assert steps.max() < 6


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_without_rounding_it_is_exact(dtype: torch.dtype) -> None:
    """But for the ridge, which keeps rounding small."""
    image = torch.rand(2, 3, 70, 45, dtype=dtype, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(image, (140, 101), mode='bilinear')
    found = undo_enlargement(large, (70, 45))
    assert found.dtype == dtype
    assert (found - image).abs().max() < 0.1
    assert (found - image).square().mean().sqrt() < 0.01
    each = torch.cat([undo_enlargement(one[None], (70, 45)) for one in large])
    torch.testing.assert_close(found, each)


def test_smooth_images_keep_their_light() -> None:
    image = torch.linspace(0.2, 0.8, 100).expand(1, 3, 60, 100)
    large = F.interpolate(image, (75, 190), mode='bilinear')
    torch.testing.assert_close(undo_enlargement(large, (60, 100)), image, rtol=0, atol=2e-3)
    white = torch.ones(1, 3, 80, 90)
    torch.testing.assert_close(undo_enlargement(white, (50, 43)), torch.ones(1, 3, 50, 43))


@pytest.mark.parametrize('steps', [0, 255])
def test_gradients_pass(steps: int) -> None:
    image = torch.rand(1, 3, 41, 43, requires_grad=True)
    with torch.inference_mode():  # a test before has left its weights
        undo_enlargement(image, (20, 20), steps)
    undo_enlargement(image, (20, 20), steps).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert torch.isfinite(image.grad).all()
