"""Retinex: an image is reflectance times illumination, so dividing brightens."""

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
