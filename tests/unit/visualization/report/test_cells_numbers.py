"""Numbers and intervals as text."""

import math

import pytest

from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.visualization.report.cells import (
    SIGNS,
    format_difference,
    format_interval,
    format_value,
    table_head,
    table_row,
)


@pytest.mark.parametrize(
    ('interval', 'text'),
    [
        (Interval(0.125, -0.01, 0.25), '+0.125 [−0.01, +0.25]'),
        (Interval(-0.5, -0.75, -0.25), '−0.5 [−0.75, −0.25]'),
        (Interval(0.5, math.nan, math.nan), '+0.5'),
        (Interval(math.nan, math.nan, math.nan), '–'),
    ],
)
def test_intervals(interval: Interval, text: str) -> None:
    assert format_interval(interval) == text


def test_single_numbers() -> None:
    assert format_value(0.12345) == '0.1235'
    assert format_value(math.nan) == format_difference(math.nan) == '–'
    assert format_difference(-0.3) == '−0.3'


def test_every_verdict_has_a_sign_of_its_own() -> None:
    found = {Interval(d, d - 1, d + 1).verdict for d in (-2.0, 0.0, 2.0, math.nan)}
    assert found == set(SIGNS)
    assert len(set(SIGNS.values())) == len(SIGNS)


def test_rows() -> None:
    assert table_row(['a|b', '1']) == r'| a\|b | 1 |'
    assert table_head(['a', 'b', 'c']) == ['| a | b | c |', '| --- | ---: | ---: |']


def test_rounding_errors_of_sums_are_no_difference() -> None:
    assert format_difference(1e-16) == format_difference(-1e-16) == '+0'
    assert format_difference(-1e-9) == '−1e−09'
