"""3x3 convolutions of few channels and their gradients, for training on a CPU.

They compute ``torch.nn.functional.conv2d`` with padding 1, up to rounding. For few channels the
library (oneDNN) wastes time in three places:

* Few output channels fill only part of a vector register: three use three lanes of sixteen. Here
  one step computes those of ``k`` neighbouring pixels, as ``k`` times as many channels of a wider
  kernel that moves by ``k`` pixels (:func:`pack_weight`), in channels-last order. The gradient of
  the image is such a convolution too.
* The library uses one thread per image for the gradient of the weight. Here strips of rows count
  as images.
* From many channels to few, that gradient is cheaper with exchanged roles.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_weight


def first_derivative_only(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Let the ``backward`` of an autograd function raise RuntimeError for ``create_graph=True``.

    PyTorch's ``once_differentiable`` silently leaves the function out of a second derivative if the
    first one started from a constant.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            only = 'no second derivative: the fused training layers have only a first one'
            raise RuntimeError(f'{only}; for create_graph=True put the layers in eval mode')
        with torch.no_grad():
            return backward(ctx, *grads)

    return checked


LANES = {'AVX512': 16, 'AVX2': 8}  #: floats in a register by ``get_cpu_capability``; else 4


class Conv(NamedTuple):
    """A 3x3 convolution: ``(out, in, 3, 3)`` and ``(out,)``."""

    weight: Tensor
    bias: Tensor


class PackedConv:
    """A 3x3 convolution of ``pixels`` neighbours at once, by default as many as fill a register."""

    def __init__(self, conv: Conv, pixels: int | None = None) -> None:
        self.pixels = pixels or pixels_per_step(conv.weight.shape[0])
        self.weight = pack_weight(conv.weight, self.pixels)
        self.bias = conv.bias.repeat(self.pixels)

    def __call__(self, image: Tensor) -> Tensor:
        """Convolve finite ``(N, C, H, W)``; W is a multiple of ``pixels``, at least twice that.

        The result is ``(N, out, H - 2, W)``, channels-last: padded with zeros left and right only.
        A single step would hit a bug: oneDNN 3.12 gives wrong values for a batch of one channel.
        A value that is not finite would spread to its whole group of pixels.
        """
        packed = F.conv2d(image, self.weight, self.bias, (1, self.pixels), padding=(0, 1))
        return _unpack(packed, self.pixels)


def _unpack(packed: Tensor, pixels: int) -> Tensor:
    """``(N, pixels * C, H, W)``, channels-last -> ``(N, C, H, W * pixels)``, a view."""
    number, channels, height, width = packed.shape
    shape = number, height, width * pixels, channels // pixels
    return packed.permute(0, 2, 3, 1).reshape(shape).permute(0, 3, 1, 2)


# Like `_threads`, a constant of the machine: a compiled model need not query it at each call.
@torch.compiler.assume_constant_result
def pixels_per_step(channels: int) -> int:
    """Number of pixels of ``channels`` floats that fit in a vector register of this CPU."""
    return max(1, LANES.get(torch.backends.cpu.get_cpu_capability(), 4) // channels)


def pack_weight(weight: Tensor, pixels: int) -> Tensor:
    """``(out, in, 3, 3)`` -> ``(pixels * out, in, 3, pixels + 2)``, channels-last.

    The kernel of pixel ``i`` is shifted right by ``i`` columns: rows of ``pixels + 3`` columns,
    read as rows of ``pixels + 2``, shift by one each.
    """
    out, inner = weight.shape[:2]
    rows = F.pad(weight, (0, pixels)).unsqueeze(-2).expand(-1, -1, -1, pixels, -1)
    band = rows.flatten(-2)[..., : pixels * (pixels + 2)].unflatten(-1, (pixels, -1))
    packed = band.permute(3, 0, 1, 2, 4).reshape(pixels * out, inner, 3, pixels + 2)
    return packed.contiguous(memory_format=torch.channels_last)


MIN_ROWS = 16  #: a strip of fewer rows is not worth a thread


def conv3x3(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with zeros around the image; once differentiable in all three.

    ``(N, C, H, W)``, finite, by ``(out, C, 3, 3)`` and ``(out,)`` gives ``(N, out, H, W)``,
    channels-last; channels-last memory is not copied.
    """
    return _Conv3x3.apply(image, weight, bias)


class _Conv3x3(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        image = channels_last(image)
        ctx.save_for_backward(image, weight)
        return convolve(image, weight, bias)

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        grad = channels_last(grad)
        return (
            grad_of_image(grad, weight) if ctx.needs_input_grad[0] else None,
            grad_of_weight(grad, image) if ctx.needs_input_grad[1] else None,
            sum_pixels(grad) if ctx.needs_input_grad[2] else None,
        )


def convolve(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """:func:`conv3x3` of a channels-last image, without gradients."""
    pixels, width = 1, image.shape[-1]
    if image.device.type == 'cpu' and image.dtype == torch.float32:
        # At least two steps: oneDNN 3.12 gives wrong values for a batch with one.
        most = pixels_per_step(weight.shape[0])
        pixels = next((n for n in range(most, 1, -1) if width % n == 0 and width > n), 1)
    if pixels == 1:
        return F.conv2d(image, weight, bias, padding=1)
    bias = None if bias is None else bias.repeat(pixels)
    packed = F.conv2d(image, pack_weight(weight, pixels), bias, stride=(1, pixels), padding=1)
    return _unpack(packed, pixels)


def grad_of_image(grad: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the image; ``grad``, of the result, is channels-last."""
    return convolve(grad, rotated(weight))


def rotated(weight: Tensor) -> Tensor:
    """The kernel ``(C, out, 3, 3)`` by which the image's gradient is a convolution."""
    return weight.transpose(0, 1).flip(2, 3)


def grad_of_weight(grad: Tensor, image: Tensor) -> Tensor:
    """Gradient of the weight, from ``grad`` of the result and the image, both channels-last."""
    if grad.shape[1] < image.shape[1]:
        return _correlate(grad, image).transpose(0, 1).flip(2, 3)
    return _correlate(image, grad)


def channels_last(image: Tensor) -> Tensor:
    """The image itself if its memory is channels-last, otherwise a copy."""
    return image.contiguous(memory_format=torch.channels_last)


def sum_pixels(image: Tensor) -> Tensor:
    """``(N, C, H, W)``, channels-last -> ``(C,)``.

    In two sums, several times faster: threads share the rows, each reads what its cache holds.
    """
    return image.permute(0, 2, 3, 1).sum(2).flatten(0, 1).sum(0)


def _correlate(image: Tensor, grad: Tensor) -> Tensor:
    """Gradient of the weight, in enough strips of rows to keep all threads busy."""
    strips = _strips(image)
    if strips == 1:
        return _correlate_whole(image, grad)
    inside = _correlate_whole(_cut(image, strips), _cut(grad, strips))
    # What is missing reaches across a cut: the outer kernel rows on the two rows at each cut.
    across = _correlate_whole(_rows_at_cuts(image, strips), _rows_at_cuts(grad, strips))
    inside[:, :, ::2] += across[:, :, ::2]
    return inside


def _correlate_whole(image: Tensor, grad: Tensor) -> Tensor:
    return conv2d_weight(image, (grad.shape[1], image.shape[1], 3, 3), grad, padding=1)


def _strips(image: Tensor) -> int:
    """Number of strips of equal height to cut each image into."""
    number, _, height, _ = image.shape
    wanted = min(-(-_threads() // number), height // MIN_ROWS)
    even = (n for n in range(max(1, wanted), 2 * wanted) if height % n == 0)
    return next(even, 1) if image.device.type == 'cpu' else 1


def _cut(image: Tensor, strips: int) -> Tensor:
    """``(N, C, H, W)`` -> ``(N * strips, C, H / strips, W)``, a view."""
    return image.unflatten(2, (strips, -1)).movedim(2, 1).flatten(0, 1)


def _rows_at_cuts(image: Tensor, strips: int) -> Tensor:
    """``(N * (strips - 1), C, 2, W)``: the rows above and below each cut."""
    rows = image.shape[2] // strips
    pairs = [image[:, :, n * rows - 1 : n * rows + 1] for n in range(1, strips)]
    return channels_last(torch.cat(pairs))


@torch.compiler.assume_constant_result
def _threads() -> int:
    return torch.get_num_threads()
