"""The curve of precision over recall by hand and against a plain loop."""

from collections.abc import Sequence

import numpy as np
import pytest

from sci_plugins.functional.detection_ap import (
    RankedDetections,
    RecallPrecision,
    area_ap,
    match_voc,
    pooled_curve,
    rank,
)
from tests.plain_darkface_ap import random_faces


def _faces(rng: np.random.Generator) -> RankedDetections:
    predictions, boxes = random_faces(rng, 12)
    return rank(
        [found[:, 4] for found in predictions],
        [match_voc(*pair) for pair in zip(predictions, boxes, strict=True)],
        [len(truth) for truth in boxes],
    )


def _ranked(scores: list, hits: list, images: list, positives: list) -> RankedDetections:
    return RankedDetections(*map(np.array, (scores, images, hits, positives)))


def test_curve_by_hand() -> None:
    """Hit, miss, hit, hit, miss of five boxes: one point a hit."""
    ranked = _ranked([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0], [0, 0, 1, 1, 0], [3, 2])
    curve = pooled_curve([ranked])
    assert isinstance(curve, RecallPrecision)
    assert curve.recall == [1 / 5, 2 / 5, 3 / 5]
    assert curve.precision == [1, 2 / 3, 3 / 4]


def test_curve_of_one_box() -> None:
    ranked = _ranked([0.9, 0.8], [0, 1], [0, 0], [1])
    assert pooled_curve([ranked]) == RecallPrecision([1.0], [0.5])


def test_curve_of_two_classes_by_hand() -> None:
    """By score the hits and misses of both take turns; the boxes add up."""
    one = _ranked([0.9, 0.5], [1, 1], [0, 0], [1, 2])
    two = _ranked([0.8, 0.6, 0.4], [0, 1, 1], [0, 1, 1], [0, 3])
    curve = pooled_curve([one, two])
    assert curve.recall == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6])
    assert curve.precision == pytest.approx([1, 2 / 3, 3 / 4, 4 / 5])


@pytest.mark.parametrize('classes', [1, 3])
def test_curve_against_a_plain_loop(classes: int) -> None:
    rng = np.random.default_rng(10)
    each = [_faces(rng) for _ in range(classes)]
    rows = sorted(
        (-score, bool(hit))
        for ranked in each
        for score, hit in zip(ranked.scores, ranked.hits, strict=True)
    )
    boxes = sum(ranked.positives.sum() for ranked in each)
    recall, precision, true = [], [], 0
    for count, (_, hit) in enumerate(rows, start=1):
        if hit:
            true += 1
            recall.append(true / boxes)
            precision.append(true / count)
    curve = pooled_curve(each)
    assert len(recall) > 10
    assert curve.recall == pytest.approx(recall)
    assert curve.precision == pytest.approx(precision)


def test_the_area_is_that_below_the_curves_envelope() -> None:
    ranked = _faces(np.random.default_rng(11))
    curve = pooled_curve([ranked])
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    area = np.sum(np.diff(curve.recall, prepend=0) * envelope)
    assert area_ap(ranked)[0] == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize(
    ('points', 'places'), [(3, [0, 5, 10]), (1, [0]), (2, [0, 10]), (99, range(11))]
)
def test_curve_of_fewer_points(points: int, places: Sequence[int]) -> None:
    """Evenly spaced among the hits, the first and the last among them."""
    hits = [1, 0] * 11
    ranked = _ranked(np.linspace(1, 0, 22).tolist(), hits, [0] * 22, [20])
    curve = pooled_curve([ranked], points)
    assert curve.recall == [(place + 1) / 20 for place in places]
    assert curve.precision == [(place + 1) / (2 * place + 1) for place in places]


def test_no_curve() -> None:
    missed = _ranked([0.9], [0], [0], [2])
    nothing = _ranked([0.9], [0], [0], [0])
    for ranked in ([missed], [nothing], [missed, nothing], [rank([], [], [])]):
        assert pooled_curve(ranked) == RecallPrecision([], [])
