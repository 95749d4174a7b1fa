"""Quantiles are PyTorch's, constants those of ``new_tensor``, and graphs are noticed."""

from typing import Any

import pytest
import torch

from sci_plugins.functional.tensors import constant, is_exporting, is_recorded, quantiles


@pytest.mark.parametrize('number', [1, 2, 11, 1000])
def test_quantiles(number: int) -> None:
    values = torch.rand(2, number, generator=torch.Generator().manual_seed(0)).mul(50).round() / 50
    shares = (0.1, 0.5, 0.9)
    wanted = torch.quantile(values, torch.tensor(shares), dim=1)
    torch.testing.assert_close(quantiles(values, *shares), wanted)
    values[1, -1] = torch.nan
    assert quantiles(values, *shares).isnan().tolist() == [[False, True]] * 3


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.uint8])
def test_a_constant(dtype: torch.dtype) -> None:
    like = torch.zeros(2, dtype=dtype)
    found = constant((1, 2.5, 114), like)
    assert found.dtype == dtype
    assert torch.equal(found, like.new_tensor((1, 2.5, 114)))


def test_what_is_recorded() -> None:
    seen: list[tuple[bool, bool]] = []

    class Look(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            seen.append((is_recorded(), is_exporting()))
            return image + 1

    image = torch.zeros(2)
    Look()(image)
    torch.jit.trace(Look(), image, check_trace=False)
    assert seen[0] == (False, False)
    assert seen[1] == (True, False)
