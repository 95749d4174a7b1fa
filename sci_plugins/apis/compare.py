"""The main job: one checkpoint, one image set, without and with enhancement."""

import copy
import hashlib
import json
import time
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import init_default_scope
from torch import nn

import sci_plugins
from sci_plugins.apis.attach import attach, detach, find_preprocessor
from sci_plugins.apis.config import require
from sci_plugins.apis.pictures import PictureBook
from sci_plugins.engine.hooks import SampleKeeperHook, TestProgressHook
from sci_plugins.engine.naming_runner import NamingRunner
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import Comparison, VariantResult, main_metric
from sci_plugins.evaluation.conditions import Condition, darken_dataset
from sci_plugins.evaluation.no_detections import metrics_of_no_detections
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import build_enhancer
from sci_plugins.utils.checkpoint import load_fully, read_checkpoint
from sci_plugins.utils.files import write_atomically

#: The variant that runs what the config itself puts in front of the model.
AS_CONFIGURED = 'config'


def compare(
    cfg: Config,
    checkpoint: str,
    variants: Sequence[str],
    *,
    conditions: Sequence[Condition] = (Condition(),),
    work_dir: str | Path,
    pictures: int = 6,
    resume: bool = False,
    trust: bool = False,
    input_order: str = 'bgr',
    metric: str | None = None,
) -> Comparison:
    """Evaluate one model under several enhancers, on the same images.

    Args:
        cfg: any mmdet or mmseg config, plain or with an enhancer.
        checkpoint: weights of the model.
        variants: enhancers by name (see :func:`build_enhancer`); ``'none'`` is
            the model as it is, ``'config'`` what the config has in front. The
            first is what the others are compared with.
        conditions: how the images are darkened before anything else.
        work_dir: gets ``comparison.json``, ``comparison.md`` and ``pictures/``;
            the files are written anew after each variant.
        pictures: how many images of the set to draw, evenly spaced.
        resume: keep the results in ``work_dir`` that were made with the same
            config, checkpoint and images, and measure the rest.
        trust: allow a checkpoint that holds other objects than weights.
        input_order: channel order that the config's pipeline loads.
        metric: the one that decides; see :class:`Comparison`.

    Raises:
        ConfigError: if the config lacks a test set, or a variant or the metric is
            not known.
        CheckpointError: if the checkpoint cannot be loaded.
    """
    require(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    work_dir = Path(work_dir)
    enhancers = _build_variants(variants)  # fails before anything slow
    model = _build_model(cfg, checkpoint, trust)
    slots = dict(none=None, config=_configured_slot(model, variants))
    for name, enhancer in enhancers.items():
        slots[name] = _slot(enhancer, slots['config'], input_order)
    about = _describe(cfg, checkpoint)
    earlier = _earlier_results(work_dir, about) if resume else []
    comparison = Comparison(about, earlier, metric)
    drawn = _spread(cfg, pictures)
    for condition in conditions:
        dark_cfg = _prepare(cfg, condition, work_dir)
        book = PictureBook(work_dir / 'pictures' / condition.slug, go_on=resume)
        for name in variants:
            if comparison.find(condition, name) is not None:
                continue
            _put_in_front(model, slots[name])
            keeper = SampleKeeperHook(drawn)
            result = _measure(dark_cfg, model, name, condition, keeper)
            main_metric(result.metrics, metric)  # an unknown one stops at the first
            comparison.results.append(result)
            book.add(name, keeper)
            book.write()
            if is_main_process():
                write_comparison(comparison, work_dir)
    return comparison


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.json`` and ``comparison.md`` into ``folder``, atomically."""
    write_atomically(folder / 'comparison.json', comparison.to_json())
    write_atomically(folder / 'comparison.md', comparison.to_markdown())


def _build_variants(variants: Sequence[str]) -> dict[str, nn.Module]:
    if not variants or len(set(variants)) != len(variants):
        raise ConfigError(
            f'variants must be different names, at least one; got {list(variants)}'
        )
    return {
        name: build_enhancer(name)
        for name in variants
        if name not in ('none', AS_CONFIGURED)
    }


def _build_model(cfg: Config, checkpoint: str, trust: bool) -> nn.Module:
    content = read_checkpoint(checkpoint, trust=trust)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    _import_custom(cfg)
    model: nn.Module = ROOT_MODELS.build(copy.deepcopy(cfg.model))
    find_preprocessor(model)  # a model without one is refused before any work
    load_fully(model, content, checkpoint)
    return model.eval()


def _import_custom(cfg: Config) -> None:
    if cfg.get('custom_imports'):
        mmengine.utils.import_modules_from_strings(**cfg.custom_imports)


def _configured_slot(model: nn.Module, variants: Sequence[str]) -> dict[str, Any] | None:
    """What the config has in front, as arguments of :func:`attach`."""
    preprocessor = find_preprocessor(model)
    if isinstance(preprocessor, EnhancementMixin):
        names = ('enhancer', 'input_order', 'fill_color')
        return {name: getattr(preprocessor, name) for name in names}
    if AS_CONFIGURED in variants:
        raise ConfigError(
            "variant 'config' needs a config whose data_preprocessor has an enhancer"
        )
    return None


def _slot(
    enhancer: nn.Module, configured: dict[str, Any] | None, input_order: str
) -> dict[str, Any]:
    """Other enhancers see the images as the configured one does."""
    return dict(configured or dict(input_order=input_order), enhancer=enhancer)


def _put_in_front(model: nn.Module, slot: dict[str, Any] | None) -> None:
    detach(model)
    if slot is not None:
        attach(model, **slot)


def _prepare(cfg: Config, condition: Condition, work_dir: Path) -> Config:
    prepared = copy.deepcopy(cfg)
    darken_dataset(prepared, condition)
    prepared.work_dir = str(work_dir / 'runs')
    return prepared


def _measure(
    cfg: Config,
    model: nn.Module,
    name: str,
    condition: Condition,
    keeper: SampleKeeperHook,
) -> VariantResult:
    progress = TestProgressHook(f'{condition.name} | {name}')
    runner = NamingRunner(
        model=model,
        work_dir=cfg.work_dir,
        test_dataloader=cfg.test_dataloader,
        test_cfg=cfg.test_cfg,
        test_evaluator=cfg.test_evaluator,
        default_hooks=dict(logger=None, checkpoint=None),
        custom_hooks=[progress, keeper],
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
    numbers = _numbers(metrics) or metrics_of_no_detections(
        runner.test_loop.evaluator.metrics
    )
    if not numbers:
        raise ConfigError(
            f'the test_evaluator of {cfg.filename} gives no numbers to compare '
            '(format_only?)'
        )
    return VariantResult(name, condition, numbers, seconds, images)


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Scalars only; COCO's -1 says "no such objects", not a measured value."""
    return {
        key: float('nan') if value == -1 else float(value)
        for key, value in metrics.items()
        if isinstance(value, Real)
    }


def _spread(cfg: Config, count: int) -> list[int]:
    """Evenly spaced positions; the set's size is known only once it is built."""
    if count <= 0:
        return []
    loader = NamingRunner.build_dataloader(copy.deepcopy(cfg.test_dataloader))
    size = len(loader.dataset)  # type: ignore[arg-type]
    count = min(count, size)
    return [round(step * (size - 1) / max(count - 1, 1)) for step in range(count)]


def _describe(cfg: Config, checkpoint: str) -> dict[str, Any]:
    """What it takes to repeat the comparison, and to notice that it changed."""
    data = json.dumps(cfg.test_dataloader.to_dict(), sort_keys=True, default=str)
    settings = Config(
        {key: value for key, value in cfg.items() if key not in ('work_dir', 'launcher')}
    )
    return dict(
        config=Path(str(cfg.filename)).name,
        checkpoint=Path(checkpoint).name,
        checkpoint_sha256=hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest(),
        config_sha256=hashlib.sha256(settings.pretty_text.encode()).hexdigest(),
        test_set_sha256=hashlib.sha256(data.encode()).hexdigest(),
        versions=', '.join(
            f'{name} {module.__version__}'
            for name, module in (
                ('sci_plugins', sci_plugins),
                ('torch', torch),
                ('mmengine', mmengine),
            )
        ),
    )


def _earlier_results(folder: Path, about: dict[str, Any]) -> list[VariantResult]:
    path = folder / 'comparison.json'
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f'{path} is damaged: {error}; leave out --resume') from error
    if content.get('about') != about:
        raise ConfigError(
            f'{path} was made with another config, checkpoint or version; choose another '
            '--work-dir or leave out --resume'
        )
    return [VariantResult.from_dict(result) for result in content['results']]
