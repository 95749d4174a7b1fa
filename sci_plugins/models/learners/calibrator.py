"""SCI's self-calibrator: used while training, thrown away afterwards."""

import torch
from torch import Tensor, nn

from sci_plugins.errors import ConfigError
from sci_plugins.functional.conv_norm import (
    apply_conv,
    apply_conv_norm_relu,
    apply_residual_block,
)
from sci_plugins.registry import MODELS


@MODELS.register_module()
class SelfCalibrator(nn.Module):
    """Turns a stage's enhanced image into the change of the next stage's input.

    ``f = relu(bn(conv(r)))``; ``layers`` times, with one shared block,
    ``f = f + relu(bn(conv(relu(bn(conv(f))))))``; the result is
    ``r - sigmoid(conv(f))``.

    Args:
        layers: how often the shared block is applied; the authors use 3.
        channels: hidden width; the authors use 16.

    Shape:
        - input: enhanced image, ``(N, 3, H, W)``, RGB, float, in [0, 1]
        - output: same shape, in [-1, 1]; the next input is image + output

    Raises:
        ConfigError: if ``layers`` or ``channels`` is out of range.

    Source: SCI (CVPR 2022, arXiv 2204.10137), `CalibrateNetwork` of the
    authors' code.
    """

    def __init__(self, layers: int = 3, channels: int = 16) -> None:
        super().__init__()
        for name, value, least in (('layers', layers, 0), ('channels', channels, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(
                    f'SelfCalibrator: {name} must be an int of at least {least}, '
                    f'got {value!r}'
                )
        self.layers = layers
        self.channels = channels
        self.in_conv = nn.Conv2d(3, channels, 3, padding=1)
        self.in_norm = nn.BatchNorm2d(channels)
        # One block, applied `layers` times: the authors share its parameters.
        self.block_conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block_norm1 = nn.BatchNorm2d(channels)
        self.block_conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block_norm2 = nn.BatchNorm2d(channels)
        self.out_conv = nn.Conv2d(channels, 3, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as the authors do (N(0, 0.02), BatchNorm N(1, 0.02), biases 0)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, enhanced: Tensor) -> Tensor:
        features = apply_conv_norm_relu(self.in_conv, self.in_norm, enhanced)
        first = self.block_conv1, self.block_norm1
        second = self.block_conv2, self.block_norm2
        for _ in range(self.layers):
            features = apply_residual_block(first, second, features)
        return enhanced - torch.sigmoid(apply_conv(self.out_conv, features))

    def extra_repr(self) -> str:
        return f'layers={self.layers}, channels={self.channels}'
