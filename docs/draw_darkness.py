"""Draw docs/images/darkness.png: accuracy over darkness, from two comparisons.

    python docs/draw_darkness.py FACES/comparison.json STREETS/comparison.json

docs/results.md has the commands that made them. Rows: without and with read noise; columns: the
comparisons. Conditions other than even light with one of these noises are left out.
"""

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from sci_plugins.errors import DataError
from sci_plugins.evaluation.comparison import Comparison, find_metric, read_comparison

TARGET = Path(__file__).resolve().parent / 'images/darkness.png'
NOISES = (0.0, 0.002)
#: Of a detector, a fraction, and of a segmentor, in percent.
METRICS = 'bbox_mAP_50', 'mIoU'
#: Variant -> its label, colour and line; of several adaptive ones the first that is there.
LINES = {
    'none': ('the image as it is', '#555555', '-'),
    'sci/official/medium': ('SCI', '#d95f02', '--'),
    'gated/sci/official/medium': ('SCI behind a gate', '#e6ab02', ':'),
    'before(adaptive)': ('adaptive', '#1b9e77', '-'),
    'adaptive': ('adaptive', '#1b9e77', '-'),
}


def points(comparison: Comparison, variant: str, noise: float) -> list[tuple[float, float]]:
    """Gain and accuracy, 0 to 100; the untouched images stand at gain 1 without noise."""
    found = []
    for result in comparison.results:
        condition = result.condition
        others = (condition.shot_noise, condition.uneven, condition.white_balance)
        plain = not any([*others, condition.jpeg_quality])
        gain = 1.0 if condition.gain is None else condition.gain
        if result.variant == variant and plain and condition.noise == noise:
            name = find_metric(result.metrics, METRICS[0]) or METRICS[1]
            found.append((gain, result.metrics[name] * (1 if name == 'mIoU' else 100)))
    return sorted(found, reverse=True)


def draw(axes: Axes, comparison: Comparison, noise: float) -> None:
    """One panel."""
    drawn = set()
    for variant, (label, colour, style) in LINES.items():
        line = points(comparison, variant, noise)
        if len(line) > 1 and label not in drawn:
            drawn.add(label)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('faces', type=Path)
    parser.add_argument('streets', type=Path)
    args = parser.parse_args()
    try:
        columns = [read_comparison(args.faces), read_comparison(args.streets)]
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    titles = 'Faces: YuNet, AP50', 'Streets: Fast-SCNN, mIoU'
    figure, grid = plt.subplots(2, 2, figsize=(8.4, 5.6), sharex=True)
    for row, noise in zip(grid, NOISES, strict=True):
        for axes, comparison, title in zip(row, columns, titles, strict=True):
            draw(axes, comparison, noise)
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
