"""Noise taken out of an image: details that are no stronger than noise are shrunk.

A Laplacian pyramid (Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983) with
2 x 2 means on the way down and bilinear interpolation on the way up. Each detail is multiplied by
Wiener's weight ``(E - s²)₊ / E``, with the local energy ``E`` of the luma detail and the energy
``s²`` that noise has there: the empirical Wiener filter on a multiscale transform, as in Starck and
Murtagh, *Image Processing and Data Analysis* (1998), chapter 2.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.image_quality import LUMA, check_images

#: Standard deviation of each level's luma detail of white noise whose finest à-trous detail, as in
#: :class:`sci_plugins.functional.noise.NoiseEstimate`, has the standard deviation 1.
NOISE_OF_LEVEL = (1.130, 0.565, 0.283, 0.142)
LEVELS = len(NOISE_OF_LEVEL)
# Energy below every noise, so that nothing is divided by 0.
_TINY = 1e-12


def shrink_noise(linear: Tensor, sigma: Tensor, strengths: Tensor) -> Tensor:
    """Shrink the details of images that are no stronger than their noise.

    Where a strength is 0, that level stays; all 0 give the image back up to rounding.
    Differentiable in the image and in the strengths.

    Args:
        linear: RGB in about linear light, such as the square of pixel values, ``(N, 3, H, W)``,
            float, [0, 1], any size.
        sigma: noise of each image, ``(N,)``: standard deviation of the finest à-trous luma detail,
            as :func:`sci_plugins.functional.noise.estimate_noise` gives it. Or for each level,
            ``(N, 4)``, that of the white noise that would be as strong there.
        strengths: how many standard deviations of each level's noise to take away, finest level
            first, ``(N, 4)``, from 0; 1 is Wiener's filter, more is smoother.

    Returns:
        Same shape, [0, 1].

    Raises:
        ValueError: if a shape is wrong.
    """
    check_images('shrink_noise', linear=linear)
    number, _, height, width = linear.shape
    levels = (number, LEVELS)
    if strengths.shape != levels or sigma.shape not in (levels, levels[:1]):
        raise ValueError(
            f'shrink_noise: expected sigma ({number},) or {levels} and strengths {levels}, got '
            f'{tuple(sigma.shape)} and {tuple(strengths.shape)}'
        )
    unit = 2**LEVELS
    image = F.pad(linear, (0, -width % unit, 0, -height % unit), mode='replicate')
    limits = strengths * sigma.view(number, -1) * strengths.new_tensor(NOISE_OF_LEVEL)
    shrunk = _shrink_level(image, list(limits.square().unbind(1)))
    return shrunk[..., :height, :width].clamp(0, 1)


def _shrink_level(image: Tensor, limits: Sequence[Tensor]) -> Tensor:
    """``image`` with this level and all coarser ones shrunk; ``limits`` are noise energies."""
    if not limits:
        return image
    coarse = F.avg_pool2d(image, 2)
    detail = image - _double(coarse)
    weight = wiener_weight(detail, limits[0])
    return torch.addcmul(_double(_shrink_level(coarse, limits[1:])), detail, weight)


def wiener_weight(detail: Tensor, limit: Tensor) -> Tensor:
    """``(E - limit)₊ / E`` with the energy ``E`` of the luma of ``detail`` around each pixel.

    ``detail`` is ``(N, 3, H, W)`` with even sides, ``limit``, the energy of noise, ``(N,)``; the
    result ``(N, 1, H, W)``, [0, 1].
    """
    luma = torch.einsum('nchw,c->nhw', detail, detail.new_tensor(LUMA)).unsqueeze(1)
    pairs = F.avg_pool2d(luma * luma, 2)
    energy = F.avg_pool2d(pairs, 3, 1, 1, count_include_pad=False) + _TINY
    return _double((energy - limit.view(-1, 1, 1, 1)).clamp_min(0) / energy)


def _double(image: Tensor) -> Tensor:
    return F.interpolate(image, scale_factor=2, mode='bilinear', align_corners=False)
