"""The fused kernels against SCI layer by layer, and when they are taken."""

import logging
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.enhancer import plain_enhance, randomize
from sci_plugins.functional.kernels import sci_fused
from sci_plugins.functional.kernels.sci_fused import (
    BYTES,
    BYTES_TO_FLOATS,
    FLOATS,
    Kernel,
    Kind,
    enhance_fused,
    find,
    make,
    pack,
)
from sci_plugins.models.enhancers import SCIEnhancer

pytest.importorskip('llvmlite')
#: Heights and widths: one tile and several, whole blocks and one column more, few rows.
SIZES = [(1, 32), (2, 33), (7, 70), (40, 124), (9, 191), (33, 193), (5, 1080)]
X86 = platform.machine() in ('x86_64', 'AMD64')
AVX2 = X86 and torch.backends.cpu.get_cpu_capability() in ('AVX2', 'AVX512')


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope='module', params=['', 'x86-64', 'haswell'])
def kernels(request: pytest.FixtureRequest) -> dict[Kind, Kernel]:
    """As for this processor, and as for older ones."""
    if (request.param and not X86) or (request.param == 'haswell' and not AVX2):
        pytest.skip(f'this processor cannot run code for {request.param}')
    return {kind: Kernel(kind, request.param) for kind in sci_fused.KINDS}


def _enhancer() -> SCIEnhancer:
    enhancer = SCIEnhancer().eval()
    randomize(enhancer, torch.Generator().manual_seed(3))
    return enhancer


def _layers(enhancer: SCIEnhancer) -> Any:
    return enhancer._folded()[:3]


def _bytes(*shape: int, darkest: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(1)
    return torch.randint(darkest, 256, shape, dtype=torch.uint8, generator=source)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('number', [1, 3])
def test_floats(kernels: dict[Kind, Kernel], size: tuple[int, int], number: int) -> None:
    enhancer, image = _enhancer(), torch.rand(number, 3, *size)
    before, result = image.clone(), torch.full_like(image, -7)
    kernels[FLOATS](image, result, pack(_layers(enhancer)), False)
    torch.testing.assert_close(result, plain_enhance(enhancer, image), rtol=0, atol=1e-6)
    assert torch.equal(image, before)


@pytest.mark.parametrize('size', SIZES)
def test_bytes(kernels: dict[Kind, Kernel], size: tuple[int, int]) -> None:
    """Truncated as the authors do; at most one grey level of rounding, and hardly ever."""
    enhancer, pixels = _enhancer(), _bytes(2, *size, 3)
    result = torch.empty_like(pixels)
    views = [each.permute(0, 3, 1, 2) for each in (pixels, result)]
    kernels[BYTES](*views, pack(_layers(enhancer), scale=255), False)
    wanted = (plain_enhance(enhancer, views[0] / 255) * 255).byte()
    difference = (views[1].int() - wanted.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 1 + 1e-4 * difference.numel()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('turned', [False, True])
def test_bgr_bytes_to_normalised_floats(
    kernels: dict[Kind, Kernel], size: tuple[int, int], turned: bool
) -> None:
    enhancer, image = _enhancer(), _bytes(1, 3, *size)
    scale, shift = torch.tensor([2.0, 3.0, 4.0]), torch.tensor([-1.0, 0.5, 0.25])
    result = torch.empty(image.shape)
    weights = pack(_layers(enhancer), scale, shift, bgr=True)
    kernels[BYTES_TO_FLOATS](image, result, weights, turned)
    wanted = plain_enhance(enhancer, image.flip(1) / 255).flip(1)
    wanted = wanted * scale.view(3, 1, 1) + shift.view(3, 1, 1)
    wanted = wanted.flip(1) if turned else wanted
    torch.testing.assert_close(result, wanted, rtol=0, atol=4e-6)


def test_bytes_that_are_bright_enough_stay(kernels: dict[Kind, Kernel]) -> None:
    """Rounding between bytes and [0, 1] must not lose a grey level."""
    enhancer = _enhancer()
    enhancer.out_conv.bias.fill_(200.0)  # type: ignore[union-attr]
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 4, 64, 1).repeat(1, 1, 1, 3)
    result = torch.empty_like(pixels)
    views = [each.permute(0, 3, 1, 2) for each in (pixels, result)]
    kernels[BYTES](*views, pack(_layers(enhancer), scale=255), False)
    assert torch.equal(result, pixels)


def test_values_at_and_beyond_the_range(kernels: dict[Kind, Kernel]) -> None:
    enhancer, image = _enhancer(), torch.rand(1, 3, 12, 64)
    for place, value in enumerate((0.0, 1.0, 1.5, -0.5, 2e-5)):
        image[..., 6 * place : 6 * place + 6] = value
    for bias in (0.0, -200.0, 200.0):  # the lowest illumination, and the highest
        enhancer.out_conv.bias.fill_(bias)  # type: ignore[union-attr]
        result = torch.empty_like(image)
        kernels[FLOATS](image, result, pack(_layers(enhancer)), False)
        torch.testing.assert_close(result, plain_enhance(enhancer, image), rtol=0, atol=1e-6)


def test_nan_shows_where_it_is(kernels: dict[Kind, Kernel]) -> None:
    enhancer, image = _enhancer(), torch.rand(1, 3, 20, 300)
    image[0, 1, 10, 130] = torch.nan
    result = torch.empty_like(image)
    kernels[FLOATS](image, result, pack(_layers(enhancer)), False)
    wanted = plain_enhance(enhancer, image)
    assert result[0, 1, 10, 130].isnan()
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-6, equal_nan=True)


def test_views(kernels: dict[Kind, Kernel]) -> None:
    """A part of an image, into a part of another; one plane as three."""
    enhancer, whole = _enhancer(), torch.rand(2, 3, 20, 100)
    target = torch.full((2, 3, 30, 90), -7.0)
    for image in (whole[:, :, 3:15, 5:75], whole[:, :1, :12, :70].expand(-1, 3, -1, -1)):
        kernels[FLOATS](image, target[:, :, 2:14, 9:79], pack(_layers(enhancer)), False)
        wanted = plain_enhance(enhancer, image)
        torch.testing.assert_close(target[:, :, 2:14, 9:79], wanted, rtol=0, atol=1e-6)
        target[:, :, 2:14, 9:79] = -7.0
        assert (target == -7).all()


@pytest.mark.parametrize('threads', [1, 2, 5])
def test_threads_share_the_rows(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    enhancer, kernel = _enhancer(), Kernel(FLOATS)
    for height in (1, 16, 17, 100):
        image = torch.rand(2, 3, height, 40)
        result = torch.full_like(image, -7)
        kernel(image, result, pack(_layers(enhancer)), False)
        torch.testing.assert_close(result, plain_enhance(enhancer, image), rtol=0, atol=1e-6)


def test_many_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    enhancer, image, kernel = _enhancer(), torch.rand(1, 3, 64, 200), Kernel(FLOATS)
    weights = pack(_layers(enhancer))

    def call(_: int) -> Tensor:
        result = torch.empty_like(image)
        kernel(image, result, weights, False)
        return result

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(call, range(64)))
    assert all(torch.equal(results[0], each) for each in results)
    torch.testing.assert_close(results[0], plain_enhance(enhancer, image), rtol=0, atol=1e-6)


def test_tiles_waste_little() -> None:
    kernel = Kernel(FLOATS)
    for width in range(32, 4000):
        blocks = kernel._blocks_of_tile(width)
        columns = blocks * kernel.block
        assert columns <= max(sci_fused._COLUMNS)
        computed = -(-width // (columns - 4)) * columns
        assert width + 4 <= computed <= max(width * 1.3, width + 3 * kernel.block)


# When they are taken


@pytest.fixture()
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A new process, as far as kernels go; its cache folder."""
    monkeypatch.setattr(sci_fused, '_made', {})
    monkeypatch.setattr(sci_fused, '_asked', set())
    monkeypatch.delenv(sci_fused.SWITCH, raising=False)
    monkeypatch.setenv('SCI_PLUGINS_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'fused'


def test_a_large_image_takes_it(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer, image = _enhancer(), torch.rand(1, 3, 256, 256)
    small, narrow = torch.rand(1, 3, 200, 200), torch.rand(1, 3, 4096, 31)
    make(FLOATS)
    taken = []
    call = Kernel.__call__
    monkeypatch.setattr(Kernel, '__call__', lambda *args: (taken.append(0), call(*args)))
    for each in (image, image.to(memory_format=torch.channels_last), small, narrow, image.double()):
        plain = plain_enhance(enhancer.to(each.dtype), each)
        torch.testing.assert_close(enhancer(each), plain, rtol=0, atol=1e-5)
    assert len(taken) == 2
    others = (SCIEnhancer(layers=2), SCIEnhancer(channels=8), SCIEnhancer(layers=0))
    for other in others:
        other.eval()(image)
    enhancer.float().illuminate(image)
    assert len(taken) == 2


def test_the_first_call_does_not_wait(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = Event(), Event()

    class Slow(Kernel):
        def __init__(self, *args: Any) -> None:
            begun.set()
            assert go.wait(60)
            super().__init__(*args)

    monkeypatch.setattr(sci_fused, 'Kernel', Slow)
    enhancer, image = _enhancer(), torch.rand(1, 3, 256, 256)
    first = enhancer(image)
    assert begun.wait(60)
    again = enhancer(image)  # still none
    assert not sci_fused._made
    go.set()
    make(FLOATS)  # waits for the other thread
    fused = enhancer(image)
    assert torch.equal(first, again)
    assert not torch.equal(first, fused)
    torch.testing.assert_close(first, fused, rtol=0, atol=1e-5)


def test_the_switch(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sci_fused.SWITCH, '0')
    make(FLOATS)
    assert find(FLOATS) is None
    assert not sci_fused._made
    monkeypatch.setenv(sci_fused.SWITCH, '1')
    make(FLOATS)
    assert find(FLOATS) is not None
    monkeypatch.setenv(sci_fused.SWITCH, '0')
    assert find(FLOATS) is None


@pytest.mark.parametrize('version', [None, '0.43.0'])
def test_without_llvmlite(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    if version is None:
        monkeypatch.setitem(sys.modules, 'llvmlite', None)
    else:
        monkeypatch.setattr('llvmlite.__version__', version)
    sci_fused._has_llvmlite.cache_clear()
    try:
        make(*sci_fused.KINDS)
        enhancer, image = _enhancer(), torch.rand(1, 3, 256, 256)
        wanted = plain_enhance(enhancer, image)
        torch.testing.assert_close(enhancer(image), wanted, rtol=0, atol=1e-5)
        assert not sci_fused._made
    finally:
        sci_fused._has_llvmlite.cache_clear()


def test_a_processor_without_code(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError('no such target')

    told: list[str] = []
    logger = logging.getLogger(sci_fused.__name__)
    monkeypatch.setattr(logger, 'handle', lambda record: told.append(record.getMessage()))
    monkeypatch.setattr(sci_fused, 'Kernel', fail)
    make(FLOATS)
    make(FLOATS)
    assert find(FLOATS) is None
    assert told == ['no fused kernel: no such target']


def test_the_code_is_kept_and_read_again(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(FLOATS)
    monkeypatch.setattr(sci_fused, '_made', {})
    monkeypatch.setattr(sci_fused, '_asked', set())
    monkeypatch.setitem(sys.modules, 'sci_plugins.functional.kernels.sci_code', None)
    kernel = find(FLOATS)  # at once, and nothing is written in LLVM's language
    assert kernel is not None
    image = torch.rand(1, 3, 8, 40)
    result = torch.empty_like(image)
    kernel(image, result, pack(_layers(_enhancer())), False)
    torch.testing.assert_close(result, plain_enhance(_enhancer(), image), rtol=0, atol=1e-6)


def test_another_version_s_code_is_not_taken(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each source that writes code counts."""
    monkeypatch.setattr(sci_fused, '__file__', str(tmp_path / 'sci_fused.py'))
    files = set()
    for name, text in (('sci_fused.py', 'a'), ('train_code.py', 'a'), ('train_code.py', 'b')):
        (tmp_path / name).write_text(text)
        files.add(sci_fused._code_file(FLOATS))
    assert len(files) == 3
    assert sci_fused._code_file(FLOATS) in files


@pytest.mark.parametrize('damage', [b'', b'x' * 31, None])
def test_damaged_code_is_made_anew(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    make(FLOATS)
    (file,) = fresh.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:-1] if damage is None else damage)
    monkeypatch.setattr(sci_fused, '_made', {})
    make(FLOATS)
    assert find(FLOATS) is not None
    assert file.read_bytes() == content


def test_a_cache_folder_that_cannot_be_written_to(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.parent.write_text('a file where the folder should be')
    make(FLOATS)
    assert find(FLOATS) is not None


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork on this system')
@pytest.mark.parametrize('at_work', [False, True])
def test_a_child_process(fresh: Path, monkeypatch: pytest.MonkeyPatch, at_work: bool) -> None:
    """It has what was made; nothing waits for a thread that only its parent has."""
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    enhancer, image = _enhancer(), torch.rand(1, 3, 256, 256)
    make(FLOATS)
    wanted = enhancer(image)
    if at_work:
        sci_fused._lock.acquire()
    child = os.fork()
    if child == 0:
        same = torch.equal(enhancer(image), wanted)
        make(BYTES)
        os._exit(0 if same and (find(BYTES) is None) is at_work else 1)
    if at_work:
        sci_fused._lock.release()
    assert os.waitpid(child, 0)[1] == 0


def test_weights_out_of_proportion_are_refused(fresh: Path) -> None:
    make(BYTES)
    pixels = _bytes(1, 256, 256, 3).permute(0, 3, 1, 2)
    for value in (torch.nan, torch.inf, 1e20):
        enhancer = _enhancer()
        enhancer.in_conv.weight[0, 0, 0, 0] = value
        assert not enhance_fused(pixels, torch.empty_like(pixels), _layers(enhancer), scale=255)
    assert enhance_fused(pixels, torch.empty_like(pixels), _layers(_enhancer()), scale=255)


def test_pixels_with_channels_last_are_not_turned(fresh: Path) -> None:
    """The code would write beyond the last one; PyTorch computes."""
    make(BYTES)
    pixels = _bytes(1, 256, 256, 3).permute(0, 3, 1, 2)
    target = torch.zeros_like(pixels)
    assert not enhance_fused(pixels, target, _layers(_enhancer()), turned=True, scale=255)
    assert not bool(target.any())
