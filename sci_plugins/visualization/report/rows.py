"""The results of a comparison in the order in which they are told."""

from collections.abc import Sequence
from dataclasses import dataclass

from sci_plugins.evaluation.analysis import VariantAnalysis
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
    def analyses(self) -> dict[str, VariantAnalysis]:
        """Label -> what is known against the base, of the results that have intervals."""
        found = {label_of(result): analysis_of(result) for result in self.others}
        return {label: analysis for label, analysis in found.items() if analysis}


def label_of(result: VariantResult) -> str:
    """The variant, and the model where it is not the first one."""
    model = getattr(result, 'model', '')
    if not model:
        return result.variant
    if result.variant in (*_AS_IT_IS, model):
        return str(model)
    return f'{model}: {result.variant}'


def analysis_of(result: VariantResult) -> VariantAnalysis | None:
    """What is known of the result against the base, if anything is."""
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


def all_analyses(rows: Sequence[ConditionRows]) -> list[VariantAnalysis]:
    """Those of all conditions."""
    return [found for row in rows for found in row.analyses.values()]
