"""What any framework predicted, raw and enhanced, judged as a comparison judges: no model here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from sci_plugins.apis.compare.about import files_of, software_and_machine
from sci_plugins.apis.compare.judging import Judge
from sci_plugins.apis.compare.measuring import Kept, RecordStore
from sci_plugins.apis.compare.session import OUTPUTS, write_comparison
from sci_plugins.apis.evaluate_segmentation import evaluate_segmentation
from sci_plugins.datasets.coco_check import Id, check_coco, wrong_mask
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.detection_records import DetectionRecords, ImageDetections
from sci_plugins.evaluation.instance_records import ImageMasks, InstanceRecords, box_of, code_of
from sci_plugins.evaluation.records import image_ids
from sci_plugins.functional.retinex import mean_luma
from sci_plugins.utils.files import check_outputs, write_atomically
from sci_plugins.utils.folders import PathLike, match_by_name
from sci_plugins.utils.images import IMAGE_FORMATS, read_image
from sci_plugins.utils.schema import from_content, read_json
from sci_plugins.visualization.report import Curve, render_report

_Number = Annotated[float, -1e9, 1e9]


def compare_predictions(
    truth: PathLike,
    predictions: Mapping[str, PathLike],
    *,
    work_dir: PathLike,
    images: PathLike | None = None,
    base: str | None = None,
    metric: str | None = None,
    resample: str = 'images',
    resamples: int = 1000,
    seed: int = 0,
    margin: float = 0.5,
    correction: str = 'holm',
    report: bool = True,
    **label_maps: Any,
) -> Comparison:
    """Compare predictions of the same images with paired intervals; see docs/compare.md.

    Args:
        truth: annotations in COCO's JSON, or a folder of label maps.
        predictions: name -> detections in COCO's JSON of results (a list of ``image_id``,
            ``category_id``, ``bbox`` as x, y, width, height in pixels, ``score``; a
            ``segmentation`` is judged too), or a folder of label maps.
        work_dir: gets ``comparison.json``, ``comparison.md``, ``report.html``, ``records/``.
        images: folder of the tested images, for the thirds by brightness.
        base, metric, resample, resamples, seed, margin, correction, report: as in
            :func:`sci_plugins.apis.compare.compare`; the metric is one of the records'.
        label_maps: ``num_classes`` and others of :func:`evaluate_segmentation`.

    Raises:
        ConfigError: if an option does not fit.
        DataError: naming the file, if it is damaged, or about other images or classes.
    """
    base = next(iter(predictions), '') if base is None else base
    judge = Judge(base, resample, resamples, seed, metric, margin, correction)
    if base not in predictions:
        raise ConfigError(f'base must be one of {", ".join(predictions)}, got {base!r}')
    folder = Path(work_dir)
    check_outputs(*(folder / name for name in OUTPUTS), inputs=[truth, *predictions.values()])
    read = _reader(Path(truth), label_maps)
    found = {name: read(Path(predictions[name])) for name in sorted(predictions, key=base.__ne__)}
    first = found[base]
    if metric not in (None, *first.names):
        raise ConfigError(f'there is no metric {metric!r}; there are {", ".join(first.names)}')
    judge = replace(judge, metric=metric or first.main)
    about = dict(config=Path(truth).name, weights=files_of(predictions), **software_and_machine())
    comparison = Comparison(about | judge.about(), metric=judge.metric)
    luma = _lumas(first.ids, images)
    kept = {name: Kept(records, luma) for name, records in found.items()}
    for name, each in kept.items():
        numbers = each.records.metrics([str(judge.metric)])
        result = VariantResult(name, Condition(), numbers, 0.0, len(luma))
        result = judge.with_weakness(result, each)
        if comparison.results:
            result = judge.judge(result, each, comparison.results[0], kept[base])
        comparison.replace(result)
    for name, each in kept.items():
        RecordStore(folder / 'records', comparison.about).save(Condition(), name, each)
    write_comparison(comparison, folder)
    if report:
        pairs = {name: each.curve() for name, each in found.items()}
        curves = {('as is', name): Curve(*each) for name, each in pairs.items() if each}
        write_atomically(folder / 'report.html', render_report(comparison, curves, []))
    return comparison


def _lumas(ids: Sequence[str], folder: PathLike | None) -> np.ndarray:
    """Mean luma of each image in [0, 1]; NaN without the images."""
    if folder is None:
        return np.full(len(ids), np.nan)
    files = match_by_name([f'{name}.png' for name in ids], folder, IMAGE_FORMATS).values()
    pixels = (torch.from_numpy(read_image(file) / 255.0) for file in files)
    return np.array([float(mean_luma(each.permute(2, 0, 1)[None])) for each in pixels])


def _reader(truth: Path, label_maps: Mapping[str, Any]) -> Any:
    """Reads one file or folder of predictions as records."""
    if not truth.is_dir():
        if label_maps:
            raise ConfigError(f'{next(iter(label_maps))} is for folders, and {truth} is none')
        return _CocoTruth(truth).records_of
    if label_maps.get('num_classes') is None:
        raise ConfigError(f'{truth}: label maps need the number of classes (--num-classes)')
    return lambda folder: evaluate_segmentation(folder, truth, strict=False, **label_maps).records


@dataclass(frozen=True, slots=True)
class _Found:
    """One detection of a result file."""

    image_id: Id
    category_id: Id
    score: _Number
    bbox: tuple[_Number, _Number, _Number, _Number] | None = None
    segmentation: Any = None


class _CocoTruth:
    """Images and boxes of an annotation file; empty boxes do not count, crowds are ignored."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f'{path}: there is no such file or folder of ground truth')
        check_coco(path)
        content = read_json(path)
        self.path = path
        self.labels = {each['id']: label for label, each in enumerate(content['categories'])}
        self.classes = [str(each['name']) for each in content['categories']]
        images = {each['id']: each['file_name'] for each in content['images']}
        self.ids = dict(zip(images, image_ids(list(images.values())), strict=True))
        self.sizes = {each['id']: [each['height'], each['width']] for each in content['images']}
        self.boxes: dict[Id, list[Any]] = {key: [] for key in images}
        for each in content.get('annotations', []):
            if min(each['bbox'][2:]) > 0 and each['image_id'] in images:
                self.boxes[each['image_id']].append(each)

    def records_of(self, path: Path) -> DetectionRecords:
        """The detections of a result file."""
        if not path.is_file():
            raise DataError(f'{path}: there is no such file of detections')
        found: dict[Id, list[_Found]] = {key: [] for key in self.ids}
        for index, each in enumerate(from_content(list[_Found], read_json(path), path)):
            for name, known in (('image_id', self.ids), ('category_id', self.labels)):
                if (value := getattr(each, name)) not in known:
                    raise DataError(f'{path}: [{index}].{name}: {value!r} is not in {self.path}')
            problem = wrong_mask(each.segmentation, self.sizes[each.image_id])
            if problem and (each.bbox is None or each.segmentation is not None):
                raise DataError(f'{path}: [{index}].segmentation{problem}')
            found[each.image_id].append(each)
        if not any(each.segmentation for of_image in found.values() for each in of_image):
            images = [self._image(*each) for each in found.items()]
            return DetectionRecords(images, classes=self.classes)
        check_coco(self.path, masks=True)
        masks = [self._masks(key, each, path) for key, each in found.items()]
        return InstanceRecords([self._image(*each) for each in found.items()], masks, self.classes)

    def _masks(self, key: Id, found: list[_Found], path: Path) -> ImageMasks:
        """Also a box for each mask that has none."""
        if any(each.segmentation is None for each in found):
            raise DataError(f'{path}: expected masks of all detections of image {key}, or of none')
        codes = [code_of(each.segmentation, *self.sizes[key]) for each in found]
        for place, (each, code) in enumerate(zip(found, codes, strict=True)):
            found[place] = replace(each, bbox=each.bbox or box_of(code))
        true = [code_of(each['segmentation'], *self.sizes[key]) for each in self.boxes[key]]
        return ImageMasks(np.array([each.score for each in found], float), codes, true)

    def _image(self, key: Id, found: list[_Found]) -> ImageDetections:
        boxes = self.boxes[key]
        rows = np.array([[*(each.bbox or ()), each.score] for each in found]).reshape(-1, 5)
        true = np.array([each['bbox'] for each in boxes], float).reshape(-1, 4)
        for corners in (rows, true):
            corners[:, 2:4] += corners[:, :2]
        crowds = np.array([bool(each.get('iscrowd')) for each in boxes], bool)
        labels = np.array([self.labels[each.category_id] for each in found], np.int64)
        true_labels = np.array([self.labels[each['category_id']] for each in boxes], np.int64)
        return ImageDetections(self.ids[key], rows, true, crowds, labels, true_labels)
