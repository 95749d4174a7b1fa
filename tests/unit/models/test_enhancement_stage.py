"""Enhancement in front of any model; plain PyTorch and the preprocessors are the oracles."""

import copy
import pickle
from typing import Any

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn

from sci_plugins import EnhancementStage, SCIEnhancer, attach
from sci_plugins.errors import ConfigError, DataError
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
    ],
)
def test_other_inputs_are_refused(images: Any, word: str) -> None:
    with pytest.raises(DataError, match=word) as caught:
        _stage()(images)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('settings', 'word'),
    [
        (dict(enhancer='foo'), "unknown enhancer 'foo'"),
        (dict(input_order='grb'), "'bgr' or 'rgb', got 'grb'"),
        (dict(input_max=0), 'input_max must be a number above 0, got 0'),
        (dict(input_max=float('nan')), 'got nan'),
        (dict(input_max='255'), "got '255'"),
        (dict(fill_color=(1, 2)), 'one or three values'),
    ],
)
def test_bad_settings_are_refused(settings: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        EnhancementStage(**dict(dict(enhancer='none'), **settings))
