"""Light that does not reach all parts of a scene alike, as fields to multiply linear light by.

Fields are made on a small grid and enlarged: light that is spread by distance has no fine detail.
Sharp shadows are left out.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from sci_plugins.errors import check_choice

Field = NDArray[np.float64]
_GRID = 64


def uneven_light(
    kind: str, height: int, width: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """The fraction of the best-lit place's light that arrives at each pixel.

    Args:
        kind: ``'smooth'`` (a random field: some regions up to 30 times darker than others),
            ``'lamps'`` (one to three lamps, inverse square of the distance, and 3 to 10 % of
            ambient light), ``'headlights'`` (two cones of a car's lamps that widen upwards from the
            lower edge and fade with distance) or ``'vignette'`` (the natural fall-off of a lens,
            ``cos⁴`` of the angle, up to 45 degrees in the corners).
        height, width: of the image in pixels.
        generator: source of the places and sizes.

    Returns:
        ``(H, W)`` float32, in (0, 1], maximum 1.

    Raises:
        ConfigError: if the kind is unknown.

    Sources: inverse square law and Lambert's cosine (Horn, *Robot Vision*, 1986, chapter 10); the
    cosine-fourth law (ibid., section 10.3; measured in Goldman, "Vignette and exposure calibration
    and compensation", TPAMI 2010); sums of random cosines as a smooth field (spectral synthesis).
    """
    check_choice('uneven light', kind, KINDS)
    scale = _GRID / max(height, width)
    rows, columns = (max(2, round(side * scale)) for side in (height, width))
    # From 0 to 1 along the longer side, the same unit along the other.
    y, x = np.mgrid[0:rows, 0:columns] / max(rows - 1, columns - 1)
    field = KINDS[kind](x, y, generator)
    grown = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown / grown.max(), dtype=np.float32)


def _smooth(x: Field, y: Field, generator: np.random.Generator) -> Field:
    total = np.zeros_like(x)
    for _ in range(6):
        frequency = generator.uniform(0.3, 1.5) * 2 * np.pi
        angle, phase = generator.uniform(0, 2 * np.pi, 2)
        total += np.cos(frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    total = (total - total.min()) / max(np.ptp(total), 1e-6)
    return np.exp(-(1 - total) * np.log(generator.uniform(5, 30)))


def _lamps(x: Field, y: Field, generator: np.random.Generator) -> Field:
    ambient = generator.uniform(0.03, 0.1)
    total = np.zeros_like(x)
    for _ in range(generator.integers(1, 4)):
        across, down = generator.uniform(0, x.max()), generator.uniform(0, y.max())
        height = generator.uniform(0.1, 0.35)  # above the plane that it lights
        squared = (x - across) ** 2 + (y - down) ** 2
        # Inverse square of the distance times the cosine of the angle to the plane.
        total += generator.uniform(0.5, 1) * (height**2 / (squared + height**2)) ** 1.5
    return ambient + (1 - ambient) * total / total.max()


def _headlights(x: Field, y: Field, generator: np.random.Generator) -> Field:
    ambient = generator.uniform(0.02, 0.08)
    bottom, middle = y.max(), x.max() / 2 + generator.uniform(-0.1, 0.1)
    horizon = generator.uniform(0.4, 0.6) * bottom
    # On a flat road a row's distance is the camera's height over its angle below the horizon.
    below = np.clip((y - horizon) / (bottom - horizon), 0.02, 1)
    total = np.zeros_like(x)
    for side in (-1, 1):
        centre = middle + side * generator.uniform(0.08, 0.15) * below
        spread = 0.12 + 0.2 * below
        total += np.exp(-0.5 * ((x - centre) / spread) ** 2)
    # The beam is aimed below the horizon and its light falls off with the distance.
    total *= below**0.5 * (1 / (1 + np.exp(-(y - horizon) / 0.04)))
    return ambient + (1 - ambient) * total / total.max()


def _vignette(x: Field, y: Field, generator: np.random.Generator) -> Field:
    radius = np.hypot(x - x.max() / 2, y - y.max() / 2)
    widest = np.tan(np.deg2rad(generator.uniform(25, 45)))
    cosine = 1 / np.sqrt(1 + (widest * radius / radius.max()) ** 2)
    return cosine**4


#: What each kind of light is made by.
KINDS: dict[str, Callable[[Field, Field, np.random.Generator], Field]] = {
    'smooth': _smooth,
    'lamps': _lamps,
    'headlights': _headlights,
    'vignette': _vignette,
}
