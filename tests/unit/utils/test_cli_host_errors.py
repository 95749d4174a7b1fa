"""Which errors of MMEngine and the hosts are a user's mistake, and how they read."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from sci_plugins.utils.cli import describe_host_error


def _raised(call: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


@MODELS.register_module(force=True)
class _Layer(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        torch.zeros(width, 'wide')  # type: ignore[call-overload]


@MODELS.register_module(force=True)
class _Plain:
    pass


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({}, 'missing 1 required positional argument'),
        (dict(widht=3), 'unexpected keyword argument'),
        (dict(type='_Plain', width=3), 'takes no arguments'),
    ],
)
def test_arguments_that_a_type_does_not_have(arguments: dict, words: str) -> None:
    error = _raised(lambda: MODELS.build(dict(dict(type='_Layer'), **arguments)))
    message = describe_host_error(error)
    assert message is not None
    assert words in message
    assert message.startswith(('_Layer.__init__()', '_Plain()'))
    assert message.endswith(": check the config's arguments for it")


def test_a_call_that_does_not_fit_is_a_defect() -> None:
    def function(width: int) -> None:
        pass

    assert describe_host_error(_raised(function)) is None


def test_an_error_inside_a_type_is_no_mistake_in_the_config() -> None:
    error = _raised(lambda: MODELS.build(dict(type='_Layer', width=3)))
    assert isinstance(error, TypeError)
    assert describe_host_error(error) is None


def test_a_list_where_a_batch_should_be() -> None:
    layer: Any = torch.nn.Conv2d(3, 3, 3)
    message = describe_host_error(_raised(lambda: layer([torch.zeros(3, 8, 8)])))
    assert message is not None
    assert 'no data_preprocessor' in message
    other = _raised(lambda: layer('x'))
    assert isinstance(other, TypeError)
    assert describe_host_error(other) is None


def test_a_class_that_the_model_does_not_have() -> None:
    scores, labels = torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), 77)
    message = describe_host_error(_raised(lambda: F.cross_entropy(scores, labels)))
    assert message is not None
    assert 'class 77' in message


@pytest.mark.parametrize('error', [IndexError('x'), TypeError('x'), ValueError('x')])
def test_anything_else_is_a_defect(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert describe_host_error(error) is None  # never raised
    assert describe_host_error(_raised(fail)) is None


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        (
            '[/x/gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:9: Connection reset by '
            'peer. This is typically caused by a remote worker',
            'another process of this run ended, see what it said: Read error [127.0.0.1]:9: '
            'Connection reset by peer',
        ),
        (
            '[/x/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 6000ms for recv',
            'another process of this run has not answered for as long as --timeout says: it '
            'hangs, was stopped, or works on something that takes longer',
        ),
    ],
)
def test_another_process(message: str, words: str) -> None:
    assert describe_host_error(RuntimeError(message)) == words
    assert describe_host_error(ValueError(message)) is None


def test_a_group_that_does_not_come_together() -> None:
    error = torch.distributed.DistStoreError('wait timeout after 6000ms, keys: /default_pg/0')
    assert '--timeout' in str(describe_host_error(error))
    error = torch.distributed.DistNetworkError('no such host')
    assert str(describe_host_error(error)).endswith('see what it said: no such host')


def test_a_layer_of_size_0() -> None:
    error = _raised(lambda: torch.nn.Conv2d(3, 0, 3)(torch.zeros(1, 3, 4, 4)))
    assert str(describe_host_error(error)).endswith("check the config's channels and num_classes")


def test_a_name_with_a_nul_byte() -> None:
    error = _raised(lambda: Path('a\0b').read_bytes())
    assert describe_host_error(error) == 'the name of a file or folder holds a NUL byte'


def test_an_unknown_optimizer() -> None:
    error = TypeError('None is not a callable object')  # of MMEngine's builder
    assert describe_host_error(error) is not None
    assert describe_host_error(TypeError('None is no object')) is None
