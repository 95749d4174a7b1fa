"""Detections kept image by image, and every number made from them.

Matching is done once for each class; COCO's own by pycocotools.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.detection_images import (
    ImageDetections,
    load_detections,
    load_with_classes,
    save_detections,
)
from sci_plugins.functional.detection_ap import (
    RankedDetections,
    RecallPrecision,
    area_ap,
    coco_ap,
    count_official,
    match_voc,
    precision_recall,
    rank,
    recall_at_fppi,
    resampled_official_ap,
)
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
    images: Sequence[Arrays], thresholds: np.ndarray, areas: Sequence[tuple[float, float]]
) -> list[list[RankedDetections]]:
    """For each range of areas and each threshold the matches of all images."""
    require_host('COCO AP', 'pycocotools', 'det')
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it reports on each step
        evaluator = COCOeval(_dataset(images, _truth), _dataset(images, _found), iouType='bbox')
        evaluator.params.iouThrs = thresholds
        evaluator.params.maxDets = [MAX_DETECTIONS]
        evaluator.params.areaRng = [list(area) for area in areas]
        evaluator.evaluate()
    each = np.array(evaluator.evalImgs, dtype=object).reshape(len(areas), len(images))
    return [[_collect(row, threshold) for threshold in range(len(thresholds))] for row in each]


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
    return [dict(**_box(box), iscrowd=int(crowd)) for box, crowd in zip(boxes, ignore, strict=True)]


def _found(predictions: np.ndarray, _: np.ndarray, __: np.ndarray) -> list[dict[str, Any]]:
    best = np.argsort(-predictions[:, 4], kind='stable')[:MAX_DETECTIONS]
    return [dict(**_box(row[:4]), iscrowd=0, score=float(row[4])) for row in predictions[best]]


def _box(box: np.ndarray) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, box)
    width, height = x2 - x1, y2 - y1
    return dict(bbox=[x1, y1, width, height], area=width * height)


#: Size bins by ``sqrt(width * height)``: the smallest area, the first one above.
SIZE_BINS = {
    'below_16px': (0.0, np.nextafter(16.0**2, 0)),
    '16_to_32px': (16.0**2, 32.0**2),
    'above_32px': (np.nextafter(32.0**2, np.inf), np.inf),
}
Rule = Callable[[np.ndarray], np.ndarray]


class ClassRecords:
    """Every image matched by each definition, for one class.

    Args:
        images: what was found and what is there, of this class alone.
        coco: also by COCO's rules, which takes pycocotools and most of the time.
        by_size: also COCO's numbers by the size of the boxes.
    """

    def __init__(
        self, images: Sequence[ImageDetections], coco: bool = True, by_size: bool = True
    ) -> None:
        clear = [image.without_ignored() for image in images]
        self.official = count_official(
            [image.predictions for image in clear], [image.boxes for image in clear]
        )
        self.voc = rank(
            [image.predictions[:, 4] for image in clear],
            [match_voc(image.predictions, image.boxes) for image in clear],
            [len(image.boxes) for image in clear],
        )
        arrays = [(image.predictions, image.boxes, image.flags) for image in images]
        self.coco = match_coco(arrays) if coco else []
        self.coco_by_size = match_coco_by_size(arrays, SIZE_BINS) if coco and by_size else {}

    @property
    def rules(self) -> dict[str, Rule]:
        """Metric -> how it is made from weights ``(R, N)``; each gives ``(R,)``."""
        rules: dict[str, Rule] = {
            'AP': lambda rows: resampled_official_ap(self.official, rows),
            'VOC_AP50_area': lambda rows: area_ap(self.voc, rows),
            'recall_at_1_FPPI': lambda rows: recall_at_fppi(self.voc, 1.0, rows),
        }
        if self.coco:
            rules['COCO_AP'] = lambda rows: np.mean(
                [coco_ap(ranked, rows) for ranked in self.coco], axis=0
            )
            rules['COCO_AP50'] = lambda rows: coco_ap(self.coco[0], rows)
            rules['COCO_AP75'] = lambda rows: coco_ap(self.coco[5], rows)
        for name, ranked in self.coco_by_size.items():
            rules[f'COCO_AP50_{name}'] = lambda rows, some=ranked: coco_ap(some, rows)  # type: ignore[misc]
        return rules


__all__ = [
    'CLASS_DEFINITIONS',
    'DEFINITIONS',
    'OF_SEVERAL',
    'SIZE_BINS',
    'DetectionRecords',
    'ImageDetections',
    'load_detections',
    'save_detections',
]

#: What each number is. All are fractions in [0, 1], at IoU 0.5 unless told otherwise.
DEFINITIONS = {
    'AP': (
        "DARK FACE's official protocol: scores normalised over the set, 1000 thresholds, "
        'inclusive pixels, false positives on images without faces free'
    ),
    'VOC_AP50_area': 'VOC from 2010 on, as mmdet: area below the envelope, every score',
    'recall_at_1_FPPI': (
        'largest recall of a score threshold with at most 1 false positive an image on '
        'average, matched as VOC'
    ),
    'COCO_AP': 'pycocotools: IoU 0.5 to 0.95, 101 recalls, 100 detections an image',
    'COCO_AP50': 'the same at IoU 0.5 alone',
    'COCO_AP75': 'the same at IoU 0.75 alone',
    'COCO_AP50_below_16px': 'COCO_AP50 of faces with sqrt(width * height) < 16 pixels',
    'COCO_AP50_16_to_32px': 'COCO_AP50 of faces from 16 to 32 pixels, both included',
    'COCO_AP50_above_32px': 'COCO_AP50 of faces above 32 pixels',
}
#: Of sets with several classes, whose other numbers are means over the classes.
CLASS_DEFINITIONS = {'COCO_AP50/CLASS': 'COCO_AP50 of one class alone'}
#: What has a meaning for several classes: means over those that are there.
OF_SEVERAL = ('VOC_AP50_area', 'COCO_AP', 'COCO_AP50', 'COCO_AP75')


class DetectionRecords:
    """Every image matched once, for the set's numbers and for those of resamples.

    Boxes to be ignored are taken out before the official and VOC's matching, together
    with the predictions that overlap them most (IoU of at least 0.5); for COCO they are
    crowd regions, as in mmdet's ``CocoMetric``.

    With several classes the numbers are means over the classes that have boxes, as in
    COCO, and those of DARK FACE (one class by definition) are left out.

    Args:
        images: all images of the set; their order decides only between equal scores.
        coco: whether to compute COCO's numbers too, which takes pycocotools and most of
            the time.
        classes: names of the classes, by label.

    Raises:
        DataError: if an image comes twice, a value is not finite, or a label is that of
            no class.
        MissingDependencyError: if pycocotools is needed and missing.
    """

    def __init__(
        self,
        images: Sequence[ImageDetections],
        coco: bool = True,
        classes: Sequence[str] = ('face',),
    ) -> None:
        self.images = list(images)
        self.ids = [image.img_id for image in images]
        self.classes = tuple(classes)
        _check(images, self.classes)
        single = len(self.classes) == 1
        self.parts = [
            ClassRecords([image.of_class(index) for image in images], coco, by_size=single)
            for index in range(len(self.classes))
        ]
        self.has_coco = coco

    @property
    def main(self) -> str:
        """The metric that decides by default."""
        return 'COCO_AP50' if self.has_coco else 'VOC_AP50_area'

    @property
    def names(self) -> list[str]:
        """Names of all metrics, see :data:`DEFINITIONS`."""
        known = list(self.parts[0].rules)
        if len(self.classes) == 1:
            return known
        means = [name for name in known if name in OF_SEVERAL]
        return means + [f'COCO_AP50/{name}' for name in self.classes if 'COCO_AP50' in known]

    def metrics(self, names: Sequence[str] | None = None) -> dict[str, float]:
        """The numbers of the whole set, by the names of :data:`DEFINITIONS`.

        NaN where there is nothing to find, in the set or in a size bin.

        Raises:
            ConfigError: if there is no such metric.
        """
        return {name: float(value[0]) for name, value in self.resampled(None, names).items()}

    def resampled(
        self, weights: np.ndarray | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """The same numbers for resamples of the images.

        Matching is done once and the official scores stay normalised over the whole
        set; 1000 resamples of 600 images take seconds.

        Args:
            weights: ``(R, N)``, how often each image counts in each resample, in the
                order of ``ids``; rows of zeros and ones choose subsets. ``None`` is the
                set itself.
            names: what to compute; ``None``: everything.

        Returns:
            Name -> ``(R,)``.

        Raises:
            ConfigError: if there is no such metric.
        """
        if weights is None:
            weights = np.ones((1, len(self.ids)))
        names = self.names if names is None else names
        unknown = set(names) - set(self.names)
        if unknown:
            raise ConfigError(
                f'there is no metric {min(unknown)!r}; known: {", ".join(self.names)}'
            )
        if len(self.classes) == 1:
            rules = self.parts[0].rules
            return {name: rules[name](weights) for name in names}
        return self._of_several(weights, names)

    def _of_several(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        wanted = dict.fromkeys(name.partition('/')[0] for name in names)
        numbers: dict[str, np.ndarray] = {}
        for metric in wanted:
            each = np.array([part.rules[metric](weights) for part in self.parts])
            known = ~np.isnan(each)
            total, count = np.where(known, each, 0).sum(axis=0), known.sum(axis=0)
            mean = np.full(len(weights), np.nan)
            numbers[metric] = np.divide(total, count, out=mean, where=count > 0)
            for name, row in zip(self.classes, each, strict=True):
                numbers[f'{metric}/{name}'] = row
        return {name: numbers[name] for name in names}

    def curve(self, points: int = 500) -> RecallPrecision:
        """Recall and precision at IoU 0.5 over falling score, matched as VOC.

        Args:
            points: about how many to keep.

        Returns:
            The curve; of several classes pooled.
        """
        return precision_recall([part.voc for part in self.parts], points)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write detections and truth to one compressed ``.npz`` file, atomically."""
        save_detections(path, self.images, self.classes)

    @classmethod
    def load(cls, path: str | os.PathLike[str], coco: bool = True) -> 'DetectionRecords':
        """Read what :meth:`save` wrote and match it anew; data, never code.

        Raises:
            DataError: if the file is missing or is something else.
        """
        images, classes = load_with_classes(path)
        return cls(images, coco, classes or ('face',))


def _check(images: Sequence[ImageDetections], classes: Sequence[str]) -> None:
    if not classes or len(set(classes)) != len(classes):
        raise DataError(f'classes must be different names, at least one; got {list(classes)}')
    seen: set[str] = set()
    for image in images:
        if image.img_id in seen:
            raise DataError(f'image {image.img_id!r} must come once, comes twice')
        seen.add(image.img_id)
        image.check()
        for labels in image.classes:
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
                raise DataError(
                    f'image {image.img_id}: labels must be 0 to {len(classes) - 1}, got '
                    f'{labels.min()} to {labels.max()}'
                )
