"""Where the fill colour of a pipeline begins, on images whose answer is known."""

import pytest
import torch
from torch import Tensor

from sci_plugins.functional.host_image import MIN_FILL_SIZE, fill_mask, valid_size

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


@pytest.mark.parametrize('side', [MIN_FILL_SIZE - 1, MIN_FILL_SIZE])
def test_smallest_area(picture: Tensor, side: int) -> None:
    picture[:, 4 : 4 + side, 6 : 6 + side] = 114
    assert fill_mask(picture, GREY).sum() == (side**2 if side == MIN_FILL_SIZE else 0)


def test_fill_mask_reaches_the_border(picture: Tensor) -> None:
    picture[:, :12, :15] = 114
    picture[:, 18:, 20:] = 114
    mask = fill_mask(picture, GREY)
    assert bool(mask[0, 0])
    assert bool(mask[-1, -1])
    assert mask.sum() == 12 * 15 + 12 * 20


def test_no_fill_no_mask(picture: Tensor) -> None:
    assert not fill_mask(picture, GREY).any()
