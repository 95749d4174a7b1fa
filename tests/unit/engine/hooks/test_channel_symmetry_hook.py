"""Estimators that treat red, green and blue alike."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from sci_plugins.engine.hooks.channel_symmetry_hook import symmetrize_channels
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer
from tests.tiny_training import make_config, train


def test_exchanging_channels_exchanges_those_of_the_output() -> None:
    enhancer = SCIEnhancer().eval()
    image = torch.rand(1, 3, 8, 8)
    order = [2, 0, 1]
    assert not torch.allclose(enhancer(image)[:, order], enhancer(image[:, order]))
    symmetrize_channels(enhancer)
    torch.testing.assert_close(enhancer(image)[:, order], enhancer(image[:, order]))


def test_it_averages() -> None:
    layer = nn.Conv2d(3, 3, 3)
    before = copy.deepcopy(layer)
    symmetrize_channels(layer)
    torch.testing.assert_close(layer.weight.sum((0, 1)), before.weight.sum((0, 1)))
    torch.testing.assert_close(layer.bias.sum(), before.bias.sum())


def test_projecting_again_changes_no_bit() -> None:
    """A resumed run projects once more than one that was not interrupted."""
    for seed in range(20):
        torch.manual_seed(seed)
        enhancer = SCIEnhancer()
        with torch.no_grad():
            enhancer.block_norm.running_var.uniform_(0.1, 3)
        symmetrize_channels(enhancer)
        once = copy.deepcopy(enhancer.state_dict())
        symmetrize_channels(enhancer)
        for key, value in enhancer.state_dict().items():
            assert torch.equal(value, once[key]), key


def test_other_widths_are_refused() -> None:
    with pytest.raises(ConfigError, match='channels=3'):
        symmetrize_channels(SCIEnhancer(channels=4))


def test_a_wrong_module(tmp_path: Path) -> None:
    hook = dict(type='sci_plugins.ChannelSymmetryHook', module='nothing')
    with pytest.raises(ConfigError, match="has no module 'nothing'"):
        train(make_config(tmp_path, custom_hooks=[hook]))
