"""One battery for all enhancers: whatever stands in front of a model keeps this."""

import atexit
import copy
import pickle
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sci_plugins.functional.retinex import divide_illumination
from sci_plugins.models.enhancers import (
    AdaptiveSCIEnhancer,
    BaseEnhancer,
    CLAHEEnhancer,
    Enhanced,
    GammaEnhancer,
    GatedEnhancer,
    HistogramEqualizationEnhancer,
    IATEnhancer,
    IdentityEnhancer,
    LIMEEnhancer,
    MeanMatchEnhancer,
    OnnxEnhancer,
    RetinexEnhancer,
    RUASEnhancer,
    RUASNetEnhancer,
    SCIEnhancer,
    TemporalEnhancer,
    ZeroDCEEnhancer,
)
from sci_plugins.registry import MODELS
from tests.unit.models.enhancers.onnx_files import write_gain


def _sci(**settings: int | None) -> SCIEnhancer:
    """Weights so large that every layer shows, and an illumination off its clamp."""
    enhancer = SCIEnhancer(**settings)
    generator = torch.Generator().manual_seed(3)
    for value in enhancer.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 0.4 - 0.2)
    if enhancer.channels is not None:
        enhancer.in_conv.bias.data.add_(0.3)
        enhancer.block_norm.running_var.abs_().add_(0.5)
        enhancer.block_norm.weight.data.abs_()
    enhancer.out_conv.bias.data.fill_(-1.0)
    return enhancer


def _ruas(**settings: int) -> RUASEnhancer:
    enhancer = RUASEnhancer(**settings)
    generator = torch.Generator().manual_seed(4)
    for value in enhancer.state_dict().values():
        value.copy_(torch.rand(value.shape, generator=generator) * 0.4 - 0.2)
    enhancer.guess_conv1.bias.data.fill_(0.5)
    enhancer.guess_conv2.bias.data.fill_(0.5)
    enhancer.light_conv.bias.data.fill_(-1.5)
    return enhancer


def _adaptive() -> AdaptiveSCIEnhancer:
    enhancer = AdaptiveSCIEnhancer()
    generator = torch.Generator().manual_seed(5)
    for value in (*enhancer.sci.parameters(), enhancer.controller.out.weight):
        value.data.copy_(torch.rand(value.shape, generator=generator) * 0.4 - 0.2)
    enhancer.controller.out.bias.data.copy_(torch.tensor([0.0] * 5 + [-1.5]))
    return enhancer


def _random(enhancer: BaseEnhancer, size: float) -> BaseEnhancer:
    """Weights that show in every layer."""
    generator = torch.Generator().manual_seed(6)
    for value in enhancer.parameters():
        value.data.copy_((torch.rand(value.shape, generator=generator) * 2 - 1) * size)
    return enhancer


def _iat() -> IATEnhancer:
    enhancer = IATEnhancer()
    _random(enhancer, 0.05)
    enhancer.local_net.mul_end[0].bias.data.fill_(1.0)
    enhancer.global_net.gamma_base.data.fill_(0.7)
    enhancer.global_net.color_base.data.copy_(torch.eye(3))
    return enhancer


@cache
def _gain_file() -> str:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return str(write_gain(folder / 'gain.onnx', 3.0))


CASES: dict[str, Callable[[], BaseEnhancer]] = {
    'adaptive': _adaptive,
    'iat': _iat,
    'lime': LIMEEnhancer,
    'identity': IdentityEnhancer,
    'onnx': lambda: OnnxEnhancer(_gain_file()),
    'ruas-net': lambda: _random(RUASNetEnhancer(), 0.2),
    'zero-dce': lambda: _random(ZeroDCEEnhancer(), 0.1),
    'zero-dce++': lambda: _random(ZeroDCEEnhancer(separable=True, scale=12), 0.3),
    'gamma': GammaEnhancer,
    'exposure': MeanMatchEnhancer,
    'clahe': CLAHEEnhancer,
    'histeq': HistogramEqualizationEnhancer,
    'gated-half-open': lambda: GatedEnhancer(_sci()),
    'gated-open': lambda: GatedEnhancer(_sci(), dark=0.9, bright=1.0),
    'ruas': _ruas,
    'ruas-1-iteration-8-channels': lambda: _ruas(iterations=1, channels=8),
    'sci': _sci,
    'sci-no-hidden-layer': lambda: _sci(layers=0, channels=None),
    'sci-0-layers': lambda: _sci(layers=0),
    'sci-3-layers-8-channels': lambda: _sci(layers=3, channels=8),
}
SAME_SETTINGS = {repr(make()): make for make in CASES.values()}
IN_8_BITS = (CLAHEEnhancer, HistogramEqualizationEnhancer)
REDUCED = (IATEnhancer, ZeroDCEEnhancer)  # it sees the image at a smaller size, too
WHOLE_IMAGE = (
    *(AdaptiveSCIEnhancer, MeanMatchEnhancer, GatedEnhancer, OnnxEnhancer, LIMEEnhancer),
    *(*IN_8_BITS, *REDUCED),
)


@pytest.fixture(params=list(CASES))
def enhancer(request: pytest.FixtureRequest) -> BaseEnhancer:
    return CASES[request.param]().eval()


def _images(*shape: int) -> Tensor:
    """Dark, in steps of 1/255, with a black and a white pixel where there is room."""
    images = torch.randint(0, 120, shape).float() / 255
    if images.numel() > 12:
        images[0, :, 0, 0], images[0, :, -1, -1] = 0, 1
    return images


def test_the_battery_covers_every_registered_enhancer() -> None:
    import sci_plugins.models  # noqa: F401

    registered = {cls for cls in MODELS.module_dict.values() if issubclass(cls, BaseEnhancer)}
    assert registered
    # One frame's result depends on those before it: test_temporal.py.
    assert registered == {type(make()) for make in CASES.values()} | {TemporalEnhancer}


@torch.no_grad()
def test_shape_dtype_device_and_range(enhancer: BaseEnhancer, device: torch.device) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        images = _images(2, 3, 13, 21).to(device, dtype)
        enhanced = copy.deepcopy(enhancer).to(device, dtype)(images)
        assert enhanced.shape == images.shape
        assert enhanced.dtype == dtype
        assert enhanced.device.type == device.type
        assert float(enhanced.min()) >= 0
        assert float(enhanced.max()) <= 1


def test_input_stays_as_it_is(enhancer: BaseEnhancer) -> None:
    images = _images(2, 3, 9, 12)
    before = images.clone()
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            enhancer(images)
        assert torch.equal(images, before)


def test_result_is_the_same_with_and_without_gradients(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 33, 47)
    with torch.no_grad():
        without = enhancer(images)
    torch.testing.assert_close(enhancer(images).detach(), without, rtol=0, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(enhancer(images), without, rtol=0, atol=1e-6)


def test_images_of_a_batch_are_independent(enhancer: BaseEnhancer) -> None:
    images = torch.cat([_images(2, 3, 17, 20), torch.ones(1, 3, 17, 20)])
    with torch.no_grad():
        batched = enhancer(images)
        single = torch.cat([enhancer(image[None]) for image in images])
    torch.testing.assert_close(batched, single, rtol=0, atol=1e-6)


def test_memory_layout_does_not_matter(enhancer: BaseEnhancer) -> None:
    images = _images(2, 3, 10, 14)
    layouts = [
        images.contiguous(memory_format=torch.channels_last),
        images.transpose(2, 3).contiguous().transpose(2, 3),
        images.flip(1).flip(1),
        torch.nn.functional.pad(images, (2, 2, 2, 2))[..., 2:-2, 2:-2],
    ]
    with torch.no_grad():
        wanted = enhancer(images)
        for layout in layouts:
            torch.testing.assert_close(enhancer(layout), wanted, rtol=0, atol=1e-6)


def test_pickles_and_copies(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 8, 8)
    with torch.no_grad():
        wanted = enhancer(images)  # first, so that anything it caches is copied, too
        for twin in (pickle.loads(pickle.dumps(enhancer)), copy.deepcopy(enhancer)):
            assert torch.equal(twin(images), wanted)


def test_a_copy_can_be_trained_alone(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 8, 8)
    with torch.no_grad():
        wanted = enhancer(images)
        twin = copy.deepcopy(enhancer)
        for parameter in twin.parameters():
            parameter.add_(0.5)
        assert torch.equal(enhancer(images), wanted)
        if list(twin.parameters()):
            assert not torch.equal(twin(images), wanted)


def test_state_dict_carries_everything(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 8, 8)
    twin = SAME_SETTINGS[repr(enhancer)]().eval()
    for value in twin.state_dict().values():
        value.zero_()
    twin.load_state_dict(enhancer.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(twin(images), enhancer(images))


def test_an_empty_batch_stays_empty(enhancer: BaseEnhancer) -> None:
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            enhanced = enhancer(torch.rand(0, 3, 6, 7))
        assert enhanced.shape == (0, 3, 6, 7)
        assert enhanced.dtype == torch.float32


@torch.no_grad()
def test_tiny_black_and_white_images(enhancer: BaseEnhancer) -> None:
    for size in ((1, 1), (1, 9), (9, 1), (2, 2), (16, 16)):
        for value in (0.0, 0.2, 1.0):
            enhanced = enhancer(torch.full((1, 3, *size), value))
            assert enhanced.shape == (1, 3, *size)
            assert bool(torch.isfinite(enhanced).all()), (size, value)
            assert 0 <= float(enhanced.min()) <= float(enhanced.max()) <= 1, (size, value)


def test_wrong_shapes_are_refused(enhancer: BaseEnhancer) -> None:
    for shape in [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 8, 8, 3), (8, 8), (1, 1, 3, 8, 8)]:
        with pytest.raises(ValueError, match=r'\(N, 3, H, W\)') as caught:
            enhancer(torch.rand(shape))
        assert type(enhancer).__name__ in str(caught.value)
        assert str(shape) in str(caught.value)


def test_integers_are_refused(enhancer: BaseEnhancer) -> None:
    for dtype in (torch.uint8, torch.int64, torch.bool):
        with pytest.raises(TypeError, match=str(dtype)) as caught:
            enhancer(torch.ones(1, 3, 8, 8, dtype=dtype))
        assert type(enhancer).__name__ in str(caught.value)


def test_tiles_that_overlap_by_the_radius_give_the_whole(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 56, 64)
    radius = enhancer.receptive_radius
    if radius is None:
        assert isinstance(enhancer, WHOLE_IMAGE)
        return
    with torch.no_grad():
        whole = enhancer(images)[..., 20:32, 18:38]
        tile = enhancer(images[..., 20 - radius : 32 + radius, 18 - radius : 38 + radius].clone())
    inner = tile[..., radius : radius + 12, radius : radius + 20]
    torch.testing.assert_close(inner, whole, rtol=0, atol=1e-6)


def test_radius_is_no_larger_than_needed(enhancer: BaseEnhancer) -> None:
    """A pixel `radius` away counts, one further does not (else tiles are wasteful)."""
    radius = enhancer.receptive_radius
    if not radius:
        assert isinstance(enhancer, (IdentityEnhancer, GammaEnhancer, *WHOLE_IMAGE))
        return
    if isinstance(enhancer, RUASNetEnhancer):
        return  # looks further down than up: in its own tests
    size = 2 * radius + 5
    images = torch.full((1, 3, size, size), 0.3, requires_grad=True)
    enhancer(images)[0, :, size // 2, size // 2].sum().backward()
    rows = images.grad.abs().sum((0, 1, 3)).nonzero().ravel() - size // 2
    assert (int(rows.min()), int(rows.max())) == (-radius, radius)


def test_gradients_flow_where_it_can_be(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 8, 8).clamp(0.05, 0.5).requires_grad_()
    enhanced = enhancer(images)
    if isinstance(enhancer, (*IN_8_BITS, OnnxEnhancer)):
        assert not enhanced.requires_grad
        return
    enhanced.sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().sum()) > 0


def test_the_host_s_autocast_keeps_shape_and_range(enhancer: BaseEnhancer) -> None:
    images = _images(1, 3, 16, 16)
    with torch.autocast('cpu', dtype=torch.bfloat16), torch.no_grad():
        enhanced = enhancer(images)
    assert enhanced.shape == images.shape
    assert bool(torch.isfinite(enhanced).all())
    assert 0 <= float(enhanced.min()) <= float(enhanced.max()) <= 1


class _HalfBright(RetinexEnhancer):
    def estimate_illumination(self, image: Tensor) -> Tensor:
        return torch.full_like(image, 0.5)


def test_a_retinex_enhancer_divides_by_its_illumination() -> None:
    image = torch.tensor([0.0, 0.2, 0.4, 0.9]).expand(1, 3, 1, 4)
    result = _HalfBright().illuminate(image)
    assert isinstance(result, Enhanced)
    assert result.image[0, 0, 0].tolist() == pytest.approx([0.0, 0.4, 0.8, 1.0])
    assert torch.equal(result.illumination, torch.full_like(image, 0.5))
    assert torch.equal(_HalfBright()(image), result.image)
    assert torch.equal(result.image, divide_illumination(image, result.illumination))


def test_illuminate_checks_its_input_too() -> None:
    with pytest.raises(ValueError, match='_HalfBright'):
        _HalfBright().illuminate(torch.rand(3, 4, 4))


def test_the_contract_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match='abstract'):
        BaseEnhancer()
    with pytest.raises(TypeError, match='abstract'):
        RetinexEnhancer()
    assert issubclass(BaseEnhancer, nn.Module)
