"""Draw docs/images/darkness.png: accuracy over darkness, from docs/board.json.

    python docs/draw_darkness.py

Rows: without and with read noise; columns: faces and streets. Conditions other than even light with
one of these noises are left out.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from sci_plugins.evaluation.conditions import Condition, parse_condition

DOCS = Path(__file__).resolve().parent
TARGET = DOCS / 'images/darkness.png'
NOISES = (0.0, 0.002)
#: Beginning of a network's name on the board, and the title of its column.
COLUMNS = {'YuNet': 'Faces: YuNet, AP50', 'Fast-SCNN': 'Streets: Fast-SCNN, mIoU'}
#: Variant -> its label, colour and line.
LINES = {
    'none': ('the image as it is', '#555555', '-'),
    'exposure/0.4': ('one gain', '#7570b3', '--'),
    'sci/official/medium': ('SCI', '#d95f02', '--'),
    'gated/sci/official/medium': ('SCI behind a gate', '#e6ab02', ':'),
    'before(adaptive)': ('adaptive', '#1b9e77', '-'),
}


def points(sheet: dict[str, Any], variant: str, noise: float) -> list[tuple[float, float]]:
    """Gain and accuracy, 0 to 100; the untouched images stand at gain 1 without noise."""
    found = []
    for column in sheet['columns']:
        condition = parse_condition(column['text'])
        gain = 1.0 if condition.gain is None else condition.gain
        if condition == Condition(condition.gain, noise) and variant in column['entries']:
            found.append((gain, column['entries'][variant]['value']))
    return sorted(found, reverse=True)


def draw(axes: Axes, sheet: dict[str, Any], noise: float) -> None:
    """One panel."""
    for variant, (label, colour, style) in LINES.items():
        line = points(sheet, variant, noise)
        axes.plot(*zip(*line, strict=True), style, color=colour, label=label, marker='o', ms=3)
    axes.set_xscale('log')
    axes.set_xlim(1.2, 0.0085)
    axes.set_xticks([1, 0.3, 0.1, 0.05, 0.02, 0.01])
    axes.set_xticklabels(['day', '.3', '.1', '.05', '.02', '.01'])
    axes.minorticks_off()
    axes.set_ylim(0, None)
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)


def main() -> int:
    sheets = json.loads((DOCS / 'board.json').read_text())['sheets']
    figure, grid = plt.subplots(2, 2, figsize=(8.4, 5.6), sharex=True)
    for row, noise in zip(grid, NOISES, strict=True):
        for axes, (network, title) in zip(row, COLUMNS.items(), strict=True):
            draw(axes, next(each for each in sheets if each['network'].startswith(network)), noise)
            noisy = f'read noise {noise:g}' if noise else 'no noise'
            axes.set_title(f'{title}; {noisy}', fontsize=10)
    for axes in grid[1]:
        axes.set_xlabel('light that is left')
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='lower center', ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(TARGET, dpi=110)
    print(TARGET)
    return 0


if __name__ == '__main__':
    sys.exit(main())
