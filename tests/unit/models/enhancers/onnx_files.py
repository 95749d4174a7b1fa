"""Tiny ONNX files, written byte by byte: no package that exports them is needed."""

import struct
from pathlib import Path

_FLOAT, _IR_VERSION, _OPSET = 1, 8, 13


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _tensor_info(name: str, shape: tuple[int | str, ...]) -> bytes:
    dims = b''.join(
        _field(1, _field(1, size) if isinstance(size, int) else _field(2, size)) for size in shape
    )
    kind = _field(1, _field(1, _FLOAT) + _field(2, dims))
    return _field(1, name) + _field(2, kind)


def write_gain(
    path: Path,
    gain: float = 1.0,
    shape: tuple[int | str, ...] = ('n', 3, 'h', 'w'),
    operation: str = 'Mul',
) -> Path:
    """A file that multiplies its input by a number, or reverses its sides (``'Transpose'``)."""
    constant = _field(1, 1) + _field(2, _FLOAT) + _field(8, 'gain')
    constant += _field(9, struct.pack('<f', gain))
    inputs = _field(1, 'image') + (_field(1, 'gain') if operation == 'Mul' else b'')
    node = inputs + _field(2, 'out') + _field(4, operation)
    graph = _field(1, node) + _field(2, 'graph') + _field(5, constant)
    graph += _field(11, _tensor_info('image', shape))
    graph += _field(12, _tensor_info('out', ('a', 'b', 'c', 'd')[: len(shape)]))
    opset = _field(1, '') + _field(2, _OPSET)
    path.write_bytes(_field(1, _IR_VERSION) + _field(7, graph) + _field(8, opset))
    return path
