"""The official protocol: the tool's own numbers, and each rule by itself."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import DataError
from sci_plugins.functional.detection_ap import (
    count_official,
    official_ap,
    official_curve,
    resampled_official_ap,
)
from tests.plain_darkface_ap import plain_official_ap, random_faces

BOX = [10, 10, 19, 19]
FAR = [50, 50, 59, 59]


def _ap(predictions: list, boxes: list) -> float:
    return official_ap(_counts(predictions, boxes))


def _counts(predictions: list, boxes: list):
    return count_official(
        [np.array(rows, float).reshape(-1, 5) for rows in predictions],
        [np.array(rows, float).reshape(-1, 4) for rows in boxes],
    )


@pytest.mark.parametrize('name', ['plain', 'ties', 'empties'])
def test_the_octave_tools_numbers(shared_data: Path, name: str) -> None:
    path = shared_data / f'golden/darkface_ap/{name}.json'
    content = json.loads(path.read_text())
    ids = list(content['gts'])
    ap = _ap([content['preds'][i] for i in ids], [content['gts'][i] for i in ids])
    assert ap == pytest.approx(content['official_ap'], abs=1e-9)


@pytest.mark.parametrize('digits', [None, 1, 0])
@pytest.mark.parametrize('seed', range(5))
def test_it_is_the_protocol_in_loops(seed: int, digits: int | None) -> None:
    predictions, boxes = random_faces(np.random.default_rng(seed), 12, digits)
    expected = plain_official_ap(predictions, boxes)
    assert 0 < expected < 1
    assert _ap(predictions, boxes) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_predictions_does_not_count(rng: np.random.Generator) -> None:
    predictions, boxes = random_faces(rng, 12, 1)
    mixed = [rng.permutation(found) for found in predictions]
    assert _ap(mixed, boxes) == _ap(predictions, boxes)


def test_perfect_and_hopeless() -> None:
    assert _ap([[[*BOX, 0.9]]], [[BOX]]) == 1
    assert _ap([[[*FAR, 0.9]]], [[BOX]]) == 0
    assert _ap([[]], [[BOX]]) == 0


def test_a_duplicate_is_a_false_positive() -> None:
    """Best first: box, its double, other box. Precision is 1, 1/2, 2/3."""
    found = [[*BOX, 0.9], [*BOX, 0.8], [*FAR, 0.7]]
    assert _ap([found], [[BOX, FAR]]) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_there_is_no_second_best_box() -> None:
    """Both predictions overlap the left box most, so the right one stays unfound."""
    left, right = [0, 0, 9, 9], [2, 0, 11, 9]
    found = [[0, 0, 9, 9, 0.9], [0, 0, 10, 9, 0.8]]
    assert _ap([found], [[left, right]]) == 0.5


def test_the_first_of_equally_near_boxes_gets_it() -> None:
    """Between two boxes: the first, then its duplicate is a false positive."""
    left, right = [0, 0, 9, 9], [2, 0, 11, 9]
    between = [1, 0, 10, 9]
    assert _ap([[[*between, 0.9], [*left, 0.8]]], [[left, right]]) == 0.5
    assert _ap([[[*between, 0.9], [*left, 0.8]]], [[right, left]]) == 1


def test_overlap_counts_inclusive_pixels() -> None:
    """2 of 4 pixels: 0.5 and recalled; without the extra pixel it would be 1 / 3."""
    assert _ap([[[0, 0, 1, 0, 1.0]]], [[[0, 0, 3, 0]]]) == 1
    assert _ap([[[0, 0, 1, 0, 1.0]]], [[[0, 0, 4, 0]]]) == 0


def test_scores_are_normalised_over_all_images() -> None:
    """Shift and scale change nothing, wherever a score stands."""
    predictions, boxes = random_faces(np.random.default_rng(3), 12, 2)
    scaled = [np.c_[found[:, :4], found[:, 4] * 50 + 7] for found in predictions]
    assert _ap(scaled, boxes) == pytest.approx(_ap(predictions, boxes), abs=1e-12)


def test_an_image_without_boxes_still_stretches_the_range() -> None:
    """A score of 1000 squeezes the others into one threshold: all or none."""
    faces = [[*BOX, 0.9], [*FAR, 0.1]]
    assert _ap([faces, []], [[BOX], []]) == 1
    assert _ap([faces, [[*FAR, 1000.0]]], [[BOX], []]) == 0.5


def test_thresholds_are_a_thousand_steps() -> None:
    """The false positive is a better score by less than one step: it counts first."""
    scores = [0.0, 0.5001, 0.5004, 1.0]
    found = [[*FAR, scores[0]], [*BOX, scores[1]], [70, 70, 79, 79, scores[2]]]
    top = [[0, 0, 5, 5, scores[3]]]
    counts = _counts([found, top], [[BOX], [[0, 0, 5, 5]]])
    precision, recall = official_curve(counts)
    # 1 - 499 / 1000 = 0.501 is reached by the best alone, 0.500 by three.
    assert (precision[0, 498], recall[0, 498]) == (1, 0.5)
    assert (precision[0, 499], recall[0, 499]) == (pytest.approx(2 / 3), 1)
    assert official_ap(counts) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_score_on_a_threshold_reaches_it() -> None:
    """0.25 is 1 - 750 / 1000 to the bit."""
    found = [[*BOX, 1.0], [*FAR, 0.25], [80, 80, 85, 85, 0.0]]
    recalled = _counts([found], [[BOX, FAR]]).recalled[0]
    assert np.flatnonzero(recalled).tolist() == [0, 749]


def test_ties_come_all_at_once() -> None:
    found = [[*BOX, 0.5], [*FAR, 0.5], [70, 70, 79, 79, 0.5], [0, 0, 5, 5, 0.0]]
    assert _ap([found], [[BOX, FAR]]) == pytest.approx(2 / 3)


@pytest.mark.parametrize('score', [0.7, 0.0, -3.0, 1e6])
def test_constant_scores(score: float) -> None:
    found = [[*BOX, score], [*FAR, score], [70, 70, 79, 79, score]]
    assert _ap([found], [[BOX, FAR]]) == pytest.approx(2 / 3)


def test_constant_scores_count_from_the_first_threshold_on() -> None:
    _, recall = official_curve(_counts([[[*BOX, 0.7], [*FAR, 0.7]]], [[BOX]]))
    assert recall[0].tolist() == [1] * 1000


def test_negative_scores_have_their_maximum_at_zero() -> None:
    """The tool looks for the maximum from 1e-38 on: 0.75 and just below it.

    By the true range, -4 to -1, both would reach the first threshold.
    """
    found = [[*BOX, -1.0], [*FAR, -1.001], [70, 70, 79, 79, -4.0]]
    assert _ap([found], [[BOX]]) == 1
    shifted = [[*row[:4], row[4] + 5] for row in found]
    assert _ap([shifted], [[BOX]]) == 0.5


def test_false_positives_without_boxes_are_free() -> None:
    wrong = [[*FAR, 0.95], [*BOX, 0.1]]
    assert _ap([[[*BOX, 0.9]], wrong], [[BOX], []]) == 1


def test_boxes_without_predictions_stay_in_the_recall() -> None:
    assert _ap([[[*BOX, 0.9]], []], [[BOX], [BOX, FAR, FAR]]) == 0.25


def test_no_proposals_yet_is_nan_and_loses() -> None:
    """The best score belongs to an image without boxes: 0 / 0 up to there."""
    counts = _counts([[[*BOX, 0.5]], [[*FAR, 1.0], [*FAR, 0.0]]], [[BOX], []])
    precision, recall = official_curve(counts)
    assert np.isnan(precision[0, :499]).all()
    assert recall[0, :499].tolist() == [0] * 499
    assert precision[0, 499] == 1
    assert official_ap(counts) == 1


def test_no_box_at_all_has_no_number() -> None:
    assert math.isnan(_ap([[[*BOX, 0.9]], []], [[], []]))
    assert math.isnan(_ap([], []))


def test_the_end_at_recall_1_has_precision_0() -> None:
    """Half is found without a mistake: the other half adds nothing."""
    assert _ap([[[*BOX, 0.9]]], [[BOX, FAR]]) == 0.5


@pytest.mark.parametrize('digits', [None, 1])
def test_resamples_are_what_copies_of_the_images_give(digits: int | None) -> None:
    rng = np.random.default_rng(7)
    predictions, boxes = random_faces(rng, 15, digits)
    scores = np.concatenate(predictions)[:, 4]
    weights = rng.multinomial(15, [1 / 15] * 15, size=8)
    got = resampled_official_ap(count_official(predictions, boxes), weights)
    for row, ap in zip(weights, got, strict=True):
        copies = [index for index, times in enumerate(row) for _ in range(times)]
        expected = plain_official_ap(
            [predictions[index] for index in copies],
            [boxes[index] for index in copies],
            score_range=(scores.min(), scores.max()),
        )
        assert ap == pytest.approx(expected, abs=1e-12)
    assert len(set(got.round(6))) > 6


def test_a_resample_without_boxes_is_nan() -> None:
    counts = _counts([[[*BOX, 0.9]], []], [[BOX], []])
    got = resampled_official_ap(counts, np.array([[1, 1], [0, 2]]))
    assert got[0] == 1
    assert math.isnan(got[1])


@pytest.mark.parametrize(
    ('predictions', 'boxes', 'words'),
    [
        ([np.zeros((1, 5))], [], r'^expected 0 arrays of predictions, .* got 1$'),
        ([np.zeros((1, 4))], [np.zeros((1, 4))], r'predictions\[0\] must .* \(n, 5\)'),
        ([np.zeros((0, 5))], [np.zeros(4)], r'boxes\[0\] must .* \(n, 4\), got \(4,\)'),
        ([np.full((1, 5), np.nan)], [np.zeros((1, 4))], r'predictions\[0\] .* finite'),
    ],
)
def test_bad_input(predictions: list, boxes: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        count_official(predictions, boxes)


@pytest.mark.parametrize('weights', [np.ones(2), np.ones((3, 1))])
def test_bad_weights(weights: np.ndarray) -> None:
    counts = _counts([[[*BOX, 0.9]], []], [[BOX], []])
    with pytest.raises(DataError, match=r'weights must have the shape \(resamples, 2\)'):
        resampled_official_ap(counts, weights)
