"""Every config under configs/: it loads, builds, and is what its name says."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from sci_plugins.apis.config import load_config, require
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.models.enhancers.weight_files import OFFICIAL_SHA256

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[2] / 'configs'
FRAGMENTS = sorted(ROOT.rglob('_base_/*.py'))
CONFIGS = sorted(set(ROOT.rglob('*.py')) - set(FRAGMENTS))
#: What the name says of the enhancer, as in `_sci-joint_` or `_sci.py`.
_PART = re.compile(r'_sci(-frozen|-joint)?(?=_|$)')
ENHANCED = [path for path in CONFIGS if path.parent.name != 'sci' and _PART.search(path.stem)]
#: Trained by a host, on a data set that is not ours: only tested.
ZERO_SHOT = [path for path in CONFIGS if '_cityscapes-' in path.stem]
#: A network from a file of its own, frozen: nothing trains it. With labels, a stage is tuned to it.
FROZEN = [path for path in CONFIGS if re.search('_onnx_|_published_(?!.*_labelled)', path.stem)]
BEFORE_RESIZE = [path for path in CONFIGS if '_sci-before-resize_' in path.stem]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope='module', autouse=True)
def _hosts_metafiles_are_read_once() -> Iterator[None]:
    """MMEngine reads all 100 of a host for each config that begins with one of its."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(mmengine.load)
        patch.setattr('mmengine.config.utils.load', once, raising=False)
        yield


@cache
def _load_once(path: Path) -> Config:
    return load_config(str(path))


def _load(path: Path) -> Config:
    """A copy, for several tests look at one config, and some change it."""
    return copy.deepcopy(_load_once(path))


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 10
    assert len(FRAGMENTS) >= 5
    assert len(ENHANCED) >= 6
    assert len(FROZEN) >= 3
    assert len(BEFORE_RESIZE) >= 2
    kinds = {match[1] for path in ENHANCED if (match := _PART.search(path.stem))}
    assert kinds == {None, '-frozen', '-joint'}


@pytest.mark.parametrize('path', FRAGMENTS, ids=_name)
def test_every_fragment_loads(path: Path) -> None:
    assert _load(path)


def _without_official_weights(node: Any) -> None:
    """The authors' files are not in the package; their names are checked."""
    if isinstance(node, dict):
        name = str(node.get('weights') or '')
        if name.startswith('official/'):
            assert name.removeprefix('official/') in OFFICIAL_SHA256
            node['weights'] = None
        for value in node.values():
            _without_official_weights(value)


def _keep(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return tensor


@cache
def _build(scope: str, model: str) -> Any:
    """The data preprocessor of a model, which many test sets share: built once.

    Nobody looks at the random weights, so their drawing is left out.
    """
    init_default_scope(scope)
    with mock.patch.multiple(nn.init, kaiming_uniform_=_keep, kaiming_normal_=_keep):
        built = MODELS.build(json.loads(model))
    assert sum(value.numel() for value in built.parameters()) > 0
    return built.data_preprocessor


@pytest.mark.parametrize('path', sorted(set(CONFIGS) - set(FROZEN)), ids=_name)
def test_every_config_builds_its_model(path: Path) -> None:
    cfg = _load(path)
    require(cfg, 'model')
    if path in ZERO_SHOT:
        assert not any(cfg.get(key) for key in ('train_dataloader', 'train_cfg'))
        assert cfg.load_from
    else:
        require(cfg, 'train_dataloader', 'train_cfg', 'optim_wrapper')
    scope = cfg.get('default_scope')
    assert scope in ('mmdet', 'mmseg', 'mmengine')
    if scope != 'mmengine':  # what the hosts' own tools need without compiled ops
        assert 'sci_plugins' in cfg.custom_imports.imports
        require(cfg, 'test_dataloader', 'test_cfg', 'test_evaluator')
    _without_official_weights(cfg.model)
    preprocessor = _build(scope, json.dumps(cfg.model.to_dict(), sort_keys=True))
    if path in ENHANCED:
        assert isinstance(preprocessor, EnhancementMixin)
        assert isinstance(preprocessor.enhancer, SCIEnhancer)
        assert preprocessor.frozen is ('sci-joint' not in path.stem)


@pytest.mark.parametrize('path', FROZEN, ids=_name)
def test_a_frozen_network_is_for_tests_only(path: Path, shared_data: Path) -> None:
    pytest.importorskip('onnxruntime')
    cfg = _load(path)
    require(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    assert cfg.train_dataloader is None
    assert cfg.get('train_cfg') is None
    assert cfg.get('optim_wrapper') is None
    assert 'sci_plugins' in cfg.custom_imports.imports
    settings = cfg.model.get('host', cfg.model).data_preprocessor  # the model may look twice
    assert settings.get('pad_size_divisor') or settings.test_cfg.size_divisor == 32
    init_default_scope(cfg.default_scope)
    has_parameters = any(True for _ in MODELS.build(cfg.model).parameters())
    assert has_parameters == ('_onnx_' not in path.stem)


@pytest.mark.parametrize('path', BEFORE_RESIZE, ids=_name)
def test_enhancing_before_the_resize_is_one_step_more(path: Path) -> None:
    plain_path = path.with_stem(path.stem.replace('_sci-before-resize', ''))
    plain, ours = (_load(file).to_dict() for file in (plain_path, path))
    added = dict(type='sci_plugins.EnhanceImage', enhancer='sci/official/medium')
    steps = ours['test_dataloader']['dataset']['pipeline']
    assert [step['type'] for step in steps[:3]] == [
        'LoadImageFromFile',
        'sci_plugins.EnhanceImage',
        'Resize',
    ]
    assert steps.pop(1) == added
    assert ours['test_pipeline'].pop(1) == added
    assert ours == plain


@pytest.mark.parametrize('path', ENHANCED, ids=_name)
def test_an_sci_config_is_its_baseline_and_the_enhancer(path: Path) -> None:
    plain_path = path.with_stem(_PART.sub('', path.stem))
    plain, ours = (_load(file).to_dict() for file in (plain_path, path))
    before, after = (cfg['model'].pop('data_preprocessor') for cfg in (plain, ours))
    joint = 'sci-joint' in path.stem
    added = {'enhancer', 'frozen'} if joint else {'enhancer'}
    assert set(after) - set(before) == added
    assert {key for key in before if before[key] != after[key]} == {'type'}
    if joint:
        hooks = ours.pop('custom_hooks')
        earlier = plain.pop('custom_hooks', [])
        assert [hook for hook in hooks if hook not in earlier] == [
            dict(type='sci_plugins.EnhancementLossHook', weight=1.0)
        ]
        assert len(hooks) == len(earlier) + 1
        # As far down as the baseline has it.
        parameters = plain['optim_wrapper'].setdefault('paramwise_cfg', {})
        parameters.setdefault('custom_keys', {})
        keys = ours['optim_wrapper']['paramwise_cfg']['custom_keys']
        rate = keys.pop('data_preprocessor.enhancer')
        assert rate == dict(lr_mult=0.1, decay_mult=0.0)
    assert ours == plain
