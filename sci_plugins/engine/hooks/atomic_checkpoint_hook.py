"""Checkpoints that are whole or not there, and an old one that outlives a failure."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from sci_plugins.registry import HOOKS
from sci_plugins.utils.files import write_atomically

_BACKEND = 'sci_plugins_atomic'


class AtomicBackend(LocalBackend):
    """MMEngine's local files, written beside their place and renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        # `last_checkpoint` will name this file, and an older one is removed.
        write_atomically(filepath, obj, sync=True)


register_backend(_BACKEND, AtomicBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against a full disk and against being killed.

    MMEngine removes the oldest checkpoint, then writes the new one in place, then
    overwrites ``last_checkpoint``: what stops it in between can leave none that
    loads. Here each file is written beside its place and renamed, and an outdated
    checkpoint goes last. Arguments are those of ``CheckpointHook``; files are local,
    so ``backend_args`` and ``file_client_args`` are not among them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=dict(backend=_BACKEND), **kwargs)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._outdated_steps(runner, step)
        name = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', path)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self.last_ckpt = path
        if not is_main_process():
            return
        write_atomically(Path(runner.work_dir) / 'last_checkpoint', path)
        for old in outdated:
            old_path = Path(str(self.out_dir)) / self.filename_tmpl.format(old)
            old_path.unlink(missing_ok=True)

    def _outdated_steps(self, runner: Runner, step: int) -> list[int]:
        """Steps whose checkpoints are one too many once ``step`` is saved."""
        if self.max_keep_ckpts <= 0:
            return []
        kept = [old for old in self.keep_ckpt_ids if old != step] + [step]
        outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(kept)
        # The checkpoint itself tells a resumed run which ones to count.
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        return outdated
