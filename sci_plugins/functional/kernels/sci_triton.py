"""SCI's estimator on a GPU in one pass over the image: a Triton kernel. It is unmeasured.

A program computes a tile of 26 x 58 pixels from 32 x 64: each of the three convolutions spoils one
more pixel at the tile's edges. Intermediate results stay in registers and shared memory, so that a
pixel reads and writes 24 bytes (15 from 8 bits, 6 to 8 bits) in place of about 300.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_EDGE = tl.constexpr(3)
_TILE = (32, 64)
# 128 registers a thread on sm_80 and nothing spilled; with 8 warps 243, and half the threads.
_WARPS = 16
_SIZES = ('height', 'width', 'source_n', 'source_c', 'source_h', 'target_n', 'target_c', 'target_h')


@triton.jit
def _shift(tile, by: tl.constexpr, axis: tl.constexpr):  # type: ignore[no-untyped-def]
    """``tile[i + by]`` along an axis; the last one repeated beyond the edge."""
    size: tl.constexpr = tile.shape[axis]
    place = tl.minimum(tl.maximum(tl.arange(0, size) + by, 0), size - 1)
    index = tl.expand_dims(place, 1 - axis)
    return tl.gather(tile, tl.broadcast_to(index, tile.shape), axis)


@triton.jit
def _channel(left, here, right, weights, channel: tl.constexpr):  # type: ignore[no-untyped-def]
    """One channel of a convolution, from three each of a column and of its neighbours."""
    total = tl.zeros_like(here[0]) + tl.load(weights + 81 + channel)
    for row in tl.static_range(3):
        part = tl.zeros_like(total)
        for before in tl.static_range(3):
            place = weights + before * 27 + row * 3 + channel
            part += tl.load(place) * left[before]
            part += tl.load(place + 9) * here[before]
            part += tl.load(place + 18) * right[before]
        total += _shift(part, row - 1, 0)
    return total


@triton.jit
def _convolve(planes, weights):  # type: ignore[no-untyped-def]
    a, b, c = planes
    left = (_shift(a, -1, 1), _shift(b, -1, 1), _shift(c, -1, 1))
    right = (_shift(a, 1, 1), _shift(b, 1, 1), _shift(c, 1, 1))
    red = _channel(left, planes, right, weights, 0)
    green = _channel(left, planes, right, weights, 1)
    return red, green, _channel(left, planes, right, weights, 2)


@triton.jit
def _load(place, inside):  # type: ignore[no-untyped-def]
    value = tl.load(place, mask=inside, other=0)
    return value / 255.0 if place.dtype.element_ty == tl.uint8 else value


@triton.jit
def _relu(value, inside):  # type: ignore[no-untyped-def]
    return tl.where(inside, tl.maximum(value, 0.0), 0.0)  # 0 outside, as padding is


@triton.jit(do_not_specialize=_SIZES)
def kernel(  # type: ignore[no-untyped-def]
    source, target, weights, height, width,
    source_n, source_c, source_h, target_n, target_c, target_h,
    source_w: tl.constexpr, target_w: tl.constexpr, turned: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """One tile of one image; strides in elements, ``weights`` of ``sci_fused.pack``."""
    row, column = tl.arange(0, rows)[:, None], tl.arange(0, columns)[None, :]
    y = tl.program_id(1) * (rows - 2 * _EDGE) - _EDGE + row
    x = tl.program_id(0) * (columns - 2 * _EDGE) - _EDGE + column
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    number = tl.program_id(2).to(tl.int64)  # many images are more than 2 ** 31 bytes
    place = source + number * source_n + y * source_h + x * source_w
    red, green, blue = place, place + source_c, place + 2 * source_c
    image = _load(red, inside), _load(green, inside), _load(blue, inside)
    a, b, c = _convolve(image, weights)
    a, b, c = _relu(a, inside), _relu(b, inside), _relu(c, inside)
    d, e, f = _convolve((a, b, c), weights + 84)
    features = (a + _relu(d, inside), b + _relu(e, inside), c + _relu(f, inside))
    powers = _convolve(features, weights + 168)
    is_whole = (row >= _EDGE) & (row < rows - _EDGE) & (column >= _EDGE)
    wanted = inside & is_whole & (column < columns - _EDGE)
    place = target + number * target_n + y * target_h + x * target_w
    for channel in tl.static_range(3):
        light = 1.0 / (1.0 + tl.exp2(powers[channel])) + image[channel]
        light = tl.minimum(tl.maximum(light, 1e-4), 1.0)
        value = tl.minimum(tl.maximum(image[channel] / light, 0.0), 1.0)
        value = value * tl.load(weights + 252 + channel) + tl.load(weights + 255 + channel)
        to = place + (2 - channel if turned else channel) * target_c
        tl.store(to, value.to(target.dtype.element_ty), mask=wanted)


def enhance(source: Tensor, target: Tensor, weights: Tensor, turned: bool) -> bool:
    """:func:`.sci_fused.enhance_fused` of any strides, if offsets in an image fit into 32 bits."""
    number, _, height, width = source.shape
    if 3 * height * width >= 2**31 or 0 in source.shape:
        return False
    rows, columns = (side - 2 * _EDGE.value for side in _TILE)
    grid = (triton.cdiv(width, columns), triton.cdiv(height, rows), number)
    with torch.cuda.device_of(source):
        kernel[grid](
            source, target, weights, height, width, *source.stride()[:3], *target.stride()[:3],
            source_w=source.stride(3), target_w=target.stride(3), turned=turned,
            rows=_TILE[0], columns=_TILE[1], num_warps=_WARPS,
        )  # fmt: skip
    return True
