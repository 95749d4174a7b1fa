"""How an enhancer is named in configs, in Python and at the command line."""

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from torch import nn

from sci_plugins.errors import ConfigError, SciPluginsError, did_you_mean, first_line, tell_cause
from sci_plugins.models.enhancers.base import BaseEnhancer, type_name
from sci_plugins.models.enhancers.weight_files import PUBLISHED, is_published, names_of_sci
from sci_plugins.models.enhancers.weights import (
    config_of_weights,
    load_enhancer_weights,
    saved_arguments,
)
from sci_plugins.registry import HOSTS, MODELS


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f'{text!r} is not a number') from error


#: What :func:`build_enhancer` takes.
EnhancerLike = nn.Module | Mapping[str, Any] | str


class ShortName(NamedTuple):
    """What a short name stands for."""

    kind: str  # class of this package
    #: turns the text after the slash into entries of the config; ``None`` if nothing may follow
    argument: Callable[[str], dict[str, Any]] | None
    example: str  # forms of it, for errors and help
    needs: str = ''  # what must follow the slash; empty if nothing must
    otherwise: str = ''  # what stands for the rest where nothing follows


def _adaptive(text: str) -> dict[str, Any]:
    """The shipped stage with SCI's weights behind ``sci/``, or a file of a tuned one."""
    if text.startswith('sci/'):
        return dict(illumination=text.removeprefix('sci/'), weights=SHIPPED_ADAPTIVE)
    return _of_file(text, 'sci_plugins.AdaptiveSCIEnhancer', {})


def _of_file(text: str, kind: str, otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a file of weights of a ``kind``; ``otherwise`` if the file says nothing."""
    config = config_of_weights(text)
    if config['type'] == kind:
        return config
    # Of what says nothing, too; loading then tells what is wrong with it.
    if config['type'] == 'sci_plugins.SCIEnhancer':
        return dict(otherwise, type=kind, weights=text)
    raise ConfigError(f'{text} holds weights of {config["type"]}, not of {kind}')


def _published(
    kind: str, system: str, special: Mapping[str, Mapping[str, Any]], **always: Any
) -> ShortName:
    """A system whose files are published; ``FILE`` may be one of a training of ours.

    ``special`` are arguments that fit the file of that name alone, ``always`` those of all.
    """

    def read(text: str) -> dict[str, Any]:
        if text in special:
            return dict(always, **special[text], weights=f'{system}/{text}')
        return _of_file(text, f'sci_plugins.{kind}', always)

    names = [f"'{system}/{name}'" for name in special]
    return ShortName(kind, read, ', '.join(names), f'its weights: for example {names[0]}')


#: The stage that comes with this package.
SHIPPED_ADAPTIVE = 'sci_plugins/adaptive'
#: All short names. A class has its arguments, sizes and recipe from its constructor.
SHORT_NAMES = {
    'none': ShortName('IdentityEnhancer', None, "'none'"),
    'gamma': ShortName('GammaEnhancer', lambda text: dict(gamma=_number(text)),
        "'gamma', 'gamma/0.4'"),
    'exposure': ShortName('MeanMatchEnhancer', lambda text: dict(target=_number(text)),
        "'exposure/0.4'"),
    'clahe': ShortName('CLAHEEnhancer', None, "'clahe'"),
    'histeq': ShortName('HistogramEqualizationEnhancer', None, "'histeq'"),
    'lime': ShortName('LIMEEnhancer', None, "'lime'"),
    'sci': ShortName('SCIEnhancer', config_of_weights, "'sci/official/medium', 'sci/FILE.pth'",
        "its weights: for example 'sci/official/medium'"),
    'adaptive': ShortName('AdaptiveSCIEnhancer', _adaptive,
        "'adaptive', 'adaptive/FILE.pth', 'adaptive/sci/official/medium'",
        otherwise=SHIPPED_ADAPTIVE),
    'cautious': ShortName('AdaptiveSCIEnhancer',
        lambda text: (file := _adaptive(text)) | dict(caution=max(0.5, file.get('caution') or 0.0)),
        "'cautious', 'cautious/FILE.pth'", otherwise=SHIPPED_ADAPTIVE),
    'zero-dce': _published('ZeroDCEEnhancer', 'zero-dce', dict(official={})),
    'zero-dce++': _published('ZeroDCEEnhancer', 'zero-dce++', dict(official={}),
        separable=True, scale=12),
    'ruas': _published('RUASNetEnhancer', 'ruas', dict(lol=dict(denoise=True), upe={}, dark={})),
    'iat': _published('IATEnhancer', 'iat',
        {'lol': {}, 'lol-v2': dict(normalized=True), 'exposure': {}}),
    'onnx': ShortName('OnnxEnhancer', lambda weights: dict(weights=weights), "'onnx/FILE.onnx'",
        "its file: for example 'onnx/FILE.onnx'"),
    'gated': ShortName('GatedEnhancer', lambda inner: dict(enhancer=parse_enhancer(inner)),
        "'gated/NAME' with one of these",
        "another enhancer: for example 'gated/sci/official/medium'"),
    'temporal': ShortName('TemporalEnhancer', lambda inner: dict(enhancer=parse_enhancer(inner)),
        "'temporal/NAME' for video", "another enhancer: for example 'temporal/adaptive'"),
}  # fmt: skip
_CALL = '"SCIEnhancer(channels=8, weights=\'FILE.pth\')"'
_OWN_CALL = 'or "my_file.MyEnhancer(gain=3)" of your own'
_FORMS = ', '.join([*(short.example for short in SHORT_NAMES.values()), _CALL, _OWN_CALL])
_MOST_WRAPPERS = 8  # two are enough
_WRAPPERS = re.compile('gated/|temporal/')
_DOTTED = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)+')


def build_enhancer(enhancer: EnhancerLike) -> BaseEnhancer:
    """Make an enhancer from whatever names one.

    That is an enhancer; a config ``dict(type='sci_plugins.X', ...)``; a string that begins with one
    of :data:`SHORT_NAMES`, such as ``'gamma/0.4'``, ``'sci/WEIGHTS'`` with the weights' name or
    path, ``'adaptive'``, ``'adaptive/FILE'`` for one that was tuned, ``'adaptive/sci/WEIGHTS'`` for
    another illumination in it, ``'cautious'`` for less gain in noise, ``'gated/NAME'`` with one of
    these names; or a call such as ``"GammaEnhancer(gamma=0.4)"``. Your own class is named with its
    module: ``"my_file.MyEnhancer(gain=3)"``. With ``weights``, a file of :func:`save_enhancer`, the
    file's arguments are the defaults.

    Raises:
        ConfigError: if the string or dict names no enhancer.
        CheckpointError, FileNotFoundError: if its weights cannot be loaded.
    """
    if isinstance(enhancer, str):
        enhancer = parse_enhancer(enhancer)
    if isinstance(enhancer, Mapping):
        enhancer = _build_from_config(dict(enhancer))
    if not isinstance(enhancer, BaseEnhancer):
        wish, got = f'a BaseEnhancer, a config dict or a name such as {_FORMS}', type(enhancer)
        raise ConfigError(f'an enhancer must be {wish}; got {got.__name__}')
    return enhancer


def parse_enhancer(text: str) -> dict[str, Any]:
    """The config dict that a short name or a call stands for; ConfigError if it is neither.

    ``'sci/FILE'`` looks into the file: the type and sizes that it was trained with.
    """
    text = text.strip()
    wrappers = len(_WRAPPERS.findall(text))
    if wrappers > _MOST_WRAPPERS:
        raise ConfigError(f'at most {_MOST_WRAPPERS} wrappers, got {wrappers} in {text!r}')
    name, _, argument = text.partition('/')
    if text.endswith(')') and not _WRAPPERS.match(text):
        return _parse_call(text)
    if _DOTTED.fullmatch(text):
        return dict(type=text)
    if name not in SHORT_NAMES:
        if is_published(text):  # weights by their own name
            return config_of_weights(text)
        near = did_you_mean(text, [*SHORT_NAMES, *map('sci/'.__add__, names_of_sci()), *PUBLISHED])
        raise ConfigError(f'unknown enhancer {text!r}{near}; known: {_FORMS}')
    short = SHORT_NAMES[name]
    if short.needs and not argument:
        raise ConfigError(f'{name!r} needs {short.needs}')
    argument = argument or short.otherwise
    config: dict[str, Any] = dict(type=f'sci_plugins.{short.kind}')
    if not argument:
        return config
    if short.argument is None:
        raise ConfigError(f'unknown enhancer {text!r}: {name!r} takes no argument')
    try:
        return config | short.argument(argument)
    except ConfigError as error:
        raise ConfigError(f'{text!r}: {error}') from error


def _parse_call(text: str) -> dict[str, Any]:
    try:
        call = ast.parse(text, mode='eval').body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError('not a call with keyword arguments')
        name = ast.unparse(call.func)
        arguments = {k.arg or '**': ast.literal_eval(k.value) for k in call.keywords}
        if not {'type', '**'}.isdisjoint(arguments):
            raise ValueError('not arguments of a constructor')
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ConfigError(f'cannot read enhancer {text!r}: expected NAME(key=value, …)') from error
    return dict(type=name if '.' in name else f'sci_plugins.{name}', **arguments)


def _build_from_config(config: dict[str, Any]) -> BaseEnhancer:
    kind = config.pop('type', None)
    if kind is None:
        raise ConfigError("an enhancer config needs 'type', e.g. 'sci_plugins.SCIEnhancer'")
    cls = kind if isinstance(kind, type) else _find_class(str(kind))
    if not (isinstance(cls, type) and issubclass(cls, BaseEnhancer)):
        scoped, own = "as in 'sci_plugins.SCIEnhancer'", "as in 'my_file.MyEnhancer'"
        wish = f'a BaseEnhancer with its scope, {scoped}, or with its module, {own}'
        raise ConfigError(f'unknown enhancer type {kind!r}: expected {wish}')
    weights, loads = config.get('weights'), 'weights' in inspect.signature(cls).parameters
    try:
        # A user's own class may not load them itself.
        if weights is not None and not (loads and type_name(cls).startswith('sci_plugins.')):
            config = saved_arguments(cls, weights) | config
        if weights is not None and not loads:
            del config['weights']
        # Not through the registry, whose error would hide the wrong argument behind
        # "class X in path/to/file".
        built = cls(**config)
        load_enhancer_weights(built, None if loads else weights)
    except SciPluginsError:
        raise
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f'{cls.__name__}: {first_line(error)}') from error
    return built


def _find_class(kind: str) -> Any:
    """A class by its scope in MMEngine's registries, or by its module."""
    module, _, name = kind.rpartition('.')
    if module and module.partition('.')[0] not in {'sci_plugins', 'mmengine', *HOSTS}:
        try:
            if (found := getattr(import_module(module), name, None)) is not None:
                return found
        except (SciPluginsError, OSError):
            raise
        except Exception as error:  # a user's module may raise anything
            # Another module that is missing is one that it imports.
            missing = error.name if isinstance(error, ModuleNotFoundError) else ''
            if not missing or not f'{module}.'.startswith(f'{missing}.'):
                raise ConfigError(f'cannot import {module}: {tell_cause(error)}') from error
    try:
        return MODELS.get(kind)
    except RuntimeError:  # MMEngine's error for a dotted name that imports nothing
        return None
