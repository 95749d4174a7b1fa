"""Confusion matrices kept image by image, and every number made from them.

A mean IoU may be taken over all classes or over a publication's subset.
"""

import math
import os
from collections.abc import Sequence

import numpy as np

from sci_plugins.datasets.night_layouts import CITYSCAPES
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.confusion import pixel_counts, ratio
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.files import reading_arrays, replacing

#: What each number is. All are in percent, from the pixels of all images together.
DEFINITIONS = {
    'mIoU': 'mean over the classes of intersection over union, accumulated over the set; '
    'without the classes that are neither there nor predicted',
    'aAcc': 'share of the pixels that are right',
    'mAcc': 'mean over the classes of the share of their pixels that are right; without '
    'the classes that are not there',
    'IoU/CLASS': 'intersection over union of one class, accumulated over the set',
}


class SegmentationRecords:
    """The confusion matrix of each image, for the set's numbers and for resamples'.

    The numbers are those of mmseg's ``IoUMetric``, unrounded.

    **Subsets.** Each class has the same IoU whether or not others are left out: it
    comes from the whole matrix. A kept class loses pixels that are taken for a left-out
    one, and has too many where a left-out one is taken for it; only the means (and
    ``aAcc``: pixels whose truth is a kept class) are over the subset. With
    ``ignore_left_out`` pixels whose truth is a left-out class do not count at all, as
    if the labels said "ignored" there; that is what IAT's labels of 15 classes do.

    Args:
        ids: names of the images, in the order of the set.
        matrices: ``(N, C, C)``, pixels by truth (rows) and prediction (columns);
            ``(N, C, C + 1)`` with pixels that have no prediction in the last column.
        classes: names of the C classes.
        subset: those of the classes that the numbers are about; ``None``: all.
        ignore_left_out: pixels of other true classes do not count.

    Raises:
        DataError: if the shapes do not fit, a matrix holds what is no number of pixels,
            or an image comes twice.
        ConfigError: if the subset is empty or names other classes.
    """

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
        empty = np.zeros((0, count, count), np.int64)
        self.matrices = _whole(matrices) if len(matrices) else empty
        self._check()
        self._kept = np.array([self.classes.index(name) for name in self.subset])
        counted = self.matrices
        if ignore_left_out:
            left_out = np.setdiff1d(np.arange(count), self._kept)
            counted = counted.copy()
            counted[:, left_out] = 0
        right, there, predicted = pixel_counts(counted)
        # Sums of float64 are exact for these counts, and a matrix product is fast.
        self._counts = np.concatenate(
            [part[:, self._kept] for part in (right, there, predicted)], axis=1
        ).astype(np.float64)

    @property
    def names(self) -> list[str]:
        """Names of all metrics, ``IoU/CLASS`` in the order of the subset."""
        return ['mIoU', 'aAcc', 'mAcc', *(f'IoU/{name}' for name in self.subset)]

    def metrics(self, names: Sequence[str] | None = None) -> dict[str, float]:
        """The numbers of the whole set, see :data:`DEFINITIONS`; NaN where undefined.

        Args:
            names: some of :attr:`names`; ``None``: all.

        Raises:
            ConfigError: if there is no such metric.
        """
        return {name: float(value[0]) for name, value in self.resampled(names=names).items()}

    def resampled(
        self, weights: np.ndarray | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """The same numbers for resamples of the images.

        A class that is neither there nor predicted in a resample is out of *that*
        resample's mean, so means of different resamples may be over different classes.

        Args:
            weights: ``(R, N)``, how often each image counts in each resample, in the
                order of ``ids``. ``None`` is the set itself.
            names: some of :attr:`names`; ``None``: all.

        Returns:
            Name -> ``(R,)``.

        Raises:
            ConfigError: if there is no such metric.
            DataError: if the weights are for another number of images.
        """
        right, there, predicted = self._sums(weights)
        with_iou = ratio(right, there + predicted - right)
        numbers = dict(
            mIoU=_mean(with_iou),
            aAcc=ratio(right.sum(axis=1), there.sum(axis=1)),
            mAcc=_mean(ratio(right, there)),
        )
        for index, name in enumerate(self.subset):
            numbers[f'IoU/{name}'] = with_iou[:, index]
        return {name: 100 * numbers[name] for name in self._known(names)}

    def class_accuracy(self) -> dict[str, float]:
        """Class of the subset -> percent of its pixels that are right, or NaN."""
        right, there, _ = self._sums(None)
        return dict(zip(self.subset, (100 * ratio(right, there))[0].tolist(), strict=True))

    def class_share(self) -> dict[str, float]:
        """Class of the subset -> its percent of the subset's pixels, or NaN."""
        _, there, _ = self._sums(None)
        share = (100 * ratio(there, there.sum()))[0]
        return dict(zip(self.subset, share.tolist(), strict=True))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one compressed ``.npz`` file, atomically, with all classes in it."""
        with replacing(path) as beside, beside.open('wb') as file:
            np.savez_compressed(
                file,
                ids=np.array(self.ids, dtype=str),
                matrices=self.matrices,
                classes=np.array(self.classes, dtype=str),
                subset=np.array(self.subset, dtype=str),
                ignore_left_out=np.array(self.ignore_left_out),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> 'SegmentationRecords':
        """Read what :meth:`save` wrote; the file is data, never code.

        Raises:
            DataError: if the file is missing or is something else.
        """
        with reading_arrays(path, 'confusion matrices') as content:
            return cls(
                content['ids'].tolist(),
                content['matrices'],
                content['classes'].tolist(),
                content['subset'].tolist(),
                bool(content['ignore_left_out']),
            )

    def _sums(self, weights: np.ndarray | None) -> tuple[np.ndarray, ...]:
        if weights is None:
            weights = np.ones((1, len(self.ids)))
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 2 or weights.shape[1] != len(self.ids):
            raise DataError(f'weights must be (resamples, {len(self.ids)}), got {weights.shape}')
        return tuple(np.split(weights @ self._counts, 3, axis=1))

    def _known(self, names: Sequence[str] | None) -> list[str]:
        if names is None:
            return self.names
        for name in names:
            if name not in self.names:
                raise ConfigError(f'there is no metric {name!r}; known: {", ".join(self.names)}')
        return list(names)

    def _check(self) -> None:
        count, shape = len(self.classes), self.matrices.shape
        wanted = [(len(self.ids), count, count + void) for void in (0, 1)]
        if shape not in wanted:
            raise DataError(
                f'matrices of {len(self.ids)} images and {count} classes must be '
                f'{wanted[0]}, got {shape}'
            )
        seen: set[str] = set()
        for name in self.ids:
            if name in seen:
                raise DataError(f'image {name!r} must come once, comes twice')
            seen.add(name)
        _check_subset(self.subset, self.classes)


def _whole(matrices: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    shapes = {np.shape(matrix) for matrix in matrices}
    if len(shapes) > 1:
        raise DataError(f'matrices must have one shape, got {sorted(shapes)}')
    given = np.asarray(matrices)
    with np.errstate(invalid='ignore'):  # NaN is found by the comparison
        counts = given.astype(np.int64)
    if (counts != given).any() or (counts < 0).any():
        raise DataError('matrices must hold numbers of pixels, whole and not negative')
    return counts


def _check_subset(subset: Sequence[str], classes: Sequence[str]) -> None:
    unknown = [name for name in subset if name not in classes]
    if unknown:
        raise ConfigError(
            f'subset names {", ".join(map(repr, unknown))}; the classes are: {", ".join(classes)}'
        )
    if not subset or len(set(subset)) != len(subset):
        raise ConfigError(f'subset must be different classes, at least one; got {list(subset)}')


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row without NaN; NaN for a row of nothing else, and no warning."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))


_RARE_AT_NIGHT = ('rider', 'truck', 'bus', 'motorcycle')
#: Size -> classes. 15: IAT's table of ACDC-night, without four that are rare there.
#: 5: those whose mean stands beside the pictures of the SCI paper.
SUBSETS = {
    19: CITYSCAPES,
    15: tuple(name for name in CITYSCAPES if name not in _RARE_AT_NIGHT),
    5: ('road', 'fence', 'traffic sign', 'sky', 'train'),
}


def choose_classes(wanted: int | Sequence[str] | None, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that a mean is over, in the order of the data set.

    Args:
        wanted: 19, 15 or 5 of Cityscapes' classes (see :data:`SUBSETS`), names of
            classes, or ``None`` for all.
        classes: those of the data set.

    Raises:
        ConfigError: if there is no such subset, or the data set lacks one of its
            classes.
    """
    if wanted is None:
        return tuple(classes)
    if isinstance(wanted, int):
        if wanted not in SUBSETS:
            raise ConfigError(f'classes must be 19, 15, 5 or a list of names, got {wanted}')
        names: Sequence[str] = SUBSETS[wanted]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    missing = [name for name in names if name not in classes]
    if missing:
        raise ConfigError(
            f'classes={wanted!r} needs {", ".join(map(repr, missing))}; the data set '
            f'has {", ".join(classes)}'
        )
    if not names or len(set(names)) != len(names):
        raise ConfigError(f'classes must be different names, at least one; got {names}')
    return tuple(name for name in classes if name in names)


def class_table(records: SegmentationRecords) -> str:
    """IoU, accuracy and share of the pixels for each class, and the means below.

    All in percent. A class that is neither there nor predicted has ``-`` and a line
    that names it.
    """
    numbers, accuracy = records.metrics(), records.class_accuracy()
    share = records.class_share()
    rows = [
        (name, *map(_cell, (numbers[f'IoU/{name}'], accuracy[name], share[name])))
        for name in records.subset
    ]
    table = text_table(('class', 'IoU', 'Acc', 'pixels'), rows)
    means = ', '.join(f'{key} {_cell(numbers[key])}' for key in _MEANS)
    return f'{table}\n{means} ({describe_classes(records)})'


def describe_classes(records: SegmentationRecords) -> str:
    """What the means are over, and which classes they lack."""
    numbers = records.metrics()
    empty = [name for name in records.subset if math.isnan(numbers[f'IoU/{name}'])]
    left_out = [name for name in records.classes if name not in records.subset]
    text = f'{len(records.ids)} images, {len(records.subset)} classes'
    if left_out:
        ignored = ', their pixels ignored' if records.ignore_left_out else ''
        text += f' of {len(records.classes)}, without {", ".join(left_out)}{ignored}'
    if empty:
        text += f'; neither there nor predicted: {", ".join(empty)}'
    return text


_MEANS = ('mIoU', 'mAcc', 'aAcc')


def _cell(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.2f}'
