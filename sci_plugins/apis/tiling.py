"""Enhance images of any size in bounded memory, in seamless tiles."""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers.base import BaseEnhancer, Enhanced, RetinexEnhancer

#: White in each dtype of pixels.
_WHITE = {'uint8': 255, 'uint16': 65535, 'float32': 1}


class EnhancedPixels(NamedTuple):
    """Enhanced pixels ``(H, W, C)`` and, if asked for, illumination ``(H, W, 3)``."""

    image: np.ndarray
    illumination: np.ndarray | None


class Tile(NamedTuple):
    """Slices (rows, columns) of an image: the pixels to compute, and those to compute them from."""

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]
    crop: tuple[slice, slice]  # where ``inner`` lies within ``outer``


def enhance_pixels(
    enhancer: BaseEnhancer,
    pixels: np.ndarray,
    *,
    tile: int = 1024,
    illumination: bool = False,
    dtype: Any = None,
    device: torch.device | str = 'cpu',
) -> EnhancedPixels:
    """Enhance one image, tile by tile.

    Tiles overlap by the enhancer's ``receptive_radius``, and the border of the image stays the
    border of the outermost tiles, so the result equals that of the whole image (float rounding may
    move a value by one grey level). If the radius is ``None`` the image is enhanced in one piece.

    Integers are truncated, ``uint8(255 * value)``, as in the authors' code. A grey image is
    enhanced as RGB with equal channels; the result is the luma (ITU-R BT.601) of that.

    Args:
        enhancer: in eval mode, on ``device``.
        pixels: ``(H, W, 3)`` RGB or ``(H, W, 1)`` grey; uint8, uint16, or float32 in [0, 1].
        tile: side of a tile in pixels, without the overlap.
        illumination: also return the illumination map, RGB.
        dtype: dtype of the result; by default that of ``pixels``.
        device: device to compute on.

    Raises:
        ConfigError: if the enhancer has no ``illumination``.
        DataError: if the enhancer returns NaN or infinite values.
    """
    if illumination and not isinstance(enhancer, RetinexEnhancer):
        raise ConfigError(f'{type(enhancer).__name__} has no illumination map')
    dtype = np.dtype(dtype or pixels.dtype)
    height, width, channels = pixels.shape
    image = np.empty((height, width, channels), dtype)
    if not illumination and _enhance_bytes(enhancer, pixels, image, device):
        return EnhancedPixels(image, None)
    lamp = np.empty((height, width, 3), dtype) if illumination else None
    for part in split(height, width, tile, enhancer.receptive_radius):
        batch, (rows, columns) = _to_tensor(pixels[part.outer], device), part.crop
        with torch.inference_mode():
            if illumination and isinstance(enhancer, RetinexEnhancer):
                result = enhancer.illuminate(batch)
            else:
                result = Enhanced(enhancer(batch), batch)
        enhanced = result.image[..., rows, columns]
        image[part.inner] = _to_array(_luma(enhanced) if channels == 1 else enhanced, dtype)
        if lamp is not None:
            lamp[part.inner] = _to_array(result.illumination[..., rows, columns], dtype)
    return EnhancedPixels(image, lamp)


def _enhance_bytes(
    enhancer: BaseEnhancer, pixels: np.ndarray, image: np.ndarray, device: torch.device | str
) -> bool:
    """Fill ``image`` in one pass, where there is one for these pixels."""
    kinds = {array.dtype.name for array in (pixels, image)}
    if kinds != {'uint8'} or pixels.shape[2] != 3 or torch.device(device).type != 'cpu':
        return False
    pixels = np.require(pixels, requirements=['C', 'W'])  # decoders' arrays may be read-only
    views = (torch.from_numpy(each)[None].permute(0, 3, 1, 2) for each in (pixels, image))
    with torch.inference_mode():
        return enhancer.enhance_bytes(*views, scale=255.0)


def split(height: int, width: int, tile: int, radius: int | None) -> Iterator[Tile]:
    """Cut ``height`` x ``width`` pixels into tiles that overlap by ``radius`` inside the image.

    One tile if ``radius`` is ``None``.
    """
    if radius is None:
        tile, radius = max(height, width), 0
    for pair in product(_spans(height, tile, radius), _spans(width, tile, radius)):
        yield Tile(*zip(*pair, strict=True))


def _spans(length: int, tile: int, radius: int) -> Iterator[tuple[slice, slice, slice]]:
    """Parts of one side as they are, widened by ``radius``, and where the one is in the other."""
    for low in range(0, length, tile):
        high, start = min(low + tile, length), max(low - radius, 0)
        outer = slice(start, min(high + radius, length))
        yield slice(low, high), outer, slice(low - start, high - start)


def _to_tensor(pixels: np.ndarray, device: torch.device | str) -> Tensor:
    """``(1, 3, H, W)`` float32 in [0, 1] of ``(H, W, C)`` pixels."""
    white = _WHITE[pixels.dtype.name]
    if pixels.dtype == np.uint16:  # torch has few operations for it
        pixels = pixels.astype(np.int32)
    # A copy, because decoders return read-only and reversed arrays, which torch refuses.
    tensor = torch.from_numpy(np.array(pixels, order='C')).to(device)
    image = tensor.permute(2, 0, 1)[None].to(torch.float32).div_(white)
    return image if image.shape[1] == 3 else image.repeat(1, 3, 1, 1)


def _luma(rgb: Tensor) -> Tensor:
    """BT.601 luma ``(1, 1, H, W)``, written so that equal channels stay exactly the same."""
    red, green, blue = rgb.split(1, dim=1)
    return green + 0.299 * (red - green) + 0.114 * (blue - green)


def _to_array(image: Tensor, dtype: np.dtype) -> np.ndarray:
    """``(H, W, C)`` integers, truncated, of ``(1, C, H, W)`` floats in [0, 1]."""
    if not image.sum().isfinite():
        raise DataError('the enhancer returned NaN or infinite values')
    scaled = image[0].permute(1, 2, 0).clamp(0, 1).mul_(_WHITE[dtype.name])
    if dtype == np.uint8:
        scaled = scaled.to(torch.uint8)
    return scaled.cpu().numpy().astype(dtype, copy=False)
