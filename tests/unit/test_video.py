"""Videos: times and sound are kept, runs are resumed, broken inputs give what they have."""

import functools
import http.server
import math
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sci_plugins import video
from sci_plugins.errors import ConfigError, DataError, MissingDependencyError

av = pytest.importorskip('av')
SIZE = (48, 64)


def frame_of(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A pattern that moves by a pixel each frame, dark, in light that swells."""
    cells = np.random.default_rng(0).integers(40, 255, (8, 30, 3))
    wide = np.kron(cells, np.ones((8, 8, 1)))[: size[0], index : index + size[1]]
    return (wide * (0.15 + 0.05 * math.sin(index / 4))).astype(np.uint8)


def write_video(
    path: Path,
    count: int = 12,
    *,
    size: tuple[int, int] = SIZE,
    times: list[int] | None = None,
    sound: str = '',
    colorspace: int | None = None,
) -> Path:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10, options=dict(crf='1'))
        stream.height, stream.width = size
        stream.pix_fmt = 'yuv444p'
        if colorspace:
            stream.codec_context.colorspace = colorspace
        voice = container.add_stream(sound, rate=16000) if sound else None
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(frame_of(index, size), format='rgb24')
            frame = frame.reformat(format='yuv444p', dst_colorspace=colorspace)
            frame.pts, frame.time_base = (times or range(count))[index], Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for block in range(count * 1600 // 1024 if voice else 0):
            tone = np.sin(np.arange(1024) / 10, dtype=np.float32)[None]
            kind, layout = ('fltp', tone) if sound == 'aac' else ('s16', tone * 9000)
            layout = layout.astype(np.float32 if kind == 'fltp' else np.int16)
            sample = av.AudioFrame.from_ndarray(layout, format=kind, layout='mono')
            sample.sample_rate, sample.pts = 16000, block * 1024
            container.mux(voice.encode(sample))
        if voice:
            container.mux(voice.encode(None))
    return path


def read_video(path: Path) -> tuple[list[float], list[np.ndarray], list[float]]:
    """Times of the frames, the frames, times of the sound's packets."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio) if container.streams.audio else ()
        sound = [float(each.dts * each.time_base) for each in packets if each.dts is not None]
    return (
        [each.time for each in frames],
        [each.to_ndarray(format='rgb24') for each in frames],
        sound,
    )


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, '_FRAMES_OF_SEGMENT', 5)


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.mov'])
@pytest.mark.parametrize('times', [None, [0, 1, 2, 5, 6, 7, 20, 21, 22, 30, 31, 33]])
def test_times_and_sound_are_kept(tmp_path: Path, suffix: str, times: list[int] | None) -> None:
    source = write_video(tmp_path / 'in.mp4', times=times, sound='aac')
    out = tmp_path / f'out{suffix}'
    summary = video.enhance_video(source, out, 'exposure/0.4')
    assert (summary.frames, summary.resumed, summary.stopped) == (12, 0, '')
    before, after = read_video(source), read_video(out)
    np.testing.assert_allclose(after[0], before[0], atol=1e-3)
    ahead = [time for time in before[2] if time < 0 and suffix == '.mkv']
    np.testing.assert_allclose(after[2], before[2][len(ahead) :], atol=1e-3)
    assert len(after[2]) > 10
    assert not out.with_name(f'{out.name}.parts').exists()


@pytest.mark.parametrize('colorspace', [1, 5])  # BT.709, BT.601
def test_colours_are_kept(tmp_path: Path, colorspace: int) -> None:
    source = write_video(tmp_path / 'in.mp4', colorspace=colorspace)
    video.enhance_video(source, tmp_path / 'out.mkv', 'gamma/1', quality=0)
    for before, after in zip(
        read_video(source)[1], read_video(tmp_path / 'out.mkv')[1], strict=True
    ):
        error = before.astype(float) - after
        # Half the resolution of colours; FFmpeg rounds them down.
        assert abs(error).mean() < 4
        assert abs(error.mean((0, 1))).max() < 1.7


def test_it_is_brightened_as_the_iterator_does(tmp_path: Path) -> None:
    source = write_video(tmp_path / 'in.mp4')
    video.enhance_video(source, tmp_path / 'out.mp4', 'exposure/0.4', quality=0)
    frames = read_video(source)[1]
    expected = list(video.enhance(frames, 'exposure/0.4', fps=10))
    for want, got in zip(expected, read_video(tmp_path / 'out.mp4')[1], strict=True):
        assert abs(want.mean() - got.mean()) < 2
    assert np.mean(expected) > 1.8 * np.mean(frames)


@pytest.mark.parametrize('temporal', ['gain', 'full'])
def test_an_interrupted_run_goes_on_to_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporal: Any
) -> None:
    source = write_video(tmp_path / 'in.mp4', sound='aac')
    whole, out = tmp_path / 'whole.mkv', tmp_path / 'out.mkv'
    video.enhance_video(source, whole, 'exposure/0.4', temporal=temporal)
    for stop in (3, 8):
        with monkeypatch.context() as patch:
            patch.setattr(video, '_enhance_frame', _interrupting(stop))
            with pytest.raises(KeyboardInterrupt):
                video.enhance_video(source, out, 'exposure/0.4', temporal=temporal)
        assert not out.exists()
    with pytest.raises(ConfigError, match='is of a run with other settings'):
        video.enhance_video(source, out, 'exposure/0.3', temporal=temporal)
    summary = video.enhance_video(source, out, 'exposure/0.4', temporal=temporal)
    assert (summary.frames, summary.resumed) == (12, 8)
    before, after = read_video(whole), read_video(out)
    assert before[0] == after[0]
    for index, (want, got) in enumerate(zip(before[1], after[1], strict=True)):
        # The same frames were encoded; segments of other lengths start with other key frames.
        assert abs(want.astype(float) - got).mean() < 4, index


def _interrupting(stop: int) -> Any:
    real = video._enhance_frame

    def interrupt(stage: Any, frame: Any, index: int, seconds: Any) -> Any:
        if index == stop:
            raise KeyboardInterrupt
        return real(stage, frame, index, seconds)

    return interrupt


def test_a_broken_video_gives_the_frames_so_far(tmp_path: Path) -> None:
    whole = write_video(tmp_path / 'in.mkv', count=40, size=(96, 128))
    broken = tmp_path / 'broken.mkv'
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    summary = video.enhance_video(broken, tmp_path / 'out.mp4', 'gamma')
    times = read_video(tmp_path / 'out.mp4')[0]
    assert 3 < summary.frames < 40
    assert len(times) == summary.frames


def test_frames_that_change_size_end_the_video(tmp_path: Path) -> None:
    path = tmp_path / 'in.ts'
    with open(path, 'wb') as joined:
        for index, size in enumerate([(48, 64), (96, 64)]):
            part = write_video(tmp_path / f'{index}.ts', count=7, size=size)
            joined.write(part.read_bytes())
    summary = video.enhance_video(path, tmp_path / 'out.mp4', 'gamma')
    assert summary.frames == 7
    assert 'expected frames of 64x48, got 64x96 at frame 7' in summary.stopped
    assert len(read_video(tmp_path / 'out.mp4')[0]) == 7


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_a_stream_ends_by_ctrl_c(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / 'in.mkv')
    monkeypatch.setattr(video, '_enhance_frame', _interrupting(7))
    summary = video.enhance_video(f'{address}/in.mkv', tmp_path / 'out.mp4', 'gamma')
    assert summary.frames == 7
    assert len(read_video(tmp_path / 'out.mp4')[0]) == 7


def test_a_users_folder_and_a_killed_recording_are_kept(tmp_path: Path, address: str) -> None:
    source = write_video(tmp_path / 'in.mkv', count=3)
    folder = tmp_path / 'out.mp4.parts'
    folder.mkdir()
    (folder / 'mine').write_text('mine')
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r'\.parts was not written by this package'):
            video.enhance_video(source, tmp_path / 'out.mp4', 'gamma', overwrite=overwrite)
    assert (folder / 'mine').read_text() == 'mine'
    (folder / 'settings.json').write_text('{"written_by": "Written by sci_plugins 0.1.0"}')
    with pytest.raises(ConfigError, match='holds an unfinished recording'):
        video.enhance_video(f'{address}/in.mkv', tmp_path / 'out.mp4', 'gamma')
    assert (folder / 'mine').read_text() == 'mine'


def test_a_limit(tmp_path: Path) -> None:
    source = write_video(tmp_path / 'in.mp4', sound='aac', count=40)
    assert video.enhance_video(source, tmp_path / 'out.mp4', 'gamma', limit=6).frames == 6
    _, frames, sound = read_video(tmp_path / 'out.mp4')
    assert len(frames) == 6
    assert 0.5 < sound[-1] < 1.7


@pytest.mark.parametrize('size', [(47, 64), (48, 63)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    source = write_video(tmp_path / 'in.mp4', size=size, count=3)
    video.enhance_video(source, tmp_path / 'out.mp4', 'gamma')
    assert read_video(tmp_path / 'out.mp4')[1][0].shape == (*size, 3)


def test_mistakes(tmp_path: Path, address: str) -> None:
    source = write_video(tmp_path / 'in.mkv', sound='pcm_s16le', count=3)
    out = tmp_path / 'out.mp4'
    text = tmp_path / 'text.mp4'
    text.write_text('no video')
    for arguments, kind, message in [
        ((source, tmp_path / 'out.avi'), ConfigError, 'is written as .mp4, .mkv, .mov, got'),
        ((source, source), ConfigError, 'it is the input'),
        ((source, out), ConfigError, r'cannot keep the sound \(pcm_s16le\) in .*: write an .mkv'),
        ((tmp_path / 'none.mp4', out), FileNotFoundError, 'none.mp4'),
        ((text, out), DataError, 'cannot open .*text.mp4 as a video'),
        ((f'{address}/none.mp4', out), DataError, 'cannot open http'),
        ((977, out), DataError, 'cannot open camera 977 as a video'),
        ((source, out, 'nonsense'), ConfigError, 'unknown enhancer'),
    ]:
        with pytest.raises(kind, match=message):
            video.enhance_video(*arguments)
        assert not out.exists()
        assert not out.with_name('out.mp4.parts').exists(), message
    out.write_text('mine')
    with pytest.raises(ConfigError, match='exists: choose another name, or pass --overwrite'):
        video.enhance_video(source, out)
    assert out.read_text() == 'mine'
    with pytest.raises(DataError, match=r'frame 1: expected uint8 RGB of shape \(H, W, 3\)'):
        list(video.enhance([frame_of(0), frame_of(0)[..., :2]], 'gamma'))


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / 'in.mp4', count=1)
    monkeypatch.setitem(__import__('sys').modules, 'av', None)
    with pytest.raises(MissingDependencyError, match=r'pip install "sci_plugins\[video\]"'):
        video.enhance_video(source, tmp_path / 'out.mp4')
