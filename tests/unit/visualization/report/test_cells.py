"""What stands in a cell, and where its interval is drawn."""

import math

import pytest

from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.visualization.report.cells import (
    HOLLOW,
    MARKS,
    Scale,
    Table,
    make_bar,
    make_cell,
    scale_over,
)

NAN = Interval(math.nan, math.nan, math.nan)


@pytest.mark.parametrize(
    ('found', 'style', 'mark', 'verdict'),
    [
        (Interval(0.1, 0.05, 0.2), 'helps', '▲', 'helps'),
        (Interval(-0.1, -0.15, -0.02), 'hurts', '▼', 'hurts'),
        (Interval(0.1, -0.05, 0.2), 'same', '○', 'no difference shown'),
        (NAN, 'undefined', '–', 'not defined'),
    ],
)
def test_verdicts(found: Interval, style: str, mark: str, verdict: str) -> None:
    cell = make_cell((40, 50), found, 'AP')
    assert (cell.style, cell.mark, cell.verdict) == (style, mark, verdict)


def test_texts() -> None:
    cell = make_cell((40, 50), Interval(10, -5, 20), 'AP')
    assert (cell.base, cell.value, cell.delta) == ('40.0', '50.0', '+10.0')
    assert cell.interval == '−5.0 to +20.0'
    assert cell.bar is None
    percent = make_cell((40, 50), Interval(10, 5, 20), 'IoU/Car')
    assert (percent.base, percent.delta) == ('40.00', '+10.00')


def test_without_an_interval_there_is_no_verdict() -> None:
    cell = make_cell((40, 50), None, 'AP', Scale(-1, 1))
    assert (cell.value, cell.delta, cell.interval) == ('50.0', '+10.0', '')
    assert (cell.verdict, cell.mark, cell.style, cell.bar) == ('', '', 'plain', None)
    assert cell.text == '50.0 (+10.0)'


def test_a_cell_in_one_line() -> None:
    cell = make_cell((40, 50), Interval(10, 5, 20), 'AP')
    assert cell.text == '50.0 (+10.0, +5.0 to +20.0) ▲'


def test_every_verdict_has_a_sign_of_its_own() -> None:
    found = {Interval(d, d - 1, d + 1).verdict for d in (-2.0, 0.0, 2.0, math.nan)}
    for error in (0.1, 1.0):
        found.add(Interval(0.0, -1, 1, error=error, margin=0.5, units=50).verdict)
    assert found == set(MARKS)
    marks = [mark for _, mark in MARKS.values()] + list(HOLLOW.values())
    # `no difference shown` stands where it is unknown whether there are too few images.
    assert len(set(marks)) == len(marks) - 1


def test_not_defined_is_a_dash() -> None:
    cell = make_cell((40, math.nan), NAN, 'AP', Scale(-1, 1))
    assert (cell.base, cell.value, cell.delta, cell.interval) == ('40.0', '–', '–', '–')
    assert cell.bar is None


def test_bars_stand_in_percent_of_the_axis() -> None:
    bar = make_bar(Interval(0.5, 0.0, 1.0), Scale(-1, 1))
    assert bar is not None
    assert (bar.low, bar.point, bar.high) == (50, 75, 100)


def test_one_axis_holds_every_interval() -> None:
    found = [Interval(0.1, 0.05, 0.2), Interval(-0.3, -0.4, -0.1), NAN]
    scale = scale_over(found)
    assert scale.low < -0.4
    assert scale.high > 0.2
    assert scale_over([NAN]).zero == 50


def test_an_axis_without_any_difference_has_one_label() -> None:
    assert scale_over([Interval(0.0, 0.0, 0.0)]).ticks == [(50.0, '0')]


def test_a_table_counts_its_verdicts() -> None:
    helps = make_cell((0, 1), Interval(1, 0.5, 1.5), 'AP')
    hurts = make_cell((1, 0), Interval(-1, -1.5, -0.5), 'AP')
    rows = [('x', '', [hurts, None]), ('y', '', [helps, hurts])]
    table = Table('', '', ['a', 'b'], rows)
    assert table.tally == '▲ helps: 1, ▼ hurts: 2'


@pytest.mark.parametrize(
    ('columns', 'rows', 'turned'), [(8, 2, False), (9, 9, False), (9, 8, True)]
)
def test_a_table_that_is_too_wide_is_turned(columns: int, rows: int, turned: bool) -> None:
    cells = [
        [make_cell((0, 1), Interval(1, 0.5, 1.5), 'AP') for _ in range(columns)]
        for _ in range(rows)
    ]
    lines: list = [(f'row {n}', f'base {n}', each) for n, each in enumerate(cells)]
    table = Table('', 'images', [f'column {n}' for n in range(columns)], lines, 'none')
    found = table.turned('variant')
    if not turned:
        assert found is table
        return
    assert found.corner == 'variant'
    assert found.columns == [f'row {row}' for row in range(rows)]
    assert found.base_row == tuple(f'base {row}' for row in range(rows))
    assert [name for name, _, _ in found.rows] == table.columns
    for column, (_, base, turned_cells) in enumerate(found.rows):
        assert base == ''
        assert len(turned_cells) == rows
        for row, each in enumerate(turned_cells):
            assert each is cells[row][column]
    assert found.tally == table.tally
