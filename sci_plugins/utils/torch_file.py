"""What ``torch.save`` wrote, read as data: a file chooses values, never what is called.

torch's loader, also with ``weights_only``, calls what is on its list with any arguments
(``bytearray(10**10)``; ``np.ndarray`` with an object dtype follows pointers out of the file), and
allocates what a file claims. Here a name in a file selects a function of the table below, which
checks all that it is given; no size is believed beyond the bytes there.
"""

import io
import os
import pickle
import pickletools
import re
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn
from torch.serialization import StorageType, default_restore_location

from sci_plugins.errors import show_name, tell_cause

#: Steps of a pickle, and nodes of what it gives. The checkpoint of a detector with its
#: optimizer and its log has some 20,000; a step takes 2 µs and at most 220 bytes.
_MOST_STEPS = 5_000_000
_MOST_LEVELS = 100
_MOST_EXPANDED = 2**24  # bytes that a tensor with stride 0 may seem to have beyond its storage
_LEGACY = (0x1950A86A20F9469CFC6C, 1001)  # magic number and version of the older format

_Load = Callable[[str, torch.dtype, int, str], Any]  # by key, type, bytes and device


def load_torch_file(path: Path, map_location: Any = 'cpu') -> Any:
    """Read dense tensors, numpy's numbers, plain Python types, MMEngine's log histories.

    From a file of ``torch.save``, in today's format (zip) or that of before 1.6; ``map_location``
    is as in ``torch.load``. Attributes that somebody set on a tensor are left out.

    Raises:
        OSError: if the file cannot be opened.
        pickle.UnpicklingError: in one line, if it holds anything else or is damaged.
    """
    try:
        with _File(io.FileIO(path)) as file:
            head = file.read(4)
            if not head.startswith((b'PK\3\4', b'\x80')):
                _refuse(f'it begins with {head!r}, which no file of torch.save does')
            content = (_read_zip if head[0] == ord('P') else _read_legacy)(file, map_location)
            _weigh(content, '', 0, {})
            return content
    except (MemoryError, pickle.UnpicklingError):
        raise
    except Exception as error:  # what is wrong in a file may raise anything
        if getattr(error, 'filename', None):
            raise
        raise pickle.UnpicklingError(show_name(tell_cause(error), 200)) from error


class _File(io.BufferedReader):
    """Asked for more bytes than there are, it makes no room for them."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > 2**16:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def _refuse(problem: str) -> NoReturn:
    raise pickle.UnpicklingError(problem)


@dataclass(frozen=True, eq=False)
class _Name:
    """A name that a file may use, and what is called in its place."""

    path: str
    build: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class _Stored:
    """The type of a storage, or a storage with its type."""

    dtype: torch.dtype
    storage: torch.UntypedStorage | None = None


class _Odd(str):
    """The kind of a tensor that is not dense, in its place."""


def _read_zip(file: IO[bytes], map_location: Any) -> Any:
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        root = _check_members(members, size)
        if not any(member.CRC for member in members):  # torch saved them without check sums
            for member in members:
                member.CRC = None  # type: ignore[assignment]
        marked = f'{root}/byteorder' in archive.namelist()
        order = archive.read(f'{root}/byteorder') if marked else b'little'
        if order not in (b'little', b'big'):
            _refuse('it says no byte order')

        def load(key: str, kind: torch.dtype, nbytes: int, location: str) -> Any:
            member = archive.getinfo(f'{root}/data/{key}')
            if member.file_size != nbytes:
                _refuse(f'storage {key[:80]!r} has {member.file_size} bytes, not {nbytes}')
            with archive.open(member) as stream:
                return _place(_fill(stream, kind, nbytes, order.decode()), location, map_location)

        return _interpret(io.BytesIO(archive.read(f'{root}/data.pkl')), load)


def _check_members(members: list[zipfile.ZipInfo], size: int) -> str:
    """The folder of the members; compressed or overlapping ones hold a million times the file."""
    names = [member.filename for member in members]
    root = names[0].split('/')[0] if names else ''
    if f'{root}/constants.pkl' in names:
        _refuse('it is a TorchScript archive')
    for name, member in zip(names, members, strict=True):
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            _refuse(f'its member {name[:80]!r} is compressed')
        if not name.startswith(f'{root}/') or {'', '.', '..'} & set(name.split('/')):
            _refuse(f'its member {name[:80]!r} is not a file in its folder')
    if len(set(names)) < len(names):
        _refuse('it has two members of one name')
    if sum(member.file_size for member in members) > size:
        _refuse('its members claim more bytes than the file has')
    return root


def _read_legacy(file: IO[bytes], map_location: Any) -> Any:
    """The format of torch before 1.6: five pickles, then the storages one by one."""
    left = file.seek(0, io.SEEK_END)
    file.seek(0)
    if (_interpret(file), _interpret(file)) != _LEGACY:
        _refuse('it begins with another pickle than a checkpoint')
    order: Literal['little', 'big'] = 'little' if _interpret(file)['little_endian'] else 'big'
    begin = file.tell()
    claimed: dict[str, tuple[torch.dtype, int, str]] = {}

    def claim(key: str, kind: torch.dtype, nbytes: int, location: str) -> Any:
        nonlocal left
        left -= nbytes
        if left < 0:
            _refuse('its storages claim more bytes than the file has')
        claimed[key] = kind, nbytes, location
        return torch.UntypedStorage(nbytes, device='meta')

    _interpret(file, claim)  # the tensors, which come before their storages
    keys = _interpret(file)
    if not isinstance(keys, list) or sorted(keys) != sorted(claimed):
        _refuse('its storages are not those of its tensors')
    filled = {}
    for key in keys:
        kind, nbytes, location = claimed[key]
        if int.from_bytes(file.read(8), order) * kind.itemsize != nbytes:
            _refuse(f'storage {key[:80]!r} has another size than its tensors say')
        filled[key] = _place(_fill(file, kind, nbytes, order), location, map_location)
    file.seek(begin)
    return _interpret(file, lambda key, *_: filled[key])


def _fill(stream: IO[bytes], kind: torch.dtype, nbytes: int, order: str) -> torch.UntypedStorage:
    storage = torch.UntypedStorage(nbytes)
    memory = torch.empty(0, dtype=torch.uint8).set_(storage).numpy().data
    done = 0
    while done < nbytes:
        if not (count := stream.readinto(memory[done : done + 2**20])):  # type: ignore[attr-defined]
            _refuse('it ends within a storage')
        done += count
    if order != sys.byteorder:
        storage.byteswap(kind)
    return storage


def _place(storage: torch.UntypedStorage, location: str, wanted: Any) -> Any:
    if callable(wanted):
        placed = wanted(storage, location)
        return default_restore_location(storage, location) if placed is None else placed
    if isinstance(wanted, Mapping):
        wanted = wanted.get(location, location)
    return default_restore_location(storage, location if wanted is None else str(wanted))


# The pickle: the steps that torch's loader knows, and no others.
_PUSH = {'BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE'}
_EMPTY = dict(EMPTY_TUPLE=tuple, EMPTY_LIST=list, EMPTY_DICT=dict, EMPTY_SET=set)
_FIXED = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_TAKE = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3, 'APPEND': 1, 'SETITEM': 2}


def _interpret(file: IO[bytes], load: _Load | None = None) -> Any:
    """Run the pickle that begins at a file's position, up to its end."""
    stack: list[Any] = []
    below: list[list[Any]] = []  # what is under each mark
    memo: dict[int, Any] = {}
    loaded: dict[str, Any] = {}
    given: Any
    for count, (step, given, _) in enumerate(pickletools.genops(file)):
        name = step.name
        if count > _MOST_STEPS:
            _refuse(f'its pickle has more than {_MOST_STEPS} steps')
        if name in ('BINPUT', 'LONG_BINPUT'):
            memo[given] = stack[-1]
        elif name in ('BINGET', 'LONG_BINGET'):
            stack.append(memo[given])
        elif name in _PUSH or name.endswith('BINSTRING'):
            stack.append(given)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _FIXED:
            stack.append(_FIXED[name])
        elif name == 'MARK':
            below.append(stack)
            stack = []
        elif name in ('TUPLE', 'APPENDS', 'SETITEMS'):
            items, stack = stack, below.pop()
            _collect(stack, name, items)
        elif name in _TAKE:
            items = [stack.pop() for _ in range(_TAKE[name])]
            _collect(stack, name, items[::-1])
        elif name == 'GLOBAL':
            stack.append(_find(given))
        elif name in ('REDUCE', 'NEWOBJ'):
            arguments = stack.pop()
            stack[-1] = _call(stack[-1], arguments)
        elif name == 'BUILD':
            state = stack.pop()
            _set_state(stack[-1], state)
        elif name == 'BINPERSID':
            stack[-1] = _find_storage(stack[-1], load, loaded)
        elif name not in ('PROTO', 'STOP'):
            _refuse(f'its pickle has a step {name}')
    return stack.pop()


def _collect(stack: list[Any], step: str, items: list[Any]) -> None:
    if step.startswith('TUPLE'):
        stack.append(tuple(items))
    elif step.startswith('APPEND') and type(stack[-1]) is list:
        stack[-1].extend(items)
    elif step.startswith('SETITEM') and type(stack[-1]) in (dict, OrderedDict, Counter):
        for key, value in zip(items[::2], items[1::2], strict=True):
            stack[-1][_key(key)] = value
    else:
        _refuse(f'its pickle has a step {step} for a {type(stack[-1]).__name__}')


def _key(value: Any) -> Any:
    """``value`` if it may be a key: others hash deeply, or many alike."""
    parts = value if type(value) is tuple and len(value) <= 8 else [value]
    for part in parts:
        is_huge = type(part) is int and abs(part) >= 2**60
        if is_huge or type(part) not in (str, bytes, bool, float, int, type(None)):
            _refuse(f'it has a key of type {type(part).__name__}')
    return value


def _find(given: str) -> Any:
    """What a name in a file stands for: one of ours, a dtype or the like, or an error."""
    path = given.replace(' ', '.', 1).replace('__builtin__.', 'builtins.')
    module, _, name = path.rpartition('.')
    # Not getattr, for which torch imports what it has not imported yet.
    value = vars(torch).get(name) if module == 'torch' else None
    if path in _BUILDERS:
        return _Name(path, _BUILDERS[path])
    if name.endswith('Storage') and module in ('torch', 'torch.cuda', 'torch.storage'):
        return _Stored(torch.uint8 if name == 'UntypedStorage' else StorageType(name).dtype)
    if not isinstance(value, torch.dtype | torch.qscheme):
        _refuse(f'GLOBAL {show_name(path)}')
    return value


def _find_storage(identity: Any, load: _Load | None, loaded: dict[str, Any]) -> _Stored:
    word, kind, key, location, count, *view = identity
    if word != 'storage' or type(kind) is not _Stored or any(view) or load is None:
        _refuse('it refers to something else than a storage')
    if type(key) is not str or type(location) is not str or not _is_size(count):
        _refuse('it has a storage without key, device and size')
    if key not in loaded:
        loaded[key] = load(key, kind.dtype, count * kind.dtype.itemsize, location)
    return _Stored(kind.dtype, loaded[key])


def _is_size(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def _call(name: Any, arguments: Any) -> Any:
    if type(name) is not _Name or type(arguments) is not tuple:
        _refuse('it calls something that is not a function')
    return name.build(*arguments)


def _set_state(value: Any, state: Any) -> None:
    if type(value) is HistoryBuffer:
        _restore_history(value, state)
    elif type(value) is np.ndarray:
        _restore_array(value, state)
    elif isinstance(value, np.dtype):
        orders = '|' if value.itemsize == 1 else '<>'
        if state not in [(3, order, None, None, None, -1, -1, 0) for order in orders]:
            _refuse('it has a numpy dtype that is not a plain number')
        value.__setstate__(state)  # type: ignore[attr-defined]
    elif type(value) is OrderedDict and type(state) is dict and set(state) == {'_metadata'}:
        # Versions of a state dict's modules; torch reads them when it is loaded.
        metadata, plain = state['_metadata'], {int, bool, str, type(None)}
        entries = metadata.values() if type(metadata) in (dict, OrderedDict) else [None]
        if not all(type(e) is dict and {*map(type, e.values())} <= plain for e in entries):
            _refuse('it has a state dict with _metadata that is not versions')
        vars(value).update(state)
    else:
        _refuse(f'it sets attributes of a {type(value).__name__}')


def _weigh(value: Any, place: str, level: int, weighed: dict[int, int]) -> int:
    """Nodes of a value, those behind several names counted at each; all must be data."""
    if isinstance(value, _Name):
        _refuse(f'GLOBAL {value.path}')
    if isinstance(value, _Odd | _Stored):
        kind = f'{value} tensor' if isinstance(value, _Odd) else 'bare storage'
        _refuse(f'entry {place or "itself"} is a {kind}, expected a dense tensor')
    if type(value) is HistoryBuffer and not vars(value):
        _refuse(f'entry {place or "itself"} is an unfinished HistoryBuffer')
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if level > _MOST_LEVELS:
        _refuse(f'it is nested more than {_MOST_LEVELS} levels deep')
    if id(value) not in weighed:
        prefix = f'{place}.' if place else ''
        items = value.items() if isinstance(value, dict) else enumerate(value)
        counts = (_weigh(v, prefix + show_name(k), level + 1, weighed) for k, v in items)
        weighed[id(value)] = 1 + sum(counts)
        if weighed[id(value)] > _MOST_STEPS:
            _refuse(f'it unfolds to more than {_MOST_STEPS} entries')
    return weighed[id(value)]


def _tensor(stored: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Any:
    requires_grad, hooks, dtype, metadata = (*more, None, None, None, None)[:4]
    if type(stored) is not _Stored or stored.storage is None:
        _refuse('it has a tensor without a storage')
    dtype, storage = stored.dtype if dtype is None else dtype, stored.storage
    if not isinstance(dtype, torch.dtype):
        _refuse('it has a tensor of no type')
    if str(dtype).startswith('torch.q'):
        return _Odd('quantised')
    if len(size) != len(stride) or len(size) > 64 or not _is_size(offset, *size, *stride):
        _refuse('it has a tensor with impossible sizes')
    if hooks or metadata:
        _refuse('it has a tensor with hooks or marks')
    reach = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    end = (offset + (reach if prod(size) else 0)) * dtype.itemsize
    if max(end, prod(size) * dtype.itemsize - _MOST_EXPANDED) > storage.nbytes():
        _refuse(f'it has a tensor of size {list(size)} in a storage of {storage.nbytes()} bytes')
    tensor = torch.empty(0, dtype=dtype, device=storage.device)
    tensor.set_(storage, offset, size, stride)
    return tensor.requires_grad_() if requires_grad is True else tensor


def _parameter(data: Any, requires_grad: Any, hooks: Any, _attributes: Any = None) -> Any:
    if isinstance(data, _Odd):
        return data
    if not isinstance(data, Tensor) or hooks:
        _refuse('it has a parameter without a tensor')
    return nn.Parameter(data, requires_grad is True)


def _no_call(*_: Any) -> NoReturn:
    _refuse('it calls a class')


def _bytes(text: Any = b'', encoding: Any = 'latin1') -> bytes:
    if type(text) is not str or encoding not in ('latin1', 'latin-1'):
        return text if type(text) is bytes else _refuse('it has bytes that are not latin1')
    return text.encode('latin1')


def _number_type(code: Any, *_: Any) -> np.dtype:
    if type(code) is not str or not re.fullmatch(r'[<>|=]?(b1|[iu][1248]|f[248]|c(8|16))', code):
        _refuse('it has a numpy dtype other than that of a number')
    return np.dtype(code, copy=True)


def _number(kind: Any, raw: Any) -> Any:
    if not isinstance(kind, np.dtype) or len(_bytes(raw)) != kind.itemsize:
        _refuse('it has a numpy number of another size than its dtype')
    return np.frombuffer(_bytes(raw), kind)[0]


def _array(kind: Any, shape: Any, _code: Any) -> np.ndarray:
    if type(kind) is not _Name or kind.path != 'numpy.ndarray' or shape != (0,):
        _refuse('it has an array of an unknown class')
    return np.empty(0, np.int8)


def _restore_array(array: np.ndarray, state: Any) -> None:
    version, shape, kind, fortran, raw = state
    if version != 1 or type(shape) is not tuple or not _is_size(*shape) or len(shape) > 32:
        _refuse('it has a numpy array with an impossible shape')
    if not isinstance(kind, np.dtype) or prod(shape) * kind.itemsize != len(_bytes(raw)):
        _refuse(f'it has a numpy array of shape {list(shape)} in other bytes')
    array.__setstate__((1, shape, kind, fortran is True, _bytes(raw)))  # type: ignore[arg-type]


_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
_STATISTICS = {n: getattr(HistoryBuffer, n) for n in ('min', 'max', 'current', 'mean')}


def _history_method(owner: Any, name: Any) -> Any:
    """MMEngine saves a buffer's own statistics as ``getattr(HistoryBuffer, 'min')``."""
    if type(owner) is not _Name or owner.path != _HISTORY or type(name) is not str:
        _refuse('GLOBAL getattr of something else than a HistoryBuffer')
    return _STATISTICS.get(name) or _refuse('GLOBAL getattr of a HistoryBuffer')


def _restore_history(buffer: HistoryBuffer, state: Any) -> None:
    wanted = ('_log_history', '_count_history', 'max_length')
    if type(state) is not dict or {*state, 'statistics_methods'} != {*wanted, 'statistics_methods'}:
        _refuse('it has a HistoryBuffer with other attributes than its own')
    log, counts, longest = (state[name] for name in wanted)
    is_numbers = type(log) is type(counts) is np.ndarray and log.ndim == 1
    if not is_numbers or log.shape != counts.shape or not _is_size(longest):
        _refuse('it has a HistoryBuffer without histories of one length')
    methods = state.get('statistics_methods', {})
    if type(methods) is not dict or any(_STATISTICS.get(k) is not v for k, v in methods.items()):
        _refuse('it has a HistoryBuffer with other statistics than its own')
    buffer.__setstate__(dict(state))


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    """Empty, but for files from Python 2, which name the entries at once."""
    return OrderedDict((_key(key), value) for key, value in (pairs and _each(pairs, list)))


def _each(value: Any, kind: type) -> Any:
    """``value`` if it is of exactly that type, so that to walk it is harmless."""
    return value if type(value) is kind else _refuse(f'it has no {kind.__name__} where one belongs')


_BUILDERS: dict[str, Callable[..., Any]] = {
    'collections.OrderedDict': _ordered,
    'collections.Counter': lambda counts: Counter(_each(counts, dict)),
    'builtins.set': lambda items: set(map(_key, _each(items, list))),
    'builtins.bytes': _bytes,
    'builtins.bytearray': lambda *text: bytearray(_bytes(*text)),
    'builtins.complex': lambda real, imag: complex(_each(real, float), _each(imag, float)),
    'builtins.getattr': _history_method,
    '_codecs.encode': _bytes,
    'torch.Size': lambda sizes: torch.Size(_each(sizes, tuple)),
    'torch.device': lambda *place: torch.device(*place),
    'torch.Tensor': _no_call,
    'torch.nn.parameter.Parameter': _no_call,
    'torch.serialization._get_layout': lambda name: _each(name, str),
    'torch._tensor._rebuild_from_type_v2': lambda build, _kind, given, _: _call(build, given),
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': lambda *given: _tensor(*given[:6], None, *given[6:]),
    'torch._utils._rebuild_tensor_v3': _tensor,
    'torch._utils._rebuild_parameter': _parameter,
    'torch._utils._rebuild_parameter_with_state': _parameter,
    'torch._utils._rebuild_sparse_tensor': lambda *_: _Odd('sparse'),
    'torch._utils._rebuild_qtensor': lambda *_: _Odd('quantised'),
    'torch._utils._rebuild_nested_tensor': lambda *_: _Odd('nested'),
    'torch._utils._rebuild_meta_tensor_no_storage': lambda *_: _Odd('meta'),
    'torch._utils._rebuild_wrapper_subclass': lambda *_: _Odd('wrapped'),
    _HISTORY: lambda *none: _no_call() if none else HistoryBuffer.__new__(HistoryBuffer),
    'numpy.ndarray': _no_call,
    'numpy.dtype': _number_type,
    # The module's name before and since numpy 2: a file may come from either.
    **{f'numpy.{core}.multiarray._reconstruct': _array for core in ('core', '_core')},
    **{f'numpy.{core}.multiarray.scalar': _number for core in ('core', '_core')},
}
