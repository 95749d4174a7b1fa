"""Parts of a model, found through what is wrapped around it."""

import pytest
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.utils.model_parts import find_part, inner_preprocessor, unwrap_model


def test_a_part_of_a_wrapped_model() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.Sequential(nn.ReLU()))
    for wrapped in (model, nn.DataParallel(model)):
        assert unwrap_model(wrapped) is model
        assert find_part(wrapped, '1.0', nn.ReLU, 'Owner') is model[1][0]


def test_a_child_named_module_is_no_wrapper() -> None:
    model = nn.ModuleDict(dict(module=nn.Linear(1, 1)))
    assert unwrap_model(model) is model


@pytest.mark.parametrize(
    ('path', 'word'),
    [
        ('2', "Owner: Sequential has no module '2'"),
        ('0.nothing', "has no module '0.nothing'"),
        ('0', "Owner: expected module '0' of Sequential to be a ReLU, got Linear"),
    ],
)
def test_parts_that_are_not_there(path: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        find_part(nn.DataParallel(nn.Sequential(nn.Linear(1, 2))), path, nn.ReLU, 'Owner')


def test_a_model_without_a_preprocessor() -> None:
    assert inner_preprocessor(nn.Linear(1, 1)) is None
