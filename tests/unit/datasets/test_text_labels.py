"""Label files of ExDark, WIDER FACE and DARK FACE with anything in them: file and line, or read."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sci_plugins.datasets.darkface import count_faces, read_numbered_boxes
from sci_plugins.datasets.exdark import read_class_list, read_objects
from sci_plugins.datasets.text_labels import is_count, parse_numbers
from sci_plugins.datasets.wider_face import read_wider_face
from sci_plugins.errors import DataError
from sci_plugins.evaluation.metrics.darkface import read_predictions

HEAD = '% bbGt version=3\n'
#: Reader, and a file that it reads.
FORMATS: dict[str, tuple[Callable[[Path], Any], str]] = {
    'ExDark': (read_objects, f'{HEAD}Car 1 2 30 40 0 0 0 0 0 0 0\nPeople 5 6 7 8 0 0 0 0 0 0 0\n'),
    'ExDark list': (read_class_list, '2015_00001.png 1 2 1 1\n2015_00002.jpg 1 2 1 3\n'),
    'WIDER FACE': (
        read_wider_face,
        'a/1.jpg\n2\n1 2 30 40 0 0 0 0 0 0\n5 6 7 8 2 0 0 1 2 0\na/2.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n',
    ),
    'DARK FACE': (read_numbered_boxes, '2\n1 2 30 40\n5 6 70 80.5\n'),
    'predictions': (read_predictions, '1 2 30 40 0.9\n5 6 70 80.5 0.1\n'),
}
DIGITS = '9' * 5000
HUGE = str(10**400)
#: In place of a word of the file.
WORDS = (
    DIGITS[:4900], HUGE, f'-{HUGE}', '1e400', '-1e308', '1e15', 'nan', 'inf', '-inf', '-1', '0', '',
    '1.5', '1_0', '0x10', 'x', '\u0663', '\u00b2', '\x1f', '½', '日本', '%', '1,2', '|', '9' * 19,
)  # fmt: skip


def _refusal(read: Callable[[Path], Any], path: Path) -> str:
    """One line, or empty for what is read."""
    try:
        read(path)
    except DataError as error:
        return str(error)
    return ''


def _check(told: str, path: Path) -> None:
    assert '\n' not in told
    assert len(told) < len(str(path)) + 400
    assert not told or told.startswith(str(path))


@pytest.mark.parametrize('name', FORMATS)
def test_the_file_as_it_is(tmp_path: Path, name: str) -> None:
    read, text = FORMATS[name]
    (tmp_path / 'x.txt').write_text(text)
    assert _refusal(read, tmp_path / 'x.txt') == ''


@pytest.mark.parametrize('name', FORMATS)
def test_any_word_in_any_place(tmp_path: Path, name: str) -> None:
    read, text = FORMATS[name]
    path, rng = tmp_path / 'x.txt', random.Random(4)
    lines = [line.split() for line in text.splitlines()]
    refused = 0
    for _ in range(150):
        row = rng.randrange(len(lines))
        changed = [list(line) for line in lines]
        changed[row][rng.randrange(len(changed[row]))] = rng.choice(WORDS)
        path.write_text('\n'.join(' '.join(line) for line in changed))
        told = _refusal(read, path)
        _check(told, path)
        refused += bool(told)
    assert refused > 50 or name == 'ExDark list'  # a name may be anything


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize(
    'change',
    [
        lambda data: data.replace(b' ', b' \0', 1),
        lambda data: b'\0' * 4096,
        lambda data: data.decode().encode('utf-16'),
        lambda data: data.decode().encode('utf-16-le'),
        lambda data: data.decode().encode('utf-32'),
        lambda data: data.replace(b'1', b'\xe9', 1),
        lambda data: b'\x89PNG\r\n\x1a\n' + bytes(range(256)),
        lambda data: data.rstrip() + b' 7' * 100_000,
    ],
)
def test_what_is_not_such_text(tmp_path: Path, name: str, change: Callable) -> None:
    read, text = FORMATS[name]
    path = tmp_path / 'x.txt'
    path.write_bytes(change(text.encode()))
    told = _refusal(read, path)
    _check(told, path)
    assert told


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('end', [b'\r\n', b'\n\n', b' \t\n'])
def test_line_ends_and_marks_are_fine(tmp_path: Path, name: str, end: bytes) -> None:
    read, text = FORMATS[name]
    path = tmp_path / 'x.txt'
    path.write_bytes(b'\xef\xbb\xbf' + text.encode().replace(b'\n', end))
    assert _refusal(read, path) == ''


@pytest.mark.parametrize('name', FORMATS)
def test_a_pipe_or_a_folder_does_not_hang(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / 'pipe.txt')
    for path in (tmp_path / 'pipe.txt', tmp_path):
        assert 'expected a regular file' in _refusal(FORMATS[name][0], path)


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('DARK FACE', f'{DIGITS}\n1 2 3 4\n', "line 1: expected the number of boxes, got '999"),
        ('DARK FACE', f'{HUGE}\n1 2 3 4\n', "line 1: expected the number of boxes, got '100"),
        ('DARK FACE', f'1\n1 2 3 {HUGE}\n', 'line 2: expected four finite numbers'),
        ('DARK FACE', '1\n1 2 3 1e10\n', 'line 2: expected four finite numbers'),
        ('DARK FACE', f'1{"0" * 6000}\n', 'line 1: expected a line of text, got 6001 characters'),
        ('WIDER FACE', f'a.jpg\n{DIGITS}\n', "line 2: expected the number of faces of a.jpg, got"),
        ('WIDER FACE', f'a.jpg\n{HUGE}\n', "line 2: expected the number of faces of a.jpg, got"),
        ('WIDER FACE', f'a.jpg\n1\n1 2 3 {HUGE} 0 0 0 0 0 0', 'line 3: expected ten whole numbers'),
        ('WIDER FACE', f'a.jpg\n1\n1 2 3 4 {DIGITS[:4900]} 0 0 0 0 0',
         'line 3: expected ten whole numbers'),
        ('WIDER FACE', 'a\0.jpg\n0\n', 'line 1: expected a line of text, got a NUL byte'),
        ('ExDark', f'{HEAD}Car 1 2 3 {HUGE}\n', 'line 2: expected CLASS left top width height'),
        ('ExDark', f'{HEAD}Car 1 2 1e308 1e308\n', 'line 2: expected CLASS left top width height'),
        ('ExDark', f'{HEAD}Car\0 1 2 3 4\n', 'line 2: expected a line of text, got a NUL byte'),
        ('predictions', f'1 2 3 4 {HUGE}\n', 'line 1: expected five finite numbers'),
    ],
)  # fmt: skip
def test_the_line_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / 'x.txt'
    path.write_text(text)
    assert _refusal(FORMATS[name][0], path).startswith(f'{path}, {message}')


def test_faces_are_not_counted_where_a_file_says_no_number(tmp_path: Path) -> None:
    path = tmp_path / '1.txt'
    for text, found in (('\n3\n1 2 3 4\n', 3), ('', None), ('x', None), (DIGITS, None)):
        path.write_text(text)
        assert count_faces(tmp_path, ['1']) == found
    assert count_faces(tmp_path, ['2']) is None


def test_limits() -> None:
    assert parse_numbers(['-1e9', '0', '1e9']) == [-1e9, 0, 1e9]
    assert parse_numbers(['7'], int) == [7]
    assert not any(parse_numbers(['0', word]) for word in ('1.1e9', '-1.1e9', 'nan', 'inf', 'x'))
    assert parse_numbers(['1' + 100 * '0'], int) == []
    assert is_count('0')
    assert is_count('123456789')
    assert not any(map(is_count, ('', '-1', '1.0', '1234567890', '²')))
