"""What a comparison says: HTML and Markdown render the same :class:`Account`."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.bootstrap import (
    CORRECTIONS,
    FEW_UNITS,
    HELPS,
    HURTS,
    NOT_DEFINED,
    NOT_SHOWN,
    SAME,
    TOO_FEW,
)
from sci_plugins.evaluation.comparison import (
    Comparison,
    VariantResult,
    definitions_of,
    find_metric,
    main_metric,
    name_in_records,
)
from sci_plugins.visualization.report.cautions import cautions, still_open
from sci_plugins.visualization.report.cells import (
    HOLLOW,
    MARKS,
    MEANINGS,
    UNCORRECTED,
    Cell,
    ConditionRows,
    Facts,
    Scale,
    Table,
    all_analyses,
    count,
    interval,
    labels_of,
    listing,
    make_cell,
    places_of,
    plain,
    rows_of,
    scale_over,
    signed,
)
from sci_plugins.visualization.report.sections import (
    DecisionTable,
    Section,
    all_metrics,
    by_class,
    by_group,
    by_seed,
    by_size,
    decision_tables,
    host_numbers,
)

#: Longer lists of names are given by the names that are not on them, if these are few.
_MOST_NAMES = 4
#: In which verdicts are told, those on one side of zero first.
_ORDER = (HELPS, HURTS, SAME, UNCORRECTED, TOO_FEW, NOT_SHOWN, NOT_DEFINED)
_PHRASES = {
    SAME: 'a difference beyond ±δ is excluded for {}',
    UNCORRECTED: 'shown only without correction: {}',
    TOO_FEW: 'too few images to tell for {}',
    NOT_SHOWN: 'no difference is shown for {}',
    NOT_DEFINED: 'the difference is not defined for {}',
}
#: Smaller differences are reported as none; this is not a test of significance.
_SAME = 1e-9
_HAVE_TABLES = (
    'environment', 'weights', 'config_diff', 'versions', 'base', 'planned', 'seen_in_training',
)  # fmt: skip
NOT_A_TRAINING_RUN = (
    'The interval shows how much the difference depends on the choice of images. It says nothing '
    'about another training run of the model, or about other cameras and scenes.'
)


@dataclass(frozen=True)
class Method:
    """How the intervals were made."""

    text: str
    few: str = ''  # the units, if they are too few: '4 clips'

    @property
    def caveat(self) -> str:
        """For the headline."""
        return f', but from only {self.few}' if self.few else ''

    @property
    def warning(self) -> str:
        """A paragraph; empty if there are enough units."""
        if not self.few:
            return ''
        return (
            f'Only {self.few} to resample: with fewer than {FEW_UNITS} the intervals are '
            'unreliable, usually too narrow. Treat the verdicts as hints.'
        )

    @property
    def mark(self) -> str:
        """For the caption of every table with intervals."""
        return f' Only {self.few} to resample: see the warning.' if self.few else ''


@dataclass(frozen=True)
class Account:
    """Everything that is reported of a comparison, in order."""

    rows: list[ConditionRows]  # the results, condition by condition
    question: str  # what was compared with what
    headline: str  # the verdicts in a few words
    answers: list[tuple[str, str]]  # condition and sentence
    metric: str  # the deciding metric; empty if nothing was measured
    unit: str  # its unit, in words
    base: str  # what the others are compared with
    labels: list[str]  # the base, then all others
    method: Method  # how the intervals were computed
    judged: int  # number of verdicts
    #: style, mark, verdict and meaning of each that occurs
    meanings: list[tuple[str, str, str, str]]
    family: str  # for how many comparisons the verdicts are corrected, and how
    matrix: Table | None  # the deciding metric, conditions down and variants across
    forests: list[Table]  # the same with bars, one table per condition
    strata: list[Section]  # by brightness and by size
    classes: list[Section]  # by class
    decisions: list[DecisionTable]  # what adaptive stages decided, by condition and variant
    metrics: list[Table]  # all other metrics, one table per condition
    host_numbers: list[Table]  # those of the config's own evaluator, one table per condition
    #: title and text of all that limits what the numbers say; for the top
    warnings: list[tuple[str, str]]
    definitions: dict[str, str]  # metric -> what it is
    facts: list[Facts]  # weights, versions, environment, settings
    diffs: dict[str, str]  # model -> unified diff of its config


def account_of(comparison: Comparison) -> Account:
    """Collect what a comparison says.

    Args:
        comparison: the results, with the analysis of each against the base.
    """
    rows, about = rows_of(comparison), comparison.about
    method = method_of(rows, about)
    analyses = all_analyses(rows)
    metric = _deciding_metric(rows, comparison.metric)
    base = rows[0].base.variant if rows else ''
    return Account(
        rows=rows,
        question=_question(about, rows, metric, base),
        headline=': '.join(filter(None, (still_open(comparison), headline(rows)))),
        answers=[(row.condition, sentence(row, metric)) for row in rows],
        metric=metric,
        unit='in its own unit' if places_of(metric) == 3 else 'in percent',
        base=base,
        labels=[base, *labels_of(rows)] if rows else [],
        method=method,
        judged=len(analyses),
        meanings=_meanings(rows),
        family=_family(rows, about, metric),
        matrix=matrix(rows, metric) if metric else None,
        forests=forests(rows),
        strata=[*by_seed(rows), *by_group(rows), *by_size(rows)],
        classes=by_class(rows),
        decisions=decision_tables(rows),
        metrics=all_metrics(rows),
        host_numbers=host_numbers(rows),
        warnings=cautions(comparison, rows, method.warning),
        definitions=definitions_of(name for found in analyses for name in found.intervals),
        facts=[*_protocol(rows), *facts_of(about)],
        diffs=about.get('config_diff') or {},
    )


def _question(
    about: Mapping[str, Any], rows: Sequence[ConditionRows], metric: str, base: str
) -> str:
    images = count(rows[0].base.images if rows else 0, 'image')
    against = f', compared with {base!r} by {metric}' if metric else ''
    return f'{about.get("config", "comparison")}, {images}{against}'


def _meanings(rows: Sequence[ConditionRows]) -> list[tuple[str, str, str, str]]:
    there = {found.main.verdict for found in all_analyses(rows)}
    if any(row.fallen for row in rows):
        there.add(UNCORRECTED)
    marks = MARKS | {UNCORRECTED: ('same', ' '.join(HOLLOW.values()))}
    return [(*marks[name], name, told) for name, told in MEANINGS.items() if name in there]


def _family(rows: Sequence[ConditionRows], about: Mapping[str, Any], metric: str) -> str:
    analyses = all_analyses(rows)
    if not analyses:
        return ''
    method, margin = str(about.get('correction')), analyses[0].main.margin
    told = f'δ = {plain(margin, places_of(metric))} points. ' if margin > 0 else ''
    many = f'the {len(analyses)} comparisons by {metric}, every variant under every condition'
    if len(analyses) == 1:
        return told + 'One comparison: nothing to correct.'
    if method in ('holm', 'bh'):
        told += f'The verdicts are corrected ({CORRECTIONS[method]}) for {many}. '
    else:
        told += f'The verdicts are not corrected for {many}: about one in twenty may be chance. '
    return told + 'Those of all other tables are not corrected: they explain, and decide nothing.'


def _deciding_metric(rows: Sequence[ConditionRows], wanted: str | None) -> str:
    """The records' deciding metric, or the host's if there are no records."""
    for found in all_analyses(rows):
        return found.metric
    measured = [r.metrics for row in rows for r in row.all if r.metrics]
    if not measured:
        return ''
    # Only the host's numbers exist here, so a metric of the records cannot decide.
    known = wanted is not None and find_metric(measured[0], wanted) is not None
    return main_metric(measured[0], wanted if known else None)


# The answer


def headline(rows: Sequence[ConditionRows]) -> str:
    """The result, short enough for a title."""
    found = Counter(row.verdict(label) for row in rows for label in row.analyses)
    total = found.total()
    if not rows:
        return 'Nothing was measured'
    if total == 0:
        return 'Measured, but without intervals: no verdict'
    if len(found) == 1:
        verdict = next(iter(found))
        every = f' in all {total} comparisons' if total > 1 else ''
        return f'{verdict[0].upper()}{verdict[1:]}{every}'
    parts = [f'{verdict} in {found[verdict]}' for verdict in _ORDER if found[verdict]]
    text = listing([f'{parts[0]} of {total} comparisons', *parts[1:]])
    return text[0].upper() + text[1:]


def sentence(row: ConditionRows, metric: str) -> str:
    """The verdicts under one condition, what hurts first."""
    if not row.base.metrics:
        return f'{row.base.variant} was not measured, so there is no verdict.'
    parts = _judged(row) + _without_interval(row, metric)
    return '; '.join(parts) + '.' if parts else 'nothing was compared.'


def _judged(row: ConditionRows) -> list[str]:
    if len(row.analyses) == 1:
        ((label, found),) = row.analyses.items()
        return [_single(label, found, row.verdict(label))]
    by_verdict: dict[str, dict[str, VariantAnalysis]] = {}
    for label, found in row.analyses.items():
        by_verdict.setdefault(row.verdict(label), {})[label] = found
    return [
        _told(verdict, by_verdict[verdict], list(row.analyses))
        for verdict in (HURTS, HELPS, *_ORDER[2:])
        if verdict in by_verdict
    ]


def _without_interval(row: ConditionRows, metric: str) -> list[str]:
    """What is known about results without records, and why they have none."""
    bare = [result for result in row.others if result.analysis is None]
    if not bare:
        return []
    before, places = _host_value(row.base, metric), places_of(metric)
    told = [
        f'{result.variant} {_change(_host_value(result, metric) - before, places)}'
        for result in bare
    ]
    notes = dict.fromkeys(result.note for result in (row.base, *bare) if result.note)
    reason = f' ({", ".join(notes)})' if notes else ''
    return [f'without an interval{reason}, so no verdict: {metric} of {", ".join(told)}']


def _change(difference: float, places: int) -> str:
    if math.isnan(difference):
        return 'is not defined'
    if abs(difference) < _SAME:
        return 'is the same'
    return f'{"rises" if difference > 0 else "falls"} by {plain(abs(difference), places)}'


def _host_value(result: VariantResult, metric: str) -> float:
    """The host's number for a metric of its own or of the records."""
    for name, value in result.metrics.items():
        if metric in (name, name_in_records(name, [metric])):
            return value
    return math.nan


def _told(verdict: str, found: dict[str, VariantAnalysis], names_of_all: list[str]) -> str:
    """``gamma and clahe hurt``, ``all 6 help, most x (+0.5)``, ..."""
    names = _names(found, names_of_all)
    if verdict in _PHRASES:
        return _PHRASES[verdict].format(names) + (_detectable(found) if verdict == TOO_FEW else '')
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


def _detectable(found: Mapping[str, VariantAnalysis]) -> str:
    """What so many images can show, of the variant that is hardest to tell."""
    hardest = max(found.values(), key=lambda each: each.main.detectable)
    main, places = hardest.main, places_of(hardest.metric)
    many = f'about {float(f"{main.needed:.1e}"):,.0f}'
    return (
        f' ({main.units:,} show differences from {plain(main.detectable, places)} on; '
        f'{plain(main.margin, places)} takes {many})'
    )


def _single(label: str, found: VariantAnalysis, verdict: str) -> str:
    name, places = found.metric, places_of(found.metric)
    before, after = (plain(value, places) for value in found.values[name])
    spread = interval(found.main.low, found.main.high, places)
    told = verdict + _detectable({label: found}) * (verdict == TOO_FEW)
    return (
        f'{label}: {told}; {name} goes from {before} to {after} '
        f'(Δ {signed(found.main.delta, places)}, 95 % interval {spread})'
    )


def matrix(rows: Sequence[ConditionRows], metric: str) -> Table:
    """The deciding metric, conditions down and variants across."""
    columns = labels_of(rows)
    lines = []
    for row in rows:
        before = _base_value(row, metric)
        cells = {
            result.variant: _main_cell(
                result, before, metric, stands=result.variant not in row.fallen
            )
            for result in row.others
        }
        base = plain(before, places_of(metric))
        lines.append((row.condition, base, [cells.get(column) for column in columns]))
    title = 'Verdicts' if all_analyses(rows) else 'Differences'
    table = Table(title, 'images', columns, lines, base=rows[0].base.variant)
    return table.turned('variant')


def _base_value(row: ConditionRows, metric: str) -> float:
    for found in row.analyses.values():
        if metric in found.values:
            return found.values[metric][0]
    return _host_value(row.base, metric)


def _main_cell(result: VariantResult, before: float, metric: str, stands: bool) -> Cell:
    found = result.analysis
    if found is None or metric not in found.values:
        return make_cell((before, _host_value(result, metric)), None, metric)
    return make_cell(found.values[metric], found.intervals[metric], metric, stands=stands)


def forests(rows: Sequence[ConditionRows]) -> list[Table]:
    """The deciding metric as bars, one table per condition, all on one axis."""
    scale = scale_over([found.main for found in all_analyses(rows)])
    return [
        Table(
            title=row.condition,
            corner='variant',
            columns=[''],
            rows=[
                (name, '', [_drawn(found, scale, name not in row.fallen)])
                for name, found in row.analyses.items()
            ],
            scale=scale,
        )
        for row in rows
        if row.analyses
    ]


def _drawn(found: VariantAnalysis, scale: Scale, stands: bool) -> Cell:
    return make_cell(found.values[found.metric], found.main, found.metric, scale, stands)


# What the numbers rest on


def method_of(rows: Sequence[ConditionRows], about: Mapping[str, Any]) -> Method:
    """A sentence on the resamples, and a warning if there are too few units."""
    analyses = all_analyses(rows)
    if not analyses:
        return Method(
            'No resamples were drawn, so there are no intervals: a small difference may be chance.'
        )
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
    return Method(text, f'{fewest.units} {unit}' * (fewest.units < FEW_UNITS))


def _protocol(rows: Sequence[ConditionRows]) -> list[Facts]:
    """What all results share; where they differ a line on top says so."""
    found = rows[0].base.protocol if rows else {}
    lines: list[tuple[str, ...]] = [pair for pair in found.items() if pair[1]]
    return [Facts('Protocol', ('what', 'value'), lines)] if lines else []


def facts_of(about: Mapping[str, Any]) -> list[Facts]:
    """Non-empty tables of weights, versions, environment and all other settings."""
    settings = {key: str(value) for key, value in about.items() if key not in _HAVE_TABLES}
    environment = {key: str(value) for key, value in (about.get('environment') or {}).items()}
    tables = [
        Facts('Weights of the enhancers', ('variant', 'weights', 'sha256'), weights_of(about)),
        Facts('Versions', ('package', 'version'), list(versions_of(about).items())),
        Facts('Environment', ('what', 'value'), list(environment.items())),
        Facts('What was measured', ('what', 'value'), list(settings.items())),
    ]
    return [table for table in tables if table.rows]


def versions_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Package -> version, from a mapping or from ``name version, name version``."""
    versions = about.get('versions') or {}
    if isinstance(versions, Mapping):
        return {str(name): str(value) for name, value in versions.items()}
    pairs = (part.strip().rpartition(' ') for part in str(versions).split(','))
    return {name or value: value if name else '' for name, _, value in pairs}


def weights_of(about: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Variant, name and sha256 of its weights."""
    rows: list[tuple[str, ...]] = []
    for variant, weights in (about.get('weights') or {}).items():
        found = weights if isinstance(weights, Mapping) else dict(name=weights)
        rows.append((variant, str(found.get('name', '')), str(found.get('sha256') or '')))
    return rows
