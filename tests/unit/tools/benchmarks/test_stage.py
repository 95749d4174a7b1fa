"""The benchmark of the preprocessing stage, on a small image."""

import pytest

pytest.importorskip('mmdet')

from benchmarks.stage import ENHANCED, PLAIN, STEP, UNFUSED, _calls, benchmark_stage
from sci_plugins.errors import ConfigError


def test_share_of_a_test_step() -> None:
    result = benchmark_stage(height=40, width=70, threads=1, runs=1)
    times = {name: timing.median_ms for name, timing in result.timings.items()}
    assert set(times) == {PLAIN, ENHANCED, UNFUSED, STEP}
    assert result.share == pytest.approx(times[ENHANCED] / times[STEP])
    added = (times[ENHANCED] - times[PLAIN]) / times[STEP]
    assert result.added_share == pytest.approx(added)
    cpu = {name: timing.cpu_ms for name, timing in result.timings.items()}
    assert result.ratio == pytest.approx(cpu[UNFUSED] / cpu[ENHANCED])
    assert f'{result.share:.2%}' in result.to_text()


def test_what_is_timed() -> None:
    """From 8 bits to the host's batch: normalised, padded to a multiple of 32."""
    calls = _calls(40, 70, None)
    plain, enhanced = (calls[name]()['inputs'] for name in (PLAIN, ENHANCED))
    assert plain.shape == enhanced.shape == (1, 3, 64, 96)
    plain, enhanced = plain[..., :40, :70], enhanced[..., :40, :70]
    assert float(plain.max()) < 0  # dark, and mean and std are applied
    assert float(enhanced.mean()) > float(plain.mean()) + 0.1
    assert len(calls[STEP]()) == 1


def test_refuses() -> None:
    with pytest.raises(ConfigError, match='threads must be at least 1, got 0'):
        benchmark_stage(threads=0)
