"""Counts of parameters and operations, against the paper's table and by hand."""

import json

import pytest
import torch
from torch import nn

from benchmarks import cost as module
from benchmarks.cost import ARCHITECTURES, benchmark_cost, count_macs, count_parameters
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import RUASEnhancer, SCIEnhancer

#: SCI's paper, at 600x400: GMACs (called FLOPs there) by chain.
PAPER = {'3-3': 0.0202, '3-3-3': 0.0410, '3-3-3-3': 0.0619, '3-8-8-3': 0.2503, '3-16-16-3': 0.7764}


@pytest.mark.parametrize('chain', list(PAPER))
def test_the_paper_s_operations(chain: str) -> None:
    macs = count_macs(ARCHITECTURES[chain]().eval(), 400, 600)
    assert round(macs / 1e9, 4) == PAPER[chain]


@pytest.mark.parametrize(
    ('name', 'number'),
    [
        ('3-3', 84),
        ('3-3-3', 168),  # the block that is not used does not count
        ('3-3-3-3', 252 + 6),
        ('3-8-8-3', 224 + 584 + 16 + 219),
        ('RUAS-1', 252),
        ('RUAS-3', 252),
    ],
)
def test_parameters(name: str, number: int) -> None:
    assert count_parameters(ARCHITECTURES[name]()) == number


def test_operations_by_hand() -> None:
    one = 10 * 12 * (3 * (81 + 3) + 2 * 3)  # three convolutions of 3 channels, two ReLUs
    assert count_macs(RUASEnhancer(iterations=1).eval(), 10, 12) == one
    assert count_macs(RUASEnhancer(iterations=3).eval(), 10, 12) == 3 * one
    assert count_macs(SCIEnhancer().eval(), 10, 12) == one


def test_a_convolution_without_bias_or_in_groups() -> None:
    enhancer = SCIEnhancer(layers=0, channels=None).eval()
    enhancer.out_conv = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
    assert count_macs(enhancer, 4, 5) == 4 * 5 * 3 * 9


def test_small() -> None:
    result = benchmark_cost(height=12, width=18, threads=1, runs=2)
    assert result.size == (12, 18)
    assert list(result.costs) == list(ARCHITECTURES)
    assert result.machine['threads'] == 1
    fast = {name for name, cost in result.costs.items() if cost.fast_path}
    assert fast == {'3-3-3', '3-3-3-3', '3-8-8-3', '3-16-16-3'}
    default = result.costs['3-3-3-3']
    assert (default.parameters, default.macs) == (258, 12 * 18 * 258)
    assert default.timing.min_ms <= default.timing.median_ms
    lines = result.to_text().splitlines()
    assert '18x12' in lines[1]
    assert [line.split()[0] for line in lines[3:]] == list(ARCHITECTURES)
    assert lines[5].split()[1:3] == ['258', '0.0001']
    stored = json.loads(json.dumps(result.to_json()))
    assert stored['costs']['RUAS-3']['macs'] == result.costs['RUAS-3'].macs


def test_what_is_timed_is_the_enhancer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Slow(SCIEnhancer):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append((tuple(image.shape), torch.is_grad_enabled(), self.training))
            return image

    monkeypatch.setattr(module, 'ARCHITECTURES', {'slow': Slow})
    assert list(benchmark_cost(height=6, width=8, threads=1, runs=1).costs) == ['slow']
    assert set(seen) == {((1, 3, 6, 8), False, False)}


@pytest.mark.parametrize('name', ['height', 'width', 'threads', 'runs'])
def test_refuses(name: str) -> None:
    with pytest.raises(ConfigError, match=f'{name} must be at least 1, got 0'):
        benchmark_cost(**{name: 0})
