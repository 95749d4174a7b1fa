"""Native label files: what reads, and what is refused with file and line."""

from pathlib import Path

import pytest

from sci_plugins.datasets.darkface import (
    DOUBLED,
    INVERTED,
    OUTSIDE,
    OVERHANGING,
    Box,
    count_faces,
    id_order,
    read_numbered_boxes,
    read_upright_boxes,
    strange_boxes,
    write_boxes,
)
from sci_plugins.errors import DataError


def read_boxes(path: Path) -> list[Box]:
    return [box for _, box in read_upright_boxes(path)]


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / '7.txt'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    'content',
    [
        '2\n1 2 3 4\n5 6 7.5 8\n',
        '2\n1 2 3 4\n5 6 7.5 8',
        '2\r\n1 2 3 4\r\n5 6 7.5 8\r\n\r\n',
        '\n2\n\n 1  2\t3 4 \n\n5 6 7.5 8\n\n\n',
        '\ufeff2\n1 2 3 4\n5 6 7.5 8\n',
    ],
)
def test_harmless_variants_read_alike(tmp_path: Path, content: str) -> None:
    assert read_boxes(_file(tmp_path, content)) == [(1, 2, 3, 4), (5, 6, 7.5, 8)]


def test_no_face_is_an_empty_list(tmp_path: Path) -> None:
    assert read_boxes(_file(tmp_path, '0\n')) == []


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('', 'line 1: expected the number of boxes, got an empty file'),
        ('\n \n', 'an empty file'),
        ('3\n1 2 3 4\n', 'line 1: expected 3 boxes to follow, got 1'),
        ('0\n1 2 3 4\n', 'line 1: expected 0 boxes to follow, got 1'),
        ('1 2 3 4\n', "line 1: expected the number of boxes, got '1 2 3 4'"),
        ('-1\n', 'line 1: expected the number of boxes'),
        ('2\n1 2 3 4\n\n1 2 x 4\n', "line 4: expected four finite numbers .* got '1 2 x 4'"),
        ('1\n1 2 3\n', 'line 2: expected four finite numbers'),
        ('1\n1 2 3 4 0.9\n', 'line 2: expected four finite numbers'),
        ('1\n3 2 1 4\n', 'line 2: expected x1 < x2'),
        ('1\n1 4 3 4\n', 'line 2: expected x1 < x2'),
        ('1\nnan 2 3 4\n', 'line 2: expected four finite'),
        ('1\n1 2 inf 4\n', 'line 2: expected four finite'),
        (b'1\n\xff\xfe 2 3 4\n', 'cannot be read as text'),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=f'7.txt.*{words}'):
        read_boxes(_file(tmp_path, content))


def test_lines_are_numbered_and_odd_boxes_kept(tmp_path: Path) -> None:
    path = _file(tmp_path, '2\n\n5 2 5 4\n9 9 1 1\n')
    assert read_numbered_boxes(path) == [(3, (5, 2, 5, 4)), (4, (9, 9, 1, 1))]
    with pytest.raises(DataError, match='line 3: expected x1 < x2 and y1 < y2, got 5'):
        read_boxes(path)


@pytest.mark.parametrize(
    ('box', 'size', 'kind'),
    [
        ((0, 0, 30, 20), (30, 20), None),
        ((5, 5, 5, 9), (30, 20), INVERTED),
        ((5, 9, 9, 5), None, INVERTED),
        ((30, 0, 40, 9), (30, 20), OUTSIDE),
        ((0, 20, 9, 22), (30, 20), OUTSIDE),
        ((-9, 0, 0, 9), None, OUTSIDE),
        ((29, 0, 31, 9), (30, 20), OVERHANGING),
        ((0, -1, 9, 9), None, OVERHANGING),
        ((29, 0, 31, 9), None, None),
    ],
)
def test_odd_boxes(box: Box, size: tuple[int, int] | None, kind: str | None) -> None:
    found = strange_boxes('7.txt', [(2, box)], size)
    assert [what for what, _ in found] == ([kind] if kind else [])
    for _, sentence in found:
        assert sentence.startswith(f'7.txt, line 2: {kind} ')


def test_a_doubled_box_is_named_where_it_comes_again() -> None:
    numbered = [(2, (1.0, 2.0, 3.0, 4.0)), (3, (0.0, 2.0, 3.0, 4.0))]
    assert strange_boxes('7.txt', numbered) == []
    ((kind, sentence),) = strange_boxes('7.txt', [*numbered, (5, numbered[0][1])])
    assert kind == DOUBLED
    assert sentence == '7.txt, line 5: duplicate box 1 2 3 4'


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'9.txt: there is no such label file'):
        read_boxes(tmp_path / '9.txt')


def test_what_is_written_reads_again(tmp_path: Path) -> None:
    boxes = [(1.0, 2.0, 30.5, 40.0), (0.0, 0.0, 8.0, 9.0)]
    path = tmp_path / 'x.txt'
    write_boxes(path, boxes)
    assert path.read_text() == '2\n1 2 30.5 40\n0 0 8 9\n'
    assert read_boxes(path) == boxes


def test_faces_are_counted_by_the_first_lines(tmp_path: Path) -> None:
    (tmp_path / '1.txt').write_text('2\n')
    (tmp_path / '2.txt').write_text('\ufeff\n3\r\n1 2 3 4\n')
    assert count_faces(tmp_path, ['1', '2']) == 5
    assert count_faces(tmp_path, ['1', '2', '3']) is None
    for content in ('', 'face\n'):
        (tmp_path / '3.txt').write_text(content)
        assert count_faces(tmp_path, ['1', '3']) is None


def test_ids_are_ordered_as_numbers() -> None:
    names = ['b', '10', '2', 'a', '1']
    assert sorted(names, key=id_order) == ['1', '2', '10', 'a', 'b']


def test_real_labels_read(shared_data: Path) -> None:
    paths = sorted((shared_data / 'data/darkface/label').glob('*.txt'))
    assert len(paths) == 4
    assert all(read_boxes(path) for path in paths)
