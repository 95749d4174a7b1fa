"""How far boxes overlap, in plain NumPy."""

import numpy as np


def pairwise_iou(boxes: np.ndarray, others: np.ndarray, pixel: float = 0.0) -> np.ndarray:
    """Intersection over union of each box with each other one.

    Args:
        boxes: ``(N, 4)``, ``x1 y1 x2 y2`` in pixels.
        others: ``(M, 4)``, likewise.
        pixel: 1 where ``x2`` and ``y2`` name the last pixel *inside* the box, so
            that a width is ``x2 - x1 + 1`` (VOC's and DARK FACE's own tools), 0
            where they name its edge (COCO, mmdet).

    Returns:
        ``(N, M)``, float64, in [0, 1]; 0 for an inverted box.
    """
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    width = _shared(boxes, others, 0, pixel)
    height = _shared(boxes, others, 1, pixel)
    shared = width * height
    union = _area(boxes, pixel)[:, None] + _area(others, pixel) - shared
    overlaps = (width > 0) & (height > 0)
    return np.divide(shared, union, out=np.zeros_like(shared), where=overlaps)


def _shared(boxes: np.ndarray, others: np.ndarray, axis: int, pixel: float) -> np.ndarray:
    """Length along ``axis`` that two boxes have in common, negative where none."""
    low = np.maximum(boxes[:, None, axis], others[:, axis])
    high = np.minimum(boxes[:, None, axis + 2], others[:, axis + 2])
    return high - low + pixel


def _area(boxes: np.ndarray, pixel: float) -> np.ndarray:
    sides = boxes[:, 2:] - boxes[:, :2] + pixel
    return sides[:, 0] * sides[:, 1]
