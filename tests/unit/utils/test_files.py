"""Files are written whole or not at all."""

import errno
import io
import multiprocessing
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sci_plugins.utils import files
from sci_plugins.utils.files import file_slug, write_atomically


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


@contextmanager
def _full_disk() -> Iterator[None]:
    """A disk that takes 3 bytes and then says that it is full."""

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(memoryview(data)[:3])

    def opened(path: Path, mode: str, buffering: int) -> File:
        return File(path, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, 'open', opened, raising=False)
        yield


@contextmanager
def _small_files_only() -> Iterator[None]:
    """The system itself cuts files off after 1000 bytes.

    Not a fixture: pytest prints a test's result before it takes fixtures down, and a log file
    that holds its output may be longer.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize('limit', [_full_disk, _small_files_only])
def test_a_short_write_is_an_error(
    tmp_path: Path, limit: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with limit():
        with pytest.raises(OSError, match=rf": '{path}'$"):  # not the temporary file's name
            write_atomically(path, b'x' * 4000)
        with pytest.raises(OSError, match=r'new\.txt'):
            write_atomically(tmp_path / 'new.txt', b'x' * 4000)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('taken', [1, 7, 1000])
def test_a_file_that_takes_a_part_gets_the_rest(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class File(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:taken])

    def opened(path: Path, mode: str, buffering: int) -> File:
        return File(path, mode)

    monkeypatch.setattr(files, 'open', opened, raising=False)
    write_atomically(tmp_path / 'a.bin', bytes(range(100)))
    assert (tmp_path / 'a.bin').read_bytes() == bytes(range(100))


@pytest.mark.parametrize('error', [OSError(errno.EIO, 'lost'), KeyboardInterrupt()])
def test_what_stops_it_leaves_nothing_behind(
    tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')

    def fail(handle: int) -> None:
        assert len(list(tmp_path.iterdir())) == 2
        raise error

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(type(error)):
        write_atomically(path, 'new', sync=True)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sizes = tmp_path / 'a.txt', []

    def sync(handle: int) -> None:
        sizes.append(os.fstat(handle).st_size)
        assert not path.exists()

    monkeypatch.setattr(os, 'fsync', sync)
    write_atomically(path, 'new', sync=True)
    write_atomically(tmp_path / 'b.txt', 'new')
    assert sizes == [3]


@pytest.mark.parametrize('name', ['a', 'x' * 255, '\u591c' * 83 + '.png', 'x' * 242 + '.png'])
def test_names_of_any_length(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, 'x')
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r'x{256}') as caught:
        write_atomically(tmp_path / ('x' * 256), 'x')
    assert caught.value.errno == errno.ENAMETOOLONG
    assert list(tmp_path.iterdir()) == []


def _write_often(path: Path, letter: str, gate: Any) -> None:
    gate.wait()
    for _ in range(200):
        write_atomically(path, letter * 5000)


def test_two_processes_write_the_same_file(tmp_path: Path) -> None:
    path, context = tmp_path / 'a.txt', multiprocessing.get_context('fork')
    gate = context.Barrier(2)
    writers = [context.Process(target=_write_often, args=(path, each, gate)) for each in 'xy']
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert path.read_text() in ('x' * 5000, 'y' * 5000)
    assert list(tmp_path.iterdir()) == [path]


def test_an_older_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    path.chmod(0o640)
    write_atomically(path, 'new')
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_write_protected_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    monkeypatch.setattr(os, 'access', lambda path, mode: mode != os.W_OK)  # root may always
    with pytest.raises(PermissionError, match=r'a\.txt'):
        write_atomically(path, 'new')
    assert path.read_text() == 'old'


@pytest.mark.parametrize('is_there', [True, False])
def test_a_link_is_followed(tmp_path: Path, is_there: bool) -> None:
    target, link = tmp_path / 'a.txt', tmp_path / 'link'
    if is_there:
        target.write_text('old')
    link.symlink_to('a.txt')
    write_atomically(link, 'new')
    assert link.is_symlink()
    assert target.read_text() == 'new'
    assert not target.is_symlink()


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """As ``/dev/stdout`` and ``/dev/null`` are: never replaced."""
    path, read = tmp_path / 'pipe', []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_atomically(path, 'new')
    reader.join()
    assert read == [b'new']
    assert path.is_fifo()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """What Python makes of the bytes of a name that are not UTF-8."""
    write_atomically(tmp_path / 'a.txt', 'a \udcff b')
    assert (tmp_path / 'a.txt').read_text() == r'a \udcff b'
    assert file_slug('a\udcff') != file_slug('a\udcfe')


def test_only_what_writes_all_of_it_opens_a_new_file() -> None:
    """The file is unbuffered: one call of `write` may leave a part out and say nothing."""
    package = Path(files.__file__).parents[1]
    users = {p.name for p in package.rglob('*.py') if 'new_file(' in p.read_text('utf-8')}
    assert users == {'files.py', 'checkpoint.py'}
