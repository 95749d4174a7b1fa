"""The paired bootstrap: how much a difference depends on the choice of images.

Both models are judged on the same resamples of the images (Efron and Tibshirani, *An
Introduction to the Bootstrap*, 1993, chapters 8 and 13), so what an easy image adds to
both cancels in the difference.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sci_plugins.errors import ConfigError, DataError, check_at_least, check_seed
from sci_plugins.utils.schema import Measured

#: Fewer units than this (images, clips, blocks) are too few for an interval.
FEW_UNITS = 10
HELPS, HURTS = 'helps', 'hurts'
NOT_SHOWN, NOT_DEFINED = 'no difference shown', 'not defined'
#: Rounding errors of sums in another order; true differences are larger.
NOISE = 1e-12

#: Intervals need thousands; all of them are held in memory.
MAX_RESAMPLES = 100_000


@dataclass(frozen=True)
class Interval:
    """A difference and the range that holds it in most resamples; NaN where undefined.

    Args:
        delta: on the set itself, the variant's number minus the base's.
        low, high: ends of the interval, in the unit of the metric.
        higher_is_better: whether a difference above 0 is a gain.
    """

    ALSO_IN_JSON: ClassVar[tuple[str, ...]] = ('verdict',)

    delta: Measured
    low: Measured
    high: Measured
    higher_is_better: bool = True

    def scaled(self, factor: float) -> 'Interval':
        """The same in another unit."""
        numbers = (self.delta * factor, self.low * factor, self.high * factor)
        return Interval(*numbers, self.higher_is_better)

    @property
    def verdict(self) -> str:
        """``'helps'`` if the whole interval is on the better side of 0, ``'hurts'`` on the other.

        Rounding errors count as 0.
        """
        if any(math.isnan(value) for value in (self.delta, self.low, self.high)):
            return NOT_DEFINED
        if self.low > NOISE:
            return HELPS if self.higher_is_better else HURTS
        if self.high < -NOISE:
            return HURTS if self.higher_is_better else HELPS
        return NOT_SHOWN


def resample_weights(
    groups: int | Sequence[Hashable], resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """How often each image counts in each resample.

    Each resample draws as many units as there are, with replacement. A group is drawn as
    a whole, so that dependent frames stay together.

    Args:
        groups: number of images, each a unit; or the group of each image.
        resamples: number of rows, R, at most 100,000.
        seed: the same seed gives the same rows on every machine.

    Returns:
        ``(R, N)``, int16 (int32 for more than 30,000 units).

    Raises:
        ConfigError: if ``resamples`` or ``seed`` is out of range.
        DataError: if there is no image.
    """
    check_at_least(1, most=MAX_RESAMPLES, resamples=resamples)
    check_seed(seed)
    members = np.arange(groups) if isinstance(groups, int) else _number(groups)
    if len(members) == 0:
        raise DataError('there is no image to resample')
    units = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    # Counts in place of drawn indices: every metric is a function of weights.
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return drawn.astype(np.int16 if units <= 30_000 else np.int32)[:, members]


def count_units(groups: Sequence[Hashable] | None, images: int) -> int:
    """How many units are drawn: groups, or images where there are no groups."""
    return images if groups is None else len(set(groups))


def paired_interval(
    base: np.ndarray,
    other: np.ndarray,
    delta: float,
    level: float = 0.95,
    higher_is_better: bool = True,
) -> Interval:
    """The percentile interval of a difference.

    Args:
        base: ``(R,)``, the base's number on each resample.
        other: ``(R,)``, the variant's number on the same resamples.
        delta: the difference on the set itself.
        level: share of the resamples that the interval holds.
        higher_is_better: for the interval's verdict.

    Returns:
        The interval, without resamples that lack a number (no object of a class was
        drawn); its ends are NaN if no resample has both numbers.

    Raises:
        ConfigError: if the level is not between 0 and 1.
    """
    if not 0 <= level <= 1:
        raise ConfigError(f'level must be between 0 and 1, got {level}')
    differences = np.asarray(other, np.float64) - np.asarray(base, np.float64)
    differences = differences[np.isfinite(differences)]
    if len(differences) == 0 or math.isnan(delta):
        return Interval(delta, math.nan, math.nan, higher_is_better)
    tail = (1 - level) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Interval(float(delta), float(low), float(high), higher_is_better)


def _number(groups: Sequence[Hashable]) -> np.ndarray:
    """Groups as 0, 1, ... in the order of their first image."""
    numbers = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] for name in groups], dtype=np.int64)
