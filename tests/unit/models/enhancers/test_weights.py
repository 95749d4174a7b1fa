"""Weights load in full or not at all, whoever wrote the file, and say so."""

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sci_plugins.models.enhancers import (
    IATEnhancer,
    SCIEnhancer,
    ZeroDCEEnhancer,
    load_enhancer_weights,
)

Entries = dict[str, Tensor]
MakeEntries = Callable[..., Entries]


def _assert_holds(enhancer: SCIEnhancer, entries: Entries) -> None:
    """The estimator of the authors' layout is what the enhancer now computes with."""
    pairs = {
        'in_conv.0.': 'in_conv.',
        'conv.0.': 'block_conv.',
        'conv.1.': 'block_norm.',
        'out_conv.0.': 'out_conv.',
    }
    state = enhancer.state_dict()
    seen = 0
    for theirs, ours in pairs.items():
        for key, value in entries.items():
            if key.startswith(f'enhance.{theirs}'):
                name = ours + key.removeprefix(f'enhance.{theirs}')
                assert torch.equal(state[name], value), name
                seen += 1
    assert seen == len(state) == 11


def test_the_authors_whole_file(
    save: Callable, authors_entries: MakeEntries, log_lines: list[str]
) -> None:
    entries = authors_entries()
    assert (len(entries), sum(key.startswith('enhance.') for key in entries)) == (83, 18)
    path = save(entries)
    _assert_holds(SCIEnhancer(weights=path), entries)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]
    assert log_lines == [f'SCIEnhancer: 18 of 18 entries from {path} (sha256 {digest}…)']


@pytest.mark.parametrize('prefix', ['', 'enhance.', 'module.', 'module.enhance.'])
def test_the_authors_estimator_alone(
    save: Callable, authors_entries: MakeEntries, prefix: str
) -> None:
    """Their fine-tuned model has no prefix; a parallel wrapper adds one."""
    entries = authors_entries()
    alone = {
        prefix + key.removeprefix('enhance.'): value
        for key, value in entries.items()
        if key.startswith('enhance.')
    }
    assert len(alone) == 18
    _assert_holds(SCIEnhancer(weights=save(alone)), entries)


PREFIXES = [
    '',
    'module.',
    'estimator.',
    'enhancer.',
    'data_preprocessor.enhancer.',
    'data_preprocessor.enhancer.enhancer.',
    'module.data_preprocessor.enhancer.',
    'module.estimator.',
]


@pytest.mark.parametrize('prefix', PREFIXES)
@pytest.mark.parametrize('wrapped', [False, True])
def test_our_own_names(
    save: Callable, donor: SCIEnhancer, prefix: str, wrapped: bool, log_lines: list[str]
) -> None:
    state: Any = OrderedDict((f'{prefix}{key}', value) for key, value in donor.state_dict().items())
    state['backbone.conv1.weight'] = torch.zeros(2, 2)  # a host model around it
    if prefix in ('', 'module.'):
        del state['backbone.conv1.weight']
    path = save(dict(state_dict=state, meta=dict(epoch=1)) if wrapped else state)
    twin = SCIEnhancer(weights=path)
    for key, value in donor.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key
    image = torch.rand(1, 3, 7, 8)
    assert torch.equal(twin.eval()(image), donor(image))
    assert '11 of 11 entries' in log_lines[-1]


def test_a_checkpoint_of_joint_training(save: Callable, donor: SCIEnhancer, tmp_path: Path) -> None:
    """The enhancer is found among a detector's entries, which have an `in_conv` too."""
    state = {f'data_preprocessor.enhancer.{k}': v for k, v in donor.state_dict().items()}
    state = {'backbone.in_conv.0.weight': torch.zeros(1), 'neck.conv.0.bias': torch.ones(2)} | state
    twin = SCIEnhancer(weights=save(dict(state_dict=state, optimizer={}, meta={})))
    assert torch.equal(twin.in_conv.weight, donor.in_conv.weight)


def test_wider_and_deeper(save: Callable, authors_entries: MakeEntries) -> None:
    entries = authors_entries(layers=3, channels=8)
    _assert_holds(SCIEnhancer(layers=3, channels=8, weights=save(entries)), entries)


def test_half_precision_files_load(save: Callable, donor: SCIEnhancer) -> None:
    state = copy.deepcopy(donor).half().state_dict()
    twin = SCIEnhancer(weights=save(state))
    assert twin.in_conv.weight.dtype == torch.float32
    torch.testing.assert_close(twin.in_conv.weight, donor.in_conv.weight, rtol=0, atol=1e-3)


def test_loading_into_a_used_enhancer(save: Callable, donor: SCIEnhancer) -> None:
    """Whatever it keeps for speed is forgotten."""
    path, image = save(donor.state_dict()), torch.rand(1, 3, 30, 30)
    enhancer = SCIEnhancer().eval()
    with torch.no_grad():
        enhancer(image)
        load_enhancer_weights(enhancer, path)
        assert torch.equal(enhancer(image), donor(image))


def test_a_path_object(tmp_path: Path, donor: SCIEnhancer) -> None:
    path = tmp_path / 'weights.pth'
    torch.save(donor.state_dict(), path)
    twin = SCIEnhancer(weights=path)  # type: ignore[arg-type]
    assert torch.equal(twin.in_conv.weight, donor.in_conv.weight)


@pytest.mark.parametrize('kind', [IATEnhancer, ZeroDCEEnhancer])
def test_numbers_that_slow_a_cpu_down_become_zero(kind: Callable, tmp_path: Path) -> None:
    """Only those; without a file the weights are what they were initialised to."""
    slow, small = 1e-40, 2e-38
    torch.manual_seed(0)
    donor = kind()
    values = next(donor.parameters()).data.flatten()
    values[:3] = torch.tensor([slow, -slow, small])
    torch.save(donor.state_dict(), tmp_path / 'file.pth')
    loaded = next(kind(weights=str(tmp_path / 'file.pth')).parameters()).flatten()
    assert loaded[:3].tolist() == [0, 0, pytest.approx(small)]
    assert torch.equal(loaded[3:], values[3:])
