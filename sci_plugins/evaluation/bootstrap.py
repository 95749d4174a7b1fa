"""The paired bootstrap: how much a difference depends on the choice of images.

Both models are judged on the same resamples (Efron and Tibshirani, *An Introduction to the
Bootstrap*, 1993, chapters 8 and 13): what an easy image adds to both cancels. Sources and
coverage: docs/statistics.md.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from sci_plugins.errors import ConfigError, DataError, check_at_least, check_seed
from sci_plugins.utils.schema import Measured

#: Fewer units than this (images, clips, blocks) are too few for an interval.
FEW_UNITS = 10
HELPS, HURTS = 'helps', 'hurts'
SAME, TOO_FEW = 'no difference beyond ±δ', 'too few images to tell'
NOT_SHOWN, NOT_DEFINED = 'no difference shown', 'not defined'
#: Errors of both kinds: a difference shown where there is none, and one of them missed.
ALPHA, MISSED = 0.05, 0.2
_FEW_DRAWS = 3
#: Rounding errors of sums in another order; true differences are larger.
NOISE = 1e-12
#: How a table of verdicts is corrected for their number, in words.
CORRECTIONS = {'holm': 'Holm', 'bh': 'Benjamini and Hochberg', 'none': 'none'}
#: Intervals need thousands; all of them are held in memory.
MAX_RESAMPLES = 100_000


@dataclass(frozen=True)
class Interval:
    """A difference and the range that holds it in most resamples; NaN where undefined."""

    ALSO_IN_JSON: ClassVar[tuple[str, ...]] = ('verdict',)

    delta: Measured  # on the set itself, the variant's number minus the base's
    low: Measured  # ends of the interval, in the unit of the metric
    high: Measured
    higher_is_better: bool = True  # whether a difference above 0 is a gain
    error: Measured = math.nan  # standard error of the difference
    p: Measured = math.nan  # of a difference as large without a true one, two-sided
    margin: Measured = math.nan  # smaller differences do not matter; NaN: unknown
    units: int = 0  # number of units (images, clips, blocks) that were drawn; 0: unknown

    def scaled(self, factor: float) -> 'Interval':
        """The same in another unit."""
        names = ('delta', 'low', 'high', 'error', 'margin')
        return replace(self, **{name: getattr(self, name) * factor for name in names})

    @property
    def p_same(self) -> float:
        """Of a difference as small if the true one were the margin; NaN if unknown.

        Two one-sided tests (Schuirmann 1987): below .05 where the two one-sided 95 %
        intervals, both ``delta ± t * error``, lie within the margin.
        """
        if math.isnan(self.margin) or math.isnan(self.error) or self.units < 2:
            return math.nan
        room = self.margin - abs(self.delta)
        return _t_below(-room / self.error, self.units) if self.error > NOISE else float(room <= 0)

    @property
    def detectable(self) -> float:
        """The smallest true difference that so many units show in four of five cases."""
        normal = NormalDist()
        return (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(1 - MISSED)) * self.error

    @property
    def needed(self) -> float:
        """About how many units would show a difference of the margin; NaN if unknown."""
        if not self.margin > 0 or self.units < 2:
            return math.nan
        return self.units * (self.detectable / self.margin) ** 2

    @property
    def verdict(self) -> str:
        """``'helps'`` if the whole interval is on the better side of 0, ``'hurts'`` on the other.

        Else whether a difference beyond the margin is excluded, or the images are too few. Rounding
        errors count as 0.
        """
        if any(map(math.isnan, (self.delta, self.low, self.high))):
            return NOT_DEFINED
        is_above = self.low > NOISE
        if is_above or self.high < -NOISE:
            return HELPS if is_above == self.higher_is_better else HURTS
        if math.isnan(self.p_same):
            return NOT_SHOWN
        return SAME if self.p_same <= ALPHA else TOO_FEW


def adjust(p_values: Sequence[float], method: str = 'holm') -> list[float]:
    """P-values of a family of tests, corrected for their number; NaN stays and does not count.

    ``'holm'`` keeps the chance of a single false verdict (Holm 1979), ``'bh'`` the expected share
    of false ones among the verdicts (Benjamini and Hochberg 1995), ``'none'`` neither.

    Raises:
        ConfigError: if there is no such method.
    """
    if method not in CORRECTIONS:
        raise ConfigError(f'correction must be one of {", ".join(CORRECTIONS)}, got {method!r}')
    values = np.asarray(p_values, np.float64)
    order = [int(index) for index in np.argsort(values) if not math.isnan(values[index])]
    many, ranks = len(order), np.arange(len(order))
    if method == 'holm':
        values[order] = np.maximum.accumulate(values[order] * (many - ranks))
    elif method == 'bh':
        raised = values[order] * many / (ranks + 1)
        values[order] = np.minimum.accumulate(raised[::-1])[::-1]
    return np.minimum(values, 1.0).tolist()


def resample_weights(
    groups: int | Sequence[Hashable], resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """How often each image counts in each resample: ``(R, N)``, int16 (int32 above 30,000 units).

    Each resample draws as many units as there are, with replacement: images, or whole groups, so
    that dependent frames stay together. The same seed gives the same rows on every machine.

    Args:
        groups: number of images, N; or the group of each image.
        resamples: number of rows, R, at most 100,000.

    Raises:
        ConfigError: if ``resamples`` or ``seed`` is out of range.
        DataError: if there is no image.
    """
    check_at_least(1, most=MAX_RESAMPLES, resamples=resamples)
    check_seed(seed)
    groups = range(groups) if isinstance(groups, int) else groups
    if len(groups) == 0:
        raise DataError('there is no image to resample')
    numbers = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    members, units = [numbers[group] for group in groups], len(numbers)
    rng = np.random.default_rng(seed)
    # Counts in place of drawn indices: every metric is a function of weights.
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return drawn.astype(np.int16 if units <= 30_000 else np.int32)[:, members]


def paired_interval(
    base: np.ndarray,
    other: np.ndarray,
    delta: float,
    higher_is_better: bool = True,
    units: int = 0,
    margin: float = math.nan,
) -> Interval:
    """The 95 % interval of a difference: percentiles, farther out for few units.

    The plain percentile interval is too narrow by what a normal interval with the population's
    formula is against Student's; the percentiles are moved by that (Hesterberg 2015, 3.5).
    Resamples without a number (no object of a class was drawn) do not count; the ends are NaN where
    no others are left.

    Args:
        base, other: ``(R,)``, the base's and the variant's number on each resample.
        delta, higher_is_better, margin: as in :class:`Interval`.
        units: number of units drawn; 0: the plain percentiles.
    """
    differences = np.asarray(other, np.float64) - np.asarray(base, np.float64)
    differences = differences[np.isfinite(differences)]
    if len(differences) == 0 or math.isnan(delta):
        return Interval(delta, math.nan, math.nan, higher_is_better)
    tail = ALPHA / 2
    if units >= 2:
        from scipy.special import stdtrit

        # The share beyond an end that is right for so many units.
        tail = NormalDist().cdf(float(stdtrit(units - 1, tail)) * math.sqrt(units / (units - 1)))
    low, high = np.quantile(differences, [tail, 1 - tail]).tolist()
    error = float(differences.std(ddof=1)) if len(differences) > 1 else math.nan
    p = _two_sided(differences, float(delta), error, units)
    return Interval(float(delta), low, high, higher_is_better, error, p, float(margin), units)


def _t_below(value: float, units: int) -> float:
    from scipy.special import stdtr  # imported in a tenth of scipy.stats' time

    return float(stdtr(units - 1, value))


def _two_sided(differences: np.ndarray, delta: float, error: float, units: int) -> float:
    """How rare the difference is without a true one, by the same rule as the interval.

    Where fewer than 3 draws lie beyond 0 their share says little: the normal tail may stand in.
    """
    if units < 2 or math.isnan(error):
        return math.nan
    if error <= NOISE:
        return float(abs(delta) <= NOISE)
    beyond = min((differences <= NOISE).sum(), (differences >= -NOISE).sum())
    many, is_counted = len(differences), beyond >= _FEW_DRAWS
    share = beyond / many if is_counted else (beyond + 1) / (many + 1)
    value = NormalDist().inv_cdf(min(float(share), 0.5))
    value = value if is_counted else min(value, -abs(delta) / error)
    return min(1.0, 2 * _t_below(value * math.sqrt((units - 1) / units), units))
