"""What a comparison says: the answer, the tables of detail, what it rests on."""

import math
import re
from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.bootstrap import FEW_UNITS, HELPS, HURTS, NOT_DEFINED, NOT_SHOWN
from sci_plugins.evaluation.comparison import split_classes
from sci_plugins.visualization.report.cells import (
    DASH,
    Cell,
    ConditionRows,
    Scale,
    Table,
    all_analyses,
    count,
    format_difference,
    format_value,
    interval,
    label_of,
    labels_of,
    listing,
    make_cell,
    places_of,
    plain,
    scale_over,
    signed,
)

_SIZE = re.compile(r'(?P<metric>.+)_(?P<bin>below_\d+px|\d+_to_\d+px|above_\d+px)')


@dataclass(frozen=True)
class Section:
    """Tables of one subject, a condition each."""

    title: str
    note: str
    tables: list[Table]


@dataclass(frozen=True)
class PlainTable:
    """Numbers without intervals: a text a cell."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]


def all_metrics(rows: Sequence[ConditionRows]) -> list[Table]:
    """Metrics down, variants across; classes have a section of their own."""
    tables = []
    for row in rows:
        names = [name for name in _metric_names(row) if '/' not in name]
        if names:
            tables.append(_metric_table(row, names).turned('variant'))
    return tables


def by_class(rows: Sequence[ConditionRows]) -> list[Section]:
    """A section for each metric that is told class by class (``IoU/CLASS``)."""
    names = dict.fromkeys(name for row in rows for name in _metric_names(row))
    prefixes = dict.fromkeys(name.split('/', 1)[0] for name in names if '/' in name)
    return [_class_section(rows, prefix) for prefix in prefixes]


def by_size(rows: Sequence[ConditionRows]) -> list[Section]:
    """Metrics that exist for several sizes of objects: variants down, sizes across."""
    found = [_SIZE.fullmatch(name) for row in rows for name in _metric_names(row)]
    bins: dict[str, dict[str, str]] = {}
    for match in filter(None, found):
        title = match['bin'].replace('_', ' ').replace('px', ' px')
        bins.setdefault(match['metric'], {})[title] = match[0]
    return [_size_section(rows, metric, names) for metric, names in bins.items()]


def by_group(rows: Sequence[ConditionRows]) -> list[Section]:
    """Subsets of the images, as thirds by brightness: variants down, subsets across."""
    keys = dict.fromkeys(
        key for analysis in all_analyses(rows) for key, groups in analysis.groups.items() if groups
    )
    return [_group_section(rows, key) for key in keys]


def host_numbers(rows: Sequence[ConditionRows]) -> list[PlainTable]:
    """What the config's own evaluator gave, with differences and no interval."""
    tables = []
    for row in rows:
        columns = [label_of(row.base)]
        for other in row.others:
            columns += [label_of(other), 'Δ']
        lines = []
        for name, before in row.base.metrics.items():
            cells = [format_value(before)]
            for other in row.others:
                after = other.metrics.get(name, math.nan)
                cells += [format_value(after), format_difference(after - before)]
            lines.append((name, cells))
        if lines:
            tables.append(PlainTable(row.condition, columns, lines))
    return tables


def _metric_names(row: ConditionRows) -> list[str]:
    return list(
        dict.fromkeys(name for analysis in row.analyses.values() for name in analysis.intervals)
    )


def _scale(rows: Sequence[ConditionRows], names: Container[str]) -> Scale:
    """One axis for all intervals of these metrics."""
    return scale_over(
        [
            found
            for analysis in all_analyses(rows)
            for name, found in analysis.intervals.items()
            if name in names
        ]
    )


def _cells(
    row: ConditionRows, names: Sequence[str], scale: Scale | None = None
) -> dict[tuple[str, str], Cell]:
    """(metric, variant) -> cell."""
    cells = {}
    for label, found in row.analyses.items():
        for name in names:
            if name in found.intervals:
                ends = found.intervals[name]
                cell = make_cell(found.values[name], ends, name, scale)
                cells[name, label] = cell
    return cells


def _metric_table(
    row: ConditionRows, names: Sequence[str], scale: Scale | None = None, prefix: str = ''
) -> Table:
    """Metrics of ``names`` down, without their ``prefix``; variants across."""
    cells = _cells(row, names, scale)
    bases = {name: cell.base for (name, _), cell in cells.items()}
    columns = list(row.analyses)
    return Table(
        title=row.condition,
        corner='class' if prefix else 'metric',
        columns=columns,
        rows=[
            (name.removeprefix(prefix), bases[name], [cells.get((name, c)) for c in columns])
            for name in names
        ],
        base=label_of(row.base),
        scale=scale,
    )


def _class_section(rows: Sequence[ConditionRows], prefix: str) -> Section:
    scale = _scale(
        rows, [n for row in rows for n in _metric_names(row) if n.startswith(f'{prefix}/')]
    )
    tables = []
    for row in rows:
        known = [n for n in _metric_names(row) if n.startswith(f'{prefix}/')]
        values = [found.values for found in row.analyses.values()]
        names, absent = split_classes(known, values)
        if names:
            table = _metric_table(row, names, scale, f'{prefix}/').turned('variant')
            note = f'Not in these images: {listing(absent)}.' if absent else ''
            tables.append(replace(table, note=note))
    note = f'Δ of {prefix} of each class, all on one axis.'
    return Section(f'{prefix} by class', note, tables)


def _size_section(rows: Sequence[ConditionRows], metric: str, names: dict[str, str]) -> Section:
    """``names``: title of each size -> name of its metric."""
    scale = _scale(rows, names.values())
    tables = []
    for row in (row for row in rows if row.analyses):
        found = _cells(row, list(names.values()), scale)
        cells = {
            (label, title): found.get((name, label))
            for label in row.analyses
            for title, name in names.items()
        }
        tables.append(_strata_table(row, list(names), cells, scale))
    note = f'Δ of {metric} of objects of each size, all on one axis.'
    return Section(f'{metric} by size of the objects', note, tables)


def _group_section(rows: Sequence[ConditionRows], key: str) -> Section:
    found = all_analyses(rows)
    groups = [group for each in found for group in each.groups.get(key, ())]
    scale = scale_over([group.interval for group in groups])
    tables = [_group_table(row, key, scale) for row in rows if row.analyses]
    metric = found[0].metric
    note = f'Δ of {metric} within each part of the images, all on one axis.'
    if key == 'brightness':
        note += ' Parted by the mean luma (0 to 1) of the image as it was tested.'
    return Section(f'{metric} by {key} of the images', note, tables)


def _group_table(row: ConditionRows, key: str, scale: Scale) -> Table:
    cells: dict[tuple[str, str], Cell | None] = {}
    for label, found in row.analyses.items():
        for group in found.groups.get(key, ()):
            title = f'{group.name} ({count(group.images, "image")})'
            values = (group.base, group.value)
            cell = make_cell(values, group.interval, found.metric, scale)
            cells[label, title] = cell
    columns = list(dict.fromkeys(title for _, title in cells))
    return _strata_table(row, columns, cells, scale)


def _strata_table(
    row: ConditionRows,
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell | None],
    scale: Scale,
) -> Table:
    """Variants down, parts of the set across."""
    return Table(
        title=row.condition,
        corner='variant',
        columns=list(columns),
        rows=[(n, '', [cells.get((n, c)) for c in columns]) for n in row.analyses],
        scale=scale,
    )


_TOLD_ELSEWHERE = ('environment', 'weights', 'config_diff', 'versions', 'base')


@dataclass(frozen=True)
class Resampling:
    """How the intervals were made."""

    text: str
    few: str = ''  # the units, where they are too few: '4 clips'

    @property
    def caveat(self) -> str:
        """For the headline."""
        return f', but from only {self.few}' if self.few else ''

    @property
    def warning(self) -> str:
        if not self.few:
            return ''
        return (
            f'Only {self.few} to resample: with fewer than {FEW_UNITS} the intervals '
            'are unreliable, as a rule too narrow. Take the verdicts as hints.'
        )

    @property
    def mark(self) -> str:
        """For every caption of a table with intervals."""
        return f' Only {self.few} to resample: see the warning.' if self.few else ''


def resampling_of(rows: Sequence[ConditionRows], about: Mapping[str, Any]) -> Resampling:
    """A sentence on the resamples, and a warning where there are too few units."""
    analyses = all_analyses(rows)
    if not analyses:
        return Resampling('No resamples were drawn, so there are no intervals.')
    unit = str(about.get('resampling') or 'images')
    fewest = min(analyses, key=lambda found: found.units)
    units = f'{fewest.units:,} {unit}'
    if unit != 'images':
        units += f' ({count(fewest.images, "image")})'
    text = (
        f'Paired bootstrap: {units} drawn with replacement '
        f'{count(fewest.resamples, "time")} (seed {fewest.seed}), the same draw for the '
        'base and the variant; the interval holds the middle 95 % of the differences.'
    )
    return Resampling(text, f'{fewest.units} {unit}' * (fewest.units < FEW_UNITS))


def versions_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Package -> version, from a mapping or from ``name version, name version``."""
    versions = about.get('versions') or {}
    if isinstance(versions, Mapping):
        return {str(name): str(value) for name, value in versions.items()}
    pairs = (part.strip().rpartition(' ') for part in str(versions).split(','))
    return {name or value: value if name else '' for name, _, value in pairs}


def weights_of(about: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Variant, name of its weights, sha256 of them."""
    rows = []
    for variant, weights in (about.get('weights') or {}).items():
        found = weights if isinstance(weights, Mapping) else dict(name=weights)
        rows.append((variant, str(found.get('name', '')), str(found.get('sha256') or '')))
    return rows


def settings_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Everything else that was recorded."""
    return {key: str(value) for key, value in about.items() if key not in _TOLD_ELSEWHERE}


def diff_lines(text: str) -> list[tuple[str, str]]:
    """Lines of a unified diff with their class in the style sheet."""
    kinds = {'+': 'added', '-': 'removed', '@': 'place'}
    return [
        ('file' if line.startswith(('+++', '---')) else kinds.get(line[:1], ''), line)
        for line in text.splitlines()
    ]


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
            rows=[(n, '', [_main_cell(found, scale)]) for n, found in row.analyses.items()],
            scale=scale,
        )
        for row in rows
        if row.analyses
    ]


def _main_cell(found: VariantAnalysis, scale: Scale | None = None) -> Cell:
    return make_cell(found.values[found.metric], found.main, found.metric, scale)


def _told(verdict: str, found: dict[str, VariantAnalysis], names_of_all: list[str]) -> str:
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
