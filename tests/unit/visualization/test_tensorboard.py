"""Curves where TensorBoard is installed, one line where it is not."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

from sci_plugins.visualization import tensorboard


def build(tmp_path: Path) -> Any:
    config = dict(type='sci_plugins.TensorboardVisBackend', save_dir=str(tmp_path))
    return VISBACKENDS.build(config)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(tensorboard, 'find_spec', lambda name: None)
    monkeypatch.setattr(tensorboard, 'print_log', lambda text, **_: lines.append(text))
    backend = build(tmp_path)
    backend.add_config(Config(dict(a=1)))
    backend.add_image('image', np.zeros((2, 2, 3), np.uint8))
    backend.add_scalar('loss', 1.0)
    backend.add_scalars(dict(loss=1.0), step=3)
    backend.close()
    assert len(lines) == 1
    assert 'pip install "sci_plugins[train]"' in lines[0]


def test_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for torch's writer, so that the test runs without the package too."""
    calls: list[tuple] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            calls.append(('folder', folder))

        def add_scalar(self, *args: Any) -> None:
            calls.append(args)

        def close(self) -> None:
            calls.append(('close',))

    module = ModuleType('torch.utils.tensorboard')
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', module)
    monkeypatch.setattr(tensorboard, 'find_spec', lambda name: name)
    backend = build(tmp_path)
    backend.add_scalars(dict(loss=1.0), step=3)
    backend.close()
    assert calls == [('folder', str(tmp_path)), ('loss', 1.0, 3), ('close',)]
