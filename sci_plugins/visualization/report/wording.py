"""Numbers, verdicts and lists of names as a reader meets them."""

import math
from collections.abc import Sequence

import numpy as np

from sci_plugins.evaluation.bootstrap import HELPS, HURTS, NOT_DEFINED, NOT_SHOWN
from sci_plugins.evaluation.number_text import NOISE

DASH = '–'
#: Verdict -> class of its cells in the style sheet, and a mark that needs no colour.
MARKS = {
    HELPS: ('helps', '▲'),
    HURTS: ('hurts', '▼'),
    NOT_SHOWN: ('same', '○'),
    NOT_DEFINED: ('undefined', DASH),
}
#: First part of the names of metrics that are percentages; all others are fractions.
_PERCENTAGES = {'mIoU', 'aAcc', 'mAcc', 'IoU'}


def is_percentage(metric: str) -> bool:
    """Whether a metric of the records is in percent."""
    return metric.split('/', 1)[0] in _PERCENTAGES


def places_of(metric: str) -> int:
    """Decimals of a metric: a tenth of a percent or finer."""
    return 2 if is_percentage(metric) else 3


def plain(value: float, places: int) -> str:
    """A number with fixed decimals; a dash for NaN."""
    return _fixed(value, places, sign=False)


def signed(value: float, places: int) -> str:
    """A difference with its sign, a true minus; a dash for NaN."""
    return _fixed(value, places, sign=True)


def interval(low: float, high: float, places: int) -> str:
    """Both ends, signed; a dash where there is none."""
    if math.isnan(low) or math.isnan(high):
        return DASH
    return f'{signed(low, places)} to {signed(high, places)}'


def listing(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = names
    return f'{", ".join(most)} and {last}' if most else last


def count(number: int, one: str, many: str | None = None) -> str:
    """A number and its noun: ``1 image``, ``2 images``, ``1,000 resamples``."""
    return f'{number:,} {one if number == 1 else many or one + "s"}'


def _fixed(value: float, places: int, sign: bool) -> str:
    if not math.isfinite(value):
        return DASH
    value = 0.0 if abs(value) < NOISE else value
    text = f'{value:+.{places}f}' if sign else f'{value:.{places}f}'
    if float(text) == 0:
        # The side of zero decides the verdict, so it must not be rounded away.
        text = _smallest(value, sign) if value else f'{0:.{places}f}'
    return text.replace('-', '−')


def _smallest(value: float, sign: bool) -> str:
    return np.format_float_positional(
        value, precision=1, unique=False, fractional=False, sign=sign, trim='-'
    )
