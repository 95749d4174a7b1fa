"""Weight files as others write them, made here: no file of the authors is needed."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger
from torch import Tensor

from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.models.enhancers import weight_files as official


def _norm(channels: int) -> dict[str, Tensor]:
    return {
        'weight': torch.rand(channels),
        'bias': torch.rand(channels),
        'running_mean': torch.rand(channels),
        'running_var': torch.rand(channels) + 0.5,
        'num_batches_tracked': torch.tensor(7),
    }


def _conv(inputs: int, outputs: int) -> dict[str, Tensor]:
    weight = torch.randn(outputs, inputs, 3, 3) * 0.3
    return {'weight': weight, 'bias': torch.randn(outputs) * 0.3}


def _under(prefix: str, entries: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'{prefix}.{key}': value for key, value in entries.items()}


def _residual(norms: tuple[int, ...], channels: int) -> dict[str, Tensor]:
    """An ``nn.Sequential`` of the authors: convolution, norm, relu, perhaps again."""
    entries: dict[str, Tensor] = {}
    for start in norms:
        entries |= _under(str(start), _conv(channels, channels))
        entries |= _under(str(start + 1), _norm(channels))
    return entries


@pytest.fixture()
def authors_entries() -> Callable[..., dict[str, Tensor]]:
    """A whole network in the authors' layout: 83 entries, 18 of the estimator."""

    def make(layers: int = 1, channels: int = 3, seed: int = 1) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        block = _residual((0,), channels)
        entries = _under('enhance.in_conv.0', _conv(3, channels))
        for name in ['conv', *(f'blocks.{index}' for index in range(layers))]:
            entries |= _under(f'enhance.{name}', block)  # the same tensors, several names
        entries |= _under('enhance.out_conv.0', _conv(channels, 3))
        block = _residual((0, 3), 16)
        entries |= _under('calibrate.in_conv.0', _conv(3, 16))
        entries |= _under('calibrate.in_conv.1', _norm(16))
        for name in ('convs', 'blocks.0', 'blocks.1', 'blocks.2'):
            entries |= _under(f'calibrate.{name}', block)
        return entries | _under('calibrate.out_conv.0', _conv(16, 3))

    return make


@pytest.fixture()
def donor() -> SCIEnhancer:
    """An enhancer whose every entry differs from a fresh one's."""
    torch.manual_seed(11)
    enhancer = SCIEnhancer()
    for value in enhancer.state_dict().values():
        value.copy_(torch.rand(value.shape) + 0.25 if value.is_floating_point() else 3)
    return enhancer.eval()


@pytest.fixture()
def log_lines(request: pytest.FixtureRequest) -> list[str]:
    """What MMEngine's current logger is told, level INFO and above."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    MMLogger.get_instance(request.node.nodeid, log_level='INFO').addHandler(Keep())
    return lines


@pytest.fixture()
def clean_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, no mirror, no proxy; gives the cache folder."""
    cache = tmp_path / 'cache'
    monkeypatch.setenv('SCI_PLUGINS_CACHE', str(cache))
    monkeypatch.delenv('SCI_PLUGINS_WEIGHTS', raising=False)
    monkeypatch.setenv('no_proxy', '*')
    return cache


@pytest.fixture()
def mirror(
    tmp_path: Path, clean_sources: Path, monkeypatch: pytest.MonkeyPatch, authors_entries: Any
) -> Path:
    """A folder with easy.pt ... that count as the official ones in this test."""
    folder = tmp_path / 'mirror'
    folder.mkdir()
    hashes = {}
    for seed, name in enumerate(('easy', 'medium', 'difficult')):
        path = folder / f'{name}.pt'
        torch.save(authors_entries(seed=seed), path)
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(official, 'OFFICIAL_SHA256', hashes)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    monkeypatch.setattr(official, 'OFFICIAL_BYTES', max(sizes))
    return folder


@pytest.fixture()
def save(tmp_path: Path) -> Callable[[Any], str]:
    def write(content: Any, name: str = 'weights.pth') -> str:
        path = tmp_path / name
        torch.save(content, path)
        return str(path)

    return write
