"""Pictures of a comparison: a few images, and those that gained and lost most."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from PIL import Image
from torch import nn

from sci_plugins.engine.hooks import KeptSample, image_at, keep_sample
from sci_plugins.errors import DataError
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.evaluation.records import ImageSet
from sci_plugins.utils.files import file_slug, is_ours
from sci_plugins.utils.images import read_sheet, write_sheet
from sci_plugins.visualization.panels import (
    TRUTH_COLOR,
    box_colors,
    class_colors,
    draw_boxes,
    draw_predictions,
    draw_truth,
    enlarge,
    make_grid,
    palette_of,
    place_beside,
)
from sci_plugins.visualization.report import Sheet

Cell = tuple[str, np.ndarray]


class PictureBook:
    """Collects the kept samples of each variant and writes a sheet an image.

    The first column shows the input and the truth; each further one what the
    variant made of the input and what the model found in it.

    Args:
        folder: where the sheets go, as ``INDEX_NAME.jpg``.
        go_on: new columns go to the right of sheets that are already there; a damaged
            sheet is begun anew.
    """

    def __init__(self, folder: Path, *, go_on: bool = False) -> None:
        self.folder = folder
        self.go_on = go_on
        self._earlier: dict[Path, Image.Image] = {}
        self._variants: dict[Path, list[str]] = {}
        self._columns: dict[Path, list[tuple[Cell, Cell]]] = {}

    def add(self, variant: str, samples: Iterable[KeptSample], palette: Any) -> None:
        """Draw at once, so that no tensors of earlier variants stay in memory."""
        for sample in samples:
            path = self.path(sample.index, sample.name)
            if path not in self._columns:
                self._begin(path, sample, palette)
            # A run that was killed may have drawn what it did not live to note as measured.
            if variant not in self._variants[path]:
                self._variants[path].append(variant)
                self._columns[path].append(draw_sides(variant, sample, palette))

    def _begin(self, path: Path, sample: KeptSample, palette: Any) -> None:
        earlier = earlier_sheet(path) if self.go_on else None
        if earlier is None:
            self._variants[path], self._columns[path] = [], [draw_start(sample, palette)]
        else:
            self._earlier[path], self._variants[path] = earlier
            self._columns[path] = []

    def write(self) -> None:
        """Write one JPEG an image; may be called after each variant."""
        for path, columns in self._columns.items():
            if not columns:
                continue
            sheet = make_grid([[column[row] for column in columns] for row in (0, 1)])
            if path in self._earlier:
                sheet = place_beside(self._earlier[path], sheet)
            write_sheet(path, sheet, self._variants[path])

    def path(self, index: int, name: str) -> Path:
        """The sheet of an image.

        Args:
            index: in the test set.
            name: of its file.
        """
        return self.folder / f'{index:04d}_{Path(name).stem}.jpg'


def earlier_sheet(path: Path) -> tuple[Image.Image, list[str]] | None:
    """A sheet of an earlier run and the variants on it.

    ``None`` if there is none, or if it is damaged, with a line in the log.

    Raises:
        DataError: if there is something that no run has left.
    """
    try:
        return read_sheet(path)
    except FileNotFoundError:
        return None
    except DataError as error:
        if not (path.is_file() and _may_be_damaged(path)):
            raise
        print_log(f'{error}: drawn anew', logger='current', level=logging.WARNING)
        return None


def _may_be_damaged(path: Path) -> bool:
    """Whether the file is ours; of a cut-off one, only the first bytes may be left."""
    with path.open('rb') as file:
        return file.read(2) in (b'\xff\xd8', b'\0\0') or is_ours(path)


def draw_start(
    sample: KeptSample,
    palette: Any,
    boxes: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> tuple[Cell, Cell]:
    """The column of what is given: the input above, the truth below.

    Args:
        sample: of any variant.
        palette: RGB colour of each class, for label maps; boxes of several classes have
            colours of their own.
        boxes: ``(G, 4)``, true boxes in pixels of the original image; ``None`` takes
            those that the sample carries.
        labels: ``(G,)``, classes of these boxes.
    """
    if boxes is None or 'gt_sem_seg' in sample.output:
        truth = draw_truth(sample.image, sample.output, palette)
    else:
        truth = draw_boxes(
            sample.image, boxes, sample.output, box_colors(labels, palette, TRUTH_COLOR)
        )
    return (f'input: {sample.name}', enlarge(sample.image)[0]), ('truth', truth)


def draw_sides(name: str, sample: KeptSample, palette: Any) -> tuple[Cell, Cell]:
    """The column of a variant: what the model sees above, what it finds below.

    Args:
        name: of the variant.
        sample: what it made of an image.
        palette: RGB colour of each class, for label maps.
    """
    return (
        (f'{name}: what the model sees', enlarge(sample.enhanced)[0]),
        (f'{name}: predictions', draw_predictions(sample.enhanced, sample.output, palette)),
    )


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
    model: nn.Module, images: ImageSet, positions: Sequence[int], input_max: float = 255.0
) -> list[KeptSample]:
    """What a model sees and finds in some images.

    Args:
        model: with what belongs in front of it.
        images: the set, as it is tested.
        positions: in the set.
        input_max: white of images that are not uint8.
    """
    found = []
    for index in positions:
        batch: Any = pseudo_collate([images.dataset[index]])
        with torch.no_grad():
            output = model.test_step(batch)[0]  # type: ignore[operator]
        found.append(keep_sample(index, model, image_at(batch, 0), output, input_max))
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
        write_sheet(changed.path, make_grid(rows))


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
