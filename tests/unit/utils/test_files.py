"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from sci_plugins.utils.files import replacing, write_atomically


@pytest.mark.parametrize(
    ('content', 'stored'), [('é\n', 'é\n'.encode()), (b'\x00\xff', b'\x00\xff'), ('', b'')]
)
def test_content(tmp_path: Path, content: str | bytes, stored: bytes) -> None:
    for path in (tmp_path / 'a.txt', str(tmp_path / 'new' / 'folder' / 'b.txt')):
        write_atomically(path, content)
        assert Path(path).read_bytes() == stored


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    write_atomically(path, 'long old content')
    write_atomically(path, 'new')
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_half_written_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def write() -> None:
        with replacing(path) as beside:
            beside.write_text('half')
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_there_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with replacing(path) as beside:
        beside.write_text('new')
        assert beside != path
        assert beside.parent == path.parent  # else the rename could cross file systems
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'


def test_the_suffix_stays_for_image_libraries(tmp_path: Path) -> None:
    with replacing(tmp_path / 'photo.v2.png') as beside:
        assert beside.suffix == '.png'
        beside.touch()


@pytest.mark.skipif(os.name != 'posix', reason='modes of POSIX files')
@pytest.mark.parametrize('mask', [0o022, 0o077])
def test_files_have_the_usual_mode(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / 'a.txt', 'x')
        (tmp_path / 'plain.txt').write_text('x')
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('a.txt', 'plain.txt')]
    assert modes[0] == modes[1] == 0o666 & ~mask


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('x')
    with pytest.raises(OSError, match='file'):
        write_atomically(tmp_path / 'file' / 'a.txt', 'x')
    assert (tmp_path / 'file').read_text() == 'x'


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').mkdir()
    with pytest.raises(OSError, match=r'a\.txt'):
        write_atomically(tmp_path / 'a.txt', 'x')
    assert [item.name for item in tmp_path.iterdir()] == ['a.txt']
