"""mmcv's compiled operations, computed by torchvision or in plain PyTorch.

Non-maximum suppression, RoIAlign and deformable convolution, plain and modulated, come
from torchvision and keep mmcv's calling convention. For the convolution, mmcv gives the
tensors to write into, scratch buffers that torchvision does not need (``columns``,
``ones``), and the geometry by keyword: stride, padding and dilation are ``dH``,
``padH``, ``dilationH``, ... in the plain version and ``stride_h``, ``pad_h``,
``dilation_h``, ... in the modulated one.

Both libraries order the offsets alike: per group of channels and kernel position
(row by row) first y, then x.

On the CPU, mmdet, mmseg and mmcv compute the sigmoid focal loss and the multi-scale
deformable attention in plain PyTorch; for CUDA tensors they call the extension. The
same plain PyTorch stands in here, so that a model which runs on the CPU also runs,
and trains, on a GPU.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from sci_plugins.errors import MissingDependencyError, SciPluginsError

try:
    import torchvision
except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
    raise MissingDependencyError(
        'mmcv has no compiled ops here, and torchvision, whose ops stand in for them, '
        f'does not import beside torch {torch.__version__}: {error}'
    ) from error


def as_computed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Bring ``tensors`` to one type: float64 if one of them has it, else float32.

    torchvision's kernels take one floating type for all arguments, and on the CPU no
    half type everywhere; its own autocast rules compute in float32 as well.
    """
    has_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if has_double else torch.float32
    return tuple(tensor.to(dtype) for tensor in tensors)


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
    image: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
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
    gradients = _gradients(grad_output, image, weight, offset, _geometry(PLAIN_NAMES, geometry))
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


# With torch in sight mmcv compiles its ops, hence no isolation; pip may have kept a
# wheel without them, hence no cache.
INSTALL = 'pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall onedl-mmcv'


class MissingOpError(SciPluginsError, NotImplementedError):
    """An operation of mmcv that only its compiled extension has.

    Args:
        name: The operation that was called.
        available: The operations that the stand-in has.
    """

    def __init__(self, name: str, available: Sequence[str]) -> None:
        super().__init__(
            f'mmcv op {name}: mmcv has no compiled ops here, and their stand-in from '
            f'torchvision has only {", ".join(available)}; compile them (10-20 minutes): '
            f'{INSTALL}'
        )


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that no better box overlaps too much.

    Args:
        boxes: ``(N, 4)``, x1, y1, x2, y2 in pixels.
        scores: ``(N,)``.
        iou_threshold: Boxes whose IoU with a kept one is above it are dropped; a box
            exactly at the threshold stays.
        offset: 0, or 1 where ``x2`` and ``y2`` are the last pixels inside the box: its
            width is ``x2 - x1 + offset``.

    Returns:
        int64 indices by descending score; of equal scores the first comes first.
    """
    if offset:
        # Widths with +1 are the widths of boxes whose far corner is moved by 1. In
        # float64, because batched_nms moves boxes to coordinates where float32 has no
        # room left for the 1.
        boxes = boxes.double() + boxes.new_tensor([0, 0, offset, offset])
    boxes, scores = as_computed(boxes, scores)
    if boxes.dtype == torch.float32:
        # mmcv compares with a float32 threshold: an IoU of 3/5 is not above .6 there,
        # but rounded to float32 it is above .6 in float64.
        iou_threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


MAX_POOLING = 0


def _check_pooling(pool_mode: int) -> None:
    if pool_mode == MAX_POOLING:
        raise MissingOpError("roi_align with pool_mode='max'", ["pool_mode='avg'"])


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples of ``features`` in the cells of each region.

    Args:
        features: ``(N, C, H, W)``.
        rois: ``(R, 5)``: image index, x1, y1, x2, y2 in pixels of the image.
        output: ``(R, C, aligned_height, aligned_width)``, overwritten.
        argmax_y: Used by maximum pooling only.
        argmax_x: Used by maximum pooling only.
        aligned_height: Cells per region, vertically.
        aligned_width: Cells per region, horizontally.
        spatial_scale: Size of the features over size of the image.
        sampling_ratio: Samples per cell and direction; 0 for one per feature pixel.
        pool_mode: 1 averages the samples.
        aligned: Whether pixel centres lie at half coordinates.

    Raises:
        MissingOpError: for maximum pooling (``pool_mode`` 0).
    """
    _check_pooling(pool_mode)
    pooled = torch.ops.torchvision.roi_align(
        *as_computed(features, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of the features to ``grad_input``, ``(N, C, H, W)``.

    The other arguments are those of :func:`roi_align_forward`.

    Raises:
        MissingOpError: for maximum pooling (``pool_mode`` 0).
    """
    _check_pooling(pool_mode)
    gradient = torch.ops.torchvision._roi_align_backward(
        *as_computed(grad_output, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.add_(gradient)


def _focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    classes = logits.shape[1]
    # Index `classes` means background, which is the negative of every class.
    positive = one_hot(target, classes + 1)[:, :classes].to(logits.dtype)
    loss = torchvision.ops.sigmoid_focal_loss(logits, positive, alpha, gamma, reduction='none')
    return loss * weight[target, None] if weight.numel() else loss


def sigmoid_focal_loss_forward(
    logits: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Overwrite ``output``, ``(N, C)``, with the focal loss of each entry.

    Args:
        logits: ``(N, C)``.
        target: ``(N,)``, int64: a class in [0, C), or C for background.
        weight: ``(C,)``, one factor per class of the target, or empty. With weights
            there can be no background.
        output: ``(N, C)``.
        gamma: Exponent of the modulating factor.
        alpha: Factor of the positive entries; the negative ones have 1 - alpha.
    """
    output.copy_(_focal_loss(logits, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    logits: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Overwrite ``grad_input``, ``(N, C)``, with the derivative of each entry's loss."""
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        loss = _focal_loss(leaf, target, weight, gamma, alpha)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    grad_input.copy_(gradient)


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sample ``value`` at the given places of all levels and sum with the weights.

    Args:
        value: ``(N, keys of all levels, heads, channels)``.
        value_spatial_shapes: ``(levels, 2)``, height and width.
        value_level_start_index: Not used: the levels lie one after the other.
        sampling_locations: ``(N, queries, heads, levels, points, 2)``, x and y in
            [0, 1] over each level.
        attention_weights: ``(N, queries, heads, levels, points)``.
        im2col_step: Not used.

    Returns:
        ``(N, queries, heads * channels)``.
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(
        value, value_spatial_shapes, sampling_locations, attention_weights
    )


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Overwrite the three given tensors with the gradients of the forward's inputs."""
    with torch.enable_grad():
        leaves = [
            tensor.detach().requires_grad_()
            for tensor in (value, sampling_locations, attention_weights)
        ]
        attended = ms_deform_attn_forward(
            leaves[0],
            value_spatial_shapes,
            value_level_start_index,
            leaves[1],
            leaves[2],
            im2col_step,
        )
        gradients = torch.autograd.grad(attended, leaves, grad_output)
    for buffer, gradient in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True
    ):
        buffer.copy_(gradient)
