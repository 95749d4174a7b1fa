import pytest
import torch
from torch.autograd import Function

from sci_plugins.functional.conv3x3 import first_derivative_only


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @first_derivative_only
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        assert not torch.is_grad_enabled()
        return 2 * x * grad


def test_the_first_derivative():
    x = torch.tensor(3.0, requires_grad=True)
    Square.apply(x).backward()
    assert float(x.grad) == 6


def test_a_second_one_is_refused_where_it_would_be_wrong():
    """A term that has one beside a term that has none."""
    x = torch.tensor(3.0, requires_grad=True)
    with pytest.raises(RuntimeError, match=r'no second derivative.*create_graph=True'):
        torch.autograd.grad(Square.apply(x) + x**3, x, create_graph=True)


def test_a_compiler_takes_it_whole():
    x = torch.tensor(3.0, requires_grad=True)
    torch.compile(Square.apply, backend='aot_eager', fullgraph=True)(x).backward()
    assert float(x.grad) == 6
