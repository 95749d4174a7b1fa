"""Every set's check finds its own layout, and what is known of it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sci_plugins.apis.prepare_data import check_data
from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.segmentation_check import CONTENT, FRAME, OVERLAP, RECORDING
from sci_plugins.errors import ConfigError, DataError

EXPECTED = {'other number of images', 'other size', 'class without pixels'}


def _kinds(report: CheckReport, errors: bool = False) -> set[str]:
    return {each.kind for each in (report.errors if errors else report.problems)}


def _counts(report: CheckReport) -> dict:
    return {row['part']: (row['images'], row['label maps']) for row in report.tables['parts']}


def _published(report: CheckReport) -> list:
    return [row['published'] for row in report.tables['parts']]


def test_acdc_by_night(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_acdc(tmp_path)
    make.write_acdc(tmp_path, split='train', frames=[('GOPR0122', 7)])
    make.write_acdc(tmp_path, split='test', frames=[('GOPR0355', 8)])
    report = check_data('acdc', tmp_path)
    assert report.errors == []
    assert _counts(report) == {'night/train': (1, 1), 'night/val': (3, 3), 'night/test': (1, 0)}
    assert _published(report) == [400, 106, 500]
    assert _kinds(report) == EXPECTED | {OVERLAP}
    texts = ' '.join(each.text for each in report.problems if each.kind == OVERLAP)
    assert 'night/val: 1 images are from GOPR0356, the recording of all 50' in texts
    assert "Dark Zurich's 151 test images" in texts
    assert '296 of its 400' in texts


def test_other_conditions_of_acdc(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_acdc(tmp_path, condition='fog', frames=[('GOPR0476', 7)])
    report = check_data('acdc', tmp_path, condition=['fog', 'night'])
    assert _kinds(report) == EXPECTED | {'missing part'}
    assert report.tables['parts'][1] == {
        'part': 'fog/val',
        'images': 1,
        'published': 100,
        'label maps': 1,
    }
    with pytest.raises(ConfigError, match='condition must be'):
        check_data('acdc', tmp_path, condition='dusk')


def test_acdcs_own_training_part_is_looked_through(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_acdc(tmp_path)
    make.write_acdc(tmp_path, split='train', frames=[('GOPR0351', 2), ('GOPR0356', 9)])
    report = check_data('acdc', tmp_path, content=True)
    assert {FRAME, RECORDING, CONTENT, OVERLAP} <= _kinds(report)
    assert _kinds(report, errors=True) == {FRAME, CONTENT, OVERLAP}


def test_acdc_without_frames_in_common(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_acdc(tmp_path, frames=[('GOPR0351', 1)])
    make.write_acdc(tmp_path, condition='fog', frames=[('GOPR0356', 2)])
    assert OVERLAP not in _kinds(check_data('acdc', tmp_path, condition=['night', 'fog']))


def test_dark_zurich_against_acdc(tmp_path: Path, make: SimpleNamespace) -> None:
    zurich = make.write_dark_zurich(tmp_path / 'zurich')
    assert check_data('darkzurich', zurich).errors == []
    report = check_data('darkzurich', zurich)
    assert _kinds(report) == EXPECTED | {OVERLAP}
    texts = [each.text for each in report.problems if each.kind == OVERLAP]
    assert [text.split(':')[0] for text in texts] == ['val/night', 'test/night', 'train/night']
    assert '2 images are from GOPR0356, a recording of ACDC night val, which has all' in texts[0]
    acdc = make.write_acdc(tmp_path / 'acdc')
    report = check_data('darkzurich', zurich, against=[acdc])
    assert _kinds(report, errors=True) == {FRAME, RECORDING}
    assert _counts(report)['val/night'] == (2, 2)
    assert _published(report) == [2416, 50, 151]
    train = [str(acdc / 'rgb_anon/night/val/GOPR0351')]
    assert check_data('darkzurich', zurich, against=train).errors == []


def test_night_driving(tmp_path: Path, make: SimpleNamespace) -> None:
    report = check_data('nightdriving', make.write_night_driving(tmp_path))
    assert _kinds(report) == EXPECTED
    assert _counts(report) == {'test': (2, 2)}


@pytest.mark.parametrize('release', ['original', 'fine'])
def test_nightcity(tmp_path: Path, make: SimpleNamespace, release: str) -> None:
    make.write_nightcity(tmp_path, release=release)
    report = check_data('nightcity', tmp_path, release=release)
    assert _kinds(report) == EXPECTED | {'missing part'}
    rows = report.tables['label values of val']
    cars = next(row for row in rows if row['class'] == 'car')
    assert cars['value'] == (26 if release == 'original' else 13)
    assert cars['pixels'] > 0
    with pytest.raises(ConfigError, match='release must be'):
        check_data('nightcity', tmp_path, release='plus')


def test_ids_in_place_of_train_ids(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_nightcity(tmp_path)
    for path in tmp_path.glob('label/val/*_labelIds.png'):
        path.rename(path.with_name(path.name.replace('_labelIds', '_trainIds')))
    report = check_data('nightcity', tmp_path, release='fine')
    assert _kinds(report, errors=True) == {'class out of range'}
    assert 'not trainIds' in report.errors[0].text


def test_bdd100k(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_bdd100k(tmp_path)
    report = check_data('bdd100k', tmp_path, write_lists=tmp_path / 'lists')
    assert _kinds(report) == EXPECTED
    assert _counts(report) == {'val': (2, 2)}
    assert _published(report) == [87]
    (row,) = report.tables['time of day']
    assert row == {
        'split': 'val',
        'images': 5,
        'daytime': 1,
        'night': 2,
        'dawn/dusk': 1,
        'undefined': 0,
        'in no label file': 1,
    }
    lists = {path.name: path.read_text() for path in (tmp_path / 'lists').iterdir()}
    assert lists == {'night_val.txt': '7d000000-00000000\n7d000002-00000000\n'}
    other = check_data('bdd100k', tmp_path, timeofday=['dawn/dusk'], write_lists=tmp_path / 'l')
    assert (_published(other), _counts(other)) == (['?'], {'val': (1, 1)})
    assert (tmp_path / 'l/dawn-dusk_val.txt').read_text() == '7d000003-00000000\n'


def test_a_list_of_somebody_else_stays(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_bdd100k(tmp_path)
    path = tmp_path / 'night_val.txt'
    path.write_text('mine\n')
    with pytest.raises(ConfigError, match=r'night_val\.txt exists and was not'):
        check_data('bdd100k', tmp_path, write_lists=tmp_path)
    assert path.read_text() == 'mine\n'
    for overwrite in (True, False):  # an equal one is no obstacle
        check_data('bdd100k', tmp_path, write_lists=tmp_path, overwrite=overwrite)
    assert path.read_text().startswith('7d000000-')


def test_bdd100k_without_images_or_times(tmp_path: Path, make: SimpleNamespace) -> None:
    with pytest.raises(DataError, match=r'found no \*\.jpg below .*images/10k'):
        check_data('bdd100k', tmp_path)
    make.write_bdd100k(tmp_path, times=[None])
    assert _counts(check_data('bdd100k', tmp_path)) == {'val': (0, 0)}
    assert _kinds(check_data('bdd100k', tmp_path), errors=True) == {'no images'}


def test_camvid(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_camvid(tmp_path)
    make.write_camvid(tmp_path, 'val', ['0006R0_f00960'])
    report = check_data('camvid', tmp_path)
    assert _kinds(report) == EXPECTED | {'missing part', RECORDING}
    assert report.errors == []


@pytest.mark.parametrize(
    ('damage', 'kind'),
    [
        (lambda label: label.unlink(), 'image without label map'),
        (lambda label: Image.new('L', (5, 4)).save(label), 'sizes that differ'),
        (lambda label: Image.new('RGB', (48, 24)).save(label), 'RGB-encoded label map'),
        (
            lambda label: Image.fromarray(np.full((24, 48), 99, np.uint8)).save(label),
            'class out of range',
        ),
    ],
)
@pytest.mark.parametrize('name', ['acdc', 'dark_zurich', 'night_driving', 'nightcity'])
def test_bad_label_maps_of_every_set(
    tmp_path: Path, make: SimpleNamespace, name: str, damage: Callable, kind: str
) -> None:
    getattr(make, f'write_{name}')(tmp_path)
    labels = [*tmp_path.rglob('*_labelTrainIds.png'), *tmp_path.rglob('*_labelIds.png')]
    damage(labels[0])
    report = check_data(name.replace('_', ''), tmp_path)
    assert _kinds(report, errors=True) == {kind}
    assert str(labels[0]) in report.errors[0].text


def test_real_camvid(shared_data: Path) -> None:
    report = check_data('camvid', shared_data / 'data/camvid')
    assert report.errors == []
    assert _counts(report) == {'train': (367, 367), 'val': (101, 101), 'test': ('-', '-')}
    assert _kinds(report) == {'missing part', RECORDING}
