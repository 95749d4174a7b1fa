"""Things that stand in a street: cars, people, trees and lamps."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sci_plugins.datasets.demo.classes import STREET_CLASSES
from sci_plugins.datasets.demo.render import Canvas, Light, plain

CAR, LAMP, TREE, PERSON = (
    STREET_CLASSES.index(name) for name in ('car', 'lamp', 'tree', 'person')
)
#: A car from the side, rear to front: (along, up) in metres. Each edge of the
#: outline but the lowest is a panel across the car's width.
_OUTLINE = (
    (0.0, 0.3),
    (0.0, 0.85),
    (0.35, 0.95),
    (0.8, 1.42),
    (2.3, 1.42),
    (3.1, 0.93),
    (4.1, 0.75),
    (4.2, 0.3),
)
_GLASS_PANELS = (2, 4)
_SIDE_WINDOW = ((0.75, 0.97), (0.98, 1.34), (2.2, 1.34), (2.8, 0.97))
_CAR_LENGTH, _CAR_WIDTH, _WHEEL = 4.2, 1.75, 0.32
#: How much light a panel shows by the way it faces: rear, boot, glass, roof, ...
_PANEL_SHADE = (0.75, 0.95, 0.8, 1.15, 0.8, 1.1, 0.75)
_SIDE_SHADE = 0.6
_GLASS = np.array((0.03, 0.035, 0.045))
_RUBBER = (0.015, 0.015, 0.017)
#: The light of a street lamp's head; white is 1.
_LAMP_RADIANCE = 40.0


def draw_car(
    canvas: Canvas, x: float, z: float, towards: bool, generator: np.random.Generator
) -> None:
    """A car centred at ``x`` whose nearest end is at ``z``."""
    paint = generator.uniform(0.03, 0.6) * generator.uniform(0.3, 1.0, 3)
    if generator.random() < 0.4:  # grey, white and black are the most common
        paint[:] = paint.mean()
    tall = generator.uniform(0.95, 1.35)
    left, right = x - _CAR_WIDTH / 2, x + _CAR_WIDTH / 2

    def place(across: float, along: float, up: float) -> tuple[float, float, float]:
        return (across, up * tall, z + (_CAR_LENGTH - along if towards else along))

    for index, (start, stop) in enumerate(pairwise(_OUTLINE)):
        corners = [place(left, *start), place(right, *start)]
        corners += [place(right, *stop), place(left, *stop)]
        colour = _GLASS if index in _GLASS_PANELS else paint
        canvas.polygon(np.array(corners), CAR, plain(colour * _PANEL_SHADE[index]))
    for side, out in ((left, -0.02), (right, 0.02)):
        outline = np.array([place(side, *point) for point in _OUTLINE])
        canvas.polygon(outline, CAR, plain(paint * _SIDE_SHADE))
        window = np.array([place(side + out, *point) for point in _SIDE_WINDOW])
        canvas.polygon(window, CAR, plain(_GLASS))
        for along in (0.8, 3.4):
            _draw_wheel(canvas, place(side + out, along, _WHEEL / tall))
    _draw_car_lamps(canvas, x, z, towards, (0.0, 0.0, 0.0))


def _draw_wheel(canvas: Canvas, centre: tuple[float, float, float]) -> None:
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    rim = np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1) * _WHEEL
    canvas.polygon(np.array(centre) + rim, CAR, plain(_RUBBER))


def light_car(canvas: Canvas, x: float, z: float, towards: bool) -> Light:
    """Switch the near lamps of a car on; returns what they throw on the street."""
    if towards:
        _draw_car_lamps(canvas, x, z, towards, (24.0, 22.0, 18.0))
        return Light((x, 0.5, z - 3.0), (3.0, 2.8, 2.4))
    _draw_car_lamps(canvas, x, z, towards, (5.0, 0.15, 0.08))
    return Light((x, 0.6, z - 0.8), (0.5, 0.02, 0.01))


def _draw_car_lamps(
    canvas: Canvas, x: float, z: float, towards: bool, glow: tuple[float, ...]
) -> None:
    glass = (0.6, 0.6, 0.6) if towards else (0.35, 0.03, 0.02)
    # Lamps that shine stand a little nearer than the same lamps switched off.
    near = z - (0.06 if any(glow) else 0.05)
    for side in (-0.62, 0.62):
        canvas.disc(np.array((x + side, 0.66, near)), 0.11, CAR, plain(glass, glow))


def draw_person(
    canvas: Canvas, x: float, z: float, generator: np.random.Generator
) -> None:
    """A person on foot, seen from the front or from behind."""
    size = generator.uniform(1.55, 1.9) / 1.8
    coat, trousers = (
        generator.uniform(0.03, 0.5) * generator.uniform(0.3, 1.0, 3) for _ in range(2)
    )
    skin = generator.uniform(0.12, 0.45) * np.array((1.0, 0.6, 0.42))
    stride = generator.uniform(0.04, 0.26)

    def part(points: NDArray, colour: NDArray, step: float) -> None:
        depth = np.full((len(points), 1), z - step)
        flat = np.hstack([points * size + (x, 0), depth])
        canvas.polygon(flat, PERSON, plain(colour))

    for side in (-1, 1):
        foot = side * stride
        leg = [(foot - 0.08, 0), (foot + 0.08, 0), (side * 0.16, 0.9), (0, 0.9)]
        part(np.array(leg), trousers * (0.8 if side < 0 else 1.0), 0.0)
        hand = side * generator.uniform(0.25, 0.4)
        arm = [(hand - 0.05, 0.8), (hand + 0.05, 0.8), (side * 0.24, 1.42)]
        part(np.array([*arm, (side * 0.12, 1.4)]), coat * 0.8, 0.01)
    torso = [(-0.19, 0.8), (0.19, 0.8), (0.24, 1.38), (0.1, 1.48), (-0.1, 1.48)]
    part(np.array([*torso, (-0.24, 1.38)]), coat, 0.02)
    head = np.array((x, 1.64 * size, z - 0.03))
    hair = generator.uniform(0.01, 0.15) * np.array((1.0, 0.75, 0.5))
    canvas.disc(head, 0.125 * size, PERSON, plain(hair))
    if generator.random() < 0.6:
        face = head - (0, 0.03, 0.02)
        canvas.disc(face, 0.1 * size, PERSON, plain(skin))


def draw_tree(canvas: Canvas, x: float, z: float, generator: np.random.Generator) -> None:
    """A trunk and a crown of many clusters of leaves."""
    trunk, crown = generator.uniform(1.8, 3.0), generator.uniform(1.1, 2.2)
    bark = plain((0.07, 0.05, 0.035))
    corners = [(-0.16, 0), (0.16, 0), (0.1, trunk + crown), (-0.1, trunk + crown)]
    canvas.polygon(np.array([(x + a, b, z) for a, b in corners]), TREE, bark)
    green = np.array((0.5, 1.0, 0.28)) * generator.uniform(0.7, 1.3, 3)
    centre = np.array((x, trunk + crown, z))
    # A far tree is a few pixels: fewer clusters of leaves do.
    for _ in range(round(np.clip(900 / z, 25, 90))):
        offset = generator.normal(0, 0.45, 3)
        offset *= crown * min(1.0, 0.85 / float(np.linalg.norm(offset)))
        # Leaves on top get more light from the sky.
        shade = 0.06 + 0.05 * offset[1] / crown + generator.uniform(0, 0.05)
        radius = crown * generator.uniform(0.1, 0.24)
        leaves = plain(green * max(shade, 0.015))
        canvas.disc(centre + offset, radius, TREE, leaves)


def draw_lamp(
    canvas: Canvas, x: float, z: float, height: float, colour: NDArray
) -> Light:
    """A street lamp at the kerb whose arm reaches over the road.

    Args:
        x: where the pole stands; the arm points to ``x = 0``.
        colour: RGB of its light, brightest channel 1.

    Returns:
        Its light.
    """
    steel = plain((0.12, 0.13, 0.14))
    pole = [(-0.08, 0), (0.08, 0), (0.06, height), (-0.06, height)]
    canvas.polygon(np.array([(x + a, b, z) for a, b in pole]), LAMP, steel)
    end = x - np.sign(x) * 1.6
    arm = [(x, height - 0.1), (x, height + 0.05), (end, height + 0.2)]
    arm.append((end, height + 0.1))
    canvas.polygon(np.array([(a, b, z) for a, b in arm]), LAMP, steel)
    head = [(-0.35, 0), (0.35, 0), (0.25, 0.18), (-0.25, 0.18)]
    lit = plain((0.2, 0.2, 0.2), _LAMP_RADIANCE * colour)
    corners = [(end + a, height + b, z - 0.01) for a, b in head]
    canvas.polygon(np.array(corners), LAMP, lit)
    red, green, blue = (float(22.0 * value) for value in colour)
    return Light((float(end), height - 0.3, z), (red, green, blue))
