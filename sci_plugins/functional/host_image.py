"""Between a host's images, 8-bit values in its channel order, and RGB in [0, 1].

Each function makes one new image and finishes it in place: at a photograph's size
memory that is touched for the first time costs more than the arithmetic.
"""

import torch
from torch import Tensor


def host_to_rgb(image: Tensor, order: str = 'bgr') -> Tensor:
    """A host's images to RGB float32 in [0, 1].

    Args:
        image: ``(N, 3, H, W)``, uint8 or float on the [0, 255] scale; values
            outside are clamped. Not changed, though a float image in RGB order
            may share memory up to the division.
        order: ``'bgr'`` or ``'rgb'``, the channels of ``image``.

    Returns:
        RGB, float32, [0, 1], same shape, always new memory. Differentiable.
    """
    if order == 'bgr':
        image = image.flip(1)  # while it is small: 8 bits a value
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    return image.float().div(255).clamp_(0, 1)


def rgb_to_host(image: Tensor, order: str = 'bgr') -> Tensor:
    """RGB in [0, 1] to a host's images: float on the [0, 255] scale.

    Args:
        image: ``(N, 3, H, W)``, RGB, any strides. Not changed.
        order: ``'bgr'`` or ``'rgb'``, the channels wanted.

    Returns:
        Same shape and dtype, contiguous, always new memory. Differentiable.
    """
    planes = image.unbind(1)
    return torch.stack(planes[::-1] if order == 'bgr' else planes, dim=1).mul_(255)
