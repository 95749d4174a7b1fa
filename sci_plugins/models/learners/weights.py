"""Starting weights of the cascade: estimator and, where the file has it, calibrator."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from sci_plugins.errors import CheckpointError, first_line
from sci_plugins.models.enhancers.aliases import merge_aliases
from sci_plugins.models.enhancers.official import find_weight_file
from sci_plugins.models.enhancers.weights import load_enhancer_weights
from sci_plugins.utils.checkpoint import read_checkpoint

_PREFIXES = ('calibrate.', 'calibrator.')  # the authors' network, our learner
# The authors' names. `convs` and every `blocks.k` are one shared block there.
_AUTHORS_NAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'^in_conv\.0\.', 'in_conv.'),
        (r'^in_conv\.1\.', 'in_norm.'),
        (r'^(?:convs|blocks\.\d+)\.0\.', 'block_conv1.'),
        (r'^(?:convs|blocks\.\d+)\.1\.', 'block_norm1.'),
        (r'^(?:convs|blocks\.\d+)\.3\.', 'block_conv2.'),
        (r'^(?:convs|blocks\.\d+)\.4\.', 'block_norm2.'),
        (r'^out_conv\.0\.', 'out_conv.'),
    )
)


def load_learner_weights(
    estimator: nn.Module, calibrator: nn.Module | None, name: str
) -> None:
    """Load ``name`` into the estimator and, if it has one, into the calibrator.

    Args:
        estimator: loaded strictly, see
            :func:`sci_plugins.models.enhancers.weights.load_enhancer_weights`.
        calibrator: loaded strictly if the file holds a calibrator, else left as
            it is, which is logged.
        name: ``official/...``, ``sci_plugins/...`` or a path.

    Raises:
        ConfigError: if the name is not known.
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is damaged, holds code, or was made for
            another architecture.
    """
    state = _read_calibrator(name) if calibrator is not None else {}
    load_enhancer_weights(estimator, name)
    if calibrator is None:
        return
    if not state:
        _log(f'{type(calibrator).__name__}: {name} holds none, starts from scratch')
        return
    try:
        _load_strictly(calibrator, state)
    except CheckpointError as error:
        raise CheckpointError(f'cannot load {name}: {error}') from error
    _log(f'{type(calibrator).__name__}: {len(state)} of {len(state)} entries from {name}')


def _read_calibrator(name: str) -> dict[str, Tensor]:
    """The calibrator's entries of a file, without prefix; empty if it has none."""
    content: Any = read_checkpoint(find_weight_file(name).path)
    state = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    return {
        key.removeprefix(prefix): value
        for prefix in _PREFIXES
        for key, value in state.items()
        if str(key).startswith(prefix) and isinstance(value, Tensor)
    }


def _load_strictly(calibrator: nn.Module, entries: dict[str, Tensor]) -> None:
    layers = getattr(calibrator, 'layers', None)
    state = merge_aliases(entries, _AUTHORS_NAMES, layers, 'calibrator')
    try:
        calibrator.load_state_dict(state, strict=True)
    except RuntimeError as error:
        problem = ' '.join(str(error).split()) or first_line(error)
        raise CheckpointError(f'wrong architecture: {problem}') from error


def _log(message: str) -> None:
    print_log(message, logger='current', level=logging.INFO)
