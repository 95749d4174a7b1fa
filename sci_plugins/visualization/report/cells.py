"""Tables of differences: what stands in a cell, and where its interval is drawn."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.visualization.report import wording
from sci_plugins.visualization.report.scale import Scale

#: More variants than this do not stand side by side on a desktop's screen.
_MOST_COLUMNS = 8


@dataclass(frozen=True)
class Bar:
    """An interval on an axis: ends and difference in percent of its length."""

    low: float
    high: float
    point: float


@dataclass(frozen=True)
class Cell:
    """A difference as text, and as a bar where it is drawn."""

    base: str
    value: str
    delta: str
    interval: str
    verdict: str
    style: str
    mark: str
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """Cells under ``columns``, a row a name; ``None`` where nothing was measured.

    The base's values stand in a column of their own, or, if the table was turned, in a
    row of their own, ``base_row``.
    """

    title: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, str, list[Cell | None]]]  # name, base's value, cells
    base: str = ''  # heading of the base's values; empty: no such column
    scale: Scale | None = None
    base_row: tuple[str, ...] = ()
    note: str = ''

    def turned(self, corner: str) -> 'Table':
        """Rows as columns, where that makes a table that is too wide narrower.

        Args:
            corner: what the columns are.
        """
        if len(self.columns) <= max(_MOST_COLUMNS, len(self.rows)):
            return self
        return replace(
            self,
            corner=corner,
            columns=[name for name, _, _ in self.rows],
            rows=[
                (name, '', [cells[index] for *_, cells in self.rows])
                for index, name in enumerate(self.columns)
            ],
            base_row=tuple(base for _, base, _ in self.rows),
        )

    @property
    def tally(self) -> str:
        """How often each verdict stands in the table."""
        found = Counter(cell.verdict for *_, cells in self.rows for cell in cells if cell)
        return ', '.join(
            f'{wording.MARKS[verdict][1]} {verdict}: {found[verdict]}'
            for verdict in wording.MARKS
            if found[verdict]
        )


def make_cell(
    values: tuple[float, float], found: Interval, metric: str, scale: Scale | None = None
) -> Cell:
    """A cell of one difference.

    Args:
        values: of the base and of the other.
        found: the interval of the difference.
        metric: its name, which decides the decimals.
        scale: the axis that the interval is drawn on, if it is.
    """
    places = wording.places_of(metric)
    style, mark = wording.MARKS[found.verdict]
    return Cell(
        base=wording.plain(values[0], places),
        value=wording.plain(values[1], places),
        delta=wording.signed(found.delta, places),
        interval=wording.interval(found.low, found.high, places),
        verdict=found.verdict,
        style=style,
        mark=mark,
        bar=None if scale is None else make_bar(found, scale),
    )


def make_bar(found: Interval, scale: Scale) -> Bar | None:
    """Where an interval is drawn; nothing for one that is not defined."""
    ends = (found.low, found.high, found.delta)
    if any(math.isnan(value) for value in ends):
        return None
    return Bar(*map(scale.percent, ends))


def scale_over(found: Sequence[Interval]) -> Scale:
    """One axis for several intervals, so that their lengths compare."""
    return Scale.over(end for each in found for end in (each.low, each.high, each.delta))
