"""Tables, differences and files of a comparison, by numbers made up here."""

import json
import math

import numpy as np
import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import Comparison, VariantResult, finite_or_none, main_metric
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.visualization.report.cells import format_difference, format_value
from sci_plugins.visualization.report.markdown import tell_comparison

DARK = Condition(0.05, 0.004)


def _result(variant: str, metrics: dict, condition: Condition | None = None) -> VariantResult:
    condition = condition or Condition()
    return VariantResult(variant, condition, metrics, 1.23456, 7)


@pytest.fixture()
def comparison() -> Comparison:
    nan = math.nan
    return Comparison(
        dict(config='a.py', checkpoint='b.pth'),
        [
            _result('none', dict(mAP=0.5, mAP_50=0.75, mAP_s=nan, mAP_m=0.1)),
            _result('clahe', dict(mAP=0.4375, mAP_50=0.8, mAP_s=nan, mAP_m=nan)),
            _result('sci', dict(mAP=0.5, mAP_50=0.75, mAP_s=0.2, mAP_m=0.1)),
            _result('none', dict(mAP=0.1, mAP_50=0.2, mAP_s=nan, mAP_m=0.1), DARK),
            _result('sci', dict(mAP=0.3, mAP_50=0.6, mAP_s=nan, mAP_m=0.1), DARK),
        ],
    )


def _tables(text: str) -> list[list[list[str]]]:
    """Cells of each table of a Markdown text, without the line of dashes."""
    tables, rows = [], []
    for line in [*text.splitlines(), '']:
        if line.startswith('|'):
            rows.append([cell.strip() for cell in line.strip('|').split('|')])
        elif rows:
            assert set(''.join(rows[1])) <= set('-:')
            tables.append([rows[0], *rows[2:]])
            rows = []
    return tables


def test_json_holds_everything(comparison: Comparison) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f'{constant} is no JSON')

    content = json.loads(comparison.to_json(), parse_constant=refuse)
    again = Comparison(
        content['about'], [VariantResult.from_dict(item) for item in content['results']]
    )
    assert again.about == comparison.about
    assert again.conditions == [Condition(), DARK]
    assert again.variants == ['none', 'clahe', 'sci']
    for found, wanted in zip(again.results, comparison.results, strict=True):
        assert (found.variant, found.condition) == (wanted.variant, wanted.condition)
        assert (found.images, found.seconds) == (7, 1.235)
        assert list(found.metrics) == list(wanted.metrics)
        np.testing.assert_equal(list(found.metrics.values()), list(wanted.metrics.values()))
    assert tell_comparison(again) == tell_comparison(comparison)


def test_every_kind_of_condition_comes_back() -> None:
    for condition in (Condition(), Condition(0.02), Condition(0.02, 0.1, 0.01)):
        result = _result('none', {}, condition)
        assert VariantResult.from_dict(result.to_dict()).condition == condition


def test_a_table_for_each_condition(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    assert '## Images: as is\n' in text
    assert '## Images: gain 0.05, noise 0.004\n' in text
    _, bright, dark = _tables(text)
    assert bright == [
        ['metric', 'none', 'clahe', 'Δ', 'sci', 'Δ'],
        ['mAP', '0.5', '0.4375', '−0.0625', '0.5', '+0'],
        ['mAP_50', '0.75', '0.8', '+0.05', '0.75', '+0'],
        ['mAP_s', '–', '–', '–', '0.2', '–'],
        ['mAP_m', '0.1', '–', '–', '0.1', '+0'],
    ]
    assert dark[0] == ['metric', 'none', 'sci', 'Δ']
    assert dark[1] == ['mAP', '0.1', '0.3', '+0.2']


def test_one_table_of_all_conditions_comes_first(comparison: Comparison) -> None:
    assert '## mAP of all\n' in tell_comparison(comparison)
    assert _tables(tell_comparison(comparison))[0] == [
        ['images', 'none', 'clahe', 'sci'],
        ['as is', '0.5', '0.4375', '0.5'],
        ['gain 0.05, noise 0.004', '0.1', '', '0.3'],
    ]
    comparison.metric = 'mAP_50'
    text = tell_comparison(comparison)
    assert _tables(text)[0][2] == ['gain 0.05, noise 0.004', '0.2', '', '0.6']
    assert '- clahe: mAP_50 rises by 0.05' in text
    one = Comparison({}, comparison.results[:3])
    assert 'of all' not in tell_comparison(one)


def test_the_verdict_has_the_right_sign(comparison: Comparison) -> None:
    """A user must see a negative result at once."""
    lines = tell_comparison(comparison).splitlines()
    assert '- clahe: mAP **falls** by 0.0625' in lines
    assert '- sci: mAP is the same' in lines
    assert '- sci: mAP rises by 0.2' in lines


def test_the_verdict_is_on_the_metric_of_the_field() -> None:
    """mmseg names pixel accuracy first."""
    results = [
        _result('none', dict(aAcc=80.0, mIoU=40.0)),
        _result('sci', dict(aAcc=85.0, mIoU=35.5)),
    ]
    text = tell_comparison(Comparison({}, results))
    assert '- sci: mIoU **falls** by 4.5' in text


@pytest.mark.parametrize(
    ('names', 'main'),
    [
        (['aAcc', 'mIoU', 'mAcc'], 'mIoU'),
        (['coco/bbox_mAP', 'coco/bbox_mAP_50'], 'coco/bbox_mAP'),
        (['pascal_voc/AP50', 'pascal_voc/mAP'], 'pascal_voc/mAP'),
        (['darkface/AP'], 'darkface/AP'),
        (['anything', 'else'], 'anything'),
    ],
)
def test_main_metric(names: list[str], main: str) -> None:
    assert main_metric(dict.fromkeys(names, 0.0)) == main


def test_the_metric_can_be_chosen() -> None:
    metrics = {'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_50': 0.2}
    assert main_metric(metrics, 'bbox_mAP_50') == 'coco/bbox_mAP_50'
    assert main_metric(metrics, 'coco/bbox_mAP_50') == 'coco/bbox_mAP_50'
    with pytest.raises(ConfigError, match="no metric 'mIoU'; there are coco/bbox_mAP,"):
        main_metric(metrics, 'mIoU')


def test_a_metric_that_is_not_defined_is_said_as_such() -> None:
    results = [_result('none', dict(mAP=math.nan)), _result('sci', dict(mAP=0.5))]
    assert '- sci: mAP is not defined' in tell_comparison(Comparison({}, results))


def test_a_metric_that_a_variant_lacks() -> None:
    results = [_result('none', dict(mAP=0.5, other=1.0)), _result('sci', dict(mAP=0.5))]
    (table,) = _tables(tell_comparison(Comparison({}, results)))
    assert table[2] == ['other', '1', '–', '–']


def test_no_claim_of_significance_without_an_interval(comparison: Comparison) -> None:
    text = tell_comparison(comparison)
    assert 'Without an interval, a small difference may be chance.' in text
    assert not any(word in text for word in ('helps', 'hurts', '95 %'))


def test_names_do_not_break_the_table() -> None:
    results = [_result('none', dict(mAP=0.5)), _result("X(weights='a|b')", dict(mAP=0.5))]
    header = tell_comparison(Comparison({}, results)).split('| metric')[1].splitlines()[0]
    assert r"X(weights='a\|b')" in header


def test_find(comparison: Comparison) -> None:
    assert comparison.find(DARK, 'sci').metrics['mAP'] == 0.3
    assert comparison.find(DARK, 'clahe') is None
    assert comparison.find(Condition(0.05), 'sci') is None


def test_an_empty_comparison_can_be_written() -> None:
    empty = Comparison(dict(config='a.py'))
    assert json.loads(empty.to_json())['results'] == []
    assert 'a.py' in tell_comparison(empty)


@pytest.mark.parametrize(
    ('value', 'text'),
    [(0.12345, '0.1235'), (45.678, '45.68'), (0.0, '0'), (100.0, '100'), (math.nan, '–')],
)
def test_values(value: float, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ('value', 'text'),
    [(0.0125, '+0.0125'), (-0.3, '−0.3'), (0.0, '+0'), (-12.345, '−12.3'), (math.nan, '–')],
)
def test_differences(value: float, text: str) -> None:
    assert format_difference(value) == text


def test_numbers_of_a_host() -> None:
    metrics = dict(a=np.float64(0.5), b=np.float32(0.25), c=1, d=math.nan, e=math.inf, f='x')
    assert finite_or_none(metrics) == dict(a=0.5, b=0.25, c=1.0, d=None, e=None)
    json.dumps(finite_or_none(metrics))
