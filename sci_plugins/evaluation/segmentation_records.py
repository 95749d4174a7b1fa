"""Confusion matrices kept image by image, and every number computed from them."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sci_plugins.datasets.night_layouts import CITYSCAPES
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.records import ImageRecords, RunInfo, check_ids, mean_of_known
from sci_plugins.functional.confusion import confusion_matrix, pixel_counts, ratio
from sci_plugins.registry import RECORDS
from sci_plugins.utils.cli import text_table


@RECORDS.register_module()
class SegmentationRecords(ImageRecords):
    """The confusion matrix of each image, for the numbers of the set and of resamples.

    The numbers are those of mmseg's ``IoUMetric``, unrounded.

    **Subsets.** The IoU of a class comes from the whole matrix and does not depend on the subset:
    confusion with a left-out class counts against a kept one. Only the means are over the subset
    (and ``aAcc`` over pixels whose ground truth is a kept class). With ``ignore_left_out``, pixels
    whose ground truth is a left-out class do not count at all, as with IAT's labels of 15 classes.

    Args:
        ids: names of the images, in the order of the set.
        matrices: ``(N, C, C)``, pixels by ground truth (rows) and prediction (columns);
            ``(N, C, C + 1)`` with unpredicted pixels in the last column.
        classes: names of the C classes.
        subset: the classes that the numbers are about; ``None``: all.
        ignore_left_out: pixels of other ground-truth classes do not count.

    Raises:
        DataError: if the shapes do not fit, a matrix holds anything but numbers of
            pixels, or an image is a duplicate.
        ConfigError: if the subset is empty or names other classes.
    """

    #: Each over the pixels of all images together.
    definitions: ClassVar[Mapping[str, str]] = {
        'mIoU': 'mean over the classes of intersection over union, accumulated over the set; '
        'without classes that are neither present nor predicted',
        'aAcc': 'share of the pixels that are right',
        'mAcc': 'mean over the classes of the share of their pixels that are right; without '
        'classes that are not present',
        'IoU/CLASS': 'intersection over union of one class, accumulated over the set',
    }
    percentages: ClassVar[Collection[str]] = ('mIoU', 'aAcc', 'mAcc', 'IoU')
    main = 'mIoU'

    def __init__(
        self,
        ids: Sequence[str],
        matrices: np.ndarray | Sequence[np.ndarray],
        classes: Sequence[str],
        subset: Sequence[str] | None = None,
        ignore_left_out: bool = False,
    ) -> None:
        self.ids = [str(name) for name in ids]
        self.classes = tuple(map(str, classes))
        self.subset = tuple(self.classes if subset is None else subset)
        self.ignore_left_out = ignore_left_out
        count = len(self.classes)
        self.matrices = _whole(matrices) if len(matrices) else np.zeros((0, count, count), np.int64)
        wanted = [(len(self.ids), count, count + void) for void in (0, 1)]
        if self.matrices.shape not in wanted:
            given = f'matrices of {len(self.ids)} images and {count} classes'
            raise DataError(f'{given} must be {wanted[0]}, got {self.matrices.shape}')
        check_ids(self.ids)
        _check_choice(f'subset={self.subset!r}', self.subset, self.classes)
        kept = np.array([self.classes.index(name) for name in self.subset])
        counted = self.matrices
        if ignore_left_out:
            counted = np.where(np.isin(np.arange(count), kept)[:, None], counted, 0)
        # Sums of float64 are exact for these counts, and a matrix product is fast.
        parts = [part[:, kept] for part in pixel_counts(counted)]  # right, there, predicted
        self._counts = np.concatenate(parts, axis=1).astype(np.float64)

    @classmethod
    def accepts(cls, output: Any, run: RunInfo) -> bool:
        return _has_maps(output)

    @classmethod
    def keep(cls, output: Any, run: RunInfo) -> np.ndarray | None:
        """Pixels by true and predicted class, ``(C, C)``, from ``SubsetIoUMetric`` if it runs."""
        if (metric := _counting_metric(run.metrics)) is not None:
            return metric.matrix_of(output.img_path)
        if not _has_maps(output):
            return None
        found, true = output.pred_sem_seg.data, output.gt_sem_seg.data
        known = (getattr(metric, 'ignore_index', None) for metric in run.metrics)
        ignored = next((index for index in known if isinstance(index, int)), 255)
        return confusion_matrix(found.squeeze(0), true.squeeze(0), len(run.images.classes), ignored)

    @classmethod
    def collect(cls, kept: Sequence[np.ndarray], run: RunInfo) -> 'SegmentationRecords':
        """With the choice of classes of the evaluator's ``SubsetIoUMetric``."""
        classes, metric = run.images.classes, _counting_metric(run.metrics)
        if metric is None:
            return cls(run.images.ids, kept, classes)
        subset = choose_classes(metric.classes, classes)
        return cls(run.images.ids, kept, classes, subset, metric.ignore_left_out)

    @property
    def names(self) -> list[str]:
        """Names of all metrics, ``IoU/CLASS`` in the order of the subset."""
        return ['mIoU', 'aAcc', 'mAcc', *(f'IoU/{name}' for name in self.subset)]

    def compute(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """A resample's mean leaves out classes that are neither present nor predicted in it."""
        right, there, predicted = self._sums(weights)
        with_iou = ratio(right, there + predicted - right)
        numbers = dict(
            mIoU=mean_of_known(with_iou, axis=1),
            aAcc=ratio(right.sum(axis=1), there.sum(axis=1)),
            mAcc=mean_of_known(ratio(right, there), axis=1),
        )
        numbers |= {f'IoU/{name}': row for name, row in zip(self.subset, with_iou.T, strict=True)}
        return {name: 100 * numbers[name] for name in names}

    def truth(self) -> bytes:
        """Pixels of each class in each image."""
        return self.matrices.sum(axis=2).tobytes()

    def constant(self) -> str:
        used = np.flatnonzero(self.matrices.sum(axis=(0, 1)))
        one = len(used) == 1 and used[0] < len(self.classes)
        return f'every pixel {self.classes[used[0]]}' if one else ''

    def weakness(self, metric: str) -> str:
        value, chance = self.metrics(['mIoU'])['mIoU'], self.chance()
        return f'mIoU is {value:.2f}, less than twice chance ({chance:.2f})' * (value < 2 * chance)

    def chance(self) -> float:
        """mIoU in percent if each class were predicted as often, but at random places."""
        _, there, predicted = (each[0] for each in self._sums())
        by_chance = ratio(there * predicted, there.sum())
        return 100 * float(mean_of_known(ratio(by_chance, there + predicted - by_chance), axis=0))

    def of_classes(self) -> dict[str, tuple[float, float]]:
        """Class of the subset -> percent of its pixels that are right, and of all that it has."""
        right, there, _ = (each[0] for each in self._sums())
        shares = 100 * ratio(right, there), 100 * ratio(there, there.sum())
        return dict(zip(self.subset, zip(*np.stack(shares).tolist(), strict=True), strict=True))

    def arrays(self) -> dict[str, np.ndarray]:
        """The matrices, with all classes in them."""
        names = {key: np.array(getattr(self, key), dtype=str) for key in ('classes', 'subset')}
        return dict(matrices=self.matrices, **names, ignore_left_out=np.array(self.ignore_left_out))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'SegmentationRecords':
        ids, classes, subset = (arrays[name].tolist() for name in ('ids', 'classes', 'subset'))
        return cls(ids, arrays['matrices'], classes, subset, bool(arrays['ignore_left_out']))

    def _sums(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        rows = np.ones((1, len(self.ids))) if weights is None else weights
        return tuple(np.split(rows @ self._counts, 3, axis=1))


def _whole(matrices: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    shapes = {np.shape(matrix) for matrix in matrices}
    if len(shapes) > 1:
        raise DataError(f'matrices must have one shape, got {sorted(shapes)}')
    given = np.asarray(matrices)
    with np.errstate(invalid='ignore'):  # NaN is found by the comparison
        counts = given.astype(np.int64)
    if (counts != given).any() or (counts < 0).any():
        raise DataError('matrices must hold numbers of pixels, whole and at least 0')
    return counts


def _check_choice(name: str, chosen: Sequence[str], classes: Sequence[str]) -> None:
    if unknown := [repr(each) for each in chosen if each not in classes]:
        known = ', '.join(classes)
        raise ConfigError(f'{name} needs {", ".join(unknown)}; the classes are: {known}')
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(f'{name} must be different names, at least one')


def _has_maps(output: Any) -> bool:
    maps = (getattr(output, name, None) for name in ('pred_sem_seg', 'gt_sem_seg'))
    return all(hasattr(each, 'data') for each in maps)


def _counting_metric(metrics: Iterable[Any]) -> Any:
    """The evaluator's metric that has counted the pixels of each image, if there is one."""
    return next((metric for metric in metrics if hasattr(metric, 'matrix_of')), None)


_RARE_AT_NIGHT = ('rider', 'truck', 'bus', 'motorcycle')
#: Size -> classes. 15: IAT's table of ACDC-night, without four classes that are rare there.
#: 5: the classes whose mean the SCI paper prints beside its pictures.
SUBSETS = {
    19: CITYSCAPES,
    15: tuple(name for name in CITYSCAPES if name not in _RARE_AT_NIGHT),
    5: ('road', 'fence', 'traffic sign', 'sky', 'train'),
}


def choose_classes(wanted: int | Sequence[str] | None, classes: Sequence[str]) -> tuple[str, ...]:
    """The ``wanted`` classes in the data set's order; a number is of :data:`SUBSETS`, ``None`` all.

    Raises:
        ConfigError: if there is no such subset, or the data set lacks one of its classes.
    """
    if wanted is None:
        return tuple(classes)
    if isinstance(wanted, int):
        if wanted not in SUBSETS:
            raise ConfigError(f'classes must be 19, 15, 5 or a list of names, got {wanted}')
        names: Sequence[str] = SUBSETS[wanted]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    _check_choice(f'classes={wanted!r}', names, classes)
    return tuple(name for name in classes if name in names)


def class_table(records: SegmentationRecords) -> str:
    """IoU, accuracy and share of the pixels of each class, and the means below, in percent.

    A class that is neither present nor predicted has ``-``, and the last line names it.
    """
    numbers, shares = records.metrics(), records.of_classes().items()
    rows = [(name, *map(_cell, (numbers[f'IoU/{name}'], *pair))) for name, pair in shares]
    table = text_table(('class', 'IoU', 'Acc', 'pixels'), rows)
    means = ', '.join(f'{key} {_cell(numbers[key])}' for key in ('mIoU', 'mAcc', 'aAcc'))
    return f'{table}\n{means} ({describe_classes(records)})'


def describe_classes(records: SegmentationRecords) -> str:
    """What the means are over, and which classes are missing from them."""
    numbers = records.metrics()
    empty = ', '.join(name for name in records.subset if math.isnan(numbers[f'IoU/{name}']))
    left_out = ', '.join(name for name in records.classes if name not in records.subset)
    text = f'{len(records.ids)} images, {len(records.subset)} classes'
    if left_out:
        ignored = ', their pixels ignored' * records.ignore_left_out
        text += f' of {len(records.classes)}, without {left_out}{ignored}'
    return text + (f'; neither present nor predicted: {empty}' if empty else '')


def _cell(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.2f}'
