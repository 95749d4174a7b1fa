"""Rendered rooms with lamps, furniture and photographs on the walls, in linear light."""

from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sci_plugins.demo import render
from sci_plugins.demo.render import Array, Camera, Canvas, Ends, Light, Random, Scene, plain

#: Nothing in a room has a label.
_NO_LABEL = 0
#: How far pictures, windows and doors stand out from the wall, in metres.
_RELIEF = 0.02
_WOOD = ((0.32, 0.17, 0.08), (0.2, 0.1, 0.05), (0.45, 0.3, 0.18), (0.1, 0.07, 0.05))
#: Radiance of a ceiling lamp; white is 1.
_LAMP_RADIANCE = 8.0


class Room(NamedTuple):
    """Where the walls are, in metres; the camera is at ``x = 0, z = 0``."""

    left: float
    right: float
    depth: float
    height: float


def build_room(camera: Camera, generator: Random, photos: list[Array]) -> tuple[Scene, Room]:
    """Draw a room from its open side, not yet lit; its photos are ``(H, W, 3)``, linear RGB."""
    canvas = Canvas(camera, _NO_LABEL)
    left, right = -generator.uniform(2.4, 4.0), generator.uniform(2.4, 4.0)
    room = Room(left, right, generator.uniform(6.5, 10.0), generator.uniform(2.7, 3.3))
    _draw_shell(canvas, room, render.noise_tile(generator), generator)
    _hang_photos(canvas, room, photos, generator)
    _draw_window(canvas, room, generator)
    _furnish(canvas, room, generator)
    lights = _hang_lamps(canvas, room, generator)
    ambient = generator.uniform(0.35, 0.6) * generator.uniform((0.95, 0.85, 0.7), (1, 1, 1))
    return Scene(canvas, ambient, np.zeros(3), lights), room


def _draw_shell(canvas: Canvas, room: Room, tile: Array, generator: Random) -> None:
    x1, x2, deep, high = room
    boards = np.array(_WOOD[generator.integers(len(_WOOD))]) * generator.uniform(0.8, 1.2)
    board = generator.uniform(0.15, 0.6)
    walls = generator.uniform(0.25, 0.6) * generator.uniform((0.8, 0.75, 0.65), (1, 1, 1))

    def floor(points: Array) -> tuple[NDArray, int]:
        joints = (points[:, :1] % board) < 0.02
        return np.where(joints, 0.4, 1) * boards * render.grain(points, tile, (0, 2), 14), 0

    def wall(points: Array) -> tuple[NDArray, int]:
        # Both the side walls and the far one: their grain runs along x + z.
        along = np.column_stack([points[:, 0] + points[:, 2], points[:, 1]])
        skirting = points[:, 1:2] < 0.1
        colour = walls * (0.8 + 0.2 * render.grain(along, tile, (0, 1), 30))
        return np.where(skirting, 0.5 * boards, colour), 0

    surface = partial(canvas.polygon, label=_NO_LABEL)
    surface([(x1, 0, 1), (x2, 0, 1), (x2, 0, deep), (x1, 0, deep)], paint=floor)
    white = plain(np.full(3, generator.uniform(0.5, 0.75)))
    surface([(x1, high, 1), (x2, high, 1), (x2, high, deep), (x1, high, deep)], paint=white)
    surface([(x1, 0, deep), (x2, 0, deep), (x2, high, deep), (x1, high, deep)], paint=wall)
    for x in (x1, x2):
        surface([(x, 0, 1), (x, 0, deep), (x, high, deep), (x, high, 1)], paint=wall)


class Panel(NamedTuple):
    """An upright rectangle: ``axis`` is that of the wall (0 for x, 2 for z), ``at`` is where."""

    axis: int
    at: float
    start: float
    stop: float
    bottom: float
    top: float

    def corners(self, border: float = 0.0, relief: float = 0.0) -> NDArray:
        """Its corners ``(4, 3)``, grown by ``border`` and lifted off the wall."""
        first, last = self.start - border, self.stop + border
        low, high = self.bottom - border, self.top + border
        at = self.at - np.sign(self.at) * relief
        corners = np.array([(first, low, at), (last, low, at), (last, high, at), (first, high, at)])
        return corners if self.axis == 0 else corners[:, ::-1]


def _hang_photos(canvas: Canvas, room: Room, photos: list[Array], generator: Random) -> None:
    """Hang framed photographs, side by side, on the far wall and on one side wall."""
    side = room.left if generator.random() < 0.5 else room.right
    far, beside = (0, room.depth, room.left + 0.4, 0.0), (2, side, 2.5, room.depth - 0.6)
    for axis, at, start, stop in (far, beside):
        along = start + generator.uniform(0, 0.6)
        while True:
            photo = photos[generator.integers(len(photos))]
            width, up = generator.uniform(0.7, 1.3), generator.uniform(1.2, 1.5)
            height = min(width * photo.shape[0] / photo.shape[1], room.height - up - 0.3)
            if along + width > stop:
                break
            panel = Panel(axis, at, along, along + width, up, up + height)
            frame = plain(generator.uniform(0.02, 0.5) * np.ones(3))
            canvas.polygon(panel.corners(0.05, _RELIEF), _NO_LABEL, frame)
            canvas.polygon(panel.corners(0.0, 2 * _RELIEF), _NO_LABEL, _photo_paint(photo, panel))
            along += width + generator.uniform(0.5, 1.6)


def _photo_paint(photo: Array, panel: Panel) -> render.Paint:
    """A print of a photograph that fills the panel."""
    small = cv2.resize(photo, (160, 120), interpolation=cv2.INTER_AREA)

    def paint(points: Array) -> tuple[NDArray, int]:
        right = (points[:, panel.axis] - panel.start) / (panel.stop - panel.start)
        down = (panel.top - points[:, 1]) / (panel.top - panel.bottom)
        columns = np.clip(right * 160, 0, 159).astype(int)
        rows = np.clip(down * 120, 0, 119).astype(int)
        return small[rows, columns] * np.float32(0.8), 0

    return paint


def _draw_window(canvas: Canvas, room: Room, generator: Random) -> None:
    start = generator.uniform(0.3, room.right - 1.7)
    panel = Panel(0, room.depth, start, start + generator.uniform(1.0, 1.6), 0.9, 2.2)
    zenith = generator.uniform((0.02, 0.04, 0.1), (0.15, 0.25, 0.5))
    horizon = generator.uniform((0.1, 0.1, 0.12), (0.7, 0.5, 0.45))

    def glass(points: Array) -> tuple[NDArray, NDArray]:
        up = (points[:, 1:2] - panel.bottom) / (panel.top - panel.bottom)
        across = points[:, :1] - (panel.start + panel.stop) / 2
        bars = (np.abs(across) < 0.03) | (np.abs(up - 0.6) < 0.025)
        sky = horizon + (zenith - horizon) * np.clip(up, 0, 1)
        return np.where(bars, 0.6, 0.02), np.where(bars, 0, sky)

    canvas.polygon(panel.corners(0.08, _RELIEF), _NO_LABEL, plain((0.6, 0.6, 0.58)))
    canvas.polygon(panel.corners(0.0, 2 * _RELIEF), _NO_LABEL, glass)


def _furnish(canvas: Canvas, room: Room, generator: Random) -> None:
    """Put cupboards and sofas along the walls, and sometimes a table on one side."""
    for wall in (room.left, room.right):
        z, inwards = generator.uniform(2.5, 4.5), -np.sign(wall)
        while z < room.depth - 2.2:
            length = generator.uniform(1.2, 2.0)
            if generator.random() < 0.6:
                colour = np.array(_WOOD[generator.integers(len(_WOOD))])
                x, high = wall + inwards * 0.45, generator.uniform(0.7, 1.1)
                _box(canvas, (wall, x), (0.0, high), (z, z + length), colour)
            else:
                colour = generator.uniform(0.05, 0.4) * generator.uniform(0.3, 1.0, 3)
                x, back = wall + inwards * 0.85, wall + inwards * 0.25
                _box(canvas, (wall, x), (0.0, 0.42), (z, z + length), colour)
                _box(canvas, (wall, back), (0.4, 0.85), (z, z + length), 0.9 * colour)
                for arm in (z - 0.15, z + length):
                    _box(canvas, (wall, x), (0.0, 0.6), (arm, arm + 0.15), 0.8 * colour)
            z += length + generator.uniform(0.4, 2.0)


def _box(canvas: Canvas, x: Ends, y: Ends, z: Ends, colour: NDArray) -> None:
    """Draw a box that stands parallel to the walls: front, top and both sides."""
    (x1, x2), (y1, y2), (z1, z2) = sorted(x), y, z
    for shade, corners in (
        (0.8, [(x1, y1, z1), (x2, y1, z1), (x2, y2, z1), (x1, y2, z1)]),
        (1.1, [(x1, y2, z1), (x2, y2, z1), (x2, y2, z2), (x1, y2, z2)]),
        (0.6, [(x1, y1, z1), (x1, y1, z2), (x1, y2, z2), (x1, y2, z1)]),
        (0.6, [(x2, y1, z1), (x2, y1, z2), (x2, y2, z2), (x2, y2, z1)]),
    ):
        canvas.polygon(corners, _NO_LABEL, plain(colour * shade))


def _hang_lamps(canvas: Canvas, room: Room, generator: Random) -> list[Light]:
    """Hang globes from the ceiling; returns their light."""
    colour = generator.uniform((1.0, 0.7, 0.4), (1.0, 0.95, 0.85))
    x = generator.uniform(0.4 * room.left, 0.4 * room.right)
    places = np.arange(generator.uniform(2.2, 3.5), room.depth - 0.5, generator.uniform(2.2, 3.2))
    lights = []
    for z in places.tolist():
        up = room.height - 0.45
        cord = Panel(0, z, x - 0.015, x + 0.015, up, room.height)
        canvas.polygon(cord.corners(), _NO_LABEL, plain((0.02,) * 3))
        canvas.disc((x, up, z), 0.13, _NO_LABEL, plain((0.5, 0.5, 0.5), _LAMP_RADIANCE * colour))
        lights.append(Light((x, up - 0.2, z), 2.2 * colour))
    return lights
