"""Other systems' networks: equal to their authors'; their files found, refused and told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers import (
    IATEnhancer,
    SCIEnhancer,
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


@pytest.mark.parametrize(
    ('name', 'golden'),
    [
        ('zero-dce/official', 'zero_dce'),
        ('zero-dce++/official', 'zero_dce_pp_scale12'),
        ("ZeroDCEEnhancer(separable=True, weights='zero-dce++/official')", 'zero_dce_pp_scale1'),
        ('ruas/lol', 'ruas_lol'),
        ('ruas/upe', 'ruas_upe'),
        ('ruas/dark', 'ruas_dark'),
        ('iat/lol', 'iat_lol_v1'),
        ('iat/lol-v2', 'iat_lol_v2_normalized_input'),
        ('iat/exposure', 'iat_exposure'),
    ],
)
def test_the_authors_outputs(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, name: str, golden: str
) -> None:
    """In both precisions."""
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(shared_data / 'rivals/weights'))
    enhancer = build_enhancer(name).eval()
    content = np.load(shared_data / f'rivals/golden/{golden}.npz')
    pixels = torch.from_numpy(content['image_uint8_rgb']).permute(0, 3, 1, 2)
    wanted, exact = (
        torch.from_numpy(content[key]).clamp(0, 1) for key in ('enhanced', 'enhanced64')
    )
    image = pixels / 255.0
    with torch.no_grad():
        enhanced, precise = enhancer(image), enhancer.double()(pixels.double() / 255)
    torch.testing.assert_close(enhanced, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(precise, exact, rtol=0, atol=1e-9)
    assert float((wanted - image).abs().mean()) > 0.01  # it does something


def test_a_file_that_says_nothing_is_of_the_system_that_was_named(save: Callable[..., str]) -> None:
    """As other people train them: a plain state dict."""
    trained = ZeroDCEEnhancer(separable=True, scale=12)
    built = build_enhancer(f'zero-dce++/{save(trained.state_dict())}')
    assert isinstance(built, ZeroDCEEnhancer)
    assert (built.separable, built.scale) == (True, 12)
    image = torch.rand(1, 3, 24, 36)
    assert torch.equal(built(image), trained(image))


@pytest.mark.parametrize('name', ['iat', 'zero-dce', 'adaptive'])
def test_a_file_of_sci_is_refused(name: str, tmp_path: Path) -> None:
    """Also one of another width, whose arguments no other network takes."""
    path = tmp_path / 'sci.pth'
    save_enhancer(SCIEnhancer(channels=8), path)
    with pytest.raises(CheckpointError, match=r'no \w+ estimator among its'):
        build_enhancer(f'{name}/{path}')
