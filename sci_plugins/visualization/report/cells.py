"""Numbers, verdicts and intervals as text, and tables of them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sci_plugins.evaluation import bootstrap
from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.bootstrap import NOT_SHOWN, Interval
from sci_plugins.evaluation.comparison import (
    Comparison,
    VariantResult,
    is_percentage,
    percent_factor,
)

DASH = '–'
#: Verdict -> class of its cells in the style sheet, and a mark that needs no colour.
MARKS = {
    bootstrap.HELPS: ('helps', '▲'),
    bootstrap.HURTS: ('hurts', '▼'),
    bootstrap.SAME: ('same', '≈'),
    bootstrap.TOO_FEW: ('same', '○'),
    NOT_SHOWN: ('same', '○'),
    bootstrap.NOT_DEFINED: ('undefined', DASH),
}
#: The mark of a verdict that does not stand after the correction for many comparisons.
HOLLOW = {bootstrap.HELPS: '△', bootstrap.HURTS: '▽', bootstrap.SAME: '≃'}
_SHORT = {bootstrap.SAME: 'none beyond ±δ', bootstrap.TOO_FEW: 'too few images'}
UNCORRECTED = 'shown only without correction'
#: What each verdict means, shown with every table of verdicts.
MEANINGS = {
    bootstrap.HELPS: 'the whole interval is on the better side of zero',
    bootstrap.HURTS: 'the whole interval is on the worse side of zero',
    bootstrap.SAME: 'a difference of δ or more is excluded, either way',
    bootstrap.TOO_FEW: 'neither; a true difference may have been missed',
    NOT_SHOWN: 'the interval contains zero, which does not prove that there is no difference',
    UNCORRECTED: 'true of the interval alone, not after the correction for all comparisons',
}
_PADDING = 0.04  # of an axis' range, at either end
_STEPS, _MOST_TICKS = (1, 2, 5, 10), 5
#: More columns than this do not fit on a desktop screen.
_MOST_COLUMNS = 8
#: Numbers of the base and of the other, the interval if there is one, and the metric.
Difference = tuple[tuple[float, float], Interval | None, str]
#: Gives title of a part of the set -> difference.
PartsOf = Callable[[VariantAnalysis], dict[str, Difference | None]]


def places_of(metric: str) -> int:
    """Decimals of a metric: at least a tenth of a percent, and as many as its host prints."""
    return 2 if is_percentage(metric) else 1 if percent_factor(metric) > 1 else 3


def in_percent(result: VariantResult) -> VariantResult:
    """A result as reports show it: average precision from 0 to 100."""
    metrics = {name: value * percent_factor(name) for name, value in result.metrics.items()}
    analysis = result.analysis and result.analysis.scaled(percent_factor)
    return replace(result, metrics=metrics, analysis=analysis)


def plain(value: float, places: int, sign: str = '-') -> str:
    """A number with fixed decimals and a true minus; a dash for NaN."""
    if not math.isfinite(value):
        return DASH
    value = 0.0 if abs(value) < bootstrap.NOISE else value
    text = f'{value:{sign}.{places}f}'
    if float(text) == 0:
        text = f'{0:.{places}f}'
        if value:  # the sign decides the verdict, so it must not be rounded away
            shortest: Any = dict(precision=1, unique=False, fractional=False, trim='-')
            text = np.format_float_positional(value, sign=sign == '+', **shortest)
    return text.replace('-', '−')


def signed(value: float, places: int) -> str:
    """A difference with its sign; a dash for NaN."""
    return plain(value, places, sign='+')


def interval(low: float, high: float, places: int) -> str:
    """Both ends, signed; a dash if undefined."""
    known = not (math.isnan(low) or math.isnan(high))
    return f'{signed(low, places)} to {signed(high, places)}' if known else DASH


def listing(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = names
    return f'{", ".join(most)} and {last}' if most else last


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The names joined by commas, cut after ``most``."""
    return ', '.join([*names[:most], *(['...'] if len(names) > most else [])])


def count(number: int, one: str, many: str | None = None) -> str:
    """A number and its noun: ``1 image``, ``2 images``, ``1,000 resamples``."""
    return f'{number:,} {one if number == 1 else many or one + "s"}'


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high`` with zero on it; ``flat``: all values are 0."""

    low: float
    high: float
    flat: bool = False

    @classmethod
    def over(cls, values: Iterable[float]) -> 'Scale':
        """An axis that holds all finite values, and zero."""
        finite = [0.0, *(value for value in values if math.isfinite(value))]
        low, high = min(finite), max(finite)
        padding = _PADDING * (high - low) or 1.0
        return cls(low - padding, high + padding, low == high)

    def percent(self, value: float) -> float:
        """Position of a value: 0 at the low end, 100 at the high end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @property
    def zero(self) -> float:
        return self.percent(0.0)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels of at most five round values, including zero."""
        if self.flat:
            return [(self.zero, '0')]
        step = round_step((self.high - self.low) / _MOST_TICKS)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        values = [index * step for index in range(first, last + 1)]
        return [(self.percent(value), signed(value, decimals_of(step))) for value in values]


def round_step(smallest: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least ``smallest``."""
    power = 10.0 ** math.floor(math.log10(smallest))
    return float(next(s * power for s in _STEPS if s * power >= smallest * (1 - 1e-9)))


def decimals_of(step: float) -> int:
    """How many decimals tell the multiples of a round step apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


class Bar(NamedTuple):
    """An interval on an axis: ends and difference in percent of its length."""

    low: float
    high: float
    point: float


@dataclass(frozen=True)
class Cell:
    """A result beside the base's as text; with an interval also a verdict, and a bar if drawn."""

    base: str
    value: str
    delta: str
    interval: str = ''
    verdict: str = ''
    bar: Bar | None = None
    stands: bool = True  # after the correction, if there is one

    @property
    def style(self) -> str:
        """Class in the style sheet."""
        return MARKS.get(self.verdict, ('plain', ''))[0] + ' hollow' * (not self.stands)

    @property
    def mark(self) -> str:
        return MARKS.get(self.verdict, ('plain', ''))[1] if self.stands else HOLLOW[self.verdict]

    @property
    def label(self) -> str:
        """The verdict by the interval alone, in few words, and that it is no more than that."""
        return _SHORT.get(self.verdict, self.verdict) + ', uncorrected' * (not self.stands)

    @property
    def text(self) -> str:
        """All on one line: ``0.600 (+0.300, +0.200 to +0.400) ▲``."""
        if self.verdict == bootstrap.NOT_DEFINED:
            return f'{self.value} (not defined)'
        change = f'{self.delta}, {self.interval}' if self.interval else self.delta
        return f'{self.value} ({change}) {self.mark}'.rstrip()


@dataclass(frozen=True)
class Table:
    """Cells under ``columns``, one row per name; ``None`` where nothing was measured."""

    title: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, str, list[Cell | None]]]  # name, base's value, cells
    base: str = ''  # heading of the base's values; empty: no such column
    scale: Scale | None = None
    base_row: tuple[str, ...] = ()  # these values, if the table was turned: not a column, but a row
    note: str = ''

    def turned(self, corner: str) -> 'Table':
        """The transposed table with this ``corner``, if this one is too wide and that narrower."""
        if len(self.columns) <= max(_MOST_COLUMNS, len(self.rows)):
            return self
        names, bases, cells = zip(*self.rows, strict=True)
        turned = zip(self.columns, map(list, zip(*cells, strict=True)), strict=True)
        rows = [(name, '', column) for name, column in turned]
        return replace(self, corner=corner, columns=list(names), rows=rows, base_row=bases)

    @property
    def tally(self) -> str:
        """How often each verdict occurs in the table."""
        found = Counter(cell.verdict for *_, cells in self.rows for cell in cells if cell)
        there = (verdict for verdict in MARKS if found[verdict])
        return ', '.join(f'{MARKS[each][1]} {each}: {found[each]}' for each in there)


class Facts(NamedTuple):
    """A table of plain text: what was decided, what a comparison was made with."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def difference_of(found: VariantAnalysis, name: str) -> Difference | None:
    """A metric of a variant; ``None`` without an interval."""
    known = found.intervals.get(name)
    return None if known is None else (found.values[name], known, name)


def make_cell(
    values: tuple[float, float],
    found: Interval | None,
    metric: str,
    scale: Scale | None = None,
    stands: bool = True,
) -> Cell:
    """A cell of a difference (see :data:`Difference`), drawn on an axis if ``scale`` is given.

    ``metric`` determines the decimals; ``stands``: its verdict holds after the correction.
    """
    places = places_of(metric)
    before, after = (plain(value, places) for value in values)
    if found is None:
        return Cell(before, after, signed(values[1] - values[0], places))
    delta, ends = signed(found.delta, places), interval(found.low, found.high, places)
    bar = None if scale is None else make_bar(found, scale)
    return Cell(before, after, delta, ends, found.verdict, bar, stands)


def make_bar(found: Interval, scale: Scale) -> Bar | None:
    """Where an interval is drawn; ``None`` if it is undefined."""
    ends = (found.low, found.high, found.delta)
    return None if any(map(math.isnan, ends)) else Bar(*map(scale.percent, ends))


def scale_over(found: Sequence[Interval]) -> Scale:
    """One axis for several intervals, so that their lengths are comparable."""
    return Scale.over(end for each in found for end in (each.low, each.high, each.delta))


@dataclass(frozen=True)
class ConditionRows:
    """All results under one condition."""

    condition: str
    base: VariantResult
    others: list[VariantResult]
    fallen: frozenset[str] = frozenset()  # whose verdict does not hold after the correction

    def verdict(self, label: str) -> str:
        """Of a variant, after the correction."""
        return UNCORRECTED if label in self.fallen else self.analyses[label].main.verdict

    @property
    def all(self) -> tuple[VariantResult, ...]:
        """The base and the others."""
        return (self.base, *self.others)

    @property
    def analyses(self) -> dict[str, VariantAnalysis]:
        """Variant -> its analysis against the base, for results that have one."""
        return {each.variant: each.analysis for each in self.others if each.analysis is not None}


def strata(rows: Sequence[ConditionRows], parts_of: PartsOf, judged: bool = False) -> list[Table]:
    """A table for each condition that has analyses, variants down and parts of the set across.

    All are drawn on one axis. ``judged``: their verdicts are those that are corrected.
    """
    every = [part for each in all_analyses(rows) for part in parts_of(each).values()]
    scale = scale_over([part[1] for part in every if part and part[1]])
    tables = []
    for row in (row for row in rows if row.analyses):
        parts = {name: parts_of(found) for name, found in row.analyses.items()}
        columns, lines = list(dict.fromkeys(title for each in parts.values() for title in each)), []
        for name, known in parts.items():
            stands = not (judged and name in row.fallen)
            told = [part and make_cell(*part, scale, stands) for part in map(known.get, columns)]
            lines.append((name, '', told))
        tables.append(Table(row.condition, 'variant', columns, lines, scale=scale))
    return tables


def rows_of(comparison: Comparison) -> list[ConditionRows]:
    """The results by condition, in the unit of reports, the base apart from the others."""
    rows, wanted = [], comparison.about.get('base')
    for condition in comparison.conditions:
        results = [in_percent(r) for r in comparison.results if r.condition == condition]
        hidden = {name for result in results for name in result.members}
        name = next((r.variant for r in results if wanted in r.members), wanted)
        results = [result for result in results if result.variant not in hidden]
        base = _base(results, name)
        rows.append(ConditionRows(condition.name, base, [e for e in results if e is not base]))
    return corrected(rows, str(comparison.about.get('correction')))


def corrected(rows: Sequence[ConditionRows], method: str) -> list[ConditionRows]:
    """The rows with the verdicts that do not hold for all comparisons of the table together."""
    keys = [(row.condition, label) for row in rows for label in row.analyses]
    mains = [found.main for found in all_analyses(rows)]
    method = method if method in bootstrap.CORRECTIONS else 'none'
    differs = bootstrap.adjust([each.p for each in mains], method)
    same = bootstrap.adjust([each.p_same for each in mains], method)
    fallen = {
        key
        for key, main, *p in zip(keys, mains, differs, same, strict=True)
        if main.verdict in HOLLOW and p[main.verdict == bootstrap.SAME] > bootstrap.ALPHA
    }
    names = (frozenset(n for n in row.analyses if (row.condition, n) in fallen) for row in rows)
    return [replace(row, fallen=each) for row, each in zip(rows, names, strict=True)]


def labels_of(rows: Sequence[ConditionRows]) -> list[str]:
    """Names of what was compared with the base, in order, without duplicates."""
    return list(dict.fromkeys(other.variant for row in rows for other in row.others))


def _base(results: Sequence[VariantResult], name: str | None) -> VariantResult:
    """The base's result; an empty one if it was not measured."""
    names, first = [name, *(each.analysis.base for each in results if each.analysis)], results[0]
    other = VariantResult(name, first.condition, {}, 0.0, first.images) if name else first
    return next((result for result in results if result.variant in names), other)


def all_analyses(rows: Sequence[ConditionRows]) -> list[VariantAnalysis]:
    """The analyses of all conditions."""
    return [found for row in rows for found in row.analyses.values()]
