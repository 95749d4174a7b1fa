"""The benchmark of exported files: what is timed, compared and told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

from benchmarks import export
from benchmarks.export import PYTORCH, Case, benchmark_export
from sci_plugins.errors import ConfigError
from tests.run_tool import run_tool

CONFIGS = Path(__file__).parents[4] / 'configs/demo'
MODELS = {
    name: Case('sci/sci_plugins/lol', (64, 96), str(CONFIGS / f'{name}_tiny.py'))
    for name in ('faces_retinanet', 'streets_fcn_unet')
}


@pytest.mark.slow
def test_a_real_file() -> None:
    result = benchmark_export(threads=1, runs=1, cases={'gamma': Case('gamma/0.4', (48, 64))})
    times, ratios = result.timings['gamma'], result.ratios['gamma']
    assert list(times)[:2] == [PYTORCH, 'ONNX Runtime']
    assert ratios[PYTORCH] == 1
    ours = times['ONNX Runtime']
    assert ratios['ONNX Runtime'] == pytest.approx(ours.median_ms / times[PYTORCH].median_ms)
    cpu = result.cpu_ratios['gamma']['ONNX Runtime']
    assert cpu == pytest.approx(ours.cpu_ms / times[PYTORCH].cpu_ms)
    assert 0 <= result.differences['gamma']['ONNX Runtime'] < 1e-5
    assert 'gamma 48x64' in result.to_text()
    assert result.to_json()['sizes'] == {'gamma': (48, 64)}


@pytest.mark.parametrize('name', list(MODELS))
def test_what_is_timed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own path, against a file that is the deployable module, 1 % off."""
    kept: list[Any] = []
    monkeypatch.setattr(export, '_export', lambda module: kept.append(module) or b'file')

    def load(content: bytes, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
        assert (content, threads) == (b'file', 3)
        off = [1.01] + [1] * 99
        return lambda images: [
            each.numpy() * factor
            for each, factor in zip(kept[0](export.torch.from_numpy(images)), off, strict=False)
        ]

    monkeypatch.setattr(export, 'runtimes', lambda: {'file': load})
    monkeypatch.setattr(export, 'find_spec', lambda name: None)
    result = benchmark_export(threads=3, runs=1, cases=MODELS, only=name)
    assert list(result.timings) == list(result.sizes) == [name]
    assert result.machine['threads'] == 3
    assert result.differences[name]['file'] == pytest.approx(0.01, rel=0.01)
    assert type(kept[0].enhancer).__name__ == 'SCIEnhancer'


def test_refuses() -> None:
    with pytest.raises(ConfigError, match='runs must be at least 1, got 0'):
        benchmark_export(runs=0)
    code, _, error = run_tool('benchmark', 'export', '--only', 'ResNet')
    assert code == 2
    assert 'YOLOX-nano, SCI' in error
    assert "got 'ResNet'" in error
