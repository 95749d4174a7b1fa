"""The renderer: geometry, what hides what, and light."""

import numpy as np
import pytest

from sci_plugins.demo.render import Camera, Canvas, Light, Scene, add_glow, noise_tile, plain

CAMERA = Camera(width=80, height_px=60, focal=50.0, horizon=30.0, height=1.5)
SKY = 9


def _wall(z: float, half: float = 1.0) -> np.ndarray:
    """A square that faces the camera, centred on its axis."""
    x, y = (-half, half, half, -half), (1.5 - half, 1.5 - half, 1.5 + half, 1.5 + half)
    return np.array([(a, b, z) for a, b in zip(x, y, strict=True)])


def test_projection_has_its_inverse() -> None:
    points = np.array([(0.5, 0.2, 4.0), (-3.0, 6.0, 20.0), (0.0, 1.5, 2.0)], np.float32)
    u, v = CAMERA.project(points).T
    np.testing.assert_allclose(
        CAMERA.unproject(u, v, 1 / points[:, 2]), points, rtol=1e-5, atol=1e-5
    )


def test_what_lies_at_eye_level_is_on_the_horizon() -> None:
    _, v = CAMERA.project(np.array([(2.0, 1.5, 7.0)], np.float32))[0]
    assert v == 30.0


@pytest.mark.parametrize('order', [(4.0, 8.0), (8.0, 4.0)])
def test_the_nearer_polygon_hides_the_other_in_any_order(order: tuple) -> None:
    canvas = Canvas(CAMERA, SKY)
    for z in order:
        canvas.polygon(_wall(z, half=z / 8), int(z), plain((z / 10, 0, 0)))
    # Both cover the same 12 x 12 pixels.
    assert canvas.label[30, 40] == 4
    assert (canvas.label == 8).sum() == 0
    assert canvas.albedo[30, 40, 0] == np.float32(0.4)
    assert canvas.nearness[30, 40] == pytest.approx(0.25)


def test_sizes_in_pixels_follow_from_the_distance() -> None:
    for z in (5.0, 10.0):
        canvas = Canvas(CAMERA, SKY)
        canvas.polygon(_wall(z), 1, plain((1, 1, 1)))
        width = (canvas.label[30] == 1).sum()
        assert width == pytest.approx(2 * 50 / z, abs=1.5)
        canvas.disc(np.array((0, 1.5, z - 1)), 0.5, 2, plain((1, 1, 1)))
        assert (canvas.label[30] == 2).sum() == pytest.approx(50 / (z - 1), abs=1.5)


def test_a_slanted_plane_has_the_depth_of_its_points() -> None:
    canvas = Canvas(CAMERA, SKY)
    ground = np.array([(-9, 0, 1), (9, 0, 1), (9, 0, 90), (-9, 0, 90)])
    seen = []

    def paint(points: np.ndarray) -> tuple:
        seen.append(points)
        return np.zeros_like(points), np.zeros_like(points)

    canvas.polygon(ground, 1, paint)
    assert len(seen[0]) > 500
    np.testing.assert_allclose(seen[0][:, 1], 0, atol=1e-2)


def test_what_is_behind_the_camera_is_cut_off() -> None:
    canvas = Canvas(CAMERA, SKY)
    canvas.polygon(_wall(-3.0), 1, plain((1, 1, 1)))
    canvas.disc(np.array((0, 1.5, -3.0)), 1.0, 1, plain((1, 1, 1)))
    assert (canvas.label == SKY).all()
    through = np.array([(-1, 0, -5), (1, 0, -5), (1, 0, 9), (-1, 0, 9)])
    canvas.polygon(through, 1, plain((1, 1, 1)))
    assert canvas.label[-1, 40] == 1
    assert canvas.label[20, 40] == SKY


def test_what_is_outside_the_picture_draws_nothing() -> None:
    canvas = Canvas(CAMERA, SKY)
    canvas.polygon(_wall(5.0) + np.array((100, 0, 0)), 1, plain((1, 1, 1)))
    canvas.disc(np.array((-100, 1.5, 5.0)), 1.0, 1, plain((1, 1, 1)))
    assert (canvas.label == SKY).all()


def test_light_falls_with_the_square_of_the_distance() -> None:
    radiance = []
    for distance in (20.0, 40.0):
        canvas = Canvas(CAMERA, SKY)
        canvas.polygon(_wall(60.0, half=60), 1, plain((0.5, 0.5, 0.5)))
        lamp = Light((0, 1.5, 60 - distance), (1000.0, 0.0, 0.0))
        dark, clear = np.zeros(3), 1e9
        radiance.append(Scene(canvas, dark, dark, [lamp]).radiance(clear)[30, 40])
    assert radiance[0][0] == pytest.approx(0.5 * 1000 / (20**2 + 2), rel=1e-2)
    assert radiance[0][0] / radiance[1][0] == pytest.approx(4, rel=2e-2)
    assert radiance[0][1] == 0


def test_haze_swallows_what_is_far_but_not_light_sources() -> None:
    canvas = Canvas(CAMERA, SKY)
    canvas.polygon(_wall(500.0, half=400), 1, plain((0, 0, 0), (7, 7, 7)))
    radiance = Scene(canvas, np.ones(3), np.array((0.2, 0.3, 0.4)), []).radiance(50.0)
    np.testing.assert_allclose(radiance[30, 40], (7.2, 7.3, 7.4), rtol=1e-3)
    assert (radiance[canvas.label == SKY] == 0).all()


def test_only_what_is_brighter_than_white_glows() -> None:
    picture = np.full((64, 64, 3), 0.9, np.float32)
    np.testing.assert_array_equal(add_glow(picture), picture)
    picture[32, 32] = 40
    halo = add_glow(picture) - picture
    assert halo[32, 36, 0] > 0.01
    assert halo[32, 36, 0] > halo[32, 56, 0] > 0


def test_a_tile_of_noise_repeats_without_a_seam() -> None:
    tile = noise_tile(np.random.default_rng(0))
    inside = np.abs(np.diff(tile, axis=1)).mean()
    seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
    assert seam < 1.3 * inside
    assert tile.mean() == pytest.approx(1, abs=0.1)
