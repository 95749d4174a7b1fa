"""Which recording a video frame belongs to, by its file name."""

import re
from pathlib import Path

# GOPR0356_frame_000324: ACDC and Dark Zurich.
_NUMBERED = re.compile(r'(?P<clip>.+)_frame_\d+')
# 0016E5_08370, 0006R0_f02670, Seq05VD_f00000: CamVid.
_CAMVID = re.compile(r'(?P<clip>(\d{4}|Seq\d\d)[A-Z][A-Z0-9])_f?\d+')
#: Ends that say what a file is, not what it shows. Not `_rgb_ref_anon`: the photograph
#: by day that goes with a frame has the frame's name and is another picture.
_KINDS = ('_rgb_anon', '_leftImg8bit')


def frame_name(path: str | Path) -> str:
    """What a frame is called in every data set that has it: ``REC_frame_NUMBER``."""
    name = Path(path).stem
    for kind in _KINDS:
        name = name.removesuffix(kind)
    return name


def recording_of(path: str | Path) -> str | None:
    """The recording of a frame, ``None`` if its name does not tell.

    Frames of one recording follow one another: neighbours show nearly the same, so
    they are no independent images, neither for an interval nor for a training set.
    """
    name = frame_name(path)
    match = _NUMBERED.match(name) or _CAMVID.fullmatch(name)
    return match['clip'] if match else None
