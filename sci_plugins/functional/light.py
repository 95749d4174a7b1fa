"""The light of an image: how bright it is, and how evenly."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.image_quality import LUMA, check_images, clipped_share
from sci_plugins.functional.tensors import constant, is_exporting, is_recorded, quantiles

_STEP = 4  # every so many pixels are looked at for quantiles
_CELLS = 8  # along the longer side, for the unevenness
_LARGE = 2**16  # from so many values on, the order of pooling matters
_FLOOR = 1 / 255  # one 8-bit level: the floor of logarithms


class LightStatistics(NamedTuple):
    """Of each image, from its pixel values' BT.601 luma; all ``(N,)``, without gradient."""

    mean: Tensor  # in [0, 1], like the quantiles
    #: quantiles .1, .5 and .9
    low: Tensor
    median: Tensor
    high: Tensor
    highlights: Tensor  # fraction of pixels whose brightest channel is clipped at white
    #: standard deviation of the natural logarithm of the mean luma of regions (8 along the longer
    #: side); 0 is even, a vignette is about .2, a lamp at night above 1
    unevenness: Tensor


@torch.no_grad()
def light_statistics(image: Tensor) -> LightStatistics:
    """Light of each image of RGB ``(N, 3, H, W)``, float, [0, 1], by itself.

    Quantiles and highlights are of every fourth pixel along both axes. Other shapes: ValueError.
    """
    check_images('light_statistics', image=image)
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    few = image[..., ::_STEP, ::_STEP].contiguous()
    luma = _luma(few)
    low, median, high = quantiles(luma, 0.1, 0.5, 0.9)
    uneven = (_luma(to_cells(image, _CELLS)) + _FLOOR).log().std(1, correction=0)
    return LightStatistics(luma.mean(1), low, median, high, clipped_share(few), uneven)


def to_cells(image: Tensor, cells: int) -> Tensor:
    """Means of about square regions, ``cells`` along the longer side; differentiable.

    ``(N, C, H, W)`` to ``(N, C, h, w)``, ``max(h, w) = cells``; a side of fewer pixels keeps them.
    """
    sides = image.shape[-2:]
    if is_exporting():  # any size: the same sums, as products of matrices
        down, across = (_region_averages(image, side, cells, max(sides)) for side in sides)
        return down @ image @ across.T
    longest = max(sides)
    height, width = (min(side, max(1, round(cells * side / longest))) for side in sides)
    if image.is_cpu and image.numel() >= _LARGE and not is_recorded():
        # The columns' means first: a third of the time, for PyTorch pools value by value.
        edges = [(n * sides[0] // height, -(-(n + 1) * sides[0] // height)) for n in range(height)]
        image = torch.stack([image[..., top:bottom, :].mean(-2) for top, bottom in edges], -2)
    return F.adaptive_avg_pool2d(image, (height, width))


def _region_averages(image: Tensor, side: int, cells: int, longest: int) -> Tensor:
    exact = image.new_full((), side, dtype=torch.float64)
    count = (cells * exact / longest).round().clamp_min(1).minimum(exact).long()
    return averages(image, side, count.item())  # type: ignore[arg-type]  # int() fixes a graph


def averages(image: Tensor, side: int, count: int) -> Tensor:
    """Row by row, the weights of adaptive pooling of ``side`` pixels to ``count``."""
    cell = torch.arange(count, device=image.device)[:, None]
    pixel = torch.arange(side, device=image.device)
    first, end = cell * side // count, ((cell + 1) * side + count - 1) // count
    inside = ((first <= pixel) & (pixel < end)).to(image.dtype)
    return inside / inside.sum(1, keepdim=True)


def _luma(image: Tensor) -> Tensor:
    """``(N, 3, H, W)`` to ``(N, H * W)``."""
    return torch.einsum('nchw,c->nhw', image, constant(LUMA, image)).flatten(1)
