"""Several trainings of one model, told as one line: a mean, an interval over both, a test."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.random import Generator

from sci_plugins.evaluation.records import ImageRecords, Numbers
from sci_plugins.utils.schema import Measured

_SEED = re.compile(r'(?P<model>.+)-(?P<seed>\d+)')
#: From so many seeds on the sign-flip test draws signs.
_MOST_SEEDS = 15


def groups_of(labels: Iterable[str]) -> dict[str, list[str]]:
    """``a-0``, ``a-1``, ... -> ``a (mean of 2)`` with its members, where there are several."""
    found: dict[str, list[str]] = {}
    for label in labels:
        if match := _SEED.fullmatch(label):
            found.setdefault(match['model'], []).append(label)
    return {f'{name} (mean of {len(each)})': each for name, each in found.items() if len(each) > 1}


class SeedRecords(ImageRecords):
    """The mean over several trainings' records, of one class and the same images; in no file."""

    def __init__(self, seeds: Sequence[ImageRecords]) -> None:
        self.seeds, self.ids = list(seeds), seeds[0].ids

    @property
    def main(self) -> str:
        return self.seeds[0].main

    @property
    def names(self) -> list[str]:
        return [n for n in self.seeds[0].names if all(n in each.names for each in self.seeds)]

    def compute(self, weights: np.ndarray, names: Sequence[str]) -> Numbers:
        return self._means(weights, names, np.ones((len(weights), len(self.seeds))))

    def drawn(self, weights: np.ndarray, names: Sequence[str], rng: Generator) -> Numbers:
        """For every row also other seeds, with replacement, one less than there are.

        With all the variance of a mean would be too small by ``(k - 1) / k`` (Rao and Wu 1988).
        """
        many = len(self.seeds)
        times = rng.multinomial(many - 1, [1 / many] * many, len(weights))
        return self._means(weights, names, times)

    def _means(self, weights: np.ndarray, names: Sequence[str], times: np.ndarray) -> Numbers:
        every = [records.resampled(weights, names) for records in self.seeds]
        columns = {name: [found[name] for found in every] for name in names}
        return {name: np.average(e, axis=0, weights=times.T) for name, e in columns.items()}

    def higher(self, name: str) -> bool:
        return self.seeds[0].higher(name)

    def weakness(self, metric: str) -> str:
        return next(filter(None, (each.weakness(metric) for each in self.seeds)), '')

    def protocol(self) -> dict[str, str]:
        return self.seeds[0].protocol()

    def same_as(self, other: ImageRecords) -> bool:
        return False

    # It is made from records, never collected or kept.
    accepts = keep = collect = arrays = from_arrays = None  # type: ignore[assignment]


@dataclass(frozen=True)
class SeedTest:
    """The deciding metric of each training."""

    names: list[str]  # of the trainings
    bases: list[Measured]  # the base's number for each: of the same seed, or the base's only one
    values: list[Measured]  # their own
    p: Measured  # of the sign-flip test, two-sided: 2 / 2^k at least

    def scaled(self, factor: float) -> 'SeedTest':
        """The same in another unit."""
        bases, values = ([each * factor for each in some] for some in (self.bases, self.values))
        return replace(self, bases=bases, values=values)


def seed_test(
    names: Sequence[str],
    base: ImageRecords,
    base_names: Sequence[str],
    seeds: SeedRecords,
    metric: str,
) -> SeedTest:
    """Each training against the base's of the same seed, or against the base's mean.

    ``names`` are of the trainings, ``base_names`` of the base's, if it has several.
    """
    values = [each.metrics([metric])[metric] for each in seeds.seeds]
    bases = [base.metrics([metric])[metric]] * len(values)
    if isinstance(base, SeedRecords):
        own, theirs = ([name.rpartition('-')[2] for name in some] for some in (names, base_names))
        if set(own) == set(theirs):
            single = [base.seeds[theirs.index(seed)] for seed in own]
            bases = [each.metrics([metric])[metric] for each in single]
    return SeedTest(list(names), bases, values, sign_flip(np.subtract(values, bases)))


def sign_flip(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of a difference for each seed; a NaN among them makes it NaN.

    It is the share of all choices of the signs that give a mean at least as far from 0.
    """
    values = np.asarray(differences, np.float64)
    if np.isnan(values).any():
        return math.nan
    if len(values) <= _MOST_SEEDS:
        signs = np.array(list(product((1, -1), repeat=len(values))))
    else:
        signs = np.random.default_rng(0).choice([1, -1], (2**_MOST_SEEDS, len(values)))
    far = abs(values.sum()) * (1 - 1e-12)
    return float((np.abs(signs @ values) >= far).mean())
