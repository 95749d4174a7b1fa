"""A host's images: conversion to RGB in [0, 1] and back, and what its pipeline filled.

Each conversion allocates one new image and works on it in place: at a photograph's size, touching
fresh memory costs more than the arithmetic.
"""

from collections.abc import Iterable, Sequence

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
