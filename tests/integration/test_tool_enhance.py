"""tools/enhance.py as a user runs it."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.utils.images import header_size, read_image, write_image
from tests.fork_server import run_python

TOOL = Path(__file__).parents[2] / 'tools' / 'enhance.py'
# Today's JPEG decoder reads these three differently from the authors'.
DECODED_OTHERWISE = {'2062', '3008', '3020'}
GIB = 2**30


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the tool in this process, which has the imports done; its exit code."""
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture()
def photos(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / 'photos'
    write_image(folder / 'a.png', rng.integers(0, 60, (30, 40, 3), dtype=np.uint8))
    write_image(folder / 'x' / 'b.jpg', rng.integers(0, 60, (30, 40), dtype=np.uint8))
    return folder


def test_as_a_process_with_a_bad_image(photos: Path, tmp_path: Path) -> None:
    (photos / 'broken.png').write_bytes(b'')
    out = tmp_path / 'out'
    done = run_python([TOOL, photos, '--out', out, '--enhancer', 'gamma/0.4'])
    assert done.returncode == 1, done.stderr
    # Older versions of torch warn before.
    assert done.stderr.endswith(f'failed: {photos}/broken.png is empty (0 bytes)\n')
    assert 'Traceback' not in done.stderr
    assert done.stdout == f'{out}: 2 enhanced, 0 already there, 1 failed\n'
    for name in ('a.png', 'x/b.jpg'):
        assert read_image(out / name).mean() > read_image(photos / name).mean() + 40


def test_a_video_goes_to_the_video_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of images keeps its way, whatever its name."""
    av = pytest.importorskip('av')
    film, out = tmp_path / 'film.mp4', tmp_path / 'out.mp4'
    with av.open(str(film), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height = stream.width = 64
        for _ in range(3):
            dark = np.full((64, 64, 3), 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(dark, format='rgb24')))
        container.mux(stream.encode(None))
    assert run_tool(monkeypatch, film, '--out', out, '--enhancer', 'gamma', '--seconds', 1) == 0
    assert capsys.readouterr().out == f'{out}: 3 frames, 0 scene cuts\n'
    with av.open(str(out)) as container:
        assert next(container.decode(video=0)).to_ndarray(format='rgb24').mean() > 60
    folder = tmp_path / '7'
    write_image(folder / 'a.png', np.zeros((9, 9, 3), np.uint8))
    assert run_tool(monkeypatch, folder, '--out', tmp_path / 'images', '--enhancer', 'none') == 0


def test_exit_codes_and_resuming(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (photos, '--out', tmp_path / 'out', '--enhancer', 'gamma')
    assert run_tool(monkeypatch, *arguments) == 0
    assert '2 enhanced, 0 already there, 0 failed' in capsys.readouterr().out
    assert run_tool(monkeypatch, *arguments, '--format', 'png') == 0
    assert '1 enhanced, 1 already there' in capsys.readouterr().out
    assert run_tool(monkeypatch, *arguments, '--overwrite', '--workers', 1) == 0
    assert '2 enhanced, 0 already there' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'error: image or folder not found: nowhere'),
        (['PHOTOS', '--enhancer', 'magic'], "error: unknown enhancer 'magic'"),
        (['PHOTOS', '--enhancer', 'gamma', '--illumination'], 'error: illumination: '),
        (['PHOTOS', '--enhancer', 'none', '--tile', '1'], 'error: tile must be at least'),
        (['PHOTOS', '--enhancer', 'none', '--device', 'x'], "error: unknown device 'x'"),
    ],
)
def test_a_mistake_is_one_line(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    arguments = [str(photos) if word == 'PHOTOS' else word for word in arguments]
    assert run_tool(monkeypatch, *arguments, '--out', tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['easy', 'medium', 'difficult'])
def test_official_images_in_tiles(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    official = shared_data / 'data' / 'sci_official'
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(official / 'weights'))
    inputs = [official / 'data' / name, '--enhancer', f'sci/official/{name}']
    options = ['--format', 'png', '--tile', 200]
    assert run_tool(monkeypatch, *inputs, *options, '--out', tmp_path) == 0
    expected = sorted((official / 'results' / name).glob('*.png'))
    assert len(expected) >= 5
    for path in expected:
        ours = read_image(tmp_path / path.name).astype(int)
        difference = np.abs(ours - read_image(path))
        if path.stem not in DECODED_OTHERWISE:
            assert difference.max() <= 1, path
            assert (difference.max(axis=2) == 0).mean() >= 0.9999, path


def test_real_photographs(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = shared_data / 'data' / 'sci_official' / 'weights' / 'medium.pt'
    folder = shared_data / 'data' / 'lowlight'
    arguments = [folder, '--enhancer', f'sci/{weights}', '--out', tmp_path]
    assert run_tool(monkeypatch, *arguments) == 0
    sources = [path for path in folder.rglob('*.*') if header_size(path)[0]]
    assert len(sources) >= 37
    for path in sources:
        enhanced = read_image(tmp_path / path.relative_to(folder))
        assert enhanced.shape == read_image(path).shape
        assert enhanced.mean() > read_image(path).mean()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='memory is measured as on Linux')
@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_48_megapixels_within_2_gib(tmp_path: Path, suffix: str) -> None:
    row = np.arange(8000, dtype=np.uint32) * 40 // 8000
    shades = row[None, :, None] + np.arange(6000)[:, None, None] % 50 + [0, 5, 9]
    write_image(tmp_path / f'large{suffix}', shades.astype(np.uint8))
    weights = tmp_path / 'sci.pth'
    script = (
        'import resource, subprocess, sys, torch\n'
        'from sci_plugins import SCIEnhancer\n'
        f'torch.save(SCIEnhancer().state_dict(), {str(weights)!r})\n'
        'subprocess.run([sys.executable, *sys.argv[1:]], check=True)\n'
        'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n'
    )
    arguments = [TOOL, tmp_path / f'large{suffix}', '--out', tmp_path / 'out']
    command = [sys.executable, '-c', script, *arguments, '--enhancer', f'sci/{weights}']
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert header_size(tmp_path / 'out' / f'large{suffix}') == (8000, 6000)
    peak = int(done.stdout.split()[-1]) * 1024
    assert peak < 2 * GIB
