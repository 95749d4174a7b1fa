"""Image files in and out: what each format keeps and refuses."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import DataError
from sci_plugins.utils import images
from sci_plugins.utils.images import (
    Picture,
    encode_picture,
    header_size,
    read_image,
    read_picture,
    storable_dtype,
    write_image,
    write_picture,
    write_sheet,
)

SIZE = (5, 7)  # height, width


def random_pixels(rng: np.random.Generator, channels: int, dtype: str) -> np.ndarray:
    shape = (*SIZE, channels)
    if dtype == 'float32':
        return rng.random(shape, dtype=np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize('with_alpha', [False, True])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('suffix', ['.png', '.tif', '.TIFF'])
def test_png_and_tiff_keep_everything(
    tmp_path: Path,
    rng: np.random.Generator,
    suffix: str,
    dtype: str,
    channels: int,
    with_alpha: bool,
) -> None:
    pixels = random_pixels(rng, channels, dtype)
    alpha = random_pixels(rng, 1, dtype)[..., 0] if with_alpha else None
    write_picture(tmp_path / f'a{suffix}', Picture(pixels, alpha))
    read = read_picture(tmp_path / f'a{suffix}')
    if suffix != '.png' and dtype == 'uint16' and channels == 1 and with_alpha:
        pixels = pixels.repeat(3, axis=2)  # documented: OpenCV writes RGBA
    assert read.pixels.dtype == dtype
    assert read.pixels.shape == pixels.shape
    np.testing.assert_array_equal(read.pixels, pixels)
    if alpha is None:
        assert read.alpha is None
    else:
        assert read.alpha is not None
        np.testing.assert_array_equal(read.alpha, alpha)


@pytest.mark.parametrize('channels', [1, 3])
def test_bmp_keeps_pixels(tmp_path: Path, rng: np.random.Generator, channels: int) -> None:
    pixels = random_pixels(rng, channels, 'uint8')
    write_picture(tmp_path / 'a.bmp', Picture(pixels))
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.bmp').pixels, pixels)


@pytest.mark.parametrize('channels', [1, 3])
def test_jpeg_is_close(tmp_path: Path, channels: int) -> None:
    ramp = np.linspace(20, 200, 64 * 48).reshape(48, 64, 1).astype(np.uint8)
    pixels = np.concatenate([ramp, 255 - ramp, ramp // 2], axis=2)[..., :channels]
    write_picture(tmp_path / 'a.jpg', Picture(pixels))
    read = read_picture(tmp_path / 'a.jpg').pixels
    assert read.shape == pixels.shape
    assert np.abs(read.astype(int) - pixels).mean() < 1.5


def test_jpeg_colour_is_not_subsampled(tmp_path: Path) -> None:
    write_image(tmp_path / 'a.jpg', np.zeros((16, 16, 3), np.uint8))
    with Image.open(tmp_path / 'a.jpg') as image:
        sampling = [layer[1:3] for layer in image.layer]  # type: ignore[attr-defined]
    assert sampling == [(1, 1)] * 3


def test_float_tiff_is_kept(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = random_pixels(rng, 1, 'float32')
    write_picture(tmp_path / 'a.tif', Picture(pixels))
    read = read_picture(tmp_path / 'a.tif').pixels
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tif'])
def test_colour_profile_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'a{suffix}'
    write_picture(path, Picture(np.zeros((8, 8, 3), np.uint8), None, b'a profile'))
    assert read_picture(path).icc_profile == b'a profile'


def test_read_image_gives_rgb_bytes(tmp_path: Path) -> None:
    deep = np.array([[[65535], [256], [255]]], np.uint16)
    write_picture(tmp_path / 'a.png', Picture(deep))
    assert read_image(tmp_path / 'a.png').tolist() == [[[255] * 3, [1] * 3, [0] * 3]]
    write_picture(tmp_path / 'a.tif', Picture(np.float32([[[1.0], [0.5]]])))
    assert read_image(tmp_path / 'a.tif').tolist() == [[[255] * 3, [127] * 3]]
    colour = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_picture(tmp_path / 'b.png', Picture(colour, np.zeros((2, 4), np.uint8)))
    np.testing.assert_array_equal(read_image(tmp_path / 'b.png'), colour)


def test_write_image_takes_grey(tmp_path: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_image(tmp_path / 'a.png', grey)
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.png').pixels[..., 0], grey)


def test_a_1x1_image(tmp_path: Path) -> None:
    for suffix in ('.png', '.tif', '.bmp'):
        write_image(tmp_path / f'a{suffix}', np.uint8([[[1, 2, 3]]]))
        assert read_image(tmp_path / f'a{suffix}').tolist() == [[[1, 2, 3]]]


def test_the_size_by_the_header(tmp_path: Path) -> None:
    write_image(tmp_path / 'a.png', np.zeros((4, 6, 3), np.uint8))
    assert header_size(tmp_path / 'a.png') == (6, 4)
    assert header_size(tmp_path / 'missing.png') == (0, 0)


@pytest.mark.parametrize(
    ('name', 'dtype', 'expected'),
    [
        ('a.png', 'uint8', 'uint8'),
        ('a.png', 'uint16', 'uint16'),
        ('a.PNG', 'float32', 'uint16'),
        ('a.tif', 'float32', 'float32'),
        ('a.jpg', 'uint16', 'uint8'),
        ('a.bmp', 'float32', 'uint8'),
    ],
)
def test_storable_dtype(name: str, dtype: str, expected: str) -> None:
    assert storable_dtype(name, np.dtype(dtype)) == np.dtype(expected)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'image not found: .*a\.png'):
        read_picture(tmp_path / 'a.png')


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / 'a.png').touch()
    with pytest.raises(DataError, match=r'a\.png is empty \(0 bytes\)'):
        read_picture(tmp_path / 'a.png')


@pytest.mark.parametrize('suffix', ['.jpg', '.bmp'])
def test_alpha_that_a_format_cannot_hold(tmp_path: Path, suffix: str) -> None:
    picture = Picture(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match='cannot hold an alpha channel; PNG can'):
        write_picture(tmp_path / f'a{suffix}', picture)
    assert not list(tmp_path.iterdir())


def test_depth_that_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='JPEG cannot hold uint16'):
        write_picture(tmp_path / 'a.jpg', Picture(np.zeros((2, 2, 3), np.uint16)))


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown image suffix '\.gif'"):
        write_image(tmp_path / 'a.gif', np.zeros((2, 2, 3), np.uint8))


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.bmp'
    write_image(path, np.full((2, 2, 3), 7, np.uint8))

    def half_written(self: Image.Image, target: io.BytesIO, **options: object) -> None:
        target.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(Image.Image, 'save', half_written)
    with pytest.raises(OSError, match='disk full'):
        write_image(path, np.zeros((2, 2, 3), np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == ['a.bmp']
    assert cv2.imread(str(path))[0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_other_programs_read_our_png(rng: np.random.Generator, dtype: str, channels: int) -> None:
    shades = rng.integers(0, 2000, (1, 80, channels)) + 9 * np.arange(60)[:, None, None]
    pixels = (shades // (1 if dtype == 'uint16' else 10)).astype(dtype)
    alpha = pixels[..., -1] if channels in (2, 4) else None
    picture = Picture(pixels[..., : channels - (alpha is not None)], alpha)
    sizes = []
    for level in (0, 1, 6, 9):
        content = bytes(encode_picture('a.png', picture, level))
        sizes.append(len(content))
        wanted = pixels[..., [0, 0, 0, 1]] if channels == 2 else pixels
        wanted = wanted[..., [2, 1, 0, 3][: wanted.shape[2]]] if channels > 1 else wanted[..., 0]
        read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, wanted)
        with Image.open(io.BytesIO(content)) as image:
            image.load()  # checks the sums
    assert sizes[0] > sizes[1] > sizes[2] >= sizes[3]


def test_makes_the_folder(tmp_path: Path) -> None:
    write_image(tmp_path / 'b' / 'c' / 'a.png', np.zeros((2, 2, 3), np.uint8))
    assert (tmp_path / 'b' / 'c' / 'a.png').is_file()


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif'])
def test_encoders_never_see_the_path(
    tmp_path: Path, dtype: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they write to a full disk, they may say is written."""
    if dtype == 'uint16' and suffix in ('.jpg', '.bmp'):
        return
    written: list[int] = []
    monkeypatch.setattr(
        images, 'write_atomically', lambda path, content: written.append(len(content))
    )
    write_picture(tmp_path / f'a{suffix}', Picture(np.zeros((5, 7, 3), dtype)))
    assert written[0] > 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif'])
@pytest.mark.parametrize('letter', ['x', '\u591c'])
def test_the_longest_names(tmp_path: Path, suffix: str, letter: str) -> None:
    name = letter * ((255 - len(suffix)) // len(letter.encode())) + suffix
    image = np.full((9, 9, 3), 7, np.uint8)
    write_image(tmp_path / name, image)
    assert np.array_equal(read_image(tmp_path / name), image)


def test_a_sheet(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    write_sheet(tmp_path / 'new' / 'a.jpg', Image.fromarray(pixels))
    expected = io.BytesIO()
    Image.fromarray(pixels).save(expected, 'JPEG', quality=90, comment='Written by sci_plugins')
    assert (tmp_path / 'new' / 'a.jpg').read_bytes() == expected.getvalue()


@pytest.mark.parametrize(
    ('suffix', 'options'), [('.jpg', dict(quality=95, subsampling=0)), ('.webp', dict(quality=95))]
)
def test_what_loses_detail_loses_little(
    tmp_path: Path, rng: np.random.Generator, suffix: str, options: dict[str, int]
) -> None:
    pixels, expected = random_pixels(rng, 3, 'uint8'), tmp_path / f'expected{suffix}'
    write_image(tmp_path / f'a{suffix}', pixels)
    Image.fromarray(pixels).save(expected, **options)
    assert np.array_equal(read_image(tmp_path / f'a{suffix}'), read_image(expected))
