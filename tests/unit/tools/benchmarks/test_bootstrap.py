"""The benchmark of the intervals, small; and the bar for streets, on the real size."""

import json
from typing import Any

import numpy as np
import pytest

from benchmarks import bootstrap as module
from benchmarks.bootstrap import (
    ANEW,
    BOOTSTRAP,
    RECORDS,
    TaskResult,
    benchmark_bootstrap,
    random_matrices,
)
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.analysis import analyse
from sci_plugins.evaluation.detection_records import DarkFaceRecords
from sci_plugins.evaluation.segmentation_records import SegmentationRecords

pytest.importorskip('pycocotools')

SMALL = dict(images=9, predictions=20, streets=8, classes=4, resamples=10, runs=1)


def test_figures_belong_together() -> None:
    result = benchmark_bootstrap(**SMALL)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content['resamples'] == 10
    for task in (result.faces, result.streets):
        times = {name: timing.median_ms for name, timing in task.timings.items()}
        assert list(times) == [RECORDS, BOOTSTRAP, ANEW]
        assert min(times.values()) > 0
        assert task.anew_seconds == pytest.approx(10 * times[ANEW] / 1e3)
        assert task.ratio == pytest.approx(10 * times[ANEW] / times[BOOTSTRAP])
        assert task.difference < 1e-9
    text = result.to_text()
    assert 'faces: 9 images, 20 predictions each; 10 numbers' in text
    assert 'streets: 8 images, 4 classes; 7 numbers' in text
    assert ', 10 resamples\n' in text


def test_all_that_a_comparison_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def kept(*arguments: Any, **options: Any) -> Any:
        found.append(analyse(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(module, 'analyse', kept)
    benchmark_bootstrap(**SMALL)
    assert len(found) == 4  # a round that does not count, for each task
    assert [each.images for each in found] == [9, 9, 8, 8]
    for each in found:
        assert each.resamples == 10
        assert len(each.groups['brightness']) == 3
        assert each.gained or each.lost
        assert each.main.low < each.main.high


def test_a_wrong_number_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways are compared, number by number; NaN is not taken for a number."""
    resampled = SegmentationRecords.resampled

    def wrong(value: float) -> Any:
        def changed(records: Any, weights: Any = None, names: Any = None) -> dict:
            numbers = resampled(records, weights, names)
            if weights is not None and len(weights) == 1 and names is None:
                numbers['aAcc'] = numbers['aAcc'] + value
            return numbers

        return changed

    for value in (0.25, np.nan):
        monkeypatch.setattr(SegmentationRecords, 'resampled', wrong(value))
        difference = benchmark_bootstrap(**SMALL).streets.difference
        np.testing.assert_allclose(difference, value)


def test_the_official_ap_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resample keeps the set's range of scores, a set of its own has another."""
    resampled = DarkFaceRecords.resampled

    def changed(records: Any, weights: Any = None, names: Any = None) -> dict:
        numbers = resampled(records, weights, names)
        if weights is not None:
            numbers['DARKFACE_AP'] = np.full(len(weights), 2.0)
        return numbers

    monkeypatch.setattr(DarkFaceRecords, 'resampled', changed)
    assert benchmark_bootstrap(**SMALL).faces.difference < 1e-9


def test_a_median_of_several_runs_is_shown() -> None:
    timing = module.Timing(median_ms=12_345.67, min_ms=9.04, page_faults=None)
    text = TaskResult('x', 3, {BOOTSTRAP: timing}, 8_000.0, 648.0, 1e-16).to_text()
    assert text.splitlines()[0] == 'x; 3 numbers'
    assert f'{BOOTSTRAP}  12,345.7 ms   9.0 ms' in text
    assert 'extrapolated: 8,000.0 s, 648 times' in text
    assert text.endswith('1e-16')


def test_the_models_differ_and_the_truth_does_not() -> None:
    before, after = random_matrices(30, 5)
    assert before.shape == after.shape == (30, 5, 5)
    np.testing.assert_array_equal(before.sum(axis=2), after.sum(axis=2))
    assert set(before.sum(axis=(1, 2))) == {1920 * 1080}
    names = [f'{number}' for number in range(30)]
    classes = names[:5]
    numbers = [SegmentationRecords(names, each, classes) for each in (before, after)]
    low, high = (each.metrics()['mIoU'] for each in numbers)
    assert 20 < low < high < 80
    make = module._faces(30, 60)
    one, other = (make(model, [4, 2, 4]) for model in (0, 1))
    assert isinstance(one, DarkFaceRecords)
    assert one.ids == other.ids == ['0', '1', '2']
    np.testing.assert_array_equal(one.images[0].boxes, other.images[2].boxes)
    assert 0.4 < (one.images[0].predictions - other.images[0].predictions)[:, :4].std() < 1
    every = [make(model, range(30)).metrics()['COCO_AP50'] for model in (0, 1)]
    assert 0.1 < every[1] < every[0] < 0.9


def test_streets_of_the_real_size() -> None:
    """1000 resamples of 106 images and 19 classes."""
    make = module._streets(106, 19)
    base, other = make(0, range(106)), make(1, range(106))
    brightness = {name: float(name) for name in base.ids}
    found = analyse(base, other, base_name='base', brightness=brightness)
    assert found.main.verdict == 'helps'


@pytest.mark.parametrize('name', sorted(SMALL))
def test_numbers_below_1(name: str) -> None:
    with pytest.raises(ConfigError, match=f'{name} must be at least 1, got 0'):
        benchmark_bootstrap(**{name: 0})
