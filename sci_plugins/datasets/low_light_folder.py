"""A folder of dark photographs, without labels."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import IMAGE_FORMATS, read_image


@DATASETS.register_module()
class LowLightFolder(Dataset):
    """All images below some folders, for training an enhancer.

    Args:
        data_root: folder, or several, searched with all their subfolders; the
            images are sorted by path.
        max_size: shrink an image whose longer side exceeds this many pixels.
        crop_size: side in pixels of a random square crop, taken after shrinking;
            ``None`` keeps whole images, which makes a batch of more than one
            possible only if all have one size.
        flip: mirror every second image at random, left to right.
        cache: keep decoded images (3 bytes a pixel) in memory after the first
            reading; in every worker of the loader, so best with ``num_workers=0``.

    An item is ``dict(inputs=image)``: ``(3, H, W)``, RGB, float32, in [0, 1].
    Batches come from ``collate_fn=dict(type='default_collate')``.

    Raises:
        ConfigError: if a size is not a positive int.
        DataError: if a folder is missing or holds no image; when an item is read,
            if its file is no image or smaller than the crop. Each names the path.
    """

    def __init__(
        self,
        data_root: str | os.PathLike[str] | list[str],
        max_size: int | None = None,
        crop_size: int | None = None,
        flip: bool = False,
        cache: bool = False,
    ) -> None:
        super().__init__()
        _check_size('max_size', max_size)
        _check_size('crop_size', crop_size)
        roots = data_root if isinstance(data_root, list | tuple) else [data_root]
        self.files = [path for root in roots for path in find_images(root)]
        self.max_size = max_size
        self.crop_size = crop_size
        self.flip = flip
        self._cache: dict[int, np.ndarray] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pixels = self._read(index)
        if self.crop_size is not None:
            pixels = _random_crop(pixels, self.crop_size, self.files[index])
        image = _to_tensor(pixels)
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(-1)
        return dict(inputs=image)

    def _read(self, index: int) -> np.ndarray:
        """Decoded and shrunk image, ``(H, W, 3)`` uint8."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        pixels = _shrink(read_image(self.files[index]), self.max_size)
        if self._cache is not None:
            self._cache[index] = pixels
        return pixels


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All images in ``folder`` and its subfolders, sorted by path.

    Raises:
        DataError: if the folder is missing or holds no image.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f'image folder not found: {root}')
    files = sorted(
        path
        for path in root.rglob('*')
        if path.suffix.lower() in IMAGE_FORMATS and path.is_file()
    )
    if not files:
        raise DataError(f'no image ({", ".join(IMAGE_FORMATS)}) below {root}')
    return files


def _shrink(image: np.ndarray, max_size: int | None) -> np.ndarray:
    height, width = image.shape[:2]
    if max_size is None or max(height, width) <= max_size:
        return image
    scale = max_size / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Averaging whole areas: other filters would alias the noise of a dark image.
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _to_tensor(image: np.ndarray) -> Tensor:
    values = torch.from_numpy(np.array(image))  # a copy: PIL's is read-only
    return values.permute(2, 0, 1).contiguous().float().div(255)


def _random_crop(image: np.ndarray, size: int, path: Path) -> np.ndarray:
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise DataError(f'{path} is {width}x{height}, smaller than crop_size={size}')
    # PyTorch's generator: MMEngine seeds it, and each worker has its own.
    top = int(torch.randint(height - size + 1, ()))
    left = int(torch.randint(width - size + 1, ()))
    return image[top : top + size, left : left + size]


def _check_size(name: str, value: int | None) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f'LowLightFolder: {name} must be a positive int or None, got {value!r}'
        )
