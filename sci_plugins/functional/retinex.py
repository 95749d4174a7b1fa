"""Retinex: an image is reflectance times illumination, so dividing brightens.

A gate says how much an image should be enhanced at all: it opens in the dark.
"""

import torch
from torch import Tensor

#: Lowest illumination of the authors' code; an image brightens 10,000-fold at most.
MIN_ILLUMINATION = 1e-4


def limit_illumination(illumination: Tensor) -> Tensor:
    """Clamp an illumination map to [1e-4, 1], so that division only brightens.

    Args:
        illumination: any shape, any range.

    Returns:
        Same shape, values in [1e-4, 1].
    """
    return illumination.clamp(MIN_ILLUMINATION, 1.0)


def divide_illumination(image: Tensor, illumination: Tensor) -> Tensor:
    """Reflectance ``clamp(image / illumination, 0, 1)``, SCI's enhanced image.

    Args:
        image: RGB in [0, 1], ``(N, 3, H, W)``.
        illumination: same shape, in [1e-4, 1].

    Returns:
        RGB in [0, 1], ``(N, 3, H, W)``.

    Source: SCI (CVPR 2022, arXiv 2204.10137), eq. 1 and ``Network_woCalibrate``
    of the authors' code.
    """
    return (image / illumination).clamp(0.0, 1.0)


#: ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)


def mean_luma(image: Tensor) -> Tensor:
    """Mean BT.601 luma of each image, of its values as they are (not linear light).

    Args:
        image: RGB, ``(N, 3, H, W)``, float, [0, 1].

    Returns:
        ``(N,)``, in [0, 1], in float32 at least. Differentiable.
    """
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    return image.mean(dim=(2, 3)) @ image.new_tensor(_LUMA)


def darkness_gate(luma: Tensor, dark: float, bright: float) -> Tensor:
    """1 up to ``dark``, 0 from ``bright`` on, smooth between: ``t^2 (3 - 2t)``.

    ``t = (bright - luma) / (bright - dark)``, limited to [0, 1]. Exactly 1 and exactly
    0 outside; the derivative is continuous, and 0 at both ends.

    Args:
        luma: any shape, in [0, 1].
        dark: open up to here.
        bright: closed from here on, above ``dark``.

    Returns:
        Same shape, in [0, 1]. Differentiable.

    Raises:
        ValueError: if ``dark`` is not below ``bright``.
    """
    if not dark < bright:
        raise ValueError(f'darkness_gate: dark must be below bright, got {dark!r} and {bright!r}')
    t = ((bright - luma) / (bright - dark)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def blend(image: Tensor, enhanced: Tensor, gate: Tensor) -> Tensor:
    """``(1 - gate) image + gate enhanced``: at 0 and at 1 exactly the one or the other.

    Args:
        image: ``(N, C, H, W)``.
        enhanced: same shape.
        gate: ``(N,)``, in [0, 1].

    Returns:
        Same shape and dtype as ``image``. Differentiable in all three.
    """
    weight = gate.to(image).view(-1, 1, 1, 1).expand_as(image)
    return torch.lerp(image, enhanced.to(image), weight)
