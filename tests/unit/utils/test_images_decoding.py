"""Decoding: orientation, kinds of pixels, and what each damage says."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sci_plugins.errors import DataError
from sci_plugins.utils.images import (
    Picture,
    read_image,
    read_image_size,
    read_picture,
    write_image,
    write_picture,
)

SIZE = (5, 7)  # height, width: not square, so that a turned image shows
ORIENTATION = 0x0112


def random_pixels(rng: np.random.Generator, channels: int, dtype: str) -> np.ndarray:
    shape = (*SIZE, channels)
    if dtype == 'float32':
        return rng.random(shape, dtype=np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def grey_alpha_16_png(pixels: np.ndarray) -> bytes:
    """A 16-bit grey and alpha PNG, which neither Pillow nor OpenCV can write."""
    height, width = pixels.shape[:2]
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    return (
        b'\x89PNG\r\n\x1a\n'
        + png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, 4, 0, 0, 0))
        + png_chunk(b'IDAT', zlib.compress(rows))
        + png_chunk(b'IEND', b'')
    )


def test_16_bit_grey_with_alpha_is_read_as_grey(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = random_pixels(rng, 2, 'uint16')
    (tmp_path / 'a.png').write_bytes(grey_alpha_16_png(pixels))
    read = read_picture(tmp_path / 'a.png')
    assert read.pixels.shape == (*SIZE, 1)
    assert read.alpha is not None
    np.testing.assert_array_equal(read.pixels[..., 0], pixels[..., 0])
    np.testing.assert_array_equal(read.alpha, pixels[..., 1])


@pytest.mark.parametrize('kind', ['png', 'tif', 'jpg'])
def test_8_bit_orientation_is_applied(tmp_path: Path, rng: np.random.Generator, kind: str) -> None:
    image = Image.fromarray(random_pixels(rng, 3, 'uint8'))
    path = tmp_path / f'a.{kind}'
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        image.save(path, exif=exif)
        with Image.open(path) as saved:
            expected = np.asarray(ImageOps.exif_transpose(saved))
        read = read_picture(path).pixels
        np.testing.assert_array_equal(read, expected, str(orientation))
        assert read.shape[:2] == (SIZE if orientation < 5 else SIZE[::-1])


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['png', 'tif'])
def test_16_bit_orientation_is_applied(
    tmp_path: Path, rng: np.random.Generator, kind: str, orientation: int
) -> None:
    pixels = random_pixels(rng, 3, 'uint16')
    path = tmp_path / f'a.{kind}'
    write_picture(path, Picture(pixels))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = path.read_bytes()
    if kind == 'png':
        tags = exif.tobytes().removeprefix(b'Exif\0\0')
        path.write_bytes(data[:33] + png_chunk(b'eXIf', tags) + data[33:])
    else:
        path.write_bytes(_with_tiff_tag(data, ORIENTATION, orientation))
    # 8-bit, because Pillow, the oracle, turns no 16-bit colour.
    turned = Image.fromarray((pixels >> 8).astype(np.uint8))
    turned.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(turned))
    np.testing.assert_array_equal(read_picture(path).pixels >> 8, expected)


def _with_tiff_tag(data: bytes, tag: int, value: int) -> bytes:
    """The little-endian TIFF that OpenCV writes, with one tag set.

    The directory moves to the end of the file to make room for one more entry.
    """
    (start,) = struct.unpack('<I', data[4:8])
    (count,) = struct.unpack('<H', data[start : start + 2])
    entries = [data[start + 2 + 12 * k : start + 14 + 12 * k] for k in range(count)]
    entries = [entry for entry in entries if _tag_of(entry) != tag]
    entries.append(struct.pack('<HHIHH', tag, 3, 1, value, 0))
    entries.sort(key=_tag_of)
    place = len(data) + len(data) % 2
    directory = struct.pack('<H', len(entries)) + b''.join(entries) + b'\0\0\0\0'
    body = data[:4] + struct.pack('<I', place) + data[8:]
    return body.ljust(place, b'\0') + directory


def _tag_of(entry: bytes) -> int:
    return struct.unpack('<H', entry[:2])[0]


@pytest.mark.parametrize(
    ('tag', 'value', 'message'),
    [(284, 2, 'separate colour planes'), (262, 0, r'must be grey \(0 is black\)')],
)
def test_16_bit_tiff_that_would_be_misread(
    tmp_path: Path, rng: np.random.Generator, tag: int, value: int, message: str
) -> None:
    path = tmp_path / 'a.tif'
    write_picture(path, Picture(random_pixels(rng, 1, 'uint16')))
    path.write_bytes(_with_tiff_tag(path.read_bytes(), tag, value))
    with pytest.raises(DataError, match=message):
        read_picture(path)


def test_palette_becomes_rgb(tmp_path: Path, rng: np.random.Generator) -> None:
    image = Image.fromarray(random_pixels(rng, 3, 'uint8')).quantize(8)
    image.save(tmp_path / 'a.png')
    expected = np.asarray(image.convert('RGB'))
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.png').pixels, expected)


def test_transparent_colour_becomes_alpha(tmp_path: Path) -> None:
    image = Image.new('P', (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / 'a.png', transparency=1)
    read = read_picture(tmp_path / 'a.png')
    assert read.pixels.tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert read.alpha is not None
    assert read.alpha.tolist() == [[255, 0]]


def test_one_bit_becomes_grey(tmp_path: Path) -> None:
    Image.new('1', (2, 3), 1).save(tmp_path / 'a.png')
    pixels = read_picture(tmp_path / 'a.png').pixels
    assert pixels.shape == (3, 2, 1)
    assert (pixels == 255).all()


def test_cmyk_becomes_rgb_without_its_profile(tmp_path: Path) -> None:
    image = Image.new('CMYK', (8, 8), (255, 0, 0, 0))
    image.save(tmp_path / 'a.tif', icc_profile=b'for four inks')
    read = read_picture(tmp_path / 'a.tif')
    assert read.pixels[0, 0].tolist() == [0, 255, 255]
    assert read.icc_profile is None


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_text('not a picture')
    with pytest.raises(DataError, match=r'a\.png is not a readable PNG, JPEG, BMP, TIFF or WebP'):
        read_picture(tmp_path / 'a.png')


@pytest.mark.parametrize(
    ('suffix', 'dtype'),
    [
        ('.png', 'uint8'),
        ('.png', 'uint16'),
        ('.tif', 'uint8'),
        ('.tif', 'uint16'),
        ('.jpg', 'uint8'),
        ('.bmp', 'uint8'),
    ],
)
@pytest.mark.filterwarnings('ignore:Corrupt EXIF data')
def test_truncated_file(tmp_path: Path, rng: np.random.Generator, suffix: str, dtype: str) -> None:
    white = np.iinfo(dtype).max
    pixels = rng.integers(0, white, (40, 50, 3), dtype=dtype)
    path = tmp_path / f'a{suffix}'
    write_picture(path, Picture(pixels))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(DataError, match=path.name):
        read_picture(path)


def test_several_pages(tmp_path: Path) -> None:
    page = Image.new('L', (3, 3))
    page.save(tmp_path / 'a.tif', save_all=True, append_images=[page])
    with pytest.raises(DataError, match=r'a\.tif holds 2 pages'):
        read_picture(tmp_path / 'a.tif')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    Image.fromarray(np.float32([[0.5, value]])).save(tmp_path / 'a.tif')
    with pytest.raises(DataError, match=r'a\.tif holds NaN or infinite'):
        read_picture(tmp_path / 'a.tif')


def test_float_values_out_of_range(tmp_path: Path) -> None:
    Image.fromarray(np.float32([[-1.0, 300.0]])).save(tmp_path / 'a.tif')
    with pytest.raises(DataError, match=r'from -1 to 300; float images must lie'):
        read_picture(tmp_path / 'a.tif')


def test_unsupported_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.int32([[1, 70000]])).save(tmp_path / 'a.tif')
    with pytest.raises(DataError, match=r"pixels of kind 'I', which are not supported"):
        read_picture(tmp_path / 'a.tif')


def test_header_that_claims_too_many_pixels(tmp_path: Path) -> None:
    header = struct.pack('>IIBBBBB', 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', header) + png_chunk(b'IDAT', b'')
    (tmp_path / 'a.png').write_bytes(data)
    with pytest.raises(DataError, match=r'claims 100000x100000 pixels'):
        read_picture(tmp_path / 'a.png')


def test_more_pixels_than_pillow_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / 'a.png', np.zeros((10, 10, 3), np.uint8))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    assert read_image(tmp_path / 'a.png').shape == (10, 10, 3)
    assert read_image_size(tmp_path / 'a.png') == (10, 10)
    assert Image.MAX_IMAGE_PIXELS == 10  # and the caller's limit is back
