"""Resamples of images and of clips, and intervals of paired differences."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control, t, ttest_1samp

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.bootstrap import Interval, adjust, paired_interval, resample_weights
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


@pytest.mark.parametrize(
    ('delta', 'error', 'units', 'verdict'),
    [
        (0.0, 0.2, 100, 'no difference beyond ±δ'),
        (0.0, 0.35, 100, 'too few images to tell'),
        (0.3, 0.2, 100, 'too few images to tell'),
        (-0.1, 0.2, 100, 'no difference beyond ±δ'),
        (0.0, 0.29, 5, 'too few images to tell'),  # t is wider than normal
        (0.0, 0.29, 100, 'no difference beyond ±δ'),
        (0.0, 0.0, 100, 'no difference beyond ±δ'),
        (0.0, NAN, 100, 'no difference shown'),
        (0.0, 0.2, 0, 'no difference shown'),
    ],
)
def test_whether_a_difference_is_excluded(
    delta: float, error: float, units: int, verdict: str
) -> None:
    found = Interval(delta, -1, 1, error=error, margin=0.5, units=units)
    assert found.verdict == verdict
    assert found.scaled(100).verdict == verdict
    assert replace(found, low=0.1).verdict == 'helps'
    assert replace(found, margin=NAN).verdict == 'no difference shown'


def test_equivalence_is_two_one_sided_intervals_within_the_margin() -> None:
    for delta, error in np.random.default_rng(0).uniform(0.01, 0.5, (200, 2)):
        reach = t.ppf(0.95, 29) * error
        within = delta - reach >= -0.5 and delta + reach <= 0.5
        found = Interval(delta, -1, 1, error=error, margin=0.5, units=30)
        assert (found.verdict == 'no difference beyond ±δ') == within


def test_the_images_that_are_needed() -> None:
    """Four of five samples of that size show a true difference of the margin."""
    found = Interval(0.0, -1, 1, error=0.5, margin=0.5, units=100)
    assert found.detectable == pytest.approx(2.8016 * 0.5, abs=1e-4)
    error = 0.5 * math.sqrt(100 / found.needed)
    drawn = np.random.default_rng(0).normal(0.5, error, 100_000)
    assert (np.abs(drawn) > 1.96 * error).mean() == pytest.approx(0.8, abs=0.01)
    assert math.isnan(replace(found, margin=NAN).needed)


def _holm(p_values: list[float]) -> list[float]:
    """The smallest level at which the step-down procedure rejects each."""
    levels = sorted({min(1.0, p * k) for p in p_values for k in range(1, len(p_values) + 1)})

    def rejected(level: float) -> set[int]:
        found: set[int] = set()
        for index in sorted(range(len(p_values)), key=lambda each: p_values[each]):
            if p_values[index] * (len(p_values) - len(found)) > level + 1e-15:
                break
            found.add(index)
        return found

    return [
        next((level for level in levels if index in rejected(level)), 1.0)
        for index in range(len(p_values))
    ]


@pytest.mark.parametrize('seed', range(5))
def test_corrections_against_oracles(seed: int) -> None:
    p_values = (np.random.default_rng(seed).uniform(size=7) ** 3).tolist()
    assert adjust(p_values) == pytest.approx(_holm(p_values))
    assert adjust(p_values, 'bh') == pytest.approx(false_discovery_control(p_values))
    assert adjust(p_values, 'none') == pytest.approx(p_values)
    with_gap = adjust([*p_values[:3], NAN, *p_values[3:]])
    assert math.isnan(with_gap.pop(3))
    assert with_gap == adjust(p_values)
    assert adjust([]) == []


def test_an_unknown_correction() -> None:
    with pytest.raises(ConfigError, match="one of holm, bh, none, got 'x'"):
        adjust([0.1], 'x')


@pytest.mark.parametrize('units', [12, 60])
def test_p_and_interval_agree(units: int) -> None:
    rng = np.random.default_rng(units)
    for _ in range(200):
        draws = rng.normal(rng.uniform(-3.5, 3.5), 1, 1000)
        found = paired_interval(np.zeros(1000), draws, float(draws.mean()), units=units)
        if abs(found.p - 0.05) > 0.01:
            assert (found.verdict != 'no difference shown') == (found.p < 0.05)


def test_p_of_a_mean_is_students() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.4, 1, 30)
    draws = resample_weights(30, 20_000) @ values / 30
    found = paired_interval(np.zeros(20_000), draws, float(values.mean()), units=30)
    assert found.p == pytest.approx(ttest_1samp(values, 0).pvalue, rel=0.15)
    reach = ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(reach), abs=0.03)


def test_identical_models_differ_by_nothing() -> None:
    numbers = np.random.default_rng(0).normal(size=100)
    found = paired_interval(numbers, numbers, 0.0)
    assert (found.delta, found.low, found.high, found.error) == (0, 0, 0, 0)
    assert found.verdict == 'no difference shown'
    sure = paired_interval(numbers, numbers, 0.0, units=100, margin=0.1)
    assert (sure.verdict, sure.p) == ('no difference beyond ±δ', 1.0)


def test_percentiles_of_the_paired_differences() -> None:
    """What both share falls out: 0 to 100 are left, in any order."""
    rng = np.random.default_rng(0)
    base, differences = rng.normal(0, 1000, 101), rng.permutation(101)
    found = paired_interval(base, base + differences, 50.0)
    assert (found.low, found.high) == pytest.approx((2.5, 97.5))
    turned = paired_interval(base + differences, base, -50.0)
    assert (turned.low, turned.high) == pytest.approx((-97.5, -2.5))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """190 of 200 are expected: 4 sigma about them."""
    rng, held = np.random.default_rng(0), 0
    weights = resample_weights(60, 400)
    for _ in range(200):
        hard = rng.normal(0, 5, 60)  # of both models
        base, other = hard + rng.normal(0, 1, 60), hard + rng.normal(0.3, 1, 60)
        delta = float(other.mean() - base.mean())
        found = paired_interval(weights @ base / 60, weights @ other / 60, delta, units=60)
        assert found.low < delta < found.high
        held += found.low <= 0.3 <= found.high
    assert 178 <= held <= 200


def test_resamples_without_a_number_are_left_out() -> None:
    base, other = np.array([NAN, 1.0, 1, 1]), np.array([9.0, NAN, 2, 3])
    found = paired_interval(base, other, 1.5)
    assert (found.delta, found.low, found.high) == pytest.approx((1.5, 1.025, 1.975))


@pytest.mark.parametrize(('other', 'delta'), [([NAN, NAN], 1.0), ([1.0, 2.0], NAN), ([], 1.0)])
def test_nothing_to_tell(other: list[float], delta: float) -> None:
    found = paired_interval(np.zeros(len(other)), np.array(other), delta)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.verdict == 'not defined'
    np.testing.assert_equal(found.delta, delta)


@pytest.mark.parametrize('interval', [Interval(0.1, -0.25, 0.5), Interval(NAN, NAN, 2)])
def test_through_json(interval: Interval) -> None:
    text = json.dumps(to_content(interval), allow_nan=False)
    again = from_content(Interval, json.loads(text), '')
    np.testing.assert_equal(vars(again), vars(interval))
    assert ('"delta": null' in text) == math.isnan(interval.delta)


def _small(resamples: int) -> np.ndarray:
    return resample_weights(3, resamples)
