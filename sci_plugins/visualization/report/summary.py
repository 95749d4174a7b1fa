"""The plain answer: a headline, a sentence a condition, a table of verdicts."""

from collections import Counter
from collections.abc import Collection, Sequence

from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.bootstrap import HELPS, HURTS, NOT_DEFINED, NOT_SHOWN
from sci_plugins.visualization.report.cells import (
    Cell,
    Table,
    make_cell,
    scale_over,
)
from sci_plugins.visualization.report.rows import (
    ConditionRows,
    all_analyses,
    label_of,
    labels_of,
)
from sci_plugins.visualization.report.scale import Scale
from sci_plugins.visualization.report.wording import (
    DASH,
    interval,
    listing,
    places_of,
    plain,
    signed,
)

#: Longer lists of names are told by those that are not on them, if these are few.
_MOST_NAMES = 4


def headline(rows: Sequence[ConditionRows]) -> str:
    """What came out, in so few words that it can be a title."""
    found = Counter(analysis.main.verdict for analysis in all_analyses(rows))
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
        for verdict in (HELPS, HURTS, NOT_SHOWN, NOT_DEFINED)
        if found[verdict]
    ]
    text = listing([f'{parts[0]} of {total} comparisons', *parts[1:]])
    return text[0].upper() + text[1:]


def sentence(row: ConditionRows) -> str:
    """The verdicts under one condition; what hurts comes first."""
    if not row.analyses:
        if not row.base.metrics:
            return f'{label_of(row.base)} was not measured, so there is no verdict.'
        return 'there is no interval, so no verdict.'
    if len(row.analyses) == 1:
        return _single(*next(iter(row.analyses.items())))
    by_verdict: dict[str, dict[str, VariantAnalysis]] = {}
    for label, found in row.analyses.items():
        by_verdict.setdefault(found.main.verdict, {})[label] = found
    parts = [
        _told(verdict, by_verdict[verdict], list(row.analyses))
        for verdict in (HURTS, HELPS, NOT_SHOWN, NOT_DEFINED)
        if verdict in by_verdict
    ]
    return '; '.join(parts) + '.'


def matrix(rows: Sequence[ConditionRows]) -> Table:
    """Conditions down, variants across: the metric that decides."""
    columns = labels_of(rows)
    lines = []
    for row in rows:
        cells = {label: _main_cell(found) for label, found in row.analyses.items()}
        base = next((cell.base for cell in cells.values()), DASH)
        lines.append((row.condition, base, [cells.get(column) for column in columns]))
    table = Table('Verdicts', 'images', columns, lines, base=label_of(rows[0].base))
    return table.turned('variant')


def forests(rows: Sequence[ConditionRows]) -> list[Table]:
    """A table of bars a condition, all on one axis: the metric that decides."""
    scale = scale_over([found.main for found in all_analyses(rows)])
    return [
        Table(
            title=row.condition,
            corner='variant',
            columns=[''],
            rows=[
                (n, '', [_main_cell(found, scale)]) for n, found in row.analyses.items()
            ],
            scale=scale,
        )
        for row in rows
        if row.analyses
    ]


def _main_cell(found: VariantAnalysis, scale: Scale | None = None) -> Cell:
    return make_cell(found.values[found.metric], found.main, found.metric, scale)


def _told(
    verdict: str, found: dict[str, VariantAnalysis], names_of_all: list[str]
) -> str:
    """``gamma and clahe hurt``, ``all 6 help, most x (+0.5)``, ..."""
    names = _names(found, names_of_all)
    if verdict == NOT_SHOWN:
        return f'no difference is shown for {names}'
    if verdict == NOT_DEFINED:
        return f'the difference is not defined for {names}'
    verb = verdict if len(found) == 1 else verdict.removesuffix('s')
    return f'{names} {verb}{_strongest(verdict, found)}'


def _names(found: Collection[str], names_of_all: list[str]) -> str:
    others = [name for name in names_of_all if name not in found]
    if not others:
        return 'both' if len(found) == 2 else f'all {len(found)}'
    if len(found) > _MOST_NAMES >= len(others):
        return f'all but {listing(others)}'
    return listing(list(found))


def _strongest(verdict: str, found: dict[str, VariantAnalysis]) -> str:
    sign = 1 if verdict == HELPS else -1
    label, top = max(found.items(), key=lambda item: sign * item[1].main.delta)
    change = signed(top.main.delta, places_of(top.metric))
    return f' ({change})' if len(found) == 1 else f', most {label} ({change})'


def _single(label: str, found: VariantAnalysis) -> str:
    name, places = found.metric, places_of(found.metric)
    before, after = (plain(value, places) for value in found.values[name])
    spread = interval(found.main.low, found.main.high, places)
    told = f'{name} goes from {before} to {after} (Δ {signed(found.main.delta, places)}, '
    told += f'95 % interval {spread})'
    return f'{label}: {found.main.verdict}; {told}.'
