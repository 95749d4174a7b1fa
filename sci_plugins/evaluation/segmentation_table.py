"""The classes of an evaluated segmentation as text."""

import math

from sci_plugins.evaluation.segmentation_records import SegmentationRecords


def class_table(records: SegmentationRecords) -> str:
    """IoU, accuracy and share of the pixels for each class, and the means below.

    All in percent. A class that is neither there nor predicted has ``-`` and a line
    that names it.
    """
    numbers, accuracy = records.metrics(), records.class_accuracy()
    share = records.class_share()
    width = max(len('class'), *map(len, records.subset))
    lines = [f'{"class":<{width}} {"IoU":>7} {"Acc":>7} {"pixels":>7}']
    for name in records.subset:
        cells = (numbers[f'IoU/{name}'], accuracy[name], share[name])
        lines.append(f'{name:<{width}} ' + ' '.join(map(_cell, cells)))
    means = ', '.join(f'{key} {_cell(numbers[key]).strip()}' for key in _MEANS)
    return '\n'.join([*lines, f'{means} ({describe_classes(records)})'])


def describe_classes(records: SegmentationRecords) -> str:
    """What the means are over, and which classes they lack."""
    numbers = records.metrics()
    empty = [name for name in records.subset if math.isnan(numbers[f'IoU/{name}'])]
    left_out = [name for name in records.classes if name not in records.subset]
    text = f'{len(records.ids)} images, {len(records.subset)} classes'
    if left_out:
        ignored = ', their pixels ignored' if records.ignore_left_out else ''
        text += f' of {len(records.classes)}, without {", ".join(left_out)}{ignored}'
    if empty:
        text += f'; neither there nor predicted: {", ".join(empty)}'
    return text


_MEANS = ('mIoU', 'mAcc', 'aAcc')


def _cell(value: float) -> str:
    return f'{"-":>7}' if math.isnan(value) else f'{value:7.2f}'
