"""What hosts call on a GPU only, called here on the CPU as well."""

from types import ModuleType

import pytest
import torch
from torch import Tensor


def plain_focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Focal loss of every entry, straight from its definition."""
    p = logits.sigmoid()
    positive = -alpha * (1 - p) ** gamma * p.log()
    negative = -(1 - alpha) * p**gamma * (1 - p).log()
    classes = torch.arange(logits.shape[1], device=logits.device)
    return torch.where(target[:, None] == classes, positive, negative)


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_focal_loss_against_definition(
    ops: ModuleType, device: torch.device, reduction: str
) -> None:
    logits = torch.randn(7, 3, dtype=torch.float64, device=device, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 3, 0, 2], device=device)  # 3 is background
    loss = ops.sigmoid_focal_loss(logits, target, 1.5, 0.3, None, reduction)
    expected = plain_focal_loss(logits, target, 1.5, 0.3)
    if reduction != 'none':
        expected = expected.sum() / (7 if reduction == 'mean' else 1)
    torch.testing.assert_close(loss, expected)
    cotangent = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(loss, logits, cotangent)
    (reference,) = torch.autograd.grad(expected, logits, cotangent)
    assert reference.abs().min() > 0
    torch.testing.assert_close(gradient, reference)


def test_focal_loss_with_class_weights(ops: ModuleType) -> None:
    logits, target = torch.randn(4, 3), torch.tensor([2, 0, 1, 2])
    weight = torch.tensor([1.0, 2.0, 5.0])
    loss = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, 'none')
    expected = plain_focal_loss(logits, target, 2.0, 0.25)
    torch.testing.assert_close(loss, expected * weight[target, None])


LEVELS = torch.tensor([[4, 3], [2, 5]])


def plain_attention(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Every head's weighted sum of bilinear samples, one sample at a time."""
    images, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    output = value.new_zeros(images, queries, heads, channels)
    planes = [
        part.unflatten(1, size)
        for part, size in zip(
            value.split([h * w for h, w in LEVELS.tolist()], dim=1), LEVELS.tolist(), strict=True
        )
    ]
    indices = torch.cartesian_prod(
        *map(torch.arange, (images, queries, heads, len(LEVELS), points))
    )
    for n, q, m, level, p in indices.tolist():
        height, width = LEVELS[level].tolist()
        x = locations[n, q, m, level, p, 0] * width - 0.5
        y = locations[n, q, m, level, p, 1] * height - 0.5
        left, top = int(x.floor()), int(y.floor())
        for row in (top, top + 1):
            for column in (left, left + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - (x - column).abs()) * (1 - (y - row).abs())
                    pixel = planes[level][n, row, column, m]
                    output[n, q, m] += weights[n, q, m, level, p] * share * pixel
    return output.flatten(2)


def test_attention_against_definition(ops: ModuleType) -> None:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value = torch.randn(2, 22, 2, 3).double().requires_grad_()
    locations = (torch.rand(2, 4, 2, 2, 2, 2).double() * 1.2 - 0.1).requires_grad_()
    weights = torch.rand(2, 4, 2, 2, 2).double().requires_grad_()
    starts = torch.tensor([0, 12])
    inputs = (value, LEVELS, starts, locations, weights, 64)
    actual = MultiScaleDeformableAttnFunction.apply(*inputs)
    expected = plain_attention(value, locations, weights)
    torch.testing.assert_close(actual, expected)
    leaves = [value, locations, weights]
    cotangent = torch.randn_like(expected)
    gradients = torch.autograd.grad(actual, leaves, cotangent)
    references = torch.autograd.grad(expected, leaves, cotangent)
    for gradient, reference in zip(gradients, references, strict=True):
        assert reference.abs().max() > 0
        torch.testing.assert_close(gradient, reference)


def test_attention_module_trains(ops: ModuleType, device: torch.device) -> None:
    module = ops.MultiScaleDeformableAttention(
        embed_dims=8, num_heads=2, num_levels=2, num_points=2, batch_first=True
    ).to(device)
    query = torch.randn(1, 22, 8, device=device)
    attended = module(
        query,
        value=query,
        reference_points=torch.rand(1, 22, 2, 2, device=device),
        spatial_shapes=LEVELS.to(device),
        level_start_index=torch.tensor([0, 12], device=device),
    )
    assert attended.shape == query.shape
    attended.square().sum().backward()
    assert module.value_proj.weight.grad.abs().sum() > 0
