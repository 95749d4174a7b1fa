"""The benchmark of DARK FACE's numbers, small; and what it measures, on the real size."""

import json

import numpy as np
import pytest

from benchmarks.darkface import benchmark_darkface, random_submission
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.detection_records import DarkFaceRecords
from sci_plugins.functional.detection_ap import count_official, official_ap, resampled_official_ap

pytest.importorskip('pycocotools')


def test_a_small_one() -> None:
    result = benchmark_darkface(images=8, predictions=20, resamples=10, runs=1)
    content = json.loads(json.dumps(result.to_json()))
    assert content['ratio'] > 0  # how much above 1 is the machine's and its load's affair
    assert content['resample_seconds'] > 0
    text = result.to_text()
    assert '8 images, 20 predictions each' in text
    assert '10 resamples of the official AP' in text


def test_the_faces_are_worth_matching() -> None:
    images = random_submission(30, 60)
    assert [len(image.predictions) for image in images] == [60] * 30
    assert 100 < sum(len(image.boxes) for image in images) < 350
    assert 0.1 < DarkFaceRecords(images, coco=False).metrics()['DARKFACE_AP'] < 0.9


def test_the_real_size() -> None:
    images = random_submission(600, 300)
    counts = count_official(
        [image.predictions for image in images], [image.boxes for image in images]
    )
    assert official_ap(counts) > 0
    weights = np.random.default_rng(0).integers(0, 3, (1000, 600))
    assert resampled_official_ap(counts, weights).std() > 0


@pytest.mark.parametrize('name', ['images', 'predictions', 'resamples', 'runs'])
def test_numbers_below_1(name: str) -> None:
    with pytest.raises(ConfigError, match=f'{name} must be at least 1, got 0'):
        benchmark_darkface(**{name: 0})
