"""Test frames among training images: by name, by recording, by pixels."""

from pathlib import Path

import pytest
from PIL import Image

from sci_plugins.datasets.acdc import ACDC, DARK_ZURICH
from sci_plugins.datasets.camvid import CAMVID_LAYOUT
from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.night_layouts import NightLayout
from sci_plugins.datasets.segmentation_check import (
    CONTENT,
    FRAME,
    RECORDING,
    check_content,
    check_frames,
    find_leaks,
    image_digest,
    note_overlaps,
    training_images,
)
from sci_plugins.errors import DataError

VAL = Path('zurich/GOPR0356_frame_000324_rgb_anon.png')


def _kinds(report: CheckReport) -> list[tuple[str, bool]]:
    return [(problem.kind, problem.is_error) for problem in report.problems]


def _compare(
    test: str, train: str, strict: bool = True, layout: NightLayout = DARK_ZURICH
) -> CheckReport:
    report = CheckReport('x')
    check_frames(report, layout, dict(val=[Path(test)]), dict(other=[Path(train)]), strict)
    return report


def test_the_same_frame_under_another_ending() -> None:
    report = _compare('val/aachen_000001_000019_leftImg8bit.png', 't/aachen_000001_000019.jpg')
    assert _kinds(report) == [(FRAME, True)]
    assert 't/aachen_000001_000019.jpg: is the frame' in report.problems[0].text


def test_another_frame_of_the_recording() -> None:
    """Dark Zurich's validation recording is an error, whatever the frame's number."""
    train = 'acdc/GOPR0356_frame_000999_rgb_anon.png'
    assert _kinds(_compare(str(VAL), train)) == [(RECORDING, True)]
    assert _kinds(_compare(str(VAL), train, strict=False)) == [(RECORDING, False)]
    report = _compare('0016E5_00390.jpg', '0016E5_08000.jpg', layout=CAMVID_LAYOUT)
    assert _kinds(report) == [(RECORDING, False)]
    assert '1 frames of 0016E5, such as 0016E5_08000.jpg; 1 frames of val' in report.to_text()


def test_others_are_no_leak() -> None:
    for test, train in (
        (str(VAL), 'GOPR0351_frame_000324_rgb_anon.png'),
        ('Chicago_0001.png', 'Chicago_0002.png'),
        ('1.png', 'elsewhere/1.png'),  # a mere number names nothing
    ):
        assert _kinds(_compare(test, train)) == []


def test_a_file_is_no_leak_of_itself() -> None:
    assert _kinds(_compare(str(VAL), str(VAL))) == []


def test_training_images_are_no_label_maps(tmp_path: Path) -> None:
    for name in (
        'images/train/a.jpg',
        'rgb_anon/night/train/R/R_frame_000001_rgb_anon.png',
        'rgb_anon/night/train_ref/R/R_frame_000001_rgb_ref_anon.png',
        'gt/night/R_frame_000001.png',
        'gtFine/train/a.png',
        'labels/a.png',
        'trainannot/a.png',
        'gtav/b.png',
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    names = [path.name for path in training_images(tmp_path)]
    assert names == ['b.png', 'a.jpg', 'R_frame_000001_rgb_anon.png']
    with pytest.raises(DataError, match=r'labels: found no training image .*'):
        training_images(tmp_path / 'none/labels')


def _write(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (4, 3), (value, 0, 0)).save(path)
    return path


def test_the_same_pixels_under_another_name(tmp_path: Path) -> None:
    test = _write(tmp_path / 'val/1.png', 9)
    same, other = _write(tmp_path / 't/a.bmp', 9), _write(tmp_path / 't/b.png', 8)
    (tmp_path / 't/c.png').write_bytes(b'damaged')
    report = CheckReport('x')
    digests = dict(val={test: image_digest(test)[1]})
    images = dict(other=[same, other, test, tmp_path / 't/c.png'])
    check_content(report, digests, images)
    assert _kinds(report) == [(CONTENT, True)]
    assert report.problems[0].text == f'{same}: is {test} of val'


def test_all_ways_at_once(tmp_path: Path) -> None:
    test = _write(tmp_path / 'own/val/GOPR0356_frame_000001_rgb_anon.png', 9)
    train = _write(tmp_path / 'own/train/GOPR0356_frame_000002_rgb_anon.png', 7)
    _write(tmp_path / 'other/x.png', 9)
    tested, own = dict(val={test: image_digest(test)[1]}), dict(train=[train])
    report = CheckReport('x')
    find_leaks(report, DARK_ZURICH, tested, own, [tmp_path / 'other'], content=True)
    assert _kinds(report) == [(RECORDING, False), (CONTENT, True)]
    summary = report.facts['training images']
    assert summary.startswith(f'train, {tmp_path}/other: 1 x LEAKAGE: recording')
    report = CheckReport('x')
    find_leaks(report, DARK_ZURICH, tested, {})
    assert report.facts['training images'] == 'none compared'


def test_undecodable_images_are_not_alike(tmp_path: Path) -> None:
    """Neither has a digest, which must not count as the same one."""
    (tmp_path / 'a.png').write_bytes(b'damaged')
    report = CheckReport('x')
    check_content(report, dict(val={Path('b.png'): ''}), dict(train=[tmp_path / 'a.png']))
    assert _kinds(report) == []


OF_VAL, OTHER = VAL, Path('GOPR0351_frame_000324_rgb_anon.png')


def test_the_recording_in_training_is_an_error() -> None:
    report = CheckReport('x')
    note_overlaps(report, ACDC, {'night/train': [OTHER, OF_VAL], 'night/val': [OTHER]})
    assert [problem.is_error for problem in report.problems] == [True, False]
    assert 'night/train: 1 images are from GOPR0356, the' in report.problems[0].text
    assert '296 of its 400' in report.problems[1].text
