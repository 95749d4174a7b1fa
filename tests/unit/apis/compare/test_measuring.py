"""Running one contender: what is given on, and what is not."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import METRICS

from sci_plugins.apis.compare.contenders import build_model
from sci_plugins.apis.compare.measuring import measure, prepare_config
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.conditions import Condition

DARK = Condition(0.05)


class _Odd(BaseMetric):
    """Numbers and other things."""

    default_prefix = 'odd'

    def __init__(self, values: dict) -> None:
        super().__init__()
        self.values = values

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict:
        return self.values


@pytest.fixture(autouse=True)
def _registered() -> Any:
    METRICS.register_module(name='Odd', module=_Odd, force=True)
    yield
    del METRICS.module_dict['Odd']


def _measure(seg: tuple[Config, str], tmp_path: Path, values: dict, *hooks: Hook) -> Any:
    cfg = copy.deepcopy(seg[0])
    cfg.test_evaluator = dict(type='mmengine.Odd', values=values)
    prepared = prepare_config(cfg, DARK, tmp_path)
    return measure(prepared, build_model(*seg), 'x', DARK, hooks)


def test_the_copy_is_darkened(seg: tuple[Config, str], tmp_path: Path) -> None:
    before = seg[0].pretty_text
    cfg = prepare_config(seg[0], DARK, tmp_path)
    steps = [step['type'] for step in cfg.test_dataloader.dataset.pipeline]
    assert steps[1] == 'sci_plugins.SynthesizeLowLight'
    assert cfg.work_dir == str(tmp_path / 'runs')
    assert seg[0].pretty_text == before


def test_numbers_alone_are_given_on(seg: tuple[Config, str], tmp_path: Path) -> None:
    values = dict(AP=0.5, none=-1, text='x', annotation_version=2021, count=3)
    result = _measure(seg, tmp_path, values)
    assert list(result.metrics) == ['odd/AP', 'odd/none', 'odd/count']
    assert result.metrics['odd/AP'] == 0.5
    assert math.isnan(result.metrics['odd/none'])
    assert (result.variant, result.condition, result.images) == ('x', DARK, 3)


def test_hooks_take_part(seg: tuple[Config, str], tmp_path: Path) -> None:
    class Counter(Hook):
        seen = 0

        def after_test_iter(self, *args: Any, **kwargs: Any) -> None:
            self.seen += 1

    hook = Counter()
    _measure(seg, tmp_path, dict(AP=0.5), hook)
    assert hook.seen == 3


@pytest.mark.parametrize('values', [{}, dict(text='x'), dict(annotation_version=2019)])
def test_no_numbers(seg: tuple[Config, str], tmp_path: Path, values: dict) -> None:
    with pytest.raises(ConfigError, match=r'tiny_segmentor\.py gives no numbers'):
        _measure(seg, tmp_path, values)
