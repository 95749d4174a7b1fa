"""Cost of intervals: the paired bootstrap against recomputing every resample."""

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.darkface import random_submission
from benchmarks.timing import Timing, time_in_turn, told
from sci_plugins.errors import check_at_least
from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.bootstrap import resample_weights
from sci_plugins.evaluation.detection_records import DarkFaceRecords
from sci_plugins.evaluation.records import ImageRecords
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.machine import describe_machine, machine_line

RECORDS, BOOTSTRAP = 'records of both models', 'paired bootstrap'
ANEW = 'one resample recomputed'
#: Pixels of a street image, 1920 x 1080, and pixel accuracy of each model.
_PIXELS, _ACCURACY = 1920 * 1080, (0.6, 0.62)
#: Standard deviation in pixels of the variant's boxes from the base's.
_SHIFT = 0.7
# The DARK FACE tool normalises scores over a set, resamples keep the whole set's range.
_NORMALISED_ANEW = 'DARKFACE_AP'
#: Makes the records of one model (0 or 1) on these images, by index, with repetition.
_Make = Callable[[int, Sequence[int]], Any]


@dataclass(frozen=True)
class TaskResult:
    """Times of one task, and of a plain loop over the resamples.

    ``anew_seconds`` is extrapolated from single resamples, each drawn, matched and evaluated as an
    image set of its own; ``ratio`` is how many times longer that takes than the bootstrap, although
    it leaves out thirds and effects of images. ``difference`` is the largest difference between the
    numbers of both ways on one resample.
    """

    about: str
    metrics: int
    timings: dict[str, Timing]
    anew_seconds: float
    ratio: float
    difference: float

    def to_text(self) -> str:
        rows = [(name, *told(timing, 1)) for name, timing in self.timings.items()]
        return '\n'.join(
            [
                f'{self.about}; {self.metrics} numbers',
                text_table(('', 'median', 'fastest'), rows),
                f'all resamples recomputed, extrapolated: {self.anew_seconds:,.1f} s, '
                f'{self.ratio:,.0f} times the bootstrap; numbers differ by at most '
                f'{self.difference:.1g}',
            ]
        )


@dataclass(frozen=True)
class BootstrapResult:
    """Times of both tasks with ``resamples`` resamples each."""

    machine: dict[str, Any]
    blas_threads: str
    resamples: int
    faces: TaskResult
    streets: TaskResult

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        return '\n'.join(
            [
                machine_line(self.machine),
                f'OMP_NUM_THREADS={self.blas_threads or "not set"}, {self.resamples} resamples',
                self.faces.to_text(),
                self.streets.to_text(),
            ]
        )


def benchmark_bootstrap(
    images: int = 600,
    predictions: int = 300,
    streets: int = 106,
    classes: int = 19,
    resamples: int = 1000,
    runs: int = 3,
) -> BootstrapResult:
    """Time everything that a comparison computes for one variant, on random results.

    That is the intervals of all numbers, also of the thirds by brightness, and the effect of every
    image. NumPy uses all cores by default: set ``OMP_NUM_THREADS=1`` to measure a single core.

    Args:
        images: number of images with faces.
        predictions: predictions per image.
        streets: number of confusion matrices.
        classes: classes of the streets.
        resamples: resamples of the bootstrap.
        runs: measured rounds, after one that is not.

    Raises:
        ConfigError: if a number is below 1.
        MissingDependencyError: if pycocotools is not installed.
    """
    check_at_least(1, most=100_000, images=images, predictions=predictions, streets=streets)
    check_at_least(1, most=100_000, classes=classes, resamples=resamples, runs=runs)
    return BootstrapResult(
        machine=describe_machine(),
        blas_threads=os.environ.get('OMP_NUM_THREADS', ''),
        resamples=resamples,
        faces=_measure(
            f'faces: {images} images, {predictions} predictions each',
            _faces(images, predictions),
            images,
            resamples,
            runs,
        ),
        streets=_measure(
            f'streets: {streets} images, {classes} classes',
            _streets(streets, classes),
            streets,
            resamples,
            runs,
        ),
    )


def _measure(about: str, make: _Make, images: int, resamples: int, runs: int) -> TaskResult:
    base, other = (make(model, range(images)) for model in (0, 1))
    luma = np.random.default_rng(0).uniform(size=images).tolist()
    brightness = dict(zip(base.ids, luma, strict=True))
    rows = resample_weights(images, resamples)
    following = itertools.cycle(rows)
    calls: dict[str, Callable[[], object]] = {
        RECORDS: lambda: [make(model, range(images)) for model in (0, 1)],
        BOOTSTRAP: lambda: analyse(
            base, other, base_name='base', brightness=brightness, resamples=resamples
        ),
        ANEW: lambda: _anew(make, next(following)),
    }
    timings = time_in_turn(calls, runs, warm_up=1)
    anew_seconds = timings[ANEW].median_ms * resamples / 1e3
    return TaskResult(
        about=about,
        metrics=len(base.names),
        timings=timings,
        anew_seconds=anew_seconds,
        ratio=anew_seconds * 1e3 / timings[BOOTSTRAP].median_ms,
        difference=_difference([base, other], _anew(make, rows[0]), rows[:1]),
    )


def _anew(make: _Make, row: np.ndarray) -> list[dict[str, float]]:
    """Both models' numbers on a set in which each image occurs as often as it was drawn."""
    drawn = np.repeat(np.arange(len(row)), row).tolist()
    return [make(model, drawn).metrics() for model in (0, 1)]


def _difference(
    records: Sequence[ImageRecords], anew: Sequence[dict[str, float]], row: np.ndarray
) -> float:
    """The largest difference; NaN if only one of the two ways has a number."""
    pairs = [
        (float(value[0]), numbers[name])
        for each, numbers in zip(records, anew, strict=True)
        for name, value in each.resampled(row).items()
        if name != _NORMALISED_ANEW
    ]
    ours, plain = np.array(pairs).T
    defined = ~(np.isnan(ours) & np.isnan(plain))
    return float(np.max(np.abs(ours - plain)[defined], initial=0))


def _faces(images: int, predictions: int) -> _Make:
    before = random_submission(images, predictions)
    rng = np.random.default_rng(1)
    after = []
    for image in before:
        moved = image.predictions.copy()
        moved[:, :4] += rng.normal(0, _SHIFT, (len(moved), 4))
        after.append(replace(image, predictions=moved))

    def make(model: int, numbers: Sequence[int]) -> DarkFaceRecords:
        found = (before, after)[model]
        return DarkFaceRecords(
            [replace(found[number], img_id=str(place)) for place, number in enumerate(numbers)]
        )

    return make


def _streets(images: int, classes: int) -> _Make:
    matrices = random_matrices(images, classes)
    names = [f'class{number}' for number in range(classes)]

    def make(model: int, numbers: Sequence[int]) -> SegmentationRecords:
        ids = [str(place) for place in range(len(numbers))]
        return SegmentationRecords(ids, matrices[model][list(numbers)], names)

    return make


def random_matrices(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Confusion matrices ``(N, C, C)`` of two models, the second a little better.

    Both share a ground truth in which class sizes vary strongly between images and some classes are
    missing.
    """
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(classes, 0.1), images)
    there = rng.multinomial(_PIXELS, shares)
    found = []
    for accuracy in _ACCURACY:
        wrong = rng.dirichlet(np.full(classes, 0.3), (images, classes))
        answers = accuracy * np.eye(classes) + (1 - accuracy) * wrong
        found.append(rng.multinomial(there, answers))
    return found[0], found[1]
