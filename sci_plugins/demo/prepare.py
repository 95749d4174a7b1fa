"""Generate the demo's two data sets once and keep them."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sci_plugins.datasets.darkface import write_boxes
from sci_plugins.demo.faces import draw_face_scene, load_material
from sci_plugins.demo.streets import draw_street
from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import expose, linear_to_srgb, to_uint8
from sci_plugins.utils.files import cache_folder, write_atomically
from sci_plugins.utils.images import write_image

#: Increased with every change to the pictures, so that no old ones are used.
VERSION = 2
SEED = 2204
SPLITS = ('train', 'test')
#: Number of images by task and split.
COUNTS = dict(faces_train=320, faces_test=60, streets_train=240, streets_test=40)


class Lighting(NamedTuple):
    """Exposure and noise of the sensor, see ``low_light.expose``."""

    gain: float
    noise: float
    shot_noise: float

    def describe(self) -> str:
        """The lighting in words, for tables."""
        told = f'gain {self.gain:g}, read noise {self.noise:g}'
        return 'bright, as trained' if self == BRIGHT else told


BRIGHT = Lighting(1.0, 0.0, 0.0)
#: Test conditions. Gains and read noise are those of published experiments on frozen networks, not
#: chosen by results. The shot noise follows from 10,000 photons for white.
CONDITIONS = dict(
    bright=BRIGHT,
    dark=Lighting(0.05, 0.0005, 1e-4),
    very_dark=Lighting(0.02, 0.0005, 1e-4),
    noisy=Lighting(0.05, 0.004, 1e-4),
)


def demo_folder() -> Path:
    """Where the demo's data are kept: a folder per version, below the cache folder."""
    return cache_folder() / 'demo' / f'v{VERSION}'


def prepare_demo(
    root: str | os.PathLike[str] | None = None,
    splits: Sequence[str] = ('test',),
    counts: Mapping[str, int] | None = None,
    progress: bool = True,
) -> Path:
    """Generate the demo's data unless they exist.

    ``faces_SPLIT`` has DARK FACE's layout: ``image/ID.png`` (bright), ``image_CONDITION/ID.png``,
    ``label/ID.txt``. ``streets_SPLIT`` has Cityscapes':
    ``leftImg8bit/SPLIT/demo/demo_ID_leftImg8bit.png`` (bright), the same below ``SPLIT_CONDITION``,
    and ``gtFine/SPLIT/demo/demo_ID_gtFine_labelTrainIds.png``. Training data are bright only. The
    same version always gives the same pictures. A folder appears complete or not at all, even if
    two processes generate it at once.

    Args:
        root: folder to hold them, which is returned; ``None`` is :func:`demo_folder`.
        splits: ``'train'``, ``'test'`` or both.
        counts: numbers of images that differ from ``COUNTS``.
        progress: show a bar for each new folder.

    Raises:
        ConfigError: if a split or a name in ``counts`` is unknown.
        MissingDependencyError: if scikit-image is not installed.
    """
    sizes = dict(COUNTS, **(counts or {}))
    unknown = [*(set(splits) - set(SPLITS)), *(set(sizes) - set(COUNTS))]
    if unknown:
        raise ConfigError(
            f'demo data: splits must be of {", ".join(SPLITS)} and counts of '
            f'{", ".join(COUNTS)}; got {", ".join(map(str, unknown))}'
        )
    folder = Path(os.path.expanduser(root)) if root is not None else demo_folder()
    for split in splits:
        for task, write in (('faces', _write_face_scene), ('streets', _write_street)):
            name = f'{task}_{split}'
            if not (folder / name).is_dir():
                _make(folder / name, sizes[name], split, write, progress)
    return folder


def _make(target: Path, count: int, split: str, write: Callable[..., None], progress: bool) -> None:
    """Write ``count`` scenes to a temporary folder, then rename it to ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f'.{target.name}.'))
    try:
        for index in tqdm(range(count), desc=f'drawing {target.name}', disable=not progress):
            write(beside, split, index)
        conditions = {key: value._asdict() for key, value in _conditions(split)}
        stamp = dict(version=VERSION, seed=SEED, images=count, conditions=conditions)
        write_atomically(beside / 'demo.json', json.dumps(stamp, indent=2) + '\n')
        beside.chmod(0o755)  # folders of mkdtemp are private
        beside.rename(target)
    except OSError:
        # Another process may have been faster; its pictures are the same.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_face_scene(root: Path, split: str, index: int) -> None:
    key = (0, SPLITS.index(split), index)
    radiance, boxes = draw_face_scene(np.random.default_rng([SEED, *key]), load_material(split))
    for suffix, photo in _photos(radiance, split, key):
        write_image(root / f'image{suffix}' / f'{index + 1}.png', photo)
    write_boxes(root / 'label' / f'{index + 1}.txt', boxes)


def _write_street(root: Path, split: str, index: int) -> None:
    key = (1, SPLITS.index(split), index)
    radiance, labels = draw_street(np.random.default_rng([SEED, *key]))
    name = f'demo/demo_{index + 1:06d}'
    for suffix, photo in _photos(radiance, split, key):
        write_image(root / 'leftImg8bit' / f'{split}{suffix}' / f'{name}_leftImg8bit.png', photo)
    write_image(root / 'gtFine' / split / f'{name}_gtFine_labelTrainIds.png', labels)


def _photos(
    radiance: NDArray[np.float32], split: str, key: tuple[int, ...]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """A scene under each condition, and the end of its folder's name."""
    for number, (name, condition) in enumerate(_conditions(split)):
        generator = np.random.default_rng([SEED, *key, number])
        # Lamps above white stay saturated in the dark.
        photo = to_uint8(linear_to_srgb(expose(radiance, *condition, generator)))
        yield '' if condition == BRIGHT else f'_{name}', photo


def _conditions(split: str) -> list[tuple[str, Lighting]]:
    return [('bright', BRIGHT)] if split == 'train' else list(CONDITIONS.items())
