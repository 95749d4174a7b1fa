"""The contract of everything that can stand in front of a host model."""

from abc import ABCMeta, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from sci_plugins.functional.retinex import divide_illumination


class Enhanced(NamedTuple):
    """What a Retinex enhancer gives: both ``(N, 3, H, W)``, both in [0, 1]."""

    image: Tensor
    illumination: Tensor


class BaseEnhancer(nn.Module, metaclass=ABCMeta):
    """RGB image in, RGB image of the same size out.

    Shape:
        - input: ``(N, 3, H, W)``, RGB, float, values in [0, 1]
        - output: same shape, dtype, channel order and range

    A subclass implements :meth:`forward`, differentiable where it can be, and
    keeps images of one batch independent of one another in eval mode.
    """

    @property
    def receptive_radius(self) -> int | None:
        """How far, in pixels, an output pixel looks to each side.

        Tiles that overlap by this much give the same as the whole image.
        ``None``: it depends on the whole image, which then cannot be tiled.
        """
        return None

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch of images, ``(N, 3, H, W)`` RGB in [0, 1]."""

    def check_input(self, image: Tensor) -> None:
        """Refuse what is not a float ``(N, 3, H, W)`` tensor.

        Raises:
            TypeError: if the dtype is not a floating point type.
            ValueError: if the shape is not ``(N, 3, H, W)``.
        """
        name = type(self).__name__
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(
                f'{name} expects an RGB image of shape (N, 3, H, W), got {tuple(image.shape)}'
            )
        if not image.is_floating_point():
            raise TypeError(f'{name} expects a float image in [0, 1], got dtype {image.dtype}')


class RetinexEnhancer(BaseEnhancer):
    """An enhancer that estimates an illumination map and divides by it."""

    @abstractmethod
    def estimate_illumination(self, image: Tensor) -> Tensor:
        """Illumination in [1e-4, 1], ``(N, 3, H, W)``, of an image in [0, 1]."""

    def illuminate(self, image: Tensor) -> Enhanced:
        """Enhanced image and illumination of ``image``, ``(N, 3, H, W)`` in [0, 1]."""
        self.check_input(image)
        illumination = self.estimate_illumination(image)
        return Enhanced(divide_illumination(image, illumination), illumination)

    def forward(self, image: Tensor) -> Tensor:
        return self.illuminate(image).image
