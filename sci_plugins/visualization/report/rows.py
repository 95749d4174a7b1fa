"""The results of a comparison in the order in which they are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sci_plugins.evaluation.comparison import Comparison, VariantResult

#: Variants that say no more than the model's own label does.
_AS_IT_IS = ('', 'config')


@dataclass(frozen=True)
class ConditionRows:
    """All results under one condition."""

    condition: str
    base: VariantResult
    others: list[VariantResult]

    @property
    def analysed(self) -> list[VariantResult]:
        """The results that have intervals."""
        return [result for result in self.others if analysis_of(result) is not None]


def label_of(result: VariantResult) -> str:
    """The variant, and the model where it is not the first one."""
    model = getattr(result, 'model', '')
    if not model:
        return result.variant
    if result.variant in (*_AS_IT_IS, model):
        return str(model)
    return f'{model}: {result.variant}'


def analysis_of(result: VariantResult) -> Any:
    """What is known of the result against the base, or ``None``."""
    return getattr(result, 'analysis', None)


def rows_of(comparison: Comparison) -> list[ConditionRows]:
    """The results condition by condition, the base apart."""
    rows = []
    for condition in comparison.conditions:
        results = [r for r in comparison.results if r.condition == condition]
        base = _base(results, comparison.about.get('base'))
        others = [result for result in results if result is not base]
        rows.append(ConditionRows(condition.name, base, others))
    return rows


def labels_of(rows: Sequence[ConditionRows]) -> list[str]:
    """Names of what was compared with the base, each once, in order."""
    return list(dict.fromkeys(label_of(other) for row in rows for other in row.others))


def _base(results: Sequence[VariantResult], name: str | None) -> VariantResult:
    names = [name, *(found.base for found in map(analysis_of, results) if found)]
    for result in results:
        if label_of(result) in names:
            return result
    return results[0]
