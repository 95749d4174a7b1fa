"""SCI's estimator without gradients: the same function, several times as fast on a CPU.

Where it can, :mod:`sci_plugins.functional.kernels.sci_fused` computes, faster still. Else PyTorch,
without what makes the plain implementation slow:

* Three channels fill a fifth of a vector register: see :mod:`sci_plugins.functional.conv3x3`.
* Intermediate results of the whole image are new pages for each call, which the system must map and
  clear. Here the image is processed in strips of rows (with as many around as the convolutions
  reach), whose memory the allocator reuses. They have one of few shapes: oneDNN compiles its
  convolutions for each shape and keeps the code of about a thousand.
* BatchNorm is folded into the convolution before it, and the rest works in place, on a strip that
  is still in the cache.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from math import lcm
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from sci_plugins.functional.conv3x3 import Conv, PackedConv
from sci_plugins.functional.kernels.sci_fused import enhance_fused
from sci_plugins.functional.retinex import MIN_ILLUMINATION

PIXELS_PER_THREAD = 128 * 1024  #: of a strip: buffers of a few MB stay in the cache
MAX_PIXELS = 4 * PIXELS_PER_THREAD  #: the allocator does not keep the memory of larger strips
MIN_ROWS = 16  #: with fewer rows, too much time would go into the rows around them

Result = tuple[Tensor, Tensor | None]  #: enhanced images, and their illumination if that is wanted


class FoldedSCI(NamedTuple):
    """SCI's estimator with BatchNorm folded into the shared block's convolution."""

    first: Conv
    block: Conv
    last: Conv
    layers: int

    @property
    def fuses(self) -> bool:
        """Whether it is the chain that :func:`enhance_fused` computes, three channels each."""
        return self.layers == 1 and self.first.weight.shape[0] == 3


def fold_sci(
    first: nn.Conv2d, block: nn.Conv2d, norm: nn.BatchNorm2d, last: nn.Conv2d, layers: int
) -> FoldedSCI:
    """Fold SCI's layers, 3x3 convolutions with bias, for :func:`enhance_folded`.

    ``block``, whose ``norm`` uses its running statistics, is applied ``layers`` times. Cheap enough
    to do at every call, so that no copy can be out of date.
    """
    norms: Any = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    folded = fuse_conv_bn_weights(block.weight, block.bias, *norms)
    ends: Any = (first.weight, first.bias), (last.weight, last.bias)
    return FoldedSCI(Conv(*ends[0]), Conv(*folded), Conv(*ends[1]), layers)


@torch.no_grad()
def enhance_folded(image: Tensor, folded: FoldedSCI, illumination: bool = False) -> Result:
    """Enhance RGB in [0, 1], finite, ``(N, 3, H, W)``, any strides, on the device of ``folded``.

    Gives the enhanced image and, if wanted, the illumination (else ``None``), without gradients,
    those of ``SCIEnhancer.illuminate`` up to rounding.
    """
    is_single = image.dtype == torch.float32
    if is_single and folded.fuses and not illumination:
        enhanced = torch.empty(image.shape, device=image.device)
        planes = image if image.stride(3) == 1 else image.contiguous()
        if enhance_fused(planes, enhanced, folded[:3]):
            return enhanced, None
    if is_single and image.device.type == 'cpu':
        return _enhance_in_strips(image, folded, illumination)
    return _enhance_whole(image, folded, illumination)


def _enhance_whole(image: Tensor, folded: FoldedSCI, illumination: bool) -> Result:
    image = image.contiguous(memory_format=torch.channels_last)
    features = F.conv2d(image, *folded.first, padding=1).relu_()
    for _ in range(folded.layers):
        features = F.conv2d(features, *folded.block, padding=1).relu_().add_(features)
    light = F.conv2d(features, *folded.last, padding=1).sigmoid_().add_(image)
    light.clamp_(MIN_ILLUMINATION, 1.0)
    if illumination:
        return (image / light).clamp_(0.0, 1.0), light
    return torch.div(image, light, out=light).clamp_(0.0, 1.0), None


class _Strip(NamedTuple):
    """Rows of some images, and how many of the surrounding rows are outside the images."""

    images: slice
    rows: slice
    above: int
    below: int


def _strips(image: Tensor, radius: int, padded_width: int) -> Iterator[_Strip]:
    """Rows of one image, of which the last may lie below it, or of several small images."""
    number, _, height, width = image.shape
    pixels = min(PIXELS_PER_THREAD * torch.get_num_threads(), MAX_PIXELS)
    heights = list(_heights(height, max(MIN_ROWS, pixels // padded_width)))
    group = max(1, pixels // (height * width))
    for first in range(0, number, group):
        images = slice(first, min(first + group, number))
        for top, bottom in pairwise(accumulate(heights, initial=0)):
            above, below = max(0, radius - top), max(0, bottom + radius - height)
            yield _Strip(images, slice(top, bottom), above, below)


def _heights(height: int, most: int) -> Iterator[int]:
    """Heights of strips that cover ``height`` rows: ``most`` rows, then powers of two."""
    while height > 0:
        power = 1 << (height - 1).bit_length()
        rows = min(power, most)
        if 3 * rows > 4 * height:  # too many rows would be computed in vain
            rows = power // 2
        rows = max(rows, MIN_ROWS)
        yield rows
        height -= rows


def _padded_width(width: int, step: int) -> int:
    """``width`` or up to an eighth more: a multiple of ``step``, at least twice that."""
    steps = max(2, -(-width // step))
    unit = 1 << max(0, steps.bit_length() - 4)
    return -(-steps // unit) * unit * step


class _StripEstimator:
    """Estimates the illumination strip by strip, with one input buffer for all."""

    def __init__(self, image: Tensor, folded: FoldedSCI) -> None:
        self.image = image
        self.radius = 2 + folded.layers
        self.first = PackedConv(folded.first)
        self.blocks = [PackedConv(folded.block)] * folded.layers
        self.last = PackedConv(folded.last)
        self.width = image.shape[-1]
        # The extra columns stay 0, as outside the image.
        width = _padded_width(self.width, lcm(self.first.pixels, self.last.pixels))
        self.strips = list(_strips(image, self.radius, width))
        number = self.strips[0].images.stop
        height = max(each.rows.stop - each.rows.start for each in self.strips)
        self.buffer = image.new_zeros(number, height + 2 * self.radius, width, 3)

    def load(self, strip: _Strip) -> Tensor:
        """The strip and the rows around it, 0 outside the image."""
        top = strip.rows.start - self.radius + strip.above
        bottom = strip.rows.stop + self.radius - strip.below
        images = self.image[strip.images, :, top:bottom].permute(0, 2, 3, 1)
        end = strip.above + bottom - top
        buffer = self.buffer[: len(images), : end + strip.below]
        buffer[:, : strip.above] = 0.0
        buffer[:, end:] = 0.0
        buffer[:, strip.above : end, : self.width] = images
        return buffer.permute(0, 3, 1, 2)

    def estimate(self, strip: _Strip) -> tuple[Tensor, Tensor]:
        """The strip's image and its illumination, without the rows below the image."""
        image = self.load(strip)
        features = self._clear_outside(self.first(image).relu_(), strip, 1)
        for done, block in enumerate(self.blocks, 2):
            features = block(features).relu_().add_(features[:, :, 1:-1])
            self._clear_outside(features, strip, done)
        inside = image[:, :, self.radius : -self.radius, : self.width]
        light = self.last(features)[..., : self.width].sigmoid_().add_(inside)
        rows = self.image.shape[2] - strip.rows.start
        return inside[:, :, :rows], light[:, :, :rows].clamp_(MIN_ILLUMINATION, 1.0)

    def _clear_outside(self, features: Tensor, strip: _Strip, done: int) -> Tensor:
        """Zero the features outside the image, where a zero-padded convolution expects 0."""
        height = features.shape[2]
        features[:, :, : max(0, strip.above - done)] = 0.0
        features[:, :, height - max(0, strip.below - done) :] = 0.0
        features[..., self.width :] = 0.0
        return features


def _enhance_in_strips(image: Tensor, folded: FoldedSCI, illumination: bool) -> Result:
    enhanced = torch.empty_like(image, memory_format=torch.channels_last)
    light = torch.empty_like(enhanced) if illumination else None
    if image.numel() == 0:
        return enhanced, light
    estimator = _StripEstimator(image, folded)
    for strip in estimator.strips:
        inside, values = estimator.estimate(strip)
        torch.div(inside, values, out=enhanced[strip.images, :, strip.rows]).clamp_(0.0, 1.0)
        if light is not None:
            light[strip.images, :, strip.rows] = values
    return enhanced, light
