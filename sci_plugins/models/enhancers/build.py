"""One way to name an enhancer, in configs, in Python and at the command line."""

import ast
from collections.abc import Mapping
from typing import Any

from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers.base import BaseEnhancer
from sci_plugins.models.enhancers.weights import config_of_weights
from sci_plugins.registry import MODELS

_SHORT_NAMES = {
    'none': 'IdentityEnhancer',
    'gamma': 'GammaEnhancer',
    'clahe': 'CLAHEEnhancer',
    'histeq': 'HistogramEqualizationEnhancer',
    'sci': 'SCIEnhancer',
    'gated': 'GatedEnhancer',
}
_NEEDS = {
    'sci': "its weights: for example 'sci/official/medium'",
    'gated': "another enhancer: for example 'gated/sci/official/medium'",
}
_FORMS = (
    "'none', 'gamma', 'gamma/0.4', 'clahe', 'histeq', 'sci/official/medium', "
    "'sci/FILE.pth', 'gated/NAME' with one of these, or "
    '"SCIEnhancer(channels=8, weights=\'FILE.pth\')"'
)


def build_enhancer(enhancer: nn.Module | Mapping[str, Any] | str) -> BaseEnhancer:
    """Make an enhancer from whatever names one.

    Args:
        enhancer: an enhancer; a config ``dict(type='sci_plugins.X', ...)``; or a
            string: ``'none'``, ``'gamma'``, ``'gamma/0.4'``, ``'clahe'``,
            ``'histeq'``, ``'sci/WEIGHTS'`` with the weights' name or path,
            ``'gated/NAME'`` with one of these names, or a call such as
            ``"GammaEnhancer(gamma=0.4)"``.

    Raises:
        ConfigError: if the string or dict names no enhancer.
    """
    if isinstance(enhancer, str):
        enhancer = parse_enhancer(enhancer)
    if isinstance(enhancer, Mapping):
        enhancer = _build_from_config(dict(enhancer))
    if not isinstance(enhancer, BaseEnhancer):
        raise ConfigError(
            'an enhancer must be a BaseEnhancer, a config dict or a name such as '
            f'{_FORMS}; got {type(enhancer).__name__}'
        )
    return enhancer


def parse_enhancer(text: str) -> dict[str, Any]:
    """The config dict that a short name or a call stands for.

    ``'sci/FILE'`` looks into the file: the type and sizes that it was trained with.

    Raises:
        ConfigError: if ``text`` is neither.
    """
    text = text.strip()
    name, _, argument = text.partition('/')
    if text.endswith(')') and name != 'gated':
        return _parse_call(text)
    if name not in _SHORT_NAMES:
        raise ConfigError(f'unknown enhancer {text!r}; known: {_FORMS}')
    config: dict[str, Any] = dict(type=f'sci_plugins.{_SHORT_NAMES[name]}')
    if name in _NEEDS and not argument:
        raise ConfigError(f'{name!r} needs {_NEEDS[name]}')
    if name == 'sci':
        config = config_of_weights(argument)
    elif name == 'gated':
        config['enhancer'] = _parse_inner(text, argument)
    elif name == 'gamma' and argument:
        config['gamma'] = _parse_number(text, argument)
    elif argument:
        raise ConfigError(f'unknown enhancer {text!r}: {name!r} takes no argument')
    return config


def _parse_inner(text: str, argument: str) -> dict[str, Any]:
    try:
        return parse_enhancer(argument)
    except ConfigError as error:
        raise ConfigError(f'{text!r}: {error}') from error


def _parse_number(text: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError as error:
        raise ConfigError(f'{text!r}: {argument!r} is not a number') from error


def _parse_call(text: str) -> dict[str, Any]:
    try:
        call = ast.parse(text, mode='eval').body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError('not a call with keyword arguments')
        name = ast.unparse(call.func)
        arguments = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f'cannot read enhancer {text!r}: expected NAME(key=value, …)') from error
    return dict(type=name if '.' in name else f'sci_plugins.{name}', **arguments)


def _build_from_config(config: dict[str, Any]) -> Any:
    kind = config.pop('type', None)
    if kind is None:
        raise ConfigError("an enhancer config needs 'type', e.g. 'sci_plugins.SCIEnhancer'")
    cls = kind if isinstance(kind, type) else _find_class(str(kind))
    if not (isinstance(cls, type) and issubclass(cls, BaseEnhancer)):
        raise ConfigError(
            f'unknown enhancer type {kind!r}: it must name a BaseEnhancer with its '
            "scope, as in 'sci_plugins.SCIEnhancer'"
        )
    try:
        # Called directly, not through the registry, whose wrapper would hide which
        # argument was wrong behind "class X in path/to/file".
        return cls(**config)
    except TypeError as error:
        raise ConfigError(f'{cls.__name__}: {error}') from error


def _find_class(kind: str) -> Any:
    try:
        return MODELS.get(kind)
    except RuntimeError:  # MMEngine's word for a dotted name that imports nothing
        return None
