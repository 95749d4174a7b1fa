"""SCI's loss as a module, for the cascade and for training with a detector."""

import torch
from torch import Tensor, nn

from sci_plugins.functional.losses import (
    FIDELITY_WEIGHT,
    ColorMode,
    at_least_float32,
    fidelity_loss,
    guide_colors,
    smoothness_loss,
)
from sci_plugins.registry import MODELS


@MODELS.register_module()
class SCILoss(nn.Module):
    """Weighted fidelity and smoothness of an illumination map.

    Args:
        fidelity_weight: factor of the mean squared difference to the image.
        smoothness_weight: factor of the edge-aware smoothness.
        sigma: width of the smoothness weights; 10 in the authors' code.
        color: ``'official'`` or ``'corrected'``, see
            :func:`sci_plugins.functional.losses.guide_colors`.

    Shape:
        - illumination, image: ``(N, 3, H, W)``, RGB, float
        - output: ``dict(fidelity=scalar, smoothness=scalar)``, weights applied;
          the loss is their sum

    Half precision is computed in float32, with or without autocast: the mean of
    small squared differences would underflow.

    Raises:
        ValueError: if a weight is negative, ``sigma`` is not positive or
            ``color`` is unknown; and what the two functions raise.
    """

    def __init__(
        self,
        fidelity_weight: float = FIDELITY_WEIGHT,
        smoothness_weight: float = 1.0,
        sigma: float = 10.0,
        color: ColorMode = 'official',
    ) -> None:
        super().__init__()
        for name, value in (
            ('fidelity_weight', fidelity_weight),
            ('smoothness_weight', smoothness_weight),
        ):
            if value < 0:
                raise ValueError(f'SCILoss: {name} must not be negative, got {value}')
        if not sigma > 0:
            raise ValueError(f'SCILoss: sigma must be positive, got {sigma}')
        guide_colors(torch.zeros(1, 3, 1, 1), color)  # an unknown name fails here
        self.fidelity_weight = fidelity_weight
        self.smoothness_weight = smoothness_weight
        self.sigma = sigma
        self.color: ColorMode = color

    def forward(self, illumination: Tensor, image: Tensor) -> dict[str, Tensor]:
        with torch.autocast(image.device.type, enabled=False):
            pair = at_least_float32(illumination), at_least_float32(image)
            fidelity = fidelity_loss(*pair)
            smoothness = smoothness_loss(*pair, self.sigma, self.color)
        return dict(
            fidelity=self.fidelity_weight * fidelity,
            smoothness=self.smoothness_weight * smoothness,
        )

    def extra_repr(self) -> str:
        return (
            f'fidelity_weight={self.fidelity_weight}, '
            f'smoothness_weight={self.smoothness_weight}, '
            f'sigma={self.sigma}, color={self.color!r}'
        )
