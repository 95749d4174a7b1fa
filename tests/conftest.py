"""Fixtures for all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

DATA_VARIABLE = 'SCI_PLUGINS_DATA'


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
    torch.manual_seed(0)
