"""Set-ups in which the enhancer's own loss makes no sense: one line each."""

from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.model import ImgDataPreprocessor
from torch import nn

from sci_plugins.apis import attach
from sci_plugins.engine.hooks import EnhancementLossHook
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.data_preprocessor = ImgDataPreprocessor()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(weight=0), 'weight must be above 0, got 0'),
        (dict(weight=-1.0), 'above 0, got -1.0'),
        (dict(weight=float('nan')), 'above 0, got nan'),
        (dict(weight=float('inf')), 'above 0, got inf'),
        (dict(weight='1'), "above 0, got '1'"),
        (dict(weight=None), 'above 0, got None'),
    ],
)
def test_wrong_weights(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EnhancementLossHook(**settings)


def test_an_unknown_loss() -> None:
    with pytest.raises(KeyError, match='Nothing is not in the'):
        EnhancementLossHook(loss=dict(type='sci_plugins.Nothing'))


class _NoPreprocessor(nn.Module):
    pass


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (_Model, 'a model with an enhancer.*EnhancedDetDataPreprocessor.*got ImgDataPre'),
        (_NoPreprocessor, 'a model with an enhancer.*got NoneType'),
        (lambda: attach(_Model(), SCIEnhancer()), r'data_preprocessor\.frozen=False'),
        (lambda: attach(_Model(), 'gamma', frozen=False), 'illumination map, got Gamma'),
    ],
    ids=['plain', 'none', 'frozen', 'gamma'],
)
def test_wrong_models_are_refused_before_training(model: Any, message: str) -> None:
    built = model()
    with pytest.raises(ConfigError, match=message) as caught:
        EnhancementLossHook().before_train(SimpleNamespace(model=built))
    assert '\n' not in str(caught.value)
    assert not built._forward_hooks
