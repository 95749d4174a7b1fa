"""Where a tuned stage is worse than the image as it is: its table of light and noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from sci_plugins.datasets.darkened_crops import DarkenedCrops, LabelledImages
from sci_plugins.functional.low_light import darken
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.models.teachers import Teacher
from sci_plugins.utils.cli import text_table

#: Conditions: gains by noise.
GRID_GAINS, GRID_NOISES = (1.0, 0.3, 0.1, 0.05, 0.02), (0.0, 0.002, 0.004)
#: Harm up to this fraction of the loss that the untouched images have over the whole grid.
MARGIN = 0.02
#: Numbers of batches that no step has.
HELD_OUT = 10**9
_RESAMPLES, _BATCHES = 1000, 4


@dataclass(frozen=True)
class GridCell:
    """Held-out crops in one condition: mean loss without and with the stage."""

    #: of the condition
    gain: float
    noise: float
    #: mean loss of the untouched and of the enhanced crops
    raw: float
    tuned: float
    #: 95 % interval of ``tuned - raw``, paired over crops
    low: float
    high: float
    harms: bool  # whether the interval lies above the margin


@torch.no_grad()
def check_grid(
    stage: BaseEnhancer,
    teacher: Teacher,
    crops: DarkenedCrops | LabelledImages,
    *,
    gains: Sequence[float] = GRID_GAINS,
    noises: Sequence[float] = GRID_NOISES,
    margin: float = MARGIN,
    device: str = 'cpu',
) -> list[GridCell]:
    """Loss without and with a stage, in eval mode, on the same images in every light and noise.

    Args:
        teacher: what is compared with the untouched images.
        crops: where they come from; how they are darkened there does not matter.
        gains, noises: the grid.
        margin: harm that is tolerated, as a fraction of the raw loss over the whole grid.
        device: of stage and teacher.
    """
    parts = [part for k in range(_BATCHES) for part in crops.parts(HELD_OUT + 100 + k)]
    singles = [single for part in parts for single in part.singles()]
    aims = [teacher.aim(single.bright.to(device), single.labels) for single in singles]
    bright = (single.bright[0].permute(1, 2, 0) * 255 for single in singles)
    pixels = [each.round().byte().numpy() for each in bright]
    generator = np.random.default_rng(0)
    measured = {}
    for gain, noise in product(gains, noises):
        losses = []
        for each, aim in zip(pixels, aims, strict=True):
            dark = torch.from_numpy(darken(each, gain, noise, 0, generator)).permute(2, 0, 1)
            image = (dark.float() / 255)[None].to(device)
            seen = (teacher.look(image), teacher.look(stage(image)))
            losses.append(torch.cat([teacher.distance(one, aim) for one in seen]))
        measured[gain, noise] = torch.stack(losses).cpu()
    limit = margin * float(torch.stack([each[:, 0].mean() for each in measured.values()]).mean())
    return [_judge(*place, losses.numpy(), limit) for place, losses in measured.items()]


def grid_table(grid: Sequence[GridCell]) -> str:
    """A grid, as text."""
    rows = [
        [f'{cell.gain:g}', f'{cell.noise:g}', f'{cell.raw:.4f}', f'{cell.tuned:.4f}',
         f'[{cell.low:+.4f}, {cell.high:+.4f}]', 'worse' if cell.harms else '']
        for cell in grid
    ]  # fmt: skip
    head = ['gain', 'noise', 'raw loss', 'tuned', 'difference', '']
    return text_table(head, rows)


def _judge(gain: float, noise: float, losses: np.ndarray, margin: float) -> GridCell:
    difference = losses[:, 1] - losses[:, 0]
    draws = np.random.default_rng(0).integers(len(losses), size=(_RESAMPLES, len(losses)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    raw, tuned = losses.mean(0)
    cell = (gain, noise, float(raw), float(tuned), float(low), float(high))
    return GridCell(*cell, harms=bool(low > margin))
