"""Detections of one class kept image by image, and every number made from them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.evaluation.detection_records_coco import match_coco, match_coco_by_size
from sci_plugins.functional.box_overlap import pairwise_iou
from sci_plugins.functional.darkface_ap import (
    OfficialCounts,
    count_official,
    resampled_official_ap,
)
from sci_plugins.functional.detection_ap import (
    RankedDetections,
    area_ap,
    coco_ap,
    match_voc,
    rank,
    recall_at_fppi,
)
from sci_plugins.utils.files import replacing

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
    'COCO_AP50_below_16px': 'COCO_AP50 of faces with sqrt(width * height) < 16 pixels',
    'COCO_AP50_16_to_32px': 'COCO_AP50 of faces from 16 to 32 pixels, both included',
    'COCO_AP50_above_32px': 'COCO_AP50 of faces above 32 pixels',
}
#: Size bins by ``sqrt(width * height)``: the smallest area, the first one above.
SIZE_BINS = {
    'below_16px': (0.0, np.nextafter(16.0**2, 0)),
    '16_to_32px': (16.0**2, 32.0**2),
    'above_32px': (np.nextafter(32.0**2, np.inf), np.inf),
}


@dataclass(frozen=True)
class ImageDetections:
    """What was found in one image, and what is there; in pixels of the original.

    Args:
        img_id: names the image.
        predictions: ``(P, 5)``, ``x1 y1 x2 y2 score``, in any order.
        boxes: ``(G, 4)``, ``x1 y1 x2 y2``.
        ignore: ``(G,)``, bool: boxes that need not be found. DARK FACE has none.
    """

    img_id: str
    predictions: np.ndarray
    boxes: np.ndarray
    ignore: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


class DetectionRecords:
    """Every image matched once, for the set's numbers and for those of resamples.

    Boxes to be ignored are taken out before the official and VOC's matching, together
    with the predictions that overlap them most (IoU of at least 0.5); for COCO they are
    crowd regions, as in mmdet's ``CocoMetric``.

    Args:
        images: all images of the set; their order decides only between equal scores.
        coco: whether to compute COCO's numbers too, which takes pycocotools and most of
            the time.

    Raises:
        DataError: if an image comes twice or a value is not finite.
        MissingDependencyError: if pycocotools is needed and missing.
    """

    def __init__(self, images: Sequence[ImageDetections], coco: bool = True) -> None:
        _check_unique(images)
        self.ids = [image.img_id for image in images]
        clear = [_without_ignored(image) for image in images]
        self.official: OfficialCounts = count_official(
            [image.predictions for image in clear], [image.boxes for image in clear]
        )
        self.voc: RankedDetections = rank(
            [image.predictions[:, 4] for image in clear],
            [match_voc(image.predictions, image.boxes) for image in clear],
            [len(image.boxes) for image in clear],
        )
        self.coco: list[RankedDetections] = []
        self.coco_by_size: dict[str, RankedDetections] = {}
        if coco:
            arrays = [
                (image.predictions, image.boxes, _ignore(image)) for image in images
            ]
            self.coco = match_coco(arrays)
            self.coco_by_size = match_coco_by_size(arrays, SIZE_BINS)

    def metrics(self) -> dict[str, float]:
        """The numbers of the whole set, by the names of :data:`DEFINITIONS`.

        NaN where there is nothing to find, in the set or in a size bin.
        """
        return {name: float(value[0]) for name, value in self.resampled().items()}

    def resampled(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The same numbers for resamples of the images.

        Matching is done once and the official scores stay normalised over the whole
        set; 1000 resamples of 600 images take seconds.

        Args:
            weights: ``(R, N)``, how often each image counts in each resample, in the
                order of ``ids``; rows of zeros and ones choose subsets. ``None`` is the
                set itself.

        Returns:
            Name -> ``(R,)``.
        """
        if weights is None:
            weights = np.ones((1, len(self.ids)))
        numbers = {
            'AP': resampled_official_ap(self.official, weights),
            'VOC_AP50_area': area_ap(self.voc, weights),
            'recall_at_1_FPPI': recall_at_fppi(self.voc, 1.0, weights),
        }
        if self.coco:
            each = np.stack([coco_ap(ranked, weights) for ranked in self.coco])
            numbers |= {'COCO_AP': each.mean(axis=0), 'COCO_AP50': each[0]}
            for name, ranked in self.coco_by_size.items():
                numbers[f'COCO_AP50_{name}'] = coco_ap(ranked, weights)
        return numbers


def save_detections(
    path: str | os.PathLike[str], images: Sequence[ImageDetections]
) -> None:
    """Write detections and truth to one compressed ``.npz`` file, atomically."""
    with replacing(path) as beside, beside.open('wb') as file:
        np.savez_compressed(
            file,
            ids=np.array([image.img_id for image in images], dtype=str),
            found=np.array([len(image.predictions) for image in images], dtype=int),
            predictions=np.concatenate(
                [np.zeros((0, 5)), *(image.predictions for image in images)]
            ),
            there=np.array([len(image.boxes) for image in images], dtype=int),
            boxes=np.concatenate([np.zeros((0, 4)), *(image.boxes for image in images)]),
            ignore=np.concatenate([np.zeros(0, bool), *map(_ignore, images)]),
        )


def load_detections(path: str | os.PathLike[str]) -> list[ImageDetections]:
    """Read what :func:`save_detections` wrote; the file is data, never code.

    Raises:
        DataError: if the file is missing or is something else.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            found = np.cumsum(content['found'])[:-1]
            there = np.cumsum(content['there'])[:-1]
            columns = (
                content['ids'].tolist(),
                np.split(content['predictions'], found),
                np.split(content['boxes'], there),
                np.split(content['ignore'], there),
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f'{path}: is not a file of detections ({error})') from error
    return [ImageDetections(*values) for values in zip(*columns, strict=False)]


def _check_unique(images: Sequence[ImageDetections]) -> None:
    seen: set[str] = set()
    for image in images:
        if image.img_id in seen:
            raise DataError(f'image {image.img_id!r} must come once, comes twice')
        seen.add(image.img_id)


def _ignore(image: ImageDetections) -> np.ndarray:
    return image.ignore if len(image.ignore) else np.zeros(len(image.boxes), bool)


def _without_ignored(image: ImageDetections) -> ImageDetections:
    ignore = _ignore(image)
    if not ignore.any():
        return image
    predictions = image.predictions
    if len(predictions):
        iou = pairwise_iou(predictions[:, :4], image.boxes)
        best = iou.argmax(axis=1)
        good = iou[np.arange(len(predictions)), best] >= 0.5
        predictions = predictions[~(good & ignore[best])]
    return ImageDetections(image.img_id, predictions, image.boxes[~ignore])
