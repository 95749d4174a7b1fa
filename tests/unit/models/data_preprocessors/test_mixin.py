"""One battery for all preprocessors; the expected values come from plain PyTorch."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel, ExponentialMovingAverage, ImgDataPreprocessor
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.kernels import sci_fused
from sci_plugins.models.enhancers import BaseEnhancer
from tests.plain_sci import enhance_host_image, read_weights
from tests.unit.models.data_preprocessors.conftest import sample

TOLERANCE = 1e-3  # grey levels of 255
SIZES = [(16, 16), (17, 23), (1, 1), (1, 9), (40, 3)]


@pytest.fixture
def expected(weights: Any) -> Any:
    state = read_weights(weights)

    def make(image: Tensor, order: str = 'bgr') -> Tensor:
        return enhance_host_image(state, image, order)

    return make


def assert_same(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.float64])
def test_enhances_as_plain_pytorch_does(
    build: Any, run: Any, picture: Any, expected: Any, dtype: Any
) -> None:
    preprocessor = build()
    for size in SIZES:
        image = picture(*size).to(dtype)
        for inputs in (image[None], [image]):
            output = run(preprocessor, inputs)
            assert output.dtype == torch.float32
            assert_same(output, expected(image)[None])
            assert (output - image).abs().mean() > 10  # the weights do something


def test_input_order_says_which_channel_is_red(
    build: Any, run: Any, picture: Any, expected: Any
) -> None:
    image = picture(12, 12)
    from_bgr = run(build(), [image])
    from_rgb = run(build(input_order='rgb'), [image])
    assert_same(from_rgb[0], expected(image, 'rgb'))
    assert_same(from_bgr[:, [2, 1, 0]], run(build(input_order='rgb'), [image[[2, 1, 0]]]))
    assert (from_bgr - from_rgb).abs().max() > 10


@pytest.mark.parametrize('bgr_to_rgb', [False, True])
def test_host_normalises_after_enhancing(
    build: Any, run: Any, picture: Any, expected: Any, bgr_to_rgb: bool
) -> None:
    mean, std = [100.0, 50.0, 20.0], [50.0, 60.0, 70.0]
    image = picture(12, 13)
    output = run(build(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb), [image])
    enhanced = expected(image)[[2, 1, 0] if bgr_to_rgb else [0, 1, 2]]
    normalised = (enhanced - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert_same(output[0], normalised)


def test_images_of_several_sizes_are_enhanced_before_they_are_padded(
    build: Any, run: Any, picture: Any, expected: Any
) -> None:
    images = [picture(9, 14, seed=1), picture(13, 6, seed=2)]
    output = run(build(), images, training=True)
    for padded, image in zip(output, images, strict=True):
        height, width = image.shape[1:]
        assert_same(padded[:, :height, :width], expected(image))
        assert padded[:, height:].abs().sum() == 0
        assert padded[:, :, width:].abs().sum() == 0


def test_batched_is_the_same_as_single(build: Any, run: Any, picture: Any) -> None:
    preprocessor = build()
    images = [picture(15, 15, seed) for seed in range(3)]
    single = torch.cat([run(preprocessor, [image]) for image in images])
    assert_same(run(preprocessor, images), single)
    assert_same(run(preprocessor, torch.stack(images)), single)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_input_is_not_changed(
    build: Any, run: Any, picture: Any, dtype: Any, training: bool
) -> None:
    image = picture(30, 30).to(dtype)
    image[:, 18:] = 114  # as a pipeline pads
    before = image.clone()
    run(build(fill_color=114, frozen=False), [image], training)
    run(build(fill_color=114), image[None], training)
    assert torch.equal(image, before)


def test_values_outside_the_range_are_clamped(build: Any, run: Any, picture: Any) -> None:
    image = picture(8, 8).float()
    image[0, 0, 0], image[2, 7, 7] = -40.0, 300.0
    output = run(build(), [image])
    assert torch.equal(output, run(build(), [image.clamp(0, 255)]))
    assert output.min() >= 0
    assert output.max() <= 255


def test_autocast_changes_nothing(build: Any, run: Any, picture: Any) -> None:
    preprocessor, images = build(), [picture(20, 20)]
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
        inside = run(preprocessor, images)
    assert inside.dtype == torch.float32
    assert_same(inside, run(preprocessor, images))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_the_division_is_at_least_float32_whatever_the_model_becomes(
    build: Any, run: Any, picture: Any, dtype: Any
) -> None:
    image = picture(20, 20)
    wanted = run(build(), [image])
    output = run(build().to(dtype), [image])
    assert output.dtype == torch.float32
    # Weights keep 8 (bfloat16) or more significant bits: the result moves by that.
    torch.testing.assert_close(output, wanted, rtol=0.05, atol=2.0)
    assert len(output.unique()) > 200  # no 8-bit mantissa in the images


def test_copies_and_pickles(build: Any, run: Any, picture: Any) -> None:
    preprocessor, images = build(frozen=False), [picture(10, 10)]
    wanted = run(preprocessor, images)
    for other in (copy.deepcopy(preprocessor), pickle.loads(pickle.dumps(preprocessor))):
        assert torch.equal(run(other, images), wanted)
        assert other.enhancer is not preprocessor.enhancer


def test_checkpoint_with_the_enhancer_gives_its_weights(build: Any, run: Any, picture: Any) -> None:
    images = [picture(10, 10)]
    source = build()
    target = build(dict(type='sci_plugins.SCIEnhancer'))
    assert not torch.allclose(run(source, images), run(target, images), atol=5)
    state = source.state_dict()
    assert all(key.startswith('enhancer.') for key in state)
    target.load_state_dict(state, strict=True)
    assert torch.equal(run(source, images), run(target, images))


def test_checkpoint_without_an_enhancer_leaves_ours(build: Any, run: Any, picture: Any) -> None:
    images, preprocessor = [picture(10, 10)], build()
    before = run(preprocessor, images)
    result = preprocessor.load_state_dict({}, strict=True)
    assert not result.missing_keys
    assert torch.equal(run(preprocessor, images), before)


def test_checkpoint_with_half_an_enhancer_is_refused(build: Any) -> None:
    state = build().state_dict()
    del state['enhancer.in_conv.bias']
    with pytest.raises(RuntimeError, match=r'Missing key.*enhancer\.in_conv\.bias'):
        build().load_state_dict(state, strict=True)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_an_image_that_is_not_finite_is_named(
    build: Any, run: Any, picture: Any, value: float
) -> None:
    image = picture(8, 8).float()
    image[1, 2, 3] = value
    with pytest.raises(DataError, match=r'NaN or infinite.*folder/1\.png'):
        run(build(), [picture(8, 8).float(), image])


def test_normalised_images_are_refused_with_their_cause(build: Any, run: Any, picture: Any) -> None:
    images = [picture(8, 8).float(), (picture(8, 8) - 123.0) / 58]
    mean_std = dict(mean=[123.0] * 3, std=[58.0] * 3)
    with pytest.raises(DataError, match=r'1\.png.*is there a Normalize.* has no mean and std'):
        run(build(), images)
    with pytest.raises(DataError, match=r'1\.png.*take Normalize out of the pipeline'):
        run(build(**mean_std), images)
    run(build(check_values=False), images)


def test_a_scale_of_0_to_1_is_refused_when_it_goes_on(build: Any, run: Any, picture: Any) -> None:
    preprocessor, images = build(), [picture(8, 8) / 255, torch.zeros(3, 8, 8)]
    run(preprocessor, images)
    run(preprocessor, images)
    with pytest.raises(DataError, match=r'3 batches in a row.*set input_max=1'):
        run(preprocessor, images)


@pytest.mark.parametrize('white', [1, 65535])
def test_other_scales_come_back_on_their_scale(
    build: Any, run: Any, picture: Any, expected: Any, white: int
) -> None:
    image = picture(8, 8)
    output = run(build(input_max=white), [image.float() / 255 * white])
    assert_same(output[0] / white * 255, expected(image))
    if white > 255:
        deep = (image.int() * 257).to(torch.uint16)
        assert_same(run(build(input_max=white), [deep])[0] / 257, expected(image))
        with pytest.raises(DataError, match=r'torch\.uint16.*0\.png.*input_max=65535'):
            run(build(), [deep])


def test_an_image_is_checked_where_it_lies(build: Any, picture: Any) -> None:
    """On the CPU, before it goes to a GPU."""
    preprocessor, seen = build(), []
    preprocessor.cast_data = lambda data: seen.append(data) or data
    with pytest.raises(DataError, match='NaN'):
        preprocessor(dict(inputs=[picture(8, 8) * float('nan')]), False)
    assert seen == []


@pytest.mark.parametrize('shape', [(1, 8, 8), (4, 8, 8), (3, 0, 8), (3, 8)])
def test_other_shapes_are_refused(build: Any, run: Any, shape: Any) -> None:
    with pytest.raises(DataError, match=r'shape \(3, H, W\), got .*folder/0\.png'):
        run(build(), [torch.zeros(shape, dtype=torch.uint8)])


@pytest.mark.parametrize('inputs', [[], torch.zeros(0, 3, 8, 8)])
def test_an_empty_batch_is_refused(build: Any, run: Any, inputs: Any) -> None:
    with pytest.raises(DataError, match='batch is empty'):
        run(build(), inputs)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(enhancer='retinexnet'), "unknown enhancer 'retinexnet'"),
        (dict(enhancer=dict(type='sci_plugins.Nothing')), r'sci_plugins\.Nothing'),
        (dict(enhancer=dict(weights='x.pth')), "needs 'type'"),
        (dict(input_order='grb'), "bgr, rgb; got 'grb'"),
        (dict(fill_color=(1, 2)), r'one or three numbers, got \(1, 2\)'),
    ],
)
def test_bad_settings_are_refused(build: Any, settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**settings)


@pytest.mark.parametrize('frozen', [False, True])
@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('mode', [False, True])
def test_train_mode_of_the_enhancer(
    build: Any, run: Any, picture: Any, frozen: bool, norm_eval: bool, mode: bool
) -> None:
    preprocessor = build(frozen=frozen, norm_eval=norm_eval)
    enhancer = preprocessor.enhancer
    for _ in range(2):  # also after a second call
        preprocessor.train(mode)
        assert enhancer.training == (mode and not frozen)
        learns_statistics = mode and not frozen and not norm_eval
        assert enhancer.block_norm.training == learns_statistics
    before = enhancer.block_norm.running_mean.clone()
    run(preprocessor, [picture(16, 16)], training=mode)
    assert torch.equal(enhancer.block_norm.running_mean, before) != learns_statistics
    assert all(p.requires_grad != frozen for p in enhancer.parameters())


@pytest.mark.parametrize('frozen', [False, True])
def test_gradients_reach_the_enhancer_unless_it_is_frozen(
    build: Any, run: Any, picture: Any, frozen: bool
) -> None:
    preprocessor = build(frozen=frozen).train()
    output = run(preprocessor, [picture(16, 16)], training=True)
    assert output.requires_grad != frozen
    if not frozen:
        output.mean().backward()
        assert all(p.grad is not None for p in preprocessor.enhancer.parameters())
        assert preprocessor.enhancer.out_conv.weight.grad.abs().min() > 0
    with torch.no_grad():
        assert not run(preprocessor, [picture(16, 16)]).requires_grad


def test_no_graph_is_kept_after_a_forward(build: Any, run: Any, picture: Any) -> None:
    preprocessor = build(frozen=False).train()
    run(preprocessor, [picture(16, 16)], training=True)
    assert preprocessor.kept_pairs == []
    copy.deepcopy(preprocessor)


class _Detector(BaseModel):
    """Like the hosts' models: its tensor mode takes what the preprocessor has made."""

    def __init__(self, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor)
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
        return self.conv(inputs)


EXPORTS: dict[str, Any] = dict(
    trace=lambda model, image: torch.jit.trace(model, image),
    export=lambda model, image: torch.export.export(model, (image,)),
    strict=lambda model, image: torch.export.export(model, (image,), strict=True),
)
_MADE: dict[str, Any] = dict(
    config=lambda model: model,
    copied=copy.deepcopy,
    pickled=lambda model: pickle.loads(pickle.dumps(model)),
    averaged=lambda model: ExponentialMovingAverage(model).module,
)


def _warnings_of(make: Any, model: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        make(model.eval(), torch.rand(1, 3, 4, 4))
    return [str(each.message) for each in caught if 'WITHOUT' in str(each.message)]


@pytest.mark.parametrize('how', list(EXPORTS))
@pytest.mark.parametrize('made', list(_MADE))
def test_exporting_a_model_without_its_enhancer_warns_once(build: Any, made: str, how: str) -> None:
    model = _MADE[made](_Detector(build('gamma')))
    (told,) = _warnings_of(EXPORTS[how], model)
    assert told.startswith('_Detector is traced or exported WITHOUT its GammaEnhancer')
    assert 'sci_plugins.EnhancementStage' in told
    assert _warnings_of(EXPORTS[how], _Detector(ImgDataPreprocessor())) == []


def test_other_calls_of_a_model_do_not_warn(build: Any, picture: Any) -> None:
    model = _Detector(build('gamma')).eval()
    data = dict(inputs=[picture(8, 8)])
    assert _warnings_of(lambda model, _: model.test_step(data), model) == []
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    assert _warnings_of(lambda _, image: compiled(image), model) == []


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the kernel was called, of small images too."""
    pytest.importorskip('llvmlite')
    seen: list[dict[str, Any]] = []
    monkeypatch.delenv(sci_fused.SWITCH, raising=False)
    monkeypatch.setattr(sci_fused, 'MIN_PIXELS', 1)
    call = sci_fused.pack
    monkeypatch.setattr(sci_fused, 'pack', lambda *a, **how: (seen.append(how), call(*a, **how))[1])
    return seen


NORMS: list[dict[str, Any]] = [
    {},
    dict(mean=[100.0, 50.0, 20.0], std=[50.0, 60.0, 70.0], bgr_to_rgb=True),
    dict(mean=[100.0, 50.0, 20.0], std=[50.0, 60.0, 70.0], input_order='rgb', rgb_to_bgr=True),
    dict(mean=[100.0, 50.0, 20.0], std=[50.0, 60.0, 70.0]),
    dict(mean=[100.0], std=[50.0]),
    dict(bgr_to_rgb=True),
]


@pytest.mark.parametrize('settings', NORMS)
@pytest.mark.parametrize('training', [False, True])
def test_one_pass_equals_many(
    build: Any,
    run: Any,
    picture: Any,
    monkeypatch: pytest.MonkeyPatch,
    passes: list[dict[str, Any]],
    settings: dict[str, Any],
    training: bool,
) -> None:
    preprocessor = build(**settings)
    whole, padded = ([picture(40, 50, seed=seed).to(torch.uint8) for seed in (1, 2)] for _ in '12')
    padded[1][:, 30:] = 114  # as mmdet's pipelines pad
    for images in (whole, padded):
        passes.clear()
        one, again = run(preprocessor, images, training), run(preprocessor, images, training)
        assert len(passes) == 4
        if images is whole:
            assert ('shift' in passes[0]) == (not training and 'mean' in settings)
        with monkeypatch.context() as patch:
            patch.setenv(sci_fused.SWITCH, '0')
            many = run(preprocessor, images, training)
        torch.testing.assert_close(one, many, rtol=1e-5, atol=1e-4)
        assert torch.equal(one, again)  # the host's own steps are as they were


def test_one_pass_in_front_of_half_precision(
    build: Any, run: Any, picture: Any, passes: list[dict[str, Any]], monkeypatch: Any
) -> None:
    preprocessor = build(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]).half()
    image = picture(40, 50).to(torch.uint8)
    one = run(preprocessor, [image])
    assert 'shift' in passes[0]
    monkeypatch.setenv(sci_fused.SWITCH, '0')
    torch.testing.assert_close(one, run(preprocessor, [image]), rtol=1e-5, atol=1e-5)


def test_a_preprocessor_of_one_s_own_normalises_itself(
    build: Any, run: Any, picture: Any, passes: list[dict[str, Any]]
) -> None:
    preprocessor = build(mean=[100.0], std=[50.0])
    image = picture(40, 50).to(torch.uint8)
    wanted = run(preprocessor, [image])

    class Own(type(preprocessor)):  # type: ignore[misc]
        def forward(self, data: dict, training: bool = False) -> Any:
            return super().forward(data, training)

    preprocessor.__class__ = Own
    passes.clear()
    torch.testing.assert_close(run(preprocessor, [image]), wanted, rtol=1e-5, atol=1e-4)
    assert [list(how) for how in passes] == [['bgr', 'scale']]


def test_one_pass_only_where_nothing_needs_more(
    build: Any, run: Any, picture: Any, passes: list[dict[str, Any]]
) -> None:
    image = picture(40, 50).to(torch.uint8)
    preprocessor = build(frozen=False)
    run(preprocessor, [image], training=True)
    assert not passes  # gradients
    kept = build()
    kept.keep_pairs = True
    run(kept, [image], training=True)
    assert len(kept.kept_pairs) == 1
    hooked = build()
    seen: list[Any] = []
    hooked.enhancer.register_forward_hook(lambda *args: seen.append(args))
    run(hooked, [image])
    assert len(seen) == 1
    assert all('bgr' not in how for how in passes)


class _Seeing(BaseEnhancer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def forward(self, image: Tensor) -> Tensor:
        self.told.append(None)
        return image

    def enhance_enlarged(self, image: Tensor, size: tuple[int, int], steps: int = 0) -> Tensor:
        self.told.append((size, steps))
        return image


@pytest.mark.parametrize(
    ('meta', 'told'),
    [
        (dict(ori_shape=(20, 33), scale_factor=(2.0, 2.0)), (20, 33)),
        (dict(ori_shape=(20, 33, 3), scale_factor=np.array([2.0, 2.0])), (20, 33)),
        (dict(ori_shape=(30, 60), scale_factor=(1.11, 1.34)), (30, 60)),
        (dict(ori_shape=(20, 33)), None),
        (dict(scale_factor=(2.0, 2.0)), None),
        (dict(ori_shape=(20, 33), scale_factor=(1.5, 1.5)), None),  # a crop, or another resize
        (dict(ori_shape=(80, 132), scale_factor=(0.5, 0.5)), None),
        (dict(ori_shape=(40, 66), scale_factor=(1.0, 1.0)), None),
        (dict(ori_shape=(20, 66), scale_factor=(1.0, 2.0)), None),  # along one side alone
        (dict(ori_shape=(20, 33), scale_factor=2.0), None),
        (dict(ori_shape=20, scale_factor=(2.0, 2.0)), None),
    ],
)
@pytest.mark.parametrize('training', [False, True])
def test_an_enlargement_of_the_pipeline_is_told(
    build: Any, host: str, picture: Any, meta: dict[str, Any], told: Any, training: bool
) -> None:
    preprocessor = build(_Seeing())
    image = picture(40, 66)
    for dtype, steps in ((torch.uint8, 255), (torch.float32, 0)):
        packed = sample(host, image)
        packed.set_metainfo(meta)
        data = dict(inputs=[image.to(dtype), image], data_samples=[packed, sample(host, image)])
        preprocessor(data, training)
        # In training something may have been drawn into the enlarged image.
        assert preprocessor.enhancer.told == [None if training else told and (told, steps), None]
        preprocessor.enhancer.told.clear()
    preprocessor.enhance_image(image, packed)
    assert preprocessor.enhancer.told == [told and (told, 255)]
    assert preprocessor(dict(inputs=[image], data_samples=None))['inputs'].shape[1:] == image.shape


def test_padding_of_the_pipeline_is_no_enlargement(build: Any, host: str, picture: Any) -> None:
    """YOLOX and RTMDet pad in their pipelines: the size is that of the content."""
    preprocessor = build(_Seeing(), fill_color=114)
    image = torch.full((3, 66, 66), 114, dtype=torch.uint8)
    image[:, :40] = picture(40, 66)
    packed = sample(host, image)
    packed.set_metainfo(dict(ori_shape=(20, 33), scale_factor=(2.0, 2.0)))
    preprocessor(dict(inputs=[image], data_samples=[packed]))
    assert preprocessor.enhancer.told == [((20, 33), 255)]


def test_for_other_enhancers_an_enlargement_changes_nothing(
    build: Any, run: Any, host: str, picture: Any
) -> None:
    preprocessor, image = build(), picture(40, 66)
    packed = sample(host, image)
    packed.set_metainfo(dict(ori_shape=(20, 33), scale_factor=(2.0, 2.0)))
    result = preprocessor(dict(inputs=[image], data_samples=[packed]))['inputs']
    assert torch.equal(result, run(preprocessor, [image]))
