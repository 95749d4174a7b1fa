"""Deformable convolution, plain and modulated, with mmcv's calling convention.

mmcv gives the tensors to write into, scratch buffers that torchvision does not need
(``columns``, ``ones``), and the geometry by keyword: stride, padding and dilation are
``dH``, ``padH``, ``dilationH``, ... in the plain version and ``stride_h``, ``pad_h``,
``dilation_h``, ... in the modulated one.

Both libraries order the offsets alike: per group of channels and kernel position
(row by row) first y, then x.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from sci_plugins.compat.precision import as_computed


class Geometry(NamedTuple):
    """Geometry of a convolution, in the order of torchvision's arguments."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    groups: int
    offset_groups: int


class Gradients(NamedTuple):
    """What torchvision's backward gives, in its order."""

    image: Tensor
    weight: Tensor
    offset: Tensor
    mask: Tensor
    bias: Tensor


PLAIN_NAMES = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW')
MODULATED_NAMES = ('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w')


def _geometry(names: tuple[str, ...], given: Mapping[str, int]) -> Geometry:
    return Geometry._make(given[name] for name in (*names, 'group', 'deformable_group'))


def _operands(
    image: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, ...]:
    # torchvision wants a tensor where there is no mask and no bias.
    if mask is None:
        mask = image.new_zeros(image.shape[0], 1)
    if bias is None:
        bias = image.new_zeros(weight.shape[0])
    return as_computed(image, weight, offset, mask, bias)


def _convolve(
    image: Tensor,
    weight: Tensor,
    offset: Tensor,
    geometry: Geometry,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    operands = _operands(image, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*operands, *geometry, mask is not None)


def _gradients(
    grad_output: Tensor,
    image: Tensor,
    weight: Tensor,
    offset: Tensor,
    geometry: Geometry,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Gradients:
    operands = _operands(image, weight, offset, mask, bias)
    gradients = torch.ops.torchvision._deform_conv2d_backward(
        grad_output.to(operands[0].dtype), *operands, *geometry, mask is not None
    )
    return Gradients(*gradients)


def deform_conv_forward(
    image: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Overwrite ``output`` with the deformable convolution of ``image``.

    Args:
        image: ``(N, C, H, W)``.
        weight: ``(out channels, C / groups, kernel height, kernel width)``.
        offset: ``(N, 2 * offset groups * kernel positions, out H, out W)``, in pixels.
        output: ``(N, out channels, out H, out W)``.
        columns: Not used.
        ones: Not used.
        geometry: mmcv's keywords, see the top of this module.
    """
    output.copy_(_convolve(image, weight, offset, _geometry(PLAIN_NAMES, geometry)))


def deform_conv_backward_input(
    image: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_image: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Add to ``grad_image`` and overwrite ``grad_offset``, as mmcv's kernels do."""
    gradients = _gradients(
        grad_output, image, weight, offset, _geometry(PLAIN_NAMES, geometry)
    )
    grad_image.add_(gradients.image)
    grad_offset.copy_(gradients.offset)


def deform_conv_backward_parameters(
    image: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **geometry: int,
) -> None:
    """Add ``scale`` times the gradient of the weight to ``grad_weight``.

    torchvision computes all gradients at once, so a backward pass costs twice what
    mmcv's pair of kernels would.
    """
    # The gradient of the weight does not depend on the weight; its shape is needed.
    gradients = _gradients(
        grad_output, image, grad_weight, offset, _geometry(PLAIN_NAMES, geometry)
    )
    grad_weight.add_(gradients.weight.to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    image: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Overwrite ``output`` with the modulated deformable convolution of ``image``.

    Args:
        image: ``(N, C, H, W)``.
        weight: ``(out channels, C / groups, kernel height, kernel width)``.
        bias: ``(out channels,)``, or anything where ``with_bias`` is False.
        ones: Not used.
        offset: ``(N, 2 * offset groups * kernel positions, out H, out W)``, in pixels.
        mask: ``(N, offset groups * kernel positions, out H, out W)``.
        output: ``(N, out channels, out H, out W)``.
        columns: Not used.
        with_bias: Whether ``bias`` is added.
        geometry: mmcv's keywords, see the top of this module.
    """
    window = _geometry(MODULATED_NAMES, geometry)
    added = bias if with_bias else None
    output.copy_(_convolve(image, weight, offset, window, mask, added))


def modulated_deform_conv_backward(
    image: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_image: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Write all gradients into the given tensors, as mmcv's kernels do.

    Those of the image, the weight and the bias are added to what is there; those of
    the offsets and the mask are overwritten.
    """
    window = _geometry(MODULATED_NAMES, geometry)
    added = bias if with_bias else None
    gradients = _gradients(grad_output, image, weight, offset, window, mask, added)
    grad_image.add_(gradients.image)
    grad_weight.add_(gradients.weight)
    grad_offset.copy_(gradients.offset)
    grad_mask.copy_(gradients.mask)
    if with_bias:
        grad_bias.add_(gradients.bias)
