"""The size of an image file, from its head alone."""

import os

from PIL import Image, UnidentifiedImageError

from sci_plugins.errors import DataError


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """``(width, height)`` in pixels as stored, without decoding the image.

    Raises:
        DataError: naming the file, if it is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise DataError(f'{path}: there is no such image') from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f'{path}: cannot be read as an image ({error})') from error
