"""Numbers and lists of names as a reader meets them."""

import math

import pytest

from sci_plugins.visualization.report import cells


@pytest.mark.parametrize(
    ('value', 'places', 'text'),
    [
        (0.5, 3, '+0.500'),
        (-0.0304, 3, '−0.030'),
        (12.345, 2, '+12.35'),
        (0.0, 3, '0.000'),
        (-0.0, 2, '0.00'),
        (0.00031, 3, '+0.0003'),
        (-0.00031, 3, '−0.0003'),
        (0.0004, 3, '+0.0004'),
        (math.nan, 3, '–'),
        (math.inf, 3, '–'),
    ],
)
def test_differences(value: float, places: int, text: str) -> None:
    assert cells.signed(value, places) == text


@pytest.mark.parametrize(
    ('value', 'text'), [(0.5, '0.500'), (0, '0.000'), (-1, '−1.000'), (math.nan, '–')]
)
def test_values(value: float, text: str) -> None:
    assert cells.plain(value, 3) == text


def test_intervals() -> None:
    assert cells.interval(-0.1, 0.25, 2) == '−0.10 to +0.25'
    assert cells.interval(math.nan, 0.25, 2) == '–'
    assert cells.interval(0.1, math.nan, 2) == '–'


@pytest.mark.parametrize(
    ('metric', 'places'),
    [
        *[(name, 2) for name in ('mIoU', 'IoU/Car', 'mAcc', 'IoU/AP')],
        *[(name, 1) for name in ('AP', 'COCO_AP50_below_16px', 'COCO_AP50/car', 'coco/bbox_mAP_s')],
        *[(name, 1) for name in ('pascal_voc/AP50', 'coco/AR@100', 'coco/car_precision')],
        *[(name, 3) for name in ('psnr', 'my/error', 'gap', 'APex')],
    ],
)
def test_percentages_and_fractions(metric: str, places: int) -> None:
    assert cells.places_of(metric) == places
    assert cells.is_percentage(metric) == (places == 2)
    assert cells.percent_factor(metric) == (100 if places == 1 else 1)


def test_lists_of_names() -> None:
    assert cells.listing(['a']) == 'a'
    assert cells.listing(['a', 'b']) == 'a and b'
    assert cells.listing(['a', 'b', 'c']) == 'a, b and c'


def test_counts() -> None:
    assert cells.count(1, 'image') == '1 image'
    assert cells.count(1000, 'image') == '1,000 images'
    assert cells.count(2, 'box', 'boxes') == '2 boxes'


@pytest.mark.parametrize('value', [1e-16, -1e-16])
def test_rounding_errors_of_sums_are_no_difference(value: float) -> None:
    assert cells.signed(value, 3) == cells.signed(0.0, 3)
    assert cells.signed(1e-9, 3) == '+0.000000001'
