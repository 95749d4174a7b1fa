"""Confusion matrices of label maps, and intersection over union, in NumPy.

Definitions are mmseg's: pixels whose ground truth is ignored do not count at all; every other
wrong prediction is a miss of the true class and a false positive of the predicted one.
"""

from typing import Any

import numpy as np

from sci_plugins.errors import DataError, check_at_least

# The joint histogram of two uint8 maps stays in the cache; no pixel has to be masked or checked.
_BYTE = 256
MAX_CLASSES = 1024  #: more classes than any label map has whose ids are not damaged


def confusion_matrix(
    prediction: Any, truth: Any, num_classes: int, ignore_index: int = 255, void: bool = False
) -> np.ndarray:
    """Count an image's pixels: ``(C, C)``, int64, ground truth in rows, prediction in columns.

    Args:
        prediction, truth: ``(H, W)`` arrays or tensors of ids, whole numbers of any dtype.
        num_classes: C, at most 1024: a matrix of 8 MB.
        ignore_index: does not count as ground truth, even where it is one of the classes.
        void: allow ``ignore_index`` in predictions too, counted in a last column, ``(C, C + 1)``.

    Raises:
        ConfigError: if ``num_classes`` is out of range.
        DataError: if the sizes differ, or an id is out of range, even where pixels do not count.
    """
    check_at_least(1, most=MAX_CLASSES, num_classes=num_classes)
    found, true = _whole(prediction, 'prediction'), _whole(truth, 'truth')
    if found.shape != true.shape:
        sizes = (' x '.join(map(str, each.shape[::-1])) for each in (true, found))
        raise DataError('prediction must have the size of truth, {}, got {}'.format(*sizes))
    found, true = _narrow(found), _narrow(true)
    are_bytes = num_classes < _BYTE and found.dtype == true.dtype == np.uint8
    count = _count_bytes if are_bytes else _count
    matrix = count(found, true, num_classes, ignore_index)
    if void:
        return matrix
    if matrix[:, -1].any():
        got = f'{ignore_index}, which only truth may hold'
        raise DataError(f'prediction must hold ids 0 to {num_classes - 1}, got {got}')
    return matrix[:, :-1]


def unknown_ids(labels: Any, num_classes: int, ignore_index: int = 255) -> list[int]:
    """Ids, whole numbers in an array or tensor, that are neither a class nor ignored, ascending."""
    values = _narrow(_whole(labels, 'labels'))
    if values.dtype == np.uint8:
        present = np.flatnonzero(np.bincount(values.ravel(), minlength=_BYTE))
    else:
        present = np.unique(values)
    good = ((present >= 0) & (present < num_classes)) | (present == ignore_index)
    return present[~good].tolist()


def pixel_counts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each class that are correct, in the ground truth, and predicted.

    Of a matrix ``(..., C, C)`` or, with void predictions, ``(..., C, C + 1)``: three ``(..., C)``.
    """
    correct = np.diagonal(matrix, axis1=-2, axis2=-1)
    return correct, matrix.sum(axis=-1), matrix.sum(axis=-2)[..., : matrix.shape[-2]]


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union ``(..., C)`` in [0, 1], see :func:`pixel_counts`.

    NaN for a class that is neither in the ground truth nor predicted.
    """
    correct, true, predicted = pixel_counts(matrix)
    return ratio(correct, true + predicted - correct)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole`` in float64, NaN where both are 0."""
    with np.errstate(invalid='ignore'):
        return np.asarray(part, np.float64) / np.asarray(whole, np.float64)


def _whole(labels: Any, name: str) -> np.ndarray:
    if hasattr(labels, 'detach'):
        labels = labels.detach().cpu().numpy()
    values = np.asarray(labels)
    if values.dtype.kind == 'f':
        with np.errstate(invalid='ignore'):  # the comparison below finds NaN
            rounded = values.astype(np.int64)
        if (rounded != values).any():
            raise DataError(f'{name} must hold whole numbers, got {values.dtype}')
        return rounded
    return values.astype(np.uint8) if values.dtype == bool else values


def _narrow(values: np.ndarray) -> np.ndarray:
    """As uint8 if the ids fit: networks give int64, but uint8 is counted much faster."""
    if values.dtype == np.uint8 or values.size == 0:
        return values.astype(np.uint8)
    fits = values.min() >= 0 and values.max() < _BYTE
    return values.astype(np.uint8 if fits else np.int64)


def _count_bytes(found: np.ndarray, true: np.ndarray, classes: int, ignored: int) -> np.ndarray:
    joint = np.left_shift(true, 8, dtype=np.uint16) | found
    counts = np.bincount(joint.ravel(), minlength=_BYTE**2).reshape(_BYTE, _BYTE)
    for name, axis in (('prediction', 0), ('truth', 1)):
        present = np.flatnonzero(counts.any(axis=axis))
        _check(present[(present >= classes) & (present != ignored)], name, classes)
    matrix = np.zeros((classes, classes + 1), np.int64)
    matrix[:, :-1] = counts[:classes, :classes]
    if classes <= ignored < _BYTE:
        matrix[:, -1] = counts[:classes, ignored]
    elif 0 <= ignored < classes:
        matrix[ignored] = 0
    return matrix


def _count(found: np.ndarray, true: np.ndarray, classes: int, ignored: int) -> np.ndarray:
    _check(unknown_ids(found, classes, ignored), 'prediction', classes)
    _check(unknown_ids(true, classes, ignored), 'truth', classes)
    counted = true != ignored
    answers = found[counted].astype(np.int64)
    answers[(answers < 0) | (answers >= classes)] = classes
    joint = true[counted].astype(np.int64) * (classes + 1) + answers
    return np.bincount(joint, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def _check(unknown: Any, name: str, classes: int) -> None:
    if len(unknown):
        shown = ', '.join(map(str, unknown[:5])) + (', ...' if len(unknown) > 5 else '')
        raise DataError(f'{name} must hold ids 0 to {classes - 1}, got {shown}')
