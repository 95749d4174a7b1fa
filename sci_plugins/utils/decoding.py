"""Decoding of photographs into arrays: depth, grey, alpha, orientation, profile.

Pillow decodes what has 8 bits a channel, as the authors' code does; OpenCV what has
16, because Pillow cuts 16-bit colour down to 8.
"""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from PIL import Image, ImageOps

from sci_plugins.errors import DataError

#: Largest image that is opened, in pixels; OpenCV's own limit.
MAX_PIXELS = 2**30

_READABLE = ('PNG', 'JPEG', 'BMP', 'TIFF')
# Pillow's mode -> (mode to convert to, and that where one colour is transparent)
_MODES = {
    '1': ('L', 'LA'),
    'L': ('L', 'LA'),
    'LA': ('LA', 'LA'),
    'P': ('RGB', 'RGBA'),
    'PA': ('RGBA', 'RGBA'),
    'RGB': ('RGB', 'RGBA'),
    'RGBX': ('RGB', 'RGB'),
    'RGBA': ('RGBA', 'RGBA'),
    'CMYK': ('RGB', 'RGB'),
    'YCbCr': ('RGB', 'RGB'),
}
# What OpenCV can have made RGB or RGBA of; not CMYK, whose four channels it takes
# for RGBA.
_DEEP_COLOUR = ('LA', 'RGB', 'RGBX', 'RGBA')
# Colour type of PNG's header: OpenCV gives such an image as RGBA.
_GREY_WITH_ALPHA = 4
_OPEN_LOCK = Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded image file, upright (EXIF orientation applied).

    Attributes:
        pixels: ``(H, W, 3)`` RGB or ``(H, W, 1)`` grey; uint8, uint16, or float32
            in [0, 1].
        alpha: ``(H, W)`` opacity of the same dtype, ``None`` where there is none.
        icc_profile: colour profile as stored in the file, ``None`` where there is
            none. 16-bit files cannot keep it.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None


def open_lazily(path: Path) -> Image.Image:
    """Open an image file and read its header only.

    Raises:
        DataError: if the header claims more than ``MAX_PIXELS`` pixels.
        OSError: if the file is missing or no PNG, JPEG, BMP or TIFF.
    """
    # Pillow refuses some 180 megapixels as an attack; a mosaic or a scan may have
    # more. The limit is a global, so it is lifted for the opening alone.
    with _OPEN_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=_READABLE)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DataError(
            f'{path} claims {image.width}x{image.height} pixels, more than {MAX_PIXELS}'
        )
    return image


def decode(path: Path, image: Image.Image) -> Picture:
    """Decode an opened image file; see :func:`sci_plugins.utils.images.read_picture`.

    Raises:
        DataError: if the file holds what no single photograph holds.
        Exception: whatever a decoder raises on a damaged file.
    """
    pages = getattr(image, 'n_frames', 1)
    # MPO: a JPEG followed by more pictures, as many telephones write it.
    if pages > 1 and image.format != 'MPO':
        raise DataError(
            f'{path} holds {pages} pages or frames; only single images are read'
        )
    if _bits(path, image) == 16:
        return _decode_deep(path, image)
    if image.mode == 'F':
        return _decode_float(path, image)
    if image.mode not in _MODES:
        raise DataError(
            f'{path} has pixels of kind {image.mode!r}, which are not supported'
        )
    profile = image.info.get('icc_profile') if image.mode != 'CMYK' else None
    mode = _MODES[image.mode]['transparency' in image.info]
    ImageOps.exif_transpose(image, in_place=True)
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    return _split_alpha(array, mode.endswith('A'), profile)


def _bits(path: Path, image: Image.Image) -> int:
    """Bits a channel; Pillow's mode hides them for colour."""
    if image.format == 'PNG':
        return _png_depth_and_kind(path)[0]
    tags = getattr(image, 'tag_v2', {})
    return max(tags.get(258, (8,))) if image.format == 'TIFF' else 8


def _png_depth_and_kind(path: Path) -> tuple[int, int]:
    """Bits a channel and colour type (PNG specification, section 11.2.1, IHDR)."""
    with open(path, 'rb') as file:
        header = file.read(26)
    return header[24], header[25]


def _decode_deep(path: Path, image: Image.Image) -> Picture:
    _refuse_what_opencv_misreads(path, image)
    array = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise DataError(f'{path} cannot be read: damaged, or an unusual 16-bit image')
    if image.format == 'PNG':  # OpenCV turns TIFF upright by itself
        array = _upright(array, image.getexif().get(0x0112, 1))
    if array.ndim == 2:
        return Picture(array[..., None])
    if image.mode not in _DEEP_COLOUR:
        raise DataError(f'{path}: 16-bit pixels of kind {image.mode!r} are not supported')
    has_alpha = array.shape[2] == 4 and image.mode != 'RGBX'
    alpha = array[..., 3] if has_alpha else None
    if image.format == 'PNG' and _png_depth_and_kind(path)[1] == _GREY_WITH_ALPHA:
        return Picture(array[..., :1], alpha)
    return Picture(array[..., 2::-1], alpha)


def _refuse_what_opencv_misreads(path: Path, image: Image.Image) -> None:
    """OpenCV mixes up planes and leaves inverted grey inverted, without a word."""
    tags = getattr(image, 'tag_v2', {}) if image.format == 'TIFF' else {}
    if tags.get(284, 1) != 1:  # PlanarConfiguration
        raise DataError(f'{path}: 16-bit TIFF in separate colour planes is not supported')
    if tags.get(262, 1) not in (1, 2):  # PhotometricInterpretation: grey, RGB
        raise DataError(f'{path}: a 16-bit TIFF must be grey (0 is black) or RGB')


def _decode_float(path: Path, image: Image.Image) -> Picture:
    ImageOps.exif_transpose(image, in_place=True)
    array = np.asarray(image)
    if not np.isfinite(array).all():
        raise DataError(f'{path} holds NaN or infinite values')
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise DataError(
            f'{path} holds values from {low:.4g} to {high:.4g}; float images must lie '
            'in [0, 1]'
        )
    return Picture(array[..., None])


def _split_alpha(array: np.ndarray, has_alpha: bool, profile: bytes | None) -> Picture:
    if array.ndim == 2:
        array = array[..., None]
    if not has_alpha:
        return Picture(array, None, profile)
    return Picture(array[..., :-1], array[..., -1], profile)


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8; anything else leaves the array as it is."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array
