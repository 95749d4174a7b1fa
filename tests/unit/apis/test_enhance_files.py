"""Whole runs over files: what is written, skipped, refused and told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sci_plugins.apis import enhance_files as module
from sci_plugins.apis.enhance_files import enhance_files
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers import BaseEnhancer, SCIEnhancer
from sci_plugins.utils.files import write_atomically
from sci_plugins.utils.images import Picture, read_picture, write_image, write_picture


@pytest.fixture()
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / 'photos'
    for name in ('a.png', 'b.bmp', 'x/c.tif', 'x/y/d.jpg'):
        write_image(folder / name, rng.integers(0, 80, (12, 16, 3), dtype=np.uint8))
    return folder


def names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob('*') if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def gamma_half(pixels: np.ndarray) -> np.ndarray:
    white = np.iinfo(pixels.dtype).max
    return np.floor(white * np.sqrt(pixels / white)).astype(pixels.dtype)


def test_a_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    summary = enhance_files([photos], out, 'gamma/0.5')
    assert (summary.written, summary.skipped, summary.failed) == (4, 0, {})
    expected = ['a.png', 'b.bmp', 'enhance_log.jsonl', 'x/c.tif', 'x/y/d.jpg']
    assert names(out) == expected
    for name in ('a.png', 'b.bmp', 'x/c.tif'):
        dark = read_picture(photos / name).pixels
        bright = read_picture(out / name).pixels
        np.testing.assert_allclose(bright, gamma_half(dark), atol=1)
        assert bright.mean() > dark.mean() + 20


@pytest.mark.parametrize('kind', [str, Path])
def test_a_single_folder(photos: Path, tmp_path: Path, kind: type) -> None:
    """A name is no list of its letters, of which the first is the root of all files."""
    assert enhance_files(kind(photos), tmp_path / 'out', 'none').written == 4


@pytest.mark.parametrize('workers', [1, 3])
def test_workers_give_the_same(photos: Path, tmp_path: Path, workers: int) -> None:
    enhance_files([photos], tmp_path / 'out', 'gamma/0.5', workers=workers)
    enhance_files([photos], tmp_path / 'again', 'gamma/0.5', workers=2)
    for name in names(photos):
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'again' / name).read_bytes()


def test_sixteen_bits_grey_and_alpha_stay(tmp_path: Path, rng: Any) -> None:
    source = tmp_path / 'in'
    deep = rng.integers(0, 20_000, (9, 8, 3), dtype=np.uint16)
    grey = rng.integers(0, 90, (9, 8, 1), dtype=np.uint8)
    alpha = rng.integers(0, 256, (9, 8), dtype=np.uint8)
    write_picture(source / 'deep.png', Picture(deep))
    write_picture(source / 'grey.png', Picture(grey, alpha))
    enhance_files([source], tmp_path / 'out', 'gamma/0.5')
    read = read_picture(tmp_path / 'out' / 'deep.png').pixels
    assert read.dtype == np.uint16
    np.testing.assert_allclose(read, gamma_half(deep), atol=1)
    read_grey = read_picture(tmp_path / 'out' / 'grey.png')
    np.testing.assert_allclose(read_grey.pixels, gamma_half(grey), atol=1)
    assert read_grey.alpha is not None
    np.testing.assert_array_equal(read_grey.alpha, alpha)


def test_result_is_upright_and_says_so(tmp_path: Path, rng: np.random.Generator) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png', exif=exif)
    enhance_files([tmp_path / 'a.png'], tmp_path / 'out', 'none')
    with Image.open(tmp_path / 'out' / 'a.png') as image:
        np.testing.assert_array_equal(np.asarray(image), np.rot90(pixels, -1))
        assert 0x0112 not in image.getexif()


def test_colour_profile_goes_along(tmp_path: Path) -> None:
    picture = Picture(np.zeros((4, 4, 3), np.uint8), None, b'a profile')
    write_picture(tmp_path / 'a.png', picture)
    enhance_files([tmp_path / 'a.png'], tmp_path / 'out', 'none')
    assert read_picture(tmp_path / 'out' / 'a.png').icc_profile == b'a profile'


def test_illumination(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 80, (10, 11, 3), dtype=np.uint8)
    write_image(tmp_path / 'a.bmp', pixels)
    sci = SCIEnhancer().eval()
    out = tmp_path / 'out'
    enhance_files([tmp_path / 'a.bmp'], out, sci, illumination=True)
    assert names(out) == ['a.bmp', 'a_illumination.png', 'enhance_log.jsonl']
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    light = sci.estimate_illumination(batch)[0].detach().permute(1, 2, 0).numpy() * 255
    saved = read_picture(out / 'a_illumination.png').pixels
    np.testing.assert_allclose(saved, light - 0.5, atol=0.51)


def test_illumination_of_an_enhancer_without_any(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='GammaEnhancer does not estimate any'):
        enhance_files([photos], tmp_path / 'out', 'gamma', illumination=True)
    assert not (tmp_path / 'out').exists()


def test_failures_are_told_and_the_rest_goes_on(photos: Path, tmp_path: Path) -> None:
    (photos / 'empty.png').touch()
    (photos / 'text.jpg').write_text('no picture')
    Image.fromarray(np.float32([[np.nan]])).save(photos / 'nan.tif')
    lines: list[str] = []
    summary = enhance_files([photos], tmp_path / 'out', 'gamma/0.5', on_failure=lines.append)
    assert summary.written == 4
    assert {path.name for path in summary.failed} == {'empty.png', 'text.jpg', 'nan.tif'}
    assert sorted(lines) == [
        f'{photos}/empty.png is empty (0 bytes)',
        f'{photos}/nan.tif holds NaN or infinite values',
        f'{photos}/text.jpg is not a readable PNG, JPEG, BMP, TIFF or WebP',
    ]
    assert len(names(tmp_path / 'out')) == 5  # four images and the log


def test_a_failure_in_the_enhancer_names_the_file(photos: Path, tmp_path: Path) -> None:
    sci = SCIEnhancer()
    torch.nn.init.constant_(sci.out_conv.bias, float('nan'))
    lines: list[str] = []
    enhance_files([photos / 'a.png'], tmp_path / 'out', sci, on_failure=lines.append)
    assert lines == [f'{photos}/a.png: the enhancer returned NaN or infinite values']


def test_whatever_one_image_raises_stops_no_other(photos: Path, tmp_path: Path) -> None:
    class Broken(BaseEnhancer):
        def forward(self, image: Tensor) -> Tensor:
            if image.shape[-1] == 31:
                raise ZeroDivisionError('a defect')
            return image

    Image.new('RGB', (31, 9)).save(photos / 'odd.png')
    lines: list[str] = []
    summary = enhance_files([photos], tmp_path / 'out', Broken(), on_failure=lines.append)
    assert lines == [f'{photos}/odd.png: ZeroDivisionError: a defect']
    assert summary.written > 1


def test_a_second_run_skips(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    enhance_files([photos], out, 'gamma/0.5')
    before = {name: (out / name).stat().st_mtime_ns for name in names(out)}
    (out / 'b.bmp').unlink()
    summary = enhance_files([photos], out, 'gamma/0.5')
    assert (summary.written, summary.skipped) == (1, 3)
    after = {name: (out / name).stat().st_mtime_ns for name in names(out)}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {'b.bmp', 'enhance_log.jsonl'}


def test_another_enhancer_does_all_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    enhance_files([photos], out, 'gamma/0.5')
    assert enhance_files([photos], out, 'none').written == 4
    dark = read_picture(photos / 'a.png').pixels
    np.testing.assert_array_equal(read_picture(out / 'a.png').pixels, dark)


def test_files_of_others_are_not_replaced_unasked(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    write_image(out / 'a.png', np.full((1, 1, 3), 9, np.uint8))
    summary = enhance_files([photos], out, 'gamma/0.5')
    assert summary.written == 3
    assert 'was not written by this tool' in summary.failed[photos / 'a.png']
    assert read_picture(out / 'a.png').pixels.tolist() == [[[9, 9, 9]]]
    assert enhance_files([photos], out, 'gamma/0.5', overwrite=True).written == 4
    assert read_picture(out / 'a.png').pixels.shape == (12, 16, 3)


def test_stopping_leaves_whole_files_only(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, second_began = threading.Event(), threading.Event()

    class SecondTakesLong(BaseEnhancer):
        calls = 0

        def forward(self, image: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 1:
                second_began.set()
                stop.wait(timeout=30)
            return image

    class Interrupting(module.tqdm):  # type: ignore[type-arg, misc]
        def update(self, n: float | None = 1) -> bool | None:
            second_began.wait(timeout=30)
            raise KeyboardInterrupt

    monkeypatch.setattr(module, 'tqdm', Interrupting)
    monkeypatch.setattr(module, 'Event', lambda: stop)
    out = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        enhance_files([photos], out, SecondTakesLong(), workers=1)
    monkeypatch.undo()
    # What was begun is whole and logged, the rest was not begun.
    assert names(out) == ['a.png', 'b.bmp', 'enhance_log.jsonl']
    summary = enhance_files([photos], out, SecondTakesLong())
    assert (summary.skipped, summary.written) == (2, 2)


def test_a_module_of_the_caller_stays_as_it_is(photos: Path, tmp_path: Path) -> None:
    sci = SCIEnhancer().train()
    before = {name: value.clone() for name, value in sci.state_dict().items()}
    enhance_files([photos], tmp_path / 'out', sci)
    assert sci.training
    for name, value in sci.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_enhancer_works_alone(photos: Path, tmp_path: Path) -> None:
    class Alone(BaseEnhancer):
        busy = threading.Lock()

        def forward(self, image: Tensor) -> Tensor:
            assert self.busy.acquire(blocking=False), 'two images at a time'
            threading.Event().wait(0.02)
            self.busy.release()
            assert torch.is_inference_mode_enabled()
            return image

    assert enhance_files([photos], tmp_path / 'out', Alone(), workers=4).written == 4


@pytest.mark.parametrize(('pixels', 'at_once'), [(500, 1), (60, 1), (50, 2), (33, 3)])
def test_pixels_at_once_are_bounded(pixels: int, at_once: int) -> None:
    budget = module._PixelBudget(limit=100)
    together = threading.Barrier(at_once)  # broken if fewer are let in
    lock = threading.Lock()
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with budget.hold(pixels):
            with lock:
                inside.append(1)
                most.append(len(inside))
            together.wait(timeout=30)
            threading.Event().wait(0.01)
            with lock:
                inside.pop()

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work) for _ in range(6)]:
            future.result()
    assert max(most) == at_once


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(workers=0), 'workers must be at least 1, got 0'),
        (dict(tile=0), 'tile must be at least 16, got 0'),
        (dict(device='gpu'), "unknown device 'gpu'"),
        (dict(enhancer='magic'), "unknown enhancer 'magic'"),
        (dict(image_format='gif'), "image_format must be 'same' or 'png'"),
    ],
)
def test_impossible_options(
    photos: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        enhance_files([photos], tmp_path / 'out', **(dict(enhancer='none') | options))
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason='a CUDA device is there')
def test_cuda_that_is_not_there(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='device cuda: no CUDA device'):
        enhance_files([photos], tmp_path / 'out', 'none', device='cuda')


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='found no image'):
        enhance_files([tmp_path], tmp_path / 'out', 'none')


class _Killed(BaseException):
    """As if the process were gone."""


@pytest.mark.parametrize(('other', 'done'), [('gamma/0.5', 0), ('gamma/0.4', 4)])
def test_another_run_in_the_same_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, done: int
) -> None:
    """It writes all after this one has read the log, before this one has written anything."""
    out = tmp_path / 'out'

    def pool(*args: Any, **kwargs: Any) -> ThreadPoolExecutor:
        monkeypatch.setattr(module, 'ThreadPoolExecutor', ThreadPoolExecutor)
        enhance_files([photos], out, other)
        return ThreadPoolExecutor(*args, **kwargs)

    monkeypatch.setattr(module, 'ThreadPoolExecutor', pool)
    summary = enhance_files([photos], out, 'gamma/0.5')
    assert (summary.failed, summary.written) == ({}, done)
    (out / 'a.png').write_bytes(b'mine')
    assert list(enhance_files([photos], out, 'gamma/0.5').failed) == [photos / 'a.png']


@pytest.mark.parametrize(('other', 'done'), [('gamma/0.5', 0), ('gamma/0.4', 4)])
@pytest.mark.parametrize('method', ['is_done', 'is_ours', 'catch_up'])
def test_a_thread_beside_reads_the_log(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    other: str,
    done: int,
) -> None:
    """Right after this thread has looked, or right before it looks."""
    real, catch_up = getattr(module.EnhanceLog, method), module.EnhanceLog.catch_up

    def first(self: Any, *args: Any) -> Any:
        if method == 'catch_up':
            catch_up(self)
        answer = real(self, *args)
        catch_up(self)
        return answer

    monkeypatch.setattr(module.EnhanceLog, method, first)
    test_another_run_in_the_same_folder(photos, tmp_path, monkeypatch, other, done)


def test_another_run_writes_after_the_log_was_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes has another size than all that the log was known to name."""
    out, catch_up = tmp_path / 'out', module.EnhanceLog.catch_up
    enhance_files([photos], out, 'gamma/0.3')

    def then_write(self: Any) -> int:
        monkeypatch.setattr(module.EnhanceLog, 'catch_up', catch_up)
        known = catch_up(self)
        enhance_files([photos], out, 'gamma/0.8')
        return known

    monkeypatch.setattr(module.EnhanceLog, 'catch_up', then_write)
    summary = enhance_files([photos], out, 'gamma/0.5', workers=1)
    assert (summary.failed, summary.written) == ({}, 4)


@pytest.mark.parametrize('moment', ['before', 'after'])
@pytest.mark.parametrize('file', [0, 1])
def test_killed_around_a_write_the_next_run_finishes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, file: int
) -> None:
    out = tmp_path / 'out'
    calls: list[Path] = []

    def write(path: Path, content: Any, sync: bool) -> None:
        assert sync
        calls.append(path)
        if moment == 'before' and len(calls) == file + 1:
            raise _Killed
        write_atomically(path, content)
        if moment == 'after' and len(calls) == file + 1:
            raise _Killed

    monkeypatch.setattr(module, 'write_atomically', write)
    options: dict[str, Any] = dict(enhancer='sci/sci_plugins/lol', illumination=True, workers=1)
    with pytest.raises(_Killed):
        enhance_files([photos / 'a.png'], out, **options)
    monkeypatch.undo()
    summary = enhance_files([photos / 'a.png'], out, **options)
    assert (summary.written + summary.skipped, summary.failed) == (1, {})
    assert enhance_files([photos / 'a.png'], out, **options).skipped == 1
