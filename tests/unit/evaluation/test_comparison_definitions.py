"""What the numbers are, and classes that have none."""

import math

from sci_plugins.evaluation.comparison import definitions_of, is_percentage, split_classes

NAN = (math.nan, math.nan)


def test_every_known_metric_is_defined() -> None:
    found = definitions_of(['mIoU', 'IoU/Car', 'IoU/Road', 'odd', 'odd/Car'])
    assert list(found) == ['mIoU', 'IoU/CLASS']
    assert definitions_of(['odd', 'AP']) == definitions_of([]) == {}


def test_faces_are_those_of_dark_face() -> None:
    """Of another set of one class, nothing speaks of faces."""
    plain = ['VOC_AP50_area', 'COCO_AP50', 'COCO_AP50_below_16px']
    assert list(definitions_of(plain)) == plain
    assert 'face' not in ' '.join(definitions_of(plain).values()).lower()
    official = definitions_of(['DARKFACE_AP', *plain])
    assert list(official) == ['DARKFACE_AP', *plain]
    assert 'official' in official['DARKFACE_AP']


def test_percentages() -> None:
    assert all(map(is_percentage, ('mIoU', 'aAcc', 'mAcc', 'IoU/Car')))
    assert not any(map(is_percentage, ('COCO_AP', 'COCO_AP50/Car', 'DARKFACE_AP', 'odd')))


def test_means_over_several_classes_of_objects() -> None:
    found = definitions_of(['COCO_AP', 'COCO_AP50', 'COCO_AP50/Car', 'COCO_AP50/Cat'])
    assert list(found) == ['COCO_AP', 'COCO_AP50', 'COCO_AP50/CLASS', 'COCO_AP, COCO_AP50']
    assert found['COCO_AP, COCO_AP50'].startswith('means over the classes')
    assert len(definitions_of(['COCO_AP', 'COCO_AP50'])) == 2  # of one class no mean


def test_classes_without_any_number_are_told_apart() -> None:
    first = {'mIoU': NAN, 'IoU/Car': (1.0, 2.0), 'IoU/Cat': NAN, 'IoU/Dog': NAN}
    second = first | {'IoU/Cat': (math.nan, 3.0)}
    assert split_classes(list(first), [first]) == (['mIoU', 'IoU/Car'], ['Cat', 'Dog'])
    assert split_classes(list(first), [first, second]) == (['mIoU', 'IoU/Car', 'IoU/Cat'], ['Dog'])
