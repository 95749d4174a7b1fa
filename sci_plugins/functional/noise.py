"""How noisy an image is, from the image alone, and taking noise out of it.

The image is squared, which is about linear light, where a sensor's noise has one strength. Its
finest luma detail is looked at in the flattest blocks: what is left there is noise, if it is white.

Details that are no stronger than noise are shrunk: in a Laplacian pyramid (Burt and Adelson, "The
Laplacian Pyramid as a Compact Image Code", 1983) with 2 x 2 means on the way down and bilinear
interpolation on the way up, each is multiplied by Wiener's weight ``(E - s²)₊ / E``, with the local
energy ``E`` of the luma detail and the energy ``s²`` that noise has there: the empirical Wiener
filter on a multiscale transform.

Sources: the à-trous pyramid with the (1, 2, 1)/4 kernel and the filter (Starck and Murtagh, *Image
Processing and Data Analysis*, 1998, chapter 2); noise as the robust spread of the finest detail
(Donoho, "De-noising by soft-thresholding", 1995), here over flat blocks (Olsen, "Estimation of
noise in images", 1993).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.image_quality import LUMA, check_images
from sci_plugins.functional.kernels import noise_fused
from sci_plugins.functional.kernels.noise_fused import BLACK, BLOCK, TINY
from sci_plugins.functional.tensors import constant, is_exporting, quantiles

MIN_SIDE = 5  #: smallest side in pixels
_PERCENT, _FEWEST = 3, 4  # of unclipped blocks: as few as say something, for they must be flat
_COARSE = 16.0  # energy of the second level counts more: texture has it, white noise hardly
_WHITE = 12.6  # white noise's energy in the finest level over the second, in the blocks chosen
_TEXTURE = 2.5  # texture in the finest level over what the second has too much; measured
_SELECTED = 1.138  # the flattest blocks of pure noise show less than all of it
# Ratio of the two levels' strengths: 2.1 is the 90th percentile of 80 photographs by day, 2.3 the
# lowest of the same ones darkened with noise.
_MIXED, _PURE = 2.12, 2.33
#: Finest detail of white noise: sqrt(1 - 2 / 4 + (6 / 16) ** 2) of its pixels' deviation.
DETAIL_OF_NOISE = 0.80
_LUMA_OF_NOISE = sum(weight**2 for weight in LUMA) ** 0.5


class NoiseEstimate(NamedTuple):
    """Of each image; all ``(N,)``, without gradient."""

    #: robust standard deviation of the finest luma detail of the squared image, values in [0, 1];
    #: rounding to 8 bits is its floor and counts as noise
    sigma: Tensor
    whiteness: Tensor  # 1 for a sensor's noise, 0 for texture, enlarged film grain, or JPEG
    level: Tensor  # luma of the squared image where it was measured
    lit: Tensor  # ``sigma`` of the brighter half of the image: shot noise is strongest there
    #: finest over second finest detail, over the whole image: lower in its half size only where
    #: the image has fine detail, so that it was not enlarged
    sharpness: Tensor

    @property
    def linear(self) -> Tensor:
        """Standard deviation of each channel's noise in linear light (white is 1).

        ``sigma`` over the detail's share (0.80), the luma's share (0.67) and the slope of the
        square over linear light, ``d v² / d v^2.2 = 0.91 l^-0.09`` at the level ``l``.
        """
        light = self.level.clamp_min(1e-6) ** 1.1
        return self.sigma / (DETAIL_OF_NOISE * _LUMA_OF_NOISE * (2 / 2.2) * light ** (2 / 2.2 - 1))


def finest_details(luma: Tensor) -> tuple[Tensor, Tensor]:
    """What the first and the second blur of ``(N, 1, H, W)`` take away; its border is repeated."""
    once = blur(F.pad(luma, (3, 3, 3, 3), mode='replicate'), 1)
    twice = blur(once, 2)
    once = once[..., 2:-2, 2:-2]
    return luma - once, once - twice


def blur(image: Tensor, dilation: int) -> Tensor:
    """(1, 2, 1)/4 along both axes of ``(N, C, H, W)`` with ``dilation`` pixels between.

    Smaller by as much on each side; a convolution of one channel takes ten times as long.
    """
    for axis in (-1, -2):
        inside = image.shape[axis] - 2 * dilation
        ends = image.narrow(axis, 0, inside) + image.narrow(axis, 2 * dilation, inside)
        image = ends.add_(image.narrow(axis, dilation, inside), alpha=2).mul_(0.25)
    return image


@torch.no_grad()
def estimate_noise(image: Tensor) -> NoiseEstimate:
    """Noise of each image of RGB ``(N, 3, H, W)``, float, [0, 1], by itself.

    Within 10 % on flat images with noise of 2e-4 to 5e-3 in linear light. On 8-bit photographs
    darkened to 0.05 of their light and below, within 25 % from 1e-3 on for nine in ten; where
    nothing is flat, texture counts as noise, up to twice what there is. A ValueError for another
    shape or less than 5 x 5 pixels.
    """
    check_images('estimate_noise', image=image)
    if min(image.shape[2:]) < MIN_SIDE:
        raise ValueError(f'estimate_noise: expected at least 5 x 5 pixels, got {image.shape[2:]}')
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    means = noise_fused.block_means(image)
    means = _block_means(image) if means is None else means
    luma, clipped, fine, coarse = means.unbind(1)
    # Where values are cut off at black, so is the noise.
    usable = clipped <= quantiles(clipped, 0.1).clamp_min(0.05).T
    level, *details = _of_flat_blocks(usable, luma, fine, coarse)
    bright = usable & (luma >= quantiles(luma, 0.5).T)
    bright = bright | (usable & ~bright.any(1, keepdim=True))  # none in saturated colours
    lit = _of_flat_blocks(bright, luma, fine, coarse)[1:]
    ratio = (details[0].nanmean(1) / details[1].nanmean(1).clamp_min(1e-20)).sqrt()
    whiteness = ((ratio - _MIXED) / (_PURE - _MIXED)).clamp(0, 1)
    energies = [torch.where(usable, each, 0).sum(1) for each in (fine, coarse)]
    sharpness = ((energies[0] + TINY) / (energies[1] + TINY)).sqrt()
    return NoiseEstimate(_sigma(*details), whiteness, level.nanmean(1), _sigma(*lit), sharpness)


def _sigma(fine: Tensor, coarse: Tensor) -> Tensor:
    middle = _median(fine)
    excess = (_median(coarse) - middle / _WHITE).clamp_min(0)
    return _SELECTED * (middle - _TEXTURE * excess).clamp_min(0).sqrt()


def _block_means(image: Tensor) -> Tensor:
    """Luma, share of clipped pixels, fine and coarse energy of blocks: ``(N, 4, B)``."""
    luma = (image * image * constant(LUMA, image)[:, None, None]).sum(1, keepdim=True)
    clipped = (image.amin(1, keepdim=True) <= 0).to(image.dtype)
    maps = [luma, clipped, *(detail * detail for detail in finest_details(luma))]
    return F.avg_pool2d(torch.cat(maps, 1), min(BLOCK, *image.shape[2:])).flatten(2)


def _of_flat_blocks(usable: Tensor, luma: Tensor, fine: Tensor, coarse: Tensor) -> list[Tensor]:
    """Luma and details of each image's flattest usable blocks; ``(N, B)`` to ``(N, K)``.

    NaN beyond them; how many they are is never asked: a GPU would have to be waited for.
    """
    usables, blocks = usable.sum(1, keepdim=True), usable.shape[1]
    number = (usables * _PERCENT // 100).clamp_min(_FEWEST).minimum(usables)
    cost = (fine + _COARSE * coarse).masked_fill(~usable, torch.inf)
    if is_exporting():  # their number as an expression would take minutes
        order = cost.argsort(1)
    else:
        most = min(blocks, max(_FEWEST, _PERCENT * blocks // 100))
        order = cost.topk(most, largest=False).indices
    chosen = torch.arange(order.shape[1], device=order.device) < number
    return [torch.where(chosen, each.gather(1, order), torch.nan) for each in (luma, fine, coarse)]


def _median(values: Tensor) -> Tensor:
    """``nanmedian`` of each row, which ONNX does not have."""
    if not is_exporting():
        return values.nanmedian(1).values
    ordered = values.nan_to_num(torch.inf).sort(1).values
    number = (~values.isnan()).sum(1, keepdim=True)
    return ordered.gather(1, (number - 1) // 2).squeeze(1)


#: Standard deviation of each level's luma detail of white noise whose ``NoiseEstimate.sigma`` is 1.
NOISE_OF_LEVEL = (1.130, 0.565, 0.283, 0.142)
LEVELS = len(NOISE_OF_LEVEL)


def shrink_noise(linear: Tensor, sigma: Tensor, strengths: Tensor) -> Tensor:
    """Shrink the details of images that are no stronger than their noise; same shape, [0, 1].

    Where a strength is 0, that level stays; all 0 give the image back up to rounding.
    Differentiable in the image and in the strengths.

    Args:
        linear: RGB in about linear light, such as the square of pixel values, ``(N, 3, H, W)``,
            float, [0, 1], any size.
        sigma: noise of each image, ``(N,)``, as of :func:`estimate_noise`. Or for each level,
            ``(N, 4)``, that of the white noise that would be as strong there.
        strengths: how many standard deviations of each level's noise to take away, finest level
            first, ``(N, 4)``, from 0; 1 is Wiener's filter, more is smoother. A wrong shape, here
            or above, is a ValueError.
    """
    check_images('shrink_noise', linear=linear)
    number, _, height, width = linear.shape
    levels = (number, LEVELS)
    if strengths.shape != levels or sigma.shape not in (levels, levels[:1]):
        wish = f'sigma ({number},) or {levels} and strengths {levels}'
        got = f'{tuple(sigma.shape)} and {tuple(strengths.shape)}'
        raise ValueError(f'shrink_noise: expected {wish}, got {got}')
    unit = 2**LEVELS
    image = F.pad(linear, (0, -width % unit, 0, -height % unit), mode='replicate')
    shrunk = _shrink_level(image, _energies(sigma, strengths).unbind(1))
    return shrunk[..., :height, :width].clamp(0, 1)


def shrink_pixels(image: Tensor, sigma: Tensor, strengths: Tensor) -> Tensor:
    """The square root of :func:`shrink_noise` of the square of ``image``, pixel values."""
    quiet = noise_fused.shrink_pixels(image, _energies(sigma, strengths))
    if quiet is None:
        quiet = (shrink_noise(image * image, sigma, strengths) + BLACK).sqrt() - BLACK**0.5
    return quiet


def _energies(sigma: Tensor, strengths: Tensor) -> Tensor:
    """What noise has on each level, times the strength squared: ``(N, 4)``."""
    noise = constant(NOISE_OF_LEVEL, strengths) * sigma.view(strengths.shape[0], -1)
    return (strengths * noise).square()


def _shrink_level(image: Tensor, limits: Sequence[Tensor]) -> Tensor:
    """``image`` with this level and all coarser ones shrunk; ``limits`` are noise energies."""
    if not limits:
        return image
    coarse = F.avg_pool2d(image, 2)
    detail = image - _double(coarse, image)
    weight = wiener_weight(detail, limits[0])
    return torch.addcmul(_double(_shrink_level(coarse, limits[1:]), image), detail, weight)


def wiener_weight(detail: Tensor, limit: Tensor) -> Tensor:
    """``(E - limit)₊ / E``, ``(N, 1, H, W)``, with the energy ``E`` of the luma around each pixel.

    ``detail`` is ``(N, 3, H, W)`` with even sides, ``limit``, the energy of noise, ``(N,)``.
    """
    luma = torch.einsum('nchw,c->nhw', detail, constant(LUMA, detail)).unsqueeze(1)
    pairs = F.avg_pool2d(luma * luma, 2)
    energy = F.avg_pool2d(pairs, 3, 1, 1, count_include_pad=False) + TINY
    return _double((energy - limit.view(-1, 1, 1, 1)).clamp_min(0) / energy, luma)


def _double(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, like.shape[2:], mode='bilinear', align_corners=False)
