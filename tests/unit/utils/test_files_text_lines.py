"""Numbered lines of text files."""

from pathlib import Path

import pytest

from sci_plugins.errors import DataError
from sci_plugins.utils.files import read_numbered_lines


def test_blank_lines_keep_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_bytes('\ufeffone\r\n\r\n  two words \nthree'.encode())
    assert read_numbered_lines(path) == [(1, 'one'), (3, 'two words'), (4, 'three')]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').write_text('')
    assert read_numbered_lines(tmp_path / 'a.txt') == []


def test_missing_binary_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'none.txt: there is no such label file'):
        read_numbered_lines(tmp_path / 'none.txt', 'label file')
    (tmp_path / 'a.txt').write_bytes(b'\xff\xfe')
    with pytest.raises(DataError, match=r'a.txt cannot be read as text'):
        read_numbered_lines(tmp_path / 'a.txt')
    with pytest.raises(DataError, match='expected a regular file, got a folder'):
        read_numbered_lines(tmp_path)


@pytest.mark.parametrize(
    ('line', 'got'), [('a\0b', 'a NUL byte'), ('x' * 5001, '5001 characters'), ('x' * 5000, '')]
)
def test_what_is_no_line_of_text(tmp_path: Path, line: str, got: str) -> None:
    path = tmp_path / 'a.txt'
    path.write_text(f'one\n{line}\n')
    if not got:
        assert read_numbered_lines(path)[1] == (2, line)
        return
    with pytest.raises(DataError, match=f'a.txt, line 2: expected a line of text, got {got}'):
        read_numbered_lines(path)
