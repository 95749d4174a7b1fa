"""What a COCO annotation file must hold for mmdet to read it as it was meant."""

import logging
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

from mmengine.logging import print_log

from sci_plugins.errors import DataError, shorten
from sci_plugins.utils.folders import check_regular_file
from sci_plugins.utils.schema import from_content, read_json

Id = int | str | float  # floats: tables written by pandas
_Size = Annotated[float, 1, 1e6]
_Edge = Annotated[float, -1e9, 1e9]


@dataclass(frozen=True, slots=True)
class _Image:
    id: Id
    file_name: str
    width: _Size
    height: _Size


@dataclass(frozen=True, slots=True)
class _Category:
    id: Id
    name: str


@dataclass(frozen=True, slots=True)
class _Annotation:
    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[_Edge, _Edge, _Edge, _Edge]
    area: Annotated[float, -1e18, 1e18]
    iscrowd: int | bool | None = None


@dataclass(frozen=True)
class _Coco:
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation] = field(default_factory=list)


def check_coco(path: str | Path, scored: bool = False) -> None:
    """Refuse an annotation file that mmdet or pycocotools would misread or fail on.

    What COCO allows and mmdet passes over is counted in a warning: empty boxes, annotations
    of no image, two images with one file. A file that has not changed is checked once.

    Args:
        path: of the file; nothing happens if it is not on this machine's disks.
        scored: also ask for ``iscrowd``, which pycocotools needs to compute AP.

    Raises:
        DataError: naming file, index and key, such as ``coco.json: annotations[17].bbox:
            expected a list of 4, got null``.
    """
    if Path(path).exists():
        facts = check_regular_file(path, 'annotation file').stat()
        _check(str(path), scored, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _check(path: str, scored: bool, *_: int) -> None:
    found = from_content(_Coco, read_json(path), path)
    annotations, categories = found.annotations, [each.id for each in found.categories]
    images = [each.id for each in found.images]
    refuse = partial(_refuse, path)
    refuse('images[{}].id: duplicate {}', _repeated(images))
    refuse('categories[{}].id: duplicate {}', _repeated(categories))
    refuse('categories[{}].name: duplicate {}', _repeated(each.name for each in found.categories))
    refuse('annotations[{}].id: duplicate {}', _repeated(each.id for each in annotations))
    unknown = _without(categories, (each.category_id for each in annotations))
    refuse('annotations[{}].category_id: expected the id of a category, got {}', unknown)
    if scored:
        bare = [(index, '') for index, each in enumerate(annotations) if each.iscrowd is None]
        refuse('annotations[{}]: iscrowd is missing, which COCO AP needs', bare)
    lone = _without(images, (each.image_id for each in annotations))
    if len(lone) == len(annotations):
        refuse('annotations[{}].image_id: expected the id of an image, got {}', lone)
    nameless = [(index, '') for index, each in enumerate(found.images) if not each.file_name]
    refuse('images[{}].file_name: expected a name, got {}', nameless)
    warn = partial(_warn, path)
    warn('annotations[{}].image_id: {} is the id of no image: ignored {} such annotations', lone)
    empty = [(i, each.bbox[2:]) for i, each in enumerate(annotations) if min(each.bbox[2:]) <= 0]
    warn('annotations[{}].bbox: empty, width and height {}: ignored {} such boxes', empty)
    twice = _repeated(each.file_name for each in found.images)
    warn('images[{}].file_name: duplicate {}: {} such images are tested twice', twice)


Found = Sequence[tuple[int, Hashable]]


def _repeated(values: Iterable[Hashable]) -> Found:
    """Values that were there before, with their indices."""
    first: dict[Hashable, int] = {}
    pairs = list(enumerate(values))
    return [(index, value) for index, value in pairs if first.setdefault(value, index) != index]


def _without(known: Iterable[Hashable], values: Iterable[Hashable]) -> Found:
    """Values that are not among the known ones, with their indices."""
    those = set(known)
    return [(index, value) for index, value in enumerate(values) if value not in those]


def _refuse(path: str, text: str, found: Found) -> None:
    for index, value in found:
        raise DataError(f'{path}: {text.format(index, shorten(repr(value)))}')


def _warn(path: str, text: str, found: Found) -> None:
    for index, value in found[:1]:
        told = text.format(index, shorten(repr(value)), len(found))
        print_log(f'{path}: {told}', logger='current', level=logging.WARNING)
