"""Curves: each where its numbers are, on axes that all conditions share."""

import re

import numpy as np
import pytest

from sci_plugins.errors import DataError
from sci_plugins.visualization.report import Curve, plots
from sci_plugins.visualization.report.cells import rows_of
from tests.report_samples import make_comparison, make_curve

ROWS = rows_of(make_comparison({'gamma': [0.1, 0.2], 'clahe': [0.0, 0.1]}))
LABELS = ['none', 'gamma', 'clahe']
NIGHT = 'gain 0.1, noise 0'


def _points(path: str) -> np.ndarray:
    pairs = re.split('[ML]', path)[1:]
    return np.array([[float(number) for number in pair.split()] for pair in pairs])


def test_points_stand_where_their_numbers_are() -> None:
    curve = Curve([0.0, 0.5, 1.0], [1.0, 0.25, 0.0])
    (plot,) = plots.draw_curves(ROWS, LABELS, {('as is', 'none'): curve})
    points = _points(plot.lines[0].path)
    width, height = plots.RIGHT - plots.LEFT, plots.BOTTOM - plots.TOP
    recall = (points[:, 0] - plots.LEFT) / width
    precision = (plots.BOTTOM - points[:, 1]) / height
    np.testing.assert_allclose(recall, curve.recall, atol=1e-3)
    np.testing.assert_allclose(precision, curve.precision, atol=1e-3)


def test_a_drawing_a_condition_and_a_line_a_variant() -> None:
    curves = {(row.condition, label): make_curve(0.9) for row in ROWS for label in LABELS}
    drawn = plots.draw_curves(ROWS, LABELS, curves)
    assert [plot.title for plot in drawn] == ['as is', NIGHT]
    for plot in drawn:
        assert [line.label for line in plot.lines] == LABELS
        assert len({line.style for line in plot.lines}) == 3
    assert drawn[0].text == 'Precision against recall, as is: none, gamma, clahe'


def test_a_variant_looks_the_same_in_every_drawing() -> None:
    curves = {
        ('as is', 'none'): make_curve(0.9),
        ('as is', 'clahe'): make_curve(0.9),
        (NIGHT, 'clahe'): make_curve(0.9),
    }
    day, night = plots.draw_curves(ROWS, LABELS, curves)
    assert day.lines[1].style == night.lines[0].style == plots.line_style(2)


def test_twelve_variants_can_be_told_apart() -> None:
    assert len({plots.line_style(index) for index in range(13)}) == 13


@pytest.mark.parametrize(
    ('ends', 'last'), [((0.9, 0.3), '1.0'), ((0.09, 0.02), '0.10'), ((0.0, 0.0), '1.0')]
)
def test_axes_are_shared_and_end_above_the_largest_recall(
    ends: tuple[float, float], last: str
) -> None:
    curves = {('as is', 'none'): make_curve(ends[0]), (NIGHT, 'none'): make_curve(ends[1])}
    drawn = plots.draw_curves(ROWS, LABELS, curves)
    for plot in drawn:
        assert plot.across[-1] == (plots.RIGHT, last)
        assert plot.across[0][0] == plots.LEFT
        assert [label for _, label in plot.up][:2] == ['0.0', '0.2']
        assert plot.up[-1] == (plots.TOP, '1.0')


def test_a_long_curve_gets_fewer_points() -> None:
    curve = make_curve(1.0, points=20_000)
    (plot,) = plots.draw_curves(ROWS, LABELS, {('as is', 'none'): curve})
    points = _points(plot.lines[0].path)
    assert len(points) <= plots.RIGHT - plots.LEFT + 2
    wanted = plots.up(1 - 0.5 * ((points[:, 0] - plots.LEFT) / (plots.RIGHT - plots.LEFT)) ** 3)
    np.testing.assert_allclose(points[:, 1], wanted, atol=0.2)
    assert points[0, 0] == plots.LEFT
    assert points[-1, 0] == plots.RIGHT


def test_nothing_to_draw() -> None:
    assert plots.draw_curves(ROWS, LABELS, {}) == []
    empty = {('as is', 'none'): Curve([], [])}
    assert plots.draw_curves(ROWS, LABELS, empty)[0].lines[0].path == ''


def test_values_that_are_not_defined_are_left_out() -> None:
    curve = Curve([0.0, 0.5, 1.0], [float('nan'), 0.5, 0.1])
    (plot,) = plots.draw_curves(ROWS, LABELS, {('as is', 'none'): curve})
    assert len(_points(plot.lines[0].path)) == 2


def test_a_curve_with_a_value_missing() -> None:
    curves = {('as is', 'none'): Curve([0.0, 1.0], [1.0])}
    with pytest.raises(DataError, match='a precision for each recall, got 1 and 2'):
        plots.draw_curves(ROWS, LABELS, curves)


def test_a_histogram_counts_every_value() -> None:
    values = [0.0] * 6 + [1.0] * 3 + [0.5]
    drawn = plots.draw_histogram('gain', values)
    assert drawn.most == 6
    assert drawn.text == 'gain: 10 images from 0 to 1'
    full = plots.BARS_BOTTOM - plots.BARS_TOP
    heights = [height for *_, height in drawn.bars]
    assert heights == pytest.approx([full, full / 6, full / 2], abs=0.1)
    assert [x for x, *_ in drawn.bars] == sorted(x for x, *_ in drawn.bars)
    for _, y, width, height in drawn.bars:
        assert y + height == pytest.approx(plots.BARS_BOTTOM, abs=0.1)
        assert width > 0
    assert [label for _, label in drawn.ticks] == ['0', '1']
    assert drawn.ticks[0][0] == drawn.bars[0][0]


def test_a_histogram_of_one_value() -> None:
    drawn = plots.draw_histogram('exponent', [0.25, 0.25])
    assert len(drawn.bars) == 1
    assert [label for _, label in drawn.ticks] == ['0.25']
    assert drawn.bars[0][0] <= drawn.ticks[0][0] <= drawn.bars[0][0] + drawn.bars[0][2] + 1
