"""All numbers from one matching, kept image by image."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sci_plugins.errors import DataError
from sci_plugins.evaluation.detection_records import (
    DarkFaceRecords,
    DetectionRecords,
    ImageDetections,
)
from sci_plugins.evaluation.records import ImageSet, RunInfo
from tests.plain_darkface_ap import plain_official_ap, random_faces

pytest.importorskip('pycocotools')
BOX = [10.0, 10, 30, 30]


def _images(seed: int = 0, count: int = 12) -> list[ImageDetections]:
    predictions, boxes = random_faces(np.random.default_rng(seed), count, side=60)
    return [
        ImageDetections(str(number), found, truth)
        for number, (found, truth) in enumerate(zip(predictions, boxes, strict=True))
    ]


def _one(
    found: list, truth: list, ignore: list | None = None, img_id: str = '1'
) -> ImageDetections:
    return ImageDetections(
        img_id,
        np.array(found, float).reshape(-1, 5),
        np.array(truth, float).reshape(-1, 4),
        np.array(ignore or [], bool),
    )


def test_what_hardly_finds_anything_is_weak() -> None:
    found = [_one([[*BOX, 0.9]], [BOX], img_id='a'), _one([], [BOX] * 19, img_id='b')]
    weak = DetectionRecords(found, coco=False)
    assert weak.weakness('VOC_AP50_area') == 'VOC_AP50_area is 5.0, below 10'
    assert weak.weakness('recall_at_1_FPPI') == ''
    good = DetectionRecords([found[0]], coco=False)
    assert good.weakness('VOC_AP50_area') == ''
    assert weak.same_as(DetectionRecords(found, coco=False))
    assert not weak.same_as(good)


@pytest.mark.parametrize(
    ('second', 'text'), [([[*BOX, 0.9]], 'the same boxes'), ([], ''), ([[*BOX, 0.8]], '')]
)
def test_predictions_that_do_not_depend_on_the_image(second: list, text: str) -> None:
    first = _one([[*BOX, 0.9]], [BOX], img_id='a')
    records = DetectionRecords([first, _one(second, [BOX], img_id='b')], coco=False)
    assert records.constant() == text
    assert DetectionRecords([first], coco=False).constant() == ''
    nothing = [_one([], [BOX], img_id=name) for name in 'ab']
    assert DetectionRecords(nothing, coco=False).constant() == 'no box at all'


def test_the_protocol_tells_other_images_and_other_ground_truth() -> None:
    first = _one([[*BOX, 0.9]], [BOX], img_id='a')
    one = DetectionRecords([first], coco=False).protocol()
    assert (one['images'], one['classes'], one['records']) == ('1', 'object', 'DetectionRecords')
    same = DetectionRecords([_one([], [BOX], img_id='a')], coco=False).protocol()
    assert same == one
    moved = DetectionRecords([_one([], [[0, 0, 9, 9]], img_id='a')], coco=False).protocol()
    named = DetectionRecords([_one([], [BOX], img_id='b')], coco=False).protocol()
    ignored = DetectionRecords([_one([], [BOX], [1], img_id='a')], coco=False).protocol()
    for other, keys in ((moved, {'truth'}), (named, {'images'}), (ignored, {'truth'})):
        differing = {key for key in one if one[key] != other[key]}
        assert differing == {f'{key}_sha256' for key in keys}


class _Set(list):
    def get_data_info(self, index: int) -> dict:
        return self[index]


def _evaluator(*annotations: dict, images: int = 2) -> RunInfo:
    """A run of two images with a box each, and mmdet's metric with its annotation file."""
    each = dict(instances=[dict(bbox=[0, 0, 9, 9], bbox_label=0)])
    infos = _Set(dict(each, img_id=number, img_path=f'/d/{number}.png') for number in (0, 1))
    usual = [dict(id=5 + number, image_id=number, category_id=3) for number in range(images)]
    api = SimpleNamespace(dataset=dict(annotations=[*usual, *annotations]))
    metric = SimpleNamespace(_coco_api=api, cat_ids=[3], img_ids=list(range(images)))
    return RunInfo(ImageSet(infos), [SimpleNamespace(), metric])


@pytest.mark.parametrize(
    ('run', 'found', 'words'),
    [
        (_evaluator(), 2, []),
        (RunInfo(ImageSet([])), 200, []),
        (_evaluator(dict(id=9, image_id=0, category_id=4)), 2, []),
        (_evaluator(dict(id=0, image_id=7, category_id=3)), 2, ["id 0.*the records' number is r"]),
        (
            _evaluator(dict(id=9, image_id=1, category_id=3)),
            2,
            [r'leaves out 1 of 3 boxes \(empty'],
        ),
        (_evaluator(images=3), 2, [r'were not tested \(1\)']),
        (_evaluator(), 101, ['more than 100 detections']),
        (
            _evaluator(dict(id=0, image_id=0, category_id=3)),
            2,
            ['has id 0', '; the data set leaves'],
        ),
    ],
)
def test_why_mmdet_s_number_is_another(run: RunInfo, found: int, words: list[str]) -> None:
    rows = np.tile([0.0, 0, 9, 9, 0.5], (found, 1))
    told = DetectionRecords([_one(rows, BOX)], coco=False).why_hosts_differ(run)
    assert bool(told) == bool(words)
    for word in words:
        assert re.search(word, told)


def test_every_number_has_its_definition() -> None:
    numbers = DarkFaceRecords(_images()).metrics()
    assert set(numbers) == set(DarkFaceRecords.definitions)
    assert all(0 < value < 1 for value in numbers.values())
    assert len(set(numbers.values())) == len(numbers)


def test_ap_is_the_official_one() -> None:
    images = _images()
    expected = plain_official_ap(
        [image.predictions for image in images], [image.boxes for image in images]
    )
    numbers = DarkFaceRecords(images).metrics()
    assert numbers['DARKFACE_AP'] == pytest.approx(expected, abs=1e-12)


def test_without_coco() -> None:
    images = _images()
    few = DarkFaceRecords(images, coco=False).metrics()
    every = DarkFaceRecords(images).metrics()
    assert few == {name: every[name] for name in few}
    assert set(few) == {'DARKFACE_AP', 'VOC_AP50_area', 'recall_at_1_FPPI'}


def test_resamples_are_what_copies_of_the_images_give() -> None:
    """Each image at least once, so that the range of the scores stays the set's."""
    images = _images(4, count=8)
    weights = np.random.default_rng(0).integers(1, 4, (5, 8))
    got = DarkFaceRecords(images).resampled(weights)
    for row, times in enumerate(weights):
        copies = [
            ImageDetections(f'{image.img_id}-{copy}', image.predictions, image.boxes)
            for image, count in zip(images, times, strict=True)
            for copy in range(count)
        ]
        expected = DarkFaceRecords(copies).metrics()
        for name, value in expected.items():
            assert got[name][row] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize(
    ('side', 'name'),
    [(15.9, 'below_16px'), (16, '16_to_32px'), (32, '16_to_32px'), (32.1, 'above_32px')],
)
def test_size_bins_meet_without_overlapping(side: float, name: str) -> None:
    """A face of 16 pixels belongs to the middle bin alone, and so does one of 32."""
    box = [5, 5, 5 + side, 5 + side]
    numbers = DetectionRecords([_one([[*box, 0.9]], [box])]).metrics()
    for bin_name in ('below_16px', '16_to_32px', 'above_32px'):
        value = numbers[f'COCO_AP50_{bin_name}']
        assert value == 1 if bin_name == name else math.isnan(value)


def test_a_detection_of_another_size_that_finds_nothing_is_ignored() -> None:
    """It precedes the hit, so it would halve the precision if it counted."""
    found = [[50, 50, 90, 90, 0.9], [*BOX, 0.8]]
    numbers = DetectionRecords([_one(found, [BOX])]).metrics()
    assert numbers['COCO_AP50'] == pytest.approx(0.5)
    assert numbers['COCO_AP50_16_to_32px'] == pytest.approx(1)


def test_coco_ap50_is_at_iou_50_alone() -> None:
    """20 of 38 pixels in a row overlap: 0.53, found at the first of ten thresholds."""
    image = _one([[10, 10, 48, 30, 0.9]], [BOX])
    numbers = DetectionRecords([image]).metrics()
    assert numbers['COCO_AP50'] == pytest.approx(1)
    assert numbers['COCO_AP'] == pytest.approx(0.1)


def test_ignored_boxes_neither_help_nor_hurt() -> None:
    other = [50.0, 50, 80, 80]
    plain = DarkFaceRecords([_one([[*BOX, 0.8]], [BOX])]).metrics()
    found = [[*BOX, 0.8], [*other, 0.9], [51, 51, 80, 80, 0.7]]
    kept = DarkFaceRecords([_one(found, [BOX, other], [False, True])]).metrics()
    np.testing.assert_equal(kept, plain)
    missed = DarkFaceRecords([_one(found[:1], [BOX, other], [False, True])]).metrics()
    np.testing.assert_equal(missed, plain)
    counted = DarkFaceRecords([_one(found, [BOX])]).metrics()
    assert counted['DARKFACE_AP'] == counted['VOC_AP50_area'] == 0.5


def test_a_duplicate_image() -> None:
    with pytest.raises(DataError, match="duplicate image '1'"):
        DetectionRecords([_one([], []), _one([], [])])


@pytest.mark.parametrize('coco', [False, True])
def test_arrays_that_do_not_fit_are_named(coco: bool) -> None:
    for found, truth, ignore, message in (
        ([[*BOX, math.nan]], [BOX], [], 'predictions must be finite'),
        ([[*BOX, 0.5]], [[*BOX[:3], math.inf]], [], 'boxes must be finite'),
        ([[*BOX, 0.5]], [BOX], [True, False], r'ignore must have the shape \(1,\)'),
    ):
        images = [_one([], []), _one(found, truth, ignore, img_id='b')]
        with pytest.raises(DataError, match=f'image b: {message}'):
            DetectionRecords(images, coco)


def test_no_images() -> None:
    assert all(math.isnan(value) for value in DetectionRecords([]).metrics().values())


@pytest.mark.parametrize('classes', [('face',), ('face', 'hand')])
def test_what_is_saved_loads_again(tmp_path: Path, classes: tuple[str, ...]) -> None:
    images = [
        *_images(1, count=5),
        _one([], [BOX, [1, 2, 3, 4]], [True, False], img_id='a b'),
        _one([], [], img_id='empty'),
    ]
    records = DetectionRecords(images, classes=classes)
    records.save(tmp_path / 'found.npz')
    again = DetectionRecords.load(tmp_path / 'found.npz')
    assert again.classes == classes
    assert again.ids == records.ids
    np.testing.assert_equal(again.metrics(), records.metrics())
