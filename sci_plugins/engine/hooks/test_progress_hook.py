"""A progress bar over the test set, instead of a log line every 50 images."""

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from sci_plugins.registry import HOOKS


@HOOKS.register_module()
class TestProgressHook(Hook):
    """Shows how many batches of the test set are done, with ``label`` in front of the bar."""

    __test__ = False  # keeps pytest from collecting the class for its name

    def __init__(self, label: str = '') -> None:
        self.label = label
        self._bar: Any = None

    def before_test(self, runner: Runner) -> None:
        total, hidden = len(runner.test_dataloader), not is_main_process()
        self._bar = tqdm(total=total, desc=self.label, unit='batch', disable=hidden)

    def after_test_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self._bar.update()

    def after_test(self, runner: Runner) -> None:
        if self._bar is not None:  # a test may fail before it begins
            self._bar.close()
