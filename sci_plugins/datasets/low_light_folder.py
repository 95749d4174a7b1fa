"""Folders of dark photographs without labels, and batches of their images."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import Dataset

from sci_plugins.datasets.samplers import Draw
from sci_plugins.errors import DataError, check_at_least, check_choice
from sci_plugins.registry import DATASETS, FUNCTIONS
from sci_plugins.utils.folders import PathLike, list_files
from sci_plugins.utils.images import IMAGE_FORMATS, header_size, read_image


class ImageSample(BaseDataElement):
    """Where an image comes from, and its bright reference if there is one."""

    img_path: str  # the image's file
    #: unreadable files that this one replaces, with the cause of each: ``((path, cause), ...)``
    skipped: tuple[tuple[str, str], ...]
    reference: Tensor  # ``(3, H, W)``, RGB, float in [0, 1]; only in paired data sets


def make_sample(
    path: Path, reference: Tensor | None = None, skipped: tuple[tuple[str, str], ...] = ()
) -> ImageSample:
    """An :class:`ImageSample` for the file ``path``."""
    sample = ImageSample(metainfo=dict(img_path=str(path), skipped=skipped))
    if reference is not None:
        sample.reference = reference
    return sample


MIN_SIDE = 5  # SCI's smoothness compares a pixel with the 5x5 pixels around it


@DATASETS.register_module()
@dataclass(eq=False)
class LowLightFolder(Dataset):
    """All images below some folders, for training an enhancer.

    An item is ``dict(inputs=image, data_samples=sample)``: ``(3, H, W)``, RGB, float32, in [0, 1],
    and an :class:`ImageSample`. Use ``collate_fn=dict(type='sci_plugins.stack_images')`` for
    batches. Crops and mirroring follow the seed that ``SeededSampler`` or ``SeededInfiniteSampler``
    sends with an index; with a bare index they follow PyTorch's global generator.

    Raises:
        ConfigError: if a size is not an int or too small.
        DataError: naming the path, if a folder is missing or has no image, or an image is smaller
            than the crop or than 5 pixels; when an item is read, if its file is not an image.
    """

    #: one or several folders or files, searched by :func:`find_images`
    data_root: PathLike | Sequence[PathLike]
    max_size: int | None = None  # shrink an image whose longer side exceeds this many pixels
    crop_size: int | None = None  # side of a random square crop, taken after shrinking
    flip: bool = False  # mirror half of the images, at random, left to right
    #: keep decoded images, 3 bytes per pixel, in every worker: best with ``num_workers=0``
    cache: bool = False
    #: replace an unreadable image, instead of raising, by the next readable one, and name it in
    #: ``data_samples.skipped``, which ``SkippedImagesHook`` counts
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        sizes = dict(max_size=self.max_size, crop_size=self.crop_size)
        given = {name: size for name, size in sizes.items() if size is not None}
        check_at_least(MIN_SIDE, 'LowLightFolder', **given)
        self.files = find_images(self.data_root)
        self._cache: dict[int, np.ndarray] = {}
        # Small images are refused at the start, from their headers, not after hours.
        least, wish = MIN_SIDE, f'{MIN_SIDE} pixels, the neighbourhood of the loss'
        if self.crop_size is not None:
            least, wish = self.crop_size, f'crop_size={self.crop_size}'
        for path in self.files:
            width, height = _limit_size(*header_size(path), self.max_size)
            if 0 < min(width, height) < least:
                raise DataError(f'{path} is {width}x{height}, smaller than {wish}')

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int | Draw) -> dict[str, Any]:
        draw = index if isinstance(index, Draw) else Draw(index)
        position, pixels, skipped = self._read_or_next(draw.index)
        generator = draw.generator()
        if self.crop_size is not None:
            pixels = _random_crop(pixels, self.crop_size, self.files[position], generator)
        image = to_tensor(pixels)
        if self.flip and torch.rand((), generator=generator) < 0.5:
            image = image.flip(-1)
        sample = make_sample(self.files[position], skipped=tuple(skipped.items()))
        return dict(inputs=image, data_samples=sample)

    def _read_or_next(self, index: int) -> tuple[int, np.ndarray, dict[str, str]]:
        """The image at ``index`` or after it, its position, and what was skipped."""
        skipped: dict[str, str] = {}
        for step in range(len(self.files)):
            position = (index + step) % len(self.files)
            try:
                return position, self._read(position), skipped
            except (DataError, OSError) as error:
                if not self.skip_unreadable:
                    raise
                skipped[str(self.files[position])] = ' '.join(str(error).split())
        first = next(iter(skipped.values()))
        raise DataError(f'none of {len(self.files)} images can be read; first: {first}')

    def _read(self, index: int) -> np.ndarray:
        """Decoded and shrunk image, ``(H, W, 3)`` uint8."""
        if index in self._cache:
            return self._cache[index]
        image = shrink(read_image(self.files[index]), self.max_size)
        if self.cache:
            self._cache[index] = image
        return image


def find_images(places: PathLike | Iterable[PathLike]) -> list[Path]:
    """All images in a folder and its subfolders, in natural order; or the one file.

    Of several such ``places``, one after the other. The log says what was skipped. A DataError
    names a folder that is missing or has no image.
    """
    if not isinstance(places, str | os.PathLike):
        return [path for place in places for path in find_images(place)]
    root = Path(os.path.expanduser(places))
    if root.is_file():
        return [root]
    if not root.exists():
        raise DataError(f'image folder not found: {root}')
    listing = list_files(root, IMAGE_FORMATS)
    if not listing.files:
        note = f' ({listing.note})' if listing.note else ''
        raise DataError(f'no image ({", ".join(IMAGE_FORMATS)}) below {root}{note}')
    if listing.note:
        print_log(f'{root}: {listing.note}', logger='current', level=logging.WARNING)
    return listing.files


def to_tensor(image: np.ndarray) -> Tensor:
    """RGB ``(H, W, 3)`` uint8 to ``(3, H, W)`` float32 in [0, 1]."""
    values = torch.from_numpy(np.array(image))  # a copy: PIL's is read-only
    return values.permute(2, 0, 1).contiguous().float().div(255)


def _limit_size(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    if max_size is None or max(height, width) <= max_size:
        return width, height
    scale = max_size / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrink(image: np.ndarray, max_size: int | None) -> np.ndarray:
    """``(H, W, 3)`` uint8 with a longer side of at most ``max_size`` pixels."""
    height, width = image.shape[:2]
    size = _limit_size(width, height, max_size)
    if size == (width, height):
        return image
    # Averaging whole areas: other filters would alias the noise of a dark image.
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _random_crop(
    image: np.ndarray, size: int, path: Path, generator: torch.Generator | None
) -> np.ndarray:
    height, width = image.shape[:2]
    if min(height, width) < size:  # the file has changed since the start
        raise DataError(f'{path} is {width}x{height}, smaller than crop_size={size}')
    top = int(torch.randint(height - size + 1, (), generator=generator))
    left = int(torch.randint(width - size + 1, (), generator=generator))
    return image[top : top + size, left : left + size]


@FUNCTIONS.register_module()
def stack_images(batch: Sequence[dict[str, Any]], mixed: str = 'refuse') -> dict:
    """Stack the images of a batch; for a loader's ``collate_fn``.

    Items of our data sets become ``dict(inputs=(N, 3, H, W), data_samples=list of N)``. With
    ``mixed='crop'`` images of several sizes are cropped around their centres to the smallest height
    and the smallest width of the batch.

    Raises:
        ConfigError: if ``mixed`` is neither ``'refuse'`` nor ``'crop'``.
        DataError: if sizes differ and ``mixed`` is ``'refuse'``; names two of the images.
    """
    check_choice('mixed', mixed, ('refuse', 'crop'), 'stack_images')
    images = [item['inputs'] for item in batch]
    samples = [item['data_samples'] for item in batch]
    other = next((i for i, image in enumerate(images) if image.shape != images[0].shape), 0)
    if other and mixed == 'refuse':
        sizes = [f'{image.shape[-1]}x{image.shape[-2]}' for image in images]
        first, second = (f'{samples[i].img_path} ({sizes[i]})' for i in (0, other))
        advice = "set the data set's crop_size, batch_size=1, or collate_fn.mixed='crop'"
        raise DataError(f'a batch needs images of one size, got {first} and {second}: {advice}')
    if other:
        height, width = (min(image.shape[axis] for image in images) for axis in (-2, -1))
        images = [_crop_center(image, height, width) for image in images]
        samples = [sample.clone() for sample in samples]
        for sample in samples:
            if 'reference' in sample:
                sample.reference = _crop_center(sample.reference, height, width)
    return dict(inputs=torch.stack(images), data_samples=samples)


def _crop_center(image: Tensor, height: int, width: int) -> Tensor:
    top = (image.shape[-2] - height) // 2
    left = (image.shape[-1] - width) // 2
    return image[..., top : top + height, left : left + width]
