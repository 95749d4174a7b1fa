"""Operations that hosts ask mmcv for on a GPU only.

On the CPU, mmdet, mmseg and mmcv compute the sigmoid focal loss and the multi-scale
deformable attention in plain PyTorch; for CUDA tensors they call the extension. The
same plain PyTorch stands in here, so that a model which runs on the CPU also runs,
and trains, on a GPU.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.ops import sigmoid_focal_loss


def _focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    classes = logits.shape[1]
    # Index `classes` means background, which is the negative of every class.
    positive = one_hot(target, classes + 1)[:, :classes].to(logits.dtype)
    loss = sigmoid_focal_loss(logits, positive, alpha, gamma, reduction='none')
    return loss * weight[target, None] if weight.numel() else loss


def sigmoid_focal_loss_forward(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
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
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
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
