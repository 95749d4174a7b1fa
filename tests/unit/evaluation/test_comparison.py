"""Tables, differences and files of a comparison, by numbers made up here."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.comparison import (
    Comparison,
    VariantResult,
    differing_protocols,
    finite_or_none,
    main_metric,
    read_comparison,
)
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.utils.schema import from_content, to_content

DARK = Condition(0.05, 0.004)


def _result(variant: str, metrics: dict, condition: Condition | None = None) -> VariantResult:
    condition = condition or Condition()
    return VariantResult(variant, condition, metrics, 1.23456, 7)


def test_protocols_that_differ() -> None:
    def result(name: str, **protocol: str) -> VariantResult:
        return VariantResult(name, Condition(), {}, 1.0, 1, protocol=protocol)

    one, same = result('none', scale='640', classes='face'), result('sci', scale='640')
    other = result('joint', scale='416', classes='face')
    assert differing_protocols([one, same, one]) == []
    assert differing_protocols([one, same, other]) == ['scale: 640 (none, sci), 416 (joint)']


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


def test_a_result_takes_the_place_of_an_earlier_one(comparison: Comparison) -> None:
    again = _result('clahe', dict(mAP=0.1))
    comparison.replace(again)
    assert len(comparison.results) == 5
    assert comparison.results[1] is again
    new = _result('clahe', dict(mAP=0.2), DARK)
    comparison.replace(new)
    assert comparison.results[5:] == [new]
    assert comparison.find(DARK, 'clahe') is new


def test_json_holds_everything(comparison: Comparison, tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f'{constant} is no JSON')

    json.loads(comparison.to_json(), parse_constant=refuse)
    (tmp_path / 'comparison.json').write_text(comparison.to_json())
    again = read_comparison(tmp_path / 'comparison.json')
    assert again.about == comparison.about
    assert again.conditions == [Condition(), DARK]
    assert again.variants == ['none', 'clahe', 'sci']
    for found, wanted in zip(again.results, comparison.results, strict=True):
        assert (found.variant, found.condition) == (wanted.variant, wanted.condition)
        assert (found.images, found.seconds) == (7, 1.23456)
        assert list(found.metrics) == list(wanted.metrics)
        np.testing.assert_equal(list(found.metrics.values()), list(wanted.metrics.values()))


def test_files_that_name_the_model_are_read() -> None:
    """Version 0.1 wrote the label of a trained model a second time."""
    old = to_content(_result('joint', dict(mAP=0.5))) | dict(model='joint')
    assert to_content(from_content(VariantResult, old, '')) | dict(model='joint') == old


def test_every_kind_of_condition_comes_back() -> None:
    for condition in (Condition(), Condition(0.02), Condition(0.02, 0.1, 0.01)):
        result = _result('none', {}, condition)
        assert from_content(VariantResult, to_content(result), '').condition == condition


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


def test_find(comparison: Comparison) -> None:
    assert comparison.find(DARK, 'sci').metrics['mAP'] == 0.3
    assert comparison.find(DARK, 'clahe') is None
    assert comparison.find(Condition(0.05), 'sci') is None


def test_an_empty_comparison_can_be_written() -> None:
    empty = Comparison(dict(config='a.py'))
    assert json.loads(empty.to_json())['results'] == []


def test_numbers_of_a_host() -> None:
    metrics = dict(a=np.float64(0.5), b=np.float32(0.25), c=1, d=math.nan, e=math.inf, f='x')
    assert finite_or_none(metrics) == dict(a=0.5, b=0.25, c=1.0, d=None, e=None)
    json.dumps(finite_or_none(metrics))
