"""What a stage is tuned with: labelled images of real hosts, and what a resumed run must find."""

import copy
import hashlib
import json
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from sci_plugins.apis import tune as module
from sci_plugins.apis import tune_source
from sci_plugins.apis.config import load_config
from sci_plugins.apis.tune import check_grid, labelled_images, network_teacher, tune
from sci_plugins.apis.tune_source import identify, open_sources
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer
from sci_plugins.models.teachers import JointTeacher, NetworkTeacher, PixelTeacher, TaskTeacher
from sci_plugins.utils.checkpoint import read_checkpoint
from tests.host_models import TYPES

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
TINY = runpy.run_path(str(Path(__file__).parents[2] / 'data' / 'make_tiny.py'))
FAST: dict[str, Any] = dict(batch_size=2, check_every=2)


@pytest.fixture(autouse=True)
def _few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """To check with: 2 of 12 on the way, and 1 of 4 for a table of 2 conditions, not 15."""
    monkeypatch.setattr(tune_source, '_HELD_OUT_BATCHES', 2)
    monkeypatch.setattr(module, '_BATCHES', 1)
    few_cells = partial(check_grid, gains=(1.0, 0.1), noises=(0.0,), compressed=())
    monkeypatch.setattr(module, 'check_grid', few_cells)


@pytest.fixture(params=['write_detection', 'write_segmentation'])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Config, str]:
    """A tiny network of each host, with three labelled images by day."""
    config = TINY[request.param](tmp_path / 'set')
    for path in (tmp_path / 'set' / 'images').iterdir():
        Image.fromarray(np.asarray(Image.open(path)) * 3).save(path)
    checkpoint = TINY['write_checkpoint'](config)
    return load_config(str(config)), str(checkpoint)


@pytest.fixture()
def stage() -> AdaptiveSCIEnhancer:
    torch.manual_seed(0)
    return AdaptiveSCIEnhancer()


def _interrupted(patch: pytest.MonkeyPatch, step: int, *arguments: Any, **settings: Any) -> None:
    """A tuning that ends with Ctrl-C before a step."""
    learn = module._Tuning.learn

    def stop(self: Any, parts: Any) -> float:
        if self.step == step:
            raise KeyboardInterrupt
        return learn(self, parts)

    patch.setattr(module._Tuning, 'learn', stop)
    with pytest.raises(KeyboardInterrupt):
        tune(*arguments, **settings)
    patch.setattr(module._Tuning, 'learn', learn)


def _hash(model: Any) -> str:
    state = model.state_dict().items()
    content = b''.join(name.encode() + value.numpy().tobytes() for name, value in state)
    return hashlib.sha256(content).hexdigest()


def test_it_learns_from_labels_and_leaves_the_network(
    host: tuple[Config, str], stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'check_grid', check_grid)
    teacher, recipe = network_teacher(*host, TaskTeacher)
    before, images = _hash(teacher.model), labelled_images(host[0])
    out = tmp_path / 'tuned.pth'
    result = tune(images, out, teacher, stage, steps=4, recipe=recipe, **FAST)
    assert _hash(teacher.model) == before
    assert not any(part.training for part in teacher.model.modules())
    assert np.isfinite(result.losses).all()
    assert set(result.held_out) == {0, 2, 4}
    assert len(set(result.held_out.values())) == 3  # the stage changes
    meta = read_checkpoint(out)['meta']
    assert meta['teacher'] == f'training loss of {type(teacher.model).__name__}'
    assert meta['host']['input_order'] == 'bgr'
    assert meta['tuned']['images'] == 3
    assert meta['tuned']['crop_size'] is None
    assert len(meta['tuned']['grid']) == 18
    assert meta['tuned']['safe'] is result.is_safe
    with Image.open(tmp_path / 'tuned_progress.jpg') as picture:
        assert picture.size[0] > 3 * picture.size[1] / 4  # three columns, four rows


def test_no_labelled_image_or_label_map_is_written_over(
    host: tuple[Config, str], stage: Any
) -> None:
    """Not even with ``overwrite``, which is about what is there besides."""
    teacher, _ = network_teacher(*host, TaskTeacher)
    images = labelled_images(host[0])
    info = images.get_data_info(2)
    paths = [Path(info[key]) for key in ('img_path', 'seg_map_path') if info.get(key)]
    assert paths
    for path in paths:
        content = path.read_bytes()
        with pytest.raises(ConfigError, match=path.name):
            tune(images, path, teacher, stage, steps=1, overwrite=True, **FAST)
        assert path.read_bytes() == content


def test_resumed_to_the_bit(
    host: tuple[Config, str], stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, _ = network_teacher(*host, TaskTeacher)
    images = labelled_images(host[0])
    whole = tune(images, tmp_path / 'a.pth', teacher, stage, steps=4, **FAST)
    out = tmp_path / 'b.pth'
    _interrupted(monkeypatch, 3, images, out, teacher, stage, steps=4, **FAST)
    part = tune(images, out, teacher, stage, steps=4, resume=True, **FAST)
    assert part.losses == whole.losses
    assert part.sha256 == whole.sha256


def _another_network(cfg: Config, checkpoint: str, folder: Path) -> tuple[Config, str]:
    state = torch.load(checkpoint, weights_only=True)
    next(iter(state['state_dict'].values())).add_(1e-3)
    torch.save(state, folder / 'other.pth')
    return cfg, str(folder / 'other.pth')


def _another_config(cfg: Config, checkpoint: str, folder: Path) -> tuple[Config, str]:
    cfg = copy.deepcopy(cfg)
    cfg.model.data_preprocessor.mean = [0, 0, 0]
    return cfg, checkpoint


@pytest.mark.parametrize('change', [_another_network, _another_config, None])
def test_a_run_is_resumed_with_its_own_network_and_start(
    host: tuple[Config, str],
    stage: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable | None,
) -> None:
    teacher, recipe = network_teacher(*host, TaskTeacher)
    images = labelled_images(host[0])
    out = tmp_path / 'a.pth'
    _interrupted(monkeypatch, 2, images, out, teacher, stage, steps=4, recipe=recipe, **FAST)
    if change is None:
        with torch.no_grad():
            next(iter(stage.parameters())).add_(0.1)
    else:
        teacher, recipe = network_teacher(*change(*host, tmp_path), TaskTeacher)
    word = 'network' if change else 'starting enhancer'
    settings = FAST | dict(steps=4, recipe=recipe, resume=True)
    with pytest.raises(ConfigError) as caught:
        tune(images, out, teacher, stage, **settings)
    expected = f'{tmp_path}/a_state.pth was made with other {word}: cannot resume'
    assert str(caught.value) == expected


def test_an_older_state_says_less(
    host: tuple[Config, str], stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resumed as before: nobody knows its network."""
    teacher, _ = network_teacher(*host, TaskTeacher)
    images = labelled_images(host[0])
    out = tmp_path / 'a.pth'
    _interrupted(monkeypatch, 2, images, out, teacher, stage, steps=3, **FAST)
    state = torch.load(tmp_path / 'a_state.pth', weights_only=True)
    del state['plan']['network'], state['plan']['starting enhancer']
    torch.save(state, tmp_path / 'a_state.pth')
    result = tune(images, out, teacher, stage, steps=3, resume=True, **FAST)
    assert len(result.losses) == 3


def test_networks_and_starts_have_their_own_hashes(
    host: tuple[Config, str], stage: Any, tmp_path: Path
) -> None:
    task, told = network_teacher(*host, TaskTeacher)
    plain, _ = network_teacher(*host)
    assert isinstance(plain, NetworkTeacher)
    rgb, _ = network_teacher(*host, input_order='rgb')
    other, _ = network_teacher(*_another_network(*host, tmp_path))
    teachers = [task, plain, rgb, other, PixelTeacher(), JointTeacher([plain, PixelTeacher()])]
    found = {identify(each, stage, None)['network'] for each in teachers}
    assert len(found) == len(teachers)
    again, _ = network_teacher(*host, TaskTeacher)
    assert identify(again, stage, told) == identify(task, copy.deepcopy(stage), dict(told))
    wider = AdaptiveSCIEnhancer(cells=16)
    wider.load_state_dict(stage.state_dict())
    starts = {identify(task, each, None)['starting enhancer'] for each in (stage, wider)}
    assert len(starts) == 2


def test_images_to_check_with_are_others(host: tuple[Config, str]) -> None:
    teacher, _ = network_teacher(*host, TaskTeacher)
    settings = dict(crop_size=32, batch_size=4, seed=0)
    (data, held_out), told = open_sources(range(40), (), teacher, settings)
    assert len(held_out.indices) == 5  # type: ignore[union-attr]
    assert sorted([*data.indices, *held_out.indices]) == [*range(40)]  # type: ignore[union-attr]
    assert told == dict(crop_size=None, images=40, images_sha256=None)
    with pytest.raises(ConfigError, match='at least 2 images, one of them to check with, got 1'):
        open_sources([0], (), teacher, settings)


def test_a_photograph_is_never_on_both_sides(tmp_path: Path) -> None:
    for index in range(9):
        Image.new('RGB', (64, 64), 'white').save(tmp_path / f'{index}.png')
    (tmp_path / 'link').symlink_to(tmp_path / '3.png')
    given = [tmp_path, *tmp_path.glob('*.png'), tmp_path / 'link']
    settings = dict(crop_size=32, batch_size=4, seed=0)
    parts, told = open_sources(given, (), PixelTeacher(), settings)
    names = [path.resolve().name for part in parts for path in part.files]
    assert sorted(names) == [f'{index}.png' for index in range(9)]
    assert told['images'] == 9


def test_images_are_not_mixed(host: tuple[Config, str]) -> None:
    """As YOLOX (a data set around another) and RTMDet (steps of a pipeline) do it."""
    cfg = copy.deepcopy(host[0])
    inner = cfg.train_dataloader.dataset
    *load, pack = inner.pipeline
    mixing = [
        dict(type='Mosaic', img_scale=(64, 48)),
        dict(type='mmdet.CachedMixUp', img_scale=(64, 48)),
        dict(type='Pad', size=(200, 200)),
        dict(type='mmdet.Expand'),
    ]
    inner.pipeline = [*load, mixing[0]]
    whole = dict(type='MultiImageMixDataset', dataset=inner, pipeline=[*mixing[1:], pack])
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=whole)
    images, plain = labelled_images(cfg), labelled_images(host[0])
    assert len(images) == 2 * len(plain) == 6
    for index in range(3):
        found, expected = images[index], plain[index]
        assert torch.equal(found['inputs'], expected['inputs'])
        assert found['data_samples'].img_path == expected['data_samples'].img_path
    assert cfg.train_dataloader.dataset.dataset.pipeline[0].type == 'mmdet.CachedMixUp'


def test_configs_without_labelled_images(host: tuple[Config, str], tmp_path: Path) -> None:
    cfg = copy.deepcopy(host[0])
    cfg.train_dataloader = None
    with pytest.raises(ConfigError, match=r'\.py has no train_dataloader: the training loss needs'):
        labelled_images(cfg)
    cfg = copy.deepcopy(host[0])
    cfg.train_dataloader.dataset.data_root = '/not/there/'
    with pytest.raises(FileNotFoundError, match='/not/there'):
        labelled_images(cfg)


def test_a_detectors_images_without_objects(tmp_path: Path, stage: Any) -> None:
    """None at all is a mistake; some are fine."""
    config = TINY['write_detection'](tmp_path / 'set')
    cfg = load_config(str(config))
    cfg.train_dataloader.dataset.metainfo.classes = ('something else',)
    with pytest.raises(DataError, match='no object in the first 3 images of the train_dataloader'):
        labelled_images(cfg)
    path = tmp_path / 'set' / 'coco.json'
    content = json.loads(path.read_text())
    content['annotations'] = [each for each in content['annotations'] if each['image_id'] == 0]
    path.write_text(json.dumps(content))
    cfg = load_config(str(config))
    teacher, _ = network_teacher(cfg, str(TINY['write_checkpoint'](config)), TaskTeacher)
    result = tune(labelled_images(cfg), tmp_path / 'a.pth', teacher, stage, steps=2, **FAST)
    assert np.isfinite(result.losses).all()


def test_labels_that_are_missing_or_do_not_fit(
    host: tuple[Config, str], stage: Any, tmp_path: Path
) -> None:
    cfg = copy.deepcopy(host[0])
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[:] = [step for step in pipeline if step.type != 'LoadAnnotations']
    teacher, _ = network_teacher(*host, TaskTeacher)
    with pytest.raises(DataError, match='gives images without labels: its pipeline needs LoadAnno'):
        tune(labelled_images(cfg), tmp_path / 'a.pth', teacher, stage, **FAST)
    if cfg.default_scope == 'mmdet':
        cfg.model.train_cfg = None  # nothing says which boxes are whose
        teacher, _ = network_teacher(cfg, host[1], TaskTeacher)
        words = r'RetinaNet gives no training loss for the images of its train_dataloader \(TypeE'
    else:
        for path in (tmp_path / 'set' / 'labels').iterdir():
            Image.fromarray(np.asarray(Image.open(path)) + 5).save(path)
        words = r'EncoderDecoder gives no training loss .* \(IndexError: Target'
    with pytest.raises(ConfigError, match=words):
        tune(labelled_images(host[0]), tmp_path / 'a.pth', teacher, stage, **FAST)
    assert not list(tmp_path.glob('a*'))


def test_an_enhancer_in_the_config_is_taken_off(host: tuple[Config, str]) -> None:
    cfg = copy.deepcopy(host[0])
    kind = TYPES[cfg.default_scope]
    cfg.model.data_preprocessor.merge(dict(type=kind, enhancer='gamma'))
    teacher, _ = network_teacher(cfg, host[1], TaskTeacher)
    assert not hasattr(teacher.model.data_preprocessor, 'enhancer')
    assert json.dumps(network_teacher(*host, TaskTeacher)[1])
