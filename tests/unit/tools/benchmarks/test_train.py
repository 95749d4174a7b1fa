"""The benchmark of the training step: what it compares, not how fast that is."""

import json
import shutil

import pytest
import torch

from benchmarks import train as module
from benchmarks.memory import Memory
from benchmarks.train import COMPILED, OURS, PLAIN, benchmark_train, run_steps
from sci_plugins.errors import ConfigError

SMALL = dict(height=20, width=32, threads=1, runs=1)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the memory was asked for; a process for each would take seconds."""
    seen: list[dict] = []

    def measure(home: str, function: str, **options: object) -> Memory:
        assert getattr(module, function) is run_steps
        assert home == module.__name__
        seen.append(options)
        return Memory(100, 150, 350 if options['name'] == PLAIN else 200)

    monkeypatch.setattr(module, 'measure_memory', measure)
    return seen


def test_small(asked: list[dict]) -> None:
    result = benchmark_train(**SMALL, batch=2)
    assert result.shape == (2, 3, 20, 32)
    assert set(result.timings) == {PLAIN, OURS}
    plain, ours = result.timings[PLAIN], result.timings[OURS]
    assert result.ratios == {OURS: pytest.approx(plain.median_ms / ours.median_ms)}
    assert result.ratios_of_fastest == {OURS: pytest.approx(plain.min_ms / ours.min_ms)}
    assert [each['name'] for each in asked] == [PLAIN, OURS]
    assert all(each['shape'] == (2, 3, 20, 32) for each in asked)
    text = result.to_text()
    assert '2x3x20x32' in text
    assert '50 MB above the imports (0.25 of the plain one)' in text
    assert '100 MB above torch alone (0.40)' in text
    assert json.loads(json.dumps(result.to_json()))['ratios'] == result.ratios


def test_loss_and_gradients_are_equal() -> None:
    differences = benchmark_train(**SMALL).differences
    assert len(differences) == 2
    single, double = (differences[OURS], differences[f'{OURS}, float64, a quarter of the size'])
    assert single.loss < 1e-6
    assert single.gradient < 5e-3
    assert double.loss < 1e-14
    assert double.gradient < 1e-10
    assert 0 < double.zero_gradient < 1e-10


def test_a_wrong_loss_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module._our_loss
    monkeypatch.setattr(module, '_our_loss', lambda *args: right(*args) * 1.25)
    for each in benchmark_train(**SMALL).differences.values():
        assert each.loss == pytest.approx(0.25, rel=1e-3)
        assert each.gradient == pytest.approx(0.25, rel=0.1)


def test_a_wrong_gradient_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one parameter among 22."""
    right = module._our_loss

    def wrong(learner: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        total = learner.calibrator.in_norm.bias.sum()
        return right(learner, image) + (total - total.detach())

    monkeypatch.setattr(module, '_our_loss', wrong)
    for each in benchmark_train(**SMALL).differences.values():
        assert each.loss < 1e-6
        assert each.gradient > 0.1


def test_every_variant_is_a_whole_step() -> None:
    """All parameters but the four biases move, by Adam's step at most."""
    for name in (PLAIN, OURS):
        step = module._Step(name, *module._start((1, 3, 8, 9), None))
        before = {key: value.clone() for key, value in step.learner.named_parameters()}
        step()
        for key, value in step.learner.named_parameters():
            if key not in module.WITHOUT_EFFECT:
                assert bool((value != before[key]).any()), key
                assert float((value - before[key]).detach().abs().max()) < 3.01e-4


def test_plain_is_plain_and_ours_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, image = module._start((1, 3, 6, 7), None)
    calls = []
    monkeypatch.setattr(module, 'plain_loss', lambda *args: calls.append('plain') or args[1].sum())
    monkeypatch.setattr(module, '_our_loss', lambda *args: calls.append('ours') or args[1].sum())
    for name in (PLAIN, OURS):
        module._Step(name, learner, image).loss(learner, image)
    assert calls == ['plain', 'ours']


def test_compiled(monkeypatch: pytest.MonkeyPatch, asked: list[dict]) -> None:
    compiled = []
    monkeypatch.setattr(module, '_check_compiler', lambda: None)
    monkeypatch.setattr(torch, 'compile', lambda f: compiled.append(f) or f)
    result = benchmark_train(**SMALL, compile=True)
    assert compiled == [module._our_loss]
    assert set(result.ratios) == {OURS, COMPILED}
    assert set(result.differences) > {OURS, COMPILED}
    assert [each['name'] for each in asked] == [PLAIN, OURS, COMPILED]


@pytest.mark.parametrize('chosen', [None, 'no-such-compiler'])
def test_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, asked: list[dict]
) -> None:
    monkeypatch.delenv('CXX', raising=False)
    if chosen:
        monkeypatch.setenv('CXX', chosen)
    else:
        monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.raises(ConfigError, match='needs a C\\+\\+ compiler') as caught:
        benchmark_train(**SMALL, compile=True)
    assert '\n' not in str(caught.value)
    assert asked == []


def test_with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setattr(shutil, 'which', lambda name: '/bin/g++' if name == 'g++' else None)
    module._check_compiler()


def test_without_a_figure_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'measure_memory', lambda *args, **options: None)
    result = benchmark_train(**SMALL)
    assert result.memory is None
    assert 'not reported by this system' in result.to_text()


def test_steps_for_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, calls = torch.get_num_threads(), []
    monkeypatch.setattr(
        module._Step, '__call__', lambda self: calls.append(torch.get_num_threads())
    )
    run_steps(OURS, (1, 3, 6, 7), threads=3, steps=2)
    assert calls == [3, 3]
    assert torch.get_num_threads() == threads


def test_refuses() -> None:
    with pytest.raises(ConfigError, match='batch must be at least 1, got 0'):
        benchmark_train(batch=0)
