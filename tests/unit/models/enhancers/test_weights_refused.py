"""A weight file that does not fit, is damaged or hostile: one line, nothing changed."""

import copy
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sci_plugins.errors import CheckpointError
from sci_plugins.models.enhancers import GammaEnhancer, SCIEnhancer, load_enhancer_weights

MakeEntries = Callable[..., dict[str, Tensor]]


def _refused(content: Any, save: Callable, word: str, enhancer: nn.Module | None = None) -> str:
    """Loading fails with one line that names file and cause; nothing has changed."""
    enhancer = SCIEnhancer() if enhancer is None else enhancer
    before = copy.deepcopy(enhancer.state_dict())
    path = content if isinstance(content, str) else save(content)
    with pytest.raises(CheckpointError, match=word) as caught:
        load_enhancer_weights(enhancer, path)
    message = str(caught.value)
    assert path in message
    assert '\n' not in message
    for key, value in enhancer.state_dict().items():
        assert torch.equal(value, before[key]), key
    return message


ALIASES = ['enhance.blocks.0.0.weight', 'enhance.conv.1.running_mean', 'enhance.conv.0.bias']


@pytest.mark.parametrize('key', ALIASES)
def test_aliases_must_agree(save: Callable, authors_entries: MakeEntries, key: str) -> None:
    entries = authors_entries()
    entries[key] = entries[key] + 1e-3
    assert 'blocks.0' in _refused(entries, save, 'share')


def test_wrong_channels(save: Callable, authors_entries: MakeEntries) -> None:
    message = _refused(authors_entries(channels=8), save, 'wrong architecture')
    assert '(8, 3, 3, 3)' in message
    assert '(3, 3, 3, 3)' in message


@pytest.mark.parametrize(('stored', 'wanted'), [(1, 2), (3, 1), (2, 0)])
def test_wrong_layers(
    save: Callable, authors_entries: MakeEntries, stored: int, wanted: int
) -> None:
    """The shapes are the same, so only the names tell."""
    enhancer = SCIEnhancer(layers=wanted)
    message = _refused(authors_entries(layers=stored), save, 'wrong architecture', enhancer)
    assert str(stored) in message
    assert f'layers={wanted}' in message


def test_hidden_layers_or_none(save: Callable, donor: SCIEnhancer) -> None:
    without = SCIEnhancer(layers=0, channels=None)
    _refused(donor.state_dict(), save, 'unexpected .*in_conv', without)
    _refused(without.state_dict(), save, 'no SCI estimator among its 2 entries')
    path = save(without.state_dict())
    loaded = SCIEnhancer(layers=0, channels=None, weights=path)
    assert torch.equal(loaded.out_conv.weight, without.out_conv.weight)


@pytest.mark.parametrize('key', ['layers', 'channels'])
def test_the_recipe_in_our_files_is_heeded(save: Callable, donor: SCIEnhancer, key: str) -> None:
    content = dict(state_dict=donor.state_dict(), meta={key: 4})
    assert f'{key}=4' in _refused(content, save, 'wrong architecture')


@pytest.mark.parametrize('key', ['out_conv.bias', 'block_norm.running_var'])
def test_a_missing_entry(save: Callable, donor: SCIEnhancer, key: str) -> None:
    state = donor.state_dict()
    del state[key]
    assert key in _refused(state, save, 'missing')


def test_an_unexpected_entry(save: Callable, donor: SCIEnhancer) -> None:
    state = donor.state_dict() | {'extra_conv.weight': torch.zeros(1)}
    assert 'extra_conv.weight' in _refused(state, save, 'unexpected')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_no_numbers(save: Callable, donor: SCIEnhancer, value: float) -> None:
    state = donor.state_dict()
    state['block_norm.running_mean'][1] = value
    assert 'block_norm.running_mean' in _refused(state, save, 'NaN or infinite')


ODD = {
    'sparse': lambda value: value.to_sparse(),
    'meta': lambda value: value.to('meta'),
    'quantised': lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    'nested': lambda value: torch.nested.nested_tensor(list(value)),
    'float8_e4m3fn': lambda value: value.to(torch.float8_e4m3fn),
    'float8_e5m2': lambda value: value.to(torch.float8_e5m2),
    'int64': lambda value: value.to(torch.int64),
    'bool': lambda value: value > 0,
    'uint8': lambda value: value.to(torch.uint8),
    'complex64': lambda value: value.to(torch.complex64),
    'shape': lambda value: value.mean(),
    'shape ': lambda value: value[None],
    'shape  ': lambda value: value[:0],
    'NaN or infinite': lambda value: value.double() * 1e300,  # as float32
}


@pytest.mark.parametrize('key', ['in_conv.weight', 'block_conv.weight'])
@pytest.mark.parametrize('kind', ODD)
@pytest.mark.filterwarnings('ignore')
def test_odd_tensors(save: Callable, donor: SCIEnhancer, kind: str, key: str) -> None:
    state = donor.state_dict()
    state[key] = ODD[kind](state[key])
    assert key in _refused(state, save, kind.strip())


@pytest.mark.parametrize('kind', [torch.float32, torch.bool, torch.complex64])
def test_a_counter_that_does_not_count(save: Callable, donor: SCIEnhancer, kind: Any) -> None:
    state = donor.state_dict()
    state['block_norm.num_batches_tracked'] = torch.ones((), dtype=kind)
    assert str(kind) in _refused(state, save, r'block_norm\.num_batches_tracked holds')


def test_odd_tensors_of_several_names(save: Callable, authors_entries: MakeEntries) -> None:
    """They are refused before they are compared, which not all of them can be."""
    entries = authors_entries()
    entries['enhance.conv.0.bias'] = entries['enhance.conv.0.bias'].to(torch.float8_e4m3fn)
    assert 'conv.0.bias' in _refused(entries, save, 'float8_e4m3fn')
    entries = authors_entries()
    entries['enhance.conv.0.bias'][0] = float('nan')
    assert 'conv.0.bias' in _refused(entries, save, 'NaN')


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_fine(save: Callable, donor: SCIEnhancer, kind: torch.dtype) -> None:
    state = {k: v.to(kind) if v.is_floating_point() else v for k, v in donor.state_dict().items()}
    twin = SCIEnhancer(weights=save(state))
    assert twin.in_conv.weight.dtype == torch.float32
    torch.testing.assert_close(twin.in_conv.weight, donor.in_conv.weight, rtol=0, atol=1e-2)


def test_names_that_a_terminal_would_obey(save: Callable, donor: SCIEnhancer) -> None:
    state = donor.state_dict() | {f'in_conv.\x1b[2J\n{n}' * 200: torch.ones(1) for n in range(50)}
    message = _refused(state, save, 'unexpected .* and 38 more')
    assert message.isprintable()
    assert len(message) < 2500


def test_an_entry_that_is_no_tensor(save: Callable, donor: SCIEnhancer) -> None:
    state = donor.state_dict() | {'out_conv.bias': 'three'}
    assert 'out_conv.bias' in _refused(state, save, 'missing')


@pytest.mark.parametrize(
    'content',
    [
        {},
        dict(state_dict={}),
        dict(state_dict=None),
        [1, 2],
        torch.zeros(3),
        7,
        'text',
        None,
        {'backbone.weight': torch.zeros(1)},
        {1: torch.zeros(1), 2: 'x'},
        dict(epoch=3),
    ],
)
def test_files_without_an_estimator(save: Callable, content: Any) -> None:
    if isinstance(content, str):
        content = dict(text=content)
    _refused(content, save, 'expected a state dict|no SCI estimator')


@pytest.mark.parametrize('legacy', [False, True])
def test_truncated_files(
    tmp_path: Path, save: Callable, authors_entries: MakeEntries, legacy: bool
) -> None:
    buffer = io.BytesIO()
    torch.save(authors_entries(), buffer, _use_new_zipfile_serialization=not legacy)
    data = buffer.getvalue()
    path = tmp_path / 'cut.pth'
    for length in (1, 2, 100, len(data) // 2, len(data) - 100, len(data) - 1):
        path.write_bytes(data[:length])
        _refused(str(path), save, 'damaged')


@pytest.mark.parametrize(
    ('content', 'word'), [(b'', 'empty'), (b'no weights\n', 'damaged'), (b'PK', 'damaged')]
)
def test_files_of_another_kind(tmp_path: Path, save: Callable, content: bytes, word: str) -> None:
    path = tmp_path / 'other.pth'
    path.write_bytes(content)
    _refused(str(path), save, word)


class _Code:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch {self.marker}',)


@pytest.mark.parametrize('legacy', [False, True])
def test_code_in_a_weight_file_does_not_run(
    tmp_path: Path, save: Callable, donor: SCIEnhancer, legacy: bool
) -> None:
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    content = dict(state_dict=donor.state_dict(), meta=_Code(marker))
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert 'system' in _refused(str(path), save, 'could execute code')
    assert not marker.exists()


def test_a_missing_file_is_said_as_such() -> None:
    with pytest.raises(FileNotFoundError, match=r'no/such\.pth'):
        SCIEnhancer(weights='no/such.pth')


def test_an_enhancer_without_weights_takes_none(save: Callable, donor: SCIEnhancer) -> None:
    _refused(donor.state_dict(), save, 'unexpected', GammaEnhancer())


def test_the_name_in_the_error_is_the_one_given(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(mirror))
    with pytest.raises(CheckpointError, match='cannot load official/medium'):
        SCIEnhancer(channels=8, weights='official/medium')
