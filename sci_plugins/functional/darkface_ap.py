"""DARK FACE's own average precision, in plain NumPy.

Source: the Octave tool of the data set (github.com/Ir1d/DARKFACE_eval_tools), rule by
rule, so that its number comes out:

1. Scores are normalised by the smallest and the largest of *all* images.
2. IoU counts pixels: widths and heights are ``x2 - x1 + 1``.
3. Each prediction goes to the box that it overlaps most, the first of equals. From
   IoU 0.5 on it recalls that box. A second one on the same box is a false positive;
   there is no second-best box and there are no ignored regions.
4. 1000 thresholds, ``1 - t / 1000``. At each, proposals are the predictions with at
   least that score, and recalled the boxes that these recall, over all images.
5. Images without boxes or without predictions give no proposals: false positives
   there are free. Their boxes stay in the number of all boxes.
6. Precision is recalled / proposals; 0 / 0 loses against every other precision.
7. AP is the area below the envelope of precision over recall, which ends at
   recall 1 with precision 0.

It is neither VOC's nor COCO's AP: see :mod:`sci_plugins.functional.detection_ap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.functional.box_overlap import pairwise_iou

THRESHOLDS = 1000
MIN_IOU = 0.5
# Rising: 0, 0.001, ..., 0.999, to the bit as the tool computes them.
_RISING = 1 - np.arange(THRESHOLDS, 0, -1) / THRESHOLDS
# The tool starts its search for the largest score here, not at minus infinity: where
# all scores are negative, this is the largest one.
_LOWEST_MAXIMUM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class OfficialCounts:
    """What each of N images adds to the curve: enough to integrate any resample.

    Args:
        proposals: ``(N, 1000)``, predictions that first count at a threshold; column
            ``t`` stands for ``1 - (t + 1) / 1000``.
        recalled: ``(N, 1000)``, boxes that are first recalled at a threshold.
        boxes: ``(N,)``, number of boxes.
    """

    proposals: np.ndarray
    recalled: np.ndarray
    boxes: np.ndarray


def count_official(
    predictions: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
) -> OfficialCounts:
    """Match every image once; the scores are normalised over all of them.

    Args:
        predictions: one ``(P, 5)`` an image, ``x1 y1 x2 y2 score`` in pixels, in any
            order; scores on any scale.
        boxes: one ``(G, 4)`` an image, ``x1 y1 x2 y2``, in the same order of images.

    Raises:
        DataError: if the two do not have the same number of images or a value is not
            finite.
    """
    _check(predictions, boxes)
    low, high = _score_range(predictions)
    proposals = np.zeros((len(boxes), THRESHOLDS), np.int32)
    recalled = np.zeros_like(proposals)
    for image, (found, truth) in enumerate(zip(predictions, boxes, strict=True)):
        if len(found) == 0 or len(truth) == 0:
            continue
        columns = _columns(_normalise(found[:, 4], low, high))
        proposals[image] = np.bincount(columns, minlength=THRESHOLDS)
        first = _first_recalled(found, truth, columns)
        recalled[image] = np.bincount(first, minlength=THRESHOLDS)
    return OfficialCounts(proposals, recalled, np.array([len(truth) for truth in boxes]))


def official_curve(
    counts: OfficialCounts, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at the 1000 thresholds, from the highest to the lowest.

    Args:
        counts: of :func:`count_official`.
        weights: ``(R, N)``, how often each image counts in each of R resamples, 0 or
            more; ``None`` is one resample with every image once.

    Returns:
        Two arrays ``(R, 1000)``. Precision is NaN where there is no proposal, recall
        where there is no box.
    """
    images = len(counts.boxes)
    weights = np.ones((1, images)) if weights is None else weights.astype(np.float64)
    if weights.ndim != 2 or weights.shape[1] != images:
        raise DataError(
            f'weights must have the shape (resamples, {images}), got {weights.shape}'
        )
    proposals = np.cumsum(weights @ counts.proposals.astype(np.float64), axis=1)
    recalled = np.cumsum(weights @ counts.recalled.astype(np.float64), axis=1)
    boxes = (weights @ counts.boxes)[:, None]
    with np.errstate(divide='ignore', invalid='ignore'):
        return recalled / proposals, recalled / boxes


def official_ap(counts: OfficialCounts) -> float:
    """The official number, in [0, 1]; NaN if there is no box at all."""
    return float(resampled_official_ap(counts, np.ones((1, len(counts.boxes))))[0])


def resampled_official_ap(counts: OfficialCounts, weights: np.ndarray) -> np.ndarray:
    """The official AP of each resample of the images.

    The scores keep the normalisation of the whole set: an interval then says how the
    number depends on the images, not on which of them has the highest score.

    Args:
        counts: of :func:`count_official`.
        weights: ``(R, N)``, how often each image counts; a row of zeros and ones
            chooses a subset.

    Returns:
        ``(R,)``, in [0, 1]; NaN where a resample has no box.
    """
    precision, recall = official_curve(counts, weights)
    # fmax passes over NaN: no proposals, no say in the envelope.
    envelope = np.fmax.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    gained = np.diff(recall, axis=1, prepend=0)
    # Where nothing was gained the envelope may still be NaN.
    area = np.where(gained > 0, gained * envelope, 0).sum(axis=1)
    return np.where(np.isnan(recall[:, -1]), np.nan, area)


def _check(predictions: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> None:
    if len(predictions) != len(boxes):
        raise DataError(
            'predictions must be one array for each image of boxes '
            f'({len(boxes)}), got {len(predictions)}'
        )
    for name, arrays, columns in (('predictions', predictions, 5), ('boxes', boxes, 4)):
        for image, array in enumerate(arrays):
            if array.ndim != 2 or array.shape[1] != columns:
                raise DataError(
                    f'{name}[{image}] must have the shape (n, {columns}), '
                    f'got {array.shape}'
                )
            if not np.isfinite(array).all():
                raise DataError(f'{name}[{image}] must be finite, has NaN or infinity')


def _score_range(predictions: Sequence[np.ndarray]) -> tuple[float, float]:
    scores = [found[:, 4] for found in predictions if len(found)]
    if not scores:
        return 0.0, 1.0
    low = min(float(some.min()) for some in scores)
    return low, max(_LOWEST_MAXIMUM, *(float(some.max()) for some in scores))


def _normalise(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    scores = scores.astype(np.float64)
    return np.ones_like(scores) if low == high else (scores - low) / (high - low)


def _columns(scores: np.ndarray) -> np.ndarray:
    """For each normalised score the first threshold that it reaches, 0 to 999."""
    return THRESHOLDS - np.searchsorted(_RISING, scores, side='right')


def _first_recalled(
    found: np.ndarray, truth: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """For each recalled box the threshold at which its best prediction counts."""
    iou = pairwise_iou(found[:, :4], truth, pixel=1)
    best = iou.argmax(axis=1)
    hits = iou[np.arange(len(found)), best] >= MIN_IOU
    first = np.full(len(truth), THRESHOLDS)
    np.minimum.at(first, best[hits], columns[hits])
    return first[first < THRESHOLDS]
