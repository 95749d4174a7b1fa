"""Detailed tables: every metric, by brightness, by size, by class, the host's own."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sci_plugins.evaluation import comparison
from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.decisions import QUANTILES
from sci_plugins.visualization.report import cells
from sci_plugins.visualization.report.cells import Cell, ConditionRows, Facts, Table, difference_of

_SIZE = re.compile(r'(?P<metric>.+)_(?P<bin>below_\d+px|\d+_to_\d+px|above_\d+px)')


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


class Section(NamedTuple):
    """Tables of one subject, one per condition."""

    title: str
    note: str
    tables: list[Table]


class DecisionTable(NamedTuple):
    """What a contender's adaptive stage decided under a condition."""

    condition: str
    variant: str
    text: str  # how many images were left as they are
    facts: Facts  # the distribution of what was seen and done
    columns: dict[str, list[float]]  # the same for each image, for drawings


def decision_tables(rows: Sequence[ConditionRows]) -> list[DecisionTable]:
    """What adaptive stages decided, for results that have it."""
    tables = []
    for condition, result in ((row.condition, result) for row in rows for result in row.all):
        if (decisions := result.decisions) is None:
            continue
        known, columns, lines = len(decisions.images), decisions.columns, []
        text = f'Off for {decisions.off} of {cells.count(known, "image")}.'
        if known < result.images:
            text += f' It was not asked about the other {result.images - known}.'
        for name, values in columns.items():
            quantiles = np.quantile(values, list(QUANTILES.values()))
            lines.append((name, *(f'{value:.3g}' for value in quantiles.tolist())))
        facts = Facts(f'{condition}, {result.variant}', ('what', *QUANTILES), lines)
        tables.append(DecisionTable(condition, result.variant, text, facts, columns))
    return tables


def all_metrics(rows: Sequence[ConditionRows]) -> list[Table]:
    """Metrics down, variants across; classes have a section of their own."""
    pairs = ((row, [name for name in _metric_names(row) if '/' not in name]) for row in rows)
    return [_metric_table(row, names).turned('variant') for row, names in pairs if names]


def by_class(rows: Sequence[ConditionRows]) -> list[Section]:
    """A section for each metric with values per class (``IoU/CLASS``)."""
    names = [name.partition('/') for row in rows for name in _metric_names(row)]
    sections = []
    for metric in dict.fromkeys(each[0] for each in names if each[1]):
        prefix, tables = f'{metric}/', []
        every = (pair for each in cells.all_analyses(rows) for pair in each.intervals.items())
        scale = cells.scale_over([found for name, found in every if name.startswith(prefix)])
        for row in rows:
            known = [name for name in _metric_names(row) if name.startswith(prefix)]
            values = [found.values for found in row.analyses.values()]
            there, absent = comparison.split_classes(known, values)
            if there:
                table = _metric_table(row, there, scale, prefix).turned('variant')
                note = f'Not in these images: {cells.listing(absent)}.' if absent else ''
                tables.append(replace(table, note=note))
        sections.append(Section(f'{metric} by class', f'Δ of {metric} of each class.', tables))
    return sections


def by_size(rows: Sequence[ConditionRows]) -> list[Section]:
    """Metrics that exist for several sizes of objects: variants down, sizes across."""
    found = [_SIZE.fullmatch(name) for row in rows for name in _metric_names(row)]
    bins: dict[str, dict[str, str]] = {}
    for match in filter(None, found):
        title = match['bin'].replace('_', ' ').replace('px', ' px')
        bins.setdefault(match['metric'], {})[title] = match[0]
    return [_size_section(rows, metric, names) for metric, names in bins.items()]


def _size_section(rows: Sequence[ConditionRows], metric: str, names: dict[str, str]) -> Section:
    """``names``: title of each size -> name of its metric."""
    tables = cells.strata(
        rows, lambda found: {title: difference_of(found, name) for title, name in names.items()}
    )
    title, note = f'{metric} by size of the objects', f'Δ of {metric} for objects of each size.'
    return Section(title, note, tables)


def by_group(rows: Sequence[ConditionRows]) -> list[Section]:
    """Subsets of the images, such as thirds by brightness: variants down, subsets across."""
    every = [found.groups for found in cells.all_analyses(rows)]
    keys = dict.fromkeys(key for groups in every for key, parts in groups.items() if parts)
    return [_group_section(rows, key) for key in keys]


def by_seed(rows: Sequence[ConditionRows]) -> list[Section]:
    """Each training of what is told as a mean, with the test over the trainings."""
    tables = []
    for row in rows:
        lines: list[tuple[str, str, list[Cell | None]]] = []
        told = []
        for label, found in row.analyses.items():
            if seeds := found.seeds:
                pairs = zip(seeds.bases, seeds.values, strict=True)
                changes = [cells.make_cell(pair, None, found.metric) for pair in pairs]
                lines += [(n, '', [cell]) for n, cell in zip(seeds.names, changes, strict=True)]
                told.append(f'{label}: p = {cells.plain(seeds.p, 3)}')
        if lines:
            note = f'Sign flips, {"; ".join(told)}.'
            tables.append(Table(row.condition, 'training', ['Δ'], lines, note=note))
    return [Section('Single trainings', SEEDS, tables)] if tables else []


def host_numbers(rows: Sequence[ConditionRows]) -> list[Table]:
    """Results of the config's own evaluator, with an interval where the records have them too."""
    tables = []
    for row in rows:
        lines = []
        for name in dict.fromkeys(name for result in row.all for name in result.metrics):
            before = row.base.metrics.get(name, math.nan)
            told: list[Cell | None] = [_host_cell(name, before, each) for each in row.others]
            lines.append((name, cells.plain(before, cells.places_of(name)), told))
        if lines:
            columns = [each.variant for each in row.others]
            tables.append(Table(row.condition, 'metric', columns, lines, row.base.variant))
    return tables


def _host_cell(name: str, before: float, result: comparison.VariantResult) -> Cell:
    values, analysis, found = (before, result.metrics.get(name, math.nan)), result.analysis, None
    if analysis is not None and (own := comparison.name_in_records(name, analysis.intervals)):
        pairs, unit = zip(values, analysis.values[own], strict=True), comparison.percent_factor(own)
        if all(comparison.agrees(host / unit, record / unit, own) for host, record in pairs):
            found = analysis.intervals[own]
    return cells.make_cell(values, found, name)


def _metric_names(row: ConditionRows) -> list[str]:
    return list(dict.fromkeys(name for each in row.analyses.values() for name in each.intervals))


def _metric_table(
    row: ConditionRows, names: Sequence[str], scale: cells.Scale | None = None, prefix: str = ''
) -> Table:
    """Metrics of ``names`` down, without their ``prefix``; variants across."""
    lines = []
    for name in names:
        known = (difference_of(found, name) for found in row.analyses.values())
        told = [each and cells.make_cell(*each, scale) for each in known]
        base = next(each.base for each in told if each is not None)
        lines.append((name.removeprefix(prefix), base, told))
    corner, base = 'class' if prefix else 'metric', row.base.variant
    return Table(row.condition, corner, list(row.analyses), lines, base, scale)


def _group_section(rows: Sequence[ConditionRows], key: str) -> Section:
    def parts(found: VariantAnalysis) -> dict[str, cells.Difference | None]:
        groups = found.groups.get(key, ())
        titles = [f'{each.name} ({cells.count(each.images, "image")})' for each in groups]
        told = [((each.base, each.value), each.interval, found.metric) for each in groups]
        return dict(zip(titles, told, strict=True))

    metric = cells.all_analyses(rows)[0].metric
    note = f'Δ of {metric} on each part of the images.'
    if key == 'brightness':
        note += ' Split by the mean luma (0 to 1) of the tested image.'
    return Section(f'{metric} by {key} of the images', note, cells.strata(rows, parts))
