"""COCO's numbers are those that pycocotools sums up by itself."""

import contextlib
import io

import numpy as np
import pytest

from sci_plugins import registry
from sci_plugins.errors import MissingDependencyError
from sci_plugins.functional.coco_matching import Arrays, match_coco, match_coco_by_size
from sci_plugins.functional.detection_ap import coco_ap
from tests.plain_darkface_ap import random_faces

pytest.importorskip('pycocotools')
NO_PREDICTIONS = np.zeros((0, 5))


def _images(seed: int, crowd: float = 0.0, digits: int | None = None) -> list[Arrays]:
    rng = np.random.default_rng(seed)
    predictions, boxes = random_faces(rng, 12, digits)
    return [
        (found, truth, rng.uniform(size=len(truth)) < crowd)
        for found, truth in zip(predictions, boxes, strict=True)
    ]


def _summary(images: list[Arrays], areas: list | None = None) -> list[float]:
    """AP, AP50, AP75, and AP of small, medium, large, by pycocotools' own path."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: list[dict] = []
    rows: list[list[float]] = []
    for number, (found, boxes, crowd) in enumerate(images, start=1):
        for (x1, y1, x2, y2), flag in zip(boxes, crowd, strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            truth.append(
                dict(id=len(truth) + 1, image_id=number, category_id=1, bbox=box)
                | dict(area=box[2] * box[3], iscrowd=int(flag))
            )
        rows += [[number, x1, y1, x2 - x1, y2 - y1, s, 1] for x1, y1, x2, y2, s in found]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(
            images=[dict(id=n + 1) for n in range(len(images))],
            categories=[dict(id=1)],
            annotations=truth,
        )
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(np.array(rows)), 'bbox')
        if areas is not None:
            evaluator.params.areaRng = areas
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('digits', [None, 1])
@pytest.mark.parametrize('crowd', [0.0, 0.3])
def test_ap_and_ap50(crowd: float, digits: int | None, seed: int) -> None:
    images = _images(seed, crowd, digits)
    expected = _summary(images)
    matches = match_coco(images)
    each = [coco_ap(ranked)[0] for ranked in matches]
    assert 0.02 < expected[0] < expected[1] < 1
    assert len(each) == 10
    assert np.mean(each) == pytest.approx(expected[0], abs=1e-12)
    assert each[0] == pytest.approx(expected[1], abs=1e-12)
    assert each[5] == pytest.approx(expected[2], abs=1e-12)


def test_sizes() -> None:
    """At IoU 0.5, so against the precision that pycocotools keeps for it."""
    images = _images(2)
    bins = dict(small=(0, 150.0), middle=(150.0, 400.0), large=(400.0, 1e10))
    matches = match_coco_by_size(images, bins)
    for name, area in bins.items():
        everything = [[0, 1e10], list(area), [-2, -1], [-2, -1]]
        # `small` in pycocotools' summary is the second range; of one threshold below.
        expected = _at_iou_50(images, everything)
        assert 0 < expected < 1
        assert coco_ap(matches[name])[0] == pytest.approx(expected, abs=1e-12)


def _at_iou_50(images: list[Arrays], areas: list) -> float:
    from pycocotools import cocoeval

    class OnlyIou50(cocoeval.Params):
        def __init__(self, iouType: str = 'bbox') -> None:  # noqa: N803
            super().__init__(iouType)
            self.iouThrs = np.array([0.5])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cocoeval, 'Params', OnlyIou50)
        return _summary(images, areas)[3]


def test_at_most_100_detections_an_image() -> None:
    box = np.array([[0.0, 0, 9, 9]])
    far = np.array([[50.0, 50, 59, 59, 0.9]])
    hit = np.array([[0, 0, 9, 9, 0.5]])
    for count, expected in ((99, 0.01), (100, 0.0)):
        found = np.concatenate([far.repeat(count, axis=0), hit])
        ranked = match_coco([(found, box, np.zeros(1, bool))])[0]
        assert coco_ap(ranked)[0] == pytest.approx(expected)


def test_the_best_100_count_in_whatever_order_they_come() -> None:
    far = np.array([[50.0, 50, 59, 59, 0.5]]).repeat(100, axis=0)
    found = np.concatenate([far, [[0, 0, 9, 9, 0.9]]])
    ranked = match_coco([(found, np.array([[0.0, 0, 9, 9]]), np.zeros(1, bool))])[0]
    assert coco_ap(ranked)[0] == pytest.approx(1)


def test_of_two_equal_overlaps_the_later_box_is_taken() -> None:
    """As pycocotools has it; the next detection fits the first box alone."""
    boxes = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10]])
    found = np.array([[2.0, 0, 12, 10, 0.9], [0, 0, 10, 10, 0.8]])
    images = [(found, boxes, np.zeros(2, bool))]
    (ranked, *_) = match_coco(images)
    assert ranked.hits.tolist() == [True, True]
    assert coco_ap(ranked)[0] == pytest.approx(_summary(images)[1])


@pytest.mark.parametrize('crowd', [0, 1])
def test_a_crowd_takes_a_detection_only_if_no_box_does(crowd: int) -> None:
    """Even if it covers the detection wholly and the box does not."""
    boxes = np.array([[0.0, 0, 10, 8], [0, 0, 10, 8]])
    boxes[crowd] = [0, 0, 90, 90]
    found = np.array([[0.0, 0, 10, 10, 0.9]])
    images = [(found, boxes, np.arange(2) == crowd)]
    (ranked, *_) = match_coco(images)
    assert ranked.hits.tolist() == [True]
    assert ranked.positives.tolist() == [1]
    assert _summary(images)[1] == pytest.approx(1)


def test_images_without_anything() -> None:
    nothing = (NO_PREDICTIONS, np.zeros((0, 4)), np.zeros(0, bool))
    box = (NO_PREDICTIONS, np.array([[0.0, 0, 9, 9]]), np.zeros(1, bool))
    assert np.isnan(coco_ap(match_coco([nothing])[0])[0])
    assert coco_ap(match_coco([nothing, box])[0])[0] == 0
    assert len(match_coco([])) == 10


def test_without_pycocotools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError, match=r'sci_plugins\[det\]'):
        match_coco([])
