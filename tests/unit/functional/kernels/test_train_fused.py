"""Machine code of the training layers against PyTorch layer by layer, in double precision."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional import conv3x3, losses
from sci_plugins.functional.conv_norm import ConvNorm, conv_norm_relu
from sci_plugins.functional.kernels import train_fused
from sci_plugins.functional.kernels.sci_fused import TRAINING, Kernel
from sci_plugins.models.learners import SelfCalibratedLearner

pytest.importorskip('llvmlite')


@pytest.fixture(params=['', 'x86-64'])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(TRAINING, request.param)
    calls = []

    def find(images: list[Tensor], *layout: Any) -> Kernel | None:
        calls.append(len(images))
        return made if images[0].dtype == torch.float32 else None

    monkeypatch.setattr(train_fused, '_find', find)
    made.calls = calls  # type: ignore[attr-defined]
    return made


def _layer(channels: int, seed: int) -> ConvNorm:
    torch.manual_seed(seed)
    vectors = [torch.randn(channels) for _ in range(3)]
    weight = torch.randn(channels, channels, 3, 3) / channels
    return ConvNorm(weight, vectors[0], 1 + vectors[1] / 2, vectors[2] / 2, 1e-5)


def _tensors(*layers: ConvNorm) -> list[Tensor]:
    return [each for layer in layers for each in layer[:4]]


def _plain(image: Tensor, layer: ConvNorm) -> Tensor:
    weight, bias, scale, shift, eps = layer
    features = F.conv2d(image, weight, bias, padding=1)
    return F.relu(F.batch_norm(features, None, None, scale, shift, True, 0.1, eps))


def _gradients(result: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    source = torch.Generator().manual_seed(7)
    weights = torch.randn(result.shape, generator=source).to(result)
    return list(torch.autograd.grad((result * weights).sum(), tensors))


@pytest.mark.parametrize('block', [False, True])
@pytest.mark.parametrize('size', [(1, 16, 5, 7), (2, 32, 12, 33), (2, 3, 8, 10), (1, 10, 6, 12)])
def test_results_and_gradients(kernel: Any, size: tuple[int, ...], block: bool) -> None:
    image = torch.randn(size) + 3  # a mean far from 0, which sums of squares would lose
    layers = [_layer(size[1], seed) for seed in range(1 + block)]
    tensors = [each.requires_grad_() for each in (image, *_tensors(*layers))]
    result, statistics = conv_norm_relu(image, *layers, shortcut=image)
    found = _gradients(result, tensors)
    assert len(kernel.calls) >= 4 * len(layers)  # forward twice, backward twice

    exact = [ConvNorm(*(v.detach().double() for v in each[:4]), each.eps) for each in layers]
    given = [each.requires_grad_() for each in (image.detach().double(), *_tensors(*exact))]
    wanted = given[0]
    for layer in exact:
        wanted = _plain(wanted, layer)
    wanted = wanted + given[0]
    torch.testing.assert_close(result.double(), wanted, rtol=1e-5, atol=1e-5)
    for own, true in zip(found, _gradients(wanted, given), strict=True):
        scale = float(true.abs().max()) + 1e-3
        assert float((own - true).abs().max()) < 2e-5 * max(scale, 1.0)
    features = F.conv2d(given[0], *exact[0][:2], padding=1)
    true = [features.mean((0, 2, 3)), features.var((0, 2, 3), correction=0)]
    torch.testing.assert_close(
        [each.double() for each in statistics[0]], true, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize('size', [(1, 1), (2, 2), (5, 7), (12, 33), (1, 40), (9, 1), (3, 64)])
def test_convolution(kernel: Kernel, size: tuple[int, int]) -> None:
    """Odd sizes and tiles that reach over the border, several images, from the left and right."""
    torch.manual_seed(0)
    image = (torch.randn(3, 16, *size) + 1).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(16, 16, 3, 3)
    found = train_fused.convolve(image, weight)
    if kernel.block < 16:
        assert found is None
        return
    assert found.is_contiguous(memory_format=torch.channels_last)
    wanted = F.conv2d(image.double(), weight.double(), padding=1)
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-6
    for other in (weight[:3], weight[:, :3], weight[..., :1, :1]):
        assert train_fused.convolve(image, other) is None


@pytest.mark.parametrize('size', [(1, 1), (2, 2), (5, 7), (33, 25), (1, 40), (16, 1), (3, 64)])
def test_gradient_of_a_weight(kernel: Kernel, size: tuple[int, int]) -> None:
    """Odd sizes, tiles that reach over the border, bands of rows that are not whole."""
    torch.manual_seed(0)
    image, grad = (
        (torch.randn(2, 16, *size) + shift).contiguous(memory_format=torch.channels_last)
        for shift in (1, 0)
    )
    found = train_fused.grad_of_weight(grad, image)
    if kernel.block < 16:
        assert found is None
        return
    wanted = conv3x3.grad_of_weight(grad.double(), image.double())
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 2e-6
    for other in (grad[:, :3], torch.cat([grad, grad]), torch.cat([grad, grad], 2)):
        assert train_fused.grad_of_weight(other, image) is None


@pytest.mark.parametrize('size', [(5, 7), (12, 33)])
def test_normalising_on_the_way(kernel: Kernel, size: tuple[int, int]) -> None:
    """The same bits as one after the other; outside of the image is 0, not the offset."""
    features, grad = (
        torch.randn(2, 16, *size).contiguous(memory_format=torch.channels_last) for _ in range(2)
    )
    vectors, weight = (torch.randn(16), torch.rand(16) + 1), torch.randn(16, 16, 3, 3)
    image = train_fused.relu(features, *vectors, None)
    found = (
        train_fused.convolve(features, weight, vectors),
        train_fused.grad_of_weight(grad, features, vectors),
    )
    wanted = train_fused.convolve(image, weight), train_fused.grad_of_weight(grad, image)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_what_a_convolution_cannot_take(kernel: Kernel) -> None:
    """Nothing is read or written where it is not: PyTorch says what is wrong."""
    weight = torch.randn(16, 16, 3, 3)
    for channels in (4, 15, 17, 32):
        image = torch.randn(1, channels, 8, 8).contiguous(memory_format=torch.channels_last)
        assert train_fused.convolve(image, weight) is None
    image = torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    assert train_fused.convolve(image, weight.double()) is None


def test_autocast_and_other_defaults(kernel: Kernel) -> None:
    """Autocast may be on in the backward pass, and float32 need not be the default."""
    image = torch.rand(1, 16, 12, 33).contiguous(memory_format=torch.channels_last)
    pair, weight = torch.rand(2, 1, 3, 20, 33), torch.randn(16, 16, 3, 3)

    def run() -> list[Any]:
        convolved = train_fused.convolve(image, weight)
        gradient = train_fused.grad_of_weight(image, image)
        return [train_fused.variation(*pair, 10.0)[0], convolved, gradient]

    plain = run()
    with torch.autocast('cpu'):
        found = [run()]
    for dtype in (torch.float16, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            found.append(run())
        finally:
            torch.set_default_dtype(torch.float32)
    with torch.device('meta'):
        found.append(run())
    for results in found:
        for got, want in zip(results, plain, strict=True):
            assert got is want or torch.equal(got, want)


def test_threads_change_nothing(kernel: Kernel) -> None:
    features = torch.randn(2, 16, 59, 8).contiguous(memory_format=torch.channels_last)
    vectors, weight = tuple(torch.randn(3, 16)), torch.randn(16, 16, 3, 3)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            parts = train_fused.sums(features.sin(), features, vectors)
            parts = [*parts, *train_fused.statistics(features)]
            convolved = train_fused.convolve(features, weight)
            parts.append(features if convolved is None else convolved)
            gradient = train_fused.grad_of_weight(features.sin(), features)
            parts.append(features if gradient is None else gradient)
            found.append(torch.cat([part.flatten() for part in parts]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_what_it_leaves_to_pytorch() -> None:
    good = torch.randn(1, 16, 64, 64).contiguous(memory_format=torch.channels_last)
    odd = torch.randn(1, 3, 201, 201).contiguous(memory_format=torch.channels_last)
    for other in (good.double(), good.contiguous(), good[:, :, :9], good.half(), odd):
        assert train_fused.statistics(other) is None


def test_nan_stays(kernel: Kernel) -> None:
    features = torch.zeros(1, 16, 2, 2).contiguous(memory_format=torch.channels_last)
    features[0, 3, 1, 1] = torch.nan
    result = train_fused.relu(features, torch.ones(16), torch.zeros(16), None)
    assert torch.equal(result.isnan(), features.isnan())


@pytest.mark.parametrize('size', [(1, 3, 3, 3), (2, 3, 7, 16), (1, 3, 20, 33), (3, 3, 11, 70)])
@pytest.mark.parametrize('sigma', [10.0, 0.1])
def test_smoothness(kernel: Any, size: tuple[int, ...], sigma: float) -> None:
    torch.manual_seed(0)
    pair = torch.rand(2, *size)
    pair[..., : size[-1] // 2] = 0.5  # neighbours that are equal have no gradient
    found, expected = [], []
    for results, dtype in ((found, torch.float32), (expected, torch.float64)):
        tensors = [each.to(dtype).requires_grad_() for each in pair]
        total = losses.weighted_variation(*tensors, sigma)
        results += [total, *torch.autograd.grad(3 * total, tensors)]
    assert kernel.calls == [2, 2]
    for ours, exact in zip(found, expected, strict=True):
        assert float((ours - exact).abs().max().detach() / exact.abs().max()) < 2e-6
    assert float(expected[1].abs().max()) > 0


def test_all_of_it_takes_part_in_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever order of memory the layers in front leave."""
    made, used = Kernel(TRAINING), set()
    monkeypatch.setattr(train_fused, 'find', lambda table: made)
    share = Kernel.share
    monkeypatch.setattr(
        Kernel, 'share', lambda self, name, *a, **k: used.add(name) or share(self, name, *a, **k)
    )
    learner = SelfCalibratedLearner().train()
    sum(learner(torch.rand(1, 3, 160, 160), mode='loss').values()).backward()
    wide = {name for name, (_, sizes) in train_fused.FUNCTIONS.items() if 'height' in sizes}
    assert used == set(train_fused.FUNCTIONS) - (wide if made.block < 16 else set())


def test_smoothness_of_nan(kernel: Any) -> None:
    image = torch.rand(1, 3, 9, 20)
    image[0, 1, 4, 7] = torch.nan
    assert bool(losses.weighted_variation(image, torch.rand(1, 3, 9, 20), 10.0).isnan())


def test_statistics_are_as_exact_as_floats(kernel: Any) -> None:
    """Sums along a long row lose nothing: the calibrator's gradients hang on the last digits."""
    torch.manual_seed(0)
    features = (torch.rand(1, 16, 8, 4000) + 3).to(memory_format=torch.channels_last)
    exact = features.double()
    mean, variance = train_fused.statistics(features)
    expected = exact.mean((0, 2, 3)), exact.var((0, 2, 3), correction=0)
    for found, true, most in zip((mean, variance), expected, (1.5e-7, 3e-7), strict=True):
        assert float((found / true - 1).abs().max()) < most
