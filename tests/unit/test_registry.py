"""The scope `sci_plugins` resolves under every host, and says what is missing."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import ConfigDict
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TASK_UTILS as ROOT_TASK_UTILS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import DefaultScope, Registry

from sci_plugins import registry
from sci_plugins.compat import DISTRIBUTIONS, INSTALL
from sci_plugins.errors import MissingDependencyError
from sci_plugins.registry import (
    HOST_MODULES,
    HOSTS,
    MODELS,
    is_type,
    require_host,
    scope_of,
    type_name_of,
)

PREPROCESSORS = ['EnhancedDetDataPreprocessor', 'EnhancedSegDataPreProcessor']


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg'])
@pytest.mark.parametrize(
    ('root', 'config'),
    [
        (ROOT_MODELS, dict(type='sci_plugins.SCIEnhancer', channels=4)),
        (ROOT_MODELS, dict(type='sci_plugins.SCILoss')),
        (ROOT_TRANSFORMS, dict(type='sci_plugins.EnhanceImage', enhancer='gamma')),
        (ROOT_TRANSFORMS, dict(type='sci_plugins.SynthesizeLowLight', gain=0.1)),
        (ROOT_HOOKS, dict(type='sci_plugins.EnhancementLossHook', weight=0.5)),
    ],
)
def test_names_resolve_under_any_default_scope(
    scope: str, root: Registry, config: dict[str, Any]
) -> None:
    with DefaultScope.overwrite_default_scope(scope):
        built = root.build(config)
    assert type(built).__name__ == config['type'].removeprefix('sci_plugins.')
    assert type(built).__module__.startswith('sci_plugins.')


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_the_scope_must_be_written(scope: str) -> None:
    with (
        DefaultScope.overwrite_default_scope(scope),
        pytest.raises(KeyError, match='SCIEnhancer is not in the'),
    ):
        ROOT_MODELS.build(dict(type='SCIEnhancer'))


def _registries(name: str) -> tuple[Registry, Registry]:
    """MMEngine's own, and ours below it, by the folder of the module."""
    folder = HOST_MODULES[name][0]
    if name.endswith('Assigner'):
        return ROOT_TASK_UTILS, registry.TASK_UTILS
    if '.models.' in folder:
        return ROOT_MODELS, registry.MODELS
    return ROOT_DATASETS, registry.DATASETS


@pytest.mark.parametrize('name', list(HOST_MODULES))
def test_host_dependent_names_import_when_asked_for(name: str) -> None:
    root, _ = _registries(name)
    module, host = HOST_MODULES[name]
    cls = root.get(f'sci_plugins.{name}')
    assert cls is not None
    assert (cls.__name__, cls.__module__) == (name, module)
    of_host = (host, 'mmengine')  # ESPNet, a backbone, is MMEngine's module
    assert any(base.__module__.startswith(of_host) for base in cls.__mro__[1:])


def test_both_preprocessors_are_there() -> None:
    assert set(PREPROCESSORS) < set(HOST_MODULES)


@pytest.mark.parametrize('name', list(HOST_MODULES))
def test_a_missing_host_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, children = _registries(name)
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    monkeypatch.delitem(children.module_dict, name, raising=False)
    host = HOST_MODULES[name][1]
    with pytest.raises(MissingDependencyError) as caught:
        children.get(f'sci_plugins.{name}')
    message = str(caught.value)
    assert f'sci_plugins.{name} needs the package {host}' in message
    assert HOSTS[host].install in message
    assert '\n' not in message


def test_the_extras_exist() -> None:
    text = (Path(__file__).parents[2] / 'pyproject.toml').read_text()
    extras = re.findall(r'^(\w+) = \[', text, re.M)
    wanted = re.findall(r'sci_plugins\[(\w+)\]', INSTALL)
    assert len(wanted) == 2
    assert set(wanted) <= set(extras)


@pytest.mark.parametrize('scope', list(HOSTS))
def test_the_table_of_hosts_is_true(scope: str) -> None:
    """Where a host is installed: what the table says of it is there."""
    pytest.importorskip(scope)
    host = HOSTS[scope]
    assert host.enhanced in (None, *HOST_MODULES)
    assert any(map(_is_installed, DISTRIBUTIONS[scope]))
    with DefaultScope.overwrite_default_scope(scope):
        plain = ROOT_MODELS.get(f'{scope}.{host.preprocessor}')
        assert plain is not None
        assert issubclass(plain, BaseDataPreprocessor)
        if host.enhanced is not None:
            assert issubclass(registry.MODELS.get(host.enhanced), plain)
    with ROOT_TRANSFORMS.switch_scope_and_registry(scope) as transforms:
        assert all(transforms.get(name) for name in host.loaders)


def _is_installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


def test_a_host_that_is_there_passes() -> None:
    require_host('anything', 'mmengine', 'det')


def test_a_host_without_an_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError, match='pip install onedl-mmpretrain'):
        require_host('config x.py', 'mmpretrain')


def _a_function() -> None: ...


@pytest.mark.parametrize(
    ('node', 'name'),
    [
        (dict(type='LoadImageFromFile'), 'LoadImageFromFile'),
        (dict(type='mmdet.LoadImageFromFile'), 'LoadImageFromFile'),
        (dict(type='mmcv.transforms.loading.LoadImageFromFile'), 'LoadImageFromFile'),
        (dict(type=BaseDataPreprocessor), 'BaseDataPreprocessor'),
        (dict(type=_a_function), '_a_function'),
        (dict(type=None), ''),
        (dict(), ''),
        (None, ''),
        ([dict(type='x')], ''),
    ],
)
def test_the_name_of_a_type(node: Any, name: str) -> None:
    assert type_name_of(node) == name
    assert type_name_of(ConfigDict(node) if isinstance(node, dict) else node) == name
    assert is_type(node, 'Other', name)
    assert not is_type(node, 'Other')


class _Foreign:
    pass


_Foreign.__module__ = 'mmdet.models.detectors.own'


class _Own(_Foreign):
    pass


@pytest.mark.parametrize(
    ('cfg', 'scope'),
    [
        (dict(default_scope='mmseg', model=dict(type=_Own)), 'mmseg'),
        (dict(default_scope=None, model=dict(type=_Own)), 'mmdet'),
        (dict(model=dict(type=_Foreign)), 'mmdet'),
        (dict(model=dict(type='mmseg.EncoderDecoder')), 'mmseg'),
        (dict(model=dict(type='EncoderDecoder')), 'mmengine'),
        (dict(model=dict()), 'mmengine'),
        (dict(model=None), 'mmengine'),
        (dict(), 'mmengine'),
    ],
)
def test_the_scope_of_a_config(cfg: dict, scope: str) -> None:
    assert scope_of(cfg) == scope


def test_an_unknown_name_is_none_as_in_every_registry() -> None:
    assert MODELS.get('sci_plugins.Nothing') is None
