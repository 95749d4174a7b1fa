"""What a comparison says: HTML and Markdown render the same :class:`Account`."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sci_plugins.evaluation import bootstrap
from sci_plugins.evaluation import comparison as results
from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.bootstrap import HELPS, HURTS, SAME, TOO_FEW
from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.visualization.report import cells, sections
from sci_plugins.visualization.report.cells import ConditionRows, count, places_of, plain, signed

#: Longer lists of names are given by the names that are not on them, if these are few.
_MOST_NAMES = 4
#: Verdicts without a verb of their own, in the order in which they are told.
_PHRASES = {
    SAME: 'a difference beyond ±δ is excluded for {}',
    cells.UNCORRECTED: 'shown only without correction: {}',
    TOO_FEW: 'too few images to tell for {}',
    bootstrap.NOT_SHOWN: 'no difference is shown for {}',
    bootstrap.NOT_DEFINED: 'the difference is not defined for {}',
}
#: Smaller differences are reported as none; this is not a test of significance.
_SAME = 1e-9
_HAVE_TABLES = (
    'environment', 'weights', 'config_diff', 'versions', 'base', 'planned', 'seen_in_training',
)  # fmt: skip
_NO_RESAMPLES = (
    'No resamples were drawn, so there are no intervals: a small difference may be chance.'
)
_FEW = (
    f'Only {{}} to resample: with fewer than {bootstrap.FEW_UNITS} the intervals are unreliable, '
    'usually too narrow. Treat the verdicts as hints.'
)
_UNFINISHED = '{} of {} measured. Still missing: {}. The same command with --resume goes on.'
_WEAK = (
    '{}. A network that hardly works without enhancement cannot tell what enhancement costs, and '
    'any change is large beside its number.'
)
_EQUAL = "Equal to the base's on every image, to the bit: {}."
_SEEN = '{} in the training set of {} (same files): its numbers are too good.'
NOT_A_TRAINING_RUN = (
    'The interval shows how much the difference depends on the choice of images. It says nothing '
    'about another training run of the model, or about other cameras and scenes.'
)


class Account:
    """Everything that is reported of a comparison, in order."""

    def __init__(self, comparison: Comparison) -> None:
        about, rows = comparison.about, cells.rows_of(comparison)
        analyses = cells.all_analyses(rows)
        self.rows = rows  # the results, condition by condition
        self.metric = _deciding_metric(rows, comparison.metric)  # empty if nothing was measured
        self.unit = 'in its own unit' if places_of(self.metric) == 3 else 'in percent'
        self.base = rows[0].base.variant if rows else ''  # what the others are compared with
        self.labels = [self.base, *cells.labels_of(rows)] if rows else []  # the base first
        images = count(rows[0].base.images if rows else 0, 'image')
        against = f', compared with {self.base!r} by {self.metric}' if self.metric else ''
        # what was compared with what; the verdicts in a few words; condition and sentence
        self.question = f'{about.get("config", "comparison")}, {images}{against}'
        self.headline = ': '.join(filter(None, (still_open(comparison), headline(rows))))
        self.answers = [(row.condition, sentence(row, self.metric)) for row in rows]
        self.method, few = method_of(rows, about)  # how the intervals were computed
        # where few units are drawn: for the headline, the captions of intervals, and a paragraph
        self.caveat = f', but from only {few}' if few else ''
        self.mark = f' Only {few} to resample: see the warning.' if few else ''
        self.few = _FEW.format(few) if few else ''
        self.judged = len(analyses)  # number of verdicts
        self.meanings = _meanings(rows)  # style, mark, verdict and meaning of each that occurs
        # for how many comparisons the verdicts are corrected, and how
        self.family = _family(analyses, str(about.get('correction')), self.metric)
        # the deciding metric, conditions down and variants across
        self.matrix = matrix(rows, self.metric) if self.metric else None
        self.forests = forests(rows)  # the same with bars, one table per condition
        self.strata = [*sections.by_seed(rows), *sections.by_group(rows), *sections.by_size(rows)]
        self.classes = sections.by_class(rows)
        self.decisions = sections.decision_tables(rows)  # of adaptive stages
        # all other metrics, and those of the config's own evaluator: one table per condition
        self.metrics, self.host_numbers = sections.all_metrics(rows), sections.host_numbers(rows)
        # title and text of all that limits what the numbers say; for the top
        self.warnings = cautions(comparison, rows, self.few)
        self.definitions = results.definitions_of(n for found in analyses for n in found.intervals)
        # the shared protocol, weights, versions, environment, settings
        self.facts = facts_of(about, rows[0].base.protocol if rows else {})
        self.diffs = about.get('config_diff') or {}  # model -> unified diff of its config


def _meanings(rows: Sequence[ConditionRows]) -> list[tuple[str, str, str, str]]:
    there = {found.main.verdict for found in cells.all_analyses(rows)}
    if any(row.fallen for row in rows):
        there.add(cells.UNCORRECTED)
    marks = cells.MARKS | {cells.UNCORRECTED: ('same', ' '.join(cells.HOLLOW.values()))}
    return [(*marks[name], name, told) for name, told in cells.MEANINGS.items() if name in there]


def _family(analyses: Sequence[VariantAnalysis], method: str, metric: str) -> str:
    if not analyses:
        return ''
    margin = analyses[0].main.margin
    told = f'δ = {plain(margin, places_of(metric))} points. ' if margin > 0 else ''
    many = f'the {len(analyses)} comparisons by {metric}, every variant under every condition'
    if len(analyses) == 1:
        return told + 'One comparison: nothing to correct.'
    if method in ('holm', 'bh'):
        told += f'The verdicts are corrected ({bootstrap.CORRECTIONS[method]}) for {many}. '
    else:
        told += f'The verdicts are not corrected for {many}: about one in twenty may be chance. '
    return told + 'Those of all other tables are not corrected: they explain, and decide nothing.'


def _deciding_metric(rows: Sequence[ConditionRows], wanted: str | None) -> str:
    """The records' deciding metric, or the host's if there are no records."""
    for found in cells.all_analyses(rows):
        return found.metric
    # Only the host's numbers exist here, so a metric of the records cannot decide.
    for metrics in (each.metrics for row in rows for each in row.all if each.metrics):
        return results.find_metric(metrics, wanted or '') or results.main_metric(metrics)
    return ''


def headline(rows: Sequence[ConditionRows]) -> str:
    """The result, short enough for a title."""
    if not rows:
        return 'Nothing was measured'
    found = Counter(row.verdict(label) for row in rows for label in row.analyses)
    total = found.total()
    if not total:
        return 'Measured, but without intervals: no verdict'
    if len(found) == 1:
        text = next(iter(found)) + f' in all {total} comparisons' * (total > 1)
    else:
        order = (HELPS, HURTS, *_PHRASES)
        first, *others = (f'{verdict} in {found[verdict]}' for verdict in order if found[verdict])
        text = cells.listing([f'{first} of {total} comparisons', *others])
    return text[0].upper() + text[1:]


def sentence(row: ConditionRows, metric: str) -> str:
    """The verdicts under one condition, what hurts first."""
    if not row.base.metrics:
        return f'{row.base.variant} was not measured, so there is no verdict.'
    parts = _judged(row) + _without_interval(row, metric)
    return '; '.join(parts) + '.' if parts else 'nothing was compared.'


def _judged(row: ConditionRows) -> list[str]:
    if len(row.analyses) == 1:
        return [_single(*each, row.verdict(each[0])) for each in row.analyses.items()]
    by_verdict: dict[str, dict[str, VariantAnalysis]] = {}
    for label, found in row.analyses.items():
        by_verdict.setdefault(row.verdict(label), {})[label] = found
    order = [verdict for verdict in (HURTS, HELPS, *_PHRASES) if verdict in by_verdict]
    return [_told(verdict, by_verdict[verdict], list(row.analyses)) for verdict in order]


def _without_interval(row: ConditionRows, metric: str) -> list[str]:
    """What is known about results without records, and why they have none."""
    bare = [result for result in row.others if result.analysis is None]
    if not bare:
        return []
    before, places = _host_value(row.base, metric), places_of(metric)
    changes = [_change(_host_value(each, metric) - before, places) for each in bare]
    told = ', '.join(f'{each.variant} {change}' for each, change in zip(bare, changes, strict=True))
    notes = dict.fromkeys(result.note for result in (row.base, *bare) if result.note)
    reason = f' ({", ".join(notes)})' if notes else ''
    return [f'without an interval{reason}, so no verdict: {metric} of {told}']


def _change(difference: float, places: int) -> str:
    if math.isnan(difference):
        return 'is not defined'
    if abs(difference) < _SAME:
        return 'is the same'
    return f'{"rises" if difference > 0 else "falls"} by {plain(abs(difference), places)}'


def _host_value(result: VariantResult, metric: str) -> float:
    """The host's number for a metric of its own or of the records."""
    for name, value in result.metrics.items():
        if metric in (name, results.name_in_records(name, [metric])):
            return value
    return math.nan


def _told(verdict: str, found: dict[str, VariantAnalysis], names_of_all: list[str]) -> str:
    """``gamma and clahe hurt``, ``all 6 help, most x (+0.5)``, ..."""
    names = _names(found, names_of_all)
    if verdict in _PHRASES:
        return _PHRASES[verdict].format(names) + (_detectable(found) if verdict == TOO_FEW else '')
    sign = 1 if verdict == HELPS else -1
    label, top = max(found.items(), key=lambda item: sign * item[1].main.delta)
    change = signed(top.main.delta, places_of(top.metric))
    if len(found) == 1:
        return f'{names} {verdict} ({change})'
    return f'{names} {verdict.removesuffix("s")}, most {label} ({change})'


def _names(found: Collection[str], names_of_all: list[str]) -> str:
    others = [name for name in names_of_all if name not in found]
    if not others:
        return 'both' if len(found) == 2 else f'all {len(found)}'
    if len(found) > _MOST_NAMES >= len(others):
        return f'all but {cells.listing(others)}'
    return cells.listing(list(found))


def _detectable(found: Mapping[str, VariantAnalysis]) -> str:
    """What so many images can show, of the variant that is hardest to tell."""
    hardest = max(found.values(), key=lambda each: each.main.detectable)
    main, places = hardest.main, places_of(hardest.metric)
    return (
        f' ({main.units:,} show differences from {plain(main.detectable, places)} on; '
        f'{plain(main.margin, places)} takes about {float(f"{main.needed:.1e}"):,.0f})'
    )


def _single(label: str, found: VariantAnalysis, verdict: str) -> str:
    name, places = found.metric, places_of(found.metric)
    before, after = (plain(value, places) for value in found.values[name])
    spread = cells.interval(found.main.low, found.main.high, places)
    told = verdict + _detectable({label: found}) * (verdict == TOO_FEW)
    return (
        f'{label}: {told}; {name} goes from {before} to {after} '
        f'(Δ {signed(found.main.delta, places)}, 95 % interval {spread})'
    )


def matrix(rows: Sequence[ConditionRows], metric: str) -> cells.Table:
    """The deciding metric, conditions down and variants across."""
    columns, lines = cells.labels_of(rows), []
    for row in rows:
        known = (each.values[metric][0] for each in row.analyses.values() if metric in each.values)
        before = next(known, _host_value(row.base, metric))
        told = {}
        for each in row.others:
            found = cells.difference_of(each.analysis, metric) if each.analysis else None
            found = found or ((before, _host_value(each, metric)), None, metric)
            told[each.variant] = cells.make_cell(*found, stands=each.variant not in row.fallen)
        in_order = [told.get(column) for column in columns]
        lines.append((row.condition, plain(before, places_of(metric)), in_order))
    title = 'Verdicts' if cells.all_analyses(rows) else 'Differences'
    return cells.Table(title, 'images', columns, lines, base=rows[0].base.variant).turned('variant')


def forests(rows: Sequence[ConditionRows]) -> list[cells.Table]:
    """The deciding metric as bars, one table per condition, all on one axis."""
    return cells.strata(
        rows, lambda found: {'': cells.difference_of(found, found.metric)}, judged=True
    )


def method_of(rows: Sequence[ConditionRows], about: Mapping[str, Any]) -> tuple[str, str]:
    """A sentence on the resamples, and the units, such as ``'4 clips'``, if they are too few."""
    analyses = cells.all_analyses(rows)
    if not analyses:
        return _NO_RESAMPLES, ''
    unit = str(about.get('resampling') or 'images')
    fewest = min(analyses, key=lambda found: found.units)
    images = '' if unit == 'images' else f' ({count(fewest.images, "image")})'
    text = (
        f'Paired bootstrap: {fewest.units:,} {unit}{images} drawn with replacement '
        f'{count(fewest.resamples, "time")} (seed {fewest.seed}), the same draw for the '
        'base and the variant; the interval holds the middle 95 % of the differences.'
    )
    return text, f'{fewest.units} {unit}' * (fewest.units < bootstrap.FEW_UNITS)


def facts_of(about: Mapping[str, Any], protocol: Mapping[str, str]) -> list[cells.Facts]:
    """Non-empty tables of protocol, weights, versions, environment and all other settings."""
    known = {name: value for name, value in protocol.items() if value}
    settings = {key: value for key, value in about.items() if key not in _HAVE_TABLES}
    what, weights = ('what', 'value'), ('variant', 'weights', 'sha256')
    tables = [
        cells.Facts('Protocol', what, _as_text(known)),
        cells.Facts('Weights of the enhancers', weights, weights_of(about)),
        cells.Facts('Versions', ('package', 'version'), _as_text(versions_of(about))),
        cells.Facts('Environment', what, _as_text(about.get('environment') or {})),
        cells.Facts('What was measured', what, _as_text(settings)),
    ]
    return [table for table in tables if table.rows]


def _as_text(content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(str(name), str(value)) for name, value in content.items()]


def versions_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Package -> version, from a mapping or from ``name version, name version``."""
    versions = about.get('versions') or {}
    if isinstance(versions, Mapping):
        return {str(name): str(value) for name, value in versions.items()}
    pairs = (part.strip().rpartition(' ') for part in str(versions).split(','))
    return {name or value: value if name else '' for name, _, value in pairs}


def weights_of(about: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Variant, name and sha256 of its weights."""
    weights = (about.get('weights') or {}).items()
    known = ((n, each if isinstance(each, Mapping) else dict(name=each)) for n, each in weights)
    return [(n, str(each.get('name', '')), str(each.get('sha256') or '')) for n, each in known]


def cautions(comparison: Comparison, rows: list[ConditionRows], few: str) -> list[tuple[str, str]]:
    """Title and text of each, the gravest first; ``few``: what to say of too few units."""
    every = [(f'{row.condition}, {each.variant}: ', each) for row in rows for each in row.all]
    known = (comparison.about.get('seen_in_training') or {}).items()
    are = ('test image is', 'test images are')
    seen = [(count(number, *are), label or 'the config') for label, number in known if number]
    protocols = results.differing_protocols(each for _, each in every)
    bases = [(row.condition, row.base) for row in rows if row.base.weakness]
    weak = [f'{condition}, {base.variant}: {base.weakness}' for condition, base in bases]
    constant = [where + each.constant for where, each in every if each.constant]
    same = ((row.condition, [n for n, e in row.analyses.items() if e.identical]) for row in rows)
    identical = [f'{condition}: {cells.listing(names)}' for condition, names in same if names]
    left = _missing(comparison)
    still = [f'{name} ({", ".join(missing)})' for name, missing in left.items() if missing]
    done, total = len(left) - len(still), count(len(left), 'condition')
    found: dict[str, Iterable[str]] = {
        'Unfinished': [_UNFINISHED.format(done, total, '; '.join(still))] if still else [],
        'Seen in training': [_SEEN.format(*each) for each in seen],
        'Few units': [few],
        'Two numbers of one metric': _differences(every),
        'Different protocols': _joined('These results do not share {}.', protocols),
        'Weak base': _joined(_WEAK, weak),
        'Constant predictions': _joined('The same for every image: {}.', constant),
        'Identical results': _joined(_EQUAL, identical),
    }
    return [(title, text) for title, texts in found.items() for text in texts if text]


def _joined(sentence: str, facts: Collection[str]) -> list[str]:
    return [sentence.format('; '.join(facts))] if facts else []


def still_open(comparison: Comparison) -> str:
    """For the headline: how many of the planned conditions are measured; empty if all are."""
    left = _missing(comparison)
    done = sum(not each for each in left.values())
    return '' if done == len(left) else f'Unfinished, {done} of {len(left)} conditions measured'


def _missing(comparison: Comparison) -> dict[str, list[str]]:
    """Planned condition -> variants that are not measured under it."""
    planned = comparison.about.get('planned') or {}
    done = {(each.condition.name, each.variant) for each in comparison.results}
    return {
        name: [variant for variant in planned.get('variants', []) if (name, variant) not in done]
        for name in planned.get('conditions', [])
    }


def _differences(every: Sequence[tuple[str, VariantResult]]) -> Iterable[str]:
    """One for each reason."""
    found: dict[str, str] = {}
    for where, each in every:
        if each.difference:
            found.setdefault(each.difference.partition(' differ ')[2], f'{where}{each.difference}.')
    return found.values()
