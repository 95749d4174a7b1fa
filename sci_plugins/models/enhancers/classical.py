"""Enhancers without weights: baselines in the same slot."""

from abc import abstractmethod
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from sci_plugins.errors import ConfigError, check_above, check_at_least
from sci_plugins.functional.retinex import mean_luma
from sci_plugins.models.enhancers.base import BaseEnhancer
from sci_plugins.registry import MODELS

_MOST = 1e38  # float32 ends there


@MODELS.register_module()
class IdentityEnhancer(BaseEnhancer):
    """Returns the image unchanged: the row "without" of every table."""

    receptive_radius = 0

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        return image


@MODELS.register_module()
class GammaEnhancer(BaseEnhancer):
    """``image ** gamma`` (torchvision's ``adjust_gamma``), differentiable.

    Args:
        gamma: below 1 brightens; 1 / 2.2 undoes a linear-light encoding.

    Raises:
        ConfigError: if ``gamma`` is not above 0.
    """

    receptive_radius = 0

    def __init__(self, gamma: float = 1 / 2.2) -> None:
        super().__init__()
        check_above(0, 'GammaEnhancer', below=_MOST, gamma=gamma)
        self.gamma = gamma

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        return tv.adjust_gamma(image, self.gamma)


@MODELS.register_module()
class MeanMatchEnhancer(BaseEnhancer):
    """Multiplies a dark image so that its mean luma becomes ``target``, differentiable.

    The simplest rival of any network: the exact inverse of a shorter exposure except for the
    sensor's noise. A brighter image stays as it is, to the bit.

    Args:
        target: mean BT.601 luma of the pixel values, in (0, 1). If bright pixels clip, the mean
            stays below it.
        max_gain: largest factor, at least 1: a black frame is not turned into noise.

    Images and errors are those of :class:`BaseEnhancer`.
    """

    def __init__(self, target: float = 0.4, max_gain: float = 20.0) -> None:
        super().__init__()
        check_above(0, 'MeanMatchEnhancer', below=1, target=target)
        check_at_least(1.0, 'MeanMatchEnhancer', most=_MOST, max_gain=max_gain)
        self.target, self.max_gain = target, max_gain

    def decide(self, image: Tensor) -> Tensor:
        """The factor of each image, ``(N,)``, from 1 to ``max_gain``."""
        luma = mean_luma(image).clamp_min(self.target / self.max_gain)
        return (self.target / luma).clamp_min(1.0).to(image.dtype)

    def carry_out(self, image: Tensor, gain: Tensor) -> Tensor:
        """``image``, ``(N, 3, H, W)``, times its ``gain``, ``(N,)``."""
        return (image * gain[:, None, None, None]).clamp(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        return self.carry_out(image, self.decide(image))


class LightnessEnhancer(BaseEnhancer):
    """An 8-bit operation of OpenCV on CIELAB lightness; colour stays; without gradient."""

    @abstractmethod
    def map_lightness(self, lightness: np.ndarray) -> np.ndarray:
        """New lightness of one image, ``(H, W)`` uint8 to ``(H, W)`` uint8."""

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if image.numel() == 0:
            return image
        pixels = image.detach().mul(255).round().clamp(0, 255).to(torch.uint8)
        enhanced = np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())
        for rgb in enhanced:
            lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
            lab[..., 0] = self.map_lightness(np.ascontiguousarray(lab[..., 0]))
            rgb[:] = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        return torch.from_numpy(enhanced).permute(0, 3, 1, 2).to(image).div(255)


@MODELS.register_module()
class CLAHEEnhancer(LightnessEnhancer):
    """Contrast-limited adaptive histogram equalisation (OpenCV's ``CLAHE``).

    Args:
        clip_limit: contrast limit of each tile's histogram.
        tile_grid: number of tiles ``(columns, rows)``.

    Raises:
        ConfigError: if an argument is not above 0.
    """

    def __init__(self, clip_limit: float = 2.0, tile_grid: tuple[int, int] = (8, 8)) -> None:
        super().__init__()
        check_above(0, 'CLAHEEnhancer', below=_MOST, clip_limit=clip_limit)
        if not isinstance(tile_grid, tuple | list) or len(tile_grid) != 2:
            told = f'tile_grid must be (columns, rows), got {tile_grid!r}'
            raise ConfigError(f'CLAHEEnhancer: {told}')
        columns, rows = tile_grid
        check_at_least(1, 'CLAHEEnhancer: tile_grid', columns=columns, rows=rows)
        self.clip_limit, self.tile_grid = clip_limit, (columns, rows)

    def map_lightness(self, lightness: np.ndarray) -> np.ndarray:
        # Made here, cheaply, because OpenCV's object cannot be pickled or copied.
        clahe: Any = cv2.createCLAHE(self.clip_limit, self.tile_grid)
        return clahe.apply(lightness)


@MODELS.register_module()
class HistogramEqualizationEnhancer(LightnessEnhancer):
    """Global histogram equalisation of the lightness (OpenCV's ``equalizeHist``).

    Images and errors are those of :class:`BaseEnhancer`.
    """

    def map_lightness(self, lightness: np.ndarray) -> np.ndarray:
        return cv2.equalizeHist(lightness)
