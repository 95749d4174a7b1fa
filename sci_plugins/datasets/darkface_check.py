"""Checking a folder of DARK FACE before anything is trained on it."""

import hashlib
import math
import os
import statistics
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.darkface import (
    DOUBLED,
    IMAGES,
    OVERHANGING,
    SPLITS,
    UNKNOWN,
    Box,
    annotation_version,
    find_split,
    id_order,
    ids_sha256,
    read_numbered_boxes,
    recognise_split,
    split_ids,
    strange_boxes,
)
from sci_plugins.errors import DataError
from sci_plugins.utils.images import read_picture

IMAGE_SIZE = 1080, 720
# The official data could hold these; results then differ, but nothing breaks.
_HARMLESS = OVERHANGING, DOUBLED


def check_darkface(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    size: tuple[int, int] = IMAGE_SIZE,
    workers: int = 2,
) -> CheckReport:
    """Look at every image and every label below ``image/`` and ``label/``.

    Args:
        root: the data set's folder.
        split: check only this one's images; each must be there.
        size: (width, height) that every image should have.
        workers: threads that decode images.

    Raises:
        ConfigError: if there is no such split.
        DataError: if one of the two folders is missing or there is nothing to check.
    """
    wanted = split_ids(split) if split else None
    root = Path(root)
    pictures = _files(root / 'image', '.png', wanted)
    labels = _files(root / 'label', '.txt', wanted)
    report = CheckReport(f'DARK FACE in {root}')
    _name_others(report, root / 'image', '.png')
    _name_others(report, root / 'label', '.txt')
    _check_pairs(report, pictures, labels, wanted)
    sizes = _check_pictures(report, pictures, size, workers)
    boxes = _check_labels(report, labels, sizes)
    report.facts = dict(images=len(pictures), labels=len(labels), **_describe(boxes))
    report.facts['annotation version'] = version = _version(boxes)
    if version == UNKNOWN:
        text = 'as many faces as neither version has: published numbers do not compare'
        report.add('unknown annotations', text, is_error=False)
    report.tables['splits'] = [
        _split_row(name, set(pictures) & set(boxes), boxes) for name in SPLITS
    ]
    if wanted is None and len(pictures) != IMAGES:
        text = f'{len(pictures)} of {IMAGES} images are there'
        report.add('incomplete set', text, is_error=False)
    return report


def _files(folder: Path, suffix: str, wanted: list[str] | None) -> dict[str, Path]:
    """Id -> file, of all files or those that are wanted."""
    if not folder.is_dir():
        raise DataError(f'DARK FACE: there is no folder {folder}')
    paths = {path.stem: path for path in folder.iterdir() if path.suffix == suffix}
    if wanted is not None:
        paths = {name: paths[name] for name in wanted if name in paths}
    if not paths:
        raise DataError(f'DARK FACE: no {suffix} file to check in {folder}')
    return dict(sorted(paths.items(), key=lambda item: id_order(item[0])))


def _name_others(report: CheckReport, folder: Path, suffix: str) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix != suffix:
            report.add('other file', f'{path}: is not read', is_error=False)


def _check_pairs(
    report: CheckReport,
    pictures: Mapping[str, Path],
    labels: Mapping[str, Path],
    wanted: list[str] | None,
) -> None:
    for name in wanted or ():
        if name not in pictures:
            report.add('missing image', f'image/{name}.png is in the split, not there')
    for name, path in pictures.items():
        if name not in labels:
            report.add('image without label', f'{path}: there is no label/{name}.txt')
    for name, path in labels.items():
        if name not in pictures:
            report.add('label without image', f'{path}: there is no image/{name}.png')


def _check_pictures(
    report: CheckReport, pictures: Mapping[str, Path], size: tuple[int, int], workers: int
) -> dict[str, tuple[int, int]]:
    """Sizes of the images that can be decoded."""
    sizes: dict[str, tuple[int, int]] = {}
    seen: dict[str, Path] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        looks = pool.map(_look, pictures.values())
        shown = tqdm(looks, 'images', len(pictures), delay=2, leave=False)
        for (name, path), look in zip(pictures.items(), shown, strict=True):
            if isinstance(look, str):
                report.add('unreadable image', look)
                continue
            sizes[name], content = look
            if sizes[name] != size:
                text = '{}: is {}x{}, should be {}x{}'.format(path, *sizes[name], *size)
                report.add('wrong size', text)
            twin = seen.setdefault(content, path)
            if twin is not path:
                report.add('identical images', f'{path}: same file as {twin}', False)
    return sizes


def _look(path: Path) -> tuple[tuple[int, int], str] | str:
    """Size and hash of an image, or what is wrong with it."""
    try:
        height, width = read_picture(path).pixels.shape[:2]
        return (width, height), hashlib.sha256(path.read_bytes()).hexdigest()
    except (DataError, OSError) as error:
        return str(error)


def _check_labels(
    report: CheckReport, labels: Mapping[str, Path], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, list[Box]]:
    boxes = {}
    for name, path in labels.items():
        try:
            numbered = read_numbered_boxes(path)
        except DataError as error:
            report.add('unreadable label', str(error))
            continue
        for kind, text in strange_boxes(path, numbered, sizes.get(name)):
            report.add(kind, text, is_error=kind not in _HARMLESS)
        boxes[name] = [box for _, box in numbered]
    return boxes


def _describe(boxes: Mapping[str, list[Box]]) -> dict[str, Any]:
    sides = [
        math.sqrt(max(0, x2 - x1) * max(0, y2 - y1))
        for some in boxes.values()
        for x1, y1, x2, y2 in some
    ]
    return {
        'faces': len(sides),
        'images without faces': sum(not some for some in boxes.values()),
        'most faces in an image': max(map(len, boxes.values()), default=0),
        'median sqrt(area) in pixels': round(statistics.median(sides or [0]), 2),
        'faces below 16 pixels': sum(side < 16 for side in sides),
        'faces from 16 to 32 pixels': sum(16 <= side <= 32 for side in sides),
        'faces above 32 pixels': sum(side > 32 for side in sides),
        'sha256 of the labels': _labels_sha256(boxes)[:16],
    }


def _labels_sha256(boxes: Mapping[str, Iterable[Box]]) -> str:
    lines = (f'{name} {sorted(boxes[name])}' for name in sorted(boxes))
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def _version(boxes: Mapping[str, list[Box]]) -> str:
    name = recognise_split(boxes)
    if name is None:
        return 'cannot be told: these labels are no known split'
    return annotation_version(sum(map(len, boxes.values())), name)


def _split_row(name: str, there: set[str], boxes: Mapping[str, list[Box]]) -> dict:
    ids = split_ids(name)
    found = [each for each in ids if each in there]
    faces = sum(len(boxes[each]) for each in found)
    return dict(
        split=name,
        images=f'{len(found)}/{len(ids)}',
        faces=faces,
        faces_2019=find_split(name).faces_2019,
        ids_sha256=ids_sha256(ids)[:16],
    )
