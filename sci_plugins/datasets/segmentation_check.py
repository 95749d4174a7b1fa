"""Checking the images and label maps of a segmentation set before they are used."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import FolderPair, LabelCode
from sci_plugins.errors import DataError
from sci_plugins.utils.images import read_picture


def read_label_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Numbers as stored: ``(H, W)``, with a palette its indices; ``(H, W, C)`` colours.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception as error:  # a decoder raises anything on a damaged file
        cause = str(error).strip().split('\n')[0] or type(error).__name__
        raise DataError(f'{path} cannot be read as a label map: {cause}') from error


def tell_colours(path: Any, shape: tuple[int, ...]) -> str:
    """One line for a picture of a label map in place of the label map."""
    return (
        f'{path}: is RGB-encoded ({shape[-1]} channels), a picture of the label map in '
        'colours; a label map has one channel, of class numbers'
    )


def tell_sizes(path: Any, label: tuple[int, ...], image: Any, shape: tuple[int, ...]) -> str:
    """One line for a label map and an image of different shapes ``(H, W)``."""
    return f'{path}: is {label[1]}x{label[0]}, its image {image} {shape[1]}x{shape[0]}'


@dataclass(frozen=True)
class Part:
    """A part of a data set that has a folder of its own.

    Args:
        name: such as ``'night/val'``.
        folder: where its images and label maps lie.
        published: how many images it has by its authors, ``None`` if unknown.
        is_test: whether results are measured on it.
        chosen: only the images of these names (without suffix); ``None`` takes all.
    """

    name: str
    folder: FolderPair
    published: int | None = None
    is_test: bool = False
    chosen: frozenset[str] | None = None

    def is_there(self) -> bool:
        folders = [self.folder.images, self.folder.labels]
        return any(folder is not None and folder.is_dir() for folder in folders)

    def find_images(self) -> list[Path]:
        images = self.folder.find_images()
        if self.chosen is None:
            return images
        return [image for image in images if image.stem in self.chosen]


@dataclass
class Found:
    """What a check saw of one part.

    Args:
        images: its images.
        digests: image -> hash of its pixels, where it could be decoded.
        labels: number of label maps that could be read.
        pixels: value -> number of pixels, over all label maps.
        in_images: value -> number of label maps that hold it.
    """

    images: list[Path]
    digests: dict[Path, str] = field(default_factory=dict)
    labels: int = 0
    pixels: dict[int, int] = field(default_factory=dict)
    in_images: dict[int, int] = field(default_factory=dict)


def check_segmentation(
    title: str,
    parts: Sequence[Part],
    code: LabelCode,
    size: tuple[int, int] | None = None,
    workers: int = 2,
) -> tuple[CheckReport, dict[str, Found]]:
    """Decode every image and every label map of the parts that are there.

    Args:
        title: name and folder of the data set.
        parts: what it consists of.
        code: what its label maps hold.
        size: (width, height) of every image by the authors; others are noted.
        workers: threads that decode.

    Returns:
        The report, and part's name -> what was found, of the parts that are there.

    Raises:
        DataError: if no part is there.
    """
    report = CheckReport(title)
    there = [part for part in parts if part.is_there()]
    if not there:
        places = ', '.join(str(part.folder.images) for part in parts)
        raise DataError(f'{title}: nothing to check, there is none of {places}')
    found = {part.name: _check_part(report, part, code, size, workers) for part in there}
    report.facts = dict(
        images=sum(len(each.images) for each in found.values()),
        **{'label maps': sum(each.labels for each in found.values())},
    )
    report.tables['parts'] = [_part_row(part, found.get(part.name)) for part in parts]
    for part in parts:
        if part.name not in found:
            text = f'{part.name}: there is no {part.folder.images}'
            report.add('part that is not there', text, is_error=False)
        elif found[part.name].labels:
            _describe_classes(report, part, code, found[part.name])
    return report, found


def _check_part(
    report: CheckReport, part: Part, code: LabelCode, size: tuple[int, int] | None, workers: int
) -> Found:
    found = Found(part.find_images())
    if not found.images:
        report.add('no images', f'{part.name}: none in {part.folder.images}')
    elif part.published not in (None, len(found.images)):
        text = f'{part.name}: {len(found.images)} images, published are {part.published}'
        report.add('other number of images', text, is_error=False)
    _check_pairs(report, part, found.images)
    for image, label, look in _look_at_all(part, found.images, workers):
        _judge(report, image, label, look, code, size)
        _count(found, image, look)
    return found


def _check_pairs(report: CheckReport, part: Part, images: list[Path]) -> None:
    everything = images if part.chosen is None else part.folder.find_images()
    for alone in part.folder.labels_without_image(everything):
        text = f'{alone}: has no image in {part.folder.images}'
        report.add('label map without image', text)
    for image in images:
        label = part.folder.label_of(image)
        if label is not None and not label.is_file():
            report.add('image without label map', f'{image}: there is no {label}')


@dataclass(frozen=True)
class _Look:
    """An image and its label map, or what is wrong with either."""

    shape: tuple[int, int] | str
    digest: str
    label_shape: tuple[int, ...] | str | None
    values: dict[int, int]


def _look_at_all(
    part: Part, images: list[Path], workers: int
) -> Iterator[tuple[Path, Path | None, _Look]]:
    labels = [part.folder.label_of(image) for image in images]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        looks = pool.map(_look, images, labels)
        shown = tqdm(looks, part.name, len(images), delay=2, leave=False)
        yield from zip(images, labels, shown, strict=True)


def _look(image: Path, label: Path | None) -> _Look:
    shape: tuple[int, int] | str
    digest = ''
    try:
        shape, digest = image_digest(image)
    except (DataError, OSError) as error:
        shape = str(error)
    if label is None or not label.is_file():
        return _Look(shape, digest, None, {})
    try:
        array = read_label_map(label)
    except DataError as error:
        return _Look(shape, digest, str(error), {})
    values = _histogram(array) if array.ndim == 2 else {}
    return _Look(shape, digest, array.shape, values)


def image_digest(path: Path) -> tuple[tuple[int, int], str]:
    """Shape ``(H, W)`` and hash of the decoded pixels, whatever the file's format.

    Raises:
        DataError: naming the file, if it cannot be decoded.
    """
    pixels = read_picture(path).pixels
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return (pixels.shape[0], pixels.shape[1]), f'{pixels.shape} {digest}'


def _histogram(array: np.ndarray) -> dict[int, int]:
    if array.dtype in (np.uint8, np.bool_):
        counts = np.bincount(array.ravel(), minlength=1)
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(array, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _judge(
    report: CheckReport,
    image: Path,
    label: Path | None,
    look: _Look,
    code: LabelCode,
    size: tuple[int, int] | None,
) -> None:
    """Put down what is wrong with one image and its label map."""
    shape, label_shape = look.shape, look.label_shape
    if isinstance(shape, str):
        report.add('unreadable image', shape)
    elif size is not None and shape != size[::-1]:
        text = f'{image}: is {shape[1]}x{shape[0]}, published are {size[0]}x{size[1]}'
        report.add('other size', text, is_error=False)
    if label_shape is None:
        return
    if isinstance(label_shape, str):
        report.add('unreadable label map', label_shape)
        return
    if not isinstance(shape, str) and label_shape[:2] != shape:
        report.add('sizes that differ', tell_sizes(label, label_shape, image, shape))
    if len(label_shape) != 2:
        report.add('RGB-encoded label map', tell_colours(label, label_shape))
        return
    strange = {value: n for value, n in look.values.items() if value not in code.known()}
    if strange:
        report.add('class out of range', f'{label}: {code.tell(strange)}')
    elif not look.values.keys() & code.classes.keys():
        text = f'{label}: every pixel is ignored'
        report.add('label map without any class', text, is_error=False)


def _count(found: Found, image: Path, look: _Look) -> None:
    if look.digest:
        found.digests[image] = look.digest
    if isinstance(look.label_shape, tuple) and len(look.label_shape) == 2:
        found.labels += 1
        for value, number in look.values.items():
            found.pixels[value] = found.pixels.get(value, 0) + number
            found.in_images[value] = found.in_images.get(value, 0) + 1


def _part_row(part: Part, found: Found | None) -> dict[str, Any]:
    return {
        'part': part.name,
        'images': len(found.images) if found else '-',
        'published': '?' if part.published is None else part.published,
        'label maps': found.labels if found else '-',
    }


def _describe_classes(report: CheckReport, part: Part, code: LabelCode, found: Found) -> None:
    total = sum(found.pixels.values())
    names = dict(code.classes)
    for value in sorted(found.pixels):
        unknown = 'ignored' if value in code.ignored else 'OUT OF RANGE'
        names.setdefault(value, unknown)
    report.tables[f'label values of {part.name}'] = [
        {
            'value': value,
            'class': name,
            'pixels': found.pixels.get(value, 0),
            'percent': f'{100 * found.pixels.get(value, 0) / total:.3f}',
            'label maps': found.in_images.get(value, 0),
        }
        for value, name in names.items()
    ]
    empty = [name for value, name in code.classes.items() if value not in found.pixels]
    if empty:
        text = f'{part.name}: no pixel of {", ".join(empty)}'
        report.add('class without pixels', text, is_error=False)
