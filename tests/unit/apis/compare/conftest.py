"""A tiny real segmentor for all tests of the comparison."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.compare import measuring
from sci_plugins.apis.config import load_config

TINY = runpy.run_path(str(Path(__file__).parents[3] / 'data' / 'make_tiny.py'))


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are so small that a second thread only costs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def seg(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, str]:
    folder = tmp_path_factory.mktemp('seg')
    config = TINY['write_segmentation'](folder)
    return load_config(str(config)), str(TINY['write_checkpoint'](config))


@pytest.fixture(scope='module')
def det(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, str]:
    folder = tmp_path_factory.mktemp('det')
    config = TINY['write_detection'](folder)
    return load_config(str(config)), str(TINY['write_checkpoint'](config))


@pytest.fixture()
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the variants that are really run; 'stop' stands for Ctrl-C."""
    names: list[str] = []
    real = measuring.measure

    def measure(cfg: Config, model: Any, name: str, *rest: Any) -> Any:
        if names and names[-1] == 'stop':
            names.pop()
            raise KeyboardInterrupt
        names.append(name)
        return real(cfg, model, name, *rest)

    monkeypatch.setattr(measuring, 'measure', measure)
    return names
