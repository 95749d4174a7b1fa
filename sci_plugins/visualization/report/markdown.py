"""A comparison as Markdown: tables, intervals, verdicts, and what they rest on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sci_plugins.evaluation.bootstrap import FEW_UNITS
from sci_plugins.evaluation.comparison import (
    Comparison,
    VariantResult,
    agrees,
    definitions_of,
    main_metric,
    name_in_records,
    split_classes,
)
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report.cells import (
    SIGNS,
    format_difference,
    format_interval,
    format_value,
    table_head,
    table_row,
)

#: Told in another place of the text.
_ELSEWHERE = ('config', 'config_diff', 'base', 'resampling', 'resample', 'resamples', 'seed')


def tell_about(about: Mapping[str, Any], analyses: Sequence[Any]) -> list[str]:
    """A list: files and their hashes, versions, machine, what Δ and its interval are.

    Args:
        about: see :class:`sci_plugins.evaluation.comparison.Comparison`.
        analyses: of the results that have one.
    """
    lines = [f'- config: {about["config"]}'] if 'config' in about else []
    for key, value in about.items():
        if key in _ELSEWHERE or value in (None, {}):
            continue
        if key == 'weights':
            lines += [f'- {name}: {_weights(each)}' for name, each in value.items()]
        elif isinstance(value, Mapping):
            told = ', '.join(f'{name} {each}' for name, each in value.items())
            lines.append(f'- {key}: {told}')
        else:
            lines.append(f'- {key.replace("_", " ")}: {value}')
    return lines + _how_to_read(about, analyses)


def _weights(weights: Mapping[str, Any]) -> str:
    sha256 = weights.get('sha256')
    return f'{weights.get("name")}' + (f' (sha256 {sha256})' if sha256 else '')


def _how_to_read(about: Mapping[str, Any], analyses: Sequence[Any]) -> list[str]:
    base = about.get('base')
    told = f'{base}, the first column' if base else 'the first column'
    if not analyses:
        return [
            f'- Δ: difference to {told}, on the same images. Without an interval, a '
            'small difference may be chance.'
        ]
    unit = about.get('resampling') or 'images'
    fewest = min(analyses, key=lambda found: found.units)
    units = f'{fewest.units} {unit}'
    if unit != 'images':
        units += f' ({fewest.images} images)'
    lines = [
        f'- Δ: difference to {told}, on the same images; in brackets its 95 % interval, '
        f'by a paired bootstrap: {units} drawn with replacement {fewest.resamples} times '
        f'(seed {fewest.seed}).',
        '- helps, hurts: the whole interval is on one side of 0. No difference shown: 0 '
        'is inside, which does not prove that there is none. The interval tells how much '
        'Δ depends on which images are in the set, and nothing of another training run.',
    ]
    if fewest.units < FEW_UNITS:
        lines.append(
            f'- **Only {fewest.units} {unit}** were there to draw: with fewer than '
            f'{FEW_UNITS} the intervals are unreliable, as a rule too narrow. Take the '
            'verdicts as hints.'
        )
    return lines


#: Differences below this are told as no difference; it is no test of significance.
_SAME = 1e-9


def tell_comparison(comparison: Comparison) -> str:
    """The whole text; the verdicts come before the details."""
    analyses = [r.analysis for r in comparison.results if r.analysis is not None]
    parts = [f'# Does it help? {comparison.about.get("config", "")}', '']
    parts += tell_about(comparison.about, analyses)
    if len(comparison.conditions) > 1:
        parts += ['', *_summary(comparison)]
    for condition in comparison.conditions:
        parts += ['', f'## Images: {condition.name}', '']
        parts += _condition(comparison, condition)
    parts += _definitions(analyses)
    parts += _config_diffs(comparison.about)
    return '\n'.join(parts) + '\n'


def few_units(analysis: Any, unit: str) -> str:
    """`` from only 4 clips`` where an interval rests on too few; else empty."""
    if analysis.units >= FEW_UNITS:
        return ''
    return f' from only {analysis.units} {unit}'


def _summary(comparison: Comparison) -> list[str]:
    """The metric that decides: conditions down, variants across."""
    metric = _deciding(comparison)
    lines = [f'## {metric} of all', '', *table_head(['images', *comparison.variants])]
    for condition in comparison.conditions:
        found = [comparison.find(condition, name) for name in comparison.variants]
        base = _base_value(comparison.of_condition(condition), metric)
        cells = [_summary_cell(row, metric) for row in found[1:]]
        cells.insert(0, '' if found[0] is None else format_value(base))
        lines.append(table_row([condition.name, *cells]))
    if any(result.analysis for result in comparison.results):
        lines += ['', ', '.join(f'{sign} {verdict}' for verdict, sign in SIGNS.items())]
    return lines


def _deciding(comparison: Comparison) -> str:
    """Name of the metric that decides: the records', or the host's without records."""
    for result in comparison.results:
        if result.analysis is not None:
            return result.analysis.metric
    return main_metric(comparison.results[0].metrics, comparison.metric)


def _base_value(rows: Sequence[VariantResult], metric: str) -> float:
    for row in rows:
        if row.analysis is not None and metric in row.analysis.values:
            return row.analysis.values[metric][0]
    return _host_value(rows[0], metric)


def _host_value(row: VariantResult, metric: str) -> float:
    """The host's number that is a metric of its own or of the records."""
    for name, value in row.metrics.items():
        if metric in (name, name_in_records(name, [metric])):
            return value
    return math.nan


def _summary_cell(row: VariantResult | None, metric: str) -> str:
    if row is None:
        return ''
    analysis = row.analysis
    if analysis is None or metric not in analysis.values:
        return format_value(_host_value(row, metric))
    interval = analysis.intervals[metric]
    change = format_difference(interval.delta)
    value = format_value(analysis.values[metric][1])
    return f'{value} ({change}) {SIGNS[interval.verdict]}'


def _condition(comparison: Comparison, condition: Condition) -> list[str]:
    rows = comparison.of_condition(condition)
    unit = comparison.about.get('resampling') or 'images'
    base = comparison.about.get('base')
    if base is not None and rows[0].variant != base:
        told = f'{base} was not measured on these images: there are no differences.'
        return [told, '', *_plain_table(rows)]
    lines = _host_table(rows, unit)
    verdicts = _verdicts(rows, comparison.metric, unit)
    lines += ['', *verdicts] if verdicts else []
    analysed = [row for row in rows if row.analysis is not None]
    if analysed:
        lines += ['', *_record_table(rows[0], analysed, unit)]
        lines += _group_tables(rows[0], analysed, unit)
    return lines


def _host_table(rows: Sequence[VariantResult], unit: str) -> list[str]:
    """The numbers of the config's own evaluator.

    An interval stands beside those that are a number of the records as well.
    """
    first, others = rows[0], rows[1:]
    header = ['metric', first.variant]
    for other in others:
        header += [other.variant, _delta_title(other, unit)]
    lines = table_head(header)
    for name, value in first.metrics.items():
        cells = [name, format_value(value)]
        for other in others:
            new = other.metrics.get(name, math.nan)
            cells += [format_value(new), _host_difference(name, value, new, other)]
        lines.append(table_row(cells))
    return lines


def _plain_table(rows: Sequence[VariantResult]) -> list[str]:
    """Values without differences, where there is nothing to compare with."""
    lines = table_head(['metric', *(row.variant for row in rows)])
    for name in rows[0].metrics:
        values = [row.metrics.get(name, math.nan) for row in rows]
        lines.append(table_row([name, *map(format_value, values)]))
    return lines


def _delta_title(row: VariantResult, unit: str) -> str:
    if row.analysis is None:
        return 'Δ'
    return f'Δ [95 %{few_units(row.analysis, unit)}]'


def _host_difference(name: str, base: float, value: float, row: VariantResult) -> str:
    analysis = row.analysis
    if analysis is not None:
        own = name_in_records(name, analysis.intervals)
        if own is not None:
            pairs = zip((base, value), analysis.values[own], strict=True)
            if all(agrees(host, record, own) for host, record in pairs):
                return format_interval(analysis.intervals[own])
    return format_difference(value - base)


def _verdicts(rows: Sequence[VariantResult], wanted: str | None, unit: str) -> list[str]:
    if not rows[0].metrics:
        return []
    lines = []
    for row in rows[1:]:
        if row.analysis is not None:
            lines.append(f'- {row.variant}: {_verdict(row.analysis, unit)}')
        else:
            metric = main_metric(rows[0].metrics, wanted)
            change = row.metrics.get(metric, math.nan) - rows[0].metrics[metric]
            lines.append(f'- {row.variant}: {metric} {_plain_verdict(change)}')
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return lines + [f'- No intervals: {note}.' for note in notes]


def _verdict(analysis: Any, unit: str) -> str:
    interval = analysis.intervals[analysis.metric]
    before, after = (format_value(value) for value in analysis.values[analysis.metric])
    return (
        f'**{interval.verdict}**: {analysis.metric} from {before} to {after}, '
        f'Δ {format_interval(interval)}{few_units(analysis, unit)}'
    )


def _plain_verdict(difference: float) -> str:
    if math.isnan(difference):
        return 'is not defined'
    if abs(difference) < _SAME:
        return 'is the same'
    word = 'rises' if difference > 0 else '**falls**'
    return f'{word} by {format_difference(difference).lstrip("+−")}'


def _record_table(base: VariantResult, rows: Sequence[VariantResult], unit: str) -> list[str]:
    """The records' own metrics, all with intervals."""
    lines = ['Image by image, by the definitions below:', '']
    lines += table_head(_interval_header('metric', base, rows, unit))
    known = dict.fromkeys(name for row in rows for name in row.analysis.intervals)  # type: ignore[union-attr]
    names, absent = split_classes(list(known), [row.analysis.values for row in rows])  # type: ignore[union-attr]
    for name in names:
        values = [row.analysis.values.get(name) for row in rows]  # type: ignore[union-attr]
        before = next(value[0] for value in values if value is not None)
        cells = [name, format_value(before)]
        for row, value in zip(rows, values, strict=True):
            found: Any = row.analysis
            cells += (
                ['', '']
                if value is None
                else [format_value(value[1]), format_interval(found.intervals[name])]
            )
        lines.append(table_row(cells))
    return lines + (['', f'Not in these images: {", ".join(absent)}.'] if absent else [])


def _group_tables(base: VariantResult, rows: Sequence[VariantResult], unit: str) -> list[str]:
    """Parts of the set, as thirds by brightness: the metric that decides."""
    lines = []
    keys = dict.fromkeys(key for row in rows for key in row.analysis.groups)  # type: ignore[union-attr]
    for key in keys:
        parts: dict[str, dict[str, Any]] = {}
        for row in rows:
            for group in row.analysis.groups.get(key, ()):  # type: ignore[union-attr]
                title = f'{group.name} ({group.images})'
                parts.setdefault(title, {})[row.variant] = group
        if not parts:
            continue
        metric = rows[0].analysis.metric  # type: ignore[union-attr]
        lines += ['', f'{metric} by {key} of the images:', '']
        lines += table_head(_interval_header('images', base, rows, unit))
        lines += [_group_row(title, rows, groups) for title, groups in parts.items()]
    return lines


def _group_row(title: str, rows: Sequence[VariantResult], groups: Mapping[str, Any]) -> str:
    cells = [title, format_value(next(iter(groups.values())).base)]
    for row in rows:
        group = groups.get(row.variant)
        cells += (
            ['', '']
            if group is None
            else [format_value(group.value), format_interval(group.interval)]
        )
    return table_row(cells)


def _interval_header(
    corner: str, base: VariantResult, rows: Sequence[VariantResult], unit: str
) -> list[str]:
    header = [corner, base.variant]
    for row in rows:
        header += [row.variant, _delta_title(row, unit)]
    return header


def _definitions(analyses: Sequence[Any]) -> list[str]:
    told = definitions_of(name for found in analyses for name in found.intervals)
    if not told:
        return []
    return ['', '## What the numbers are', ''] + [
        f'- {name}: {text}' for name, text in told.items()
    ]


def _config_diffs(about: Mapping[str, Any]) -> list[str]:
    lines = []
    for label, text in (about.get('config_diff') or {}).items():
        lines += ['', f'## {label}: changes in the config', '', '```diff', text, '```']
    return lines
