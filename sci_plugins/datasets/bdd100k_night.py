"""The night images among BDD100K's 10,000 with label maps, for mmseg.

Only the detection labels say the time of day, as an attribute by image name. Their 100,000 images
are split differently, so the label files of all splits are searched.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from mmengine.logging import print_log

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import Names, NightLayout, choose, listed
from sci_plugins.datasets.segmentation_check import check_segmentation
from sci_plugins.datasets.segmentation_folder import SegmentationFolderDataset
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.files import check_outputs, write_atomically
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.schema import read_json

BDD100K = NightLayout(
    name='BDD100K',
    images='images/10k/{split}',
    labels='labels/sem_seg/masks/{split}',
    img_suffix='.jpg',
    label_suffix='.png',
    unlabelled=('test',),
    size=(1280, 720),
)

#: Label files below the root, newest release first; the last are folders, one file per image.
SOURCES = (
    'labels/det_20/det_train.json', 'labels/det_20/det_val.json',
    'labels/bdd100k_labels_images_train.json', 'labels/bdd100k_labels_images_val.json',
    'labels/100k/train', 'labels/100k/val', 'labels/100k/test',
)  # fmt: skip
_NIGHT_VAL = 87  # images of ``val`` taken at night
TIMES_OF_DAY = ('daytime', 'night', 'dawn/dusk', 'undefined')  # values of the attribute
_CHUNK = 1 << 22
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r'[\s,]*')


def find_sources(root: Path, given: Names | None = None) -> list[Path]:
    """All given label files (or folders of them), else what ``root`` has of :data:`SOURCES`.

    A DataError says if there is none, or which given one is missing.
    """
    names = listed(given) or SOURCES
    paths = [root / name for name in names if given or (root / name).exists()]
    if missing := [path for path in paths if not path.exists()]:
        raise DataError(f'{missing[0]}: there is no such label file')
    if not paths:
        told = f'{root} has none of {", ".join(SOURCES)}, which have the time of day'
        advice = 'download the detection labels, or list the images in ann_file'
        raise DataError(f'BDD100K: {told}: {advice}')
    return paths


def read_times_of_day(sources: Sequence[Path], stems: Collection[str]) -> dict[str, str]:
    """Image name without suffix -> time of day, for those in the files.

    Files are read only as far as needed. A DataError names one that is not BDD100K's.
    """
    wanted = set(stems)
    found: dict[str, str] = {}
    times = chain.from_iterable(_times(source, wanted) for source in sources)
    while len(found) < len(wanted) and (entry := next(times, None)):
        if entry[0] in wanted:
            found.setdefault(*entry)
    return found


def _times(source: Path, wanted: Collection[str]) -> Iterator[tuple[str, str]]:
    if source.is_dir():
        files = ((stem, source / f'{stem}.json') for stem in sorted(wanted))
        frames = ((stem, _read_frame(file)) for stem, file in files if file.is_file())
    else:
        frames = ((_stem(source, frame), frame) for frame in iterate_frames(source))
    for stem, frame in frames:
        attributes = frame.get('attributes') if isinstance(frame, dict) else None
        time = attributes.get('timeofday') if isinstance(attributes, dict) else None
        if isinstance(time, str):
            yield stem, time


def _read_frame(path: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error})') from error


def _stem(source: Path, frame: Any) -> str:
    name = frame.get('name') if isinstance(frame, dict) else None
    if not isinstance(name, str):
        raise DataError(f'{source}: an entry has no name; expected a BDD100K label file')
    return Path(name).stem


def iterate_frames(path: Path) -> Iterator[Any]:
    """Entries of a file ``[...]`` or ``{"frames": [...]}``, else a DataError that names it.

    One at a time: the file of 70,000 images has over a gigabyte, and many times that once parsed.
    """
    try:
        with path.open(encoding='utf-8') as file:
            text, place = _find_array(path, file.read(_CHUNK))
            while True:
                place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
                if text.startswith(']', place):
                    return
                try:
                    entry, place = _DECODER.raw_decode(text, place)
                except json.JSONDecodeError as error:  # the chunk ends inside this entry
                    rest = text[place:]
                    if not (more := file.read(max(_CHUNK, len(rest)))):
                        raise DataError(f'{path}: is truncated or not JSON') from error
                    text, place = rest + more, 0
                    continue
                yield entry
    except DataError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f'{path}: cannot be read ({error})') from error


def _find_array(path: Path, text: str) -> tuple[str, int]:
    start = text.lstrip('\ufeff \t\r\n')
    if start.startswith('['):
        return start, 1
    key = start.find('"frames"') if start.startswith('{') else -1
    bracket = start.find('[', key)
    if key < 0 or bracket < 0:
        raise DataError(f'{path}: expected a list of images or an object with "frames"')
    return start, bracket + 1


def check_bdd100k(
    root: PathLike,
    *,
    timeofday: Names = 'night',
    attributes: Names | None = None,
    write_lists: PathLike | None = None,
    overwrite: bool = False,
    **options: Any,
) -> CheckReport:
    """:func:`check_segmentation` of the images of one time of day, or several.

    Args:
        root, timeofday, attributes: as of :class:`BDD100KNightDataset`, with its errors.
        write_lists: a folder for the lists ``night_SPLIT.txt``, for ``ann_file``.
        overwrite: replace lists with other names.
        **options: those of :func:`check_segmentation`.
    """
    wanted = choose(BDD100K.name, 'timeofday', timeofday, TIMES_OF_DAY)
    parts = BDD100K.parts(root, BDD100K.splits)
    stems = {part.name: [image.stem for image in part.find_images()] for part in parts}
    if not any(stems.values()):
        raise DataError(f'BDD100K: found no *.jpg below {Path(root, "images/10k")}')
    sources = find_sources(Path(root), attributes)
    times = read_times_of_day(sources, [*chain.from_iterable(stems.values())])
    chosen = {k: [stem for stem in some if times.get(stem) in wanted] for k, some in stems.items()}
    published = {'val': _NIGHT_VAL} if wanted == ('night',) else {}
    parts = [
        replace(part, published=published.get(part.name), chosen=frozenset(chosen[part.name]))
        for part in parts
        if stems[part.name]
    ]
    layout = replace(BDD100K, name=f'BDD100K, {" or ".join(wanted)},')
    report = check_segmentation(layout, root, parts=parts, **options)
    report.facts['time of day from'] = ', '.join(map(str, sources))
    report.tables['time of day'] = [_time_row(k, some, times) for k, some in stems.items() if some]
    if write_lists is not None:
        start = Path(write_lists, '-'.join(wanted).replace('/', '-'))
        _write_lists({Path(f'{start}_{k}.txt'): some for k, some in chosen.items()}, overwrite)
    return report


def _write_lists(lists: Mapping[Path, list[str]], overwrite: bool) -> None:
    texts = {path: ''.join(f'{n}\n' for n in names).encode() for path, names in lists.items()}
    # A list cannot hold a mark: an equal one stays, another one is refused.
    same = {path for path, text in texts.items() if path.is_file() and path.read_bytes() == text}
    changed = {path: text for path, text in texts.items() if text and path not in same}
    check_outputs(*changed, overwrite=overwrite)
    for path, text in changed.items():
        write_atomically(path, text)


def _time_row(split: str, stems: list[str], times: Mapping[str, str]) -> dict:
    counts = Counter(times.get(stem, 'in no label file') for stem in stems)
    row = {name: counts[name] for name in (*TIMES_OF_DAY, 'in no label file')}
    return dict(split=split, images=len(stems), **row)


@DATASETS.register_module()
class BDD100KNightDataset(SegmentationFolderDataset):
    """``images/10k/SPLIT/*.jpg`` with ``labels/sem_seg/masks/SPLIT/*.png``.

    Cityscapes' 19 classes as trainIds, 1280x720. The detection labels in :data:`SOURCES` say which
    images were taken at night. Images in none of these files are left out; the log says how many.
    Reading 70,000 entries slows down every start: ``tools/prepare_data.py bdd100k ROOT
    --write-lists FOLDER`` does so once, and writes lists for ``ann_file``. Every image comes from a
    different drive, so ``clip`` is its name.

    Args:
        timeofday: one or several of :data:`TIMES_OF_DAY`.
        attributes: label files, or folders of them, below ``data_root``, instead of the usual ones.
        ann_file: a list with one image name per line, instead of the label files.
        **kwargs: those of :class:`SegmentationFolderDataset`, whose errors this has too.

    Raises:
        ConfigError: if there is no such time of day.
        DataError: if the label files are missing, or no image was taken at that time.
    """

    LAYOUT: ClassVar[NightLayout] = BDD100K

    def __init__(
        self, *args: Any, timeofday: Names = 'night', attributes: Names | None = None, **kwargs: Any
    ) -> None:
        self.times = choose(BDD100K.name, 'timeofday', timeofday, TIMES_OF_DAY)
        self.attributes = attributes
        super().__init__(*args, **kwargs)

    def choose_images(self, images: list[Path]) -> list[Path]:
        if self.ann_file:
            return images
        sources = find_sources(Path(self.data_root or '.'), self.attributes)
        times = read_times_of_day(sources, [image.stem for image in images])
        chosen = [image for image in images if times.get(image.stem) in self.times]
        names, wish = ', '.join(map(str, sources)), ' or '.join(self.times)
        all_of_them = f'{len(images)} images of {images[0].parent}'
        if not chosen:
            seen = ', '.join(f'{n} {time}' for time, n in Counter(times.values()).items())
            told = f'according to {names} ({seen or "none is listed there"})'
            raise DataError(f'{BDD100K.name}: none of the {all_of_them} is {wish} {told}')
        told = f'{len(images) - len(times)} are in none of {names}'
        print_log(f'{BDD100K.name}: {len(chosen)} of {all_of_them} are {wish}; {told}', 'current')
        return chosen
