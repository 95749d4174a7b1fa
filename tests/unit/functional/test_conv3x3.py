"""3x3 convolutions, whole and packed, and their gradients against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from benchmarks.timing import threads_set_to
from sci_plugins.functional import conv3x3 as module
from sci_plugins.functional import conv3x3 as packed_conv
from sci_plugins.functional.conv3x3 import (
    Conv,
    PackedConv,
    conv3x3,
    convolve,
    first_derivative_only,
    grad_of_weight,
    pixels_per_step,
    sum_pixels,
)

CHANNELS = [(3, 3), (3, 16), (16, 16), (16, 3), (2, 5), (1, 1), (17, 2)]


def make(inner: int, out: int, shape: tuple[int, int, int], dtype: torch.dtype):
    number, height, width = shape
    image = torch.randn(number, inner, height, width, dtype=dtype)
    weight = torch.randn(out, inner, 3, 3, dtype=dtype)
    tensors = image, weight, torch.randn(out, dtype=dtype)
    return [tensor.requires_grad_() for tensor in tensors]


def check(tensors: list[Tensor], tolerance: float) -> None:
    """Result and gradients, as parts of their largest entries."""
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    got, want = conv3x3(*tensors), F.conv2d(*exact, padding=1)
    slope = torch.randn_like(want)
    pairs = [(got, want)]
    grads = (
        torch.autograd.grad(got, tensors, slope.to(got.dtype)),
        torch.autograd.grad(want, exact, slope),
    )
    for ours, theirs in [*pairs, *zip(*grads, strict=True)]:
        assert ours.dtype == tensors[0].dtype
        error = (ours - theirs).detach().abs().max() / theirs.detach().abs().max()
        assert float(error) < tolerance


@pytest.mark.parametrize(('inner', 'out'), CHANNELS)
def test_all_widths(inner, out):
    """Widths that 5, 4, 3, 2 and 1 pixels a step divide, and less than one step."""
    for width in (30, 28, 27, 26, 23, 5, 1):
        # The gradient of a single weight is a small sum of large terms: more rounding.
        check(make(inner, out, (2, 6, width), torch.float32), 1e-5)


@pytest.mark.parametrize('threads', [1, 2, 3, 4])
def test_strips_of_rows(threads):
    for shape in [(1, 48, 9), (1, 49, 9), (2, 64, 9), (3, 32, 9)]:
        for inner, out in [(3, 3), (3, 16), (16, 3), (4, 4)]:
            with threads_set_to(threads):
                check(make(inner, out, shape, torch.float32), 1e-5)


@pytest.mark.parametrize(
    ('threads', 'number', 'height', 'strips'),
    [
        (1, 1, 400, 1),
        (2, 1, 400, 2),
        (2, 2, 400, 1),
        (3, 1, 400, 4),
        (4, 3, 400, 2),
        (2, 1, 401, 1),
        (8, 1, 40, 2),
        (2, 1, 20, 1),
    ],
)
def test_number_of_strips(threads, number, height, strips):
    with threads_set_to(threads):
        assert module._strips(torch.empty(number, 1, height, 1)) == strips


def test_strips_are_used():
    """Two threads, one image: a strip for each."""
    image, grad = torch.randn(2, 1, 4, 64, 8).unbind()
    seen = []

    def spy(image, grad):
        seen.append(tuple(image.shape))
        return whole(image, grad)

    whole = module._correlate_whole
    with pytest.MonkeyPatch.context() as patch, threads_set_to(2):
        patch.setattr(module, '_correlate_whole', spy)
        grad_of_weight(grad, image)
    assert seen == [(2, 4, 32, 8), (1, 4, 2, 8)]


@pytest.mark.parametrize(('inner', 'out'), CHANNELS)
def test_float64(inner, out):
    check(make(inner, out, (2, 7, 10), torch.float64), 1e-13)


def test_gradcheck():
    assert torch.autograd.gradcheck(conv3x3, make(2, 3, (1, 4, 6), torch.float64))


def test_few_channels_are_packed(monkeypatch):
    """The convolution and the gradient of its image, where lanes are to be filled."""
    strides = []

    def spy(*args, **kwargs):
        strides.append(kwargs.get('stride', 1))
        return conv2d(*args, **kwargs)

    conv2d = F.conv2d
    monkeypatch.setattr(module.F, 'conv2d', spy)
    monkeypatch.setattr(module, 'pixels_per_step', lambda channels: 16 // channels)
    tensors = make(3, 16, (1, 4, 20), torch.float32)
    conv3x3(*tensors).sum().backward()
    assert strides == [1, (1, 5)]


@pytest.mark.parametrize('asked', range(8))
def test_only_gradients_that_are_asked_for(asked, monkeypatch):
    calls = []
    for name in ('grad_of_image', 'grad_of_weight', 'sum_pixels'):
        function = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, f=function, n=name: (calls.append(n), f(*a))[1]
        )
    tensors = make(2, 3, (1, 4, 5), torch.float32)
    wanted = [bool(asked >> position & 1) for position in range(3)]
    for tensor, want in zip(tensors, wanted, strict=True):
        tensor.requires_grad_(want)
    result = conv3x3(*tensors)
    assert result.requires_grad == any(wanted)
    if any(wanted):
        result.sum().backward()
    assert len(calls) == sum(wanted)
    assert [tensor.grad is not None for tensor in tensors] == wanted


def test_memory_layout_does_not_matter():
    image, weight, bias = make(3, 4, (2, 6, 10), torch.float32)
    got = conv3x3(image, weight, bias)
    assert got.is_contiguous(memory_format=torch.channels_last)
    other = conv3x3(image.to(memory_format=torch.channels_last), weight, bias)
    torch.testing.assert_close(got, other)
    slope = torch.randn(got.shape)
    grads = [torch.autograd.grad(value, image, slope) for value in (got, other)]
    torch.testing.assert_close(*grads)


def test_a_second_derivative_is_refused():
    tensors = make(1, 1, (1, 4, 4), torch.float64)
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(conv3x3(*tensors).sum(), tensors, create_graph=True)


def test_without_a_bias():
    image, weight, _ = make(3, 2, (1, 4, 6), torch.float32)
    torch.testing.assert_close(convolve(image, weight), F.conv2d(image, weight, padding=1))


@pytest.mark.parametrize('shape', [(1, 5, 1, 1), (2, 3, 7, 9)])
def test_sums_of_pixels(shape):
    image = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(sum_pixels(image), image.sum((0, 2, 3)))


def test_sums_are_accurate():
    """100,000 times 0.1 in float32: one after another it would be 1e-4 off."""
    image = torch.full((1, 3, 250, 400), 0.1).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(sum_pixels(image), torch.full((3,), 1e4), rtol=3e-7, atol=0)


def test_a_compiler_takes_it_whole():
    tensors = make(16, 3, (1, 32, 10), torch.float32)
    compiled = torch.compile(conv3x3, backend='aot_eager', fullgraph=True)
    with threads_set_to(2):
        grads = [
            torch.autograd.grad(function(*tensors).square().sum(), tensors)
            for function in (compiled, conv3x3)
        ]
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)


def _conv(outputs: int, inputs: int) -> Conv:
    return Conv(torch.randn(outputs, inputs, 3, 3) * 0.3, torch.randn(outputs))


@pytest.mark.parametrize(('inputs', 'outputs'), [(3, 3), (3, 8), (8, 3), (1, 1), (2, 5)])
def test_is_a_convolution_without_rows_of_padding(inputs: int, outputs: int) -> None:
    conv = _conv(outputs, inputs)
    for pixels in (1, 2, 5, 16):
        for steps in (2, 3):
            image = torch.randn(2, inputs, 7, pixels * steps)
            result = PackedConv(conv, pixels)(image.to(memory_format=torch.channels_last))
            wanted = F.conv2d(image, *conv, padding=(0, 1))
            torch.testing.assert_close(result, wanted, rtol=0, atol=1e-5)


def test_the_result_is_not_rearranged() -> None:
    """The image is a view of the convolution's result, not a copy."""
    result = PackedConv(_conv(3, 3), 5)(
        torch.randn(1, 3, 6, 20).to(memory_format=torch.channels_last)
    )
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result._is_view()


@pytest.mark.parametrize(
    ('unit', 'channels', 'pixels'),
    [
        ('AVX512', 3, 5),
        ('AVX512', 8, 2),
        ('AVX512', 16, 1),
        ('AVX512', 64, 1),
        ('AVX2', 3, 2),
        ('DEFAULT', 3, 1),
    ],
)
def test_pixels_fill_a_vector_register(
    monkeypatch: pytest.MonkeyPatch, unit: str, channels: int, pixels: int
) -> None:
    monkeypatch.setattr(packed_conv.torch.backends.cpu, 'get_cpu_capability', lambda: unit)
    assert pixels_per_step(channels) == pixels


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @first_derivative_only
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        assert not torch.is_grad_enabled()
        return 2 * x * grad


def test_the_first_derivative():
    x = torch.tensor(3.0, requires_grad=True)
    Square.apply(x).backward()
    assert float(x.grad) == 6


def test_a_second_one_is_refused_where_it_would_be_wrong():
    """A term that has one beside a term that has none."""
    x = torch.tensor(3.0, requires_grad=True)
    with pytest.raises(RuntimeError, match=r'no second derivative.*create_graph=True'):
        torch.autograd.grad(Square.apply(x) + x**3, x, create_graph=True)


def test_a_compiler_takes_the_decorated_backward():
    x = torch.tensor(3.0, requires_grad=True)
    torch.compile(Square.apply, backend='aot_eager', fullgraph=True)(x).backward()
    assert float(x.grad) == 6
