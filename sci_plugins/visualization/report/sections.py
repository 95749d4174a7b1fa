"""Detailed tables: every metric, by brightness, by size, by class, the host's own."""

import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sci_plugins.evaluation.comparison import (
    VariantResult,
    agrees,
    name_in_records,
    percent_factor,
    split_classes,
)
from sci_plugins.evaluation.decisions import QUANTILES
from sci_plugins.visualization.report.cells import (
    Cell,
    ConditionRows,
    Facts,
    Scale,
    Table,
    all_analyses,
    count,
    listing,
    make_cell,
    places_of,
    plain,
    scale_over,
)

_SIZE = re.compile(r'(?P<metric>.+)_(?P<bin>below_\d+px|\d+_to_\d+px|above_\d+px)')


@dataclass(frozen=True)
class Section:
    """Tables of one subject, one per condition."""

    title: str
    note: str
    tables: list[Table]


#: Heading of the decisions, and the text below it.
DECISIONS = 'What the adaptive stage decided'
ABOUT_DECISIONS = (
    'Light and noise are those of the image that arrives at the stage: mean luma from 0 to 1, '
    'and standard deviation in linear light, where white is 1. Gain 1, exponent 0 and strengths '
    '0 leave an image as it is, to the bit; level 1 of the noise shrinkage is the finest detail.'
)


#: Text below the heading of single trainings.
SEEDS = (
    'The intervals of a mean over trainings hold the choice of images and of trainings. The test '
    'over trainings alone flips the signs of their differences: with three trainings p cannot be '
    'below 0.25, with five not below 0.0625.'
)


@dataclass(frozen=True)
class DecisionTable:
    """What a contender's adaptive stage decided under a condition."""

    #: as in the other tables
    condition: str
    variant: str
    text: str  # how many images were left as they are
    facts: Facts  # the distribution of what was seen and done
    columns: dict[str, list[float]]  # the same for each image, for drawings


def decision_tables(rows: Sequence[ConditionRows]) -> list[DecisionTable]:
    """What adaptive stages decided, for results that have it."""
    found = [(row.condition, result) for row in rows for result in row.all]
    return [_decision_table(*pair) for pair in found if pair[1].decisions is not None]


def _decision_table(condition: str, result: VariantResult) -> DecisionTable:
    decisions = result.decisions
    if decisions is None:
        raise ValueError(f'{result.variant} has no decisions')
    known, columns = len(decisions.images), decisions.columns
    text = f'Off for {decisions.off} of {count(known, "image")}.'
    if known < result.images:
        text += f' It was not asked about the other {result.images - known}.'
    lines = []
    for name, values in columns.items():
        quantiles = np.quantile(values, list(QUANTILES.values()))
        lines.append((name, *(f'{value:.3g}' for value in quantiles.tolist())))
    title = f'{condition}, {result.variant}'
    facts = Facts(title, ('what', *QUANTILES), lines)
    return DecisionTable(condition, result.variant, text, facts, columns)


def all_metrics(rows: Sequence[ConditionRows]) -> list[Table]:
    """Metrics down, variants across; classes have a section of their own."""
    tables = []
    for row in rows:
        names = [name for name in _metric_names(row) if '/' not in name]
        if names:
            tables.append(_metric_table(row, names).turned('variant'))
    return tables


def by_class(rows: Sequence[ConditionRows]) -> list[Section]:
    """A section for each metric with values per class (``IoU/CLASS``)."""
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
    """Subsets of the images, such as thirds by brightness: variants down, subsets across."""
    keys = dict.fromkeys(
        key for analysis in all_analyses(rows) for key, groups in analysis.groups.items() if groups
    )
    return [_group_section(rows, key) for key in keys]


def by_seed(rows: Sequence[ConditionRows]) -> list[Section]:
    """Each training of what is told as a mean, with the test over the trainings."""
    tables = [table for row in rows if (table := _seed_table(row)).rows]
    return [Section('Single trainings', SEEDS, tables)] if tables else []


def _seed_table(row: ConditionRows) -> Table:
    lines: list[tuple[str, str, list[Cell | None]]] = []
    told = []
    for label, found in row.analyses.items():
        if found.seeds is not None:
            pairs = zip(found.seeds.names, found.seeds.bases, found.seeds.values, strict=True)
            lines += [(n, '', [make_cell((b, v), None, found.metric)]) for n, b, v in pairs]
            told.append(f'{label}: p = {plain(found.seeds.p, 3)}')
    return Table(row.condition, 'training', ['Δ'], lines, note=f'Sign flips, {"; ".join(told)}.')


def host_numbers(rows: Sequence[ConditionRows]) -> list[Table]:
    """Results of the config's own evaluator.

    A number that the records have too gets an interval.
    """
    return [table for row in rows if (table := _host_table(row)).rows]


def _host_table(row: ConditionRows) -> Table:
    results = row.all
    names = dict.fromkeys(name for result in results for name in result.metrics)
    lines: list[tuple[str, str, list[Cell | None]]] = []
    for name in names:
        before = row.base.metrics.get(name, math.nan)
        cells = [_host_cell(name, before, result) for result in row.others]
        lines.append((name, plain(before, places_of(name)), [*cells]))
    columns = [result.variant for result in row.others]
    return Table(row.condition, 'metric', columns, lines, base=row.base.variant)


def _host_cell(name: str, before: float, result: VariantResult) -> Cell:
    values, analysis = (before, result.metrics.get(name, math.nan)), result.analysis
    own = None if analysis is None else name_in_records(name, analysis.intervals)
    if analysis is not None and own is not None:
        pairs = zip(values, analysis.values[own], strict=True)
        unit = percent_factor(own)
        if all(agrees(host / unit, record / unit, own) for host, record in pairs):
            return make_cell(values, analysis.intervals[own], name)
    return make_cell(values, None, name)


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
        base=row.base.variant,
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
    note = f'Δ of {prefix} of each class.'
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
    note = f'Δ of {metric} for objects of each size.'
    return Section(f'{metric} by size of the objects', note, tables)


def _group_section(rows: Sequence[ConditionRows], key: str) -> Section:
    found = all_analyses(rows)
    groups = [group for each in found for group in each.groups.get(key, ())]
    scale = scale_over([group.interval for group in groups])
    tables = [_group_table(row, key, scale) for row in rows if row.analyses]
    metric = found[0].metric
    note = f'Δ of {metric} on each part of the images.'
    if key == 'brightness':
        note += ' Split by the mean luma (0 to 1) of the tested image.'
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
