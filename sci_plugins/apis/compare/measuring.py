"""Running one contender over the test set."""

import copy
import math
import time
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn

from sci_plugins.engine.hooks import TestProgressHook
from sci_plugins.engine.naming_runner import NamingRunner
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.evaluation.conditions import Condition, darken_dataset

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


#: Numbers of evaluators that say something else than how good a model is.
_NO_METRICS = ('annotation_version',)


def prepare_config(cfg: Config, condition: Condition, work_dir: Path) -> Config:
    """A copy of ``cfg`` whose test images are darkened; logs go below ``work_dir``."""
    prepared = copy.deepcopy(cfg)
    darken_dataset(prepared, condition)
    prepared.work_dir = str(work_dir / 'runs')
    return prepared


def measure(
    cfg: Config, model: nn.Module, name: str, condition: Condition, hooks: Sequence[Hook]
) -> VariantResult:
    """Test a model by MMEngine's Runner.

    Args:
        cfg: what :func:`prepare_config` gave.
        model: with what belongs in front of it.
        name: of the variant.
        condition: of the images in ``cfg``.
        hooks: take part in the run.

    Raises:
        ConfigError: if the evaluator gives no numbers.
    """
    progress = TestProgressHook(f'{condition.name} | {name}')
    runner = NamingRunner(
        model=model,
        work_dir=cfg.work_dir,
        test_dataloader=cfg.test_dataloader,
        test_cfg=cfg.test_cfg,
        test_evaluator=cfg.test_evaluator,
        default_hooks=dict(logger=None, checkpoint=None),
        custom_hooks=[progress, *hooks],
        launcher=cfg.get('launcher', 'none'),
        env_cfg=cfg.get('env_cfg', dict(dist_cfg=dict(backend='nccl'))),
        log_level='WARNING',
        default_scope=cfg.get('default_scope', 'mmengine'),
        experiment_name=f'compare_{time.time_ns()}',
        cfg=cfg,
    )
    started = time.perf_counter()
    try:
        metrics = runner.test()
    finally:
        progress.after_test(runner)  # an error's line begins below the bar
    seconds = time.perf_counter() - started
    images = len(runner.test_dataloader.dataset)
    numbers = _numbers(metrics) or metrics_of_no_detections(runner.test_loop.evaluator.metrics)
    if not numbers:
        raise ConfigError(
            f'the test_evaluator of {cfg.filename} gives no numbers to compare (format_only?)'
        )
    return VariantResult(name, condition, numbers, seconds, images)


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Scalars only; COCO's -1 says "no such objects", not a measured value."""
    return {
        key: float('nan') if value == -1 else float(value)
        for key, value in metrics.items()
        if isinstance(value, Real) and key.rsplit('/', 1)[-1] not in _NO_METRICS
    }
