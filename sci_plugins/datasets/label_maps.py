"""Label maps as files: one channel of class numbers, and what else may be there."""

import os
from typing import Any

import numpy as np
from PIL import Image

from sci_plugins.errors import DataError


def read_label_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Numbers as stored: ``(H, W)``, with a palette its indices; ``(H, W, C)`` colours.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception as error:  # a decoder raises anything on a damaged file
        cause = str(error).strip().split('\n')[0] or type(error).__name__
        raise DataError(f'{path} cannot be read as a label map: {cause}') from error


def tell_colours(path: Any, shape: tuple[int, ...]) -> str:
    """One line for a picture of a label map in place of the label map."""
    return (
        f'{path}: is RGB-encoded ({shape[-1]} channels), a picture of the label map in '
        'colours; a label map has one channel, of class numbers'
    )


def tell_sizes(
    path: Any, label: tuple[int, ...], image: Any, shape: tuple[int, ...]
) -> str:
    """One line for a label map and an image of different shapes ``(H, W)``."""
    return f'{path}: is {label[1]}x{label[0]}, its image {image} {shape[1]}x{shape[0]}'
