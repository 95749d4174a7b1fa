"""A small renderer: flat shapes in metres, a depth buffer, deferred lighting.

World axes: x to the right, y up from the ground, z along the view; the camera is at ``(0,
camera.height, 0)``. All light is linear; lamps may be far above white.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Random = np.random.Generator
Point = Sequence[float] | NDArray
#: World points ``(N, 3)`` -> albedo and emitted light, each ``(N, 3)`` or the same for all.
Paint = Callable[[Array], tuple[Point, Point | int]]
#: World points of a flat polygon.
Corners = Sequence[tuple[float, float, float]] | NDArray
Ends = tuple[float, float]
Window = tuple[slice, slice]  # rows and columns
_NEAREST = 1.0


def single(values: Any) -> Array:
    """Convert to an array of single precision."""
    return np.asarray(values, dtype=np.float32)


class Camera(NamedTuple):
    """A pinhole camera that looks along the road; ``height`` in metres, the others in pixels."""

    width: int
    height_px: int
    focal: float
    horizon: float
    height: float

    @classmethod
    def draw(cls, generator: Random, size: tuple[int, int], *limits: Ends) -> 'Camera':
        """A camera between limits of focal length and horizon, over the size, and of height."""
        focal, horizon, height = (generator.uniform(*each) for each in limits)
        return cls(*size, size[0] * focal, size[1] * horizon, height)

    def project(self, points: Array) -> Array:
        """Pixel positions ``(N, 2)`` of world points ``(N, 3)`` with z > 0."""
        x, y, z = points.T
        u = self.width / 2 + self.focal * x / z
        v = self.horizon + self.focal * (self.height - y) / z
        return np.stack([u, v], axis=1)

    def unproject(self, u: Array, v: Array, nearness: Array) -> Array:
        """World points ``(..., 3)`` of pixels and their ``1 / z``."""
        z = 1 / np.maximum(nearness, 1e-4)
        x = (u - self.width / 2) * z / self.focal
        y = self.height - (v - self.horizon) * z / self.focal
        return np.stack([x, y, z], axis=-1)


class Light(NamedTuple):
    """A point light: position in metres, power as RGB."""

    position: Point
    power: Point


class Canvas:
    """Albedo, emitted light, label and nearness (``1 / z``) of every pixel."""

    def __init__(self, camera: Camera, sky_label: int) -> None:
        shape = (camera.height_px, camera.width)
        self.camera = camera
        self.albedo, self.emission = np.zeros((2, *shape, 3), np.float32)
        self.nearness = np.zeros(shape, np.float32)
        self.label = np.full(shape, sky_label, np.uint8)

    def polygon(self, corners: Corners, label: int, paint: Paint) -> None:
        """Draw a flat polygon ``(N, 3)``, except where something nearer is."""
        near = _clip_near(single(corners))
        if len(near) < 3:
            return
        pixels = self.camera.project(near)
        window = rows, columns = self._window(pixels)
        mask = np.zeros_like(self.label[window])
        if mask.size:
            outline = np.rint(pixels - single((columns.start, rows.start)))
            cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
            self._paint(window, mask > 0, _plane(pixels, 1 / near[:, 2]), label, paint)

    def disc(self, centre: Point, radius: float, label: int, paint: Paint) -> None:
        """Draw a disc that faces the camera."""
        if centre[2] < _NEAREST:
            return
        (middle,) = self.camera.project(single(centre)[None])
        size = self.camera.focal * radius / float(centre[2])
        window = self._window(np.stack([middle - size, middle + size]))
        rows, columns = np.ogrid[window]
        inside = np.hypot(columns + 0.5 - middle[0], rows + 0.5 - middle[1]) <= size
        self._paint(window, inside, (0.0, 0.0, 1 / float(centre[2])), label, paint)

    def _window(self, pixels: Array) -> Window:
        """The part of the picture that encloses some pixel positions."""
        size = np.array((self.camera.width, self.camera.height_px))
        x1, y1 = np.clip(np.floor(pixels.min(0)), 0, size).astype(int)
        x2, y2 = np.clip(np.ceil(pixels.max(0)) + 1, (x1, y1), size).astype(int)
        return slice(y1, y2), slice(x1, x2)

    def _paint(self, window: Window, inside: NDArray, plane: Any, label: int, paint: Paint) -> None:
        """Where it is nearest; ``plane``: coefficients of ``1 / z``, see :func:`_plane`."""
        rows, columns = np.nonzero(inside)
        rows, columns = rows + window[0].start, columns + window[1].start
        u, v = columns + np.float32(0.5), rows + np.float32(0.5)
        nearness = np.float32(plane[0]) * u + np.float32(plane[1]) * v + plane[2]
        seen = nearness > self.nearness[rows, columns]
        if not seen.any():
            return
        at = rows[seen], columns[seen]
        points = self.camera.unproject(u[seen], v[seen], nearness[seen])
        self.albedo[at], self.emission[at] = paint(points)
        self.nearness[at], self.label[at] = nearness[seen], label


class Scene(NamedTuple):
    """A drawn canvas and the light on it."""

    canvas: Canvas
    ambient: NDArray  # RGB light from the sky, on everything
    haze: NDArray  # RGB colour that distant things fade to
    lights: list[Light]

    def light_at(self, points: Array) -> Array:
        """RGB light that reaches world points, ``(..., 3)``; a lamp's falls as 1 / distance²."""
        arriving = np.broadcast_to(single(self.ambient), points.shape).copy()
        for lamp in self.lights:
            distance2 = np.square(points - single(lamp.position)).sum(axis=-1, keepdims=True)
            arriving += single(lamp.power) / (distance2 + 2.0)
        return arriving

    def radiance(self, reach: float = 160.0) -> Array:
        """RGB ``(H, W, 3)`` without glow; haze leaves 1/e of the contrast in ``reach`` metres."""
        canvas, size = self.canvas, self.canvas.label.shape[::-1]
        # Light changes slowly: every second pixel in both directions is enough.
        rows, columns = np.indices(canvas.label.shape, dtype=np.float32)[:, ::2, ::2]
        nearness = canvas.nearness[::2, ::2]
        points = canvas.camera.unproject(columns + 0.5, rows + 0.5, nearness)
        clear = cv2.resize(np.exp(-points[..., 2] / reach), size)[..., None]
        radiance = canvas.albedo * cv2.resize(self.light_at(points), size)
        hazy = radiance * clear + single(self.haze) * (1 - clear)
        return np.where((canvas.nearness > 0)[..., None], hazy, 0) + canvas.emission


def add_glow(radiance: Array) -> Array:
    """Add halos around what is brighter than white, as haze and lenses do."""
    excess = np.maximum(radiance - 1.0, 0)
    small = cv2.resize(excess, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    # Narrow and wide halos of equal energy.
    halo = sum(cv2.GaussianBlur(small, (0, 0), sigma) for sigma in (1.0, 4.0, 12.0))
    return radiance + 0.1 * cv2.resize(single(halo), radiance.shape[1::-1])


def plain(colour: Point, emission: Point | int = 0) -> Paint:
    """Paint of one colour that emits ``emission``."""
    return lambda points: (colour, emission)


def grain(points: Array, tile: Array, axes: tuple[int, int], scale: float) -> Array:
    """Values ``(N, 1)`` of a noise tile at world points, ``scale`` tile pixels per metre."""
    size = tile.shape[0]
    first, second = (np.floor(points[:, axis] * scale).astype(np.int64) % size for axis in axes)
    return tile[first, second][:, None]


def noise_tile(generator: Random) -> Array:
    """Tileable noise around 1 with fine and coarse parts, ``(128, 128)``."""
    tile = np.ones((128, 128), np.float32)
    for step, amount in ((16, 0.12), (4, 0.1), (1, 0.1)):
        part = single(generator.normal(0, amount, (128 // step, 128 // step)))
        # Wrapped before it is enlarged, so that tiles join without a seam.
        large = cv2.resize(np.pad(part, 1, mode='wrap'), None, fx=step, fy=step)
        tile += large[step:-step, step:-step]
    return np.clip(tile, 0.3, 1.7)


def _clip_near(corners: Array) -> Array:
    """The part of a polygon that is at least a metre in front of the camera."""
    kept = []
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if here[2] >= _NEAREST:
            kept.append(here)
        if (here[2] >= _NEAREST) != (there[2] >= _NEAREST):
            part = (_NEAREST - here[2]) / (there[2] - here[2])
            kept.append(here + part * (there - here))
    return np.array(kept, np.float32).reshape(-1, 3)


def _plane(pixels: Array, nearness: NDArray) -> Array:
    """Coefficients of ``1 / z`` of a flat polygon, which is affine in the pixel position."""
    system = np.column_stack([pixels, np.ones(len(pixels))])  # double precision
    return single(np.linalg.lstsq(system, nearness, rcond=None)[0])
