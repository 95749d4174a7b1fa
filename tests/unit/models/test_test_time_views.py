"""Two looks at images that the pipeline has enhanced, before its resize."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from sci_plugins.apis.attach import attach
from sci_plugins.datasets.transforms import EnhanceImage, RawAndEnhanced
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.test_time import RawEnhancedMerge, RawEnhancedSelect, merge_logits
from tests.host_models import LIGHT, build_host

PACK = dict(mmdet='PackDetInputs', mmseg='PackSegInputs')


@pytest.fixture(scope='module', params=LIGHT)
def host(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return build_host(request.param)


def _steps(host: str) -> list[dict]:
    keys = ('img_path', 'ori_shape', 'img_shape', 'scale_factor')
    resize = dict(type=f'{host}.Resize', scale=(64, 64), keep_ratio=False)
    return [resize, dict(type=f'{host}.{PACK[host]}', meta_keys=keys)]


def _loaded(seed: int) -> dict[str, Any]:
    image = np.random.default_rng(seed).integers(5, 60, (96, 128, 3), dtype=np.uint8)
    shapes = dict(img_shape=(96, 128), ori_shape=(96, 128))
    return dict(img=image, img_path=f'{seed}.png', seg_fields=[], **shapes)


def _batch(host: str, enhancer: str = 'gamma/0.4') -> dict[str, Any]:
    step = RawAndEnhanced(enhancer, _steps(host))
    return pseudo_collate([step(_loaded(seed)) for seed in (0, 1)])


def _found(host: str, sample: Any) -> Tensor:
    found = sample.pred_instances.scores if host == 'mmdet' else sample.seg_logits.data
    return found.clone()


def test_the_views_are_those_of_each_way(host: tuple[str, Any]) -> None:
    """The raw one first; the enhanced one as EnhanceImage in front of the same steps makes it."""
    from mmcv.transforms import Compose

    data = _batch(host[0])
    for place, seed in enumerate((0, 1)):
        plain = Compose(_steps(host[0]))(_loaded(seed))
        before = Compose([EnhanceImage('gamma/0.4'), *_steps(host[0])])(_loaded(seed))
        assert torch.equal(data['inputs'][0][place], plain['inputs'])
        assert torch.equal(data['inputs'][1][place], before['inputs'])
        assert not torch.equal(plain['inputs'], before['inputs'])


@torch.no_grad()
def test_merged_are_the_predictions_of_both(host: tuple[str, Any]) -> None:
    name, model = host
    looks = [
        [_found(name, each) for each in model.test_step({k: v[view] for k, v in data.items()})]
        for view, data in ((0, _batch(name)), (1, _batch(name)))
    ]
    for weight in (0, 1):
        found = RawEnhancedMerge(model, weight=weight, views=True).eval().test_step(_batch(name))
        for sample, wanted in zip(found, looks[weight], strict=True):
            torch.testing.assert_close(_found(name, sample), wanted)
    found = RawEnhancedMerge(model, views=True).eval().test_step(_batch(name))
    if name == 'mmseg':
        for sample, *pair in zip(found, *looks, strict=True):
            torch.testing.assert_close(_found(name, sample), merge_logits(*pair))
    select = RawEnhancedSelect(model, views=True).eval()
    for place, sample in enumerate(select.test_step(_batch(name))):
        wanted = looks[sample.selected == 'enhanced'][place]
        torch.testing.assert_close(_found(name, sample), wanted)


@torch.no_grad()
def test_one_inference_where_nothing_changes(
    host: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, model = host
    select, calls = RawEnhancedSelect(model, views=True).eval(), []
    predict = RawEnhancedSelect._predict
    monkeypatch.setattr(
        RawEnhancedSelect, '_predict', lambda self, ready: calls.append(1) or predict(self, ready)
    )
    found = select.test_step(_batch(name, 'none'))
    assert len(calls) == 1
    assert [sample.selected for sample in found] == ['raw', 'raw']


@torch.no_grad()
def test_a_host_with_an_enhancer_does_not_enhance_twice(host: tuple[str, Any]) -> None:
    name, model = host
    plain = RawEnhancedMerge(model, views=True).eval().test_step(_batch(name))
    own = copy.deepcopy(model)
    attach(own, 'gamma/0.3')
    found = RawEnhancedMerge(own, views=True).eval().test_step(_batch(name))
    for one, other in zip(found, plain, strict=True):
        assert torch.equal(_found(name, one), _found(name, other))


def test_other_pipelines_are_told(host: tuple[str, Any]) -> None:
    """Test-time augmentation has lists of views too, flipped ones say."""
    name, model = host
    merge = RawEnhancedMerge(model, views=True).eval()
    data = _batch(name)
    assert [set(each) for each in data['views']] == [{'raw'}, {'enhanced'}]
    del data['views']
    with pytest.raises(ConfigError, match='RawAndEnhanced in the test pipeline, got inputs, data'):
        merge.test_step(data)
    with pytest.raises(ConfigError, match='needs a host with an enhancer'):
        RawEnhancedMerge(model)
    own = attach(copy.deepcopy(model), 'gamma')
    with pytest.raises(ConfigError, match='set views=True'):
        RawEnhancedMerge(own).eval().test_step(_batch(name))
    with pytest.raises(ConfigError, match='RawEnhancedMerge has views=True: its pipeline enhances'):
        attach(merge, 'gamma')


def test_errors_are_those_of_the_step() -> None:
    with pytest.raises(ConfigError, match='input_order'):
        RawAndEnhanced('gamma', [], input_order='rbg')
    with pytest.raises(DataError, match=r'expected an image of shape \(H, W, 3\)'):
        RawAndEnhanced('gamma', [])(dict(img=np.zeros((5, 5), np.uint8)))


def test_it_resolves_in_a_config(tmp_path: Path) -> None:
    from mmcv.transforms import Compose

    steps = [dict(type='sci_plugins.RawAndEnhanced', enhancer='gamma', transforms=[])]
    found = Compose(steps)(dict(img=np.full((8, 8, 3), 40, np.uint8)))
    raw, enhanced = found['img']
    assert (raw == 40).all()
    assert (enhanced > 60).all()
