"""What ACDC and Dark Zurich have in common, told to whoever checks either."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.frame_leakage import DARK_ZURICH_VAL
from sci_plugins.datasets.recordings import recording_of

KIND = 'LEAKAGE: ACDC and Dark Zurich share frames'
_Images = Mapping[str, Sequence[Path]]


def tell_acdc_overlap(report: CheckReport, images: _Images) -> None:
    """Note what of ``images`` (part -> files of ACDC) is in Dark Zurich too.

    Frames of its validation recording in ``night/train``, where they do not belong, are
    an error.
    """
    of_val = {
        name: [each for each in some if _is_of_val(each)] for name, some in images.items()
    }
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


def _add_where_there(
    report: CheckReport, images: _Images, texts: Mapping[str, str]
) -> None:
    for part, text in texts.items():
        if images.get(part):
            report.add(KIND, text, is_error=False)


def _is_of_val(path: Path) -> bool:
    return recording_of(path) == DARK_ZURICH_VAL
