"""The result of a comparison: one image set, several enhancers or models.

Also: which metric decides, which metrics of a host and of the records are the same
number, and how each is defined.
"""

import math
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.records import ImageRecords, RunInfo, kinds_of_records
from sci_plugins.utils.files import to_json
from sci_plugins.utils.schema import Measured, from_content, read_json, to_content

_MAIN_METRICS = ('mIoU', 'bbox_mAP', 'mAP', 'AP')
#: Half of a host's last digit: mmseg rounds percents to 2, mmdet fractions to 3 places.
_PERCENT_ROUNDING, _FRACTION_ROUNDING = 0.005, 0.0005


def main_metric(metrics: Mapping[str, float], wanted_metric: str | None = None) -> str:
    """The metric that the field compares models by; the first where none is known.

    mmseg lists pixel accuracy first, which a large class decides alone.

    Args:
        metrics: of one result.
        wanted_metric: a name among them, or its part after the last ``/``.

    Raises:
        ConfigError: if ``wanted_metric`` is none of them.
    """
    if wanted_metric is not None:
        found = find_metric(metrics, wanted_metric)
        if found is None:
            raise ConfigError(
                f'there is no metric {wanted_metric!r}; there are {", ".join(metrics)}'
            )
        return found
    for wanted in _MAIN_METRICS:
        for name in metrics:
            if name.rsplit('/', 1)[-1] == wanted:
                return name
    return next(iter(metrics))


def find_metric(metrics: Iterable[str], wanted: str) -> str | None:
    """The name that is ``wanted``, or whose part after the last ``/`` is."""
    for name in metrics:
        if wanted in (name, name.rsplit('/', 1)[-1]):
            return name
    return None


def name_in_records(host_name: str, known: Container[str]) -> str | None:
    """The records' name for a host's metric, ``None`` if they have no such one.

    Args:
        host_name: as in ``'coco/bbox_mAP'``, ``'darkface/AP'``, ``'IoU/road'``.
        known: names of the records' metrics.
    """
    last = host_name.rsplit('/', 1)[-1]
    renamed = [kind.host_names[last] for kind in kinds_of_records() if last in kind.host_names]
    for name in (host_name, *renamed, host_name.partition('/')[2]):
        if name and name in known:
            return name
    return None


def is_percentage(name: str) -> bool:
    """Whether a metric of the records or of a host is in percent, 0 to 100.

    Args:
        name: of the metric; a ``METRIC/CLASS`` is in the unit of its ``METRIC``.
    """
    parts = set(name.split('/'))
    return any(parts.intersection(kind.percentages) for kind in kinds_of_records())


def agrees(host_value: float, value: float, name: str) -> bool:
    """Whether a host's number is a record's number, but for the host's rounding.

    Args:
        host_value: as the host gives it.
        value: from the records.
        name: of the records' metric, which tells percents from fractions.
    """
    if math.isnan(host_value) or math.isnan(value):
        return math.isnan(host_value) and math.isnan(value)
    half_digit = _PERCENT_ROUNDING if is_percentage(name) else _FRACTION_ROUNDING
    return abs(host_value - value) <= 1.001 * half_digit


def tell_difference(metrics: Mapping[str, float], records: ImageRecords, run: RunInfo) -> str:
    """One line where an evaluator's number is not the records' number; empty if none differs.

    Args:
        metrics: of the evaluator.
        records: of the same results.
        run: that both were made in.
    """
    known = {name: own for name in metrics if (own := name_in_records(name, records.names))}
    values = records.metrics(list(dict.fromkeys(known.values())))
    for name, own in known.items():
        if not agrees(metrics[name], values[own], own):
            told = f"the evaluator's {name} {metrics[name]:.4g} and the records' {own} "
            reason = records.why_hosts_differ(run)
            because = f'because {reason}' if reason else '(reason unknown: see the definitions)'
            return f'{told}{values[own]:.4g} differ {because}'
    return ''


def deciding_metric(
    metrics: Mapping[str, float], records: Iterable[str], wanted: str | None = None
) -> str | None:
    """The records' metric that decides; ``None``: theirs by default.

    Args:
        metrics: of the host.
        records: names of the records' metrics.
        wanted: a name of either.

    Raises:
        ConfigError: if neither has the wanted one, or the host's is none of the records.
    """
    records = list(records)
    if wanted is not None and wanted in records:
        return wanted
    if wanted is not None and find_metric(metrics, wanted) is None:
        raise ConfigError(
            f'there is no metric {wanted!r}; there are {", ".join([*metrics, *records])}'
        )
    name = name_in_records(main_metric(metrics, wanted), records)
    if wanted is not None and name is None:
        raise ConfigError(
            f'metric {wanted!r} cannot decide: it is not in the records of each image; there are '
            f'{", ".join(records)}'
        )
    return name


@dataclass(frozen=True)
class VariantResult:
    """Metrics of one enhancer, or of one trained model, under one condition.

    Args:
        variant: its name; no other in the comparison has the same.
        condition: of the images.
        metrics: numbers of the config's own evaluator.
        seconds: that the test took.
        images: that were tested.
        analysis: what is known of it against the base; ``None`` for the base, and where
            there are no records image by image.
        note: why there are no records.
        difference: where a number of the evaluator's is not that of the records, and why.
    """

    variant: str
    condition: Condition
    metrics: dict[str, Measured]
    seconds: float
    images: int
    analysis: VariantAnalysis | None = None
    note: str = ''
    difference: str = ''

    def without_analysis(self) -> 'VariantResult':
        """The same, to be judged anew."""
        return replace(self, analysis=None)


@dataclass
class Comparison:
    """All results, and what they were made with.

    Args:
        about: config, checkpoint, hashes, versions: what it takes to repeat it;
            ``base`` names what the others are compared with (else it is the first).
        results: in the order in which they were measured.
        metric: name of the metric that decides, or its last part; ``None`` takes
            the one that the field compares models by.
    """

    about: dict[str, Any]
    results: list[VariantResult] = field(default_factory=list)
    metric: str | None = None

    @property
    def conditions(self) -> list[Condition]:
        return list(dict.fromkeys(result.condition for result in self.results))

    @property
    def variants(self) -> list[str]:
        """Names of all, the base first."""
        names = list(dict.fromkeys(result.variant for result in self.results))
        base = self.about.get('base')
        return sorted(names, key=lambda name: name != base)

    def find(self, condition: Condition, variant: str) -> VariantResult | None:
        for result in self.results:
            if (result.condition, result.variant) == (condition, variant):
                return result
        return None

    def of_condition(self, condition: Condition) -> list[VariantResult]:
        """The results under one condition, the base first."""
        found = [self.find(condition, name) for name in self.variants]
        return [result for result in found if result is not None]

    def replace(self, result: VariantResult) -> None:
        """Put a result in the place of the one of the same variant and condition."""
        for index, old in enumerate(self.results):
            if (old.condition, old.variant) == (result.condition, result.variant):
                self.results[index] = result
                return
        self.results.append(result)

    def to_json(self) -> str:
        return to_json(dict(about=self.about, results=to_content(self.results)))


@dataclass(frozen=True)
class _Stored:
    about: dict[str, Any]
    results: list[VariantResult]


@dataclass(frozen=True)
class _About:
    """What has a table of its own in the report."""

    weights: dict[str, Any] | None = None
    config_diff: dict[str, str] | None = None
    environment: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Described:
    about: _About


def read_comparison(path: str | os.PathLike[str]) -> Comparison:
    """Read what :meth:`Comparison.to_json` gave, in this version or an older one.

    Raises:
        DataError: naming the file, and the key of what is damaged.
    """
    content = read_json(path)
    stored = from_content(_Stored, content, path)
    from_content(_Described, content, path)
    analyses = [each.analysis and each.analysis.with_todays_names() for each in stored.results]
    pairs = zip(stored.results, analyses, strict=True)
    return Comparison(stored.about, [replace(each, analysis=found) for each, found in pairs])


def finite_or_none(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers among a host's metrics, as JSON can hold them: NaN becomes null."""
    return {
        key: float(value) if math.isfinite(value) else None
        for key, value in metrics.items()
        if isinstance(value, Real)
    }


def definitions_of(names: Iterable[str]) -> dict[str, str]:
    """Metric -> what it is, by the class of records that knows most of them.

    Args:
        names: of metrics of one kind of records; those of single classes are defined
            once, as ``METRIC/CLASS``, and unknown ones are skipped.
    """
    names = list(names)
    return max((kind.define(names) for kind in kinds_of_records()), key=len)


def split_classes(
    names: Sequence[str], values: Iterable[Mapping[str, tuple[float, float]]]
) -> tuple[list[str], list[str]]:
    """Metrics to tell, and names of classes that have no number for want of objects.

    Args:
        names: of metrics, ``METRIC/CLASS`` for single classes.
        values: of each contender: metric -> numbers of the base and of itself.
    """
    tables = list(values)
    empty = [
        name
        for name in names
        if '/' in name and all(math.isnan(each) for table in tables for each in table.get(name, ()))
    ]
    classes = dict.fromkeys(name.partition('/')[2] for name in empty)
    return [name for name in names if name not in empty], list(classes)
