"""Several trainings as one line: means, draws of trainings, signs that flip."""

import math
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import permutation_test

from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.records import MeanRecords, RunInfo
from sci_plugins.evaluation.seeds import SeedRecords, groups_of, seed_test, sign_flip

IDS = [f'image{number}' for number in range(40)]


class Numbers(MeanRecords):
    definitions: ClassVar[dict[str, str]] = dict(score='a number')

    @classmethod
    def accepts(cls, output: object, run: RunInfo) -> bool:
        return False

    @classmethod
    def keep(cls, output: object, run: RunInfo) -> dict[str, float]:
        raise NotImplementedError


def _records(mean: float, seed: int = 0, spread: float = 0.0) -> Numbers:
    values = np.random.default_rng(seed).normal(mean, spread, 40)
    return Numbers(IDS, dict(score=values))


def test_labels_of_one_model() -> None:
    labels = ['joint-0', 'plain', 'joint-1', 'a-b-3', 'joint-12', 'x-', '-1']
    assert groups_of(labels) == {'joint (mean of 3)': ['joint-0', 'joint-1', 'joint-12']}
    assert groups_of(['a-0', 'b-0', 'a-b-0', 'a-b-1']) == {'a-b (mean of 2)': ['a-b-0', 'a-b-1']}


def test_the_number_is_the_mean_and_draws_vary_as_a_mean_does() -> None:
    means = [0.1, 0.5, 0.9, 0.6]
    seeds = SeedRecords([_records(each) for each in means])
    assert seeds.metrics() == {'score': pytest.approx(np.mean(means))}
    weights = np.ones((20_000, 40))
    drawn = seeds.drawn(weights, ['score'], np.random.default_rng(0))['score']
    assert drawn.mean() == pytest.approx(np.mean(means), abs=0.01)
    assert drawn.var() == pytest.approx(np.var(means, ddof=1) / 4, rel=0.05)


def test_the_interval_of_a_mean_holds_both_choices() -> None:
    """Trainings that differ make it wider than one training's; equal ones do not."""
    base = _records(0.0, 1, 1.0)

    def width(*means: float) -> float:
        seeds = SeedRecords([_records(each, 7, 1.0) for each in means])
        found = analyse(base, seeds, base_name='none').main
        return found.high - found.low

    assert width(0.5, 0.5) == pytest.approx(width(0.5, 0.5, 0.5), rel=1e-6)
    assert width(0.0, 1.0, 0.2) > 1.5 * width(0.5, 0.5)


@pytest.mark.parametrize('count', [2, 3, 6])
def test_sign_flips_against_scipy(count: int) -> None:
    values = np.random.default_rng(count).normal(0.5, 1, count)
    wanted = permutation_test(
        (values,), np.mean, permutation_type='samples', n_resamples=np.inf, alternative='two-sided'
    )
    assert sign_flip(values) == pytest.approx(wanted.pvalue)


def test_three_trainings_cannot_show_much() -> None:
    assert sign_flip([5.0, 5.1, 4.9]) == 0.25
    assert sign_flip([5.0] * 5) == 0.0625
    assert sign_flip([0.0, 0.0]) == 1.0
    assert math.isnan(sign_flip([1.0, math.nan]))
    assert sign_flip(np.ones(20)) < 0.001


def test_trainings_of_the_same_seed_are_paired() -> None:
    seeds, base = (SeedRecords([_records(each) for each in some]) for some in ((2, 4), (1, 2)))
    paired = seed_test(['a-0', 'a-1'], base, ['b-1', 'b-0'], seeds, 'score')
    assert (paired.bases, paired.values) == ([2.0, 1.0], [2.0, 4.0])
    other = seed_test(['a-0', 'a-1'], base, ['b-2', 'b-3'], seeds, 'score')
    assert other.bases == [1.5, 1.5]
    single = seed_test(['a-0', 'a-1'], _records(3), [], seeds, 'score')
    assert single.bases == [3.0, 3.0]
    assert single.scaled(100).values == [200.0, 400.0]
