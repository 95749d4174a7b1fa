"""IoU with and without the extra pixel."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from sci_plugins.functional.detection_ap import pairwise_iou
from tests.plain_darkface_ap import pixel_iou


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 40, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 30, (count, 2))], 1)


def test_without_a_pixel_it_is_torchvisions(rng: np.random.Generator) -> None:
    one, two = _boxes(rng, 9), _boxes(rng, 5)
    expected = box_iou(torch.from_numpy(one), torch.from_numpy(two)).numpy()
    assert (expected > 0).any()
    np.testing.assert_allclose(pairwise_iou(one, two), expected, rtol=1e-12)


def test_with_a_pixel_it_counts_them(rng: np.random.Generator) -> None:
    one, two = _boxes(rng, 9).round(), _boxes(rng, 5)
    expected = [[pixel_iou(box, other) for other in two] for box in one]
    np.testing.assert_allclose(pairwise_iou(one, two, pixel=1), expected, rtol=1e-12)


@pytest.mark.parametrize(('pixel', 'expected'), [(0, 0.0), (1, 0.25)])
def test_one_pixel(pixel: float, expected: float) -> None:
    """From 3 to 3 is one pixel of the four from 3 to 4."""
    iou = pairwise_iou(np.array([[3, 3, 3, 3]]), np.array([[3, 3, 4, 4]]), pixel)
    assert iou.tolist() == [[expected]]


@pytest.mark.parametrize('pixel', [0, 1])
def test_inverted_boxes_overlap_nothing(pixel: float) -> None:
    inverted = np.array([[9, 9, 1, 1], [9, 1, 1, 9], [1, 9, 9, 1]])
    assert not pairwise_iou(inverted, np.array([[0, 0, 10, 10]]), pixel).any()
    assert not pairwise_iou(inverted, inverted, pixel).any()


def test_no_boxes() -> None:
    none, one = np.zeros((0, 4)), np.array([[0, 0, 1, 1]])
    assert pairwise_iou(none, one).shape == (0, 1)
    assert pairwise_iou(one, none).shape == (1, 0)
