"""3x3 convolutions of few channels, arranged so that vector units are full.

A library convolution in channels-last memory puts output channels into the lanes
of a vector register: three channels use three of sixteen lanes. Here one step
gives the output channels of ``k`` neighbouring pixels, as ``k`` times as many
channels of a wider kernel, which then moves by ``k`` pixels. The numbers come out
in the order of the channels-last image, so nothing has to be rearranged.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Floats in a vector register, by what ``get_cpu_capability`` says; else 4.
LANES = {'AVX512': 16, 'AVX2': 8}


class Conv(NamedTuple):
    """A 3x3 convolution: ``(out, in, 3, 3)`` and ``(out,)``."""

    weight: Tensor
    bias: Tensor


class PackedConv:
    """A 3x3 convolution that gives ``pixels`` neighbouring pixels at each step.

    Args:
        conv: weight and bias.
        pixels: how many; by default as many as fill a vector register.
    """

    def __init__(self, conv: Conv, pixels: int | None = None) -> None:
        self.pixels = pixels or pixels_per_step(conv.weight.shape[0])
        self.weight = pack_weight(conv.weight, self.pixels)
        self.bias = conv.bias.repeat(self.pixels)

    def __call__(self, image: Tensor) -> Tensor:
        """Convolve ``(N, C, H, W)``; W is a multiple of ``pixels``, two of them or more.

        (One step only, of one channel: oneDNN 3.12 gives wrong values for a batch.)
        Finite values only: what is not finite reaches the whole group of pixels.

        Returns:
            ``(N, out, H - 2, W)``, channels-last: zeros are taken left and right
            of the image, but no rows above and below.
        """
        step = (1, self.pixels)
        packed = F.conv2d(image, self.weight, self.bias, stride=step, padding=(0, 1))
        number, channels, height, width = packed.shape
        shape = (number, height, width * self.pixels, channels // self.pixels)
        return packed.permute(0, 2, 3, 1).reshape(shape).permute(0, 3, 1, 2)


def pixels_per_step(channels: int) -> int:
    """How many pixels of ``channels`` floats a vector register of this CPU holds."""
    lanes = LANES.get(torch.backends.cpu.get_cpu_capability(), 4)
    return max(1, lanes // channels)


def pack_weight(weight: Tensor, pixels: int) -> Tensor:
    """``(out, in, 3, 3)`` -> ``(pixels * out, in, 3, pixels + 2)``, channels-last.

    The kernel of pixel ``i`` stands ``i`` columns to the right. Rows of
    ``pixels + 3`` columns, read as rows of ``pixels + 2``, move by one each.
    """
    out, inner = weight.shape[:2]
    rows = F.pad(weight, (0, pixels)).unsqueeze(-2).expand(-1, -1, -1, pixels, -1)
    band = rows.flatten(-2)[..., : pixels * (pixels + 2)].unflatten(-1, (pixels, -1))
    packed = band.permute(3, 0, 1, 2, 4).reshape(pixels * out, inner, 3, pixels + 2)
    return packed.contiguous(memory_format=torch.channels_last)
