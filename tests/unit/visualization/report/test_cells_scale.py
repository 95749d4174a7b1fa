"""Axes with round ticks."""

import math

import pytest

from sci_plugins.visualization.report.cells import Scale, round_step


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


def test_never_more_than_six_ticks_and_never_one() -> None:
    for exponent in range(-6, 7):
        for factor in (1, 1.3, 2, 4.2, 9.9):
            high = factor * 10.0**exponent
            assert 2 <= len(Scale.over([-high / 3, high]).ticks) <= 6, high


@pytest.mark.parametrize(
    ('smallest', 'step'), [(0.9, 1), (1.0, 1), (1.1, 2), (2.5, 5), (6, 10), (0.03, 0.05)]
)
def test_steps(smallest: float, step: float) -> None:
    assert round_step(smallest) == pytest.approx(step)
