"""Sets of several classes against pycocotools' and mmdet's own means over classes."""

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.detection_records import DetectionRecords, ImageDetections
from tests.plain_darkface_ap import random_faces

pytest.importorskip('pycocotools')
#: The last three: never there, never found, and there as crowds alone.
CLASSES = ('car', 'person', 'bus', 'train', 'rider', 'truck')
COUNT = 14
MEANS = [
    'VOC_AP50_area', 'recall_at_1_FPPI', 'COCO_AP', 'COCO_AP50', 'COCO_AP75', 'COCO_AR',
]  # fmt: skip


def _images(seed: int, crowd: float = 0.25, digits: int | None = None) -> list:
    """Images of all classes; the first has no truth, the second no predictions, the
    third neither. All numbers are exact in float32, in which mmdet computes."""
    rng = np.random.default_rng(seed)
    found, truth = zip(*(random_faces(rng, COUNT, digits) for _ in CLASSES), strict=True)
    images = []
    for number in range(COUNT):
        here = [each[number] for each in found]
        there = [each[number] for each in truth]
        here[4], there[3] = here[4][:0], there[3][:0]
        if number in (0, 2):
            there = [each[:0] for each in there]
        if number in (1, 2):
            here = [each[:0] for each in here]
        labels, true_labels = _labels(here), _labels(there)
        order = rng.permutation(len(labels))
        ignore = rng.uniform(size=len(true_labels)) < crowd
        predictions = (np.concatenate(here)[order] * 4096).round() / 4096
        images.append(
            ImageDetections(
                f'{number}.png',
                predictions,
                np.concatenate(there),
                ignore | (true_labels == 5),
                labels[order],
                true_labels,
            )
        )
    return images


def _labels(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.repeat(np.arange(len(arrays)), [len(each) for each in arrays])


def _repeated(images: Sequence[ImageDetections], times: Sequence[int]) -> list:
    return [image for image, count in zip(images, times, strict=True) for _ in range(count)]


def _coco(images: Sequence[ImageDetections]) -> dict[str, float]:
    """By pycocotools alone, all classes in one evaluation; -1 (no box) is NaN."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: list[dict] = []
    rows: list[list[float]] = []
    for number, image in enumerate(images, start=1):
        labels, true_labels = image.classes
        for (x1, y1, x2, y2), label, crowd in zip(
            image.boxes.tolist(), true_labels.tolist(), image.flags, strict=True
        ):
            box = [x1, y1, x2 - x1, y2 - y1]
            truth.append(
                dict(id=len(truth) + 1, image_id=number, category_id=label + 1, bbox=box)
                | dict(area=box[2] * box[3], iscrowd=int(crowd))
            )
        rows += [
            [number, x1, y1, x2 - x1, y2 - y1, score, label + 1]
            for (x1, y1, x2, y2, score), label in zip(image.predictions, labels, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(
            images=[dict(id=number + 1) for number in range(len(images))],
            categories=[dict(id=index + 1) for index in range(len(CLASSES))],
            annotations=truth,
        )
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(np.array(rows)), 'bbox')
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    stats = [*evaluator.stats[:3].tolist(), float(evaluator.stats[8])]
    numbers = dict(zip(MEANS[2:], stats, strict=True))
    at_50 = evaluator.eval['precision'][0, :, :, 0, 2].mean(axis=0)
    numbers |= {f'COCO_AP50/{name}': v for name, v in zip(CLASSES, at_50, strict=True)}
    return {name: math.nan if v == -1 else v for name, v in numbers.items()}


def _assert_are(found: dict[str, Any], expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize('digits', [None, 1])
@pytest.mark.parametrize('crowd', [0.0, 0.25])
def test_the_set_is_pycocotools(crowd: float, digits: int | None) -> None:
    images = _images(1, crowd, digits)
    expected = _coco(images)
    _assert_are(DetectionRecords(images, classes=CLASSES).metrics(), expected)
    assert 0.05 < expected['COCO_AP'] < expected['COCO_AP50'] < 1
    each = [expected[f'COCO_AP50/{name}'] for name in CLASSES]
    assert len(set(each[:3])) == 3
    assert [math.isnan(value) for value in each] == [False] * 3 + [True, False, True]
    assert each[4] == 0


def test_a_resample_is_pycocotools_on_the_images_again() -> None:
    """Also where a class loses its last box, or only images without any are drawn."""
    images = _images(2)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(COUNT, [1 / COUNT] * COUNT, size=4)
    few = np.zeros((2, COUNT), int)
    few[0, 5], few[1, :3] = 3, (2, 0, 1)
    weights = np.concatenate([weights, few])
    found = DetectionRecords(images, classes=CLASSES).resampled(weights)
    for row, times in enumerate(weights):
        numbers = {name: values[row] for name, values in found.items()}
        _assert_are(numbers, _coco(_repeated(images, times)))
    assert np.isnan(found['COCO_AP']).tolist() == [False] * 5 + [True]
    lost = sum(math.isnan(found[f'COCO_AP50/{name}'][4]) for name in CLASSES)
    assert 2 < lost < 6


def test_the_limit_of_100_detections_is_each_classes_own() -> None:
    box, far = [0.0, 0, 9, 9], [50.0, 50, 59, 59]
    rows = [*[[*far, 0.9]] * 99, [*box, 0.5], *[[*far, 0.8]] * 100, [*box, 0.5]]
    image = ImageDetections(
        '1',
        np.array(rows),
        np.array([box, box]),
        labels=np.repeat([0, 1], [100, 101]),
        true_labels=np.array([0, 1]),
    )
    found = DetectionRecords([image], classes=CLASSES).metrics()
    _assert_are(found, _coco([image]))
    assert found['COCO_AP50/car'] == pytest.approx(0.01)
    assert found['COCO_AP50/person'] == 0


def test_the_set_is_mmdets_coco_metric() -> None:
    """As a model's test run gives it, with three decimals."""
    metrics = pytest.importorskip('mmdet.evaluation.metrics')
    images = _images(3)
    metric = metrics.CocoMetric(metric='bbox', classwise=True)
    metric.dataset_meta = dict(classes=CLASSES)
    for number, image in enumerate(images):
        labels, true_labels = image.classes
        found = dict(
            bboxes=torch.from_numpy(image.predictions[:, :4]).float(),
            scores=torch.from_numpy(image.predictions[:, 4]).float(),
            labels=torch.from_numpy(labels),
        )
        truth = [
            dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=int(flag))
            for box, label, flag in zip(image.boxes, true_labels, image.flags, strict=True)
        ]
        sample = dict(img_id=number, ori_shape=(120, 120), instances=truth)
        metric.process({}, [dict(sample, pred_instances=found)])
    expected = metric.evaluate(size=COUNT)
    numbers = DetectionRecords(images, classes=CLASSES).metrics()
    keys = ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75')
    for name, key in zip(MEANS[2:5], keys, strict=True):
        assert 0.03 < expected[key] < 1
        assert numbers[name] == pytest.approx(expected[key], abs=5.1e-4)
    for index, name in enumerate(CLASSES):
        own = [image.of_class(index) for image in images]
        value = DetectionRecords(own).metrics(['COCO_AP'])['COCO_AP']
        wanted = expected[f'coco/{name}_precision']
        assert value == pytest.approx(wanted, abs=5.1e-4, nan_ok=True)


@pytest.mark.parametrize('crowd', [0.0, 0.25])
def test_vocs_mean_is_mmdets(crowd: float) -> None:
    """There too a prediction whose best box is an ignored one counts for nothing."""
    mean_ap = pytest.importorskip('mmdet.evaluation.functional.mean_ap')
    images = _images(4, crowd)
    found = [
        [image.of_class(index).predictions.astype(np.float32) for index in range(6)]
        for image in images
    ]
    truth = [
        dict(
            bboxes=image.boxes[~image.flags].astype(np.float32),
            labels=image.true_labels[~image.flags],
            bboxes_ignore=image.boxes[image.flags].astype(np.float32),
            labels_ignore=image.true_labels[image.flags],
        )
        for image in images
    ]
    expected, _ = mean_ap.eval_map(found, truth, iou_thr=0.5, nproc=1, logger='silent')
    records = DetectionRecords(images, coco=False, classes=CLASSES)
    assert 0.1 < expected < 1
    assert records.metrics()['VOC_AP50_area'] == pytest.approx(expected, abs=1e-6)


def test_names_and_definitions() -> None:
    records = DetectionRecords(_images(5), classes=CLASSES)
    assert records.names == [*MEANS, *(f'COCO_AP50/{name}' for name in CLASSES)]
    assert list(records.define(records.names)) == [*MEANS, 'COCO_AP50/CLASS', ', '.join(MEANS)]
    assert list(records.metrics()) == records.names
    assert records.main == 'COCO_AP50'
    without = DetectionRecords(_images(5), coco=False, classes=CLASSES)
    assert without.names == [without.main, 'recall_at_1_FPPI']


def test_some_names_in_the_order_of_the_wish() -> None:
    records = DetectionRecords(_images(5), classes=CLASSES)
    every = records.metrics()
    few = ['COCO_AP50/bus', 'COCO_AP', 'COCO_AP50/car']
    assert records.metrics(few) == {name: every[name] for name in few}
    assert list(records.metrics(few)) == few
    assert all(len(v) == 3 for v in records.resampled(np.ones((3, COUNT))).values())
    for name in ('DARKFACE_AP', 'COCO_AP50_below_16px', 'COCO_AP/car'):
        with pytest.raises(ConfigError, match=f"no metric '{name}'; known: VOC_AP50_"):
            records.metrics([name])


def test_a_class_more_that_nobody_sees_changes_nothing() -> None:
    images = _images(6)
    known = DetectionRecords(images, classes=CLASSES).metrics()
    more = DetectionRecords(images, classes=(*CLASSES, 'bicycle')).metrics()
    assert math.isnan(more.pop('COCO_AP50/bicycle'))
    np.testing.assert_equal(more, known)


def test_a_mean_over_the_one_class_that_is_there() -> None:
    """The detections of others are in no mean, for there is nothing to find."""
    images = [replace(image, true_labels=image.true_labels * 0) for image in _images(7)]
    numbers = DetectionRecords(images, classes=CLASSES).metrics()
    own = DetectionRecords([image.of_class(0) for image in images]).metrics(MEANS)
    assert {name: numbers[name] for name in MEANS} == own
    assert numbers['COCO_AP50'] == numbers['COCO_AP50/car'] > 0


def test_the_curve_pools_the_classes() -> None:
    """Two classes of two boxes: the second class's miss stands between the hits."""
    box, other, far = [0.0, 0, 9, 9], [20.0, 0, 29, 9], [50.0, 50, 59, 59]
    image = ImageDetections(
        '1',
        np.array([[*box, 0.9], [*far, 0.8], [*box, 0.7]]),
        np.array([box, other, box, other]),
        labels=np.array([0, 1, 1]),
        true_labels=np.array([0, 0, 1, 1]),
    )
    curve = DetectionRecords([image], coco=False, classes=('car', 'bus')).curve()
    assert curve.recall == [1 / 4, 2 / 4]
    assert curve.precision == [1, 2 / 3]


@pytest.mark.parametrize(
    ('labels', 'true_labels', 'got'),
    [([0, 6], [0], '0 to 6'), ([2, -1], [0], '-1 to 2'), ([1, 0], [6], '6 to 6')],
)
def test_a_label_of_no_class(labels: list, true_labels: list, got: str) -> None:
    image = ImageDetections(
        '1',
        np.zeros((2, 5)),
        np.zeros((1, 4)),
        labels=np.array(labels),
        true_labels=np.array(true_labels),
    )
    with pytest.raises(DataError, match=f'image 1: labels must be 0 to 5, got {got}'):
        DetectionRecords([image], classes=CLASSES)


@pytest.mark.parametrize('classes', [(), ('car', 'bus', 'car')])
def test_classes_must_have_names_of_their_own(classes: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match='classes must be different names, at least one'):
        DetectionRecords([], classes=classes)
