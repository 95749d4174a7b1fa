"""Average precision over ranked detections, re-integrated for resamples, in NumPy.

One structure carries what VOC's and COCO's definitions need: the detections of all
images in the order of their scores, and whether each is a hit. Matching is done once;
an average precision for other weights of the images is then a matter of sums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.functional.box_overlap import pairwise_iou

#: Recalls at which COCO reads the envelope of precision.
COCO_RECALLS = np.linspace(0, 1, 101)
# Columns of a matrix with a row for each image: few enough for a processor's cache.
_BLOCK = 512
_Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RankedDetections:
    """Detections of N images by descending score, matched at one IoU threshold.

    Args:
        scores: ``(D,)``, descending; equal ones in the order of the images.
        images: ``(D,)``, index of each one's image, 0 to N - 1.
        hits: ``(D,)``, bool: finds a box that no better one has found. What is not a
            hit is a false positive; ignored detections are left out.
        positives: ``(N,)``, number of boxes to be found in each image.
    """

    scores: np.ndarray
    images: np.ndarray
    hits: np.ndarray
    positives: np.ndarray


class RecallPrecision(NamedTuple):
    """A curve of precision over recall, both in [0, 1], ascending in recall."""

    recall: list[float]
    precision: list[float]


def rank(
    scores: Sequence[np.ndarray], hits: Sequence[np.ndarray], positives: Sequence[int]
) -> RankedDetections:
    """Put the matched detections of all images in one order.

    Args:
        scores: one ``(P,)`` an image, in any order.
        hits: one ``(P,)`` bool an image.
        positives: number of boxes of each image.
    """
    counts = [len(some) for some in scores]
    images = np.repeat(np.arange(len(counts)), counts)
    flat = np.concatenate([np.zeros(0), *scores])
    order = np.argsort(-flat, kind='stable')
    return RankedDetections(
        scores=flat[order],
        images=images[order],
        hits=np.concatenate([np.zeros(0, bool), *hits])[order],
        positives=np.asarray(positives, dtype=np.int64),
    )


def match_voc(found: np.ndarray, truth: np.ndarray, min_iou: float = 0.5) -> np.ndarray:
    """Which detections of one image are hits by VOC's rule.

    By descending score each goes to the box that it overlaps most; the first one on a
    box with at least ``min_iou`` is a hit, every other detection a false positive.

    Args:
        found: ``(P, 5)``, ``x1 y1 x2 y2 score`` in pixels, in any order.
        truth: ``(G, 4)``.
        min_iou: on boxes without the extra pixel of VOC's own tool, as in mmdet.

    Returns:
        ``(P,)``, bool, in the order of ``found``.
    """
    hits = np.zeros(len(found), bool)
    if len(found) == 0 or len(truth) == 0:
        return hits
    order = np.argsort(-found[:, 4], kind='stable')
    iou = pairwise_iou(found[order, :4], truth)
    best = iou.argmax(axis=1)
    good = np.flatnonzero(iou[np.arange(len(found)), best] >= min_iou)
    _, first = np.unique(best[good], return_index=True)
    hits[order[good[first]]] = True
    return hits


def area_ap(ranked: RankedDetections, weights: np.ndarray | None = None) -> np.ndarray:
    """Area below the envelope of precision over recall (VOC from 2010 on).

    Args:
        ranked: matched detections.
        weights: ``(R, N)``, how often each image counts in each of R resamples; copies
            of an image stand together where scores are equal. ``None`` is one resample
            with every image once.

    Returns:
        ``(R,)``, in [0, 1]; NaN where a resample has no box.

    Raises:
        DataError: if the weights are not one column an image.
    """
    return _integrate(ranked, weights, _area)


def coco_ap(ranked: RankedDetections, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of the envelope at 101 recalls, as pycocotools computes it.

    Args:
        ranked: detections matched by COCO's rule.
        weights: as in :func:`area_ap`.

    Returns:
        ``(R,)``, in [0, 1]; NaN where a resample has no box.
    """
    return _integrate(ranked, weights, _mean_at_recalls)


def recall_at_fppi(
    ranked: RankedDetections,
    false_positives: float = 1.0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Largest recall of a score threshold that gives few false positives.

    Args:
        ranked: matched detections.
        false_positives: how many an image, on average over all images (also those
            without a box), are allowed.
        weights: as in :func:`area_ap`.

    Returns:
        ``(R,)``, in [0, 1]; NaN where a resample has no box. A threshold takes all
        detections of one score or none.
    """
    rows = _as_rows(ranked, weights)
    hits = np.flatnonzero(ranked.hits)
    last = np.flatnonzero(np.diff(ranked.scores, append=-np.inf))
    ends = np.unique(last[np.searchsorted(last, hits)])
    true = np.cumsum(rows[:, ranked.images[hits]], axis=1)
    true = true[:, np.searchsorted(hits, ends, side='right') - 1]
    false = _totals(ranked, rows, ends) - true
    allowed = false_positives * rows.sum(axis=1, keepdims=True)
    most = np.max(np.where(false <= allowed, true, 0), axis=1, initial=0)
    return _divide(most, rows @ ranked.positives)


def precision_recall(
    ranked: Sequence[RankedDetections], points: int = 500
) -> RecallPrecision:
    """The curve of precision over recall, of one or several classes pooled.

    Args:
        ranked: matched detections of each class.
        points: about how many to keep, evenly spaced among the hits.

    Returns:
        Its points at the hits; empty where there is no box.
    """
    scores = np.concatenate([each.scores for each in ranked])
    order = np.argsort(-scores, kind='stable')
    hits = np.concatenate([each.hits for each in ranked])[order]
    boxes = sum(int(each.positives.sum()) for each in ranked)
    at = np.flatnonzero(hits)
    if boxes == 0 or len(at) == 0:
        return RecallPrecision([], [])
    kept = np.unique(
        np.linspace(0, len(at) - 1, min(points, len(at))).round().astype(int)
    )
    recall = (kept + 1) / boxes
    return RecallPrecision(recall.tolist(), ((kept + 1) / (at[kept] + 1)).tolist())


def _integrate(
    ranked: RankedDetections, weights: np.ndarray | None, rule: _Rule
) -> np.ndarray:
    """Precision falls from one hit to the next, so the hits tell the envelope."""
    rows = _as_rows(ranked, weights)
    hits = np.flatnonzero(ranked.hits)
    gained = rows[:, ranked.images[hits]]
    true = np.cumsum(gained, axis=1)
    precision = _divide(true, _totals(ranked, rows, hits), empty=0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    boxes = rows @ ranked.positives
    return np.where(boxes > 0, rule(gained, envelope, boxes), np.nan)


def _totals(ranked: RankedDetections, rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Weight of all detections up to and with each of the positions ``ends``.

    A matrix product with the number of each image's detections between two positions
    is twenty times faster than adding up the detections one by one.
    """
    images = len(ranked.positives)
    # Integers below 2**24 are exact in float32, and twice as fast.
    largest = float(rows.max(initial=0)) * len(ranked.scores)
    exact = largest < 2**24 and bool((rows == np.rint(rows)).all())
    small = rows.astype(np.float32) if exact else rows
    totals = np.zeros((len(rows), len(ends)))
    for start in range(0, len(ends), _BLOCK):
        block = ends[start : start + _BLOCK]
        first = ends[start - 1] + 1 if start else 0
        some = np.arange(first, block[-1] + 1)
        cells = ranked.images[some] * len(block) + np.searchsorted(block, some)
        counts = np.bincount(cells, minlength=images * len(block)).reshape(images, -1)
        totals[:, start : start + _BLOCK] = small @ counts.astype(small.dtype)
    return np.cumsum(totals, axis=1)


def _area(gained: np.ndarray, envelope: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    return _divide((gained * envelope).sum(axis=1), boxes)


def _mean_at_recalls(
    gained: np.ndarray, envelope: np.ndarray, boxes: np.ndarray
) -> np.ndarray:
    recall = _divide(np.cumsum(gained, axis=1), boxes[:, None])
    # Past the last recall precision is 0.
    envelope = np.pad(envelope, ((0, 0), (0, 1)))
    return np.array(
        [
            row[np.searchsorted(reached, COCO_RECALLS)].mean()
            for row, reached in zip(envelope, recall, strict=True)
        ]
    )


def _as_rows(ranked: RankedDetections, weights: np.ndarray | None) -> np.ndarray:
    images = len(ranked.positives)
    rows = np.ones((1, images)) if weights is None else weights.astype(np.float64)
    if rows.ndim != 2 or rows.shape[1] != images:
        raise DataError(
            f'weights must have the shape (resamples, {images}), got {rows.shape}'
        )
    return rows


def _divide(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """``part / whole``, ``empty`` where ``whole`` is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    result = np.full(part.shape, empty, np.float64)
    return np.divide(part, whole, out=result, where=whole > 0)
