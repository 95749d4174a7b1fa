"""The plain answer: what hurts is never left out, and comes first."""

import math
from dataclasses import replace

import pytest

from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report import account, render_report, tell_comparison
from sci_plugins.visualization.report.cells import ConditionRows, make_cell, rows_of
from tests.report_samples import make_comparison, make_result

METRIC = 'COCO_AP50'


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
    assert account.headline(_rows(**deltas)) == text


def test_the_headline_of_numbers_without_intervals() -> None:
    results = [make_result(name, Condition(), {'AP': 0.2}) for name in ('none', 'gamma')]
    rows = rows_of(Comparison({}, results))
    assert account.headline(rows) == 'Measured, but without intervals: no verdict'
    assert account.sentence(rows[0], 'AP') == (
        'without an interval, so no verdict: AP of gamma is the same.'
    )
    assert account.headline([]) == 'Nothing was measured'


@pytest.mark.parametrize(
    ('deltas', 'text'),
    [
        (dict(a=[0.2], b=[-0.3]), 'b hurts (−30.0); a helps (+20.0).'),
        (
            dict(a=[-0.2], b=[-0.3], c=[0.0]),
            'a and b hurt, most b (−30.0); no difference is shown for c.',
        ),
        (dict(a=[0.2], b=[0.3], c=[0.1]), 'all 3 help, most b (+30.0).'),
        (dict(a=[0.2], b=[0.3]), 'both help, most b (+30.0).'),
        (dict(a=[0.0], b=[0.01]), 'no difference is shown for both.'),
        (dict(a=[math.nan], b=[0.2]), 'b helps (+20.0); the difference is not defined for a.'),
        (
            dict(a=[0.2], b=[-0.3], c=[0.3], d=[0.4], e=[0.5], f=[0.6]),
            'b hurts (−30.0); all but b help, most f (+60.0).',
        ),
        (
            dict(a=[0.2], b=[-0.3], c=[0.3], d=[0.4], e=[0.5]),
            'b hurts (−30.0); a, c, d and e help, most e (+50.0).',
        ),
    ],
)
def test_sentences(deltas: dict[str, list[float]], text: str) -> None:
    assert account.sentence(_rows(**deltas)[0], METRIC) == text


def test_a_condition_that_the_base_was_not_measured_under() -> None:
    comparison = make_comparison({'a': [0.2, 0.2]})
    comparison.results[2:] = [make_result('a', comparison.results[3].condition, {METRIC: 0.2})]
    rows = rows_of(comparison)
    assert account.sentence(rows[1], METRIC) == 'none was not measured, so there is no verdict.'
    cell = make_cell((math.nan, 20.0), None, METRIC)
    assert account.matrix(rows, METRIC).rows[1] == ('gain 0.1, noise 0', '–', [cell])


def test_a_single_variant_is_told_in_full() -> None:
    assert account.sentence(_rows(gamma=[-0.1])[0], METRIC) == (
        'gamma: hurts; COCO_AP50 goes from 40.0 to 30.0 (Δ −10.0, 95 % interval −15.0 to −5.0).'
    )


def test_the_matrix() -> None:
    table = account.matrix(_rows(a=[0.2, -0.2], b=[0.0, 0.1]), METRIC)
    assert table.columns == ['a', 'b']
    assert table.base == 'none'
    verdicts = {name: [cell.verdict for cell in cells if cell] for name, _, cells in table.rows}
    assert verdicts == {
        'as is': ['helps', 'no difference shown'],
        'gain 0.1, noise 0': ['hurts', 'helps'],
    }
    assert [base for _, base, _ in table.rows] == ['40.0', '40.0']


def test_what_stands_only_without_correction_is_no_help() -> None:
    comparison = make_comparison({'a': [0.2, 0.2]}, about=dict(correction='holm'))
    for result, p in zip(comparison.results[1::2], (0.001, 0.06), strict=True):
        assert result.analysis is not None
        intervals = result.analysis.intervals
        intervals[METRIC] = replace(intervals[METRIC], p=p, units=49, margin=0.005)
    found = account.Account(comparison)
    assert found.headline == ('Helps in 1 of 2 comparisons and shown only without correction in 1')
    assert found.answers[1][1].startswith('a: shown only without correction; COCO_AP50 goes')
    assert found.family.startswith(
        'δ = 0.5 points. The verdicts are corrected (Holm) for the 2 compar'
    )
    matrix = found.matrix
    assert matrix is not None
    (first,), (second,) = (cells for _, _, cells in matrix.rows)
    assert first is not None
    assert second is not None
    assert (first.mark, first.label, first.style) == ('▲', 'helps', 'helps')
    assert (second.mark, second.label, second.style) == ('△', 'helps, uncorrected', 'helps hollow')
    assert second.text.endswith(' △')
    page, text = render_report(comparison, {}, []), tell_comparison(comparison)
    assert '△ ▽ ≃ shown only without correction' in text
    assert 'helps, uncorrected' in page


def test_what_cannot_be_told_says_how_many_images_could() -> None:
    comparison = make_comparison({'a': [0.01]})
    assert comparison.results[1].analysis is not None
    intervals = comparison.results[1].analysis.intervals
    changes = dict(error=0.025, margin=0.005, units=49)
    intervals[METRIC] = replace(intervals[METRIC], **changes)
    assert account.sentence(rows_of(comparison)[0], METRIC).startswith(
        'a: too few images to tell (49 show differences from 7.0 on; 0.5 takes about 9,600)'
    )


def test_a_hole_in_the_matrix() -> None:
    comparison = make_comparison({'a': [0.2, -0.2], 'b': [0.0, 0.1]})
    del comparison.results[-1]
    table = account.matrix(rows_of(comparison), METRIC)
    assert table.rows[1][2][1] is None


def test_forests_share_one_axis() -> None:
    first, second = account.forests(_rows(a=[0.2, -0.7], b=[0.0, 0.1]))
    assert first.scale == second.scale
    assert first.scale is not None
    assert first.scale.low < -75
    assert [name for name, _, _ in first.rows] == ['a', 'b']
    bars = [cells[0].bar for _, _, cells in second.rows if cells[0]]
    assert bars[0] is not None
    assert bars[0].point == first.scale.percent(-70)


def test_many_variants_stand_below_each_other() -> None:
    table = account.matrix(_rows(**{f'v{index}': [0.2, -0.2] for index in range(9)}), METRIC)
    assert table.corner == 'variant'
    assert table.columns == ['as is', 'gain 0.1, noise 0']
    assert table.base_row == ('40.0', '40.0')
    assert [name for name, _, _ in table.rows] == [f'v{index}' for index in range(9)]


def _account(unit: str | None, units: int) -> account.Account:
    about = {} if unit is None else dict(resampling=unit)
    return account.Account(make_comparison({'gamma': [0.1]}, units=units, images=106, about=about))


def test_images_drawn_anew() -> None:
    found = _account('images', 106)
    assert '106 images drawn with replacement 1,000 times (seed 0)' in found.method
    assert found.few == found.mark == found.caveat == ''
    assert _account(None, 106).method == found.method


@pytest.mark.parametrize(
    ('unit', 'text'),
    [('clips', '12 clips (106 images)'), ('blocks of 9', '12 blocks of 9 (106 images)')],
)
def test_clips_and_blocks(unit: str, text: str) -> None:
    assert text in _account(unit, 12).method


@pytest.mark.parametrize(('units', 'warned'), [(2, True), (9, True), (10, False)])
def test_too_few_units_are_a_warning(units: int, warned: bool) -> None:
    found = _account('clips', units)
    assert bool(found.few) == warned
    if warned:
        assert found.few.startswith(f'Only {units} clips to resample')
        assert found.caveat == f', but from only {units} clips'
        assert found.mark == f' Only {units} clips to resample: see the warning.'


def test_the_fewest_units_are_told() -> None:
    comparison = make_comparison({'gamma': [0.1, 0.1]}, units=4)
    comparison.results[:2] = make_comparison({'gamma': [0.1, 0.1]}, units=40).results[:2]
    text, _ = account.method_of(rows_of(comparison), {})
    assert text.startswith('Paired bootstrap: 4 images')


def test_no_intervals() -> None:
    results = [make_result(name, Condition(), {'AP': 0.2}) for name in ('none', 'gamma')]
    text, _ = account.method_of(rows_of(Comparison({}, results)), {})
    assert 'no intervals' in text
    assert 'may be chance' in text


@pytest.mark.parametrize(
    'versions', ['torch 2.14.1+cu130, mmengine 0.10', dict(torch='2.14.1+cu130', mmengine='0.10')]
)
def test_versions(versions: object) -> None:
    found = account.versions_of(dict(versions=versions))
    assert found == dict(torch='2.14.1+cu130', mmengine='0.10')


def test_no_versions() -> None:
    assert account.versions_of({}) == {}
    assert account.versions_of(dict(versions='odd')) == {'odd': ''}


def test_weights() -> None:
    about = dict(weights={'a': dict(name='official/easy', sha256='b17'), 'b': 'mine.pth'})
    assert account.weights_of(about) == [('a', 'official/easy', 'b17'), ('b', 'mine.pth', '')]
    assert account.weights_of({}) == []


def test_whatever_else_was_recorded_is_kept() -> None:
    about = dict(config='a.py', seed=3, versions='torch 2', config_diff={}, new=[1])
    versions, settings = account.facts_of(about, {})
    assert versions.rows == [('torch', '2')]
    assert settings.rows == [('config', 'a.py'), ('seed', '3'), ('new', '[1]')]
    assert account.facts_of({}, {}) == []
