"""Darken images in a data pipeline, each the same way in every run."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from sci_plugins.errors import ConfigError, check_choice, check_seed
from sci_plugins.functional import low_light
from sci_plugins.registry import TRANSFORMS

#: Red and blue factors against green in Brooks et al., CVPR 2019.
RANDOM_WHITE_BALANCE = ((1.9, 2.4), (1.5, 1.9))
CHANNEL_ORDERS = ('bgr', 'rgb')

Amount = float | Sequence[float]
Range = tuple[float, float]


@TRANSFORMS.register_module()
class SynthesizeLowLight(BaseTransform):
    """Turn a bright image into a dark one, as a sensor would have taken it.

    Put it right after the image is loaded. With a ``seed``, all random values depend only on the
    seed and the image's file name (its pixels if it has none): every variant of a comparison sees
    the same dark image. Each setting is drawn independently: a range for one of them changes
    neither the others nor the noise, which is drawn in the image's channel order.

    The model, in this order: pixel values to linear light by ``curve``; ``gain``; white balance
    undone; Gaussian noise of variance ``noise ** 2 + shot_noise * signal``; clip to [0, 1]; white
    balance applied; back through the curve; 8 bits; JPEG. Sources, Brooks et al., CVPR 2019, and
    published experiments, are in :func:`sci_plugins.functional.low_light.darken`.

    Modifies ``img``, uint8, and adds ``low_light``, a dict with the ``gain``, ``noise``,
    ``shot_noise``, ``white_balance`` (red, blue), ``jpeg_quality`` and ``uneven`` of this image.

    Args:
        gain: fraction of the light that arrives; ``(low, high)`` draws it per image, uniformly in
            its logarithm.
        noise: standard deviation of the read noise in linear light, white = 1; or a range.
        shot_noise: variance per unit of signal in linear light; or a range. Brooks et al. draw from
            (1e-4, 1.2e-2).
        seed: for the same dark image each time; ``None``, for training, draws a new one each time
            from NumPy's global state, which MMEngine seeds per worker.
        curve: ``'power'`` (2.2) or ``'srgb'``, see
            :func:`sci_plugins.functional.low_light.srgb_to_linear`.
        white_balance: the camera's ``(red, blue)`` factors relative to green, at least 1, each a
            number or ``(low, high)``, drawn uniformly; ``'random'`` for the ranges of Brooks et
            al., red 1.9 to 2.4 and blue 1.5 to 1.9. It colours the noise, so it has no effect
            without noise. ``None``: all channels alike.
        jpeg_quality: libjpeg's, 1 to 100, with 4:2:0 chroma; ``(low, high)`` draws an int from low
            to high; ``None``: no JPEG.
        channel_order: of the image, ``'bgr'`` as mmcv loads it, or ``'rgb'``. Only
            ``white_balance`` and ``jpeg_quality`` depend on it.
        uneven: light that does not reach all parts alike, ``'smooth'``, ``'lamps'``,
            ``'headlights'`` or ``'vignette'``, see
            :func:`sci_plugins.functional.low_light.uneven_light`; several of them, or ``'random'``
            for all, draw one for each image. ``gain`` is then that of the best-lit place.

    Raises:
        ConfigError: if an argument is out of range.
        TypeError: if the image is not uint8.
    """

    def __init__(
        self,
        gain: Amount,
        noise: Amount = 0.0,
        shot_noise: Amount = 0.0,
        seed: int | None = 0,
        curve: str = 'power',
        white_balance: str | Sequence[Amount] | None = None,
        jpeg_quality: int | Sequence[int] | None = None,
        channel_order: str = 'bgr',
        uneven: str | Sequence[str] | None = None,
    ) -> None:
        self.gain = _read_range('gain', gain)
        self.noise = _read_range('noise', noise)
        self.shot_noise = _read_range('shot_noise', shot_noise)
        self.white_balance = _read_white_balance(white_balance)
        self.jpeg_quality: tuple[int, int] | None = None
        if jpeg_quality is not None:
            check = low_light.check_quality
            self.jpeg_quality = _read_range('jpeg_quality', jpeg_quality, check, int)
        check_choice('curve', curve, low_light.CURVES, 'SynthesizeLowLight')
        check_choice('channel_order', channel_order, CHANNEL_ORDERS, 'SynthesizeLowLight')
        self.curve, self.channel_order = curve, channel_order
        self.uneven = _read_kinds(uneven)
        if seed is not None:
            check_seed(seed, 'SynthesizeLowLight')
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Darken ``results['img']``; the labels stay as they are."""
        image = results['img']
        if image.dtype != np.uint8:
            wish = 'a uint8 image, so put it right after LoadImageFromFile(to_float32=False)'
            raise TypeError(f'SynthesizeLowLight expects {wish}; got dtype {image.dtype}')
        key = self._key(results)
        generator = np.random.default_rng(key)
        # Drawn even for a single value, so that the noise does not depend on the range.
        gain = log_uniform(self.gain, generator.random())
        settings = self._draw_settings(np.random.default_rng([*key, 1]))
        light = kind = None
        if self.uneven:
            places = np.random.default_rng([*key, 2])
            kind = self.uneven[places.integers(len(self.uneven))]
            light = low_light.uneven_light(kind, image.shape[0], image.shape[1], places)
        noises = settings['noise'], settings['shot_noise']
        factors = None
        if settings['white_balance'] is not None:
            red, blue = settings['white_balance']
            factors = (red, 1.0, blue) if self.channel_order == 'rgb' else (blue, 1.0, red)
        dark = low_light.darken(image, gain, *noises, generator, self.curve, factors, light)
        if settings['jpeg_quality'] is not None:
            dark = self._compress(dark, settings['jpeg_quality'])
        results['img'] = dark
        results['low_light'] = dict(gain=gain, **settings, uneven=kind)
        return results

    def _key(self, results: dict) -> list[int]:
        if self.seed is None:
            return [int(np.random.randint(2**32, dtype=np.uint64))]
        path = results.get('img_path')
        name = os.fsencode(Path(path).name) if path else results['img'].tobytes()
        return [self.seed, int.from_bytes(hashlib.sha256(name).digest()[:8], 'little')]

    def _draw_settings(self, generator: np.random.Generator) -> dict[str, Any]:
        draws = generator.random(5)
        noise, shot = log_uniform(self.noise, draws[0]), log_uniform(self.shot_noise, draws[1])
        balance = quality = None
        if self.white_balance is not None:
            pairs = zip(self.white_balance, draws[2:4], strict=True)
            balance = tuple(float(low + (high - low) * draw) for (low, high), draw in pairs)
        if self.jpeg_quality is not None:
            low, high = self.jpeg_quality
            quality = low + int((high - low + 1) * draws[4])
        return dict(noise=noise, shot_noise=shot, white_balance=balance, jpeg_quality=quality)

    def _compress(self, image: np.ndarray, quality: int) -> np.ndarray:
        if self.channel_order == 'bgr' or image.ndim < 3:
            return low_light.compress_jpeg(image, quality)
        return np.ascontiguousarray(low_light.compress_jpeg(image[..., ::-1], quality)[..., ::-1])

    def __repr__(self) -> str:
        told = ', '.join(f'{name}={value!r}' for name, value in vars(self).items())
        return f'{type(self).__name__}({told})'


def log_uniform(bounds: Range, draw: float) -> float:
    """``draw`` from [0, 1) on the range, uniform in the logarithm."""
    low, high = bounds
    return float(low * (high / low) ** draw) if low else 0.0


def _read_range(
    name: str,
    amount: Amount,
    check: Callable[[str, Any], None] = low_light.check_amount,
    kind: Callable[[Any], Any] = float,
) -> tuple[Any, Any]:
    """``amount`` as ``(low, high)`` of a ``kind``, each checked."""
    values = tuple(amount) if isinstance(amount, (list, tuple)) else (amount, amount)
    for value in values:
        check(f'SynthesizeLowLight: {name}', value)
    if len(values) != 2 or values[0] > values[1] or (values[0] == 0 < values[1]):
        wish = f'{name} must be a number or (low, high) with 0 < low <= high'
        raise ConfigError(f'SynthesizeLowLight: {wish}, got {amount!r}')
    return kind(values[0]), kind(values[1])


def _read_white_balance(white_balance: str | Sequence[Amount] | None) -> tuple[Range, Range] | None:
    if white_balance is None:
        return None
    if white_balance == 'random':
        return RANDOM_WHITE_BALANCE
    if not isinstance(white_balance, (list, tuple)) or len(white_balance) != 2:
        wish = "white_balance must be None, 'random' or (red, blue)"
        raise ConfigError(f'SynthesizeLowLight: {wish}, got {white_balance!r}')
    red, blue = (_read_range('white_balance', amount) for amount in white_balance)
    if min(red[0], blue[0]) < 1:
        wish = 'white_balance must have factors from 1'
        raise ConfigError(f'SynthesizeLowLight: {wish}, got {white_balance!r}')
    return red, blue


def _read_kinds(uneven: str | Sequence[str] | None) -> tuple[str, ...]:
    if uneven == 'random':
        return tuple(low_light.KINDS)
    kinds = () if uneven is None else (uneven,) if isinstance(uneven, str) else tuple(uneven)
    for kind in kinds:
        check_choice('uneven', kind, low_light.KINDS, 'SynthesizeLowLight')
    return kinds
