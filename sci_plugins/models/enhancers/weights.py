"""Loading enhancer weights: in full or not at all, with one line that says so."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from sci_plugins.errors import CheckpointError
from sci_plugins.models.enhancers.aliases import merge_aliases
from sci_plugins.models.enhancers.official import find_weight_file
from sci_plugins.utils.checkpoint import read_checkpoint

# Where the estimator lives: alone, in the authors' network, in our learner, in a
# host model that was trained jointly, each perhaps saved from a parallel wrapper.
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


def load_enhancer_weights(module: nn.Module, name: str) -> None:
    """Load ``name`` into an enhancer, strictly, and log one line.

    Args:
        module: the enhancer; its ``state_dict`` says what is wanted.
        name: ``official/...``, ``sci_plugins/...`` or a path. The file may hold
            the estimator alone, the authors' whole network, our learner, or a
            host model with the enhancer inside.

    Raises:
        ConfigError: if the name is not known.
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is damaged, holds code, or was made for
            another architecture. ``module`` is then unchanged.
    """
    file = find_weight_file(name)
    try:
        content = read_checkpoint(file.path)
        entries = _estimator_entries(module, content)
        _check_recipe(module, content)
        layers = getattr(module, 'layers', None)
        state = merge_aliases(entries, _AUTHORS_NAMES, layers, 'enhancer')
        _check_against(module, state)
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
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f'no state dict in it, but a {type(content).__name__}')
    return {
        str(key).removeprefix('module.'): value
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def find_estimator(tensors: Mapping[str, Tensor], first: str) -> dict[str, Tensor]:
    """The entries of the estimator whose first layer is ``first``, without prefix.

    Empty if it is in none of the places where estimators are.
    """
    for prefix in _PREFIXES:
        if any(key.startswith(f'{prefix}{first}.') for key in tensors):
            return {
                key.removeprefix(prefix): value
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
    return {}


def _estimator_entries(module: nn.Module, content: Any) -> dict[str, Tensor]:
    tensors = tensors_of(content)
    # Where its first layer is: 'in_conv.' in SCI. One without weights takes none.
    first = next(iter(module.state_dict()), 'in_conv.').split('.')[0]
    entries = find_estimator(tensors, first)
    if not entries:
        raise CheckpointError(
            f'no {type(module).__name__.removesuffix("Enhancer")} estimator among its '
            f'{len(tensors)} entries, which begin with '
            f'{", ".join(list(tensors)[:3]) or "nothing"}'
        )
    return entries


def _check_recipe(module: nn.Module, content: Any) -> None:
    """Our files say their architecture; shapes do not tell how often a block is used."""
    meta = content.get('meta') if isinstance(content, Mapping) else None
    for key in ('layers', 'iterations', 'channels'):
        wanted = getattr(module, key, None)
        stored = meta.get(key) if isinstance(meta, Mapping) else None
        if None not in (wanted, stored) and wanted != stored:
            raise CheckpointError(
                f'wrong architecture: it has {key}={stored}, the enhancer {key}={wanted}'
            )


def _check_against(module: nn.Module, state: dict[str, Tensor]) -> None:
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    unexpected = sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        raise CheckpointError(
            f'wrong architecture: missing {missing or "nothing"}, '
            f'unexpected {unexpected or "nothing"}'
        )
    for key, value in wanted.items():
        if value.shape != state[key].shape:
            raise CheckpointError(
                f'wrong architecture: {key} has shape {tuple(state[key].shape)}, '
                f'the enhancer wants {tuple(value.shape)}'
            )
        if not bool(torch.isfinite(state[key]).all()):
            raise CheckpointError(f'{key} holds NaN or infinite values')
