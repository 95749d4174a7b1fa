"""After training: the enhancer alone, in a file of a few KB."""

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

import sci_plugins
from sci_plugins.errors import ConfigError
from sci_plugins.registry import HOOKS
from sci_plugins.utils.checkpoint import save_atomically


@HOOKS.register_module()
class ExportEnhancerHook(Hook):
    """Writes ``dict(state_dict=…, meta=recipe)`` of a part of the model.

    The file loads with ``weights_only=True`` (its ``meta`` holds plain Python
    types only) and as ``SCIEnhancer(weights='path/to/file.pth')``. ``meta`` says
    how it came about: architecture, steps, seed, versions, and the settings of
    model, optimizer and data, without the paths of the machine.

    Args:
        file: its name, relative to the work directory.
        module: path of the enhancer inside the model.
        meta: more entries for ``meta``, plain Python types: data, licence, ….
            One that the recipe has already replaces it.

    Raises:
        ConfigError: before training, if the model has no such module.
    """

    # After the parameters are final: an EMA hook restores the averaged ones earlier.
    priority = 'VERY_LOW'

    def __init__(
        self,
        file: str = 'enhancer.pth',
        module: str = 'estimator',
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.file = file
        self.module = module
        self.meta = dict(meta or {})

    def before_train(self, runner: Runner) -> None:
        self._find_module(runner)

    def after_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        path = Path(runner.work_dir) / self.file
        state = {
            name: value.detach().cpu().clone()
            for name, value in self._find_module(runner).state_dict().items()
        }
        save_atomically(dict(state_dict=state, meta=self._recipe(runner)), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        runner.logger.info(f'enhancer exported to {path} (sha256 {digest})')

    def _find_module(self, runner: Runner) -> nn.Module:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        try:
            return model.get_submodule(self.module)
        except AttributeError as error:
            raise ConfigError(
                f'ExportEnhancerHook: {type(model).__name__} has no module '
                f'{self.module!r}'
            ) from error

    def _recipe(self, runner: Runner) -> dict[str, Any]:
        enhancer = self._find_module(runner)
        architecture = {
            key: getattr(enhancer, key)
            for key in ('layers', 'channels')
            if hasattr(enhancer, key)
        }
        recipe = dict(
            type=f'sci_plugins.{type(enhancer).__name__}',
            **architecture,
            input='RGB, float, values in [0, 1], (N, 3, H, W)',
            steps=runner.iter,
            epochs=runner.epoch,
            seed=runner.seed,
            versions=_versions(),
            training=_training_settings(runner.cfg),
        )
        return {**recipe, **_plain(self.meta)}


def _training_settings(cfg: Config) -> dict[str, Any]:
    """What the result depends on; folders would be of no use to anybody else."""
    settings = {key: cfg.get(key) for key in ('model', 'optim_wrapper', 'train_cfg')}
    loader = cfg.train_dataloader
    dataset = {key: loader.dataset[key] for key in loader.dataset if key != 'data_root'}
    settings.update(batch_size=loader.get('batch_size'), dataset=dataset)
    return _plain(settings)


def _plain(value: Any) -> Any:
    """Builtin types only, so that the file loads with ``weights_only=True``."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _versions() -> dict[str, str]:
    return dict(
        sci_plugins=sci_plugins.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        mmengine=str(mmengine.__version__),
    )
