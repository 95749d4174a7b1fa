"""Reading and writing photographs and label maps.

Pillow decodes files of 8 bits per channel, as the authors' code does; OpenCV those of 16, which
Pillow reduces to 8 if they have colours.
"""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sci_plugins.errors import DataError, first_line
from sci_plugins.utils.files import MARK, write_atomically
from sci_plugins.utils.folders import PathLike, check_regular_file

MAX_PIXELS = 2**30  # of an image that is opened; OpenCV's own limit
_READABLE = ('PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP')
# Pillow's mode -> (mode to convert to, and that where one colour is transparent)
_MODES = {
    '1': ('L', 'LA'), 'L': ('L', 'LA'), 'LA': ('LA', 'LA'), 'P': ('RGB', 'RGBA'),
    'PA': ('RGBA', 'RGBA'), 'RGB': ('RGB', 'RGBA'), 'RGBX': ('RGB', 'RGB'),
    'RGBA': ('RGBA', 'RGBA'), 'CMYK': ('RGB', 'RGB'), 'YCbCr': ('RGB', 'RGB'),
}  # fmt: skip
# Pillow's modes of files that OpenCV decodes to RGB or RGBA; CMYK it takes for RGBA.
_DEEP_COLOUR = ('LA', 'RGB', 'RGBX', 'RGBA')
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # number of channels -> colour type in the header
_OPEN_LOCK = Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded image file, upright (EXIF orientation applied)."""

    #: ``(H, W, 3)`` RGB or ``(H, W, 1)`` grey; uint8, uint16, or float32 in [0, 1]
    pixels: np.ndarray
    alpha: np.ndarray | None = None  # ``(H, W)`` opacity of the same dtype
    icc_profile: bytes | None = None  # as stored in the file; 16-bit files cannot keep it


def open_lazily(path: Path) -> Image.Image:
    """Open an image file and read its header only.

    Raises:
        DataError: if the header claims more than ``MAX_PIXELS`` pixels.
        OSError: if the file is missing or not a PNG, JPEG, BMP, TIFF or WebP.
    """
    # Pillow refuses more than 180 megapixels as an attack; a mosaic or a scan may have more. The
    # limit is global, so it is lifted only while the file is opened.
    with _OPEN_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=_READABLE)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise DataError(f'{path} claims {width}x{height} pixels, more than {MAX_PIXELS}')
    return image


def _bits(path: Path, image: Image.Image) -> int:
    """Bits a channel; Pillow's mode hides them for colour."""
    if image.format == 'PNG':
        return _png_depth_and_kind(path)[0]
    return max(getattr(image, 'tag_v2', {}).get(258, (8,))) if image.format == 'TIFF' else 8


def _png_depth_and_kind(path: Path) -> tuple[int, int]:
    """Bits a channel and colour type (PNG specification, section 11.2.1, IHDR)."""
    with open(path, 'rb') as file:
        header = file.read(26)
    return header[24], header[25]


def _decode_deep(path: Path, image: Image.Image) -> Picture:
    # OpenCV silently mixes up colour planes and does not undo inverted grey.
    tags = getattr(image, 'tag_v2', {}) if image.format == 'TIFF' else {}
    if tags.get(284, 1) != 1:  # PlanarConfiguration
        raise DataError(f'{path}: 16-bit TIFF in separate colour planes is not supported')
    if tags.get(262, 1) not in (1, 2):  # PhotometricInterpretation: grey, RGB
        raise DataError(f'{path}: a 16-bit TIFF must be grey (0 is black) or RGB')
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
    # OpenCV gives grey with alpha as RGBA.
    is_grey = image.format == 'PNG' and _png_depth_and_kind(path)[1] == _PNG_COLOURS[2]
    pixels = array[..., :1] if is_grey else array[..., 2::-1]
    return Picture(pixels, array[..., 3] if has_alpha else None)


def _decode_float(path: Path, image: Image.Image) -> Picture:
    ImageOps.exif_transpose(image, in_place=True)
    array = np.asarray(image)
    if not np.isfinite(array).all():
        raise DataError(f'{path} holds NaN or infinite values')
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        got = f'values from {low:.4g} to {high:.4g}'
        raise DataError(f'{path} holds {got}; float images must lie in [0, 1]')
    return Picture(array[..., None])


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8; anything else leaves the array as it is."""
    array = array.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else array
    array = array[::-1] if orientation in (3, 4, 7, 8) else array
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


#: Suffix of an image file, in lower case -> Pillow's name of the format.
IMAGE_FORMATS = {
    '.bmp': 'BMP', '.jpeg': 'JPEG', '.jpg': 'JPEG', '.png': 'PNG', '.tif': 'TIFF', '.tiff': 'TIFF',
    '.webp': 'WEBP',
}  # fmt: skip
#: zlib's level; 1 stands for its run lengths alone: for photographs a third of level 3's time.
PNG_LEVEL = 1
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    'JPEG': dict(quality=95, subsampling=0),  # none of chroma: enhancing amplified its noise
    'TIFF': dict(compression='tiff_lzw'),
    'WEBP': dict(quality=95),
}


def read_picture(path: PathLike) -> Picture:
    """Decode a PNG, JPEG, BMP, TIFF or still WebP file, whatever its suffix.

    Palette, CMYK and YCbCr become RGB; 1-bit becomes 8-bit grey. Depth, grey and alpha stay. Float
    TIFFs must be grey and within [0, 1].

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if the file is empty, damaged, of another kind, has several pages, or holds NaN
            or values that no image has.
    """
    path = Path(path)
    with _opened(path, 'image', 'PNG, JPEG, BMP, TIFF or WebP') as image:
        pages = getattr(image, 'n_frames', 1)
        # MPO: a JPEG followed by more pictures, which many phones write.
        if pages > 1 and image.format != 'MPO':
            raise DataError(f'{path} holds {pages} pages or frames; only single images are read')
        if _bits(path, image) == 16:
            return _decode_deep(path, image)
        if image.mode == 'F':
            return _decode_float(path, image)
        if image.mode not in _MODES:
            raise DataError(f'{path} has pixels of kind {image.mode!r}, which are not supported')
        profile = image.info.get('icc_profile') if image.mode != 'CMYK' else None
        mode = _MODES[image.mode]['transparency' in image.info]
        ImageOps.exif_transpose(image, in_place=True)
        array = np.atleast_3d(np.asarray(image if image.mode == mode else image.convert(mode)))
        if mode.endswith('A'):
            return Picture(array[..., :-1], array[..., -1], profile)
        return Picture(array, None, profile)


@contextmanager
def _opened(path: Path, what: str, wish: str) -> Iterator[Image.Image]:
    """An image file; whatever a decoder raises on a damaged one names the file."""
    check_regular_file(path, what)
    if path.stat().st_size == 0:
        raise DataError(f'{path} is empty (0 bytes)')
    try:
        with open_lazily(path) as image:
            yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f'{path} is not a readable {wish}') from error
    except Exception as error:
        raise DataError(f'{path} cannot be read: {first_line(error)}') from error


def read_image(path: PathLike) -> np.ndarray:
    """Read any image file, as :func:`read_picture`, as RGB ``(H, W, 3)`` uint8, upright.

    Grey is repeated, 16 bits are cut to 8, alpha is left out.
    """
    pixels = read_picture(path).pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype == np.float32:
        pixels = (pixels * 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def header_size(path: PathLike) -> tuple[int, int]:
    """Width and height by the file's header; zeros where that cannot be read."""
    with suppress(Exception):  # reading it in full will say what is wrong
        return read_image_size(path)
    return 0, 0


def storable_dtype(path: PathLike, dtype: Any) -> np.dtype:
    """The dtype to save an image of ``dtype`` with in the format of ``path``.

    JPEG, BMP and WebP hold uint8, PNG uint8 and uint16, TIFF float32 too.
    """
    kind = _format_of(Path(path))
    if kind in ('JPEG', 'BMP', 'WEBP'):
        return np.dtype(np.uint8)
    if kind == 'PNG' and np.dtype(dtype) == np.float32:
        return np.dtype(np.uint16)
    return np.dtype(dtype)


def encode_picture(path: PathLike, picture: Picture, png_level: int = PNG_LEVEL) -> memoryview:
    """The bytes of a file in the format that the suffix of ``path`` names.

    PNG, BMP and TIFF are lossless; JPEG (without chroma subsampling) and WebP have quality 95.
    ``png_level`` is from 0, large and fast, to 9. ``DataError`` if the format cannot hold the depth
    or the alpha channel.
    """
    # In memory: an encoder that writes to a file may overlook that the disk is full.
    path = Path(path)
    kind = _format_of(path)
    if picture.pixels.dtype != storable_dtype(path, picture.pixels.dtype):
        raise DataError(f'{path}: {kind} cannot hold {picture.pixels.dtype} pixels')
    if picture.alpha is not None and kind in ('JPEG', 'BMP'):
        raise DataError(f'{path}: {kind} cannot hold an alpha channel; PNG can')
    if kind == 'PNG':
        return _encode_png(picture, png_level)
    encode = _encode_with_opencv if picture.pixels.dtype == np.uint16 else _encode_with_pillow
    return encode(path, picture, kind)


def write_picture(path: PathLike, picture: Picture) -> None:
    """Save what :func:`encode_picture` gives by :func:`write_atomically`."""
    write_atomically(path, encode_picture(path, picture))


def write_sheet(path: PathLike, sheet: Image.Image, columns: Iterable[str] = ()) -> None:
    """Save pictures with captions as a JPEG of quality 90, whole or not at all.

    :func:`read_sheet` gives the names of the ``columns`` back; only the first 32 kB are kept.
    """
    content = io.BytesIO()
    comment = '\n'.join([MARK, *columns]).encode()[: 2**15]
    sheet.save(content, 'JPEG', quality=90, comment=comment)
    write_atomically(path, content.getbuffer())


def read_sheet(path: PathLike) -> tuple[Image.Image, list[str]]:
    """Pictures, RGB, and names of columns of :func:`write_sheet`; ``DataError`` if damaged, or
    ``FileNotFoundError``.
    """
    with _opened(Path(path), 'sheet', 'sheet') as sheet:
        columns = sheet.info.get('comment', b'').decode(errors='replace').split('\n')[1:]
        return sheet.convert('RGB'), columns


def write_image(path: PathLike, image: np.ndarray) -> None:
    """Save RGB ``(H, W, 3)`` or grey ``(H, W)`` uint8; see :func:`write_picture`."""
    write_picture(path, Picture(image[..., None] if image.ndim == 2 else image))


def _format_of(path: Path) -> str:
    if (kind := IMAGE_FORMATS.get(path.suffix.lower())) is None:
        known = ', '.join(IMAGE_FORMATS)
        raise DataError(f'{path}: unknown image suffix {path.suffix!r}; known: {known}')
    return kind


def _with_alpha(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    return pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)


def _encode_png(picture: Picture, level: int) -> memoryview:
    """All rows as differences from the row above: sections 9 and 11 of the PNG specification."""
    array = _with_alpha(picture.pixels, picture.alpha)
    height, width, channels = array.shape
    rows = np.ascontiguousarray(array, array.dtype.newbyteorder('>')).view(np.uint8)
    rows = rows.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # up
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    strategy = zlib.Z_RLE if level == 1 else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    head = (width, height, 8 * array.dtype.itemsize, _PNG_COLOURS[channels], 0, 0, 0)
    parts = {b'IHDR': struct.pack('>IIBBBBB', *head)}
    if picture.icc_profile is not None and array.dtype == np.uint8:
        parts[b'iCCP'] = b'ICC Profile\0\0' + zlib.compress(picture.icc_profile)
    parts |= {b'IDAT': packer.compress(filtered.data) + packer.flush(), b'IEND': b''}
    content = io.BytesIO()
    content.write(b'\x89PNG\r\n\x1a\n')
    for name, part in parts.items():
        content.write(struct.pack('>I', len(part)) + name)
        content.write(part)
        content.write(struct.pack('>I', zlib.crc32(part, zlib.crc32(name))))
    return content.getbuffer()


def _encode_with_pillow(path: Path, picture: Picture, kind: str) -> memoryview:
    array = _with_alpha(picture.pixels, picture.alpha)
    array = np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)
    options = dict(_SAVE_OPTIONS.get(kind, {}))
    if picture.icc_profile is not None and kind != 'BMP':
        options['icc_profile'] = picture.icc_profile
    content = io.BytesIO()
    Image.fromarray(array).save(content, format=kind, **options)
    return content.getbuffer()


def _encode_with_opencv(path: Path, picture: Picture, kind: str) -> memoryview:
    """16-bit TIFF; grey with alpha becomes RGBA, which OpenCV can write."""
    array = picture.pixels[..., ::-1]
    if picture.alpha is not None:
        array = _with_alpha(np.broadcast_to(array, (*array.shape[:2], 3)), picture.alpha)
    done, encoded = cv2.imencode('.tiff', np.ascontiguousarray(array))
    if not done:
        raise DataError(f'{path}: OpenCV could not encode a 16-bit {kind}')
    return memoryview(encoded.tobytes())


def read_image_size(path: PathLike) -> tuple[int, int]:
    """Width and height in pixels as stored, undecoded; ``DataError`` if missing or no image."""
    try:
        with open_lazily(Path(path)) as image:
            return image.size
    except FileNotFoundError:
        raise DataError(f'{path}: there is no such image') from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f'{path} cannot be read as an image: {error}') from error


# Pillow's modes of what holds one number per pixel; 'P' gives indices, not colours.
_ONE_NUMBER = ('1', 'L', 'P', 'I;16', 'I;16B', 'I')
# Pillow stretches grey of so many bits to the range of a byte; palettes it leaves.
_STRETCHED = {2: 85, 4: 17}


def read_label_map(path: PathLike) -> np.ndarray:
    """The ids in a PNG file, grey levels or palette indices: ``(H, W)``, uint8; of 16 bits uint16.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if the file is empty, damaged, not a PNG, or a colour image.
    """
    with _opened(Path(path), 'label map', 'PNG') as image:
        if image.format != 'PNG':
            wish = 'label maps must be PNG, which keeps ids as they are'
            raise DataError(f'{path} is a {image.format} file; {wish}')
        if image.mode not in _ONE_NUMBER:
            wish = 'a label map holds one id per pixel, as a grey level or palette index'
            raise DataError(f'{path} is a colour image ({image.mode}); {wish}')
        depth, kind = _png_depth_and_kind(Path(path))
        values = np.asarray(image)
    if depth == 16:
        return values.astype(np.uint16)
    is_grey = kind == _PNG_COLOURS[1]
    return values.astype(np.uint8) // np.uint8(_STRETCHED.get(depth, 1) if is_grey else 1)
