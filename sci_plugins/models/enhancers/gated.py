"""A gate in front of any other enhancer, which leaves bright images alone."""

from typing import Any

from torch import Tensor

from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.retinex import blend, darkness_gate, mean_luma
from sci_plugins.functional.tensors import is_recorded
from sci_plugins.models.enhancers.base import BaseEnhancer, needs_gradient
from sci_plugins.models.enhancers.build import EnhancerLike, build_enhancer
from sci_plugins.registry import MODELS


@MODELS.register_module()
class GatedEnhancer(BaseEnhancer):
    """Enhances dark images, leaves bright ones untouched, blends between.

    The mean luma of each image sets a gate: up to ``dark`` the result is the enhanced image, from
    ``bright`` on the original, both to the bit; between, a smooth ramp mixes the two.
    Differentiable, through the gate as well. On a CPU, a bright image costs no more than its mean.

    One gate per image, not per pixel: a weight for each pixel would be another tone curve, which
    leaves the dark around a lamp at night and lights a shadow by day. The gate does not see noise:
    a dark and noisy image is enhanced with its noise.

    Args:
        enhancer: see :func:`build_enhancer`; ``'gated/sci/official/medium'`` names both.
        dark: mean luma, in [0, 1], up to which the gate is open. By the defaults, 97 % of 500
            images by day (facemask, CamVid) are above ``bright``, at a twentieth of their light 94
            % below ``dark``, as are 98 % of LOL's low-light photographs.
        bright: mean luma above ``dark`` from which on the gate is closed.

    Raises:
        ConfigError: if limits are out of range or in the wrong order, or ``enhancer`` names none.
    """

    def __init__(self, enhancer: EnhancerLike, dark: float = 0.16, bright: float = 0.25) -> None:
        super().__init__()
        check_at_least(0.0, 'GatedEnhancer', most=1, dark=dark, bright=bright)
        if not dark < bright:
            told = f'dark must be below bright, got {dark!r} and {bright!r}'
            raise ConfigError(f'GatedEnhancer: {told}')
        self.dark, self.bright = dark, bright
        self.enhancer = build_enhancer(enhancer)

    def gate(self, image: Tensor) -> Tensor:
        """How much of the enhanced image each image gets: ``(N,)``, in [0, 1]."""
        return darkness_gate(mean_luma(image), self.dark, self.bright)

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        gate = self.gate(image)
        return image if self.may_skip(gate) else blend(image, self.enhancer(image), gate)

    def may_skip(self, gate: Tensor) -> bool:
        """Whether no image needs the enhancer: on a CPU, for a GPU would have to be waited for.

        Not while a graph is recorded, nor if parameters need a gradient: parallel training fails if
        only some ranks use a parameter.
        """
        may_look = gate.is_cpu and not is_recorded() and not needs_gradient(self)
        return may_look and not bool(gate.any())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Also takes a checkpoint of the enhancer alone (of a model without the gate)."""
        for name in self.enhancer.state_dict():
            bare, own = f'{prefix}{name}', f'{prefix}enhancer.{name}'
            if own not in state_dict and bare in state_dict:
                state_dict[own] = state_dict.pop(bare)
        super()._load_from_state_dict(state_dict, prefix, *rest)
