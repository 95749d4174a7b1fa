"""Base of the detection sets whose labels are text files, for mmdet."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmengine.logging import print_log

from sci_plugins.errors import DataError, shorten
from sci_plugins.registry import host_class
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import read_image_size

# Labels can be read without mmdet, to check and to score a folder.
BaseDetDataset: Any = host_class('mmdet.datasets.BaseDetDataset')
Box = tuple[float, float, float, float]  # ``(x1, y1, x2, y2)`` in pixels
FACE = dict(classes=('face',), palette=[(220, 20, 60)])
#: Most digits of a number of objects, and largest coordinate: more would overflow.
_DIGITS, _FARTHEST = 9, 1e9


def line_error(path: PathLike, number: int, expected: str, got: str) -> DataError:
    """An error that names file and line."""
    told = f'expected {shorten(expected, 200)}, got {shorten(got)}'
    return DataError(f'{path}, line {number}: {told}')


def is_count(text: str) -> bool:
    """Whether a word is a number of objects that a file can have."""
    return text.isdecimal() and len(text) <= _DIGITS


def parse_numbers(words: Iterable[str], kind: Callable[[str], Any] = float) -> list[Any]:
    """The words as coordinates, finite and not so large that areas overflow; else empty."""
    try:
        values = [kind(word) for word in words]
    except ValueError:
        return []
    return values if all(-_FARTHEST <= value <= _FARTHEST for value in values) else []


def is_upright(box: Sequence[float]) -> bool:
    """Whether a box ``(x1, y1, x2, y2)`` is neither empty nor inverted."""
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2


class TextLabelDataset(BaseDetDataset):
    """Base of data sets that make mmdet's records themselves.

    Args:
        data_prefix: folders below ``data_root``, if not those of the set's layout.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out training images where nothing counts.
        **kwargs: those of ``mmdet.datasets.BaseDetDataset``.

    Raises:
        DataError: naming the file (and line), if a folder, an image or a label file is missing or
            does not follow the layout.
        MissingDependencyError: if mmdet is not installed.
    """

    NAME: ClassVar[str]
    FOLDERS: ClassVar[dict[str, str]] = dict(img_path='')

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if len(args) < 4 and not kwargs.get('data_prefix'):
            kwargs['data_prefix'] = self.FOLDERS
        super().__init__(*args, **kwargs)

    def folder(self, key: str = 'img') -> Path:
        """A folder of ``data_prefix``, which must exist."""
        folder = Path(self.data_prefix[key])
        if not folder.is_dir():
            raise DataError(f'{self.NAME}: folder {folder} does not exist')
        return folder

    def record(
        self, image: Path, img_id: str, objects: Iterable[tuple[Sequence[float], int, bool]]
    ) -> dict[str, Any]:
        """mmdet's record of one image.

        ``objects`` are boxes ``(x1, y1, x2, y2)``, class indices, and whether they are ignored.
        """
        size = dict(zip(('width', 'height'), read_image_size(image), strict=True))
        instances = [
            dict(bbox=list(map(float, box)), bbox_label=label, ignore_flag=int(ignored))
            for box, label, ignored in objects
        ]
        return dict(img_path=str(image), img_id=img_id, **size, instances=instances)

    def filter_data(self) -> list[dict]:
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        flags = [[each['ignore_flag'] for each in record['instances']] for record in self.data_list]
        return [r for r, ignored in zip(self.data_list, flags, strict=True) if not all(ignored)]

    def log(self, text: str, level: int = logging.WARNING) -> None:
        """A line in the log, with the set's name."""
        print_log(f'{self.NAME}: {text}', logger='current', level=level)
