"""Files of a few KB that say how they came about."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from sci_plugins.models.enhancers import GammaEnhancer, GatedEnhancer, SCIEnhancer
from sci_plugins.models.enhancers.export import building_of, plain, save_enhancer
from sci_plugins.utils import files


def test_what_was_saved_loads(tmp_path: Path) -> None:
    enhancer = SCIEnhancer(layers=2, channels=4)
    path = tmp_path / 'new' / 'night.pth'
    digest = save_enhancer(enhancer, path, data=('LOL', 3), seed=7, input='dark')
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size < 10_000
    content = torch.load(path, weights_only=True)
    meta = content['meta']
    assert meta['type'] == 'sci_plugins.SCIEnhancer'
    assert meta['arguments'] == dict(layers=2, channels=4)
    assert (meta['data'], meta['seed'], meta['input']) == (['LOL', 3], 7, 'dark')
    assert meta['versions']['torch'] == str(torch.__version__)
    loaded = SCIEnhancer(layers=2, channels=4, weights=str(path))
    for key, value in enhancer.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    enhancer = SCIEnhancer()
    first, second = (save_enhancer(enhancer, tmp_path / name) for name in ('a', 'b'))
    assert first == second
    assert save_enhancer(enhancer, tmp_path / 'c', seed=1) != first


def test_an_older_file_outlives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.pth'
    save_enhancer(SCIEnhancer(), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(files, 'write_all', full)
    with pytest.raises(OSError, match='No space left'):
        save_enhancer(SCIEnhancer(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_enhancer_is_built_from_its_constructor_s_arguments() -> None:
    sci = dict(type='sci_plugins.SCIEnhancer', arguments=dict(layers=1, channels=8))
    assert building_of(SCIEnhancer(channels=8)) == sci
    assert building_of(GammaEnhancer(0.5))['arguments'] == dict(gamma=0.5)
    assert building_of(nn.Identity())['arguments'] == {}
    inner = dict(type=sci['type'], layers=1, channels=8)
    for gated in (GatedEnhancer(SCIEnhancer(channels=8)), GatedEnhancer(inner)):
        assert building_of(gated)['arguments'] == dict(dark=0.16, bright=0.25, enhancer=inner)


def test_plain_types() -> None:
    value = {1: (torch.float32, Path('a')), 'b': [None, True, 1.5, {'c': 'd'}]}
    assert plain(value) == {'1': ['torch.float32', 'a'], 'b': [None, True, 1.5, {'c': 'd'}]}
