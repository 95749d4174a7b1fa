"""The adaptive stage's machine code against PyTorch, and when it is taken."""

import platform
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.enhancer import CLOSED, adaptive_stage, unfused
from sci_plugins.functional import noise
from sci_plugins.functional.kernels import noise_fused, sci_fused
from sci_plugins.functional.kernels.noise_fused import block_means, brighten, find_passes, halve
from sci_plugins.functional.kernels.sci_fused import PASSES, Kernel, make
from sci_plugins.functional.noise import LEVELS, estimate_noise, shrink_noise, shrink_pixels
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer
from sci_plugins.models.enhancers.sci import prepare_kernels

pytest.importorskip('llvmlite')
#: Heights and widths: whole blocks and one more, sides that cannot be halved, few rows.
SIZES = [(8, 32), (9, 33), (16, 64), (17, 65), (40, 124), (33, 191), (131, 64), (97, 1081)]
X86 = platform.machine() in ('x86_64', 'AMD64')
AVX2 = X86 and torch.backends.cpu.get_cpu_capability() in ('AVX2', 'AVX512')


@pytest.fixture(scope='module', params=['', 'x86-64', 'haswell'])
def passes(request: pytest.FixtureRequest) -> Kernel:
    """As for this processor, and as for older ones."""
    if (request.param and not X86) or (request.param == 'haswell' and not AVX2):
        pytest.skip(f'this processor cannot run code for {request.param}')
    return Kernel(PASSES, request.param)


@pytest.fixture
def taken(passes: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_fused, 'find_passes', lambda *tensors: passes)


def _image(size: tuple[int, int], number: int = 2, levels: int = 0) -> Tensor:
    """Noise on a ramp, with some pixels at black; ``levels``: as in files of 8 bits."""
    source = torch.Generator().manual_seed(size[1])
    ramp = torch.linspace(0, 0.5, size[1])
    image = (ramp + 0.1 * torch.rand(number, 3, *size, generator=source) - 0.02).clamp(0, 1)
    return (image * levels).round() / levels if levels else image


def _limits(number: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    strengths = 2 * torch.rand(number, LEVELS, generator=source)
    strengths[0, 1] = 0
    return 0.02 * torch.rand(number, generator=source), strengths


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('levels', [0, 255])
def test_against_pytorch(taken: None, size: tuple[int, int], levels: int) -> None:
    image = _image(size, levels=levels)
    before, (sigma, strengths) = image.clone(), _limits(2)
    means = block_means(image)
    assert means is not None
    torch.testing.assert_close(means, noise._block_means(image), rtol=3e-6, atol=1e-12)
    assert torch.equal(halve(image), F.avg_pool2d(image, 2))
    quiet = shrink_pixels(image, sigma, strengths)
    wanted = (shrink_noise(image**2, sigma, strengths) + 1e-8).sqrt() - 1e-4
    torch.testing.assert_close(quiet, wanted, rtol=0, atol=3e-6)
    assert torch.equal(image, before)


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('cells', [(1, 1), (2, 3), (12, 7)])
def test_brighten(taken: None, size: tuple[int, int], cells: tuple[int, int]) -> None:
    image, gain, exponent = _image(size), torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.7])
    light = torch.randn(2, 1, *cells, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(light, size, mode='bilinear')
    factor = gain.view(2, 1, 1, 1) * torch.exp(-exponent.view(2, 1, 1, 1) * large)
    result = brighten(image, gain, exponent, light)
    assert result is not None
    torch.testing.assert_close(result, (image * factor).clamp(0, 1), rtol=0, atol=3e-6)
    assert torch.equal(result[0], image[0])  # to the bit
    again = brighten(image, gain, exponent, light, in_place=True)
    assert again is image
    assert torch.equal(again, result)


@torch.no_grad()
def test_views(taken: None) -> None:
    """Parts of images, channels last, one plane as three."""
    whole = _image((90, 130))
    views = (whole[:, :, 3:75, 5:101], whole.to(memory_format=torch.channels_last))
    for image in (*views, whole[:, :1].expand(-1, 3, -1, -1)):
        for call in (estimate_noise, halve, lambda x: shrink_pixels(x, *_limits(2))):
            for one, other in zip(call(image), call(image.contiguous()), strict=True):
                assert torch.equal(one, other)


@torch.no_grad()
@pytest.mark.parametrize('threads', [1, 2, 5])
def test_threads_share_the_rows(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make(PASSES)
    stage, image = adaptive_stage(0, 0, 0), _image((150, 130))
    wanted = stage(image)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    assert torch.equal(stage(image), wanted)


@torch.no_grad()
@pytest.mark.parametrize('closed', [(0, 0, 0), (0, CLOSED, 0), (CLOSED, 0, CLOSED), (CLOSED,) * 3])
@pytest.mark.parametrize('size', [(5, 5), (7, 600), (150, 130), (201, 333)])
def test_the_stage(closed: tuple[float, float, float], size: tuple[int, int]) -> None:
    """With the code and without; an image that stays keeps its bits beside one that does not."""
    make(PASSES)
    stage, images = adaptive_stage(*closed), _image(size, levels=255)
    images[1] = 0.4 + 0.3 * torch.sin(torch.arange(size[1]) / 5)  # texture
    enhanced, wanted = stage(images), unfused(lambda: stage(images))()
    torch.testing.assert_close(enhanced, wanted, rtol=0, atol=1e-4)
    assert enhanced.is_contiguous()
    if closed[0] == closed[2] == CLOSED and size[0] > 8:
        assert torch.equal(enhanced[1], images[1])


def test_the_shipped_decisions() -> None:
    make(PASSES)
    stage = AdaptiveSCIEnhancer(weights='sci_plugins/adaptive').eval()
    with torch.no_grad():
        for scale in (1.0, 0.2):
            image = _image((201, 333), levels=255) * scale
            found: Any = stage.decide(image)
            wanted: Any = unfused(lambda image=image: stage.decide(image))()
            for one, other in zip(found[:3], wanted[:3], strict=True):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_when_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    make(PASSES)
    image = _image((90, 130))
    assert find_passes(image) is not None
    monkeypatch.setattr(sci_fused, 'find', None)
    small, narrow = torch.rand(1, 3, 90, 90), torch.rand(1, 3, 4096, 31)
    for other in (image.double(), small, narrow, torch.rand(4, 3, 7, 900), image.to('meta')):
        assert find_passes(other) is None
    learned = torch.ones(2, requires_grad=True)
    assert find_passes(image, learned) is None
    with torch.no_grad():
        assert find_passes(image, learned) is not None
    monkeypatch.setattr(torch.jit, 'is_tracing', lambda: True)
    assert find_passes(image) is None


def test_a_stage_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sci_fused, '_made', {})
    prepare_kernels(torch.nn.Sequential(AdaptiveSCIEnhancer()))
    assert set(sci_fused._made) == {*sci_fused.KINDS, PASSES}
