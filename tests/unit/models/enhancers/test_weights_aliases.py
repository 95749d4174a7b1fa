"""Several names of one tensor become one, if they agree."""

import re

import pytest
import torch

from sci_plugins.errors import CheckpointError
from sci_plugins.models.enhancers.weights import merge_aliases

RENAMING = ((re.compile(r'^(?:conv|blocks\.\d+)\.0\.'), 'block.'),)


def _entries() -> dict[str, torch.Tensor]:
    shared = torch.rand(3)
    names = ('conv.0.bias', 'blocks.0.0.bias', 'blocks.1.0.bias')
    return {name: shared.clone() for name in names} | {'last.bias': torch.rand(2)}


@pytest.mark.parametrize('layers', [2, None])
def test_one_of_each(layers: int | None) -> None:
    entries = _entries()
    state = merge_aliases(entries, RENAMING, layers, 'estimator')
    assert list(state) == ['block.bias', 'last.bias']
    assert torch.equal(state['block.bias'], entries['conv.0.bias'])
    assert len(entries) == 4  # left as they were


def test_another_number_of_blocks() -> None:
    with pytest.raises(CheckpointError, match='has 2 blocks, the estimator layers=3'):
        merge_aliases(_entries(), RENAMING, 3, 'estimator')


def test_files_without_blocks_may_stand_for_any_number() -> None:
    state = merge_aliases({'block.bias': torch.zeros(3)}, RENAMING, 3, 'estimator')
    assert list(state) == ['block.bias']


def test_names_that_disagree() -> None:
    entries = _entries()
    entries['blocks.1.0.bias'][1] += 1
    with pytest.raises(CheckpointError) as caught:
        merge_aliases(entries, RENAMING, 2, 'estimator')
    assert str(caught.value) == (
        'estimator: blocks.1.0.bias differs from the block that it should share'
    )
