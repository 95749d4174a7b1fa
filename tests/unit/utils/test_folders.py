"""One rule for folders: links once, nothing hidden, nothing that hangs, all in natural order."""

import os
import socket
from pathlib import Path

import pytest

from sci_plugins.errors import DataError
from sci_plugins.utils.folders import check_regular_file, list_files, match_by_name, natural_key

IMAGES = ('.png', '.jpg')


def _fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')


def _names(folder: Path, **options: object) -> list[str]:
    found = list_files(folder, IMAGES, **options)  # type: ignore[arg-type]
    return [path.relative_to(folder).as_posix() for path in found.files]


def test_natural_order_and_any_case(tmp_path: Path) -> None:
    _fill(tmp_path, 'img10.png', 'img2.png', 'img1.JPG', 'a/10.png', 'a/9.png', 'b2/1.png')
    flat = ['img1.JPG', 'img2.png', 'img10.png']
    assert _names(tmp_path) == ['a/9.png', 'a/10.png', 'b2/1.png', *flat]
    assert _names(tmp_path, recursive=False) == flat


def test_names_that_differ_in_zeros_have_one_order() -> None:
    assert sorted(['1.png', '01.png', '001.png'], key=natural_key) == ['001.png', '01.png', '1.png']
    assert sorted(['x', '\u00b2', '\u0661\u0660', '9'], key=natural_key)  # digits of any script


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    _fill(
        tmp_path,
        'a.png',
        'b.webm',
        'c.txt',
        'd.txt',
        'LICENSE',
        '._a.png',
        '.DS_Store',
        '.git/x.png',
    )
    found = list_files(tmp_path, IMAGES)
    assert [path.name for path in found.files] == ['a.png']
    assert found.skipped == {'.txt': 2, 'hidden': 2, '.webm': 1, 'without suffix': 1}
    assert found.note.startswith('6 files skipped: ')
    assert '2 .txt' in found.note
    assert 'ffmpeg' in found.note


def test_nothing_passed_over_nothing_said(tmp_path: Path) -> None:
    _fill(tmp_path, 'a.png')
    assert list_files(tmp_path, IMAGES).note == ''
    _fill(tmp_path, 'b.txt')
    assert list_files(tmp_path, IMAGES).note == '1 file skipped: 1 .txt'


def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    _fill(tmp_path / 'elsewhere', '1.png')
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set' / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'set' / 'twice').symlink_to(tmp_path / 'elsewhere')
    found = list_files(tmp_path / 'set', IMAGES)
    assert [path.as_posix() for path in found.files] == [str(tmp_path / 'set' / 'link' / '1.png')]
    assert found.loops == [tmp_path / 'set' / 'twice']
    assert f'link not followed again: {tmp_path / "set" / "twice"}' in found.note


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    _fill(tmp_path, 'a/1.png')
    (tmp_path / 'a' / 'up').symlink_to(tmp_path)
    (tmp_path / 'self').symlink_to(tmp_path / 'self')
    (tmp_path / 'self.png').symlink_to(tmp_path / 'self.png')
    found = list_files(tmp_path, IMAGES)
    assert [path.name for path in found.files] == ['1.png']
    assert found.loops == [tmp_path / 'a' / 'up']
    assert found.skipped == {'broken link': 2}


def test_pipes_and_sockets_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(tmp_path, 'a.png')
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'gone.png').symlink_to(tmp_path / 'nowhere')
    server = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # the name of a socket may have 100 bytes only
    server.bind('s.png')
    server.close()
    found = list_files(tmp_path, IMAGES)
    assert [path.name for path in found.files] == ['a.png']
    assert found.skipped == {'named pipe': 1, 'socket': 1, 'broken link': 1}


def test_results_are_no_input(tmp_path: Path) -> None:
    _fill(tmp_path, '1.png', 'out/1.png', 'out/deep/2.png')
    assert _names(tmp_path, leave_out=[tmp_path / 'out']) == ['1.png']


def test_no_folder(tmp_path: Path) -> None:
    _fill(tmp_path, 'a.png')
    for path in (tmp_path / 'absent', tmp_path / 'a.png'):
        with pytest.raises(DataError, match='no such folder'):
            list_files(path, IMAGES)


def test_a_single_file_must_be_regular(tmp_path: Path) -> None:
    _fill(tmp_path, 'a.png')
    os.mkfifo(tmp_path / 'pipe')
    assert check_regular_file(tmp_path / 'a.png') == tmp_path / 'a.png'
    with pytest.raises(FileNotFoundError, match=r'prediction not found: .*absent'):
        check_regular_file(tmp_path / 'absent', 'prediction')
    with pytest.raises(DataError, match='pipe: expected a regular file, got a named pipe'):
        check_regular_file(tmp_path / 'pipe')
    with pytest.raises(DataError, match='expected a regular file, got a folder'):
        check_regular_file(tmp_path)


def test_files_by_name(tmp_path: Path) -> None:
    """By stem where stems are unique, else by the path below the common folder."""
    for place in ('new/deep/a.png', 'new/b.webp', 'both/day/1.png', 'both/night/1.jpg'):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    suffixes = ['.png', '.jpg', '.webp']
    found = match_by_name(['set/x/a.jpg', 'set/y/b.jpg'], tmp_path / 'new', suffixes)
    assert found == {
        'set/x/a.jpg': tmp_path / 'new/deep/a.png',
        'set/y/b.jpg': tmp_path / 'new/b.webp',
    }
    paths = ['/set/day/1.bmp', '/set/night/1.bmp']
    found = match_by_name(paths, tmp_path / 'both', suffixes)
    assert [file.parent.name for file in found.values()] == ['day', 'night']
    with pytest.raises(DataError, match='found none for 2 of them, such as day/1'):
        match_by_name(paths, tmp_path / 'new', suffixes)
    with pytest.raises(DataError, match=r'expected one file for set/1\.jpg alone'):
        match_by_name(['set/1.jpg', 'set/1.png'], tmp_path / 'both/day', suffixes)
