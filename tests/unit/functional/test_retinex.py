"""The Retinex division and the clamp of the illumination."""

import pytest
import torch

from sci_plugins.functional.retinex import MIN_ILLUMINATION, divide_illumination, limit_illumination


def test_the_floor_is_the_authors() -> None:
    assert MIN_ILLUMINATION == 1e-4


def test_limits() -> None:
    given = torch.tensor([-1.0, 0.0, 1e-4, 0.5, 1.0, 1.7])
    found = limit_illumination(given)
    assert found.tolist() == pytest.approx([1e-4, 1e-4, 1e-4, 0.5, 1.0, 1.0])
    assert given[0] == -1  # not in place


def test_division() -> None:
    image = torch.tensor([0.0, 0.1, 0.25, 0.6, 1.0])
    illumination = torch.tensor([1e-4, 0.5, 0.5, 0.5, 1.0])
    found = divide_illumination(image, illumination)
    assert found.tolist() == pytest.approx([0.0, 0.2, 0.5, 1.0, 1.0])
    assert image.tolist() == pytest.approx([0.0, 0.1, 0.25, 0.6, 1.0])


def test_an_illumination_of_one_changes_nothing() -> None:
    image = torch.rand(2, 3, 4, 5)
    assert torch.equal(divide_illumination(image, torch.ones_like(image)), image)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_device_are_kept(dtype: torch.dtype, device: torch.device) -> None:
    image = torch.rand(1, 3, 2, 2).to(device, dtype)
    for found in (limit_illumination(image), divide_illumination(image, image + 1)):
        assert (found.dtype, found.device) == (dtype, image.device)


def test_gradcheck_between_the_clamps() -> None:
    image = torch.rand(1, 3, 2, 3, dtype=torch.float64) * 0.3 + 0.1
    illumination = torch.rand(1, 3, 2, 3, dtype=torch.float64) * 0.4 + 0.5
    inputs = (image.requires_grad_(), illumination.requires_grad_())
    enhanced = divide_illumination(*inputs)
    assert 0 < float(enhanced.detach().min()) <= float(enhanced.detach().max()) < 1
    grads = torch.autograd.grad(enhanced.sum(), inputs)
    assert all(float(grad.abs().min()) > 0 for grad in grads)
    assert torch.autograd.gradcheck(divide_illumination, inputs)
    assert torch.autograd.gradcheck(limit_illumination, inputs[1:])


def test_gradient_is_zero_beyond_the_clamps() -> None:
    image = torch.tensor([0.9], dtype=torch.float64, requires_grad=True)
    illumination = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    divide_illumination(image, illumination).sum().backward()
    assert (image.grad.item(), illumination.grad.item()) == (0, 0)
    outside = torch.tensor([-0.5, 1.5], dtype=torch.float64, requires_grad=True)
    limit_illumination(outside).sum().backward()
    assert outside.grad.tolist() == [0, 0]
