"""Resamples of images and of clips, and intervals of paired differences."""

import json
import math

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.bootstrap import Interval, paired_interval, resample_weights


def test_each_resample_has_as_many_units() -> None:
    weights = resample_weights(7, 50)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(weights, resample_weights(7, 50))
    assert (weights != resample_weights(7, 50, seed=1)).any()


def test_a_group_is_drawn_as_a_whole() -> None:
    weights = resample_weights(['a', 'a', 'b', 'c', 'c'], 50)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 4])
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_verdicts() -> None:
    assert Interval(0.1, 0.05, 0.2).verdict == 'helps'
    assert Interval(-0.1, -0.2, -0.05).verdict == 'hurts'
    assert Interval(0.1, -0.05, 0.2).verdict == 'no difference shown'
    assert Interval(0.1, math.nan, math.nan).verdict == 'not defined'


def test_identical_models_differ_by_nothing() -> None:
    numbers = np.random.default_rng(0).normal(size=100)
    found = paired_interval(numbers, numbers, 0.0)
    assert (found.low, found.high, found.verdict) == (0, 0, 'no difference shown')


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    weights = resample_weights(60, 400)
    for _ in range(200):
        sample = rng.normal(0.3, 1, 60)
        means = weights @ sample / 60
        found = paired_interval(np.zeros(400), means, float(sample.mean()))
        held += found.low <= 0.3 <= found.high
    assert 178 <= held <= 199


def test_resamples_without_a_number_are_left_out() -> None:
    found = paired_interval(np.zeros(3), np.array([np.nan, 1, 1]), 1.0)
    assert (found.low, found.high) == (1, 1)
    none = paired_interval(np.zeros(2), np.full(2, np.nan), 1.0)
    assert none.verdict == 'not defined'
    again = Interval.from_dict(json.loads(json.dumps(none.to_dict())))
    assert math.isnan(again.low)
    assert again.delta == 1


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match='at least one resample'):
        resample_weights(5, 0)
    with pytest.raises(DataError, match='no image'):
        resample_weights(0)
