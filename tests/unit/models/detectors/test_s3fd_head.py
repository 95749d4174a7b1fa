"""S3FD's head: anchors by hand, max-out, hard negatives, and decoding."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from sci_plugins.errors import ConfigError
from sci_plugins.registry import MODELS

pytest.importorskip('mmdet')
ROOT = Path(__file__).parents[4]
SIZES = (32, 16, 8, 4, 2, 1)  # of the maps of a 128x128 image
META = dict(img_shape=(128, 128), pad_shape=(128, 128), scale_factor=(0.5, 0.5))


def _build(**changes: Any) -> Any:
    """The head of the config, on thin maps."""
    model = Config.fromfile(f'{ROOT}/configs/_base_/s3fd_vgg16.py').model
    settings = ConfigDict(
        **model.bbox_head, train_cfg=model.train_cfg, test_cfg=model.test_cfg, in_channels=(4,) * 6
    )
    settings.update(changes)
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = MODELS.build(settings)
    head.init_weights()
    return head


def _maps(images: int = 1) -> list[Tensor]:
    return [torch.randn(images, 4, size, size) for size in SIZES]


def _zeros(images: int = 1) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs without an opinion: both scores 0, boxes at their anchors."""
    return (
        [torch.zeros(images, 2, size, size) for size in SIZES],
        [torch.zeros(images, 4, size, size) for size in SIZES],
    )


def _truth(*boxes: tuple[float, ...]) -> InstanceData:
    labels = torch.zeros(len(boxes), dtype=torch.long)
    return InstanceData(bboxes=torch.tensor(boxes).view(-1, 4), labels=labels)


def _anchors(head: Any) -> list[Tensor]:
    sizes = [(size, size) for size in SIZES]
    return head.prior_generator.grid_priors(sizes, device='cpu')


def test_anchors_by_hand() -> None:
    """One square a cell, four strides wide, around the cell's centre."""
    head = _build()
    levels = head.prior_generator.grid_priors([(size, size) for size in SIZES], device='cpu')
    assert head.num_base_priors == [1] * 6
    assert levels[0][0].tolist() == [2 - 8, 2 - 8, 2 + 8, 2 + 8]
    assert levels[0][1].tolist() == [6 - 8, 2 - 8, 6 + 8, 2 + 8]  # x first
    assert levels[0][32].tolist() == [2 - 8, 6 - 8, 2 + 8, 6 + 8]
    assert levels[3][-1].tolist() == [112 - 64, 112 - 64, 112 + 64, 112 + 64]
    assert levels[5].tolist() == [[64 - 256, 64 - 256, 64 + 256, 64 + 256]]
    sides = [float((level[:, 2] - level[:, 0]).unique()) for level in levels]
    assert sides == [16, 32, 64, 128, 256, 512]


def test_first_level_has_three_backgrounds() -> None:
    head, maps = _build(), _maps(2)
    assert [layer[-1].out_channels for layer in head.cls_convs] == [4, 2, 2, 2, 2, 2]
    assert [layer[-1].out_channels for layer in head.reg_convs] == [4] * 6
    scores, boxes = head(maps)
    raw = head.cls_convs[0](maps[0])
    assert scores[0][:, 0].equal(raw[:, 0])
    wanted = torch.maximum(torch.maximum(raw[:, 1], raw[:, 2]), raw[:, 3])
    assert scores[0][:, 1].equal(wanted)
    assert scores[1].equal(head.cls_convs[1](maps[1]))
    assert [tuple(each.shape) for each in scores] == [(2, 2, s, s) for s in SIZES]
    assert [tuple(each.shape) for each in boxes] == [(2, 4, s, s) for s in SIZES]


def test_ordinary_background() -> None:
    head, maps = _build(max_out=1), _maps()
    assert head(maps)[0][0].equal(head.cls_convs[0](maps[0]))


def test_loss_by_hand() -> None:
    """Without an opinion each score costs log 2; three negatives to a positive."""
    head = _build()
    truth = _truth((10.0, 10.0, 26.0, 26.0), (40.0, 40.0, 80.0, 70.0))
    losses = head.loss_by_feat(*_zeros(), [truth], [META])
    assert float(losses['loss_cls'][0]) == pytest.approx(4 * math.log(2))
    anchors = torch.cat(_anchors(head))
    priors = InstanceData(priors=anchors)
    matches = head.assigner.assign(priors, truth).gt_inds
    matched = anchors[matches > 0]
    face = truth.bboxes[matches[matches > 0] - 1]
    centre = ((face - matched)[:, :2] + (face - matched)[:, 2:]) / 2
    side = matched[:, 2:] - matched[:, :2]
    deltas = torch.cat(
        [centre / side / 0.1, torch.log((face[:, 2:] - face[:, :2]) / side) / 0.2], dim=1
    )
    smooth = F.smooth_l1_loss(deltas, torch.zeros_like(deltas), reduction='sum')
    assert len(matched) > 4
    assert float(losses['loss_bbox'][0]) == pytest.approx(float(smooth) / len(matched))


def test_the_hardest_negatives_count() -> None:
    """Certain of a face in one empty place: that is among the three per positive."""
    head = _build()
    truth = _truth((10.0, 10.0, 26.0, 26.0))
    scores, boxes = _zeros()
    plain = float(head.loss_by_feat(scores, boxes, [truth], [META])['loss_cls'][0])
    scores[0][0, 0, 30, 30] = 20.0
    hard = float(head.loss_by_feat(scores, boxes, [truth], [META])['loss_cls'][0])
    scores[0][0, 0, 30, 30] = -20.0
    easy = float(head.loss_by_feat(scores, boxes, [truth], [META])['loss_cls'][0])
    positives = int((head._raw_positive_infos['sampling_results'][0]).num_pos)
    assert (hard - plain) * positives == pytest.approx(20 - math.log(2), abs=1e-4)
    assert easy == pytest.approx(plain)


def test_an_image_without_faces_costs_nothing() -> None:
    losses = _build().loss_by_feat(*_zeros(), [_truth()], [META])
    assert float(losses['loss_cls'][0]) == float(losses['loss_bbox'][0]) == 0


def test_boxes_in_original_pixels() -> None:
    """One certain cell; the image was halved, so its box is twice as large."""
    head = _build()
    scores, boxes = _zeros()
    for each in scores:
        each[:, 1] = 9.0
    scores[1][0, 0, 5, 7] = 18.0
    boxes[1][0, :, 5, 7] = torch.tensor([1.0, 0.0, 0.0, math.log(2) / 0.2])
    found = head.predict_by_feat(scores, boxes, batch_img_metas=[META], rescale=True)[0]
    assert len(found) == 1
    x, y, width, height = 8 * 7.5 + 0.1 * 32, 8 * 5.5, 32, 64
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert found.bboxes[0].tolist() == pytest.approx([2 * side for side in box], rel=1e-5)
    assert float(found.scores[0]) == pytest.approx(1 / (1 + math.exp(-9)))
    assert found.labels.tolist() == [0]


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match='max_out must be at least 1, got 0'):
        _build(max_out=0)
    generator = dict(
        type='AnchorGenerator', strides=[4, 8, 16, 32, 64, 128], scales=[4], ratios=[1, 2]
    )
    with pytest.raises(ConfigError, match=r'one anchor per location .* got 2'):
        _build(anchor_generator=generator)
