"""What a comparison was made with."""

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.compare.about import (
    ImageSet,
    build_image_set,
    config_diff,
    describe,
    find_change,
    identity_of,
    protocol_of,
    seen_in_training,
)
from sci_plugins.apis.compare.contenders import Contenders, ModelSource
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.models.enhancers.weight_files import file_sha256


def _describe(source: tuple[Config, str], variants: list[str], **settings: Any) -> dict[str, Any]:
    contenders = Contenders(ModelSource(*source), variants, **settings)
    return describe(contenders, build_image_set(source[0]))


@pytest.fixture()
def weights(tmp_path: Path) -> Path:
    torch.save(SCIEnhancer().state_dict(), tmp_path / 'sci.pth')
    return tmp_path / 'sci.pth'


def test_files_by_name_and_hash(seg: tuple[Config, str], weights: Path) -> None:
    names = ['none', f'sci/{weights}', f'merge(gated/sci/{weights})', 'gamma']
    found = _describe(seg, names, models=dict(again=ModelSource(*seg)))
    assert found['config'] == 'tiny_segmentor.py'
    assert found['checkpoint'] == 'tiny_segmentor.pth'
    assert found['checkpoint_sha256'] == file_sha256(Path(seg[1]))
    entry = dict(name='sci.pth', sha256=file_sha256(weights))
    assert found['weights'][names[1]] == found['weights'][names[2]] == entry
    assert 'gamma' not in found['weights']
    model = found['weights']['again']
    assert model['name'] == 'tiny_segmentor.py, tiny_segmentor.pth'
    assert model['sha256'] == found['checkpoint_sha256']
    assert found['config_diff'] == dict(again='')
    json.dumps(found, allow_nan=False)


def test_the_protocol_of_a_run(seg: tuple[Config, str], det: tuple[Config, str]) -> None:
    found = protocol_of(seg[0], build_image_set(seg[0]))
    assert found['rule'].startswith('IoUMetric')
    cfg = copy.deepcopy(det[0])
    before = protocol_of(cfg, build_image_set(cfg))
    assert 'Resize scale=' in before['scale']
    for step in cfg.test_dataloader.dataset.pipeline:
        if step['type'].endswith('Resize'):
            step['scale'] = (7, 7)
    after = protocol_of(cfg, build_image_set(cfg))
    assert {key for key in before if before[key] != after[key]} == {'scale'}
    assert str(Path(cfg.filename).parent) not in str(before)


def test_test_images_in_the_training_set(seg: tuple[Config, str]) -> None:
    cfg = copy.deepcopy(seg[0])
    cfg.train_dataloader = copy.deepcopy(cfg.test_dataloader)
    part = copy.deepcopy(cfg)
    part.train_dataloader.dataset.indices = 2
    absent = copy.deepcopy(cfg)
    absent.train_dataloader.dataset.data_root = '/nowhere'
    models = {n: ModelSource(c, seg[1]) for n, c in (('part', part), ('absent', absent))}
    contenders = Contenders(ModelSource(cfg, seg[1]), ['none'], models)
    assert seen_in_training(contenders, build_image_set(cfg)) == {'': 3, 'part': 2}


def test_the_machine_without_names_of_its_user(seg: tuple[Config, str]) -> None:
    found = _describe(seg, ['none'])
    assert {'cpu', 'threads', 'python', 'platform'} <= set(found['environment'])
    assert {'sci_plugins', 'torch', 'torchvision', 'mmengine', 'mmcv', 'mmseg'} <= set(
        found['versions']
    )
    assert found['versions']['torch'] == torch.__version__.partition('+')[0]
    text = json.dumps(found)
    for name in (str(Path(seg[1]).parent), str(Path.home())):
        assert name not in text


def test_what_a_data_set_says_of_itself(seg: tuple[Config, str]) -> None:
    class Faces(list):
        metainfo: ClassVar[dict] = dict(annotation_version='2021', split='regdet_test', classes=())

    contenders = Contenders(ModelSource(*seg), ['none'])
    found = describe(contenders, ImageSet(Faces()))
    assert (found['annotation_version'], found['split']) == ('2021', 'regdet_test')


def test_what_the_tools_set_is_no_other_experiment(seg: tuple[Config, str]) -> None:
    moved = copy.deepcopy(seg[0])
    moved.work_dir, moved.launcher = 'elsewhere', 'pytorch'
    moved.model_wrapper_cfg = dict(type='MMDistributedDataParallel')
    moved.env_cfg.dist_cfg.timeout = 600.0
    first, second = (_describe((cfg, seg[1]), ['none']) for cfg in (seg[0], moved))
    assert find_change(first, second) == ''
    assert identity_of(first) == identity_of(second)
    assert moved.env_cfg.dist_cfg.timeout == 600.0  # the config stays as it is
    moved.env_cfg.dist_cfg = None
    assert _describe((moved, seg[1]), ['none'])['config_sha256']


@pytest.mark.parametrize(
    'key', ['config_sha256', 'checkpoint_sha256', 'test_set_sha256', 'versions']
)
def test_another_experiment(seg: tuple[Config, str], key: str) -> None:
    now = _describe(seg, ['none'])
    change = find_change(dict(now, **{key: 'other'}), now)
    assert change == 'another config, checkpoint or version'


def test_another_weight_of_a_known_name(seg: tuple[Config, str], weights: Path) -> None:
    name = f'sci/{weights}'
    now = _describe(seg, ['none', name])
    earlier = dict(now, weights={name: dict(name='sci.pth', sha256='other'), 'x': {}})
    assert find_change(earlier, now) == f'another {name}'
    assert find_change(dict(now, weights=dict(x={})), now) == ''
    assert find_change(dict(now, environment={}), now) == ''


@pytest.mark.usefixtures('formatted_configs')
def test_differences_of_configs(seg: tuple[Config, str]) -> None:
    other = copy.deepcopy(seg[0])
    other.model.test_cfg.mode = 'slide'
    other.work_dir = 'elsewhere'
    other.notes = [str(Path.home() / 'data') + '/', '/x.pth', 'a/b', 'C:/d/e']
    text = config_diff(seg[0], other)
    assert text.startswith('--- tiny_segmentor.py\n+++ tiny_segmentor.py\n@@')
    assert "mode='slide'" in text
    assert 'elsewhere' not in text
    assert '+notes=[\n' in text.replace(' = ', '=')  # as the version of yapf likes it
    for note in ('…/data/', '…/x.pth', 'a/b', '…/e'):
        assert f"'{note}'" in text
    assert str(Path.home()) not in text
    assert config_diff(seg[0], seg[0]) == ''
