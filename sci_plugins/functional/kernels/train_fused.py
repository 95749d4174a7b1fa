"""Batch normalisation, ReLU and smoothness of training on a CPU, in one pass each, by machine code.

Each function gives ``None`` where PyTorch has to compute. Images of the norms are ``(N, C, H, W)``
with channels last, vectors ``(C,)``. How the code is made and kept: :mod:`.sci_fused`.
"""

import torch
from torch import Tensor

from sci_plugins.functional.kernels.sci_fused import TRAINING, Kernel, Table, find

MIN_VALUES = 2**16  #: fewer values are not worth it
_SIZES = ('stride', 'width', 'top', 'bottom')
FUNCTIONS: Table = {
    'statistics': (('source', 'sums'), _SIZES),
    'relu': (('source', 'target', 'vectors'), _SIZES),
    'relu_add': (('source', 'target', 'vectors', 'shortcut'), _SIZES),
    'sums': (('source', 'sums', 'vectors', 'grad'), _SIZES),
    'through': (('source', 'target', 'vectors', 'grad'), _SIZES),
    'convolve': (('work', 'source', 'target', 'weights'), ('height', 'width', 'top', 'bottom')),
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
#: Neighbouring tiles of 2x2 pixels that are computed at once, and the columns that they need: with
#: the weights, what a first-level cache of 32 KB holds.
TILES = 4
COLUMNS = 2 * TILES + 2
#: Vectors of the work buffer: zeros, a place for what is outside, columns, 4x4 of each tile.
_WORK = 2 + 4 * COLUMNS + 16 * TILES
# G of Winograd's F(2x2, 3x3).
_TURN = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))


def convolve(image: Tensor, weight: Tensor) -> Tensor | None:
    """``(N, 16, H, W)`` by ``(16, 16, 3, 3)``, with zeros around the image.

    By Winograd's F(2x2, 3x3): 16 multiplications for four pixels, not 36 (Lavin and Gray, "Fast
    Algorithms for Convolutional Neural Networks", CVPR 2016). The gradient of a weight would not be
    faster that way: as many sums as products leave the registers.
    """
    fits = weight.shape == (CHANNELS, CHANNELS, 3, 3) and image.shape[1] == CHANNELS
    if not fits or weight.dtype != image.dtype:  # PyTorch says what is wrong
        return None
    target = torch.empty_like(image)
    kernel = _find([image, target])
    if kernel is None or kernel.block < CHANNELS:
        return None
    turn = weight.new_tensor(_TURN)
    with torch.autocast('cpu', enabled=False):  # it may be on in the backward pass
        tiles = (turn @ weight @ turn.T).permute(2, 3, 1, 0).contiguous()
    height, width = image.shape[2:]
    for own, result in zip(image, target, strict=True):
        rows, work = -(-height // 2), CHANNELS * _WORK
        kernel.share('convolve', rows, own, result, tiles, height, width, work=work)
    return target


def variation(illumination: Tensor, colors: Tensor, scale: float) -> tuple[Tensor, Tensor] | None:
    """``weighted_variation`` of ``(N, 3, H, W)`` each, and its gradients, ``(N, H, 6, W)``.

    The weight of a pair is ``exp(-|scale * (y_p - y_q)|^2)``. Each pair is visited from both sides,
    so that every row is its own thread's.
    """
    # In any order of memory, as both are copied: in training, channels may come last.
    images = [each.contiguous() for each in (illumination, colors)]
    kernel = _find(images, torch.contiguous_format)
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
    """The target, or a new ``(rows, 2, C)``."""
    number, channels, height, width = source.shape
    kernel = _find([each for each in (source, target, *more) if each is not None])
    lanes = min(kernel.block, 16) if kernel else 1
    if kernel is None or channels % lanes:
        return None
    rows = number * height
    target = source.new_empty(rows, 2, channels) if target is None else target
    packed = [torch.stack(vectors)] if vectors else []
    pointers = [each.data_ptr() for each in (source, target, *packed, *more)]
    for channel in range(0, channels, lanes):
        kernel.share(name, rows, *(each + 4 * channel for each in pointers), channels, width)
    return target


def _find(images: list[Tensor], layout: torch.memory_format = torch.channels_last) -> Kernel | None:
    if torch.compiler.is_compiling() or images[0].numel() < MIN_VALUES:
        return None
    is_known = all(
        type(each) is Tensor
        and each.dtype == torch.float32
        and each.is_cpu
        and each.is_contiguous(memory_format=layout)
        for each in images
    )
    return find(TRAINING) if is_known else None
