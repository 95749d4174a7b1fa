"""MMEngine's own checkpoints are read, and its loader runs no code any more."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner import checkpoint as loaders
from mmengine.runner.checkpoint import CheckpointLoader
from torch.utils.data import Dataset

from sci_plugins.errors import CheckpointError
from sci_plugins.utils.checkpoint import read_checkpoint, use_safe_loading

FORCE_VARIABLE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'


class _Code:
    """Runs a command when it is unpickled, as a hostile file would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch {self.marker}',)


class _Numbers(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((2,), float(index))


class _Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> Any:
        return dict(loss=self.layer(inputs[0]).square().mean())

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        losses = self((torch.stack(list(data)),), mode='loss')
        optim_wrapper.update_params(losses['loss'])
        return losses


def _train(work_dir: Path, **settings: Any) -> Runner:
    runner = Runner(
        model=_Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=_Numbers(),
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2),
            dict(type='CosineAnnealingLR', T_max=2),
        ],
        custom_hooks=[dict(type='EMAHook')],
        default_scope='mmengine',
        experiment_name=f'test_{work_dir.name}',
        log_level='WARNING',
        **settings,
    )
    runner.message_hub.update_scalar('train/numpy', np.float64(0.5))
    runner.message_hub.update_info('best', np.float32(0.25))
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as MMEngine really writes it: optimizer, schedulers, EMA, hub."""
    folder = tmp_path_factory.mktemp('mmengine_run')
    _train(folder)
    return folder / 'epoch_2.pth'


def test_mmengine_s_own_checkpoints_are_read(trained: Path) -> None:
    found = read_checkpoint(trained)
    wanted = {'meta', 'state_dict', 'ema_state_dict', 'message_hub', 'optimizer'}
    assert wanted <= set(found)
    assert found['param_schedulers']
    history = found['message_hub']['log_scalars']['train/numpy']
    assert type(history).__name__ == 'HistoryBuffer'
    assert history.current() == 0.5
    assert history.statistics('mean') == 0.5
    with pytest.raises(pickle.UnpicklingError):  # torch knows nothing of MMEngine's classes
        torch.load(trained, weights_only=True)


@pytest.fixture()
def safe_loading(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`use_safe_loading`, undone after the test."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(loaders, 'load_url', loaders.load_url)
    monkeypatch.setenv(FORCE_VARIABLE, '0')
    return use_safe_loading


def test_resume_works_with_safe_loading(trained: Path, tmp_path: Path, safe_loading: Any) -> None:
    safe_loading()
    runner = _train(tmp_path, load_from=str(trained), resume=True)
    assert runner.epoch == 2
    assert runner.iter == 4


def _evil(tmp_path: Path) -> tuple[Path, Path]:
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    content = dict(state_dict=_Model().state_dict(), meta=_Code(marker))
    torch.save(content, path)
    return path, marker


def test_mmengine_alone_runs_the_code(tmp_path: Path) -> None:
    """The reason for `use_safe_loading`; if this fails one day it can go."""
    path, marker = _evil(tmp_path)
    try:
        load_checkpoint(_Model(), str(path))
    except pickle.UnpicklingError:
        pytest.skip('mmengine 0.10.7 calls torch.load as it is, which refuses code')
    assert marker.exists()


def test_mmengine_refuses_code_with_safe_loading(tmp_path: Path, safe_loading: Any) -> None:
    path, marker = _evil(tmp_path)
    safe_loading()
    with pytest.raises(CheckpointError, match='system'):
        load_checkpoint(_Model(), str(path))
    with pytest.raises(CheckpointError, match='system'):
        _train(tmp_path / 'run', load_from=str(path))
    assert not marker.exists()


def test_code_in_a_host_s_own_load_is_refused(tmp_path: Path, safe_loading: Any) -> None:
    path, marker = _evil(tmp_path)
    safe_loading()
    with pytest.raises(pickle.UnpicklingError, match='system'):
        torch.load(path, weights_only=False)
    assert not marker.exists()


def test_code_from_an_address_is_refused(
    tmp_path: Path, safe_loading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backbones and `load_from` may name one; MMEngine has another loader for it."""
    path, marker = _evil(tmp_path)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    path.rename(tmp_path / 'checkpoints' / 'evil-0123abcd.pth')  # as if fetched earlier
    safe_loading()
    with pytest.raises(CheckpointError, match=r'evil-0123abcd\.pth, holds posix\.system'):
        load_checkpoint(_Model(), 'http://localhost/evil-0123abcd.pth')
    assert not marker.exists()
    safe_loading(trust=True)
    load_checkpoint(_Model(), 'http://localhost/evil-0123abcd.pth')
    assert marker.exists()


def test_an_address_may_name_a_checkpoint_of_mmengine(
    trained: Path, tmp_path: Path, safe_loading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    shutil.copy(trained, tmp_path / 'checkpoints' / 'whole-0123abcd.pth')
    safe_loading()
    found = CheckpointLoader.load_checkpoint('http://localhost/whole-0123abcd.pth')
    assert found['message_hub']['log_scalars']['train/numpy'].current() == 0.5


def test_trust_is_heard(tmp_path: Path, safe_loading: Any) -> None:
    path, marker = _evil(tmp_path)
    safe_loading()
    safe_loading(trust=True)
    try:
        load_checkpoint(_Model(), str(path))
    except pickle.UnpicklingError:
        pytest.skip('mmengine 0.10.7 calls torch.load as it is, which refuses code')
    assert marker.exists()


def test_a_home_folder_s_path(
    tmp_path: Path, safe_loading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(_Model().state_dict(), tmp_path / 'own.pth')
    safe_loading()
    load_checkpoint(_Model(), '~/own.pth', strict=True)
