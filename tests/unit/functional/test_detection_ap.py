"""VOC's and COCO's averages against mmdet's and pycocotools' own."""

import math
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import DataError
from sci_plugins.functional.detection_ap import (
    RankedDetections,
    area_ap,
    coco_ap,
    match_voc,
    rank,
    recall_at_fppi,
)
from tests.plain_darkface_ap import random_faces


def _rank(predictions: list[np.ndarray], boxes: list[np.ndarray]) -> RankedDetections:
    pairs = list(zip(predictions, boxes, strict=True))
    return rank(
        [found[:, 4] for found in predictions],
        [match_voc(found, truth) for found, truth in pairs],
        [len(truth) for truth in boxes],
    )


def _ranked(scores: list, hits: list, images: list, positives: list) -> RankedDetections:
    return RankedDetections(*map(np.array, (scores, images, hits, positives)))


@pytest.mark.parametrize('seed', range(4))
def test_voc_is_mmdets(seed: int) -> None:
    mean_ap = pytest.importorskip('mmdet.evaluation.functional.mean_ap')
    predictions, boxes = random_faces(np.random.default_rng(seed), 12)
    # mmdet computes overlaps in float32
    predictions = [found.astype(np.float32) for found in predictions]
    truth = [
        dict(bboxes=some.astype(np.float32), labels=np.zeros(len(some), int))
        for some in boxes
    ]
    expected, _ = mean_ap.eval_map(
        [[found] for found in predictions], truth, iou_thr=0.5, nproc=1, logger='silent'
    )
    assert 0 < expected < 1
    assert area_ap(_rank(predictions, boxes))[0] == pytest.approx(expected, abs=1e-6)


def test_the_best_scored_of_two_gets_the_box() -> None:
    found = np.array([[0, 0, 10, 9, 0.5], [0, 0, 10, 10, 0.7], [50, 50, 60, 60, 0.9]])
    assert match_voc(found, np.array([[0, 0, 10, 10]])).tolist() == [False, True, False]


def test_no_extra_pixel() -> None:
    found = np.array([[0, 0, 1, 1, 0.5]])
    assert not match_voc(found, np.array([[0, 0, 3, 1]])).any()
    assert match_voc(found, np.array([[0, 0, 2, 1]])).all()


def test_area_by_hand() -> None:
    """Precision 1, 1/2, 2/3 at 4 boxes: the envelope is 1, 2/3."""
    ranked = _ranked([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], [0, 0, 1, 1], [2, 2])
    assert area_ap(ranked)[0] == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)


def test_101_recalls_by_hand() -> None:
    """Recalls 0 to 0.25 are 26 of 101, those up to 0.5 another 25."""
    ranked = _ranked([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], [0, 0, 1, 1], [2, 2])
    assert coco_ap(ranked)[0] == pytest.approx((26 + 25 * 2 / 3) / 101)


@pytest.mark.parametrize(
    ('allowed', 'expected'), [(0, 0.25), (0.5, 0.5), (1, 0.75), (2, 0.75)]
)
def test_recall_at_false_positives(allowed: float, expected: float) -> None:
    """Two images: one false positive before the second hit, two before the third."""
    ranked = _ranked([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 0, 1], [0, 0, 1, 1, 0], [2, 2])
    assert recall_at_fppi(ranked, allowed)[0] == expected


def test_recall_takes_all_of_one_score_or_none() -> None:
    """The hit stands first, but its threshold brings three false positives along."""
    ranked = _ranked([0.5] * 4, [1, 0, 0, 0], [0] * 4, [1])
    assert recall_at_fppi(ranked, 2)[0] == 0
    assert recall_at_fppi(ranked, 3)[0] == 1


def test_false_positives_are_counted_over_all_images() -> None:
    """Images without boxes count, unlike in DARK FACE's own protocol."""
    ranked = _ranked([0.9, 0.8, 0.7], [0, 0, 1], [1, 1, 0], [1, 0])
    assert recall_at_fppi(ranked, 1)[0] == 1
    assert recall_at_fppi(ranked, 0.5)[0] == 0


@pytest.mark.parametrize('measure', [area_ap, coco_ap, recall_at_fppi])
def test_resamples_are_what_copies_of_the_images_give(measure: Any) -> None:
    rng = np.random.default_rng(5)
    predictions, boxes = random_faces(rng, 15)
    weights = rng.multinomial(15, [1 / 15] * 15, size=20)
    got = measure(_rank(predictions, boxes), weights=weights)
    for row, value in zip(weights, got, strict=True):
        copies = np.repeat(np.arange(15), row)
        expected = measure(
            _rank([predictions[i] for i in copies], [boxes[i] for i in copies])
        )
        assert value == pytest.approx(expected[0], abs=1e-12)
    assert len(set(got.round(6))) > 10


@pytest.mark.parametrize('measure', [area_ap, coco_ap])
def test_many_hits_take_several_blocks(
    measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = _rank(*random_faces(np.random.default_rng(2), 12))
    assert ranked.hits.sum() > 10
    expected = measure(ranked)
    monkeypatch.setattr('sci_plugins.functional.detection_ap._BLOCK', 3)
    np.testing.assert_allclose(measure(ranked), expected, rtol=1e-12)


@pytest.mark.parametrize('measure', [area_ap, coco_ap, recall_at_fppi])
def test_nothing_found_and_nothing_to_find(measure: Any) -> None:
    none = np.zeros((0, 5))
    box = np.array([[0.0, 0, 9, 9]])
    assert measure(_rank([none], [box])).tolist() == [0]
    assert math.isnan(measure(_rank([np.zeros((1, 5))], [none[:, :4]]))[0])
    assert math.isnan(measure(_rank([], []))[0])


@pytest.mark.parametrize('measure', [area_ap, coco_ap, recall_at_fppi])
def test_bad_weights(measure: Any) -> None:
    ranked = _ranked([0.9], [1], [0], [1])
    with pytest.raises(DataError, match=r'weights must have the shape \(resamples, 1\)'):
        measure(ranked, weights=np.ones((2, 3)))
