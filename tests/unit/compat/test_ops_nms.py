"""Non-maximum suppression against a slow loop, torchvision and cases by hand."""

from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from sci_plugins.compat.ops import nms


def slow_nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    """Greedy suppression, one pair at a time, in Python's own floats."""

    def overlap(a: list[float], b: list[float]) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0]) + offset
        height = min(a[3], b[3]) - max(a[1], b[1]) + offset
        inside = max(width, 0) * max(height, 0)
        areas = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
        return inside / (sum(areas) - inside)

    listed = boxes.tolist()
    kept: list[int] = []
    for index in sorted(range(len(listed)), key=lambda i: (-scores[i].item(), i)):
        if all(overlap(listed[index], listed[k]) <= threshold for k in kept):
            kept.append(index)
    return kept


def random_boxes(count: int, size: float = 20.0) -> tuple[Tensor, Tensor]:
    corner = torch.rand(count, 2) * size
    boxes = torch.cat([corner, corner + (torch.rand(count, 2) + 1) * size / 3], dim=1)
    return boxes, torch.rand(count)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.3, 0.5, 0.7])
def test_against_slow_loop(ops: ModuleType, threshold: float, offset: int) -> None:
    boxes, scores = random_boxes(60)
    expected = slow_nms(boxes, scores, threshold, offset)
    assert 1 < len(expected) < 60
    dets, kept = ops.nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == expected
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[expected])


def test_offset_changes_what_is_kept() -> None:
    # Widths 2 and 3: without offset 1 x 2 of 6 pixels are shared, with it 2 x 3 of 12.
    boxes = torch.tensor([[0.0, 0, 2, 2], [1.0, 0, 3, 2]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, iou_threshold=0.4, offset=0).tolist() == [0, 1]
    assert nms(boxes, scores, iou_threshold=0.4, offset=1).tolist() == [0]


def test_offset_far_from_the_origin() -> None:
    # At 2^24 float32 knows even numbers only; IoU is 2 / 10 as anywhere else.
    far = 2.0**24
    boxes = torch.tensor([[far, 0, far + 2, 1], [far + 2, 0, far + 4, 1]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, iou_threshold=0.3, offset=1).tolist() == [0, 1]
    assert nms(boxes, scores, iou_threshold=0.1, offset=1).tolist() == [0]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize(('shared', 'threshold'), [(3, 0.6), (7, 0.7), (9, 0.9), (1, 0.1)])
def test_overlap_equal_to_the_threshold_is_kept(shared: int, threshold: float, offset: int) -> None:
    total = round(shared / threshold)
    boxes = torch.tensor([[0.0, 0, total, 1], [0.0, 0, shared, 1]])
    boxes[:, 2:] -= offset
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, threshold, offset).tolist() == [0, 1]
    assert nms(boxes, scores, threshold - 1e-3, offset).tolist() == [0]


def test_of_equal_scores_the_first_comes_first() -> None:
    boxes = torch.arange(50.0)[:, None] * 4 + torch.tensor([0.0, 0, 2, 2])
    scores = torch.tensor([0.5, 0.7]).repeat(25)
    expected = [*range(1, 50, 2), *range(0, 50, 2)]
    assert nms(boxes, scores, 0.5, 0).tolist() == expected
    assert nms(boxes.repeat(2, 1), scores.repeat(2), 0.5, 1).tolist() == expected


def test_against_torchvision(ops: ModuleType, device: torch.device) -> None:
    import torchvision

    boxes, scores = (tensor.to(device) for tensor in random_boxes(200))
    _, kept = ops.nms(boxes, scores, 0.5)
    assert torch.equal(kept, torchvision.ops.nms(boxes, scores, 0.5))
    assert kept.device.type == device.type


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype, offset: int) -> None:
    boxes, scores = (tensor.to(dtype) for tensor in random_boxes(40))
    expected = slow_nms(boxes, scores, 0.51, offset)
    assert nms(boxes, scores, 0.51, offset).tolist() == expected


def test_scores_more_precise_than_boxes_keep_their_order() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [4.0, 0, 6, 2]])
    scores = torch.tensor([0.5, 0.5 + 1e-12], dtype=torch.float64)
    assert nms(boxes, scores, 0.5, 0).tolist() == [1, 0]


@pytest.mark.parametrize('offset', [0, 1])
def test_no_boxes(ops: ModuleType, offset: int) -> None:
    dets, kept = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset=offset)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_score_threshold_max_num_and_numpy(ops: ModuleType) -> None:
    boxes, scores = random_boxes(60)
    good = (scores > 0.3).nonzero()[:, 0]
    expected = good[slow_nms(boxes[good], scores[good], 0.4, 1)][:5].tolist()
    dets, kept = ops.nms(
        boxes.numpy(), scores.numpy(), 0.4, offset=1, score_threshold=0.3, max_num=5
    )
    assert isinstance(dets, np.ndarray)
    assert kept.tolist() == expected


@pytest.mark.parametrize('split_thr', [10, 10000], ids=['class by class', 'at once'])
def test_batched_nms_suppresses_within_a_class(ops: ModuleType, split_thr: int) -> None:
    boxes, scores = random_boxes(60)
    classes = torch.arange(60) % 3
    config = dict(type='nms', iou_threshold=0.3, split_thr=split_thr)
    expected: list[int] = []
    for label in range(3):
        own = (classes == label).nonzero()[:, 0]
        expected += own[slow_nms(boxes[own], scores[own], 0.3, 0)].tolist()
    expected.sort(key=lambda index: -scores[index].item())
    dets, kept = ops.batched_nms(boxes, scores, classes, config)
    assert kept.tolist() == expected
    assert torch.equal(dets[:, :4], boxes[expected])
    assert torch.equal(dets[:, 4], scores[expected])


def test_batched_nms_without_regard_to_classes(ops: ModuleType) -> None:
    boxes, scores = random_boxes(60)
    config = dict(type='nms', iou_threshold=0.3)
    classes = torch.arange(60) % 3
    _, kept = ops.batched_nms(boxes, scores, classes, config, class_agnostic=True)
    assert kept.tolist() == slow_nms(boxes, scores, 0.3, 0)
