"""The fast path of SCI against SCI layer by layer."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.enhancer import plain_enhance, randomize
from sci_plugins.functional import sci_inference
from sci_plugins.functional.conv3x3 import Conv
from sci_plugins.functional.sci_inference import FoldedSCI, enhance_folded, fold_sci
from sci_plugins.models.enhancers import SCIEnhancer

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (3, 5), (5, 16), (37, 53)]
CHAINS = [(0, 3), (1, 3), (2, 3), (1, 1), (2, 8), (1, 16)]


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def _enhancer(layers: int = 1, channels: int = 3) -> SCIEnhancer:
    enhancer = SCIEnhancer(layers=layers, channels=channels).eval()
    randomize(enhancer, torch.Generator().manual_seed(3))
    return enhancer


def _fold(enhancer: SCIEnhancer) -> FoldedSCI:
    e = enhancer
    return fold_sci(e.in_conv, e.block_conv, e.block_norm, e.out_conv, e.layers)


def _check(enhancer: SCIEnhancer, image: Tensor, tolerance: float = 1e-5) -> Tensor:
    """Both results of the fast path against the eager ones."""
    before = image.clone()
    wanted = plain_enhance(enhancer, image)
    alone, nothing = enhance_folded(image, _fold(enhancer))
    both, light = enhance_folded(image, _fold(enhancer), illumination=True)
    assert nothing is None
    assert light is not None
    eager_light = enhancer.estimate_illumination(image)
    for result, target in ((alone, wanted), (both, wanted), (light, eager_light)):
        torch.testing.assert_close(result, target, rtol=0, atol=tolerance)
        assert result.dtype == image.dtype
        assert result.data_ptr() != image.data_ptr() or image.numel() == 0
    assert torch.equal(image, before)
    return alone


@pytest.mark.parametrize(('layers', 'channels'), CHAINS)
def test_equals_the_eager_path(layers: int, channels: int) -> None:
    enhancer = _enhancer(layers, channels)
    for size in SIZES:
        _check(enhancer, torch.rand(2, 3, *size))


@pytest.mark.parametrize('number', [0, 1, 3])
def test_batches_of_any_number(number: int) -> None:
    for size in SIZES:
        _check(_enhancer(), torch.rand(number, 3, *size))


@pytest.mark.parametrize(('layers', 'channels'), CHAINS)
def test_strips_join_without_seams(
    monkeypatch: pytest.MonkeyPatch, layers: int, channels: int
) -> None:
    monkeypatch.setattr(sci_inference, 'PIXELS_PER_THREAD', 1)
    monkeypatch.setattr(sci_inference, 'MIN_ROWS', 3)
    for height in (1, 2, 3, 4, 7, 20):
        _check(_enhancer(layers, channels), torch.rand(2, 3, height, 9))


def _strips(images: Tensor) -> list[sci_inference._Strip]:
    return list(sci_inference._strips(images, 3, images.shape[-1]))


@pytest.mark.parametrize('most', [16, 100, 128])
def test_heights_of_strips(most: int) -> None:
    for height in range(1, 300):
        heights = list(sci_inference._heights(height, most))
        powers = {16, 32, 64, most}
        assert set(heights) <= powers
        assert heights == sorted(heights, reverse=True)
        assert sum(heights[:-1]) < height <= sum(heights)
        assert sum(heights) <= height * 4 / 3 or heights[-1] == 16


def test_few_shapes_for_all_images() -> None:
    """Each would cost about 40 KB: the library compiles its convolutions anew."""
    shapes = set()
    for width in range(1, 2000):
        padded = sci_inference._padded_width(width, 5)
        assert width <= padded <= max(10, width * 9 / 8 + 5)
        assert padded % 5 == 0
        for height in range(1, 400, 3):
            heights = sci_inference._heights(height, max(16, 2**17 // padded))
            shapes |= {(rows, padded) for rows in heights}
    assert len(shapes) < 500  # of 800 thousand


def test_small_images_are_done_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two, and a last one of one."""
    monkeypatch.setattr(sci_inference, 'PIXELS_PER_THREAD', 1)
    monkeypatch.setattr(sci_inference, 'MAX_PIXELS', 60)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 60)
    images = torch.rand(5, 3, 5, 6)
    strips = _strips(images)
    assert [len(range(5)[strip.images]) for strip in strips] == [2, 2, 1]
    _check(_enhancer(), images)


def test_at_the_size_of_a_photograph() -> None:
    image = torch.rand(1, 3, 720, 1080)
    assert len(_strips(image)) > 1
    _check(_enhancer(), image)


@pytest.mark.parametrize('layers', [0, 1, 2])
def test_float64_is_exact(layers: int) -> None:
    enhancer = _enhancer(layers).double()
    _check(enhancer, torch.rand(2, 3, 11, 13, dtype=torch.float64), tolerance=1e-12)


@pytest.mark.parametrize('layers', [0, 1, 2])
def test_strips_in_float64_are_exact(layers: int) -> None:
    """The same arithmetic as in float32, where rounding could hide a small mistake."""
    enhancer = _enhancer(layers).double()
    image = torch.rand(2, 3, 11, 13, dtype=torch.float64)
    result, _ = sci_inference._enhance_in_strips(image, _fold(enhancer), False)
    wanted = plain_enhance(enhancer, image)
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-12)


def test_any_strides() -> None:
    enhancer = _enhancer()
    image = torch.rand(2, 3, 12, 26)
    _check(enhancer, image.to(memory_format=torch.channels_last))
    _check(enhancer, image[:, :, ::2, ::2])
    _check(enhancer, image.transpose(2, 3))
    _check(enhancer, image[:, :1].expand(-1, 3, -1, -1))
    _check(enhancer, torch.rand(12, 26, 3).permute(2, 0, 1)[None])


def test_values_at_and_beyond_the_range() -> None:
    image = torch.rand(1, 3, 9, 9)
    image[..., :3] = 0.0
    image[..., 3:5] = 1.0
    image[..., 5:6] = 1.5
    image[..., 6:7] = -0.5
    _check(_enhancer(), image)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_the_lowest_illumination(dtype: torch.dtype) -> None:
    """Where the sigmoid is 0 and the image black, the division needs the limit."""
    enhancer = _enhancer().to(dtype)
    enhancer.out_conv.bias.fill_(-200.0)  # type: ignore[union-attr]
    image = torch.full((1, 3, 5, 5), 2e-5, dtype=dtype)
    image[..., 3:] = 0.0
    result, light = enhance_folded(image, _fold(enhancer), illumination=True)
    assert light is not None
    torch.testing.assert_close(light, torch.full_like(light, 1e-4))
    torch.testing.assert_close(result, image / 1e-4)


def test_batched_equals_single() -> None:
    enhancer = _enhancer()
    images = torch.rand(3, 3, 17, 23)
    batched, _ = enhance_folded(images, _fold(enhancer))
    for index, image in enumerate(images):
        single, _ = enhance_folded(image[None], _fold(enhancer))
        torch.testing.assert_close(batched[index], single[0], rtol=0, atol=1e-6)


def test_channels_last_memory() -> None:
    result, light = enhance_folded(torch.rand(2, 3, 8, 9), _fold(_enhancer()), True)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert light is not None
    assert light.is_contiguous(memory_format=torch.channels_last)


def test_features_outside_the_image_are_zero() -> None:
    """Biases would show if a layer were applied to what lies outside."""
    conv = Conv(torch.zeros(3, 3, 3, 3), torch.ones(3))
    last = Conv(torch.full((3, 3, 3, 3), 0.1), torch.full((3,), -6.0))
    image = torch.full((1, 3, 4, 4), 0.01)
    # Each pixel's illumination counts its neighbours inside: 4, 6 or 9 of them, each
    # with three channels of 2 = 1 + 1.
    _, light = enhance_folded(image, FoldedSCI(conv, conv, last, 1), illumination=True)
    assert light is not None
    inside = torch.tensor([[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]])
    wanted = torch.sigmoid(inside * 0.6 - 6) + 0.01
    torch.testing.assert_close(light[0], wanted.expand(3, -1, -1))


def test_folding_uses_the_running_statistics() -> None:
    enhancer = _enhancer()
    folded = _fold(enhancer)
    norm, features = enhancer.block_norm, torch.rand(1, 3, 6, 6)
    wanted = norm(enhancer.block_conv(features))
    result = torch.nn.functional.conv2d(features, *folded.block, padding=1)
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    'name', [key for key, value in SCIEnhancer().state_dict().items() if value.dim()]
)
def test_nothing_folded_is_kept(name: str) -> None:
    """Every tensor may change in place between two calls, and each must count."""
    image = torch.rand(1, 3, 12, 14) * 0.5
    enhancer = _enhancer()
    before = enhancer(image)
    enhancer.state_dict()[name].add_(0.1)
    changed = enhancer(image)
    assert float((changed - before).abs().max()) > 1e-4
    wanted = plain_enhance(enhancer, image)
    torch.testing.assert_close(changed, wanted, rtol=0, atol=1e-5)


def test_threads_do_not_disturb_one_another() -> None:
    enhancer = _enhancer()
    images = [torch.rand(1, 3, 90, 120) for _ in range(8)]
    wanted = [plain_enhance(enhancer, image) for image in images]

    def work(image: Tensor) -> Tensor:
        with torch.no_grad():
            return enhancer(image)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, images * 3))
    for result, target in zip(results, wanted * 3, strict=True):
        torch.testing.assert_close(result, target, rtol=0, atol=1e-5)


def test_the_module_holds_nothing_new() -> None:
    enhancer = _enhancer()
    keys = list(enhancer.state_dict())
    attributes = set(vars(enhancer))
    image = torch.rand(1, 3, 5, 5)
    wanted = enhancer(image)
    assert list(enhancer.state_dict()) == keys
    assert set(vars(enhancer)) == attributes
    assert torch.equal(copy.deepcopy(enhancer)(image), wanted)


@pytest.mark.parametrize('name', ['easy', 'medium', 'difficult'])
def test_the_authors_weights(shared_data: Path, name: str) -> None:
    path = shared_data / 'data' / 'sci_official' / 'weights' / f'{name}.pt'
    _check(SCIEnhancer(weights=str(path)).eval(), torch.rand(1, 3, 61, 83) * 0.4)
