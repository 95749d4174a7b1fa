"""Batch normalisation, ReLU and smoothness of training on a CPU, in one pass each, by machine code.

Each function gives ``None`` where PyTorch has to compute. Images of the norms are ``(N, C, H, W)``
with channels last, vectors ``(C,)``. How the code is made and kept: :mod:`.sci_fused`.
"""

from collections.abc import Sequence
from math import gcd
from typing import Any

import torch
from torch import Tensor

from sci_plugins.functional.kernels.sci_fused import TRAINING, Kernel, Table, find

MIN_VALUES = 2**16  #: fewer values are not worth it
_SIZES, _AREA = ('stride', 'width', 'top', 'bottom'), ('height', 'width', 'top', 'bottom')
FUNCTIONS: Table = {
    'statistics': (('source', 'sums'), _SIZES),
    'relu': (('source', 'target', 'vectors'), _SIZES),
    'relu_add': (('source', 'target', 'vectors', 'shortcut'), _SIZES),
    'sums': (('source', 'sums', 'vectors', 'grad'), _SIZES),
    'through': (('source', 'target', 'vectors', 'grad'), _SIZES),
    'convolve': (('work', 'source', 'target', 'weights'), _AREA),
    'convolve_relu': (('work', 'source', 'target', 'weights', 'vectors'), _AREA),
    'correlate': (('work', 'source', 'grad', 'sums'), _AREA),
    'correlate_relu': (('work', 'source', 'grad', 'sums', 'vectors'), _AREA),
    'variation': (('source', 'target', 'sums', 'factors'), ('across', 'width', 'top', 'bottom')),
}
RADIUS = 2  #: of the 5x5 neighbourhood of the smoothness
#: Half of the 24 neighbours; the other half is its mirror image.
HALF_WINDOW = tuple(
    (dy, dx) for dy in range(RADIUS + 1) for dx in range(-RADIUS, RADIUS + 1) if (dy, dx) > (0, 0)
)
_FAR = 1e9  # colour beyond the borders: so far from every other that a pair with it has weight 0


def statistics(features: Tensor) -> tuple[Tensor, Tensor] | None:
    """Each channel's mean and biased variance: of rows, then of all (Chan et al., 1983)."""
    sums = _run('statistics', features, None, ())
    if sums is None:
        return None
    means, squares = sums.unbind(1)
    mean = means.mean(0)
    between = (means - mean).square().mean(0)
    return mean, squares.sum(0) / (features.numel() // len(mean)) + between


def relu(features: Tensor, gain: Tensor, offset: Tensor, shortcut: Tensor | None) -> Tensor | None:
    """``max(features * gain + offset, 0) + shortcut``."""
    target, more = torch.empty_like(features), () if shortcut is None else (shortcut,)
    return _run('relu_add' if more else 'relu', features, target, (gain, offset), *more)


def sums(grad: Tensor, features: Tensor, vectors: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """Sums of ``g`` and ``g * (features - mean)``; ``vectors`` are ``(gain, offset, mean)``.

    ``g`` is ``grad`` where ``features * gain + offset`` is above 0.
    """
    found = _run('sums', features, None, vectors, grad)
    return None if found is None else found.sum(0).unbind(0)


def through(grad: Tensor, features: Tensor, vectors: tuple[Tensor, ...]) -> Tensor | None:
    """``g * gain + features * slope + constant``, with ``g`` of :func:`sums`.

    ``vectors`` are ``(gain, offset, slope, constant)``.
    """
    return _run('through', features, torch.empty_like(features), vectors, grad)


#: Channels of the convolution, in and out: one vector.
CHANNELS = 16
#: Neighbouring tiles of 2x2 pixels that are computed at once: with the weights, what a first-level
#: cache of 32 KB holds.
TILES = 6
BAND = 16  #: rows whose gradient of the weight is summed on its own
#: Vectors of the work buffer: zeros, a place for what is outside, 4x4 of each tile of two images.
_WORK = 2 + 2 * 16 * TILES
# G of Winograd's F(2x2, 3x3), and A of F(3x3, 2x2) with what its G halves.
_TURN = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
_BACK = ((0.0, 0.5, 0.5, -1.0), (0.0, 0.5, -0.5, 0.0), (-1.0, 0.5, 0.5, 0.0))


def convolve(image: Tensor, weight: Tensor, vectors: tuple[Tensor, ...] = ()) -> Tensor | None:
    """``(N, 16, H, W)`` by ``(16, 16, 3, 3)``, with zeros around the image.

    By Winograd's F(2x2, 3x3): 16 multiplications for four pixels, not 36 (Lavin and Gray, "Fast
    Algorithms for Convolutional Neural Networks", CVPR 2016). With the ``vectors`` gain and offset,
    of the image's :func:`relu`.
    """
    fits = weight.shape == (CHANNELS, CHANNELS, 3, 3) and image.shape[1] == CHANNELS
    if not fits or weight.dtype != image.dtype:  # PyTorch says what is wrong
        return None
    target = torch.empty_like(image)
    tiles = _both_sides(_TURN, weight).permute(2, 3, 1, 0).contiguous()
    done = _share_tiles('convolve', 2, vectors, image, target, [tiles] * len(image))
    return target if done else None


def grad_of_weight(grad: Tensor, image: Tensor, vectors: tuple[Tensor, ...] = ()) -> Tensor | None:
    """That of :func:`convolve`, by F(3x3, 2x2): sums of bands of rows, then of all.

    The larger tiles are those of ``grad``, so that each pixel of the image is normalised once.
    """
    if image.shape[1] != CHANNELS:
        return None
    sums = image.new_zeros(len(image), -(-image.shape[2] // BAND), 4, 4, CHANNELS, CHANNELS)
    if not _share_tiles('correlate', BAND, vectors, image, grad, sums):
        return None
    return _both_sides(_BACK, sums.sum((0, 1)).permute(2, 3, 0, 1))


def _share_tiles(name: str, rows: int, vectors: tuple[Tensor, ...], *images: Any) -> bool:
    """Call a function for every so many rows, unless PyTorch has to compute."""
    image, other, _ = images
    kernel = _find([image, other]) if image.shape == other.shape else None
    if kernel is None or kernel.block < CHANNELS:
        return False
    packed, name = ([torch.stack(vectors)], f'{name}_relu') if vectors else ([], name)
    sizes, work = image.shape[2:], CHANNELS * _WORK
    for own in zip(*images, strict=True):
        kernel.share(name, -(-sizes[0] // rows), *own, *packed, *sizes, work=work)
    return True


def _both_sides(turn: Sequence[Sequence[float]], weight: Tensor) -> Tensor:
    matrix = weight.new_tensor(turn)
    with torch.autocast('cpu', enabled=False):  # it may be on in the backward pass
        return matrix @ weight @ matrix.T


def variation(illumination: Tensor, colors: Tensor, scale: float) -> tuple[Tensor, Tensor] | None:
    """``weighted_variation`` of ``(N, 3, H, W)`` each, and its gradients, ``(N, H, 6, W)``.

    The weight of a pair is ``exp(-|scale * (y_p - y_q)|^2)``. Each pair is visited from both sides,
    so that every row is its own thread's.
    """
    # In any order of memory, as both are copied: in training, channels may come last.
    kernel = _find([illumination, colors], None)
    if kernel is None:
        return None
    number, _, height, width = illumination.shape
    lanes = min(kernel.block, 16)
    columns = -(-width // lanes) * lanes
    around = illumination.new_zeros(number, height + 2 * RADIUS, 6, columns + 2 * RADIUS)
    around[:, :, 3:] = _FAR
    inside = around[:, RADIUS:-RADIUS, :, RADIUS : RADIUS + width]
    inside[:, :, :3] = illumination.transpose(1, 2)
    torch.mul(colors.transpose(1, 2), scale, out=inside[:, :, 3:])
    gradient = illumination.new_empty(number, height, 6, columns)
    sums = illumination.new_empty(number, height, lanes)
    shares = [1 / (number * (height - y) * (width - abs(x))) for y, x in HALF_WINDOW]
    # Pairs are seen from one side here, and stand for two neighbours.
    factors = illumination.new_tensor([*shares, 2.0, -4.0 * scale])
    for each in zip(around, gradient, sums, strict=True):
        kernel.share('variation', height, *each, factors, around.shape[-1], columns)
    return sums.sum(), gradient[..., :width]


def _run(
    name: str, source: Tensor, target: Tensor | None, vectors: tuple[Tensor, ...], *more: Tensor
) -> Tensor | None:
    """The target, or a new ``(parts, 2, C)`` of parts of equal size."""
    number, channels, height, width = source.shape
    kernel = _find([each for each in (source, target, *more) if each is not None])
    lanes = min(kernel.block, 16) if kernel else 1
    # Of few channels, neighbouring pixels side by side fill whole vectors.
    pixels, times = number * height * width, lanes // gcd(lanes, channels)
    if kernel is None or pixels % times:
        return None
    rows, across = gcd(number * height, pixels // times), times * channels
    found = source.new_empty(rows, 2, across) if target is None else target
    packed = [torch.stack(vectors).repeat(1, times)] if vectors else []
    pointers = [each.data_ptr() for each in (source, found, *packed, *more)]
    width = pixels // times // rows
    for channel in range(0, across, lanes):
        kernel.share(name, rows, *(each + 4 * channel for each in pointers), across, width)
    return found.unflatten(2, (times, -1)).movedim(2, 1).flatten(0, 1) if target is None else found


def _find(
    images: list[Tensor], layout: torch.memory_format | None = torch.channels_last
) -> Kernel | None:
    if torch.compiler.is_compiling() or images[0].numel() < MIN_VALUES:
        return None
    is_known = all(
        type(each) is Tensor
        and each.dtype == torch.float32
        and each.is_cpu
        and (layout is None or each.is_contiguous(memory_format=layout))
        for each in images
    )
    return find(TRAINING) if is_known else None
