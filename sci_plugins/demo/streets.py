"""Rendered street scenes with lamps, in linear light, for any exposure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sci_plugins.demo import render
from sci_plugins.demo.render import Array, Camera, Canvas, Corners, Light, Random, Scene, plain

STREET_CLASSES = ('road', 'pavement', 'building', 'sky', 'car', 'lamp', 'tree', 'person')
#: RGB, close to Cityscapes' colours.
STREET_PALETTE = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (70, 130, 180), (0, 0, 142), (250, 170, 30),
    (107, 142, 35), (220, 20, 60),
)  # fmt: skip
ROAD, PAVEMENT, BUILDING, SKY, CAR, LAMP, TREE, PERSON = range(len(STREET_CLASSES))
#: A car from the side, rear to front: (along, up) in metres. Each edge of the outline but the
#: lowest is a panel across the car's width.
_OUTLINE = (
    (0.0, 0.3), (0.0, 0.85), (0.35, 0.95), (0.8, 1.42), (2.3, 1.42), (3.1, 0.93), (4.1, 0.75),
    (4.2, 0.3),
)  # fmt: skip
_GLASS_PANELS = (2, 4)
_SIDE_WINDOW = ((0.75, 0.97), (0.98, 1.34), (2.2, 1.34), (2.8, 0.97))
_CAR_LENGTH, _CAR_WIDTH, _WHEEL = 4.2, 1.75, 0.32
#: Brightness of each panel by its direction: rear, boot, glass, roof, ...
_PANEL_SHADE = (0.75, 0.95, 0.8, 1.15, 0.8, 1.1, 0.75)
_SIDE_SHADE = 0.6
_GLASS = np.array((0.03, 0.035, 0.045))
_RUBBER = (0.015, 0.015, 0.017)
WIDTH, HEIGHT = 384, 192
#: Drawn this many times larger, then averaged down.
_OVERSAMPLING = 2
_FAR = 90.0
#: Plaster, sandstone, brick, concrete.
_STONE = np.array(((1.0, 0.95, 0.85), (1.0, 0.82, 0.6), (0.85, 0.42, 0.3), (0.75, 0.78, 0.8)))
#: Radiance of a street lamp's head; white is 1.
_LAMP_RADIANCE = 40.0


def _upright(points: Sequence[tuple[float, float]], x: float, z: float, y: float = 0.0) -> Corners:
    """Corners of a shape that faces the camera, from (across, up) in metres."""
    return [(x + across, y + up, z) for across, up in points]


def draw_car(canvas: Canvas, x: float, z: float, towards: bool, generator: Random) -> None:
    """Draw a car centred at ``x`` whose nearest end is at ``z``."""
    paint = generator.uniform(0.03, 0.6) * generator.uniform(0.3, 1.0, 3)
    if generator.random() < 0.4:  # many cars are grey, white or black
        paint[:] = paint.mean()
    tall = generator.uniform(0.95, 1.35)
    left, right = x - _CAR_WIDTH / 2, x + _CAR_WIDTH / 2

    def place(across: float, along: float, up: float) -> tuple[float, float, float]:
        return (across, up * tall, z + (_CAR_LENGTH - along if towards else along))

    for index, (start, stop) in enumerate(pairwise(_OUTLINE)):
        corners = [(left, *start), (right, *start), (right, *stop), (left, *stop)]
        panel = plain((_GLASS if index in _GLASS_PANELS else paint) * _PANEL_SHADE[index])
        canvas.polygon([place(*corner) for corner in corners], CAR, panel)
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    rim = np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1) * _WHEEL
    for side, out in ((left, -0.02), (right, 0.02)):
        canvas.polygon([place(side, *point) for point in _OUTLINE], CAR, plain(paint * _SIDE_SHADE))
        canvas.polygon([place(side + out, *point) for point in _SIDE_WINDOW], CAR, plain(_GLASS))
        for along in (0.8, 3.4):
            centre = np.array(place(side + out, along, _WHEEL / tall))
            canvas.polygon(centre + rim, CAR, plain(_RUBBER))
    _draw_car_lamps(canvas, x, z, towards, (0.0, 0.0, 0.0))


def light_car(canvas: Canvas, x: float, z: float, towards: bool) -> Light:
    """Switch on the near lamps of a car; returns the light that they cast on the street."""
    if towards:
        _draw_car_lamps(canvas, x, z, towards, (24.0, 22.0, 18.0))
        return Light((x, 0.5, z - 3.0), (3.0, 2.8, 2.4))
    _draw_car_lamps(canvas, x, z, towards, (5.0, 0.15, 0.08))
    return Light((x, 0.6, z - 0.8), (0.5, 0.02, 0.01))


def _draw_car_lamps(canvas: Canvas, x: float, z: float, towards: bool, glow: render.Point) -> None:
    glass = (0.6, 0.6, 0.6) if towards else (0.35, 0.03, 0.02)
    # Lit lamps are a little nearer than the unlit ones that they are drawn over.
    near = z - (0.06 if any(glow) else 0.05)
    for side in (-0.62, 0.62):
        canvas.disc(np.array((x + side, 0.66, near)), 0.11, CAR, plain(glass, glow))


def draw_person(canvas: Canvas, x: float, z: float, generator: Random) -> None:
    """Draw a pedestrian, seen from the front or from behind."""
    size = generator.uniform(1.55, 1.9) / 1.8
    coat = generator.uniform(0.03, 0.5) * generator.uniform(0.3, 1.0, 3)
    trousers = generator.uniform(0.03, 0.5) * generator.uniform(0.3, 1.0, 3)
    skin = generator.uniform(0.12, 0.45) * np.array((1.0, 0.6, 0.42))
    stride = generator.uniform(0.04, 0.26)

    def part(points: Sequence[tuple[float, float]], colour: NDArray, step: float) -> None:
        flat = [(across * size + x, up * size, z - step) for across, up in points]
        canvas.polygon(flat, PERSON, plain(colour))

    for side in (-1, 1):
        foot = side * stride
        leg = [(foot - 0.08, 0), (foot + 0.08, 0), (side * 0.16, 0.9), (0, 0.9)]
        part(leg, trousers * (0.8 if side < 0 else 1.0), 0.0)
        hand = side * generator.uniform(0.25, 0.4)
        arm = [(hand - 0.05, 0.8), (hand + 0.05, 0.8), (side * 0.24, 1.42), (side * 0.12, 1.4)]
        part(arm, coat * 0.8, 0.01)
    torso = [(-0.19, 0.8), (0.19, 0.8), (0.24, 1.38), (0.1, 1.48), (-0.1, 1.48), (-0.24, 1.38)]
    part(torso, coat, 0.02)
    head = np.array((x, 1.64 * size, z - 0.03))
    hair = generator.uniform(0.01, 0.15) * np.array((1.0, 0.75, 0.5))
    canvas.disc(head, 0.125 * size, PERSON, plain(hair))
    if generator.random() < 0.6:
        canvas.disc(head - (0, 0.03, 0.02), 0.1 * size, PERSON, plain(skin))


def draw_tree(canvas: Canvas, x: float, z: float, generator: Random) -> None:
    """Draw a trunk and a crown of many clusters of leaves."""
    trunk, crown = generator.uniform(1.8, 3.0), generator.uniform(1.1, 2.2)
    corners = [(-0.16, 0), (0.16, 0), (0.1, trunk + crown), (-0.1, trunk + crown)]
    canvas.polygon(_upright(corners, x, z), TREE, plain((0.07, 0.05, 0.035)))
    green = np.array((0.5, 1.0, 0.28)) * generator.uniform(0.7, 1.3, 3)
    centre = np.array((x, trunk + crown, z))
    # A far tree covers few pixels and needs fewer clusters of leaves.
    for _ in range(round(np.clip(900 / z, 25, 90))):
        offset = generator.normal(0, 0.45, 3)
        offset *= crown * min(1.0, 0.85 / float(np.linalg.norm(offset)))
        # The top gets more light from the sky.
        shade = 0.06 + 0.05 * offset[1] / crown + generator.uniform(0, 0.05)
        radius, leaves = crown * generator.uniform(0.1, 0.24), green * max(shade, 0.015)
        canvas.disc(centre + offset, radius, TREE, plain(leaves))


def draw_lamp(canvas: Canvas, x: float, z: float, height: float, colour: NDArray) -> Light:
    """Draw a street lamp whose arm reaches over the road, towards ``x = 0``; returns its light.

    In metres; ``colour`` is RGB, the brightest channel 1.
    """
    steel = plain((0.12, 0.13, 0.14))
    pole = [(-0.08, 0), (0.08, 0), (0.06, height), (-0.06, height)]
    canvas.polygon(_upright(pole, x, z), LAMP, steel)
    end = x - np.sign(x) * 1.6
    arm = [(x, height - 0.1), (x, height + 0.05), (end, height + 0.2), (end, height + 0.1)]
    canvas.polygon(_upright(arm, 0.0, z), LAMP, steel)
    head = [(-0.35, 0), (0.35, 0), (0.25, 0.18), (-0.25, 0.18)]
    lit = plain((0.2, 0.2, 0.2), _LAMP_RADIANCE * colour)
    canvas.polygon(_upright(head, end, z - 0.01, height), LAMP, lit)
    return Light((end, height - 0.3, z), 22.0 * colour)


class Layout(NamedTuple):
    """Where the road lies, in metres to the right of the camera."""

    left_kerb: float
    right_kerb: float
    pavement: float

    @property
    def walls(self) -> tuple[float, float]:
        """Where the fronts of the houses stand."""
        return self.left_kerb - self.pavement, self.right_kerb + self.pavement


def draw_street(generator: Random) -> tuple[Array, NDArray[np.uint8]]:
    """Draw a scene: radiance and labels.

    Radiance is ``(192, 384, 3)``, RGB, linear light, white is 1, lamps far above it; the labels are
    ``(192, 384)``, uint8, indices of ``STREET_CLASSES``.
    """
    size = (WIDTH * _OVERSAMPLING, HEIGHT * _OVERSAMPLING)
    camera = Camera.draw(generator, size, (0.62, 0.8), (0.42, 0.52), (1.3, 1.8))
    scene, _ = build_street(camera, generator)
    radiance = render.add_glow(scene.radiance())
    radiance = cv2.resize(radiance, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return radiance, scene.canvas.label[::_OVERSAMPLING, ::_OVERSAMPLING].copy()


def build_street(camera: Camera, generator: Random, people: bool = True) -> tuple[Scene, Layout]:
    """Draw a street as a camera sees it, not yet lit, with or without people."""
    canvas, half = Canvas(camera, SKY), generator.uniform(3.2, 4.8)
    shift = generator.uniform(-2.2, 0.5)  # the camera drives on the right-hand side
    layout = Layout(shift - half, shift + half, generator.uniform(2.2, 3.8))
    tile = render.noise_tile(generator)
    _draw_ground(canvas, layout, tile, generator)
    _draw_houses(canvas, layout, tile, generator)
    lights = _furnish(canvas, layout, generator, people)
    horizon = _draw_sky(canvas, generator)
    ambient = generator.uniform(0.4, 0.8) * generator.uniform((0.85, 0.9, 1), (1, 1, 1.2))
    return Scene(canvas, ambient, 0.5 * horizon, lights), layout


def _draw_ground(canvas: Canvas, layout: Layout, tile: Array, generator: Random) -> None:
    asphalt = generator.uniform(0.06, 0.14) * generator.uniform(0.9, 1.1, 3)
    slabs = generator.uniform(0.2, 0.38) * generator.uniform(0.85, 1.1, 3)
    middle = (layout.left_kerb + layout.right_kerb) / 2
    dash = generator.uniform(3, 6)

    def road(points: Array) -> tuple[NDArray, int]:
        x, _, z = points.T
        dashes = (np.abs(x - middle) < 0.08) & (z % (2 * dash) < dash)
        edges = np.minimum(x - layout.left_kerb, layout.right_kerb - x)
        lines = dashes | (np.abs(edges - 0.3) < 0.06)
        return np.where(lines[:, None], 0.6, asphalt * render.grain(points, tile, (0, 2), 9)), 0

    def pavement(points: Array) -> tuple[NDArray, int]:
        x, _, z = points.T
        joints = ((x % 0.8) < 0.05) | ((z % 0.8) < 0.05)
        return slabs * render.grain(points, tile, (0, 2), 5) * np.where(joints, 0.6, 1)[:, None], 0

    left, right = layout.walls
    for x1, x2, label, paint in (
        (layout.left_kerb, layout.right_kerb, ROAD, road),
        (left - 40, layout.left_kerb, PAVEMENT, pavement),
        (layout.right_kerb, right + 40, PAVEMENT, pavement),
    ):
        canvas.polygon([(x1, 0, 1), (x2, 0, 1), (x2, 0, 400), (x1, 0, 400)], label, paint)


def _draw_houses(canvas: Canvas, layout: Layout, tile: Array, generator: Random) -> None:
    """Rows of houses on both sides, with gaps, and sometimes one across the end."""
    for wall in layout.walls:
        z = generator.uniform(-6, 2)
        while z < _FAR:
            length, height = generator.uniform(8, 20), generator.uniform(5, 17)
            end = z + length
            corners = [(wall, 0, z), (wall, 0, end), (wall, height, end), (wall, height, z)]
            canvas.polygon(corners, BUILDING, _facade(generator, tile, along=2))
            deep = wall + np.sign(wall) * 15
            corners = [(wall, 0, z), (deep, 0, z), (deep, height, z), (wall, height, z)]
            canvas.polygon(corners, BUILDING, _facade(generator, tile, along=0, windows=False))
            z = end + (generator.uniform(2, 9) if generator.random() < 0.35 else 0)
    if generator.random() < 0.4:
        height, front = generator.uniform(6, 16), _facade(generator, tile, along=0)
        across = [(-60, 0), (60, 0), (60, height), (-60, height)]
        canvas.polygon(_upright(across, 0.0, _FAR), BUILDING, front)


def _facade(generator: Random, tile: Array, along: int, windows: bool = True) -> render.Paint:
    """A wall with rows of windows, some lit, along axis ``along``: 0 for x, 2 for z."""
    colour = generator.uniform(0.15, 0.5) * _STONE[generator.integers(len(_STONE))]
    colour = colour * generator.uniform(0.85, 1.0, 3)
    cell = generator.uniform(2.0, 3.6)
    open_width, open_height = generator.uniform(0.35, 0.6, 2)
    lit_share, floor = generator.uniform(0.05, 0.4), generator.uniform(2.8, 3.4)
    lit = generator.random((64, 16)) < lit_share
    warmth = generator.uniform((0.9, 0.55, 0.25), (1.0, 0.85, 0.7), (64, 16, 3))
    warmth *= generator.uniform(0.4, 1.6, (64, 16, 1))

    def paint(points: Array) -> tuple[NDArray, NDArray]:
        across, up = points[:, along] / cell, points[:, 1] / floor
        column = np.floor(across).astype(int) % 64
        row = np.clip(np.floor(up).astype(int), 0, 15)
        glass = (np.abs(across % 1 - 0.5) < open_width / 2) & windows
        glass &= np.abs(up % 1 - 0.52) < open_height / 2
        shining = (glass & lit[column, row])[:, None]
        wall = colour * render.grain(points, tile, (along, 1), 6)
        return np.where(glass[:, None], 0.05, wall), np.where(shining, warmth[column, row], 0)

    return paint


def _furnish(canvas: Canvas, layout: Layout, generator: Random, people: bool) -> list[Light]:
    """Draw lamps, trees, cars and perhaps people; returns the lights."""
    lights = _draw_lamps(canvas, layout, generator)
    for side, kerb in ((-1, layout.left_kerb), (1, layout.right_kerb)):
        if generator.random() < 0.6:
            for z in np.arange(generator.uniform(5, 14), 60, generator.uniform(8, 16)).tolist():
                draw_tree(canvas, kerb + side * 0.7, z, generator)
        for _ in range(generator.integers(0, 5) if people else 0):
            x = kerb + side * generator.uniform(0.4, layout.pavement - 0.4)
            draw_person(canvas, x, generator.uniform(5, 32), generator)
        z = generator.uniform(3, 14)
        while z < 60:  # parked along the kerb
            if generator.random() < 0.55:
                draw_car(canvas, kerb - side * 1.05, z, side < 0, generator)
            z += generator.uniform(5.5, 10)
    lane = (layout.right_kerb - layout.left_kerb) / 4
    middle = (layout.left_kerb + layout.right_kerb) / 2
    for side in (-1, 1):
        if generator.random() < 0.55:
            x, z = middle + side * (lane - 0.9), generator.uniform(9, 40)
            draw_car(canvas, x, z, side < 0, generator)
            lights.append(light_car(canvas, x, z, side < 0))
    if people and generator.random() < 0.35:
        x = generator.uniform(layout.left_kerb, layout.right_kerb)
        draw_person(canvas, x, generator.uniform(8, 28), generator)
    return lights


def _draw_lamps(canvas: Canvas, layout: Layout, generator: Random) -> list[Light]:
    """Draw sodium or white lamps on one or both sides."""
    colour = np.array((1.0, 0.55, 0.18) if generator.random() < 0.5 else (1.0, 0.93, 0.8))
    height, step = generator.uniform(4.5, 6.5), generator.uniform(14, 24)
    sides = [(layout.left_kerb, -1), (layout.right_kerb, 1)]
    chosen = sides if generator.random() < 0.6 else [sides[generator.integers(2)]]
    return [
        draw_lamp(canvas, kerb + side * 0.35, z, height, colour)
        for kerb, side in chosen
        for z in np.arange(generator.uniform(6, 14), 75, step).tolist()
    ]


def _draw_sky(canvas: Canvas, generator: Random) -> NDArray:
    """Draw an evening sky with soft clouds; returns its colour at the horizon."""
    zenith = generator.uniform((0.05, 0.09, 0.2), (0.2, 0.28, 0.5))
    horizon = generator.uniform((0.3, 0.25, 0.25), (0.8, 0.55, 0.5))
    up = np.clip(1 - np.arange(canvas.label.shape[0]) / canvas.camera.horizon, 0, 1)[:, None, None]
    colour = horizon + (zenith - horizon) * up**0.6
    clouds = generator.normal(0, 1, (6, 10)).astype(np.float32)
    clouds = cv2.resize(clouds, canvas.label.shape[::-1], interpolation=cv2.INTER_CUBIC)
    colour = colour * (1 + generator.uniform(0, 0.35) * np.tanh(clouds))[..., None]
    sky = canvas.nearness == 0
    canvas.emission[sky] = np.clip(colour, 0.01, 1)[sky]
    return horizon
