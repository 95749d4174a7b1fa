"""Pictures of a comparison: one sheet an image, one column a variant."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sci_plugins.engine.hooks import KeptSample, SampleKeeperHook
from sci_plugins.utils.files import replacing
from sci_plugins.visualization.panels import (
    TRUTH_COLOR,
    box_colors,
    draw_boxes,
    draw_predictions,
    draw_truth,
    enlarge,
    make_grid,
    place_beside,
)

Cell = tuple[str, np.ndarray]


class PictureBook:
    """Collects the kept samples of each variant and writes a sheet an image.

    The first column shows the input and the truth; each further one what the
    variant made of the input and what the model found in it.

    Args:
        folder: where the sheets go, as ``INDEX_NAME.jpg``.
        go_on: new columns go to the right of sheets that are already there.
    """

    def __init__(self, folder: Path, *, go_on: bool = False) -> None:
        self.folder = folder
        self.go_on = go_on
        self._earlier: dict[int, Image.Image] = {}
        self._columns: dict[int, list[tuple[Cell, Cell]]] = {}
        self._names: dict[int, str] = {}

    def add(self, variant: str, keeper: SampleKeeperHook) -> None:
        """Draw at once, so that no tensors of earlier variants stay in memory."""
        for index, sample in keeper.samples.items():
            self._names[index] = Path(sample.name).stem
            if index not in self._columns:
                self._begin(index, sample, keeper.palette)
            column = draw_sides(variant, sample, keeper.palette)
            self._columns[index].append(column)

    def _begin(self, index: int, sample: KeptSample, palette: Any) -> None:
        self._columns[index] = []
        if self.go_on and self._path(index).is_file():
            with Image.open(self._path(index)) as sheet:
                self._earlier[index] = sheet.convert('RGB')
        else:
            self._columns[index].append(draw_start(sample, palette))

    def write(self) -> None:
        """Write one JPEG an image; may be called after each variant."""
        for index, columns in self._columns.items():
            rows = [[column[0] for column in columns], [column[1] for column in columns]]
            sheet = make_grid(rows)
            if index in self._earlier:
                sheet = place_beside(self._earlier[index], sheet)
            with replacing(self._path(index)) as path:
                sheet.save(path, quality=90)

    def _path(self, index: int) -> Path:
        return self.folder / f'{index:04d}_{self._names[index]}.jpg'


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
            sample.image,
            boxes,
            sample.output,
            box_colors(labels, palette, TRUTH_COLOR),
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
        (
            f'{name}: predictions',
            draw_predictions(sample.enhanced, sample.output, palette),
        ),
    )
