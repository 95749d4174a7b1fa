"""NIQE: pyiqa is called rightly, and what is missing is said (a stand-in for pyiqa)."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from mmengine.registry import METRICS

from sci_plugins import registry
from sci_plugins.errors import MissingDependencyError


def build(**options: Any) -> Any:
    return METRICS.build(dict(type='sci_plugins.NIQE', **options))


@pytest.fixture()
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the stand-in was asked for; it fails where a file is named 'bad'."""
    seen: list[Any] = []

    def create_metric(name: str, **options: Any) -> Any:
        seen.append((name, options))
        if options.get('pretrained_model_path') == 'bad':
            raise OSError('no route\nto host')
        return lambda image: image.mean().view(1, 1)

    module = ModuleType('pyiqa')
    module.create_metric = create_metric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'pyiqa', module)
    monkeypatch.setattr(registry, 'find_spec', lambda name: name)
    return seen


def test_it_is_called_with_8_bit_values(calls: list[Any]) -> None:
    metric = build()
    assert calls == [('niqe', dict(device='cpu'))]
    image = torch.full((3, 4, 4), 100.7 / 255)
    assert metric.score(image, image) == pytest.approx(100 / 255)
    assert not metric.needs_reference


def test_parameters_of_ones_own(calls: list[Any]) -> None:
    build(parameters='niqe.mat')
    assert calls[-1][1]['pretrained_model_path'] == 'niqe.mat'


def test_parameters_that_cannot_be_had(calls: list[Any]) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        build(parameters='bad')
    message = str(caught.value)
    assert 'NIQE(parameters=FILE): no route to host' in message
    assert '\n' not in message


def test_without_pyiqa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "sci_plugins\[niqe\]"'):
        build()
