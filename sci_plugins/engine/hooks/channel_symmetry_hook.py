"""Train SCI without a colour cast: treat red, green and blue alike."""

from dataclasses import dataclass
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.registry import HOOKS
from sci_plugins.utils.model_parts import find_part


@torch.no_grad()
def symmetrize_channels(module: nn.Module) -> None:
    """Average an estimator over all permutations of its channels, in place.

    Afterwards swapping two channels of the input swaps the same two of the output. A convolution
    or BatchNorm with another number of channels than 3 raises ``ConfigError``.
    """
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            continue
        is_conv = isinstance(layer, nn.Conv2d)
        channels = {layer.in_channels, layer.out_channels} if is_conv else {layer.num_features}
        if channels != {3}:
            wish = 'layers of 3 channels'
            raise ConfigError(f'channel symmetry needs {wish}, got {layer}: set channels=3')
        values: list[Any] = [layer.bias]
        if is_conv:
            own = torch.eye(3, dtype=torch.bool, device=layer.weight.device)
            # In float64 the mean of equal float32 values is that value, so projecting again when a
            # run is resumed changes nothing.
            weight = layer.weight.double()
            same, other = weight[own].mean(0), weight[~own].mean(0)
            layer.weight.copy_(torch.where(own[..., None, None], same, other))
        else:
            values += [layer.weight, layer.running_mean, layer.running_var]
        for value in values:
            if value is not None:
                value.fill_(value.double().mean())


@HOOKS.register_module()
@dataclass(eq=False)
class ChannelSymmetryHook(Hook):
    """Keeps the estimator symmetric in red, green and blue (projected gradient).

    SCI's losses do not constrain the colour balance: training on LOL from scratch ends in a red or
    magenta cast (the authors' issue 29). After each step the weights are projected onto those that
    treat all channels alike.

    Args:
        module: path of the estimator inside the model.

    Raises:
        ConfigError: before training, without such a module or if a layer has not three channels.
    """

    priority = 'HIGH'

    module: str = 'estimator'

    def before_train(self, runner: Runner, *_: Any, **__: Any) -> None:
        symmetrize_channels(find_part(runner.model, self.module, nn.Module, 'ChannelSymmetryHook'))

    after_train_iter = before_train
