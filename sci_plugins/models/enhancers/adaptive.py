"""SCI that knows the light and the noise of its image, and is off where neither needs it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.errors import check_at_least
from sci_plugins.functional.blocking import BlockingEstimate, estimate_blocking
from sci_plugins.functional.host_image import undo_enlargement
from sci_plugins.functional.kernels.noise_fused import brighten, halve
from sci_plugins.functional.kernels.sci_fused import PASSES
from sci_plugins.functional.light import LightStatistics, light_statistics, to_cells
from sci_plugins.functional.noise import (
    LEVELS,
    MIN_SIDE,
    NoiseEstimate,
    estimate_noise,
    shrink_pixels,
)
from sci_plugins.functional.tensors import is_recorded
from sci_plugins.models.enhancers.base import BaseEnhancer, needs_gradient
from sci_plugins.models.enhancers.sci import SCIEnhancer
from sci_plugins.models.enhancers.weights import load_enhancer_weights, saved_arguments
from sci_plugins.registry import MODELS

#: Largest exponent of the light, strength of the shrinkage, and natural logarithm of the gain.
MAX_EXPONENT, MAX_STRENGTH, MAX_LOG_GAIN = 1.5, 4.0, 3.0
# Logarithm of the gain below which everything else closes but the shrinkage of white noise.
_EVENED = 0.1
# Compressed noise, relative to the light, from which on it restrains the gain in full. Of
# photographs at gain .1 without noise and JPEG 70 it is .06, at gain .05 with noise .002 it is .12.
_STRONG = 0.1
# A sensor's noise, relative to the light, from which on ``caution`` holds in full; and the share of
# strong compressed noise up to which it does not, for compression of clean photographs leaves some.
_NOISY, _COMPRESSION = 0.05, 0.6
# Of white, as noise is told: a power of two, which rounds nothing.
_STEPS = 256.0
# Before the sigmoid, a strength that stays 0.
_CLOSED = -4.0
_MOST_CELLS, _HIDDEN, _FEATURES = 512, 16, 13
# A sigmoid stretched by this much to each side and clipped: exactly 0 can be reached and kept.
_STRETCH = 0.05
# Noise that only the half-size image shows, relative to the light: up to the first value all stays,
# from the second on the stage is off. Of 60 COCO photographs at half their size, darkened to .3 to
# .01 and enlarged twice, nine in ten clean ones have up to .051; with shot noise .003 at gain .05
# nine in ten have more than .08.
_UNSEEN = (0.05, 0.085)
# Of the same photographs, the noise of the brighter half counts this much beside that of the whole,
# and by itself: texture is in it.
_LIT, _LIT_ALONE = 0.5, 0.8
# How much sharper the half size is, as a logarithm, where an image was enlarged: below the first
# value the noise of the half size is fine texture. Median of photographs -.06, of those enlarged by
# 1.25 to 2.5 .23 to .46.
_BLURRED = (0.05, 0.13)


class Decision(NamedTuple):
    """What is done to each image of a batch, and the statistics that decided it."""

    exponent: Tensor  # of the regional light, ``(N,)``, [0, 1.5]; 0 leaves the light where it is
    gain: Tensor  # factor of the pixel values, ``(N,)``, [1, e³]
    #: of the noise shrinkage, finest level first, ``(N, 4)``, [0, 4]; 0 keeps the noise
    strengths: Tensor
    #: noise of each level that they multiply, ``(N, 4)``, in 1/256 of white: the sensor's, or what
    #: JPEG left of it. Video smooths decisions, and takes changes below .001 for none
    sigma: Tensor
    #: ``(N,)`` each
    light: LightStatistics
    noise: NoiseEstimate
    #: noise of the image at half its size: where the image was enlarged before, its noise is there
    coarse: NoiseEstimate
    blocking: BlockingEstimate

    @property
    def is_off(self) -> Tensor:
        """Whether each image stays as it is, to the bit; ``(N,)``, bool."""
        return (self.exponent == 0) & (self.gain == 1) & (self.strengths == 0).all(1)


@MODELS.register_module()
class AdaptiveSCIEnhancer(BaseEnhancer):
    """SCI's illumination with an exponent, a gain and noise shrinkage that each image decides.

    ``y = sqrt(shrink(x ** 2, strengths))``, ``out = clamp(y * gain / light ** exponent, 0, 1)``.
    ``light`` is SCI's illumination of regions: the estimator sees the image averaged down to
    ``cells``, its brightest channel is taken, divided by the geometric mean over the image and
    interpolated. A network of 326 parameters sets exponent, gain and strengths from the image's
    light and noise; the exponent, which evens the light out, only with a gain. Where it decides for
    none, as by day, the image is given back to the bit; so is one below 5 x 5 pixels, where there
    is nothing to measure.

    Everything is differentiable, through the decision as far as its own parameters go, and computed
    in float32 under AMP. SCI's BatchNorm keeps its statistics in training too.

    Noise is measured in the image that arrives and in its half size, where it is white again if the
    image was enlarged. Strong noise that only the half size shows cannot be taken out well: the
    image stays as it is. Noise that was compressed shows by JPEG's blocks, until the image is
    resized: its traces are shrunk and restrain the gain. Where a data preprocessor knows at test
    time what its pipeline enlarged, the stage works at the original resolution
    (:meth:`enhance_enlarged`); otherwise it belongs before a ``Resize``:
    :class:`sci_plugins.EnhanceImage`.

    Args:
        cells: regions along the longer side, 1 to 512; as many as there are pixels at most.
        illumination: SCI weights to put in place of the file's, such as ``'official/medium'``.
        weights: ``'sci_plugins/adaptive'``, which comes with this package, or a path. ``None``
            initialises; SCI's part as :class:`SCIEnhancer` does.
        caution: share of the gain's logarithm to leave out in noise and in strong remains of
            compression, in [0, 1]: for networks that see in the dark. ``None``: what the file of
            weights says, else 0.

    Images and errors are those of :class:`BaseEnhancer`.

    Source: ours, of SCI (CVPR 2022), and noise estimation and a Wiener filter on a pyramid, see
    :mod:`sci_plugins.functional.noise`.
    """

    weight_arguments = ('weights', 'illumination')
    machine_code = (PASSES,)

    def __init__(
        self,
        cells: int = 12,
        illumination: str | None = None,
        weights: str | None = None,
        caution: float | None = None,
    ) -> None:
        super().__init__()
        check_at_least(1, 'AdaptiveSCIEnhancer', most=_MOST_CELLS, cells=cells)
        if caution is None:
            saved = saved_arguments(AdaptiveSCIEnhancer, weights) if weights else {}
            caution = saved.get('caution') or 0.0
        check_at_least(0.0, 'AdaptiveSCIEnhancer', most=1.0, caution=caution)
        self.cells, self.caution = cells, self.remember('caution', float(caution))
        self.sci = SCIEnhancer().eval()
        self.controller = Controller()
        #: Called with each :class:`Decision`.
        self.listeners: list[Callable[[Decision], object]] = []
        load_enhancer_weights(self, weights)
        load_enhancer_weights(self.sci, illumination)

    def train(self, mode: bool = True) -> 'AdaptiveSCIEnhancer':
        """Set the mode, but for SCI's BatchNorm: crops are no sample of its light."""
        super().train(mode)
        self.sci.eval()
        return self

    def complete_state(self, state: dict[str, Tensor], prefix: str = '') -> None:
        """Files from before images were looked at for JPEG: what they do stays the same."""
        if f'{prefix}controller.out.bias' in state:
            for name in ('deblocking', 'restraining'):
                closed = torch.full_like(getattr(self.controller, name), _CLOSED)
                state.setdefault(f'{prefix}controller.{name}', closed)

    def decide(self, image: Tensor) -> Decision:
        """What is to be done to each image ``(N, 3, H, W)``; ValueError also below 5 x 5 pixels."""
        self.check_input(image)
        light, noise, coarse = statistics_of(image)
        exponent, log_gain, strengths = self.controller(light, noise, coarse)
        blocking = BlockingEstimate(*2 * (torch.zeros_like(light.mean),))
        if self._does_all(image) or bool((log_gain > 0).any()):
            # Of an image that is not brightened it never counts, whatever is in its batch.
            found = estimate_blocking(image)
            blocking = BlockingEstimate(*(torch.where(log_gain > 0, each, 0) for each in found))
        # JPEG hides the finest noise, too, but what is left can be taken away.
        hidden = _hidden_noise(light, noise, coarse) * (1 - blocking.evidence)
        shown = 1 - hidden.to(log_gain.dtype)
        compressed, own = blocking.sigma / _STRONG, noise.sigma * noise.whiteness / _NOISY
        compressed, own = ((e / (light.mean**2 + 1e-3)).clamp(0, 1) for e in (compressed, own))
        kept = 1 - self.controller.restraint() * blocking.evidence * compressed
        beyond = ((compressed - _COMPRESSION) / (1 - _COMPRESSION)).clamp_min(0)
        kept = kept * (1 - self.caution * torch.maximum(own, blocking.evidence * beyond))
        log_gain, strengths = log_gain * shown * kept, strengths * shown[:, None]
        # What is not brightened is not evened out, and shows JPEG's blocks as networks know them.
        brightened = (log_gain / _EVENED).clamp(0, 1)
        against = self.controller.against_blocks() * (blocking.evidence * brightened)[:, None]
        sigma = torch.stack([noise.sigma, *[2 * coarse.sigma] * (LEVELS - 1)], 1)
        blocks = blocking.sigma[:, None].expand_as(sigma)
        stronger = against * blocks > strengths * sigma
        decision = Decision(
            exponent=exponent * brightened,
            gain=log_gain.exp(),
            strengths=torch.where(stronger, against, strengths),
            sigma=torch.where(stronger, blocks, sigma) * _STEPS,
            light=light,
            noise=noise,
            coarse=coarse,
            blocking=blocking,
        )
        for listen in self.listeners:
            listen(decision)
        return decision

    def enhance_enlarged(self, image: Tensor, size: tuple[int, int], steps: int = 0) -> Tensor:
        """Measure and remove noise at the original resolution; brighten at the image's own."""
        # As a call, so that hooks run; a subclass with a forward of its own keeps that.
        is_own = type(self).forward is not AdaptiveSCIEnhancer.forward
        return self(image) if is_own else self(image, size, steps)

    def forward(self, image: Tensor, size: tuple[int, int] | None = None, steps: int = 0) -> Tensor:
        self.check_input(image)
        size = (image.shape[2], image.shape[3]) if size is None else size
        if image.numel() == 0 or min(size) < MIN_SIDE:
            return image
        with torch.autocast(image.device.type, enabled=False):
            exact = image.to(torch.promote_types(image.dtype, torch.float32))
            seen = exact if size == image.shape[2:] else undo_enlargement(exact, size, steps)
            decision = self.decide(seen)
            if not self._does_all(exact) and bool(decision.is_off.all()):
                return image
            return self.carry_out(exact, decision, seen).to(image.dtype)

    def carry_out(self, image: Tensor, decision: Decision, seen: Tensor | None = None) -> Tensor:
        """``image``, ``(N, 3, H, W)``, with what was decided; ``seen``: at its original resolution.

        Steps that no image needs are left out, but see :meth:`_does_all`.
        """
        seen = image if seen is None else seen
        everything = self._does_all(image)
        bright = image
        if everything or bool((decision.strengths > 0).any()):
            bright = shrink_pixels(seen, decision.sigma / _STEPS, decision.strengths)
            bright = bright if seen is image else _enlarge(bright, image)
            noisy = (decision.strengths > 0).any(1)
            if everything or not bool(noisy.all()):
                bright = torch.where(noisy.view(-1, 1, 1, 1), bright, image)
        light = image.new_zeros(1, 1, 1, 1)
        if everything or bool((decision.exponent > 0).any()):
            light = self._light_of_cells(bright)
        result = brighten(bright, decision.gain, decision.exponent, light, bright is not image)
        if result is None:
            light = _enlarge(light, image) if everything or light.numel() > 1 else light
            gain, exponent = (each.view(-1, 1, 1, 1) for each in (decision.gain, decision.exponent))
            result = (bright * (gain * torch.exp(-exponent * light))).clamp(0, 1)
        return result  # times 1 where all is off

    def regional_light(self, image: Tensor) -> Tensor:
        """Natural logarithm ``(N, 1, H, W)`` of SCI's illumination of regions; its mean is 0."""
        return _enlarge(self._light_of_cells(image), image)

    def _light_of_cells(self, image: Tensor) -> Tensor:
        cells = to_cells(image, self.cells).to(self.sci.in_conv.weight.dtype)
        light = self.sci.estimate_illumination(cells).to(image.dtype).amax(1, keepdim=True).log()
        return light - light.mean((2, 3), keepdim=True)

    def _does_all(self, image: Tensor) -> bool:
        """Whether no step may be left out.

        A GPU would have to be waited for, what is recorded has to hold for other images too, and
        parallel training waits for the gradient of every parameter.
        """
        return not image.is_cpu or is_recorded() or needs_gradient(self, image)


def statistics_of(image: Tensor) -> tuple[LightStatistics, NoiseEstimate, NoiseEstimate]:
    """What decides: the light of ``(N, 3, H, W)``, its noise, and that of its half size."""
    noise = coarse = estimate_noise(image)
    if min(image.shape[2:]) >= 2 * MIN_SIDE:
        coarse = estimate_noise(halve(image))
    return light_statistics(image), noise, coarse


class Controller(nn.Module):
    """A perceptron from an image's statistics to what is done to it: 326 parameters.

    Five more are for compressed images: what to take away, and how much gain to leave out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(_FEATURES, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 2 + LEVELS)
        self.deblocking = nn.Parameter(torch.empty(LEVELS))
        self.restraining = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with little of everything, the same for every image."""
        self.hidden.reset_parameters()
        nn.init.normal_(self.out.weight, 0, 0.05)
        for value in (self.out.bias, self.deblocking, self.restraining):
            nn.init.constant_(value, -1.0)
        nn.init.constant_(self.out.bias[-1:], -2.0)

    def against_blocks(self) -> Tensor:
        """How much of what JPEG left to take away, finest level first, ``(4,)``, [0, 4]."""
        return MAX_STRENGTH * _opened(self.deblocking)

    def restraint(self) -> Tensor:
        """Share of the gain's logarithm to leave out in compressed noise, [0, 1]."""
        return _opened(self.restraining)

    def forward(
        self, light: LightStatistics, noise: NoiseEstimate, coarse: NoiseEstimate
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Exponent ``(N,)``, logarithm of the gain ``(N,)`` and strengths ``(N, 4)``."""
        features = _features(light, noise, coarse)
        out = self.out(F.silu(self.hidden(features.to(self.hidden.weight.dtype))))
        opened = _opened(out.to(features.dtype))
        # What is not white is texture, or noise that was processed: it is left alone.
        fine = noise.whiteness[:, None]
        others = torch.maximum(fine, coarse.whiteness[:, None]).expand(-1, LEVELS - 1)
        strengths = MAX_STRENGTH * opened[:, 1:-1] * torch.cat([fine, others], 1)
        return MAX_EXPONENT * opened[:, 0], MAX_LOG_GAIN * opened[:, -1], strengths


def _opened(value: Tensor) -> Tensor:
    return ((1 + 2 * _STRETCH) * torch.sigmoid(value) - _STRETCH).clamp(0, 1)


def _features(light: LightStatistics, noise: NoiseEstimate, coarse: NoiseEstimate) -> Tensor:
    """The statistics at about unit scale, ``(N, 13)``; logarithms above an 8-bit level."""
    values = torch.stack([light.mean, light.low, light.median, light.high], 1)
    others = [
        4 * light.mean - 1,
        2 * (light.unevenness - 0.5),
        0.5 * (light.highlights + 1e-3).log() + 2,
    ]
    for each in (noise, coarse):
        relative = each.sigma / (light.mean**2 + 1e-3)
        others += [
            0.5 * ((each.sigma + 2e-5).log() + 6),
            0.5 * ((relative + 1e-3).log() + 4),
            2 * each.whiteness - 1,
        ]
    return torch.cat([(values + 1 / 255).log() + 2, torch.stack(others, 1)], 1)


def _hidden_noise(light: LightStatistics, noise: NoiseEstimate, coarse: NoiseEstimate) -> Tensor:
    """How much of everything to keep back, ``(N,)``, [0, 1]: noise of an enlarged image."""
    whole = (2 * coarse.sigma - noise.sigma).clamp_min(0)
    lit = (2 * coarse.lit - noise.lit).clamp_min(0)
    unseen = torch.maximum(whole + _LIT * lit, _LIT_ALONE * lit)
    relative = unseen / (light.mean**2 + 1e-3)
    blurred = (coarse.sharpness / noise.sharpness).log()
    return _rise(relative, *_UNSEEN) * _rise(blurred, *_BLURRED)


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    return ((value - low) / (high - low)).clamp(0, 1)


def _enlarge(light: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(light, image.shape[2:], mode='bilinear', align_corners=False)
