"""Enhancer weights: found by name, checked, and loaded in full or not at all.

A name stands for the authors' file, one of ours, or a path. The authors' files hold shared blocks
under several names. A learner starts from the same files.
"""

import hashlib
import io
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from sci_plugins import weights as shipped
from sci_plugins.errors import CheckpointError, ConfigError, SciPluginsError, show_name
from sci_plugins.models.enhancers.base import BaseEnhancer, arguments_of, type_name
from sci_plugins.models.enhancers.export import (
    GATED,
    changed_arguments,
    loaded_class,
    plain_arguments,
    saved_building,
)
from sci_plugins.utils.checkpoint import read_checkpoint
from sci_plugins.utils.download import download
from sci_plugins.utils.files import cache_folder, write_atomically

Renaming = tuple[re.Pattern[str], str]


def merge_aliases(
    entries: Mapping[str, Tensor], renaming: Sequence[Renaming], layers: int | None, owner: str
) -> dict[str, Tensor]:
    """A file's entries by our names, each tensor once.

    Args:
        entries: of one module, without its prefix.
        renaming: pattern at the start of a name, and its replacement; other names stay.
        layers: expected number of ``blocks.K``, if the file has any; ``None``: any number.
        owner: the module, for the errors.

    Raises:
        CheckpointError: if there are more or fewer blocks, or the names of one tensor hold
            different values.
    """
    blocks = {key.split('.')[1] for key in entries if key.startswith('blocks.')}
    if blocks and layers is not None and len(blocks) != layers:
        raise CheckpointError(
            f'wrong architecture: it has {len(blocks)} blocks, the {owner} layers={layers}'
        )
    state: dict[str, Tensor] = {}
    for key, value in entries.items():
        name = key
        for pattern, replacement in renaming:
            name = pattern.sub(replacement, name)
        if name in state and not torch.equal(state[name], value):
            raise CheckpointError(
                f'{owner}: {show_name(key)} differs from the block that it should share'
            )
        state[name] = value
    return state


#: A folder, or an http(s) address, that holds easy.pt, medium.pt, difficult.pt.
WEIGHTS_VARIABLE = 'SCI_PLUGINS_WEIGHTS'
OFFICIAL_ADDRESS = 'https://github.com/vis-opt-group/SCI/raw/main/weights'
OFFICIAL_SHA256 = {
    'easy': 'b17326a26a93bf187ecbab217f9d3c57467a8b56020d4d9ff600ba257bbffb36',
    'medium': '4ff1e7e66e8f18114f790e5085ca4c936f0858e329e7ad1cb65b8aa09a9c6916',
    'difficult': '657fa1f280cae1035df0d5cbe628e91f2d0f28660df608a3fa3f7e9a71da5a13',
}
#: Size of each of these files; a longer download is refused.
OFFICIAL_BYTES = 43_967
_SILENT_SECONDS = 30.0  # between two pieces of the answer
_TOTAL_SECONDS = 120.0


class WeightFile(NamedTuple):
    """A file on this machine, the name that stands for it, and its hash."""

    path: Path
    name: str
    sha256: str


def find_weight_file(name: str | os.PathLike[str]) -> WeightFile:
    """Resolve ``official/NAME``, ``sci_plugins/NAME`` or a path to a file.

    Official files come from ``$SCI_PLUGINS_WEIGHTS`` if that is set, else from the cache folder,
    into which they are downloaded once from the authors' repository.

    Raises:
        ConfigError: if the name is unknown.
        FileNotFoundError: if there is no such file.
        CheckpointError: if an official file has another hash or cannot be downloaded.
    """
    name = os.fspath(name)
    if name.startswith('official/'):
        return _find_official(name)
    # os.path leaves `~nobody` as it is, which is not found below; Path.expanduser raises.
    is_shipped = name.startswith('sci_plugins/')
    path = _find_shipped(name) if is_shipped else Path(os.path.expanduser(name))
    if not path.is_file():
        raise FileNotFoundError(f'weights not found: {path}')
    return WeightFile(path, name, file_sha256(path))


def shipped_names() -> list[str]:
    """Names of the enhancer weights that come with this package."""
    return sorted(
        f'sci_plugins/{path.stem.removeprefix("sci_")}'
        for path in Path(shipped.__path__[0]).glob('sci_*.pth')
    )


def file_sha256(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _find_shipped(name: str) -> Path:
    if name not in shipped_names():
        known = ', '.join([*shipped_names(), *(f'official/{n}' for n in OFFICIAL_SHA256)])
        raise ConfigError(f'unknown weights {name!r}; known: {known}, or a path')
    return Path(shipped.__path__[0]) / f'sci_{name.removeprefix("sci_plugins/")}.pth'


def _find_official(name: str) -> WeightFile:
    short = name.removeprefix('official/')
    if short not in OFFICIAL_SHA256:
        known = ', '.join(f'official/{key}' for key in OFFICIAL_SHA256)
        raise ConfigError(f'unknown weights {name!r}; known: {known}')
    source = os.environ.get(WEIGHTS_VARIABLE, '')
    if source and '://' not in source:
        path = Path(os.path.expanduser(source)) / f'{short}.pt'
        if not path.is_file():
            raise FileNotFoundError(f'{WEIGHTS_VARIABLE} is set, but {path} does not exist')
    else:
        path = cache_folder() / 'weights' / f'{short}.pt'
        if not path.is_file():
            address = (source or OFFICIAL_ADDRESS).rstrip('/')
            _download(f'{address}/{short}.pt', path)
    _check_hash(path.read_bytes(), short, str(path))
    return WeightFile(path, name, OFFICIAL_SHA256[short])


def _download(address: str, path: Path) -> None:
    with io.BytesIO() as file:
        try:
            download(
                address, file, most=OFFICIAL_BYTES, seconds=_TOTAL_SECONDS, silent=_SILENT_SECONDS
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f'cannot download {address} ({error}); put the file at {path}, or set '
                f'{WEIGHTS_VARIABLE} to a folder or mirror that has it'
            ) from error
        content = file.getvalue()
    _check_hash(content, path.stem, address)
    write_atomically(path, content)  # several ranks or workers may download at once


def _check_hash(content: bytes, short: str, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != OFFICIAL_SHA256[short]:
        raise CheckpointError(
            f'{where} is not the official {short}.pt: expected sha256 {OFFICIAL_SHA256[short]}, '
            f'got {found}'
        )


# Where the estimator may be: alone, in the authors' network, in our learner, or in a host
# model that was trained jointly.
_PREFIXES = (
    '',
    'enhance.',
    'estimator.',
    'enhancer.',
    'data_preprocessor.enhancer.',
    'data_preprocessor.enhancer.enhancer.',  # behind a gate
)
# The authors' names. `conv` and every `blocks.k` are one shared block there.
_AUTHORS_NAMES = (
    (re.compile(r'^(?:conv|blocks\.\d+)\.0\.'), 'block_conv.'),
    (re.compile(r'^(?:conv|blocks\.\d+)\.1\.'), 'block_norm.'),
    (re.compile(r'^(in_conv|out_conv)\.0\.'), r'\1.'),
)
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32)


def load_enhancer_weights(module: nn.Module, name: str) -> None:
    """Load ``name`` into an enhancer, strictly, and log one line.

    Args:
        module: the enhancer; its ``state_dict`` says what is expected.
        name: ``official/...``, ``sci_plugins/...`` or a path. The file may hold the estimator
            alone, the authors' whole network, our learner, or a host model with the enhancer
            inside.

    Raises:
        ConfigError: if the name is unknown.
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is damaged, holds code, or was made for another architecture;
            ``module`` is then unchanged.
    """
    file = find_weight_file(name)
    try:
        content = read_checkpoint(file.path)
        entries = _estimator_entries(module, content)
        _check_values(entries)
        _check_recipe(module, content)
        state = entries
        if entries.keys() != module.state_dict().keys():
            layers = getattr(module, 'layers', None)
            state = merge_aliases(entries, _AUTHORS_NAMES, layers, 'enhancer')
        _check_against(module, state, 'the enhancer')
    except CheckpointError as error:
        raise CheckpointError(f'cannot load {name}: {error}') from error
    module.load_state_dict(state, strict=True)
    print_log(
        f'{type(module).__name__}: {len(entries)} of {len(entries)} entries from {name} '
        f'(sha256 {file.sha256[:8]}…)',
        logger='current',
        level=logging.INFO,
    )


def tensors_of(content: Any) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without a parallel wrapper's prefix.

    Args:
        content: a state dict, or a mapping with one under ``'state_dict'``.

    Raises:
        CheckpointError: if it is neither.
    """
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise CheckpointError(f'expected a state dict, got a {type(content).__name__}')
    return {
        str(key).removeprefix('module.'): value
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def find_estimator(tensors: Mapping[str, Tensor], first: str) -> dict[str, Tensor]:
    """The entries of the estimator whose first layer is ``first``, without prefix.

    Empty if it is in none of the usual places.
    """
    for prefix in _PREFIXES:
        # A layer's entry, or a parameter of the enhancer itself.
        start = f'{prefix}{first}'
        if any(key == start or key.startswith(f'{start}.') for key in tensors):
            return _below(tensors, prefix)
    return {}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries that begin with a prefix, without it."""
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def _estimator_entries(module: nn.Module, content: Any) -> dict[str, Tensor]:
    tensors = tensors_of(content)
    if not tensors and not module.state_dict():
        return {}
    # The name of its first layer, such as 'in_conv' in SCI. One without weights takes none.
    first = next(iter(module.state_dict()), 'in_conv.').split('.')[0]
    entries = find_estimator(tensors, first)
    if not entries:
        raise CheckpointError(
            f'no {type(module).__name__.removesuffix("Enhancer")} estimator among its '
            f'{len(tensors)} entries, which begin with '
            f'{", ".join(map(show_name, list(tensors)[:3])) or "nothing"}'
        )
    return entries


def _check_recipe(module: nn.Module, content: Any) -> None:
    """Compare the sizes that our files name: shapes do not show how often a block is used.

    For a user's own class it is unknown which numbers are sizes.
    """
    if not type_name(type(module)).startswith('sci_plugins.'):
        return
    saved = plain_arguments(type(module), saved_building(content)[1])
    for key, wanted in arguments_of(module).items():
        stored = saved.get(key)
        if isinstance(wanted, int) and stored is not None and wanted != stored:
            raise CheckpointError(
                f'wrong architecture: it has {key}={show_name(stored)}, the enhancer {key}={wanted}'
            )


def _check_against(module: nn.Module, state: Mapping[str, Tensor], owner: str) -> None:
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    unexpected = sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        raise CheckpointError(
            f'wrong architecture: missing {_tell(missing)}, unexpected {_tell(unexpected)}'
        )
    for key, value in wanted.items():
        if value.shape != state[key].shape:
            raise CheckpointError(
                f'wrong architecture: {key} has shape {tuple(state[key].shape)}, '
                f'{owner} expects {tuple(value.shape)}'
            )
        if value.is_floating_point() != state[key].is_floating_point():
            raise CheckpointError(f'{key} holds {state[key].dtype}, {owner} expects {value.dtype}')


def _tell(names: Sequence[str]) -> str:
    more = f' and {len(names) - 12} more' if len(names) > 12 else ''
    return (', '.join(map(show_name, names[:12])) or 'nothing') + more


def _check_values(entries: Mapping[str, Tensor]) -> None:
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
    """The config of an enhancer that fits a file of weights.

    Our files name type and arguments; for others (the authors' files, a host's checkpoint) the
    shapes and the names of the blocks give SCI's sizes. Only what differs from the defaults is
    set. A gate around the enhancer is left out: ``'gated/sci/FILE'`` names both.

    If a file cannot be read or understood, the config is the default ``SCIEnhancer``, and loading
    says what is wrong. Official files fit the default and are not read.

    Args:
        name: ``official/...``, ``sci_plugins/...`` or a path.

    Returns:
        ``dict(type=..., weights=name, ...)``.

    Raises:
        CheckpointError: if the file cannot hold what its recipe or its shapes say.
        ConfigError: if the file names a class that is not imported. A file is data: it imports
            nothing.
    """
    sci = dict(type=_SCI, weights=name)
    if name.startswith('official/'):
        return sci
    try:
        content = read_checkpoint(find_weight_file(name).path)
        tensors = tensors_of(content)
    except (SciPluginsError, OSError):
        return sci
    try:
        wanted, said = saved_building(content)
        kind = loaded_class(wanted)
        if kind is None and 'arguments' in (content.get('meta') or {}):
            raise ConfigError(
                f'{name} holds weights of {show_name(wanted)}, which is not imported: name the '
                f'class, as in "{show_name(wanted)}(weights={name!r})"'
            )
        if kind is None or wanted in (_SCI, GATED):
            kind, said = loaded_class(_SCI), _sizes_by_shape(tensors) | said
        arguments = changed_arguments(kind, said, tensors)  # type: ignore[arg-type]
    except CheckpointError as error:
        raise CheckpointError(f'cannot load {name}: {error}') from error
    return dict(type=type_name(kind), weights=name, **arguments)  # type: ignore[arg-type]


def saved_arguments(kind: type[BaseEnhancer], name: str) -> dict[str, Any]:
    """The arguments in a file of weights; empty if its enhancer is not a ``kind``.

    Raises:
        CheckpointError: if the file cannot be read, or cannot hold what its recipe says.
        FileNotFoundError: if there is no such file.
    """
    content = read_checkpoint(find_weight_file(name).path)
    try:
        wanted, said = saved_building(content)
        if wanted != type_name(kind):
            return {}
        return changed_arguments(kind, said, tensors_of(content))
    except CheckpointError as error:
        raise CheckpointError(f'cannot load {name}: {error}') from error


def weights_name(config: Mapping[str, Any]) -> str | None:
    """The name of the weights in an enhancer's config, also behind a gate."""
    inner = config.get('enhancer')
    if isinstance(inner, Mapping):
        return weights_name(inner)
    return config.get('weights')


def _sizes_by_shape(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """SCI's sizes as far as the entries show them; empty if there is no estimator."""
    entries = find_estimator(tensors, 'in_conv')
    if not entries:
        alone = find_estimator(tensors, 'out_conv')
        return dict(layers=0, channels=None) if alone else {}
    name = next(key for key in entries if key.startswith('in_conv'))
    sizes: dict[str, Any] = dict(zip(['channels'], entries[name].shape, strict=False))
    blocks = {key.split('.')[1] for key in entries if key.startswith('blocks.')}
    return sizes | (dict(layers=len(blocks)) if blocks else {})


_CALIBRATOR_PREFIXES = ('calibrate.', 'calibrator.')  # the authors' network, our learner
# The authors' names. `convs` and every `blocks.k` are one shared block there.
_AUTHORS_CALIBRATOR_NAMES = (
    (re.compile(r'^in_conv\.0\.'), 'in_conv.'),
    (re.compile(r'^in_conv\.1\.'), 'in_norm.'),
    (re.compile(r'^(?:convs|blocks\.\d+)\.0\.'), 'block_conv1.'),
    (re.compile(r'^(?:convs|blocks\.\d+)\.1\.'), 'block_norm1.'),
    (re.compile(r'^(?:convs|blocks\.\d+)\.3\.'), 'block_conv2.'),
    (re.compile(r'^(?:convs|blocks\.\d+)\.4\.'), 'block_norm2.'),
    (re.compile(r'^out_conv\.0\.'), 'out_conv.'),
)


def load_learner_weights(estimator: nn.Module, calibrator: nn.Module | None, name: str) -> None:
    """Load ``name`` into the estimator and, if it has one, into the calibrator.

    Args:
        estimator: loaded strictly, see :func:`load_enhancer_weights`.
        calibrator: loaded strictly if the file holds a calibrator; else it is left as it is, with
            a line in the log.
        name: ``official/...``, ``sci_plugins/...`` or a path.

    Raises:
        ConfigError: if the name is unknown.
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is damaged, holds code, or was made for another architecture.
    """
    if calibrator is None:
        load_enhancer_weights(estimator, name)
        return
    try:
        tensors = tensors_of(read_checkpoint(find_weight_file(name).path))
        entries = {k: v for p in _CALIBRATOR_PREFIXES for k, v in _below(tensors, p).items()}
        _check_values(entries)
        layers = getattr(calibrator, 'layers', None)
        state = merge_aliases(entries, _AUTHORS_CALIBRATOR_NAMES, layers, 'calibrator')
        if state:
            _check_against(calibrator, state, 'the calibrator')
    except CheckpointError as error:
        raise CheckpointError(f'cannot load {name}: {error}') from error
    load_enhancer_weights(estimator, name)
    told = f'{name} holds none, starts from scratch'
    if state:
        calibrator.load_state_dict(state)
        told = f'{len(entries)} of {len(entries)} entries from {name}'
    print_log(f'{type(calibrator).__name__}: {told}', logger='current', level=logging.INFO)
