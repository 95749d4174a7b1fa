"""What the adaptive stage decided for the images of a test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sci_plugins.functional.noise import LEVELS
from sci_plugins.models.enhancers.adaptive import Decision

#: What is told of a distribution, and its quantile.
QUANTILES = {'min': 0.0, 'lower quartile': 0.25, 'median': 0.5, 'upper quartile': 0.75, 'max': 1.0}
_EXAMPLES = ('lowest gain', 'middle gain', 'highest gain')
_NUMBERS = ('gain', 'exponent', 'light', 'noise')


def decided_cells(exponent: float, gain: float, strengths: Sequence[float]) -> list[str]:
    """Exponent, gain and strengths as text; ``'off'`` and two empty ones where it is off."""
    if exponent == 0 and gain == 1 and not any(strengths):
        return ['off', '', '']
    return [f'{exponent:.2f}', f'{gain:.2f}', ' '.join(f'{each:.1f}' for each in strengths)]


@dataclass(frozen=True)
class ImageDecision:
    """What was done to one image, and the light and noise that decided it."""

    #: as in :class:`sci_plugins.models.enhancers.adaptive.Decision`
    gain: float
    exponent: float
    strengths: list[float]
    light: float  # mean luma of the image, [0, 1]
    noise: float  # standard deviation of each channel's noise in linear light (white is 1)
    blocks: float = 0.0  # how clearly JPEG's blocks show, [0, 1], if it was looked for them

    @classmethod
    def of(cls, found: Decision, index: int = 0) -> 'ImageDecision':
        """That of one image of a batch."""
        return cls(
            gain=found.gain[index].item(),
            exponent=found.exponent[index].item(),
            strengths=found.strengths[index].tolist(),
            light=found.light.mean[index].item(),
            noise=found.noise.linear[index].item(),
            blocks=found.blocking.evidence[index].item(),
        )

    @property
    def off(self) -> bool:
        """Whether the image stays as it is, to the bit."""
        return decided_cells(self.exponent, self.gain, self.strengths)[0] == 'off'

    @property
    def told(self) -> str:
        """All in one line: what was seen, then what was done."""
        seen = f'light {self.light:.3f}, noise {self.noise:.5f}'
        seen += f', blocks of JPEG {self.blocks:.2f}' if self.blocks else ''
        exponent, gain, strengths = decided_cells(self.exponent, self.gain, self.strengths)
        if exponent == 'off':
            return f'{seen}; off, the image stays as it is'
        return f'{seen}; gain {gain}, exponent {exponent}, strengths {strengths}'


@dataclass(frozen=True)
class Decisions:
    """Of the images of a test set for which the stage was asked, in the order of the set."""

    images: list[str]  # their names
    gain: list[float]  # this and the others of each, see :class:`ImageDecision`
    exponent: list[float]
    strengths: list[list[float]]
    light: list[float]
    noise: list[float]
    blocks: list[float] = field(default_factory=list)  # empty in older files

    @classmethod
    def of(cls, ids: Sequence[str], found: Mapping[int, ImageDecision]) -> 'Decisions | None':
        """Those by position in a set of images ``ids``; ``None`` without any, or without names."""
        if not found or not ids:
            return None
        each = [found[place] for place in sorted(found)]
        strengths = [[_short(value) for value in one.strengths] for one in each]
        known = (*_NUMBERS, 'blocks')
        numbers = {name: [_short(getattr(one, name)) for one in each] for name in known}
        return cls([ids[place] for place in sorted(found)], strengths=strengths, **numbers)

    def __getitem__(self, place: int) -> ImageDecision:
        return ImageDecision(**{name: getattr(self, name)[place] for name in self._names})

    @property
    def _names(self) -> tuple[str, ...]:
        return ('strengths', *_NUMBERS, *['blocks'] * bool(self.blocks))

    @property
    def fits(self) -> bool:
        """Whether all lists are as long as they have to be: files may be edited or damaged."""
        lengths = {len(getattr(self, name)) for name in self._names}
        return lengths == {len(self.images)} and {*map(len, self.strengths)} <= {LEVELS}

    @property
    def off(self) -> int:
        """Number of images that stayed as they are."""
        return sum(self[place].off for place in range(len(self.images)))

    @property
    def columns(self) -> dict[str, list[float]]:
        """What was seen and done -> a value for each image."""
        found = {'light (mean luma)': self.light, 'noise (linear light)': self.noise}
        if any(self.blocks):
            found['blocks of JPEG'] = self.blocks
        found |= {'gain': self.gain, 'exponent': self.exponent}
        for level in range(LEVELS):
            found[f'strength of level {level + 1}'] = [each[level] for each in self.strengths]
        return found

    def examples(self) -> dict[str, int]:
        """What is special -> place of the images with the lowest, middle and highest gain.

        Of images with the same gain the exponent decides, then the strengths. Each image once.
        """
        order = np.lexsort((np.sum(self.strengths, 1), self.exponent, self.gain)).tolist()
        places = (order[0], order[(len(order) - 1) // 2], order[-1])
        # An image's first name stays.
        return {name: places[n] for n, name in enumerate(_EXAMPLES) if places[n] not in places[:n]}


def _short(value: float) -> float:
    """Five significant digits. 1 and 0, which mean off, stay exact; others do not become them."""
    rounded = float(f'{value:.5g}')
    return value if rounded in (0.0, 1.0) else rounded
