"""The Retinex division, the clamp of the illumination, and the brightness gate."""

import pytest
import torch

from sci_plugins.functional.retinex import (
    MIN_ILLUMINATION,
    blend,
    darkness_gate,
    divide_illumination,
    limit_illumination,
    mean_luma,
)


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


def test_luma_weighs_the_channels_as_bt_601_does() -> None:
    image = torch.zeros(3, 3, 2, 5)
    for channel in range(3):
        image[channel, channel] = 1
    assert mean_luma(image).tolist() == pytest.approx([0.299, 0.587, 0.114])
    half = torch.ones(1, 3, 2, 4)
    half[..., :2] = 0
    assert mean_luma(half).item() == pytest.approx(0.5)


def test_luma_of_half_precision_is_summed_in_full() -> None:
    image = torch.full((1, 3, 300, 300), 0.2, dtype=torch.float16)
    assert mean_luma(image).dtype == torch.float32
    assert mean_luma(image).item() == pytest.approx(0.2, abs=1e-4)
    assert mean_luma(image.double()).dtype == torch.float64


def test_the_gate_at_known_places() -> None:
    luma = torch.tensor([0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 1.0], dtype=torch.float64)
    gate = darkness_gate(luma, 0.1, 0.3)
    wanted = [1, 1, 0.84375, 0.5, 0.15625, 0, 0]  # t = 3/4: 9/16 (3 - 3/2)
    assert gate.tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(('dark', 'bright'), [(0.16, 0.25), (0.1, 0.3), (0.0, 1.0)])
def test_the_ends_are_exact_in_float32(dark: float, bright: float) -> None:
    below = torch.linspace(0, dark, 50) * (1 - 1e-6)
    above = torch.linspace(bright, 1, 50) * (1 + 1e-6)
    assert torch.equal(darkness_gate(below, dark, bright), torch.ones(50))
    assert torch.equal(darkness_gate(above, dark, bright), torch.zeros(50))


def test_the_gate_falls_and_never_jumps() -> None:
    luma = torch.linspace(0, 1, 10001, dtype=torch.float64)
    steps = darkness_gate(luma, 0.16, 0.25).diff()
    assert float(steps.max()) <= 0
    assert float(steps.abs().max()) < 1.6 * 1e-4 / 0.09


def test_gradients_of_the_ramp_and_of_its_ends() -> None:
    luma = torch.tensor([0.17, 0.2, 0.24], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: darkness_gate(x, 0.16, 0.25), (luma,))
    darkness_gate(luma, 0.16, 0.25).sum().backward()
    assert bool((luma.grad < 0).all())  # type: ignore[operator]
    flat = torch.tensor([0.1, 0.16, 0.25, 0.7], dtype=torch.float64, requires_grad=True)
    darkness_gate(flat, 0.16, 0.25).sum().backward()
    assert flat.grad is not None
    assert flat.grad.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(('dark', 'bright'), [(0.3, 0.3), (0.4, 0.3)])
def test_limits_in_the_wrong_order(dark: float, bright: float) -> None:
    with pytest.raises(ValueError, match='dark must be below bright'):
        darkness_gate(torch.rand(2), dark, bright)


def test_the_blend_is_exact_at_both_ends() -> None:
    image, enhanced = torch.rand(2, 4, 3, 9, 7).unbind(0)
    mixed = blend(image, enhanced, torch.tensor([0.0, 1.0, 0.5, 0.25]))
    assert torch.equal(mixed[0], image[0])
    assert torch.equal(mixed[1], enhanced[1])
    torch.testing.assert_close(mixed[2], (image[2] + enhanced[2]) / 2)
    torch.testing.assert_close(mixed[3], 0.75 * image[3] + 0.25 * enhanced[3])


def test_gradients_of_the_blend() -> None:
    image, enhanced = torch.rand(2, 2, 3, 2, 3, dtype=torch.float64).unbind(0)
    gate = torch.tensor([0.3, 0.8], dtype=torch.float64)
    inputs = [each.requires_grad_() for each in (image, enhanced, gate)]
    assert torch.autograd.gradcheck(blend, inputs)
