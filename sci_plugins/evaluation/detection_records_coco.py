"""COCO's matching by pycocotools, kept image by image."""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sci_plugins.functional.detection_ap import RankedDetections, rank
from sci_plugins.registry import require_host

#: COCO's IoU thresholds, its limit of detections an image, and "all" areas.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100
_ALL = (0.0, np.inf)
#: Predictions ``(P, 5)``, boxes ``(G, 4)``, ignore ``(G,)`` of one image.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def match_coco(images: Sequence[Arrays]) -> list[RankedDetections]:
    """Matches at COCO's ten IoU thresholds, 0.5 first.

    Args:
        images: predictions ``x1 y1 x2 y2 score``, boxes and ignore flags of each image.
            Ignored boxes are crowd regions.

    Raises:
        MissingDependencyError: if pycocotools is not installed.
    """
    return _evaluate(images, IOU_THRESHOLDS, [_ALL])[0]


def match_coco_by_size(
    images: Sequence[Arrays], bins: Mapping[str, tuple[float, float]]
) -> dict[str, RankedDetections]:
    """Matches at IoU 0.5 for the boxes of each range of areas.

    Boxes of other sizes are ignored, and so are detections of other sizes that find
    nothing: COCO's rule for its small, medium and large objects.

    Args:
        images: as in :func:`match_coco`.
        bins: name -> smallest and largest area in pixels, both included.

    Raises:
        MissingDependencyError: if pycocotools is not installed.
    """
    matches = _evaluate(images, IOU_THRESHOLDS[:1], list(bins.values()))
    return {name: match[0] for name, match in zip(bins, matches, strict=True)}


def _evaluate(
    images: Sequence[Arrays],
    thresholds: np.ndarray,
    areas: Sequence[tuple[float, float]],
) -> list[list[RankedDetections]]:
    """For each range of areas and each threshold the matches of all images."""
    require_host('COCO AP', 'pycocotools', 'det')
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it reports on each step
        evaluator = COCOeval(
            _dataset(images, _truth), _dataset(images, _found), iouType='bbox'
        )
        evaluator.params.iouThrs = thresholds
        evaluator.params.maxDets = [MAX_DETECTIONS]
        evaluator.params.areaRng = [list(area) for area in areas]
        evaluator.evaluate()
    each = np.array(evaluator.evalImgs, dtype=object).reshape(len(areas), len(images))
    return [
        [_collect(row, threshold) for threshold in range(len(thresholds))] for row in each
    ]


def _collect(results: Iterable[Any], threshold: int) -> RankedDetections:
    scores, hits, positives = [], [], []
    for result in results:
        if result is None:  # neither a box nor a detection
            result = dict(
                dtScores=[],
                dtIgnore=np.zeros((threshold + 1, 0), bool),
                dtMatches=np.zeros((threshold + 1, 0)),
                gtIgnore=np.zeros(0),
            )
        counts = ~result['dtIgnore'][threshold].astype(bool)
        scores.append(np.array(result['dtScores'], np.float64)[counts])
        hits.append(result['dtMatches'][threshold][counts] > 0)
        positives.append(int((result['gtIgnore'] == 0).sum()))
    return rank(scores, hits, positives)


def _dataset(images: Sequence[Arrays], annotate: Any) -> Any:
    from pycocotools.coco import COCO

    annotations = [
        dict(image_id=number, category_id=1, **annotation)
        for number, image in enumerate(images, start=1)
        for annotation in annotate(*image)
    ]
    # Ids start at 1: COCOeval takes 0 for "no match".
    for number, annotation in enumerate(annotations, start=1):
        annotation['id'] = number
    dataset = COCO()
    dataset.dataset = dict(
        images=[dict(id=number) for number in range(1, len(images) + 1)],
        categories=[dict(id=1, name='face')],
        annotations=annotations,
    )
    dataset.createIndex()
    return dataset


def _truth(_: np.ndarray, boxes: np.ndarray, ignore: np.ndarray) -> list[dict[str, Any]]:
    return [
        dict(**_box(box), iscrowd=int(crowd))
        for box, crowd in zip(boxes, ignore, strict=True)
    ]


def _found(
    predictions: np.ndarray, _: np.ndarray, __: np.ndarray
) -> list[dict[str, Any]]:
    best = np.argsort(-predictions[:, 4], kind='stable')[:MAX_DETECTIONS]
    return [
        dict(**_box(row[:4]), iscrowd=0, score=float(row[4])) for row in predictions[best]
    ]


def _box(box: np.ndarray) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, box)
    width, height = x2 - x1, y2 - y1
    return dict(bbox=[x1, y1, width, height], area=width * height)
