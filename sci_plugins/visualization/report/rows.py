"""The results of a comparison in the order in which they are told."""

from collections.abc import Sequence
from dataclasses import dataclass

from sci_plugins.evaluation.analysis import VariantAnalysis
from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.evaluation.conditions import Condition

#: Variants that say no more than the model's own label does.
_AS_IT_IS = ('', 'config')


@dataclass(frozen=True)
class ConditionRows:
    """All results under one condition."""

    condition: str
    base: VariantResult
    others: list[VariantResult]

    @property
    def analyses(self) -> dict[str, VariantAnalysis]:
        """Label -> what is known against the base, of the results that have intervals."""
        return {
            label_of(result): result.analysis
            for result in self.others
            if result.analysis is not None
        }


def label_of(result: VariantResult) -> str:
    """The variant, and the model where it is not the first one."""
    if not result.model:
        return result.variant
    if result.variant in (*_AS_IT_IS, result.model):
        return result.model
    return f'{result.model}: {result.variant}'


def rows_of(comparison: Comparison) -> list[ConditionRows]:
    """The results condition by condition, the base apart."""
    rows = []
    for condition in comparison.conditions:
        results = [r for r in comparison.results if r.condition == condition]
        base = _base(results, comparison.about.get('base'), condition)
        others = [result for result in results if result is not base]
        rows.append(ConditionRows(condition.name, base, others))
    return rows


def labels_of(rows: Sequence[ConditionRows]) -> list[str]:
    """Names of what was compared with the base, each once, in order."""
    return list(dict.fromkeys(label_of(other) for row in rows for other in row.others))


def _base(
    results: Sequence[VariantResult], name: str | None, condition: Condition
) -> VariantResult:
    """The base's result; an empty one where it was not measured."""
    names = [name, *(each.analysis.base for each in results if each.analysis)]
    for result in results:
        if label_of(result) in names:
            return result
    if name is None:
        return results[0]
    return VariantResult(name, condition, {}, 0.0, results[0].images)


def all_analyses(rows: Sequence[ConditionRows]) -> list[VariantAnalysis]:
    """Those of all conditions."""
    return [found for row in rows for found in row.analyses.values()]
