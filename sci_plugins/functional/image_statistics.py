"""Three numbers that show how an enhancement goes wrong: too pale, too white, tinted."""

import torch
from torch import Tensor

#: From here on a value is white in an image of 8 bits.
_WHITE = 254.5 / 255


def mean_brightness(image: Tensor) -> Tensor:
    """Mean over all channels and pixels.

    Args:
        image: RGB, ``(..., 3, H, W)``, float in [0, 1].

    Returns:
        ``(...)``, in [0, 1].
    """
    return image.mean(dim=(-3, -2, -1))


def clipped_share(image: Tensor) -> Tensor:
    """Share of the pixels of which a channel is white: detail that is lost.

    Args:
        image: RGB, ``(..., 3, H, W)``, float in [0, 1].

    Returns:
        ``(...)``, in [0, 1].
    """
    return (image.amax(dim=-3) >= _WHITE).to(image.dtype).mean(dim=(-2, -1))


def color_cast(before: Tensor, after: Tensor) -> Tensor:
    """How far the balance of red, green and blue has moved.

    The largest change, over the channels, of ``mean of the channel / mean of all``.
    0: the balance is kept; 1: a channel weighs twice as much, or none at all.

    Args:
        before: RGB, ``(..., 3, H, W)``, float in [0, 1].
        after: the same image enhanced, same shape.

    Returns:
        ``(...)``, 0 to 3; NaN for a black image, which has no balance.
    """
    return (_balance(after) - _balance(before)).abs().amax(dim=-1)


def _balance(image: Tensor) -> Tensor:
    means = image.mean(dim=(-2, -1))
    return means / torch.mean(means, dim=-1, keepdim=True)
