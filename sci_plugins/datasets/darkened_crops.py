"""Bright images with the same images in the dark, to tune an enhancer with.

Crops of photographs, or the labelled images of a network's own data set.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from sci_plugins.datasets.low_light_folder import find_images, to_tensor
from sci_plugins.datasets.transforms.low_light import RANDOM_WHITE_BALANCE, log_uniform
from sci_plugins.errors import DataError, SciPluginsError, tell_cause
from sci_plugins.functional.host_image import host_to_rgb
from sci_plugins.functional.low_light import KINDS, compress_jpeg, darken, uneven_light
from sci_plugins.models.enhancement_stage import ValueCheck
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import read_image
from sci_plugins.utils.seeds import seeded

#: Mean pixel value below which a crop has nothing to teach: it is dark already.
MIN_MEAN = 0.14
_TRIES = 20
# Decoded photographs in memory: at 1 megapixel, 1.5 GB.
_MOST_KEPT = 512
# Photographs are shrunk by one of these, or as far as a crop allows, before they are cropped: a
# crop of a shrunken one has the light of a whole picture.
_SCALES = (1.0, 0.7, 0.5, 0.35)


class Batch(NamedTuple):
    """Images of one size, which go through a network at once."""

    bright: Tensor  # as they are, ``(N, 3, H, W)``, RGB, [0, 1]
    dark: Tensor  # the same, darkened; some stay as they are
    labels: Sequence[Any] | None = None  # the host's data sample of each, with its truth

    def singles(self) -> 'list[Batch]':
        """Each image by itself."""
        labels = [None] * len(self.bright) if self.labels is None else [[x] for x in self.labels]
        rows = zip(self.bright.split(1), self.dark.split(1), labels, strict=True)
        return [Batch(*row) for row in rows]


@dataclass(frozen=True)
class Darkness:
    """How crops are darkened: shares of them, and ranges drawn uniformly in the logarithm."""

    untouched: float = 0.25  # share that stays as it is: what is bright and clean must not change
    by_day: float = 0.1  # share of the others that keeps all of its light, and may be noisy
    gain: tuple[float, float] = (0.01, 1.0)  # fraction of the light
    noise: tuple[float, float] = (2e-4, 5e-3)  # as in :class:`sci_plugins.SynthesizeLowLight`
    noisy: float = 0.7  # share with such noise
    shot_noise: tuple[float, float] = (1e-4, 6e-3)
    shot: float = 0.35  # share with shot noise
    uneven: float = 0.4  # share in uneven light
    balanced: float = 0.25  # share with coloured noise, by white balance
    compressed: float = 0.2  # share compressed as JPEG of quality 55 to 95
    resized: float = 0.4  # share of all that is resized afterwards, as pipelines do, bilinearly
    scale: tuple[float, float] = (0.5, 2.0)  # by which factors

    def apply(self, crop: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A crop, ``(H, W, 3)`` uint8 RGB, in the dark; same shape and dtype."""
        draw = generator.random
        if draw() < self.untouched:
            return crop
        gain = 1.0 if draw() < self.by_day else log_uniform(self.gain, draw())
        noise = log_uniform(self.noise, draw()) if draw() < self.noisy else 0.0
        shot = log_uniform(self.shot_noise, draw()) if draw() < self.shot else 0.0
        light = balance = None
        if draw() < self.uneven:
            kind = list(KINDS)[generator.integers(len(KINDS))]
            light = uneven_light(kind, crop.shape[0], crop.shape[1], generator)
        if draw() < self.balanced:
            red, blue = (generator.uniform(*each) for each in RANDOM_WHITE_BALANCE)
            balance = (red, 1.0, blue)
        dark = darken(crop, gain, noise, shot, generator, white_balance=balance, light=light)
        if draw() < self.compressed:
            dark = compress_jpeg(dark[..., ::-1], int(generator.integers(55, 96)))[..., ::-1]
        return np.ascontiguousarray(dark)

    def draw_scale(self, generator: np.random.Generator) -> float:
        """By what an image is to be resized afterwards; 1 leaves it."""
        draw = generator.random
        return log_uniform(self.scale, draw()) if draw() < self.resized else 1.0


@dataclass(eq=False, repr=False)
class DarkenedCrops:
    """Endless, seeded batches of crops from folders of photographs.

    Batch ``k`` depends on the seed and ``k`` alone, so that a run can be resumed.

    Raises:
        DataError: if there is no image, or all are dark or smaller than a crop.
    """

    bright: Sequence[PathLike]  # files and folders of photographs by day
    #: those of real dark photographs that are to stay as the network knows them: their crops are
    #: both sides of a pair
    as_they_are: Sequence[PathLike] = ()
    _: KW_ONLY
    share: float = 0.15  # of the crops that come from ``as_they_are``, if there are any
    crop_size: int = 192  # side in pixels; smaller images are left out
    batch_size: int = 6
    darkness: Darkness | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._darkness = self.darkness or Darkness()
        self._bright = _Photographs(self.bright, self.crop_size)
        self._as_they_are = _Photographs(self.as_they_are, self.crop_size)

    @property
    def files(self) -> list[Path]:
        return self._bright.files + self._as_they_are.files

    @property
    def skipped(self) -> dict[str, str]:
        """File -> why it cannot be used, of those that have been tried."""
        return self._bright.skipped | self._as_they_are.skipped

    def batch(self, number: int) -> Batch:
        generator = np.random.default_rng([self.seed, number])
        pairs = [self._pair(generator) for _ in range(self.batch_size)]
        bright, dark = (torch.stack([to_tensor(pair[k]) for pair in pairs]) for k in (0, 1))
        return Batch(bright, dark)

    def parts(self, number: int) -> list[Batch]:
        """The batch of that number, in pieces of one size."""
        return [self.batch(number)]

    def _pair(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if self.as_they_are and generator.random() < self.share:
            crop = self._as_they_are.crop(self.crop_size, generator)
            return crop, crop
        for _ in range(_TRIES):
            side = round(self.crop_size / self._darkness.draw_scale(generator))
            crop = self._bright.crop(side, generator)
            if crop.mean() >= 255 * MIN_MEAN:
                dark, size = self._darkness.apply(crop, generator), (self.crop_size, self.crop_size)
                return _resize(crop, size), _resize(dark, size)
        told = f'{_TRIES} crops in a row have a mean below {MIN_MEAN:g} (white is 1)'
        advice = 'give photographs by day, and dark ones by --as-they-are'
        raise DataError(f'the photographs are too dark to teach anything: {told}; {advice}')


@dataclass(eq=False, repr=False)  # it has all indices
class LabelledImages:
    """Endless, seeded batches of a network's labelled images, some of them in the dark.

    Each image by itself, as the data set's own pipeline gives it, since sizes differ. Images that
    are dark already, below :data:`MIN_MEAN`, stay as they are. Batch ``k`` depends on the seed and
    ``k`` alone, if the pipeline draws its random numbers from Python, NumPy or PyTorch.
    """

    #: of mmdet or mmseg; its pipeline packs ``inputs``, ``(3, H, W)``, uint8 or float on the scale
    #: of 255, and ``data_samples`` with the truth
    dataset: Any
    indices: Sequence[int]  # which of its images
    input_order: str = 'bgr'  # channel order of its images, or ``'rgb'``
    _: KW_ONLY
    batch_size: int = 6
    darkness: Darkness | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._darkness = self.darkness or Darkness()
        has_infos = hasattr(self.dataset, 'get_data_info')
        infos = map(self.dataset.get_data_info, self.indices) if has_infos else ()
        named = [info.get(key) for info in infos for key in ('img_path', 'seg_map_path')]
        self.files = [Path(each) for each in named if each]
        self.skipped: dict[str, str] = {}
        self._values = ValueCheck(255)

    def parts(self, number: int) -> list[Batch]:
        """The batch of that number, image by image; a DataError names one that cannot be used."""
        generator = np.random.default_rng([self.seed, number])
        return [self._pair(generator) for _ in range(self.batch_size)]

    def _pair(self, generator: np.random.Generator) -> Batch:
        index = self.indices[int(generator.integers(len(self.indices)))]
        item = self._load(index, int(generator.integers(2**32)))
        image, sample = item.get('inputs'), item.get('data_samples')
        sample = {} if sample is None else sample
        if not isinstance(image, Tensor) or image.ndim != 3 or image.shape[0] != 3:
            raise DataError('the train_dataloader must give colour images of shape (3, H, W)')
        if not ('gt_sem_seg' in sample or 'labels' in sample.get('gt_instances', ())):
            told = 'images without labels: its pipeline needs LoadAnnotations before it packs'
            raise DataError(f'the train_dataloader of the config gives {told}')
        self._values.check([image], True, [str(sample.get('img_path', ''))])
        rgb = host_to_rgb(image[None], self.input_order)
        bright = (rgb[0].permute(1, 2, 0) * 255).round().byte().numpy()
        dark = self._darken(bright, generator) if bright.mean() >= 255 * MIN_MEAN else bright
        return Batch(to_tensor(bright)[None], to_tensor(dark)[None], [sample])

    def _load(self, index: int, seed: int) -> dict[str, Any]:
        try:
            with seeded(seed):
                return self.dataset[index]
        except (SciPluginsError, OSError):
            raise
        except Exception as error:  # whatever a host's pipeline raises for a broken file
            told = f'cannot be loaded ({tell_cause(error)})'
            raise DataError(f'image {index} of the train_dataloader {told}') from error

    def _darken(self, image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """In the dark, perhaps at another size: it is resized before and after."""
        height, width = image.shape[:2]
        scale = self._darkness.draw_scale(generator)
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        return _resize(self._darkness.apply(_resize(image, size), generator), (width, height))


class _Photographs:
    """Images by their files; those that are too small or cannot be read are passed over."""

    def __init__(self, paths: Sequence[PathLike], size: int) -> None:
        self.files = find_images(paths)
        self.size = size
        self.skipped: dict[str, str] = {}
        self._cache: dict[int, np.ndarray] = {}

    def crop(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """A random crop of a random image, perhaps shrunk or mirrored: ``(S, S, 3)`` uint8.

        ``S`` is ``size``, or what the image allows.
        """
        image = self._read_or_next(int(generator.integers(len(self.files))))
        size = min(size, *image.shape[:2])
        scale = max(_SCALES[generator.integers(len(_SCALES))], size / min(image.shape[:2]))
        if scale < 1:
            height, width = (max(size, round(side * scale)) for side in image.shape[:2])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        top, left = (int(generator.integers(side - size + 1)) for side in image.shape[:2])
        crop = image[top : top + size, left : left + size]
        return np.ascontiguousarray(crop[:, ::-1] if generator.random() < 0.5 else crop)

    def _read_or_next(self, index: int) -> np.ndarray:
        for step in range(len(self.files)):
            if (image := self._read((index + step) % len(self.files))) is not None:
                return image
        first = next(iter(self.skipped.values()))
        raise DataError(f'none of {len(self.files)} images can be used; first: {first}')

    def _read(self, index: int) -> np.ndarray | None:
        path = str(self.files[index])
        if index not in self._cache and path not in self.skipped:
            try:
                image = read_image(path)
                height, width = image.shape[:2]
                if min(height, width) < self.size:
                    raise DataError(f'{path} is {width}x{height}, smaller than {self.size}')
                if len(self._cache) >= _MOST_KEPT:
                    self._cache.clear()
                self._cache[index] = image
            except (DataError, OSError) as error:
                self.skipped[path] = ' '.join(str(error).split())
        return self._cache.get(index)


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To (width, height)."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
