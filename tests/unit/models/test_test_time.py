"""Two looks at an image: exact at both ends, the mean of probabilities between."""

import copy
import math
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from sci_plugins.apis.attach import attach, detach
from sci_plugins.errors import CheckpointError, ConfigError, DataError
from sci_plugins.models.test_time import RawEnhancedMerge, merge_logits, merge_probabilities
from sci_plugins.utils.checkpoint import load_fully
from sci_plugins.utils.model_parts import find_preprocessor
from tests.plain_sci import save_visible_weights

pytest.importorskip('mmseg')
CLASSES = 4
HEAD = dict(
    type='FCNHead',
    in_channels=8,
    in_index=1,
    channels=8,
    num_convs=1,
    concat_input=False,
    num_classes=CLASSES,
    norm_cfg=dict(type='BN'),
    align_corners=False,
)
SLIDE = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))


@pytest.fixture(scope='session')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_visible_weights(tmp_path_factory.mktemp('weights') / 'visible.pth')


class _Backbone(nn.Module):
    """Two scales, quick and sensitive to brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.norm(self.first(x)).relu()
        return first, self.second(first)


@pytest.fixture(scope='module', autouse=True)
def _registered() -> Any:
    from mmseg.registry import MODELS

    MODELS.register_module(name='_TwoScales', module=_Backbone, force=True)
    yield
    MODELS.module_dict.pop('_TwoScales')


def _config(weights: Path | None, test_cfg: dict | None = None, **head: Any) -> dict:
    preprocessor: dict[str, Any] = dict(
        type='SegDataPreProcessor',
        mean=[30.0, 30.0, 30.0],
        std=[20.0, 20.0, 20.0],
        bgr_to_rgb=True,
        test_cfg=dict(size_divisor=8),
    )
    if weights is not None:
        preprocessor.update(
            type='sci_plugins.EnhancedSegDataPreProcessor',
            enhancer=dict(type='sci_plugins.SCIEnhancer', weights=str(weights)),
        )
    return dict(
        type='EncoderDecoder',
        data_preprocessor=preprocessor,
        backbone=dict(type='_TwoScales'),
        decode_head=dict(HEAD, **head),
        test_cfg=ConfigDict(test_cfg or dict(mode='whole')),
    )


def _build(config: dict) -> Any:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = ROOT_MODELS.build(copy.deepcopy(config))
    return model.eval()


def _merge(config: dict, weight: float = 0.5) -> Any:
    merge = dict(type='sci_plugins.RawEnhancedMerge', segmentor=config, weight=weight)
    return _build(merge)


def _data(*originals: tuple[int, int]) -> dict:
    """Dark images, resized to 36 x 44 (mmseg wants one size a batch).

    They are padded to 40 x 48, every second one is flipped, and each is judged at its
    original size.
    """
    from mmseg.structures import SegDataSample

    torch.manual_seed(1)
    inputs, samples = [], []
    for index, original in enumerate(originals):
        coarse = torch.rand(1, 3, 9, 11) * 40
        image = nn.functional.interpolate(coarse, (36, 44), mode='bilinear')
        inputs.append(image[0].to(torch.uint8))
        meta = dict(
            img_shape=(36, 44),
            ori_shape=original,
            flip=index % 2 == 1,
            flip_direction='horizontal' if index % 2 else None,
            img_path=f'{index}.png',
        )
        samples.append(SegDataSample(metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


@torch.no_grad()
def _run(model: Any, data: dict) -> list:
    return model.test_step(copy.deepcopy(data))


def _plain(model: Any, data: dict) -> tuple[list, list]:
    """The host's own samples, raw and enhanced, with the same weights."""
    enhanced = _run(model, data)
    return _run(detach(copy.deepcopy(model)), data), enhanced


def _assert_most_probable(classes: torch.Tensor, mean: torch.Tensor) -> None:
    """Where two classes are equally probable, either may be named."""
    torch.testing.assert_close(mean.gather(0, classes)[0], mean.amax(0))


SETTINGS = pytest.mark.parametrize(
    ('test_cfg', 'sizes'),
    [
        (None, [(40, 48)]),
        (None, [(40, 48), (64, 30)]),
        (SLIDE, [(40, 48)]),
        (SLIDE, [(40, 48), (64, 30)]),
    ],
    ids=['whole', 'whole batch', 'slide', 'slide batch'],
)


@SETTINGS
def test_the_ends_are_the_hosts_to_the_bit(weights: Path, test_cfg: Any, sizes: list) -> None:
    config, data = _config(weights, test_cfg), _data(*sizes)
    raw, enhanced = _plain(_build(config), data)
    assert len(raw) == len(sizes)
    for weight, expected in ((0, raw), (1, enhanced)):
        for found, wanted in zip(_run(_merge(config, weight), data), expected, strict=True):
            for key in ('pred_sem_seg', 'seg_logits'):
                assert torch.equal(found.get(key).data, wanted.get(key).data)
            assert found.metainfo == wanted.metainfo
    plain = _build(_config(None, test_cfg))  # never had an enhancer
    load_fully(plain, _build(config).state_dict(), 'day.pth')
    for found, wanted in zip(_run(plain, data), raw, strict=True):
        assert torch.equal(found.seg_logits.data, wanted.seg_logits.data)


@SETTINGS
@pytest.mark.parametrize('weight', [0.5, 0.3])
def test_between_is_the_mean_of_probabilities(
    weights: Path, test_cfg: Any, sizes: list, weight: float
) -> None:
    config, data = _config(weights, test_cfg), _data(*sizes)
    merged = _run(_merge(config, weight), data)
    different = 0
    pairs = zip(*_plain(_build(config), data), strict=True)
    for (raw, enhanced), sample in zip(pairs, merged, strict=True):
        first, second = (each.seg_logits.data.softmax(0) for each in (raw, enhanced))
        mean = (1 - weight) * first + weight * second
        torch.testing.assert_close(sample.seg_logits.data.exp(), mean)
        classes = sample.pred_sem_seg.data
        assert classes.shape == raw.pred_sem_seg.data.shape == (1, *raw.ori_shape)
        assert classes.dtype == raw.pred_sem_seg.data.dtype
        _assert_most_probable(classes, mean)
        assert sample.metainfo == enhanced.metainfo
        different += int((classes != raw.pred_sem_seg.data).sum())
        different += int((classes != enhanced.pred_sem_seg.data).sum())
    assert different > 20


def test_one_channel_is_merged_after_its_sigmoid(weights: Path) -> None:
    head = dict(num_classes=2, out_channels=1)
    config, data = _config(weights, **head), _data((40, 48))
    (raw,), (enhanced,) = _plain(_build(config), data)
    mean = (raw.seg_logits.data + enhanced.seg_logits.data) / 2
    model, threshold = _merge(config), float(mean.quantile(0.3))
    model.segmentor.decode_head.threshold = threshold
    (found,) = _run(model, data)
    torch.testing.assert_close(found.seg_logits.data, mean)
    clear = (mean - threshold).abs() > 1e-6  # elsewhere rounding decides
    wanted = (mean > threshold).float()
    assert torch.equal(found.pred_sem_seg.data[clear], wanted[clear])
    assert 0.6 < found.pred_sem_seg.data.mean() < 0.8
    assert found.pred_sem_seg.data.dtype == raw.pred_sem_seg.data.dtype


def test_each_image_is_enhanced_once(weights: Path) -> None:
    model = _merge(_config(weights, SLIDE))
    enhancer = model.data_preprocessor.enhancer
    with mock.patch.object(enhancer, 'forward', wraps=enhancer.forward) as called:
        _run(model, _data((40, 48), (64, 30)))
    assert called.call_count == 2


def test_the_batch_stays_as_it_is(weights: Path) -> None:
    model, data = _merge(_config(weights)), _data((40, 48))
    before = copy.deepcopy(data)
    with torch.no_grad():
        once, again = model.test_step(data), model.val_step(data)
    assert torch.equal(data['inputs'][0], before['inputs'][0])
    assert data['data_samples'][0].keys() == []
    assert torch.equal(once[0].seg_logits.data, again[0].seg_logits.data)


def test_samples_shared_by_both_looks(weights: Path) -> None:
    """A preprocessor that copies no samples: the second look overwrites the first's."""
    model, data = _merge(_config(weights)), _data((40, 48))
    expected = _run(model, data)
    with mock.patch.object(type(model.data_preprocessor), 'cast_data', lambda _, x: x):
        found = _run(model, data)
    assert torch.equal(found[0].seg_logits.data, expected[0].seg_logits.data)


@pytest.mark.parametrize('enhanced', [False, True])
def test_a_segmentors_checkpoint_loads_in_full(weights: Path, enhanced: bool) -> None:
    segmentor = _build(_config(weights if enhanced else None))
    for parameter in segmentor.parameters():
        parameter.data += 0.01
    content = dict(state_dict=segmentor.state_dict())
    model = _merge(_config(weights))
    load_fully(model, content, 'day.pth')
    for name, value in segmentor.state_dict().items():
        assert torch.equal(model.segmentor.state_dict()[name], value), name


def test_mmengines_own_loader_and_our_own_keys(weights: Path) -> None:
    from mmengine.runner.checkpoint import load_state_dict

    segmentor, model = _build(_config(weights)), _merge(_config(weights))
    for parameter in segmentor.parameters():
        parameter.data += 0.01
    load_state_dict(model, segmentor.state_dict(), strict=True)
    again = _merge(_config(weights))
    assert all(key.startswith('host.') for key in model.state_dict())
    again.load_state_dict(model.state_dict(), strict=True)
    kernel = segmentor.backbone.first.weight
    assert torch.equal(model.segmentor.backbone.first.weight, kernel)
    assert torch.equal(again.segmentor.backbone.first.weight, kernel)


def test_its_older_name_and_keys(weights: Path) -> None:
    """Up to 0.1 the host was its ``segmentor``, also in checkpoints."""
    state = _build(_config(weights)).state_dict()
    state = {f'segmentor.{key}': value + 1 for key, value in state.items()}
    model = RawEnhancedMerge(segmentor=_build(_config(weights)))
    model.load_state_dict(state, strict=True)
    assert model.segmentor is model.host
    first = model.host.backbone.first.weight
    assert torch.equal(first, state['segmentor.backbone.first.weight'])
    for both in (dict(), dict(host=model.host, segmentor=model.host)):
        with pytest.raises(ConfigError, match='takes a model as its host, or as segmentor'):
            RawEnhancedMerge(**both)


def test_an_image_that_stays_as_it_is(weights: Path) -> None:
    """Exactly the raw prediction, beside an image that changes; alone, with one inference."""
    model, data = _merge(_config(weights)), _data((40, 48), (64, 30))
    data['inputs'][0] = data['inputs'][0] * 0 + 200
    plain, _ = _plain(_build(_config(weights)), data)
    attach(model, 'gated/gamma/0.4')
    found = _run(model, data)
    assert torch.equal(found[0].seg_logits.data, plain[0].seg_logits.data)
    assert not torch.equal(found[1].seg_logits.data, plain[1].seg_logits.data)
    with mock.patch.object(model, '_predict', wraps=model._predict) as called:
        one = {name: each[:1] for name, each in data.items()}
        _run(model, one)
    assert called.call_count == 1


def test_a_checkpoint_that_does_not_fit_is_refused(weights: Path) -> None:
    state = _build(_config(weights)).state_dict()
    del state['backbone.first.weight']
    with pytest.raises(CheckpointError, match=r'lacks 1 of \d+ parameters'):
        load_fully(_merge(_config(weights)), state, 'day.pth')


def test_a_built_segmentor_and_another_enhancer(weights: Path) -> None:
    segmentor, data = _build(_config(None)), _data((40, 48))
    raw = _run(segmentor, data)
    model = RawEnhancedMerge(attach(segmentor, 'gamma/0.5'), weight=1).eval()
    assert find_preprocessor(model) is segmentor.data_preprocessor
    bright = _run(model, data)
    attach(model, 'gamma/1.0')
    same = _run(model, data)
    assert not torch.allclose(bright[0].seg_logits.data, raw[0].seg_logits.data)
    torch.testing.assert_close(
        same[0].seg_logits.data, raw[0].seg_logits.data, rtol=1e-3, atol=1e-3
    )


def test_the_runners_preprocessor_goes_to_the_segmentor(weights: Path) -> None:
    """MMEngine's Runner adds a config's top-level one to ``model``."""
    config = _config(weights)
    preprocessor = config.pop('data_preprocessor')
    model = _build(
        dict(type='sci_plugins.RawEnhancedMerge', segmentor=config, data_preprocessor=preprocessor)
    )
    assert model.data_preprocessor is model.segmentor.data_preprocessor
    assert model.data_preprocessor.enhancer is not None
    assert 'data_preprocessor' not in config


def test_it_moves_and_counts_as_one_model(weights: Path, device: torch.device) -> None:
    model = _merge(_config(weights)).to(device)
    found = _run(model, _data((40, 48)))
    assert found[0].seg_logits.data.device.type == device.type
    assert [name for name, _ in model.named_children()] == ['host']
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names)) == len(list(model.segmentor.parameters()))


def test_mistakes(weights: Path) -> None:
    with pytest.raises(ConfigError, match=r'weight must be at most 1, got 2'):
        _merge(_config(weights), 2)
    with pytest.raises(ConfigError, match=r'with an enhancer: its .*SegDataPreProcessor$'):
        _merge(_config(None))
    model = _merge(_config(weights))
    with pytest.raises(ConfigError, match='for tests: train its host'):
        model.train_step({}, None)
    for mode in ('predict', 'loss'):
        with pytest.raises(ConfigError, match=rf"not in forward\(mode='{mode}'\)"):
            model(torch.zeros(1, 3, 16, 16), mode=mode)
    assert model(torch.zeros(1, 3, 16, 16)).shape[1] == CLASSES
    detach(model)
    with pytest.raises(ConfigError, match='needs a host with an enhancer'):
        _run(model, _data((40, 48)))


def test_a_model_without_logits(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _merge(_config(weights))
    whole = model.segmentor.postprocess_result

    def without(*args: Any) -> list:
        samples = whole(*args)
        for sample in samples:
            del sample.seg_logits
        return samples

    monkeypatch.setattr(model.segmentor, 'postprocess_result', without)
    with pytest.raises(ConfigError, match='returns seg_logits, or boxes alone, got pred_sem_seg'):
        _run(model, _data((40, 48)))


@pytest.mark.parametrize('weight', [0.1, 0.5, 0.9])
def test_the_mean_of_probabilities(weight: float, device: torch.device) -> None:
    first, second = torch.randn(2, 5, 40, 50, dtype=torch.float64, device=device) * 4
    merged = merge_logits(first, second, weight)
    mean = (1 - weight) * first.softmax(0) + weight * second.softmax(0)
    torch.testing.assert_close(merged.exp(), mean)
    torch.testing.assert_close(merged.softmax(0), mean)
    _assert_most_probable(merged.argmax(0, keepdim=True), mean)
    logits = (1 - weight) * first + weight * second
    assert (logits.argmax(0) != mean.argmax(0)).any()  # not the same thing


@pytest.mark.parametrize('merge', [merge_logits, merge_probabilities])
def test_the_ends_are_the_inputs(merge: object) -> None:
    first, second = torch.rand(2, 3, 4, 4)
    assert merge(first, second, 0) is first
    assert merge(first, second, 1) is second


def test_no_class_is_lost() -> None:
    """Probabilities of e-300 have no float32; their order stays."""
    first = torch.tensor([0.0, -300, -290]).view(3, 1, 1)
    merged = merge_logits(first, first)
    torch.testing.assert_close(merged, first)
    assert torch.isfinite(merged).all()


def test_half_precision_is_widened() -> None:
    first, second = torch.randn(2, 4, 3, 3).to(torch.bfloat16)
    assert merge_logits(first, second).dtype == torch.float32
    assert merge_probabilities(first, second).dtype == torch.float32
    assert merge_logits(first.double(), second.double()).dtype == torch.float64


def test_one_channel() -> None:
    merged = merge_probabilities(torch.tensor([0.2, 1.0]), torch.tensor([0.6, 0.0]), 0.75)
    torch.testing.assert_close(merged, torch.tensor([0.5, 0.25]))


@pytest.mark.parametrize('merge', [merge_logits, merge_probabilities])
def test_mistakes_of_one_array(merge: object) -> None:
    first = torch.zeros(2, 3, 3)
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match=r'weight must be at (least 0|most 1), got'):
            merge(first, first, weight)
    with pytest.raises(DataError, match=r'the same shape, got \(2, 3, 3\) and \(2, 3, 4\)'):
        merge(first, torch.zeros(2, 3, 4))
