"""Layers of a network in training: as fused steps where that is faster, else as they are.

Fused are 3x3 convolutions and batch normalisations of PyTorch's own classes, in train
mode, on a CPU, in float32 or float64, without hooks. Gradients are the same up to
rounding, but only first ones: a second derivative is an error there.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

from sci_plugins.functional.conv3x3 import conv3x3
from sci_plugins.functional.conv_norm import (
    ConvNorm,
    Statistics,
    conv_norm_relu,
    residual_block,
)

_HOOKS = (
    '_forward_hooks',
    '_forward_pre_hooks',
    '_backward_hooks',
    '_backward_pre_hooks',
)


def apply_conv(conv: nn.Module, image: Tensor) -> Tensor:
    """``conv(image)``."""
    if _is_fusible_conv(conv) and _is_fusible_image(image, conv):
        return conv3x3(image, conv.weight, conv.bias)  # type: ignore[arg-type]
    return conv(image)


def apply_conv_norm_relu(
    conv: nn.Module, norm: nn.Module, image: Tensor, shortcut: Tensor | None = None
) -> Tensor:
    """``relu(norm(conv(image)))``, plus ``shortcut`` where there is one."""
    if _are_fusible(conv, norm) and _is_fusible_image(image, conv):
        result, statistics = conv_norm_relu(image, _parameters(conv, norm), shortcut)
        _update(norm, statistics, result)
        return result
    result = F.relu(norm(conv(image)))
    return result if shortcut is None else result + shortcut


def apply_residual_block(
    first: tuple[nn.Module, nn.Module], second: tuple[nn.Module, nn.Module], image: Tensor
) -> Tensor:
    """``image`` plus convolution, norm and ReLU, twice, of it.

    Args:
        first: convolution and norm.
        second: the same; its result has the image's shape.
        image: ``(N, C, H, W)``.
    """
    if (
        _are_fusible(*first)
        and _are_fusible(*second)
        and _is_fusible_image(image, first[0])
    ):
        layers = _parameters(*first), _parameters(*second)
        result, statistics, statistics2 = residual_block(image, *layers)
        _update(first[1], statistics, result)
        _update(second[1], statistics2, result)
        return result
    return apply_conv_norm_relu(*second, apply_conv_norm_relu(*first, image), image)


def _parameters(conv: nn.Module, norm: nn.Module) -> ConvNorm:
    parameters = conv.weight, conv.bias, norm.weight, norm.bias
    return ConvNorm(*parameters, norm.eps)  # type: ignore[arg-type]


def _update(norm: Any, statistics: Statistics, result: Tensor) -> None:
    """Running statistics, as the module keeps them: of the unbiased variance."""
    count = result.numel() // result.shape[1]
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(statistics.mean, norm.momentum)
        unbiased = statistics.variance * (count / (count - 1))
        norm.running_var.lerp_(unbiased, norm.momentum)


def _are_fusible(conv: nn.Module, norm: nn.Module) -> bool:
    return _is_fusible_conv(conv) and _is_fusible_norm(norm)


def _is_fusible_image(image: Tensor, conv: nn.Module) -> bool:
    weight = conv.weight
    number, _, height, width = image.shape
    return (
        type(image) is Tensor
        and image.device.type == 'cpu'
        and image.dtype in (torch.float32, torch.float64)
        and (weight.device, weight.dtype) == (image.device, image.dtype)
        and number * height * width > 1  # a batch normalisation refuses one value
        and not torch.is_autocast_enabled('cpu')
        and not torch.jit.is_tracing()
        and unpack_dual(image).tangent is None
    )


def _is_fusible_conv(conv: nn.Module) -> bool:
    return (
        type(conv) is nn.Conv2d
        and conv.training
        and conv.kernel_size == (3, 3)
        and conv.padding == (1, 1)
        and conv.stride == (1, 1)
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == 'zeros'
        and conv.bias is not None
        and not _has_hooks(conv)
    )


def _is_fusible_norm(norm: nn.Module) -> bool:
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.running_mean is not None
        and norm.momentum is not None
        and not _has_hooks(norm)
    )


def _has_hooks(layer: nn.Module) -> bool:
    return any(getattr(layer, name) for name in _HOOKS)
