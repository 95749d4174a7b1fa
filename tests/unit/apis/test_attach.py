"""Enhancers in front of models that are already built, and off again."""

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.model import (
    BaseDataPreprocessor,
    BaseModel,
    BaseTTAModel,
    ExponentialMovingAverage,
    ImgDataPreprocessor,
    MMDistributedDataParallel,
)
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sci_plugins import attach, detach
from sci_plugins.errors import ConfigError
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import GammaEnhancer, SCIEnhancer
from sci_plugins.registry import MODELS
from sci_plugins.utils.model_parts import find_preprocessor, unwrap_model
from tests.plain_sci import enhance_host_image, read_weights, save_visible_weights

HOSTS = {
    'mmdet': ('mmdet.DetDataPreprocessor', 'sci_plugins.EnhancedDetDataPreprocessor'),
    'mmseg': ('mmseg.SegDataPreProcessor', 'sci_plugins.EnhancedSegDataPreProcessor'),
}
SETTINGS = dict(mean=[30.0, 20.0, 10.0], std=[5.0, 6.0, 7.0], bgr_to_rgb=True)


class _Model(nn.Module):
    def __init__(self, preprocessor: Any) -> None:
        super().__init__()
        self.data_preprocessor = preprocessor


class _Trained(BaseModel):
    def __init__(self, preprocessor: Any) -> None:
        super().__init__(preprocessor)
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        return dict(loss=self.conv(inputs).mean())


class _Exported(_Model):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + 1


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_visible_weights(tmp_path_factory.mktemp('weights') / 'visible.pth')


@pytest.fixture
def image() -> Tensor:
    return torch.randint(0, 60, (3, 12, 14), dtype=torch.uint8)


@pytest.fixture(params=list(HOSTS))
def host(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def _build(name: str, **more: Any) -> Any:
    if 'SegData' in name:
        more['size_divisor'] = 1
    return MODELS.build(dict(type=name, **SETTINGS, **more))


def _inputs(model: nn.Module, image: Tensor) -> Tensor:
    data = dict(inputs=[image.clone()], data_samples=None)
    return model.data_preprocessor(data, False)['inputs']


def test_it_is_the_same_as_the_two_keys(host: str, weights: Path, image: Tensor) -> None:
    plain, enhanced = HOSTS[host]
    model = _Model(_build(plain))
    assert attach(model, f'sci/{weights}') is model
    spec = dict(type='sci_plugins.SCIEnhancer', weights=str(weights))
    wanted = _Model(_build(enhanced, enhancer=spec))
    ours, theirs = model.data_preprocessor, wanted.data_preprocessor
    assert type(ours) is type(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name in ('frozen', 'norm_eval', 'input_order', 'fill_color', 'keep_pairs'):
        assert getattr(ours, name) == getattr(theirs, name)
    assert torch.equal(_inputs(model, image), _inputs(wanted, image))


def test_detach_gives_the_plain_model_back(host: str, weights: Path, image: Tensor) -> None:
    model = _Model(_build(HOSTS[host][0]))
    kind, keys = type(model.data_preprocessor), list(model.state_dict())
    before = _inputs(model, image)
    attach(model, f'sci/{weights}')
    assert not torch.allclose(_inputs(model, image), before, atol=1)
    for _ in range(2):  # a plain model stays as it is
        assert detach(model) is model
        assert type(model.data_preprocessor) is kind
        assert list(model.state_dict()) == keys
        assert torch.equal(_inputs(model, image), before)


def test_what_was_configured_can_be_taken_off(host: str, image: Tensor) -> None:
    plain, enhanced = HOSTS[host]
    model = _Model(_build(enhanced, enhancer='gamma'))
    detach(model)
    assert torch.equal(_inputs(model, image), _inputs(_Model(_build(plain)), image))


def test_the_last_one_attached_counts(weights: Path, image: Tensor) -> None:
    model = attach(_Model(ImgDataPreprocessor()), 'gamma/0.2')
    attach(model, f'sci/{weights}', input_order='rgb', frozen=False)
    wanted = enhance_host_image(read_weights(weights), image, 'rgb')
    output = _inputs(model, image)[0]
    torch.testing.assert_close(output, wanted, rtol=0, atol=1e-3)
    assert model.data_preprocessor.enhancer.in_conv.weight.requires_grad


def test_another_family_s_preprocessor(weights: Path, image: Tensor) -> None:
    class Own(ImgDataPreprocessor):
        """A user's own, with a step of its own."""

        def forward(self, data: dict, training: bool = False) -> Any:
            return dict(super().forward(data, training), seen=True)

    model = attach(_Model(Own()), f'sci/{weights}')
    preprocessor = model.data_preprocessor
    assert isinstance(preprocessor, Own)
    assert isinstance(preprocessor, EnhancementMixin)
    assert preprocessor(dict(inputs=[image]), False)['seen']
    wanted = enhance_host_image(read_weights(weights), image)
    torch.testing.assert_close(_inputs(model, image)[0], wanted, rtol=0, atol=1e-3)
    twin = copy.deepcopy(model)
    assert torch.equal(_inputs(twin, image), _inputs(model, image))
    assert type(detach(model).data_preprocessor) is Own
    assert isinstance(twin.data_preprocessor, EnhancementMixin)


def test_distributed_and_averaged_models(image: Tensor) -> None:
    """The wrapper runs what was attached, its copy has an enhancer of its own."""
    model = _Trained(ImgDataPreprocessor())
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(model, device_ids=None)
        with pytest.raises(ConfigError, match='before the model is wrapped'):
            attach(wrapped, SCIEnhancer(), frozen=False)
        averaged = ExponentialMovingAverage(attach(wrapped, SCIEnhancer()))
        optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        wrapped.train_step(dict(inputs=[image]), optim)
        averaged.update_parameters(wrapped)
        detach(wrapped)
    finally:
        dist.destroy_process_group()
    assert not hasattr(model.data_preprocessor, 'enhancer')
    twin = find_preprocessor(averaged)
    assert isinstance(twin.enhancer, SCIEnhancer)
    detach(averaged)
    assert type(twin) is ImgDataPreprocessor


def _warns_on_export(model: nn.Module) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.export.export(model.eval(), (torch.rand(1, 3, 4, 4),))
    return any('WITHOUT its GammaEnhancer' in str(each.message) for each in caught)


def test_exporting_warns_while_an_enhancer_is_attached() -> None:
    model = _Exported(ImgDataPreprocessor())
    attach(nn.DataParallel(model), 'gamma')
    attach(model, 'gamma')  # replaced
    with pytest.raises(ConfigError):
        attach(model, 'magic')
    assert len(model._forward_pre_hooks) == 1
    assert _warns_on_export(model)
    for _ in range(2):
        detach(model)
        assert not model._forward_pre_hooks
        assert not _warns_on_export(model)


def test_subclasses_of_mmdet_s_keep_its_fill_colour() -> None:
    pytest.importorskip('mmdet')
    from mmdet.models.data_preprocessors import DetDataPreprocessor

    class Own(DetDataPreprocessor):
        pass

    assert attach(_Model(Own()), 'gamma').data_preprocessor.fill_color == (114,) * 3
    other = attach(_Model(Own()), 'gamma', fill_color=7).data_preprocessor
    assert other.fill_color == (7.0,) * 3
    assert attach(_Model(Own()), 'gamma', fill_color=None).data_preprocessor.fill_color is None
    plain = attach(_Model(ImgDataPreprocessor()), 'gamma').data_preprocessor
    assert plain.fill_color is None


class _TTAModel(BaseTTAModel):
    """Like mmdet's and mmseg's, which have a data preprocessor that nobody calls."""

    def merge_preds(self, data_samples_list: Any) -> Any:
        return data_samples_list


class _Tested(_Model):
    def test_step(self, data: Any) -> Any:
        return data


@pytest.mark.parametrize(
    'wrap',
    [
        nn.DataParallel,
        _TTAModel,
        ExponentialMovingAverage,
        AveragedModel,
        lambda model: nn.DataParallel(_TTAModel(model)),
        lambda model: ExponentialMovingAverage(nn.DataParallel(model)),
    ],
    ids=['parallel', 'test-time', 'moving average', "torch's average", 'two', 'other two'],
)
def test_in_a_wrapper(wrap: Any) -> None:
    wrapped = wrap(_Tested(ImgDataPreprocessor()))
    inner = unwrap_model(wrapped)
    assert type(inner) is _Tested
    assert attach(wrapped, 'gamma') is wrapped
    assert isinstance(inner.data_preprocessor.enhancer, GammaEnhancer)
    assert find_preprocessor(wrapped) is inner.data_preprocessor
    detach(wrapped)
    assert not hasattr(inner.data_preprocessor, 'enhancer')


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_the_hosts_own_test_time_augmentation(scope: str) -> None:
    models = pytest.importorskip(f'{scope}.models')
    kind = dict(mmdet='DetTTAModel', mmseg='SegTTAModel')[scope]
    wrapped = getattr(models, kind)(module=_Tested(ImgDataPreprocessor()))
    attach(wrapped, 'gamma')
    assert isinstance(wrapped.module.data_preprocessor.enhancer, GammaEnhancer)


def test_every_branch_of_semi_supervised_training_is_enhanced(image: Tensor) -> None:
    pytest.importorskip('mmdet')
    from mmdet.models.data_preprocessors import MultiBranchDataPreprocessor
    from mmdet.structures import DetDataSample

    inner = dict(type='mmdet.DetDataPreprocessor')
    model = attach(_Model(MultiBranchDataPreprocessor(inner)), 'gamma/0.5')
    assert isinstance(find_preprocessor(model), EnhancementMixin)
    branches = dict(sup=[image, None], teacher=[None, image])
    samples = dict(sup=[DetDataSample(), None], teacher=[None, DetDataSample()])
    data = model.data_preprocessor(dict(inputs=branches, data_samples=samples), True)
    wanted = 255 * (image / 255) ** 0.5
    for branch in ('sup', 'teacher'):
        torch.testing.assert_close(data['inputs'][branch][0], wanted, rtol=0, atol=1e-3)
    assert type(find_preprocessor(detach(model))).__name__ == 'DetDataPreprocessor'


def test_exporting_a_model_with_branches_warns() -> None:
    pytest.importorskip('mmdet')
    inner = dict(type='sci_plugins.EnhancedDetDataPreprocessor', enhancer='gamma')
    branches = dict(type='mmdet.MultiBranchDataPreprocessor', data_preprocessor=inner)
    assert _warns_on_export(_Exported(MODELS.build(branches)))


class OtherFamilysPreprocessor(BaseDataPreprocessor):
    """As mmpretrain's and upstream mmseg's: below the base class, not the image class."""

    def forward(self, data: dict, training: bool = False) -> Any:
        inputs = self.cast_data(data['inputs'])
        stacked = inputs if isinstance(inputs, Tensor) else torch.stack(inputs)
        return dict(data, inputs=stacked.float() - 10)


@pytest.mark.parametrize('as_list', [False, True])
def test_a_preprocessor_below_the_base_class_only(image: Tensor, as_list: bool) -> None:
    model = attach(_Model(OtherFamilysPreprocessor()), 'gamma/0.5')
    inputs = [image, image] if as_list else torch.stack([image, image])
    result = model.data_preprocessor(dict(inputs=inputs), False)['inputs']
    wanted = 255 * (image / 255) ** 0.5 - 10
    torch.testing.assert_close(result, torch.stack([wanted, wanted]), rtol=0, atol=1e-3)
    assert type(detach(model).data_preprocessor) is OtherFamilysPreprocessor


@pytest.mark.parametrize('kind', [ImgDataPreprocessor, OtherFamilysPreprocessor])
def test_an_attached_model_can_be_saved_whole(kind: Any, image: Tensor, tmp_path: Path) -> None:
    model = attach(_Model(kind()), SCIEnhancer(), frozen=False, input_order='rgb')
    torch.save(model, tmp_path / 'model.pth')
    copies = [
        torch.load(tmp_path / 'model.pth', weights_only=False),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ]
    for twin in copies:
        assert type(twin.data_preprocessor) is type(model.data_preprocessor)
        assert vars(twin.data_preprocessor).keys() == vars(model.data_preprocessor).keys()
        assert list(twin.state_dict()) == list(model.state_dict())
        assert torch.equal(_output(twin, image), _output(model, image))
        assert twin.data_preprocessor.enhancer is not model.data_preprocessor.enhancer
        assert type(detach(twin).data_preprocessor) is kind


def _output(model: nn.Module, image: Tensor) -> Tensor:
    return model.data_preprocessor(dict(inputs=[image]), False)['inputs'][0]


def test_a_saved_model_loads_in_another_process(image: Tensor, tmp_path: Path) -> None:
    model = nn.Module()  # a class that the other process can import
    model.data_preprocessor = ImgDataPreprocessor()
    preprocessor = attach(model, 'gamma/0.5').data_preprocessor
    torch.save((model, image), tmp_path / 'model.pth')
    code = (
        'import sys, torch\n'
        'model, image = torch.load(sys.argv[1], weights_only=False)\n'
        'assert len(model._forward_pre_hooks) == 1\n'
        "print(model.data_preprocessor(dict(inputs=[image]), False)['inputs'].sum().item())"
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'model.pth')], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wanted = preprocessor(dict(inputs=[image]), False)['inputs'].sum().item()
    assert float(done.stdout.splitlines()[-1]) == pytest.approx(wanted)


def test_a_module_is_used_as_it_is_and_follows_the_model() -> None:
    enhancer = SCIEnhancer()
    model = _Model(ImgDataPreprocessor()).train()
    attach(model, enhancer)
    assert model.data_preprocessor.enhancer is enhancer
    assert not enhancer.training  # frozen
    model = attach(_Model(ImgDataPreprocessor().to('meta')), SCIEnhancer())
    assert model.data_preprocessor.enhancer.in_conv.weight.device.type == 'meta'


@pytest.mark.parametrize(
    ('model', 'word'),
    [
        (lambda: nn.Linear(1, 1), 'Linear has no data preprocessor.*NoneType'),
        (lambda: _Model(nn.Identity()), 'got Identity'),
    ],
    ids=['none', 'another module'],
)
@pytest.mark.parametrize('call', [lambda model: attach(model, 'gamma'), detach])
def test_models_that_cannot_be_enhanced(call: Any, model: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        call(model())
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('enhancer', 'settings', 'error'),
    [
        ('magic', {}, ConfigError),
        ('sci/no/such.pth', {}, FileNotFoundError),
        (None, {}, ConfigError),
        ('gamma', dict(input_order='grb'), ConfigError),
        ('gamma', dict(fill_color=(1, 2)), ConfigError),
    ],
)
@pytest.mark.parametrize('earlier', [None, 'gamma/0.3'])
def test_a_mistake_leaves_the_model_as_it_was(
    image: Tensor, enhancer: Any, settings: dict, error: type, earlier: str | None
) -> None:
    model = _Model(ImgDataPreprocessor(**SETTINGS))
    if earlier:
        attach(model, earlier, input_order='rgb')
    kind, before = type(model.data_preprocessor), _inputs(model, image)
    names = set(vars(model.data_preprocessor))
    with pytest.raises(error):
        attach(model, enhancer, **settings)
    assert type(model.data_preprocessor) is kind
    assert set(vars(model.data_preprocessor)) == names
    assert torch.equal(_inputs(model, image), before)
