"""A progress bar over a test set, in place of a log line every 50 images."""

from collections.abc import Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from sci_plugins.registry import HOOKS


@HOOKS.register_module()
class TestProgressHook(Hook):
    """Shows how many batches of the test set are done.

    Args:
        label: what stands before the bar.
    """

    __test__ = False  # the name is no wish to be collected by pytest

    def __init__(self, label: str = '') -> None:
        self.label = label
        self._bar: Any = None

    def before_test(self, runner: Runner) -> None:
        self._bar = tqdm(
            total=len(runner.test_dataloader),
            desc=self.label,
            unit='batch',
            disable=not is_main_process(),
        )

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        self._bar.update()

    def after_test(self, runner: Runner) -> None:
        self._bar.close()
