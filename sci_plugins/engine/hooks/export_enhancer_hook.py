"""Export the enhancer alone after training, in a file of a few KB."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from sci_plugins.models.enhancers.export import building_of, save_enhancer
from sci_plugins.registry import HOOKS
from sci_plugins.utils.files import check_outputs
from sci_plugins.utils.model_parts import find_part


@HOOKS.register_module()
@dataclass(eq=False)
class ExportEnhancerHook(Hook):
    """Writes ``dict(state_dict=…, meta=recipe)`` of a part of the model.

    See :func:`sci_plugins.models.enhancers.export.save_enhancer`. ``meta`` holds also steps, seed
    and the settings of model, optimizer and data, without local paths.

    Args:
        file: file name, relative to the work directory.
        module: path of the enhancer inside the model.
        meta: further entries of ``meta``, plain Python types: data, licence, …. They replace those
            of the same name.

    Raises:
        ConfigError: before training, if the model has no such module or it cannot be saved.
    """

    # Last, when the parameters are final: an EMA hook swaps in the averaged ones before this.
    priority = 'VERY_LOW'

    file: str = 'enhancer.pth'
    module: str = 'estimator'
    meta: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        # Refuse now, not after hours, what cannot be saved.
        building_of(self._find_module(runner))
        check_outputs(Path(runner.work_dir) / self.file)

    @master_only
    def after_train(self, runner: Runner) -> None:
        path = Path(runner.work_dir) / self.file
        # What the result depends on, without folders: they mean nothing on another machine.
        settings = {key: runner.cfg.get(key) for key in ('model', 'optim_wrapper', 'train_cfg')}
        loader = runner.cfg.train_dataloader
        dataset = {key: loader.dataset[key] for key in loader.dataset if key != 'data_root'}
        settings |= dict(batch_size=loader.get('batch_size'), dataset=dataset)
        own: Any = dict(steps=runner.iter, epochs=runner.epoch, seed=runner.seed, training=settings)
        digest = save_enhancer(self._find_module(runner), path, **own | (self.meta or {}))
        runner.logger.info(f'enhancer exported to {path} (sha256 {digest})')

    def _find_module(self, runner: Runner) -> nn.Module:
        return find_part(runner.model, self.module, nn.Module, 'ExportEnhancerHook')
