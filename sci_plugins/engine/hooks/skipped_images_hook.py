"""Report the images that could not be read during training."""

from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from sci_plugins.registry import HOOKS


@HOOKS.register_module()
class SkippedImagesHook(Hook):
    """Warns of each unreadable image once, and lists all of them at the end.

    For data sets with ``skip_unreadable=True``, whose samples say what was skipped.
    """

    def __init__(self) -> None:
        #: File -> why it could not be read.
        self.skipped: dict[str, str] = {}

    def before_train(self, runner: Runner) -> None:
        self.skipped = {}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples or []:
            for path, cause in getattr(sample, 'skipped', ()):
                if path not in self.skipped:
                    self.skipped[path] = cause
                    runner.logger.warning(f'skipped: {_tell(path, cause)}')

    def after_train(self, runner: Runner) -> None:
        for part in all_gather_object(self.skipped):
            self.skipped.update(part)
        if self.skipped and is_main_process():
            lines = [_tell(path, cause) for path, cause in sorted(self.skipped.items())]
            runner.logger.warning(
                f'skipped {len(lines)} of {len(runner.train_dataloader.dataset)} images, which '
                'cannot be read:\n  ' + '\n  '.join(lines)
            )


def _tell(path: str, cause: str) -> str:
    return cause if path in cause else f'{path}: {cause}'
