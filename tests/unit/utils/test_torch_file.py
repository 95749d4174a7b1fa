"""Whatever a checkpoint rightly holds comes back as torch's own loader gives it."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from sci_plugins.utils.torch_file import load_torch_file


def _tensors() -> dict[str, Tensor]:
    base = torch.arange(20.0)
    with_attribute, parameter = torch.rand(4), nn.Parameter(torch.rand(3))
    with_attribute.mark = parameter.mark = 'dropped'  # type: ignore[attr-defined]
    return dict(
        double=torch.rand(2, dtype=torch.float64),
        half=torch.rand(2).half(),
        brain=torch.rand(2).bfloat16(),
        long=torch.tensor(3),
        byte=torch.tensor([0, 255], dtype=torch.uint8),
        boolean=torch.tensor([True, False]),
        complex=torch.rand(2, dtype=torch.complex64),
        empty=torch.empty(0, 3),
        expanded=torch.zeros(1).expand(1000),
        part=base[2:7],
        turned=base.view(4, 5).t(),
        with_attribute=with_attribute,
        parameter=parameter,
        frozen=nn.Parameter(torch.rand(2), requires_grad=False),
        learning=torch.rand(2, requires_grad=True),
    )


def _plain() -> dict[str, Any]:
    return dict(
        none=None,
        huge=2**70,
        negative=-5,
        real=1.5,
        complex=1 + 2j,
        text='Straße\n',
        raw=b'a\xff',
        no_bytes=b'',
        array=bytearray(b'x\xff'),
        pair=(1, (2, 3)),
        items=[[], {}, {'a': [{'b': {}}]}],
        values={1, 'a'},
        milestones=Counter([8, 11, 8]),
        ordered=OrderedDict(b=1, a=2),
        keys={(1, 'a'): 2, None: 3, 4: 5, 0.5: 6, True: 7},
        size=torch.Size([1, 2]),
        device=torch.device('cpu'),
        dtype=torch.float32,
    )


def _numbers() -> dict[str, Any]:
    return dict(
        rows=np.arange(6.0).reshape(2, 3),
        columns=np.asfortranarray(np.arange(6).reshape(2, 3)),
        none=np.zeros((0, 2), np.float32),
        big_endian=np.arange(3, dtype='>i4'),
        flags=np.array([True, False]),
        complex=np.array([1j]),
        real=np.float32(2.5),
        integer=np.int64(3),
        flag=np.bool_(True),
    )


def _load(content: Any, path: Path, older: bool) -> tuple[Any, Any]:
    """What we read, and what torch does."""
    torch.save(content, path, _use_new_zipfile_serialization=not older)
    return load_torch_file(path), torch.load(path, weights_only=False)


@pytest.mark.parametrize('older', [False, True])
def test_tensors(tmp_path: Path, older: bool) -> None:
    found, wanted = _load(_tensors(), tmp_path / 'a.pth', older)
    for name, value in _tensors().items():
        kind, other = found[name], wanted[name]
        assert type(kind) is type(value), name
        assert (kind.dtype, kind.stride(), kind.requires_grad) == (
            other.dtype,
            other.stride(),
            other.requires_grad,
        ), name
        assert torch.equal(kind, other), name
    # Those of one storage share it again.
    assert found['part'].untyped_storage().data_ptr() == (
        found['turned'].untyped_storage().data_ptr()
    )


def test_types_without_a_storage_class_of_their_own(tmp_path: Path) -> None:
    eighth = torch.tensor([1.0, -0.5]).to(torch.float8_e4m3fn)
    content = dict(eighth=eighth, wide=torch.tensor([1, 65535], dtype=torch.uint16))
    found, _ = _load(content, tmp_path / 'a.pth', False)
    assert found['eighth'].dtype == torch.float8_e4m3fn
    assert found['eighth'].float().tolist() == [1.0, -0.5]
    assert found['wide'].tolist() == [1, 65535]


@pytest.mark.parametrize('older', [False, True])
def test_plain_values(tmp_path: Path, older: bool) -> None:
    found, wanted = _load(_plain(), tmp_path / 'a.pth', older)
    assert found == wanted == _plain()
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in wanted.items()}


@pytest.mark.parametrize('older', [False, True])
def test_numbers_of_numpy(tmp_path: Path, older: bool) -> None:
    found, wanted = _load(_numbers(), tmp_path / 'a.pth', older)
    for name, value in _numbers().items():
        assert type(found[name]) is type(value), name
        assert found[name].dtype == wanted[name].dtype, name
        np.testing.assert_array_equal(found[name], value)
    assert found['columns'].flags.f_contiguous


def test_histories(tmp_path: Path) -> None:
    """Of MMEngine, also one that nothing was logged to."""
    content = dict(loss=HistoryBuffer([1, 3], [1, 1]), none=HistoryBuffer())
    found, _ = _load(content, tmp_path / 'a.pth', False)
    assert type(found['loss']) is HistoryBuffer
    assert found['loss'].mean() == found['loss'].statistics('mean') == 2
    found['loss'].update(5)
    assert found['loss'].data[0].tolist() == [1, 3, 5]
    assert len(found['none'].data[0]) == 0
    again, _ = _load(found, tmp_path / 'b.pth', False)
    assert again['loss'].current() == 5


def test_a_state_dict_keeps_the_versions_of_its_modules(tmp_path: Path) -> None:
    state = nn.Sequential(nn.BatchNorm2d(2)).state_dict()
    found, _ = _load(state, tmp_path / 'a.pth', False)
    assert found._metadata == state._metadata  # type: ignore[attr-defined]
    assert found._metadata['0'] == {'version': 2}


def _changed(path: Path, **members: bytes | None) -> None:
    """Replace members of a file in the format of today; ``None`` removes one."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(content)).split('/')[0]
    content |= {f'{root}/{name}': value for name, value in members.items()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, value in content.items():
            if value is not None:
                archive.writestr(name, value)


def test_a_file_of_torch_2_4(tmp_path: Path) -> None:
    """It had fewer members."""
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.arange(3.0)), path)
    names = ('.format_version', '.storage_alignment', '.data/serialization_id', 'byteorder')
    _changed(path, **dict.fromkeys(names))
    assert load_torch_file(path)['a'].tolist() == [0, 1, 2]


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'set_crc32_options'), reason='torch 2.6 leaves them out'
)
def test_a_file_without_check_sums(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        found, wanted = _load(dict(a=torch.arange(3.0), b='x'), tmp_path / 'a.pth', False)
    finally:
        torch.serialization.set_crc32_options(before)
    with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
        assert not any(member.CRC for member in archive.infolist())
    assert torch.equal(found['a'], wanted['a'])
    assert found['b'] == 'x'


def test_one_wrong_check_sum_is_damage(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.arange(3.0)), path)
    with zipfile.ZipFile(path) as archive:
        wanted = archive.getinfo('a/data/0').CRC.to_bytes(4, 'little')
    path.write_bytes(path.read_bytes().replace(wanted, bytes(4)))
    with pytest.raises(pickle.UnpicklingError, match='CRC'):
        load_torch_file(path)


def test_a_file_of_a_machine_with_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    values = np.array([1.5, -2.0], np.float32)
    torch.save(dict(a=torch.from_numpy(values)), path)
    _changed(path, **{'byteorder': b'big', 'data/0': values.astype('>f4').tobytes()})
    assert load_torch_file(path)['a'].tolist() == [1.5, -2.0]


@pytest.mark.parametrize('older', [False, True])
@pytest.mark.parametrize('place', ['meta', torch.device('meta'), {'cpu': 'meta'}])
def test_where_tensors_go(tmp_path: Path, older: bool, place: Any) -> None:
    """Told as to ``torch.load``: a name, a device or a table."""
    torch.save(dict(a=torch.ones(2)), tmp_path / 'a.pth', _use_new_zipfile_serialization=not older)
    found = load_torch_file(tmp_path / 'a.pth', place)
    assert found['a'].device.type == 'meta'


@pytest.mark.parametrize('older', [False, True])
def test_a_function_tells_where_tensors_go(tmp_path: Path, older: bool) -> None:
    seen = []

    def twice(storage: Any, location: str) -> Any:
        seen.append(location)
        return (torch.empty(0).set_(storage) * 2).untyped_storage()

    torch.save(dict(a=torch.ones(2)), tmp_path / 'a.pth', _use_new_zipfile_serialization=not older)
    assert load_torch_file(tmp_path / 'a.pth', twice)['a'].tolist() == [2, 2]
    assert seen == ['cpu']


@pytest.mark.parametrize('place', [None, {'cuda:0': 'cpu'}, lambda *_: None])
def test_tensors_that_stay_where_they_were(tmp_path: Path, place: Any) -> None:
    torch.save(dict(a=torch.ones(2)), tmp_path / 'a.pth')
    assert load_torch_file(tmp_path / 'a.pth', place)['a'].tolist() == [1, 1]


def test_a_file_larger_than_a_piece(tmp_path: Path) -> None:
    values = torch.rand(600_000)
    for older in (False, True):
        found, _ = _load(dict(a=values), tmp_path / 'a.pth', older)
        assert torch.equal(found['a'], values)
    assert (tmp_path / 'a.pth').stat().st_size > 2**21


def test_the_file_is_closed_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    torch.save(dict(a=torch.ones(2)), path)
    before = path.read_bytes()
    load_torch_file(path)['a'].zero_()
    assert path.read_bytes() == before
    buffer = io.BytesIO(before)
    assert torch.load(buffer)['a'].tolist() == [1, 1]


def test_a_file_of_python_2(tmp_path: Path) -> None:
    """Its texts are bytes, and an ordered dict is called with lists of two."""
    path = tmp_path / 'a.pth'
    torch.save(OrderedDict(a=torch.ones(2)), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    begin = data.index(b'ccollections\nOrderedDict\n')
    tensor, end = data.index(b'ctorch._utils'), data.index(b's.', begin)
    steps = b'ccollections\nOrderedDict\nq\x00](](U\x01a' + data[tensor:end] + b'ee\x85R.'
    path.write_bytes(data[:begin] + steps + data[end + 2 :])
    for found in (load_torch_file(path), torch.load(path, weights_only=False)):
        assert type(found) is OrderedDict
        assert found['a'].tolist() == [1, 1]
