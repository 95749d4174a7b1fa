"""Places on an axis, in percent of its length: a drawing of any width can use them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sci_plugins.visualization.report.wording import signed

_PADDING = 0.04  # of the range, at either end
_STEPS = (1, 2, 5, 10)
_MOST_TICKS = 5


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high`` with zero on it."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float]) -> 'Scale':
        """An axis that holds all finite values, and zero."""
        finite = [0.0, *(value for value in values if math.isfinite(value))]
        low, high = min(finite), max(finite)
        padding = _PADDING * (high - low) or 1.0
        return cls(low - padding, high + padding)

    def percent(self, value: float) -> float:
        """Where a value stands: 0 at the low end, 100 at the high end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @property
    def zero(self) -> float:
        return self.percent(0.0)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of at most five round values, zero among them."""
        step = round_step((self.high - self.low) / _MOST_TICKS)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        return [
            (self.percent(index * step), signed(index * step, places))
            for index in range(first, last + 1)
        ]


def round_step(smallest: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below ``smallest``."""
    power = 10.0 ** math.floor(math.log10(smallest))
    return float(next(s * power for s in _STEPS if s * power >= smallest * (1 - 1e-9)))


def thinned(points: np.ndarray, tolerance: float) -> np.ndarray:
    """A polyline with fewer points that stays within ``tolerance`` of the given one.

    Ramer's and Douglas and Peucker's rule, without recursion.

    Args:
        points: ``(P, 2)``, in the unit of the drawing.
        tolerance: largest distance of a point that is left out.
    """
    if len(points) < 3:
        return points
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        distances = _distances(points[first : last + 1])
        if distances.size and distances.max() > tolerance:
            middle = first + 1 + int(distances.argmax())
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return points[keep]


def _distances(points: np.ndarray) -> np.ndarray:
    """Distance of the inner points from the straight piece between the two ends."""
    start, along = points[0], points[-1] - points[0]
    offset = points[1:-1] - start
    length = float(along @ along)
    share = np.clip(offset @ along / length, 0, 1) if length else np.zeros(len(offset))
    gap = offset - share[:, None] * along
    return np.hypot(gap[:, 0], gap[:, 1])
