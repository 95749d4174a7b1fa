"""An illumination estimator by unrolled iterations, after RUAS."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.errors import check_at_least
from sci_plugins.functional.conv_norm import apply_conv
from sci_plugins.functional.retinex import divide_illumination, limit_illumination
from sci_plugins.models.enhancers.base import (
    MAX_CHANNELS,
    MAX_LAYERS,
    RetinexEnhancer,
    reset_parameters,
)
from sci_plugins.models.enhancers.weights import load_enhancer_weights
from sci_plugins.registry import MODELS

#: How much of the last step's brightening the next guess takes back.
_RECTIFICATION = 0.5


@MODELS.register_module()
class RUASEnhancer(RetinexEnhancer):
    """Illumination in a few unrolled steps, each a local maximum and a small network.

    Every step looks at the image as enhanced so far, ``u`` (at first the image ``x``):
    ``g = localmax(u) - (u - x) / 2`` is a guess at the illumination, whose second term
    takes back part of the brightening of the step before; ``f = g +
    relu(conv(relu(conv(g))))``; ``t = clamp(sigmoid(conv(f)) + x, 1e-4, 1)``;
    ``u = x / t``. All steps share one set of weights; the last ``t`` is the result.

    Unrolled like the illumination part of RUAS, but not RUAS itself, whose network was
    found by a search and whose other part removes noise. Here are three plain convolutions
    and no denoising, and as in SCI the sigmoid is added to the image, so that the
    illumination is nowhere below it.

    Args:
        iterations: number of steps, 1 to 100.
        channels: hidden width of the residual block, 1 to 1024.
        weights: path of a file that one of our trainings exported. ``None`` initialises
            like SCI, see :func:`reset_parameters`.

    Shape:
        - input: ``(N, 3, H, W)``, RGB, float, values in [0, 1]
        - output: same; :meth:`illuminate` also gives the illumination

    Raises:
        ConfigError: if ``iterations`` or ``channels`` is out of range.
        CheckpointError: if ``weights`` cannot be loaded in full.

    Source: Liu et al., "Retinex-inspired Unrolling with Cooperative Prior
    Architecture Search for Low-light Image Enhancement", CVPR 2021, arXiv 2012.05609.
    """

    def __init__(self, iterations: int = 3, channels: int = 3, weights: str | None = None) -> None:
        super().__init__()
        check_at_least(1, 'RUASEnhancer', most=MAX_LAYERS, iterations=iterations)
        check_at_least(1, 'RUASEnhancer', most=MAX_CHANNELS, channels=channels)
        self.iterations = iterations
        self.channels = channels
        self.guess_conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.guess_conv2 = nn.Conv2d(channels, 3, 3, padding=1)
        self.light_conv = nn.Conv2d(3, 3, 3, padding=1)
        reset_parameters(self)
        if weights is not None:
            load_enhancer_weights(self, weights)

    @property
    def receptive_radius(self) -> int:
        """Four pixels per step: the local maximum and three 3x3 convolutions."""
        return 4 * self.iterations

    def estimate_illumination(self, image: Tensor) -> Tensor:
        illumination = self._step(image, image)
        for _ in range(self.iterations - 1):
            illumination = self._step(image, divide_illumination(image, illumination))
        return illumination

    def _step(self, image: Tensor, enhanced: Tensor) -> Tensor:
        guess = local_maximum(enhanced) - _RECTIFICATION * (enhanced - image)
        hidden = F.relu(apply_conv(self.guess_conv1, guess))
        features = guess + F.relu(apply_conv(self.guess_conv2, hidden))
        light = torch.sigmoid(apply_conv(self.light_conv, features))
        return limit_illumination(light + image)

    def extra_repr(self) -> str:
        return f'iterations={self.iterations}, channels={self.channels}'


def local_maximum(image: Tensor) -> Tensor:
    """The largest value in each pixel's 3x3 neighbourhood inside the image.

    Equal values share the gradient. Max-pooling would give all of it to the first one,
    and so prefer the upper left of even areas.

    Args:
        image: ``(N, C, H, W)``, any range.

    Returns:
        Same shape.
    """
    for axis in (-2, -1):
        length = image.shape[axis]
        first, last = image.narrow(axis, 0, 1), image.narrow(axis, length - 1, 1)
        before = torch.cat([first, image.narrow(axis, 0, length - 1)], axis)
        after = torch.cat([image.narrow(axis, 1, length - 1), last], axis)
        image = torch.maximum(image, torch.maximum(before, after))
    return image
