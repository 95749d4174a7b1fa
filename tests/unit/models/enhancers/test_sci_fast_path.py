"""When SCIEnhancer takes the fast path, and that it stays what it is elsewhere."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from benchmarks.enhancer import plain_enhance, randomize
from sci_plugins.models.enhancers import SCIEnhancer, sci


@pytest.fixture()
def enhancer() -> SCIEnhancer:
    enhancer = SCIEnhancer().eval()
    randomize(enhancer, torch.Generator().manual_seed(3))
    return enhancer


@pytest.fixture()
def image() -> Tensor:
    return torch.rand(1, 3, 9, 11)


@pytest.fixture(autouse=True)
def fast_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """The images that took the fast path."""
    seen: list[Tensor] = []

    def spy(image: Tensor, *args: object, **kwargs: object) -> object:
        seen.append(image)
        return fast(image, *args, **kwargs)  # type: ignore[arg-type]

    fast = sci.enhance_folded
    monkeypatch.setattr(sci, 'enhance_folded', spy)
    return seen


def _check_slow(enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]) -> None:
    tolerance = {torch.float32: 1e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}
    result = enhancer(image)
    both = enhancer.illuminate(image)
    assert not fast_calls
    wanted = plain_enhance(enhancer, image)
    for each in (result, both.image):
        close = tolerance.get(image.dtype, 1e-6)
        torch.testing.assert_close(each, wanted, rtol=0, atol=close)


@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_taken_without_gradients(
    enhancer: SCIEnhancer,
    image: Tensor,
    fast_calls: list[Tensor],
    context: type,
    dtype: torch.dtype,
) -> None:
    enhancer, image = enhancer.to(dtype), image.to(dtype)
    with context():
        result, both = enhancer(image), enhancer.illuminate(image)
        assert len(fast_calls) == 2
        wanted = plain_enhance(enhancer, image)
        light = enhancer.estimate_illumination(image)
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(both.image, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(both.illumination, light, rtol=0, atol=1e-5)


def test_taken_when_frozen(enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]) -> None:
    """As in front of a host, where gradients are on and the enhancer needs none."""
    enhancer.requires_grad_(False)
    enhancer(image)
    assert len(fast_calls) == 1


def test_taken_when_only_batch_norm_is_in_eval_mode(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    enhancer.train()
    enhancer.block_norm.eval()
    with torch.no_grad():
        enhancer(image)
    assert len(fast_calls) == 1


def test_gradients_of_the_weights(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    _check_slow(enhancer, image, fast_calls)
    enhancer(image).sum().backward()
    for name, parameter in enhancer.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


def test_gradients_of_the_image(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    enhancer.requires_grad_(False)
    image.requires_grad_()
    _check_slow(enhancer, image, fast_calls)
    enhancer(image).sum().backward()
    assert image.grad is not None
    assert bool(image.grad.any())


def test_gradients_of_one_weight(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    enhancer.requires_grad_(False)
    enhancer.out_conv.bias.requires_grad_()  # type: ignore[union-attr]
    _check_slow(enhancer, image, fast_calls)


@torch.no_grad()
def test_forward_mode_gradients(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    with forward_ad.dual_level():
        result = enhancer(forward_ad.make_dual(image, torch.ones_like(image)))
        assert forward_ad.unpack_dual(result).tangent is not None
    assert not fast_calls


@torch.no_grad()
def test_batch_statistics(enhancer: SCIEnhancer, fast_calls: list[Tensor]) -> None:
    images = torch.rand(2, 3, 8, 8)
    enhancer.train()
    before = enhancer.block_norm.running_mean.clone()  # type: ignore[union-attr]
    enhancer(images)
    assert not torch.equal(enhancer.block_norm.running_mean, before)  # type: ignore[arg-type]
    assert not fast_calls


@torch.no_grad()
def test_without_running_statistics(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    enhancer.block_norm = nn.BatchNorm2d(3, track_running_stats=False).eval()
    _check_slow(enhancer, image, fast_calls)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_low_precision(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor], dtype: torch.dtype
) -> None:
    _check_slow(enhancer.to(dtype), image.to(dtype), fast_calls)


@torch.no_grad()
def test_autocast(enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]) -> None:
    with torch.autocast('cpu', dtype=torch.bfloat16):
        enhancer(image)
    assert not fast_calls


@torch.no_grad()
def test_other_precision_than_the_weights(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]
) -> None:
    with pytest.raises(RuntimeError):
        enhancer(image.double())
    assert not fast_calls


@torch.no_grad()
def test_subclasses_of_tensor(enhancer: SCIEnhancer, fast_calls: list[Tensor]) -> None:
    class Labelled(Tensor):
        pass

    result = enhancer(torch.rand(1, 3, 4, 4).as_subclass(Labelled))
    assert type(result) is Labelled
    assert not fast_calls


@torch.no_grad()
@pytest.mark.filterwarnings('ignore')
def test_a_trace_takes_any_size(enhancer: SCIEnhancer, fast_calls: list[Tensor]) -> None:
    traced = torch.jit.trace(enhancer, torch.rand(1, 3, 8, 8), check_trace=False)
    assert not fast_calls
    for size in ((30, 7), (1, 1)):
        other = torch.rand(2, 3, *size)
        torch.testing.assert_close(traced(other), plain_enhance(enhancer, other), rtol=0, atol=1e-6)


@torch.no_grad()
def test_compiling(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    _check_slow(enhancer, image, fast_calls)


@torch.no_grad()
def test_export(enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor]) -> None:
    exported = torch.export.export(enhancer, (image,))
    assert not fast_calls
    names = [str(node.target) for node in exported.graph.nodes]
    assert sum('conv2d' in name for name in names) == 3


@pytest.mark.parametrize('layer', ['in_conv', 'block_conv', 'block_norm', 'out_conv'])
@pytest.mark.parametrize('kind', ['register_forward_hook', 'register_forward_pre_hook'])
@torch.no_grad()
def test_hooks_of_layers_are_called(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor], layer: str, kind: str
) -> None:
    seen: list[str] = []
    hook = getattr(enhancer.get_submodule(layer), kind)(lambda *_: seen.append(layer))
    enhancer(image)
    assert seen == [layer]
    assert not fast_calls
    hook.remove()
    enhancer(image)
    assert len(fast_calls) == 1


@pytest.mark.parametrize('layer', ['in_conv', 'block_conv', 'block_norm', 'out_conv'])
@torch.no_grad()
def test_replaced_layers_are_used(
    enhancer: SCIEnhancer, image: Tensor, fast_calls: list[Tensor], layer: str
) -> None:
    inner = enhancer.get_submodule(layer)
    setattr(enhancer, layer, nn.Sequential(inner, nn.Identity()))
    _check_slow(enhancer, image, fast_calls)


@torch.no_grad()
def test_input_is_checked(enhancer: SCIEnhancer) -> None:
    for call in (enhancer, enhancer.illuminate):
        with pytest.raises(ValueError, match=r'\(N, 3, H, W\)'):
            call(torch.rand(3, 4, 4))
        with pytest.raises(TypeError, match='float'):
            call(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
