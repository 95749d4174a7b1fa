"""Fused training steps against PyTorch's layers one after another."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional import conv_norm
from sci_plugins.functional.conv_norm import ConvNorm, conv_norm_relu

SHAPES = [(1, 3, 5), (2, 7, 10), (3, 1, 4)]


def make_layer(inner: int, out: int, dtype: torch.dtype = torch.float64) -> ConvNorm:
    weight = torch.randn(out, inner, 3, 3, dtype=dtype)
    bias, scale, shift = torch.randn(3, out, dtype=dtype).unbind()
    tensors = weight, bias.clone(), scale + 2, shift.clone()
    return ConvNorm(*(each.requires_grad_() for each in tensors), eps=1e-3)


def make_image(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


def plain(image: Tensor, layer: ConvNorm) -> tuple[Tensor, Tensor]:
    """The result, and the convolution's."""
    features = F.conv2d(image, layer.weight, layer.bias, padding=1)
    normed = F.batch_norm(features, None, None, layer.scale, layer.shift, True, 0.1, layer.eps)
    return F.relu(normed), features


def residual_block(image: Tensor, first: ConvNorm, second: ConvNorm):
    return conv_norm_relu(image, first, second, shortcut=image)


def double(layer: ConvNorm) -> ConvNorm:
    tensors = (each.detach().double().requires_grad_() for each in layer[:4])
    return ConvNorm(*tensors, layer.eps)


def check_statistics(statistics, features, tolerance=1e-12):
    variance, mean = torch.var_mean(features.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(statistics.mean, mean, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(statistics.variance, variance, rtol=tolerance, atol=tolerance)
    assert not any(each.requires_grad for each in statistics)


def check_grads(got: Tensor, want: Tensor, inputs, biases, tolerance=1e-11):
    """Gradients as parts of their largest entries; those of the biases are 0."""
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    slope = torch.randn_like(want)
    ours = torch.autograd.grad(got, [*inputs, *biases], slope)
    for grad in ours[len(inputs) :]:
        assert not grad.any()
    theirs = torch.autograd.grad(want, inputs, slope)
    for grad, wanted in zip(ours, theirs, strict=False):
        scale = float(wanted.abs().max())
        assert scale > 1e-3
        assert float((grad - wanted).abs().max()) < tolerance * scale


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('shortcut', ['none', 'image', 'other'])
def test_one_layer(shape, shortcut):
    layer, image = make_layer(3, 3), make_image(shape[0], 3, *shape[1:])
    other = {'none': None, 'image': image, 'other': make_image(*image.shape)}[shortcut]
    got, (statistics,) = conv_norm_relu(image, layer, shortcut=other)
    want, features = plain(image, layer)
    check_statistics(statistics, features)
    inputs = [image, layer.weight, layer.scale, layer.shift]
    if other is not None:
        want = want + other
    if shortcut == 'other':
        inputs.append(other)
    check_grads(got, want, inputs, [layer.bias])


@pytest.mark.parametrize('shape', SHAPES)
def test_residual_block(shape):
    first, second = make_layer(4, 6), make_layer(6, 4)
    image = make_image(shape[0], 4, *shape[1:])
    got, (statistics, statistics2) = residual_block(image, first, second)
    between, features = plain(image, first)
    inner, features2 = plain(between, second)
    check_statistics(statistics, features)
    check_statistics(statistics2, features2)
    inputs = [image, *first[::2][:1], *first[2:4], second.weight, *second[2:4]]
    check_grads(got, inner + image, inputs, [first.bias, second.bias])


@pytest.mark.parametrize('piece', [1, 12, 16, 40, 2**20])
def test_pieces_of_every_size(piece, monkeypatch):
    """One pixel, not a whole number of pixels, a shorter last piece, all at once."""
    monkeypatch.setattr(conv_norm, 'PIECE', piece)
    first, second, image = make_layer(2, 4), make_layer(4, 2), make_image(2, 2, 3, 7)
    got, (statistics, _) = residual_block(image, first, second)
    between, features = plain(image, first)
    check_statistics(statistics, features)
    inputs = [image, first.weight, first.scale, second.weight, second.shift]
    check_grads(got, plain(between, second)[0] + image, inputs, [first.bias])


def test_float32_is_nearer_than_the_library():
    """Many pixels whose mean is far from 0, in channels-last memory."""
    layer = make_layer(3, 4, torch.float32)
    image = (torch.rand(1, 3, 150, 200) * 0.01 + 0.5).requires_grad_()
    exact = image.detach().double().requires_grad_()
    exact_layer = double(layer)
    want = plain(exact, exact_layer)[0]
    slope = torch.randn_like(want)
    wanted = torch.autograd.grad(want, [exact, exact_layer.weight], slope)
    last = image.to(memory_format=torch.channels_last)
    errors = {}
    for name, result in (
        ('ours', conv_norm_relu(last, layer)[0]),
        ('library', plain(last, layer)[0]),
    ):
        grads = torch.autograd.grad(result, [image, layer.weight], slope.float())
        errors[name] = [
            float((grad - want).abs().max() / want.abs().max())
            for grad, want in zip(grads, wanted, strict=True)
        ]
    assert max(errors['ours']) < 3e-4
    assert errors['ours'][1] < errors['library'][1]


def test_gradcheck():
    layer, image = make_layer(2, 2), make_image(1, 2, 3, 4)
    layer.shift.data.add_(5)  # every relu is open

    def run(image, weight, scale, shift):
        inputs = ConvNorm(weight, layer.bias.detach(), scale, shift, layer.eps)
        result = conv_norm_relu(image, inputs, shortcut=image)[0]
        return result, residual_block(image, inputs, inputs)[0]

    inputs = image, layer.weight, layer.scale, layer.shift
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize('asked', [0, 1, 2, 4, 8, 16, 31])
def test_only_gradients_that_are_asked_for(asked, monkeypatch):
    calls = []
    for name in ('grad_of_image', 'grad_of_weight'):
        function = getattr(conv_norm, name)
        monkeypatch.setattr(
            conv_norm, name, lambda *a, f=function, n=name: (calls.append(n), f(*a))[1]
        )
    layer, image = make_layer(2, 2), make_image(1, 2, 3, 4)
    tensors = [image, *layer[:4]]
    wanted = [bool(asked >> position & 1) for position in range(5)]
    for tensor, want in zip(tensors, wanted, strict=True):
        tensor.requires_grad_(want)
    result = conv_norm_relu(image, layer)[0]
    assert result.requires_grad == any(wanted)
    if any(wanted):
        result.sum().backward()
    assert len(calls) == sum(wanted[:2])
    assert [tensor.grad is not None for tensor in tensors] == wanted


def test_a_frozen_first_layer_and_image():
    first, second, image = make_layer(2, 3), make_layer(3, 2), make_image(1, 2, 4, 4)
    for tensor in (image, *first[:4]):
        tensor.requires_grad_(False)
    got = residual_block(image, first, second)[0]
    want = plain(plain(image, first)[0], second)[0] + image
    check_grads(got, want, list(second[2:4]), [second.bias])


def test_what_is_kept_for_the_backward_pass():
    """Of each convolution one result: 3 images for a block, 2 for a layer."""
    first, second = make_layer(3, 3), make_layer(3, 3)
    image = make_image(1, 3, 20, 20)
    kept = []

    def keep(tensor):
        kept.append(tensor.numel() // 1200)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        residual_block(image, first, second)
        assert sum(kept) == 3
        conv_norm_relu(image, first, shortcut=image)
    assert sum(kept) == 5


def test_memory_layout_does_not_matter_and_inputs_stay():
    layer, image = make_layer(3, 3), make_image(2, 3, 4, 6)
    before = image.detach().clone()
    got = conv_norm_relu(image, layer, shortcut=image)[0]
    assert got.is_contiguous(memory_format=torch.channels_last)
    last = image.to(memory_format=torch.channels_last)
    torch.testing.assert_close(got, conv_norm_relu(last, layer, shortcut=last)[0])
    assert torch.equal(image, before)


def test_the_graph_may_be_used_twice():
    layer, image = make_layer(3, 3), make_image(1, 3, 4, 6)
    result = residual_block(image, layer, layer)[0]
    inputs = [image, layer.weight, layer.scale, layer.shift]
    slope = torch.randn_like(result)
    first = torch.autograd.grad(result, inputs, slope, retain_graph=True)
    second = torch.autograd.grad(result, inputs, slope)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_second_derivative_is_refused():
    layer, image = make_layer(2, 2), make_image(1, 2, 4, 4)
    for result in (conv_norm_relu(image, layer)[0], residual_block(image, layer, layer)[0]):
        with pytest.raises(RuntimeError, match='no second derivative'):
            torch.autograd.grad(result.sum(), image, create_graph=True)


@pytest.mark.skipif(
    torch.__version__.startswith('2.4.'), reason='torch 2.4 cannot trace `out=` here'
)
def test_a_compiler_takes_it_whole():
    first, second, image = make_layer(3, 4), make_layer(4, 3), make_image(1, 3, 6, 5)

    def run():
        between = conv_norm_relu(image, first)[0]
        image2 = conv_norm_relu(between, second, shortcut=image)[0]
        return residual_block(image2, first, second)[0]

    inputs = [image, first.weight, second.scale]
    grads = [
        torch.autograd.grad(function().square().sum(), inputs)
        for function in (torch.compile(run, backend='aot_eager', fullgraph=True), run)
    ]
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want)
