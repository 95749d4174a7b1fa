"""Files made to do harm: each is one line, nothing runs, nothing large is made room for."""

import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from sci_plugins.errors import CheckpointError
from sci_plugins.utils import torch_file
from sci_plugins.utils.checkpoint import read_checkpoint
from tests.fork_server import run_python

#: Reads every file of a folder with 1 GiB of room and a minute of computing, and says what came
#: of each.
READ_ALL = """
import json, resource, sys
from pathlib import Path
from sci_plugins.errors import CheckpointError
from sci_plugins.utils.checkpoint import read_checkpoint
used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, -1))
resource.setrlimit(resource.RLIMIT_CPU, (60, -1))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_checkpoint(path)
        end = 'loaded'
    except CheckpointError as error:
        end = str(error)
    except BaseException as error:
        end = f'raised {type(error).__name__}: {error}'
    print(json.dumps([path.name, end]), flush=True)
"""


# A pickle, written step by step.


class Name(str):
    """A global: ``module.name``."""


class Raw(bytes):
    """Steps as they are."""


FLOATS = Name('torch.FloatStorage')


class Call(NamedTuple):
    name: str
    arguments: Any = ()
    step: bytes = b'R'


class State(NamedTuple):
    value: Any
    state: Any


def _encode(value: Any) -> bytes:
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Name):
        module, _, name = value.rpartition('.')
        return f'c{module}\n{name}\n'.encode()
    if isinstance(value, Call):
        return _encode(Name(value.name)) + _encode(value.arguments) + value.step
    if isinstance(value, State):
        return _encode(value.value) + _encode(value.state) + b'b'
    if value is None or isinstance(value, bool):
        return {None: b'N', True: b'\x88', False: b'\x89'}[value]
    if isinstance(value, int):
        raw = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
        return b'\x8a' + bytes([len(raw)]) + raw
    if isinstance(value, float):
        return b'G' + struct.pack('>d', value)
    if isinstance(value, str):
        raw = value.encode()
        return b'X' + struct.pack('<I', len(raw)) + raw
    if isinstance(value, bytes):
        return _encode(Call('_codecs.encode', (value.decode('latin1'), 'latin1')))
    items = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
    begin, end = {tuple: (b'(', b't'), list: (b'](', b'e'), dict: (b'}(', b'u')}[type(value)]
    return begin + b''.join(map(_encode, items)) + end


def _pickled(value: Any) -> bytes:
    return b'\x80\x02' + _encode(value) + b'.'


def _zipped(pickled: bytes, compress: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', compress) as archive:
        for name, content in {
            'data.pkl': pickled,
            'version': b'3\n',
            'data/0': bytes(16),
            **members,
        }.items():
            archive.writestr(f'a/{name}', content)
    return buffer.getvalue()


def _older(pickled: bytes, keys: Any = None, storages: bytes = b'') -> bytes:
    """The format of torch before 1.6, with a storage of 4 floats where one is used."""
    if keys is None:
        keys = ['0'] if b'Storage' in pickled else []
    start = (0x1950A86A20F9469CFC6C, 1001, dict(little_endian=True))
    stored = storages or struct.pack('<q', 4) + bytes(16)
    return b''.join(map(_pickled, start)) + pickled + _pickled(list(keys)) + stored


def _stored(kind: Any = FLOATS, key: Any = '0', place: Any = 'cpu', count: Any = 4) -> Raw:
    return Raw(_encode(('storage', kind, key, place, count)) + b'Q')


def _tensor(
    size: Any = (4,), stride: Any = (1,), offset: Any = 0, stored: Any = None, hooks: Any = None
) -> Call:
    stored = _stored() if stored is None else stored
    given = (stored, offset, size, stride, False, hooks or Call('collections.OrderedDict'))
    return Call('torch._utils._rebuild_tensor_v2', given)


# What is tried. `marker` is a file that code would make.


def _calls(marker: Path) -> dict[str, Call]:
    """Functions that run code, reach for files, or import what the file names."""
    code = f'open({str(marker)!r}, "w")'
    return {
        'system': Call('os.system', (f'touch {marker}',)),
        'posix': Call('posix.system', (f'touch {marker}',)),
        'popen': Call('subprocess.Popen', (['touch', str(marker)],)),
        'output': Call('subprocess.check_output', (['touch', str(marker)],)),
        'eval': Call('builtins.eval', (code,)),
        'exec': Call('__builtin__.exec', (code,)),
        'open': Call('io.open', (str(marker), 'w')),
        'import': Call('importlib.import_module', ('antigravity',)),
        'reduce': Call('functools.partial', (Name('os.system'), f'touch {marker}')),
        'pty': Call('pty.spawn', (['touch', str(marker)],)),
        'run_path': Call('runpy.run_path', (str(marker),)),
        'numpy save': Call('numpy.save', (str(marker), 1)),
        'memmap': Call('numpy.memmap', (str(marker), 'uint8', 'w+', 0, (10,))),
        'torch save': Call('torch.serialization.save', (1, str(marker))),
        'torch load': Call('torch.serialization.load', (str(marker),)),
        'torch hub': Call('torch.hub.load', (str(marker), 'x')),
        'lazy import': Call('torch._dynamo', ()),
        'mmengine dump': Call('mmengine.fileio.io.dump', (1, str(marker))),
        'config': Call('mmengine.config.config.Config.fromfile', (str(marker),)),
        'pickle': Call('_pickle.loads', (_pickled(Call('os.system', (f'touch {marker}',))),)),
        'ours': Call('sci_plugins.utils.checkpoint.read_checkpoint', (str(marker),)),
        'module': Call('torch.nn.modules.linear.Linear', (10, 10)),
        'path': Call('pathlib.PosixPath', ('x',)),
    }


F8 = State(Call('numpy.dtype', ('f8', False, True)), (3, '<', None, None, None, -1, -1, 0))
EMPTY_ARRAY = Call('numpy._core.multiarray._reconstruct', (Name('numpy.ndarray'), (0,), b'b'))
HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
NEW_HISTORY = Call(HISTORY, (), b'\x81')


def _array(shape: Any, raw: Any, kind: Any = F8, version: Any = 1) -> State:
    return State(EMPTY_ARRAY, (version, shape, kind, False, raw))


def _objects() -> dict[str, Any]:
    """Classes and functions that checkpoints do need, given other arguments."""
    numbers = _array((1,), bytes(8))
    log = dict(max_length=9, _log_history=numbers, _count_history=numbers)
    deep = Raw(b')' + b'\x85' * 100_000)  # hashed or compared, it overflows the C stack
    kinds = 'O V8 U5 S9 f16 g M8[s] m8 1000000000f8 S1000000000 f8,f8 (2,)f8 {}'
    codecs = 'zlib bz2 hex base64 idna punycode rot13 unicode_escape utf-8 utf-16 raw_unicode'
    core = 'numpy.core.multiarray.'
    return {
        'array called': Call('numpy.ndarray', ((1,), F8, bytes(8))),
        'array of pointers': Call('numpy.ndarray', ((1,), Call('numpy.dtype', ('O',)), bytes(8))),
        'array called plainly': Call('numpy.ndarray', ((10**9,),)),
        'array new': Call('numpy.ndarray', ((1,),), b'\x81'),
        **{f'dtype {kind}': Call('numpy.dtype', (kind, False, True)) for kind in kinds.split()},
        'dtype of two lines': Call('numpy.dtype', ('f8\n', False, True)),
        'dtype list': Call('numpy.dtype', ([('a', 'f8')],)),
        'dtype deep': Call('numpy.dtype', (deep,)),
        'dtype flags': State(F8, (3, '<', None, None, None, -1, -1, 63)),
        'dtype size': State(F8, (3, '<', None, None, None, 10**9, 1, 0)),
        'dtype parts': State(F8, (3, '<', (F8, (10**9,)), None, None, -1, -1, 0)),
        'dtype fields': State(F8, (3, '<', None, ('a',), {'a': (F8, 0)}, 8, 1, 16)),
        'dtype order': State(F8, (3, '|', None, None, None, -1, -1, 0)),
        'dtype short': State(F8, (3,)),
        'new array of size': Call(f'{core}_reconstruct', (Name('numpy.ndarray'), (10**10,), b'b')),
        'new array of objects': Call(f'{core}_reconstruct', (Name('numpy.ndarray'), (9,), b'O')),
        'new array of class': Call(f'{core}_reconstruct', (Name('torch.Tensor'), (0,), b'b')),
        'array of objects': _array((1,), [1], Call('numpy.dtype', ('O8', False, True))),
        'array of list': _array((1,), [1]),
        'array too large': _array((10**9,), bytes(8)),
        'array too small': _array((1,), bytes(80)),
        'array negative': _array((-1,), bytes(8)),
        'array negative twice': _array((-1, -1), bytes(8)),
        'array overflow': _array((2**62, 4), b''),
        'array of many': _array((1,) * 40, bytes(8)),
        'array bool': _array((True,), bytes(8)),
        'array no dtype': _array((1,), bytes(8), 'f8'),
        'array version': _array((1,), bytes(8), version=0),
        'array text': _array((1,), '\u20ac' * 8),
        'number short': Call(f'{core}scalar', (F8, bytes(4))),
        'number of object': Call(f'{core}scalar', (Call('numpy.dtype', ('O',)), bytes(8))),
        'number no dtype': Call(f'{core}scalar', ('f8', bytes(8))),
        'frombuffer': Call('numpy._core.numeric._frombuffer', (bytes(8), F8, (10**9,), 'C')),
        **{f'codec {name}': Call('_codecs.encode', ('x' * 9, name)) for name in codecs.split()},
        'codec of int': Call('_codecs.encode', (10**9, 'latin1')),
        'codec not latin': Call('_codecs.encode', ('\u20ac', 'latin1')),
        'getattr init': Call('builtins.getattr', (Name(HISTORY), '__init__')),
        'getattr class': Call('__builtin__.getattr', (Name(HISTORY), '__class__')),
        'getattr tensor': Call('builtins.getattr', (Name('torch.Tensor'), 'min')),
        'getattr text': Call('builtins.getattr', ('text', 'format')),
        'getattr deep': Call('builtins.getattr', (Name(HISTORY), deep)),
        'history called': Call(HISTORY, ([1], [1], 5)),
        'history new': Call(HISTORY, (1,), b'\x81'),
        'history empty': NEW_HISTORY,
        'history method': State(NEW_HISTORY, dict(log, mean=1)),
        'history statistics': State(NEW_HISTORY, dict(log, statistics_methods=dict(mean=1))),
        'history length': State(NEW_HISTORY, dict(log, max_length='x')),
        'history list': State(NEW_HISTORY, dict(log, _log_history=[1])),
        'history uneven': State(NEW_HISTORY, dict(log, _log_history=_array((2,), bytes(16)))),
        'history state': State(NEW_HISTORY, 5),
        'bytearray': Call('builtins.bytearray', (10**10,)),
        'bytes': Call('builtins.bytes', (10**10,)),
        'set': Call('builtins.set', (10**9,)),
        'set deep': Call('builtins.set', ([deep],)),
        'counter': Call('collections.Counter', (10**9,)),
        'counter text': Call('collections.Counter', ('abc',)),
        'size': Call('torch.Size', (10**9,)),
        'size of text': Call('torch.Size', (('a',),)),
        'complex text': Call('builtins.complex', ('1' * 10**5,)),
        'ordered': Call('collections.OrderedDict', ([5],)),
        'ordered deep': Call('collections.OrderedDict', ([(deep, 1)],)),
        'ordered of a number': Call('collections.OrderedDict', (10**9,)),
        'device': Call('torch.device', ('cpu\nno such',)),
        'tensor class': Call('torch.Tensor', (10**10,)),
        'tensor new': Call('torch.Tensor', (10**10,), b'\x81'),
        'float tensor': Call('torch.FloatTensor', (10**10,)),
        'float storage': Call('torch.FloatStorage', (10**10,)),
        'untyped storage': Call('torch.storage.UntypedStorage', (10**10,)),
        'parameter': Call('torch.nn.parameter.Parameter', (1,)),
        'parameter new': Call('torch.nn.parameter.Parameter', (1,), b'\x81'),
        'parameter of int': Call('torch._utils._rebuild_parameter', (5, True, None)),
        'class by itself': Name('collections.OrderedDict'),
        'state of a name': State(Name('numpy.dtype'), (None, dict(build=1))),
        'state of a tensor': State(_tensor(), (5,)),
        'state of text': State('x', dict(upper=1)),
        'state of dict': State(Call('collections.OrderedDict'), dict(items=5)),
        'metadata': State(Call('collections.OrderedDict'), dict(_metadata=5)),
        'metadata values': State(Call('collections.OrderedDict'), dict(_metadata=dict(a=5))),
        'call of text': Raw(_encode('x') + b')R'),
        'call of call': Raw(_encode(Call('torch.Size', ((1,),))) + b')R'),
        'call without tuple': Raw(_encode(Name('torch.Size')) + b']R'),
        'new name': Call('nothing.\x1b[2J\x07', ()),
        'long name': Call('nothing.' + 'x' * 10**6, ()),
    }


def _tensors() -> dict[str, Any]:
    """Tensors and storages that are not there."""
    hook = Raw(_encode(Call('collections.OrderedDict')) + _encode(1) + _encode(2) + b's')
    rebuild = 'torch._utils._rebuild_'
    return {
        'size': _tensor((5,)),
        'huge size': _tensor((10**10,)),
        'huge sizes': _tensor((2**62, 4), (4, 1)),
        'many sizes': _tensor((1,) * 70, (1,) * 70),
        'expanded': _tensor((10**12,), (0,)),
        'stride': _tensor((4,), (2**40,)),
        'negative stride': _tensor((4,), (-1,)),
        'negative size': _tensor((-4,)),
        'negative sizes': _tensor((-2, -2), (1, 1)),
        'offset': _tensor((4,), (1,), 1),
        'huge offset': _tensor((1,), (1,), 2**62),
        'offset of none': _tensor((0,), (1,), 2**40),
        'negative offset': _tensor((1,), (1,), -1),
        'uneven': _tensor((2, 2), (1,)),
        'float size': _tensor((4.0,)),
        'bool size': _tensor((True,)),
        'no size': _tensor(None, None),
        'text size': _tensor('ab', 'ab'),
        'hooks': _tensor(hooks=hook),
        'no storage': _tensor(stored=5),
        'type as storage': _tensor(stored=FLOATS),
        'bare storage': _stored(),
        'longer storage': _tensor(stored=_stored(count=2**20)),
        'huge storage': _tensor(stored=_stored(count=2**40)),
        'shorter storage': _tensor((1,), stored=_stored(count=1)),
        'wider storage': _tensor(stored=_stored(kind=Name('torch.DoubleStorage'))),
        'negative storage': _tensor(stored=_stored(count=-4)),
        'float storage': _tensor(stored=_stored(count=4.0)),
        'missing storage': _tensor(stored=_stored(key='7')),
        'member above': _tensor(stored=_stored(key='../data.pkl')),
        'key of a number': _tensor(stored=_stored(key=0)),
        'place of a list': _tensor(stored=_stored(place=[])),
        'storage of no type': _tensor(stored=_stored(kind=5)),
        'storage of a function': _tensor(stored=_stored(kind=Name('torch.Size'))),
        'unknown storage': _tensor(stored=_stored(kind=Name('torch.EvilStorage'))),
        'a view': Raw(_encode(('storage', FLOATS, '0', 'cpu', 4, 5)) + b'Q'),
        'a module': Raw(_encode(('module', Name('torch.Size'), 'x.py', 'x', 1)) + b'Q'),
        'identity of text': Raw(_encode('storage') + b'Q'),
        'identity in text': Raw(b'Pstorage\n'),
        'another dtype': Call(
            f'{rebuild}tensor_v3', (_stored(), 0, (4,), (1,), False, None, Name('torch.float64'))
        ),
        'no dtype': Call(f'{rebuild}tensor_v3', (_stored(), 0, (4,), (1,), False, None, F8)),
        'too few': Call(f'{rebuild}tensor_v2', (_stored(),)),
        'of a class': Call(
            'torch._tensor._rebuild_from_type_v2', (Name('torch.Size'), Name('torch.Tensor'), 5, {})
        ),
        'nested in nothing': Call(f'{rebuild}nested_tensor', (_tensor(), 1, 2, 3)),
        'wrapped': Call(f'{rebuild}wrapper_subclass', (1, 2, 3)),
        'sparse by name': Call(f'{rebuild}sparse_tensor', (1, 2)),
    }


def _shapes() -> dict[str, bytes]:
    """Pickles that are wrong, deep, endless or large."""
    twice = b''.join(b']q%c(h%ch%ce' % (n, n - 1, n - 1) for n in range(1, 60))
    deep = b')' + b'\x85' * 100_000
    texts = {
        'dict deep': b'}' + deep + b'Ns.',
        'list deep': b']' * 100_000 + b'a' * 99_999 + b'.',
        'dict huge key': b'}\x8a\x10' + bytes(15) + b'\x01Ns.',
        'dict list key': b'}]Ns.',
        'dict odd': b'}(Nu.',
        'loop': b']q\x00h\x00a.',
        'laughs': b']q\x00' + twice + b'.',
        'entries for a list': b']NNs.',
        'items for a tuple': b')Na.',
        'below': b'\x86.',
        'no mark': b't.',
        'marks': b'(((.',
        'no memo': b'h\x05.',
        'memo of nothing': b'q\x05.',
        'nothing': b'.',
        'empty': b'',
        'no end': b'N',
        'reduce of nothing': b'R.',
        'protocol 4': b'\x95' + struct.pack('<Q', 2**40) + b'N.',
        'extension': b'\x82\x01.',
        'instance': b'(ios\nsystem\n.',
        'object': b'(cos\nsystem\no.',
        'stack global': _encode('os') + _encode('system') + b'\x93.',
        'long text': b'X\xff\xff\xff\xffabc.',
        'longer text': b'\x8d' + struct.pack('<Q', 2**62) + b'abc.',
        'longer bytes': b'\x8e' + struct.pack('<Q', 2**62) + b'abc.',
        'byte array': b'\x96' + struct.pack('<Q', 2**40) + b'abc.',
        'long number': b'\x8b' + struct.pack('<i', 2**30) + b'abc.',
        'decimal number': b'L' + b'9' * 10**5 + b'L\n.',
        'string': b"S'a'\n.",
        'broken text': b'X\x02\x00\x00\x00\xff\xff.',
        'memo far': b'Nr\xff\xff\xff\xff0.',
        'unknown step': b'\xf0.',
        'duplicate': b'N2.',
    }
    return {name: b'\x80\x02' + text for name, text in texts.items()}


def _archives() -> dict[str, bytes]:
    """Zip files that are bombs, of two minds, or no checkpoints."""
    plain = _pickled({'a': _tensor()})
    good = _zipped(plain)
    directory = good.index(b'PK\1\2')
    bomb = _zipped(_pickled({'a': 'x' * 2**24}), zipfile.ZIP_DEFLATED)
    return {
        'deflated bomb': bomb,
        'deflated storage': _zipped(plain, zipfile.ZIP_DEFLATED),
        'bzip2': _zipped(plain, zipfile.ZIP_BZIP2),
        'claims stored': bomb.replace(
            b'PK\1\2\x14\x03\x14\0\0\0\x08', b'PK\1\2\x14\x03\x14\0\0\0\0'
        ),
        'two of a name': _zipped(plain, **{'data/1': b'x'}).replace(b'data/1', b'data/0'),
        'two minds': good[:directory] + good[directory:].replace(b'a/data/0', b'a/data/1'),
        'above': _zipped(plain, **{'../../x': b'x'}),
        'absolute': _zipped(plain).replace(b'a/data/0', b'/data/00'),
        'outside': _zipped(plain).replace(b'a/data/0', b'b/data/0'),
        'encrypted': good.replace(b'PK\1\2\x14\x03\x14\0\0\0', b'PK\1\2\x14\x03\x14\0\1\0'),
        'bad sum': good.replace(bytes(16), b'\1' + bytes(15), 1),
        'no pickle': _zipped(plain).replace(b'data.pkl', b'data.pk_'),
        'nothing in it': b'PK\5\6' + bytes(18),
        'only its start': b'PK\3\4',
        'TorchScript': _zipped(plain, **{'constants.pkl': plain}),
        'byte order': _zipped(plain, byteorder=b'middle'),
        'larger than the file': good[:directory]
        + good[directory:].replace(struct.pack('<II', 16, 16), struct.pack('<II', 2**31, 2**31)),
        'far directory': good[:-6] + struct.pack('<IH', 2**31, 0),
        'long directory': good[:-10] + struct.pack('<IIH', 2**31, 0, 0),
        'another pickle': _zipped(_pickled(Call('os.system', ('true',)))),
    }


def _older_files() -> dict[str, bytes]:
    plain = _pickled({'a': _tensor(stored=_stored(count=4))})
    large = _pickled({'a': _tensor(stored=_stored(count=2**40))})
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode='w') as archive:
        for name in ('storages', 'tensors', 'pickle', '../escaped'):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    two = _pickled([_tensor(), _tensor(stored=_stored(key='1'))])
    return {
        'other number': _pickled(5) + _older(plain),
        'other version': _older(plain).replace(b'\x8a\x02\xe9\x03', b'\x8a\x02\xe8\x03'),
        'no system': _pickled(0x1950A86A20F9469CFC6C) + _pickled(1001) + _pickled([]) + plain,
        'large storage': _older(large, storages=struct.pack('<q', 2**40)),
        'other size': _older(plain, storages=struct.pack('<q', 5) + bytes(20)),
        'negative size': _older(plain, storages=struct.pack('<q', -1)),
        'cut': _older(plain, storages=struct.pack('<q', 4) + bytes(15)),
        'no keys': _older(plain, keys=()),
        'other keys': _older(plain, keys=('1',)),
        'a key twice': _older(plain, keys=('0', '0')),
        'a key too few': _older(two, keys=('0',)),
        'keys of a number': _older(plain, keys=(0,)),
        'tar': tar.getvalue(),
    }


def _other_files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    arrays = io.BytesIO()
    np.savez(arrays, a=np.zeros(3))
    return {
        'empty': b'',
        'text': b'hello\nworld\n',
        'page': b'<!DOCTYPE html><html><body>log in</body></html>',
        'pointer': b'version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n',
        'png': b'\x89PNG\r\n\x1a\n' + bytes(100),
        'program': b'\x7fELF' + bytes(100),
        'json': b'{"state_dict": {}}',
        'gzip': b'\x1f\x8b\x08' + bytes(50),
        'npz': arrays.getvalue(),
        'zeros': bytes(1000),
        'ones': b'\xff' * 1000,
        'python 2': b"(dp0\nS'a'\np1\nI1\ns.",
        **{f'noise {n}': rng.bytes(500) for n in range(5)},
        **{f'noisy pickle {n}': b'\x80\x02' + rng.bytes(500) for n in range(5)},
    }


def _odd_tensors() -> dict[str, Any]:
    eye = torch.eye(3)
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    affine = torch.quantize_per_tensor(eye, 0.1, 0, torch.qint8)
    channels = torch.quantize_per_channel(eye, torch.ones(3), torch.zeros(3), 0, torch.quint8)
    return dict(
        sparse=eye.to_sparse(),
        csr=eye.to_sparse_csr(),
        quantised=affine,
        channels=channels,
        nested=nested,
        meta=torch.empty(10**6, 10**6, device='meta'),
        parameter=torch.nn.Parameter(torch.empty(3, device='meta')),
        conjugate=torch.zeros(3, dtype=torch.complex64).conj(),
    )


def _hostile_files(marker: Path) -> Iterator[tuple[str, bytes]]:
    for kind, cases in (('call', _calls(marker)), ('object', _objects()), ('tensor', _tensors())):
        for name, case in cases.items():
            yield f'{kind}, {name}, zip', _zipped(_pickled({'a': case}))
            yield f'{kind}, {name}, older', _older(_pickled({'a': case}))
    for name, call in _calls(marker).items():
        yield f'call, {name}, alone', _pickled(call)
    for name, pickled in _shapes().items():
        yield f'shape, {name}, zip', _zipped(pickled)
        yield f'shape, {name}, older', _older(pickled, keys=())
    for cases in (_archives(), _older_files(), _other_files()):
        yield from cases.items()
    for name, tensor in _odd_tensors().items():
        buffer = io.BytesIO()
        torch.save(dict(state_dict={'layer.weight': tensor}), buffer)
        yield f'odd, {name}', buffer.getvalue()


def _read_in_a_process(folder: Path) -> dict[str, str]:
    """What comes of each file; a crash of the process, or a minute, fail the test."""
    run = run_python(['-c', READ_ALL, folder], timeout=600)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, (found[-1:], run.stderr[-2000:])
    return dict(found)


@pytest.mark.parametrize('make', [_zipped, _older])
def test_without_the_harm_such_a_file_loads(tmp_path: Path, make: Callable) -> None:
    """Else the next test would prove nothing."""
    path = tmp_path / 'good.pth'
    log = dict(
        max_length=9, _log_history=_array((1,), bytes(8)), _count_history=_array((1,), '1' * 8)
    )
    content = dict(a=_tensor(), log=State(NEW_HISTORY, log), size=Call('torch.Size', ((4, 1),)))
    path.write_bytes(make(_pickled(content)))
    found = read_checkpoint(path)
    assert torch.equal(found['a'], torch.zeros(4))
    assert found['log'].current() == 0
    assert found['size'] == (4, 1)


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='limits memory as Linux does')
@pytest.mark.filterwarnings('ignore')
def test_hostile_files_are_one_line(tmp_path: Path) -> None:
    marker, folder = tmp_path / 'marker', tmp_path / 'files'
    folder.mkdir()
    names = {}
    for number, (name, content) in enumerate(_hostile_files(marker)):
        (folder / f'{number:04}.pth').write_bytes(content)
        names[f'{number:04}.pth'] = name
    assert len(names) > 400
    ends = _read_in_a_process(folder)
    assert len(ends) == len(names)
    wrong = {
        names[key]: end
        for key, end in ends.items()
        if str(folder) not in end
        or end.startswith('raised')
        or len(end) > 500
        # Neither more lines than one nor what a terminal would obey.
        or not end.isprintable()
    }
    assert not wrong
    assert not marker.exists()


def _saved(older: bool) -> bytes:
    layer = torch.nn.Conv2d(2, 3, 3)
    content = dict(state_dict=layer.state_dict(), meta=dict(epoch=3, log=np.arange(3.0)))
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not older)
    return buffer.getvalue()


@pytest.mark.parametrize('older', [False, True])
def test_every_cut_is_noticed(tmp_path: Path, older: bool) -> None:
    data, path = _saved(older), tmp_path / 'cut.pth'
    for length in np.linspace(0, len(data) - 1, 80, dtype=int):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(path)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize('older', [False, True])
def test_flipped_bytes_are_our_error_or_harmless(tmp_path: Path, older: bool) -> None:
    data, path = _saved(older), tmp_path / 'flipped.pth'
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(150):
        flipped = bytearray(data)
        for place in rng.integers(0, len(data), 2):
            flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            assert str(error).isprintable()  # noqa: PT017
            refused += 1
    assert refused > 30


def test_a_long_or_bushy_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits lie at millions; here at 1000."""
    monkeypatch.setattr(torch_file, '_MOST_STEPS', 1000)
    path = tmp_path / 'a.pth'
    shared = ['x'] * 50
    for content, cause in (([0] * 2000, 'steps'), ([shared] * 50, 'unfolds')):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=f'more than 1000 {cause}|to more than 1000'):
            read_checkpoint(path)
    torch.save([shared] * 10, path)
    assert read_checkpoint(path) == [shared] * 10


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.pth')
    (tmp_path / 'folder.pth').mkdir()
    for name, kind in (('pipe.pth', 'named pipe'), ('folder.pth', 'folder')):
        with pytest.raises(CheckpointError, match=f'expected a regular file, got a {kind}'):
            read_checkpoint(tmp_path / name)


def test_an_odd_tensor_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'odd.pth'
    torch.save(dict(state_dict={'a.weight': torch.eye(3).to_sparse()}), path)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value) == (
        f'cannot load {path}: entry state_dict.a.weight is a sparse tensor, expected a dense tensor'
    )
