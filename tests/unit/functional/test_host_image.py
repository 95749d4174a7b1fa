"""Host images to RGB and back, against the formula pixel by pixel."""

import pytest
import torch

from sci_plugins.functional.host_image import host_to_rgb, rgb_to_host

ORDERS = {'bgr': [2, 1, 0], 'rgb': [0, 1, 2]}


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.float16])
def test_to_rgb(order: str, dtype: torch.dtype) -> None:
    image = torch.randint(0, 256, (2, 3, 4, 5)).to(dtype)
    before = image.clone()
    rgb = host_to_rgb(image, order)
    wanted = image[:, ORDERS[order]].float() / 255
    assert rgb.dtype == torch.float32
    assert torch.equal(rgb, wanted)
    assert torch.equal(image, before)


@pytest.mark.parametrize('order', ORDERS)
def test_values_outside_are_clamped(order: str) -> None:
    image = torch.tensor([-3.0, 128.0, 300.0]).view(1, 3, 1, 1)
    wanted = torch.tensor([0.0, 128 / 255, 1.0])[ORDERS[order]]
    torch.testing.assert_close(host_to_rgb(image, order).flatten(), wanted)
    assert image.flatten().tolist() == [-3.0, 128.0, 300.0]


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_to_host(order: str, layout: torch.memory_format) -> None:
    rgb = torch.rand(2, 3, 4, 5).to(memory_format=layout)
    before = rgb.clone()
    image = rgb_to_host(rgb, order)
    assert torch.equal(image, rgb[:, ORDERS[order]] * 255)
    assert image.is_contiguous()
    assert torch.equal(rgb, before)


@pytest.mark.parametrize('order', ORDERS)
@pytest.mark.parametrize('number', [0, 1, 3])
def test_there_and_back(order: str, number: int) -> None:
    image = torch.randint(0, 256, (number, 3, 6, 7), dtype=torch.uint8)
    back = rgb_to_host(host_to_rgb(image, order), order)
    torch.testing.assert_close(back, image.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize('order', ORDERS)
def test_gradients(order: str) -> None:
    """Interior points: no value is clamped, so no gradient is zero."""
    image = (torch.rand(1, 3, 2, 3) * 200 + 20).requires_grad_()
    weight = torch.rand(1, 3, 2, 3)
    (rgb_to_host(host_to_rgb(image, order), order) * weight).sum().backward()
    torch.testing.assert_close(image.grad, weight)
