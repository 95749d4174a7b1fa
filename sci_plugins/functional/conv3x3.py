"""3x3 convolutions of few channels and their gradients, for training on a CPU.

The same function as ``torch.nn.functional.conv2d`` with padding 1, up to rounding.
The library leaves time on the table in three places where channels are few:

* Few output channels fill a part of a vector register: see :func:`pack_weight`. The
  gradient of the image is a convolution itself, to the input's channels.
* The gradient of the weight is computed by one thread for each image. Here an
  image is cut into strips of rows, which count as images.
* From many channels to few, that gradient is cheaper with exchanged roles, as the
  gradient of a convolution from few to many.

The packed arrangement: a library convolution in channels-last memory puts output
channels into the lanes of a vector register: three channels use three of sixteen lanes.
Here one step gives the output channels of ``k`` neighbouring pixels, as ``k`` times as
many channels of a wider kernel, which then moves by ``k`` pixels. The numbers come out
in the order of the channels-last image, so nothing has to be rearranged.
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
    """Decorate ``backward`` of an autograd function: no second derivative.

    PyTorch's ``once_differentiable`` would leave the function out of a second
    derivative without a word where the first one started from a constant.

    Raises:
        RuntimeError: from the backward pass with ``create_graph=True``.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError(
                'no second derivative: this training step has a first one only; '
                'create_graph=True needs the layers in eval mode'
            )
        with torch.no_grad():
            return backward(ctx, *grads)

    return checked


#: Floats in a vector register, by what ``get_cpu_capability`` says; else 4.
LANES = {'AVX512': 16, 'AVX2': 8}


class Conv(NamedTuple):
    """A 3x3 convolution: ``(out, in, 3, 3)`` and ``(out,)``."""

    weight: Tensor
    bias: Tensor


class PackedConv:
    """A 3x3 convolution that gives ``pixels`` neighbouring pixels at each step.

    Args:
        conv: weight and bias.
        pixels: how many; by default as many as fill a vector register.
    """

    def __init__(self, conv: Conv, pixels: int | None = None) -> None:
        self.pixels = pixels or pixels_per_step(conv.weight.shape[0])
        self.weight = pack_weight(conv.weight, self.pixels)
        self.bias = conv.bias.repeat(self.pixels)

    def __call__(self, image: Tensor) -> Tensor:
        """Convolve ``(N, C, H, W)``; W is a multiple of ``pixels``, two of them or more.

        (One step only, of one channel: oneDNN 3.12 gives wrong values for a batch.)
        Finite values only: what is not finite reaches the whole group of pixels.

        Returns:
            ``(N, out, H - 2, W)``, channels-last: zeros are taken left and right
            of the image, but no rows above and below.
        """
        step = (1, self.pixels)
        packed = F.conv2d(image, self.weight, self.bias, stride=step, padding=(0, 1))
        number, channels, height, width = packed.shape
        shape = (number, height, width * self.pixels, channels // self.pixels)
        return packed.permute(0, 2, 3, 1).reshape(shape).permute(0, 3, 1, 2)


def pixels_per_step(channels: int) -> int:
    """How many pixels of ``channels`` floats a vector register of this CPU holds."""
    lanes = LANES.get(torch.backends.cpu.get_cpu_capability(), 4)
    return max(1, lanes // channels)


def pack_weight(weight: Tensor, pixels: int) -> Tensor:
    """``(out, in, 3, 3)`` -> ``(pixels * out, in, 3, pixels + 2)``, channels-last.

    The kernel of pixel ``i`` stands ``i`` columns to the right. Rows of
    ``pixels + 3`` columns, read as rows of ``pixels + 2``, move by one each.
    """
    out, inner = weight.shape[:2]
    rows = F.pad(weight, (0, pixels)).unsqueeze(-2).expand(-1, -1, -1, pixels, -1)
    band = rows.flatten(-2)[..., : pixels * (pixels + 2)].unflatten(-1, (pixels, -1))
    packed = band.permute(3, 0, 1, 2, 4).reshape(pixels * out, inner, 3, pixels + 2)
    return packed.contiguous(memory_format=torch.channels_last)


#: Strips of fewer rows are not worth a thread.
MIN_ROWS = 16


def conv3x3(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with zeros around the image; once differentiable in all three.

    Args:
        image: ``(N, C, H, W)``, finite; channels-last memory is not copied.
        weight: ``(out, C, 3, 3)``.
        bias: ``(out,)``.

    Returns:
        ``(N, out, H, W)``, channels-last.
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
    pixels = _pixels_a_step(image, weight.shape[0])
    if pixels == 1:
        return F.conv2d(image, weight, bias, padding=1)
    packed = F.conv2d(
        image,
        pack_weight(weight, pixels),
        None if bias is None else bias.repeat(pixels),
        stride=(1, pixels),
        padding=1,
    )
    shape = (image.shape[0], *image.shape[2:], weight.shape[0])
    return packed.permute(0, 2, 3, 1).reshape(shape).permute(0, 3, 1, 2)


def grad_of_image(grad: Tensor, weight: Tensor) -> Tensor:
    """Gradient ``(N, C, H, W)`` of the image: a convolution with the turned kernel.

    Args:
        grad: gradient of the result, ``(N, out, H, W)``, channels-last.
        weight: ``(out, C, 3, 3)``.
    """
    return convolve(grad, weight.transpose(0, 1).flip(2, 3))


def grad_of_weight(grad: Tensor, image: Tensor) -> Tensor:
    """Gradient ``(out, C, 3, 3)`` of the weight.

    Args:
        grad: gradient of the result, ``(N, out, H, W)``, channels-last.
        image: what was convolved, ``(N, C, H, W)``, channels-last.
    """
    if grad.shape[1] < image.shape[1]:
        return _correlate(grad, image).transpose(0, 1).flip(2, 3)
    return _correlate(image, grad)


def channels_last(image: Tensor) -> Tensor:
    """The image itself if its memory is channels-last, else a copy."""
    return image.contiguous(memory_format=torch.channels_last)


def sum_pixels(image: Tensor) -> Tensor:
    """``(N, C, H, W)``, channels-last -> ``(C,)``; threads share the rows of the image.

    Each core reads what it has in its cache: several times faster than one sum.
    """
    return image.permute(0, 2, 3, 1).sum(2).flatten(0, 1).sum(0)


def _correlate(image: Tensor, grad: Tensor) -> Tensor:
    """Gradient of the weight, in so many strips of rows that all threads have work."""
    strips = _strips(image)
    if strips == 1:
        return _correlate_whole(image, grad)
    inside = _correlate_whole(_cut(image, strips), _cut(grad, strips))
    # What reaches across a cut: of the pairs of rows there, the outer kernel rows.
    across = _correlate_whole(_rows_at_cuts(image, strips), _rows_at_cuts(grad, strips))
    inside[:, :, ::2] += across[:, :, ::2]
    return inside


def _correlate_whole(image: Tensor, grad: Tensor) -> Tensor:
    shape = (grad.shape[1], image.shape[1], 3, 3)
    return conv2d_weight(image, shape, grad, padding=1)


def _strips(image: Tensor) -> int:
    """How many strips of equal height to cut each image into."""
    number, _, height, _ = image.shape
    wanted = min(-(-_threads() // number), height // MIN_ROWS)
    even = [n for n in range(max(1, wanted), 2 * wanted) if height % n == 0]
    return even[0] if even and image.device.type == 'cpu' else 1


def _cut(image: Tensor, strips: int) -> Tensor:
    """``(N, C, H, W)`` -> ``(N * strips, C, H / strips, W)``, a view."""
    rows = image.permute(0, 2, 3, 1)
    return rows.unflatten(1, (strips, -1)).flatten(0, 1).permute(0, 3, 1, 2)


def _rows_at_cuts(image: Tensor, strips: int) -> Tensor:
    """``(N * (strips - 1), C, 2, W)``: the rows above and below each cut."""
    rows = image.shape[2] // strips
    pairs = [image[:, :, n * rows - 1 : n * rows + 1] for n in range(1, strips)]
    return channels_last(torch.cat(pairs))


def _pixels_a_step(image: Tensor, channels: int) -> int:
    """How many pixels each step of the convolution gives, see ``packed_conv``."""
    if image.device.type != 'cpu' or image.dtype != torch.float32:
        return 1
    width = image.shape[-1]
    # Two steps or more: oneDNN 3.12 gives wrong values for a batch with one.
    fits = [n for n in range(_lanes(channels), 1, -1) if width % n == 0 and width > n]
    return fits[0] if fits else 1


# Both are facts of the machine, which a compiler need not ask at each call.
@torch.compiler.assume_constant_result
def _lanes(channels: int) -> int:
    return pixels_per_step(channels)


@torch.compiler.assume_constant_result
def _threads() -> int:
    return torch.get_num_threads()
