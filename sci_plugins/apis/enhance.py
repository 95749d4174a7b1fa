"""Enhancing one image in memory: in one line of Python, or of any size, in seamless tiles."""

import copy
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError, first_line
from sci_plugins.models.enhancers import build_enhancer, parse_enhancer
from sci_plugins.models.enhancers.base import BaseEnhancer, Enhanced, RetinexEnhancer
from sci_plugins.models.enhancers.weight_files import find_weight_file, is_published
from sci_plugins.models.enhancers.weights import weights_name
from sci_plugins.utils.images import read_image
from sci_plugins.utils.machine import check_device
from sci_plugins.weights import DEFAULT_ENHANCER

# Resizing leaves [0, 1] a little; far above is the 0-255 scale, far below was normalised.
_CLEARLY_ABOVE_ONE, _CLEARLY_BELOW_ZERO = 2.0, -0.25
#: An enhancer, its config or its name.
Spec = nn.Module | Mapping[str, Any] | str
_CPU = torch.device('cpu')
_SHAPES = '(H, W, 3), grey (H, W) or (H, W, 1), RGBA (H, W, 4), or a batch such as (N, H, W, 3)'
#: White in each dtype of pixels.
_WHITE = {'uint8': 255, 'uint16': 65535, 'float32': 1}


def enhance(image: Any, enhancer: BaseEnhancer | Mapping[str, Any] | str = DEFAULT_ENHANCER) -> Any:
    """Brighten an image: ``sci_plugins.enhance(image)``. Safe to call from several threads.

    Args:
        image: RGB as a tensor ``(3, H, W)`` or ``(N, 3, H, W)`` or an array ``(H, W, 3)`` or
            ``(N, H, W, 3)``, uint8 or float in [0, 1]; a grey array ``(H, W)`` or ``(H, W, 1)``, or
            an RGBA array ``(H, W, 4)``; a PIL image; a path, which gives a PIL image, upright; or a
            list of these. Images that OpenCV loaded are BGR: turn their channels around first.
        enhancer: an enhancer, a config dict, or a name such as ``'sci/official/medium'`` or
            ``'gamma'``. A module stays as it is: in train mode or on another device it is copied.

    Returns:
        What came in: same kind, shape and dtype, but RGB. 8-bit values are truncated, not rounded,
        as SCI's authors save their results. Gradients do not flow; call the enhancer for that.

    Raises:
        DataError: if the image is of another kind, shape, dtype or scale, or not finite.
        FileNotFoundError: if there is no such file.
        ConfigError: if the enhancer is not known.
    """
    if isinstance(image, list | tuple):
        module = _build(enhancer)
        return [enhance(each, module) for each in image]
    if isinstance(image, str | os.PathLike | Image.Image):
        pixels = _pixels(image) if isinstance(image, Image.Image) else read_image(image)
        return Image.fromarray(_enhance_array(pixels, enhancer))
    if isinstance(image, np.ndarray):
        return _enhance_array(image, enhancer)
    if isinstance(image, Tensor):
        return _enhance_tensor(image, enhancer)
    wish = 'a tensor, an array, a PIL image, a path or a list of these'
    raise DataError(f'image must be {wish}, got {type(image).__name__}')


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(('I', 'F')):  # Pillow would clip them to white
        got = f'got mode {image.mode!r}: give an array or the path instead'
        raise DataError(f'a PIL image must have 8 bits per channel, {got}')
    try:
        return np.asarray(image.convert('RGB'))
    except ValueError as error:  # La, of premultiplied alpha
        raise DataError(f'cannot convert a PIL image of mode {image.mode!r} to RGB') from error


def _enhance_array(image: np.ndarray, enhancer: Any) -> np.ndarray:
    colours = image[..., None] if image.ndim == 2 else image
    if colours.ndim not in (3, 4) or colours.shape[-1] not in (1, 3, 4):
        raise DataError(f'an array must have shape {_SHAPES}, got {image.shape}')
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise DataError(f'an array must be uint8 or float in [0, 1], got {image.dtype.name}')
    rgb = colours.repeat(3, axis=-1) if colours.shape[-1] == 1 else colours[..., :3]
    with np.errstate(over='ignore'):  # infinite values are refused below
        rgb = np.array(rgb, np.uint8 if image.dtype == np.uint8 else np.float32, order='C')
    enhanced = _enhance_tensor(torch.from_numpy(rgb).movedim(-1, -3), enhancer)
    return enhanced.movedim(-3, -1).numpy().astype(image.dtype, copy=False)


def _enhance_tensor(image: Tensor, enhancer: Any) -> Tensor:
    is_8_bit = image.dtype == torch.uint8
    is_plain = image.layout == torch.strided and image.device.type != 'meta'
    if image.ndim not in (3, 4) or image.shape[-3] != 3 or 0 in image.shape[-2:] or not is_plain:
        got = f'{tuple(image.shape)}, {image.layout} on {image.device}'
        raise DataError(f'a tensor must be dense, of shape (3, H, W) or (N, 3, H, W), got {got}')
    if not is_8_bit and not image.is_floating_point():
        raise DataError(f'a tensor must be uint8 or float in [0, 1], got {image.dtype}')
    rgb = image.detach().float()
    rgb = rgb / 255 if is_8_bit else _check_scale(rgb)
    batch = rgb if image.ndim == 4 else rgb.unsqueeze(0)
    module = _in_eval_mode(_build(enhancer, image.device), image.device)
    with torch.no_grad():
        enhanced = module(batch.clamp(0, 1))
    enhanced = enhanced if image.ndim == 4 else enhanced[0]
    return enhanced.clamp(0, 1).mul(255).byte() if is_8_bit else enhanced.to(image.dtype)


def _check_scale(image: Tensor) -> Tensor:
    low, high = image.aminmax() if image.numel() else (image.new_zeros(()),) * 2
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise DataError('the image holds NaN or infinite values')
    told = 'a float image must be in [0, 1], got values'
    if high > _CLEARLY_ABOVE_ONE:
        raise DataError(f'{told} up to {float(high):.4g}: divide by 255, or give uint8')
    if low < _CLEARLY_BELOW_ZERO:
        raise DataError(f'{told} down to {float(low):.4g}: enhance it before it is normalised')
    return image


def _in_eval_mode(module: BaseEnhancer, device: torch.device) -> BaseEnhancer:
    """The module itself if that changes nothing, else a copy."""
    elsewhere = any(each.device != device for each in chain(module.parameters(), module.buffers()))
    if not elsewhere and not any(part.training for part in module.modules()):
        return module
    # Parameters on the right device are shared; what evaluation may write to is not.
    shared = {} if elsewhere else {id(each): each for each in module.parameters()}
    try:
        return copy.deepcopy(module, shared).to(device).eval()
    except RuntimeError as error:  # a tensor with a history, as of weight_norm
        told = f'cannot copy {type(module).__name__} ({first_line(error)})'
        raise ConfigError(f'{told}: call its eval() first') from error


def prepare_enhancer(enhancer: Spec, device: str = 'cpu') -> BaseEnhancer:
    """An enhancer in eval mode on a device such as ``'cuda'``; a module of the caller's is copied.

    Raises:
        ConfigError: if the enhancer or the device is unknown, or the device is not there.
    """
    place = check_device(device)
    built = build_enhancer(enhancer)
    return (copy.deepcopy(built) if built is enhancer else built).to(place).eval()


def weight_files(enhancer: Any) -> list[Path]:
    """The file that an enhancer's name or config loads; empty if it loads none."""
    config = parse_enhancer(enhancer) if isinstance(enhancer, str) else enhancer
    name = weights_name(config) if isinstance(config, Mapping) else None
    return [find_weight_file(name).path] if name else []


def hash_tensors(tensors: Iterable[tuple[str, Tensor]], start: str = '') -> str:
    """SHA-256 of a text and of the names, dtypes, shapes and contents of tensors."""
    digest = hashlib.sha256(start.encode())
    for name, value in tensors:
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def truncate_to_8_bits(image: np.ndarray) -> np.ndarray:
    """``uint8(255 * image)`` of an array in [0, 1], as the authors save results."""
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def _build(enhancer: Any, device: torch.device = _CPU) -> BaseEnhancer:
    """Names that always mean the same are built once; a user's file may change."""
    if isinstance(enhancer, str):
        config = parse_enhancer(enhancer)
        weights = str(weights_name(config) or 'sci_plugins/')
        if config['type'].startswith('sci_plugins.') and is_published(weights):
            return _build_ours(enhancer, device)
    return build_enhancer(enhancer)


@lru_cache(maxsize=8)
def _build_ours(name: str, device: torch.device) -> BaseEnhancer:
    return build_enhancer(name).requires_grad_(False).to(device).eval()


class EnhancedPixels(NamedTuple):
    """Enhanced pixels ``(H, W, C)`` and, if wanted, illumination ``(H, W, 3)``."""

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

    Tiles overlap by the enhancer's ``receptive_radius`` (without one there is one tile), so the
    result equals that of the whole image but for rounding, which may move it by one grey level.
    Integers are truncated, ``uint8(255 * value)``, as in the authors' code. A grey image is
    enhanced as RGB with equal channels; the result is the luma (ITU-R BT.601) of that.

    Args:
        enhancer: in eval mode, on ``device``.
        pixels: ``(H, W, 3)`` RGB or ``(H, W, 1)`` grey; uint8, uint16, or float32 in [0, 1].
        tile: side of a tile in pixels, without the overlap.
        illumination: also return the illumination map, RGB.
        dtype: of the result; by default that of ``pixels``.

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
    """Cut pixels into tiles that overlap by ``radius``, or one tile if that is ``None``."""
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
