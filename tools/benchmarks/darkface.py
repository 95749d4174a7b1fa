"""Cost of DARK FACE's metrics and of their bootstrap."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.timing import Timing, time_in_turn, to_table
from sci_plugins.errors import check_at_least
from sci_plugins.evaluation.detection_records import DarkFaceRecords, ImageDetections
from sci_plugins.functional.detection_ap import count_official, official_ap, resampled_official_ap
from sci_plugins.utils.machine import describe_machine, machine_line

#: Faces per image, and median of sqrt(area), in the 2019 annotations.
_FACES, _SIDE = 7.3, 11.5
OFFICIAL, TEN_TIMES = 'official AP', 'official AP, 10x predictions'


@dataclass(frozen=True)
class DarkFaceResult:
    """Times of the official AP, and of resampling it and all metrics."""

    machine: dict[str, Any]
    blas_threads: str
    images: int
    predictions: int
    resamples: int
    timings: dict[str, Timing]
    ratio: float
    resample_seconds: float
    match_all_seconds: float
    resample_all_seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        return '\n'.join(
            [
                machine_line(self.machine),
                f'OMP_NUM_THREADS={self.blas_threads or "not set"}',
                f'{self.images} images, {self.predictions} predictions each',
                to_table(self.timings),
                f'ten times the predictions take {self.ratio:.1f} times as long',
                f'{self.resamples} resamples of the official AP: {self.resample_seconds:.2f} s',
                f'all numbers, pycocotools among them: {self.match_all_seconds:.2f} s; '
                f'{self.resamples} resamples of all: {self.resample_all_seconds:.2f} s',
            ]
        )


def benchmark_darkface(
    images: int = 600, predictions: int = 300, resamples: int = 1000, runs: int = 5
) -> DarkFaceResult:
    """Time matching and integration on random faces.

    NumPy uses all cores by default: set ``OMP_NUM_THREADS=1`` to measure a single core.

    Args:
        images: number of images.
        predictions: predictions per image; also measured with ten times as many.
        resamples: bootstrap resamples of the images.
        runs: measured rounds.

    Raises:
        ConfigError: if a number is below 1.
        MissingDependencyError: if pycocotools is not installed.
    """
    check_at_least(
        1, most=100_000, images=images, predictions=predictions, resamples=resamples, runs=runs
    )
    few, many = (random_submission(images, predictions * times) for times in (1, 10))
    timings = time_in_turn(
        {OFFICIAL: lambda: _official(few), TEN_TIMES: lambda: _official(many)}, runs
    )
    weights = np.random.default_rng(0).multinomial(images, [1 / images] * images, size=resamples)
    counts = count_official(*_arrays(few))
    records, match_seconds = _timed(lambda: DarkFaceRecords(few))
    return DarkFaceResult(
        machine=describe_machine(),
        blas_threads=os.environ.get('OMP_NUM_THREADS', ''),
        images=images,
        predictions=predictions,
        resamples=resamples,
        timings=timings,
        ratio=timings[TEN_TIMES].median_ms / timings[OFFICIAL].median_ms,
        resample_seconds=_timed(lambda: resampled_official_ap(counts, weights))[1],
        match_all_seconds=match_seconds,
        resample_all_seconds=_timed(lambda: records.resampled(weights))[1],
    )


def random_submission(images: int, predictions: int, seed: int = 0) -> list[ImageDetections]:
    """As many and as small faces as in DARK FACE, with a third of the predictions near them."""
    rng = np.random.default_rng(seed)
    return [_random_image(rng, str(name), predictions) for name in range(images)]


def _random_image(rng: np.random.Generator, name: str, predictions: int) -> ImageDetections:
    truth = _random_boxes(rng, int(rng.poisson(_FACES)))
    near = predictions // 3 if len(truth) else 0
    close = truth[rng.integers(0, max(1, len(truth)), near)]
    close = close + rng.normal(0, 1.5, close.shape)
    found = np.concatenate([close, _random_boxes(rng, predictions - near)])
    scores = rng.uniform(size=(predictions, 1))
    return ImageDetections(name, np.concatenate([found, scores], axis=1), truth)


def _random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform((0, 0), (1040, 680), (count, 2))
    side = _SIDE * rng.lognormal(0, 0.6, (count, 1))
    return np.concatenate([corner, corner + side], axis=1)


def _arrays(images: list[ImageDetections]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [image.predictions for image in images], [image.boxes for image in images]


def _official(images: list[ImageDetections]) -> float:
    return official_ap(count_official(*_arrays(images)))


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
