"""Image quality without a reference.

Levels are those of the saved 8-bit file: floats in [0, 1] are truncated to ``floor(255 v)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  #: ITU-R BT.601 luma
_ROWS = 1024  # pixels compared at a time: bounds the memory of the lightness order
_WHITE = 254.5 / 255  # from here on a value rounds to white in 8 bits


def to_levels(image: Tensor) -> Tensor:
    """``floor(255 v)`` as floats in [0, 255]; values outside [0, 1] are clamped."""
    return (image.float().clamp(0, 1) * 255).floor()


def gray_levels(image: Tensor) -> Tensor:
    """Luma by ITU-R BT.601, rounded: ``(N, 3, H, W)`` in [0, 1] to ``(N, H, W)``, 0–255.

    Another shape is a ValueError, here and in what is computed from them.
    """
    check_images('gray_levels', image=image)
    red, green, blue = to_levels(image).unbind(1)
    # Many colours lie half-way between two levels. A sum in an order of the processor's choice
    # would round them differently from machine to machine.
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).round()


def eme(image: Tensor, block: int = 8) -> Tensor:
    """Measure of enhancement: mean contrast of small blocks, in natural units.

    ``mean over blocks of 20 ln(max / min)`` of the grey levels. As in the usual implementation, a
    block (of ``block`` x ``block`` pixels) with level 0 counts 0, and incomplete blocks at the
    right and bottom edges are left out. Noise raises it just as detail does. Of RGB ``(N, 3, H,
    W)``, float, [0, 1]: ``(N,)``, at least 0. An image smaller than a block is a ValueError.

    Source: Agaian, Panetta, Grigoryan, "Transform-based image enhancement algorithms with
    performance measure", IEEE Transactions on Image Processing 10 (3), 2001.
    """
    gray = gray_levels(image).unsqueeze(1)
    if min(gray.shape[-2:]) < block:
        got = f'{block} x {block} pixels, got {tuple(image.shape)}'
        raise ValueError(f'eme: the image must have at least {got}')
    highest, lowest = F.max_pool2d(gray, block), -F.max_pool2d(-gray, block)
    ratio = torch.where(lowest > 0, highest / lowest.clamp(min=1), 1.0)
    return (20 * ratio.log()).mean(dim=(1, 2, 3))


def discrete_entropy(image: Tensor) -> Tensor:
    """Entropy of the histogram of grey levels, ``−Σ p log2 p``, in bits.

    Of RGB ``(N, 3, H, W)`` in [0, 1]: ``(N,)``, 0 for a single level, 8 if all 256 are equally
    frequent. Source: Shannon, "A mathematical theory of communication", 1948.
    """
    levels = gray_levels(image).long().flatten(1)
    share = torch.stack([torch.bincount(row, minlength=256) for row in levels]) / levels.shape[1]
    return -torch.special.xlogy(share, share).sum(1) / torch.log(torch.tensor(2.0))


def lightness_order_error(enhanced: Tensor, original: Tensor, side: int = 50) -> Tensor:
    """Lightness order error (LOE): how much the order of the pixels by lightness changes.

    Lightness ``L`` is the largest of red, green and blue. For each pixel ``x``, count the pixels
    ``y`` for which ``L(x) ≥ L(y)`` holds in only one of the images; the result is the mean of these
    counts over ``x``. Both images are sampled (not averaged) down to ``side`` pixels (50 in the
    source) on the shorter side, so that a map that keeps the order of all levels scores exactly 0.
    Counts grow with the longer side. Of RGB ``(N, 3, H, W)``, float, [0, 1], after and before:
    ``(N,)``, 0 to the number of sampled pixels. Other shapes, or two, are a ValueError.

    Source: Wang, Zheng, Hu, Li, "Naturalness preserved enhancement algorithm for non-uniform
    illumination images", IEEE Transactions on Image Processing 22 (9), 2013.
    """
    check_images('lightness_order_error', enhanced=enhanced, original=original)
    counts = []
    for first, second in zip(_sample(enhanced, side), _sample(original, side), strict=True):
        pairs = zip(first[:, None].split(_ROWS), second[:, None].split(_ROWS), strict=True)
        changed = sum(int(((one >= first) ^ (other >= second)).sum()) for one, other in pairs)
        counts.append(changed / len(first))
    return torch.tensor(counts)


def _sample(image: Tensor, side: int) -> Tensor:
    """Lightness at evenly spaced pixels, ``(N, number of pixels)``."""
    height, width = image.shape[-2:]
    scale = min(1.0, side / min(height, width))
    size = round(height * scale), round(width * scale)
    lightness = to_levels(image).amax(1, keepdim=True)
    return F.interpolate(lightness, size, mode='nearest-exact').flatten(1)


def check_images(owner: str, **images: Tensor) -> None:
    """Raise ValueError if images do not all have the same shape ``(N, 3, H, W)``, for ``owner``."""
    shapes = {name: tuple(image.shape) for name, image in images.items()}
    for name, shape in shapes.items():
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f'{owner}: {name} must have shape (N, 3, H, W), got {shape}')
    if len({*shapes.values()}) > 1:
        names, got = (' and '.join(map(str, each)) for each in (shapes, shapes.values()))
        raise ValueError(f'{owner}: {names} must have the same shape, got {got}')


def mean_brightness(image: Tensor) -> Tensor:
    """Mean of all values of RGB ``(..., 3, H, W)`` in [0, 1]: ``(...)``. Differentiable."""
    return image.mean(dim=(-3, -2, -1))


def clipped_share(image: Tensor) -> Tensor:
    """Share of pixels with a channel at white: ``(...)``, of RGB ``(..., 3, H, W)`` in [0, 1]."""
    return (image.amax(dim=-3) >= _WHITE).to(image.dtype).mean(dim=(-2, -1))


def color_cast(before: Tensor, after: Tensor) -> Tensor:
    """How far enhancing has moved the balance of red, green and blue: ``(...)``.

    The largest change over the channels of ``mean of the channel / mean of all``, of RGB ``(..., 3,
    H, W)``, float, [0, 1]: 0 if the balance is kept, 1 if a channel weighs twice as much or
    vanishes, at most 3; NaN for a black image, which has none.
    """
    means = [image.mean(dim=(-2, -1)) for image in (before, after)]
    balances = [each / torch.mean(each, dim=-1, keepdim=True) for each in means]
    return (balances[1] - balances[0]).abs().amax(dim=-1)
