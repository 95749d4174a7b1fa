"""Test conditions: the images as they are, or darkened by a known amount."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from mmengine.config import Config

from sci_plugins.errors import ConfigError
from sci_plugins.registry import HOSTS, type_name_of

#: Loaders after which an image is darkened.
_LOADERS = {name for host in HOSTS.values() for name in host.loaders}


@dataclass(frozen=True)
class Condition:
    """How a test set is darkened before anything else sees it.

    Args:
        gain: factor on linear light; ``None`` leaves the images as they are.
        noise: standard deviation of read noise in linear light (white = 1).
        shot_noise: variance of the light's own noise per unit of linear light.

    Raises:
        ConfigError: if a number is out of range.
    """

    ALSO_IN_JSON: ClassVar[tuple[str, ...]] = ('name',)

    gain: float | None = None
    noise: float = 0.0
    shot_noise: float = 0.0

    def __post_init__(self) -> None:
        fits = self.gain is None or 0 < self.gain <= 1
        if not (fits and 0 <= self.noise < math.inf and 0 <= self.shot_noise < math.inf):
            raise ConfigError(f'gain must be in (0, 1] and noise at least 0, got {self.name!r}')

    @property
    def name(self) -> str:
        if self.gain is None:
            return 'as is'
        shot = f', shot noise {self.shot_noise:g}' if self.shot_noise else ''
        return f'gain {self.gain:g}, noise {self.noise:g}{shot}'

    @property
    def slug(self) -> str:
        """The name as part of a file's or folder's name."""
        return self.name.replace(', ', '_').replace(' ', '-')


def parse_condition(text: str) -> Condition:
    """Read ``none``, ``GAIN`` or ``GAIN:NOISE``.

    Raises:
        ConfigError: if ``text`` is none of these, or a number is out of range.
    """
    if text == 'none':
        return Condition()
    gain, _, noise = text.partition(':')
    try:
        return Condition(float(gain), float(noise or 0))
    except ConfigError as error:
        raise ConfigError(f'darkening {text!r}: {error}') from error
    except ValueError as error:
        raise ConfigError(f'cannot read darkening {text!r}: expected GAIN[:NOISE]') from error


def darken_dataset(cfg: Config, condition: Condition, seed: int = 0) -> None:
    """Insert the darkening right after image loading in ``cfg.test_dataloader``.

    Raises:
        ConfigError: if no pipeline of the data set loads images by a known step.
    """
    if condition.gain is None:
        return
    step = dict(
        type='sci_plugins.SynthesizeLowLight',
        gain=condition.gain,
        noise=condition.noise,
        shot_noise=condition.shot_noise,
        seed=seed,
    )
    pipelines = loading_pipelines(cfg.test_dataloader.dataset)
    if not pipelines:
        raise ConfigError('the test data set has no pipeline to darken images in')
    for pipeline in pipelines:
        _insert(pipeline, step)


def loading_pipelines(dataset: Any) -> list[list]:
    """The pipelines that load images, each once; not those of wrappers around data sets.

    Args:
        dataset: config of a data set, or of a wrapper of some.
    """
    # By identity: data sets that are concatenated may share one pipeline.
    return list({id(found): found for found in _pipelines(dataset)}.values())


def _pipelines(node: Any) -> Iterator[list]:
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _pipelines(value)
    elif isinstance(node, dict):
        inner = [node[key] for key in ('dataset', 'datasets') if node.get(key)]
        if inner:
            yield from _pipelines(inner)
        elif isinstance(node.get('pipeline'), list):
            yield node['pipeline']


def _insert(pipeline: list, step: dict[str, Any]) -> None:
    kinds = [type_name_of(item) for item in pipeline]
    for index, kind in enumerate(kinds):
        if kind in _LOADERS:
            if pipeline[index].get('to_float32'):
                raise ConfigError(
                    f'cannot darken: {kind} has to_float32=True, and darkening works on '
                    '8-bit images; set it to False'
                )
            pipeline.insert(index + 1, step)
            return
    raise ConfigError(
        f'cannot darken: no step of the test pipeline loads an image ({", ".join(kinds)})'
    )
