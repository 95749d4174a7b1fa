"""Synthetic low light: a bright image as a noisy 8-bit sensor would see it in less light.

Plain NumPy, because it runs in data loader workers and image generators. Channel order matters
only to the white balance (factors in the image's own order) and JPEG (BGR). Light that does not
reach all parts alike is a field to multiply linear light by, made on a small grid and enlarged:
light that is spread by distance has no fine detail. Sharp shadows are left out.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sci_plugins.errors import ConfigError, check_choice, is_number

GAMMA = 2.2  #: exponent of the simple transfer curve
CURVES = ('power', 'srgb')

FloatArray = NDArray[np.floating]
Field = NDArray[np.float64]
_GRID = 64


def srgb_to_linear(image: FloatArray, curve: str = 'power') -> FloatArray:
    """Pixel values to linear light, of any shape; both in [0, 1], white is 1.

    ``curve`` is ``'power'`` for ``v ** 2.2``, ``'srgb'`` for the exact curve of IEC 61966-2-1,
    which is linear below 0.04045; another one is a ConfigError.
    """
    check_choice('curve', curve, CURVES)
    if curve == 'power':
        return np.power(image, GAMMA)
    return np.where(image <= 0.04045, image / 12.92, np.power((image + 0.055) / 1.055, 2.4))


def linear_to_srgb(linear: FloatArray, curve: str = 'power') -> FloatArray:
    """Linear light to pixel values: the inverse of :func:`srgb_to_linear`."""
    check_choice('curve', curve, CURVES)
    if curve == 'power':
        return np.power(linear, 1 / GAMMA)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def expose(
    linear: FloatArray,
    gain: float,
    noise: float = 0.0,
    shot_noise: float = 0.0,
    generator: np.random.Generator | None = None,
) -> FloatArray:
    """A sensor's reading of a scene: ``clip(l * gain + noise, 0, 1)``, float64, not yet rounded.

    Args:
        linear: scene in linear light, any shape, from 0; lamps may be far brighter than white, 1.
        gain: fraction of the light that arrives, from 0.
        noise: standard deviation of the read noise in linear light (white = 1).
        shot_noise: variance per unit of signal: a value ``s = l * gain`` has the variance
            ``noise ** 2 + shot_noise * s`` (the Gaussian limit of photon counting, where
            ``1 / shot_noise`` photons make white).
        generator: source of the noise; required if there is any.

    Raises:
        ConfigError: if an argument is out of range or the generator is missing.
    """
    for name, value in dict(gain=gain, noise=noise, shot_noise=shot_noise).items():
        check_amount(name, value)
    signal = np.asarray(linear, dtype=np.float64) * gain
    if noise or shot_noise:
        if generator is None:
            raise ConfigError('expose: noise needs a numpy generator, to be reproducible; got None')
        deviation = np.sqrt(noise**2 + shot_noise * signal) if shot_noise else noise
        signal = signal + generator.standard_normal(signal.shape) * deviation
    return np.clip(signal, 0.0, 1.0)


def darken(
    image: NDArray[np.uint8],
    gain: float,
    noise: float = 0.0,
    shot_noise: float = 0.0,
    generator: np.random.Generator | None = None,
    curve: str = 'power',
    white_balance: Sequence[float] | None = None,
    light: FloatArray | None = None,
) -> NDArray[np.uint8]:
    """The same image taken with less light: a new array, uint8, same shape.

    With the default curve, ``shot_noise=0`` and no white balance this is the darkening of published
    experiments: ``l = (v / 255) ** 2.2``, :func:`expose`, ``** (1 / 2.2)``, round to 8 bits.

    ``white_balance`` holds the factors ``w`` by which the camera multiplied its channels. The
    sensor saw ``l * gain / w`` and adds noise and clips there, before the factors are applied
    again: ``min(w * clip(l * gain / w + noise, 0, 1), 1)``. So no channel's mean changes unless
    values are clipped, and nothing changes without noise; a value ``s = l * gain`` has the variance
    ``w**2 * noise**2 + w * shot_noise * s``. Where noise is clipped at black, the mean rises in
    proportion to ``w``: the purple tint of night images.

    Source: Brooks et al., Unprocessing Images for Learned Raw Denoising, CVPR 2019, without tone
    mapping, colour matrix, Bayer mosaic (here the noise of neighbouring pixels is independent) and
    highlight mask (the same factors are applied again). Their ``read`` is ``noise ** 2`` here.

    Args:
        image: uint8, any shape and channel order, for example ``(H, W, 3)``.
        gain, noise, shot_noise, generator: see :func:`expose`.
        curve: see :func:`srgb_to_linear`.
        white_balance: one factor per channel, in the order of the image's last axis; at least 1, as
            relative to the camera's least amplified channel.
        light: fraction of ``gain`` that reaches each pixel, ``(H, W)``, in [0, 1], as of
            :func:`uneven_light`; ``None``: all of it.

    Raises:
        TypeError: if the image is not uint8.
        ConfigError: if an argument is out of range or the generator is missing.
    """
    if image.dtype != np.uint8:
        raise TypeError(f'darken expects a uint8 image, got dtype {image.dtype}')
    if white_balance is not None:
        _check_white_balance(white_balance, image.shape)
    levels = srgb_to_linear(np.arange(256) / 255, curve)
    if not noise and not shot_noise and light is None:  # a table of the 256 levels is enough
        return to_uint8(linear_to_srgb(expose(levels, gain), curve))[image]
    scene = levels[image]
    if light is not None:
        _check_light(light, image.shape)
        scene = scene * light.reshape(light.shape + (1,) * (image.ndim - 2))
    if white_balance is None:
        developed = expose(scene, gain, noise, shot_noise, generator)
    else:
        factors = np.asarray(white_balance, dtype=np.float64)
        developed = expose(scene / factors, gain, noise, shot_noise, generator) * factors
    return to_uint8(linear_to_srgb(developed, curve))  # clips values above white


def compress_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress an image to JPEG and decode it, by OpenCV with 4:2:0 chroma subsampling.

    It is uint8, ``(H, W)``, ``(H, W, 1)`` or BGR ``(H, W, 3)``, at most 65535 pixels a side, and so
    is the result. ``quality`` is libjpeg's, 1 to 100, else a ConfigError.
    """
    check_quality('compress_jpeg: quality', quality)
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    kind = cv2.IMREAD_COLOR if image.shape[2:] == (3,) else cv2.IMREAD_GRAYSCALE
    return np.asarray(cv2.imdecode(data, kind), dtype=np.uint8).reshape(image.shape)


def to_uint8(image: FloatArray) -> NDArray[np.uint8]:
    """Round values in [0, 1] to 8 bits, any shape."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)


def check_amount(name: str, value: float) -> None:
    """Raise ConfigError, naming the argument, for all but a finite number from 0."""
    if not is_number(value) or not np.isfinite(value) or value < 0:
        raise ConfigError(f'{name} must be a finite number from 0, got {value!r}')


def check_quality(name: str, quality: int) -> None:
    """Raise ConfigError, naming the argument, for all but an int from 1 to 100."""
    whole = isinstance(quality, (int, np.integer)) and not isinstance(quality, bool)
    if not whole or not 1 <= quality <= 100:
        raise ConfigError(f'{name} must be an int from 1 to 100, got {quality!r}')


def _check_white_balance(factors: Sequence[float], shape: tuple[int, ...]) -> None:
    for factor in factors:
        check_amount('white_balance', factor)
    if min(factors, default=0) < 1 or shape[-1:] != (len(factors),):
        wish = 'a factor from 1 for each channel of the last axis'
        got = f'{tuple(factors)} for an image of shape {shape}'
        raise ConfigError(f'white_balance must have {wish}, got {got}')


def _check_light(light: FloatArray, shape: tuple[int, ...]) -> None:
    if light.shape != shape[:2] or not 0 <= light.min() <= light.max() <= 1:
        got = f'{light.shape} with values in [{light.min():g}, {light.max():g}]'
        raise ConfigError(f'light must be {shape[:2]} with values in [0, 1], got {got}')


def uneven_light(
    kind: str, height: int, width: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Light at each pixel over that of the best-lit place: ``(H, W)``, float32, in (0, 1].

    Args:
        kind: ``'smooth'`` (a random field: some regions up to 30 times darker than others),
            ``'lamps'`` (one to three lamps, inverse square of the distance, and 3 to 10 % of
            ambient light), ``'headlights'`` (two cones of a car's lamps that widen upwards from the
            lower edge and fade with distance) or ``'vignette'`` (the natural fall-off of a lens,
            ``cos⁴`` of the angle, up to 45 degrees in the corners); others are a ConfigError.
        height, width: of the image in pixels.
        generator: source of the places and sizes.

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
KINDS: dict[str, Callable[[Field, Field, np.random.Generator], Field]] = dict(
    smooth=_smooth, lamps=_lamps, headlights=_headlights, vignette=_vignette
)
