"""Light statistics against values that are known by construction."""

import math

import pytest
import torch
import torch.nn.functional as F

from sci_plugins.functional.light import light_statistics, to_cells


def test_a_flat_image() -> None:
    found = light_statistics(torch.full((2, 3, 40, 60), 0.25))
    for value in (found.mean, found.low, found.median, found.high):
        torch.testing.assert_close(value, torch.full((2,), 0.25))
    assert found.highlights.tolist() == [0, 0]
    torch.testing.assert_close(found.unevenness, torch.zeros(2))


def test_two_halves() -> None:
    image = torch.full((1, 3, 64, 64), 0.1)
    image[..., 32:] = 1.0
    found = light_statistics(image)
    assert [float(each) for each in found[:5]] == pytest.approx([0.55, 0.1, 0.55, 1, 0.5])
    # Half of the cells at either value: the deviation is half of the difference of the logs.
    half = (math.log(1 + 1 / 255) - math.log(0.1 + 1 / 255)) / 2
    assert float(found.unevenness) == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize('size', [(150, 210), (151, 157), (90, 1001)])
def test_cells_of_large_images(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    cells = to_cells(image, 12)
    wanted = F.adaptive_avg_pool2d(image.double(), cells.shape[2:])
    torch.testing.assert_close(cells.double(), wanted, rtol=0, atol=3e-7)
    (slope,) = torch.autograd.grad(cells[:, :, -1].sum(), image)
    (other,) = torch.autograd.grad(wanted[:, :, -1].sum(), image)
    torch.testing.assert_close(slope, other)


def test_green_weighs_most() -> None:
    image = torch.zeros(3, 3, 16, 16)
    image[0, 0], image[1, 1], image[2, 2] = 1, 1, 1
    torch.testing.assert_close(light_statistics(image).mean, torch.tensor([0.299, 0.587, 0.114]))


def test_each_image_by_itself() -> None:
    images = torch.rand(3, 3, 33, 47)
    together = torch.stack(light_statistics(images))
    alone = torch.cat([torch.stack(light_statistics(image[None])) for image in images], 1)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [((720, 1080), (8, 12)), ((1080, 720), (12, 8)), ((5, 500), (1, 12)), ((6, 7), (6, 7))],
)
def test_cells_are_about_square(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *shape)
    cells = to_cells(image, 12)
    assert cells.shape[2:] == expected
    torch.testing.assert_close(to_cells(torch.ones_like(image), 12), torch.ones_like(cells))


@pytest.mark.parametrize('size', [(96, 256), (43, 50), (5, 300), (7, 9)])
def test_cells_of_an_exported_graph(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(2, 3, *size)
    wanted = to_cells(image, 12)
    monkeypatch.setattr(torch.compiler, 'is_exporting', lambda: True)
    torch.testing.assert_close(to_cells(image, 12), wanted)


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(ValueError, match=r'light_statistics: image must have shape \(N, 3'):
        light_statistics(torch.rand(3, 8, 8))
