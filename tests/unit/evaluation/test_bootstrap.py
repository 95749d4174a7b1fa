"""Resamples of images and of clips, and intervals of paired differences."""

import json
import math

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.bootstrap import (
    Interval,
    count_units,
    paired_interval,
    resample_weights,
)
from sci_plugins.utils.schema import from_content, to_content

NAN = math.nan
PINNED = [[1, 1, 1], [0, 0, 3], [2, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize('images', [1, 2, 7, 100])
def test_each_resample_has_as_many_units(images: int) -> None:
    weights = resample_weights(images, 50)
    assert weights.shape == (50, images)
    assert (weights.sum(axis=1) == images).all()
    assert (weights >= 0).all()


def test_a_group_is_drawn_as_a_whole() -> None:
    """Groups of other sizes and out of order: the groups are counted, not the images."""
    groups = ['a', 'b', 'a', 'c', 'a', 'c']
    weights = resample_weights(groups, 200)
    for name in 'abc':
        columns = weights[:, [index for index, each in enumerate(groups) if each == name]]
        assert (columns == columns[:, :1]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(set(weights.sum(axis=1))) > 1
    np.testing.assert_array_equal(weights[:, [0, 1, 3]], resample_weights(3, 200))


def test_groups_of_one_image_are_the_images() -> None:
    np.testing.assert_array_equal(resample_weights(['x', 3, (1,)], 9), _small(9))


def test_every_unit_is_drawn_as_often() -> None:
    """Standard deviation of a column's mean: below 0.0141 (binomial, 5000 rows)."""
    weights = resample_weights(20, 5000)
    assert abs(weights.mean(axis=0) - 1).max() < 5 * 0.0141
    assert weights.var() == pytest.approx(1 - 1 / 20, abs=0.02)


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(resample_weights(9, 30, 4), resample_weights(9, 30, 4))
    assert (resample_weights(9, 30, 4) != resample_weights(9, 30, 5)).any()
    np.testing.assert_array_equal(resample_weights(9), resample_weights(9, 1000, 0))


def test_the_rows_stay_those_of_earlier_results() -> None:
    assert _small(4).tolist() == PINNED


def test_a_small_dtype() -> None:
    assert resample_weights(30_000, 1).dtype == np.int16
    assert resample_weights(30_001, 1).dtype == np.int32
    assert resample_weights([0] * 40_000, 1).dtype == np.int16


@pytest.mark.parametrize(('resamples', 'seed'), [(0, 0), (-1, 0), (1, -1)])
def test_bad_resamples_and_seeds(resamples: int, seed: int) -> None:
    with pytest.raises(ConfigError, match=r'(resamples|seed) must be at least [10], got'):
        resample_weights(5, resamples, seed)


@pytest.mark.parametrize('groups', [0, []])
def test_no_images(groups: int | list) -> None:
    with pytest.raises(DataError, match='no image to resample'):
        resample_weights(groups)


def test_units() -> None:
    assert count_units(None, 5) == 5
    assert count_units(['a', 'b', 'a', 'a', 'b'], 5) == 2


@pytest.mark.parametrize(
    ('interval', 'verdict'),
    [
        (Interval(0.1, 1e-16, 0.2), 'no difference shown'),
        (Interval(-0.1, -0.2, -1e-16), 'no difference shown'),
        (Interval(0.1, 0.05, 0.2), 'helps'),
        (Interval(-0.1, -0.2, -0.05), 'hurts'),
        (Interval(0.1, -0.05, 0.2), 'no difference shown'),
        (Interval(0.1, 0.0, 0.2), 'no difference shown'),
        (Interval(-0.1, -0.2, 0.0), 'no difference shown'),
        (Interval(NAN, 0.05, 0.2), 'not defined'),
        (Interval(0.1, NAN, 0.2), 'not defined'),
        (Interval(0.1, 0.05, NAN), 'not defined'),
    ],
)
def test_verdicts(interval: Interval, verdict: str) -> None:
    assert interval.verdict == verdict
    assert to_content(interval)['verdict'] == verdict


def test_identical_models_differ_by_nothing() -> None:
    numbers = np.random.default_rng(0).normal(size=100)
    found = paired_interval(numbers, numbers, 0.0)
    assert found == Interval(0, 0, 0)
    assert found.verdict == 'no difference shown'


def test_percentiles_of_the_paired_differences() -> None:
    """What both share falls out: 0 to 100 are left, in any order."""
    rng = np.random.default_rng(0)
    base, differences = rng.normal(0, 1000, 101), rng.permutation(101)
    found = paired_interval(base, base + differences, 50.0)
    assert (found.low, found.high) == pytest.approx((2.5, 97.5))
    half = paired_interval(base, base + differences, 50.0, level=0.5)
    assert (half.low, half.high) == pytest.approx((25, 75))
    turned = paired_interval(base + differences, base, -50.0)
    assert (turned.low, turned.high) == pytest.approx((-97.5, -2.5))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """188 of 200 are expected (95 %, less what 60 images lack): 4 sigma about them."""
    rng, held = np.random.default_rng(0), 0
    weights = resample_weights(60, 400)
    for _ in range(200):
        hard = rng.normal(0, 5, 60)  # of both models
        base, other = hard + rng.normal(0, 1, 60), hard + rng.normal(0.3, 1, 60)
        delta = float(other.mean() - base.mean())
        found = paired_interval(weights @ base / 60, weights @ other / 60, delta)
        assert found.low < delta < found.high
        held += found.low <= 0.3 <= found.high
    assert 176 <= held <= 198


def test_resamples_without_a_number_are_left_out() -> None:
    base, other = np.array([NAN, 1.0, 1, 1]), np.array([9.0, NAN, 2, 3])
    assert paired_interval(base, other, 1.5, level=1.0) == Interval(1.5, 1, 2)


@pytest.mark.parametrize(('other', 'delta'), [([NAN, NAN], 1.0), ([1.0, 2.0], NAN), ([], 1.0)])
def test_nothing_to_tell(other: list[float], delta: float) -> None:
    found = paired_interval(np.zeros(len(other)), np.array(other), delta)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.verdict == 'not defined'
    np.testing.assert_equal(found.delta, delta)


@pytest.mark.parametrize('level', [-0.1, 1.5, NAN])
def test_a_level_that_is_no_share(level: float) -> None:
    with pytest.raises(ConfigError, match='level must be between 0 and 1'):
        paired_interval(np.zeros(3), np.ones(3), 1.0, level)


@pytest.mark.parametrize('interval', [Interval(0.1, -0.25, 0.5), Interval(NAN, NAN, 2)])
def test_through_json(interval: Interval) -> None:
    text = json.dumps(to_content(interval), allow_nan=False)
    again = from_content(Interval, json.loads(text), '')
    np.testing.assert_equal(vars(again), vars(interval))
    assert ('null' in text) == math.isnan(interval.delta)


def _small(resamples: int) -> np.ndarray:
    return resample_weights(3, resamples)
