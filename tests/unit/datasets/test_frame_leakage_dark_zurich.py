"""ACDC and Dark Zurich have frames in common, whichever is checked."""

from pathlib import Path

from sci_plugins.datasets.check_report import CheckReport
from sci_plugins.datasets.frame_leakage import KIND, tell_acdc_overlap, tell_dark_zurich_overlap

OF_VAL = Path('GOPR0356_frame_000324_rgb_anon.png')
OTHER = Path('GOPR0351_frame_000324_rgb_anon.png')


def test_acdc_val_holds_the_recording() -> None:
    report = CheckReport('x')
    tell_acdc_overlap(report, {'night/val': [OF_VAL, OTHER, OF_VAL]})
    (note,) = report.problems
    assert (note.kind, note.is_error) == (KIND, False)
    assert 'night/val: 2 images are of GOPR0356, the recording of all 50' in note.text


def test_parts_without_common_frames_are_not_spoken_of() -> None:
    report = CheckReport('x')
    tell_acdc_overlap(report, {'night/val': [OTHER], 'fog/val': [OF_VAL]})
    tell_dark_zurich_overlap(report, {'val/night': []})
    assert report.problems == []


def test_the_recording_in_training_is_an_error() -> None:
    report = CheckReport('x')
    tell_acdc_overlap(report, {'night/train': [OTHER, OF_VAL]})
    assert [problem.is_error for problem in report.problems] == [True, False]
    assert '296 of its 400' in report.problems[1].text


def test_dark_zurich() -> None:
    report = CheckReport('x')
    parts = ('val/night', 'test/night', 'train/night')
    tell_dark_zurich_overlap(report, {part: [OTHER] for part in parts})
    texts = [problem.text for problem in report.problems]
    assert [text.split(':')[0] for text in texts] == list(parts)
    assert 'all 50 are in ACDC night val, recording GOPR0356' in texts[0]
