"""Pictures in the file: as they are, smaller, fewer; never silently."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sci_plugins.visualization.report import Sheet
from sci_plugins.visualization.report.render import EmbeddedSheet, collect


@pytest.fixture()
def sheets(tmp_path: Path, rng: np.random.Generator) -> list[Sheet]:
    """Three a variant, of 2000 pixels across, which compress badly."""
    made = []
    for variant in ('gamma', 'clahe'):
        for index, effect in enumerate((0.3, 0.2, -0.1)):
            path = tmp_path / f'{variant}_{index}.jpg'
            noise = rng.integers(0, 256, (40, 2000, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path, quality=95)
            made.append(Sheet('as is', variant, f'{index}.png', effect, path))
    return made


def _open(picture: EmbeddedSheet) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.data)))


def _size(pictures: list[EmbeddedSheet]) -> int:
    return sum(len(picture.data) for picture in pictures)


def _quantization(quality: int) -> dict[int, list[int]]:
    """The tables by which a JPEG file of that quality can be told."""
    file = io.BytesIO()
    Image.new('RGB', (8, 8)).save(file, 'JPEG', quality=quality)
    return Image.open(file).quantization


def test_files_go_in_as_they_are(sheets: list[Sheet]) -> None:
    pictures, note = collect(sheets)
    assert note == ''
    assert [picture.sheet for picture in pictures] == sheets
    for picture in pictures:
        assert base64.b64decode(picture.data) == picture.sheet.path.read_bytes()
        assert (picture.width, picture.height) == (2000, 40)


def test_too_large_ones_are_made_smaller(sheets: list[Sheet]) -> None:
    budget = _size(collect(sheets)[0]) // 2
    pictures, note = collect(sheets, budget)
    assert len(pictures) == len(sheets)
    assert _size(pictures) <= budget
    width = _open(pictures[0]).width
    assert width in (1600, 1100, 800)
    assert f'at most {width} pixels wide' in note
    assert 'left out' not in note
    assert (pictures[0].width, pictures[0].height) == (width, width // 50)
    quality = {1600: 80, 1100: 70, 800: 60}[width]
    assert f'(JPEG quality {quality})' in note
    assert _open(pictures[0]).quantization == _quantization(quality)


def test_the_weakest_are_left_out_where_that_is_not_enough(sheets: list[Sheet]) -> None:
    smallest, note = collect(sheets, budget=_size(collect(sheets)[0]) // 40)
    kept = [picture.sheet for picture in smallest]
    assert 0 < len(kept) < len(sheets)
    assert f'{len(sheets) - len(kept)} sheet' in note
    assert 'Left out' in note
    # a variant's second gain goes before the only loss of any
    assert all(sheet.effect != 0.2 for sheet in kept)
    assert kept == [sheet for sheet in sheets if sheet in kept]


def test_no_room_at_all(sheets: list[Sheet]) -> None:
    pictures, note = collect(sheets, budget=10)
    assert pictures == []
    assert '6 sheets with smaller effects' in note


def test_no_sheets() -> None:
    assert collect([]) == ([], '')


def test_a_png_becomes_a_jpeg(tmp_path: Path) -> None:
    path = tmp_path / 'sheet.png'
    Image.new('RGBA', (30, 20), 'red').save(path)
    (picture,) = collect([Sheet('as is', 'gamma', 'a.png', 0.1, path)])[0]
    assert _open(picture).format == 'JPEG'
    assert _open(picture).quantization == _quantization(90)
    assert _open(picture).size == (picture.width, picture.height) == (30, 20)


@pytest.mark.parametrize('content', [None, b'', b'no picture', b'\xff\xd8\xff\xe0cut'])
def test_a_picture_that_cannot_be_read_is_said(
    tmp_path: Path, sheets: list[Sheet], content: bytes | None
) -> None:
    path = tmp_path / 'lost.jpg'
    if content is not None:
        path.write_bytes(content)
    lost = Sheet('as is', 'gamma', 'lost.png', 0.1, path)
    pictures, _ = collect([*sheets, lost])
    assert pictures[-1].data == ''
    assert pictures[-1].problem.endswith('Error')
    assert all(picture.data for picture in pictures[:-1])
