"""The machine code of :mod:`.sci_fused`, written in LLVM's language."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partialmethod
from itertools import product
from typing import Any

from llvmlite import ir

from sci_plugins.functional.kernels.sci_fused import ARGUMENTS, MARGIN, ROWS, Kind, Layout, Table
from sci_plugins.functional.retinex import MIN_ILLUMINATION

#: 2 ** f for f in [-.5, .5], highest power first: minimax, relative error 2e-9.
_EXP2 = (1.534581e-4, 1.3399931e-3, 9.618489e-3, 5.5503286e-2, 0.24022646, 0.6931472, 1.0)
_ROUND = 1.5 * 2**23  #: added to a small float, its last bits are the nearest integer


class _Int:
    """A 64-bit integer of the code that is written, with Python's operators."""

    def __init__(self, b: Any, value: Any) -> None:
        value = value.value if isinstance(value, _Int) else value
        self.b = b
        self.value: Any = ir.IntType(64)(value) if isinstance(value, int) else value

    def _with(self, name: str, other: '_Int | int') -> '_Int':
        return _Int(self.b, getattr(self.b, name)(self.value, _Int(self.b, other).value))

    __add__ = partialmethod(_with, 'add')
    __sub__ = partialmethod(_with, 'sub')
    __mul__ = partialmethod(_with, 'mul')

    def __lt__(self, other: '_Int | int') -> Any:
        return self.b.icmp_signed('<', self.value, _Int(self.b, other).value)

    def min(self, other: '_Int | int') -> '_Int':
        other = _Int(self.b, other)
        return _Int(self.b, self.b.select(self < other, self.value, other.value))

    def max(self, other: '_Int | int') -> '_Int':
        other = _Int(self.b, other)
        return _Int(self.b, self.b.select(self < other, other.value, self.value))


class Writer:
    """Writes functions in LLVM's language that work on vectors of ``block`` floats."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.float, self.byte, self.int = ir.FloatType(), ir.IntType(8), ir.IntType(32)
        self.floats, self.ints = (ir.VectorType(each, block) for each in (self.float, self.int))
        self.module = ir.Module('sci')
        fma = ir.FunctionType(self.floats, [self.floats] * 3)
        self._fma = ir.Function(self.module, fma, f'llvm.fmuladd.v{block}f32')

    def begin(self, name: str, pointers: Mapping[str, Any], sizes: Sequence[str]) -> None:
        """Begin a function of pointers ``p``, name -> what they point to, and integers ``a``."""
        kinds = [each.as_pointer() for each in pointers.values()] + [ir.IntType(64)] * len(sizes)
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.b = ir.IRBuilder(function.append_basic_block())
        numbers = [_Int(self.b, value) for value in function.args[len(pointers) :]]
        self.a = dict(zip(sizes, numbers, strict=True))
        self.p: dict[str, Any] = dict(zip(pointers, function.args, strict=False))

    def write(self, table: Table) -> str:
        """All functions of a table; :meth:`body` writes what ``NAME_HOW`` does."""
        for name, (pointers, sizes) in table.items():
            self.begin(name, dict.fromkeys(pointers, self.float), sizes)
            self.body(*name.split('_'))
            self.b.ret_void()
        return str(self.module)

    def body(self, name: str, *how: str) -> None:
        getattr(self, name)(*how)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``; floats stand for vectors of them."""
        return self.b.call(self._fma, [self.const(each) for each in (a, b, c)])

    def const(self, value: Any) -> Any:
        return ir.Constant(self.floats, [value] * self.block) if type(value) is float else value

    def at(self, pointer: Any, offset: _Int | int) -> Any:
        return self.b.gep(pointer, [_Int(self.b, offset).value])

    def load(self, pointer: Any, kind: Any = None, align: int = 4) -> Any:
        kind = kind or self.floats
        return self.b.load(self.b.bitcast(pointer, kind.as_pointer()), align=align)

    def store(self, value: Any, pointer: Any, align: int = 4) -> None:
        self.b.store(value, self.b.bitcast(pointer, value.type.as_pointer()), align=align)

    def clear(self, pointer: Any, number: int) -> None:
        self.store(ir.Constant(ir.VectorType(self.float, number), [0.0] * number), pointer)

    def shuffle(self, a: Any, b: Any, order: Sequence[int]) -> Any:
        places = ir.Constant(ir.VectorType(self.int, len(order)), list(order))
        return self.b.shuffle_vector(a, b, places)

    def spread(self, value: Any) -> Any:
        """A vector of one value."""
        empty = ir.Constant(ir.VectorType(value.type, self.block), ir.Undefined)
        first = self.b.insert_element(empty, value, self.int(0))
        return self.shuffle(first, empty, [0] * self.block)

    def where(self, comparison: str, a: Any, b: Any) -> Any:
        """``b`` where ``a comparison b`` holds, else ``a``: NaN stays."""
        return self.b.select(self.b.fcmp_ordered(comparison, a, self.const(b)), self.const(b), a)

    @contextmanager
    def loop(self, start: _Int, stop: _Int, step: _Int, *carried: Any) -> Iterator[Any]:
        """At least one turn; yields the counter and a list of what is carried, to be changed."""
        before, body = self.b.block, self.b.append_basic_block()
        after = self.b.append_basic_block()
        self.b.branch(body)
        self.b.position_at_end(body)
        phis = [self.b.phi(value.type) for value in (start.value, *carried)]
        counter, values = _Int(self.b, phis[0]), list(phis[1:])
        yield counter, values
        later = counter + step
        begin, end = (start.value, *carried), (later.value, *values)
        for phi, first, new in zip(phis, begin, end, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(new, self.b.block)
        self.b.cbranch(later < stop, body, after)
        self.b.position_at_end(after)

    def every(self) -> Any:
        """Rows ``top`` to ``bottom``."""
        return self.loop(self.a['top'], self.a['bottom'], _Int(self.b, 1))

    @contextmanager
    def blocks(self, number: _Int) -> Iterator[_Int]:
        """Columns at which blocks begin; the last one ends at ``number``, or begins at 0."""
        with self.loop(number * 0, number, _Int(self.b, self.block)) as (column, _):
            yield column.min(number - self.block).max(0)

    def exp2(self, power: Any) -> Any:
        """2 to a power, limited to what floats hold."""
        power = self.where('>', self.where('<', power, -126.0), 126.0)
        rounded = self.b.fadd(power, self.const(_ROUND))
        rest = self.b.fsub(power, self.b.fsub(rounded, self.const(_ROUND)))
        value = self.const(_EXP2[0])
        for factor in _EXP2[1:]:
            value = self.fma(value, rest, factor)
        shift = ir.Constant(self.ints, [23] * self.block)
        exponent = self.b.shl(self.b.bitcast(rounded, self.ints), shift)
        bits = self.b.add(self.b.bitcast(value, self.ints), exponent)
        return self.b.bitcast(bits, self.floats)


class Emitter(Writer):
    """Writes SCI's kernel.

    In a tile of ``columns``, every layer has that many: place 0 of the rows of the image is column
    ``left - 3``, of the features ``left - 2`` and ``left - 1``, of the result ``left``. So its last
    four columns say nothing, and the next tile begins there.
    """

    def __init__(self, kind: Kind, block: int) -> None:
        super().__init__(block)
        self.kind = kind
        kinds = [self.byte] * 2 + [self.float] * 2
        self.begin('sci', dict(zip(ARGUMENTS, kinds, strict=False)), ARGUMENTS[4:])
        self.source, self.target, self.weights, self.work = self.p.values()

    def weight(self, place: int) -> Any:
        return self.spread(self.b.load(self.at(self.weights, place)))

    def emit(self) -> str:
        """The whole kernel: rows ``top`` to ``bottom`` of an image, tile by tile."""
        a, zero = self.a, _Int(self.b, 0)
        columns = a['blocks'] * self.block
        self.stride = columns + 3 * MARGIN + self.block
        rest = self.at(self.work, self.stride * ROWS + MARGIN)
        self.zeros = self.b.bitcast(rest, self.byte.as_pointer())
        self.scrap = self.b.bitcast(self.at(rest, self.stride), self.byte.as_pointer())
        pairs = [self.at(self.work, self.stride * 6 * n + MARGIN) for n in range(ROWS // 6)]
        with self.loop(zero, a['width'], columns - 4) as (begin, _):
            self.columns = columns
            self.left = begin.min(a['width'] - columns + 4).max(0)
            self.useful = (columns - 4).min(a['width'] - self.left)
            with self.loop(a['top'] - 3, a['bottom'] + 3, zero + 2, *pairs) as (y, rows):
                self._advance(y, rows)
                image, first, second = rows[:3], rows[3:5], rows[5:]
                rows[:] = *image[1:], image[0], *first[::-1], *second[::-1]
        self.b.ret_void()
        return str(self.module)

    def _advance(self, y: _Int, rows: list[Any]) -> None:
        """Read rows y and y + 1, compute as much of the features, and write y - 3 and y - 2."""
        top = self.a['top']
        self._read(y, rows[2])
        with self.b.if_then(top < y + 2):
            self._features(y - 1, rows[1:3], rows[4], edge=2)
        with self.b.if_then(top < y):
            self._features(y - 2, rows[3:5], rows[6], edge=1)
        with self.b.if_then(top < y - 2):
            self._finish(y - 3, rows[5:7], rows[:2])

    def _row(self, pairs: Sequence[Any], row: int, channel: int) -> Any:
        return self.at(pairs[row // 2], self.stride * (row % 2 * 3 + channel))

    def _places(self, side: str, y: _Int, x: _Int, use: Any, other: Any) -> list[Any]:
        """Where a row begins, one pointer or one of each channel; ``other`` unless ``use``."""
        layout: Layout = getattr(self.kind, side)
        size = 1 if layout.is_bytes else 4
        offset = self.a[f'{side}_row'] * y + x * (3 if layout.is_mixed else 1)
        planes = [offset + self.a[f'{side}_plane'] * c for c in range(1 if layout.is_mixed else 3)]
        base = self.source if side == 'source' else self.target
        return [self.b.select(use, self.at(base, each * size), other) for each in planes]

    def _is_inside(self, y: _Int) -> Any:
        return self.b.icmp_unsigned('<', y.value, self.a['height'].value)

    def _read(self, y: _Int, pair: Any) -> None:
        first = (self.left - 3).max(0)
        number = (self.left + self.useful + 3).min(self.a['width']) - first
        for row in range(2):
            line = y + row
            sources = self._places('source', line, first, self._is_inside(line), self.zeros)
            place = first - self.left + 3
            targets = [self.at(self._row([pair], row, channel), place) for channel in range(3)]
            with self.blocks(number) as column:
                for target, value in zip(targets, self._load(sources, column), strict=True):
                    self.store(value, self.at(target, column))
            for target in targets:
                self.clear(self.at(target, -4), 4)
                self.clear(self.at(target, number), self.block)

    def _load(self, sources: list[Any], column: _Int) -> list[Any]:
        """Floats of a block, for each channel; bytes become [0, 1]."""
        layout = self.kind.source
        if not layout.is_bytes:
            return [self.load(self.at(each, column * 4)) for each in sources]
        if layout.is_mixed:
            wide = ir.VectorType(self.byte, 3 * self.block)
            mixed = self.load(self.at(sources[0], column * 3), wide, align=1)
            values = [self.shuffle(mixed, mixed, range(c, 3 * self.block, 3)) for c in range(3)]
        else:
            narrow = ir.VectorType(self.byte, self.block)
            values = [self.load(self.at(each, column), narrow, align=1) for each in sources]
        values = [self.b.zext(value, self.ints) for value in values]
        unit = self.const(1 / 255)
        return [self.b.fmul(self.b.uitofp(value, self.floats), unit) for value in values]

    def _convolve(self, place: int, pairs: list[Any], column: _Int) -> list[list[Any]]:
        """Two rows of three channels from four; ``place`` of the weights."""
        sums = [[self.weight(place + 81 + o) for o in range(3)] for _ in range(2)]
        for channel, x in product(range(3), range(3)):
            rows = [self._row(pairs, row, channel) for row in range(4)]
            values = [self.load(self.at(row, column + x)) for row in rows]
            for k in range(9):  # kernel row, output channel
                weight = self.weight(place + (channel * 3 + x) * 9 + k)
                for row, totals in enumerate(sums):
                    totals[k % 3] = self.fma(values[row + k // 3], weight, totals[k % 3])
        return sums

    def _features(self, y: _Int, pairs: list[Any], target: Any, edge: int) -> None:
        """The first layer (``edge`` 2) or the second; 0 outside the image, as padding is."""
        inside = [self.spread(self.b.sext(self._is_inside(y + row), self.int)) for row in range(2)]
        with self.blocks(self.columns) as column:
            sums = self._convolve(84 * (2 - edge), pairs, column)
            for row, channel in product(range(2), range(3)):
                value = self.where('<', sums[row][channel], 0.0)
                if edge == 1:
                    before = self.at(self._row(pairs, row + 1, channel), column + 1)
                    value = self.b.fadd(value, self.load(before))
                value = self.b.and_(self.b.bitcast(value, self.ints), inside[row])
                self.store(value, self.at(self._row([target], row, channel), column))
        right = (self.a['width'] - self.left + edge).min(self.columns)
        zero = _Int(self.b, 0)
        left = self.b.select(zero < self.left, (zero - 4).value, zero.value)
        for row, channel in product(range(2), range(3)):
            line = self._row([target], row, channel)
            self.clear(self.at(line, right), 4)
            self.clear(self.at(line, _Int(self.b, left)), edge)

    def _finish(self, y: _Int, pairs: list[Any], images: list[Any]) -> None:
        """The last layer and the division, of rows y and y + 1."""
        targets = [
            self._places('target', line, self.left, line < self.a['bottom'], self.scrap)
            for line in (y, y + 1)
        ]
        with self.blocks(self.useful) as column:
            sums = self._convolve(168, pairs, column)
            for row in range(2):
                values = []
                for channel in range(3):
                    image = self.at(self._row(images, row + 1, channel), column + 3)
                    value = self._divide(self.load(image), self.exp2(sums[row][channel]))
                    scale, shift = self.weight(252 + channel), self.weight(255 + channel)
                    values.append(self.fma(value, scale, shift))
                self._save(values, targets[row], column)

    def _divide(self, image: Any, power: Any) -> Any:
        """``clamp(x / clamp(1 / (1 + p) + x, 1e-4, 1), 0, 1)`` with one division."""
        part = self.fma(image, power, image)
        ratio = self.b.fdiv(part, self.b.fadd(part, self.const(1.0)))
        most = self.b.fmul(image, self.const(1 / MIN_ILLUMINATION))
        ratio = self.where('>', self.where('<', ratio, image), most)
        return self.where('>', self.where('<', ratio, 0.0), 1.0)

    def _save(self, values: list[Any], targets: list[Any], column: _Int) -> None:
        if not self.kind.target.is_bytes:
            for value, target in zip(values, targets, strict=True):
                self.store(value, self.at(target, column * 4))
            return
        narrow, n = ir.VectorType(self.byte, self.block), self.block
        red, green, blue = (self.b.trunc(self.b.fptosi(v, self.ints), narrow) for v in values)
        two, one = (self.shuffle(*pair, range(2 * n)) for pair in ((red, green), (blue, blue)))
        mixed = self.shuffle(two, one, [c * n + k for k in range(n) for c in range(3)])
        self.store(mixed, self.at(targets[0], column * 3), align=1)
