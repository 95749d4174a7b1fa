"""Time of day of BDD100K's images, from the data set's own label files.

The label maps come without it: it stands among the attributes of the boxes' labels, by
the image's name. The 10,000 images with label maps are split otherwise than the 100,000
with boxes, so the files of all splits are looked through.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sci_plugins.errors import DataError

#: Where they lie below the root, newest release first; the last are folders with one
#: file an image.
SOURCES = (
    'labels/det_20/det_train.json',
    'labels/det_20/det_val.json',
    'labels/bdd100k_labels_images_train.json',
    'labels/bdd100k_labels_images_val.json',
    'labels/100k/train',
    'labels/100k/val',
    'labels/100k/test',
)
#: The values in use.
TIMES_OF_DAY = ('daytime', 'night', 'dawn/dusk', 'undefined')
_CHUNK = 1 << 22
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r'[\s,]*')


def find_sources(root: Path, given: str | Sequence[str] | None = None) -> list[Path]:
    """Label files (or folders of them) below ``root``.

    Args:
        root: the data set's folder.
        given: paths below it to use instead of :data:`SOURCES`.

    Raises:
        DataError: if there are none, or one that is given is missing.
    """
    if given:
        paths = [root / name for name in ([given] if isinstance(given, str) else given)]
        for path in paths:
            if not path.exists():
                raise DataError(f'{path}: there is no such label file')
        return paths
    paths = [root / name for name in SOURCES if (root / name).exists()]
    if not paths:
        raise DataError(
            f'BDD100K: {root} has none of {", ".join(SOURCES)}, where the time of day '
            'stands: download the detection labels, or give a list of images (ann_file)'
        )
    return paths


def read_times_of_day(sources: Sequence[Path], stems: Collection[str]) -> dict[str, str]:
    """Image name without suffix -> time of day, for those that the files have.

    Large files are read piece by piece, and no further than needed.

    Raises:
        DataError: naming the file, if it is no label file of BDD100K.
    """
    wanted = set(stems)
    found: dict[str, str] = {}
    for source in sources:
        if wanted <= found.keys():
            break
        for name, time in _times(source, wanted):
            if name in wanted and name not in found:
                found[name] = time
                if len(found) == len(wanted):
                    break
    return found


def _times(source: Path, wanted: Collection[str]) -> Iterator[tuple[str, str]]:
    if source.is_dir():
        frames = (
            (stem, _load(source / f'{stem}.json'))
            for stem in sorted(wanted)
            if (source / f'{stem}.json').is_file()
        )
    else:
        frames = ((_stem(source, frame), frame) for frame in iterate_frames(source))
    for stem, frame in frames:
        attributes = frame.get('attributes') if isinstance(frame, dict) else None
        time = attributes.get('timeofday') if isinstance(attributes, dict) else None
        if isinstance(time, str):
            yield stem, time


def _stem(source: Path, frame: Any) -> str:
    name = frame.get('name') if isinstance(frame, dict) else None
    if not isinstance(name, str):
        raise DataError(f'{source}: an entry has no name: no label file of BDD100K')
    return Path(name).stem


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DataError(f'{path}: cannot be read as JSON ({error})') from error


def iterate_frames(path: Path) -> Iterator[Any]:
    """Entries of a file ``[...]`` or ``{"frames": [...]}``, without holding them all.

    The file of 70,000 images is over a gigabyte; parsed as a whole it takes many times
    that.

    Raises:
        DataError: naming the file, if it is neither or breaks off.
    """
    try:
        with path.open(encoding='utf-8') as file:
            text, place = _find_array(path, file.read(_CHUNK))
            while True:
                place = _end_of(_BETWEEN, text, place)
                if text.startswith(']', place):
                    return
                try:
                    entry, place = _DECODER.raw_decode(text, place)
                except json.JSONDecodeError as error:  # the rest of it is to be read
                    rest = text[place:]
                    more = file.read(max(_CHUNK, len(rest)))
                    if not more:
                        raise DataError(f'{path}: breaks off or is no JSON') from error
                    text, place = rest + more, 0
                    continue
                yield entry
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: cannot be read ({error})') from error


def _end_of(pattern: re.Pattern, text: str, place: int) -> int:
    match = pattern.match(text, place)
    return match.end() if match else place


def _find_array(path: Path, text: str) -> tuple[str, int]:
    start = text.lstrip('\ufeff \t\r\n')
    if start.startswith('['):
        return start, 1
    key = start.find('"frames"') if start.startswith('{') else -1
    bracket = start.find('[', key)
    if key < 0 or bracket < 0:
        raise DataError(f'{path}: is no list of images and has no "frames"')
    return start, bracket + 1
