"""Dark photographs and their bright partners: LOL, LSRW, MIT-Adobe 5K, or two folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from sci_plugins.datasets.low_light_folder import find_images, make_sample, shrink, to_tensor
from sci_plugins.datasets.samplers import Draw
from sci_plugins.errors import ConfigError, DataError, check_choice
from sci_plugins.registry import DATASETS
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import read_image

#: Layout -> (dark, bright) folders below the root; those that exist are joined.
LAYOUTS = {
    'pairs': (('low', 'normal'), ('low', 'high')),
    'lol-train': (('our485/low', 'our485/high'),),
    'lol-test': (('eval15/low', 'eval15/high'),),
    'lsrw': (('Huawei/low', 'Huawei/high'), ('Nikon/low', 'Nikon/high')),
    'fivek': (('input', 'expertC'),),
}


@DATASETS.register_module()
@dataclass(eq=False)
class PairedLowLightDataset(Dataset):
    """Pairs of a dark photograph and the same scene in good light.

    Partners have the same path below their folders, except for the suffix. An item is
    ``dict(inputs=image, data_samples=sample)``; ``sample.reference`` is the bright partner, both
    ``(3, H, W)``, RGB, float32, in [0, 1].

    Raises:
        ConfigError: if the layout is unknown.
        DataError: if a folder is missing or an image has no partner; when an item is read, if a
            file is not an image or the sizes of a pair differ. Each names the paths.
    """

    data_root: PathLike
    layout: str = 'pairs'  # one of :data:`LAYOUTS`
    folders: Sequence[str] | None = None  # instead, the dark one and the bright one
    max_size: int | None = None  # shrink both images if their longer side exceeds this

    def __post_init__(self) -> None:
        check_choice('layout', self.layout, LAYOUTS, 'PairedLowLightDataset')
        if self.folders is not None and len(self.folders) != 2:
            wish = 'folders must be two names, the dark and the bright one'
            raise ConfigError(f'PairedLowLightDataset: {wish}, got {self.folders!r}')
        names = LAYOUTS[self.layout] if self.folders is None else (tuple(self.folders),)
        root = Path(os.path.expanduser(self.data_root))
        found = [(root / low, root / bright) for low, bright in names]
        if not (there := [pair for pair in found if all(folder.is_dir() for folder in pair)]):
            wanted = ' or '.join(f'{low} and {bright}' for low, bright in names)
            missing = next(folder for folder in found[0] if not folder.is_dir())
            raise DataError(f'{root} must have the folders {wanted}; {missing} is missing')
        self.pairs = [pair for low, bright in there for pair in _match(low, bright)]

    @property
    def files(self) -> list[Path]:
        """The dark photographs."""
        return [low for low, _ in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int | Draw) -> dict[str, Any]:
        low, bright = self.pairs[index.index if isinstance(index, Draw) else index]
        image, reference = read_image(low), read_image(bright)
        if image.shape != reference.shape:
            sizes = [f'{each.shape[1]}x{each.shape[0]}' for each in (image, reference)]
            told = f'{low} is {sizes[0]}, its partner {bright} is {sizes[1]}'
            raise DataError(f'{told}: expected equal sizes')
        sample = make_sample(low, to_tensor(shrink(reference, self.max_size)))
        return dict(inputs=to_tensor(shrink(image, self.max_size)), data_samples=sample)


def _match(low: Path, bright: Path) -> list[tuple[Path, Path]]:
    partners: dict[Path, Path] = {}
    for path in find_images(bright):
        key = path.relative_to(bright).with_suffix('')
        if key in partners:
            raise DataError(f'{path} and {partners[key]} are partners of the same image')
        partners[key] = path
    files = {path: path.relative_to(low).with_suffix('') for path in find_images(low)}
    if alone := [path for path, key in files.items() if key not in partners]:
        told = f'{len(alone)} of {len(files)} images in {low} have no partner in {bright}'
        raise DataError(f'{told}; the first is {alone[0].name}')
    return [(path, partners[key]) for path, key in files.items()]
