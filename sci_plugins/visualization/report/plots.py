"""Curves of precision and recall, and histograms, as shapes of SVG drawings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.visualization.report.cells import ConditionRows, decimals_of, round_step

#: The drawing, in units of about a pixel: whole, and the area of the curves.
WIDTH, HEIGHT = 360, 290
LEFT, TOP, RIGHT, BOTTOM = 46, 10, 348, 246
_COLORS, _DASHES = 6, 4
#: The same of a histogram and its bars.
BARS_WIDTH, BARS_HEIGHT = 240, 150
_BARS_LEFT, _BARS_RIGHT, BARS_TOP, BARS_BOTTOM = 10, 230, 10, 116
_BINS = 16


@dataclass(frozen=True)
class Curve:
    """Precision against recall of one variant's detections."""

    recall: list[float]  # in [0, 1], ascending
    precision: list[float]  # in [0, 1], one for each recall
    name: str = ''  # of the variant, in the legend; empty: the one it is stored under


@dataclass(frozen=True)
class Sheet:
    """Pictures of an image on one sheet, from input to ground truth.

    It gained or lost much, is an example of what the adaptive stage decides, or is one of the
    evenly spaced images, with all variants.
    """

    condition: str  # name of the condition that the image was seen under
    variant: str  # what the base is compared with, as in the tables; empty: all are on it
    image: str  # its name
    effect: float  # by how much Δ of the set falls without it, in the unit of the metric; gain: > 0
    path: Path  # JPEG file of the sheet
    decided: str = ''  # by the adaptive stage; empty for an image that gained or lost
    unlabelled: bool = False  # whether it shows detections without ground truth


class Line(NamedTuple):
    """A curve: its path, and its style by its number in the order of the legend (0: the base)."""

    label: str
    path: str
    style: str


class Plot(NamedTuple):
    """Curves of one condition; ticks are positions and labels."""

    title: str
    text: str
    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


def line_style(index: int) -> str:
    """CSS classes of a line: the base is black and strong, others differ by colour and dashes."""
    numbers = f'c{(index - 1) % _COLORS + 1} d{(index - 1) % _DASHES + 1}'
    return f'curve {numbers if index else "base"}'


def draw_curves(
    rows: Sequence[ConditionRows], labels: Sequence[str], curves: Mapping[tuple[str, str], Curve]
) -> list[Plot]:
    """One drawing per condition, all with the same axes.

    ``labels`` are the legend's, the base first; ``curves`` by condition's name and label. DataError
    if recall and precision of one differ in length.
    """
    highest = max((max(curve.recall, default=0) for curve in curves.values()), default=1)
    step = round_step(highest / 5) if highest > 0 else 1.0
    # 1, or a round number above the largest recall if that is small.
    end = min(1.0, step * max(1, math.ceil(highest / step - 1e-9)))
    step = round_step(end / 5)
    recalls = [index * step for index in range(round(end / step) + 1)]
    horizontal = [(across(value, end), f'{value:.{decimals_of(step)}f}') for value in recalls]
    vertical = [(up(index / 5), f'{index / 5:.1f}') for index in range(6)]
    plots = []
    for row in rows:
        lines = [
            Line(curve.name or label, _path(curve, end), line_style(labels.index(label)))
            for label in (result.variant for result in row.all)
            if (curve := curves.get((row.condition, label))) is not None
        ]
        if lines:
            shown = ', '.join(line.label for line in lines)
            text = f'Precision against recall, {row.condition}: {shown}'
            plots.append(Plot(row.condition, text, lines, horizontal, vertical))
    return plots


def _path(curve: Curve, end: float) -> str:
    recall, precision = (np.asarray(each, float) for each in (curve.recall, curve.precision))
    if recall.shape != precision.shape:
        raise DataError(
            f'a curve needs a precision for each recall, got {len(precision)} and {len(recall)}'
        )
    known = np.isfinite(recall) & np.isfinite(precision)
    points = np.stack([across(recall[known], end), up(precision[known])], axis=1)
    # One point per column of pixels, and both ends: more is not visible.
    last_in_column = np.flatnonzero(np.diff(np.floor(points[:, 0]), append=math.inf))
    points = np.round(points[np.union1d(last_in_column, np.arange(len(points))[:1])], 1)
    return 'M' + 'L'.join(f'{x:g} {y:g}' for x, y in points) if len(points) else ''


def across(recall: Any, end: float) -> Any:
    """Position of a recall on an axis that ends at ``end``."""
    return LEFT + (RIGHT - LEFT) * recall / end


def up(precision: Any) -> Any:
    """Position of a precision in [0, 1] in the drawing."""
    return BOTTOM - (BOTTOM - TOP) * precision


class Histogram(NamedTuple):
    """How many images have which value."""

    title: str
    text: str
    most: int  # images of the tallest bar
    bars: list[tuple[float, float, float, float]]  # x, y, width, height
    ticks: list[tuple[float, str]]


def draw_histogram(title: str, values: Sequence[float]) -> Histogram:
    """The distribution of ``values``, at least one and finite, in 16 bins of equal width."""
    counts = np.histogram(values, _BINS)[0]
    step = (_BARS_RIGHT - _BARS_LEFT) / _BINS
    heights = ((BARS_BOTTOM - BARS_TOP) * counts / counts.max()).tolist()
    tops = [(round(BARS_BOTTOM - high, 1), round(step - 1, 2), round(high, 1)) for high in heights]
    bars = [(_BARS_LEFT + index * step, *top) for index, top in enumerate(tops) if counts[index]]
    ends = f'{min(values):.3g}', f'{max(values):.3g}'
    places = (_BARS_LEFT, _BARS_RIGHT) if ends[0] != ends[1] else ((_BARS_LEFT + _BARS_RIGHT) / 2,)
    text = f'{title}: {len(values)} images from {ends[0]} to {ends[1]}'
    return Histogram(title, text, int(counts.max()), bars, list(zip(places, ends, strict=False)))
