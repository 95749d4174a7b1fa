"""Scenes of real face crops in real photographs, all from scikit-image's wheel.

Nothing is downloaded. Training and test scenes share no photograph, face crop or distractor. The
source does not say who a face belongs to, so the same person may occasionally be in both.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sci_plugins.errors import MissingDependencyError
from sci_plugins.functional.low_light import linear_to_srgb, srgb_to_linear, to_uint8

WIDTH, HEIGHT = 320, 240
#: Smallest and largest height of a face in pixels.
FACE_SIZES = (8, 40)
FACES_PER_SCENE = (2, 8)
DISTRACTORS_PER_SCENE = (1, 5)
PHOTOS = dict(
    train=('coffee', 'stereo_motorcycle', 'brick', 'grass'), test=('chelsea', 'rocket', 'gravel')
)
#: Of 100 faces and about 100 other patches these many are for training, the rest for testing.
TRAIN_PATCHES = 70
#: Patches that scikit-image lists as non-faces but that show part of a face.
_HALF_FACES = (125, 126, 130, 196)
#: Width of a face over its height, and size of the hair over that of the face.
_ASPECT, _HAIR = 0.8, 1.18
_SKIN = ((1.0, 0.66, 0.48), (1.0, 0.6, 0.4), (1.0, 0.54, 0.33), (1.0, 0.48, 0.27))

Array = NDArray[np.float32]


class Material(NamedTuple):
    """Photographs and patches for scenes, in linear light [0, 1]."""

    photos: list[Array]  # (H, W, 3) RGB
    faces: Array  # (N, 25, 25) grey
    others: Array  # (N, 25, 25) grey


class Head(NamedTuple):
    """A head in a scene: centre and height of the face in pixels."""

    x: float
    y: float
    height: float
    is_face: bool

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Bounding box of the face, ``(x1, y1, x2, y2)`` in whole pixels."""
        half_width, half_height = self.height * _ASPECT / 2, self.height / 2
        return (
            round(self.x - half_width),
            round(self.y - half_height),
            round(self.x + half_width),
            round(self.y + half_height),
        )

    @property
    def outline(self) -> tuple[float, float, float, float]:
        """Bounding box of the person with hair and shoulders, ``(x1, y1, x2, y2)``."""
        size = self.height
        return (self.x - size, self.y - 0.7 * size, self.x + size, self.y + 1.9 * size)


class Oval(NamedTuple):
    """A soft-edged (super)ellipse on the canvas: centre and half axes in pixels."""

    x: float
    y: float
    a: float
    b: float
    power: float = 2.0
    feather: float = 0.1

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that it may cover."""
        a, b = self.a * 1.1 + 1, self.b * 1.1 + 1
        return (
            _limited_slice(self.y - b, self.y + b, HEIGHT),
            _limited_slice(self.x - a, self.x + a, WIDTH),
        )

    def coverage(self) -> Array:
        """Alpha in [0, 1] of the pixels in the window."""
        rows, columns = np.ogrid[self.window]
        right = np.abs((columns + 0.5 - self.x) / self.a) ** self.power
        down = np.abs((rows + 0.5 - self.y) / self.b) ** self.power
        # The edge is at least a pixel wide: no aliasing.
        soft = max(self.feather, 1.0 / min(self.a, self.b))
        radius = (right + down) ** (1 / self.power)
        return np.clip((1 + soft / 2 - radius) / soft, 0, 1).astype(np.float32)


@cache
def load_material(split: str) -> Material:
    """Photographs and patches of ``'train'`` or ``'test'``, from the installed wheel.

    Raises:
        MissingDependencyError: if scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise MissingDependencyError(
            'the demo needs the photographs of scikit-image, which is not installed: '
            'pip install "sci_plugins[demo]"'
        ) from error
    patches = srgb_to_linear(data.lfw_subset().astype(np.float32))
    faces = patches[:100]
    others = np.delete(patches, [*range(100), *_HALF_FACES], axis=0)
    side = slice(TRAIN_PATCHES) if split == 'train' else slice(TRAIN_PATCHES, None)
    photos = []
    for name in PHOTOS[split]:
        photo = getattr(data, name)()
        photos.append(_to_linear_rgb(photo[0] if isinstance(photo, tuple) else photo))
    return Material(photos, faces[side], others[side])


def draw_face_scene(
    generator: np.random.Generator, material: Material
) -> tuple[NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Draw a bright scene.

    Returns:
        RGB uint8 ``(240, 320, 3)`` and the boxes of its faces, ``(x1, y1, x2, y2)``, all inside the
        image. Distractors (other patches and heads seen from behind, on the same shoulders) have no
        box.
    """
    canvas = _background(generator, material.photos)
    heads = _place_heads(generator)
    # Painter's algorithm, far to near: a large head is near.
    for head in sorted(heads, key=lambda head: head.height):
        _draw_person(canvas, head, generator, material)
    boxes = [head.box for head in heads if head.is_face]
    return to_uint8(linear_to_srgb(canvas)), boxes


def _limited_slice(start: float, stop: float, size: int) -> slice:
    first = min(max(int(start), 0), size)
    return slice(first, min(max(int(stop) + 1, first), size))


def _to_linear_rgb(photo: NDArray[np.uint8]) -> Array:
    photo = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, axis=2)
    return srgb_to_linear(photo[..., :3].astype(np.float32) / 255)


def _background(generator: np.random.Generator, photos: list[Array]) -> Array:
    """A crop of a photograph, mirrored and re-lit at random."""
    photo = photos[generator.integers(len(photos))]
    height, width = photo.shape[:2]
    least = max(WIDTH / width, HEIGHT / height)
    scale = least * generator.uniform(1.0, 1.7)
    size = (max(WIDTH, round(width * scale)), max(HEIGHT, round(height * scale)))
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    x = generator.integers(size[0] - WIDTH + 1)
    y = generator.integers(size[1] - HEIGHT + 1)
    piece = photo[y : y + HEIGHT, x : x + WIDTH]
    if generator.random() < 0.5:
        piece = piece[:, ::-1]
    light = generator.uniform(0.7, 1.2) * generator.uniform(0.85, 1.15, 3)
    return np.clip(piece * light, 0, 1).astype(np.float32)


def _place_heads(generator: np.random.Generator) -> list[Head]:
    """Heads that do not hide each other; the logarithm of their size is uniform."""
    faces = generator.integers(FACES_PER_SCENE[0], FACES_PER_SCENE[1] + 1)
    others = generator.integers(DISTRACTORS_PER_SCENE[0], DISTRACTORS_PER_SCENE[1] + 1)
    heads: list[Head] = []
    for is_face in [True] * faces + [False] * others:
        for _ in range(50):
            head = _random_head(generator, is_face)
            if not any(_hide(head, other) for other in heads):
                heads.append(head)
                break
    return heads


def _random_head(generator: np.random.Generator, is_face: bool) -> Head:
    low, high = np.log(FACE_SIZES)
    size = round(float(np.exp(generator.uniform(low, high))))
    x = generator.uniform(size * _ASPECT / 2 + 1, WIDTH - size * _ASPECT / 2 - 1)
    y = generator.uniform(size / 2 + 1, HEIGHT - size / 2 - 1)
    return Head(x, y, size, is_face)


def _hide(one: Head, other: Head) -> bool:
    """Whether either person may cover the other's face."""
    return _overlap(one.box, other.outline) or _overlap(other.box, one.outline)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_person(
    canvas: Array, head: Head, generator: np.random.Generator, material: Material
) -> None:
    """Blend shoulders, hair and a face (or another patch) into the canvas."""
    size, x, y = head.height, head.x, head.y
    light = _local_light(canvas, head)
    skin = np.array(_SKIN[generator.integers(len(_SKIN))]) * light
    hair = generator.uniform(0.01, 0.12) * np.array((1.0, 0.75, 0.5)) * light
    _draw_shoulders(canvas, head, generator, light)
    _paint(canvas, Oval(x, y + 0.5 * size, 0.2 * size, 0.34 * size), 0.13 * skin)
    cap = Oval(x, y - 0.06 * size, _HAIR * size * _ASPECT / 2, _HAIR * size / 2)
    _paint(canvas, cap, hair)
    if head.is_face or generator.random() < 0.7:
        patches = material.faces if head.is_face else material.others
        patch = patches[generator.integers(len(patches))]
        patch = patch[:, ::-1] if generator.random() < 0.5 else patch
        oval = Oval(x, y, size * _ASPECT / 2, size / 2, feather=0.2)
        colour = skin * generator.uniform(1.1, 2.0)
        _paint(canvas, oval, _fit(patch, head, oval)[..., None] * colour)


def _draw_shoulders(
    canvas: Array, head: Head, generator: np.random.Generator, light: float
) -> None:
    """A coat with folds that fades out downwards: no need to draw the rest."""
    size = head.height
    coat = Oval(head.x, head.y + 1.5 * size, 0.85 * size, 0.9 * size, power=2.4)
    rows, columns = coat.window
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    if 0 in shape:
        return
    folds = generator.uniform(0.5, 1.5, (5, 5)).astype(np.float32)
    folds = cv2.resize(folds, shape[::-1], interpolation=cv2.INTER_CUBIC)
    cloth = generator.uniform(0.03, 0.4) * generator.uniform(0.35, 1.0, 3) * light
    down = (np.arange(rows.start, rows.stop) + 0.5 - head.y) / size
    fade = np.clip((2.2 - down) / 0.8, 0, 1).astype(np.float32)
    _paint(canvas, coat, folds[..., None] * cloth, fade[:, None])


def _local_light(canvas: Array, head: Head) -> float:
    """Brightness of the surroundings, about 1, so that a person fits in."""
    x1, y1, x2, y2 = (max(0, round(value)) for value in head.outline)
    return float(np.clip((canvas[y1:y2, x1:x2].mean() / 0.2) ** 0.4, 0.6, 1.4))


def _fit(patch: Array, head: Head, oval: Oval) -> Array:
    """Scale the square patch to the head and move it into the window of ``oval``."""
    size = round(head.height)
    method = cv2.INTER_AREA if size < patch.shape[0] else cv2.INTER_CUBIC
    small = cv2.resize(patch, (size, size), interpolation=method)
    rows, columns = oval.window
    move = np.array(
        [[1, 0, head.x - size / 2 - columns.start], [0, 1, head.y - size / 2 - rows.start]]
    )
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    moved = cv2.warpAffine(small, move, shape, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(moved, 0, 1)


def _paint(canvas: Array, oval: Oval, colour: NDArray, alpha: Array | float = 1.0) -> None:
    """Blend a colour, or an image of the oval's window, into the canvas in place."""
    piece = canvas[oval.window]
    cover = (oval.coverage() * alpha)[..., None]
    piece += cover * (np.clip(colour, 0, 1).astype(np.float32) - piece)
