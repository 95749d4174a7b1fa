"""ExDark's text files: what reads, and what is refused with file and line."""

from pathlib import Path

import pytest

from sci_plugins.datasets.exdark import read_class_list, read_objects
from sci_plugins.errors import DataError

HEAD = '% bbGt version=3\n'
LIST = (
    'Name | Class | Light | In/Out | Train/Val/Test\r\n'
    '2015_00001.png 1 2 1 1\r\n2015_00002.jpg 11 6 2 3\r\n2015_00003.JPEG 1 5 2 2\r\n'
)


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / 'a.txt'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_objects(tmp_path: Path) -> None:
    text = 'Bicycle 204 28 271 193 0 0 0 0 0 0 0\n\nPeople 1.5 2 0 4 0 0 0 0 0 0 0\r\n'
    assert read_objects(_file(tmp_path, HEAD + text)) == [
        ('Bicycle', (204, 28, 475, 221)),
        ('People', (1.5, 2, 1.5, 6)),
    ]
    assert read_objects(_file(tmp_path, HEAD)) == []


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('', "line 1: expected '% bbGt'"),
        ('Bicycle 1 2 3 4 0\n', "line 1: expected '% bbGt'"),
        (HEAD + 'Bike 1 2 3 4 0\n', "line 2: expected a class of .*, got 'Bike'"),
        (HEAD + '\nBus 1 2 3\n', "line 3: expected CLASS .* got 'Bus 1 2 3'"),
        (HEAD + 'Bus 1 2 x 4\n', 'line 2: expected CLASS'),
        (HEAD + 'Bus 1 2 nan 4\n', 'line 2: expected CLASS'),
        (HEAD + 'Bus nan 2 3 4\n', 'line 2: expected CLASS'),
        (b'\xff\xfe', 'cannot be read as text'),
    ],
)
def test_bad_objects(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=f'a.txt.*{words}'):
        read_objects(_file(tmp_path, content))


@pytest.mark.parametrize(
    ('splits', 'names'),
    [
        ((), ['2015_00001.png', '2015_00002.jpg', '2015_00003.JPEG']),
        (('train',), ['2015_00001.png']),
        (('test',), ['2015_00002.jpg']),
        (('train', 'val'), ['2015_00001.png', '2015_00003.JPEG']),
    ],
)
def test_class_list(tmp_path: Path, splits: tuple[str, ...], names: list[str]) -> None:
    assert read_class_list(_file(tmp_path, LIST), splits) == names


def test_any_list_of_names(tmp_path: Path) -> None:
    assert read_class_list(_file(tmp_path, 'a.png\n\nb.jpg 7\n')) == ['a.png', 'b.jpg']


@pytest.mark.parametrize(
    ('content', 'splits', 'words'),
    [
        ('a.png\n', ('val',), "line 1: expected five columns.* got 'a.png'"),
        ('a.png 1 1 1 4\n', ('val',), 'line 1: expected five columns'),
        ('a.png\nb.png\na.png\n', (), 'line 3: duplicate image a.png'),
        ('a.png 1 1 1 1\n', ('val',), r"lists no image of \('val',\)"),
        ('', (), 'lists no image$'),
    ],
)
def test_bad_lists(tmp_path: Path, content: str, splits: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=f'a.txt.*{words}'):
        read_class_list(_file(tmp_path, content), splits)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'b.txt: there is no such annotation file'):
        read_objects(tmp_path / 'b.txt')
    with pytest.raises(DataError, match=r'b.txt: there is no such list'):
        read_class_list(tmp_path / 'b.txt')
