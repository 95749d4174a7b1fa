"""Which number decides, and which numbers of a host and of the records are the same."""

import math
from collections.abc import Container, Iterable, Mapping

from sci_plugins.errors import ConfigError

_MAIN_METRICS = ('mIoU', 'bbox_mAP', 'mAP', 'AP')
#: Last part of a host's name -> name in the records, where the two differ.
_IN_RECORDS = dict(bbox_mAP='COCO_AP', bbox_mAP_50='COCO_AP50', bbox_mAP_75='COCO_AP75')
#: Half of a host's last digit: mmseg rounds percents to 2, mmdet fractions to 3 places.
_PERCENT_ROUNDING, _FRACTION_ROUNDING = 0.005, 0.0005
_PERCENTS = ('mIoU', 'aAcc', 'mAcc', 'IoU')


def main_metric(metrics: Mapping[str, float], wanted_metric: str | None = None) -> str:
    """The metric that the field compares models by; the first where none is known.

    mmseg lists pixel accuracy first, which a large class decides alone.

    Args:
        metrics: of one result.
        wanted_metric: a name among them, or its part after the last ``/``.

    Raises:
        ConfigError: if ``wanted_metric`` is none of them.
    """
    if wanted_metric is not None:
        found = find_metric(metrics, wanted_metric)
        if found is None:
            raise ConfigError(
                f'there is no metric {wanted_metric!r}; there are {", ".join(metrics)}'
            )
        return found
    for wanted in _MAIN_METRICS:
        for name in metrics:
            if name.rsplit('/', 1)[-1] == wanted:
                return name
    return next(iter(metrics))


def find_metric(metrics: Iterable[str], wanted: str) -> str | None:
    """The name that is ``wanted``, or whose part after the last ``/`` is."""
    for name in metrics:
        if wanted in (name, name.rsplit('/', 1)[-1]):
            return name
    return None


def name_in_records(host_name: str, known: Container[str]) -> str | None:
    """The records' name for a host's metric, ``None`` if they have no such one.

    Args:
        host_name: as in ``'coco/bbox_mAP'``, ``'darkface/AP'``, ``'IoU/road'``.
        known: names of the records' metrics.
    """
    last = host_name.rsplit('/', 1)[-1]
    without_prefix = host_name.partition('/')[2]
    for name in (host_name, _IN_RECORDS.get(last, ''), without_prefix):
        if name and name in known:
            return name
    return None


def agrees(host_value: float, value: float, name: str) -> bool:
    """Whether a host's number is a record's number, but for the host's rounding.

    Args:
        host_value: as the host gives it.
        value: from the records.
        name: of the records' metric, which tells percents from fractions.
    """
    if math.isnan(host_value) or math.isnan(value):
        return math.isnan(host_value) and math.isnan(value)
    is_percent = name.split('/', 1)[0] in _PERCENTS
    half_digit = _PERCENT_ROUNDING if is_percent else _FRACTION_ROUNDING
    return abs(host_value - value) <= 1.001 * half_digit


def deciding_metric(
    metrics: Mapping[str, float], records: Iterable[str], wanted: str | None = None
) -> str | None:
    """The records' metric that decides; ``None``: theirs by default.

    Args:
        metrics: of the host.
        records: names of the records' metrics.
        wanted: a name of either.

    Raises:
        ConfigError: if neither has the wanted one, or the host's is none of the records.
    """
    records = list(records)
    if wanted is not None and wanted in records:
        return wanted
    if wanted is not None and find_metric(metrics, wanted) is None:
        raise ConfigError(
            f'there is no metric {wanted!r}; there are {", ".join([*metrics, *records])}'
        )
    name = name_in_records(main_metric(metrics, wanted), records)
    if wanted is not None and name is None:
        raise ConfigError(
            f'metric {wanted!r} cannot decide: it is not made image by image; there are '
            f'{", ".join(records)}'
        )
    return name
