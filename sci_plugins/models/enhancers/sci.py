"""SCI's illumination estimator: the only block that inference needs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.conv_norm import apply_conv, apply_conv_norm_relu
from sci_plugins.functional.kernels.sci_fused import KINDS, enhance_fused, make
from sci_plugins.functional.retinex import limit_illumination
from sci_plugins.functional.sci_inference import FoldedSCI, enhance_folded, fold_sci
from sci_plugins.functional.tensors import is_recorded
from sci_plugins.models.enhancers import base
from sci_plugins.models.enhancers.base import Enhanced, RetinexEnhancer
from sci_plugins.models.enhancers.weights import load_enhancer_weights
from sci_plugins.registry import MODELS


@MODELS.register_module()
class SCIEnhancer(RetinexEnhancer):
    """Self-Calibrated Illumination: three 3x3 convolutions and a division.

    ``f = relu(conv(x))``; ``layers`` times, with one shared block, ``f = f + relu(bn(conv(f)))``;
    ``illumination = clamp(sigmoid(conv(f)) + x, 1e-4, 1)``; ``enhanced = clamp(x / illumination, 0,
    1)``.

    Args:
        layers: how often the shared residual block is applied, 0 to 100. The authors' weights have
            1.
        channels: hidden width, at most 1024; the authors' weights have 3. ``None``: no hidden
            layer, one convolution from the image to the illumination (chain 3-3); ``layers`` must
            be 0 then.
        weights: ``'official/easy'``, ``'official/medium'`` or ``'official/difficult'`` (the
            authors' files, downloaded once and checked), ``'sci_plugins/NAME'`` (files of this
            package), or a path. ``None`` initialises as the authors do, see
            :func:`reset_parameters`.

    Raises:
        ConfigError: if ``layers`` or ``channels`` is out of range, or ``layers`` is not 0 where
            there is no hidden layer.
        CheckpointError: if ``weights`` cannot be loaded in full.

    Source: Ma et al., "Toward Fast, Flexible, and Robust Low-Light Image Enhancement", CVPR 2022,
    arXiv 2204.10137; github.com/vis-opt-group/SCI.
    """

    machine_code = KINDS

    def __init__(
        self, layers: int = 1, channels: int | None = 3, weights: str | None = None
    ) -> None:
        super().__init__()
        check_at_least(0, 'SCIEnhancer', most=base.MAX_LAYERS, layers=layers)
        if channels is not None:
            check_at_least(1, 'SCIEnhancer', most=base.MAX_CHANNELS, channels=channels)
        elif layers > 0:
            wish = 'channels must be an int of at least 1, and None only if layers=0'
            raise ConfigError(f'SCIEnhancer: {wish}, got None with layers={layers}')
        self.layers, self.channels = layers, channels
        if channels is not None:
            self.in_conv = nn.Conv2d(3, channels, 3, padding=1)
            # One block, applied `layers` times: the authors share its parameters.
            self.block_conv = nn.Conv2d(channels, channels, 3, padding=1)
            self.block_norm = nn.BatchNorm2d(channels)
        self.out_conv = nn.Conv2d(channels or 3, 3, 3, padding=1)
        base.reset_parameters(self)
        load_enhancer_weights(self, weights)

    @property
    def receptive_radius(self) -> int:
        """One pixel per 3x3 convolution."""
        return 1 if self.channels is None else 2 + self.layers

    def estimate_illumination(self, image: Tensor) -> Tensor:
        features = image
        if self.channels is not None:
            features = F.relu(apply_conv(self.in_conv, image))
        for _ in range(self.layers):
            layer = self.block_conv, self.block_norm
            features = apply_conv_norm_relu(features, layer, shortcut=features)
        return limit_illumination(torch.sigmoid(apply_conv(self.out_conv, features)) + image)

    def illuminate(self, image: Tensor) -> Enhanced:
        self.check_input(image)
        if self.folds(image):
            enhanced, light = enhance_folded(image, self._folded(), illumination=True)
            return Enhanced(enhanced, light)  # type: ignore[arg-type]
        return super().illuminate(image)

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if self.folds(image):
            return enhance_folded(image, self._folded())[0]
        return super().illuminate(image).image

    def enhance_bytes(self, source: Tensor, target: Tensor, **how: Any) -> bool:
        is_plain = type(self).forward is SCIEnhancer.forward
        if not is_plain or self._forward_hooks or self._forward_pre_hooks:
            return False
        if not self.folds(torch.empty(0, device=source.device)):
            return False
        folded = self._folded()
        with torch.no_grad():
            return folded.fuses and enhance_fused(source, target, folded[:3], **how)

    def folds(self, image: Tensor) -> bool:
        """Whether ``image`` takes the fast path, the same function up to rounding.

        For float images on a CPU or CUDA with BatchNorm in eval mode and plain hidden layers,
        without gradients, hooks, autocast, tracing or compiling.
        """
        return (
            type(image) is Tensor
            and image.dtype in (torch.float32, torch.float64)
            and image.device.type in ('cpu', 'cuda')
            and self.channels is not None
            and self._has_plain_layers(image)
            and unpack_dual(image).tangent is None
            and not base.needs_gradient(self, image)
            and not is_recorded()
            and not torch.is_autocast_enabled(image.device.type)
        )

    def _has_plain_layers(self, image: Tensor) -> bool:
        norm = self.block_norm
        convolutions = (self.in_conv, self.block_conv, self.out_conv)
        # A hook has to see what its layer sees.
        hooks = (each._forward_hooks or each._forward_pre_hooks for each in (*convolutions, norm))
        return (
            all(type(layer) is nn.Conv2d for layer in convolutions)
            and type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm)
            and not norm.training
            and norm.running_mean is not None
            and image.dtype == self.in_conv.weight.dtype
            and image.device == self.in_conv.weight.device
            and not any(hooks)
        )

    def _folded(self) -> FoldedSCI:
        parts = self.in_conv, self.block_conv, self.block_norm, self.out_conv
        with torch.no_grad():
            return fold_sci(*parts, self.layers)


def prepare_kernels(module: nn.Module) -> None:
    """Have the machine code ready before the first image, so that all images take the same way."""
    make(*(code for each in module.modules() for code in getattr(each, 'machine_code', ())))
