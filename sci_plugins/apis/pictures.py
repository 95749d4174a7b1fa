"""Pictures of a comparison: one sheet an image, one column a variant."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sci_plugins.engine.hooks import KeptSample, SampleKeeperHook
from sci_plugins.utils.files import replacing
from sci_plugins.visualization.panels import (
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
            column = _variant_column(variant, sample, keeper.palette)
            self._columns[index].append(column)

    def _begin(self, index: int, sample: KeptSample, palette: Any) -> None:
        self._columns[index] = []
        if self.go_on and self._path(index).is_file():
            with Image.open(self._path(index)) as sheet:
                self._earlier[index] = sheet.convert('RGB')
        else:
            self._columns[index].append(_truth_column(sample, palette))

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


def _truth_column(sample: KeptSample, palette: Any) -> tuple[Cell, Cell]:
    return (
        (f'input: {sample.name}', enlarge(sample.image)[0]),
        ('truth', draw_truth(sample.image, sample.output, palette)),
    )


def _variant_column(name: str, sample: KeptSample, palette: Any) -> tuple[Cell, Cell]:
    return (
        (f'{name}: what the model sees', enlarge(sample.enhanced)[0]),
        (
            f'{name}: predictions',
            draw_predictions(sample.enhanced, sample.output, palette),
        ),
    )
