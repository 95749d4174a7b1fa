"""Errors that a user can fix: one line with the argument, what it must be and what it is."""

import pickle
import re
from collections.abc import Iterable
from difflib import get_close_matches
from math import inf
from numbers import Integral, Real
from typing import Any


class SciPluginsError(Exception):
    """Base of every error that this library raises on purpose."""


class ConfigError(SciPluginsError, ValueError):
    """A config, an option or an argument asks for something impossible."""


class DataError(SciPluginsError, ValueError):
    """An image, a label or a folder does not follow its format or layout."""


class CheckpointError(SciPluginsError, RuntimeError):
    """A weight file is damaged, unsafe, or made for another architecture."""


class TrainingError(SciPluginsError, RuntimeError):
    """A training run failed: the loss or the weights became NaN or infinite."""


class MissingDependencyError(SciPluginsError, ImportError):
    """An optional package (mmdet, mmseg, ...) is needed and not installed."""


def check_at_least(least: float, owner: str = '', /, *, most: float = inf, **values: Any) -> None:
    """Refuse arguments below ``least`` or above ``most``, and those that are not finite.

    Where ``least`` is an int, so must the values be. ``owner`` is the class to name in front, for
    arguments that come from a config.

    Raises:
        ConfigError: such as ``steps must be at least 1, got 0``.
    """
    kind: type[Any] = Integral if isinstance(least, int) else Real
    prefix = f'{owner}: ' if owner else ''
    for name, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            noun = 'an int of' if kind is Integral else 'a number of'
            raise ConfigError(f'{prefix}{name} must be {noun} at least {least:g}, got {value!r}')
        if not value >= least:  # also NaN
            raise ConfigError(f'{prefix}{name} must be at least {least:g}, got {value}')
        if value == inf:
            raise ConfigError(f'{prefix}{name} must be finite, got {value}')
        if value > most:
            raise ConfigError(f'{prefix}{name} must be at most {most:.10g}, got {value}')


def check_above(low: float, owner: str = '', /, *, below: float = inf, **values: Any) -> None:
    """As :func:`check_at_least`, for numbers above ``low`` and below ``below``."""
    wish = f'above {low:g}' if below > 1 else f'in ({low:g}, {below:g})'
    prefix = f'{owner}: ' if owner else ''
    for name, value in values.items():
        if not is_number(value) or not low < value < below:
            raise ConfigError(f'{prefix}{name} must be {wish}, got {value!r}')


def is_number(value: Any) -> bool:
    """Whether it is a real number, of NumPy too, but for true and false."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_seed(seed: Any, owner: str = '') -> None:
    """``ConfigError`` unless it is an int that Python, NumPy and PyTorch all take: to 2**32 - 1."""
    check_at_least(0, owner, most=2**32 - 1, seed=seed)


def check_workers(workers: Any) -> None:
    """``ConfigError`` unless it is an int from 1 to 256: no machine has more threads."""
    check_at_least(1, most=256, workers=workers)


def check_choice(name: str, value: Any, known: Iterable[Any], owner: str = '') -> None:
    """``ConfigError`` such as ``split must be one of train, test; got 'val'``."""
    choices = list(known)
    if value not in choices:
        prefix = f'{owner}: ' if owner else ''
        told = ', '.join(map(str, choices))
        raise ConfigError(f'{prefix}{name} must be one of {told}; got {value!r}')


def shorten(text: str, most: int = 80) -> str:
    """The text, or its beginning and its length where it is longer than ``most``."""
    return text if len(text) <= most else f'{text[:most]}… ({len(text)} characters)'


def show_name(name: Any, most: int = 100) -> str:
    """A name out of a file, fit for one line of a message: no escapes, and not too long."""
    text = str(name)
    text = text if len(text) <= most else text[:most] + '…'
    return text if text.isprintable() else repr(text)


def did_you_mean(name: str, known: Iterable[str], otherwise: str = '') -> str:
    """The nearest of the known names, by its end or as a whole, as the end of a message."""
    names = list(known)
    near = [each for each in names if each.rpartition('/')[2] == name]
    near = near or get_close_matches(name, names, 1)
    return f' (did you mean {near[0]}?)' if near else otherwise


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its type where it has none."""
    return str(error).strip().split('\n')[0] or type(error).__name__


def tell_cause(error: BaseException) -> str:
    """Type and first line of an error, as the end of a sentence."""
    return f'{type(error).__name__}: {first_line(error)}'


def describe_unpickling(name: str, error: pickle.UnpicklingError) -> str:
    """One line in place of torch's page: what ``name`` holds that it must not."""
    message = str(error)
    found = re.search(r'GLOBAL ([\w.]+)', message) or re.search(r'Unsupported class (\S+)', message)
    if found:
        why = 'which is not plain data and could execute code; it was not loaded'
        advice = 'Pass --trust-checkpoint (trust=True) only if you made it yourself'
        return f'{name} holds {found[1]}, {why}. {advice}'
    if message.startswith('entry '):
        return f'cannot load {name}: {message}'
    cause = re.search(r'Unpickler error:\s+(\S[^\n]*)', message)
    return _tell_damage(name, cause[1]) if cause else describe_damage(name, error)


def describe_damage(name: str, error: BaseException) -> str:
    """One line for a file that cannot be unpickled."""
    # Torch's second sentence is often advice to load the file unsafely.
    sentence, kind = first_line(error).split('. ')[0], type(error).__name__
    # Some messages are a bare number, which means nothing without its type.
    whole = ' ' in sentence or sentence == kind
    return _tell_damage(name, sentence if whole else f'{kind} {sentence}')


def _tell_damage(name: str, cause: str) -> str:
    return f'{name} is damaged or not a checkpoint: {cause}'
