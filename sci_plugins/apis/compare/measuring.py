"""Running one contender over the test set; its records, and their files."""

import copy
import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn

from sci_plugins.apis.compare.about import identity_of
from sci_plugins.engine.hooks import ImageResultsHook, TestProgressHook
from sci_plugins.engine.naming_runner import NamingRunner
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.evaluation.conditions import Condition, darken_dataset
from sci_plugins.evaluation.records import ImageRecords, kinds_of_records
from sci_plugins.registry import scope_of
from sci_plugins.utils.files import file_slug, reading_arrays

_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_WHOLE_SET = _ITEMS[:3]
#: What we add to a file of records.
_LUMA, _STAMP = 'mean_luma', 'made_with'


def metrics_of_no_detections(metrics: Iterable[Any]) -> dict[str, float]:
    """The numbers that mmdet's ``CocoMetric`` leaves out where nothing in the set was detected.

    The average precision is 0 then; by size it is NaN, for the set may have no objects of a size.
    """
    found: dict[str, float] = {}
    for metric in metrics:
        names = [base.__name__ for base in type(metric).__mro__]
        if 'CocoMetric' not in names or metric.format_only:  # that was not asked for numbers
            continue
        prefix = f'{metric.prefix}/' if metric.prefix else ''
        for kind in (each for each in metric.metrics if each in ('bbox', 'segm')):
            for item in metric.metric_items or _ITEMS:
                found[f'{prefix}{kind}_{item}'] = 0.0 if item in _WHOLE_SET else math.nan
    return found


def prepare_config(cfg: Config, condition: Condition, work_dir: Path) -> Config:
    """A copy of ``cfg`` whose test images are darkened; logs go below ``work_dir``."""
    prepared = copy.deepcopy(cfg)
    darken_dataset(prepared, condition)
    prepared.work_dir = str(work_dir / 'runs')
    # The Runner formats it four times; yapf would take longer than a small model on a few images.
    object.__setattr__(prepared, '_format_python_code', False)
    return prepared


def measure(
    cfg: Config, model: nn.Module, name: str, condition: Condition, hooks: Sequence[Hook]
) -> VariantResult:
    """Test a model by MMEngine's Runner; ConfigError if the evaluator gives no numbers."""
    progress = TestProgressHook(f'{condition.name} | {name}')
    runner = NamingRunner(
        model=model,
        **{key: cfg[key] for key in ('work_dir', 'test_dataloader', 'test_cfg', 'test_evaluator')},
        default_hooks=dict(logger=None, checkpoint=None),
        custom_hooks=[progress, *hooks],
        launcher=cfg.get('launcher', 'none'),
        env_cfg=cfg.get('env_cfg', dict(dist_cfg=dict(backend='nccl'))),
        log_level='WARNING',
        default_scope=scope_of(cfg),
        experiment_name=f'compare_{time.time_ns()}',
        cfg=cfg,
    )
    started = time.perf_counter()
    try:
        metrics = runner.test()
    finally:
        progress.after_test(runner)  # so that an error's line begins below the bar
    seconds = round(time.perf_counter() - started, 3)
    # Scalars only, one of which is no measure of a model; COCO's -1 means "no such objects".
    numbers = {
        key: math.nan if value == -1 else float(value)
        for key, value in metrics.items()
        if isinstance(value, Real) and key.rsplit('/', 1)[-1] != 'annotation_version'
    } or metrics_of_no_detections(runner.test_loop.evaluator.metrics)
    if not numbers:
        told = 'gives no numbers to compare (format_only?)'
        raise ConfigError(f'the test_evaluator of {cfg.filename} {told}')
    return VariantResult(name, condition, numbers, seconds, len(runner.test_dataloader.dataset))


@dataclass(frozen=True)
class Kept:
    """The records of one contender under one condition."""

    records: ImageRecords
    luma: np.ndarray  # mean luma of each image, in [0, 1], in the order of ``records.ids``

    @property
    def brightness(self) -> dict[str, float] | None:
        """Name -> mean luma; ``None`` if an image has none."""
        known = np.isfinite(self.luma).all()
        return dict(zip(self.records.ids, self.luma.tolist(), strict=True)) if known else None


def make_records(hook: ImageResultsHook) -> Kept | str:
    """The records of what a test run collected, on the main process; or why there are none."""
    results, images = hook.results or [], hook.run.images
    if not images.infos:
        return 'the data set does not list its images (no get_data_info)'
    if [result.index for result in results] != list(range(len(images))):
        return f'{len(results)} of {len(images)} images were tested'
    if any(each.path and each.path != images.paths[each.index] for each in results):
        return "the images are not in their sampler's order"
    if hook.kind is None:
        kinds = ', '.join(sorted(kind.__name__ for kind in kinds_of_records()))
        return f'no class of records accepts these results and this ground truth; asked: {kinds}'
    if bare := sum(result.kept is None for result in results):
        return f'{bare} of {len(results)} images have no ground truth'
    records = hook.kind.collect([result.kept for result in results], hook.run)
    return Kept(records, np.array([result.luma for result in results]))


@dataclass(frozen=True)
class RecordStore:
    """Records in files, ``CONDITION/VARIANT.npz`` below a folder."""

    folder: Path
    about: Mapping[str, Any]  # what the comparison is made with; other files are refused

    def path(self, condition: Condition, variant: str) -> Path:
        """The file of a variant's records under a condition."""
        return self.folder / condition.slug / f'{file_slug(variant)}.npz'

    def save(self, condition: Condition, variant: str, kept: Kept) -> None:
        """Write records, with the mean luma and a stamp of what they were made with."""
        stamp = np.array(self._stamp(condition, variant))
        kept.records.save(self.path(condition, variant), **{_LUMA: kept.luma, _STAMP: stamp})

    def load(self, condition: Condition, variant: str) -> Kept:
        """Read records; DataError if damaged or missing, ConfigError if made with another input."""
        path = self.path(condition, variant)
        with reading_arrays(path, 'records') as content:
            stamp, luma = str(content[_STAMP]), content[_LUMA].astype(float)
            if luma.shape != content['ids'].shape:
                raise ValueError(f'{_LUMA} must have one number per image, got {luma.shape}')
        if stamp != self._stamp(condition, variant):
            told = f'{path} was made with another config, checkpoint, enhancer or version'
            raise ConfigError(f'{told}; choose another --work-dir or leave out --resume')
        return Kept(ImageRecords.load(path), luma)

    def _stamp(self, condition: Condition, variant: str) -> str:
        weights = self.about.get('weights', {}).get(variant)
        made_with = [identity_of(self.about), weights, condition.identity, variant]
        return hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()
