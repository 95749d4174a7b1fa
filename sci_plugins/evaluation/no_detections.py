"""What a COCO metric should say of a model that finds nothing at all."""

import math
from collections.abc import Iterable
from typing import Any

_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_WHOLE_SET = _ITEMS[:3]


def metrics_of_no_detections(metrics: Iterable[Any]) -> dict[str, float]:
    """The numbers that mmdet's ``CocoMetric`` leaves out where nothing was detected.

    Without a single detection in the whole set it logs an error and gives no number,
    though the average precision is known: 0. A dark set and a network trained by
    day are enough for that.

    Args:
        metrics: the evaluator's metrics; other classes than ``CocoMetric`` (and
            those derived from it) add nothing, nor do those that only format.

    Returns:
        The metric's keys: 0 for the whole set; NaN by size, because the set may hold
        no objects of a size.
    """
    found: dict[str, float] = {}
    for metric in metrics:
        if 'CocoMetric' not in [base.__name__ for base in type(metric).__mro__]:
            continue
        if metric.format_only:  # it was not asked for numbers
            continue
        prefix = f'{metric.prefix}/' if metric.prefix else ''
        kinds = [kind for kind in metric.metrics if kind in ('bbox', 'segm')]
        for kind in kinds:
            for item in metric.metric_items or _ITEMS:
                value = 0.0 if item in _WHOLE_SET else math.nan
                found[f'{prefix}{kind}_{item}'] = value
    return found
