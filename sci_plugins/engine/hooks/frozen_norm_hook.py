"""BatchNorm that uses its running statistics while training."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from sci_plugins.registry import HOOKS


@HOOKS.register_module()
class FrozenNormHook(Hook):
    """Puts all BatchNorm layers in eval mode before each training step.

    Several processes then compute what one does with the same global batch; in train mode each
    would normalise with the statistics of its own share. Scale and shift are still trained.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
