"""Each contender's records against the base's."""

from typing import Any

import numpy as np
import pytest

from sci_plugins.apis.compare.judging import Judge
from sci_plugins.apis.compare.measuring import Kept
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import VariantResult
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.segmentation_records import SegmentationRecords

IDS = [f'{clip}_{frame}' for clip in 'abc' for frame in range(4)]
METRICS = dict(aAcc=50.0, mIoU=40.0)


def _kept(right: int, luma: float = 0.5) -> Kept:
    """Of ten pixels of each class ``right`` (in every third image one less) are right."""
    matrices = [
        [[right - (n % 3 == 0), 10 - right + (n % 3 == 0)], [10 - right, right]]
        for n in range(len(IDS))
    ]
    records = SegmentationRecords(IDS, np.array(matrices), ['x', 'y'])
    return Kept(records, np.linspace(0, luma, len(IDS)))


def _judge(right: int, **settings: Any) -> VariantResult:
    base = VariantResult('none', Condition(), METRICS, 1.0, 12)
    judge = Judge('none', **settings)
    other = VariantResult('sci', Condition(), dict(METRICS), 2.0, 12)
    return judge.judge(other, _kept(right), base, _kept(6))


def test_the_result_gains_an_analysis_alone() -> None:
    result = _judge(8, resamples=70, seed=2)
    assert (result.variant, result.metrics, result.seconds) == ('sci', METRICS, 2.0)
    analysis = result.analysis
    assert (analysis.base, analysis.metric) == ('none', 'mIoU')
    assert (analysis.units, analysis.resamples, analysis.seed) == (12, 70, 2)
    assert analysis.main.verdict == 'helps'
    assert _judge(4).analysis.main.verdict == 'hurts'
    assert [part.images for part in analysis.groups['brightness']] == [4, 4, 4]
    assert len(analysis.gained) <= 4


def test_units() -> None:
    assert _judge(8, resample='clips:^.').analysis.units == 3
    assert _judge(8, resample='blocks:5').analysis.units == 3


def test_the_metric() -> None:
    assert _judge(8, metric='aAcc').analysis.metric == 'aAcc'
    assert _judge(8, metric='IoU/y').analysis.metric == 'IoU/y'
    with pytest.raises(ConfigError, match="no metric 'mAP'"):
        _judge(8, metric='mAP')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(margin=0.0), 'margin must be above 0 and at most 100 points, got 0.0'),
        (dict(margin=float('nan')), 'margin must be above 0'),
        (dict(correction='x'), 'correction must be one of holm, bh, none'),
    ],
)
def test_settings_that_no_judge_can_use(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Judge('none', 'images', **settings)


def test_what_is_told_of_the_settings() -> None:
    judge = Judge('none', 'blocks:5', 7, 8)
    assert judge.about() == dict(
        base='none', resampling='blocks of 5', resample='blocks:5', resamples=7, seed=8,
        margin=0.5, correction='holm',
    )  # fmt: skip
    assert Judge('none', 'images', metric='x').about()['metric'] == 'x'
