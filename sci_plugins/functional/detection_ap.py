"""Box overlap and average precision over ranked detections, in NumPy.

VOC and COCO share one structure: the detections of all images sorted by score, and whether each
is a true positive ("hit"). Matching is done once; the average precision for other image weights,
as the bootstrap needs it, is then a matter of sums.

DARK FACE's own average precision is neither VOC's nor COCO's. It follows the data set's Octave
tool (github.com/Ir1d/DARKFACE_eval_tools) rule by rule:

1. Scores are normalised by the minimum and maximum over *all* images.
2. IoU counts pixels: widths and heights are ``x2 - x1 + 1``.
3. Each prediction goes to the box with the largest IoU, the first of equals, and recalls it if
   that IoU is at least 0.5. A second prediction on the same box is a false positive; there is no
   second-best box, and there are no ignored regions.
4. There are 1000 thresholds, ``1 - t / 1000``. At each, proposals are the predictions with at
   least that score, and recalled the boxes that they recall, over all images.
5. Images without boxes or without predictions give no proposals: false positives there are free.
   Their boxes still count.
6. Precision is recalled / proposals; 0 / 0 loses against every other precision.
7. AP is the area below the envelope of precision over recall, ending at recall 1, precision 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.functional.confusion import ratio
from sci_plugins.registry import require_host

Weights = np.ndarray | None  #: of images, ``(R, N)``, see :func:`area_ap`


def pairwise_iou(boxes: np.ndarray, others: np.ndarray, pixel: float = 0.0) -> np.ndarray:
    """Intersection over union of each of ``boxes`` with each of ``others``.

    ``(N, 4)`` and ``(M, 4)``, ``x1 y1 x2 y2`` in pixels, give ``(N, M)``, float64, in [0, 1]; 0 for
    an inverted box. ``pixel`` is 1 if ``x2`` and ``y2`` are the last pixels *inside* the box (VOC's
    and DARK FACE's own tools); 0 if they are its edges (COCO, mmdet).
    """
    # Not torchvision.ops.box_iou: it cannot count inclusive pixels, and two empty boxes give NaN,
    # which argmax takes for the best match.
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    own, its = boxes.T[..., None], np.ascontiguousarray(others.T)
    # Negative if apart.
    width, height = (
        np.minimum(own[e], its[e]) - np.maximum(own[e - 2], its[e - 2]) + pixel for e in (2, 3)
    )
    shared = width * height
    areas, other_areas = ((each[:, 2:] - each[:, :2] + pixel).prod(1) for each in (boxes, others))
    union = areas[:, None] + other_areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=(width > 0) & (height > 0))


COCO_RECALLS = np.linspace(0, 1, 101)  #: recalls at which COCO reads the envelope of precision
_CACHED, _LARGE = 2**17, 2**24  # sums at once: for the processor's cache, and for the memory
_FEWEST, _FEW = 8, 64  # rows at once; few detections


@dataclass(frozen=True)
class RankedDetections:
    """Detections of N images by descending score, matched at one IoU threshold."""

    scores: np.ndarray  # ``(D,)``, descending; equal scores in the order of the images
    images: np.ndarray  # ``(D,)``, index of each detection's image, 0 to N - 1
    hits: np.ndarray  # ``(D,)``, bool: true, else false positives; ignored ones are left out
    positives: np.ndarray  # ``(N,)``, number of ground-truth boxes of each image


class RecallPrecision(NamedTuple):
    """Precision over recall, both in [0, 1], by ascending recall."""

    recall: list[float]
    precision: list[float]


def rank(
    scores: Sequence[np.ndarray], hits: Sequence[np.ndarray], positives: Sequence[int]
) -> RankedDetections:
    """Sort matched detections, ``(P,)`` of each image, by score; positives are numbers of boxes."""
    counts = [len(some) for some in scores]
    images = np.repeat(np.arange(len(counts)), counts)
    flat = np.concatenate([np.zeros(0), *scores])
    order = np.argsort(-flat, kind='stable')
    found = np.concatenate([np.zeros(0, bool), *hits])[order]
    return RankedDetections(flat[order], images[order], found, np.asarray(positives, np.int64))


def match_voc(found: np.ndarray, truth: np.ndarray, min_iou: float = 0.5) -> np.ndarray:
    """Which detections of one image are true positives by VOC's rule: ``(P,)``, bool.

    By descending score, each of ``found``, ``(P, 5)``, ``x1 y1 x2 y2 score`` in pixels, goes to the
    box of ``truth``, ``(G, 4)``, with the largest IoU; the first one on a box with at least
    ``min_iou`` is a hit. The IoU is without the extra pixel of VOC's own tool, as in mmdet.
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


def area_ap(ranked: RankedDetections, weights: Weights = None) -> np.ndarray:
    """Area below the envelope of precision over recall (VOC from 2010 on).

    ``weights``, ``(R, N)``, is how often each image counts in each of R resamples; ``None`` for one
    with every image once; another number of columns is a DataError. Copies of an image rank
    together where scores are equal. Gives ``(R,)``, in [0, 1]; NaN for a resample without boxes.
    """
    return _integrate([ranked], weights, at_recalls=False)[0]


def coco_ap(ranked: RankedDetections, weights: Weights = None) -> np.ndarray:
    """Mean of the envelope at 101 recalls, as pycocotools computes it; else as :func:`area_ap`."""
    return coco_aps([ranked], weights)[0]


def coco_aps(several: Sequence[RankedDetections], weights: Weights = None) -> np.ndarray:
    """:func:`coco_ap` of matches at several IoU thresholds, ``(T, R)``; faster than one by one."""
    return _integrate(several, weights, at_recalls=True)


def full_recall(ranked: RankedDetections, weights: Weights = None) -> np.ndarray:
    """Recall of all detections, as :func:`area_ap`; COCO's AR is its mean over the thresholds."""
    rows = weight_rows(weights, len(ranked.positives))
    found = np.bincount(ranked.images[ranked.hits], minlength=len(ranked.positives))
    return ratio(rows @ found, rows @ ranked.positives)


def recall_at_fppi(
    ranked: RankedDetections, false_positives: float = 1.0, weights: Weights = None
) -> np.ndarray:
    """Largest recall of any score threshold with few enough false positives; as :func:`area_ap`.

    ``false_positives`` are those allowed per image, on average over all, with boxes or without.
    """
    rows = weight_rows(weights, len(ranked.positives))
    hits = np.flatnonzero(ranked.hits)
    # A threshold takes all detections of one score or none of them.
    last = np.flatnonzero(np.diff(ranked.scores, append=-np.inf))
    ends = np.unique(last[np.searchsorted(last, hits)])
    ends = _last_of_runs(ends, np.searchsorted(hits, ends, side='right'))
    places, most = np.searchsorted(hits, ends, side='right') - 1, np.empty(len(rows))
    for part in _parts(rows, len(ends), _LARGE):
        true = _totals(ranked.images[hits], rows[part], places)
        false = _totals(ranked.images, rows[part], ends) - true
        few = false <= false_positives * rows[part].sum(axis=1)
        most[part] = np.max(true, axis=0, where=few, initial=0)
    return ratio(most, rows @ ranked.positives)


def pooled_curve(ranked: Sequence[RankedDetections], points: int = 500) -> RecallPrecision:
    """Precision over recall of classes pooled, at about ``points`` hits; empty without boxes."""
    order = np.argsort(-np.concatenate([each.scores for each in ranked]), kind='stable')
    boxes = sum(int(each.positives.sum()) for each in ranked)
    at = np.flatnonzero(np.concatenate([each.hits for each in ranked])[order])
    if boxes == 0 or len(at) == 0:
        return RecallPrecision([], [])
    kept = np.unique(np.linspace(0, len(at) - 1, min(points, len(at))).round().astype(int))
    recall, precision = (kept + 1) / boxes, (kept + 1) / (at[kept] + 1)
    return RecallPrecision(recall.tolist(), precision.tolist())


def _integrate(
    several: Sequence[RankedDetections], weights: Weights, at_recalls: bool
) -> np.ndarray:
    """Area of precision's envelope, or its mean at COCO's recalls, ``(T, R)``.

    Precision falls between hits and rises from a hit to one right after it: the envelope needs the
    last hit of each run alone.
    """
    rows = weight_rows(weights, len(several[0].positives))
    results, counted = np.empty((len(several), len(rows))), rows.max(axis=0, initial=0) > 0
    for each, result in zip(several, results, strict=True):
        images = each.images[kept := counted[each.images]]
        hits = np.flatnonzero(each.hits[kept])
        ends = _last_of_runs(hits)
        places = np.searchsorted(hits, ends)
        for part in _parts(rows, len(ends), _CACHED):
            some = rows[part]
            found = _totals(images[hits], some, places)
            seen = _totals(images, some, ends)
            precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
            envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
            whole = some @ each.positives
            if at_recalls:
                # How many of the 101 recalls are reached: up to the nearest, with it or without.
                recall = found / np.where(whole > 0, whole, 1)
                nearest = (100 * recall + 0.5).astype(np.intp)
                found = nearest + (COCO_RECALLS.take(nearest, mode='clip') <= recall)
                whole = np.where(whole > 0, len(COCO_RECALLS), 0)
            # What each run adds is counted by its own envelope.
            falls = envelope.copy()
            falls[:-1] -= envelope[1:]
            result[part] = ratio(np.einsum('hr,hr->r', found, falls), whole)
    return results


def _parts(rows: np.ndarray, sums: int, most: int) -> Iterator[slice]:
    step = max(_FEWEST, most // max(1, sums))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _last_of_runs(places: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """Places of detections without those that no false positive parts from the next.

    ``before`` are the numbers of hits up to each; ``None``: all places are hits.
    """
    hits = np.arange(len(places)) if before is None else before
    return places[np.diff(places - hits, append=-2) != 0]


def _totals(owners: np.ndarray, rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Weight of detections, of the images ``owners``, up to each of the places ``ends``, (E, R)."""
    owners, starts = owners[: ends[-1] + 1 if len(ends) else 0], np.concatenate([[0], ends + 1])
    if len(rows) < _FEWEST or len(owners) < _FEW:
        return np.cumsum(rows.T[owners], axis=0)[ends]
    # Else sums between the places as a product of matrices are up to five times faster.
    require_host('resampling', 'scipy', 'det')
    from scipy.sparse import csr_matrix

    counts = csr_matrix((np.ones(len(owners)), owners, starts), (len(ends), rows.shape[1]))
    return np.cumsum(counts @ np.ascontiguousarray(rows.T), axis=0)


def weight_rows(weights: Weights, images: int) -> np.ndarray:
    """Weights ``(R, N)`` in float64, ones for ``None``; a DataError if they are not of N images."""
    # An image's weights side by side: they are added to each other's.
    rows = np.ones((1, images)) if weights is None else np.asarray(weights, np.float64, 'F')
    if rows.ndim != 2 or rows.shape[1] != images:
        raise DataError(f'weights must have the shape (resamples, {images}), got {rows.shape}')
    return rows


THRESHOLDS = 1000
MIN_IOU = 0.5
# 0, 0.001, ..., 0.999, bit for bit as the tool computes them.
_RISING = 1 - np.arange(THRESHOLDS, 0, -1) / THRESHOLDS
# The tool starts its search for the maximum here: it is this where all scores are negative.
_LOWEST_MAXIMUM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class OfficialCounts:
    """What each of N images adds to the curve: enough to integrate any resample."""

    #: ``(N, 1000)``, predictions that first count at the threshold ``1 - (t + 1) / 1000``
    proposals: np.ndarray
    recalled: np.ndarray  # ``(N, 1000)``, boxes that are first recalled at each threshold
    boxes: np.ndarray  # ``(N,)``, number of boxes


def count_official(
    predictions: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
) -> OfficialCounts:
    """Match every image once, with scores normalised over all images.

    Of each, ``(P, 5)``, ``x1 y1 x2 y2 score`` in pixels, in any order and on any scale, and ``(G,
    4)``. Other shapes, other numbers of images, or values that are not finite are a DataError.
    """
    _check(predictions, boxes)
    kept = [found[:, 4] for found in predictions if len(found)]
    low = min((float(some.min()) for some in kept), default=0.0)
    high = max([_LOWEST_MAXIMUM, *(float(some.max()) for some in kept)])
    proposals = np.zeros((len(boxes), THRESHOLDS), np.int32)
    recalled = np.zeros_like(proposals)
    for image, (found, truth) in enumerate(zip(predictions, boxes, strict=True)):
        if len(found) == 0 or len(truth) == 0:
            continue
        scores = found[:, 4].astype(np.float64)
        scores = (scores - low) / (high - low) if low < high else np.ones_like(scores)
        # The first threshold that each score reaches, 0 to 999.
        columns = THRESHOLDS - np.searchsorted(_RISING, scores, side='right')
        proposals[image] = np.bincount(columns, minlength=THRESHOLDS)
        recalled[image] = _first_recalled(found, truth, columns)
    return OfficialCounts(proposals, recalled, np.array([len(truth) for truth in boxes]))


def official_curve(
    counts: OfficialCounts, weights: Weights = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall, each ``(R, 1000)``, from the highest threshold on; NaN for 0 / 0."""
    rows = weight_rows(weights, len(counts.boxes))
    proposals = np.cumsum(rows @ counts.proposals.astype(np.float64), axis=1)
    recalled = np.cumsum(rows @ counts.recalled.astype(np.float64), axis=1)
    boxes = (rows @ counts.boxes)[:, None]
    with np.errstate(divide='ignore', invalid='ignore'):
        return recalled / proposals, recalled / boxes


def official_ap(counts: OfficialCounts) -> float:
    """The official AP, in [0, 1]; NaN if there are no boxes."""
    return float(resampled_official_ap(counts)[0])


def resampled_official_ap(counts: OfficialCounts, weights: Weights = None) -> np.ndarray:
    """The official AP of each resample of the images, with ``weights`` as in :func:`area_ap`.

    Scores stay normalised over the whole set, so that an interval shows how the AP depends on the
    images, not on which of them has the highest score. ``(R,)``, in [0, 1]; NaN without boxes.
    """
    precision, recall = official_curve(counts, weights)
    # fmax ignores NaN: thresholds without proposals do not affect the envelope.
    envelope = np.fmax.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    gained = np.diff(recall, axis=1, prepend=0)
    # The envelope may still be NaN where nothing was gained.
    area = np.where(gained > 0, gained * envelope, 0).sum(axis=1)
    return np.where(np.isnan(recall[:, -1]), np.nan, area)


def _check(predictions: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> None:
    if len(predictions) != len(boxes):
        wish = f'{len(boxes)} arrays of predictions, one for each array of boxes'
        raise DataError(f'expected {wish}, got {len(predictions)}')
    for name, arrays, columns in (('predictions', predictions, 5), ('boxes', boxes, 4)):
        for image, array in enumerate(arrays):
            if array.shape[1:] != (columns,):
                wish = f'must have the shape (n, {columns})'
                raise DataError(f'{name}[{image}] {wish}, got {array.shape}')
            if not np.isfinite(array).all():
                raise DataError(f'{name}[{image}] must be finite, got NaN or infinity')


def _first_recalled(found: np.ndarray, truth: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Number of boxes ``(1000,)`` whose best prediction first counts at each threshold."""
    iou = pairwise_iou(found[:, :4], truth, pixel=1)
    best = iou.argmax(axis=1)
    hits = iou[np.arange(len(found)), best] >= MIN_IOU
    first = np.full(len(truth), THRESHOLDS)
    np.minimum.at(first, best[hits], columns[hits])
    return np.bincount(first, minlength=THRESHOLDS)[:THRESHOLDS]
