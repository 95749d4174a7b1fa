"""The result of a comparison: one model, one image set, several enhancers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.conditions import Condition

#: Differences below this are told as no difference; it is no test of significance.
_SAME = 1e-9
_MAIN_METRICS = ('mIoU', 'bbox_mAP', 'mAP', 'AP')


@dataclass(frozen=True)
class VariantResult:
    """Metrics of one enhancer under one condition."""

    variant: str
    condition: Condition
    metrics: dict[str, float]
    seconds: float
    images: int

    def to_dict(self) -> dict[str, Any]:
        return dict(
            variant=self.variant,
            condition=self.condition.to_dict(),
            metrics=finite_or_none(self.metrics),
            seconds=round(self.seconds, 3),
            images=self.images,
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> 'VariantResult':
        condition = content['condition']
        return cls(
            content['variant'],
            Condition(**{k: v for k, v in condition.items() if k != 'name'}),
            {k: math.nan if v is None else v for k, v in content['metrics'].items()},
            content['seconds'],
            content['images'],
        )


@dataclass
class Comparison:
    """All results, and what they were made with.

    Args:
        about: config, checkpoint, hashes, versions: what it takes to repeat it.
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
        return list(dict.fromkeys(result.variant for result in self.results))

    def find(self, condition: Condition, variant: str) -> VariantResult | None:
        for result in self.results:
            if (result.condition, result.variant) == (condition, variant):
                return result
        return None

    def to_json(self) -> str:
        content = dict(about=self.about, results=[r.to_dict() for r in self.results])
        return json.dumps(content, indent=2) + '\n'

    def to_markdown(self) -> str:
        """A table per condition: metrics down, variants across, with differences."""
        parts = [f'# Without and with enhancement: {self.about.get("config", "")}', '']
        parts += [f'- {key}: {value}' for key, value in self.about.items()]
        parts += [
            '- Δ: difference to the first column. One checkpoint, one set of images; '
            'no interval is computed, so small differences may be chance.'
        ]
        if len(self.conditions) > 1:
            parts += ['', *self._summary()]
        for condition in self.conditions:
            parts += ['', f'## Images: {condition.name}', '', *self._table(condition)]
            parts += ['', *self._verdicts(condition)]
        return '\n'.join(parts) + '\n'

    def _summary(self) -> list[str]:
        """The metric that decides: conditions down, variants across."""
        metric = main_metric(self.results[0].metrics, self.metric)
        lines = [f'## {metric} of all', '', _row(['images', *self.variants])]
        lines.append(_row(['---'] + ['---:'] * len(self.variants)))
        for condition in self.conditions:
            found = [self.find(condition, name) for name in self.variants]
            values = [row.metrics.get(metric, math.nan) if row else None for row in found]
            cells = ['' if value is None else format_value(value) for value in values]
            lines.append(_row([condition.name, *cells]))
        return lines

    def _table(self, condition: Condition) -> list[str]:
        rows = [self.find(condition, name) for name in self.variants]
        found = [row for row in rows if row is not None]
        first, others = found[0], found[1:]
        header = ['metric', first.variant]
        for other in others:
            header += [other.variant, 'Δ']
        lines = [_row(header), _row(['---'] + ['---:'] * (len(header) - 1))]
        for name, value in first.metrics.items():
            cells = [name, format_value(value)]
            for other in others:
                new = other.metrics.get(name, math.nan)
                cells += [format_value(new), format_difference(new - value)]
            lines.append(_row(cells))
        return lines

    def _verdicts(self, condition: Condition) -> list[str]:
        found = [self.find(condition, name) for name in self.variants]
        rows = [row for row in found if row is not None]
        if not rows or not rows[0].metrics:
            return []
        metric = main_metric(rows[0].metrics, self.metric)
        base = rows[0].metrics[metric]
        lines = []
        for row in rows[1:]:
            change = row.metrics.get(metric, math.nan) - base
            lines.append(f'- {row.variant}: {metric} {_verdict(change)}')
        return lines


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
        for name in metrics:
            if wanted_metric in (name, name.rsplit('/', 1)[-1]):
                return name
        raise ConfigError(
            f'there is no metric {wanted_metric!r}; there are {", ".join(metrics)}'
        )
    for wanted in _MAIN_METRICS:
        for name in metrics:
            if name.rsplit('/', 1)[-1] == wanted:
                return name
    return next(iter(metrics))


def format_value(value: float) -> str:
    """Four significant digits; a dash for what is not defined."""
    return '–' if math.isnan(value) else f'{value:.4g}'


def format_difference(value: float) -> str:
    """A signed number, with a true minus sign."""
    return '–' if math.isnan(value) else f'{value:+.3g}'.replace('-', '−')


def _verdict(difference: float) -> str:
    if math.isnan(difference):
        return 'is not defined'
    if abs(difference) < _SAME:
        return 'is the same'
    word = 'rises' if difference > 0 else '**falls**'
    return f'{word} by {format_difference(difference).lstrip("+−")}'


def _row(cells: list[str]) -> str:
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def finite_or_none(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers among a host's metrics, as JSON can hold them: NaN becomes null."""
    return {
        key: float(value) if math.isfinite(value) else None
        for key, value in metrics.items()
        if isinstance(value, Real)
    }
