"""Official submission files: written, read, and refused by file and line."""

from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.detection_records import ImageDetections
from sci_plugins.evaluation.metrics.darkface import (
    DarkFaceMetric,
    read_predictions,
    write_submission,
)


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / '7.txt'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_what_is_written_reads_again_to_the_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    corner = rng.uniform(-3, 1080, (20, 2))
    found = np.concatenate([corner, corner + 9 * rng.uniform(size=(20, 2)), corner[:, :1]], 1)
    none = np.zeros((0, 4))
    images = [ImageDetections('3', found, none), ImageDetections('10', np.zeros((0, 5)), none)]
    write_submission(tmp_path / 'new', images)
    names = sorted(path.name for path in (tmp_path / 'new').glob('*.txt'))
    assert names == ['10.txt', '3.txt']
    again, remarks = read_predictions(tmp_path / 'new/3.txt')
    assert np.array_equal(again, found[np.argsort(-found[:, 4])])
    assert remarks == []
    assert (tmp_path / 'new/10.txt').read_bytes() == b''
    assert read_predictions(tmp_path / 'new/10.txt')[0].shape == (0, 5)


def test_the_layout_is_the_official_one(tmp_path: Path) -> None:
    found = np.array([[1, 2, 3.5, 4, 0.25], [10, 20, 30, 40, 1e-7]])
    write_submission(tmp_path, [ImageDetections('1', found, np.zeros((0, 4)))])
    assert (tmp_path / '1.txt').read_text() == ('1.0 2.0 3.5 4.0 0.25\n10.0 20.0 30.0 40.0 1e-07\n')


@pytest.mark.parametrize(
    'content',
    [
        '1 2 3 4 .5\n5 6 7.5 8 1e-3\n',
        '1 2 3 4 .5\r\n\r\n5 6 7.5 8 1e-3',
        '\ufeff\n 1\t2 3  4 0.5\n\n5 6 7.5 8 0.001\n\n',
    ],
)
def test_harmless_variants_read_alike(tmp_path: Path, content: str) -> None:
    rows, remarks = read_predictions(_file(tmp_path, content))
    assert rows.tolist() == [[1, 2, 3, 4, 0.5], [5, 6, 7.5, 8, 0.001]]
    assert remarks == []


def test_inverted_boxes_stay_and_are_named(tmp_path: Path) -> None:
    rows, remarks = read_predictions(
        _file(tmp_path, '1 2 3 4 .5\n\n9 2 3 4 .5\n1 9 3 4 .5\n5 5 5 5 .1\n')
    )
    assert len(rows) == 4
    assert len(remarks) == 2
    assert remarks[0].endswith("7.txt, line 3: inverted box '9 2 3 4 .5' (x1 y1 x2 y2 score)")
    assert 'line 4' in remarks[1]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('2\n1 2 3 4 .5\n', "line 1: expected five finite numbers .* got '2'"),
        ('1 2 3 4 .5\n1 2 3 4\n', "line 2: .* got '1 2 3 4'"),
        ('\n1 2 3 4 5 6\n', 'line 2: expected five'),
        ('1,2,3,4,.5\n', 'line 1: expected five'),
        ('face 1 2 3 4\n', 'line 1: expected five'),
        ('1 2 3 4 nan\n', 'line 1: expected five finite'),
        ('1 2 inf 4 .5\n', 'line 1: expected five finite'),
        (b'\xff\xfe1 2 3 4 .5', 'cannot be read as text'),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=f'7.txt.*{words}'):
        read_predictions(_file(tmp_path, content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'9.txt: there is no such prediction file'):
        read_predictions(tmp_path / '9.txt')


def test_labels_are_not_written_over(tmp_path: Path) -> None:
    """They have the same names."""
    (tmp_path / 'label').mkdir()
    (tmp_path / 'label' / '1.txt').write_text('1\n0 0 5 5\n')
    with pytest.raises(ConfigError, match='holds text files that were not written by this package'):
        DarkFaceMetric(coco=False, submission_dir=str(tmp_path / 'label'))
    write_submission(tmp_path / 'new', [])
    DarkFaceMetric(coco=False, submission_dir=str(tmp_path / 'new'))
