"""Other systems' files: found, refused, and told with their licence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers import (
    IATEnhancer,
    ZeroDCEEnhancer,
    build_enhancer,
    parse_enhancer,
    save_enhancer,
    weight_files,
)
from sci_plugins.models.enhancers.weight_files import PUBLISHED, PublishedFile, find_weight_file


@pytest.fixture()
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that counts as Zero-DCE++'s in this test."""
    path = tmp_path / 'zero-dce++/Epoch99.pth'
    path.parent.mkdir()
    torch.save(ZeroDCEEnhancer(separable=True).state_dict(), path)
    content = path.read_bytes()
    sha256 = weight_files.file_sha256(path)
    entry = PublishedFile('zero-dce++/Epoch99.pth', '', len(content), sha256, 'some licence')
    monkeypatch.setitem(PUBLISHED, 'zero-dce++/official', entry)
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(tmp_path))
    monkeypatch.setattr(weight_files, '_TOLD', set())
    return path


def test_a_folder_and_the_licence_once(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(weight_files, 'print_log', lambda text, *_: told.append(text))
    first, second = (build_enhancer('zero-dce++/official') for _ in range(2))
    assert isinstance(first, ZeroDCEEnhancer)
    assert (first.separable, first.scale) == (True, 12)
    assert told == ["zero-dce++/official: its authors' weights; some licence"]
    image = torch.rand(1, 3, 24, 24)
    assert torch.equal(first(image), second(image))


def test_a_missing_and_another_file(published: Path) -> None:
    published.write_bytes(b'other')
    with pytest.raises(CheckpointError, match=r'is not the official zero-dce\+\+/Epoch99.pth'):
        find_weight_file('zero-dce++/official')
    published.unlink()
    with pytest.raises(FileNotFoundError, match=r'SCI_PLUGINS_WEIGHTS is set, but .* not exist'):
        find_weight_file('zero-dce++/official')


@pytest.mark.parametrize(
    ('name', 'wanted'),
    [
        ('ruas/lol', dict(type='sci_plugins.RUASNetEnhancer', denoise=True)),
        ('ruas/dark', dict(type='sci_plugins.RUASNetEnhancer')),
        ('iat/lol', dict(type='sci_plugins.IATEnhancer')),
        ('iat/lol-v2', dict(type='sci_plugins.IATEnhancer', normalized=True)),
        ('zero-dce/official', dict(type='sci_plugins.ZeroDCEEnhancer')),
    ],
)
def test_names(name: str, wanted: dict[str, Any]) -> None:
    assert parse_enhancer(name) == wanted | dict(weights=name)
    assert name in PUBLISHED


def test_a_name_without_weights_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'iat' needs its weights: for example 'iat/lol'"):
        parse_enhancer('iat')


def test_files_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / 'own.pth'
    save_enhancer(ZeroDCEEnhancer(separable=True, scale=4), path)
    for name in (f'zero-dce/{path}', f'zero-dce++/{path}'):
        built = build_enhancer(name)
        assert isinstance(built, ZeroDCEEnhancer)
        assert (built.separable, built.scale) == (True, 4)
    with pytest.raises(ConfigError, match=r'holds weights of sci_plugins.ZeroDCEEnhancer, not of'):
        build_enhancer(f'iat/{path}')


def test_another_network_s_file_is_refused(tmp_path: Path, save: Callable[..., str]) -> None:
    path = save(IATEnhancer().state_dict())
    with pytest.raises(CheckpointError, match='no ZeroDCE estimator among its'):
        build_enhancer(f'zero-dce/{path}')
