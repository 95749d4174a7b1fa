"""Errors in a host's data: which file, in the main process and in a worker."""

import json
import pickle
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose, ConcatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from sci_plugins.engine import naming_runner as lone_labels
from sci_plugins.engine.naming_runner import NamingRunner, name_loaders
from sci_plugins.errors import DataError

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
    assert _refused(cfg) == f'{path} is no image that can be read'
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
    assert said[0].startswith(f'{tmp_path}/set/labels/001.png: has no image in ')


@pytest.mark.parametrize(
    ('content', 'cause'),
    [
        (dict(images=[], annotations=[], categories=[]), 'has no images'),
        ({}, "KeyError: 'categories'"),
        ('{"images": [', 'JSONDecodeError: Expecting value: line 1'),
        ([], 'AssertionError: annotation file format'),
        (dict(images=[dict(id=0)], categories=[], annotations=[]), "'file_name'"),
    ],
)
def test_annotations_that_cannot_be_read(tmp_path: Path, content: Any, cause: str) -> None:
    cfg = _config(tmp_path / 'set', 'detection', serialize=True)
    path = tmp_path / 'set' / 'coco.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    message = _refused(cfg)
    assert message.startswith('CocoDataset ')
    assert f' in {path}' in message
    assert cause in message


def test_a_defect_of_ours_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = _config(tmp_path / 'set', 'detection')
    (tmp_path / 'set' / 'coco.json').write_text('{')
    monkeypatch.setattr('sci_plugins.engine.naming_runner.is_ours', lambda frame: True)
    with pytest.raises(json.JSONDecodeError):
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
