"""Test conditions: reading them, and putting them into a host's pipeline."""

from typing import Any

import pytest
from mmengine.config import Config

from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.conditions import Condition, darken_dataset, parse_condition
from sci_plugins.registry import type_name_of

LOAD = dict(type='LoadImageFromFile')
PACK = dict(type='PackDetInputs')


@pytest.mark.parametrize(
    ('text', 'condition'),
    [
        ('none', Condition()),
        ('0.05', Condition(0.05, 0.0)),
        ('1', Condition(1.0, 0.0)),
        ('0.05:0.004', Condition(0.05, 0.004)),
        ('0.02:0', Condition(0.02, 0.0)),
        ('0.02:', Condition(0.02, 0.0)),
        ('2e-2:5e-4', Condition(0.02, 0.0005)),
        ('0.3:uneven=lamps', Condition(0.3, uneven='lamps')),
        ('0.05:0.001:shot=0.003', Condition(0.05, 0.001, 0.003)),
        ('0.1:wb=2,1.6:jpeg=70', Condition(0.1, white_balance=(2, 1.6), jpeg_quality=70)),
    ],
)
def test_what_can_be_written(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    'text',
    ['', 'dark', '0', '-0.1', '1.5', 'nan', 'inf', '0.05:-0.1', '0.05:nan',
     '0.05:inf', '0.05:0.1:0.2', ':0.1', '0,05', '0.1:blur=3', '0.1:uneven=disco',
     '0.1:shot=-1', '0.1:wb=2', '0.1:wb=a,b', '0.1:jpeg=0.5', '0.1:jpeg=101', 'shot=0.1'],
)  # fmt: skip
def test_what_cannot(text: str) -> None:
    with pytest.raises(ConfigError, match='darkening') as caught:
        parse_condition(text)
    assert repr(text) in str(caught.value)


def test_names() -> None:
    assert Condition().name == 'as is'
    assert Condition(0.05, 0.004).name == 'gain 0.05, noise 0.004'
    assert 'shot noise 0.01' in Condition(0.05, 0.004, 0.01).name
    everything = Condition(0.1, 0.004, 0.01, 'lamps', (2, 1.6), 70)
    assert everything.name.endswith('uneven lamps, white balance 2 1.6, JPEG 70')


@pytest.mark.parametrize('condition', [Condition(), Condition(0.05), Condition(1e-5, 0.1, 0.2)])
def test_slugs_are_file_names(condition: Condition) -> None:
    assert set(condition.slug) <= set('abcdefghijklmnopqrstuvwxyz0123456789-_.')


def test_conditions_of_older_versions_are_the_same() -> None:
    """Records are stamped with them."""
    older = dict(name='gain 0.05, noise 0.004', gain=0.05, noise=0.004, shot_noise=0.0)
    assert Condition(0.05, 0.004).identity == older
    assert Condition(0.05, 0.004, uneven='lamps').identity['uneven'] == 'lamps'


def test_conditions_are_told_apart() -> None:
    conditions = [Condition(), Condition(0.05), Condition(0.05, 0.1), Condition(0.02)]
    assert len({condition.slug for condition in conditions}) == 4
    assert len(set(conditions)) == 4


def _config(dataset: dict[str, Any]) -> Config:
    return Config(dict(test_dataloader=dict(dataset=dataset)))


def _kinds(pipeline: list) -> list[str]:
    return [type_name_of(step) for step in pipeline]


class LoadImageFromFile:
    """As a pure-Python config names it: by the class."""


DARK = Condition(0.05, 0.004)


@pytest.mark.parametrize(
    'loader',
    [
        'LoadImageFromFile',
        'mmdet.LoadImageFromFile',
        'mmcv.transforms.LoadImageFromFile',
        'LoadImageFromNDArray',
        LoadImageFromFile,
    ],
)
def test_darkening_stands_right_after_loading(loader: Any) -> None:
    cfg = _config(dict(pipeline=[dict(type='Other'), dict(type=loader), PACK]))
    darken_dataset(cfg, DARK, seed=3)
    pipeline = cfg.test_dataloader.dataset.pipeline
    assert _kinds(pipeline)[2:] == ['SynthesizeLowLight', 'PackDetInputs']
    step = pipeline[2]
    settings = [step[key] for key in ('gain', 'noise', 'shot_noise', 'seed')]
    assert settings == [0.05, 0.004, 0.0, 3]


def test_the_step_can_be_built() -> None:
    from mmengine.registry import TRANSFORMS

    cfg = _config(dict(pipeline=[LOAD]))
    darken_dataset(cfg, Condition(0.05, 0.004, 0.01))
    step = TRANSFORMS.build(cfg.test_dataloader.dataset.pipeline[1])
    assert type(step).__name__ == 'SynthesizeLowLight'


def test_as_is_changes_nothing() -> None:
    cfg = _config(dict(pipeline=[LOAD, PACK]))
    before = cfg.pretty_text
    darken_dataset(cfg, Condition())
    assert cfg.pretty_text == before
    darken_dataset(_config(dict(type='NoPipelineAtAll')), Condition())


WRAPPERS: list[Any] = [
    lambda inner: dict(type='RepeatDataset', times=2, dataset=inner()),
    lambda inner: dict(type='ConcatDataset', datasets=[inner(), inner()]),
    lambda inner: dict(
        type='MultiImageMixDataset', dataset=inner(), pipeline=[dict(type='Mosaic')]
    ),
    lambda inner: dict(
        type='ClassBalancedDataset', dataset=dict(type='ConcatDataset', datasets=[inner(), inner()])
    ),
]


@pytest.mark.parametrize('wrap', WRAPPERS)
def test_inside_wrappers(wrap: Any) -> None:
    cfg = _config(wrap(lambda: dict(type='CocoDataset', pipeline=[LOAD, PACK])))
    darken_dataset(cfg, DARK)

    def leaves(node: Any) -> list:
        if isinstance(node, dict) and node.get('type') == 'CocoDataset':
            return [node.pipeline]
        values = node.values() if isinstance(node, dict) else node
        inner = [leaves(value) for value in values if isinstance(value, (dict, list))]
        return [pipeline for found in inner for pipeline in found]

    found = leaves(cfg.test_dataloader.dataset)
    assert found
    for pipeline in found:
        wanted = ['LoadImageFromFile', 'SynthesizeLowLight', 'PackDetInputs']
        assert _kinds(pipeline) == wanted


def test_a_shared_pipeline_is_darkened_once() -> None:
    """Darkening twice would be another condition than the one that is named."""
    shared = [LOAD, PACK]
    cfg = _config({})
    cfg.test_dataloader.dataset = dict(datasets=[])
    inner = [dict(pipeline=shared), dict(pipeline=shared)]
    dict.__setitem__(cfg.test_dataloader.dataset, 'datasets', inner)
    darken_dataset(cfg, DARK)
    assert _kinds(shared).count('SynthesizeLowLight') == 1


@pytest.mark.parametrize(
    ('dataset', 'word'),
    [
        (dict(type='X'), 'no pipeline'),
        (dict(type='X', pipeline=None), 'no pipeline'),
        (dict(pipeline=[dict(type='LoadFromSomewhere'), PACK]), 'LoadFromSomewhere'),
        (dict(pipeline=[]), 'no step'),
        (dict(pipeline=[dict(LOAD, to_float32=True)]), 'to_float32'),
        # one bright data set among dark ones would go unnoticed
        (dict(datasets=[dict(pipeline=[LOAD]), dict(pipeline=[PACK])]), 'no step'),
    ],
)
def test_what_cannot_be_darkened(dataset: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        darken_dataset(_config(dataset), DARK)
