"""Results in the order in which they are told, the base apart."""

from dataclasses import replace

import pytest

from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report.cells import UNCORRECTED, all_analyses, labels_of, rows_of
from tests.report_samples import make_analysis, make_comparison, make_result

DAY, NIGHT = Condition(), Condition(0.05)


def test_a_row_a_condition() -> None:
    rows = rows_of(make_comparison({'gamma': [0.1, 0.2], 'clahe': [0.0, 0.0]}))
    assert [row.condition for row in rows] == ['as is', 'gain 0.1, noise 0']
    for row in rows:
        assert row.base.variant == 'none'
        assert [other.variant for other in row.others] == ['gamma', 'clahe']
        assert list(row.analyses) == ['gamma', 'clahe']
    assert labels_of(rows) == ['gamma', 'clahe']
    assert len(all_analyses(rows)) == 4


def test_the_base_need_not_be_first() -> None:
    analysis = make_analysis({'AP': (0.1, 0.2)}, 0.05, base='clahe')
    results = [
        make_result('none', DAY, {'AP': 0.2}, analysis),
        make_result('clahe', DAY, {'AP': 0.1}),
    ]
    for about in ({}, dict(base='clahe')):
        (row,) = rows_of(Comparison(about, results))
        assert row.base.variant == 'clahe'
        assert [other.variant for other in row.others] == ['none']


def test_without_any_analysis_the_first_is_the_base() -> None:
    results = [make_result(name, DAY, {'AP': 0.2}) for name in ('none', 'gamma')]
    (row,) = rows_of(Comparison({}, results))
    assert row.base.variant == 'none'
    assert row.analyses == {}
    assert all_analyses([row]) == []


def test_a_base_that_was_not_measured_is_empty() -> None:
    results = [make_result(name, DAY, {'AP': 0.2}) for name in ('none', 'gamma')]
    (row,) = rows_of(Comparison(dict(base='clahe'), results))
    assert (row.base.variant, row.base.metrics, row.base.images) == ('clahe', {}, 49)
    assert [other.variant for other in row.others] == ['none', 'gamma']


def test_a_variant_that_is_missing_under_one_condition() -> None:
    results = [
        make_result('none', DAY, {'AP': 0.2}),
        make_result('gamma', DAY, {'AP': 0.2}),
        make_result('none', NIGHT, {'AP': 0.2}),
    ]
    day, night = rows_of(Comparison({}, results))
    assert len(day.others) == 1
    assert night.others == []


def test_nothing_measured() -> None:
    assert rows_of(Comparison({}, [])) == []
    assert labels_of([]) == []


def _judged(*changes: dict[str, float], correction: str | None = 'holm') -> Comparison:
    """One variant under several conditions, with these changes of its deciding interval."""
    comparison = make_comparison({'a': [0.2] * len(changes)}, about=dict(correction=correction))
    for result, each in zip(comparison.results[1::2], changes, strict=True):
        assert result.analysis is not None
        intervals = result.analysis.intervals
        intervals['COCO_AP50'] = replace(intervals['COCO_AP50'], units=49, **each)
    return comparison


@pytest.mark.parametrize(
    ('correction', 'fallen'),
    [(None, [0, 0, 0]), ('none', [0, 0, 0]), ('holm', [0, 1, 1]), ('bh', [0, 0, 0]),
     ('odd', [0, 0, 0])],
)  # fmt: skip
def test_verdicts_are_corrected_over_the_whole_table(
    correction: str | None, fallen: list[int]
) -> None:
    changes = [dict(p=each) for each in (0.001, 0.03, 0.045)]
    rows = rows_of(_judged(*changes, correction=correction))
    assert [len(row.fallen) for row in rows] == fallen
    assert [row.verdict('a') == UNCORRECTED for row in rows] == [bool(each) for each in fallen]
    assert all(row.analyses['a'].main.verdict == 'helps' for row in rows)


def test_equivalence_is_a_family_of_its_own() -> None:
    """p_same is .036 for the larger error: too much for two of them, not beside a small one."""
    near = dict(p=0.9, delta=0.0, low=-0.004, high=0.004, margin=0.005)
    large, small = dict(near, error=0.0027), dict(near, error=0.001)
    assert [row.fallen for row in rows_of(_judged(large, small))] == [set(), set()]
    both = rows_of(_judged(large, large))
    assert [row.fallen for row in both] == [{'a'}, {'a'}]
    assert both[0].analyses['a'].main.verdict == 'no difference beyond ±δ'


def test_without_p_values_nothing_falls() -> None:
    rows = rows_of(make_comparison({'a': [0.2]}, about=dict(correction='holm')))
    assert rows[0].fallen == set()
