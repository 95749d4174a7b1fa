"""The smoothness term of SCI's loss and both its gradients in one pass.

Autograd would keep a dozen tensors for each of the 12 offsets. Here each pair of pixels is visited
once, for the sum and the gradients together, and only the gradients are kept. Memory is ordered
image, row, plane, column, so that each thread finds in its cache what it wrote there.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from sci_plugins.functional.conv3x3 import first_derivative_only

#: Of the 5x5 neighbourhood.
RADIUS = 2
# Half of the 24 neighbours; the other half is its mirror image.
_HALF_WINDOW = tuple(
    (dy, dx) for dy in range(RADIUS + 1) for dx in range(-RADIUS, RADIUS + 1) if (dy, dx) > (0, 0)
)
_Index = tuple[slice, slice, slice, slice]


def weighted_variation(illumination: Tensor, colors: Tensor, sigma: float) -> Tensor:
    """``sum over q of mean over p of exp(-|y_p - y_q|^2 / 2 sigma^2) |i_p - i_q|_1``.

    The sum is over the 24 neighbours q of a pixel, each mean over all pixels p with that neighbour.

    Args:
        illumination: ``i``, ``(N, 3, H, W)``, at least 3 rows and columns.
        colors: ``y``, same shape and dtype.
        sigma: positive.

    Returns:
        A scalar, once differentiable in both tensors, with gradient 0 where neighbours are equal.
    """
    return _WeightedVariation.apply(illumination, colors, sigma)


class _WeightedVariation(Function):
    @staticmethod
    def forward(ctx: Any, illumination: Tensor, colors: Tensor, sigma: float) -> Tensor:
        planes = 6 if ctx.needs_input_grad[1] else 3 if ctx.needs_input_grad[0] else 0
        total, gradient = _visit_pairs(illumination, colors, sigma, planes)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        gradient = (gradient * grad).transpose(1, 2)
        return (
            gradient[:, :3] if ctx.needs_input_grad[0] else None,
            gradient[:, 3:] if ctx.needs_input_grad[1] else None,
            None,
        )


# A custom operator, so that torch.compile calls it as it is.
@torch.library.custom_op('sci_plugins::weighted_variation', mutates_args=())
def _visit_pairs(
    illumination: Tensor, colors: Tensor, sigma: float, planes: int
) -> tuple[Tensor, Tensor]:
    """The sum and its gradient ``(N, H, planes, W)``: of illumination, then of colors.

    ``planes`` is 6, 3 for the gradient of the illumination alone, or 0 for none.
    """
    stack = _stack(illumination, colors / (sqrt(2) * sigma))
    gradient = torch.zeros_like(stack[:, :, :planes])
    total = stack.new_zeros(())
    # Fresh memory for each offset would cost as much as the arithmetic.
    memory = [torch.empty_like(stack[:, :, :count]).flatten() for count in (6, 3, 1, 1)]
    for near, far in _pairs(stack):
        difference, sign, weight, value = _cut_to(stack[near], memory)
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
    gradient = illumination.new_empty(number, height, planes, width)
    return illumination.new_empty(()), gradient


def _stack(illumination: Tensor, colors: Tensor) -> Tensor:
    """``(N, 3, H, W)`` twice -> ``(N, H, 6, W)``."""
    number, _, height, width = illumination.shape
    stack = illumination.new_empty(number, height, 6, width)
    stack[:, :, :3] = illumination.transpose(1, 2)
    stack[:, :, 3:] = colors.transpose(1, 2)
    return stack


def _pairs(stack: Tensor) -> Iterator[tuple[_Index, _Index]]:
    """Indices into ``(N, H, 6, W)`` of all pixels p and their neighbours q, for each offset."""
    _, height, _, width = stack.shape
    every = slice(None)
    for dy, dx in _HALF_WINDOW:
        left, right = max(-dx, 0), width - max(dx, 0)
        near = (every, slice(height - dy), every, slice(left, right))
        far = (every, slice(dy, None), every, slice(left + dx, right + dx))
        yield near, far


def _cut_to(pixels: Tensor, memory: list[Tensor]) -> list[Tensor]:
    """Views of the memory as 6, 3, 1 and 1 planes of the shape of ``pixels``."""
    number, height, _, width = pixels.shape
    views = []
    for each, planes in zip(memory, (6, 3, 1, 1), strict=True):
        shape = (number, height, planes, width)
        views.append(each[: pixels.numel() // 6 * planes].view(shape))
    return views


def _dot(first: Tensor, second: Tensor, out: Tensor) -> Tensor:
    """Dot product over planes: ``(N, H, 3, W)`` twice -> ``(N, H, 1, W)``."""
    torch.mul(first[:, :, :1], second[:, :, :1], out=out)
    for plane in (slice(1, 2), slice(2, 3)):
        out.addcmul_(first[:, :, plane], second[:, :, plane])
    return out
