"""Another config's model on the first config's test set."""

import copy
from typing import Any

import pytest
from mmengine.config import Config

from sci_plugins.apis.compare.contenders import borrow_test_set, check_classes, class_names
from sci_plugins.errors import ConfigError

KEYS = ('img_id', 'img_path', 'instances')


def _other(first: Config, **changes: Any) -> Config:
    """Its own model, pipeline and data; ``changes`` are dotted keys."""
    cfg = copy.deepcopy(first)
    cfg.test_dataloader.dataset.data_root = '/somewhere/else'
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='Own'))
    cfg.test_evaluator = dict(type='OtherMetric')
    cfg.model.neck.num_outs = 7
    cfg.merge_from_dict(changes)
    return cfg


def test_the_set_is_the_first_s_and_the_pipeline_the_model_s(det: tuple[Config, str]) -> None:
    first = copy.deepcopy(det[0])
    first.launcher = 'pytorch'
    other = _other(first, launcher='none')
    before = other.pretty_text, first.pretty_text
    found = borrow_test_set(other, first)
    assert (other.pretty_text, first.pretty_text) == before
    dataset = found.test_dataloader.dataset
    assert dataset.data_root == first.test_dataloader.dataset.data_root
    assert [step['type'] for step in dataset.pipeline][:2] == ['LoadImageFromFile', 'Own']
    assert found.test_evaluator == first.test_evaluator
    assert found.model == other.model
    assert found.launcher == 'pytorch'


def test_what_the_first_s_evaluator_needs_is_packed(det: tuple[Config, str]) -> None:
    first = copy.deepcopy(det[0])
    first.test_dataloader.dataset.pipeline[-1].meta_keys = KEYS
    other = _other(det[0])
    own = other.test_dataloader.dataset.pipeline[-1].meta_keys
    packed = borrow_test_set(other, first).test_dataloader.dataset.pipeline[-1].meta_keys
    assert set(packed) == {*own, *KEYS}
    del first.test_dataloader.dataset.pipeline[-1]['meta_keys']
    packed = borrow_test_set(other, first).test_dataloader.dataset.pipeline[-1].meta_keys
    assert packed == own


def test_what_is_needed_is_packed_in_every_view(det: tuple[Config, str]) -> None:
    """At the end of test-time augmentation, and by a class that packs."""

    class PackOwn:
        pass

    pack = dict(type=PackOwn, meta_keys=('flip',))
    views = dict(type='TestTimeAug', transforms=[[dict(type='Resize')], [pack]])
    other = _other(det[0])
    other.test_dataloader.dataset.pipeline[-1] = views
    first = copy.deepcopy(other)
    first.test_dataloader.dataset.pipeline[-1]['transforms'][-1][-1]['meta_keys'] = KEYS
    found = borrow_test_set(other, first).test_dataloader.dataset.pipeline[-1]
    assert found['transforms'][-1][-1]['meta_keys'] == ('flip', *KEYS)


def test_a_model_without_a_test_set_takes_the_first_s_pipeline(det: tuple[Config, str]) -> None:
    other = _other(det[0])
    for key in ('test_dataloader', 'test_cfg'):
        other[key] = None
    found = borrow_test_set(other, det[0])
    assert found.test_dataloader == det[0].test_dataloader
    assert found.test_cfg == det[0].test_cfg


def test_classes_of_a_set_that_is_not_there(det: tuple[Config, str]) -> None:
    assert class_names(_other(det[0])) == ('thing',)
    coco = Config(
        dict(default_scope='mmdet', test_dataloader=dict(dataset=dict(type='CocoDataset')))
    )
    assert len(class_names(coco)) == 80
    inner = dict(type='ConcatDataset', datasets=[det[0].test_dataloader.dataset])
    cfg = Config(dict(default_scope='mmdet', test_dataloader=dict(dataset=inner)))
    assert class_names(cfg) == ('thing',)
    assert class_names(Config(dict(default_scope='mmdet'))) is None


def test_the_same_classes_are_fine(det: tuple[Config, str]) -> None:
    check_classes('x', _other(det[0]), det[0])


def test_other_classes(det: tuple[Config, str]) -> None:
    key = 'test_dataloader.dataset.metainfo.classes'
    with pytest.raises(ConfigError, match="model x must have the first one's classes"):
        check_classes('x', _other(det[0], **{key: ('face',)}), det[0])
    other = _other(det[0])
    other.model.bbox_head.num_classes = 80
    for name in ('test', 'val', 'train'):
        other[f'{name}_dataloader'] = None
    with pytest.raises(ConfigError, match='must have 1 classes, as the first one has; it has 80'):
        check_classes('x', other, det[0])


def test_a_model_of_the_other_host(det: tuple[Config, str], seg: tuple[Config, str]) -> None:
    with pytest.raises(ConfigError, match='x is an mmseg model, the first is an mmdet model'):
        check_classes('x', seg[0], det[0])
