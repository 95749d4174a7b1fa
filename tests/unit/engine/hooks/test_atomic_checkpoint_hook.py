"""Old checkpoints outlive a disk that is full, and there are never fewer than one."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook

from sci_plugins.engine.hooks import atomic_checkpoint_hook
from sci_plugins.engine.hooks.atomic_checkpoint_hook import newest_checkpoint
from sci_plugins.errors import DataError
from sci_plugins.utils import files
from tests.tiny_training import make_config, train


def names(work_dir: Path) -> list[str]:
    found = [path.name for path in work_dir.iterdir() if path.is_file()]
    return sorted(name for name in found if not name.endswith('.py'))


def last_checkpoint(work_dir: Path) -> Path:
    return Path((work_dir / 'last_checkpoint').read_text())


class _Watch(Hook):
    """What is on the disk just before each checkpoint is written."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.seen: list[list[str]] = []

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        self.seen.append([path.name for path in sorted(self.work_dir.glob('*.pth'))])


def test_the_oldest_goes_after_the_newest_came(tmp_path: Path) -> None:
    work_dir = tmp_path / 'work'
    watch = _Watch(work_dir)
    config = make_config(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 1})
    train(config, watch)
    assert watch.seen == [[], ['epoch_1.pth'], ['epoch_2.pth']]
    assert names(work_dir) == ['epoch_3.pth', 'last_checkpoint']
    assert last_checkpoint(work_dir) == work_dir / 'epoch_3.pth'


@pytest.mark.parametrize(('keep', 'kept'), [(-1, [1, 2, 3]), (2, [2, 3]), (5, [1, 2, 3])])
def test_as_many_stay_as_wanted(tmp_path: Path, keep: int, kept: list[int]) -> None:
    config = make_config(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': keep})
    train(config)
    found = [path.name for path in sorted((tmp_path / 'work').glob('*.pth'))]
    assert found == [f'epoch_{epoch}.pth' for epoch in kept]


def test_a_resumed_run_counts_the_earlier_ones(tmp_path: Path) -> None:
    train(make_config(tmp_path, **{'train_cfg.max_epochs': 2}))
    train(make_config(tmp_path, resume=True))
    assert names(tmp_path / 'work') == ['epoch_2.pth', 'epoch_3.pth', 'last_checkpoint']


def test_a_checkpoint_that_is_written_again_is_not_outdated(tmp_path: Path) -> None:
    one = {'train_cfg.max_epochs': 1, 'default_hooks.checkpoint.max_keep_ckpts': 1}
    runner = train(make_config(tmp_path, **one))
    (hook,) = (
        each
        for each in runner.hooks
        if isinstance(each, atomic_checkpoint_hook.AtomicCheckpointHook)
    )
    hook._save_checkpoint_with_step(runner, 1, {})
    assert names(tmp_path / 'work') == ['epoch_1.pth', 'last_checkpoint']


@pytest.mark.parametrize('metrics', [['acc'], ['acc', 'iou']])
def test_a_better_one_is_there_before_the_best_one_goes(tmp_path: Path, metrics: list[str]) -> None:
    best = dict(save_best=metrics if metrics[1:] else 'acc', rule='greater', max_keep_ckpts=1)
    settings = {f'default_hooks.checkpoint.{key}': value for key, value in best.items()}
    runner = train(make_config(tmp_path, **{'train_cfg.max_epochs': 1}, **settings))
    (hook,) = (each for each in runner.hooks if hasattr(each, 'save_best'))
    watch = _Watch(tmp_path / 'work')
    runner.register_hook(watch)
    copy = shutil.copytree(tmp_path / 'work', tmp_path / 'copy')

    def save(epoch: int, value: float) -> None:
        watch.seen.clear()
        runner._train_loop._epoch = epoch
        hook._save_best_checkpoint(runner, dict.fromkeys(metrics, value))

    def found(folder: Path) -> set[str]:
        return {path.name for path in folder.glob('best_*')}

    def files_of(epoch: int) -> set[str]:
        return {f'best_{metric}_epoch_{epoch}.pth' for metric in metrics}

    save(1, 0.5)
    save(2, 0.1)
    assert watch.seen == []
    assert found(tmp_path / 'work') == files_of(1)
    save(3, 0.7)
    assert all(files_of(1) <= set(seen) for seen in watch.seen)
    assert found(tmp_path / 'work') == files_of(3)
    for path in (tmp_path / 'work').glob('best_*'):
        shutil.copy(path, copy)
    hook.out_dir = runner._work_dir = str(copy)  # resumed there
    save(4, 0.9)
    assert found(tmp_path / 'work') == files_of(3)
    assert found(copy) == files_of(4)


@pytest.mark.parametrize('full_at', ['epoch_2.pth', 'last_checkpoint'])
def test_a_full_disk_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    """Half a file is written, then the disk is full."""
    work_dir = tmp_path / 'work'
    write = atomic_checkpoint_hook.write_atomically

    def fill(file: Any, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, 'No space left on device')

    def write_or_fail(path: Any, content: Any, sync: bool = False) -> None:
        assert sync  # an older checkpoint is removed after it
        full = Path(path).name == full_at and (work_dir / 'last_checkpoint').exists()
        with monkeypatch.context() as patch:
            if full:
                patch.setattr(files, 'write_all', fill)
            write(path, content, sync=sync)

    monkeypatch.setattr(atomic_checkpoint_hook, 'write_atomically', write_or_fail)
    config = make_config(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 1})
    with pytest.raises(OSError, match='No space left'):
        train(config)
    assert last_checkpoint(work_dir) == work_dir / 'epoch_1.pth'
    assert not [path for path in work_dir.iterdir() if path.name.startswith('.')]
    for path in work_dir.glob('*.pth'):
        torch.load(path, weights_only=False)

    monkeypatch.setattr(atomic_checkpoint_hook, 'write_atomically', write)
    runner = train(make_config(tmp_path, resume=True))
    assert runner.epoch == 3
    assert last_checkpoint(work_dir) == work_dir / 'epoch_3.pth'


def test_resuming_stays_in_the_folder_that_was_named(tmp_path: Path) -> None:
    """A copied work dir names the checkpoint of the folder that it was copied from."""
    train(make_config(tmp_path, **{'train_cfg.max_epochs': 2}))
    shutil.copytree(tmp_path / 'work', tmp_path / 'copy')
    assert last_checkpoint(tmp_path / 'copy') == tmp_path / 'work' / 'epoch_2.pth'
    assert newest_checkpoint(tmp_path / 'copy') == tmp_path / 'copy' / 'epoch_2.pth'
    (tmp_path / 'copy' / 'epoch_2.pth').unlink()
    with pytest.raises(
        DataError, match=r'copy/last_checkpoint names .*epoch_2\.pth.*--resume FILE'
    ):
        newest_checkpoint(tmp_path / 'copy')


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    (tmp_path / 'last_checkpoint').write_text('')
    with pytest.raises(DataError, match='names no file'):
        newest_checkpoint(tmp_path)
