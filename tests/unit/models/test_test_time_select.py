"""Raw or enhanced, image by image: what the network is surer of."""

from typing import Any

import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from sci_plugins.apis.attach import attach
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import GammaEnhancer, IdentityEnhancer
from sci_plugins.models.test_time import (
    RawEnhancedSelect,
    detection_confidence,
    segmentation_confidence,
)
from tests.host_models import LIGHT, batch, build_host

SIZE = 64


@pytest.fixture(scope='module', params=LIGHT)
def host(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return build_host(request.param)


def _data(host: str, count: int = 2) -> dict:
    torch.manual_seed(1)
    images = [torch.randint(5, 60, (3, SIZE, SIZE), dtype=torch.uint8) for _ in range(count)]
    return batch(host, images)


def _prediction(host: str, sample: Any) -> Tensor:
    found = sample.pred_instances.scores if host == 'mmdet' else sample.seg_logits.data
    return found.clone()


@torch.no_grad()
def test_one_inference_where_nothing_changes(
    host: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, model = host
    attach(model, IdentityEnhancer())
    select, calls = RawEnhancedSelect(model).eval(), []
    predict = RawEnhancedSelect._predict
    monkeypatch.setattr(
        RawEnhancedSelect, '_predict', lambda self, ready: calls.append(1) or predict(self, ready)
    )
    data = _data(name)
    found = select.test_step(data)
    assert len(calls) == 1
    assert [sample.selected for sample in found] == ['raw', 'raw']
    for sample, plain in zip(found, model.test_step(_data(name)), strict=True):
        torch.testing.assert_close(_prediction(name, sample), _prediction(name, plain))


@torch.no_grad()
def test_the_surer_prediction_of_each_image_is_kept(
    host: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two real looks, with the confidences turned so that each wins once."""
    name, model = host
    attach(model, GammaEnhancer(0.3))
    wanted = [_prediction(name, sample) for sample in model.test_step(_data(name))]
    attach(model, IdentityEnhancer())
    raw = [_prediction(name, sample) for sample in model.test_step(_data(name))]
    attach(model, GammaEnhancer(0.3))
    confidences = iter([0.4, 0.5, 0.6, 0.5])  # enhanced, raw; of each image
    monkeypatch.setattr(
        'sci_plugins.models.test_time._confidence', lambda sample: next(confidences)
    )
    found = RawEnhancedSelect(model).eval().test_step(_data(name))
    assert [sample.selected for sample in found] == ['raw', 'enhanced']
    torch.testing.assert_close(_prediction(name, found[0]), raw[0])
    torch.testing.assert_close(_prediction(name, found[1]), wanted[1])
    if name == 'mmseg':
        classes = raw[0].argmax(0, keepdim=True)
        torch.testing.assert_close(found[0].pred_sem_seg.data, classes)


def test_confidence_of_segmentors() -> None:
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]], [[0.0, 3.0]]])
    likeliest = torch.tensor([2.0, 3.0]).exp() / (torch.tensor([2.0, 3.0]).exp() + 2)
    assert segmentation_confidence(logits) == pytest.approx(float(likeliest.mean()))
    assert segmentation_confidence(torch.tensor([[[0.9, 0.2]]])) == pytest.approx(0.85)


def test_confidence_of_detectors() -> None:
    assert detection_confidence(torch.tensor([])) == 0
    assert detection_confidence(torch.tensor([0.5, 0.9])) == pytest.approx(1.4)
    many = torch.cat([torch.full((20,), 0.5), torch.full((300,), 0.1)])
    assert detection_confidence(many) == pytest.approx(10)


def test_ties_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    name, model = build_host('SegFormer')
    with pytest.raises(ConfigError, match=r'needs a host with an enhancer: its data_preprocessor'):
        RawEnhancedSelect(model)
    attach(model, GammaEnhancer(0.3))
    select = RawEnhancedSelect(model).eval()
    monkeypatch.setattr('sci_plugins.models.test_time._confidence', lambda sample: 0.5)
    assert [sample.selected for sample in select.test_step(_data(name))] == ['raw', 'raw']
    monkeypatch.undo()
    bare = [InstanceData(), PixelData()]
    monkeypatch.setattr(RawEnhancedSelect, '_predict', lambda self, ready: bare)
    with pytest.raises(ConfigError, match='returns seg_logits or scores, got nothing'):
        select.test_step(_data(name))
    with pytest.raises(ConfigError, match='RawEnhancedSelect is for tests: train its host'):
        select.train_step({}, None)


def test_a_plain_checkpoint_loads(host: tuple[str, Any]) -> None:
    _, model = host
    attach(model, IdentityEnhancer())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    RawEnhancedSelect(model).load_state_dict(state)
