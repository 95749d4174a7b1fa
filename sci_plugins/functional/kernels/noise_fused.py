"""The adaptive stage's passes over an image on a CPU, by machine code where it is at hand.

Each function gives ``None`` where PyTorch has to compute: see :func:`find_passes`. How the code is
made and kept: :mod:`.sci_fused`.
"""

from math import e, log2

import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.functional.kernels.sci_fused import PASSES, STRIDES, Kernel, Table, find
from sci_plugins.functional.tensors import is_recorded

#: Rows and columns of a block of the noise estimate, and rows of blocks at a time: in the cache.
BLOCK, BAND = 8, 8
MARGIN = 16  #: columns before each row of a buffer; behind it are twice as many and more
BLACK = 1e-8  #: keeps the slope of the square root finite at black
TINY = 1e-12  #: energy below every noise, so that nothing is divided by 0
MIN_PIXELS = 2**14  #: fewer pixels are not worth the thread that makes the code

_ROWS = ('top', 'bottom')
_SIZE = ('height', 'columns', *_ROWS)
_HALVE = (*STRIDES, 'height', 'half')
_LUMA = (*_HALVE, 'luma_row', 'width', 'padded', *_ROWS)
_OTHERS = ('coarse_plane', 'coarse_row', 'shrunk_plane', 'shrunk_row', 'weight_row')
_RISE = (('source', 'target', 'coarse', 'shrunk', 'weight'), (*STRIDES, *_OTHERS, *_SIZE))
FUNCTIONS: Table = {
    'details': (
        ('work', 'source', 'means'),
        (*STRIDES[:2], 'height', 'width', 'across', 'means_plane', 'stride', *_ROWS),
    ),
    'halve': (('source', 'target'), (*_HALVE, *_ROWS)),
    'halve_luma': (('source', 'target', 'luma'), _LUMA),
    'halve_squares': (('source', 'target', 'luma'), _LUMA),
    'pairs': (('luma', 'coarse', 'target'), ('luma_row', 'coarse_row', 'target_row', *_SIZE)),
    'weigh': (('energy', 'target', 'shares', 'limit'), ('energy_row', 'target_row', *_SIZE)),
    'rise': _RISE,
    'rise_roots': _RISE,
    'brighten': (('source', 'target', 'table'), (*STRIDES, 'cells', 'height', 'width', *_ROWS)),
}


def find_passes(image: Tensor, *others: Tensor) -> Kernel | None:
    """The code, if it serves ``image``, ``(N, 3, H, W)``: float32 on a CPU, not small, no graph."""
    if is_recorded():
        return None
    number, _, height, width = image.shape
    has_grad = torch.is_grad_enabled() and any(each.requires_grad for each in (image, *others))
    is_known = image.device.type == 'cpu' and image.dtype == torch.float32 and not has_grad
    is_large = width >= 2 * MARGIN and height >= BLOCK and number * height * width >= MIN_PIXELS
    return find(PASSES) if is_known and is_large else None


def block_means(image: Tensor) -> Tensor | None:
    """Means of luma, clipped pixels, fine and coarse energy over blocks: ``(N, 4, B)``."""
    passes = find_passes(image)
    if passes is None:
        return None
    image = _in_rows(image)
    height, width = image.shape[2:]
    down, across = height // BLOCK, width // BLOCK
    stride = width + 4 * MARGIN
    means, work = image.new_empty(len(image), 4, down * across), stride * (2 * BLOCK * BAND + 10)
    for source, target in zip(image, means, strict=True):
        sizes = (height, width, across, down * across, stride)
        passes.share('details', down, source, target, *_strides(source), *sizes, work=work)
    return means


def halve(image: Tensor) -> Tensor:
    """Means of 2 x 2 pixels of ``(N, 3, H, W)``; an odd last row or column is left out."""
    passes = find_passes(image)
    if passes is None:
        return F.avg_pool2d(image, 2)
    image = _in_rows(image)
    height, width = (side // 2 for side in image.shape[2:])
    result = _buffer(len(image), 3, height, width)
    for source, target in zip(image, result, strict=True):
        strides = (*_strides(source), *_strides(target))
        passes.share('halve', height, source, target, *strides, 2 * height, width)
    return result


def shrink_pixels(image: Tensor, limits: Tensor) -> Tensor | None:
    """``sqrt(shrunk(image ** 2))``, see ``shrink_noise``, with the noise energies ``(N, L)``."""
    passes = find_passes(image, limits)
    if passes is None:
        return None
    height, width = image.shape[2:]
    if height % 2 or width % 2:
        image = F.pad(image, (0, width % 2, 0, height % 2), mode='replicate')
    image = _in_rows(image)
    each = zip(image, limits.contiguous(), strict=True)
    parts = [_coarser(passes, 'halve_squares', source, energies) for source, energies in each]
    result = image.new_empty(image.shape)  # not earlier: it can have the memory of what was freed
    for source, target, levels in zip(image, result, parts, strict=True):
        _rise(passes, 'rise_roots', source, target, *levels)
    return result[..., :height, :width]


def _shrink(passes: Kernel, image: Tensor, limits: Tensor) -> Tensor:
    """``image`` in a buffer with its first level and all coarser ones shrunk."""
    if not len(limits):
        return image
    shrunk = _buffer(*image.shape)
    _rise(passes, 'rise', image, shrunk, *_coarser(passes, 'halve_luma', image, limits))
    return shrunk


def _coarser(
    passes: Kernel, how: str, source: Tensor, limits: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The next level, with room for the coarser ones, the same one shrunk, and details' weights."""
    _, height, width = source.shape
    unit = 2 ** len(limits)
    rows, columns = (-(-side // unit) * unit // 2 for side in (height, width))
    coarse, luma = _buffer(4, rows, columns), _buffer(2 * rows, 2 * columns)
    energy, weight = _buffer(rows, columns), _buffer(rows, columns)
    sizes = *_strides(source), *_strides(coarse), height, width // 2, luma.stride(0), width
    passes.share(how, rows, source, coarse, luma, *sizes, 2 * columns)
    step = coarse.stride(1), energy.stride(0)
    passes.share('pairs', rows, luma, coarse[3], energy, luma.stride(0), *step, rows, columns)
    shares = _buffer(columns).fill_(1 / 3)
    shares[0] = shares[-1] = 1 / 2
    step = energy.stride(0), weight.stride(0)
    passes.share('weigh', rows, energy, weight, shares, limits, *step, rows, columns)
    del luma, energy
    return coarse, _shrink(passes, coarse[:3], limits[1:]), weight


def _rise(passes: Kernel, how: str, *images: Tensor) -> None:
    """Fill the second of ``images``, the pointers of :data:`_RISE`, from the others."""
    source, *_, weight = images
    height, width = (side // 2 for side in source.shape[1:])
    strides = [step for each in images[:4] for step in _strides(each)]
    passes.share(how, height, *images, *strides, weight.stride(0), len(weight), width)


def brighten(
    image: Tensor, gain: Tensor, exponent: Tensor, light: Tensor, in_place: bool = False
) -> Tensor | None:
    """``clamp(image * gain / exp(light) ** exponent, 0, 1)``, ``in_place`` where memory allows it.

    Of ``(N, 3, H, W)``, ``(N,)``, ``(N,)`` and ``(N, 1, h, w)``, to be interpolated.
    """
    passes = find_passes(image, gain, exponent, light)
    if passes is None:
        return None
    image = _in_rows(image)
    result = image if in_place and image.is_contiguous() else image.new_empty(image.shape)
    height, width, cells = *image.shape[2:], light.shape[2]
    powers = (gain.log().view(-1, 1, 1, 1) - exponent.view(-1, 1, 1, 1) * light) * log2(e)
    table = F.interpolate(powers, (cells, width), mode='bilinear', align_corners=False)
    for source, target, rows in zip(image, result, table.contiguous(), strict=True):
        strides = (*_strides(source), *_strides(target))
        passes.share('brighten', height, source, target, rows, *strides, cells, height, width)
    return result


def _in_rows(image: Tensor) -> Tensor:
    return image if image.stride(3) == 1 else image.contiguous()


def _strides(image: Tensor) -> tuple[int, int]:
    """From plane to plane and from row to row."""
    return image.stride(0), image.stride(1)


def _buffer(*shape: int) -> Tensor:
    """Memory with margins before and behind each row."""
    width = -(-shape[-1] // MARGIN) * MARGIN
    return torch.empty(*shape[:-1], width + 4 * MARGIN, dtype=torch.float32, device='cpu')[
        ..., MARGIN : MARGIN + shape[-1]
    ]
