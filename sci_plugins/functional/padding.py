"""Finding the constant colour with which a host's pipeline padded an image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Smallest side of an area of one colour that counts as fill, not as picture.
MIN_FILL_SIZE = 9


def valid_size(image: Tensor, color: Sequence[float]) -> tuple[int, int]:
    """Size of an image without the fill colour at its bottom and right edge.

    YOLOX and RTMDet pad in their pipelines and overwrite ``img_shape``, so the
    pixels alone tell where the image ends.

    Args:
        image: ``(3, H, W)``, any dtype, in the channel order of ``color``.
        color: the fill colour, three values on the scale of ``image``.

    Returns:
        ``(height, width)``; the full size where nothing, or everything, is fill.
    """
    height, width = image.shape[-2:]
    fill = image.new_tensor(color)
    if image.numel() == 0 or not torch.equal(image[:, -1, -1], fill):
        return height, width
    is_fill = (image == fill.view(3, 1, 1)).all(dim=0)
    rows = (~is_fill.all(dim=1)).nonzero()
    columns = (~is_fill.all(dim=0)).nonzero()
    if len(rows) == 0:
        return height, width
    return int(rows[-1]) + 1, int(columns[-1]) + 1


def fill_mask(image: Tensor, color: Sequence[float]) -> Tensor:
    """Where areas of the fill colour lie inside an image (mosaic, affine, expand).

    Single pixels of that colour are picture: only areas that hold a square of
    9 x 9 pixels count (a morphological opening).

    Args:
        image: ``(3, H, W)``, any dtype.
        color: the fill colour, three values on the scale of ``image``.

    Returns:
        ``(H, W)``, bool.
    """
    fill = image.new_tensor(color).view(3, 1, 1)
    is_fill = (image == fill).all(dim=0)
    if not bool(is_fill.any()):
        return is_fill
    radius = MIN_FILL_SIZE // 2
    picture = (~is_fill).float()[None]
    eroded = 1 - F.max_pool2d(picture, MIN_FILL_SIZE, stride=1, padding=radius)
    opened = F.max_pool2d(eroded, MIN_FILL_SIZE, stride=1, padding=radius)
    return (opened[0] > 0) & is_fill
