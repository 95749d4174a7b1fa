"""The text of a comparison with intervals: every number where it belongs."""

import math
from dataclasses import replace
from typing import Any

import pytest

from sci_plugins.evaluation.analysis import GroupResult, VariantAnalysis
from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.evaluation.comparison import Comparison, VariantResult
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report.markdown import tell_comparison

DARK = Condition(0.05)
ABOUT: dict[str, Any] = dict(
    config='a.py',
    base='none',
    resampling='images',
    config_diff={'joint': '--- a.py\n+++ b.py\n+x = 1'},
)


def _analysis(ap: float, ap50: float, **settings: Any) -> VariantAnalysis:
    """Intervals 0.1 to either side; the base has an AP of 0.3 and an AP50 of 0.5."""
    values = dict(COCO_AP=(0.3, ap), COCO_AP50=(0.5, ap50))
    found = dict(base='none', metric='COCO_AP', images=60, units=60, resamples=1000, seed=3)
    return VariantAnalysis(
        **found | settings,
        intervals={
            name: Interval(after - before, after - before - 0.1, after - before + 0.1)
            for name, (before, after) in values.items()
        },
        values=values,
    )


def _result(name: str, ap: float, ap50: float, **settings: Any) -> VariantResult:
    metrics = {'coco/bbox_mAP': ap, 'coco/bbox_mAP_50': ap50, 'coco/bbox_mAP_s': 0.25}
    return VariantResult(name, Condition(), metrics, 1.0, 60, **settings)


@pytest.fixture()
def comparison() -> Comparison:
    results = [
        _result('none', 0.3, 0.5),
        _result('sci', 0.6, 0.9, analysis=_analysis(0.6, 0.9)),
        _result('gamma', 0.1, 0.45, analysis=_analysis(0.1, 0.45)),
        _result('joint', 0.35, 0.5, analysis=_analysis(0.35, 0.5), model='joint'),
    ]
    results += [replace(result, condition=DARK) for result in results]
    return Comparison(dict(ABOUT), results)


def _rows(text: str, start: str) -> list[list[str]]:
    """Cells of the rows that begin with ``start``."""
    lines = [line for line in text.splitlines() if line.startswith(f'| {start} |')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


def test_intervals_stand_beside_numbers_that_the_records_have(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    first = _rows(text, 'coco/bbox_mAP')[0]
    assert first[2:4] == ['0.6', '+0.3 [+0.2, +0.4]']
    assert first[4:6] == ['0.1', '−0.2 [−0.3, −0.1]']
    assert _rows(text, 'coco/bbox_mAP_s')[0][2:4] == ['0.25', '+0']  # not in the records


@pytest.mark.parametrize('which', ['base', 'variant'])
def test_no_interval_beside_a_number_by_another_definition(
    comparison: Comparison, which: str
) -> None:
    index = 0 if which == 'base' else 1
    result = comparison.results[index]
    result.metrics['coco/bbox_mAP'] += 0.001
    row = _rows(tell_comparison(comparison), 'coco/bbox_mAP')[0]
    assert row[3] == ('+0.299' if which == 'base' else '+0.301')


def test_verdicts(comparison: Comparison) -> None:
    lines = tell_comparison(comparison).splitlines()
    assert '- sci: **helps**: COCO_AP from 0.3 to 0.6, Δ +0.3 [+0.2, +0.4]' in lines
    assert '- gamma: **hurts**: COCO_AP from 0.3 to 0.1, Δ −0.2 [−0.3, −0.1]' in lines
    assert any(line.startswith('- joint: **no difference shown**') for line in lines)
    assert not any('rises' in line or 'falls' in line for line in lines)


def test_the_summary_has_signs(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    assert '## COCO_AP of all' in text
    row = ['0.3', '0.6 (+0.3) ▲', '0.1 (−0.2) ▼', '0.35 (+0.05) ○']
    assert _rows(text, 'as is')[0] == ['as is', *row]
    assert _rows(text, DARK.name)[0] == [DARK.name, *row]
    assert '▲ helps, ▼ hurts, ○ no difference shown' in text


def test_the_base_comes_first_wherever_it_was_measured(comparison: Comparison) -> None:
    comparison.results.reverse()
    assert comparison.variants[0] == 'none'
    assert _rows(tell_comparison(comparison), 'images')[0][:2] == ['images', 'none']


def test_the_records_own_numbers_and_what_they_are(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    row = _rows(text, 'COCO_AP50')[0]
    assert row[:4] == ['COCO_AP50', '0.5', '0.9', '+0.4 [+0.3, +0.5]']
    assert '- COCO_AP: pycocotools: IoU 0.5 to 0.95' in text
    assert '- AP: ' not in text


def test_how_to_read_it(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    assert 'difference to none, the first column' in text
    assert '60 images drawn with replacement 1000 times (seed 3)' in text
    assert 'no interval is computed' not in text
    assert 'Only' not in text


def test_parts_by_brightness(comparison: Comparison) -> None:
    group = GroupResult('darkest third, 0 to 0.1', 20, 0.2, 0.5, Interval(0.3, 0.1, 0.4))
    analysis = replace(_analysis(0.6, 0.9), groups=dict(brightness=[group]))
    comparison.results[1] = replace(comparison.results[1], analysis=analysis)
    text = tell_comparison(comparison)
    assert 'COCO_AP by brightness of the images:' in text
    row = _rows(text, 'darkest third, 0 to 0.1 (20)')[0]
    assert row[1:] == ['0.2', '0.5', '+0.3 [+0.1, +0.4]', '', '', '', '']


def test_few_units_are_said_wherever_an_interval_stands(comparison: Comparison) -> None:
    comparison.about['resampling'] = 'clips'
    comparison.results = [
        replace(result, analysis=result.analysis and replace(result.analysis, units=4))
        for result in comparison.results
    ]
    lines = tell_comparison(comparison).splitlines()
    assert any('**Only 4 clips** were there to draw' in line for line in lines)
    assert any('4 clips (60 images) drawn with replacement' in line for line in lines)
    for line in lines:
        if 'Δ [95 %' in line:
            assert line.count('from only 4 clips') == line.count('Δ [95 %') == 3
        if line.startswith(('- sci: **', '- gamma: **')):
            assert line.endswith('from only 4 clips')
    assert sum('Δ [95 %' in line for line in lines) == 4


def test_a_reason_stands_where_there_is_no_interval() -> None:
    results = [
        _result('none', 0.3, 0.5, note='the images have no boxes to find'),
        _result('sci', 0.6, 0.9, note='the images have no boxes to find'),
    ]
    text = tell_comparison(Comparison(dict(config='a.py'), results))
    assert text.count('- No intervals: the images have no boxes to find.') == 1
    assert '- sci: coco/bbox_mAP rises by 0.3' in text


def test_changes_in_the_config_are_shown(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    assert '## joint: changes in the config\n\n```diff\n--- a.py' in text
    assert '+x = 1\n```' in text


def test_the_analysis_comes_back_from_json(comparison: Comparison) -> None:
    import json

    content = json.loads(comparison.to_json())
    again = Comparison(
        content['about'], [VariantResult.from_dict(each) for each in content['results']]
    )
    assert again.results == comparison.results
    assert tell_comparison(again) == tell_comparison(comparison)


def test_classes_that_no_image_has_are_named_below_the_table(comparison: Comparison) -> None:
    for result in comparison.results:
        if result.analysis is not None:
            undefined = Interval(math.nan, math.nan, math.nan)
            for name in ('COCO_AP50/Cat', 'COCO_AP50/Dog'):
                result.analysis.intervals[name] = undefined
                result.analysis.values[name] = (math.nan, math.nan)
            result.analysis.intervals['COCO_AP50/Car'] = Interval(0.1, 0.0, 0.2)
            result.analysis.values['COCO_AP50/Car'] = (0.2, 0.3)
    text = tell_comparison(comparison)
    assert len(_rows(text, 'COCO_AP50/Car')) == 2
    assert _rows(text, 'COCO_AP50/Cat') == []
    assert text.count('\n\nNot in these images: Cat, Dog.\n') == 2
    assert '- COCO_AP, COCO_AP50: means over the classes' in text


def test_images_that_the_base_was_not_measured_on(comparison: Comparison) -> None:
    del comparison.results[4]
    for index in (4, 5, 6):
        comparison.results[index] = comparison.results[index].without_analysis()
    text = tell_comparison(comparison)
    dark = text[text.index(f'## Images: {DARK.name}') : text.index('## What the')]
    assert 'none was not measured on these images: there are no differences.' in dark
    assert _rows(dark, 'metric') == [['metric', 'sci', 'gamma', 'joint']]
    assert _rows(dark, 'coco/bbox_mAP') == [['coco/bbox_mAP', '0.6', '0.1', '0.35']]
    assert _rows(text, DARK.name) == [[DARK.name, '', '0.6', '0.1', '0.35']]
