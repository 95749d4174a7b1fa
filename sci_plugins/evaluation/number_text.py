"""Numbers, differences and verdicts as text, and rows of Markdown tables."""

import math
from typing import Any

#: Signs of the verdicts in a table; each is also told in words beside it.
SIGNS = {'helps': '▲', 'hurts': '▼', 'no difference shown': '○', 'not defined': '–'}

#: What is left of sums in another order; no difference of results is as small.
NOISE = 1e-12


def format_value(value: float) -> str:
    """Four significant digits; a dash for what is not defined."""
    return '–' if math.isnan(value) else f'{value:.4g}'


def format_difference(value: float) -> str:
    """A signed number, with a true minus sign."""
    if math.isnan(value):
        return '–'
    return f'{0.0 if abs(value) < NOISE else value:+.3g}'.replace('-', '−')


def format_interval(interval: Any) -> str:
    """``+0.02 [−0.01, +0.05]``; a dash for what is not defined."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return format_difference(interval.delta)
    ends = f'{format_difference(interval.low)}, {format_difference(interval.high)}'
    return f'{format_difference(interval.delta)} [{ends}]'


def table_row(cells: list[str]) -> str:
    """A line of a table; a bar inside a cell stays part of it."""
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def table_head(cells: list[str]) -> list[str]:
    """The first two lines: names to the left, numbers to the right."""
    return [table_row(cells), table_row(['---'] + ['---:'] * (len(cells) - 1))]
