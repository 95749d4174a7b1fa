"""Pictures of a comparison: a few images, and those that gained and lost most."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from PIL import Image, ImageColor
from torch import nn

from sci_plugins.engine.hooks import KeptSample, keep_sample
from sci_plugins.errors import DataError
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.evaluation.detection_records import DetectionRecords
from sci_plugins.evaluation.records import ImageSet
from sci_plugins.functional.detection_ap import pairwise_iou
from sci_plugins.utils.files import file_slug, is_ours
from sci_plugins.utils.images import read_sheet, write_sheet
from sci_plugins.visualization import panels
from sci_plugins.visualization.report import Sheet

Cell = tuple[str, np.ndarray]
Column = tuple[Cell, Cell]
Run = tuple[str, list[KeptSample]]  # a contender, and what it sees and finds in some images
#: Detections without ground truth: how many on a sheet, their least score, the largest overlap.
_UNLABELLED, _OVERLAP = 12, 0.1
_CROP = 232


class PictureBook:
    """Collects the kept samples of each variant and writes one sheet per image.

    The first column shows the input and the ground truth, the others one variant each. With
    ``go_on`` columns are added to existing sheets; a damaged sheet is drawn again.
    """

    def __init__(self, folder: Path, *, go_on: bool = False) -> None:
        self.folder, self.go_on = folder, go_on
        # By image: its sheet from an earlier run, the variants on it, and new columns.
        self._pages: dict[Path, tuple[Image.Image | None, list[str], list[Column]]] = {}

    def add(self, variant: str, samples: Iterable[KeptSample], palette: Any) -> None:
        """Draw at once, so that no tensors of earlier variants stay in memory."""
        for sample in samples:
            path = self.path(sample.index, sample.name)
            if path not in self._pages:
                sheet, variants = (self.go_on and earlier_sheet(path)) or (None, [])
                start = [draw_start(sample, palette)] if sheet is None else []
                self._pages[path] = sheet, variants, start
            _, variants, columns = self._pages[path]
            # A killed run may have drawn a variant without noting it as measured.
            if variant not in variants:
                variants.append(variant)
                columns.append(draw_sides(variant, sample, palette))

    def write(self) -> None:
        """Write one JPEG per image; may be called after each variant."""
        for path, (earlier, variants, columns) in self._pages.items():
            if columns:
                sheet = panels.make_grid(list(zip(*columns, strict=True)))
                if earlier is not None:
                    sheet = panels.place_beside(earlier, sheet)
                write_sheet(path, sheet, variants)

    def path(self, index: int, name: str) -> Path:
        """The sheet of the image at ``index`` of the test set, whose file is ``name``."""
        return self.folder / f'{index:04d}_{Path(name).stem}.jpg'


def earlier_sheet(path: Path) -> tuple[Image.Image, list[str]] | None:
    """A sheet of ours and its variants, ``None`` if absent or damaged; DataError for others."""
    try:
        return read_sheet(path)
    except FileNotFoundError:
        return None
    except DataError as error:
        # A truncated file of ours may have only its first bytes.
        starts = (b'\xff\xd8', b'\0\0')
        if not path.is_file() or not (path.read_bytes()[:2] in starts or is_ours(path)):
            raise
        print_log(f'{error}: drawn again', logger='current', level=logging.WARNING)
        return None


def draw_start(sample: KeptSample, palette: Any, truth: Sequence[Any] | None = None) -> Column:
    """The first column: the input above, the ground truth below.

    Args:
        palette: RGB colour of each class, for label maps; boxes have colours of their own.
        truth: boxes ``(G, 4)`` in pixels of the original image and their classes ``(G,)``; ``None``
            takes the sample's own.
    """
    if truth is None or 'gt_sem_seg' in sample.output:
        drawn = panels.draw_sample('gt', sample.image, sample.output, palette)
    else:
        colors = panels.box_colors(truth[1], palette, panels.TRUTH_COLOR)
        drawn = panels.draw_boxes(sample.image, truth[0], sample.output, colors)
    return (f'input: {sample.name}', panels.enlarge(sample.image)[0]), ('ground truth', drawn)


def draw_sides(name: str, sample: KeptSample, palette: Any) -> Column:
    """The column of a variant: what the model sees above, what it finds below."""
    seen = panels.enlarge(sample.enhanced)[0]
    found = panels.draw_sample('pred', sample.enhanced, sample.output, palette)
    return (f'{name}: what the model sees', seen), (f'{name}: predictions', found)


def changed_images(results: Iterable[VariantResult], folder: Path, count: int) -> list[Sheet]:
    """The images, ``count`` each, that gained and lost most by every variant, drawn or not."""
    found = []
    for result in results:
        if analysis := result.analysis:
            pair = f'{file_slug(result.variant)}_against_{file_slug(analysis.base)}'
            for each in [*analysis.gained[:count], *analysis.lost[:count]]:
                path, title = folder / pair / f'{file_slug(each.image)}.jpg', result.condition.name
                found.append(Sheet(title, result.variant, each.image, each.effect, path))
    return found


def decided_images(results: Iterable[VariantResult], folder: Path) -> list[Sheet]:
    """The images of the lowest, the middle and the highest gain of every adaptive stage."""
    found = []
    for result in results:
        if decisions := result.decisions:
            for name, place in decisions.examples().items():
                image, told = decisions.images[place], f'{name}: {decisions[place].told}'
                path = folder / file_slug(result.variant) / f'{file_slug(image)}.jpg'
                found.append(Sheet(result.condition.name, result.variant, image, 0.0, path, told))
    return found


def run_again(
    model: nn.Module, images: ImageSet, positions: Sequence[int], input_max: float = 255.0
) -> list[KeptSample]:
    """What a model, with its enhancer if it has one, sees and finds in some images of a set."""
    found = []
    for index in positions:
        batch: Any = pseudo_collate([images.dataset[index]])
        with torch.no_grad():
            output = model.test_step(batch)[0]  # type: ignore[operator]
        found.append(keep_sample(index, model, batch, 0, output, input_max))
    return found


def write_changed(
    sheets: Iterable[Sheet], base: str, images: ImageSet, runs: Iterable[Run]
) -> None:
    """Write sheets of one condition: input and ground truth, then the base, then the variant.

    Args:
        images: the set as the base is tested on it.
        runs: what each contender sees and finds; drawn at once, so that no tensors stay in memory.
    """
    palette = panels.palette_of(images.metainfo)
    columns: dict[tuple[str, int], Column] = {}
    for name, samples in runs:
        for sample in samples:
            index = sample.index
            if ('', index) not in columns:
                columns['', index] = draw_start(sample, palette, images.truth(index))
            columns[name, index] = draw_sides(name, sample, palette)
    for sheet in sheets:
        index, names = images.ids.index(sheet.image), dict.fromkeys(('', base, sheet.variant))
        grid = panels.make_grid(list(zip(*(columns[each, index] for each in names), strict=True)))
        write_sheet(sheet.path, grid, filter(None, names))


def find_unlabelled(records: DetectionRecords) -> list[tuple[int, np.ndarray]]:
    """The surest detections that overlap no box: position of the image, ``x1 y1 x2 y2 score``."""
    found = []
    for index, image in enumerate(records.images):
        rows = image.predictions[image.predictions[:, 4] >= panels.SCORE_THRESHOLD]
        overlaps = pairwise_iou(rows[:, :4], image.boxes).max(axis=1, initial=0)
        found += [(index, row) for row in rows[overlaps < _OVERLAP]]
    return sorted(found, key=lambda each: -each[1][4])[:_UNLABELLED]


def draw_unlabelled(
    found: Sequence[tuple[int, np.ndarray]], samples: Iterable[KeptSample]
) -> Image.Image:
    """A sheet of crops of what :func:`find_unlabelled` found: as tested above, as seen below."""
    by_index = {sample.index: sample for sample in samples}
    rows: list[list[Cell]] = []
    for start in range(0, len(found), 6):
        some = [(by_index[index], row) for index, row in found[start : start + 6]]
        rows.append([(f'{s.name} {row[4]:.2f}', _crop(s.image, s, row)) for s, row in some])
        rows.append([('', _crop(s.enhanced, s, row)) for s, row in some])
    return panels.make_grid(rows)


def _crop(image: np.ndarray, sample: KeptSample, row: np.ndarray) -> np.ndarray:
    """A square around a detection, three times its size, with its box."""
    corners = row[:4].reshape(2, 2) * sample.output.get('scale_factor', (1.0, 1.0))
    half = max(1.5 * float(np.ptp(corners, axis=0).max()), 16.0)
    size = round(2 * half)
    padded = np.pad(image, ((size, size), (size, size), (0, 0)))
    first, last = np.rint(corners.mean(0) - half) + size, np.array(padded.shape[1::-1]) - size
    left, top = np.clip(first, 0, last).astype(int).tolist()
    square = cv2.resize(padded[top : top + size, left : left + size], (_CROP, _CROP))
    placed = (corners + size - (left, top)) * (_CROP / size)
    start, stop = np.rint(placed).astype(int).tolist()
    return cv2.rectangle(square, start, stop, ImageColor.getrgb(panels.PREDICTION_COLOR)[:3], 1)


def legend_of(
    metainfo: Mapping[str, Any], of_boxes: bool = False
) -> list[tuple[str, tuple[int, int, int]]]:
    """What the colours in the pictures, or of boxes, mean, RGB; empty without a palette."""
    classes, palette = metainfo.get('classes'), metainfo.get('palette')
    if not classes or not (of_boxes or (palette is not None and len(palette) >= len(classes))):
        return []
    if of_boxes and len(classes) == 1:
        both = {f'{classes[0]}, to be found': panels.TRUTH_COLOR, 'found': panels.PREDICTION_COLOR}
        return [(name, ImageColor.getrgb(color)[:3]) for name, color in both.items()]
    many = len(classes)
    colors = panels.class_colors(many) if of_boxes else np.asarray(palette)[:many].tolist()
    rgb = [(int(red), int(green), int(blue)) for red, green, blue in colors]
    return list(zip(map(str, classes), rgb, strict=True))
