"""Checkpoints that are complete or absent; the last one survives a failed save."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from sci_plugins.errors import DataError
from sci_plugins.registry import HOOKS
from sci_plugins.utils.files import write_atomically

_BACKEND = 'sci_plugins_atomic'
_POINTER = 'last_checkpoint'  # MMEngine's name of the file that names the newest one


@register_backend(_BACKEND, force=True)
class AtomicBackend(LocalBackend):
    """MMEngine's local files, written to a temporary file and renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        # Synced because `last_checkpoint` will point here and an older checkpoint is deleted.
        write_atomically(filepath, obj, sync=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against a full disk and a killed process.

    MMEngine deletes the oldest or the best checkpoint before it writes the new one in place: an
    interruption can leave none that loads. Here every file is written to a temporary one and
    renamed, and an outdated checkpoint is deleted last, from the run's own folder. Takes the
    arguments of ``CheckpointHook`` but ``backend_args``, ``file_client_args``: files are local.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=dict(backend=_BACKEND), **kwargs)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._outdated_steps(runner, step)
        name = self.filename_tmpl.format(step)
        path = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', path)
        settings = ('save_optimizer', 'save_param_scheduler', 'by_epoch', 'backend_args')
        own = {name: getattr(self, name) for name in settings}
        runner.save_checkpoint(self.out_dir, name, meta=meta, **own, **self.args)
        self.last_ckpt = path
        if not is_main_process():
            return
        write_atomically(Path(runner.work_dir) / _POINTER, path, sync=True)
        for old in outdated:
            (Path(str(self.out_dir)) / self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        before = self._best()
        self._set_best(dict.fromkeys(before))  # so that MMEngine deletes none
        super()._save_best_checkpoint(runner, metrics)
        after = self._best()
        self._set_best({key: after[key] or path for key, path in before.items()})
        for key, path in before.items():
            if path and after[key] and is_main_process():
                # In this folder: the path is another one's if the work dir was copied.
                old = Path(str(self.out_dir), Path(path).name)
                if old.name != Path(after[key]).name:
                    old.unlink(missing_ok=True)

    def _best(self) -> dict[str, Any]:
        """Paths of the best checkpoints by metric; a single metric has no name."""
        if len(getattr(self, 'key_indicators', ())) > 1:
            return dict(self.best_ckpt_path_dict)
        return {'': getattr(self, 'best_ckpt_path', None)}

    def _set_best(self, paths: dict[str, Any]) -> None:
        if '' in paths:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict.update(paths)

    def _outdated_steps(self, runner: Runner, step: int) -> list[int]:
        """Steps whose checkpoints exceed ``max_keep_ckpts`` once ``step`` is saved."""
        if self.max_keep_ckpts <= 0:
            return []
        kept = [old for old in self.keep_ckpt_ids if old != step] + [step]
        outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(kept)
        # Saved in the checkpoint, so that a resumed run knows which ones to count.
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        return outdated


def newest_checkpoint(work_dir: str | Path) -> Path | None:
    """What a run in ``work_dir`` resumes from, if anything; ``DataError`` if it is not there."""
    pointer = Path(work_dir) / _POINTER
    if not pointer.is_file():
        return None
    recorded = pointer.read_text(encoding='utf-8', errors='replace').strip()
    found = Path(work_dir) / Path(recorded).name  # the folder in it is wrong after a move or a copy
    if not found.is_file():
        told = f'{work_dir} holds no checkpoint of that name: name one with --resume FILE'
        raise DataError(f'{pointer} names {recorded or "no file"}, and {told}')
    return found
