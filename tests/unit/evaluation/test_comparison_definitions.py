"""What the numbers are, and classes that have none."""

import math

from sci_plugins.evaluation.comparison import definitions_of, split_classes

NAN = (math.nan, math.nan)


def test_every_known_metric_is_defined() -> None:
    names = ('AP', 'COCO_AP50_below_16px', 'mIoU', 'IoU/Car', 'IoU/Road', 'odd', 'odd/Car')
    found = definitions_of(names)
    assert list(found) == ['AP', 'COCO_AP50_below_16px', 'mIoU', 'IoU/CLASS']
    assert 'official' in found['AP']


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
