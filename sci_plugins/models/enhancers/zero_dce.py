"""Zero-DCE and Zero-DCE++: a network that estimates brightening curves for each pixel."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.errors import check_at_least
from sci_plugins.models.enhancers.base import BaseEnhancer, reset_parameters
from sci_plugins.models.enhancers.weights import load_without_denormals
from sci_plugins.registry import MODELS

_CHANNELS, _ITERATIONS = 32, 8
# Inputs of the seven layers: the last three see an earlier layer beside the one before.
_INPUTS = (3, *[_CHANNELS] * 3, *[2 * _CHANNELS] * 3)


@MODELS.register_module()
class ZeroDCEEnhancer(BaseEnhancer):
    """Zero-DCE and Zero-DCE++: eight curves ``x + r * (x ** 2 - x)``, one after the other.

    A network of seven 3x3 convolutions gives ``r`` in (-1, 1) for each pixel and channel. In
    Zero-DCE each curve has an ``r`` of its own (79,416 parameters). Zero-DCE++ has one for all,
    separable convolutions (10,561 parameters), and estimates it at a twelfth of the image's size.

    Args:
        separable: Zero-DCE++'s layers and its single ``r``.
        scale: the network sees the image at this fraction of its size, 1 to 64; Zero-DCE++'s
            authors use 12. Sizes that are no multiple are padded by reflection (by the border's
            values below ``scale`` pixels) and cropped again, where the authors crop.
        weights: ``'zero-dce/official'``, ``'zero-dce++/official'``, or a path. ``None``
            initialises as the authors do.

    Raises:
        ConfigError: if ``scale`` is out of range.
        CheckpointError: if ``weights`` cannot be loaded in full.

    Source: Guo et al., "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement",
    CVPR 2020, arXiv 2001.06826; Li et al., "Learning to Enhance Low-Light Image via Zero-Reference
    Deep Curve Estimation", TPAMI 2021, arXiv 2103.00860.
    """

    def __init__(self, separable: bool = False, scale: int = 1, weights: str | None = None) -> None:
        super().__init__()
        check_at_least(1, 'ZeroDCEEnhancer', most=64, scale=scale)
        self.separable, self.scale = separable, scale
        last = 3 if separable else 3 * _ITERATIONS
        outputs = (*[_CHANNELS] * (len(_INPUTS) - 1), last)
        # Named as in the authors' files, which load as they are.
        for index, (before, after) in enumerate(zip(_INPUTS, outputs, strict=True), start=1):
            plain = nn.Conv2d(before, after, 3, padding=1)
            self.add_module(f'e_conv{index}', _separable(before, after) if separable else plain)
        reset_parameters(self)
        load_without_denormals(self, weights)

    @property
    def receptive_radius(self) -> int | None:
        """One pixel for each layer; on a reduced image, the grid depends on the whole size."""
        return len(_INPUTS) if self.scale == 1 else None

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if image.numel() == 0:
            return image
        curves = self.estimate_curves(image)
        for r in [curves] * _ITERATIONS if self.separable else curves.split(3, dim=1):
            image = image + r * (image * image - image)
        return image.clamp(0, 1)  # bfloat16 rounds past the ends

    def estimate_curves(self, image: Tensor) -> Tensor:
        """``r`` in (-1, 1): ``(N, 24, H, W)``, separable ``(N, 3, H, W)``."""
        if self.scale == 1:
            return self._network(image)
        height, width = image.shape[2:]
        bottom, right = -height % self.scale, -width % self.scale
        mode = 'reflect' if bottom < height and right < width else 'replicate'
        padded = F.pad(image, (0, right, 0, bottom), mode=mode)
        full = list(padded.shape[2:])
        size = [side // self.scale for side in full]
        small = F.interpolate(padded, size, mode='bilinear', align_corners=False)
        large = F.interpolate(self._network(small), full, mode='bilinear', align_corners=True)
        return large[..., :height, :width]

    def _network(self, image: Tensor) -> Tensor:
        one, two, three, four, five, six, seven = self.children()
        x1 = F.relu(one(image))
        x2 = F.relu(two(x1))
        x3 = F.relu(three(x2))
        x4 = F.relu(four(x3))
        x5 = F.relu(five(torch.cat([x3, x4], 1)))
        x6 = F.relu(six(torch.cat([x2, x5], 1)))
        return torch.tanh(seven(torch.cat([x1, x6], 1)))


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    """Each channel by itself, then the channels of each pixel."""
    depth = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
    return nn.Sequential(OrderedDict(depth_conv=depth, point_conv=nn.Conv2d(inputs, outputs, 1)))
