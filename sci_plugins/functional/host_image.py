"""A host's images: conversion to RGB in [0, 1] and back, what its pipeline filled, or enlarged.

Each conversion allocates one new image and works on it in place: at a photograph's size, touching
fresh memory costs more than the arithmetic.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.tensors import constant


def host_to_rgb(image: Tensor, order: str = 'bgr', white: float = 255) -> Tensor:
    """A host's images ``(N, 3, H, W)`` to RGB float32 in [0, 1], always new memory. Differentiable.

    They are uint8, or of another dtype in [0, ``white``], the value that becomes 1; values outside
    are clamped. ``order``, ``'bgr'`` or ``'rgb'``, is that of their channels.
    """
    if order == 'bgr':
        image = image.flip(1)  # before it grows from 8 to 32 bits per value
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    return image.float().div(white).clamp_(0, 1)


def rgb_to_host(image: Tensor, order: str = 'bgr', white: float = 255) -> Tensor:
    """RGB in [0, 1] to a host's images, contiguous, new memory; else as :func:`host_to_rgb`."""
    planes = image.unbind(1)
    return torch.stack(planes[::-1] if order == 'bgr' else planes, dim=1).mul_(white)


MIN_FILL_SIZE = 9  #: smallest side of an area of the fill colour that is not content


def valid_size(image: Tensor, color: Sequence[float]) -> tuple[int, int]:
    """Size ``(height, width)`` of an image without the fill at its bottom and right edges.

    YOLOX and RTMDet pad in their pipelines and overwrite ``img_shape``, so that only the pixels
    show where the image ends. The full size if nothing or everything is fill. The image is ``(3, H,
    W)``, any dtype; ``color``, three values, on its scale and in its channel order.
    """
    return valid_sizes([image], color)[0]


def valid_sizes(images: Iterable[Tensor], color: Sequence[float]) -> list[tuple[int, int]]:
    """:func:`valid_size` of each image. A GPU that they are on is waited for once."""
    sizes, ends = {}, {}
    for index, image in enumerate(images):
        sizes[index] = (image.shape[1], image.shape[2])
        # On a CPU, the corner shows at no cost that an image is not padded.
        if image.numel() and not (image.is_cpu and not _is_fill(image[:, -1:, -1:], color)):
            content = ~_is_fill(image, color)
            ends[index] = torch.stack([_last(content.any(dim=1)), _last(content.any(dim=0))])
    if ends:
        found = zip(ends, torch.stack(list(ends.values())).tolist(), strict=True)
        sizes |= {index: (height, width) for index, (height, width) in found if height}
    return list(sizes.values())


def _is_fill(image: Tensor, color: Sequence[float]) -> Tensor:
    """Where all channels of ``(3, H, W)`` have their colour, rounded as the image is."""
    return (image == constant(color, image).view(3, 1, 1)).all(dim=0)


def _last(flags: Tensor) -> Tensor:
    """One more than the last place that is true, or 0."""
    return (flags * torch.arange(1, len(flags) + 1, device=flags.device)).amax()


def fill_mask(image: Tensor, color: Sequence[float]) -> Tensor:
    """Mask ``(H, W)``, bool, of the fill inside an image (mosaic, affine, expand).

    The content may contain pixels of that colour too, so only areas that hold a square of 9 x 9
    pixels count (a morphological opening). Arguments as of :func:`valid_size`.
    """
    is_fill = _is_fill(image, color)
    if image.is_cpu and not bool(is_fill.any()):
        return is_fill
    radius = MIN_FILL_SIZE // 2
    eroded = 1 - F.max_pool2d((~is_fill).float()[None], MIN_FILL_SIZE, stride=1, padding=radius)
    opened = F.max_pool2d(eroded, MIN_FILL_SIZE, stride=1, padding=radius)
    return (opened[0] > 0) & is_fill


#: Smaller enlargements hardly change noise.
_ENLARGED = 1.1
# Pixels that are solved for together, and more on each side, so that what lies beyond hardly counts
# (.04 steps of 8 bits where noise was enlarged 1.1 times).
_BLOCK, _MARGIN = 32, 8
# Keeps rounding small where a pixel is seen only together with its neighbour.
_RIDGE = 1e-4


def size_before(sample: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image before its pipeline enlarged it to ``size``; or ``size``.

    ``sample`` is its data sample, or ``None``.
    """
    before: Any = getattr(sample, 'ori_shape', None)
    scale: Any = getattr(sample, 'scale_factor', None)
    if np.size(before) < 2 or np.size(scale) != 2:
        return size
    width, height = scale
    fits = all(
        share >= _ENLARGED and abs(old * share - new) < 1
        for old, share, new in zip(before, (height, width), size, strict=False)
    )
    return (before[0], before[1]) if fits else size


def undo_enlargement(image: Tensor, size: tuple[int, int], steps: int = 0) -> Tensor:
    """Images ``(N, 3, h, w)`` that bilinear interpolation enlarged to ``image``, ``(N, 3, H, W)``.

    The least squares solution along each axis, in [0, 1]; differentiable. Of 8-bit noise that was
    rounded again after it was enlarged by 2, nine in ten values are exact; by 1.25, three in four,
    the others one level off.

    Args:
        image: float, in [0, 1].
        size: ``(h, w)``, at most the size of ``image``.
        steps: largest value of integer images, such as 255, to whose levels it rounds; 0: none.
    """
    pairs = zip(size, image.shape[2:], strict=True)
    # Weights of an export, or of a fake tensor, are fake themselves: they must not be kept.
    find = _parts if type(image) is Tensor else _parts.__wrapped__
    rows, columns = (find(*pair, image.dtype, image.device) for pair in pairs)
    image = torch.cat([image[..., at : at + len(w)] @ w for at, w in columns], 3)
    parts = [w.mT @ image[..., at : at + len(w), :] for at, w in rows]
    result = torch.cat(parts, 2).clamp(0, 1)
    if steps:  # with the gradient of values that are not rounded
        result = (result.detach() * steps).round() / steps + (result - result.detach())
    return result


@lru_cache(maxsize=64)  # for a GPU, copied once for each size
@torch.inference_mode(False)  # which may have been on: training needs them too
def _parts(
    number: int, enlarged: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[int, Tensor]]:
    """Of each block: its place in the enlarged row, and weights ``(K, B)`` of the pixels there."""
    scale = enlarged / number
    at = ((torch.arange(enlarged, device='cpu').double() + 0.5) / scale - 0.5).clamp(0, number - 1)
    parts = []
    for first in range(0, number, _BLOCK):
        low, high = max(first - _MARGIN, 0), min(first + _BLOCK + _MARGIN, number)
        start, stop = int(low * scale), min(int(high * scale) + 1, enlarged)
        distance = at[start:stop, None] - torch.arange(low, high, device='cpu')
        rows = (1 - distance.abs()).clamp_min(0)
        gram = rows.mT @ rows + _RIDGE * torch.eye(high - low, dtype=torch.double, device='cpu')
        weights = torch.linalg.solve(gram, rows.mT)[first - low :][:_BLOCK]
        weights = (weights / weights.sum(1, keepdim=True)).mT
        parts.append((start, weights.to(dtype).to(device)))
    return parts
