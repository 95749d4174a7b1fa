"""Training SCI without a colour cast: red, green and blue are treated alike."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.registry import HOOKS
from sci_plugins.utils.model_parts import find_part


def symmetrize_channels(module: nn.Module) -> None:
    """Average a three-channel estimator over all orders of its channels, in place.

    Afterwards a 3x3 convolution has one kernel for a channel with itself and one
    for a channel with another, and exchanging two channels of the input exchanges
    the same two of the output.

    Args:
        module: convolutions of 3 to 3 channels and BatchNorm of 3.

    Raises:
        ConfigError: if a layer has another number of channels.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            _symmetrize(layer)


@torch.no_grad()
def _symmetrize(layer: nn.Conv2d | nn.BatchNorm2d) -> None:
    if set(_channels(layer)) != {3}:
        raise ConfigError(
            f'channel symmetry needs layers of 3 channels, got {layer}: set channels=3'
        )
    if isinstance(layer, nn.Conv2d):
        own = torch.eye(3, dtype=torch.bool, device=layer.weight.device)
        # In float64 equal values keep their mean to the bit, so that projecting
        # again when a run is resumed changes nothing.
        weight = layer.weight.double()
        same, other = weight[own].mean(0), weight[~own].mean(0)
        layer.weight.copy_(torch.where(own[..., None, None], same, other))
        values: Sequence[Any] = [layer.bias]
    else:
        values = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    for value in values:
        if value is not None:
            value.fill_(value.double().mean())


def _channels(layer: nn.Conv2d | nn.BatchNorm2d) -> tuple[int, ...]:
    if isinstance(layer, nn.Conv2d):
        return (layer.in_channels, layer.out_channels)
    return (layer.num_features,)


@HOOKS.register_module()
class ChannelSymmetryHook(Hook):
    """Keeps the estimator symmetric in red, green and blue (projected gradient).

    SCI's losses leave the balance of the channels open, and training on LOL from
    scratch ends in a red or magenta cast (the authors' issue 29, and here). After
    each step the weights are projected onto those that treat channels alike.

    Args:
        module: path of the estimator inside the model.

    Raises:
        ConfigError: before training, if there is no such module or it has layers
            of other than three channels.
    """

    priority = 'HIGH'

    def __init__(self, module: str = 'estimator') -> None:
        self.module = module

    def before_train(self, runner: Runner) -> None:
        self._project(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._project(runner)

    def _project(self, runner: Runner) -> None:
        symmetrize_channels(find_part(runner.model, self.module, nn.Module, 'ChannelSymmetryHook'))
