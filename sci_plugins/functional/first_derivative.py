"""Backward passes that have no derivative of their own say so."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def first_derivative_only(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate ``backward`` of an autograd function: no second derivative.

    PyTorch's ``once_differentiable`` would leave the function out of a second
    derivative without a word where the first one started from a constant.

    Raises:
        RuntimeError: from the backward pass with ``create_graph=True``.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError(
                'no second derivative: this training step has a first one only; '
                'create_graph=True needs the layers in eval mode'
            )
        with torch.no_grad():
            return backward(ctx, *grads)

    return checked
