"""SCI's losses and the exposure loss as modules, for the cascade and joint training."""

import torch
from torch import Tensor, nn

from sci_plugins.errors import check_above, check_at_least
from sci_plugins.functional import losses
from sci_plugins.functional.losses import FIDELITY_WEIGHT, ColorMode, at_least_float32
from sci_plugins.registry import MODELS


class _Loss(nn.Module):
    """A loss of RGB float images ``(N, 3, H, W)``: a scalar."""

    def extra_repr(self) -> str:
        own = (item for item in vars(self).items() if item[0] not in vars(nn.Module()))
        return ', '.join(f'{name}={value!r}' for name, value in own)


@MODELS.register_module()
class FidelityLoss(_Loss):
    """Weighted :func:`sci_plugins.functional.losses.fidelity_loss`, at least float32.

    Raises:
        ValueError: if ``weight`` is negative.
    """

    def __init__(self, weight: float = FIDELITY_WEIGHT) -> None:
        super().__init__()
        check_at_least(0.0, 'FidelityLoss', weight=weight)
        self.weight = weight

    def forward(self, illumination: Tensor, image: Tensor) -> Tensor:
        with torch.autocast(image.device.type, enabled=False):
            pair = at_least_float32(illumination), at_least_float32(image)
            return self.weight * losses.fidelity_loss(*pair)


@MODELS.register_module()
class SmoothnessLoss(_Loss):
    """Weighted :func:`sci_plugins.functional.losses.smoothness_loss`, at least float32.

    Raises:
        ValueError: if ``weight`` is negative, ``sigma`` is not positive or ``color`` is unknown.
    """

    def __init__(
        self, weight: float = 1.0, sigma: float = 10.0, color: ColorMode = 'official'
    ) -> None:
        super().__init__()
        check_at_least(0.0, 'SmoothnessLoss', weight=weight)
        check_above(0, 'SmoothnessLoss', sigma=sigma)
        losses.guide_colors(torch.zeros(1, 3, 1, 1), color)  # an unknown name fails here
        self.weight, self.sigma = weight, sigma
        self.color: ColorMode = color

    def forward(self, illumination: Tensor, image: Tensor) -> Tensor:
        pair = at_least_float32(illumination), at_least_float32(image)
        return self.weight * losses.smoothness_loss(*pair, self.sigma, self.color)


@MODELS.register_module()
class SCILoss(nn.Module):
    """Weighted fidelity and smoothness of an illumination map.

    Args:
        fidelity_weight, smoothness_weight: of :class:`FidelityLoss` and :class:`SmoothnessLoss`.
        sigma, color: see :func:`sci_plugins.functional.losses.smoothness_loss`.

    Shape:
        - illumination, image: ``(N, 3, H, W)``, RGB, float; half precision is computed in float32
        - output: ``dict(fidelity=scalar, smoothness=scalar)``, weighted; the loss is their sum

    Raises:
        ValueError: if a weight is negative, ``sigma`` is not positive or ``color`` is unknown; and
            what the two functions raise.
    """

    def __init__(
        self,
        fidelity_weight: float = FIDELITY_WEIGHT,
        smoothness_weight: float = 1.0,
        sigma: float = 10.0,
        color: ColorMode = 'official',
    ) -> None:
        super().__init__()
        weights = dict(fidelity_weight=fidelity_weight, smoothness_weight=smoothness_weight)
        check_at_least(0.0, 'SCILoss', **weights)
        self.fidelity = FidelityLoss(fidelity_weight)
        self.smoothness = SmoothnessLoss(smoothness_weight, sigma, color)

    def forward(self, illumination: Tensor, image: Tensor) -> dict[str, Tensor]:
        pair = illumination, image
        return dict(fidelity=self.fidelity(*pair), smoothness=self.smoothness(*pair))


@MODELS.register_module()
class ExposureLoss(_Loss):
    """Weighted :func:`sci_plugins.functional.losses.exposure_loss`.

    Args:
        target: mean brightness that dark images should reach, in (0, 1); brighter ones should keep
            theirs.
        weight: factor.

    Raises:
        ConfigError: if an argument is out of range.
    """

    def __init__(self, target: float = 0.45, weight: float = 100.0) -> None:
        super().__init__()
        check_above(0, 'ExposureLoss', below=1, target=target)
        check_above(0, 'ExposureLoss', weight=weight)
        self.target, self.weight = target, weight

    def forward(self, enhanced: Tensor, image: Tensor) -> Tensor:
        return self.weight * losses.exposure_loss(enhanced, image, self.target)
