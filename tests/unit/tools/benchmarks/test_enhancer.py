"""The benchmark of the enhancer: what it compares, not how fast that is."""

import json

import pytest
import torch

from benchmarks import enhancer as module
from benchmarks.enhancer import (
    CLOSED,
    adaptive_stage,
    benchmark_enhancer,
    plain_enhance,
    randomize,
    unfused,
)
from sci_plugins.errors import ConfigError
from sci_plugins.functional.kernels import sci_fused
from sci_plugins.models.enhancers import SCIEnhancer


def test_small() -> None:
    result = benchmark_enhancer(height=12, width=18, batch=2, threads=1, runs=2)
    assert result.shape == (2, 3, 12, 18)
    stages = {'adaptive', 'without shrinkage', 'off', 'statistics', 'adaptive, PyTorch alone'}
    ways = {'plain', 'ours', 'ours, uint8 to uint8', 'ours, PyTorch alone'}
    assert set(result.timings) == ways | stages
    assert set(result.adaptive) == set(result.adaptive_cpu) == stages
    assert result.adaptive_cpu['off'] == pytest.approx(
        result.timings['off'].cpu_ms / result.timings['ours'].cpu_ms
    )
    assert result.machine['threads'] == 1
    assert result.max_difference <= 1e-5
    plain, ours = result.timings['plain'], result.timings['ours']
    assert result.ratio == pytest.approx(plain.median_ms / ours.median_ms)
    assert result.ratio_of_fastest == pytest.approx(plain.min_ms / ours.min_ms)
    assert result.ratio_of_cpu == pytest.approx(plain.cpu_ms / ours.cpu_ms)
    text = result.to_text()
    assert '2x3x12x18' in text
    assert f'{result.max_difference:.1e}' in text
    assert json.loads(json.dumps(result.to_json()))['ratio'] == result.ratio


def test_a_wrong_result_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SCIEnhancer.forward
    monkeypatch.setattr(SCIEnhancer, 'forward', lambda self, x: right(self, x) + 0.125)
    result = benchmark_enhancer(height=5, width=5, threads=1, runs=1)
    assert result.max_difference == pytest.approx(0.125, abs=1e-4)


def test_ours_is_the_fast_path_and_plain_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = SCIEnhancer().eval()
    image = torch.rand(1, 3, 4, 4)
    with torch.no_grad():
        assert enhancer.folds(image)
    monkeypatch.setattr(SCIEnhancer, 'forward', None)
    monkeypatch.setattr(SCIEnhancer, 'illuminate', None)
    monkeypatch.setattr(SCIEnhancer, 'estimate_illumination', None)
    assert plain_enhance(enhancer, image).shape == image.shape


@torch.no_grad()
def test_the_stages_do_what_they_are_timed_for() -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.3
    decisions = [
        adaptive_stage(*closed).decide(image)
        for closed in ((0, 0, 0), (0, CLOSED, 0), (CLOSED, CLOSED, CLOSED))
    ]
    assert [bool((each.strengths > 0).all()) for each in decisions] == [True, False, False]
    assert [bool(each.is_off) for each in decisions] == [False, False, True]


def test_random_weights_can_be_seen() -> None:
    enhancer = SCIEnhancer().eval()
    image = torch.rand(1, 3, 9, 9)
    with torch.no_grad():
        before = plain_enhance(enhancer, image)
        randomize(enhancer, torch.Generator().manual_seed(0))
        assert float((plain_enhance(enhancer, image) - before).abs().max()) > 0.05
    assert float(enhancer.block_norm.running_var.min()) > 0


def test_refuses() -> None:
    with pytest.raises(ConfigError, match='batch must be at least 1, got 0'):
        benchmark_enhancer(batch=0)
    assert module.benchmark_enhancer is benchmark_enhancer


def test_unfused_is_without_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sci_fused.SWITCH, raising=False)
    before = sci_fused.is_on()
    assert unfused(sci_fused.is_on)() is False
    assert sci_fused.is_on() is before
