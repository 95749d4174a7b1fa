"""People in rendered night streets and rooms, with real faces from scikit-image's wheel.

Everyone stands on the ground, and who is far away is small. Nothing is downloaded. Training and
test scenes share no photograph, face crop or printed pattern. The source does not say who a face
belongs to, so the same person may occasionally be in both.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sci_plugins.demo import render
from sci_plugins.demo.render import Array, Camera, Ends, Random, Scene, Window, single
from sci_plugins.demo.rooms import build_room
from sci_plugins.demo.streets import build_street
from sci_plugins.functional.low_light import srgb_to_linear
from sci_plugins.registry import require_host

WIDTH, HEIGHT = 320, 240
#: Smallest and largest height of a face in pixels.
FACE_SIZES = (8, 40)
FACES_PER_SCENE = (2, 8)
DISTRACTORS_PER_SCENE = (1, 5)
#: What has no box, and how often: people seen from behind, printed balloons on a string, balls on
#: the ground, globe lamps on a pole.
DISTRACTORS = dict(back=0.4, balloon=0.25, ball=0.2, lamp=0.15)
PHOTOS = dict(
    train=('coffee', 'stereo_motorcycle', 'hubble_deep_field', 'immunohistochemistry'),
    test=('chelsea', 'rocket', 'moon'),
)
#: Of 100 faces and about 100 other patches these many are for training, the rest for testing.
TRAIN_PATCHES = 70
#: Patches that scikit-image lists as non-faces but that show part of a face.
_HALF_FACES = (125, 126, 130, 196)
#: Width of a face over its height, and size of the hair over that of the face.
_ASPECT, _HAIR = 0.8, 1.18
_SKIN = ((1.0, 0.66, 0.48), (1.0, 0.6, 0.4), (1.0, 0.54, 0.33), (1.0, 0.48, 0.27))
#: The background is drawn this many times larger, then averaged down.
_OVERSAMPLING = 2
#: Mean brightness that the camera's automatic exposure aims at, in linear light.
_EXPOSURE = (0.13, 0.24)
Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels


class Material(NamedTuple):
    """Photographs and patches for scenes, in linear light [0, 1]."""

    photos: list[Array]  # (H, W, 3) RGB
    faces: Array  # (N, 25, 25) grey
    others: Array  # (N, 25, 25) grey


class Figure(NamedTuple):
    """A person, or a thing that is no face, on the ground."""

    x: float  # centre of the face or of the round thing, in pixels
    y: float
    size: float  # its height in pixels
    ground: float  # row where the figure stands
    z: float  # distance in metres
    kind: str = 'face'

    @property
    def is_person(self) -> bool:
        return self.kind in ('face', 'back')

    @property
    def box(self) -> Box:
        """Bounding box of the face."""
        x, y, right, down = self.x, self.y, self.size * _ASPECT / 2, self.size / 2
        return round(x - right), round(y - down), round(x + right), round(y + down)

    @property
    def outline(self) -> tuple[float, float, float, float]:
        """Bounding box of all that is drawn, down to the ground, ``(x1, y1, x2, y2)``."""
        half = self.size * (1.05 if self.is_person else 0.6)
        return (self.x - half, self.y - 0.7 * self.size, self.x + half, self.ground)


class Oval(NamedTuple):
    """A soft-edged (super)ellipse on the canvas: centre and half axes in pixels."""

    x: float
    y: float
    a: float
    b: float
    power: float = 2.0
    feather: float = 0.1

    @property
    def window(self) -> Window:
        """The part of the canvas that it may cover."""
        a, b = self.a * 1.1 + 1, self.b * 1.1 + 1
        return _limited(self.y - b, self.y + b, HEIGHT), _limited(self.x - a, self.x + a, WIDTH)

    def coverage(self) -> Array:
        """Alpha in [0, 1] of the pixels in the window."""
        right, down = self.offsets()
        # The edge is at least a pixel wide: no aliasing.
        soft = max(self.feather, 1.0 / min(self.a, self.b))
        radius = (np.abs(right) ** self.power + np.abs(down) ** self.power) ** (1 / self.power)
        return single(np.clip((1 + soft / 2 - radius) / soft, 0, 1))

    def offsets(self) -> tuple[Array, Array]:
        """How far right and down of the centre, in half axes: ``(1, w)`` and ``(h, 1)``."""
        rows, columns = np.ogrid[self.window]
        return (single((columns + 0.5 - self.x) / self.a), single((rows + 0.5 - self.y) / self.b))


class Limb(NamedTuple):
    """A soft-edged bar between two points of the canvas, in pixels."""

    start: tuple[float, float]
    stop: tuple[float, float]
    width: float

    @property
    def window(self) -> Window:
        (x1, y1), (x2, y2), reach = self.start, self.stop, self.width / 2 + 1
        rows = _limited(min(y1, y2) - reach, max(y1, y2) + reach, HEIGHT)
        return rows, _limited(min(x1, x2) - reach, max(x1, x2) + reach, WIDTH)

    def coverage(self) -> Array:
        """The same, by the distance from the middle line."""
        rows, columns = np.ogrid[self.window]
        along = np.subtract(self.stop, self.start)
        right, down = columns + 0.5 - self.start[0], rows + 0.5 - self.start[1]
        part = np.clip((right * along[0] + down * along[1]) / max(along @ along, 1e-6), 0, 1)
        distance = np.hypot(right - part * along[0], down - part * along[1])
        return single(np.clip(self.width / 2 + 0.5 - distance, 0, 1))


class Painter:
    """Blends the shapes of a figure, lit by a scene, into ``picture`` behind what is nearer."""

    def __init__(self, picture: Array, scene: Scene, figure: Figure, generator: Random) -> None:
        self.picture, self.figure, self.generator = picture, figure, generator
        # Share of each pixel where nothing of the background is nearer.
        free = single(scene.canvas.nearness <= 1 / figure.z)
        self._seen = cv2.resize(free, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        u, v = single((figure.x, figure.y)) * _OVERSAMPLING
        place = scene.canvas.camera.unproject(u, v, single(1 / figure.z))
        #: RGB light that reaches the side that we see.
        self.light = scene.light_at(place - single((0, 0, 0.5)))

    def paint(self, shape: Oval | Limb, colour: NDArray, alpha: float = 1.0) -> None:
        """Blend a colour ``(3,)``, or an image of the shape's window, into the picture."""
        piece = self.picture[shape.window]
        cover = (shape.coverage() * alpha * self._seen[shape.window])[..., None]
        piece += cover * (single(colour) - piece)

    def fit_patch(self, patches: Array, oval: Oval) -> Array:
        """A random patch, as large as the head, in the window of ``oval``: ``(h, w, 1)``."""
        patch = patches[self.generator.integers(len(patches))]
        patch = patch[:, ::-1] if self.generator.random() < 0.5 else patch
        size = round(self.figure.size)
        method = cv2.INTER_AREA if size < patch.shape[0] else cv2.INTER_CUBIC
        small = cv2.resize(patch, (size, size), interpolation=method)
        rows, columns = oval.window
        left, top = self.figure.x - size / 2 - columns.start, self.figure.y - size / 2 - rows.start
        shape = (columns.stop - columns.start, rows.stop - rows.start)
        move = np.array([[1, 0, left], [0, 1, top]])
        moved = cv2.warpAffine(small, move, shape, borderMode=cv2.BORDER_REPLICATE)
        return np.clip(moved, 0, 1)[..., None]


@cache
def load_material(split: str) -> Material:
    """That of ``'train'`` or ``'test'``; MissingDependencyError without scikit-image."""
    require_host('the demo', 'skimage', 'demo')  # its photographs
    from skimage import data

    patches = srgb_to_linear(data.lfw_subset().astype(np.float32))
    others = np.delete(patches, [*range(100), *_HALF_FACES], axis=0)
    side = slice(TRAIN_PATCHES) if split == 'train' else slice(TRAIN_PATCHES, None)
    photos = []
    for name in PHOTOS[split]:
        photo = getattr(data, name)()
        photo = photo[0] if isinstance(photo, tuple) else photo
        rgb = np.dstack([photo] * 3)[..., :3]  # some are grey
        photos.append(srgb_to_linear(rgb.astype(np.float32) / 255))
    return Material(photos, patches[:100][side], others[side])


def draw_face_scene(generator: Random, material: Material) -> tuple[Array, list[Box]]:
    """Draw people in a street (two of three scenes) or in a room: radiance and boxes of the faces.

    Radiance is ``(240, 320, 3)``, RGB, linear light, white is 1, lamps far above it. The boxes are
    inside the picture; ``DISTRACTORS`` have none.
    """
    scene, sides, depth = _build_place(generator, material)
    figures = _place_figures(generator, scene, sides, depth)
    picture = _paint_figures(generator, scene, figures, material)
    exposure = generator.uniform(*_EXPOSURE) / float(np.minimum(picture, 1).mean())
    picture = render.add_glow(picture * single(np.clip(exposure, 0.5, 2.5)))
    return picture, [figure.box for figure in figures if figure.kind == 'face']


def _limited(start: float, stop: float, size: int) -> slice:
    return slice(*np.clip((int(start), int(stop) + 1), 0, size).tolist())


def _build_place(generator: Random, material: Material) -> tuple[Scene, Ends, float]:
    """A background, the sides between which one can stand, and how far away, in metres."""
    size = (WIDTH * _OVERSAMPLING, HEIGHT * _OVERSAMPLING)
    camera = Camera.draw(generator, size, (0.8, 1.0), (0.24, 0.4), (1.8, 2.5))
    if generator.random() < 1 / 3:
        scene, room = build_room(camera, generator, material.photos)
        return scene, (room.left + 0.4, room.right - 0.4), room.depth - 0.5
    scene, layout = build_street(camera, generator, people=False)
    return scene, (layout.walls[0] + 0.4, layout.walls[1] - 0.4), 60.0


def _place_figures(generator: Random, scene: Scene, sides: Ends, depth: float) -> list[Figure]:
    """Figures that do not hide each other's faces; the logarithm of their size is uniform."""
    faces = generator.integers(*FACES_PER_SCENE, endpoint=True)
    others = generator.integers(*DISTRACTORS_PER_SCENE, endpoint=True)
    kinds = generator.choice(list(DISTRACTORS), others, p=list(DISTRACTORS.values()))
    figures: list[Figure] = []
    for kind in ['face'] * faces + kinds.tolist():
        for _ in range(60):
            figure = _random_figure(generator, scene.canvas.camera, kind)
            x = figure.z * (figure.x - WIDTH / 2) * _OVERSAMPLING / scene.canvas.camera.focal
            stands = sides[0] < x < sides[1] and figure.z < depth and _is_free(scene, figure)
            if stands and not any(_hide(figure, other) for other in figures):
                figures.append(figure)
                break
    return figures


def _paint_figures(
    generator: Random, scene: Scene, figures: list[Figure], material: Material
) -> Array:
    """The radiance of a background with figures in front of it, ``(240, 320, 3)``."""
    picture = cv2.resize(scene.radiance(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    for figure in sorted(figures, key=lambda figure: -figure.z):  # far to near
        draw = _draw_person if figure.is_person else _DRAW_THING[figure.kind]
        draw(Painter(picture, scene, figure, generator), material)
    return picture


def _random_figure(generator: Random, camera: Camera, kind: str) -> Figure:
    """A figure of a usual height at a random place on the ground."""
    low, high = np.log(FACE_SIZES)
    size = round(float(np.exp(generator.uniform(low, high))))
    if kind in ('face', 'back'):
        child = generator.random() < 0.2
        tall = generator.uniform(1.1, 1.4) if child else generator.uniform(1.5, 1.9)
        metres = 0.09 + 0.08 * tall
        centre = tall - 0.6 * metres
    else:
        metres = generator.uniform(0.2, 0.3)
        centre = metres / 2 if kind == 'ball' else generator.uniform(1.0, 1.8)
    z = camera.focal / _OVERSAMPLING * metres / size
    places = camera.project(np.array([(0.0, centre, z), (0.0, 0.0, z)]))
    y, ground = places[:, 1] / _OVERSAMPLING
    margin = size * _ASPECT / 2 + 1
    return Figure(generator.uniform(margin, WIDTH - margin), float(y), size, float(ground), z, kind)


def _is_free(scene: Scene, figure: Figure) -> bool:
    """Whether it is inside the picture and nothing nearer covers the face or half of the rest."""
    _, y1, _, y2 = figure.box
    below = figure.size if figure.is_person else 0  # at least the shoulders are inside
    if y1 < 1 or y2 + below > HEIGHT - 1 or figure.z < 1.2:
        return False
    whole = [max(0, round(value)) for value in figure.outline]
    return _seen(scene, figure.z, figure.box) == 1 and _seen(scene, figure.z, whole) > 0.5


def _seen(scene: Scene, z: float, box: Sequence[int]) -> float:
    """Share of a box where nothing of the background is nearer than ``z``."""
    x1, y1, x2, y2 = (_OVERSAMPLING * value for value in box)
    return float((scene.canvas.nearness[y1:y2, x1:x2] <= 1 / z).mean())


def _hide(one: Figure, other: Figure) -> bool:
    """Whether the nearer one may cover the other's face, with its hair."""
    far, near = sorted((one, other), key=lambda figure: -figure.z)
    x1, y1, x2, y2 = far.box
    return _overlap((x1 - 1, y1 - 0.2 * (y2 - y1), x2 + 1, y2 + 1), near.outline)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_person(painter: Painter, material: Material) -> None:
    """Paint a body, hair and, unless seen from behind, a face."""
    generator, (x, y, size, _, _, kind) = painter.generator, painter.figure
    skin = np.array(_SKIN[generator.integers(len(_SKIN))]) * painter.light
    hair = generator.uniform(0.01, 0.12) * np.array((1.0, 0.75, 0.5)) * painter.light
    _draw_body(painter, 0.25 * skin)
    painter.paint(Oval(x, y + 0.5 * size, 0.2 * size, 0.34 * size), 0.13 * skin)
    painter.paint(Oval(x, y - 0.06 * size, _HAIR * size * _ASPECT / 2, _HAIR * size / 2), hair)
    if kind == 'face':
        oval = Oval(x, y, size * _ASPECT / 2, size / 2, feather=0.2)
        patch = painter.fit_patch(material.faces, oval) * skin
        painter.paint(oval, patch * generator.uniform(1.1, 2.0))


def _draw_body(painter: Painter, skin: NDArray) -> None:
    """Paint a shadow on the ground, legs, a coat with folds, and arms."""
    generator, (x, y, size, ground, _, _) = painter.generator, painter.figure
    shades = ((generator.uniform(0.03, 0.4), generator.uniform(0.35, 1.0, 3)) for _ in range(2))
    coat, trousers = (shade * colour * painter.light for shade, colour in shades)
    stride = generator.uniform(0.15, 0.5) * size
    painter.paint(Oval(x, ground, 1.3 * size, 0.25 * size, feather=0.9), np.zeros(3), 0.55)
    for side, shade in ((-1, 0.75), (1, 1.0)):
        hip, foot = (x + side * 0.32 * size, y + 2.5 * size), (x + side * stride, ground)
        painter.paint(Limb(hip, (foot[0], foot[1] - 0.2 * size), 0.5 * size), shade * trousers)
        shoe = Oval(foot[0], ground - 0.12 * size, 0.3 * size, 0.16 * size)
        painter.paint(shoe, 0.03 * painter.light)
        shoulder = (x + side * 0.72 * size, y + 1.0 * size)
        across, down = generator.uniform(0.75, 1.0), generator.uniform(2.4, 2.8)
        hand = (x + side * across * size, y + down * size)
        painter.paint(Limb(hand, hand, 0.3 * size), skin)
        painter.paint(Limb(shoulder, (hand[0], hand[1] - 0.2 * size), 0.38 * size), 0.75 * coat)
    torso = Oval(x, y + 1.7 * size, 0.8 * size, 1.12 * size, power=2.6)
    painter.paint(torso, _folds(torso, generator) * coat)


def _folds(oval: Oval, generator: Random) -> Array:
    """Shading of cloth in the oval's window: folds, darker at the sides, ``(h, w, 1)``."""
    right, down = oval.offsets()
    shape = (down.shape[0], right.shape[1])
    folds = generator.uniform(0.6, 1.4, (5, 5)).astype(np.float32)
    if 0 in shape:
        return np.ones((*shape, 1), np.float32)
    folds = cv2.resize(folds, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return single(folds * (1.1 - 0.4 * right**2))[..., None]


def _draw_ball(painter: Painter, material: Material) -> None:
    generator, (x, y, size, ground, *_) = painter.generator, painter.figure
    painter.paint(Oval(x, ground, 0.6 * size, 0.16 * size, feather=0.9), np.zeros(3), 0.55)
    oval = Oval(x, y, size / 2, size / 2)
    right, down = oval.offsets()
    first, second = generator.uniform(0.05, 0.8, (2, 1, 1, 3))
    turn = generator.uniform(0, 2 * np.pi)
    stripes = np.sin(7 * (right * np.cos(turn) + down * np.sin(turn)))[..., None] > 0
    painter.paint(oval, _round(oval) * np.where(stripes, first, second) * painter.light)


def _draw_balloon(painter: Painter, material: Material) -> None:
    """Paint a balloon with a printed pattern on a string that is tied to a stone."""
    x, y, size, ground, *_ = painter.figure
    painter.paint(Limb((x, y), (x, ground), max(0.8, 0.03 * size)), 0.3 * painter.light)
    painter.paint(Oval(x, ground - 0.1 * size, 0.25 * size, 0.14 * size), 0.1 * painter.light)
    oval = Oval(x, y, size * _ASPECT / 2, size / 2)
    patch = painter.fit_patch(material.others, oval)
    colour = painter.generator.uniform(0.3, 1.0, 3) * painter.light
    painter.paint(oval, _round(oval) * (0.15 + 0.85 * patch) * colour)


def _draw_lamp(painter: Painter, material: Material) -> None:
    generator, (x, y, size, ground, *_) = painter.generator, painter.figure
    painter.paint(Oval(x, ground, 0.5 * size, 0.12 * size), 0.04 * painter.light)
    painter.paint(Limb((x, y), (x, ground), 0.14 * size), 0.05 * painter.light)
    glow = generator.uniform(1.0, 4.0) * generator.uniform((1.0, 0.6, 0.3), (1.0, 0.95, 0.85))
    oval = Oval(x, y, size / 2, size / 2)
    painter.paint(oval, _round(oval) * glow)


_DRAW_THING = dict(ball=_draw_ball, balloon=_draw_balloon, lamp=_draw_lamp)


def _round(oval: Oval) -> Array:
    """Shading of a ball in the oval's window: darker at the edge, ``(h, w, 1)``."""
    right, down = oval.offsets()
    return single(1.1 - 0.5 * np.minimum(right**2 + (down + 0.2) ** 2, 1))[..., None]
