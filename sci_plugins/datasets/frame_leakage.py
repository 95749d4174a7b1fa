"""Test frames in training sets: by frame, by recording, and by content."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import find_files, frame_name, recording_of
from sci_plugins.datasets.segmentation_check import Found, Part, image_digest
from sci_plugins.errors import DataError

#: The recording of which Dark Zurich's 50 validation frames are.
DARK_ZURICH_VAL = 'GOPR0356'
_SUFFIXES = '.png', '.jpg', '.jpeg'
# Folders whose files are label maps, which may have the images' own names.
_LABEL_FOLDER = re.compile(r'gt([A-Z_].*)?|labels?|lbl|masks?|.*annot')
# ACDC's photograph by day of a frame's place: the frame's name, not the frame.
_BY_DAY = '_rgb_ref_anon'
# 17.png is somebody's seventeenth image, whichever it may be.
_MERE_NUMBER = re.compile(r'\d{1,7}')

FRAME = 'LEAKAGE: test frame in a training set'
RECORDING = 'LEAKAGE: recording of the test set in a training set'
CONTENT = 'LEAKAGE: test image in a training set, by its pixels'


def find_leaks(
    report: CheckReport,
    parts: Sequence[Part],
    found: Mapping[str, Found],
    against: Sequence[str | os.PathLike[str]] = (),
    content: bool = False,
    workers: int = 2,
) -> None:
    """Look for test images in the set's own training part and in other sets.

    Args:
        report: takes the findings, and a fact that sums them up.
        parts: the set's parts.
        found: part's name -> what was found there.
        against: folders of other training sets.
        content: compare pixels as well as names.
        workers: threads that decode.

    Raises:
        DataError: if one of ``against`` has no images.
    """
    tests = [part.name for part in parts if part.is_test and part.name in found]
    trains = [part.name for part in parts if not part.is_test and part.name in found]
    tested = {name: found[name].images for name in tests}
    own = {name: found[name].images for name in trains}
    others = {str(root): training_images(Path(root)) for root in against}
    check_frames(report, tested, own, strict=False)
    check_frames(report, tested, others)
    if content:
        digests = {name: found[name].digests for name in tests}
        check_content(report, digests, {**own, **others}, workers)
    kinds = Counter(each.kind for each in report.problems)
    ours = [kind for kind in (FRAME, RECORDING, CONTENT) if kinds[kind]]
    told = '; '.join(f'{kinds[kind]} x {kind}' for kind in ours) or 'no test frame there'
    places = ', '.join([*own, *others])
    report.facts['training images'] = f'{places}: {told}' if places else 'none compared'


def training_images(root: Path) -> list[Path]:
    """All images below a folder that are no label maps and no reference photographs.

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
        raise DataError(f'{root}: there is no training image (PNG or JPEG) below it')
    return sorted(images, key=str)


def check_frames(
    report: CheckReport,
    tested: Mapping[str, Sequence[Path]],
    training: Mapping[str, Sequence[Path]],
    strict: bool = True,
) -> None:
    """Put down test frames, and recordings of the test set, among training images.

    Args:
        report: takes the findings.
        tested: part -> images on which results are measured.
        training: set (or part) -> images to train on. A file that is in both is passed
            over: a whole data set's folder may be named.
        strict: a frame of Dark Zurich's validation recording is an error whatever its
            number; other shared recordings are noted.
    """
    tests = {path.resolve() for images in tested.values() for path in images}
    for name, images in training.items():
        others = [path for path in images if path.resolve() not in tests]
        for part, test_images in tested.items():
            _compare_names(report, part, test_images, others)
            _compare_recordings(report, part, test_images, name, others, strict)


def _compare_names(
    report: CheckReport, part: str, tests: Iterable[Path], images: Iterable[Path]
) -> None:
    by_name = {frame_name(path): path for path in tests}
    for path in images:
        name = frame_name(path)
        if name in by_name and not _MERE_NUMBER.fullmatch(name):
            report.add(FRAME, f'{path}: is the frame {name} of {part}, {by_name[name]}')


def _compare_recordings(
    report: CheckReport,
    part: str,
    tests: Iterable[Path],
    name: str,
    images: Iterable[Path],
    strict: bool,
) -> None:
    test_clips, clips = _by_recording(tests), _by_recording(images)
    for clip in sorted(test_clips.keys() & clips.keys()):
        text = (
            f'{name}: {len(clips[clip])} frames of {clip}, such as {clips[clip][0]}; '
            f'{len(test_clips[clip])} of {part} are of this recording'
        )
        report.add(RECORDING, text, is_error=strict and clip == DARK_ZURICH_VAL)


def _by_recording(images: Iterable[Path]) -> dict[str, list[Path]]:
    clips = defaultdict(list)
    for path in images:
        clip = recording_of(path)
        if clip is not None:
            clips[clip].append(path)
    return clips


def check_content(
    report: CheckReport,
    tested: Mapping[str, Mapping[Path, str]],
    training: Mapping[str, Sequence[Path]],
    workers: int = 2,
) -> None:
    """Put down training images that have a test image's pixels, whatever their names.

    Args:
        report: takes the findings.
        tested: part -> image -> its :func:`image_digest`.
        training: set -> images to train on; test images themselves are passed over.
        workers: threads that decode.
    """
    by_digest = {
        digest: (part, path) for part, digests in tested.items() for path, digest in digests.items()
    }
    own = {path.resolve() for _, path in by_digest.values()}
    for name, images in training.items():
        others = [path for path in images if path.resolve() not in own]
        with ThreadPoolExecutor(max(1, workers)) as pool:
            digests = tqdm(pool.map(_digest, others), name, len(others), delay=2, leave=False)
            for path, digest in zip(others, digests, strict=True):
                if digest in by_digest:
                    part, test = by_digest[digest]
                    report.add(CONTENT, f'{path}: is {test} of {part}')


def _digest(path: Path) -> str:
    try:
        return image_digest(path)[1]
    except (DataError, OSError):  # no image, so no test image
        return ''


KIND = 'LEAKAGE: ACDC and Dark Zurich share frames'
_Images = Mapping[str, Sequence[Path]]


def tell_acdc_overlap(report: CheckReport, images: _Images) -> None:
    """Note what of ``images`` (part -> files of ACDC) is in Dark Zurich too.

    Frames of its validation recording in ``night/train``, where they do not belong, are
    an error.
    """
    of_val = {name: [each for each in some if _is_of_val(each)] for name, some in images.items()}
    if of_val.get('night/val'):
        text = (
            f'night/val: {len(of_val["night/val"])} images are of {DARK_ZURICH_VAL}, the '
            'recording of all 50 of Dark Zurich val, which are among these: a model '
            'trained or chosen on one of the two is not to be tested on the other'
        )
        report.add(KIND, text, is_error=False)
    if of_val.get('night/train'):
        text = (
            f'night/train: {len(of_val["night/train"])} images are of {DARK_ZURICH_VAL}, '
            f'the recording of Dark Zurich val, such as {of_val["night/train"][0]}'
        )
        report.add(KIND, text)
    texts = {
        'night/test': "night/test: Dark Zurich's 151 test images are among its 500",
        'night/train': 'night/train: 296 of its 400 are in Dark Zurich train, unlabelled',
    }
    _add_where_there(report, images, texts)


def tell_dark_zurich_overlap(report: CheckReport, images: _Images) -> None:
    """Note what of ``images`` (part -> files of Dark Zurich) is in ACDC too."""
    texts = {
        'val/night': f'val/night: all 50 are in ACDC night val, recording '
        f'{DARK_ZURICH_VAL}: a model trained or chosen on one of the two is not to be '
        'tested on the other',
        'test/night': 'test/night: all 151 are in ACDC night test',
        'train/night': 'train/night: 296 of the 400 images of ACDC night train are here',
    }
    _add_where_there(report, images, texts)


def _add_where_there(report: CheckReport, images: _Images, texts: Mapping[str, str]) -> None:
    for part, text in texts.items():
        if images.get(part):
            report.add(KIND, text, is_error=False)


def _is_of_val(path: Path) -> bool:
    return recording_of(path) == DARK_ZURICH_VAL
