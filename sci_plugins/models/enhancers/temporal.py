"""Enhancing the frames of a video so that brightness does not flicker."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.errors import check_at_least, check_choice
from sci_plugins.functional.light import to_cells
from sci_plugins.functional.retinex import blend
from sci_plugins.models.enhancers.base import BaseEnhancer
from sci_plugins.models.enhancers.build import EnhancerLike, build_enhancer
from sci_plugins.models.enhancers.gated import GatedEnhancer
from sci_plugins.registry import MODELS

Temporal = Literal['none', 'gain', 'full']
# A decision moves on when it left this share of its value behind, or this much near zero.
_BAND = 0.03
# Cells along the longer side, and the median change of their log light, beside what their
# neighbours do, from which on a frame is a new scene. Measured, also darkened with noise: .056 at
# most between 15 frames a second of CamVid, where headlights go on; between two streets .107 at
# least, between two photographs .226.
_CELLS, _CUT = 16, 0.08
# Change of the log light as a whole at which a decision is smoothed half as much.
_LIGHT_CHANGE = 0.05
# Change between frames, relative to their light, at which a pixel counts as half moved, and the
# most of a frame that comes from those before it.
_MOVED, _MOST_KEPT = 0.1, 0.8
# A quarter of an 8-bit step: the floor of logarithms of means.
_FLOOR = 0.25 / 255


@runtime_checkable
class DecidingEnhancer(Protocol):
    """An enhancer that decides something for each whole image, which can be smoothed."""

    def decide(self, image: Tensor) -> Any:
        """A tensor, or a (named) tuple of them, from ``(N, 3, H, W)``."""

    def carry_out(self, image: Tensor, decision: Any) -> Tensor:
        """``image`` with what was decided, perhaps changed a little."""


@MODELS.register_module()
class TemporalEnhancer(BaseEnhancer):
    """Any enhancer, steady along time: its state follows one stream of frames.

    ``'gain'`` smooths what an enhancer decides for a whole frame (a :class:`DecidingEnhancer`, of
    your own too, or the gate of :class:`GatedEnhancer`): exponentially, with a dead band of 3 %, so
    that a lamp that passes or noise changes little. Where the light changes as a whole, the
    decision follows at once: smoothed, it would let through what it takes away. ``'full'`` also
    averages the picture along time, and with it the illumination that is estimated from it,
    wherever nothing moved. (The illumination alone cannot be: SCI's holds the pixel itself, whose
    noise it takes out by division.) ``'none'`` treats each frame by itself. Frames to come are
    never used. A scene cut starts anew; so does another frame size.

    The images of a batch are consecutive frames of the stream. The state is of this object, not of
    its weights: use one for each stream, and call :meth:`reset` between streams.

    Args:
        enhancer: see :func:`build_enhancer`; ``'temporal/NAME'`` names both.
        temporal: ``'none'``, ``'gain'`` or ``'full'``.
        seconds: time constant of the smoothing, 0 to 3600.
        fps: frames in a second, where :meth:`step` is not told how much time went by.

    Shape:
        - input and output: ``(N, 3, H, W)``, RGB, float, [0, 1]: N frames in order. Gradients flow
          within a frame, not along time

    Raises:
        ConfigError: if an argument is out of range or ``enhancer`` names none.
    """

    def __init__(
        self,
        enhancer: EnhancerLike,
        temporal: Temporal = 'gain',
        seconds: float = 0.5,
        fps: float = 30.0,
    ) -> None:
        super().__init__()
        check_choice('temporal', temporal, get_args(Temporal))
        check_at_least(0.0, 'TemporalEnhancer', seconds=seconds, most=3600)
        check_at_least(1e-3, 'TemporalEnhancer', fps=fps, most=1e5)
        self.enhancer = build_enhancer(enhancer)
        self.temporal, self.seconds, self.fps = temporal, seconds, fps
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next frame is a first one."""
        self._state: dict[str, Any] = {}
        self._cuts: int | Tensor = 0

    @property
    def cuts(self) -> int:
        """How many scene cuts there were; on a GPU, asking waits for it."""
        return int(self._cuts)

    def stream_state(self) -> dict[str, Any]:
        """What has to be kept to go on with the stream later, tensors and plain data."""
        return dict(self._state, cuts=self.cuts)

    def resume_stream(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`stream_state` was taken."""
        self._state = {name: value for name, value in state.items() if name != 'cuts'}
        self._cuts = state['cuts']

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if self.temporal == 'none':
            return self.enhancer(image)
        return torch.cat([self.step(frame[None]) for frame in image]) if len(image) else image

    def step(self, frame: Tensor, seconds: float | None = None) -> Tensor:
        """The next frame of the stream, ``(1, 3, H, W)``, RGB, float, [0, 1].

        ``seconds`` have passed since the frame before, by default ``1 / fps``.
        """
        if self.temporal == 'none':
            return self.enhancer(frame)
        with torch.no_grad():
            self._watch(frame)
        passed = 1 / self.fps if seconds is None else max(seconds, 0.0)
        self._keep = math.exp(-passed / self.seconds) if self.seconds else 0.0
        if self.temporal == 'gain':
            return self._run(self.enhancer, frame, frame)
        with torch.no_grad():
            still = self._average(frame)
        still = frame + (still - frame.detach())  # the gradient of the frame
        # Noise is decided on as it comes: averaging leaves it where something moved.
        out = self._run(self.enhancer, frame, still)
        # Off is off to the bit.
        if out.is_cpu:
            return frame if torch.equal(out, still) else out
        return torch.where((out == still).all(), frame, out)

    def _watch(self, frame: Tensor) -> None:
        """Note whether this is a cut, where all starts anew, and how far the light changed.

        As tensors: on a GPU nothing waits for them.
        """
        cells = (to_cells(frame, _CELLS).mean(1, keepdim=True) + _FLOOR).log()
        size = tuple(frame.shape[2:])
        if self._state.get('size') != size:
            self._state = {}
        # Light that changes is smooth, and a thing that appears covers less than half.
        change = cells - self._state.get('cells', cells)
        around = F.avg_pool2d(change, 5, 1, 2, count_include_pad=False)
        self._is_cut = (change - around).abs().median() > _CUT
        self._cuts = self._cuts + self._is_cut
        self._light = change.median()
        self._state.update(cells=cells, size=size)

    def _average(self, frame: Tensor) -> Tensor:
        """The frame, averaged with those before it wherever the picture did not move."""
        grey = _blurred(frame)
        if 'still' in self._state:
            last = (self._state['still'] * self._light.exp()).clamp(0, 1)
            other = _blurred(last)
            change = (grey - other).abs() / (torch.minimum(grey, other) + 8 * _FLOOR)
            weight = min(self._keep, _MOST_KEPT) / (1 + (change / _MOVED) ** 2)
            frame = torch.lerp(frame, last, weight.masked_fill(self._is_cut, 0))
        self._state['still'] = frame
        return frame

    def _run(self, enhancer: nn.Module, frame: Tensor, picture: Tensor, place: str = '') -> Tensor:
        """What ``enhancer`` makes of a picture, its decision on the frame smoothed."""
        if isinstance(enhancer, GatedEnhancer):
            gate = self._smooth(f'{place}gate', enhancer.gate(frame))
            if enhancer.may_skip(gate):
                return picture
            inner = self._run(enhancer.enhancer, frame, picture, f'{place}gated.')
            return blend(picture, inner, gate)
        if isinstance(enhancer, DecidingEnhancer):
            decision = self._smooth(f'{place}decision', enhancer.decide(frame))
            return enhancer.carry_out(picture, decision)
        return enhancer(picture)

    def _smooth(self, name: str, new: Any) -> Any:
        """Values for a whole frame, in tuples as deep as they come."""
        if isinstance(new, tuple):
            values = [self._smooth(f'{name}.{i}', value) for i, value in enumerate(new)]
            return getattr(new, '_make', tuple)(values)
        start = new.detach()
        before = self._state.get(name, (start, start))
        aim, value = (torch.where(self._is_cut, start, old) for old in before)
        band = _BAND * aim.abs().clamp_min(_BAND)
        aim = torch.where((new - aim).abs() > band, new, aim)
        kept = self._keep / (1 + (self._light / _LIGHT_CHANGE) ** 2)
        value = aim + kept * (value - aim)
        # Arrived: exactly what was decided, so that off is off to the bit.
        value = torch.where((value - aim).abs() <= band / 10, aim, value)
        self._state[name] = (aim.detach(), value.detach())
        return value


def _blurred(image: Tensor) -> Tensor:
    """Mean of the colours of 5 x 5 pixels, ``(N, 1, H, W)``: noise is no motion."""
    return F.avg_pool2d(image.mean(1, keepdim=True), 5, 1, 2, count_include_pad=False)
