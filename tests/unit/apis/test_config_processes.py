"""What torchrun needs where there is no GPU."""

from typing import Any

import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.config import end_processes, use_gloo_without_gpu
from sci_plugins.errors import ConfigError


@pytest.fixture()
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Backends of the process groups that were started; there is no GPU."""
    backends: list[str] = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: bool(backends))
    monkeypatch.setattr(torch.distributed, 'init_process_group', backends.append)
    return backends


@pytest.mark.parametrize('settings', [dict(), dict(launcher='none')])
def test_a_single_process(started: list[str], settings: dict[str, Any]) -> None:
    cfg = Config(dict(settings))
    use_gloo_without_gpu(cfg)
    assert started == []
    assert 'model_wrapper_cfg' not in cfg


def test_with_a_gpu(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = Config(dict(launcher='pytorch', sync_bn='torch'))
    use_gloo_without_gpu(cfg)
    assert started == []
    assert 'model_wrapper_cfg' not in cfg


def test_torchrun(started: list[str]) -> None:
    cfg = Config(dict(launcher='pytorch', find_unused_parameters=True))
    use_gloo_without_gpu(cfg)
    use_gloo_without_gpu(cfg)
    assert started == ['gloo']
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )


def test_a_wrapper_of_the_users(started: list[str]) -> None:
    wrapper = dict(type='MMSeparateDistributedDataParallel', broadcast_buffers=True)
    cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=wrapper))
    use_gloo_without_gpu(cfg)
    assert cfg.model_wrapper_cfg == wrapper | dict(find_unused_parameters=False, device_ids=None)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(launcher='pytorch', sync_bn='torch'), 'sync_bn needs GPUs'),
        (dict(launcher='slurm'), '--launcher slurm needs GPUs'),
    ],
)
def test_what_needs_gpus(started: list[str], settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        use_gloo_without_gpu(Config(settings))
    assert started == []


def test_all_leave_together(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ('barrier', 'destroy_process_group'):
        monkeypatch.setattr(torch.distributed, name, lambda name=name: calls.append(name))
    end_processes()
    assert calls == []
    started.append('gloo')
    end_processes()
    assert calls == ['barrier', 'destroy_process_group']
