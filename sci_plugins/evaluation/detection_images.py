"""Detections and truth of images, and files of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.functional.box_overlap import pairwise_iou
from sci_plugins.utils.files import replacing


@dataclass(frozen=True)
class ImageDetections:
    """What was found in one image, and what is there; in pixels of the original.

    Args:
        img_id: names the image.
        predictions: ``(P, 5)``, ``x1 y1 x2 y2 score``, in any order.
        boxes: ``(G, 4)``, ``x1 y1 x2 y2``.
        ignore: ``(G,)``, bool: boxes that need not be found. DARK FACE has none.
        labels: ``(P,)``, class of each prediction; empty: all are of class 0.
        true_labels: ``(G,)``, class of each box; empty: all are of class 0.
    """

    img_id: str
    predictions: np.ndarray
    boxes: np.ndarray
    ignore: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    true_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def flags(self) -> np.ndarray:
        """``ignore``, with a flag for every box."""
        return self.ignore if len(self.ignore) else np.zeros(len(self.boxes), bool)

    @property
    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Classes of the predictions and of the boxes."""
        return (
            _filled(self.labels, len(self.predictions)),
            _filled(self.true_labels, len(self.boxes)),
        )

    def of_class(self, index: int) -> 'ImageDetections':
        """What concerns one class alone."""
        labels, true_labels = self.classes
        found, there = labels == index, true_labels == index
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
            best = iou.argmax(axis=1)
            good = iou[np.arange(len(predictions)), best] >= 0.5
            predictions = predictions[~(good & ignore[best])]
        return ImageDetections(self.img_id, predictions, self.boxes[~ignore])

    def check(self) -> None:
        """Raise DataError, naming the image, unless the arrays fit one another."""
        name, wanted = self.img_id, (len(self.predictions), len(self.boxes))
        for array, columns in ((self.predictions, 5), (self.boxes, 4)):
            if array.ndim != 2 or array.shape[1] != columns:
                raise DataError(
                    f'image {name}: expected an array (n, {columns}), got {array.shape}'
                )
            if not np.isfinite(array).all():
                raise DataError(f'image {name}: boxes and scores must be finite')
        got = (len(self.classes[0]), len(self.classes[1]))
        if got != wanted or len(self.flags) != wanted[1]:
            raise DataError(
                f'image {name}: expected {wanted[0]} labels of predictions and '
                f'{wanted[1]} of boxes (and as many flags), got {got[0]} and {got[1]} '
                f'({len(self.flags)})'
            )


def save_detections(
    path: str | os.PathLike[str],
    images: Sequence[ImageDetections],
    classes: Sequence[str] = (),
) -> None:
    """Write detections and truth to one compressed ``.npz`` file, atomically."""
    labels = [image.classes for image in images]
    with replacing(path) as beside, beside.open('wb') as file:
        np.savez_compressed(
            file,
            ids=np.array([image.img_id for image in images], dtype=str),
            found=np.array([len(image.predictions) for image in images], dtype=int),
            predictions=_join([image.predictions for image in images], (0, 5)),
            there=np.array([len(image.boxes) for image in images], dtype=int),
            boxes=_join([image.boxes for image in images], (0, 4)),
            ignore=_join([image.flags for image in images], (0,), bool),
            labels=_join([each[0] for each in labels], (0,), np.int64),
            true_labels=_join([each[1] for each in labels], (0,), np.int64),
            classes=np.array(list(classes), dtype=str),
        )


def load_detections(path: str | os.PathLike[str]) -> list[ImageDetections]:
    """Read what :func:`save_detections` wrote; the file is data, never code.

    Raises:
        DataError: if the file is missing or is something else.
    """
    return load_with_classes(path)[0]


def load_with_classes(
    path: str | os.PathLike[str],
) -> tuple[list[ImageDetections], list[str]]:
    """The same, and the names of the classes (none, if none were written).

    Raises:
        DataError: if the file is missing or is something else.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            found = np.cumsum(content['found'])[:-1]
            there = np.cumsum(content['there'])[:-1]
            columns = (
                content['ids'].tolist(),
                np.split(content['predictions'], found),
                np.split(content['boxes'], there),
                np.split(content['ignore'], there),
                np.split(content['labels'], found),
                np.split(content['true_labels'], there),
            )
            classes = content['classes'].tolist()
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f'{path}: is not a file of detections ({error})') from error
    return [ImageDetections(*row) for row in zip(*columns, strict=False)], classes


def _join(
    arrays: Sequence[np.ndarray], empty: tuple[int, ...], dtype: type = float
) -> np.ndarray:
    return np.concatenate([np.zeros(empty, dtype), *arrays])


def _filled(labels: np.ndarray, count: int) -> np.ndarray:
    return labels if len(labels) else np.zeros(count, np.int64)
