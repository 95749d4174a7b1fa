"""Fields of uneven light: their range, their shape, and what is known of each kind."""

import numpy as np
import pytest

from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import KINDS, uneven_light


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(360, 480), (480, 360), (5, 5), (7, 300)])
def test_fields_are_fractions(kind: str, size: tuple[int, int]) -> None:
    for seed in range(20):
        field = uneven_light(kind, *size, np.random.default_rng(seed))
        assert field.shape == size
        assert field.dtype == np.float32
        assert 0 < field.min() < field.max() == 1


@pytest.mark.parametrize('kind', KINDS)
def test_the_generator_decides(kind: str) -> None:
    one, again, other = (uneven_light(kind, 40, 60, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize('kind', KINDS)
def test_light_has_no_fine_detail(kind: str) -> None:
    field = uneven_light(kind, 360, 480, np.random.default_rng(3))
    for axis in (0, 1):
        assert np.abs(np.diff(np.log(field), axis=axis)).max() < 0.15


def test_a_vignette_is_the_fourth_power_of_the_cosine() -> None:
    field = uneven_light('vignette', 480, 480, np.random.default_rng(0))
    corner, edge = field[0, 0], field[0, 240]
    tangents = [np.sqrt(value**-0.5 - 1) for value in (corner, edge)]  # cos = 1 / sqrt(1 + tan²)
    assert tangents[0] / tangents[1] == pytest.approx(np.sqrt(2), rel=0.004)
    assert 25 <= np.degrees(np.arctan(tangents[0])) <= 45


def test_lamps_leave_ambient_light() -> None:
    lows = [uneven_light('lamps', 60, 80, np.random.default_rng(s)).min() for s in range(30)]
    assert 0.03 <= min(lows) < 0.1
    assert max(lows) < 0.7


def test_headlights_light_the_road() -> None:
    field = uneven_light('headlights', 360, 480, np.random.default_rng(0))
    assert field[:100].max() < 0.15
    assert field[300:, 180:300].mean() > 2 * field[300:, :40].mean()


def test_unknown_light() -> None:
    with pytest.raises(ConfigError, match='must be one of smooth, lamps, headlights, vignette'):
        uneven_light('disco', 4, 4, np.random.default_rng(0))
