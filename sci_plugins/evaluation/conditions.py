"""Test conditions: the images as they are, or darkened in a known way."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mmengine.config import Config

from sci_plugins.datasets.transforms.low_light import SynthesizeLowLight
from sci_plugins.errors import ConfigError
from sci_plugins.registry import HOSTS, type_name_of
from sci_plugins.utils.schema import to_content

#: Loaders after which an image is darkened.
_LOADERS = {name for host in HOSTS.values() for name in host.loaders}


@dataclass(frozen=True)
class Condition:
    """How a test set is darkened, before any other step: by :class:`SynthesizeLowLight`.

    Raises:
        ConfigError: if a value is out of range.
    """

    ALSO_IN_JSON: ClassVar[tuple[str, ...]] = ('name',)

    gain: float | None = None  # factor on linear light; ``None`` leaves the images as they are
    noise: float = 0.0  # standard deviation of read noise in linear light (white = 1)
    shot_noise: float = 0.0  # variance of the light's own noise per unit of linear light
    #: kind of uneven light, ``gain`` being that of the best-lit place; empty: even light
    uneven: str = ''
    #: the camera's red and blue factors; ``None``: alike
    white_balance: tuple[float, float] | None = None
    jpeg_quality: int = 0  # of the darkened image; 0: not compressed

    def __post_init__(self) -> None:
        fits = self.gain is None or 0 < self.gain <= 1
        if not (fits and 0 <= self.noise < math.inf and 0 <= self.shot_noise < math.inf):
            raise ConfigError(f'gain must be in (0, 1] and noise at least 0, got {self.name!r}')
        if self.gain is not None:
            SynthesizeLowLight(**self.settings)

    @property
    def name(self) -> str:
        """As in tables: ``'as is'`` or ``'gain 0.05, noise 0.002'``."""
        if self.gain is None:
            return 'as is'
        parts = [f'gain {self.gain:g}', f'noise {self.noise:g}']
        if self.shot_noise:
            parts.append(f'shot noise {self.shot_noise:g}')
        if self.uneven:
            parts.append(f'uneven {self.uneven}')
        if self.white_balance:
            parts.append('white balance ' + ' '.join(f'{each:g}' for each in self.white_balance))
        if self.jpeg_quality:
            parts.append(f'JPEG {self.jpeg_quality}')
        return ', '.join(parts)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of :class:`sci_plugins.SynthesizeLowLight`, without the seed."""
        return vars(self) | dict(uneven=self.uneven or None, jpeg_quality=self.jpeg_quality or None)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from other conditions; what came later counts only where it is used."""
        later = ('uneven', 'white_balance', 'jpeg_quality')
        return {key: value for key, value in to_content(self).items() if value or key not in later}

    @property
    def slug(self) -> str:
        """The name for files and folders."""
        return self.name.replace(', ', '_').replace(' ', '-')


#: What may follow gain and noise: name at the command line, argument, how it is read.
_EXTRAS: dict[str, tuple[str, Callable[[str], Any]]] = {
    'shot': ('shot_noise', float),
    'uneven': ('uneven', str),
    'wb': ('white_balance', lambda text: tuple(float(each) for each in text.split(','))),
    'jpeg': ('jpeg_quality', int),
}
_FORM = 'GAIN[:NOISE][:shot=S][:uneven=KIND][:wb=RED,BLUE][:jpeg=QUALITY]'


def parse_condition(text: str) -> Condition:
    """Read ``none``, ``GAIN``, ``GAIN:NOISE``, and what may follow: ``0.3:uneven=lamps``.

    Raises:
        ConfigError: if ``text`` is none of these, or a value is out of range.
    """
    if text == 'none':
        return Condition()
    numbers: list[float] = []
    extras: dict[str, Any] = {}
    try:
        for part in text.split(':'):
            name, equals, value = part.partition('=')
            if equals:
                argument, read = _EXTRAS[name]
                extras[argument] = read(value)
            else:
                numbers.append(float(part or 0))
        gain, noise = numbers if len(numbers) != 1 else (*numbers, 0.0)
        return Condition(gain, noise, **extras)
    except ConfigError as error:
        raise ConfigError(f'darkening {text!r}: {error}') from error
    except (ValueError, KeyError) as error:
        raise ConfigError(f'cannot read darkening {text!r}: expected {_FORM}') from error


def darken_dataset(cfg: Config, condition: Condition, seed: int = 0) -> None:
    """Insert the darkening, if any, by :func:`insert_after_loading`."""
    if condition.gain is not None:
        step = dict(type='sci_plugins.SynthesizeLowLight', **condition.settings, seed=seed)
        insert_after_loading(cfg, step, 'darken')


def insert_after_loading(cfg: Config, step: dict[str, Any], what: str) -> None:
    """Insert a transform's config after each image is loaded, 8-bit, in ``cfg.test_dataloader``.

    Raises:
        ConfigError: saying ``what`` cannot be done, if no pipeline loads images by a known step.
    """
    if not (pipelines := loading_pipelines(cfg.test_dataloader.dataset)):
        raise ConfigError(f'the test data set has no pipeline to {what} images in')
    for pipeline in pipelines:
        kinds = [type_name_of(item) for item in pipeline]
        place = next((index for index, kind in enumerate(kinds) if kind in _LOADERS), None)
        if place is None:
            told = f'no step of the test pipeline loads an image ({", ".join(kinds)})'
            raise ConfigError(f'cannot {what}: {told}')
        if pipeline[place].get('to_float32'):
            told = 'has to_float32=True, and this works on 8-bit images; set it to False'
            raise ConfigError(f'cannot {what}: {kinds[place]} {told}')
        pipeline.insert(place + 1, step)


def loading_pipelines(dataset: Any) -> list[list]:
    """The pipelines of a data set's config that load images, each once, without wrappers' own."""
    found = (each.get('pipeline') for each in data_set_configs(dataset))
    # By identity: concatenated data sets may share one pipeline.
    return list({id(each): each for each in found if isinstance(each, list)}.values())


def data_set_configs(config: Any) -> Iterator[Mapping[str, Any]]:
    """The data sets in a config that read files, without what combines or repeats them."""
    if isinstance(config, Mapping):
        inner = [config.get('dataset'), *(config.get('datasets') or [])]
        if not any(isinstance(each, Mapping) for each in inner):
            yield config
        for each in inner:
            yield from data_set_configs(each)
