"""What a COCO annotation file must have for mmdet to read it as intended."""

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Annotated, Any

from mmengine.logging import print_log

from sci_plugins.errors import DataError, shorten
from sci_plugins.utils.folders import check_regular_file
from sci_plugins.utils.schema import from_content, read_json, tell_value

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


def check_coco(path: str | Path, scored: bool = False, masks: bool = False) -> None:
    """Refuse an annotation file that mmdet or pycocotools would misread or fail on.

    What COCO allows but mmdet ignores gets a warning with its number: empty boxes, annotations
    without an image, two images with one file, polygons of fewer than three points. An unchanged
    file is checked once, one that is not on this machine's disks not at all.

    Args:
        scored: also require ``iscrowd``, which pycocotools needs to compute AP.
        masks: also check ``segmentation``, which is not read otherwise.

    Raises:
        DataError: such as ``coco.json: annotations[17].bbox: expected a list of 4, got null``.
    """
    if Path(path).exists():
        facts = check_regular_file(path, 'annotation file').stat()
        _check(str(path), scored, masks, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _check(path: str, scored: bool, masks: bool, *_: int) -> None:
    content = read_json(path)
    found = from_content(_Coco, content, path)
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
        bare = [(i, '') for i, each in enumerate(annotations) if each.iscrowd is None]
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
    if masks:
        sizes = {each.id: [each.height, each.width] for each in found.images}
        _check_masks(path, scored, content.get('annotations', []), sizes)


def _check_masks(
    path: str, scored: bool, annotations: Sequence[Any], sizes: Mapping[Id, list[float]]
) -> None:
    """Polygons and run-length codes, which pycocotools draws from C.

    mmdet passes over polygons of an odd length or below 6, pycocotools does not.
    """
    parts = []
    for index, each in enumerate(annotations):
        if each['image_id'] in sizes:
            mask = each.get('segmentation')
            if problem := wrong_mask(mask, sizes[each['image_id']]):
                raise DataError(f'{path}: annotations[{index}].segmentation{problem}')
            lengths = [len(part) for part in mask if isinstance(part, list)]
            parts += [(index, n) for n in lengths if n % 2 or n < 6]
    told = 'annotations[{}].segmentation: expected x, y of three points or more, got {} numbers'
    (_refuse if scored else _warn)(path, told if scored else told + ': ignored {} such', parts)


def wrong_mask(mask: Any, size: list[float]) -> str:
    """Where a mask is not one of an image of ``[height, width]``, and why."""
    if isinstance(mask, dict):
        if mask.get('size') != size:
            return f'.size: expected {size} as of the image, got {tell_value(mask.get("size"))}'
        counts, pixels = _counts_of(mask.get('counts')), prod(size)
        if min(counts, default=-1) < 0 or sum(counts) != pixels:
            return f'.counts: expected the lengths of runs of {pixels} pixels together'
    elif not isinstance(mask, list) or not mask:
        return f': expected polygons or a run-length code, got {tell_value(mask)}'
    elif not all(map(_is_polygon, mask)):
        index = [_is_polygon(part) for part in mask].index(False)
        return f'[{index}]: expected a list of numbers, got {tell_value(mask[index])}'
    return ''


def _is_polygon(part: Any) -> bool:
    return isinstance(part, list) and all(type(x) in (int, float) and abs(x) <= 1e9 for x in part)


def _counts_of(code: Any) -> list[int]:
    """Lengths of the runs of a run-length code, plain or as text; empty if it is not one.

    Source: ``rleFrString`` of pycocotools: base 32, the last digit of a number has no sixth bit
    and carries its sign; from the fourth on, numbers are differences to the last but one.
    """
    if isinstance(code, list):
        return code if all(type(each) is int for each in code) else []
    digits = [ord(each) - 48 for each in code] if isinstance(code, str) else []
    if not digits or digits[-1] & 32 or not all(0 <= each < 64 for each in digits):
        return []
    counts: list[int] = []
    value = place = 0
    for digit in digits:
        value |= (digit & 31) << place
        place += 5
        if place > 60:
            return []
        if not digit & 32:
            value -= (1 << place) if digit & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = place = 0
    return counts


Found = Sequence[tuple[int, Hashable]]


def _repeated(values: Iterable[Hashable]) -> Found:
    first: dict[Hashable, int] = {}
    return [(i, each) for i, each in enumerate(values) if first.setdefault(each, i) != i]


def _without(known: Iterable[Hashable], values: Iterable[Hashable]) -> Found:
    those = set(known)
    return [(index, value) for index, value in enumerate(values) if value not in those]


def _refuse(path: str, text: str, found: Found) -> None:
    for index, value in found:
        raise DataError(f'{path}: {text.format(index, shorten(repr(value)))}')


def _warn(path: str, text: str, found: Found) -> None:
    for index, value in found[:1]:
        told = text.format(index, shorten(repr(value)), len(found))
        print_log(f'{path}: {told}', logger='current', level=logging.WARNING)
