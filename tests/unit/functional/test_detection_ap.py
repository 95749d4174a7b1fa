"""Box overlap; VOC's and COCO's averages against mmdet's and pycocotools' own."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torchvision.ops import box_iou

from sci_plugins.errors import DataError
from sci_plugins.functional.detection_ap import (
    RankedDetections,
    area_ap,
    coco_ap,
    coco_aps,
    match_voc,
    pairwise_iou,
    rank,
    recall_at_fppi,
)
from tests.plain_darkface_ap import pixel_iou, random_faces


def _rank(
    predictions: list[np.ndarray], boxes: list[np.ndarray], min_iou: float = 0.5
) -> RankedDetections:
    pairs = list(zip(predictions, boxes, strict=True))
    return rank(
        [found[:, 4] for found in predictions],
        [match_voc(found, truth, min_iou) for found, truth in pairs],
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
        dict(bboxes=some.astype(np.float32), labels=np.zeros(len(some), int)) for some in boxes
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


@pytest.mark.parametrize(('allowed', 'expected'), [(0, 0.25), (0.5, 0.5), (1, 0.75), (2, 0.75)])
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
    assert recall_at_fppi(ranked)[0] == recall_at_fppi(ranked, 1)[0] == 1
    assert recall_at_fppi(ranked, 0.5)[0] == 0
    three = _ranked([0.9] * 3 + [0.7], [0] * 3 + [1], [1, 1, 1, 0], [1, 0])
    assert recall_at_fppi(three)[0] == 0


@pytest.mark.parametrize('measure', [area_ap, coco_ap, recall_at_fppi])
def test_resamples_are_what_copies_of_the_images_give(measure: Any) -> None:
    rng = np.random.default_rng(5)
    predictions, boxes = random_faces(rng, 15)
    weights = rng.multinomial(15, [1 / 15] * 15, size=20)
    got = measure(_rank(predictions, boxes), weights=weights)
    for row, value in zip(weights, got, strict=True):
        copies = np.repeat(np.arange(15), row)
        expected = measure(_rank([predictions[i] for i in copies], [boxes[i] for i in copies]))
        assert value == pytest.approx(expected[0], abs=1e-12)
    assert len(set(got.round(6))) > 10


@pytest.mark.parametrize('measure', [area_ap, coco_ap, recall_at_fppi])
def test_many_draws_are_taken_in_parts(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ranked = _rank(*random_faces(rng, 12))
    weights = rng.multinomial(12, [1 / 12] * 12, size=20)
    expected = measure(ranked, weights=weights)
    for limit in ('_CACHED', '_LARGE'):
        monkeypatch.setattr(f'sci_plugins.functional.detection_ap.{limit}', 1)
    np.testing.assert_allclose(measure(ranked, weights=weights), expected, rtol=1e-12)


@pytest.mark.parametrize('cached', [1, 40, 2**14])
def test_several_thresholds_at_once(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matches at one threshold after the other, some with detections left out."""
    rng = np.random.default_rng(6)
    faces, boxes = random_faces(rng, 12)
    kept = [found[::2] for found in faces]
    ious = (0.3, 0.5, 0.7)
    matches = [_rank(some, boxes, iou) for some in (faces, kept, faces) for iou in ious]
    assert len({each.hits.sum() for each in matches}) > 3
    weights = rng.multinomial(12, [1 / 12] * 12, size=9)
    expected = [coco_ap(each, weights) for each in matches]
    monkeypatch.setattr('sci_plugins.functional.detection_ap._CACHED', cached)
    np.testing.assert_allclose(coco_aps(matches, weights), expected, rtol=1e-12)
    assert coco_aps(matches, weights[:0]).shape == (9, 0)


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


MEASURES = [area_ap, coco_ap, recall_at_fppi]


def _plain_area(ranked: RankedDetections, weights: np.ndarray) -> float:
    """Each image's detections and boxes as often as its weight says, one by one."""
    true = every = 0.0
    points = []
    for image, hit in zip(ranked.images.tolist(), ranked.hits.tolist(), strict=True):
        every += weights[image]
        true += weights[image] * hit
        points.append((true, true / every if every else 0.0))
    area, reached = 0.0, 0.0
    for index, (found, _) in enumerate(points):
        area += (found - reached) * max(precision for _, precision in points[index:])
        reached = found
    return area / float(weights @ ranked.positives)


@pytest.mark.parametrize('factor', [1, 0.1, 1e6, 2.0**24])
def test_weights_against_a_plain_loop(factor: float) -> None:
    rng = np.random.default_rng(7)
    ranked = _rank(*random_faces(rng, 15))
    weights = factor * rng.multinomial(15, [1 / 15] * 15, size=8)
    expected = [_plain_area(ranked, row) for row in weights]
    np.testing.assert_allclose(area_ap(ranked, weights), expected, rtol=1e-12)
    weights = factor * rng.integers(1, 4, (8, 15))  # none of them 0
    expected = [_plain_area(ranked, row) for row in weights]
    np.testing.assert_allclose(area_ap(ranked, weights), expected, rtol=1e-12)


def test_the_best_detections_of_an_image_that_is_left_out() -> None:
    """Nothing counts up to its hit, whose precision must not be read at recall 0."""
    ranked = _ranked([0.9, 0.8, 0.7], [1, 0, 1], [0, 1, 1], [1, 1])
    for measure in (area_ap, coco_ap):
        for dtype in (int, bool, np.uint8, float):
            assert measure(ranked, np.array([[0, 1]], dtype)).tolist() == [0.5]


@pytest.mark.parametrize('measure', MEASURES)
def test_twice_the_weights_give_the_same_bits(measure: Any) -> None:
    """A factor of two changes no digit of a ratio."""
    rng = np.random.default_rng(8)
    ranked = _rank(*random_faces(rng, 40))
    weights = rng.multinomial(40, [1 / 40] * 40, size=10).astype(float)
    assert (weights % 2 == 1).any()
    for factor in (0.5, 2.0**24):
        double = measure(ranked, weights=weights * factor)
        np.testing.assert_array_equal(double, measure(ranked, weights=weights))


def test_whole_weights_beyond_float32_are_exact() -> None:
    """2**24 + 1 is the first whole number that float32 does not hold."""
    ranked = _ranked([0.9, 0.8], [0, 1], [0, 1], [0, 1])
    for heavy in (2.0**22 - 1, 2.0**24 - 2, 2.0**24 - 1, 2.0**24, 2.0**25, 2.0**40):
        got = area_ap(ranked, np.array([[heavy, 1.0], [1.0, heavy], [1.0, 1.0]]))
        assert got.tolist() == [1 / (1 + heavy), heavy / (1 + heavy), 0.5]


@pytest.mark.parametrize('heavy', [2.0**22 + 1, 5592404.0])
def test_many_light_weights_beyond_float32_are_exact(heavy: float) -> None:
    """No weight is large, their sum over the detections is."""
    count = 5
    ranked = _ranked([0.9] * count + [0.8], [0] * count + [1], [0] * count + [1], [0, 1])
    got = area_ap(ranked, np.array([[heavy, 1.0]]))
    assert got.tolist() == [1 / (count * heavy + 1)]


def test_fractions_of_an_image() -> None:
    """A quarter of a false positive before half a hit: rounded, both would vanish."""
    ranked = _ranked([0.9, 0.8], [0, 1], [0, 1], [0, 1])
    weights = np.array([[0.25, 0.5]])
    assert area_ap(ranked, weights)[0] == pytest.approx(2 / 3)
    assert recall_at_fppi(ranked, 0.34, weights)[0] == 1
    assert recall_at_fppi(ranked, 0.33, weights)[0] == 0


@pytest.mark.parametrize('measure', MEASURES)
def test_the_weights_stay_as_they_are(measure: Any) -> None:
    ranked = _rank(*random_faces(np.random.default_rng(9), 6))
    weights = np.arange(12.0).reshape(2, 6)
    measure(ranked, weights=weights)
    assert np.array_equal(weights, np.arange(12.0).reshape(2, 6))


def test_one_order_for_all_images() -> None:
    """Equal scores: in the order of the images, and within one as they came."""
    ranked = rank(
        [np.array([0.2, 0.7]), np.zeros(0), np.array([0.7, 0.9, 0.7])],
        [np.array([True, False]), np.zeros(0, bool), np.array([True, False, False])],
        [3, 0, 2],
    )
    assert ranked.scores.tolist() == [0.9, 0.7, 0.7, 0.7, 0.2]
    assert ranked.images.tolist() == [2, 0, 2, 2, 0]
    assert ranked.hits.tolist() == [False, False, True, False, True]
    assert ranked.positives.tolist() == [3, 0, 2]


def test_a_better_score_takes_the_box_whatever_the_order() -> None:
    """Of two equal scores the first one does; a second box does not help a double."""
    box, near = [0.0, 0, 10, 10], [0.0, 0, 10, 8]
    truth = np.array([box, [0, 0, 10, 16.5]])
    found = np.array([[*box, 0.5], [*near, 0.9], [*near, 0.9]])
    assert match_voc(found, truth).tolist() == [False, True, False]
    assert match_voc(found, truth, min_iou=0.85).tolist() == [True, False, False]


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


@pytest.mark.parametrize('whole', [True, False])
def test_few_rows_and_many_are_summed_to_the_same(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are added up detection by detection, many by a matrix product."""
    rng = np.random.default_rng(5)
    images, detections = 150, 3000
    ranked = _ranked(
        np.sort(rng.random(detections))[::-1].tolist(),
        (rng.random(detections) < 0.3).tolist(),
        rng.integers(0, images, detections).tolist(),
        [7] * images,
    )
    rows = rng.integers(0, 4, (400, images)) * (1.0 if whole else 0.3)
    seen: list[tuple[int, ...]] = []
    plain = scipy.sparse.csr_matrix
    monkeypatch.setattr(
        scipy.sparse, 'csr_matrix', lambda *args: (seen.append(args[1]), plain(*args))[1]
    )
    for rule in (area_ap, coco_ap, recall_at_fppi):
        many = rule(ranked, weights=rows)  # type: ignore[operator]
        assert seen
        seen.clear()
        few = np.concatenate([rule(ranked, weights=rows[n : n + 1]) for n in range(5)])  # type: ignore[operator]
        assert not seen
        np.testing.assert_allclose(few, many[:5], rtol=1e-12)
