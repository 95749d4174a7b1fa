"""DARK FACE's metric for MMEngine, and its submission: ``ID.txt`` with a line per prediction."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from sci_plugins.datasets.darkface import id_order
from sci_plugins.datasets.text_labels import line_error, parse_numbers
from sci_plugins.errors import ConfigError, shorten
from sci_plugins.evaluation.detection_records import DarkFaceRecords, ImageDetections, as_rows
from sci_plugins.registry import METRICS, require_host
from sci_plugins.utils.files import MARK, check_outputs, read_numbered_lines, write_atomically
from sci_plugins.version import __version__

_MARK_FILE = '.written_by_sci_plugins'

_Value = TypeVar('_Value')
COLUMNS = 'x1 y1 x2 y2 score'


def write_submission(folder: str | os.PathLike[str], images: Iterable[ImageDetections]) -> None:
    """Write one file per image, with all digits of the numbers; files of other images stay.

    Raises:
        OSError: if the folder cannot be made or written.
    """
    # The files cannot hold a mark, so the folder gets one.
    write_atomically(Path(folder) / _MARK_FILE, f'{MARK} {__version__}\n')
    for image in images:
        rows = sorted(image.predictions.tolist(), key=lambda row: -row[4])
        lines = [' '.join(map(repr, row)) + '\n' for row in rows]
        write_atomically(Path(folder) / f'{image.img_id}.txt', ''.join(lines))


def read_predictions(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[str]]:
    """Predictions ``(P, 5)`` of one file, ``x1 y1 x2 y2 score``, and a sentence per inverted box.

    Blank lines and Windows line ends are fine. An inverted box stays: the official tool counts it
    as a false positive.

    Raises:
        DataError: naming file and line, if the file is missing or not text, or a line does not have
            five finite numbers.
    """
    rows, remarks = [], []
    for number, text in read_numbered_lines(Path(path), 'prediction file'):
        row = parse_numbers(text.split())
        if len(row) != 5:
            raise line_error(path, number, f'five finite numbers {COLUMNS}', repr(text))
        if row[2] < row[0] or row[3] < row[1]:
            remarks.append(f'{path}, line {number}: inverted box {shorten(text)!r} ({COLUMNS})')
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 5), remarks


@METRICS.register_module()
class DarkFaceMetric(BaseMetric):
    """Average precision of one class by four definitions, from one pass.

    ``darkface/AP`` is the number of the data set's own tool, the records' ``DARKFACE_AP``; for the
    other keys see ``DarkFaceRecords.definitions``. All are fractions in [0, 1], of boxes in pixels
    of the original; NaN where there is nothing to find. ``darkface/annotation_version`` is the year
    of the annotations, NaN if the data set does not recognise it. After the evaluation ``records``
    holds every image's matches (on the main process).

    Args:
        coco: also compute COCO's numbers and those by face size; takes pycocotools.
        submission_dir: folder for the official submission files, ``ID.txt``.
        detections_file: ``.npz`` file for detections and ground truth, to compare later.

    Raises:
        MissingDependencyError: if ``coco`` needs pycocotools and it is not installed.
        ConfigError: if there are several classes, or ``'instances'`` and ``'img_id'`` not packed.
        DataError: if an image is a duplicate or a prediction is not finite.
    """

    default_prefix = 'darkface'

    def __init__(
        self,
        coco: bool = True,
        submission_dir: str | None = None,
        detections_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if coco:
            require_host('DarkFaceMetric(coco=True)', 'pycocotools', 'det')
        self.coco, self.submission_dir, self.detections_file = coco, submission_dir, detections_file
        self.records: DarkFaceRecords | None = None
        check_outputs(detections_file)
        # DARK FACE's labels are called `ID.txt` too, and must not be overwritten.
        folder = None if submission_dir is None else Path(submission_dir)
        if folder and any(folder.glob('*.txt')) and not (folder / _MARK_FILE).is_file():
            told = 'holds text files that were not written by this package: choose an empty folder'
            raise ConfigError(f'submission_dir {folder} {told}')

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        self.results.extend(map(_to_record, data_samples))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The numbers of the set; also writes the files that were asked for."""
        about: Mapping[str, Any] = self.dataset_meta or {}
        if len(about.get('classes', ('face',))) != 1:
            raise ConfigError(f'DarkFaceMetric evaluates one class, got {about["classes"]}')
        # The order decides between ties: it must not depend on which process had which image.
        images = sorted(results, key=lambda image: id_order(image.img_id))
        self.records = DarkFaceRecords(images, self.coco)
        if self.submission_dir is not None:
            write_submission(self.submission_dir, images)
        if self.detections_file is not None:
            self.records.save(self.detections_file)
        told = [f'{len(images)} images, {sum(len(image.boxes) for image in images)} faces']
        numbers = name_for_host(self.records.metrics())
        if 'annotation_version' in about:
            version = str(about['annotation_version'])
            told.append(f'annotation version: {version}')
            numbers['annotation_version'] = float(version) if version.isdecimal() else math.nan
        told += [f'split: {about["split"]}'] if about.get('split') else []
        print_log(', '.join(told), logger='current')
        return numbers


def _to_record(sample: dict) -> ImageDetections:
    for key in ('img_id', 'instances'):
        if key not in sample:
            raise ConfigError(f'DarkFaceMetric needs {key!r} among the meta_keys of PackDetInputs')
    name, found = str(sample['img_id']), sample['pred_instances']
    if (label := max(found['labels'].tolist(), default=0)) > 0:
        got = f'the model predicts label {label} in image {name}'
        raise ConfigError(f'DarkFaceMetric evaluates one class, {got}')
    predictions = np.concatenate([as_rows(found['bboxes'], 4), as_rows(found['scores'], 1)], axis=1)
    boxes = as_rows([face['bbox'] for face in sample['instances']], 4)
    ignore = np.array([face['ignore_flag'] for face in sample['instances']], bool)
    record = ImageDetections(name, predictions, boxes, ignore)
    record.check()
    return record


def name_for_host(metrics: Mapping[str, _Value]) -> dict[str, _Value]:
    """Metrics of the records by the evaluator's names (without ``darkface/``)."""
    return {'AP' if name == 'DARKFACE_AP' else name: value for name, value in metrics.items()}
