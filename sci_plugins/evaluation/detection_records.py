"""Detections and ground truth image by image, files of them, and every number from them."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.evaluation.records import ImageRecords, ImageSet, RunInfo, check_ids, mean_of_known
from sci_plugins.functional import detection_ap
from sci_plugins.functional.coco_matching import MAX_DETECTIONS, match_coco, match_coco_by_size
from sci_plugins.functional.detection_ap import RankedDetections, RecallPrecision, pairwise_iou
from sci_plugins.registry import RECORDS
from sci_plugins.utils.files import reading_arrays

#: A base with less average precision hardly finds anything.
WEAK_AP = 0.1
#: Size bins by ``sqrt(width * height)``: smallest and largest area.
SIZE_BINS = {
    'below_16px': (0.0, np.nextafter(16.0**2, 0)),
    '16_to_32px': (16.0**2, 32.0**2),
    'above_32px': (np.nextafter(32.0**2, np.inf), np.inf),
}
Rule = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ImageDetections:
    """Predictions and ground truth of one image, in pixels of the original."""

    img_id: str  # name of the image
    predictions: np.ndarray  # ``(P, 5)``, ``x1 y1 x2 y2 score``, in any order
    boxes: np.ndarray  # ``(G, 4)``, ground truth ``x1 y1 x2 y2``
    #: ``(G,)``, bool: boxes that need not be found. DARK FACE has none.
    ignore: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    #: ``(P,)``, class of each prediction; empty: all have class 0
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    #: ``(G,)``, class of each box; empty: all have class 0
    true_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def flags(self) -> np.ndarray:
        """``ignore`` as bool, with a flag for every box."""
        # Zeros and ones would choose rows by number, and ~1 is -2.
        return _filled(self.ignore, len(self.boxes)).astype(bool)

    @property
    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Classes of the predictions and of the boxes."""
        counts = len(self.predictions), len(self.boxes)
        return _filled(self.labels, counts[0]), _filled(self.true_labels, counts[1])

    def of_class(self, index: int) -> 'ImageDetections':
        """Predictions and boxes of one class."""
        found, there = (labels == index for labels in self.classes)
        rows = self.predictions[found], self.boxes[there], self.flags[there]
        return ImageDetections(self.img_id, *rows)

    def without_ignored(self) -> 'ImageDetections':
        """Without ignored boxes and the predictions that overlap them most (IoU 0.5)."""
        ignore, predictions = self.flags, self.predictions
        if not ignore.any():
            return self
        if len(predictions):
            iou = pairwise_iou(predictions[:, :4], self.boxes)
            predictions = predictions[~((iou.max(axis=1) >= 0.5) & ignore[iou.argmax(axis=1)])]
        return ImageDetections(self.img_id, predictions, self.boxes[~ignore])

    def check(self) -> None:
        """Raise DataError, naming image and argument, if an array is wrong."""
        for name, columns in (('predictions', 5), ('boxes', 4)):
            array = getattr(self, name)
            if array.ndim != 2 or array.shape[1] != columns:
                raise self.wrong(name, f'have the shape (n, {columns})', array.shape)
            if not np.isfinite(array).all():
                raise self.wrong(name, 'be finite', 'NaN or infinity')
        labels, true_labels = self.classes
        for name, array in dict(ignore=self.flags, labels=labels, true_labels=true_labels).items():
            count = len(self.predictions if name == 'labels' else self.boxes)
            if array.shape != (count,):
                raise self.wrong(name, f'have the shape ({count},)', array.shape)
            if array.dtype.kind not in 'biu':
                raise self.wrong(name, 'hold whole numbers', array.dtype)

    def wrong(self, name: str, wish: str, got: object) -> DataError:
        """The error about one of the arrays."""
        return DataError(f'image {self.img_id}: {name} must {wish}, got {got}')


Images = Sequence[ImageDetections]


def images_to_arrays(images: Images, classes: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Images, each checked, as arrays for a file, without their names."""
    for image in images:
        image.check()
    labels = [image.classes for image in images]
    return dict(
        found=np.array([len(image.predictions) for image in images], dtype=int),
        predictions=_join([image.predictions for image in images], (0, 5)),
        there=np.array([len(image.boxes) for image in images], dtype=int),
        boxes=_join([image.boxes for image in images], (0, 4)),
        ignore=_join([image.flags for image in images], (0,), bool),
        labels=_join([each[0] for each in labels], (0,), np.int64),
        true_labels=_join([each[1] for each in labels], (0,), np.int64),
        classes=np.array(list(classes), dtype=str),
    )


def images_from_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[list[ImageDetections], list[str]]:
    """The images from such arrays and ``ids``, and the classes; ValueError if they do not fit."""
    ids, found, there = (arrays[name] for name in ('ids', 'found', 'there'))
    if not len(ids) == len(found) == len(there):
        raise ValueError(f'expected {len(ids)} counts, got {len(found)} and {len(there)}')
    counts = dict(predictions=found, boxes=there, ignore=there, labels=found, true_labels=there)
    parts = [_split(arrays[name], each) for name, each in counts.items()]
    images = [ImageDetections(*row) for row in zip(ids.tolist(), *parts, strict=True)]
    for image in images:
        image.check()
    return images, arrays['classes'].tolist()


def load_detections(path: str | os.PathLike[str]) -> list[ImageDetections]:
    """The images in a file of :class:`DetectionRecords`; DataError if it is no such file."""
    with reading_arrays(path, 'detections') as content:
        return images_from_arrays(content)[0]


def as_rows(values: Any, columns: int) -> np.ndarray:
    """An array or tensor as ``(n, columns)``, float64."""
    if hasattr(values, 'detach'):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64).reshape(-1, columns)


def _join(arrays: Sequence[np.ndarray], empty: tuple[int, ...], dtype: type = float) -> np.ndarray:
    return np.concatenate([np.zeros(empty, dtype), *arrays])


def _split(rows: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """The rows of each image."""
    if (counts < 0).any() or counts.sum() != len(rows):
        raise ValueError(f'expected {counts.sum()} rows, got {len(rows)}')
    return np.split(rows, np.cumsum(counts)[:-1]) if len(counts) else []


def _filled(labels: np.ndarray, count: int) -> np.ndarray:
    return labels if len(labels) else np.zeros(count, np.int64)


class ClassRecords:
    """Images of one class, matched by VOC's rule, by COCO's if ``coco``, and its ``by_size``."""

    def __init__(self, images: Images, coco: bool = True, by_size: bool = True) -> None:
        clear = [image.without_ignored() for image in images]
        self.voc = detection_ap.rank(
            [image.predictions[:, 4] for image in clear],
            [detection_ap.match_voc(image.predictions, image.boxes) for image in clear],
            [len(image.boxes) for image in clear],
        )
        arrays = [(image.predictions, image.boxes, image.flags) for image in images]
        self.coco = match_coco(arrays) if coco else []
        self.masks: list[RankedDetections] = []  # where there are any
        self.coco_by_size = match_coco_by_size(arrays, SIZE_BINS) if coco and by_size else {}

    @property
    def rules(self) -> dict[str, Rule]:
        """Metric -> function from weights ``(R, N)`` to the numbers ``(R,)``."""
        rules: dict[str, Rule] = {
            'VOC_AP50_area': partial(detection_ap.area_ap, self.voc),
            'recall_at_1_FPPI': partial(detection_ap.recall_at_fppi, self.voc, 1.0),
        }
        for start, matches in (('COCO_', self.coco), ('COCO_mask_', self.masks)):
            rules |= _coco_rules(start, matches) if matches else {}
        for name, ranked in self.coco_by_size.items():
            rules[f'COCO_AP50_{name}'] = partial(detection_ap.coco_ap, ranked)
        return rules


def _coco_rules(start: str, matches: Sequence[RankedDetections]) -> dict[str, Rule]:
    def recall(rows: np.ndarray) -> np.ndarray:
        return np.mean([detection_ap.full_recall(each, rows) for each in matches], axis=0)

    return {
        f'{start}AP': lambda rows: detection_ap.coco_aps(matches, rows).mean(axis=0),
        f'{start}AP50': partial(detection_ap.coco_ap, matches[0]),
        f'{start}AP75': partial(detection_ap.coco_ap, matches[5]),  # 0.5 + 5 x 0.05
        f'{start}AR': recall,
    }


@RECORDS.register_module()
class DetectionRecords(ImageRecords):
    """Every image matched once, for the numbers of the set and of resamples.

    VOC's matching leaves out ignored boxes and the predictions that overlap them most (IoU of at
    least 0.5); COCO treats them as crowd regions, as mmdet's ``CocoMetric`` does.

    With several classes the numbers are means over the classes that have boxes, as in COCO, without
    numbers by size. All are fractions in [0, 1].

    Args:
        images: all images of the set; their order decides only between equal scores.
        coco: also compute COCO's numbers, which needs pycocotools and most of the time.
        classes: names of the classes, by label.

    Raises:
        DataError: if an image is a duplicate, a value is not finite, or a label has no class.
        MissingDependencyError: if pycocotools is needed and not installed.
    """

    definitions: ClassVar[Mapping[str, str]] = {
        'VOC_AP50_area': 'VOC from 2010 on, as in mmdet: IoU 0.5, area below the envelope',
        'recall_at_1_FPPI': 'largest recall at a score threshold with at most 1 false positive per '
        'image on average (for each class), matched as in VOC',
        'COCO_AP': 'pycocotools: IoU 0.5 to 0.95, 101 recalls, 100 detections per image',
        'COCO_AP50': 'the same at IoU 0.5 alone',
        'COCO_AP75': 'the same at IoU 0.75 alone',
        'COCO_AR': 'recall of 100 detections per image, mean over IoU 0.5 to 0.95',
        'COCO_AP50_below_16px': 'COCO_AP50 of boxes with sqrt(width * height) < 16 pixels',
        'COCO_AP50_16_to_32px': 'COCO_AP50 of boxes from 16 to 32 pixels, both included',
        'COCO_AP50_above_32px': 'COCO_AP50 of boxes above 32 pixels',
        'COCO_AP50/CLASS': 'COCO_AP50 of one class alone',
    }
    fractions: ClassVar[Collection[str]] = (*definitions,)
    host_names: ClassVar[Mapping[str, str]] = dict(
        bbox_mAP='COCO_AP', bbox_mAP_50='COCO_AP50', bbox_mAP_75='COCO_AP75'
    )

    def __init__(
        self, images: Images, coco: bool = True, classes: Sequence[str] = ('object',)
    ) -> None:
        self.images = list(images)
        self.ids = [image.img_id for image in images]
        self.classes = tuple(classes)
        if not classes or len(set(classes)) != len(classes):
            raise DataError(f'classes must be different names, at least one; got {list(classes)}')
        check_ids(self.ids)
        for image in images:
            image.check()
            for labels in image.classes:
                if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
                    got = f'{labels.min()} to {labels.max()}'
                    raise image.wrong('labels', f'be 0 to {len(classes) - 1}', got)
        of_classes = ([image.of_class(place) for image in images] for place in range(len(classes)))
        self.parts = [ClassRecords(each, coco, by_size=self._single) for each in of_classes]
        self.has_coco = coco

    @classmethod
    def accepts(cls, output: Any, run: RunInfo) -> bool:
        return hasattr(getattr(output, 'pred_instances', None), 'bboxes') and run.images.has_boxes

    @classmethod
    def keep(cls, output: Any, run: RunInfo) -> tuple[np.ndarray, np.ndarray]:
        """Boxes with scores ``(P, 5)``, in pixels of the original, and labels ``(P,)``."""
        found = output.pred_instances
        boxes = as_rows(getattr(found.bboxes, 'tensor', found.bboxes), 4)
        rows = np.concatenate([boxes, as_rows(found.scores, 1)], axis=1)
        return rows, as_rows(found.labels, 1)[:, 0].astype(np.int64)

    @classmethod
    def collect(cls, kept: Sequence[tuple[np.ndarray, ...]], run: RunInfo) -> 'DetectionRecords':
        images = []
        for index, (rows, labels) in enumerate(kept):
            boxes, true_labels, ignore = run.images.truth(index)
            name = run.images.ids[index]
            images.append(ImageDetections(name, rows, boxes, ignore, labels, true_labels))
        return cls(images, _has_coco(), run.images.classes or ('object',))

    @property
    def main(self) -> str:
        return 'COCO_AP50' if self.has_coco else 'VOC_AP50_area'

    @property
    def names(self) -> list[str]:
        classes = self.classes if self.has_coco and not self._single else ()
        return [*self.parts[0].rules, *(f'COCO_AP50/{name}' for name in classes)]

    @classmethod
    def define(cls, names: Iterable[str]) -> dict[str, str]:
        found = super().define(names)
        if 'COCO_AP50/CLASS' in found:
            means = [name for name in found if '/' not in name]
            found[', '.join(means)] = 'means over the classes that are in the images'
        return found

    def compute(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        numbers: dict[str, np.ndarray] = {}
        for metric in dict.fromkeys(name.partition('/')[0] for name in names):
            each = np.array([part.rules[metric](weights) for part in self.parts])
            numbers[metric] = mean_of_known(each, axis=0)
            numbers |= {f'{metric}/{n}': row for n, row in zip(self.classes, each, strict=True)}
        return numbers

    def truth(self) -> bytes:
        parts = ((image.boxes, image.classes[1], image.flags) for image in self.images)
        return b''.join(part.tobytes() for of_image in parts for part in of_image)

    def constant(self) -> str:
        found = {(image.predictions.tobytes(), image.labels.tobytes()) for image in self.images}
        if len(found) > 1 or len(self.images) < 2:
            return ''
        return 'the same boxes' if len(self.images[0].predictions) else 'no box at all'

    def weakness(self, metric: str) -> str:
        value = self.metrics([metric])[metric] if 'AP' in metric else 1.0
        return f'{metric} is {100 * value:.1f}, below 10' if value < WEAK_AP else ''

    def why_hosts_differ(self, run: RunInfo) -> str:
        found = next((each for each in run.metrics if getattr(each, '_coco_api', None)), None)
        most = max((len(image.predictions) for image in self.images), default=0)
        return '' if found is None else '; '.join(_coco_reasons(found, run.images, most))

    def curve(self) -> RecallPrecision:
        """Recall and precision at IoU 0.5, matched as in VOC; several classes are pooled."""
        return detection_ap.pooled_curve([part.voc for part in self.parts])

    def arrays(self) -> dict[str, np.ndarray]:
        return images_to_arrays(self.images, self.classes)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'DetectionRecords':
        """Matched again, by COCO's rules too if pycocotools is installed."""
        images, classes = images_from_arrays(arrays)
        return cls(images, _has_coco(), *[classes] * bool(classes))

    @property
    def _single(self) -> bool:
        return len(self.classes) == 1


def _coco_reasons(metric: Any, images: ImageSet, most: int) -> Iterator[str]:
    """Why mmdet's ``CocoMetric`` and the records may differ, given its annotation file."""
    wanted, tested = set(metric.cat_ids), {info.get('img_id') for info in images.infos}
    boxes = [a for a in metric._coco_api.dataset['annotations'] if a['category_id'] in wanted]
    if any(each['id'] == 0 for each in boxes):
        yield (
            'an annotation has id 0, which pycocotools takes for "no match", so a detection of its '
            "box counts as an error; the records' number is right"
        )
    if absent := set(metric.img_ids) - tested:
        yield (
            f'the evaluator counts objects of images that were not tested ({len(absent)}); the '
            "records' number is right for those that were"
        )
    counted = sum(each['image_id'] in tested for each in boxes)
    left_out = counted - sum(len(info.get('instances') or []) for info in images.infos)
    if left_out > 0:
        yield (
            f'the data set leaves out {left_out} of {counted} boxes (empty, thinner than a pixel, '
            'outside the image or marked ignore), which the evaluator counts as objects; its '
            "number is COCO's for this file, the records' number is right for the other boxes"
        )
    if most > MAX_DETECTIONS:
        yield (
            f'mmdet uses more than {MAX_DETECTIONS} detections per image for AP50 and AP75; the '
            "records' number is COCO's"
        )


@RECORDS.register_module()
class DarkFaceRecords(DetectionRecords):
    """The same for DARK FACE's images, with the official number.

    Used if the data set is DARK FACE or the evaluator has ``DarkFaceMetric``. Ignored
    boxes are left out as for VOC; DARK FACE has none.
    """

    definitions: ClassVar[Mapping[str, str]] = {
        'DARKFACE_AP': "DARK FACE's official protocol: IoU 0.5, scores normalised over the set, "
        '1000 thresholds, inclusive pixels, no cost for false positives on images without faces',
        **{name: t for name, t in DetectionRecords.definitions.items() if '/' not in name},
    }
    fractions: ClassVar[Collection[str]] = ('DARKFACE_AP', *DetectionRecords.fractions)
    host_names: ClassVar[Mapping[str, str]] = {**DetectionRecords.host_names, 'AP': 'DARKFACE_AP'}

    def __init__(
        self, images: Images, coco: bool = True, classes: Sequence[str] = ('face',)
    ) -> None:
        super().__init__(images, coco, classes)
        clear = [image.without_ignored() for image in images]
        self.official = detection_ap.count_official(
            [image.predictions for image in clear], [image.boxes for image in clear]
        )

    @classmethod
    def accepts(cls, output: Any, run: RunInfo) -> bool:
        of_set = run.images.metainfo.get('dataset_name') == 'DARK FACE'
        by_metric = any(type(metric).__name__ == 'DarkFaceMetric' for metric in run.metrics)
        single = len(run.images.classes) <= 1
        return (of_set or by_metric) and single and super().accepts(output, run)

    @property
    def names(self) -> list[str]:
        return ['DARKFACE_AP', *super().names]

    def compute(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """As in the base; the official scores stay normalised over the whole set."""
        numbers = super().compute(weights, [name for name in names if name != 'DARKFACE_AP'])
        if 'DARKFACE_AP' in names:
            numbers['DARKFACE_AP'] = detection_ap.resampled_official_ap(self.official, weights)
        return numbers


def _has_coco() -> bool:
    return find_spec('pycocotools') is not None
