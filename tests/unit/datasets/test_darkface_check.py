"""Each thing that can be wrong in a folder of DARK FACE is found and named."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.darkface import split_ids
from sci_plugins.datasets.darkface_check import check_darkface
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.utils.images import write_image

SIZE = (40, 30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three different images, 1 to 3, the last without faces."""
    (tmp_path / 'image').mkdir()
    (tmp_path / 'label').mkdir()
    for number, boxes in ((1, ['1 2 9 12', '4 4 40 30']), (2, ['0 0 5 6']), (3, [])):
        _image(tmp_path, number, value=number)
        lines = '\n'.join([str(len(boxes)), *boxes])
        (tmp_path / f'label/{number}.txt').write_text(lines)
    return tmp_path


def _image(root: Path, number: int, value: int, size: tuple[int, int] = SIZE) -> None:
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    write_image(root / f'image/{number}.png', pixels)


def _check(root: Path) -> CheckReport:
    return check_darkface(root, size=SIZE)


def test_a_clean_folder(root: Path) -> None:
    report = _check(root)
    assert [problem.kind for problem in report.problems] == ['incomplete set']
    assert report.errors == []
    assert report.facts['images'] == report.facts['labels'] == 3
    assert report.facts['faces'] == 3
    assert report.facts['images without faces'] == 1
    assert report.facts['most faces in an image'] == 2
    assert report.facts['faces below 16 pixels'] == 2
    assert report.facts['faces from 16 to 32 pixels'] == 1
    assert 'not a known split' in report.facts['annotation version']
    row = next(row for row in report.tables['splits'] if row['split'] == 'all')
    assert row['images'] == '3/6000'
    assert row['faces'] == 3
    assert 'usable for training' in report.to_text()


def _label(text: str) -> Callable[[Path], object]:
    return lambda root: (root / 'label/2.txt').write_text(text)


@pytest.mark.parametrize(
    ('damage', 'kind', 'words'),
    [
        (lambda r: (r / 'image/2.png').write_bytes(b''), 'unreadable image', '2.png'),
        (
            lambda r: (r / 'image/2.png').write_bytes((r / 'image/2.png').read_bytes()[:-30]),
            'unreadable image',
            '2.png',
        ),
        (lambda r: _image(r, 2, 9, (30, 40)), 'wrong size', '2.png: expected 40x30, got 30x40'),
        (lambda r: (r / 'image/2.png').unlink(), 'label without image', 'label/2.txt'),
        (lambda r: (r / 'label/2.txt').unlink(), 'image without label', 'image/2.png'),
        (_label('2\n0 0 5 6\n'), 'unreadable label', '2.txt, line 1: expected 2 boxes'),
        (_label('1\n\n0 0 x 6\n'), 'unreadable label', '2.txt, line 3: expected four'),
        (_label('1\n5 0 5 6\n'), 'empty or inverted box', '2.txt, line 2: .* 5 0 5 6'),
        (_label('1\n5 9 8 6\n'), 'empty or inverted box', '2.txt, line 2: .* 5 9 8 6'),
        (_label('1\n40 0 45 6\n'), 'box outside the image', '2.txt, line 2: .* 40 0 45'),
    ],
)
def test_errors(root: Path, damage: Callable, kind: str, words: str) -> None:
    damage(root)
    report = _check(root)
    (error,) = report.errors
    assert error.kind == kind
    assert re.search(words, error.text)
    assert f'ERROR: {kind} (1)' in report.to_text()


@pytest.mark.parametrize(
    ('damage', 'kind'),
    [
        (_label('1\n35 0 41 6\n'), 'box reaching beyond the image'),
        (_label('2\n0 0 5 6\n0 0 5 6\n'), 'duplicate box'),
        (lambda root: _image(root, 2, value=1), 'identical images'),
        (lambda root: (root / 'image/4.PNG').write_text(''), 'other files'),
        (lambda root: (root / 'label/read.me').write_text(''), 'other files'),
    ],
)
def test_notes(root: Path, damage: Callable, kind: str) -> None:
    damage(root)
    report = _check(root)
    assert report.errors == []
    assert [problem.kind for problem in report.problems if problem.kind == kind] == [kind]


def test_blank_lines_crlf_and_fractions_are_fine(root: Path) -> None:
    (root / 'label/2.txt').write_bytes(b'\r\n1\r\n\r\n0.5 0 5.25 6\r\n\r\n')
    assert _check(root).errors == []
    assert _check(root).facts['faces'] == 3


def test_every_problem_is_kept(root: Path) -> None:
    (root / 'image/1.png').unlink()
    _label('1\n5 0 5 6\n')(root)
    (root / 'label/3.txt').unlink()
    kinds = {error.kind for error in _check(root).errors}
    assert kinds == {'label without image', 'image without label', 'empty or inverted box'}


def test_the_hash_of_the_labels_is_that_of_their_boxes(root: Path) -> None:
    before = _check(root).facts['sha256 of the labels']
    _label('1\r\n\r\n0 0 5.0 6')(root)
    assert _check(root).facts['sha256 of the labels'] == before
    _label('1\n0 0 5 7\n')(root)
    assert _check(root).facts['sha256 of the labels'] != before


def test_a_split_must_be_complete(root: Path) -> None:
    """Of these three images only two are in the split."""
    report = check_darkface(root, split='hlaface_val', size=SIZE)
    assert report.facts['images'] == 2
    assert {error.kind for error in report.errors} == {'missing image'}
    assert len(report.errors) == 498


def test_versions_of_a_whole_split(root: Path) -> None:
    for number in (1, 2):
        (root / f'image/{number}.png').unlink()
        (root / f'label/{number}.txt').unlink()
    for index, name in enumerate(split_ids('hlaface_val')):
        picture = root / f'image/{name}.png'
        if not picture.exists():
            picture.hardlink_to(root / 'image/3.png')
        faces = 7 + (index < 170)
        boxes = ''.join(f'{x} 2 39 12\n' for x in range(faces))
        (root / f'label/{name}.txt').write_text(f'{faces}\n{boxes}')
    report = _check(root)
    assert report.errors == []
    assert report.facts['annotation version'] == '2019'
    (root / 'label/3.txt').write_text('0\n')
    report = check_darkface(root, split='hlaface_val', size=SIZE)
    assert report.facts['annotation version'] == 'unknown'
    assert 'unknown annotations' in {problem.kind for problem in report.problems}


def test_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'folder .*image does not exist'):
        check_darkface(tmp_path)
    (tmp_path / 'image').mkdir()
    with pytest.raises(DataError, match=r'no .png file to check in .*image'):
        check_darkface(tmp_path)


def test_an_unknown_split(root: Path) -> None:
    with pytest.raises(ConfigError, match='split must be one of'):
        check_darkface(root, split='test')


def test_real_images_are_fine(shared_data: Path) -> None:
    report = check_darkface(shared_data / 'data/darkface')
    assert report.errors == []
    assert report.facts['faces'] == 26
