"""One tensor under several names, as the authors' files hold their shared blocks."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sci_plugins.errors import CheckpointError

Renaming = tuple[re.Pattern[str], str]


def merge_aliases(
    entries: Mapping[str, Tensor],
    renaming: Sequence[Renaming],
    layers: int | None,
    owner: str,
) -> dict[str, Tensor]:
    """Our names for a file's entries, each tensor once.

    Args:
        entries: of one module, without its prefix.
        renaming: pattern at the start of their name, and what it becomes here; names
            that fit none stay.
        layers: how many ``blocks.K`` are wanted, where the file has any; ``None`` if
            any number will do.
        owner: the module, for the errors.

    Raises:
        CheckpointError: if there are more or fewer blocks, or names of one tensor
            hold different values.
    """
    blocks = {key.split('.')[1] for key in entries if key.startswith('blocks.')}
    if blocks and layers is not None and len(blocks) != layers:
        raise CheckpointError(
            f'wrong architecture: it has {len(blocks)} blocks, the {owner} '
            f'layers={layers}'
        )
    state: dict[str, Tensor] = {}
    for key, value in entries.items():
        name = key
        for pattern, replacement in renaming:
            name = pattern.sub(replacement, name)
        if name in state and not torch.equal(state[name], value):
            raise CheckpointError(
                f'{owner}: {key} differs from the block that it should share'
            )
        state[name] = value
    return state
