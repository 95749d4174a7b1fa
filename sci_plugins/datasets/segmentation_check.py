"""Checking a segmentation set before it is used: files, classes, and leaked test frames."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sci_plugins.datasets import night_layouts
from sci_plugins.datasets.check_report import CheckReport, image_digest, in_threads
from sci_plugins.datasets.night_layouts import LabelCode, Names, NightLayout, Part, find_files
from sci_plugins.errors import DataError, first_line
from sci_plugins.utils.folders import PathLike


@dataclass
class Found:
    """What a check found in one part."""

    images: dict[Path, str]  # image -> hash of its pixels, ``''`` if it cannot be decoded
    labels: int = 0  # number of readable label maps
    pixels: Counter[int] = field(default_factory=Counter)  # value -> pixels in all label maps
    in_images: Counter[int] = field(default_factory=Counter)  # value -> label maps with it


def check_segmentation(
    layout: NightLayout,
    root: PathLike,
    *,
    condition: Names | None = None,
    parts: Sequence[Part] | None = None,
    workers: int = 2,
    against: Sequence[PathLike] = (),
    content: bool = False,
) -> CheckReport:
    """Decode every image and every label map, and look for leaked test frames.

    Args:
        condition: which of the layout's conditions to check, ``None`` for the default.
        parts: what to check, instead of all splits.
        against: folders of training sets to search for this set's test frames.
        content: compare pixels as well as names.

    Raises:
        ConfigError: if there is no such condition.
        DataError: if there is nothing to check, or a folder of ``against`` has no image.
    """
    report = CheckReport(f'{layout.name} in {root}')
    parts = layout.parts(root, layout.splits, condition) if parts is None else parts
    if not (there := [part for part in parts if part.exists()]):
        places = ', '.join(str(part.folder.images) for part in parts)
        raise DataError(f'{report.name}: nothing to check, found none of {places}')
    found = {part.name: _check_part(report, layout, part, workers) for part in there}
    report.facts['images'] = sum(len(each.images) for each in found.values())
    report.facts['label maps'] = sum(each.labels for each in found.values())
    report.tables['parts'] = [_part_row(part, found.get(part.name)) for part in parts]
    for part in parts:
        if part.name not in found:
            report.note('missing part', f'{part.name}: {part.folder.images} does not exist')
        elif found[part.name].labels:
            _describe_classes(report, part, layout.code, found[part.name])
    note_overlaps(report, layout, {name: each.images for name, each in found.items()})
    tested = {part.name: found[part.name].images for part in there if part.is_test}
    own = {part.name: found[part.name].images for part in there if not part.is_test}
    find_leaks(report, layout, tested, own, against, content, workers)
    return report


def _check_part(report: CheckReport, layout: NightLayout, part: Part, workers: int) -> Found:
    if not (images := part.find_images()):
        report.add('no images', f'{part.name}: none in {part.folder.images}')
    elif part.published not in (None, len(images)):
        text = f'{part.name}: expected {part.published} images, got {len(images)}'
        report.note('other number of images', text)
    _check_pairs(report, part, images)
    found = Found(dict.fromkeys(images, ''))
    pairs = [(image, part.folder.label_of(image)) for image in images]
    looks = in_threads(_look, pairs, part.name, workers)
    for (image, label), look in zip(pairs, looks, strict=True):
        _judge(report, layout, image, label, look)
        found.images[image] = look.digest
        found.labels += bool(look.values)
        found.pixels.update(look.values)
        found.in_images.update(look.values.keys())
    return found


def _check_pairs(report: CheckReport, part: Part, images: list[Path]) -> None:
    everything = images if part.chosen is None else part.folder.find_images()
    for alone in part.folder.labels_without_image(everything):
        report.add('label map without image', f'{alone}: has no image in {part.folder.images}')
    for image in images:
        label = part.folder.label_of(image)
        if label is not None and not label.is_file():
            report.add('image without label map', f'{image}: {label} does not exist')


class _Look(NamedTuple):
    """An image and its label map, or what is wrong with either."""

    shape: tuple[int, int] | str
    digest: str
    label_shape: tuple[int, ...] | str | None = None
    values: Mapping[int, int] = {}  # value -> number of pixels, of a label map without colours


def _look(pair: tuple[Path, Path | None]) -> _Look:
    image, label = pair
    seen = image_digest(image)
    if label is None or not label.is_file():
        return _Look(*seen)
    try:
        array = load_as_mmseg(label)
    except DataError as error:
        return _Look(*seen, str(error))
    return _Look(*seen, array.shape, _histogram(array) if array.ndim == 2 else {})


def load_as_mmseg(path: PathLike) -> np.ndarray:
    """A label map as mmseg trains on it: ``(H, W)``, or ``(H, W, C)`` if it has colours.

    ``utils.images.read_label_map`` is stricter, and undoes Pillow's stretching of 2- and 4-bit grey
    levels, which mmseg does not. A DataError names a file that cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception as error:  # a decoder raises anything on a damaged file
        raise DataError(f'cannot read the label map {path}: {first_line(error)}') from error


def _histogram(array: np.ndarray) -> dict[int, int]:
    if array.dtype in (np.uint8, np.bool_):  # much faster than sorting
        return {value: n for value, n in enumerate(np.bincount(array.ravel()).tolist()) if n}
    values, counts = np.unique(array, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _judge(
    report: CheckReport, layout: NightLayout, image: Path, label: Path | None, look: _Look
) -> None:
    shape, label_shape, size = look.shape, look.label_shape, layout.size
    if isinstance(shape, str):
        report.add('unreadable image', shape)
    elif size is not None and shape != size[::-1]:
        wish = f'expected {size[0]}x{size[1]}'
        report.note('other size', f'{image}: {wish}, got {shape[1]}x{shape[0]}')
    if isinstance(label_shape, str):
        report.add('unreadable label map', label_shape)
    if not isinstance(label_shape, tuple):
        return
    if not isinstance(shape, str) and label_shape[:2] != shape:
        text = night_layouts.describe_sizes(label, label_shape, image, shape)
        report.add('sizes that differ', text)
    if len(label_shape) != 2:
        report.add('RGB-encoded label map', night_layouts.describe_colours(label, label_shape))
        return
    code = layout.code
    if unknown := {value: n for value, n in look.values.items() if value not in code.known()}:
        report.add('class out of range', f'{label}: {code.describe_unknown(unknown)}')
    elif not look.values.keys() & code.classes.keys():
        report.note('label map without any class', f'{label}: every pixel is ignored')


def _part_row(part: Part, found: Found | None) -> dict[str, Any]:
    images, labels = (len(found.images), found.labels) if found else ('-', '-')
    published = '?' if part.published is None else part.published
    return dict(part=part.name, images=images, published=published) | {'label maps': labels}


def _describe_classes(report: CheckReport, part: Part, code: LabelCode, found: Found) -> None:
    total = sum(found.pixels.values())
    names = dict(code.classes)
    for value in sorted(found.pixels):
        names.setdefault(value, 'ignored' if value in code.ignored else 'OUT OF RANGE')
    rows = report.tables[f'label values of {part.name}'] = []
    for value, name in names.items():
        pixels, percent = found.pixels[value], f'{100 * found.pixels[value] / total:.3f}'
        row = {'value': value, 'class': name, 'pixels': pixels, 'percent': percent}
        rows.append(row | {'label maps': found.in_images[value]})
    if empty := [name for value, name in code.classes.items() if value not in found.pixels]:
        report.note('class without pixels', f'{part.name}: no pixel of {", ".join(empty)}')


_SUFFIXES = '.png', '.jpg', '.jpeg'
# Folders of label maps, whose files may have the same names as the images.
_LABEL_FOLDER = re.compile(r'gt([A-Z_].*)?|labels?|lbl|masks?|.*annot')
# ACDC's daytime photograph of a place has the name of the frame but is another picture.
_BY_DAY = '_rgb_ref_anon'
_MERE_NUMBER = re.compile(r'\d{1,7}')  # any set may have a 17.png

FRAME = 'LEAKAGE: test frame in a training set'
RECORDING = 'LEAKAGE: recording of the test set in a training set'
CONTENT = 'LEAKAGE: test image in a training set, by its pixels'
OVERLAP = 'LEAKAGE: frames shared with another data set'
_Sets = Mapping[str, Collection[Path]]
_Digests = Mapping[str, Mapping[Path, str]]


def find_leaks(
    report: CheckReport,
    layout: NightLayout,
    tested: _Digests,
    own: _Sets,
    against: Sequence[PathLike] = (),
    content: bool = False,
    workers: int = 2,
) -> None:
    """Look for test images in the set's own training parts and in folders of others, ``against``.

    ``tested`` and ``own`` hold the images of each part, the first with their :func:`image_digest`,
    which is compared if ``content`` is. A DataError names a folder without images.
    """
    others = {str(root): training_images(Path(root)) for root in against}
    check_frames(report, layout, tested, own, strict=False)
    check_frames(report, layout, tested, others)
    if content:
        check_content(report, tested, {**own, **others}, workers)
    kinds = Counter(each.kind for each in report.problems)
    ours = [kind for kind in (FRAME, RECORDING, CONTENT) if kinds[kind]]
    summary = '; '.join(f'{kinds[kind]} x {kind}' for kind in ours) or 'no test frame found'
    places = ', '.join([*own, *others])
    report.facts['training images'] = f'{places}: {summary}' if places else 'none compared'


def training_images(root: Path) -> list[Path]:
    """All images below a folder (DataError for none), without label maps and daytime references."""
    images = [
        path
        for suffix in _SUFFIXES
        for path in find_files(root, suffix)
        if not any(map(_LABEL_FOLDER.fullmatch, path.relative_to(root).parts[:-1]))
        and not path.stem.endswith(_BY_DAY)
    ]
    if not images:
        raise DataError(f'{root}: found no training image (PNG or JPEG)')
    return sorted(images, key=str)


def check_frames(
    report: CheckReport, layout: NightLayout, tested: _Sets, training: _Sets, strict: bool = True
) -> None:
    """Report test frames, and recordings of the test set, among training images.

    A file that is in both is skipped, so that ``training`` may have the whole folder of a set. If
    ``strict``, any frame of a recording in the layout's ``overlaps`` is an error, not a note.
    """
    reserved = {each.recording for each in layout.overlaps} if strict else set()
    for name, images in _untested(tested, training):
        clips = _by_recording(layout, images)
        for part, tests in tested.items():
            by_name = {layout.frame_name(path): path for path in tests}
            for path in images:
                frame = layout.frame_name(path)
                if frame in by_name and not _MERE_NUMBER.fullmatch(frame):
                    report.add(FRAME, f'{path}: is the frame {frame} of {part}, {by_name[frame]}')
            test_clips = _by_recording(layout, tests)
            for clip in sorted(test_clips.keys() & clips.keys()):
                text = f'{name}: {len(clips[clip])} frames of {clip}, such as {clips[clip][0]}'
                same = f'{len(test_clips[clip])} frames of {part} are from this recording'
                report.add(RECORDING, f'{text}; {same}', is_error=clip in reserved)


def _untested(tested: _Sets, training: _Sets) -> Iterator[tuple[str, list[Path]]]:
    """Training sets without the test images themselves."""
    tests = {path.resolve() for images in tested.values() for path in images}
    for name, images in training.items():
        yield name, [path for path in images if path.resolve() not in tests]


def _by_recording(layout: NightLayout, images: Iterable[Path]) -> dict[str, list[Path]]:
    clips = defaultdict(list)
    for path in images:
        if (clip := layout.recording_of(path)) is not None:
            clips[clip].append(path)
    return clips


def check_content(report: CheckReport, tested: _Digests, training: _Sets, workers: int = 2) -> None:
    """Report training images with a test image's :func:`image_digest`, whatever their names."""
    by_digest = {
        digest: (part, path) for part, digests in tested.items() for path, digest in digests.items()
    }
    for name, images in _untested(tested, training):
        seen = in_threads(image_digest, images, name, workers)
        for path, (_, digest) in zip(images, seen, strict=True):
            if digest and digest in by_digest:
                part, test = by_digest[digest]
                report.add(CONTENT, f'{path}: is {test} of {part}')


def note_overlaps(report: CheckReport, layout: NightLayout, images: _Sets) -> None:
    """Report frames that the set is known to share with another one; ``images`` by part."""
    for part, text, recording, is_error in layout.overlaps:
        shared = list(images.get(part, ()))
        if recording:
            shared = [path for path in shared if layout.recording_of(path) == recording]
            text = f'{len(shared)} images are from {recording}, {text}'
        if shared:
            report.add(OVERLAP, f'{part}: {text}', is_error)
