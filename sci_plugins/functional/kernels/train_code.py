"""The machine code of :mod:`.train_fused`, written in LLVM's language."""

from typing import Any

from sci_plugins.functional.kernels.train_fused import FUNCTIONS
from sci_plugins.functional.kernels.sci_code import Writer, _Int


def write(block: int) -> str:
    """All functions, for as many channels as a vector has: 8 or 16."""
    writer = _Training(block)
    for name, (pointers, sizes) in FUNCTIONS.items():
        writer.p = writer.begin(name, dict.fromkeys(pointers, writer.float), sizes)
        with writer.loop(writer.a['top'], writer.a['bottom'], _Int(writer.b, 1)) as (y, _):
            getattr(writer, name.split('_')[0])(y)
        writer.b.ret_void()
    return str(writer.module)


class _Training(Writer):
    """Of one row of pixels each, with the values of ``vectors`` one after the other."""

    p: dict[str, Any]

    def pixels(self, *carried: Any) -> Any:
        zero = _Int(self.b, 0)
        return self.loop(zero, self.a['width'], zero + 1, *carried)

    def read(self, name: str, y: _Int, x: _Int) -> Any:
        return self.load(self.pixel(name, y, x))

    def pixel(self, name: str, y: _Int, x: _Int) -> Any:
        return self.at(self.p[name], (self.a['width'] * y + x) * self.a['stride'])

    def vector(self, place: int) -> Any:
        return self.load(self.at(self.p['vectors'], self.a['stride'] * place))

    def keep(self, y: _Int, *values: Any) -> None:
        for place, value in enumerate(values):
            self.store(value, self.at(self.p['sums'], (y * 2 + place) * self.a['stride']))

    def statistics(self, y: _Int) -> None:
        zero = self.const(0.0)
        with self.pixels(zero) as (x, total):
            total[0] = self.b.fadd(total[0], self.read('source', y, x))
        width = self.spread(self.b.sitofp(self.a['width'].value, self.float))
        mean = self.b.fdiv(total[0], width)
        with self.pixels(zero) as (x, squares):
            part = self.b.fsub(self.read('source', y, x), mean)
            squares[0] = self.fma(part, part, squares[0])
        self.keep(y, mean, squares[0])

    def relu(self, y: _Int) -> None:
        gain, offset = self.vector(0), self.vector(1)
        with self.pixels() as (x, _):
            value = self.fma(self.read('source', y, x), gain, offset)
            value = self.where('<', value, 0.0)
            if 'shortcut' in self.p:
                value = self.b.fadd(value, self.read('shortcut', y, x))
            self.store(value, self.pixel('target', y, x))

    def passed(self, y: _Int, x: _Int, gain: Any, offset: Any) -> tuple[Any, Any]:
        """A pixel, and its gradient where the ReLU lets it through."""
        value = self.read('source', y, x)
        normed = self.fma(value, gain, offset)
        is_off = self.b.fcmp_ordered('<=', normed, self.const(0.0))
        return value, self.b.select(is_off, self.const(0.0), self.read('grad', y, x))

    def sums(self, y: _Int) -> None:
        zero = self.const(0.0)
        gain, offset, mean = map(self.vector, range(3))
        with self.pixels(zero, zero) as (x, totals):
            value, grad = self.passed(y, x, gain, offset)
            totals[0] = self.b.fadd(totals[0], grad)
            totals[1] = self.fma(self.b.fsub(value, mean), grad, totals[1])
        self.keep(y, *totals)

    def through(self, y: _Int) -> None:
        gain, offset, slope, constant = map(self.vector, range(4))
        with self.pixels() as (x, _):
            value, grad = self.passed(y, x, gain, offset)
            rest = self.fma(value, slope, constant)
            self.store(self.fma(grad, gain, rest), self.pixel('target', y, x))
