"""Merged boxes: the union without what both have found, against a plain loop."""

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from sci_plugins.apis.attach import attach
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.test_time import RawEnhancedMerge, _suppression_of, merge_detections
from tests.host_models import DETECTORS, batch, host_config, parameters


def _found(seed: int, count: int = 40, **more: Any) -> InstanceData:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 60 - 20  # some outside the image
    size = torch.rand(count, 2, generator=generator) * 40 + 5
    # Few values: many ties.
    scores = (torch.rand(count, generator=generator) * 8).round() / 8
    labels = torch.randint(0, 3, (count,), generator=generator)
    boxes = torch.cat([corner, corner + size], 1)
    return InstanceData(bboxes=boxes, scores=scores, labels=labels, **more)


def _iou(one: Tensor, other: Tensor) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inside = max(float(width), 0) * max(float(height), 0)
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    return inside / (sum(areas) - inside)


def _plainly(first: InstanceData, second: InstanceData, iou: float) -> list[int]:
    """Positions in the union, best first; of equal scores the earlier."""
    boxes, scores, labels = (
        torch.cat([first[name], second[name]]) for name in ('bboxes', 'scores', 'labels')
    )
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda k: -float(scores[k])):
        rivals = [k for k in kept if labels[k] == labels[index]]
        if all(_iou(boxes[index], boxes[k]) <= iou for k in rivals):
            kept.append(index)
    return kept


@pytest.mark.parametrize('iou', [0.1, 0.3, 0.5])
def test_against_a_plain_loop(iou: float, device: torch.device) -> None:
    looks = [_found(seed).to(device) for seed in (0, 1)]
    union = InstanceData.cat(looks)
    kept = _plainly(looks[0].to('cpu'), looks[1].to('cpu'), iou)
    assert 10 < len(kept) < 80
    found = merge_detections(*looks, iou_threshold=iou)
    for name in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[name], union[name][kept]), name
    few = merge_detections(*looks, iou_threshold=iou, most=7)
    assert torch.equal(few.bboxes, union.bboxes[kept[:7]])


def test_all_that_belongs_to_a_box_follows_it() -> None:
    looks = []
    for seed, origin in ((0, 'raw'), (1, 'enhanced')):
        found = _found(seed)
        found.masks = found.bboxes[:, :1, None] > torch.zeros(1, 4, 5)
        found.origins = np.array([f'{origin} {index}' for index in range(40)])
        looks.append(found)
    union, found = InstanceData.cat(looks), merge_detections(*looks)
    kept = _plainly(*looks, 0.5)
    assert torch.equal(found.masks, union.masks[kept])
    assert found.origins.tolist() == union.origins[kept].tolist()
    assert {name.split()[0] for name in found.origins} == {'raw', 'enhanced'}


def test_the_higher_score_stays_and_on_a_tie_the_first() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]])
    first, second = (
        InstanceData(bboxes=box + shift, scores=torch.tensor([0.5]), labels=torch.tensor([1]))
        for shift in (0, 1)
    )
    assert merge_detections(first, second).bboxes.tolist() == [[0, 0, 10, 10]]
    second.scores += 0.1
    assert merge_detections(first, second).bboxes.tolist() == [[1, 1, 11, 11]]
    second.labels += 1
    assert len(merge_detections(first, second)) == 2


def test_weights_are_of_scores() -> None:
    first, second = _found(0), _found(1)
    before = first.scores.clone()
    second.bboxes += 1000
    found = merge_detections(first, second, weight=0.2, iou_threshold=1)
    of_second = found.bboxes[:, 0] > 500
    wanted = second.scores.sort(descending=True).values / 4
    torch.testing.assert_close(found.scores[of_second], wanted)
    assert torch.equal(found.scores[~of_second], before.sort(descending=True).values)
    found = merge_detections(first, second, weight=0.8, iou_threshold=1)
    of_first = found.bboxes[:, 0] < 500
    torch.testing.assert_close(found.scores[of_first], before.sort(descending=True).values / 4)
    assert torch.equal(first.scores, before)


def test_nothing_found() -> None:
    """One empty look leaves the other as it is, overlaps and all; two are empty."""
    found, nothing = _found(0), _found(0, 0)
    best_first = found.scores.sort(descending=True, stable=True).indices
    for pair in ((found, nothing), (nothing, found)):
        assert torch.equal(merge_detections(*pair).bboxes, found.bboxes[best_first])
        assert len(merge_detections(*pair, most=3)) == 3
    both = merge_detections(nothing, nothing)
    assert both.bboxes.shape == (0, 4)
    assert both.keys() == nothing.keys()


def test_classes_are_apart_left_of_the_image_too() -> None:
    """YOLOX's boxes are not clipped: one of class 1 at -100 must not meet class 0's."""
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 100, 100], [-101, -101, -81, -81]])
    labels = torch.tensor([0, 0, 1])
    found = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8, 0.7]), labels=labels)
    assert len(merge_detections(found, found)) == 3


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match=r'weight must be at most 1, got 2'):
        merge_detections(_found(0), _found(1), 2)
    turned = _found(0)
    turned.bboxes = torch.rand(40, 5)
    with pytest.raises(DataError, match=r'boxes must have 4 numbers .* got 5'):
        merge_detections(turned, turned)


def test_what_a_host_says_of_its_suppression() -> None:
    class Host:
        test_cfg: Any = None

    host = Host()
    assert _suppression_of(host) == dict(iou_threshold=0.5, most=None)
    assert _suppression_of(object()) == dict(iou_threshold=0.5, most=None)
    host.test_cfg = dict(nms=dict(type='nms', iou_threshold=0.65), max_per_img=300)
    assert _suppression_of(host) == dict(iou_threshold=0.65, most=300)
    host.test_cfg = dict(rpn=dict(nms=dict(iou_threshold=0.7)), rcnn=host.test_cfg)
    assert _suppression_of(host) == dict(iou_threshold=0.65, most=300)
    host.test_cfg = dict(max_per_img=-1)
    assert _suppression_of(host) == dict(iou_threshold=0.5, most=None)


# mmdet's SSD cannot predict: its head lacks a loss that its base class looks at.
NAMES = [each for each in parameters() if each.id in {*DETECTORS} - {'SSD'}]


@pytest.mark.parametrize('name', NAMES)
@torch.no_grad()
def test_a_detector(name: str) -> None:
    """In original coordinates; an image that stays as it is keeps exactly its raw boxes."""
    host, cfg, size = host_config(name)
    init_default_scope(host)
    settings = cfg.model.test_cfg.get('rcnn', cfg.model.test_cfg)
    settings.score_thr = 0.0  # random heads are sure of nothing
    torch.manual_seed(0)
    model: Any = ROOT_MODELS.build(cfg.model).eval()
    images = [torch.randint(low, low + 55, (3, size, size)).byte() for low in (5, 190)]
    data = batch(host, images)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(scale_factor=(0.5, 0.5), ori_shape=(2 * size, 2 * size)))
    raw = model.test_step(data)
    attach(model, 'gated/gamma/0.3')
    enhanced = model.test_step(data)
    found = RawEnhancedMerge(model).eval().test_step(data)
    settings = _suppression_of(model)
    dark, bright = (sample.pred_instances for sample in found)
    wanted = merge_detections(raw[0].pred_instances, enhanced[0].pred_instances, **settings)
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(dark[key], wanted[key]), key
        assert torch.equal(bright[key], raw[1].pred_instances[key]), key
    assert not torch.equal(enhanced[0].pred_instances.scores, raw[0].pred_instances.scores)
    assert float(dark.bboxes.max()) > size


def test_boxes_and_a_panoptic_map() -> None:
    host, cfg, size = host_config('RTMDet')
    init_default_scope(host)
    model: Any = attach(ROOT_MODELS.build(cfg.model).eval(), 'gamma')
    predict = model.predict

    def panoptic(*args: Any, **settings: Any) -> list:
        samples = predict(*args, **settings)
        for sample in samples:
            sample.pred_panoptic_seg = PixelData()
        return samples

    model.predict = panoptic
    data = batch(host, [torch.randint(5, 60, (3, size, size)).byte()])
    with torch.no_grad(), pytest.raises(ConfigError, match=r'or boxes alone, got .*panoptic'):
        RawEnhancedMerge(model).test_step(data)
