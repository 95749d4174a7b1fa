"""Convolution, batch normalisation, ReLU and shortcut, fused for training on a CPU.

The same function as layer after layer, up to rounding, with less time and memory:

* Only the convolution's result is kept for the backward pass.
* Statistics, normalisation and ReLU work on pieces that stay in the cache, or are machine code
  (:mod:`sci_plugins.functional.kernels.train_fused`).
* A bias before a batch normalisation enters only the running mean, and its gradient is 0.
* PyTorch sums channels-last batch statistics value by value, with an error of about 1e-5 that the
  gradients amplify; here the error is 1e-7.

Layers are fused where that computes the same function: 3x3 convolutions and batch normalisations of
PyTorch's own classes, in train mode, on a CPU, in float32 or float64, without hooks. Only first
derivatives exist; a second one raises an error.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.forward_ad import unpack_dual

from sci_plugins.functional.conv3x3 import (
    channels_last,
    conv3x3,
    convolve,
    first_derivative_only,
    rotated,
)
from sci_plugins.functional.conv3x3 import grad_of_weight as library_grad_of_weight
from sci_plugins.functional.kernels import train_fused

_Vectors = tuple[Tensor, ...]  # none, or gain and offset, each ``(C,)``
PIECE = 2**19  #: values in a piece per thread: three such pieces fit in the cache


class ConvNorm(NamedTuple):
    """A zero-padded 3x3 convolution, ``(out, C, 3, 3)`` and ``(out,)``, and batch normalisation."""

    weight: Tensor
    bias: Tensor
    scale: Tensor  # ``(out,)``, as the shift
    shift: Tensor
    eps: float


class Statistics(NamedTuple):
    """Mean and biased variance of a convolution's channels, ``(out,)``, without gradients."""

    mean: Tensor
    variance: Tensor


def conv_norm_relu(
    image: Tensor, *layers: ConvNorm, shortcut: Tensor | None = None
) -> tuple[Tensor, list[Statistics]]:
    """``relu(norm(conv(image)))`` of each layer in turn, plus the shortcut; each one's statistics.

    The image is ``(N, C, H, W)``, finite; channels-last memory is not copied. The result is ``(N,
    out, H, W)``, channels-last, as the shortcut, and once differentiable in all tensors. Features
    between layers are recomputed in the backward pass.
    """
    inputs = (each for layer in layers for each in layer)
    is_residual = shortcut is image  # torch.compile refuses the same tensor twice
    other = None if is_residual else shortcut
    result, *found = _Layers.apply(image, other, is_residual, *inputs)
    return result, [Statistics(*found[n : n + 2]) for n in range(0, len(found), 2)]


class _Layers(Function):
    """:func:`conv_norm_relu`. Kept are the image and each convolution's result."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
        shortcut, ctx.is_residual, *inputs = inputs  # type: ignore[assignment]
        parts: Any = (channels_last(image),)
        saved, found = [*parts], []  # type: ignore[var-annotated]
        for start in range(0, len(inputs), 5):
            layer = ConvNorm(*inputs[start : start + 5])
            features = _convolve(layer.weight, *parts)
            mean, variance = train_fused.statistics(features) or _statistics(features)
            inverse = (variance + layer.eps).rsqrt()
            normed = _Normed(features, mean, inverse, layer.scale, layer.shift)
            saved += layer.weight, *normed
            found += mean + layer.bias, variance
            parts = normed.parts
        ctx.save_for_backward(*saved)
        ctx.mark_non_differentiable(*found)
        return _relu(*normed.parts, saved[0] if ctx.is_residual else shortcut), *found

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        image, *saved = ctx.saved_tensors
        needs, inner = ctx.needs_input_grad, grad
        grads: tuple[Tensor | None, ...] = ()
        layers = [(saved[n], _Normed(*saved[n + 1 : n + 6])) for n in range(0, len(saved), 6)]
        sources = [(image,), *(normed.parts for _, normed in layers)]
        for n, (weight, normed) in reversed([*enumerate(layers)]):
            own = needs[5 * n + 3 :]
            inner, scale, shift = _through_norm_relu(inner, normed)
            of_weight = grad_of_weight(inner, *sources[n]) if own[0] else None
            found = zip((of_weight, torch.zeros_like(shift), scale, shift), own, strict=False)
            grads = *(each if needed else None for each, needed in found), None, *grads
            if n or needs[0]:
                inner = grad_of_image(inner, weight)
        if needs[0] and ctx.is_residual:
            inner.add_(grad)
        return inner if needs[0] else None, grad if needs[1] else None, None, *grads


class _Normed(NamedTuple):
    """A convolution's result and its normalisation, ``gain * features + offset``: that is
    ``(features - mean) * inverse * scale + shift``."""

    features: Tensor
    mean: Tensor
    inverse: Tensor
    scale: Tensor
    shift: Tensor

    @property
    def parts(self) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The features, and gain and offset."""
        gain = self.scale * self.inverse
        return self.features, (gain, self.shift - self.mean * gain)


def _convolve(weight: Tensor, image: Tensor, vectors: _Vectors = ()) -> Tensor:
    found = train_fused.convolve(image, weight, vectors)
    return convolve(_relu(image, vectors), weight) if found is None else found


def grad_of_image(grad: Tensor, weight: Tensor) -> Tensor:
    """As that of :mod:`.conv3x3`, by the faster of the convolutions."""
    return _convolve(rotated(weight), grad)


def grad_of_weight(grad: Tensor, image: Tensor, vectors: _Vectors = ()) -> Tensor:
    """As that of :mod:`.conv3x3`, of ``relu(gain * image + offset)`` with these ``vectors``."""
    found = train_fused.grad_of_weight(grad, image, vectors)
    return library_grad_of_weight(grad, _relu(image, vectors)) if found is None else found


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's mean and biased variance.

    Each piece's variance is taken around its own mean while the piece is in the cache; the variance
    between the pieces' means is added (Chan et al., 1983).
    """
    means, variances, shares = [], [], []
    for piece, scratch in _with_scratch(features):
        count = piece.numel() // features.shape[1]
        mean = _sum(piece) / count
        torch.sub(piece, mean, out=scratch)
        variances.append(_sum(scratch.square_()) / count)
        means.append(mean)
        shares.append(piece.numel() / features.numel())
    all_means, share = torch.stack(means), features.new_tensor(shares)[:, None]
    mean = (all_means * share).sum(0)
    within, between = torch.stack(variances), (all_means - mean).square()
    return mean, (within * share).sum(0) + (between * share).sum(0)


def _relu(features: Tensor, vectors: _Vectors, shortcut: Tensor | None = None) -> Tensor:
    """``relu(gain * features + offset) + shortcut``; the features themselves without vectors."""
    if not vectors:
        return features
    gain, offset = vectors
    shortcut = None if shortcut is None else channels_last(shortcut)
    found = train_fused.relu(features, gain, offset, shortcut)
    if found is not None:
        return found
    result = torch.empty_like(features)
    images = [each for each in (result, features, shortcut) if each is not None]
    for out, piece, *more in zip(*map(_pieces, images), strict=True):
        torch.addcmul(offset, piece, gain, out=out).relu_()
        for each in more:
            out.add_(each)
    return result


def _through_norm_relu(grad: Tensor, normed: _Normed) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the convolution's result, the scale and the shift.

    That of the result is ``gain * (g - mean(g) - n * mean(n * g))`` with ``n`` the normalised
    features and ``g`` their gradient; the two means are the gradients of shift and scale over the
    number of pixels.
    """
    grad = channels_last(grad)
    features, (gain, offset) = normed.parts
    fused = train_fused.sums(grad, features, (gain, offset, normed.mean))
    inner, shift, moment = (grad, *fused) if fused else _through_relu(grad, normed)
    scale, count = moment * normed.inverse, features.numel() // len(shift)
    slope = -gain * normed.inverse * scale / count
    constant = -gain * shift / count - slope * normed.mean
    if fused:
        result = train_fused.through(grad, features, (gain, offset, slope, constant))
        return result, scale, shift  # type: ignore[return-value]  # there, as the sums are
    for out, (values, scratch) in zip(_pieces(inner), _with_scratch(features), strict=True):
        torch.addcmul(constant, values, slope, out=scratch)
        torch.addcmul(scratch, out, gain, out=out)
    return inner, scale, shift


def _through_relu(grad: Tensor, normed: _Normed) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient ``g`` of the normalised features, the sums of ``g`` and of ``(x - mean) * g``."""
    inner = torch.empty_like(normed.features)
    shift, moment = torch.zeros_like(normed.mean), torch.zeros_like(normed.mean)
    features, (gain, offset) = normed.parts
    triples = zip(_pieces(grad), _pieces(inner), _with_scratch(features), strict=True)
    for piece, out, (values, scratch) in triples:
        torch.addcmul(offset, values, gain, out=scratch)
        torch.ops.aten.threshold_backward(piece, scratch, 0, grad_input=out)
        shift = shift + _sum(out)
        torch.sub(values, normed.mean, out=scratch).mul_(out)
        moment = moment + _sum(scratch)
    return inner, shift, moment


def _pieces(image: Tensor) -> tuple[Tensor, ...]:
    """``(N, C, H, W)``, channels-last, in pieces ``(rows, W, C)`` that fit in the cache."""
    rows = image.permute(0, 2, 3, 1).flatten(0, 1)
    if torch.compiler.is_compiling():
        return (rows,)  # the compiler fuses the operations into one loop by itself
    return rows.split(max(1, PIECE * torch.get_num_threads() // rows[0].numel()))


def _with_scratch(image: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pieces, each with a scratch buffer of its shape; all share the same memory."""
    pieces = _pieces(image)
    scratch = torch.empty_like(pieces[0])
    return [(piece, scratch[: len(piece)]) for piece in pieces]


def _sum(piece: Tensor) -> Tensor:
    """``(rows, W, C)`` -> ``(C,)``, in two sums as in :func:`sum_pixels`."""
    return piece.sum(1).sum(0)


def apply_conv(conv: nn.Module, image: Tensor) -> Tensor:
    """``conv(image)``, faster where possible."""
    if _is_fusible_conv(conv, image):
        return conv3x3(image, conv.weight, conv.bias)  # type: ignore[arg-type]
    return conv(image)


def apply_conv_norm_relu(
    image: Tensor, *layers: tuple[Any, Any], shortcut: Tensor | None = None
) -> Tensor:
    """``relu(norm(conv(image)))`` of each (conv, norm) in turn, plus ``shortcut`` if given."""
    if all(_are_fusible(*each, image) for each in layers):
        parameters = (ConvNorm(c.weight, c.bias, n.weight, n.bias, n.eps) for c, n in layers)
        result, found = conv_norm_relu(image, *parameters, shortcut=shortcut)
        for (_, norm), statistics in zip(layers, found, strict=True):
            _update(norm, statistics, result)
        return result
    *before, (conv, norm) = layers
    if before:
        image = apply_conv_norm_relu(image, *before)
        return apply_conv_norm_relu(image, (conv, norm), shortcut=shortcut)
    result = F.relu(norm(conv(image)))
    return result if shortcut is None else result + shortcut


def _update(norm: Any, statistics: Statistics, result: Tensor) -> None:
    """Update the running statistics as the module does, with the unbiased variance."""
    count = result.numel() // result.shape[1]
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(statistics.mean, norm.momentum)
        norm.running_var.lerp_(statistics.variance * (count / (count - 1)), norm.momentum)


def _are_fusible(conv: nn.Module, norm: nn.Module, image: Tensor) -> bool:
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.running_mean is not None
        and norm.momentum is not None
        and not _has_hooks(norm)
        and _is_fusible_conv(conv, image)
    )


def _is_fusible_conv(conv: nn.Module, image: Tensor) -> bool:
    return (
        type(conv) is nn.Conv2d
        and conv.training
        and (conv.kernel_size, conv.padding, conv.padding_mode) == ((3, 3), (1, 1), 'zeros')
        and (conv.stride, conv.dilation, conv.groups) == ((1, 1), (1, 1), 1)
        and conv.bias is not None
        and not _has_hooks(conv)
        and type(image) is Tensor
        and image.device.type == 'cpu'
        and image.dtype in (torch.float32, torch.float64)
        and (conv.weight.device, conv.weight.dtype) == (image.device, image.dtype)
        and image.numel() > image.shape[1]  # batch normalisation rejects a single value
        and not torch.is_autocast_enabled('cpu')
        and not torch.jit.is_tracing()
        and unpack_dual(image).tangent is None
    )


def _has_hooks(layer: nn.Module) -> bool:
    hooks = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')
    return any(getattr(layer, name) for name in hooks)
