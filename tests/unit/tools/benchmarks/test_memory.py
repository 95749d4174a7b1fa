"""Peaks of memory, of this process and of one that is started for it."""

from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.memory import Memory, measure_memory, peak_mb
from sci_plugins.errors import SciPluginsError

linux = pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='no /proc on this system')


@linux
@pytest.mark.slow
def test_the_peak_of_a_call_in_a_process_of_its_own():
    """An array of 240 MB, which is freed again; this process does not grow by it."""
    before = peak_mb()
    found = measure_memory('numpy', 'ones', shape=[30_000_000])
    assert 0 < found.after_torch <= found.after_imports < found.peak
    assert 225 < found.above_imports < 250
    assert found.above_torch >= found.above_imports
    assert peak_mb() < before + 50


@pytest.mark.slow
@linux
def test_a_call_that_fails():
    with pytest.raises(SciPluginsError, match=r'memory of ones: TypeError.*nothing'):
        measure_memory('numpy', 'ones', nothing=1)


def test_differences():
    found = Memory(after_torch=100, after_imports=150, peak=400)
    assert (found.above_torch, found.above_imports) == (300, 250)


def test_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(memory, 'Path', lambda name: Path('/nowhere/at/all'))
    assert peak_mb() is None
    assert measure_memory('numpy', 'ones', shape=[1]) is None
