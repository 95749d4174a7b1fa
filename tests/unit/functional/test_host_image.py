"""Host images to RGB and back, pixel by pixel; where padding begins."""

import pytest
import torch
from torch import Tensor

from sci_plugins.functional.host_image import fill_mask, host_to_rgb, rgb_to_host, valid_size

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


GREY = (114.0, 114.0, 114.0)


@pytest.fixture(params=[torch.uint8, torch.float32])
def picture(request: pytest.FixtureRequest) -> Tensor:
    return torch.randint(0, 100, (3, 30, 40)).to(request.param)


@pytest.mark.parametrize('size', [(30, 40), (20, 40), (30, 25), (29, 39), (1, 1)])
def test_valid_size_is_the_size_before_padding(picture: Tensor, size: tuple[int, int]) -> None:
    padded = torch.full_like(picture, 114)
    padded[:, : size[0], : size[1]] = picture[:, : size[0], : size[1]]
    assert valid_size(padded, GREY) == size


def test_colours_may_differ_by_channel(picture: Tensor) -> None:
    picture[:, 12:] = torch.tensor([104, 117, 123]).view(3, 1, 1).to(picture.dtype)
    assert valid_size(picture, (104, 117, 123)) == (12, 40)
    assert valid_size(picture, (123, 117, 104)) == (30, 40)


def test_fill_elsewhere_than_at_the_edges_does_not_count(picture: Tensor) -> None:
    picture[:, :10] = 114
    picture[:, 15] = 114
    assert valid_size(picture, GREY) == (30, 40)
    picture[:, -1, -1] = 114  # one such pixel in the corner is still picture
    assert valid_size(picture, GREY) == (30, 40)


def test_an_image_of_nothing_else_is_all_picture() -> None:
    assert valid_size(torch.full((3, 5, 6), 114), GREY) == (5, 6)
    assert valid_size(torch.zeros(3, 0, 6), GREY) == (0, 6)


def test_fill_mask_finds_areas_and_leaves_specks(picture: Tensor) -> None:
    picture[:, 5:20, 8:30] = 114
    picture[:, 25:28, 2:5] = 114  # too small
    picture[:, 0, :] = 114  # too thin
    mask = fill_mask(picture, GREY)
    wanted = torch.zeros(30, 40, dtype=torch.bool)
    wanted[5:20, 8:30] = True
    assert torch.equal(mask, wanted)


@pytest.mark.parametrize(('side', 'filled'), [(8, 0), (9, 81)])
def test_smallest_area(picture: Tensor, side: int, filled: int) -> None:
    picture[:, 4 : 4 + side, 6 : 6 + side] = 114
    assert fill_mask(picture, GREY).sum() == filled


def test_fill_mask_reaches_the_border(picture: Tensor) -> None:
    picture[:, :12, :15] = 114
    picture[:, 18:, 20:] = 114
    mask = fill_mask(picture, GREY)
    assert bool(mask[0, 0])
    assert bool(mask[-1, -1])
    assert mask.sum() == 12 * 15 + 12 * 20


def test_no_fill_no_mask(picture: Tensor) -> None:
    assert not fill_mask(picture, GREY).any()
