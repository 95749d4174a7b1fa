"""Matching detections with ground truth by COCO's rules.

pycocotools measures overlaps; where it is not installed, a MissingDependencyError is raised.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sci_plugins.functional.detection_ap import RankedDetections
from sci_plugins.registry import require_host

#: COCO's IoU thresholds, its limit of detections per image, and all areas.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100
_ALL = (0.0, np.inf)
#: Predictions ``(P, 5)``, ``x1 y1 x2 y2 score``, boxes ``(G, 4)``, ignore ``(G,)`` of one image.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def match_coco(images: Sequence[Arrays]) -> list[RankedDetections]:
    """Matches at COCO's ten IoU thresholds, 0.5 first; ignored boxes count as crowd regions."""
    return _match([_of_boxes(*each) for each in images], IOU_THRESHOLDS, [_ALL])[0]


def match_coco_masks(images: Sequence[tuple[Any, ...]]) -> list[RankedDetections]:
    """As :func:`match_coco` of scores, found and true masks (pycocotools' codes), ignore flags."""
    return _match([_of_masks(*each) for each in images], IOU_THRESHOLDS, [_ALL])[0]


def match_coco_by_size(
    images: Sequence[Arrays], bins: Mapping[str, tuple[float, float]]
) -> dict[str, RankedDetections]:
    """Matches at IoU 0.5 for the boxes in each of ``bins``: smallest and largest area in pixels.

    Boxes of other sizes are ignored, as are unmatched detections of other sizes: COCO's rule for
    its small, medium and large objects.
    """
    matches = _match([_of_boxes(*each) for each in images], IOU_THRESHOLDS[:1], list(bins.values()))
    return {name: match[0] for name, match in zip(bins, matches, strict=True)}


class _Shapes(NamedTuple):
    """One image: its surest detections in descending order, and the ground truth."""

    scores: np.ndarray  # (D,)
    found: Any  # D boxes x y width height, or run-length codes
    true: Any  # G of these
    found_areas: np.ndarray  # (D,), in pixels
    true_areas: np.ndarray  # (G,)
    crowd: np.ndarray  # (G,), bool

    def overlaps(self) -> np.ndarray:
        """Intersection over union ``(D, G)``; over the detection alone where there is a crowd."""
        from pycocotools import mask

        if not len(self.found) or not len(self.true):
            return np.zeros((len(self.found), len(self.true)))
        return np.asarray(mask.iou(self.found, self.true, self.crowd.astype(int).tolist()))


def _of_boxes(predictions: np.ndarray, boxes: np.ndarray, ignore: np.ndarray) -> _Shapes:
    best = np.argsort(-predictions[:, 4], kind='stable')[:MAX_DETECTIONS]
    found, true = (
        np.column_stack([each[:, :2], each[:, 2:4] - each[:, :2]]).astype(np.float64)
        for each in (predictions[best], boxes)
    )
    areas = found[:, 2] * found[:, 3], true[:, 2] * true[:, 3]
    return _Shapes(predictions[best, 4], found, true, *areas, np.asarray(ignore, bool))


def _of_masks(
    scores: np.ndarray, found: Sequence[Any], true: Sequence[Any], ignore: np.ndarray
) -> _Shapes:
    best = np.argsort(-scores, kind='stable')[:MAX_DETECTIONS]
    areas = np.ones(len(best)), np.ones(len(true))  # in any range
    surest = [found[i] for i in best]
    return _Shapes(scores[best], surest, list(true), *areas, np.asarray(ignore, bool))


def _match(
    images: Sequence[_Shapes], thresholds: np.ndarray, areas: Sequence[tuple[float, float]]
) -> list[list[RankedDetections]]:
    require_host('COCO AP', 'pycocotools', 'det')
    overlaps = [each.overlaps() for each in images]
    scores = np.concatenate([np.zeros(0), *(each.scores for each in images)])
    owners = np.repeat(np.arange(len(images)), [len(each.scores) for each in images])
    order = np.argsort(-scores, kind='stable')
    scores, owners = scores[order], owners[order]
    results = []
    for low, high in areas:
        hits: list[np.ndarray] = [np.zeros((len(thresholds), 0), bool)]
        ignored, positives = hits[:], np.zeros(len(images), np.int64)
        for index, (image, iou) in enumerate(zip(images, overlaps, strict=True)):
            ignore = image.crowd | (image.true_areas < low) | (image.true_areas > high)
            hit, on_ignored = _match_image(iou, ignore, image.crowd, thresholds)
            outside = (image.found_areas < low) | (image.found_areas > high)
            hits.append(hit)
            ignored.append(on_ignored | (~hit & outside))
            positives[index] = np.count_nonzero(~ignore)
        found, left_out = (np.concatenate(each, axis=1)[:, order] for each in (hits, ignored))
        pairs = zip(found, ~left_out, strict=True)
        results.append([RankedDetections(scores[c], owners[c], h[c], positives) for h, c in pairs])
    return results


def _match_image(
    iou: np.ndarray, ignore: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections match, and which of these match what is ignored: both ``(T, D)``, bool.

    The rule of pycocotools' ``evaluateImg``: by descending score, each takes the free box with the
    largest IoU, an ignored one only if no other will do; a crowd is never taken. Only the few pairs
    above the lowest threshold are looked at.
    """
    hits = np.zeros((len(thresholds), len(iou)), bool)
    on_ignored = hits.copy()
    last = np.argsort(ignore, kind='stable')  # ignored ones at the end
    near = iou[:, last] >= min(thresholds[0], 1 - 1e-10)
    pairs = {
        found: list(zip((each := last[near[found]]).tolist(), iou[found, each], strict=True))
        for found in np.flatnonzero(near.any(axis=1)).tolist()
    }
    for row, threshold in enumerate(thresholds):
        taken: set[int] = set()
        for found, candidates in pairs.items():
            most, match = min(threshold, 1 - 1e-10), -1
            for true, overlap in candidates:
                if true in taken and not crowd[true]:
                    continue
                if match >= 0 and not ignore[match] and ignore[true]:
                    break
                if overlap >= most:
                    most, match = overlap, true
            if match >= 0:
                taken.add(match)
                hits[row, found] = True
                on_ignored[row, found] = ignore[match]
    return hits, on_ignored
