"""Axes with round ticks, and lines that keep their shape with fewer points."""

import math

import numpy as np
import pytest

from sci_plugins.visualization.report.cells import Scale, round_step, thinned


def test_zero_is_always_on_the_axis() -> None:
    for values in ([0.2, 0.4], [-3.0, -2.0], [-1.0, 1.0]):
        scale = Scale.over(values)
        assert 0 < scale.zero < 100
        assert all(0 < scale.percent(value) < 100 for value in values)


def test_places_are_linear() -> None:
    scale = Scale(-1.0, 3.0)
    assert [scale.percent(v) for v in (-1, 0, 1, 3)] == [0, 25, 50, 100]


@pytest.mark.parametrize('values', [[], [0.0], [math.nan], [math.inf, -math.inf]])
def test_an_axis_without_a_range(values: list[float]) -> None:
    scale = Scale.over(values)
    assert scale.zero == 50
    assert scale.ticks


@pytest.mark.parametrize(
    ('low', 'high', 'labels'),
    [
        (-0.5, 0.6, ['−0.5', '0.0', '+0.5']),
        (-1.2, 17.0, ['0', '+5', '+10', '+15']),
        (-0.011, 0.004, ['−0.010', '−0.005', '0.000']),
    ],
)
def test_ticks_are_round(low: float, high: float, labels: list[str]) -> None:
    ticks = Scale(low, high).ticks
    assert [label for _, label in ticks] == labels
    assert all(0 <= place <= 100 for place, _ in ticks)


@pytest.mark.parametrize('exponent', range(-6, 7))
@pytest.mark.parametrize('factor', [1, 1.3, 2, 4.2, 9.9])
def test_never_more_than_six_ticks_and_never_one(exponent: int, factor: float) -> None:
    high = factor * 10.0**exponent
    assert 2 <= len(Scale.over([-high / 3, high]).ticks) <= 6


@pytest.mark.parametrize(
    ('smallest', 'step'), [(0.9, 1), (1.0, 1), (1.1, 2), (2.5, 5), (6, 10), (0.03, 0.05)]
)
def test_steps(smallest: float, step: float) -> None:
    assert round_step(smallest) == pytest.approx(step)


def _distance(points: np.ndarray, line: np.ndarray) -> float:
    """Largest distance of points from a polyline, by brute force."""
    starts, ends = line[:-1], line[1:]
    along = ends - starts
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    worst = 0.0
    for point in points:
        share = np.clip(((point - starts) * along).sum(axis=1) / length, 0, 1)
        gaps = np.hypot(*(starts + share[:, None] * along - point).T)
        worst = max(worst, float(gaps.min()))
    return worst


def test_a_thinned_line_stays_close(rng: np.random.Generator) -> None:
    points = np.stack([np.linspace(0, 300, 2000), rng.normal(0, 2, 2000).cumsum()], 1)
    fewer = thinned(points, 1.0)
    assert len(fewer) < 1500
    assert _distance(points, fewer) <= 1.0
    np.testing.assert_array_equal(fewer[[0, -1]], points[[0, -1]])


def test_straight_lines_keep_their_ends() -> None:
    line = np.stack([np.arange(50.0), 2 * np.arange(50.0)], axis=1)
    np.testing.assert_array_equal(thinned(line, 0.1), line[[0, -1]])


def test_a_line_that_returns_to_its_start() -> None:
    line = np.array([[0.0, 0.0], [5.0, 5.0], [0.0, 0.0]])
    np.testing.assert_array_equal(thinned(line, 0.1), line)


@pytest.mark.parametrize('count', [0, 1, 2])
def test_short_lines_stay(count: int) -> None:
    line = np.ones((count, 2))
    np.testing.assert_array_equal(thinned(line, 0.1), line)
