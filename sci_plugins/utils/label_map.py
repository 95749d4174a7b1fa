"""Reading label maps: PNG files in which each pixel is the id of its class."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sci_plugins.errors import DataError
from sci_plugins.utils.decoding import open_lazily

# Pillow's modes of what holds one number a pixel; 'P' gives indices, not colours.
_ONE_NUMBER = ('1', 'L', 'P', 'I;16', 'I;16B', 'I')
# Pillow stretches grey of so many bits to the range of a byte; palettes it leaves.
_GREY = 0
_STRETCHED = {2: 85, 4: 17}


def read_label_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the ids of a PNG file of 1 to 16 bits, as grey levels or palette indices.

    Returns:
        ``(H, W)``, uint8, or uint16 from a file of 16 bits.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if the file is empty, damaged, no PNG, or a picture in colours.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'label map not found: {path}')
    if path.stat().st_size == 0:
        raise DataError(f'{path} is empty (0 bytes)')
    try:
        with open_lazily(path) as image:
            return _ids(path, image)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f'{path} is no PNG that can be read') from error
    except Exception as error:  # a decoder raises anything on a damaged file
        cause = str(error).strip().split('\n')[0] or type(error).__name__
        raise DataError(f'{path} cannot be read: {cause}') from error


def _ids(path: Path, image: Image.Image) -> np.ndarray:
    if image.format != 'PNG':
        raise DataError(
            f'{path} is a {image.format} file; label maps must be PNG, which keeps ids '
            'as they are'
        )
    if image.mode not in _ONE_NUMBER:
        raise DataError(
            f'{path} is a picture in colours ({image.mode}); a label map holds one id a '
            'pixel, as grey level or palette index'
        )
    with path.open('rb') as file:  # bits and colour type stand in PNG's first chunk
        depth, kind = file.read(26)[24:]
    values = np.asarray(image)
    if depth == 16:
        return values.astype(np.uint16)
    stretch = _STRETCHED.get(depth, 1) if kind == _GREY else 1
    return values.astype(np.uint8) // np.uint8(stretch)
