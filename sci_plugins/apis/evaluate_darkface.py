"""Evaluate a folder of DARK FACE submission files, whichever tool wrote them."""

import json
import math
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sci_plugins.datasets import darkface
from sci_plugins.errors import DataError
from sci_plugins.evaluation.comparison import finite_or_none
from sci_plugins.evaluation.detection_records import DarkFaceRecords, ImageDetections
from sci_plugins.evaluation.metrics.darkface import COLUMNS, name_for_host, read_predictions
from sci_plugins.registry import require_host
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import read_image_size
from sci_plugins.version import __version__
from sci_plugins.visualization.report.cells import count, first_few

#: The evaluator's metric -> what the number is.
DEFINITIONS = name_for_host(DarkFaceRecords.definitions)
#: How many remarks the warnings show; the JSON file has all.
_SHOWN = 5


@dataclass
class SubmissionResult:
    """The numbers of a submission, and all irregularities of its files."""

    numbers: dict[str, float]  # ``darkface/AP``, ...: fractions in [0, 1]; NaN without ground truth
    images: int  # how many were evaluated
    faces: int
    predictions: int
    split: str | None  # name of the split with exactly these images, if there is one
    annotation_version: str  # ``'2019'``, ``'2021'`` or ``'unknown'``
    ids_sha256: str  # hash of the evaluated images' ids
    missing: list[str]  # ids without a prediction file, evaluated as images without detections
    protocol: dict[str, str]  # what another result must share to be compared with this one
    extra: list[str] = field(default_factory=list)  # prediction files whose image is not evaluated
    remarks: list[str] = field(default_factory=list)  # sentences, each naming a file

    def to_json(self) -> str:
        definitions = {f'darkface/{name}': text for name, text in DEFINITIONS.items()}
        about = asdict(self) | dict(definitions=definitions, sci_plugins=__version__)
        numbers: dict[str, Any] = finite_or_none(about.pop('numbers'))
        about |= {f'{name}_predictions': about.pop(name) for name in ('missing', 'extra')}
        return json.dumps(numbers | about, indent=2) + '\n'

    def to_text(self) -> str:
        about = f'split {self.split}' if self.split else 'no known split'
        faces = f'{self.faces} faces (annotation version: {self.annotation_version})'
        lines = [f'{self.images} images ({about}), {faces}, {self.predictions} predictions']
        for name, text in DEFINITIONS.items():
            if (value := self.numbers.get(f'darkface/{name}')) is not None:
                shown = 'none' if math.isnan(value) else f'{value:.4f}'
                start = f'darkface/{name:<22} {shown:>6}  '
                lines += textwrap.wrap(start + text, 88, subsequent_indent=' ' * len(start))
        return '\n'.join(lines)

    def warnings(self) -> list[str]:
        """What the user must know before quoting the numbers."""
        lines = []
        if self.missing:
            bare = f'{len(self.missing)} of {self.images} images have no prediction file'
            told = f'{bare} and count as images without detections'
            lines.append(f'{told}: {first_few(self.missing)}')
        if self.extra:
            ignored = count(len(self.extra), 'prediction file')
            lines.append(f'ignored {ignored} of other images: {first_few(self.extra)}')
        more = len(self.remarks) - _SHOWN
        rest = [f'and {count(more, "more remark")}'] if more > 0 else []
        return [*lines, *self.remarks[:_SHOWN], *rest]


def evaluate_submission(
    pred_dir: PathLike,
    gt_dir: PathLike,
    *,
    split: str | None = None,
    strict: bool = False,
    coco: bool = True,
) -> SubmissionResult:
    """Evaluate official submission files, ``ID.txt`` with lines ``x1 y1 x2 y2 score``.

    Args:
        gt_dir: DARK FACE's folder with ``label/`` (and ``image/``) in it, or a folder of label
            files. If there are images, boxes are checked against their size.
        split: evaluate only its images; ``None``: all labels of the folder.
        strict: raise instead of remarking on missing and extra files, labels without image, and
            boxes that are empty, inverted, duplicate or outside the image.
        coco: also compute COCO's metrics and AP by face size.

    Raises:
        ConfigError: if there is no such split.
        DataError: naming file and line of what is missing or damaged; if ``strict``, a remark.
        MissingDependencyError: if ``coco`` and pycocotools is not installed.
    """
    if coco:
        require_host('COCO AP (--no-coco leaves it out)', 'pycocotools', 'det')
    labels, pictures = _find_labels(Path(gt_dir))
    found, _ = darkface.files_by_id(pred_dir, '.txt', ignore_case=True)
    ids = darkface.split_ids(split) if split else list(darkface.files_by_id(labels, '.txt')[0])
    if not ids:
        raise DataError(f'{labels}: no label file (ID.txt)')
    missing = [name for name in ids if name not in found]
    if len(missing) == len(ids):
        raise DataError(f'{pred_dir}: no ID.txt for any of the {len(ids)} images')
    extra = [str(found[name]) for name in sorted(set(found).difference(ids))]
    remarks, images = [] if split else _unpaired(labels, pictures), []
    for name in ids:
        image, odd = _read_image(name, labels, pictures, found.get(name))
        images.append(image)
        remarks += odd
    remarks += _look_like_widths(images)
    if strict and missing:
        path = Path(pred_dir) / f'{missing[0]}.txt'
        raise DataError(f'{path}: no such prediction file ({len(missing)} missing; --strict)')
    if strict and extra:
        raise DataError(f'{extra[0]}: belongs to no evaluated image ({len(extra)} such; --strict)')
    if strict and remarks:
        raise DataError(f'{remarks[0]} ({len(remarks)} remarks; --strict)')
    records, faces = DarkFaceRecords(images, coco), sum(len(image.boxes) for image in images)
    split = split or darkface.recognise_split(ids)
    version = darkface.find_version(labels, faces, split) or darkface.UNKNOWN
    known = dict(data_set='DARK FACE', rule='sci_plugins.DarkFaceMetric')
    known |= dict(split=split or darkface.UNKNOWN, annotation_version=version)
    numbers = name_for_host(records.metrics())
    return SubmissionResult(
        numbers={f'darkface/{key}': value for key, value in numbers.items()},
        images=len(images),
        faces=faces,
        predictions=sum(len(image.predictions) for image in images),
        split=split,
        annotation_version=version,
        ids_sha256=darkface.ids_sha256(ids),
        missing=missing,
        protocol=known | records.protocol(),
        extra=extra,
        remarks=remarks,
    )


def _find_labels(folder: Path) -> tuple[Path, Path | None]:
    """The folder of the labels, and that of the images if there is one."""
    if not folder.is_dir():
        raise DataError(f'{folder}: no such folder')
    labels, pictures = folder / 'label', folder / 'image'
    if not labels.is_dir():
        return folder, None
    return labels, pictures if pictures.is_dir() else None


def _unpaired(labels: Path, pictures: Path | None) -> list[str]:
    """Remarks on labels without image, which are evaluated, and the reverse, which are not."""
    if pictures is None:
        return []
    with_label = darkface.files_by_id(labels, '.txt')[0]
    with_image = darkface.files_by_id(pictures, '.png')[0]
    alone = [f'{with_label[n]}: label without image' for n in with_label if n not in with_image]
    bare = [with_image[name] for name in with_image if name not in with_label]
    return alone + [f'{path}: image without label, not evaluated' for path in bare]


def _read_image(
    name: str, labels: Path, pictures: Path | None, found: Path | None
) -> tuple[ImageDetections, list[str]]:
    label, size = labels / f'{name}.txt', None
    numbered = darkface.read_numbered_boxes(label)
    if pictures:
        with suppress(DataError):  # the evaluation does not need the image
            size = read_image_size(pictures / f'{name}.png')
    remarks = [text for _, text in darkface.strange_boxes(label, numbered, size)]
    predictions = np.zeros((0, 5))
    if found is not None:
        predictions, odd = read_predictions(found)
        remarks += odd
    boxes = np.array([box for _, box in numbered], np.float64).reshape(-1, 4)
    return ImageDetections(name, predictions, boxes), remarks


def _look_like_widths(images: Sequence[ImageDetections]) -> list[str]:
    rows = np.concatenate([np.zeros((0, 5)), *(image.predictions for image in images)])
    inverted = ((rows[:, 2] < rows[:, 0]) | (rows[:, 3] < rows[:, 1])).sum()
    if 2 * inverted <= len(rows):
        return []
    wish = f'the files should hold {COLUMNS}, not x y width height'
    return [f'{inverted} of {len(rows)} predicted boxes are inverted: {wish}']
