"""Where a tuned stage is worse than the image as it is: its table of light and noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
    """Held-out crops in one condition: mean loss without and with the stage.

    Attributes:
        gain, noise: of the condition.
        raw, tuned: mean loss of the untouched and of the enhanced crops.
        low, high: 95 % interval of ``tuned - raw``, paired over crops.
        harms: whether the interval lies above the margin.
    """

    gain: float
    noise: float
    raw: float
    tuned: float
    low: float
    high: float
    harms: bool


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
    """Loss without and with a stage on the same images in every light and noise.

    Args:
        stage: in eval mode.
        teacher: what is compared with the untouched images.
        crops: where they come from; how they are darkened there does not matter.
        gains, noises: the grid.
        margin: harm that is tolerated, as a fraction of the raw loss over the whole grid.
        device: of stage and teacher.
    """
    parts = [part for k in range(_BATCHES) for part in crops.parts(HELD_OUT + 100 + k)]
    singles = [single for part in parts for single in part.singles()]
    aims = [teacher.aim(single.bright.to(device), single.labels) for single in singles]
    pixels = [_pixels(single.bright[0]) for single in singles]
    generator = np.random.default_rng(0)
    measured = {}
    for gain, noise in product(gains, noises):
        dark = (darken(each, gain, noise, 0, generator) for each in pixels)
        images = (torch.from_numpy(each).permute(2, 0, 1).float() / 255 for each in dark)
        losses = [
            _losses(stage, teacher, image[None].to(device), aim)
            for image, aim in zip(images, aims, strict=True)
        ]
        measured[gain, noise] = torch.stack(losses).cpu()
    unit = float(torch.stack([losses[:, 0].mean() for losses in measured.values()]).mean())
    return [
        _judge(gain, noise, losses.numpy(), margin * unit)
        for (gain, noise), losses in measured.items()
    ]


def grid_table(grid: Sequence[GridCell]) -> str:
    """A grid, as text."""
    rows = [
        [f'{cell.gain:g}', f'{cell.noise:g}', f'{cell.raw:.4f}', f'{cell.tuned:.4f}',
         f'[{cell.low:+.4f}, {cell.high:+.4f}]', 'worse' if cell.harms else '']
        for cell in grid
    ]  # fmt: skip
    head = ['gain', 'noise', 'raw loss', 'tuned', 'difference', '']
    return text_table(head, rows)


def _pixels(image: Tensor) -> np.ndarray:
    return (image.permute(1, 2, 0) * 255).round().byte().numpy()


@torch.no_grad()
def _losses(stage: BaseEnhancer, teacher: Teacher, image: Tensor, aim: Any) -> Tensor:
    """Of an image and of what the stage makes of it, ``(2,)``."""
    seen = [teacher.look(each) for each in (image, stage(image))]
    return torch.cat([teacher.distance(each, aim) for each in seen])


def _judge(gain: float, noise: float, losses: np.ndarray, margin: float) -> GridCell:
    difference = losses[:, 1] - losses[:, 0]
    draws = np.random.default_rng(0).integers(len(losses), size=(_RESAMPLES, len(losses)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    raw, tuned = losses.mean(0)
    cell = (gain, noise, float(raw), float(tuned), float(low), float(high))
    return GridCell(*cell, harms=bool(low > margin))
