"""What stands in for ``mmcv._ext``: its operations by torchvision or plain PyTorch.

The functions keep mmcv's calling convention: the caller passes the tensors to write into, scratch
buffers (``columns``, ``ones``) that are ignored here, and the geometry by keyword. Both libraries
order the offsets alike: for each group of channels and each kernel position, row by row, first y,
then x. The hosts compute the sigmoid focal loss and multi-scale deformable attention in plain
PyTorch on the CPU, and call the extension for CUDA tensors: the same plain PyTorch stands in here.
"""

import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from sci_plugins.errors import MissingDependencyError, SciPluginsError

try:
    import torchvision
except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
    raise MissingDependencyError(
        'mmcv has no compiled ops here, and torchvision, which replaces them, cannot be '
        f'imported with torch {torch.__version__}: {error}'
    ) from error


def as_computed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Convert all ``tensors`` to float64 if one of them is float64, else to float32.

    torchvision's kernels want one dtype, which on the CPU cannot always be half precision.
    """
    has_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    dtype = torch.float64 if has_double else torch.float32
    return tuple(tensor.to(dtype) for tensor in tensors)


_PLAIN_NAMES = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW')
_MODULATED_NAMES = ('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w')


def _deform_conv_arguments(
    operands: Sequence[Tensor], geometry: Mapping[str, int], bias: Tensor | None = None
) -> tuple[Any, ...]:
    """torchvision's arguments, from mmcv's: image, weight, offset and, if modulated, a mask."""
    image, weight, _, *mask = operands
    names = _MODULATED_NAMES if mask else _PLAIN_NAMES
    window = (geometry[name] for name in (*names, 'group', 'deformable_group'))
    # torchvision wants a tensor even where there is no mask or no bias.
    given = mask or [image.new_zeros(image.shape[0], 1)]
    bias = image.new_zeros(weight.shape[0]) if bias is None else bias
    return *as_computed(*operands[:3], *given, bias), *window, bool(mask)


def _deform_conv_gradients(grad_output: Tensor, *given: Any) -> tuple[Tensor, ...]:
    """Gradients of image, weight, offset, mask and bias of the convolution that is given."""
    arguments = _deform_conv_arguments(*given)
    grad_output = grad_output.to(arguments[0].dtype)
    return torch.ops.torchvision._deform_conv2d_backward(grad_output, *arguments)


def deform_conv_forward(*tensors: Tensor, **geometry: int) -> None:
    """Overwrite ``output`` with the deformable convolution of ``image``.

    Args:
        tensors: ``image``, ``(N, C, H, W)``; ``weight``, ``(out channels, C / groups, kernel
            height, kernel width)``; ``offset``, ``(N, 2 * offset groups * kernel positions, out H,
            out W)``, in pixels; ``output``, ``(N, out channels, out H, out W)``.
    """
    arguments = _deform_conv_arguments(tensors[:3], geometry)
    tensors[3].copy_(torch.ops.torchvision.deform_conv2d(*arguments))


def deform_conv_backward_input(*tensors: Tensor, **geometry: int) -> None:
    """Add to the image's gradient and overwrite the offset's, as mmcv's kernels do."""
    image, offset, grad_output, grad_image, grad_offset, weight, *_ = tensors
    gradients = _deform_conv_gradients(grad_output, (image, weight, offset), geometry)
    grad_image.add_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(*tensors: Tensor, scale: float, **geometry: int) -> None:
    """Add ``scale`` times the gradient of the weight to that buffer.

    torchvision computes all gradients at once: a backward pass costs twice what mmcv's would.
    """
    image, offset, grad_output, grad_weight, *_ = tensors
    # mmcv does not pass the weight, but its gradient depends on nothing but its shape.
    gradients = _deform_conv_gradients(grad_output, (image, grad_weight, offset), geometry)
    grad_weight.add_(gradients[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(*tensors: Tensor, with_bias: bool, **geometry: int) -> None:
    """Overwrite ``output`` with the modulated deformable convolution of ``image``.

    The tensors are ``image, weight, bias, _, offset, mask, output``: ``mask`` is ``(N, offset
    groups * kernel positions, out H, out W)``; ``bias``, ``(out channels,)``, is ignored if
    ``with_bias`` is False. Others as in :func:`deform_conv_forward`.
    """
    image, weight, bias, _, offset, mask, output, *_ = tensors
    operands = image, weight, offset, mask
    arguments = _deform_conv_arguments(operands, geometry, bias if with_bias else None)
    output.copy_(torch.ops.torchvision.deform_conv2d(*arguments))


def modulated_deform_conv_backward(*tensors: Tensor, with_bias: bool, **geometry: int) -> None:
    """Write all gradients into the given tensors, as mmcv's kernels do.

    The tensors are those of the forward pass without the output; then gradient buffers: image,
    weight and bias, to add to, offset and mask, to overwrite; then the gradient of the output.
    """
    image, weight, bias, _, offset, mask, _, *buffers, grad_output = tensors
    operands, bias_or_none = (image, weight, offset, mask), bias if with_bias else None
    gradients = _deform_conv_gradients(grad_output, operands, geometry, bias_or_none)
    # Of torchvision: image, weight, offset, mask, bias.
    for buffer, gradient in zip(buffers[:2], gradients[:2], strict=True):
        buffer.add_(gradient)
    for buffer, gradient in zip(buffers[3:], gradients[2:4], strict=True):
        buffer.copy_(gradient)
    if with_bias:
        buffers[2].add_(gradients[4])


# mmcv compiles its ops only if it can import torch: no build isolation. pip may have cached a
# wheel without them: no cache.
INSTALL = 'pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall onedl-mmcv'


class MissingOpError(SciPluginsError, NotImplementedError):
    """The operation ``name`` of mmcv, which only its compiled extension has."""

    def __init__(self, name: str, available: Sequence[str]) -> None:
        there = f'their replacement by torchvision has only {", ".join(available)}'
        told = f'mmcv has no compiled ops here, and {there}; compile them (10-20 minutes)'
        super().__init__(f'mmcv op {name}: {told}: {INSTALL}')


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices, int64, by descending score (stable), of boxes that no better one overlaps too much.

    Args:
        boxes, scores: ``(N, 4)``, x1, y1, x2, y2 in pixels; ``(N,)``.
        iou_threshold: drop boxes whose IoU with a kept one is above this.
        offset: 0, or 1 if ``x2`` and ``y2`` are the last pixels inside the box.
    """
    if offset:
        # Moving the far corner by 1 adds 1 to the sides. In float64, because batched_nms shifts
        # boxes to coordinates so large that float32 would lose the 1.
        boxes = boxes.double() + boxes.new_tensor([0, 0, offset, offset])
    boxes, scores = as_computed(boxes, scores)
    if boxes.dtype == torch.float32:
        # mmcv compares float32 with a float32 threshold: an IoU of 3/5 is not above .6 there, but
        # 3/5 rounded to float32 is above .6 in float64.
        iou_threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


def _roi_align_window(settings: Mapping[str, Any]) -> list[Any]:
    """torchvision's arguments; its backward pass has the features' shape after the first three."""
    if settings['pool_mode'] == 0:  # maximum
        raise MissingOpError("roi_align with pool_mode='max'", ["pool_mode='avg'"])
    names = ('spatial_scale', 'aligned_height', 'aligned_width', 'sampling_ratio', 'aligned')
    return [settings[name] for name in names]


def roi_align_forward(
    features: Tensor, rois: Tensor, output: Tensor, *argmax: Tensor, **settings: Any
) -> None:
    """Average bilinear samples of ``features`` in the cells of each region.

    Args:
        features: ``(N, C, H, W)``.
        rois: ``(R, 5)``: image index, x1, y1, x2, y2 in pixels of the image.
        output: ``(R, C, aligned_height, aligned_width)``, overwritten.
        settings: ``aligned_height`` and ``aligned_width``, cells per region; ``spatial_scale``,
            size of the features over size of the image; ``sampling_ratio``, samples per cell and
            direction, 0 for one per feature pixel; ``pool_mode``, 1 for the average (a
            MissingOpError for 0); ``aligned``, whether pixel centres lie at half coordinates.
    """
    operands, window = as_computed(features, rois), _roi_align_window(settings)
    output.copy_(torch.ops.torchvision.roi_align(*operands, *window))


def roi_align_backward(*tensors: Tensor, **settings: Any) -> None:
    """Add the gradient of the features to the last of the tensors, ``(N, C, H, W)``.

    Before it come the output's gradient, the regions and two that are ignored; see
    :func:`roi_align_forward`.
    """
    grad_output, rois, *_, grad_input = tensors
    operands, window = as_computed(grad_output, rois), _roi_align_window(settings)
    window[3:3] = grad_input.shape
    grad_input.add_(torch.ops.torchvision._roi_align_backward(*operands, *window))


def _focal_loss(logits: Tensor, target: Tensor, weight: Tensor, **settings: Any) -> Tensor:
    classes = logits.shape[1]
    # Background has the index `classes`: a negative of every class.
    positive = one_hot(target, classes + 1)[:, :classes].to(logits.dtype)
    loss = torchvision.ops.sigmoid_focal_loss(logits, positive, **settings, reduction='none')
    return loss * weight[target, None] if weight.numel() else loss


def sigmoid_focal_loss_forward(*tensors: Tensor, **settings: Any) -> None:
    """Overwrite ``output`` with the focal loss of each entry of the logits, both ``(N, C)``.

    Args:
        tensors: ``logits``; ``target``, ``(N,)``, int64: a class in [0, C), or C for background;
            ``weight``, ``(C,)``, one factor per class of the target, not for background, or empty;
            ``output``.
        settings: ``gamma``, exponent of the modulating factor; ``alpha``, factor of the positive
            entries, 1 - alpha for the negative ones.
    """
    tensors[3].copy_(_focal_loss(*tensors[:3], **settings))


def sigmoid_focal_loss_backward(*tensors: Tensor, **settings: Any) -> None:
    """Overwrite the last tensor, ``(N, C)``, with the derivative of each entry's loss."""
    logits, target, weight, grad_input = tensors
    leaf = logits.detach().requires_grad_()
    with torch.enable_grad():
        loss = _focal_loss(leaf, target, weight, **settings).sum()
    grad_input.copy_(torch.autograd.grad(loss, leaf)[0])


def ms_deform_attn_forward(*tensors: Tensor, im2col_step: int) -> Tensor:
    """Sample ``value`` at the given locations of all levels; return the weighted sum.

    It is ``(N, queries, heads * channels)``. The tensors are ``value``, ``(N, keys of all levels,
    heads, channels)``, levels one after the other; their ``(levels, 2)``, height and width; where
    each begins, not needed; sampling locations, ``(N, queries, heads, levels, points, 2)``, x and y
    in [0, 1] over each level; their weights, without the last dimension.
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    value, shapes, _, locations, weights = tensors
    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)


def ms_deform_attn_backward(*tensors: Tensor, im2col_step: int) -> None:
    """Overwrite the last three tensors with the gradients of value, locations and weights.

    Before them come those of :func:`ms_deform_attn_forward` and the gradient of its result.
    """
    value, *levels, locations, weights, grad_output = tensors[:6]
    leaves = [each.detach().requires_grad_() for each in (value, locations, weights)]
    with torch.enable_grad():
        attended = ms_deform_attn_forward(leaves[0], *levels, *leaves[1:], im2col_step=im2col_step)
    gradients = torch.autograd.grad(attended, leaves, grad_output)
    for buffer, gradient in zip(tensors[6:], gradients, strict=True):
        buffer.copy_(gradient)


_BUILT = (
    nms, roi_align_forward, roi_align_backward, deform_conv_forward, deform_conv_backward_input,
    deform_conv_backward_parameters, modulated_deform_conv_forward, modulated_deform_conv_backward,
    sigmoid_focal_loss_forward, sigmoid_focal_loss_backward, ms_deform_attn_forward,
    ms_deform_attn_backward,
)  # fmt: skip
OPS = {op.__name__: op for op in _BUILT}


def _missing_op(name: str) -> Any:
    # mmcv looks up at import, with hasattr, every op that it may ever call: the error must wait
    # for the call. Python's own lookups (__path__, __wrapped__, ...) must fail as usual.
    if name.startswith('_'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")

    def raise_missing(*args: object, **kwargs: object) -> NoReturn:
        families = dict.fromkeys(re.sub(r'_(forward|backward).*', '', op) for op in OPS)
        raise MissingOpError(name, list(families))

    return raise_missing


def fill(module: ModuleType) -> None:
    """Put the ops into ``module``; every other op raises when it is called."""
    module.__doc__ = 'Operations of mmcv, computed by torchvision.'
    vars(module).update(
        OPS,
        # What mmcv reports as its compilers.
        get_compiler_version=lambda: f'none, ops from torchvision {torchvision.__version__}',
        get_compiling_cuda_version=lambda: torch.version.cuda or 'not available',
        __getattr__=_missing_op,
    )
