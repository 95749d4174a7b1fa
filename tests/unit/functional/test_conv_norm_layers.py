"""Which layers are fused in training, and that all others are called as they are."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from sci_plugins.functional import conv_norm as training_layers
from sci_plugins.functional.conv_norm import apply_conv, apply_conv_norm_relu

FUSED = ('conv3x3', 'conv_norm_relu')


@pytest.fixture()
def layers() -> nn.ModuleList:
    return nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, momentum=0.3, eps=1e-2)])


@pytest.fixture()
def image() -> Tensor:
    return torch.rand(2, 3, 5, 6)


@pytest.fixture(autouse=True)
def fused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the fused steps that were called."""
    seen: list[str] = []
    for name in FUSED:
        function = getattr(training_layers, name)
        monkeypatch.setattr(
            training_layers,
            name,
            lambda *args, f=function, n=name, **how: (seen.append(n), f(*args, **how))[1],
        )
    return seen


def run_all(layers: nn.ModuleList, image: Tensor) -> list[Tensor]:
    conv, norm = layers
    return [
        apply_conv(conv, image),
        apply_conv_norm_relu(image, (conv, norm)),
        apply_conv_norm_relu(image, (conv, norm), shortcut=image),
        apply_conv_norm_relu(image, (conv, norm), (conv, norm), shortcut=image),
    ]


def plain(layers: nn.ModuleList, image: Tensor) -> list[Tensor]:
    conv, norm = layers
    return [
        conv(image),
        norm(conv(image)).relu(),
        norm(conv(image)).relu() + image,
        norm(conv(norm(conv(image)).relu())).relu() + image,
    ]


def check_plain(layers: nn.ModuleList, image: Tensor, fused: list[str]) -> None:
    twin = copy.deepcopy(layers)
    for got, want in zip(run_all(layers, image), plain(twin, image), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        assert got.dtype == want.dtype
    assert fused == []
    check_statistics(layers, twin)


def check_statistics(layers: nn.Module, twin: nn.Module) -> None:
    for (name, got), want in zip(layers.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('grad', [True, False])
def test_fused(layers, image, fused, dtype, grad):
    """Results and running statistics are those of the modules."""
    twin = copy.deepcopy(layers).to(dtype)
    layers, image = layers.to(dtype), image.to(dtype)
    with torch.set_grad_enabled(grad):
        results = run_all(layers, image)
    assert fused == ['conv3x3', *['conv_norm_relu'] * 3]
    for got, want in zip(results, plain(twin, image), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        assert got.requires_grad == grad
    check_statistics(layers, twin)
    assert int(layers[1].num_batches_tracked) == 4


def test_gradients_reach_all_parameters(layers, image):
    sum(result.square().sum() for result in run_all(layers, image)).backward()
    for name, parameter in layers.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


def test_in_eval_mode(layers, image, fused):
    check_plain(layers.eval(), image, fused)


def test_with_frozen_statistics(layers, image, fused):
    """The convolution still trains; the norm is not of this batch."""
    layers[1].eval()
    results = run_all(layers, image)
    for got, want in zip(results, plain(layers, image), strict=True):
        torch.testing.assert_close(got, want)
    assert fused == ['conv3x3']
    assert int(layers[1].num_batches_tracked) == 0


CHANGES: dict[str, Callable[[nn.ModuleList], object]] = {
    'stride': lambda layers: setattr(layers[0], 'stride', (2, 2)),
    'dilation': lambda layers: setattr(layers[0], 'dilation', (2, 2)),
    'padding': lambda layers: setattr(layers[0], 'padding', (0, 0)),
    'no bias': lambda layers: setattr(layers[0], 'bias', None),
    'forward hook': lambda layers: layers[0].register_forward_hook(lambda *a: None),
    'pre-hook': lambda layers: layers[0].register_forward_pre_hook(lambda *a: None),
    'backward hook': lambda layers: layers[0].register_full_backward_hook(lambda *a: None),
    'wrapped': lambda layers: layers.__setitem__(0, nn.Sequential(layers[0])),
    'kernel': lambda layers: layers.__setitem__(0, nn.Conv2d(3, 3, 1)),
    'mode': lambda layers: setattr(layers[0], 'padding_mode', 'circular'),
}


@pytest.mark.parametrize('change', CHANGES)
def test_other_convolutions(layers, image, fused, change):
    CHANGES[change](layers)
    assert apply_conv(layers[0], image).shape == layers[0](image).shape
    got = apply_conv_norm_relu(image, layers)
    torch.testing.assert_close(got, layers[1](layers[0](image)).relu())
    assert fused == []


NORMS: dict[str, Callable[[], nn.Module]] = {
    'no statistics': lambda: nn.BatchNorm2d(3, track_running_stats=False),
    'cumulative': lambda: nn.BatchNorm2d(3, momentum=None),
    'no factors': lambda: nn.BatchNorm2d(3, affine=False),
    'instance': lambda: nn.InstanceNorm2d(3),
    'hook': lambda: _hooked(nn.BatchNorm2d(3)),
}


def _hooked(norm: nn.Module) -> nn.Module:
    norm.register_forward_hook(lambda *args: None)
    return norm


@pytest.mark.parametrize('kind', NORMS)
def test_other_norms(layers, image, fused, kind):
    layers[1] = NORMS[kind]()
    twin = copy.deepcopy(layers)
    results = run_all(layers, image)
    for got, want in zip(results, plain(twin, image), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert fused == ['conv3x3']
    check_statistics(layers, twin)


def test_autocast(layers, image, fused):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert apply_conv(layers[0], image).dtype == torch.bfloat16
        check_plain(layers, image, fused)


def test_half_precision(layers, image, fused):
    run_all(layers.bfloat16(), image.bfloat16())
    assert fused == []


def test_other_dtype_than_the_weights(layers, image, fused):
    with pytest.raises(RuntimeError):
        apply_conv(layers[0], image.double())
    assert fused == []


class _Applied(nn.Module):
    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, image: Tensor) -> Tensor:
        return apply_conv_norm_relu(apply_conv(self.layers[0], image), self.layers)


@pytest.mark.filterwarnings('ignore')
def test_a_trace(layers, image, fused):
    traced = torch.jit.trace(_Applied(layers), image, check_trace=False)
    assert fused == []
    other = image[:, :, :3]
    torch.testing.assert_close(traced(other), layers[1](layers[0](layers[0](other))).relu())


def test_forward_mode_gradients(layers, image, fused):
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(image, torch.ones_like(image))
        for result in run_all(layers, dual):
            assert forward_ad.unpack_dual(result).tangent is not None
    assert fused == []


def test_subclasses_of_tensor(layers, image, fused):
    class Labelled(Tensor):
        pass

    assert type(apply_conv(layers[0], image.as_subclass(Labelled))) is Labelled
    assert fused == []


def test_one_value_a_channel_is_refused_as_by_the_module(layers):
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        apply_conv_norm_relu(torch.rand(1, 3, 1, 1), layers)


def test_an_empty_batch(layers, fused):
    layers[1].eval()
    assert apply_conv_norm_relu(torch.rand(0, 3, 4, 5), layers).shape == (0, 3, 4, 5)
    assert fused == []
