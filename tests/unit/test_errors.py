"""Refused arguments, and other people's errors, in one line."""

import pickle
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import (
    ConfigError,
    check_at_least,
    check_seed,
    describe_damage,
    describe_unpickling,
    first_line,
    tell_cause,
)


def test_what_is_large_enough_passes() -> None:
    check_at_least(1, steps=1, images=np.int64(2))
    check_at_least(0.5, 'Layer', weight=1, sigma=0.5)


def test_what_is_too_large_is_named() -> None:
    check_at_least(1, most=5, size=5)
    with pytest.raises(ConfigError, match=r'^size must be at most 4294967295, got 4294967296$'):
        check_at_least(1, most=2**32 - 1, size=2**32)
    with pytest.raises(ConfigError, match=r'^Layer: rate must be finite, got inf$'):
        check_at_least(0.0, 'Layer', rate=float('inf'))


@pytest.mark.parametrize(
    ('least', 'value', 'message'),
    [
        (1, 0, 'size must be at least 1, got 0'),
        (0.5, 0.25, 'size must be at least 0.5, got 0.25'),
        (0.0, -1, 'size must be at least 0, got -1'),
        (0.0, float('nan'), 'size must be at least 0, got nan'),
        (1, 1.5, 'size must be an int of at least 1, got 1.5'),
        (1, True, 'size must be an int of at least 1, got True'),
        (1, '3', "size must be an int of at least 1, got '3'"),
        (0.0, None, 'size must be a number of at least 0, got None'),
    ],
)
def test_what_is_too_small_is_named(least: float, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_at_least(least, count=1, size=value)
    assert str(caught.value) == message
    with pytest.raises(ConfigError) as caught:
        check_at_least(least, 'Layer', size=value)
    assert str(caught.value) == f'Layer: {message}'


@pytest.mark.parametrize('seed', [-1, 2**32, 10**20, 1.0, True, None, float('nan')])
def test_a_seed_that_is_none(seed: Any) -> None:
    check_seed(0)
    check_seed(2**32 - 1)
    with pytest.raises(ConfigError, match=r'^Sampler: seed must be'):
        check_seed(seed, 'Sampler')


def test_first_line() -> None:
    assert first_line(ValueError('one\ntwo')) == 'one'
    assert first_line(ValueError('\n one \n')) == 'one'
    assert first_line(EOFError()) == 'EOFError'


def test_the_cause() -> None:
    assert tell_cause(ValueError('one\ntwo')) == 'ValueError: one'


@pytest.mark.parametrize(
    ('message', 'found'),
    [
        ('Weights only load failed.\n\tTrying GLOBAL os.system, blocked.', 'os.system'),
        ('Unsupported class my.Model was encountered', 'my.Model'),
    ],
)
def test_what_a_file_must_not_hold(message: str, found: str) -> None:
    line = describe_unpickling('a.pth', pickle.UnpicklingError(message))
    assert line.startswith(f'a.pth holds {found}, which is not plain data')
    assert '--trust-checkpoint' in line
    assert '\n' not in line


@pytest.mark.parametrize(
    ('message', 'cause'),
    [
        ('Weights only.\n Unpickler error: bad opcode 7\n see docs', 'bad opcode 7'),
        ('pickle data was truncated. Use weights_only=False', 'pickle data was truncated'),
        ('117', 'UnpicklingError 117'),
        ('', 'UnpicklingError'),
    ],
)
def test_what_is_damaged(message: str, cause: str) -> None:
    wanted = f'a.pth is damaged or not a checkpoint: {cause}'
    assert describe_unpickling('a.pth', pickle.UnpicklingError(message)) == wanted


def test_damage_of_another_kind() -> None:
    wanted = "a.pth is damaged or not a checkpoint: KeyError 'x'"
    assert describe_damage('a.pth', KeyError('x')) == wanted
