"""Devices: those that are there, and one line for the rest."""

from typing import Any

import pytest
import torch

from sci_plugins.errors import ConfigError
from sci_plugins.utils.machine import check_device


@pytest.mark.parametrize('name', ['cpu', 'cpu:0', torch.device('cpu')])
def test_a_device_that_is_there(name: Any) -> None:
    assert check_device(name).type == 'cpu'


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('meta', "unknown device 'meta'; use cpu or cuda"),
        ('', "unknown device ''"),
        ('gpu', "unknown device 'gpu'"),
        ('cuda:-1', "unknown device 'cuda:-1'"),
        (None, "unknown device 'None'"),
        ('cpu:1', 'device cpu:1: the last one is cpu:0'),
        ('cuda:99', 'device cuda:99: '),
        ('hpu', "cannot use device 'hpu': "),
        ('xla', "cannot use device 'xla': "),
    ],
)
def test_a_device_that_is_none(name: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_device(name)
    assert str(caught.value).startswith(message)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('count', 'message'), [(0, 'no CUDA device is available'), (2, 'the last one is cuda:1')]
)
def test_a_gpu_beyond_the_last(monkeypatch: pytest.MonkeyPatch, count: int, message: str) -> None:
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    with pytest.raises(ConfigError, match=f'^device cuda:2: {message}$'):
        check_device('cuda:2')
