"""The plain answer: a headline, a sentence a condition, a table of verdicts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.visualization.report.cells import (
    Cell,
    Table,
    make_cell,
    scale_over,
)
from sci_plugins.visualization.report.rows import (
    ConditionRows,
    analysis_of,
    label_of,
    labels_of,
)
from sci_plugins.visualization.report.scale import Scale
from sci_plugins.visualization.report.wording import (
    DASH,
    HELPS,
    HURTS,
    SAME,
    UNDEFINED,
    interval,
    listing,
    places_of,
    plain,
    signed,
)


def headline(rows: Sequence[ConditionRows]) -> str:
    """What came out, in so few words that it can be a title."""
    found = Counter(
        _main_interval(other).verdict for row in rows for other in row.analysed
    )
    total = found.total()
    if not rows:
        return 'Nothing was measured'
    if total == 0:
        return 'Measured, but without intervals: no verdict'
    if len(found) == 1:
        verdict = next(iter(found))
        every = f' in all {total} comparisons' if total > 1 else ''
        return f'{verdict[0].upper()}{verdict[1:]}{every}'
    parts = [
        f'{verdict} in {found[verdict]}'
        for verdict in (HELPS, HURTS, SAME, UNDEFINED)
        if found[verdict]
    ]
    text = listing([f'{parts[0]} of {total} comparisons', *parts[1:]])
    return text[0].upper() + text[1:]


def sentence(row: ConditionRows) -> str:
    """The verdicts under one condition; what hurts comes first."""
    by_verdict: dict[str, list[VariantResult]] = {}
    for other in row.analysed:
        by_verdict.setdefault(_main_interval(other).verdict, []).append(other)
    if not by_verdict:
        return 'there is no interval, so no verdict.'
    if len(row.analysed) == 1:
        return _single(row.analysed[0])
    parts = [
        _told(verdict, by_verdict[verdict], len(row.analysed))
        for verdict in (HURTS, HELPS, SAME, UNDEFINED)
        if verdict in by_verdict
    ]
    return '; '.join(parts) + '.'


def matrix(rows: Sequence[ConditionRows]) -> Table:
    """Conditions down, variants across: the metric that decides."""
    columns = labels_of(rows)
    lines = []
    for row in rows:
        cells = {label_of(other): main_cell(other) for other in row.others}
        filled = [cells.get(column) for column in columns]
        lines.append((row.condition, _base_value(row), filled))
    return Table('Verdicts', 'images', columns, lines, base=label_of(rows[0].base))


def forests(rows: Sequence[ConditionRows]) -> list[Table]:
    """A table of bars a condition, all on one axis: the metric that decides."""
    known = [row for row in rows if row.analysed]
    scale = scale_over([_main_interval(o) for row in known for o in row.analysed])
    return [
        Table(
            title=row.condition,
            corner='variant',
            columns=[''],
            rows=[(label_of(o), '', [main_cell(o, scale)]) for o in row.analysed],
            scale=scale,
        )
        for row in known
    ]


def main_cell(result: VariantResult, scale: Scale | None = None) -> Cell | None:
    """The cell of the metric that decides; ``None`` without an analysis."""
    found = analysis_of(result)
    if found is None:
        return None
    name = found.metric
    return make_cell(found.values[name], found.intervals[name], name, scale)


def _main_interval(result: VariantResult) -> Any:
    found = analysis_of(result)
    return found.intervals[found.metric]


def _base_value(row: ConditionRows) -> str:
    for other in row.analysed:
        found = analysis_of(other)
        return plain(found.values[found.metric][0], places_of(found.metric))
    return DASH


def _told(verdict: str, results: Sequence[VariantResult], total: int) -> str:
    """``gamma and clahe hurt``, ``all 6 help, most x (+0.5)``, ..."""
    names = listing([label_of(found) for found in results])
    if len(results) == total:
        names = 'both' if total == 2 else f'all {total}'
    one = len(results) == 1
    if verdict == SAME:
        return f'no difference is shown for {names}'
    if verdict == UNDEFINED:
        return f'the difference is not defined for {names}'
    verb = verdict if one else verdict.removesuffix('s')
    return f'{names} {verb}{_strongest(verdict, results)}'


def _strongest(verdict: str, results: Sequence[VariantResult]) -> str:
    sign = 1 if verdict == HELPS else -1
    top = max(results, key=lambda found: sign * _main_interval(found).delta)
    places = places_of(analysis_of(top).metric)
    change = signed(_main_interval(top).delta, places)
    return f' ({change})' if len(results) == 1 else f', most {label_of(top)} ({change})'


def _single(result: VariantResult) -> str:
    found = analysis_of(result)
    name, places = found.metric, places_of(found.metric)
    before, after = (plain(value, places) for value in found.values[name])
    ends = found.intervals[name]
    spread = interval(ends.low, ends.high, places)
    told = f'{name} goes from {before} to {after} (Δ {signed(ends.delta, places)}, '
    told += f'95 % interval {spread})'
    return f'{label_of(result)}: {ends.verdict}; {told}.'


def count_judged(rows: Sequence[ConditionRows]) -> int:
    """How many differences have a verdict."""
    return sum(len(row.analysed) for row in rows)
