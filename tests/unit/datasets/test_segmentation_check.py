"""Each thing that can be wrong with images and label maps is found and named."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import CAMVID, LabelCode, NightLayout
from sci_plugins.datasets.segmentation_check import check_segmentation, image_digest, load_as_mmseg
from sci_plugins.errors import DataError

CODE = LabelCode(dict(enumerate(CAMVID)), frozenset([11]))
LAYOUT = NightLayout(
    'a set', '{split}', '{split}annot', '.jpg', '.png', CODE, ('val',), size=(48, 24)
)
LABEL, IMAGE = 'valannot/0006R0_f00930.png', 'val/0006R0_f00930.jpg'


@pytest.fixture
def root(tmp_path: Path, make: SimpleNamespace) -> Path:
    """Three frames whose label maps lack sign, fence and bicyclist."""
    return make.write_camvid(tmp_path, 'val')


def _check(root: Path, published: int | None = 3) -> CheckReport:
    counts = {} if published is None else dict(val=published)
    return check_segmentation(replace(LAYOUT, counts=counts), root)


def _save(root: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(root / LABEL)


def test_a_clean_set(root: Path, make: SimpleNamespace) -> None:
    report = _check(root)
    assert report.errors == []
    (note,) = report.problems
    assert note.kind == 'class without pixels'
    assert note.text == 'val: no pixel of sign, fence, bicyclist'
    assert report.facts == {'images': 3, 'label maps': 3, 'training images': 'none compared'}
    assert report.tables['parts'] == [{'part': 'val', 'images': 3, 'published': 3, 'label maps': 3}]
    rows = {row['class']: row for row in report.tables['label values of val']}
    truth = [make.frame(50 + number, 8, make.CAMVID)[1] for number in range(3)]
    for value, name in CODE.classes.items():
        assert rows[name]['value'] == value
        assert rows[name]['pixels'] == sum(int((each == value).sum()) for each in truth)
        assert rows[name]['label maps'] == sum(bool((t == value).any()) for t in truth)
    assert rows['ignored']['pixels'] == 3 * 48
    assert sum(row['pixels'] for row in rows.values()) == 3 * 48 * 24


def _cut(root: Path, name: str) -> None:
    (root / name).write_bytes((root / name).read_bytes()[:-40])


@pytest.mark.parametrize(
    ('damage', 'kind', 'words'),
    [
        (lambda r: (r / LABEL).unlink(), 'image without label map', IMAGE),
        (lambda r: (r / IMAGE).unlink(), 'label map without image', LABEL),
        (lambda r: _cut(r, IMAGE), 'unreadable image', IMAGE),
        (lambda r: _cut(r, LABEL), 'unreadable label map', LABEL),
        (
            lambda r: _save(r, np.zeros((20, 48), np.uint8)),
            'sizes that differ',
            f'{LABEL}: is 48x20, its image .*{IMAGE} is 48x24',
        ),
        (
            lambda r: _save(r, np.zeros((24, 48, 3), np.uint8)),
            'RGB-encoded label map',
            rf'{LABEL}: expected one channel .*\(3 channels\)',
        ),
        (
            lambda r: _save(r, np.full((24, 48), 12, np.uint8)),
            'class out of range',
            rf'{LABEL}: contains 12 \(1152 pixels\); expected 0 to 11',
        ),
        (
            lambda r: _save(r, np.full((24, 48), 256, np.uint16)),
            'class out of range',
            rf'{LABEL}: contains 256 ',
        ),
    ],
)
def test_errors(root: Path, damage: Callable, kind: str, words: str) -> None:
    damage(root)
    (error,) = _check(root).errors
    assert error.kind == kind
    assert re.search(words, error.text)


def test_values_out_of_range_stand_in_the_table(root: Path) -> None:
    _save(root, np.full((24, 48), 12, np.uint8))
    rows = _check(root).tables['label values of val']
    assert (rows[-1]['value'], rows[-1]['class'], rows[-1]['pixels']) == (12, 'OUT OF RANGE', 1152)


@pytest.mark.parametrize(
    ('damage', 'kind'),
    [
        (lambda r: _save(r, np.full((24, 48), 11, np.uint8)), 'label map without any class'),
        (
            lambda r: [
                Image.new(mode, (9, 5)).save(r / name)
                for mode, name in (('RGB', IMAGE), ('L', LABEL))
            ],
            'other size',
        ),
    ],
)
def test_notes(root: Path, damage: Callable, kind: str) -> None:
    damage(root)
    report = _check(root)
    assert report.errors == []
    assert kind in [problem.kind for problem in report.problems]


def test_another_number_of_images_is_noted(root: Path) -> None:
    kinds = [problem.kind for problem in _check(root, 4).problems]
    assert 'other number of images' in kinds
    assert 'other number of images' not in [p.kind for p in _check(root, None).problems]


def test_several_problems_at_once(root: Path) -> None:
    (root / IMAGE).write_bytes(b'')
    _save(root, np.zeros((2, 2, 3), np.uint8))
    kinds = {error.kind for error in _check(root).errors}
    assert kinds == {'unreadable image', 'RGB-encoded label map'}


def test_an_empty_folder(root: Path) -> None:
    for path in (root / 'val').iterdir():
        path.unlink()
    kinds = [error.kind for error in _check(root).errors]
    assert kinds == ['no images', *['label map without image'] * 3]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'a set in .*: nothing to check, found none of .*val'):
        _check(tmp_path)


def test_only_chosen_images(root: Path) -> None:
    (part,) = LAYOUT.parts(root, 'val')
    parts = [replace(part, chosen=frozenset(['0001TP_006690']))]
    report = check_segmentation(LAYOUT, root, parts=parts)
    assert report.errors == []
    assert report.facts['images'] == 1


def test_the_digest_is_of_the_pixels(root: Path) -> None:
    copy = root / 'copy.bmp'
    with Image.open(root / IMAGE) as image:
        image.save(copy)
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / 'turned.bmp')
    shape, digest = image_digest(root / IMAGE)
    assert shape == (24, 48)
    assert image_digest(copy) == (shape, digest)
    assert image_digest(root / 'turned.bmp')[1] != digest


def test_label_maps_are_seen_as_mmseg_loads_them(tmp_path: Path) -> None:
    values = np.array([[0, 18, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / 'grey.png')
    palette = Image.fromarray(values).convert('L')
    palette.putpalette([7] * 768)
    palette.save(tmp_path / 'palette.png')
    Image.fromarray(np.array([[300]], np.uint16)).save(tmp_path / 'deep.png')
    np.testing.assert_array_equal(load_as_mmseg(tmp_path / 'grey.png'), values)
    np.testing.assert_array_equal(load_as_mmseg(tmp_path / 'palette.png'), values)
    assert load_as_mmseg(tmp_path / 'deep.png').tolist() == [[300]]
    (tmp_path / 'a.png').write_bytes(b'no image')
    with pytest.raises(DataError, match=r'cannot read the label map .*a\.png: '):
        load_as_mmseg(tmp_path / 'a.png')
