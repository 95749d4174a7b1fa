"""Errors in a host's data: which file, in the main process and in a worker."""

import json
import pickle
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose, ConcatDataset
from mmengine.hooks import CheckpointHook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image

from sci_plugins.engine import naming_runner as lone_labels
from sci_plugins.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from sci_plugins.engine.naming_runner import NamingRunner, _describe_label_maps, name_loaders
from sci_plugins.errors import DataError
from tests.tiny_training import make_config

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[2] / 'data' / 'make_tiny.py'))
KINDS = ('detection', 'segmentation')


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def _config(folder: Path, kind: str, serialize: bool = False) -> Config:
    cfg = Config.fromfile(TINY[f'write_{kind}'](folder))
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.dataset.serialize_data = serialize
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
    return cfg


def _load_all(cfg: Config, build: Callable = NamingRunner.build_dataloader) -> list:
    return list(build(cfg.train_dataloader))


def test_good_data_come_as_from_mmengine(tmp_path: Path, kind: str) -> None:
    cfg = _config(tmp_path / 'set', kind)
    ours, theirs = _load_all(cfg), _load_all(cfg, Runner.build_dataloader)
    assert len(ours) == len(theirs) == 2
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one['inputs'], other['inputs'], strict=True):
            assert a.equal(b)


def _refused(cfg: Config) -> str:
    with pytest.raises(DataError) as caught:
        _load_all(cfg)
    lines = str(caught.value).strip().splitlines()
    return lines[-1]


@pytest.mark.parametrize('content', [b'', b'no image', b'\x89PNG\r\n\x1a\n' + bytes(99)])
def test_an_unreadable_image(tmp_path: Path, kind: str, content: bytes) -> None:
    cfg = _config(tmp_path / 'set', kind)
    path = tmp_path / 'set' / 'images' / '001.png'
    path.write_bytes(content)
    message = _refused(cfg)
    assert str(path) in message
    assert ('is empty (0 bytes)' in message) == (content == b'')


def test_in_a_worker_process(tmp_path: Path) -> None:
    cfg = _config(tmp_path / 'set', 'detection')
    cfg.train_dataloader.num_workers = 1
    path = tmp_path / 'set' / 'images' / '001.png'
    path.write_bytes(b'')
    assert _refused(cfg).endswith(f'DataError: {path} is empty (0 bytes)')


def test_an_unreadable_label_map(tmp_path: Path) -> None:
    cfg = _config(tmp_path / 'set', 'segmentation')
    path = tmp_path / 'set' / 'labels' / '001.png'
    path.write_bytes(b'no image')
    assert _refused(cfg) == f'{path} is not a readable image'
    path.write_bytes(b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR')
    assert _refused(cfg).startswith(f'{path} ')


def test_a_missing_file_speaks_for_itself(tmp_path: Path, kind: str) -> None:
    cfg = _config(tmp_path / 'set', kind)
    name = 'images' if kind == 'detection' else 'labels'
    path = tmp_path / 'set' / name / '001.png'
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        _load_all(cfg)


@pytest.mark.parametrize('serialize', [False, True])
def test_an_empty_folder(tmp_path: Path, serialize: bool) -> None:
    cfg = _config(tmp_path / 'set', 'segmentation', serialize)
    folder = tmp_path / 'set' / 'images'
    shutil.rmtree(folder)
    folder.mkdir()
    assert f'BaseSegDataset has no images in {folder}' in _refused(cfg)


def test_a_label_map_without_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(lone_labels, 'print_log', lambda text, **_: said.append(text))
    _load_all(_config(tmp_path / 'whole', 'segmentation'))
    assert said == []
    cfg = _config(tmp_path / 'set', 'segmentation')
    (tmp_path / 'set/images/001.png').unlink()
    _load_all(cfg)
    _load_all(cfg)
    assert len(said) == 1  # once for all loaders of a process
    assert said[0].startswith(f'{tmp_path}/set/labels/001.png has no image in ')


@pytest.mark.parametrize(
    ('content', 'cause'),
    [
        (dict(images=[], annotations=[], categories=[]), 'has no images'),
        ({}, 'coco.json: images is missing'),
        ('{"images": [', 'coco.json: expected JSON in UTF-8 (Expecting value: line 1'),
        ([], 'coco.json: expected an object, got a list of 0'),
        (
            dict(images=[dict(id=0)], categories=[], annotations=[]),
            'coco.json: images[0]: file_name is missing',
        ),
    ],
)
def test_annotations_that_cannot_be_read(tmp_path: Path, content: Any, cause: str) -> None:
    cfg = _config(tmp_path / 'set', 'detection', serialize=True)
    path = tmp_path / 'set' / 'coco.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    message = _refused(cfg)
    assert str(path) in message
    assert cause in message


def test_the_data_set_among_others_that_cannot_be_read(tmp_path: Path) -> None:
    cfg = _config(tmp_path / 'set', 'detection')
    inner = cfg.train_dataloader.dataset.to_dict()
    bad = tmp_path / 'bad.json'
    bad.write_text('{}')
    panoptic = dict(inner, ann_file=str(bad), type='CocoPanopticDataset')
    repeated = dict(type='RepeatDataset', times=2, dataset=panoptic)
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[inner, repeated])
    assert _refused(cfg) == (
        f"CocoPanopticDataset cannot read its annotations in {bad}: KeyError: 'categories'"
    )
    cfg.train_dataloader.dataset.datasets[1].dataset.type = 'CocoDataset'
    assert _refused(cfg) == f'{bad}: images is missing'


def test_what_is_wrong_elsewhere_keeps_its_error(tmp_path: Path) -> None:
    cfg = _config(tmp_path / 'set', 'detection')
    cfg.train_dataloader.dataset.pipeline[0] = dict(type='LoadImageFromFile', no_such_argument=1)
    with pytest.raises(TypeError, match='no_such_argument'):
        _load_all(cfg)


class LoadNothing:
    """A loader of somebody's own."""

    def __call__(self, results: dict) -> dict:
        raise ValueError('line one\nline two')

    def __repr__(self) -> str:
        return 'LoadNothing()'


class _Broken(BaseDataset):
    """A data set of somebody's own, with a mistake in its code."""

    def load_data_list(self) -> list[dict]:
        return [dict(sample_idx=0, img_path='a.png')]


def test_data_sets_within_others() -> None:
    inner = _Broken(pipeline=[LoadNothing()])
    whole = ConcatDataset([inner, _Broken(pipeline=[str])])
    name_loaders(whole)
    with pytest.raises(DataError, match=r'a\.png cannot be read: ValueError: line one$'):
        whole[0]
    assert whole.datasets[1].pipeline.transforms == [str]
    assert repr(inner.pipeline) == repr(Compose([LoadNothing()]))
    pickle.loads(pickle.dumps(whole))  # for workers that are spawned


def test_what_has_no_path_keeps_its_error() -> None:
    inner = _Broken(pipeline=[LoadNothing()])
    name_loaders(inner)
    with pytest.raises(ValueError, match='line two'):
        inner.pipeline(dict(img=3))


def test_errors_elsewhere_are_not_ours_to_tell() -> None:
    sampler = dict(type='DefaultSampler', no_such_argument=1)
    config = dict(dataset=_Broken(), batch_size=1, sampler=sampler)
    with pytest.raises(TypeError, match='no_such_argument'):
        NamingRunner.build_dataloader(config)


def _batch(sizes: list[tuple[int, int]]) -> dict[str, list]:
    """As mmseg's pipelines make it; each image is 64x48, of a file of 32x24."""
    samples = []
    for index, size in enumerate(sizes):
        paths = dict(seg_map_path=f'{index}.png', img_path=f'{index}.jpg')
        sample = BaseDataElement(metainfo=paths | dict(img_shape=(64, 48), ori_shape=(32, 24)))
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, *size))
        samples.append(sample)
    return dict(data_samples=samples)


def test_label_maps_that_make_no_batch() -> None:
    batch = _batch([(64, 48), (64, 40)])
    with pytest.raises(RuntimeError) as caught:
        torch.stack([each.gt_sem_seg.data for each in batch['data_samples']])
    assert _describe_label_maps(caught.value, batch) == (
        '1.png: the label map has the size [64, 40], the image [64, 48] '
        '(as the pipeline gives them)'
    )
    assert _describe_label_maps(caught.value, _batch([(64, 48)])) is None  # others' tensors
    assert _describe_label_maps(caught.value, None) is None
    assert _describe_label_maps(RuntimeError('something else'), batch) is None


def test_a_label_map_that_the_metric_cannot_compare() -> None:
    batch = _batch([(32, 24), (32, 25)])
    with pytest.raises(IndexError) as caught:
        torch.zeros(32, 24)[torch.zeros(32, 25, dtype=torch.bool)]
    line = '1.png: the label map has the size [32, 25], the image [32, 24]'
    assert _describe_label_maps(caught.value, batch) == line
    augmented = dict(data_samples=[[each] for each in batch['data_samples']])
    assert _describe_label_maps(caught.value, augmented) == line
    batch['data_samples'][1].set_metainfo(dict(seg_map_path=None))
    message = _describe_label_maps(caught.value, batch)
    assert message is not None
    assert message.startswith('1.jpg: ')


@pytest.mark.parametrize('work', ['train', 'val', 'test'])
def test_a_label_map_of_another_size(tmp_path: Path, work: str) -> None:
    cfg = _config(tmp_path / 'set', 'segmentation')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_dataloader.batch_size = 2
    path = tmp_path / 'set' / 'labels' / '001.png'
    Image.new('L', (60, 48)).save(path)
    if work == 'train':
        keep = ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')
        pipeline = [dict(type=name) for name in keep]
        cfg.train_dataloader.dataset.pipeline = pipeline
    else:
        cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
        cfg.val_cfg = dict(type='ValLoop')
    runner = NamingRunner.from_cfg(cfg)
    with pytest.raises(DataError, match=rf'^{path}: the label map has the size \[48, 60\], '):
        getattr(runner, work)()
    assert runner._batch is None


@pytest.mark.parametrize(
    ('given', 'is_ours'),
    [
        (dict(type='CheckpointHook', interval=2, max_keep_ckpts=3, backend_args=None), True),
        (dict(type='mmengine.CheckpointHook', interval=2, max_keep_ckpts=3), True),
        (dict(type=CheckpointHook, interval=2, max_keep_ckpts=3), True),
        (dict(type='CheckpointHook', backend_args=dict(backend='local')), False),
        (CheckpointHook(), False),
        ('left out', True),
        (None, None),
    ],
)
def test_checkpoints_are_whole_or_not_there(tmp_path: Path, given: Any, is_ours: Any) -> None:
    config = make_config(tmp_path, experiment_name=str(tmp_path))
    config.default_hooks = {} if given == 'left out' else dict(checkpoint=given)
    hooks = NamingRunner.from_cfg(config).hooks
    found = [each for each in hooks if isinstance(each, CheckpointHook)]
    assert [isinstance(each, AtomicCheckpointHook) for each in found] == (
        [] if is_ours is None else [is_ours]
    )
    if isinstance(given, dict) and is_ours:
        assert (found[0].interval, found[0].max_keep_ckpts) == (2, 3)
