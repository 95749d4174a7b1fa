"""Reading and writing photographs: any usual file in, the same kind of file out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from sci_plugins.errors import DataError
from sci_plugins.utils.decoding import Picture, decode, open_lazily

#: Suffix of an image file, in lower case -> Pillow's name of the format.
IMAGE_FORMATS = {
    '.bmp': 'BMP',
    '.jpeg': 'JPEG',
    '.jpg': 'JPEG',
    '.png': 'PNG',
    '.tif': 'TIFF',
    '.tiff': 'TIFF',
}

# Half the time of zlib's default of 6, for files of nearly the same size.
_PNG_LEVEL = 3
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    'PNG': dict(compress_level=_PNG_LEVEL),
    # No chroma subsampling: enhancing has already amplified the colour noise.
    'JPEG': dict(quality=95, subsampling=0),
    'TIFF': dict(compression='tiff_lzw'),
}


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Decode a PNG, JPEG, BMP or TIFF file, whatever its suffix.

    Palette, CMYK and YCbCr become RGB; 1-bit becomes 8-bit grey. Depth, grey and
    alpha stay. Float TIFFs are read where they are grey and within [0, 1].

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if the file is empty, damaged, of another kind, has several
            pages, or holds NaN or values that no image has.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'image not found: {path}')
    if path.stat().st_size == 0:
        raise DataError(f'{path} is empty (0 bytes)')
    try:
        with open_lazily(path) as image:
            return decode(path, image)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f'{path} is no PNG, JPEG, BMP or TIFF that can be read'
        ) from error
    except Exception as error:  # a decoder raises anything on a damaged file
        cause = str(error).strip().split('\n')[0] or type(error).__name__
        raise DataError(f'{path} cannot be read: {cause}') from error


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read any image file as RGB ``(H, W, 3)`` uint8, upright.

    Grey is repeated, 16 bits are cut to 8, alpha is left out.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: as :func:`read_picture`.
    """
    pixels = read_picture(path).pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype == np.float32:
        pixels = (pixels * 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def image_pixels(path: str | os.PathLike[str]) -> int:
    """Width times height by the file's header; 0 where that cannot be read."""
    try:
        with open_lazily(Path(path)) as image:
            return image.width * image.height
    except Exception:  # reading it in full will say what is wrong
        return 0


def storable_dtype(path: str | os.PathLike[str], dtype: Any) -> np.dtype:
    """The dtype to save an image of ``dtype`` with in the format of ``path``.

    JPEG and BMP hold uint8, PNG uint8 and uint16, TIFF also float32.
    """
    kind = _format_of(Path(path))
    if kind in ('JPEG', 'BMP'):
        return np.dtype(np.uint8)
    if kind == 'PNG' and np.dtype(dtype) == np.float32:
        return np.dtype(np.uint16)
    return np.dtype(dtype)


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Save in the format that the suffix of ``path`` names; makes its folder.

    Written beside and then renamed: no half-written file is left. PNG, BMP and
    TIFF are lossless, JPEG has quality 95 without chroma subsampling.

    Raises:
        DataError: if the format cannot hold the depth or the alpha channel.
        OSError: if the file cannot be written.
    """
    path = Path(path)
    kind = _format_of(path)
    if picture.pixels.dtype != storable_dtype(path, picture.pixels.dtype):
        raise DataError(f'{path}: {kind} cannot hold {picture.pixels.dtype} pixels')
    if picture.alpha is not None and kind in ('JPEG', 'BMP'):
        raise DataError(f'{path}: {kind} cannot hold an alpha channel; PNG can')
    with _written_beside(path) as beside:
        if picture.pixels.dtype == np.uint16:
            _save_with_opencv(beside, picture, kind)
        else:
            _save_with_pillow(beside, picture, kind)


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Save RGB ``(H, W, 3)`` or grey ``(H, W)`` uint8; see :func:`write_picture`."""
    write_picture(path, Picture(image[..., None] if image.ndim == 2 else image))


def _format_of(path: Path) -> str:
    kind = IMAGE_FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ', '.join(IMAGE_FORMATS)
        raise DataError(f'{path}: unknown image suffix {path.suffix!r}; known: {known}')
    return kind


def _save_with_pillow(path: Path, picture: Picture, kind: str) -> None:
    array = picture.pixels
    if picture.alpha is not None:
        array = np.concatenate([array, picture.alpha[..., None]], axis=2)
    array = np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)
    options = dict(_SAVE_OPTIONS.get(kind, {}))
    if picture.icc_profile is not None and kind != 'BMP':
        options['icc_profile'] = picture.icc_profile
    Image.fromarray(array).save(path, format=kind, **options)


def _save_with_opencv(path: Path, picture: Picture, kind: str) -> None:
    """16-bit PNG or TIFF; grey with alpha becomes RGBA, which OpenCV can write."""
    array = picture.pixels[..., ::-1]
    if picture.alpha is not None:
        array = np.broadcast_to(array, (*array.shape[:2], 3))
        array = np.concatenate([array, picture.alpha[..., None]], axis=2)
    options = [] if kind == 'TIFF' else [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL]
    suffix = '.tiff' if kind == 'TIFF' else '.png'
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(array), options)
    if not done:
        raise DataError(f'{path}: OpenCV could not encode a 16-bit {kind}')
    encoded.tofile(path)


@contextmanager
def _written_beside(path: Path) -> Iterator[Path]:
    """A hidden file beside ``path``, renamed at the end, removed after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name per target: what a killed run has left is written over by the next.
    beside = path.with_name(f'.{path.name}.part')
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
