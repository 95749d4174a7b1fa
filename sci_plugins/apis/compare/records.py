"""From the results of a run to records, and to files of them."""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sci_plugins.apis.compare.about import ImageSet, identity_of
from sci_plugins.engine.hooks import ImageResult
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.detection_records import DetectionRecords, ImageDetections
from sci_plugins.evaluation.segmentation_records import SegmentationRecords, choose_classes
from sci_plugins.utils.files import reading_arrays, replacing

#: Members of a file of records that are ours, beside those of the records.
_LUMA, _STAMP = 'mean_luma', 'made_with'


@dataclass(frozen=True)
class Kept:
    """What is kept of one contender under one condition.

    Args:
        records: image by image.
        luma: mean luma of the images, in [0, 1], in the order of ``records.ids``.
    """

    records: Any
    luma: np.ndarray

    @property
    def brightness(self) -> dict[str, float] | None:
        """Name -> mean luma; ``None`` if an image has none."""
        if not np.isfinite(self.luma).all():
            return None
        return dict(zip(self.records.ids, self.luma.tolist(), strict=True))


def make_records(
    results: Sequence[ImageResult], images: ImageSet, metrics: Iterable[Any] = ()
) -> Kept | str:
    """Join what was found with what is there.

    Args:
        results: of a run, in the order of the set.
        images: the set.
        metrics: of the run's evaluator; one that counts a subset of the classes says so
            for the records too.

    Returns:
        The records; or, in words, why there can be none.
    """
    reason = _missing(results, images)
    if reason:
        return reason
    luma = np.array([result.luma for result in results])
    if results[0].boxes is None:
        matrices = [each.matrix for each in results if each.matrix is not None]
        subset, left_out = _subset(metrics, images.classes)
        records = SegmentationRecords(images.ids, matrices, images.classes, subset, left_out)
        return Kept(records, luma)
    return Kept(_detection_records(results, images), luma)


class RecordStore:
    """Records in files, ``CONDITION/VARIANT.npz`` below a folder.

    Args:
        folder: where they are.
        about: what the comparison is made with; a file that was made with something
            else is refused.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = about

    def path(self, condition: Condition, variant: str) -> Path:
        return self.folder / condition.slug / f'{file_slug(variant)}.npz'

    def save(self, condition: Condition, variant: str, kept: Kept) -> None:
        with replacing(self.path(condition, variant)) as beside:
            kept.records.save(beside)
            with zipfile.ZipFile(beside, 'a', zipfile.ZIP_DEFLATED) as file:
                for name, value in (
                    (_LUMA, kept.luma),
                    (_STAMP, np.array(self._stamp(condition, variant))),
                ):
                    with file.open(f'{name}.npy', 'w') as member:
                        np.lib.format.write_array(member, value, allow_pickle=False)

    def load(self, condition: Condition, variant: str) -> Kept:
        """Read records back.

        Raises:
            DataError: if the file is missing or damaged.
            ConfigError: if it was made with something else.
        """
        path = self.path(condition, variant)
        with reading_arrays(path, 'records; leave out --resume') as content:
            stamp, luma = str(content[_STAMP]), content[_LUMA]
            is_map = 'matrices' in content
        if stamp != self._stamp(condition, variant):
            raise ConfigError(
                f'{path} was made with another config, checkpoint, enhancer or version; '
                'choose another --work-dir or leave out --resume'
            )
        if is_map:
            return Kept(SegmentationRecords.load(path), luma)
        return Kept(DetectionRecords.load(path, _has_coco()), luma)

    def _stamp(self, condition: Condition, variant: str) -> str:
        made_with = [
            identity_of(self.about),
            self.about.get('weights', {}).get(variant),
            condition.to_dict(),
            variant,
        ]
        return hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()


def file_slug(name: str) -> str:
    """A name that any file system takes; no two names give the same one."""
    slug = re.sub(r'[^A-Za-z0-9_.=-]+', '-', name).strip('-.')[:80]
    if slug == name:
        return slug
    return f'{slug}-{hashlib.sha256(name.encode()).hexdigest()[:6]}'


def _missing(results: Sequence[ImageResult], images: ImageSet) -> str:
    """Why there can be no records; empty if there can."""
    if not images.infos:
        return 'the data set does not tell its images one by one'
    if [result.index for result in results] != list(range(len(images))):
        return f'{len(results)} of {len(images)} images were tested'
    for result in results:
        if result.path and result.path != images.paths[result.index]:
            return 'the images do not come in the order that their sampler tells'
    if results[0].boxes is None:
        if all(result.matrix is not None for result in results):
            return ''
        return 'the model gives neither boxes nor label maps with a truth beside them'
    return '' if images.has_boxes else 'the images have no boxes to find'


def _subset(metrics: Iterable[Any], classes: Sequence[str]) -> tuple[Sequence[str] | None, bool]:
    for metric in metrics:
        if hasattr(metric, 'ignore_left_out'):
            return choose_classes(metric.classes, tuple(classes)), metric.ignore_left_out
    return None, False


def _detection_records(results: Sequence[ImageResult], images: ImageSet) -> DetectionRecords:
    found = [_detections(result, images) for result in results]
    return DetectionRecords(found, _has_coco(), images.classes or ('object',))


def _detections(result: ImageResult, images: ImageSet) -> ImageDetections:
    boxes, true_labels, ignore = images.truth(result.index)
    found: Any = result.boxes, result.labels
    return ImageDetections(images.ids[result.index], found[0], boxes, ignore, found[1], true_labels)


def _has_coco() -> bool:
    return find_spec('pycocotools') is not None
