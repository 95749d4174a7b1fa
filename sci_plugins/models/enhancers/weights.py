"""Enhancer weights, checked, and loaded in full or not at all; :mod:`.weight_files` finds them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from sci_plugins.errors import CheckpointError, ConfigError, SciPluginsError, show_name
from sci_plugins.models.enhancers import export
from sci_plugins.models.enhancers.base import BaseEnhancer, arguments_of, type_name
from sci_plugins.models.enhancers.export import Tensors
from sci_plugins.models.enhancers.weight_files import bare_name, find_weight_file
from sci_plugins.utils.checkpoint import read_checkpoint


def merge_aliases(
    entries: Tensors, renaming: Sequence[tuple[str, str]], layers: int | None, owner: str
) -> dict[str, Tensor]:
    """A file's entries by our names, each tensor once.

    ``entries`` are those of one module, without its prefix. ``renaming`` replaces what a pattern
    finds in a name. ``layers`` is the expected number of ``blocks.K``, if the file has any and it
    is not ``None``.

    Raises CheckpointError, naming the ``owner``, for another number of blocks, or if the names of
    one tensor hold different values.
    """
    blocks = {key.split('.')[1] for key in entries if key.startswith('blocks.')}
    if blocks and layers is not None and len(blocks) != layers:
        told = f'it has {len(blocks)} blocks, the {owner} layers={layers}'
        raise CheckpointError(f'wrong architecture: {told}')
    state: dict[str, Tensor] = {}
    for key, value in entries.items():
        name = key
        for pattern, replacement in renaming:
            name = re.sub(pattern, replacement, name)
        if name in state and not torch.equal(state[name], value):
            told = f'{show_name(key)} differs from the block that it should share'
            raise CheckpointError(f'{owner}: {told}')
        state[name] = value
    return state


# Where the estimator may be: alone, in the authors' network, in our learner, or in a host
# model that was trained jointly; anywhere also in a gate, in smoothing, in both.
_PLACES = ('', 'enhance.', 'estimator.', 'data_preprocessor.enhancer.')
_PREFIXES = [place + wrappers * 'enhancer.' for wrappers in range(3) for place in _PLACES]
# The authors' names. `conv` and every `blocks.k` are one shared block there.
_AUTHORS_NAMES = (
    (r'^(?:conv|blocks\.\d+)\.0\.', 'block_conv.'),
    (r'^(?:conv|blocks\.\d+)\.1\.', 'block_norm.'),
    (r'^(in_conv|out_conv)\.0\.', r'\1.'),
)
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f'cannot load {name}: {error}') from error


def load_enhancer_weights(module: nn.Module, name: str | None) -> None:
    """Load ``name`` into an enhancer, strictly, and log one line; ``None`` loads nothing.

    The file, see :func:`find_weight_file`, may hold the estimator alone, the authors' whole
    network, our learner, or a host model with the enhancer inside. Also raises CheckpointError if
    it is damaged, holds code, or was made for another architecture; ``module`` is then unchanged.
    """
    if name is None:
        return
    file = find_weight_file(name)
    with _naming(name):
        content = read_checkpoint(file.path)
        entries = _estimator_entries(module, content)
        _check_values(entries)
        _check_recipe(module, content)
        state = dict(entries)
        if isinstance(module, BaseEnhancer):
            module.complete_state(state)
        if state.keys() != module.state_dict().keys():
            layers = getattr(module, 'layers', None)
            state = merge_aliases(state, _AUTHORS_NAMES, layers, 'enhancer')
        _check_against(module, state, 'the enhancer')
    module.load_state_dict(state, strict=True)
    count, sha256 = len(entries), file.sha256[:8]
    told = f'{count} of {count} entries from {name} (sha256 {sha256}…)'
    print_log(f'{type(module).__name__}: {told}', 'current')


def load_without_denormals(module: nn.Module, name: str | None) -> None:
    """As :func:`load_enhancer_weights`; weights below 1e-38 become 0.

    CPUs take 10 to 60 times as long for them, which are a quarter of some authors' weights.
    """
    load_enhancer_weights(module, name)
    with torch.no_grad():
        for value in module.parameters() if name is not None else ():
            value[value.abs() < torch.finfo(torch.float32).tiny] = 0


def tensors_of(content: Any) -> dict[str, Tensor]:
    """Tensors of a checkpoint, parallel prefixes taken off; CheckpointError if no state dict."""
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise CheckpointError(f'expected a state dict, got a {type(content).__name__}')
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return {str(key).removeprefix('module.'): value for key, value in tensors.items()}


def find_estimator(tensors: Tensors, first: str) -> dict[str, Tensor]:
    """The entries of the estimator whose first layer is ``first``, without prefix; or none."""
    for prefix in _PREFIXES:
        # A layer's entry, or a parameter of the enhancer itself.
        if any(f'{key}.'.startswith(f'{prefix}{first}.') for key in tensors):
            return _below(tensors, prefix)
    return {}


def _below(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _estimator_entries(module: nn.Module, content: Any) -> dict[str, Tensor]:
    tensors = tensors_of(content)
    if not tensors and not module.state_dict():
        return {}
    # The name of its first layer, such as 'in_conv' in SCI. One without weights takes none.
    first = next(iter(module.state_dict()), 'in_conv.').split('.')[0]
    entries = find_estimator(tensors, first)
    if not entries:
        kind = type(module).__name__.removesuffix('Enhancer')
        some = ', '.join(map(show_name, list(tensors)[:3])) or 'nothing'
        told = f'its {len(tensors)} entries, which begin with {some}'
        raise CheckpointError(f'no {kind} estimator among {told}')
    return entries


def _check_recipe(module: nn.Module, content: Any) -> None:
    """Compare the sizes that our files name: shapes do not show how often a block is used.

    For a user's own class it is unknown which numbers are sizes.
    """
    if not type_name(type(module)).startswith('sci_plugins.'):
        return
    saved = export.plain_arguments(type(module), export.saved_building(content)[1])
    for key, wanted in arguments_of(module).items():
        stored = saved.get(key)
        if isinstance(wanted, int) and stored is not None and wanted != stored:
            told = f'it has {key}={show_name(stored)}, the enhancer {key}={wanted}'
            raise CheckpointError(f'wrong architecture: {told}')


def _check_against(module: nn.Module, state: Tensors, owner: str) -> None:
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    unexpected = sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        told = f'missing {_tell(missing)}, unexpected {_tell(unexpected)}'
        raise CheckpointError(f'wrong architecture: {told}')
    for key, value in wanted.items():
        found = state[key]
        if value.shape != found.shape:
            told = f'{key} has shape {tuple(found.shape)}, {owner} expects {tuple(value.shape)}'
            raise CheckpointError(f'wrong architecture: {told}')
        if value.is_floating_point() != found.is_floating_point():
            raise CheckpointError(f'{key} holds {found.dtype}, {owner} expects {value.dtype}')


def _tell(names: Sequence[str]) -> str:
    more = f' and {len(names) - 12} more' if len(names) > 12 else ''
    return (', '.join(map(show_name, names[:12])) or 'nothing') + more


def _check_values(entries: Tensors) -> None:
    """Refuse values that no layer computes with, before the names of one tensor are compared.

    Integers are counters; smaller floats such as float16 are cast when they are loaded.
    """
    for key, value in entries.items():
        if value.dtype not in _DTYPES:
            raise CheckpointError(f'{show_name(key)} holds {value.dtype}, expected float32')
        if not bool(torch.isfinite(value.to(torch.float32)).all()):
            raise CheckpointError(f'{show_name(key)} holds NaN or infinite values')


_SCI = 'sci_plugins.SCIEnhancer'


def config_of_weights(name: str) -> dict[str, Any]:
    """The config of an enhancer that fits a file of weights: ``dict(type=..., weights=name, ...)``.

    Our files name type and arguments; for others (the authors' files, a host's checkpoint) the
    shapes and the names of the blocks give SCI's sizes. Only what differs from the defaults is set.
    What is around the enhancer is left out. If a file cannot be read or understood, the config is
    the default ``SCIEnhancer``, and loading says what is wrong.

    Raises CheckpointError if the file cannot hold what its recipe or its shapes say, ConfigError if
    its class is not imported: a file is data and imports nothing.
    """
    sci = dict(type=_SCI, weights=name)
    if name.startswith('official/'):
        return sci
    try:
        content = read_checkpoint(find_weight_file(name).path)
        tensors = tensors_of(content)
    except (SciPluginsError, OSError):
        return sci
    with _naming(name):
        wanted, said = export.saved_building(content)
        kind = export.loaded_class(wanted)
        if kind is None and 'arguments' in (content.get('meta') or {}):
            shown = show_name(wanted)
            advice = f'name the class, as in "{shown}(weights={name!r})"'
            raise ConfigError(f'{name} holds weights of {shown}, which is not imported: {advice}')
        if kind is None or wanted in (_SCI, *export.WRAPPERS):
            kind, said = export.loaded_class(_SCI), _sizes_by_shape(tensors) | said
        arguments = export.changed_arguments(kind, said, tensors)  # type: ignore[arg-type]
    return dict(type=type_name(kind), weights=name, **arguments)  # type: ignore[arg-type]


def saved_arguments(kind: type[BaseEnhancer], name: str) -> dict[str, Any]:
    """The arguments of ``kind`` in a file of weights, checked; empty if it holds none of these."""
    path = find_weight_file(name).path
    with _naming(name):
        wanted, said = export.saved_building(content := read_checkpoint(path))
        found = kind if wanted == type_name(kind) else export.loaded_class(wanted)
        if found is None or not issubclass(found, kind):
            return {}
        return export.changed_arguments(kind, said, tensors_of(content))


def weights_name(config: Mapping[str, Any]) -> str | None:
    """The name of the weights in an enhancer's config, also behind a gate."""
    inner = config.get('enhancer')
    if isinstance(inner, Mapping):
        return weights_name(inner)
    weights = config.get('weights')
    return bare_name(weights) if isinstance(weights, str) else weights


def _sizes_by_shape(tensors: Tensors) -> dict[str, Any]:
    """SCI's sizes as far as the entries show them; empty if there is no estimator."""
    entries = find_estimator(tensors, 'in_conv')
    if not entries:
        return dict(layers=0, channels=None) if find_estimator(tensors, 'out_conv') else {}
    name = next(key for key in entries if key.startswith('in_conv'))
    sizes: dict[str, Any] = dict(zip(['channels'], entries[name].shape, strict=False))
    blocks = {key.split('.')[1] for key in entries if key.startswith('blocks.')}
    return sizes | (dict(layers=len(blocks)) if blocks else {})


_CALIBRATOR_PREFIXES = ('calibrate.', 'calibrator.')  # the authors' network, our learner
# The authors' names. `convs` and every `blocks.k` are one shared block there.
_AUTHORS_CALIBRATOR_NAMES = (
    (r'^(in_conv|out_conv)\.0\.', r'\1.'),
    (r'^in_conv\.1\.', 'in_norm.'),
    (r'^(?:convs|blocks\.\d+)\.0\.', 'block_conv1.'),
    (r'^(?:convs|blocks\.\d+)\.1\.', 'block_norm1.'),
    (r'^(?:convs|blocks\.\d+)\.3\.', 'block_conv2.'),
    (r'^(?:convs|blocks\.\d+)\.4\.', 'block_norm2.'),
)


def load_learner_weights(estimator: nn.Module, calibrator: nn.Module | None, name: str) -> None:
    """Load ``name`` into the estimator and, if the file has one, into the calibrator.

    Otherwise the calibrator is left as it is, with a line in the log. Errors as of
    :func:`load_enhancer_weights`.
    """
    if calibrator is None:
        load_enhancer_weights(estimator, name)
        return
    with _naming(name):
        tensors = tensors_of(read_checkpoint(find_weight_file(name).path))
        entries = {k: v for p in _CALIBRATOR_PREFIXES for k, v in _below(tensors, p).items()}
        _check_values(entries)
        layers = getattr(calibrator, 'layers', None)
        if state := merge_aliases(entries, _AUTHORS_CALIBRATOR_NAMES, layers, 'calibrator'):
            _check_against(calibrator, state, 'the calibrator')
    load_enhancer_weights(estimator, name)
    told = f'{name} holds none, starts from scratch'
    if state:
        calibrator.load_state_dict(state)
        told = f'{len(entries)} of {len(entries)} entries from {name}'
    print_log(f'{type(calibrator).__name__}: {told}', 'current')
