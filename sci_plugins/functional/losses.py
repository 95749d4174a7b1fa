"""SCI's losses: fidelity, smoothness, exposure.

Source of fidelity and smoothness: Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image
Enhancement", CVPR 2022, arXiv 2204.10137, and `loss.py` of the authors' code
(github.com/vis-opt-group/SCI).

The smoothness and both its gradients are computed in one pass over the pairs of pixels: autograd
would keep a dozen tensors for each of the 12 offsets. Memory is ordered image, row, plane, column,
so that each thread finds in its cache what it wrote there.
"""

from math import gcd, sqrt
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from sci_plugins.functional.conv3x3 import first_derivative_only
from sci_plugins.functional.image_quality import check_images, mean_brightness
from sci_plugins.functional.kernels import train_fused
from sci_plugins.functional.kernels.train_fused import HALF_WINDOW, RADIUS

ColorMode = Literal['official', 'corrected']  #: what weights the smoothness: `guide_colors`
FIDELITY_WEIGHT = 1.5  #: weight of the fidelity term in the authors' code; smoothness has weight 1

# Rows R, G, B; columns Y, Cb, Cr; RGB in [0, 1]. The authors' 0.564 (green to Y) is 0.504 in
# BT.601; it stays, to compute their loss.
_YCBCR = ((0.257, -0.148, 0.439), (0.564, -0.291, -0.368), (0.098, 0.439, -0.071))
_YCBCR_OFFSET = (16 / 255, 128 / 255, 128 / 255)


def at_least_float32(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 become float32: there, small squared differences would underflow."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def fidelity_loss(illumination: Tensor, image: Tensor) -> Tensor:
    """Mean squared difference between the illumination and the image it is estimated from.

    Both are RGB, ``(N, 3, H, W)``, the illumination in [1e-4, 1], the image in [0, 1] but for the
    later stages of a cascade; a scalar, differentiable in both. A TypeError if one is not float, a
    ValueError if a shape is wrong or they differ.
    """
    _check_pair(illumination, image)
    return F.mse_loss(illumination, image)


def guide_colors(image: Tensor, color: ColorMode = 'official') -> Tensor:
    """YCbCr of the image, RGB ``(N, 3, H, W)``, whose differences weight the smoothness.

    ``'corrected'`` converts each pixel's R, G and B. ``'official'`` does what the authors' code
    does: it cuts the contiguous NCHW memory into triples, which are three neighbours in *one*
    channel, so the result is not a true YCbCr image. The authors trained their weights with it.
    Same shape; values in [0.06, 0.98] for an image in [0, 1]. Another ``color`` is a ValueError.
    """
    matrix, offset = image.new_tensor(_YCBCR), image.new_tensor(_YCBCR_OFFSET)
    if color == 'official':
        # Several triples a row: a product with three columns would leave registers empty.
        times = gcd(image.numel() // 3, 8)
        matrix, offset = torch.block_diag(*[matrix] * times), offset.repeat(times)
        return torch.addmm(offset, image.reshape(-1, 3 * times), matrix).view(image.shape)
    if color == 'corrected':
        return (image.movedim(1, -1) @ matrix + offset).movedim(-1, 1)
    raise ValueError(f'guide_colors: color must be one of {get_args(ColorMode)}, got {color!r}')


def smoothness_loss(
    illumination: Tensor, image: Tensor, sigma: float = 10.0, color: ColorMode = 'official'
) -> Tensor:
    """Edge-aware total variation of the illumination in a 5x5 neighbourhood; a scalar.

    The sum over the 24 neighbour offsets of the mean, over all pixels with that neighbour, of
    ``w * sum_c |i_p - i_q|``, where ``w = exp(-sum_c (y_p - y_q)^2 / (2 sigma^2))`` and ``y`` is
    :func:`guide_colors` of the image. An offset and its mirror see the same pairs, so 12 are
    computed and count twice.

    Args:
        illumination: RGB, ``(N, 3, H, W)``, in [1e-4, 1].
        image: the estimator's input, same shape. Gradients reach both, the image through the
            weights, because the inputs of later stages depend on the calibrator.
        sigma: 10 in the authors' code (all weights are then almost 1), 0.1 in their paper.
        color: see :func:`guide_colors`.

    Raises:
        TypeError, ValueError: as of :func:`fidelity_loss`; ValueError if an image is too small to
            have all neighbours, or ``sigma`` is not positive.
    """
    _check_pair(illumination, image)
    if min(image.shape[-2:]) <= RADIUS:
        told = f'images of at least {RADIUS + 1} x {RADIUS + 1} pixels, got {tuple(image.shape)}'
        raise ValueError(f'smoothness_loss: a 5x5 neighbourhood needs {told}')
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
    SCI's own losses do not fix the brightness: it depends on when training stops. Images are RGB,
    ``(N, 3, H, W)``, in [0, 1], the target in (0, 1), else a ValueError; a scalar, differentiable
    in ``enhanced``.

    Source: the exposure control loss of Zero-DCE (Guo et al., CVPR 2020, eq. 6), but over whole
    images instead of 16x16 regions, squared, and with the maximum.
    """
    check_images('exposure_loss', enhanced=enhanced, image=image)
    if not 0 < target < 1:
        raise ValueError(f'exposure_loss: target must be in (0, 1), got {target!r}')
    wanted = mean_brightness(image).clamp(min=target)
    return torch.mean((mean_brightness(enhanced) - wanted) ** 2)


def weighted_variation(illumination: Tensor, colors: Tensor, sigma: float) -> Tensor:
    """:func:`smoothness_loss` from the ``colors`` that weight it, both ``(N, 3, H, W)``.

    A scalar, once differentiable in both, with gradient 0 where neighbours are equal.
    """
    return _WeightedVariation.apply(illumination, colors, sigma)


class _WeightedVariation(Function):
    @staticmethod
    def forward(ctx: Any, illumination: Tensor, colors: Tensor, sigma: float) -> Tensor:
        planes = 6 if ctx.needs_input_grad[1] else 3 if ctx.needs_input_grad[0] else 0
        found = train_fused.variation(illumination, colors, 1 / (sqrt(2) * sigma))
        total, gradient = found or _visit_pairs(illumination, colors, sigma, planes)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        gradient = (gradient * grad).transpose(1, 2)
        return (
            gradient[:, :3] if ctx.needs_input_grad[0] else None,
            gradient[:, 3:6] if ctx.needs_input_grad[1] else None,
            None,
        )


_PLANES = (6, 3, 1, 1)  # planes of a difference, its sign, the weight and the value of pairs


# A custom operator, so that torch.compile calls it as it is.
@torch.library.custom_op('sci_plugins::weighted_variation', mutates_args=())
def _visit_pairs(
    illumination: Tensor, colors: Tensor, sigma: float, planes: int
) -> tuple[Tensor, Tensor]:
    """The sum and its gradient ``(N, H, planes, W)``: of illumination, then of colors.

    ``planes`` is 6, 3 for the gradient of the illumination alone, or 0 for none.
    """
    number, _, height, width = illumination.shape
    stack = illumination.new_empty(number, height, 6, width)
    stack[:, :, :3] = illumination.transpose(1, 2)
    stack[:, :, 3:] = (colors / (sqrt(2) * sigma)).transpose(1, 2)
    gradient = torch.zeros_like(stack[:, :, :planes])
    total = stack.new_zeros(())
    # Fresh memory for each offset would cost as much as the arithmetic.
    memory = [torch.empty_like(stack[:, :, :count]).flatten() for count in _PLANES]
    for dy, dx in HALF_WINDOW:
        # Of all pixels and of their neighbours.
        left, right = max(-dx, 0), width - max(dx, 0)
        near = ..., slice(height - dy), slice(None), slice(left, right)
        far = ..., slice(dy, None), slice(None), slice(left + dx, right + dx)
        rows, columns = height - dy, right - left
        difference, sign, weight, value = (
            part[: number * rows * count * columns].view(number, rows, count, columns)
            for part, count in zip(memory, _PLANES, strict=True)
        )
        torch.sub(stack[near], stack[far], out=difference)
        step, contrast = difference.split(3, 2)
        _dot(contrast, contrast, out=weight).neg_().exp_()
        torch.sign(step, out=sign)
        _dot(sign, step, out=value).mul_(weight)
        share = 2 / value.numel()  # a pair stands for two neighbours
        total += share * value.sum()
        if planes:
            torch.mul(sign, weight, out=step)
            contrast.mul_(value.mul_(-2))
            gradient[near].add_(difference[:, :, :planes], alpha=share)
            gradient[far].sub_(difference[:, :, :planes], alpha=share)
    gradient[:, :, 3:].div_(sqrt(2) * sigma)
    return total, gradient


@_visit_pairs.register_fake
def _(illumination: Tensor, colors: Tensor, sigma: float, planes: int) -> tuple[Tensor, Tensor]:
    number, _, height, width = illumination.shape
    return illumination.new_empty(()), illumination.new_empty(number, height, planes, width)


def _dot(first: Tensor, second: Tensor, out: Tensor) -> Tensor:
    """Dot product over planes: ``(N, H, 3, W)`` twice -> ``(N, H, 1, W)``."""
    planes = zip(first.split(1, 2), second.split(1, 2), strict=True)
    torch.mul(*next(planes), out=out)
    for pair in planes:
        out.addcmul_(*pair)
    return out
