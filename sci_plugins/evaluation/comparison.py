"""The result of a comparison: one image set, several enhancers or models."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.comparison_text import tell_comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.metric_names import main_metric
from sci_plugins.evaluation.number_text import format_difference, format_value

__all__ = [
    'Comparison',
    'VariantResult',
    'finite_or_none',
    'format_difference',
    'format_value',
    'main_metric',
]


@dataclass(frozen=True)
class VariantResult:
    """Metrics of one enhancer, or of one trained model, under one condition.

    Args:
        variant: its name; no other in the comparison has the same.
        condition: of the images.
        metrics: numbers of the config's own evaluator.
        seconds: that the test took.
        images: that were tested.
        model: label of the trained model; empty for a variant of the first one.
        analysis: what is known of it against the base; ``None`` for the base, and where
            there are no records image by image.
        note: why there are no records.
    """

    variant: str
    condition: Condition
    metrics: dict[str, float]
    seconds: float
    images: int
    model: str = ''
    analysis: VariantAnalysis | None = None
    note: str = ''

    def to_dict(self) -> dict[str, Any]:
        return dict(
            variant=self.variant,
            model=self.model,
            condition=self.condition.to_dict(),
            metrics=finite_or_none(self.metrics),
            seconds=round(self.seconds, 3),
            images=self.images,
            note=self.note,
            analysis=None if self.analysis is None else self.analysis.to_dict(),
        )

    def without_analysis(self) -> 'VariantResult':
        """The same, to be judged anew."""
        return replace(self, analysis=None)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> 'VariantResult':
        condition, analysis = content['condition'], content.get('analysis')
        return cls(
            content['variant'],
            Condition(**{k: v for k, v in condition.items() if k != 'name'}),
            {k: math.nan if v is None else v for k, v in content['metrics'].items()},
            content['seconds'],
            content['images'],
            content.get('model', ''),
            None if analysis is None else VariantAnalysis.from_dict(analysis),
            content.get('note', ''),
        )


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
        content = dict(about=self.about, results=[r.to_dict() for r in self.results])
        return json.dumps(content, indent=2, allow_nan=False) + '\n'

    def to_markdown(self) -> str:
        """A table per condition: metrics down, variants across, with differences."""
        return tell_comparison(self)


def finite_or_none(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers among a host's metrics, as JSON can hold them: NaN becomes null."""
    return {
        key: float(value) if math.isfinite(value) else None
        for key, value in metrics.items()
        if isinstance(value, Real)
    }
