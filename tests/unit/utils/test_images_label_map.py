"""Label maps of every depth that PNG has, and what is none."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import DataError
from sci_plugins.utils.images import read_label_map

IDS = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)


def _png(path: Path, depth: int, kind: int, rows: list[bytes]) -> Path:
    """A PNG as the specification has it, without the library under test."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', crc)

    head = struct.pack('>IIBBBBB', 4, 2, depth, kind, 0, 0, 0)
    palette = chunk(b'PLTE', bytes(range(90, 102))) if kind == 3 else b''
    data = chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in rows)))
    content = chunk(b'IHDR', head) + palette + data + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + content)
    return path


def _pack(depth: int) -> list[bytes]:
    if depth == 16:
        return [row.astype('>u2').tobytes() for row in IDS]
    rows = []
    for row in IDS.tolist():
        bits = ''.join(format(value, f'0{depth}b') for value in row)
        rows.append(int(bits, 2).to_bytes(-(-len(bits) // 8), 'big'))
    return rows


@pytest.mark.parametrize('kind', [0, 3], ids=['grey', 'palette'])
@pytest.mark.parametrize('depth', [2, 4, 8])
def test_ids_of_every_depth(tmp_path: Path, depth: int, kind: int) -> None:
    path = _png(tmp_path / 'a.png', depth, kind, _pack(depth))
    found = read_label_map(path)
    assert found.dtype == np.uint8
    assert found.tolist() == IDS.tolist()


def test_one_bit(tmp_path: Path) -> None:
    found = read_label_map(_png(tmp_path / 'a.png', 1, 0, [b'\xa0', b'\x50']))
    assert found.dtype == np.uint8
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]


def test_sixteen_bits_are_not_cut(tmp_path: Path) -> None:
    rows = [row.astype('>u2') for row in (IDS.astype(int) * 20000) // 3 * 3]
    path = _png(tmp_path / 'a.png', 16, 0, [row.tobytes() for row in rows])
    found = read_label_map(path)
    assert found.dtype == np.uint16
    assert found.tolist() == [row.tolist() for row in rows]
    assert found.max() > 50000


def test_a_transparent_palette_keeps_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(IDS, mode='L').convert('P')
    image.putdata(IDS.ravel().tolist())
    image.putpalette([200, 0, 0, 0, 200, 0, 200, 0, 0, 9, 9, 9])
    image.save(tmp_path / 'a.png', transparency=2)
    assert read_label_map(str(tmp_path / 'a.png')).tolist() == IDS.tolist()


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_colours_are_no_ids(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 2)).save(tmp_path / 'a.png')
    wanted = rf'a.png is a colour image \({mode}\); a label map holds one id per'
    with pytest.raises(DataError, match=wanted):
        read_label_map(tmp_path / 'a.png')


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    with pytest.raises(FileNotFoundError, match=r'label map not found: .*a.png'):
        read_label_map(path)
    path.write_bytes(b'')
    with pytest.raises(DataError, match=r'a.png is empty \(0 bytes\)'):
        read_label_map(path)
    path.write_bytes(b'nothing of the kind')
    with pytest.raises(DataError, match=r'a.png is not a readable PNG'):
        read_label_map(path)
    Image.new('L', (64, 64)).save(path, format='JPEG')
    with pytest.raises(DataError, match='is a JPEG file; label maps must be PNG'):
        read_label_map(path)
    noise = np.random.default_rng(0).integers(0, 19, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r'a.png cannot be read: '):
        read_label_map(path)
