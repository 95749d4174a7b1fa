"""Which number decides, and which numbers of a host and of the records are the same."""

import math
from typing import Any, ClassVar

import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import (
    agrees,
    deciding_metric,
    find_metric,
    main_metric,
    name_in_records,
    tell_difference,
)
from sci_plugins.evaluation.records import ImageSet, MeanRecords, RunInfo

RECORDS = ['DARKFACE_AP', 'COCO_AP', 'COCO_AP50', 'COCO_AP75']


@pytest.mark.parametrize(
    ('host', 'known', 'wanted'),
    [
        ('coco/bbox_mAP', RECORDS, 'COCO_AP'),
        ('coco/bbox_mAP_50', RECORDS, 'COCO_AP50'),
        ('bbox_mAP_75', RECORDS, 'COCO_AP75'),
        ('darkface/AP', RECORDS, 'DARKFACE_AP'),
        ('darkface/COCO_AP50', RECORDS, 'COCO_AP50'),
        ('IoU/road', ['mIoU', 'IoU/road'], 'IoU/road'),
        ('night/IoU/road', ['mIoU', 'IoU/road'], 'IoU/road'),
        ('mIoU', ['mIoU'], 'mIoU'),
        ('coco/bbox_mAP_s', RECORDS, None),
        ('pascal_voc/mAP', RECORDS, None),
        ('mDice', ['mIoU'], None),
    ],
)
def test_a_host_s_number_in_the_records(host: str, known: list[str], wanted: str | None) -> None:
    assert name_in_records(host, known) == wanted


@pytest.mark.parametrize(
    ('host', 'value', 'name', 'same'),
    [
        (0.264, 0.26352, 'COCO_AP', True),
        (0.264, 0.2645, 'COCO_AP', True),
        (0.264, 0.26452, 'COCO_AP', False),
        (47.09, 47.0949, 'mIoU', True),
        (47.09, 47.097, 'mIoU', False),
        (47.09, 47.0949, 'IoU/road', True),
        (math.nan, math.nan, 'AP', True),
        (math.nan, 0.0, 'AP', False),
        (0.0, math.nan, 'AP', False),
    ],
)
def test_the_same_but_for_the_host_s_rounding(
    host: float, value: float, name: str, same: bool
) -> None:
    assert agrees(host, value, name) is same


class _Records(MeanRecords):
    definitions: ClassVar = dict(AP='a mean')

    @classmethod
    def accepts(cls, output: Any, run: RunInfo) -> bool:
        return False

    @classmethod
    def keep(cls, output: Any, run: RunInfo) -> Any:
        return None

    def why_hosts_differ(self, run: RunInfo) -> str:
        return ', '.join(run.metrics)


@pytest.mark.parametrize(
    ('metrics', 'reasons', 'told'),
    [
        ({'own/AP': 0.25, 'other': 7.0}, ['why'], ''),
        ({'own/AP': 0.2504, 'time': 3.0}, ['why'], ''),
        (
            {'own/AP': 0.2},
            ['why'],
            "evaluator's own/AP 20 and the records' AP 25 differ because why",
        ),
        ({'own/AP': 0.2}, [], 'AP 25 differ (reason unknown: see the definitions)'),
        ({}, ['why'], ''),
    ],
)
def test_a_difference_is_told_with_its_reason(
    metrics: dict[str, float], reasons: list[str], told: str
) -> None:
    records = _Records(['a', 'b'], dict(AP=[0.2, 0.3]))
    found = tell_difference(metrics, records, RunInfo(ImageSet([]), reasons))
    assert bool(found) == bool(told)
    assert found.endswith(told)


def test_the_metric_that_decides() -> None:
    metrics = {'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_50': 0.2, 'coco/bbox_mAP_s': 0.3}
    assert deciding_metric(metrics, RECORDS) == 'COCO_AP'
    assert deciding_metric(metrics, RECORDS, 'bbox_mAP_50') == 'COCO_AP50'
    assert deciding_metric(metrics, RECORDS, 'DARKFACE_AP') == 'DARKFACE_AP'
    assert deciding_metric({'darkface/AP': 0.1}, RECORDS, 'AP') == 'DARKFACE_AP'
    assert deciding_metric({'pascal_voc/mAP': 0.1}, RECORDS) is None  # theirs by default
    with pytest.raises(
        ConfigError, match=r"'bbox_mAP_s' cannot decide.*expected one of DARKFACE_AP, "
    ):
        deciding_metric(metrics, RECORDS, 'bbox_mAP_s')
    with pytest.raises(ConfigError, match="no metric 'mIoU'; there are coco/"):
        deciding_metric(metrics, RECORDS, 'mIoU')


def test_names_by_their_last_part() -> None:
    assert find_metric(['a/b', 'c'], 'b') == 'a/b'
    assert find_metric(['a/b', 'c'], 'a') is None
    assert main_metric({'aAcc': 1.0, 'mIoU': 2.0}) == 'mIoU'
