"""The plain answer: what hurts is never left out, and comes first."""

import math

import pytest

from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report import sections as summary
from sci_plugins.visualization.report.cells import ConditionRows, rows_of
from tests.report_samples import make_comparison, make_result


def _rows(**deltas: list[float]) -> list[ConditionRows]:
    return rows_of(make_comparison(deltas))


@pytest.mark.parametrize(
    ('deltas', 'text'),
    [
        (dict(a=[0.2]), 'Helps'),
        (dict(a=[-0.2]), 'Hurts'),
        (dict(a=[0.01]), 'No difference shown'),
        (dict(a=[math.nan]), 'Not defined'),
        (dict(a=[0.2, 0.1], b=[0.3, 0.1]), 'Helps in all 4 comparisons'),
        (dict(a=[0.2, -0.2]), 'Helps in 1 of 2 comparisons and hurts in 1'),
        (
            dict(a=[0.2, -0.2, 0.0, math.nan]),
            'Helps in 1 of 4 comparisons, hurts in 1, no difference shown in 1 and not '
            'defined in 1',
        ),
        (dict(a=[-0.2, 0.0]), 'Hurts in 1 of 2 comparisons and no difference shown in 1'),
    ],
)
def test_headlines(deltas: dict[str, list[float]], text: str) -> None:
    assert summary.headline(_rows(**deltas)) == text


def test_the_headline_of_numbers_without_intervals() -> None:
    results = [make_result(name, Condition(), {'AP': 0.2}) for name in ('none', 'gamma')]
    rows = rows_of(Comparison({}, results))
    assert summary.headline(rows) == 'Measured, but without intervals: no verdict'
    assert summary.sentence(rows[0]) == 'there is no interval, so no verdict.'
    assert summary.headline([]) == 'Nothing was measured'


@pytest.mark.parametrize(
    ('deltas', 'text'),
    [
        (dict(a=[0.2], b=[-0.3]), 'b hurts (−0.300); a helps (+0.200).'),
        (
            dict(a=[-0.2], b=[-0.3], c=[0.0]),
            'a and b hurt, most b (−0.300); no difference is shown for c.',
        ),
        (dict(a=[0.2], b=[0.3], c=[0.1]), 'all 3 help, most b (+0.300).'),
        (dict(a=[0.2], b=[0.3]), 'both help, most b (+0.300).'),
        (dict(a=[0.0], b=[0.01]), 'no difference is shown for both.'),
        (dict(a=[math.nan], b=[0.2]), 'b helps (+0.200); the difference is not defined for a.'),
        (
            dict(a=[0.2], b=[-0.3], c=[0.3], d=[0.4], e=[0.5], f=[0.6]),
            'b hurts (−0.300); all but b help, most f (+0.600).',
        ),
        (
            dict(a=[0.2], b=[-0.3], c=[0.3], d=[0.4], e=[0.5]),
            'b hurts (−0.300); a, c, d and e help, most e (+0.500).',
        ),
    ],
)
def test_sentences(deltas: dict[str, list[float]], text: str) -> None:
    assert summary.sentence(_rows(**deltas)[0]) == text


def test_a_condition_that_the_base_was_not_measured_under() -> None:
    comparison = make_comparison({'a': [0.2, 0.2]})
    comparison.results[2:] = [make_result('a', comparison.results[3].condition, {'AP': 0.2})]
    rows = rows_of(comparison)
    assert summary.sentence(rows[1]) == 'none was not measured, so there is no verdict.'
    assert summary.matrix(rows).rows[1] == ('gain 0.1, noise 0', '–', [None])


def test_a_single_variant_is_told_in_full() -> None:
    assert summary.sentence(_rows(gamma=[-0.1])[0]) == (
        'gamma: hurts; COCO_AP50 goes from 0.400 to 0.300 '
        '(Δ −0.100, 95 % interval −0.150 to −0.050).'
    )


def test_the_matrix() -> None:
    table = summary.matrix(_rows(a=[0.2, -0.2], b=[0.0, 0.1]))
    assert table.columns == ['a', 'b']
    assert table.base == 'none'
    verdicts = {name: [cell.verdict for cell in cells if cell] for name, _, cells in table.rows}
    assert verdicts == {
        'as is': ['helps', 'no difference shown'],
        'gain 0.1, noise 0': ['hurts', 'helps'],
    }
    assert [base for _, base, _ in table.rows] == ['0.400', '0.400']


def test_a_hole_in_the_matrix() -> None:
    comparison = make_comparison({'a': [0.2, -0.2], 'b': [0.0, 0.1]})
    del comparison.results[-1]
    table = summary.matrix(rows_of(comparison))
    assert table.rows[1][2][1] is None


def test_forests_share_one_axis() -> None:
    first, second = summary.forests(_rows(a=[0.2, -0.7], b=[0.0, 0.1]))
    assert first.scale == second.scale
    assert first.scale is not None
    assert first.scale.low < -0.75
    assert [name for name, _, _ in first.rows] == ['a', 'b']
    bars = [cells[0].bar for _, _, cells in second.rows if cells[0]]
    assert bars[0] is not None
    assert bars[0].point == first.scale.percent(-0.7)


def test_many_variants_stand_below_each_other() -> None:
    table = summary.matrix(_rows(**{f'v{index}': [0.2, -0.2] for index in range(9)}))
    assert table.corner == 'variant'
    assert table.columns == ['as is', 'gain 0.1, noise 0']
    assert table.base_row == ('0.400', '0.400')
    assert [name for name, _, _ in table.rows] == [f'v{index}' for index in range(9)]
