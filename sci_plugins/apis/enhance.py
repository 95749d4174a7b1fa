"""Enhancing one image in one line of Python."""

import copy
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError, first_line
from sci_plugins.models.enhancers import BaseEnhancer, build_enhancer, parse_enhancer
from sci_plugins.models.enhancers.weights import weights_name
from sci_plugins.utils.images import read_image

#: Weights that come with the package, so that nothing has to be fetched.
DEFAULT_ENHANCER = 'sci/sci_plugins/lol'
# Resizing may overshoot 1 a little; what is far above is on the 0-255 scale.
_CLEARLY_ABOVE_ONE = 2.0


def enhance(image: Any, enhancer: BaseEnhancer | Mapping[str, Any] | str = DEFAULT_ENHANCER) -> Any:
    """Brighten an image: ``sci_plugins.enhance(image)``.

    Args:
        image: RGB as a tensor ``(3, H, W)`` or ``(N, 3, H, W)``, float, [0, 1];
            an array ``(H, W, 3)``, uint8 or float [0, 1]; a PIL image; or a
            path, which gives a PIL image, upright. Images that OpenCV loaded are BGR:
            turn their channels around first.
        enhancer: an enhancer, a config dict, or a name such as
            ``'sci/official/medium'``, ``'gamma'`` or ``'clahe'``.

    Returns:
        What came in: same kind, shape and dtype, RGB. 8-bit values are
        truncated, not rounded, as SCI's authors save their results. Gradients
        do not flow; call the enhancer itself for that.

    Raises:
        DataError: if the image is of another kind, shape, dtype or scale, not
            finite, or a file that is no image.
        FileNotFoundError: if there is no such file.
        ConfigError: if the enhancer is not known.
    """
    if isinstance(image, (str, os.PathLike)):
        return Image.fromarray(enhance(read_image(image), enhancer))
    if isinstance(image, Image.Image):
        return Image.fromarray(enhance(_pixels(image), enhancer))
    if isinstance(image, np.ndarray):
        return _enhance_array(image, enhancer)
    if isinstance(image, Tensor):
        return _enhance_tensor(image, enhancer)
    raise DataError(
        f'image must be a tensor, an array, a PIL image or a path, got {type(image).__name__}'
    )


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(('I', 'F')):  # Pillow would clip them to white
        raise DataError(
            f'a PIL image must have 8 bits a channel, got mode {image.mode!r}: give an '
            'array or the path instead'
        )
    return np.asarray(image.convert('RGB'))


def _enhance_array(image: np.ndarray, enhancer: Any) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f'an array must have shape (H, W, 3), got {image.shape}')
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise DataError(f'an array must be uint8 or float in [0, 1], got {image.dtype}')
    is_8_bit = image.dtype == np.uint8
    tensor = torch.from_numpy(np.array(image, order='C')).permute(2, 0, 1).float()
    enhanced = _enhance_tensor(tensor / 255 if is_8_bit else tensor, enhancer)
    array = enhanced.permute(1, 2, 0).cpu().numpy()
    return truncate_to_8_bits(array) if is_8_bit else array.astype(image.dtype)


def _enhance_tensor(image: Tensor, enhancer: Any) -> Tensor:
    if image.ndim not in (3, 4) or image.shape[-3] != 3 or not image.is_floating_point():
        raise DataError(
            'a tensor must be float in [0, 1] of shape (3, H, W) or (N, 3, H, W), got '
            f'{image.dtype} {tuple(image.shape)}'
        )
    if not bool(torch.isfinite(image).all()):
        raise DataError('the image holds NaN or infinite values')
    highest = float(image.max()) if image.numel() else 0.0
    if highest > _CLEARLY_ABOVE_ONE:
        raise DataError(
            f'a float image must be in [0, 1], got values up to {highest:.4g}: divide by '
            '255, or give uint8'
        )
    module = _build(enhancer)
    modes = {part: part.training for part in module.modules()}
    module.eval().to(image.device)
    try:
        with torch.no_grad():
            batch = image if image.ndim == 4 else image.unsqueeze(0)
            enhanced = module(batch.float().clamp(0, 1)).to(image.dtype)
    finally:
        for part, mode in modes.items():
            part.training = mode
    return enhanced if image.ndim == 4 else enhanced[0]


def prepare_enhancer(
    enhancer: nn.Module | Mapping[str, Any] | str, device: str = 'cpu'
) -> BaseEnhancer:
    """An enhancer in eval mode on a device; a module of the caller's is copied.

    Args:
        enhancer: whatever :func:`build_enhancer` takes.
        device: such as ``'cpu'`` or ``'cuda'``.

    Raises:
        ConfigError: if the enhancer or the device is unknown, or the device is not there.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = 'meta'
    if kind == 'meta':  # holds no values
        raise ConfigError(f'unknown device {device!r}; use cpu or cuda')
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f'device {device}: no CUDA device is available')
    built = build_enhancer(enhancer)
    try:
        return (copy.deepcopy(built) if built is enhancer else built).to(device).eval()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch's words
        raise ConfigError(f'cannot use device {device!r}: {first_line(error)}') from error


def truncate_to_8_bits(image: np.ndarray) -> np.ndarray:
    """``uint8(255 * image)`` of an array in [0, 1], as the authors save results."""
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def _build(enhancer: Any) -> BaseEnhancer:
    """Names that always mean the same are built once; a user's file may change."""
    if isinstance(enhancer, str):
        config = parse_enhancer(enhancer)
        weights = str(weights_name(config) or 'sci_plugins/')
        is_ours = config['type'].startswith('sci_plugins.')
        if is_ours and weights.startswith(('official/', 'sci_plugins/')):
            return _build_cached(enhancer)
    return build_enhancer(enhancer)


@lru_cache(maxsize=8)
def _build_cached(name: str) -> BaseEnhancer:
    return build_enhancer(name).requires_grad_(False).eval()
