"""One class matched by every definition: which rule is which."""

import math

import numpy as np
import pytest

from sci_plugins.evaluation.detection_records import (
    SIZE_BINS,
    ClassRecords,
    DarkFaceRecords,
    ImageDetections,
)
from tests.plain_darkface_ap import plain_official_ap, random_faces

pytest.importorskip('pycocotools')
WITHOUT_COCO = ['VOC_AP50_area', 'recall_at_1_FPPI']
OF_COCO = ['COCO_AP', 'COCO_AP50', 'COCO_AP75', 'COCO_AR']
BY_SIZE = [f'COCO_AP50_{name}' for name in SIZE_BINS]
ONE = np.ones((1, 1))


def _images(seed: int) -> list[ImageDetections]:
    rng = np.random.default_rng(seed)
    predictions, boxes = random_faces(rng, 10, side=60)
    return [
        ImageDetections(str(index), found, truth, rng.uniform(size=len(truth)) < 0.2)
        for index, (found, truth) in enumerate(zip(predictions, boxes, strict=True))
    ]


def _value(rows: list, truth: list, name: str) -> float:
    image = ImageDetections('1', np.array(rows, float), np.array(truth, float))
    return float(ClassRecords([image]).rules[name](ONE)[0])


def test_names_by_what_is_asked_for() -> None:
    images = _images(0)
    assert list(ClassRecords(images).rules) == [*WITHOUT_COCO, *OF_COCO, *BY_SIZE]
    assert list(ClassRecords(images, by_size=False).rules) == [*WITHOUT_COCO, *OF_COCO]
    for by_size in (False, True):
        assert list(ClassRecords(images, False, by_size).rules) == WITHOUT_COCO


@pytest.mark.parametrize(
    ('width', 'thresholds'),
    [(38.1, 1), (35.1, 2), (29, 4), (26.9, 5), (26.6, 6), (21.1, 9), (20, 10)],
)
def test_each_threshold_has_its_place(width: float, thresholds: int) -> None:
    """A box of 20 x 20 found ``width`` pixels wide has an IoU of ``20 / width``."""
    rows, truth = [[0, 0, width, 20, 0.9]], [[0, 0, 20, 20]]
    assert _value(rows, truth, 'COCO_AP') == pytest.approx(thresholds / 10)
    assert _value(rows, truth, 'COCO_AR') == pytest.approx(thresholds / 10)
    assert _value(rows, truth, 'COCO_AP50') == pytest.approx(1)
    assert _value(rows, truth, 'COCO_AP75') == pytest.approx(float(20 / width >= 0.75))
    assert _value(rows, truth, 'VOC_AP50_area') == 1


def test_each_size_has_its_own_rule() -> None:
    """Lambdas made in a loop must not all be the last one."""
    truth = [[0, 0, 10, 10], [100, 0, 120, 20], [200, 0, 240, 40]]
    rows = [[100, 0, 120, 20, 0.9], [300, 0, 340, 40, 0.8], [200, 0, 240, 40, 0.7]]
    found = [_value(rows, truth, name) for name in BY_SIZE]
    assert found == pytest.approx([0, 1, 1 / 2])


def test_sizes_meet_without_a_gap() -> None:
    (low, below), (first, last), (above, high) = SIZE_BINS.values()
    assert (low, first, last, high) == (0, 256, 1024, math.inf)
    assert below < first
    assert np.nextafter(below, math.inf) == first
    assert above > last
    assert np.nextafter(above, 0) == last


def test_ignored_boxes_are_out_of_the_official_number_and_of_vocs() -> None:
    images = _images(1)
    clear = [image.without_ignored() for image in images]
    assert sum(len(image.boxes) for image in clear) < sum(len(i.boxes) for i in images)
    names = ['DARKFACE_AP', *WITHOUT_COCO]
    numbers = DarkFaceRecords(images).metrics(names)
    assert numbers == DarkFaceRecords(clear).metrics(names)
    expected = plain_official_ap(
        [image.predictions for image in clear], [image.boxes for image in clear]
    )
    assert numbers['DARKFACE_AP'] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('false_positives', [1, 2, 3])
def test_one_false_positive_an_image(false_positives: int) -> None:
    """Two images; the hit stands behind the false positives of the second."""
    box, far = [0.0, 0, 9, 9], [50.0, 50, 59, 59]
    images = [
        ImageDetections('1', np.array([[*box, 0.5]]), np.array([box])),
        ImageDetections('2', np.array([[*far, 0.9]] * false_positives), np.zeros((0, 4))),
    ]
    rules = ClassRecords(images).rules
    found = rules['recall_at_1_FPPI'](np.ones((1, 2)))
    assert found.tolist() == [float(false_positives <= 2)]


def test_a_rule_gives_one_number_for_each_row() -> None:
    rng = np.random.default_rng(2)
    weights = rng.multinomial(10, [0.1] * 10, size=5)
    for name, rule in ClassRecords(_images(2)).rules.items():
        values = rule(weights)
        assert values.shape == (5,), name
        each = [rule(row[None])[0] for row in weights]
        np.testing.assert_allclose(values, each, rtol=0, atol=1e-15)


def test_no_images() -> None:
    for rule in ClassRecords([]).rules.values():
        assert np.isnan(rule(np.ones((1, 0)))).tolist() == [True]
