"""LIME against its own equations, solved directly."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import LIMEEnhancer, build_enhancer


def _plain_illumination(image: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """Eq. 19 of the paper with weights of strategy III, one pixel after the other, dense."""
    first = image.max(0)
    height, width = first.shape
    system, small = np.eye(height * width), 1e-3

    def slope(row: int, column: int, down: int) -> float:
        row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        if (row, column)[1 - down] == (height, width)[1 - down] - 1:
            return 0.0
        return first[row + down, column + 1 - down] - first[row, column]

    steps = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    bell = {(i, j): np.exp(-(i * i + j * j) / (2 * sigma**2)) for i, j in steps}
    total = sum(bell.values())
    for row, column in np.ndindex(height, width):
        for down in (0, 1):
            if row + down >= height or column + 1 - down >= width:
                continue
            mean = sum(g * slope(row + i, column + j, down) for (i, j), g in bell.items()) / total
            weight = alpha / ((abs(mean) + small) * (abs(slope(row, column, down)) + small))
            here, there = row * width + column, (row + down) * width + column + 1 - down
            for one, other in ((here, there), (there, here)):
                system[one, one] += weight
                system[one, other] -= weight
    return np.linalg.solve(system, first.ravel()).reshape(height, width)


def _steps(height: int = 17, width: int = 23) -> Tensor:
    """A dark room with a bright window, and noise."""
    image = torch.full((1, 3, height, width), 0.1, dtype=torch.float64)
    image[..., 3:11, 6:15] = 0.7
    return image + 0.03 * torch.rand(image.shape, dtype=torch.float64)


def test_nearly_the_direct_solution() -> None:
    image = _steps()
    wanted = _plain_illumination(image[0].numpy(), 0.15, 2.0) ** 0.8
    found = LIMEEnhancer().estimate_illumination(image)[0].numpy()
    assert wanted.std() > 0.1
    assert np.abs(found - wanted).max() < 0.02
    assert np.sqrt(np.square(found - wanted).mean()) < 0.005
    assert (found[0] == found[2]).all()
    raw = image[0].numpy().max(0) ** 0.8
    assert np.abs(raw - wanted).max() > 0.02  # smoothing is most of it


def test_other_settings_too() -> None:
    image = _steps(12, 9)
    wanted = _plain_illumination(image[0].numpy(), 1e-4, 0.7)
    found = LIMEEnhancer(alpha=1e-4, gamma=1.0, sigma=0.7).estimate_illumination(image)[0].numpy()
    assert np.abs(found - wanted).max() < 1e-3


def test_an_even_image_in_closed_form() -> None:
    """No gradients: the illumination is the value itself, so the result is value ** (1 - gamma)."""
    image = torch.full((2, 3, 8, 11), 0.04)
    image[1] = 0.5
    found = LIMEEnhancer()(image)
    wanted = torch.tensor([0.04, 0.5]).view(2, 1, 1, 1).expand_as(image) ** 0.2
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_by_name_and_what_does_not_fit() -> None:
    assert 'alpha=0.15, gamma=0.8, sigma=2' in repr(build_enhancer('lime'))
    with pytest.raises(ConfigError, match='alpha must be above 0, got 0'):
        LIMEEnhancer(alpha=0)
    with pytest.raises(ConfigError, match="'lime' takes no argument"):
        build_enhancer('lime/0.4')
