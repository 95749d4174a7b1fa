"""BatchNorm that uses its running statistics while training."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from sci_plugins.registry import HOOKS


@HOOKS.register_module()
class FrozenNormHook(Hook):
    """Puts all BatchNorm layers in eval mode before each training step.

    A step then depends on its images only, one by one: several processes give what
    one gives with the same global batch. Otherwise each process normalises with the
    statistics of its own share. Scale and shift are trained in either case.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
