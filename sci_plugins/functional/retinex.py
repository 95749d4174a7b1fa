"""Retinex: an image is reflectance times illumination, so dividing by illumination brightens it.

A gate controls how much an image is enhanced: it opens in the dark.
"""

import torch
from torch import Tensor

from sci_plugins.functional.image_quality import LUMA
from sci_plugins.functional.tensors import constant

MIN_ILLUMINATION = 1e-4  #: of the authors' code; an image brightens 10,000-fold at most


def limit_illumination(illumination: Tensor) -> Tensor:
    """Clamp an illumination map of any shape to [1e-4, 1], so that division only brightens."""
    return illumination.clamp(MIN_ILLUMINATION, 1.0)


def divide_illumination(image: Tensor, illumination: Tensor) -> Tensor:
    """Reflectance ``clamp(image / illumination, 0, 1)``, SCI's enhanced image.

    Image and result are RGB in [0, 1], ``(N, 3, H, W)``, the illumination in [1e-4, 1]. Source: SCI
    (CVPR 2022, arXiv 2204.10137), eq. 1 and ``Network_woCalibrate`` of the authors' code.
    """
    return (image / illumination).clamp(0.0, 1.0)


def mean_luma(image: Tensor) -> Tensor:
    """Mean BT.601 luma of each image, of the pixel values, not of linear light. Differentiable.

    Of RGB ``(N, 3, H, W)``, float, [0, 1]: ``(N,)``, in [0, 1], at least float32.
    """
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    return image.mean(dim=(2, 3)) @ constant(LUMA, image)


def darkness_gate(luma: Tensor, dark: float, bright: float) -> Tensor:
    """Exactly 1 up to ``dark``, exactly 0 from ``bright``, smooth in between: ``t^2 (3 - 2t)``.

    ``t = (bright - luma) / (bright - dark)``, clamped to [0, 1]: the derivative is continuous, and
    0 at both ends. Luma has any shape; a ValueError if ``dark`` is not below ``bright``.
    """
    if not dark < bright:
        raise ValueError(f'darkness_gate: dark must be below bright, got {dark!r} and {bright!r}')
    t = ((bright - luma) / (bright - dark)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def blend(image: Tensor, enhanced: Tensor, gate: Tensor) -> Tensor:
    """``(1 - gate) image + gate enhanced``; exactly one of the two where the gate is 0 or 1.

    Of ``(N, C, H, W)`` and ``(N,)`` in [0, 1]; dtype of ``image``, differentiable in all three.
    """
    weight = gate.to(image).view(-1, 1, 1, 1).expand_as(image)
    return torch.lerp(image, enhanced.to(image), weight)
