"""Comparisons made up for the report: numbers by formula, verdicts by their rule."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sci_plugins.evaluation.analysis import GroupResult, VariantAnalysis
from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report import Curve


def make_analysis(
    values: dict[str, tuple[float, float]],
    half: float,
    *,
    base: str = 'none',
    metric: str | None = None,
    units: int = 49,
    images: int = 49,
    thirds: Sequence[str] = (),
) -> VariantAnalysis:
    """An analysis whose intervals reach ``half`` to either side of Δ."""
    intervals = {
        name: Interval(after - before, after - before - half, after - before + half)
        for name, (before, after) in values.items()
    }
    main = metric or next(iter(values))
    parts = [
        make_part(name, images // len(thirds), values[main], index, 1.7 * half)
        for index, name in enumerate(thirds)
    ]
    return VariantAnalysis(
        base=base,
        metric=main,
        images=images,
        units=units,
        resamples=1000,
        seed=0,
        intervals=intervals,
        values=values,
        groups=dict(brightness=parts) if parts else {},
    )


def make_part(
    name: str, images: int, values: tuple[float, float], index: int, half: float
) -> GroupResult:
    """A part of the set, with smaller numbers the higher its ``index``."""
    base, value = values[0] * (1 - 0.3 * index), values[1] * (1 - 0.2 * index)
    delta = value - base
    interval = Interval(delta, delta - half, delta + half)
    return GroupResult(name, images, base, value, interval)


def make_result(
    variant: str,
    condition: Condition,
    metrics: dict[str, float],
    analysis: Any = None,
    images: int = 49,
    note: str = '',
) -> VariantResult:
    return VariantResult(variant, condition, metrics, 1.0, images, analysis=analysis, note=note)


def make_comparison(
    deltas: dict[str, Sequence[float]],
    *,
    metrics: Sequence[str] = ('COCO_AP50',),
    half: float = 0.05,
    start: float = 0.4,
    about: dict[str, Any] | None = None,
    **settings: Any,
) -> Comparison:
    """A comparison with one condition for each value of a variant's deltas.

    Args:
        deltas: variant -> Δ under the conditions, in order.
        metrics: all get the same numbers.
        half: half the length of every interval.
        start: the base's value.
        about: beside the config's name.
        settings: of :func:`make_analysis`.
    """
    results = []
    number = len(next(iter(deltas.values())))
    for index in range(number):
        condition = Condition(None if index == 0 else 0.1 / index)
        numbers = dict.fromkeys(metrics, start)
        results.append(make_result('none', condition, numbers))
        for variant, changes in deltas.items():
            values = dict.fromkeys(metrics, (start, start + changes[index]))
            analysis = make_analysis(values, half, **settings)
            after = {name: value[1] for name, value in values.items()}
            results.append(make_result(variant, condition, after, analysis))
    content = dict(config='faces.py', base='none', resampling='images') | (about or {})
    return Comparison(content, results)


def make_curve(end: float, points: int = 101) -> Curve:
    """Precision that falls from 1 to about a half at recall ``end``."""
    recall = np.linspace(0, end, points)
    precision = 1 - 0.5 * (recall / max(end, 1e-9)) ** 3
    return Curve(recall.tolist(), precision.tolist())
