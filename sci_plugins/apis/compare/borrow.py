"""Another config's model on the first config's test set."""

import copy
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.conditions import loading_pipelines

_LOADERS = ('test_dataloader', 'val_dataloader', 'train_dataloader')


def borrow_test_set(cfg: Config, first: Config) -> Config:
    """``cfg`` with the test set and the evaluator of ``first``.

    The model's own test pipeline stays, for it belongs to the model; its last step
    packs what the first one's evaluator needs as well.

    Args:
        cfg: config of the other model; not changed.
        first: config whose test set is used.
    """
    borrowed = copy.deepcopy(cfg)
    borrowed.test_dataloader = copy.deepcopy(first.test_dataloader)
    borrowed.test_evaluator = copy.deepcopy(first.test_evaluator)
    for key in ('test_cfg', 'env_cfg'):
        if cfg.get(key) is None and first.get(key) is not None:
            borrowed[key] = copy.deepcopy(first[key])
    for key in ('launcher', 'model_wrapper_cfg'):  # set by the tool, not by a config
        borrowed.pop(key, None)
        if first.get(key) is not None:
            borrowed[key] = copy.deepcopy(first[key])
    own = _test_pipelines(cfg)
    if own:
        for pipeline in _test_pipelines(borrowed):
            packed = pipeline[-1].get('meta_keys')
            pipeline[:] = copy.deepcopy(own[0])
            _pack(pipeline[-1], packed)
    return borrowed


def check_classes(label: str, cfg: Config, first: Config) -> None:
    """Refuse a model that was made for other classes than those of the test set.

    Args:
        label: names the model.
        cfg: its config.
        first: config whose test set is used.

    Raises:
        ConfigError: naming what differs.
    """
    scopes = cfg.get('default_scope'), first.get('default_scope')
    if scopes[0] != scopes[1]:
        raise ConfigError(f'model {label} is of {scopes[0]}, the first of {scopes[1]}')
    own, wanted = class_names(cfg), class_names(first)
    if own is not None and wanted is not None and own != wanted:
        raise ConfigError(
            f'model {label} must have the classes of the first, '
            f'{_shorten(wanted)}; it has {_shorten(own)}'
        )
    sizes = set(_class_counts(cfg.get('model')))
    if own is None and wanted is not None and sizes and len(wanted) not in sizes:
        raise ConfigError(
            f'model {label} must have {len(wanted)} classes as the first, it has '
            f'{min(sizes)}'
        )


def class_names(cfg: Config) -> tuple[str, ...] | None:
    """Classes of a config's data set, which need not be there; ``None`` if unknown."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    for name in _LOADERS:
        dataset = (cfg.get(name) or {}).get('dataset')
        while dataset and (dataset.get('dataset') or dataset.get('datasets')):
            dataset = dataset.get('dataset') or dataset['datasets'][0]
        if not dataset:
            continue
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind: Any = registry.get(str(dataset.get('type')))
        if hasattr(kind, '_load_metainfo'):
            found = kind._load_metainfo(dataset.get('metainfo')).get('classes')
            return None if found is None else tuple(found)
    return None


def _test_pipelines(cfg: Config) -> list[list]:
    loader = cfg.get('test_dataloader')
    return loading_pipelines(loader.dataset) if loader else []


def _pack(step: dict[str, Any], wanted: Any) -> None:
    if wanted is None or not str(step.get('type')).rsplit('.', 1)[-1].startswith('Pack'):
        return
    step['meta_keys'] = tuple(dict.fromkeys([*step.get('meta_keys', ()), *wanted]))


def _class_counts(node: Any) -> Iterator[int]:
    """``num_classes`` of a model's heads, wherever they stand."""
    if isinstance(node, dict):
        if isinstance(node.get('num_classes'), int):
            yield node['num_classes']
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _class_counts(value)


def _shorten(names: tuple[str, ...]) -> str:
    shown = ', '.join(names[:3])
    return f'{shown}, ... ({len(names)})' if len(names) > 3 else shown
