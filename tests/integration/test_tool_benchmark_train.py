"""The benchmark of the training step, at the command line."""

import json
from pathlib import Path

import pytest

from tests.run_tool import run_tool

SIZE = ('--height', 40, '--width', 60, '--threads', 1, '--runs', 1)


@pytest.mark.slow
def test_train_as_a_user_does(tmp_path: Path) -> None:
    """Two Pythons are started for the memory: some seconds."""
    out = tmp_path / 'train.json'
    code, text, errors = run_tool('benchmark', 'train', *SIZE, '--json', out)
    assert code == 0, errors
    result = json.loads(out.read_text())
    assert result['shape'] == [1, 3, 40, 60]
    assert result['differences']['ours']['loss'] < 1e-6
    assert f'ours: {result["ratios"]["ours"]:.1f} times faster' in text
    if result['memory'] is not None:
        assert set(result['memory']) == {'plain', 'ours'}


def test_compile_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CXX', 'no-such-compiler')
    code, _, errors = run_tool('benchmark', 'train', *SIZE, '--compile')
    assert code == 2
    assert 'C++ compiler' in errors
    assert len(errors.strip().splitlines()) == 1
