"""One number type for all arguments of a kernel."""

import pytest
import torch

from sci_plugins.compat.ops import as_computed

HALF, BRAIN, SINGLE, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64


@pytest.mark.parametrize(
    ('given', 'computed'),
    [
        ([SINGLE, SINGLE], SINGLE),
        ([HALF, HALF], SINGLE),
        ([BRAIN, SINGLE], SINGLE),
        ([torch.int64, HALF], SINGLE),
        ([HALF, DOUBLE], DOUBLE),
        ([DOUBLE, SINGLE, BRAIN], DOUBLE),
    ],
)
def test_double_if_one_is_else_single(given: list[torch.dtype], computed: torch.dtype) -> None:
    tensors = [torch.ones(2, dtype=dtype) for dtype in given]
    found = as_computed(*tensors)
    assert [each.dtype for each in found] == [computed] * len(given)
    assert [each.dtype for each in tensors] == given


def test_values_and_gradients_pass() -> None:
    half = torch.tensor([0.5, -2.0], dtype=HALF, requires_grad=True)
    (single,) = as_computed(half)
    assert single.tolist() == [0.5, -2.0]
    (single * 3).sum().backward()
    assert half.grad is not None
    assert half.grad.tolist() == [3, 3]


def test_what_fits_is_not_copied() -> None:
    tensor = torch.rand(3)
    assert as_computed(tensor)[0] is tensor
