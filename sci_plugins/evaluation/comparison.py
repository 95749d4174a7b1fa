"""The result of a comparison, the metric that decides, and names and units of metrics."""

import math
import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.decisions import Decisions
from sci_plugins.evaluation.records import ImageRecords, RunInfo, kinds_of_records
from sci_plugins.utils.files import to_json
from sci_plugins.utils.schema import Measured, from_content, read_json, to_content

# The first that an evaluator has: what papers report.
_MAIN_METRICS = ('mIoU', 'bbox_mAP', 'mAP', 'AP')
#: Half of a host's last digit: mmseg rounds percents to 2, mmdet fractions to 3 places.
_PERCENT_ROUNDING, _FRACTION_ROUNDING = 0.005, 0.0005


def main_metric(metrics: Mapping[str, float], wanted_metric: str | None = None) -> str:
    """The wanted metric; else the one that the field compares models by; else the first.

    mmseg lists pixel accuracy first, which one large class dominates.

    Raises:
        ConfigError: if :func:`find_metric` does not find the wanted one.
    """
    wanted = _MAIN_METRICS if wanted_metric is None else (wanted_metric,)
    found = next(filter(None, (find_metric(metrics, each) for each in wanted)), None)
    if found is None and wanted_metric is not None:
        raise ConfigError(f'there is no metric {wanted_metric!r}; there are {", ".join(metrics)}')
    return found or next(iter(metrics))


def find_metric(metrics: Iterable[str], wanted: str) -> str | None:
    """The name that equals ``wanted``, whole or in its part after the last ``/``."""
    return next((name for name in metrics if wanted in (name, name.rsplit('/', 1)[-1])), None)


def name_in_records(host_name: str, known: Container[str]) -> str | None:
    """The records' name, of ``known``, for a host's such as ``'coco/bbox_mAP'``; or ``None``."""
    last = host_name.rsplit('/', 1)[-1]
    renamed = [kind.host_names[last] for kind in kinds_of_records() if last in kind.host_names]
    names = (host_name, *renamed, host_name.partition('/')[2])
    return next((name for name in names if name and name in known), None)


def is_percentage(name: str) -> bool:
    """Whether a metric of the records or of a host is in percent, 0 to 100."""
    return any(set(name.split('/')).intersection(kind.percentages) for kind in kinds_of_records())


def margin_of(name: str, points: float) -> float:
    """Points of percent in the unit of a metric; NaN for one that is not shown in percent."""
    factor = percent_factor(name)
    return points / factor if factor > 1 or is_percentage(name) else math.nan


#: Numbers of detectors' evaluators, which are from 0 to 1.
_HOST_FRACTION = re.compile(r'((bbox|segm)_)?m?A[PR]([@_\d].*)?|.*_precision')


def percent_factor(name: str) -> float:
    """What brings a metric to the unit of reports: 100 for a fraction that they show in percent."""
    ours = any(set(name.split('/')).intersection(kind.fractions) for kind in kinds_of_records())
    host = _HOST_FRACTION.fullmatch(name.rsplit('/', 1)[-1])
    return 100.0 if (ours or host) and not is_percentage(name) else 1.0


def agrees(host_value: float, value: float, name: str) -> bool:
    """Whether a host's number equals that of the records' metric ``name``, but for its rounding."""
    if math.isnan(host_value) or math.isnan(value):
        return math.isnan(host_value) and math.isnan(value)
    half_digit = _PERCENT_ROUNDING if is_percentage(name) else _FRACTION_ROUNDING
    return abs(host_value - value) <= 1.001 * half_digit


def tell_difference(metrics: Mapping[str, float], records: ImageRecords, run: RunInfo) -> str:
    """A line about the first evaluator's number that differs from the records'; else empty."""
    known = {name: own for name in metrics if (own := name_in_records(name, records.names))}
    values = records.metrics(list(dict.fromkeys(known.values())))
    for name, own in known.items():
        if not agrees(metrics[name], values[own], own):
            unit = percent_factor(own)
            told = f"the evaluator's {name} {metrics[name] * unit:.4g} and the records' {own} "
            reason = records.why_hosts_differ(run)
            because = f'because {reason}' if reason else '(reason unknown: see the definitions)'
            return f'{told}{values[own] * unit:.4g} differ {because}'
    return ''


def deciding_metric(
    metrics: Mapping[str, float], records: Iterable[str], wanted: str | None = None
) -> str | None:
    """The records' metric that decides, wanted by its own or the host's name; ``None``: theirs.

    Raises:
        ConfigError: if neither has the wanted one, or only the host has it.
    """
    records = list(records)
    if wanted in records:
        return wanted
    if wanted is not None and find_metric(metrics, wanted) is None:
        known = ', '.join([*metrics, *records])
        raise ConfigError(f'there is no metric {wanted!r}; there are {known}')
    name = name_in_records(main_metric(metrics, wanted), records)
    if wanted is not None and name is None:
        told = f'it is not kept image by image; expected one of {", ".join(records)}'
        raise ConfigError(f'metric {wanted!r} cannot decide: {told}')
    return name


@dataclass(frozen=True)
class VariantResult:
    """Metrics of one enhancer, or of one trained model, under one condition."""

    variant: str  # its name, unique in the comparison
    condition: Condition  # of the images
    metrics: dict[str, Measured]  # numbers of the config's own evaluator
    seconds: float  # duration of the test
    images: int  # number of tested images
    analysis: VariantAnalysis | None = None  # ``None`` for the base, and without records
    note: str = ''  # why there are no records
    weakness: str = ''  # why the results say little where they are the base's; empty if they do not
    constant: str = ''  # what is predicted where every image gets the same
    difference: str = ''  # where and why an evaluator's number differs from the records'
    #: of an adaptive stage for the images; ``None`` without one, and in files of older versions
    decisions: Decisions | None = None
    members: list[str] = field(default_factory=list)  # trainings that it is the mean of
    #: what numbers depend on beside the model: images, ground truth, scale, rule
    protocol: dict[str, str] = field(default_factory=dict)


def differing_protocols(results: Iterable[VariantResult]) -> list[str]:
    """What keeps results out of one table, such as ``scale: 640 (none), 416 (joint)``.

    A key that some of them lack says nothing.
    """
    values: dict[str, dict[str, dict[str, None]]] = {}
    for each in results:
        for key, value in each.protocol.items():
            values.setdefault(key, {}).setdefault(value, {})[each.variant] = None
    different = {key: found.items() for key, found in values.items() if len(found) > 1}
    return [
        f'{key}: ' + ', '.join(f'{value[:60]} ({", ".join(names)})' for value, names in found)
        for key, found in different.items()
    ]


@dataclass
class Comparison:
    """All results, and what they were made with."""

    #: config, checkpoint, hashes, versions: what it takes to repeat it; ``base`` names what the
    #: others are compared with (by default the first)
    about: dict[str, Any]
    results: list[VariantResult] = field(default_factory=list)  # in the order of measuring
    metric: str | None = None  # the deciding one, see :func:`main_metric`

    @property
    def conditions(self) -> list[Condition]:
        """In the order in which they were first measured."""
        return list(dict.fromkeys(result.condition for result in self.results))

    @property
    def variants(self) -> list[str]:
        """Names of all, the base first."""
        names = list(dict.fromkeys(result.variant for result in self.results))
        return sorted(names, key=lambda name: name != self.about.get('base'))

    def find(self, condition: Condition, variant: str) -> VariantResult | None:
        """The result of a variant under a condition; ``None`` if it was not measured."""
        found = (e for e in self.results if (e.condition, e.variant) == (condition, variant))
        return next(found, None)

    def of_condition(self, condition: Condition) -> list[VariantResult]:
        """The results under one condition, the base first."""
        found = [self.find(condition, name) for name in self.variants]
        return [result for result in found if result is not None]

    def replace(self, result: VariantResult) -> None:
        """Add a result, in the place of an earlier one of its variant and condition."""
        if (old := self.find(result.condition, result.variant)) is None:
            self.results.append(result)
        else:
            self.results[self.results.index(old)] = result

    def to_json(self) -> str:
        """All of it, for :func:`read_comparison`."""
        return to_json(dict(about=self.about, results=to_content(self.results)))


@dataclass(frozen=True)
class _About:
    """What has its own table in the report, of which the form is checked."""

    weights: dict[str, Any] | None = None
    config_diff: dict[str, str] | None = None
    environment: dict[str, Any] | None = None
    planned: dict[str, list[str]] | None = None
    seen_in_training: dict[str, int] | None = None
    correction: str = 'none'


@dataclass(frozen=True)
class _Stored:
    about: _About
    results: list[VariantResult]


def read_comparison(path: str | os.PathLike[str]) -> Comparison:
    """Read what :meth:`Comparison.to_json` gave, in this version or an older one.

    Raises:
        DataError: naming the file, and the key of what is damaged.
    """
    content = read_json(path)
    results = from_content(_Stored, content, path).results
    for index, each in enumerate(results):
        if each.decisions is not None and not each.decisions.fits:
            wish = f'a value of each kind for each of {len(each.decisions.images)} images'
            told = f'expected {wish}, got lists of other lengths'
            raise DataError(f'{path}: results[{index}].decisions: {told}')
        results[index] = replace(each, analysis=each.analysis and each.analysis.with_todays_names())
    return Comparison(content['about'], results)


def finite_or_none(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers among a host's metrics, as JSON can hold them: NaN becomes null."""
    numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, Real)}
    return to_content(numbers)


def definitions_of(names: Iterable[str]) -> dict[str, str]:
    """Definitions of metrics by :meth:`ImageRecords.define`, of the class that knows most."""
    names = list(names)
    return max((kind.define(names) for kind in kinds_of_records()), key=len)


def split_classes(
    names: Sequence[str], values: Iterable[Mapping[str, tuple[float, float]]]
) -> tuple[list[str], list[str]]:
    """Metrics to show, and the classes that have no number because they have no objects.

    ``values`` are of each contender: metric -> the base's and its own number.
    """
    known = {n for table in values for n, pair in table.items() if not all(map(math.isnan, pair))}
    empty = [name for name in names if '/' in name and name not in known]
    classes = dict.fromkeys(name.partition('/')[2] for name in empty)
    return [name for name in names if name not in empty], list(classes)
