"""Checking a folder of DARK FACE before anything is trained on it."""

import hashlib
import math
import statistics
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from sci_plugins.datasets import darkface
from sci_plugins.datasets.check_report import CheckReport, image_digest, in_threads
from sci_plugins.datasets.text_labels import Box
from sci_plugins.errors import DataError
from sci_plugins.utils.folders import PathLike

Size = tuple[int, int]
Ids = Collection[str]
IMAGE_SIZE = 1080, 720
# The official data may contain these; results then differ, but nothing breaks.
_HARMLESS = darkface.OVERHANGING, darkface.DOUBLED


def check_darkface(
    root: PathLike, *, split: str | None = None, size: Size = IMAGE_SIZE, workers: int = 2
) -> CheckReport:
    """Look at every image and every label below ``image/`` and ``label/``, or of one split.

    ``size`` is the expected (width, height) of every image.

    Raises:
        ConfigError: if there is no such split.
        DataError: if one of the two folders is missing or there is nothing to check.
    """
    wanted = dict.fromkeys(darkface.split_ids(split)) if split else None  # in order
    root = Path(root)
    report = CheckReport(f'DARK FACE in {root}')
    images = _files(report, root / 'image', '.png', wanted)
    labels = _files(report, root / 'label', '.txt', wanted)
    _check_pairs(report, root, images, labels, wanted or ())
    sizes = _check_images(report, images, size, workers)
    boxes = _check_labels(report, labels, sizes)
    report.facts = dict(images=len(images), labels=len(labels), **_describe(boxes))
    version, name = 'unknown: these images are not a known split', darkface.recognise_split(boxes)
    if name is not None:
        version = darkface.annotation_version(report.facts['faces'], name)
    report.facts['annotation version'] = version
    if version == darkface.UNKNOWN:
        text = 'the number of faces fits no version: do not compare with published numbers'
        report.note('unknown annotations', text)
    there = set(images) & set(boxes)
    report.tables['splits'] = [_split_row(name, there, boxes) for name in darkface.SPLITS]
    if wanted is None and len(images) != darkface.IMAGES:
        report.note('incomplete set', f'expected {darkface.IMAGES} images, got {len(images)}')
    return report


def _files(report: CheckReport, folder: Path, suffix: str, wanted: Ids | None) -> dict[str, Path]:
    """Id -> file, for all ids or the wanted ones; other kinds of files become a note."""
    if not folder.is_dir():
        raise DataError(f'DARK FACE: folder {folder} does not exist')
    found, note = darkface.files_by_id(folder, suffix)
    if note:
        report.note('other files', f'{folder}: {note}')
    paths = {name: path for name, path in found.items() if wanted is None or name in wanted}
    if not paths:
        raise DataError(f'DARK FACE: no {suffix} file to check in {folder}')
    return paths


def _check_pairs(report: CheckReport, root: Path, images: Ids, labels: Ids, wanted: Ids) -> None:
    image, label = 'image/{}.png'.format, 'label/{}.txt'.format
    for name in (each for each in wanted if each not in images):
        report.add('missing image', f'{image(name)} is in the split but does not exist')
    for name in (each for each in images if each not in labels):
        report.add('image without label', f'{root}/{image(name)}: {label(name)} does not exist')
    for name in (each for each in labels if each not in images):
        report.add('label without image', f'{root}/{label(name)}: {image(name)} does not exist')


def _check_images(
    report: CheckReport, images: Mapping[str, Path], size: Size, workers: int
) -> dict[str, Size]:
    """Sizes of the images that can be decoded."""
    sizes: dict[str, Size] = {}
    seen: dict[str, Path] = {}
    looks = in_threads(image_digest, list(images.values()), 'images', workers)
    for (name, path), (shape, content) in zip(images.items(), looks, strict=True):
        if isinstance(shape, str):
            report.add('unreadable image', shape)
            continue
        sizes[name] = width, height = shape[1], shape[0]
        if sizes[name] != size:
            report.add('wrong size', f'{path}: expected {size[0]}x{size[1]}, got {width}x{height}')
        if (twin := seen.setdefault(content, path)) is not path:
            report.note('identical images', f'{path}: same pixels as {twin}')
    return sizes


def _check_labels(
    report: CheckReport, labels: Mapping[str, Path], sizes: Mapping[str, Size]
) -> dict[str, list[Box]]:
    boxes = {}
    for name, path in labels.items():
        try:
            numbered = darkface.read_numbered_boxes(path)
        except DataError as error:
            report.add('unreadable label', str(error))
            continue
        for kind, text in darkface.strange_boxes(path, numbered, sizes.get(name)):
            report.add(kind, text, is_error=kind not in _HARMLESS)
        boxes[name] = [box for _, box in numbered]
    return boxes


def _describe(boxes: Mapping[str, list[Box]]) -> dict[str, Any]:
    corners = chain.from_iterable(boxes.values())
    sides = [math.sqrt(max(0, x2 - x1) * max(0, y2 - y1)) for x1, y1, x2, y2 in corners]
    lines = (f'{name} {sorted(boxes[name])}' for name in sorted(boxes))
    digest = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
    return {
        'faces': len(sides),
        'images without faces': sum(not some for some in boxes.values()),
        'most faces in an image': max(map(len, boxes.values()), default=0),
        'median sqrt(area) in pixels': round(statistics.median(sides or [0]), 2),
        'faces below 16 pixels': sum(side < 16 for side in sides),
        'faces from 16 to 32 pixels': sum(16 <= side <= 32 for side in sides),
        'faces above 32 pixels': sum(side > 32 for side in sides),
        'sha256 of the labels': digest[:16],
    }


def _split_row(name: str, there: set[str], boxes: Mapping[str, list[Box]]) -> dict:
    ids = darkface.split_ids(name)
    found = [each for each in ids if each in there]
    faces = sum(len(boxes[each]) for each in found)
    digest = darkface.ids_sha256(ids)[:16]
    row = dict(split=name, images=f'{len(found)}/{len(ids)}', faces=faces)
    return dict(row, faces_2019=darkface.find_split(name).faces_2019, ids_sha256=digest)
