"""Joint training: the enhancer's own loss beside the host's losses."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, check_above
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import RetinexEnhancer
from sci_plugins.registry import HOOKS, HOSTS, MODELS
from sci_plugins.utils.model_parts import inner_preprocessor, unwrap_model

_SMALLEST = 3  # side of an image that has all the neighbours of SCI's smoothness loss


@HOOKS.register_module()
@dataclass(eq=False)
class EnhancementLossHook(Hook):
    """Adds ``loss_enhance_*`` to what the model's ``mode='loss'`` returns ("SCI+").

    Args:
        weight: factor on every term.
        loss: config of a module ``(illumination, image) -> dict of terms``.

    Raises:
        ConfigError: before training, if the model has no enhancer, a frozen one, or one without an
            illumination map.
    """

    weight: float = 1.0
    loss: Any = None

    def __post_init__(self) -> None:
        check_above(0, 'EnhancementLossHook', weight=self.weight)
        self.loss = MODELS.build(self.loss or dict(type='sci_plugins.SCILoss'))

    def before_train(self, runner: Runner) -> None:
        preprocessor: Any = _check_preprocessor(inner_preprocessor(runner.model))
        preprocessor.keep_pairs = True
        self.loss.to(preprocessor.device)
        self._handle: Any = unwrap_model(runner.model).register_forward_hook(self._add_losses)

    def after_train(self, runner: Runner) -> None:
        self._handle.remove()
        inner_preprocessor(runner.model).keep_pairs = False

    def _add_losses(self, model: nn.Module, args: Any, output: Any) -> Any:
        preprocessor: EnhancementMixin = inner_preprocessor(model)
        # Cleared at once: a kept graph costs memory and breaks deepcopy (EMA).
        pairs, preprocessor.kept_pairs = preprocessor.kept_pairs, []
        if not pairs or not isinstance(output, dict):
            return output
        return {**output, **self.enhancement_losses(pairs)}

    def enhancement_losses(self, pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Mean terms of images, each (input, illumination), ``(1, 3, H, W)`` in [0, 1]."""
        terms = [self.loss(_large_enough(light), _large_enough(image)) for image, light in pairs]
        means = {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}
        return {f'loss_enhance_{name}': self.weight * mean for name, mean in means.items()}


def _large_enough(image: Tensor) -> Tensor:
    """Pad images that are too small for a 5x5 neighbourhood: mosaic may leave a single line."""
    height, width = image.shape[-2:]
    missing = (0, max(_SMALLEST - width, 0), 0, max(_SMALLEST - height, 0))
    return F.pad(image, missing, mode='replicate') if any(missing) else image


def _check_preprocessor(preprocessor: Any) -> EnhancementMixin:
    if not isinstance(preprocessor, EnhancementMixin):
        names = [host.enhanced for host in HOSTS.values() if host.enhanced]
        ours = ' or '.join(f"'sci_plugins.{name}'" for name in names)
        got = type(preprocessor).__name__
        lacks = f'a model with an enhancer: set data_preprocessor.type to {ours}; got {got}'
    elif preprocessor.frozen:
        lacks = 'a trainable enhancer: set data_preprocessor.frozen=False'
    elif not isinstance(preprocessor.enhancer, RetinexEnhancer):
        lacks = f'an enhancer with an illumination map, got {type(preprocessor.enhancer).__name__}'
    else:
        return preprocessor
    raise ConfigError(f'EnhancementLossHook needs {lacks}')
