"""Pictures of the images that gained and lost most, run once more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from sci_plugins.apis.compare.images import ImageSet
from sci_plugins.apis.compare.records import file_slug
from sci_plugins.apis.pictures import Cell, draw_sides, draw_start
from sci_plugins.engine.hooks import KeptSample, keep_sample
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.utils.files import replacing
from sci_plugins.visualization.panels import class_colors, make_grid, palette_of
from sci_plugins.visualization.report import Sheet

Columns = dict[int, tuple[Cell, Cell]]


@dataclass(frozen=True)
class ChangedImage:
    """An image that gained or lost much by a variant, and its sheet."""

    result: VariantResult
    image: str
    effect: float
    path: Path

    @property
    def sheet(self) -> Sheet:
        condition = self.result.condition.name
        return Sheet(condition, self.result.variant, self.image, self.effect, self.path)


def changed_images(
    results: Iterable[VariantResult], folder: Path, count: int
) -> list[ChangedImage]:
    """The images that gained and lost most, of every variant.

    Args:
        results: under one condition.
        folder: where the sheets lie.
        count: at most so many of each sign.
    """
    found = []
    for result in results:
        analysis = result.analysis
        if analysis is None:
            continue
        pair = f'{file_slug(result.variant)}_against_{file_slug(analysis.base)}'
        for effect in [*analysis.gained[:count], *analysis.lost[:count]]:
            path = folder / pair / f'{file_slug(effect.image)}.jpg'
            found.append(ChangedImage(result, effect.image, effect.effect, path))
    return found


def run_again(
    model: nn.Module, images: ImageSet, positions: Sequence[int]
) -> list[KeptSample]:
    """What a model sees and finds in some images.

    Args:
        model: with what belongs in front of it.
        images: the set, as it is tested.
        positions: in the set.
    """
    found = []
    for index in positions:
        batch: Any = pseudo_collate([images.dataset[index]])
        with torch.no_grad():
            output = model.test_step(batch)[0]  # type: ignore[operator]
        found.append(keep_sample(index, model, batch['inputs'][0], output))
    return found


class ChangedSheets:
    """Sheets of one condition: input and truth, then the base, then the variant.

    Args:
        images: the set, as the base is tested on it.
    """

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self._starts: Columns = {}
        self._columns: dict[str, Columns] = {}

    def add(self, name: str, samples: Sequence[KeptSample]) -> None:
        """Draw at once what a contender sees and finds, so that no tensors stay."""
        palette = palette_of(self.images.metainfo)
        for sample in samples:
            if sample.index not in self._starts:
                boxes, labels, _ = self.images.truth(sample.index)
                self._starts[sample.index] = draw_start(sample, palette, boxes, labels)
            column = draw_sides(name, sample, palette)
            self._columns.setdefault(name, {})[sample.index] = column

    def write(self, changed: ChangedImage, base: str) -> None:
        """One JPEG, of contenders that were added."""
        index = self.images.ids.index(changed.image)
        names = (base, changed.result.variant)
        columns = [self._starts[index], *(self._columns[name][index] for name in names)]
        rows = [[column[row] for column in columns] for row in (0, 1)]
        with replacing(changed.path) as path:
            make_grid(rows).save(path, quality=90)


def legend_of(
    metainfo: Mapping[str, Any], of_boxes: bool = False
) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and RGB colours of the classes; empty without a palette.

    Args:
        metainfo: of the data set.
        of_boxes: the colours of boxes; empty where there is one class.
    """
    classes, palette = metainfo.get('classes'), metainfo.get('palette')
    if not classes or palette is None or len(palette) < len(classes):
        return []
    if of_boxes:
        several = classes if len(classes) > 1 else ()
        return list(zip(several, class_colors(len(several)), strict=True))
    colors = np.asarray(palette)[: len(classes)].tolist()
    return [
        (str(name), (int(red), int(green), int(blue)))
        for name, (red, green, blue) in zip(classes, colors, strict=True)
    ]
