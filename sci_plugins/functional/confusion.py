"""Confusion matrices of label maps, and intersection over union, in NumPy.

Definitions are mmseg's: pixels whose truth is ignored do not count at all; whatever
else is predicted wrongly lacks in the truth's class and is too much in the predicted
one.
"""

from typing import Any

import numpy as np

from sci_plugins.errors import DataError, check_at_least

# Ids of one byte: the joint histogram of two such maps needs no mask and no check of
# its own, and stays in a processor's cache.
_BYTE = 256


def confusion_matrix(
    prediction: Any, truth: Any, num_classes: int, ignore_index: int = 255, void: bool = False
) -> np.ndarray:
    """Count the pixels of one image by true and predicted class.

    Args:
        prediction: ``(H, W)`` array or tensor of ids, 0 to ``num_classes`` - 1, of any
            dtype that holds whole numbers.
        truth: the same size; ``ignore_index`` marks pixels that do not count, whatever
            is predicted there.
        num_classes: C.
        ignore_index: may also be one of the classes, which then never counts as truth.
        void: also take ``ignore_index`` in the prediction, "no class", for an answer.

    Returns:
        ``(C, C)``, int64: truth in the rows, prediction in the columns; ``(C, C + 1)``
        if ``void``, with the pixels that have no prediction in the last column.

    Raises:
        ConfigError: if ``num_classes`` is below 1.
        DataError: if the sizes differ, or naming ids that are out of range, in pixels
            that do not count as well.
    """
    check_at_least(1, num_classes=num_classes)
    found, true = _whole(prediction, 'prediction'), _whole(truth, 'truth')
    if found.shape != true.shape:
        raise DataError(
            f'prediction must have the size of the truth, {_size(true)}, got {_size(found)}'
        )
    found, true = _narrow(found), _narrow(true)
    if num_classes < _BYTE and found.dtype == true.dtype == np.uint8:
        matrix = _count_bytes(found, true, num_classes, ignore_index)
    else:
        matrix = _count(found, true, num_classes, ignore_index)
    if void:
        return matrix
    if matrix[:, -1].any():
        raise DataError(
            f'prediction must hold ids 0 to {num_classes - 1}, got {ignore_index}, '
            'which only the truth may hold'
        )
    return matrix[:, :-1]


def unknown_ids(labels: Any, num_classes: int, ignore_index: int = 255) -> list[int]:
    """The ids of a label map that are neither a class nor ignored, ascending.

    Args:
        labels: array or tensor of whole numbers.
        num_classes, ignore_index: as in :func:`confusion_matrix`.
    """
    values = _narrow(_whole(labels, 'labels'))
    if values.dtype == np.uint8:
        present = np.flatnonzero(np.bincount(values.ravel(), minlength=_BYTE))
    else:
        present = np.unique(values)
    good = ((present >= 0) & (present < num_classes)) | (present == ignore_index)
    ids: list[int] = present[~good].tolist()
    return ids


def pixel_counts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each class that are right, that are there, and that are predicted.

    Args:
        matrix: ``(..., C, C)`` or, with void predictions, ``(..., C, C + 1)``.

    Returns:
        Three ``(..., C)``; their sums over images are those of the set.
    """
    classes = matrix.shape[-2]
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return right, matrix.sum(axis=-1), matrix.sum(axis=-2)[..., :classes]


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, a fraction in [0, 1].

    Args:
        matrix: as in :func:`pixel_counts`; that of a set is the sum over its images.

    Returns:
        ``(..., C)``; NaN for a class that is neither there nor predicted.
    """
    right, there, predicted = pixel_counts(matrix)
    return ratio(right, there + predicted - right)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole`` in float64, NaN where both are 0."""
    with np.errstate(invalid='ignore'):
        return np.asarray(part, np.float64) / np.asarray(whole, np.float64)


def _whole(labels: Any, name: str) -> np.ndarray:
    if hasattr(labels, 'detach'):
        labels = labels.detach().cpu().numpy()
    values = np.asarray(labels)
    if values.dtype.kind == 'f':
        with np.errstate(invalid='ignore'):  # NaN is found by the comparison
            rounded = values.astype(np.int64)
        if (rounded != values).any():
            raise DataError(f'{name} must hold whole numbers, got {values.dtype}')
        return rounded
    return values.astype(np.uint8) if values.dtype == bool else values


def _narrow(values: np.ndarray) -> np.ndarray:
    """Bytes, if the ids fit into them: what networks give is int64."""
    if values.dtype == np.uint8 or values.size == 0:
        return values.astype(np.uint8)
    fits = values.min() >= 0 and values.max() < _BYTE
    return values.astype(np.uint8 if fits else np.int64)


def _size(values: np.ndarray) -> str:
    return ' x '.join(map(str, values.shape[::-1]))


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
    counts = np.bincount(joint, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1)


def _check(unknown: Any, name: str, classes: int) -> None:
    if len(unknown):
        shown = ', '.join(map(str, unknown[:5])) + (', ...' if len(unknown) > 5 else '')
        raise DataError(f'{name} must hold ids 0 to {classes - 1}, got {shown}')
