"""Darken images in a data pipeline, each one the same way in every run."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform

from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import CURVES, check_amount, darken
from sci_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SynthesizeLowLight(BaseTransform):
    """Turn a bright image into a dark one, as a sensor would have taken it.

    Put it right after the image is loaded. With a ``seed`` the noise depends on the
    seed and on the image's file name (on its pixels where it has none), and on
    nothing else: every variant of a comparison sees the same dark image, whatever
    the worker or the order. The noise is drawn in the channel order of the image.

    Required Keys:

    - img (np.uint8)
    - img_path (optional)

    Modified Keys:

    - img (np.uint8)

    Added Keys:

    - low_light (dict: the gain, noise and shot_noise of this image)

    Args:
        gain: how much of the light arrives, in linear light; ``(low, high)`` draws
            it per image, uniformly in its logarithm.
        noise: standard deviation of the read noise in linear light, white = 1.
        shot_noise: variance per unit of signal in linear light.
        seed: the same dark image each time; ``None`` draws anew each time (for
            training), from numpy's global state, which MMEngine seeds per worker.
        curve: ``'power'`` (2.2) or ``'srgb'``, see
            :func:`sci_plugins.functional.low_light.darken`.

    Raises:
        ConfigError: if an argument is out of range.
        TypeError: if the image is not uint8.
    """

    def __init__(
        self,
        gain: float | Sequence[float],
        noise: float = 0.0,
        shot_noise: float = 0.0,
        seed: int | None = 0,
        curve: str = 'power',
    ) -> None:
        self.gain = _read_range(gain)
        check_amount('SynthesizeLowLight: noise', noise)
        check_amount('SynthesizeLowLight: shot_noise', shot_noise)
        if curve not in CURVES:
            raise ConfigError(
                f'SynthesizeLowLight: curve must be one of {", ".join(CURVES)}, '
                f'got {curve!r}'
            )
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ConfigError(
                f'SynthesizeLowLight: seed must be an int from 0 or None, got {seed!r}'
            )
        self.noise = noise
        self.shot_noise = shot_noise
        self.seed = seed
        self.curve = curve

    def transform(self, results: dict) -> dict:
        """Darken ``results['img']``; the labels stay as they are."""
        image = results['img']
        if image.dtype != np.uint8:
            raise TypeError(
                'SynthesizeLowLight expects a uint8 image, so it stands right after '
                f'LoadImageFromFile(to_float32=False); got dtype {image.dtype}'
            )
        generator = self._generator(results)
        low, high = self.gain
        # Drawn even where the range is a point: the noise then does not depend on it.
        gain = float(low * (high / low) ** generator.random()) if low else 0.0
        results['img'] = darken(
            image, gain, self.noise, self.shot_noise, generator, self.curve
        )
        results['low_light'] = dict(
            gain=gain, noise=self.noise, shot_noise=self.shot_noise
        )
        return results

    def _generator(self, results: dict) -> np.random.Generator:
        if self.seed is None:
            return np.random.default_rng(np.random.randint(2**32, dtype=np.uint64))
        path = results.get('img_path')
        name = Path(path).name.encode() if path else results['img'].tobytes()
        digest = hashlib.sha256(name).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest[:8], 'little')])

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(gain={self.gain}, noise={self.noise}, '
            f'shot_noise={self.shot_noise}, seed={self.seed}, curve={self.curve!r})'
        )


def _read_range(gain: float | Sequence[float]) -> tuple[float, float]:
    """``gain`` as ``(low, high)``."""
    values = tuple(gain) if isinstance(gain, (list, tuple)) else (gain, gain)
    for value in values:
        check_amount('SynthesizeLowLight: gain', value)
    if len(values) != 2 or values[0] > values[1] or (values[0] == 0 < values[1]):
        raise ConfigError(
            'SynthesizeLowLight: gain must be a number or (low, high) with '
            f'0 < low <= high, got {gain!r}'
        )
    return float(values[0]), float(values[1])
