"""Exposure: how bright an image is, and how bright it should become."""

import torch
from torch import Tensor


def mean_brightness(image: Tensor) -> Tensor:
    """Mean over pixels and channels of each image.

    Args:
        image: RGB, ``(N, 3, H, W)``, in [0, 1].

    Returns:
        ``(N,)``, in [0, 1], differentiable.
    """
    return image.mean(dim=(1, 2, 3))


def exposure_loss(enhanced: Tensor, image: Tensor, target: float = 0.45) -> Tensor:
    """Squared distance of the enhanced brightness to where it should be.

    A dark image should reach the target; one that is brighter already should keep
    its brightness: ``mean((m(enhanced) - max(m(image), target))^2)`` with
    ``m`` of :func:`mean_brightness`. SCI's own losses say nothing about brightness:
    how bright its results are depends on when training stops.

    Args:
        enhanced: RGB, ``(N, 3, H, W)``, in [0, 1].
        image: what it was made from, same shape.
        target: mean brightness, in (0, 1).

    Returns:
        A scalar, differentiable in ``enhanced``.

    Raises:
        ValueError: if the shapes differ or are not ``(N, 3, H, W)``, or the target
            is not in (0, 1).

    Source: the exposure control loss of Zero-DCE (Guo et al., CVPR 2020, eq. 6),
    over whole images instead of 16x16 regions and squared, with the maximum added.
    """
    if enhanced.shape != image.shape or image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(
            'exposure_loss: enhanced and image must have the same shape (N, 3, H, W), '
            f'got {tuple(enhanced.shape)} and {tuple(image.shape)}'
        )
    if not 0 < target < 1:
        raise ValueError(f'exposure_loss: target must be in (0, 1), got {target!r}')
    wanted = mean_brightness(image).clamp(min=target)
    return torch.mean((mean_brightness(enhanced) - wanted) ** 2)
