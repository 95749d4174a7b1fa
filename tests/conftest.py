"""Fixtures for all tests."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import ManagerMixin
from yapf.yapflib import yapf_api

from tests.fork_server import stop_server

DATA_VARIABLE = 'SCI_PLUGINS_DATA'
# Its thread has crashed a test process; test modules import ONNX Runtime by themselves.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
_FORMAT_CODE = yapf_api.FormatCode


def pytest_unconfigure() -> None:
    stop_server()


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder with real images (``data/``) and oracle numbers (``golden/``)."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.skip(f'real data: set {DATA_VARIABLE} to the folder that holds it')
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f'{DATA_VARIABLE}={folder} is not a folder')
    return path


@pytest.fixture(params=['cpu', 'cuda'])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device; one that is not there is a visible skip."""
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('no CUDA device on this machine')
    return torch.device(request.param)


@pytest.fixture()
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    # torch.manual_seed also formats the stack, for a GPU that may be used later: 2 ms a test.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


@contextmanager
def _process_as_before() -> Iterator[None]:
    """Undo what tools and Runners change in their process, as its end would.

    Environment variables, who loads checkpoints and what may be in them, and
    MMEngine's current scope, logger and message hub.
    """
    schemes = dict(CheckpointLoader._schemes)
    safe = torch.serialization.get_safe_globals()
    instances = {kind: dict(kind._instance_dict) for kind in _managers()}
    with mock.patch.dict(os.environ):
        yield
    CheckpointLoader._schemes = schemes
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(safe)
    for kind in _managers():
        kind._instance_dict.clear()
        kind._instance_dict.update(instances.get(kind, {}))


def _managers(kind: type = ManagerMixin) -> list[type]:
    below = [found for sub in kind.__subclasses__() for found in _managers(sub)]
    return [kind, *below]


@pytest.fixture(scope='session', autouse=True)
def _configs_are_not_formatted() -> Iterator[None]:
    """MMEngine formats a config several times a run by yapf: half a second for a large one."""
    with mock.patch.object(yapf_api, 'FormatCode', lambda text, **_: (text, False)):
        yield


@pytest.fixture()
def formatted_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that looks at the text of a config."""
    monkeypatch.setattr(yapf_api, 'FormatCode', _FORMAT_CODE)


@pytest.fixture(scope='module', autouse=True)
def _quick_garbage_collection() -> None:
    """MMEngine collects garbage for each data set: a second with all hosts imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='module', autouse=True)
def _module_leaves_no_trace() -> Iterator[None]:
    with _process_as_before():
        yield


@pytest.fixture(autouse=True)
def _test_leaves_no_trace() -> Iterator[None]:
    with _process_as_before():
        yield
