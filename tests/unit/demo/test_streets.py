"""Streets whole and thing by thing: repeatable, labelled, light above and below white."""

from collections.abc import Callable

import numpy as np
import pytest

from sci_plugins.demo import streets
from sci_plugins.demo import streets as street_parts
from sci_plugins.demo.render import Camera, Canvas
from sci_plugins.demo.streets import STREET_CLASSES, STREET_PALETTE


@pytest.fixture(scope='module')
def scenes() -> list:
    return [streets.draw_street(np.random.default_rng(seed)) for seed in range(3)]


def test_the_same_seed_draws_the_same_street(scenes: list) -> None:
    radiance, labels = streets.draw_street(np.random.default_rng(0))
    np.testing.assert_array_equal(radiance, scenes[0][0])
    np.testing.assert_array_equal(labels, scenes[0][1])
    assert not np.array_equal(labels, scenes[1][1])


def test_shapes_and_ranges(scenes: list) -> None:
    for radiance, labels in scenes:
        assert radiance.shape == (192, 384, 3)
        assert labels.shape == (192, 384)
        assert labels.dtype == np.uint8
        assert labels.max() < len(STREET_CLASSES)
        assert np.isfinite(radiance).all()
        assert radiance.min() >= 0
        assert radiance.max() > 3  # a lamp
        assert 0.02 < np.median(radiance) < 0.6  # well exposed at gain 1


def test_every_class_is_seen(scenes: list) -> None:
    seen = set(np.unique([labels for _, labels in scenes]))
    assert seen == set(range(len(STREET_CLASSES)))


def test_the_sky_is_above_and_the_road_below(scenes: list) -> None:
    for _, labels in scenes:
        rows = [np.nonzero(labels == label)[0] for label in (streets.SKY, streets.ROAD)]
        assert rows[0].max() < 110
        assert rows[1].min() > 75
        assert (labels[-1] == streets.ROAD).mean() > 0.2


def test_labels_lie_on_what_they_name(scenes: list) -> None:
    """The sky is one smooth surface: edges of the picture are not inside it."""
    for radiance, labels in scenes:
        brightness = np.log(radiance.mean(axis=2) + 0.01)
        edges = np.abs(np.diff(brightness, axis=1))
        sky = labels == streets.SKY
        inside = sky[:, 1:] & sky[:, :-1]
        border = sky[:, 1:] != sky[:, :-1]
        assert edges[border].mean() > 5 * edges[inside].mean()


def test_each_class_has_a_colour_of_its_own() -> None:
    assert len(set(STREET_PALETTE)) == len(STREET_CLASSES) == len(STREET_PALETTE)


def test_one_colour_for_each_class() -> None:
    assert len(STREET_CLASSES) == len(STREET_PALETTE)
    assert len(set(STREET_CLASSES)) == len(STREET_CLASSES)
    assert len(set(STREET_PALETTE)) == len(STREET_PALETTE)
    assert all(
        len(colour) == 3 and all(0 <= value <= 255 for value in colour) for colour in STREET_PALETTE
    )


CAMERA = Camera(width=320, height_px=160, focal=200.0, horizon=80.0, height=1.5)
SKY = 200


def _canvas() -> Canvas:
    return Canvas(CAMERA, SKY)


def _extent(canvas: Canvas, label: int) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(canvas.label == label)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def _car(canvas: Canvas, z: float) -> None:
    street_parts.draw_car(canvas, 0.0, z, False, np.random.default_rng(0))


def _person(canvas: Canvas, z: float) -> None:
    street_parts.draw_person(canvas, 0.0, z, np.random.default_rng(0))


def _tree(canvas: Canvas, z: float) -> None:
    street_parts.draw_tree(canvas, 0.0, z, np.random.default_rng(0))


def _lamp(canvas: Canvas, z: float) -> None:
    street_parts.draw_lamp(canvas, 1.0, z, 5.0, np.ones(3))


@pytest.mark.parametrize(
    ('draw', 'label'),
    [
        (_car, street_parts.CAR),
        (_person, street_parts.PERSON),
        (_tree, street_parts.TREE),
        (_lamp, street_parts.LAMP),
    ],
)
def test_each_thing_stands_on_the_ground_with_its_own_label(draw: Callable, label: int) -> None:
    for z in (15.0, 30.0):
        canvas = _canvas()
        draw(canvas, z)
        assert set(np.unique(canvas.label)) == {label, SKY}
        foot = CAMERA.horizon + CAMERA.focal * CAMERA.height / z
        assert _extent(canvas, label)[3] == pytest.approx(foot, abs=3)


def test_a_car_is_as_wide_as_a_car() -> None:
    canvas = _canvas()
    _car(canvas, 10.0)
    x1, _, x2, _ = _extent(canvas, street_parts.CAR)
    assert x2 - x1 == pytest.approx(1.75 * 200 / 10, abs=3)


def test_a_person_is_as_tall_as_a_person() -> None:
    canvas = _canvas()
    _person(canvas, 10.0)
    _, y1, _, y2 = _extent(canvas, street_parts.PERSON)
    assert 1.5 < (y2 - y1) * 10 / 200 < 2.0


def test_only_a_car_that_is_switched_on_shines() -> None:
    for towards in (False, True):
        canvas = _canvas()
        street_parts.draw_car(canvas, 0.0, 10.0, towards, np.random.default_rng(0))
        assert canvas.emission.max() == 0
        light = street_parts.light_car(canvas, 0.0, 10.0, towards)
        red, _, blue = canvas.emission.reshape(-1, 3).max(axis=0)
        assert red > 1
        assert (blue > 1) == towards  # tail lamps are red
        assert light.position[2] < 10


def test_a_lamp_shines_from_its_head_over_the_road() -> None:
    canvas = _canvas()
    colour = np.array((1.0, 0.5, 0.2))
    light = street_parts.draw_lamp(canvas, 3.0, 20.0, 5.0, colour)
    rows, columns = np.nonzero(canvas.emission[..., 0] > 10)
    head = CAMERA.project(np.array([(1.4, 5.1, 20.0)], np.float32))[0]
    np.testing.assert_allclose((columns.mean(), rows.mean()), head, atol=2)
    assert light.position[0] == pytest.approx(1.4)
    assert light.power[0] > light.power[1] > light.power[2]
