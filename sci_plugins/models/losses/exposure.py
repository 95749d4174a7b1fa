"""The exposure loss as a module, for training SCI towards a brightness."""

from torch import Tensor, nn

from sci_plugins.errors import ConfigError
from sci_plugins.functional.losses import exposure_loss
from sci_plugins.registry import MODELS


@MODELS.register_module()
class ExposureLoss(nn.Module):
    """Weighted :func:`sci_plugins.functional.losses.exposure_loss`.

    Args:
        target: mean brightness that dark images should reach, in (0, 1); brighter
            ones should keep theirs.
        weight: factor.

    Shape:
        - enhanced, image: RGB, ``(N, 3, H, W)``, in [0, 1]
        - output: a scalar

    Raises:
        ConfigError: if an argument is out of range.
    """

    def __init__(self, target: float = 0.45, weight: float = 100.0) -> None:
        super().__init__()
        if not 0 < target < 1:
            raise ConfigError(f'ExposureLoss: target must be in (0, 1), got {target!r}')
        if not weight > 0:
            raise ConfigError(f'ExposureLoss: weight must be above 0, got {weight!r}')
        self.target = target
        self.weight = weight

    def forward(self, enhanced: Tensor, image: Tensor) -> Tensor:
        return self.weight * exposure_loss(enhanced, image, self.target)

    def extra_repr(self) -> str:
        return f'target={self.target}, weight={self.weight}'
