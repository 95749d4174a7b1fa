"""Rooms: repeatable, closed, lit, with photographs on the walls."""

import numpy as np
import pytest

from sci_plugins.demo.render import Camera, Scene
from sci_plugins.demo.rooms import Panel, Room, build_room

CAMERA = Camera(320, 240, focal=280, horizon=80, height=2.1)
RED = np.zeros((20, 30, 3), np.float32) + np.float32((0.9, 0.02, 0.02))


def _room(seed: int, photo: np.ndarray = RED) -> tuple[Scene, Room]:
    return build_room(CAMERA, np.random.default_rng(seed), [photo])


def test_the_same_seed_draws_the_same_room() -> None:
    first, second, other = (_room(seed)[0].radiance() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize('seed', range(4))
def test_a_room_is_closed_and_lit(seed: int) -> None:
    scene, room = _room(seed)
    radiance = scene.radiance()
    assert (scene.canvas.nearness >= 0.999 / room.depth).all()
    assert np.isfinite(radiance).all()
    assert 0.02 < np.median(radiance) < 0.6
    assert radiance.max() > 3  # a lamp
    assert scene.lights
    for lamp in scene.lights:
        x, y, z = lamp.position
        assert room.left < x < room.right
        assert 0 < y < room.height
        assert 0 < z < room.depth


def test_photographs_hang_on_the_walls() -> None:
    """A room with other photographs differs where they hang, and nowhere else."""
    red, green = (_room(0, photo)[0].canvas.albedo for photo in (RED, RED[..., [1, 0, 2]]))
    changed = (red != green).any(axis=2)
    assert 0.005 < changed.mean() < 0.3
    assert (red[changed].argmax(axis=1) == 0).all()
    assert (green[changed].argmax(axis=1) == 1).all()


def test_a_panel_lies_on_its_wall_and_a_frame_around_it() -> None:
    panel = Panel(axis=2, at=-3.0, start=4.0, stop=5.0, bottom=1.0, top=2.0)
    wanted = [(-3, 1, 4), (-3, 1, 5), (-3, 2, 5), (-3, 2, 4)]
    np.testing.assert_allclose(panel.corners(), wanted)
    lifted = panel.corners(border=0.1, relief=0.02)
    assert (lifted[:, 0] == -2.98).all()
    np.testing.assert_allclose(lifted[0, 1:], (0.9, 3.9))
