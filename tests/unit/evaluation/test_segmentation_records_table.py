"""The per-class table says what the means are over and what is not there."""

import numpy as np

from sci_plugins.evaluation.segmentation_records import (
    SegmentationRecords,
    class_table,
    describe_classes,
)

MATRIX = np.array([[6, 2, 0], [0, 2, 0], [0, 0, 0]])


def _records(**options: object) -> SegmentationRecords:
    return SegmentationRecords(['a'], MATRIX[None], ('road', 'sky', 'bus'), **options)


def test_each_class_has_a_line() -> None:
    lines = class_table(_records()).splitlines()
    assert lines[0].split() == ['class', 'IoU', 'Acc', 'pixels']
    assert lines[1].split() == ['road', '75.00', '75.00', '80.00']
    assert lines[2].split() == ['sky', '50.00', '100.00', '20.00']
    assert lines[3].split() == ['bus', '-', '-', '0.00']
    assert lines[4] == (
        'mIoU 62.50, mAcc 87.50, aAcc 80.00 '
        '(1 images, 3 classes; neither present nor predicted: bus)'
    )
    assert len({len(line) for line in lines[:4]}) == 1


def test_what_a_subset_lacks() -> None:
    text = describe_classes(_records(subset=('road', 'sky')))
    assert text == '1 images, 2 classes of 3, without bus'
    ignored = describe_classes(_records(subset=('road', 'sky'), ignore_left_out=True))
    assert ignored == text + ', their pixels ignored'
    lines = class_table(_records(subset=('road', 'sky'))).splitlines()
    assert not any(line.startswith('bus') for line in lines)
