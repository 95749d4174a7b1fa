"""Both stages of S3FD's matching, in mmdet's own terms."""

from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from sci_plugins.errors import ConfigError
from tests.plain_matching import first_stage, second_stage

pytest.importorskip('mmdet')


def _build(**settings: Any) -> Any:
    from mmdet.registry import TASK_UTILS

    with DefaultScope.overwrite_default_scope('mmdet'):
        kind = 'sci_plugins.ScaleCompensatedAssigner'
        return TASK_UTILS.build(dict(type=kind, **settings))


def _anchors(size: int = 64) -> Tensor:
    """Squares of four strides around the centres of the cells of two levels."""
    rows = []
    for stride in (4, 8):
        centres = [stride * (cell + 0.5) for cell in range(size // stride)]
        rows += [
            (x - 2 * stride, y - 2 * stride, x + 2 * stride, y + 2 * stride)
            for y in centres
            for x in centres
        ]
    return torch.tensor(rows)


def _faces(count: int, low: float = 3.0, high: float = 40.0) -> Tensor:
    sides = low + (high - low) * torch.rand(count, 2) ** 2
    corner = torch.rand(count, 2) * (64 - sides)
    return torch.cat([corner, corner + sides], dim=1)


def _assign(assigner: Any, faces: Tensor, ignored: Tensor | None = None) -> Any:
    truth = InstanceData(bboxes=faces, labels=torch.full((len(faces),), 3))
    rest = None if ignored is None else InstanceData(bboxes=ignored)
    return assigner.assign(InstanceData(priors=_anchors()), truth, rest)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('count', [1, 2, 7, 20])
def test_against_plain_loops(seed: int, count: int) -> None:
    torch.manual_seed(seed)
    faces = _faces(count)
    result = _assign(_build(), faces)
    boxes = [tuple(box) for box in faces.tolist()]
    anchors = [tuple(box) for box in _anchors().tolist()]
    stage_one = first_stage(boxes, anchors, 0.35)
    both = second_stage(boxes, anchors, stage_one, 0.1)
    assert result.gt_inds.tolist() == [match + 1 for match in both]
    assert result.labels.tolist() == [3 if match >= 0 else -1 for match in both]
    assert result.num_gts == count


def test_the_second_stage_does_something() -> None:
    """A tiny face overlaps no anchor by 0.35; in company it gets several anchors."""
    faces = torch.tensor([[20.0, 20.0, 28.0, 28.0], [40.0, 40.0, 56.3, 56.1]])
    alone = _assign(_build(), faces[:1])
    assert (alone.gt_inds > 0).sum() == 1
    plain = _assign(_build(compensation_iou_thr=0.34), faces)
    assert (plain.gt_inds == 1).sum() == 1
    counts = torch.bincount(_assign(_build(), faces).gt_inds).tolist()
    assert counts[2] == (plain.gt_inds == 2).sum()
    assert counts[1] == -(-(1 + counts[2]) // 2) > 1


def test_a_number_in_place_of_the_average() -> None:
    result = _assign(_build(top_n=5), torch.tensor([[20.0, 20.0, 28.0, 28.0]]))
    assert (result.gt_inds > 0).sum() == 5


def test_lower_than_ssds_threshold() -> None:
    faces = torch.tensor([[20.0, 20.0, 40.0, 40.0]])
    at_35, at_50 = (
        (_assign(_build(pos_iou_thr=value), faces).gt_inds > 0).sum() for value in (0.35, 0.5)
    )
    assert at_35 > at_50 > 0


def test_the_order_of_faces_does_not_matter() -> None:
    faces, order = _faces(12), torch.randperm(12)
    plain = _assign(_build(), faces).gt_inds
    turned = _assign(_build(), faces[order]).gt_inds
    back = torch.where(turned > 0, order[turned - 1] + 1, 0)
    assert back.equal(plain)


def test_no_faces() -> None:
    result = _assign(_build(), torch.zeros(0, 4))
    assert result.gt_inds.tolist() == [0] * len(_anchors())


def test_a_face_that_no_anchor_touches_takes_none() -> None:
    faces = torch.tensor([[500.0, 500.0, 510.0, 510.0], [20.0, 20.0, 36.0, 36.0]])
    assert not (_assign(_build(), faces).gt_inds == 1).any()


def test_ignored_areas_are_neither() -> None:
    faces = torch.tensor([[5.0, 5.0, 20.0, 20.0]])
    ignored = torch.tensor([[30.0, 30.0, 64.0, 64.0]])
    result = _assign(_build(ignore_iof_thr=0.5, top_n=500), faces, ignored)
    inside = (_anchors()[:, :2] >= 30).all(1) & (_anchors()[:, 2:] <= 64).all(1)
    assert inside.sum() > 20
    assert (result.gt_inds[inside] == -1).all()
    assert (result.labels[inside] == -1).all()


@pytest.mark.parametrize(
    ('settings', 'word'),
    [
        (dict(compensation_iou_thr=0.35), 'compensation_iou_thr'),
        (dict(compensation_iou_thr=-0.1), 'compensation_iou_thr'),
        (dict(pos_iou_thr=1.1), 'pos_iou_thr'),
        (dict(top_n=0), 'top_n'),
        (dict(top_n=2.5), 'top_n'),
    ],
)
def test_bad_settings(settings: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        _build(**settings)
