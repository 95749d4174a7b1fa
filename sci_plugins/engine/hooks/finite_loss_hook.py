"""Stop when the loss becomes NaN or infinite, and keep the last good checkpoint."""

import math
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from sci_plugins.errors import TrainingError
from sci_plugins.registry import HOOKS

_NAMES_SHOWN = 8  # for about as many images a line has room


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends a run whose loss or gradient becomes NaN or infinite, naming the images.

    The failing step has already changed the model, so nothing more is saved, nor ever a checkpoint
    with NaN or infinite entries. The gradient is checked where it is clipped, since its norm is
    known then; mixed precision skips such steps itself.

    Raises:
        TrainingError: with iteration, images and the last good checkpoint.
    """

    priority = 'HIGH'  # before anything is logged, drawn or saved

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        found = (outputs or {}).items()
        values = {name: float(each.detach()) for name, each in found if isinstance(each, Tensor)}
        norm = runner.message_hub.log_scalars.get('train/grad_norm')
        if norm is not None and not isinstance(runner.optim_wrapper, AmpOptimWrapper):
            values['gradient norm'] = norm.current()
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f'{name} is {value} at iteration {runner.iter + 1} (epoch {runner.epoch + 1}), '
                    f'images: {_image_names(data_batch)}; {_last_checkpoint(runner)}. '
                    'Try a smaller learning rate, clip_grad, or leaving these images out'
                )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        for name, value in checkpoint['state_dict'].items():
            if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
                told = f'{name} holds NaN or infinite values at iteration {runner.iter + 1}'
                raise TrainingError(f'{told}, not saved; {_last_checkpoint(runner)}')


def _image_names(data_batch: Any) -> str:
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    names = [str(getattr(sample, 'img_path', '?')) for sample in samples or []]
    more = f' and {len(names) - _NAMES_SHOWN} more' if len(names) > _NAMES_SHOWN else ''
    return (', '.join(names[:_NAMES_SHOWN]) or 'unknown') + more


def _last_checkpoint(runner: Runner) -> str:
    path = Path(runner.work_dir) / 'last_checkpoint'
    there = f'the last good checkpoint is {path.read_text().strip()}' if path.is_file() else ''
    return there or 'no checkpoint had been saved'
