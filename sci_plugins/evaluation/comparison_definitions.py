"""What the numbers of a comparison are, and which classes it has none of."""

import math
from collections.abc import Iterable, Mapping, Sequence

from sci_plugins.evaluation import detection_records, segmentation_records

#: What is told once where numbers of detections are told class by class.
_OVER_CLASSES = 'COCO_AP50/CLASS'


def definitions_of(names: Iterable[str]) -> dict[str, str]:
    """Metric -> what it is; those of single classes are told as ``METRIC/CLASS``.

    Args:
        names: of metrics of the records; unknown ones are passed over.
    """
    known = (
        detection_records.DEFINITIONS
        | detection_records.CLASS_DEFINITIONS
        | segmentation_records.DEFINITIONS
    )
    found = {}
    for name in names:
        prefix, slash, _ = name.partition('/')
        told = f'{prefix}/CLASS' if slash else name
        if told in known:
            found[told] = known[told]
    if _OVER_CLASSES in found:
        means = [name for name in found if name in detection_records.OF_SEVERAL]
        found[', '.join(means)] = 'means over the classes that are in the images'
    return found


def split_classes(
    names: Sequence[str], values: Iterable[Mapping[str, tuple[float, float]]]
) -> tuple[list[str], list[str]]:
    """Metrics to tell, and names of classes that have no number for want of objects.

    Args:
        names: of metrics, ``METRIC/CLASS`` for single classes.
        values: of each contender: metric -> numbers of the base and of itself.
    """
    tables = list(values)
    empty = [
        name
        for name in names
        if '/' in name
        and all(math.isnan(each) for table in tables for each in table.get(name, ()))
    ]
    classes = dict.fromkeys(name.partition('/')[2] for name in empty)
    return [name for name in names if name not in empty], list(classes)
