"""RUAS as its authors published it, and a plain estimator by unrolled iterations after it."""

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.errors import check_at_least
from sci_plugins.functional.conv_norm import apply_conv
from sci_plugins.functional.retinex import divide_illumination, limit_illumination
from sci_plugins.models.enhancers import base
from sci_plugins.models.enhancers.base import Enhanced, RetinexEnhancer
from sci_plugins.models.enhancers.weights import load_enhancer_weights
from sci_plugins.registry import MODELS

#: How much of the last step's brightening the next guess takes back.
_RECTIFICATION = 0.5
# Of RUAS itself.
_STAGES, _DARKEST = 3, 0.001
_leaky = partial(F.leaky_relu, negative_slope=0.05)
_NOISE_CHANNELS, _NOISE_BLOCKS = 6, 3


@MODELS.register_module()
class RUASEnhancer(RetinexEnhancer):
    """Illumination in a few unrolled steps, each a local maximum and a small network.

    Every step looks at the image as enhanced so far, ``u`` (at first the image ``x``): ``g =
    localmax(u) - (u - x) / 2`` is a guess at the illumination, whose second term takes back part of
    the brightening of the step before; ``f = g + relu(conv(relu(conv(g))))``; ``t =
    clamp(sigmoid(conv(f)) + x, 1e-4, 1)``; ``u = x / t``. All steps share one set of weights; the
    last ``t`` is the result. Three plain convolutions stand in place of RUAS's searched network,
    and the sigmoid is added to the image as in SCI.

    Args:
        iterations: number of steps, 1 to 100.
        channels: hidden width of the residual block, 1 to 1024.
        weights: path of a file that one of our trainings exported. ``None`` initialises like SCI.

    Images and errors are those of :class:`BaseEnhancer`.

    Source: Liu et al., "Retinex-inspired Unrolling with Cooperative Prior Architecture Search for
    Low-light Image Enhancement", CVPR 2021, arXiv 2012.05609.
    """

    def __init__(self, iterations: int = 3, channels: int = 3, weights: str | None = None) -> None:
        super().__init__()
        check_at_least(1, 'RUASEnhancer', most=base.MAX_LAYERS, iterations=iterations)
        check_at_least(1, 'RUASEnhancer', most=base.MAX_CHANNELS, channels=channels)
        self.iterations, self.channels = iterations, channels
        self.guess_conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.guess_conv2 = nn.Conv2d(channels, 3, 3, padding=1)
        self.light_conv = nn.Conv2d(3, 3, 3, padding=1)
        base.reset_parameters(self)
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
        return limit_illumination(torch.sigmoid(apply_conv(self.light_conv, features)) + image)


def local_maximum(image: Tensor) -> Tensor:
    """The largest value in each pixel's 3x3 neighbourhood inside the image ``(N, C, H, W)``.

    Equal values share the gradient. Max-pooling would give all of it to the first one, and so
    prefer the upper left of even areas.
    """
    padded = F.pad(image, (1, 1, 1, 1), mode='replicate')
    for axis, length in ((-2, image.shape[-2]), (-1, image.shape[-1])):
        before, here, after = (padded.narrow(axis, place, length) for place in range(3))
        padded = torch.maximum(here, torch.maximum(before, after))
    return padded


@MODELS.register_module()
class RUASNetEnhancer(RetinexEnhancer):
    """RUAS, the network that its authors found by a search and published.

    Three stages estimate the illumination, each with its own small network: from the brightest of a
    pixel and its neighbours to the right and below, less half of the brightening of the stage
    before, in [.001, 1]. Then a network of residual blocks may take noise away. 3,438 parameters.

    Args:
        denoise: take the noise away, as the authors do with ``'ruas/lol'`` alone.
        weights: ``'ruas/lol'`` (with ``denoise``), ``'ruas/upe'``, ``'ruas/dark'``, or a path.
            ``None`` initialises like SCI.

    Images and errors are those of :class:`BaseEnhancer`.

    Source: as of :class:`RUASEnhancer`. The authors save the denoised image clipped, as here.
    """

    def __init__(self, denoise: bool = False, weights: str | None = None) -> None:
        super().__init__()
        self.denoise = denoise
        # Named as in the authors' files, which load as they are.
        self.enhance_net = nn.Module()
        cells = (nn.ModuleDict(dict(cell=_LightCell())) for _ in range(_STAGES))
        self.enhance_net.iems = nn.ModuleList(cells)
        self.denoise_net = _noise_net()
        base.reset_parameters(self)
        load_enhancer_weights(self, weights)

    @property
    def receptive_radius(self) -> int:
        """Three pixels for each stage, one for stem and tail of the other part, two a block."""
        return 3 * _STAGES + (2 + 2 * _NOISE_BLOCKS if self.denoise else 0)

    def estimate_illumination(self, image: Tensor) -> Tensor:
        first, *others = (stage['cell'] for stage in self.enhance_net.iems)  # type: ignore
        light = first(_brightest(image))
        for cell in others:
            enhanced = divide_illumination(image, light)
            light = cell(_brightest(enhanced) - _RECTIFICATION * (enhanced - image))
        return light

    def illuminate(self, image: Tensor) -> Enhanced:
        enhanced, light = super().illuminate(image)
        if self.denoise and image.numel():
            enhanced = (enhanced - self.denoise_net(enhanced)).clamp(0, 1)
        return Enhanced(enhanced, light)


def _brightest(image: Tensor) -> Tensor:
    """Of each pixel and those to the right, below and both; 0 beyond the image."""
    return F.max_pool2d(F.pad(image, (0, 1, 0, 1)), 2, stride=1)


class _Cell(nn.Module):
    """What the search found, as published, by the names of the authors' files.

    Each of ``layers`` is a convolution by the size of its kernel; that of ``c2_d`` is dilated.
    """

    def __init__(self, channels: int, **layers: int) -> None:
        super().__init__()
        for name, kernel in layers.items():
            dilation = 2 if name == 'c2_d' else 1
            padding = dilation * (kernel // 2)
            conv = nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation)
            self.add_module(name, nn.ModuleDict(dict(op=conv)))
        self.c5 = nn.Conv2d(4 * channels, channels, 1)


class _LightCell(_Cell):
    """Of a guess at the illumination, that of the next stage; some layers add their input twice."""

    def __init__(self) -> None:
        super().__init__(3, c1_r=1, c2_d=3, c2_r=3, c3_d=3, c4=3)

    def forward(self, guess: Tensor) -> Tensor:
        own: Any = self
        d1 = _leaky(guess)
        r1 = _leaky(own.c1_r['op'](guess) + 2 * guess)
        d2 = _leaky(own.c2_d['op'](r1) + r1)
        r2 = _leaky(own.c2_r['op'](r1) + r1)
        d3 = _leaky(own.c3_d['op'](r2))
        r4 = _leaky(own.c4['op'](_leaky(2 * r2)))
        light = self.c5(torch.cat([d1, d2, d3, r4], 1))
        return torch.sigmoid(light).clamp(_DARKEST, 1.0)


def _noise_net() -> nn.Sequential:
    """From an image, ``(N, 3, H, W)``, its noise."""
    stem = nn.Conv2d(3, _NOISE_CHANNELS, 3, padding=1)
    cells = nn.Sequential(*[_NoiseCell() for _ in range(_NOISE_BLOCKS)])
    last = nn.Sequential(nn.Conv2d(_NOISE_CHANNELS, 3, 3, padding=1))
    return nn.Sequential(OrderedDict(stem=stem, nrms=cells, activate=last))


class _NoiseCell(_Cell):
    def __init__(self) -> None:
        super().__init__(_NOISE_CHANNELS, c1_d=1, c1_r=1, c2_d=3, c3_d=1, c3_r=1)

    def forward(self, features: Tensor) -> Tensor:
        own: Any = self
        d1 = _leaky(own.c1_d['op'](features) + features)
        r1 = _leaky(own.c1_r['op'](features) + 2 * features)
        d2 = _leaky(own.c2_d['op'](r1) + r1)
        r2 = _leaky(2 * r1)
        d3 = _leaky(own.c3_d['op'](r2) + r2)
        r4 = _leaky(_leaky(own.c3_r['op'](r2) + 2 * r2))
        return self.c5(torch.cat([d1, d2, d3, r4], 1))
