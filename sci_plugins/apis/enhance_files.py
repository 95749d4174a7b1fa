"""Enhancing image files and whole folders of them."""

import copy
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from sci_plugins.apis.enhance import DEFAULT_ENHANCER
from sci_plugins.apis.enhance_log import EnhanceLog, enhancer_fingerprint
from sci_plugins.apis.file_jobs import FileJob, plan_jobs
from sci_plugins.apis.tiling import enhance_pixels
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers.base import BaseEnhancer, RetinexEnhancer
from sci_plugins.models.enhancers.build import build_enhancer
from sci_plugins.utils.images import (
    Picture,
    image_pixels,
    read_picture,
    storable_dtype,
    write_picture,
)

#: Images that are worked on at the same time have no more pixels together than
#: this, unless a single one has: it bounds the memory that workers take.
PIXELS_AT_ONCE = 2**25

Spec = nn.Module | Mapping[str, Any] | str


@dataclass
class EnhanceSummary:
    """What a run has done.

    Attributes:
        written: number of images enhanced.
        skipped: number of images that an earlier run had enhanced already.
        failed: image file -> why it could not be enhanced.
    """

    written: int = 0
    skipped: int = 0
    failed: dict[Path, str] = field(default_factory=dict)


def enhance_files(
    inputs: Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    enhancer: Spec = DEFAULT_ENHANCER,
    *,
    illumination: bool = False,
    image_format: str = 'same',
    tile: int = 1024,
    workers: int | None = None,
    overwrite: bool = False,
    device: str = 'cpu',
    progress: bool = False,
    on_failure: Callable[[str], None] | None = None,
) -> EnhanceSummary:
    """Enhance images, and folders of images, into a folder.

    Values are truncated to integers, as the authors save theirs. 8-bit images stay
    8-bit, 16-bit ones 16-bit; grey stays grey, alpha is copied. Pixels are written
    upright, the colour profile is kept (not with 16 bits), other metadata is not.
    An image that is in ``out_dir`` already, with the same enhancer and from an
    unchanged file, is skipped: a run that was stopped can be taken up again.

    Args:
        inputs: PNG, JPEG, BMP or TIFF files, and folders that hold such.
        out_dir: where to write; the structure of each folder is kept.
        enhancer: anything that ``build_enhancer`` takes.
        illumination: also write ``NAME_illumination.png``.
        image_format: ``'same'`` keeps the format of each file (JPEG with quality
            95); ``'png'`` writes all as PNG, without loss.
        tile: side of the tiles in pixels in which large images are enhanced.
        workers: threads that read and write; at most 4, one a core, by default.
        overwrite: enhance what is there already, and replace files that this
            function has not written.
        device: where to enhance, such as ``'cpu'`` or ``'cuda'``.
        progress: show a progress bar on stderr.
        on_failure: called with one line for each image that fails.

    Returns:
        What was written, skipped and failed. A failed image stops no other.

    Raises:
        ConfigError: if an option is impossible or two results would collide.
        DataError: if an input is no image, or a folder without images.
        FileNotFoundError: if an input does not exist.
    """
    workers = min(os.cpu_count() or 1, 4) if workers is None else workers
    _check_at_least('workers', workers, 1)
    _check_at_least('tile', tile, 16)
    jobs = plan_jobs(
        inputs, out_dir, image_format=image_format, illumination=illumination
    )
    model = _prepare(enhancer, device, illumination)
    log = EnhanceLog(Path(out_dir), enhancer_fingerprint(model))
    worker = _Worker(model, log, tile=tile, device=device, overwrite=overwrite)
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(jobs), unit='image', disable=not progress) as bar:
        return _run(jobs, worker, workers, bar, on_failure)


def _check_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f'{name} must be at least {least}, got {value}')


def _prepare(enhancer: Spec, device: str, illumination: bool) -> BaseEnhancer:
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ConfigError(f'unknown device {device!r}; use cpu or cuda') from error
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f'device {device}: no CUDA device is available')
    model = build_enhancer(enhancer)
    if illumination and not isinstance(model, RetinexEnhancer):
        raise ConfigError(f'illumination: {type(model).__name__} does not estimate any')
    # A module of the caller's stays where and how it is.
    return (copy.deepcopy(model) if model is enhancer else model).to(device).eval()


def _run(
    jobs: list[FileJob],
    worker: '_Worker',
    workers: int,
    bar: tqdm,
    on_failure: Callable[[str], None] | None,
) -> EnhanceSummary:
    summary = EnhanceSummary()
    pool = ThreadPoolExecutor(workers, thread_name_prefix='enhance')
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
    except (DataError, OSError, MemoryError, torch.cuda.OutOfMemoryError) as error:
        cause = ' '.join(str(error).split()) or type(error).__name__
        summary.failed[job.source] = cause
        return cause if str(job.source) in cause else f'{job.source}: {cause}'
    summary.written += written
    summary.skipped += not written
    return None


class _Worker:
    """Does one job in a thread: reads and writes beside others, enhances alone."""

    def __init__(
        self,
        model: BaseEnhancer,
        log: EnhanceLog,
        *,
        tile: int,
        device: str,
        overwrite: bool,
    ) -> None:
        self.model = model
        self.log = log
        self.tile = tile
        self.device = device
        self.overwrite = overwrite
        self.stop = Event()
        self._budget = _PixelBudget(PIXELS_AT_ONCE)
        # One at a time: torch uses all cores by itself, and memory stays bounded.
        self._enhancing = Lock()

    def __call__(self, job: FileJob) -> bool:
        """Do a job; False if it had been done before."""
        if not self.overwrite:
            if self.log.is_done(job):
                return False
            self._refuse_foreign(job)
        with self._budget.hold(image_pixels(job.source)):
            if self.stop.is_set():
                return False
            self._enhance(job)
        self.log.add(job)
        return True

    def _refuse_foreign(self, job: FileJob) -> None:
        for path in job.outputs:
            if path.exists() and not self.log.is_ours(path):
                raise DataError(
                    f'{job.source}: {path} exists and was not written by this tool, or '
                    'was changed since; overwrite replaces it'
                )

    def _enhance(self, job: FileJob) -> None:
        picture = read_picture(job.source)
        with self._enhancing:
            result = enhance_pixels(
                self.model,
                picture.pixels,
                tile=self.tile,
                illumination=job.illumination is not None,
                dtype=storable_dtype(job.target, picture.pixels.dtype),
                device=self.device,
            )
        if job.illumination is not None and result.illumination is not None:
            write_picture(job.illumination, Picture(result.illumination))
        alpha, profile = picture.alpha, picture.icc_profile
        del picture  # its pixels need not wait for the encoder
        write_picture(job.target, Picture(result.image, alpha, profile))


class _PixelBudget:
    """Lets work begin while the pixels held at the same time stay under a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until ``pixels`` fit, or until nothing else is held."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._held == 0 or self._held + pixels <= self._limit
            )
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()
