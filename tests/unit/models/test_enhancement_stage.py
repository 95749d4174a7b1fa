"""Enhancement in front of any model; plain PyTorch and the preprocessors are the oracles."""

import copy
import itertools
import pickle
from typing import Any

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn

from sci_plugins import EnhancementStage, SCIEnhancer, attach
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models import enhancement_stage as module
from sci_plugins.models.enhancement_stage import ValueCheck
from tests.plain_sci import enhance_host_image, visible_weights

TOLERANCE = 1e-3  # grey levels of 255


def _enhancer() -> SCIEnhancer:
    enhancer = SCIEnhancer()
    enhancer.load_state_dict(visible_weights())
    return enhancer


def _stage(**settings: Any) -> EnhancementStage:
    return EnhancementStage(_enhancer(), **settings).eval()


def _images(count: int = 2, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 60, (count, 3, 13, 11), generator=source, dtype=torch.uint8)


def _expected(image: Tensor, order: str = 'rgb') -> Tensor:
    return enhance_host_image(visible_weights(), image, order)


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.parametrize('white', [1.0, 255.0, 65535.0])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_floats_come_back_on_their_scale(order: str, white: float, dtype: torch.dtype) -> None:
    images = _images()
    wanted = torch.stack([_expected(image, order) for image in images])
    given = images.to(dtype) / 255 * white
    before = given.clone()
    result = _stage(input_order=order, input_max=white)(given)
    assert result.dtype == dtype
    torch.testing.assert_close(result / white * 255, wanted.to(dtype), rtol=0, atol=TOLERANCE)
    assert torch.equal(given, before)
    assert (result - given).abs().max() > 0.05 * white  # the weights do something


def test_half_precision_keeps_its_type() -> None:
    images = _images().half() / 255
    result = _stage(input_max=1)(images)
    assert result.dtype == torch.float16
    wanted = torch.stack([_expected(255 * image.float()) for image in images])
    torch.testing.assert_close(255 * result.float(), wanted, rtol=0, atol=0.5)


@pytest.mark.parametrize('white', [1.0, 255.0])
def test_8_bits_become_float_in_0_to_255(white: float) -> None:
    images = _images()
    result = _stage(input_max=white)(images)
    assert result.dtype == torch.float32
    wanted = torch.stack([_expected(image) for image in images])
    torch.testing.assert_close(result, wanted, rtol=0, atol=TOLERANCE)


def test_a_list_gives_a_list_of_any_sizes() -> None:
    images = [_images()[0], _images()[1, :, :5, :7]]
    for given in (images, tuple(images)):
        result = _stage()(given)
        assert isinstance(result, list)
        for one, image in zip(result, images, strict=True):
            torch.testing.assert_close(one, _expected(image), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.parametrize('fill_color', [None, 114, (1, 2, 3)])
@pytest.mark.parametrize('training', [False, True])
def test_it_does_what_the_preprocessors_do(order: str, fill_color: Any, training: bool) -> None:
    """With padding at the edge and, in training, inside."""
    settings: Any = dict(input_order=order, fill_color=fill_color, frozen=False)
    stage = EnhancementStage(_enhancer(), **settings).train(training)
    model = nn.Module()
    model.data_preprocessor = ImgDataPreprocessor()
    attach(model.train(training), _enhancer(), **settings)
    image = torch.zeros(3, 30, 30, dtype=torch.uint8)
    image[:] = torch.tensor(fill_color or 0).view(-1, 1, 1)
    image[:, :11, :13] = _images()[0, :, :11, :].repeat(1, 1, 2)[:, :, :13]
    image[:, 22:25, 25:28] = 30
    result = stage([image])[0]
    wanted = model.data_preprocessor(dict(inputs=[image]), training)['inputs'][0]
    torch.testing.assert_close(result, wanted, rtol=0, atol=TOLERANCE)
    assert list(stage.state_dict()) == list(model.data_preprocessor.state_dict())
    if fill_color:
        assert torch.equal(result[:, 29, 29], image[:, 29, 29].float())


def test_the_fill_colour_is_on_the_scale_of_the_images() -> None:
    image = torch.full((1, 3, 20, 20), 0.4)
    image[..., :10, :] = 0.1
    result = _stage(input_max=1, fill_color=0.4)(image)
    assert torch.equal(result[..., 10:, :], image[..., 10:, :])
    assert (result[..., :10, :] - 0.1).abs().min() > 0.01


@pytest.mark.parametrize('frozen', [False, True])
def test_gradients_reach_the_enhancer_unless_it_is_frozen(frozen: bool) -> None:
    model = nn.Sequential(EnhancementStage(_enhancer(), frozen=frozen), nn.Conv2d(3, 1, 1)).train()
    given = _images().float().requires_grad_()
    model(given).mean().backward()
    enhancer = model[0].enhancer
    assert enhancer.training != frozen
    assert not enhancer.block_norm.training
    for parameter in enhancer.parameters():
        assert (parameter.grad is None) == frozen
    assert (given.grad is None) == frozen
    assert model[1].weight.grad is not None
    if not frozen:
        assert enhancer.out_conv.weight.grad.abs().min() > 0


def test_the_gradient_is_that_of_plain_pytorch() -> None:
    stage, given = _stage(frozen=False, input_max=1), _images(1).float() / 255
    stage(given).square().sum().backward()
    state = {name: value.clone() for name, value in visible_weights().items()}
    state['out_conv.bias'].requires_grad_()
    image = 255 * given[0]
    (enhance_host_image(state, image, 'rgb') / 255).square().sum().backward()
    wanted = state['out_conv.bias'].grad
    torch.testing.assert_close(stage.enhancer.out_conv.bias.grad, wanted, rtol=1e-4, atol=1e-4)


def test_norm_eval() -> None:
    for norm_eval in (False, True):
        stage = EnhancementStage(_enhancer(), frozen=False, norm_eval=norm_eval).train()
        assert stage.enhancer.block_norm.training != norm_eval


def test_copies_pickles_and_state_dicts() -> None:
    stage, images = _stage(fill_color=114, input_order='bgr'), _images()
    wanted = stage(images)
    other = EnhancementStage('SCIEnhancer()', fill_color=114, input_order='bgr').eval()
    assert not torch.allclose(other(images), wanted, atol=5)
    other.load_state_dict(stage.state_dict(), strict=True)
    for twin in (copy.deepcopy(stage), pickle.loads(pickle.dumps(stage)), other):
        assert torch.equal(twin(images), wanted)
    assert {key.split('.')[0] for key in stage.state_dict()} == {'enhancer'}


def test_the_model_s_precision_leaves_the_enhancer_in_float32() -> None:
    model = nn.Sequential(_stage(), nn.Conv2d(3, 1, 1)).half()
    assert model[0].enhancer.in_conv.weight.dtype == torch.float32
    assert model[1].weight.dtype == torch.float16


def test_autocast_changes_nothing() -> None:
    images = _images()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        result = _stage()(images)
    torch.testing.assert_close(result, _stage()(images), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ('images', 'word'),
    [
        (torch.zeros(3, 8, 8), r'\(N, 3, H, W\) or a list of \(3, H, W\), got \(3, 8, 8\)'),
        (torch.zeros(2, 1, 8, 8), r'shape \(3, H, W\), got \(1, 8, 8\)'),
        ([torch.zeros(4, 8, 8)], r'got \(4, 8, 8\)'),
        ([torch.zeros(1, 3, 8, 8)], r'got \(1, 3, 8, 8\)'),
        ('image.png', 'got str'),
        ([[0, 1], [2]], 'got list'),
        ([], 'batch is empty'),
        (torch.zeros(0, 3, 8, 8), 'batch is empty'),
        (torch.full((1, 3, 8, 8), float('nan')), 'NaN or infinite'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int32), 'uint8 or float, got torch.int32'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.bool), 'got torch.bool'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.complex64), 'got torch.complex64'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint16), 'torch.uint16: .* set input_max=65535'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), 'got torch.int64'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float8_e5m2), 'got torch.float8_e5m2'),
        ([torch.zeros(3, 8, 8).to_sparse()], 'dense tensor, got torch.sparse_coo'),
        ([torch.zeros(3, 8, 8), torch.full((3, 8, 8), float('-inf'))], 'NaN or infinite'),
    ],
)
def test_other_inputs_are_refused(images: Any, word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        _stage()(images)
    assert '\n' not in str(caught.value)


DTYPES = (
    torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.bool,
    torch.complex64,
)  # fmt: skip
SHAPES: list[tuple[int, ...]] = [
    (), (3,), (3, 4, 4), (1, 1, 4, 4), (2, 3, 4, 4), (0, 3, 4, 4), (2, 3, 0, 4),
]  # fmt: skip


def _is_enhanced(stage: EnhancementStage, images: Tensor) -> bool:
    try:
        stage(images)
    except DataError as error:
        return '\n' in str(error)  # which is then a mistake
    return True


@pytest.mark.parametrize('white', [1, 255, 65535])
@pytest.mark.parametrize('fill_color', [None, 114])
def test_whatever_comes_is_enhanced_or_refused_in_one_line(white: int, fill_color: Any) -> None:
    stage = _stage(input_max=white, fill_color=fill_color)
    enhanced = {
        (dtype, shape)
        for dtype, shape in itertools.product(DTYPES, SHAPES)
        if _is_enhanced(stage, torch.zeros(shape).to(dtype))
    }
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    wide = (torch.uint16, torch.int32) if white == 65535 else ()
    assert enhanced == {(dtype, (2, 3, 4, 4)) for dtype in (torch.uint8, *floats, *wide)}


def _filled(low: float, high: float, **kind: Any) -> Tensor:
    """One batch of one image with all values between two."""
    return torch.linspace(low, high, 3 * 8 * 8).view(1, 3, 8, 8).to(**kind)


@pytest.mark.parametrize(
    ('low', 'high', 'white', 'word'),
    [
        (-2.1, -0.4, 255, 'they seem normalised; put the stage before the normalisation'),
        (-120, 150, 255, r'in \[0, 255\], got values from -120 to 150: they seem normalised'),
        (-65, 300, 255, 'they seem normalised'),
        (-20, 19, 255, 'they seem normalised'),
        (0, 513, 255, 'set input_max=65535 if that is white'),
        (0, 70000, 255, r'7e\+04: scale them'),
        (0, 255, 1, r'in \[0, 1\], got values from 0 to 255: set input_max=255'),
        (-2.1, 2.6, 1, 'they seem normalised'),
        (-0.3, 1, 1, 'they seem normalised'),
        (0, 140000, 65535, 'scale them'),
    ],
)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_values_on_another_scale_are_refused(
    low: float, high: float, white: float, word: str, dtype: Any
) -> None:
    stage, given = _stage(input_max=white), _filled(low, high, dtype=dtype)
    with pytest.raises(DataError, match=word) as caught:
        stage([torch.full((3, 4, 4), 0.5 * white), given[0]])
    assert '\n' not in str(caught.value)
    _stage(input_max=white, check_values=False)(given)  # can be switched off


@pytest.mark.parametrize(
    ('low', 'high', 'white'),
    [(-46, 430, 255), (-64, 512, 255), (0, 1.02, 1), (-0.2, 1.9, 1), (-100, 66000, 65535)],
)
def test_values_a_little_outside_are_clamped(low: float, high: float, white: float) -> None:
    given = _filled(low, high)
    for training in (False, True):
        stage = _stage(input_max=white).train(training)
        torch.testing.assert_close(stage(given), stage(given.clamp(0, white)))


def test_a_scale_of_0_to_1_is_refused_when_it_goes_on() -> None:
    stage, small, large = _stage(), _filled(0, 1), _filled(0, 90)
    for given in (small, small, large, small, small, large):  # a dark frame may be so
        stage(given)
    stage(small)
    stage(torch.zeros_like(small))  # tells nothing
    stage(small)
    with pytest.raises(DataError, match=r'to 1 as in 3 batches in a row.*or set input_max=1'):
        stage(small)


@pytest.mark.parametrize(
    'given',
    [
        torch.zeros(1, 3, 8, 8),
        _filled(0, 1, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        _filled(0, 1).round(),  # 8 bits as float, almost black
    ],
    ids=['zeros', '8 bits', '8-bit zeros', 'integers'],
)
@pytest.mark.parametrize('training', [False, True])
def test_dark_frames_are_never_refused(given: Tensor, training: bool) -> None:
    stage = _stage().train(training)
    for _ in range(20):
        stage(given)


def test_in_training_a_mean_below_all_that_augmentation_gives_is_refused() -> None:
    """PhotoMetricDistortion takes at most 32, and multiplies by at most 1.5."""
    stage = _stage().train()
    for _ in range(20):
        stage(torch.full((1, 3, 8, 8), -48.0))
    with pytest.raises(DataError, match='from -51 to -51: they seem normalised'):
        stage(torch.full((1, 3, 8, 8), -51.0))


@pytest.mark.parametrize(('training', 'needed'), [(False, 3), (True, 10)])
@pytest.mark.parametrize('values', [(-2.1, 2.6), (-1, 1), (-1.2, 1.9), (-1.9, -0.5)])
def test_normalised_images_are_refused_when_they_go_on(
    training: bool, needed: int, values: tuple[float, float]
) -> None:
    """Bright ones among them have a mean above zero; augmented ones may be so by chance."""
    stage, normalised, photo = _stage().train(training), _filled(*values), _filled(-0.1, 90)
    if sum(values) < 0 and not training:
        needed = 1
    else:
        for _ in range(3):
            for given in [normalised] * (needed - 1) + [photo]:
                stage(given)
            stage([normalised[0], photo[0]])
    for _ in range(needed - 1):
        stage(normalised)
    stage(torch.zeros_like(photo))  # tells nothing
    with pytest.raises(DataError, match='they seem normalised; put the stage before'):
        stage(normalised)
    stage.eval()(torch.zeros_like(photo))


def test_a_mean_of_zero_but_for_rounding_is_not_refused_at_once() -> None:
    stage = _stage()
    stage(torch.full((1, 3, 8, 8), -1e-6))
    with pytest.raises(DataError, match='they seem normalised'):
        stage(torch.full((1, 3, 8, 8), -0.01))


@pytest.mark.parametrize('dark', [(-1, 3), (-3.9, 8), (0, 8), (-0.4, 1)])
def test_black_frames_that_were_resized_are_no_normalised_ones(dark: tuple[float, float]) -> None:
    """Interpolation of noise leaves the range by up to a half."""
    for training in (False, True):
        stage = _stage().train(training)
        for _ in range(20):
            stage(_filled(*dark))


@pytest.mark.parametrize('dtype', [torch.uint16, torch.int32])
def test_images_of_16_bits(dtype: torch.dtype) -> None:
    image = _images(1)
    wanted = _stage()(image) * 257
    result = _stage(input_max=65535)((image.int() * 257).to(dtype))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, wanted, rtol=0, atol=257 * TOLERANCE)


def test_what_is_remembered_is_in_no_copy_and_no_checkpoint() -> None:
    stage, small = _stage(), _filled(0, 1)
    keys = list(stage.state_dict())
    stage(small), stage(small)
    for twin in (copy.deepcopy(stage), pickle.loads(pickle.dumps(stage))):
        twin(small), twin(small)
    assert list(stage.state_dict()) == keys
    with pytest.raises(DataError, match='in a row'):
        stage(small)


def test_values_still_on_their_way_are_judged_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a GPU, which is not waited for."""
    arrived, real = [], module._measure

    def measure(*args: Any) -> Any:
        return real(*args)._replace(is_here=lambda: bool(arrived))

    monkeypatch.setattr(module, '_measure', measure)
    stage, bad = _stage(), _filled(-2, 1)
    stage(bad)
    stage(_images())
    arrived.append(1)
    with pytest.raises(DataError, match='from -2 to 1: they seem normalised'):
        stage(_images())
    stage(_images())


def test_a_gpu_is_not_waited_for() -> None:
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device on this machine')
    check, bad = ValueCheck(255), _filled(-2, 1).cuda()
    torch.cuda.synchronize()
    with torch.cuda.device(0):
        torch.cuda._sleep(2_000_000_000)  # about a second of work before it
    check.check([bad[0]], training=False)
    assert not torch.cuda.current_stream().query()  # that work goes on
    torch.cuda.synchronize()
    with pytest.raises(DataError, match='from -2 to 1'):
        check.check([_images()[0].cuda()], training=False)


@pytest.mark.parametrize('strict', [False, True])
def test_a_stage_can_be_exported(strict: bool) -> None:
    model, given = nn.Sequential(_stage(), nn.Conv2d(3, 2, 1)).eval(), _images().float()
    exported = torch.export.export(model, (given,), strict=strict).module()
    torch.testing.assert_close(exported(given), model(given), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ('settings', 'word'),
    [
        (dict(enhancer='foo'), "unknown enhancer 'foo'"),
        (dict(input_order='grb'), "bgr, rgb; got 'grb'"),
        (dict(input_max=0), 'input_max must be above 0, got 0'),
        (dict(input_max=float('nan')), 'got nan'),
        (dict(input_max='255'), "got '255'"),
        (dict(fill_color=(1, 2)), 'one or three numbers'),
        (dict(fill_color='red'), "one or three numbers, got 'red'"),
        (dict(fill_color=(1, 2, float('nan'))), 'one or three numbers'),
    ],
)
def test_bad_settings_are_refused(settings: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        EnhancementStage(**dict(dict(enhancer='none'), **settings))
