"""Whole streets: repeatable, every class there, light above and below white."""

import numpy as np
import pytest

from sci_plugins.demo import streets
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
