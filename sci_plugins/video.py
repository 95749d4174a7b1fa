"""Enhancing video: files, cameras and streams, frame by frame, in flat memory."""

import heapq
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sci_plugins.apis.enhance import Spec, prepare_enhancer
from sci_plugins.apis.enhance_files import enhancer_fingerprint
from sci_plugins.errors import ConfigError, DataError, check_at_least, first_line
from sci_plugins.models.enhancers import TemporalEnhancer
from sci_plugins.models.enhancers.temporal import Temporal
from sci_plugins.registry import require_host
from sci_plugins.utils.files import check_outputs, is_ours, write_atomically, write_json
from sci_plugins.utils.folders import PathLike

DEFAULT_ENHANCER = 'adaptive'  # in front of a video unless another one is named
_OUTPUTS = ('.mp4', '.mkv', '.mov')
_FRAMES_OF_SEGMENT = 300
_PATIENCE = 10.0  # seconds: after a longer pause a live stream has ended


@dataclass
class VideoSummary:
    """What became of a video."""

    frames: int = 0  # in the output
    resumed: int = 0  # of these, were there from an earlier run
    cuts: int = 0  # scene cuts that were seen; with ``temporal='none'`` none is looked for
    stopped: str = ''  # why not all of the input was enhanced, in one line; empty if all was


def enhance(
    frames: Iterable[np.ndarray],
    enhancer: Spec = DEFAULT_ENHANCER,
    *,
    temporal: Temporal = 'gain',
    fps: float = 30.0,
    device: str = 'cpu',
) -> Iterator[np.ndarray]:
    """Enhance frames one after the other, without flicker; never looks ahead.

    Args:
        frames: ``(H, W, 3)``, uint8, RGB, as those that come out; any iterable.
        enhancer: whatever :func:`sci_plugins.build_enhancer` takes.
        temporal: see :class:`sci_plugins.TemporalEnhancer`.
        fps: frames in a second.
        device: such as ``'cpu'`` or ``'cuda'``.

    Raises:
        ConfigError: if an argument is out of range.
        DataError: naming the frame that is no uint8 RGB image.
    """
    stage: Any = prepare_enhancer(TemporalEnhancer(enhancer, temporal, fps=fps), device)
    return (_enhance_frame(stage, frame, index, None) for index, frame in enumerate(frames))


def enhance_video(
    source: PathLike | int,
    out: PathLike,
    enhancer: Spec = DEFAULT_ENHANCER,
    *,
    temporal: Temporal = 'gain',
    seconds: float = 0.5,
    quality: int = 18,
    limit: int | None = None,
    device: str = 'cpu',
    overwrite: bool = False,
    show: bool = False,
    progress: bool = False,
) -> VideoSummary:
    """Enhance a video file, a camera or a stream into an H.264 file.

    Times of frames and a file's sound are kept; phones' rotation is carried out. Segments of 300
    frames are kept in ``OUT.parts`` until the video is whole: after an interruption the same call
    goes on from there, to the same frames. Where the input breaks off or its frames change size,
    the frames so far become the video.

    Args:
        source: file; number of a camera; or address, such as ``rtsp://…``.
        out: ``.mp4``, ``.mkv`` or ``.mov``.
        enhancer, temporal, device: as of :func:`enhance`.
        seconds: see :class:`sci_plugins.TemporalEnhancer`.
        quality: H.264's constant rate factor: 0 keeps every 8-bit value of the encoder's colours,
            18 is close to the eye's limit, 51 worst.
        limit: most frames to take; a camera goes on until Ctrl-C without one.
        overwrite: replace ``out`` and forget an unfinished run.
        show: show the frames in a window too (needs OpenCV with windows).
        progress: show a progress bar.

    Raises:
        ConfigError: if an argument is out of range, ``out`` exists or is the source, or
            ``OUT.parts`` is of a run with other settings, of a recording, or not ours.
        DataError: if the source is no video or holds no frame.
        MissingDependencyError: without PyAV: ``pip install 'sci_plugins[video]'``.
    """
    path = Path(out)
    if path.suffix.lower() not in _OUTPUTS:
        raise ConfigError(f'a video is written as {", ".join(_OUTPUTS)}, got {path}')
    check_at_least(0, quality=quality, most=51)
    if limit is not None:
        check_at_least(1, limit=limit)
    is_live = isinstance(source, int) or '://' in str(source)
    check_outputs(path, inputs=[] if is_live else [str(source)], overwrite=True)
    if path.exists() and not overwrite:
        raise ConfigError(f'{path} exists: choose another name, or pass --overwrite')
    stage: Any = prepare_enhancer(TemporalEnhancer(enhancer, temporal, seconds), device)
    settings: dict[str, Any] = dict(source=_identify(source, is_live), quality=quality, limit=limit)
    settings |= dict(enhancer=enhancer_fingerprint(stage))
    with _opened(source) as reader:
        if not is_live:
            _check_sound(str(source), path)
        parts = _Parts(path, settings, anew=overwrite, is_live=is_live)
        summary = _write_parts(reader, parts, stage, show, progress)
    if not summary.frames:
        parts.remove()
        raise DataError(f'{source} holds no frame{": " * bool(summary.stopped)}{summary.stopped}')
    _join(parts, path, None if is_live else str(source))
    parts.remove()
    return summary


class _Reader:
    """Frames of one source: RGB arrays, upright, with their time."""

    def __init__(self, container: Any, name: str, stream: Any) -> None:
        self.container, self.name, self.stream = container, name, stream
        self.stopped = ''
        self.time_base = stream.time_base
        self.rate = stream.average_rate or stream.base_rate or Fraction(30)
        stream.thread_type = 'AUTO'

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        """Decoded frames and their times in units of ``time_base``, ever later."""
        import av

        last, first, index = None, '', 0
        step = max(1, round(1 / (self.rate * self.time_base)))
        try:
            for frame in self.container.decode(self.stream):
                size = f'{frame.width}x{frame.height}'
                first = first or size
                if size != first:
                    told = f'expected frames of {first}, got {size} at frame {index}'
                    self.stopped = f'{self.name}: {told}'
                    return
                time = frame.pts if frame.pts is not None else (0 if last is None else last + step)
                last = time if last is None or time > last else last + 1  # encoders want it later
                yield frame, last
                index += 1
        except av.error.FFmpegError as error:
            self.stopped = f'cannot decode {self.name} after frame {index}: {first_line(error)}'


@contextmanager
def _opened(source: Any) -> Iterator[_Reader]:
    av = _import_av()
    name = str(source)
    options: dict[str, Any] = dict(file=name)
    if isinstance(source, int):
        name, options = f'camera {source}', dict(file=f'/dev/video{source}', format='v4l2')
    elif '://' in name:
        options |= dict(timeout=_PATIENCE)
    elif not os.path.isfile(name):
        raise FileNotFoundError(2, 'No such file', name)
    try:
        container = av.open(**options)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise DataError(f'cannot open {name} as a video: {first_line(error)}') from error
    with container:
        if not container.streams.video:
            raise DataError(f'{name} holds no video')
        yield _Reader(container, name, container.streams.video[0])


def _import_av() -> Any:
    require_host('video', 'av', 'video')
    import av

    av.logging.set_level(None)
    return av


class _Parts:
    """Segments of an unfinished video: a folder beside it, with the settings of its run."""

    def __init__(self, out: Path, settings: dict[str, Any], *, anew: bool, is_live: bool) -> None:
        self.folder = out.with_name(f'{out.name}.parts')
        about = self.folder / 'settings.json'
        if self.folder.exists() and not (about.is_file() and is_ours(about)):
            raise ConfigError(f'{self.folder} was not written by this package: choose another name')
        if anew:
            self.remove()
        if self.folder.exists():
            if is_live:
                advice = 'choose another name, or forget it with --overwrite'
                raise ConfigError(f'{self.folder} holds an unfinished recording: {advice}')
            earlier: dict[str, Any] = {}
            with suppress(OSError, ValueError):
                earlier = json.loads(about.read_text())
            if any(earlier.get(name) != value for name, value in settings.items()):
                advice = 'finish that one, or pass --overwrite'
                raise ConfigError(f'{self.folder} is of a run with other settings: {advice}')
        write_json(about, settings)
        self.quality, self.limit, self.is_live = settings['quality'], settings['limit'], is_live
        self.files: list[Path] = []
        self.state: dict[str, Any] = {}
        while (state := self.unfinished.with_suffix('.pth')).exists():
            self.state = torch.load(state, weights_only=True)
            self.files.append(self.unfinished)

    @property
    def unfinished(self) -> Path:
        """The segment that is being written; once it is whole, its state is beside it."""
        return self.folder / f'{len(self.files):06d}.nut'

    def close(
        self, encoder: '_Encoder', stage: TemporalEnhancer, frames: int, last: int | None
    ) -> None:
        """The segment is whole; the state after it is kept."""
        encoder.close()
        until = float((last or 0) * encoder.time_base)
        self.state = dict(stream=stage.stream_state(), frames=frames, time=last, until=until)
        data = io.BytesIO()
        torch.save(self.state, data)
        write_atomically(self.unfinished.with_suffix('.pth'), data.getvalue(), sync=True)
        self.files.append(self.unfinished)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _write_parts(
    reader: _Reader, parts: _Parts, stage: TemporalEnhancer, show: bool, progress: bool
) -> VideoSummary:
    done = parts.state.get('frames', 0)
    if done:
        stage.resume_stream(parts.state['stream'])
    summary = VideoSummary(done, done)
    total = parts.limit or reader.stream.frames or None
    bar = tqdm(total=total, initial=done, unit='frame', disable=not progress)
    last = parts.state.get('time')
    encoder: _Encoder | None = None
    try:
        for index, (frame, time) in enumerate(islice(reader, parts.limit)):
            if index < done:
                continue
            seconds = None if last is None else float((time - last) * reader.time_base)
            enhanced = _enhance_frame(stage, _upright(frame), index, seconds)
            encoder = encoder or _Encoder(parts.unfinished, reader, frame, parts.quality)
            encoder.write(enhanced, time)
            last = time
            summary.frames += 1
            bar.update()
            if show:
                _show(enhanced)
            if encoder.frames == _FRAMES_OF_SEGMENT:
                parts.close(encoder, stage, summary.frames, last)
                encoder = None
    except KeyboardInterrupt:
        if not parts.is_live:
            raise
    finally:
        bar.close()
        if encoder is not None:
            parts.close(encoder, stage, summary.frames, last)
    summary.stopped, summary.cuts = reader.stopped, stage.cuts
    return summary


class _Encoder:
    """One segment: H.264 in NUT, which keeps times exactly; no frame refers to a later one."""

    def __init__(self, path: Path, reader: _Reader, frame: Any, quality: int) -> None:
        import av

        self.frames = 0
        self._av, self._like, self.time_base = av, frame, reader.time_base
        self._container = av.open(str(path), 'w', format='nut')
        try:
            options = dict(crf=str(quality), preset='veryfast', bf='0')
            self._stream = self._container.add_stream('libx264', rate=reader.rate, options=options)
        except (av.error.FFmpegError, ValueError) as error:
            raise ConfigError(f'this PyAV has no H.264 encoder: {first_line(error)}') from error

    def write(self, rgb: np.ndarray, time: int) -> None:
        context = self._stream.codec_context
        if not self.frames:
            context.height, context.width = rgb.shape[:2]
            # Half the resolution of colours needs even sides.
            context.pix_fmt = 'yuv444p' if rgb.shape[0] % 2 or rgb.shape[1] % 2 else 'yuv420p'
            context.time_base = self.time_base
            for name in ('colorspace', 'color_primaries', 'color_trc'):
                setattr(context, name, getattr(self._like, name))
        frame = self._av.VideoFrame.from_ndarray(rgb, format='rgb24')
        frame = frame.reformat(format=context.pix_fmt, dst_colorspace=self._like.colorspace)
        frame.pts, frame.time_base = time, self.time_base
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


def _upright(frame: Any) -> np.ndarray:
    """``(H, W, 3)``, uint8, RGB; turned as its rotation says, in quarters."""
    rgb = frame.to_ndarray(format='rgb24')
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _enhance_frame(
    stage: TemporalEnhancer, frame: np.ndarray, index: int, seconds: float | None
) -> np.ndarray:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
        found = getattr(frame, 'dtype', type(frame).__name__), getattr(frame, 'shape', ())
        raise DataError(f'frame {index}: expected uint8 RGB of shape (H, W, 3), got {found}')
    with torch.no_grad():
        image = torch.tensor(frame).to(next(stage.parameters(), torch.empty(0)).device)
        enhanced = stage.step(image.permute(2, 0, 1)[None].float() / 255, seconds)
        return enhanced[0].mul(255).byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _show(rgb: np.ndarray) -> None:
    import cv2

    try:
        cv2.imshow('sci_plugins', rgb[..., ::-1])
        cv2.waitKey(1)
    except cv2.error as error:
        raise ConfigError('this OpenCV has no windows: leave --show out') from error


def _join(parts: _Parts, out: Path, source: str | None) -> None:
    """Put segments and the source's sound into one file, without coding anything again."""
    av = _import_av()
    unfinished = parts.folder / f'whole{out.suffix}'
    with av.open(str(unfinished), 'w') as whole, ExitStack() as stack:
        like = stack.enter_context(av.open(str(parts.files[0]))).streams.video[0]
        video = whole.add_stream_from_template(like)
        video.time_base = like.time_base
        packets = [_segments(parts.files, video)]
        if source is not None:
            sound = stack.enter_context(av.open(source))
            tracks = {each: whole.add_stream_from_template(each) for each in sound.streams.audio}
            # Matroska has no times below 0: what a codec sends ahead would move all the others.
            start = 0.0 if out.suffix.lower() == '.mkv' else -math.inf
            packets.append(_packets(sound, tracks, 1, start, parts.state['until'] + 1))
        for _, _, packet in heapq.merge(*packets, key=lambda item: item[:2]):
            whole.mux(packet)
    os.replace(unfinished, out)


def _segments(files: Iterable[Path], video: Any) -> Iterator[tuple[float, int, Any]]:
    for path in files:
        with _import_av().open(str(path)) as segment:
            yield from _packets(segment, {segment.streams.video[0]: video}, 0)


def _packets(
    container: Any,
    streams: Mapping[Any, Any],
    rank: int,
    start: float = -math.inf,
    end: float = math.inf,
) -> Iterator[tuple[float, int, Any]]:
    """Time in seconds, rank and packet, moved from the container's streams to others."""
    for packet in container.demux(list(streams)) if streams else ():
        place = math.nan if packet.dts is None else float(packet.dts * packet.time_base)
        if place > end:
            return
        if place >= start:
            packet.stream = streams[packet.stream]
            yield place, rank, packet


def _check_sound(source: str, out: Path) -> None:
    """Try whether the output can hold the sound, before work begins."""
    av = _import_av()
    with tempfile.TemporaryDirectory() as folder, av.open(source) as container:
        if not (sound := container.streams.audio):
            return
        try:
            with av.open(os.path.join(folder, f'probe{out.suffix}'), 'w') as probe:
                tracks = {each: probe.add_stream_from_template(each) for each in sound}
                for _, _, packet in islice(_packets(container, tracks, 1, start=0), 20):
                    probe.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            names = ', '.join(sorted({each.codec_context.name for each in sound}))
            raise ConfigError(f'cannot keep the sound ({names}) in {out}: write an .mkv') from error


def _identify(source: Any, is_live: bool) -> list[Any]:
    if is_live or not os.path.isfile(source):
        return [str(source)]
    stat = os.stat(source)
    return [os.path.realpath(source), stat.st_size, stat.st_mtime_ns]
