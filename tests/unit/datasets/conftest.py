"""The night-time segmentation sets' layouts, for all tests of data sets."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

MAKER = Path(__file__).parents[2] / 'data/make_night_sets.py'


@pytest.fixture(scope='session')
def make() -> SimpleNamespace:
    """``tests/data/make_night_sets.py``; its streets are drawn once."""
    return SimpleNamespace(**runpy.run_path(str(MAKER)))
