"""A checkpoint is data: what is read, what is refused, and that nothing runs."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from sci_plugins.errors import CheckpointError
from sci_plugins.utils import checkpoint as checkpoints
from sci_plugins.utils.checkpoint import load_fully, read_checkpoint


class _Code:
    """Runs a command when it is unpickled, as a hostile file would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch {self.marker}',)


class _Plain:
    """A class of somebody's own, without harm in it."""


def _saved(content: Any, form: str) -> bytes:
    if form == 'pickle':
        return pickle.dumps(content, protocol=2)
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=form == 'zip')
    return buffer.getvalue()


FORMS = ['zip', 'legacy', 'pickle']


@pytest.fixture()
def checkpoint() -> dict[str, Any]:
    layer = torch.nn.Conv2d(2, 3, 3)
    return dict(state_dict=layer.state_dict(), meta=dict(epoch=3, classes=('a', 'b')))


@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_weights_come_back(tmp_path: Path, checkpoint: dict, form: str) -> None:
    path = tmp_path / 'weights.pth'
    path.write_bytes(_saved(checkpoint, form))
    for given in (path, str(path)):
        found = read_checkpoint(given)
        assert found['meta'] == checkpoint['meta']
        assert torch.equal(found['state_dict']['weight'], checkpoint['state_dict']['weight'])


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('where', ['alone', 'in a dict', 'in an object array'])
def test_code_is_refused_and_not_run(tmp_path: Path, form: str, where: str) -> None:
    marker = tmp_path / 'marker'
    content: Any = _Code(marker)
    if where == 'in a dict':
        content = dict(state_dict={'weight': torch.zeros(1)}, meta=content)
    elif where == 'in an object array':
        content = np.array([content], dtype=object)
    path = tmp_path / 'evil.pth'
    path.write_bytes(_saved(content, form))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert not marker.exists()
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    if where == 'alone':
        assert 'system' in str(caught.value)
        assert '--trust-checkpoint' in str(caught.value)


def test_the_same_file_does_run_code_where_nobody_looks(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    marker = tmp_path / 'marker'
    path = tmp_path / 'evil.pth'
    path.write_bytes(_saved(_Code(marker), 'zip'))
    read_checkpoint(path, trust=True)
    assert marker.exists()


@pytest.mark.parametrize('content', [_Plain(), dict(model=torch.nn.Linear(1, 1)), Path('x')])
def test_other_objects_need_trust(tmp_path: Path, content: Any) -> None:
    path = tmp_path / 'object.pth'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match='is not plain data'):
        read_checkpoint(path)
    assert type(read_checkpoint(path, trust=True)) is type(content)


@pytest.mark.parametrize('trust', [False, True])
def test_a_missing_file(tmp_path: Path, trust: bool) -> None:
    path = tmp_path / 'no.pth'
    with pytest.raises(FileNotFoundError, match=f'checkpoint not found: {path}'):
        read_checkpoint(path, trust=trust)
    with pytest.raises(CheckpointError, match='expected a regular file, got a folder'):
        read_checkpoint(tmp_path, trust=trust)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / 'empty.pth'
    path.touch()
    with pytest.raises(CheckpointError, match='empty'):
        read_checkpoint(path)


@pytest.mark.parametrize(
    'content',
    [
        b'hello\nworld\n',
        b'<!DOCTYPE html><html>Not found</html>',
        b'version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n',
        b'\x80\x02',
        b'PK\x03\x04',
        b'\x89PNG\r\n\x1a\n' + bytes(100),
        bytes(1000),
        b'\xff' * 1000,
    ],
)
@pytest.mark.parametrize('trust', [False, True])
def test_files_of_another_kind(tmp_path: Path, content: bytes, trust: bool) -> None:
    path = tmp_path / 'other.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='damaged or not a checkpoint') as caught:
        read_checkpoint(path, trust=trust)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert 'Re-running' not in str(caught.value)  # torch's advice to load it unsafely


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.filterwarnings('ignore')
def test_damage_anywhere_is_our_error(tmp_path: Path, checkpoint: dict, form: str) -> None:
    data = _saved(checkpoint, form)
    rng = np.random.default_rng(0)
    path = tmp_path / 'damaged.pth'
    refused = 0
    for trial in range(150):
        damaged = bytearray(data)
        if trial % 2:
            damaged = damaged[: rng.integers(1, len(data))]
        else:
            for place in rng.integers(0, len(data), 3):
                damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
    assert refused > 75  # every cut is noticed; a flipped bit of a weight cannot be


@pytest.mark.parametrize('core', ['core', '_core'])
def test_files_of_older_and_newer_numpy_are_read(tmp_path: Path, core: str) -> None:
    """numpy 2 renamed `numpy.core`; what numpy 1 has written is still about."""
    content = dict(best=np.float64(0.25), history=np.arange(3, dtype=np.float32))
    data = _saved(content, 'legacy')
    for name in (b'core', b'_core'):
        data = data.replace(
            b'cnumpy.%s.multiarray\n' % name, b'cnumpy.%s.multiarray\n' % core.encode()
        )
    path = tmp_path / 'numpy.pth'
    path.write_bytes(data)
    found = read_checkpoint(path)
    assert found['best'] == 0.25
    assert found['history'].tolist() == [0, 1, 2]


class _Getattr:
    """Fetches a function through the one `getattr` that MMEngine's files need."""

    def __init__(self, owner: Any, name: str) -> None:
        self.pair = (owner, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, self.pair


@pytest.mark.parametrize(
    ('owner', 'name'),
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '__class__'),
        (HistoryBuffer, 'register_statistics'),
        (torch.Tensor, 'min'),
        ('text', 'format'),
    ],
)
@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_getattr_reaches_nothing_else(tmp_path: Path, owner: Any, name: str, form: str) -> None:
    path = tmp_path / 'getattr.pth'
    path.write_bytes(_saved(dict(way=_Getattr(owner, name)), form))
    with pytest.raises(CheckpointError, match='getattr'):
        read_checkpoint(path)


def test_nan_in_a_host_s_checkpoint_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    state = model.state_dict()
    state['0.bias'][0] = state['1.running_var'][0] = float('nan')
    # Neither a masked entry, nor one that the model has not.
    state |= {'0.weight': torch.full((1, 2), -float('inf')), 'other': state['0.bias']}
    said: list[str] = []
    monkeypatch.setattr(checkpoints, 'print_log', lambda message, *_: said.append(message))
    load_fully(model, state, 'night.pth')
    assert said == ['night.pth: 2 of 7 entries hold NaN, first 0.bias']


@pytest.mark.parametrize(
    'value',
    [
        torch.eye(2).to_sparse(),
        torch.empty(2, 2, device='meta'),
        torch.nested.nested_tensor([torch.zeros(2), torch.zeros(2)]),
    ],
    ids=['sparse', 'meta', 'nested'],
)
@pytest.mark.filterwarnings('ignore')
def test_what_is_trusted_has_to_be_dense_too(value: torch.Tensor) -> None:
    model = torch.nn.Linear(2, 2)
    before = model.weight.detach().clone()
    with pytest.raises(CheckpointError) as caught:
        load_fully(model, dict(model.state_dict(), weight=value), 'night.pth')
    assert str(caught.value) == 'night.pth: entry weight is not a dense tensor with values'
    assert torch.equal(model.weight, before)
