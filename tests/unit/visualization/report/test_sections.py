"""Details: every metric once, in the section that it belongs to."""

import math
from dataclasses import replace

import pytest

from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.decisions import Decisions
from sci_plugins.visualization.report import render_report, sections, tell_comparison
from sci_plugins.visualization.report.cells import rows_of
from tests.report_samples import make_comparison, make_result

SIZES = ('COCO_AP50_below_16px', 'COCO_AP50_16_to_32px', 'COCO_AP50_above_32px')
DELTAS = {'gamma': [0.2, -0.2], 'clahe': [0.0, 0.1]}


def test_all_metrics_but_those_of_classes() -> None:
    names = ('mIoU', 'aAcc', 'IoU/Car')
    tables = sections.all_metrics(rows_of(make_comparison(DELTAS, metrics=names)))
    assert [table.title for table in tables] == ['as is', 'gain 0.1, noise 0']
    for table in tables:
        assert [name for name, _, _ in table.rows] == ['mIoU', 'aAcc']
        assert table.columns == ['gamma', 'clahe']
    assert tables[0].rows[0][1] == '0.40'
    cell = tables[1].rows[0][2][0]
    assert cell is not None
    assert (cell.delta, cell.verdict) == ('−0.20', 'hurts')


def test_classes() -> None:
    names = ('mIoU', 'IoU/Car', 'IoU/Road')
    (section,) = sections.by_class(rows_of(make_comparison(DELTAS, metrics=names)))
    assert section.title == 'IoU by class'
    for table in section.tables:
        assert [name for name, _, _ in table.rows] == ['Car', 'Road']
        assert table.scale == section.tables[0].scale is not None


def test_classes_that_no_image_has_are_named_once() -> None:
    names = ('mIoU', 'IoU/Car', 'IoU/Cat', 'IoU/Dog')
    comparison = make_comparison(DELTAS, metrics=names)
    for result in comparison.results:
        for name in ('IoU/Cat', 'IoU/Dog') if result.analysis else ():
            result.analysis.values[name] = (math.nan, math.nan)
    (section,) = sections.by_class(rows_of(comparison))
    for table in section.tables:
        assert [name for name, _, _ in table.rows] == ['Car']
        assert table.note == 'Not in these images: Cat and Dog.'


def test_many_variants_stand_below_each_other() -> None:
    deltas = {f'v{index}': [0.1] for index in range(9)}
    rows = rows_of(make_comparison(deltas, metrics=('mIoU', 'IoU/Car')))
    for table in (sections.all_metrics(rows)[0], sections.by_class(rows)[0].tables[0]):
        assert [name for name, _, _ in table.rows] == list(deltas)
        assert table.base_row == ('0.40',)


def test_decisions_by_condition_and_variant() -> None:
    """The distribution, how many were off, and how many images are unknown."""
    comparison = make_comparison({'adaptive': [0.1, 0.2], 'gamma': [0.0, 0.1]})
    decisions = Decisions(
        ['a', 'b', 'c'],
        gain=[1.0, 2.0, 6.0],
        exponent=[0.0, 0.1, 0.2],
        strengths=[[0.0] * 4, [1.0, 0, 0, 0], [2.0, 0, 0, 0.25]],
        light=[0.5, 0.25, 12.5],
        noise=[0.0, 0.0001, 0.0042],
    )
    night = comparison.results[4]
    assert (night.variant, night.condition.gain) == ('adaptive', 0.1)
    comparison.replace(replace(night, decisions=decisions))
    (table,) = sections.decision_tables(rows_of(comparison))
    assert (table.condition, table.variant) == ('gain 0.1, noise 0', 'adaptive')
    assert table.text == 'Off for 1 of 3 images. It was not asked about the other 46.'
    assert table.facts.title == 'gain 0.1, noise 0, adaptive'
    assert table.facts.head[1:] == ('min', 'lower quartile', 'median', 'upper quartile', 'max')
    rows = {row[0]: row[1:] for row in table.facts.rows}
    assert rows['gain'] == ('1', '1.5', '2', '4', '6')
    assert rows['noise (linear light)'] == ('0', '5e-05', '0.0001', '0.00215', '0.0042')
    assert rows['strength of level 4'] == ('0', '0', '0', '0.125', '0.25')
    assert list(rows) == list(table.columns)
    page = render_report(comparison, {}, [])
    assert '<p>Off for 1 of 3 images.' in page
    assert '<td>0.00215</td>' in page
    assert '| gain | 1 | 1.5 | 2 | 4 | 6 |' in tell_comparison(comparison)


def test_without_a_stage_there_is_no_section_of_decisions() -> None:
    comparison = make_comparison(DELTAS)
    assert sections.decision_tables(rows_of(comparison)) == []
    for text in (render_report(comparison, {}, []), tell_comparison(comparison)):
        assert sections.DECISIONS not in text


def test_no_classes_no_section() -> None:
    assert sections.by_class(rows_of(make_comparison(DELTAS))) == []


def test_sizes() -> None:
    rows = rows_of(make_comparison(DELTAS, metrics=('COCO_AP50', *SIZES)))
    (section,) = sections.by_size(rows)
    assert section.title == 'COCO_AP50 by size of the objects'
    table = section.tables[1]
    assert table.columns == ['below 16 px', '16 to 32 px', 'above 32 px']
    assert [name for name, _, _ in table.rows] == ['gamma', 'clahe']
    assert [cell.delta for cell in table.rows[0][2] if cell] == ['−20.0'] * 3
    assert sections.by_size(rows_of(make_comparison(DELTAS))) == []


def test_brightness() -> None:
    thirds = ('darkest third', 'middle third', 'brightest third')
    rows = rows_of(make_comparison(DELTAS, thirds=thirds, images=48))
    (section,) = sections.by_group(rows)
    assert section.title == 'COCO_AP50 by brightness of the images'
    assert 'mean luma' in section.note
    table = section.tables[0]
    assert table.columns == [f'{name} (16 images)' for name in thirds]
    cells = table.rows[0][2]
    assert all(cell is not None and cell.bar is not None for cell in cells)
    assert [cell.base for cell in cells if cell] == ['40.0', '28.0', '16.0']
    assert sections.by_group(rows_of(make_comparison(DELTAS))) == []


def test_thirds_that_differ_between_conditions() -> None:
    comparison = make_comparison(DELTAS, thirds=('darkest third, 0.1 to 0.2',))
    night = make_comparison(DELTAS, thirds=('darkest third, 0.01 to 0.02',))
    comparison.results[3:] = night.results[3:]
    (section,) = sections.by_group(rows_of(comparison))
    assert [table.columns for table in section.tables] == [
        ['darkest third, 0.1 to 0.2 (49 images)'],
        ['darkest third, 0.01 to 0.02 (49 images)'],
    ]


def test_the_hosts_own_numbers() -> None:
    first, second = sections.host_numbers(rows_of(make_comparison(DELTAS)))
    assert (first.base, first.columns) == ('none', ['gamma', 'clahe'])
    ((name, base, (gamma, clahe)),) = first.rows
    assert (name, base) == ('COCO_AP50', '40.0')
    assert gamma is not None
    assert clahe is not None
    assert (gamma.value, gamma.delta, gamma.interval) == ('60.0', '+20.0', '+15.0 to +25.0')
    assert (clahe.value, clahe.delta) == ('40.0', '0.0')
    cell = second.rows[0][2][0]
    assert cell is not None
    assert cell.delta == '−20.0'


@pytest.mark.parametrize('which', [0, 1])
def test_no_interval_beside_a_number_by_another_definition(which: int) -> None:
    comparison = make_comparison(DELTAS)
    comparison.results[which].metrics['COCO_AP50'] += 0.001
    cell = sections.host_numbers(rows_of(comparison))[0].rows[0][2][0]
    assert cell is not None
    assert (cell.interval, cell.verdict) == ('', '')
    assert cell.delta == ('+19.9' if which == 0 else '+20.1')


def test_a_number_that_only_the_base_has() -> None:
    day = Condition()
    results = [make_result('none', day, {'AP': 0.2}), make_result('gamma', day, {})]
    (table,) = sections.host_numbers(rows_of(Comparison({}, results)))
    ((name, base, (cell,)),) = table.rows
    assert (name, base) == ('AP', '20.0')
    assert cell is not None
    assert (cell.value, cell.delta, cell.interval) == ('–', '–', '')


@pytest.mark.parametrize('build', ['all_metrics', 'by_class', 'by_size', 'by_group'])
def test_without_any_analysis_there_are_no_details(build: str) -> None:
    results = [make_result(name, Condition(), {'AP': 0.2}) for name in ('none', 'gamma')]
    assert getattr(sections, build)(rows_of(Comparison({}, results))) == []
