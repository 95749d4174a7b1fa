"""An estimator that treats red, green and blue alike, while it trains."""

import copy
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from sci_plugins.engine.hooks import ChannelSymmetryHook
from sci_plugins.engine.hooks.channel_symmetry_hook import symmetrize_channels
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.utils.images import write_image
from tests.plain_sci import visible_weights

ORDERS = list(itertools.permutations(range(3)))


def _estimator() -> SCIEnhancer:
    estimator = SCIEnhancer()
    estimator.load_state_dict(visible_weights())
    return estimator.eval()


def _is_symmetric(estimator: nn.Module, tolerance: float = 1e-6) -> bool:
    """Whether every order of the input's channels is that order of the output's."""
    image = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = estimator(image)
        return all(
            torch.allclose(estimator(image[:, order]), wanted[:, order], rtol=0, atol=tolerance)
            for order in map(list, ORDERS)
        )


def _mean_over_orders(weight: Tensor) -> Tensor:
    """The projection by its definition: the mean over both axes in all six orders."""
    if weight.ndim == 1:
        return torch.stack([weight[list(order)] for order in ORDERS]).mean(0)
    turned = [weight[list(order)][:, list(order)] for order in ORDERS]
    return torch.stack(turned).mean(0)


def test_it_is_the_mean_over_all_orders() -> None:
    estimator = _estimator()
    assert not _is_symmetric(estimator, 1e-2)
    before = {name: value.clone() for name, value in estimator.state_dict().items()}
    symmetrize_channels(estimator)
    assert _is_symmetric(estimator)
    for name, value in estimator.state_dict().items():
        if name.endswith('num_batches_tracked'):
            assert torch.equal(value, before[name])
        else:
            torch.testing.assert_close(value, _mean_over_orders(before[name]))


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


def test_layers_without_a_bias_or_statistics() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 3, 1, bias=False),
        nn.BatchNorm2d(3, affine=False),
        nn.BatchNorm2d(3, track_running_stats=False),
    )
    symmetrize_channels(module)
    assert module[0].weight[0, 1] == module[0].weight[2, 0]


@pytest.mark.parametrize('layer', [nn.Conv2d(3, 16, 3), nn.Conv2d(4, 3, 3), nn.BatchNorm2d(16)])
def test_other_numbers_of_channels(layer: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r'3 channels, got .*channels=3'):
        symmetrize_channels(layer)


def _config(folder: Path, **settings: Any) -> Config:
    pixels = np.random.default_rng(0).integers(0, 60, (12, 12, 3), dtype=np.uint8)
    write_image(folder / 'images' / 'a.png', pixels * np.uint8([4, 1, 2]))
    config = dict(
        model=dict(
            type='sci_plugins.SelfCalibratedLearner',
            estimator=dict(type='sci_plugins.SCIEnhancer'),
            calibrator=dict(type='sci_plugins.SelfCalibrator', channels=4),
        ),
        work_dir=str(folder / 'work'),
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='sci_plugins.LowLightFolder', data_root=str(folder / 'images')),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.05)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False)),
        experiment_name=folder.name,
        log_level='WARNING',
    )
    return Config({**config, **settings})


@pytest.mark.parametrize('hooked', [False, True])
def test_training_keeps_the_symmetry(tmp_path: Path, hooked: bool) -> None:
    hooks = [dict(type='sci_plugins.ChannelSymmetryHook')] if hooked else []
    runner = Runner.from_cfg(_config(tmp_path, custom_hooks=hooks))
    runner.model.estimator.load_state_dict(visible_weights())
    runner.train()
    assert _is_symmetric(runner.model.estimator.eval(), 1e-5) == hooked
    # Projected before the checkpoint is written, so the file has it, too.
    content = torch.load(tmp_path / 'work' / 'iter_3.pth', weights_only=False)
    weight = content['state_dict']['estimator.in_conv.weight']
    assert torch.equal(weight, runner.model.estimator.in_conv.weight)


def test_in_front_of_a_detector_and_in_a_wrapper() -> None:
    model = nn.Module()
    model.data_preprocessor = nn.Module()
    model.data_preprocessor.enhancer = _estimator()
    hook = ChannelSymmetryHook('data_preprocessor.enhancer')
    hook.after_train_iter(SimpleNamespace(model=nn.DataParallel(model)), 0)
    assert _is_symmetric(model.data_preprocessor.enhancer)


@pytest.mark.parametrize('name', ['estimator', 'data_preprocessor.enhancer'])
def test_a_model_without_the_module(name: str) -> None:
    runner = SimpleNamespace(model=nn.Linear(1, 1))
    with pytest.raises(ConfigError, match=f"Linear has no module '{name}'"):
        ChannelSymmetryHook(name).before_train(runner)
