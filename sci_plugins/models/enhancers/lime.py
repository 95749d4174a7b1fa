"""LIME: an illumination map by its structure-aware smoothing, without weights or training."""

import math

import torch
from torch import Tensor

from sci_plugins.errors import check_above
from sci_plugins.functional.retinex import limit_illumination
from sci_plugins.models.enhancers.base import RetinexEnhancer
from sci_plugins.registry import MODELS

#: Added to gradients in the weights, as in the code of Xu et al. that LIME's strategy follows.
_EPSILON = 1e-3
#: Half the window of the Gaussian, in pixels.
_REACH = 2
#: Shifts of the alternating steps: a third of the one before at least, else they may diverge.
_SHIFTS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.5)


@MODELS.register_module()
class LIMEEnhancer(RetinexEnhancer):
    """Low-light image enhancement via illumination map estimation (Guo, Li, Ling; TIP 2017).

    The largest channel of each pixel is a first illumination. Its smooth version with the same
    edges minimises ``|t - t0|² + alpha * sum w (dt)² / (|dt0| + e)``, the sped-up problem of the
    paper (eq. 17 to 19) with its weights of strategy III; to the power ``gamma`` it divides the
    image. BM3D, which the authors may run afterwards, is left out. Differentiable.

    That linear system is solved along rows and columns in turn: three passes of Min et al. (Fast
    global image smoothing, TIP 2014, eq. 13), then six steps of Peaceman and Rachford (1955). The
    result is 46 to 53 dB from that of a direct solver, which takes four times as long.

    Args:
        alpha: how smooth the illumination is, above 0.
        gamma: its exponent, above 0; below 1 keeps the image darker.
        sigma: of the Gaussian of 5 x 5 pixels in the weights, above 0.

    Images and errors are those of :class:`BaseEnhancer`.
    """

    def __init__(self, alpha: float = 0.15, gamma: float = 0.8, sigma: float = 2.0) -> None:
        super().__init__()
        check_above(0, 'LIMEEnhancer', below=1e6, alpha=alpha, gamma=gamma, sigma=sigma)
        self.alpha, self.gamma, self.sigma = alpha, gamma, sigma

    def estimate_illumination(self, image: Tensor) -> Tensor:
        first = image.double().amax(1, keepdim=True)  # weights reach 10,000 times the data's
        across, down = (self.alpha * self._weights(first, axis) for axis in (-1, -2))
        smooth = limit_illumination(solve_smooth(first, across, down)) ** self.gamma
        return limit_illumination(smooth.to(image.dtype)).expand_as(image)

    def _weights(self, first: Tensor, axis: int) -> Tensor:
        """Weights of strategy III over the gradient along an axis, ``(N, 1, H, W)``."""
        slope = _slope(first, axis)
        return 1 / ((_blur(slope, self.sigma).abs() + _EPSILON) * (slope.abs() + _EPSILON))


def solve_smooth(first: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """``t`` with ``t - d(across * dt) - d(down * dt) = first``, nearly; see the class.

    All are ``(N, 1, H, W)``. ``across`` and ``down``, 0 or more, weigh the difference between a
    pixel and its right or lower neighbour; their last column or row is not used.
    """
    found = first
    for step in (1, 2, 3):
        share = 1.5 * 4 ** (3 - step) / (4**3 - 1)
        found = _solve_rows(found, share * across)
        found = _solve_rows(found.mT, share * down.mT).mT
    for shift in _SHIFTS:
        rest = first + (shift - 0.5) * found
        found = _solve_rows(rest - _roughness(found, down, -2), across, shift + 0.5)
        rest = first + (shift - 0.5) * found
        found = _solve_rows((rest - _roughness(found, across, -1)).mT, down.mT, shift + 0.5).mT
    return found


def _solve_rows(right: Tensor, weight: Tensor, diagonal: float = 1.0) -> Tensor:
    """``t`` of ``diagonal * t - d(weight * dt) = right`` for each row: elimination (Thomas)."""
    columns, weights = (right / diagonal).unbind(-1), (weight / diagonal).unbind(-1)
    before = rest = value = torch.zeros_like(columns[0])
    ahead: list[tuple[Tensor, Tensor]] = []
    for column, after in zip(columns, [*weights[:-1], torch.zeros_like(before)], strict=True):
        rest = 1 + before * rest
        pivot = rest + after
        rest, value, before = rest / pivot, (column + before * value) / pivot, after
        ahead.append((after / pivot, value))
    found = [value]
    for ratio, value in reversed(ahead[:-1]):
        found.append(value + ratio * found[-1])
    return torch.stack(found[::-1], -1)


def _slope(values: Tensor, axis: int) -> Tensor:
    """Difference to the next pixel along an axis; 0 at the last."""
    return values.diff(dim=axis, append=values.narrow(axis, -1, 1))


def _roughness(values: Tensor, weight: Tensor, axis: int) -> Tensor:
    """``-d(weight * d values)`` along an axis."""
    flow = weight * _slope(values, axis)
    return -flow.diff(dim=axis, prepend=torch.zeros_like(flow.narrow(axis, 0, 1)))


def _blur(values: Tensor, sigma: float) -> Tensor:
    """Gaussian of 5 x 5 pixels; the border is repeated."""
    steps = range(-_REACH, _REACH + 1)
    shares = [math.exp(-(step**2) / (2 * sigma**2)) for step in steps]
    for axis in (-1, -2):
        last = values.shape[axis] - 1
        places = torch.arange(last + 1, device=values.device)
        moved = [values.index_select(axis, (places + step).clamp(0, last)) for step in steps]
        parts = (share * each for share, each in zip(shares, moved, strict=True))
        values = sum(parts, start=torch.zeros_like(values)) / sum(shares)
    return values
