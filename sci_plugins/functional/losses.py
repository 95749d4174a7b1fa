"""SCI's losses: fidelity, smoothness, exposure.

Source of fidelity and smoothness: Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image
Enhancement", CVPR 2022, arXiv 2204.10137, and `loss.py` of the authors' code
(github.com/vis-opt-group/SCI).
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.image_quality import check_images, mean_brightness
from sci_plugins.functional.smoothness import RADIUS, weighted_variation

#: How to compute the colours that weight the smoothness, see `guide_colors`.
ColorMode = Literal['official', 'corrected']

#: Weight of the fidelity term in the authors' code; smoothness has weight 1.
FIDELITY_WEIGHT = 1.5

# Rows R, G, B; columns Y, Cb, Cr; RGB in [0, 1]. The authors' 0.564 (green to Y) is 0.504 in
# BT.601; it stays, to compute their loss.
_YCBCR = ((0.257, -0.148, 0.439), (0.564, -0.291, -0.368), (0.098, 0.439, -0.071))
_YCBCR_OFFSET = (16 / 255, 128 / 255, 128 / 255)


def at_least_float32(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 become float32: there, small squared differences would underflow."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def fidelity_loss(illumination: Tensor, image: Tensor) -> Tensor:
    """Mean squared difference between the illumination and the image it is estimated from.

    Args:
        illumination: RGB, ``(N, 3, H, W)``, in [1e-4, 1].
        image: the estimator's input, same shape; in [0, 1] at the first stage, while the calibrator
            may leave that range at later ones.

    Returns:
        A scalar, differentiable in both.

    Raises:
        TypeError: if one of them is not a float tensor.
        ValueError: if a shape is not ``(N, 3, H, W)`` or they differ.
    """
    _check_pair(illumination, image)
    return F.mse_loss(illumination, image)


def guide_colors(image: Tensor, color: ColorMode = 'official') -> Tensor:
    """YCbCr of the image, whose differences weight the smoothness.

    Args:
        image: RGB, ``(N, 3, H, W)``.
        color: ``'corrected'`` converts each pixel's R, G and B. ``'official'`` does what the
            authors' code does: it cuts the contiguous NCHW memory into triples, which are three
            neighbours in *one* channel, so the result is not a true YCbCr image. The authors
            trained their weights with it.

    Returns:
        Same shape; values in [0.06, 0.98] for an image in [0, 1].

    Raises:
        ValueError: if ``color`` is neither.
    """
    matrix = image.new_tensor(_YCBCR)
    offset = image.new_tensor(_YCBCR_OFFSET)
    if color == 'official':
        return (image.reshape(-1, 3) @ matrix + offset).view(image.shape)
    if color == 'corrected':
        return (image.movedim(1, -1) @ matrix + offset).movedim(-1, 1)
    raise ValueError(f'guide_colors: color must be one of {get_args(ColorMode)}, got {color!r}')


def smoothness_loss(
    illumination: Tensor, image: Tensor, sigma: float = 10.0, color: ColorMode = 'official'
) -> Tensor:
    """Edge-aware total variation of the illumination in a 5x5 neighbourhood.

    The sum over the 24 neighbour offsets of the mean, over all pixels with that neighbour, of
    ``w * sum_c |i_p - i_q|``, where ``w = exp(-sum_c (y_p - y_q)^2 / (2 sigma^2))`` and ``y`` is
    :func:`guide_colors` of the image. An offset and its mirror see the same pairs, so 12 are
    computed and count twice.

    Args:
        illumination: RGB, ``(N, 3, H, W)``, in [1e-4, 1].
        image: the estimator's input, same shape. Gradients reach it through the weights, because
            the inputs of later stages depend on the calibrator.
        sigma: 10 in the authors' code (all weights are then almost 1), 0.1 in their paper.
        color: see :func:`guide_colors`.

    Returns:
        A scalar, differentiable in both.

    Raises:
        TypeError: if one of them is not a float tensor.
        ValueError: if a shape is not ``(N, 3, H, W)``, the shapes differ, an image is too small to
            have all neighbours, or ``sigma`` is not positive.
    """
    _check_pair(illumination, image)
    if min(image.shape[-2:]) <= RADIUS:
        raise ValueError(
            f'smoothness_loss: a 5x5 neighbourhood needs images of at least '
            f'{RADIUS + 1} x {RADIUS + 1} pixels, got {tuple(image.shape)}'
        )
    if not sigma > 0:
        raise ValueError(f'smoothness_loss: sigma must be positive, got {sigma}')
    pair = at_least_float32(illumination), at_least_float32(image)
    with torch.autocast(image.device.type, enabled=False):
        total = weighted_variation(pair[0], guide_colors(pair[1], color), float(sigma))
    return total.to(illumination.dtype)


def _check_pair(illumination: Tensor, image: Tensor) -> None:
    check_images('SCI loss', illumination=illumination, image=image)
    for name, tensor in (('illumination', illumination), ('image', image)):
        if not torch.is_floating_point(tensor):
            raise TypeError(f'SCI loss: {name} must be float, got dtype {tensor.dtype}')


def exposure_loss(enhanced: Tensor, image: Tensor, target: float = 0.45) -> Tensor:
    """Squared difference between the enhanced image's mean brightness and a target.

    A dark image should reach the target, and a brighter one keep its brightness:
    ``mean((m(enhanced) - max(m(image), target))^2)`` with ``m`` the mean over channels and pixels.
    SCI's own losses do not fix the brightness: it depends on when training stops.

    Args:
        enhanced: RGB, ``(N, 3, H, W)``, in [0, 1].
        image: the image before enhancement, same shape.
        target: mean brightness, in (0, 1).

    Returns:
        A scalar, differentiable in ``enhanced``.

    Raises:
        ValueError: if a shape is not ``(N, 3, H, W)``, the shapes differ, or ``target`` is not in
            (0, 1).

    Source: the exposure control loss of Zero-DCE (Guo et al., CVPR 2020, eq. 6), but over whole
    images instead of 16x16 regions, squared, and with the maximum.
    """
    check_images('exposure_loss', enhanced=enhanced, image=image)
    if not 0 < target < 1:
        raise ValueError(f'exposure_loss: target must be in (0, 1), got {target!r}')
    wanted = mean_brightness(image).clamp(min=target)
    return torch.mean((mean_brightness(enhanced) - wanted) ** 2)
