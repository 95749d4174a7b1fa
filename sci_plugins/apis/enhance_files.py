"""Enhancing image files and folders; a log in the output folder makes a run resumable."""

import inspect
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any

from mmengine.logging import print_log
from tqdm import tqdm

from sci_plugins import errors
from sci_plugins.apis.enhance import Spec, enhance_pixels, hash_tensors, prepare_enhancer
from sci_plugins.errors import ConfigError, DataError, SciPluginsError, check_at_least
from sci_plugins.models.enhancers.base import BaseEnhancer, RetinexEnhancer, arguments_of, type_name
from sci_plugins.models.enhancers.sci import prepare_kernels
from sci_plugins.utils import images
from sci_plugins.utils.files import write_atomically
from sci_plugins.utils.folders import PathLike, check_regular_file, list_files, video_advice
from sci_plugins.weights import DEFAULT_ENHANCER

Paths = PathLike | Iterable[PathLike]
#: Name of the log in the output folder.
LOG_NAME = 'enhance_log.jsonl'
#: Pixels of images worked on at the same time, unless a single one has more: bounds the memory.
PIXELS_AT_ONCE = 2**25


@dataclass(frozen=True)
class FileJob:
    """One image to enhance."""

    source: Path  # image file to read
    target: Path  # image file to write
    illumination: Path | None = None  # PNG file for the illumination map, ``None`` if not wanted

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that this job writes."""
        return (self.target,) + ((self.illumination,) if self.illumination else ())


def plan_jobs(
    inputs: Paths,
    out_dir: PathLike,
    *,
    image_format: str = 'same',
    illumination: bool = False,
    skipped: list[str] | None = None,
) -> list[FileJob]:
    """List what to read and where to write it; arguments and errors as of :func:`enhance_files`.

    A file goes to ``out_dir/NAME``; what lies in a folder keeps its path below that folder; see
    :func:`sci_plugins.utils.folders.list_files` for what is passed over, as ``out_dir`` is too:
    ``skipped`` gets a line for each folder with such files.
    """
    if image_format not in ('same', 'png'):
        raise ConfigError(f"image_format must be 'same' or 'png', got {image_format!r}")
    out_dir = Path(out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise ConfigError(f'{out_dir} is a file, not a folder to write to')
    notes = [] if skipped is None else skipped
    jobs: dict[tuple[Path, Path], FileJob] = {}  # one image named twice is one job
    for item in map(Path, [inputs] if isinstance(inputs, str | os.PathLike) else inputs):
        for source, place in _find_images(item, out_dir, notes):
            target = out_dir / place
            map_file = target.with_name(f'{target.stem}_illumination.png')
            if image_format == 'png':
                target = target.with_suffix('.png')
            job = FileJob(source, target, map_file if illumination else None)
            jobs.setdefault((source.resolve(), target), job)
    _check_outputs(list(jobs.values()))
    return list(jobs.values())


def _find_images(item: Path, out_dir: Path, skipped: list[str]) -> list[tuple[Path, Path]]:
    """Image files and their paths below the output folder; results are not inputs."""
    if not item.is_dir():
        check_regular_file(item, 'image or folder')
        if item.suffix.lower() not in images.IMAGE_FORMATS:
            known = ', '.join(images.IMAGE_FORMATS) + video_advice([item.suffix])
            raise DataError(f'{item}: expected an image with one of the suffixes {known}')
        return [(item, Path(item.name))]
    if item.resolve() == out_dir.resolve():
        raise ConfigError(f'{item} is both input and output; choose another folder')
    listing = list_files(item, images.IMAGE_FORMATS, leave_out=[out_dir])
    if listing.note:
        skipped.append(f'{item}: {listing.note}')
    if not listing.files:
        raise DataError('; '.join([f'{item}: found no image', *filter(None, [listing.note])]))
    return [(path, path.relative_to(item)) for path in listing.files]


def _check_outputs(jobs: list[FileJob]) -> None:
    sources = {job.source.resolve(): job.source for job in jobs}
    writers: dict[Path, Path] = {}
    for job in jobs:
        for output in job.outputs:
            if source := sources.get(output.resolve()):
                told = f'{job.source} would be written over the input {source}'
                raise ConfigError(f'{told}; choose another output folder')
            if (other := writers.setdefault(output, job.source)) != job.source:
                told = f'{other} and {job.source} would both be written to {output}'
                raise ConfigError(f'{told}; enhance them into different folders')


def enhancer_fingerprint(enhancer: BaseEnhancer) -> str:
    """Short hash of what an enhancer does: code, arguments, its modules' plain values, weights."""
    plain: dict[str, Any] = {}
    for path, module in enhancer.named_modules():
        own = {name: value for name, value in vars(module).items() if not name.startswith('_')}
        own.pop('training')
        values = (e for e in own.items() if isinstance(e[1], bool | int | float | str | None))
        plain |= {f'{path}.{name}': value for name, value in values}
    facts = [_code_of(enhancer), arguments_of(enhancer), plain]
    tensors = enhancer.state_dict() | dict(enhancer.named_buffers())
    return hash_tensors(sorted(tensors.items()), json.dumps(facts, sort_keys=True))[:16]


def _code_of(enhancer: BaseEnhancer) -> list[str]:
    """Names of the classes inside; of those from outside, what their files hold."""
    code = []
    for kind in {type(each): 0 for each in enhancer.modules() if isinstance(each, BaseEnhancer)}:
        code.append(type_name(kind))
        if not code[-1].startswith('sci_plugins.'):
            with suppress(OSError, TypeError):  # typed in, say: no file
                code.append(inspect.getsource(inspect.getmodule(kind) or kind))
    return code


class EnhanceLog:
    """The file ``enhance_log.jsonl`` of an output folder, a line for each file to be written.

    A line is on the disk before its file is: the log knows every result, also of a killed run and
    of others beside. A result counts as done while its file has the size that the last line about
    it says, its source the size and time, and the enhancer the hash (`enhancer_fingerprint`).
    """

    def __init__(self, out_dir: Path, enhancer: str) -> None:
        self.path, self.enhancer = out_dir / LOG_NAME, enhancer
        self._lock, self._cut_off = Lock(), False
        self._known = 0  # bytes of it, read or written by this run
        self._entries = self._read()

    def catch_up(self) -> int:
        """Read what other runs have written; the number of bytes that are known then."""
        with self._lock:
            if self.path.exists() and self.path.stat().st_size != self._known:
                self._entries = self._read()
            return self._known

    def is_done(self, job: FileJob) -> bool:
        """Whether all files of ``job`` are there and up to date."""
        wanted = self._state(job)
        for path in job.outputs:
            last = self._entries.get(self._key(path), [{}])[-1]
            is_whole = path.is_file() and last.get('output_bytes') == path.stat().st_size
            if not (is_whole and wanted.items() <= last.items()):
                return False
        return True

    def is_ours(self, path: Path) -> bool:
        """Whether ``path`` exists as this run or an earlier one has left it."""
        # Also the result before the last one: a run may be killed between line and file.
        entries = self._entries.get(self._key(path), [])
        return path.is_file() and path.stat().st_size in [e.get('output_bytes') for e in entries]

    def begin(self, job: FileJob, contents: Mapping[Path, memoryview]) -> None:
        """Log what is about to be written, output file -> bytes, and wait until that is on disk."""
        sizes = {self._key(path): content.nbytes for path, content in contents.items()}
        state = dict(source=str(job.source), **self._state(job))
        lines = [dict(output=name, **state, output_bytes=size) for name, size in sizes.items()]
        text = ''.join(json.dumps(line) + '\n' for line in lines)
        with self._lock, open(self.path, 'ab') as file:
            self._known += file.write((b'\n' if self._cut_off else b'') + text.encode())
            file.flush()
            os.fsync(file.fileno())
            self._cut_off = False
            for line in lines:
                self._entries.setdefault(line['output'], []).append(line)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()

    def _state(self, job: FileJob) -> dict[str, Any]:
        source = job.source.stat()
        of_source = dict(source_bytes=source.st_size, source_time_ns=source.st_mtime_ns)
        return of_source | dict(enhancer=self.enhancer)

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        if not self.path.exists():
            return {}
        path = check_regular_file(self.path, 'log')
        content = path.read_bytes()
        self._known, text = len(content), content.decode(errors='replace')
        self._cut_off = bool(text) and not text.endswith('\n')
        entries: dict[str, list[dict[str, Any]]] = {}
        damaged = []
        for number, line in enumerate(text.split('\n'), start=1):
            if entry := _parse(line):
                entries.setdefault(entry['output'], []).append(entry)
            elif line and (line.endswith('}') or not line.startswith('{"output": ')):
                damaged.append(number)  # not cut off by a crash: that file is simply done again
        if damaged:
            told = f'expected an entry of this log, ignored {len(damaged)} such lines'
            print_log(f'{path}, line {damaged[0]}: {told}', 'current', logging.WARNING)
        return entries


def _parse(line: str) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError, TypeError, KeyError):
        entry = json.loads(line)
        if isinstance(entry['output'], str) and isinstance(entry['output_bytes'], int):
            return dict(entry)
    return None


@dataclass
class EnhanceSummary:
    """What a run has done."""

    written: int = 0  # number of images enhanced
    skipped: int = 0  # number of images that another run had enhanced already
    failed: dict[Path, str] = field(default_factory=dict)  # image file -> why
    passed_over: list[str] = field(default_factory=list)  # lines about folders with other files


def enhance_files(
    inputs: Paths,
    out_dir: PathLike,
    enhancer: Spec = DEFAULT_ENHANCER,
    *,
    illumination: bool = False,
    image_format: str = 'same',
    png_level: int = images.PNG_LEVEL,
    tile: int = 1024,
    workers: int | None = None,
    overwrite: bool = False,
    device: str = 'cpu',
    progress: bool = False,
    on_failure: Callable[[str], None] | None = None,
) -> EnhanceSummary:
    """Enhance images, and folders of images, into a folder; a failed image stops no other.

    Values are truncated to integers, as the authors save theirs. 8-bit images stay 8-bit, 16-bit
    ones 16-bit; grey stays grey, alpha is copied. Pixels are written upright, the colour profile is
    kept (not with 16 bits), other metadata is not. An image that is in ``out_dir`` already, with
    the same enhancer and from an unchanged file, is skipped: runs can be resumed, and share work.

    Args:
        inputs: PNG, JPEG, BMP, TIFF or WebP files, and folders that hold such, or one of these.
        out_dir: where to write; need not exist; the structure of each folder is kept.
        enhancer: anything that ``build_enhancer`` takes.
        illumination: also write ``NAME_illumination.png``.
        image_format: ``'same'`` keeps the format of each file (JPEG with quality 95); ``'png'``
            writes all as PNG, without loss.
        png_level: compression of PNG files, 0 to 9; 1 is fast.
        tile: side of the tiles in pixels in which large images are enhanced.
        workers: threads that read and write; at most 4, one a core, by default.
        overwrite: enhance what is there already, and replace files that are not of this function.
        on_failure: called with one line for each image that fails.

    Raises:
        ConfigError: if an option is impossible, or results collide with each other or an input.
        DataError, FileNotFoundError: if an input is missing, no image, or a folder without images.
    """
    workers = min(os.cpu_count() or 1, 4) if workers is None else workers
    errors.check_workers(workers)
    check_at_least(16, tile=tile)
    check_at_least(0, most=9, png_level=png_level)
    summary = EnhanceSummary()
    how: Any = dict(image_format=image_format, illumination=illumination)
    jobs = plan_jobs(inputs, out_dir, **how, skipped=summary.passed_over)
    model = prepare_enhancer(enhancer, device)
    prepare_kernels(model)
    if illumination and not isinstance(model, RetinexEnhancer):
        raise ConfigError(f'illumination: {type(model).__name__} does not estimate any')
    log = EnhanceLog(Path(out_dir), enhancer_fingerprint(model))
    worker = _Worker(model, log, overwrite, png_level, tile=tile, device=device)
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(workers, thread_name_prefix='enhance')
    with tqdm(total=len(jobs), unit='image', disable=not progress) as bar:
        try:
            futures = {pool.submit(worker, job): job for job in jobs}
            for future in as_completed(futures):
                line = _take(future, futures.pop(future), summary)
                if line and on_failure is not None:
                    with bar.external_write_mode(file=sys.stderr):
                        on_failure(line)
                bar.update()
        finally:  # after Ctrl-C too: what is begun ends, nothing stays half-written
            worker.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return summary


def _take(future: 'Future[bool]', job: FileJob, summary: EnhanceSummary) -> str | None:
    """Count one result; the line to tell if it is a failure."""
    try:
        written = future.result()
    except Exception as error:  # whatever one image raises stops no other
        cause = ' '.join(str(error).split())
        if not (cause and isinstance(error, SciPluginsError | OSError)):
            cause = f'{type(error).__name__}: {cause}'.removesuffix(': ')
        summary.failed[job.source] = cause
        return cause if str(job.source) in cause else f'{job.source}: {cause}'
    summary.written += written
    summary.skipped += not written
    return None


class _Worker:
    """Does one job in a thread: reads and writes beside others, enhances alone."""

    def __init__(
        self, model: BaseEnhancer, log: EnhanceLog, overwrite: bool, png_level: int, **how: Any
    ) -> None:
        self.model, self.log, self.overwrite, self.png_level = model, log, overwrite, png_level
        self.how, self.stop, self._budget = how, Event(), _PixelBudget(PIXELS_AT_ONCE)
        # One at a time: torch uses all cores by itself, and memory stays bounded.
        self._enhancing = Lock()

    def __call__(self, job: FileJob) -> bool:
        """Do a job; False if it had been done before."""
        if not self.overwrite:
            if self.log.is_done(job):
                return False
            foreign, known = [each for each in job.outputs if each.exists()], -1
            while foreign:  # or written by a run beside, which a thread beside may have noticed
                before, known = known, self.log.catch_up()
                if self.log.is_done(job):
                    return False
                foreign = [each for each in foreign if not self.log.is_ours(each)]
                if foreign and known == before:
                    told = f'{foreign[0]} exists and was not written by this tool, or was changed'
                    raise DataError(f'{job.source}: {told} since; overwrite replaces it')
        with self._budget.hold(math.prod(images.header_size(job.source))):
            if self.stop.is_set():
                return False
            contents = self._enhance(job)
        self.log.begin(job, contents)
        for path, content in contents.items():
            write_atomically(path, content, sync=True)
        return True

    def _enhance(self, job: FileJob) -> dict[Path, memoryview]:
        """Output file -> its bytes."""
        picture = images.read_picture(job.source)
        with self._enhancing:
            dtype = images.storable_dtype(job.target, picture.pixels.dtype)
            wanted: Any = dict(illumination=job.illumination is not None, dtype=dtype, **self.how)
            result = enhance_pixels(self.model, picture.pixels, **wanted)
        pictures = {}
        if job.illumination is not None and result.illumination is not None:
            pictures[job.illumination] = images.Picture(result.illumination)
        pictures[job.target] = replace(picture, pixels=result.image)
        del picture  # its pixels need not wait for the encoder
        level = self.png_level
        return {path: images.encode_picture(path, p, level) for path, p in pictures.items()}


class _PixelBudget:
    """Lets work begin while the pixels held at the same time stay under a limit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._changed = Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until ``pixels`` fit, or until nothing else is held."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + pixels <= self._limit)
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()
