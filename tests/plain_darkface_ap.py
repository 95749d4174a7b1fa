"""DARK FACE's protocol written down in loops, as its rules are told: a second opinion.

Nothing here comes from the package, so that a test which compares with it proves
something about the package.
"""

import math

import numpy as np


def pixel_iou(box: np.ndarray, other: np.ndarray) -> float:
    """Inclusive pixels: a box from 3 to 5 is 3 wide."""
    width = min(box[2], other[2]) - max(box[0], other[0]) + 1
    height = min(box[3], other[3]) - max(box[1], other[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    area += (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
    return width * height / (area - width * height)


def plain_official_ap(
    predictions: list[np.ndarray],
    boxes: list[np.ndarray],
    score_range: tuple[float, float] | None = None,
) -> float:
    """AP of ``(P, 5)`` predictions and ``(G, 4)`` boxes of each image.

    ``score_range`` replaces the range of the given scores: for resamples, which keep
    the normalisation of the whole set.
    """
    if score_range is None:
        scores = [row[4] for found in predictions for row in found]
        score_range = min(scores, default=0.0), max(scores, default=1.0)
    low, high = score_range
    curve = np.zeros((1000, 2))
    for found, truth in zip(predictions, boxes, strict=True):
        if len(found) and len(truth):
            curve += _image_curve(found, truth, low, high)
    return _integrate(curve, sum(len(truth) for truth in boxes))


def _image_curve(found: np.ndarray, truth: np.ndarray, low: float, high: float) -> np.ndarray:
    found = found[np.argsort(-found[:, 4], kind='stable')]
    recalled: set[int] = set()
    so_far, scores = [], []
    for row in found:
        overlaps = [pixel_iou(box, row) for box in truth]
        best = max(range(len(truth)), key=lambda index: (overlaps[index], -index))
        if overlaps[best] >= 0.5:
            recalled.add(best)
        so_far.append(len(recalled))
        scores.append(1.0 if high == low else (row[4] - low) / (high - low))
    curve = np.zeros((1000, 2))
    for step in range(1, 1001):
        proposals = sum(score >= 1 - step / 1000 for score in scores)
        if proposals:
            curve[step - 1] = proposals, so_far[proposals - 1]
    return curve


def _integrate(curve: np.ndarray, boxes: int) -> float:
    if boxes == 0:
        return math.nan
    recall = [0.0, *(count / boxes for _, count in curve), 1.0]
    precision = [0.0, *(c / p if p else math.nan for p, c in curve), 0.0]
    for index in range(len(precision) - 2, -1, -1):
        right = precision[index + 1]
        if math.isnan(precision[index]) or precision[index] < right:
            precision[index] = right
    return sum(
        (recall[index] - recall[index - 1]) * precision[index]
        for index in range(1, len(recall))
        if recall[index] != recall[index - 1]
    )


def random_faces(
    rng: np.random.Generator, images: int, digits: int | None = None, side: int = 30
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predictions and boxes with near misses, doubles, and images without either.

    ``digits`` rounds the scores, so that many of them are equal; ``side`` is the
    largest width and height.
    """
    predictions, boxes = [], []
    for _ in range(images):
        count = int(rng.poisson(3))
        corner = rng.integers(0, 90, (count, 2))
        truth = np.concatenate([corner, corner + rng.integers(2, side, (count, 2))], 1)
        near = truth[rng.integers(0, count, rng.poisson(5))] if count else np.zeros((0, 4))
        near = near + rng.normal(0, 2, near.shape)
        corner = rng.uniform(0, 90, (int(rng.poisson(3)), 2))
        far = np.concatenate([corner, corner + rng.uniform(2, side, corner.shape)], 1)
        found = np.concatenate([near, far])
        scores = rng.uniform(-0.2, 1.3, (len(found), 1))
        if digits is not None:
            scores = scores.round(digits)
        predictions.append(np.concatenate([found, scores], 1))
        boxes.append(truth.astype(float))
    return predictions, boxes
