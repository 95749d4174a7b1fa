"""Detections and ground truth of images, and files of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.functional.detection_ap import pairwise_iou
from sci_plugins.utils.files import reading_arrays


@dataclass(frozen=True)
class ImageDetections:
    """Predictions and ground truth of one image, in pixels of the original."""

    img_id: str  # name of the image
    predictions: np.ndarray  # ``(P, 5)``, ``x1 y1 x2 y2 score``, in any order
    boxes: np.ndarray  # ``(G, 4)``, ground truth ``x1 y1 x2 y2``
    #: ``(G,)``, bool: boxes that need not be found. DARK FACE has none.
    ignore: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    #: ``(P,)``, class of each prediction; empty: all have class 0
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    #: ``(G,)``, class of each box; empty: all have class 0
    true_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def flags(self) -> np.ndarray:
        """``ignore`` as bool, with a flag for every box."""
        # Zeros and ones would choose rows by number, and ~1 is -2.
        return _filled(self.ignore, len(self.boxes)).astype(bool)

    @property
    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Classes of the predictions and of the boxes."""
        counts = len(self.predictions), len(self.boxes)
        return _filled(self.labels, counts[0]), _filled(self.true_labels, counts[1])

    def of_class(self, index: int) -> 'ImageDetections':
        """Predictions and boxes of one class."""
        found, there = (labels == index for labels in self.classes)
        return ImageDetections(
            self.img_id, self.predictions[found], self.boxes[there], self.flags[there]
        )

    def without_ignored(self) -> 'ImageDetections':
        """Without ignored boxes and the predictions that overlap them most (IoU 0.5)."""
        ignore, predictions = self.flags, self.predictions
        if not ignore.any():
            return self
        if len(predictions):
            iou = pairwise_iou(predictions[:, :4], self.boxes)
            predictions = predictions[~((iou.max(axis=1) >= 0.5) & ignore[iou.argmax(axis=1)])]
        return ImageDetections(self.img_id, predictions, self.boxes[~ignore])

    def check(self) -> None:
        """Raise DataError, naming image and argument, if an array is wrong."""
        for name, columns in (('predictions', 5), ('boxes', 4)):
            array = getattr(self, name)
            if array.ndim != 2 or array.shape[1] != columns:
                raise self._wrong(name, f'have the shape (n, {columns})', array.shape)
            if not np.isfinite(array).all():
                raise self._wrong(name, 'be finite', 'NaN or infinity')
        labels, true_labels = self.classes
        arrays = dict(ignore=self.flags, labels=labels, true_labels=true_labels)
        for name, array in arrays.items():
            count = len(self.predictions if name == 'labels' else self.boxes)
            if array.shape != (count,):
                raise self._wrong(name, f'have the shape ({count},)', array.shape)
            if array.dtype.kind not in 'biu':
                raise self._wrong(name, 'hold whole numbers', array.dtype)

    def _wrong(self, name: str, wish: str, got: object) -> DataError:
        return DataError(f'image {self.img_id}: {name} must {wish}, got {got}')


def images_to_arrays(
    images: Sequence[ImageDetections], classes: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Detections and ground truth as arrays for a file, without the images' names.

    Raises:
        DataError: if the arrays of an image do not fit together.
    """
    for image in images:
        image.check()
    labels = [image.classes for image in images]
    return dict(
        found=np.array([len(image.predictions) for image in images], dtype=int),
        predictions=_join([image.predictions for image in images], (0, 5)),
        there=np.array([len(image.boxes) for image in images], dtype=int),
        boxes=_join([image.boxes for image in images], (0, 4)),
        ignore=_join([image.flags for image in images], (0,), bool),
        labels=_join([each[0] for each in labels], (0,), np.int64),
        true_labels=_join([each[1] for each in labels], (0,), np.int64),
        classes=np.array(list(classes), dtype=str),
    )


def images_from_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[list[ImageDetections], list[str]]:
    """The images from such arrays and ``ids``, and the names of the classes, if any.

    Raises:
        ValueError: if the arrays do not fit together.
    """
    ids, found, there = (arrays[name] for name in ('ids', 'found', 'there'))
    if not len(ids) == len(found) == len(there):
        raise ValueError(f'expected {len(ids)} counts, got {len(found)} and {len(there)}')
    counts = dict(predictions=found, boxes=there, ignore=there, labels=found, true_labels=there)
    parts = [_split(arrays[name], each) for name, each in counts.items()]
    images = [ImageDetections(*row) for row in zip(ids.tolist(), *parts, strict=True)]
    for image in images:
        image.check()
    return images, arrays['classes'].tolist()


def load_detections(path: str | os.PathLike[str]) -> list[ImageDetections]:
    """The images in a file of :class:`DetectionRecords`; the file is data, never code.

    Raises:
        DataError: if the file is missing or not such a file.
    """
    with reading_arrays(path, 'detections') as content:
        return images_from_arrays(content)[0]


def as_rows(values: Any, columns: int) -> np.ndarray:
    """An array or tensor as ``(n, columns)``, float64."""
    if hasattr(values, 'detach'):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64).reshape(-1, columns)


def _join(arrays: Sequence[np.ndarray], empty: tuple[int, ...], dtype: type = float) -> np.ndarray:
    return np.concatenate([np.zeros(empty, dtype), *arrays])


def _split(rows: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """The rows of each image."""
    if (counts < 0).any() or counts.sum() != len(rows):
        raise ValueError(f'expected {counts.sum()} rows, got {len(rows)}')
    return np.split(rows, np.cumsum(counts)[:-1]) if len(counts) else []


def _filled(labels: np.ndarray, count: int) -> np.ndarray:
    return labels if len(labels) else np.zeros(count, np.int64)
