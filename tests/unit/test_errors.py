"""Other people's errors, told in a sentence."""

import pickle

import pytest

from sci_plugins.errors import describe_damage, describe_unpickling, first_line, tell_cause


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
    assert line.startswith(f'a.pth holds {found}, which is no weight')
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
