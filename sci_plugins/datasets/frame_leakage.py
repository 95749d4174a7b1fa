"""Test frames in training sets: by frame, by recording, and by content."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sci_plugins.datasets.check_report import CheckReport, image_digest, in_threads
from sci_plugins.datasets.night_layouts import NightLayout, Root, find_files
from sci_plugins.errors import DataError

_SUFFIXES = '.png', '.jpg', '.jpeg'
# Folders of label maps, whose files may have the images' own names.
_LABEL_FOLDER = re.compile(r'gt([A-Z_].*)?|labels?|lbl|masks?|.*annot')
# ACDC's daytime photograph of a frame's place has the frame's name but is not the frame.
_BY_DAY = '_rgb_ref_anon'
# 17.png is the seventeenth image of any set.
_MERE_NUMBER = re.compile(r'\d{1,7}')

FRAME = 'LEAKAGE: test frame in a training set'
RECORDING = 'LEAKAGE: recording of the test set in a training set'
CONTENT = 'LEAKAGE: test image in a training set, by its pixels'
OVERLAP = 'LEAKAGE: frames shared with another data set'
_Images = Mapping[str, Sequence[Path]]


def find_leaks(
    report: CheckReport,
    layout: NightLayout,
    tested: Mapping[str, Mapping[Path, str]],
    own: _Images,
    against: Sequence[Root] = (),
    content: bool = False,
    workers: int = 2,
) -> None:
    """Look for test images in the set's own training part and in other sets.

    Args:
        report: takes the findings, and a fact that sums them up.
        layout: of the set; tells the names of frames and recordings.
        tested: part -> its images, with the :func:`image_digest` of each.
        own: training part -> its images.
        against: folders of other training sets.
        content: compare pixels as well as names.
        workers: threads that decode.

    Raises:
        DataError: if one of ``against`` has no images.
    """
    others = {str(root): training_images(Path(root)) for root in against}
    images = {part: list(digests) for part, digests in tested.items()}
    check_frames(report, layout, images, own, strict=False)
    check_frames(report, layout, images, others)
    if content:
        check_content(report, tested, {**own, **others}, workers)
    kinds = Counter(each.kind for each in report.problems)
    ours = [kind for kind in (FRAME, RECORDING, CONTENT) if kinds[kind]]
    summary = '; '.join(f'{kinds[kind]} x {kind}' for kind in ours) or 'no test frame found'
    places = ', '.join([*own, *others])
    report.facts['training images'] = f'{places}: {summary}' if places else 'none compared'


def training_images(root: Path) -> list[Path]:
    """All images below a folder, without label maps and daytime reference photographs.

    Raises:
        DataError: if there are none.
    """
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
    report: CheckReport,
    layout: NightLayout,
    tested: _Images,
    training: _Images,
    strict: bool = True,
) -> None:
    """Report test frames, and recordings of the test set, among training images.

    Args:
        report: takes the findings.
        layout: of the tested set.
        tested: part -> images on which results are measured.
        training: set (or part) -> images to train on. A file that is in both is skipped,
            so that a data set's whole folder may be given.
        strict: any frame of a recording named in the layout's ``overlaps`` is an error;
            other shared recordings are noted.
    """
    tests = {path.resolve() for images in tested.values() for path in images}
    reserved = {each.recording for each in layout.overlaps} if strict else set()
    for name, images in training.items():
        others = [path for path in images if path.resolve() not in tests]
        clips = _by_recording(layout, others)
        for part, test_images in tested.items():
            _compare_names(report, layout, part, test_images, others)
            test_clips = _by_recording(layout, test_images)
            for clip in sorted(test_clips.keys() & clips.keys()):
                text = (
                    f'{name}: {len(clips[clip])} frames of {clip}, such as {clips[clip][0]}; '
                    f'{len(test_clips[clip])} of {part} are from this recording'
                )
                report.add(RECORDING, text, is_error=clip in reserved)


def _compare_names(
    report: CheckReport,
    layout: NightLayout,
    part: str,
    tests: Iterable[Path],
    images: Iterable[Path],
) -> None:
    by_name = {layout.frame_name(path): path for path in tests}
    for path in images:
        name = layout.frame_name(path)
        if name in by_name and not _MERE_NUMBER.fullmatch(name):
            report.add(FRAME, f'{path}: is the frame {name} of {part}, {by_name[name]}')


def _by_recording(layout: NightLayout, images: Iterable[Path]) -> dict[str, list[Path]]:
    clips = defaultdict(list)
    for path in images:
        clip = layout.recording_of(path)
        if clip is not None:
            clips[clip].append(path)
    return clips


def check_content(
    report: CheckReport,
    tested: Mapping[str, Mapping[Path, str]],
    training: _Images,
    workers: int = 2,
) -> None:
    """Report training images that have a test image's pixels, whatever their names.

    Args:
        report: takes the findings.
        tested: part -> image -> its :func:`image_digest`.
        training: set -> images to train on; test images themselves are skipped.
        workers: threads that decode.
    """
    by_digest = {
        digest: (part, path) for part, digests in tested.items() for path, digest in digests.items()
    }
    tests = {path.resolve() for images in tested.values() for path in images}
    for name, images in training.items():
        others = [path for path in images if path.resolve() not in tests]
        for path, digest in zip(others, in_threads(_digest, others, name, workers), strict=True):
            if digest and digest in by_digest:
                part, test = by_digest[digest]
                report.add(CONTENT, f'{path}: is {test} of {part}')


def _digest(path: Path) -> str:
    try:
        return image_digest(path)[1]
    except (DataError, OSError):  # not an image, so not a test image
        return ''


def note_overlaps(report: CheckReport, layout: NightLayout, images: _Images) -> None:
    """Report frames that the set is known to share with another one.

    Args:
        report: takes the findings.
        layout: of the set, with its ``overlaps``.
        images: part -> its images.
    """
    for part, text, recording, is_error in layout.overlaps:
        shared = list(images.get(part, ()))
        if recording:
            shared = [path for path in shared if layout.recording_of(path) == recording]
            text = f'{len(shared)} images are from {recording}, {text}'
        if shared:
            report.add(OVERLAP, f'{part}: {text}', is_error)
