"""The machine code of :mod:`.noise_fused`, written in LLVM's language."""

from collections.abc import Sequence
from functools import reduce
from itertools import product
from typing import Any

from llvmlite import ir

from sci_plugins.functional.image_quality import LUMA
from sci_plugins.functional.kernels.noise_fused import BAND, BLACK, BLOCK, MARGIN, TINY
from sci_plugins.functional.kernels.sci_code import Writer, _Int


class Code(Writer):
    """Of rows of an image, in vectors of 8 or 16 columns."""

    def __init__(self, block: int) -> None:
        super().__init__(block)
        root = ir.FunctionType(self.floats, [self.floats])
        self._root = ir.Function(self.module, root, f'llvm.sqrt.v{block}f32')

    # Places and vectors

    def rows(self, name: str, y: _Int, planes: int = 3) -> list[Any]:
        """Where row ``y`` of each plane begins."""
        start, plane = self.a[f'{name}_row'] * y, self.a.get(f'{name}_plane', _Int(self.b, 0))
        return [self.at(self.p[name], start + plane * c if c else start) for c in range(planes)]

    def two(self, name: str, y: _Int, planes: int = 3) -> list[list[Any]]:
        """Rows ``2 y`` and ``2 y + 1``."""
        return [self.rows(name, y * 2 + d, planes) for d in (0, 1)]

    def around(self, name: str, y: _Int, planes: int = 3) -> list[tuple[Any, ...]]:
        """Of each plane, the row above, the row itself and the one below; the border's again."""
        lines = [(y + d).max(0).min(self.a['height'] - 1) for d in (-1, 0, 1)]
        return list(zip(*(self.rows(name, line, planes) for line in lines), strict=True))

    def luma(self, channels: Sequence[Any]) -> Any:
        red, green, blue = channels
        first = self.b.fmul(red, self.const(LUMA[0]))
        return self.fma(blue, LUMA[2], self.fma(green, LUMA[1], first))

    def split(self, low: Any, high: Any) -> list[Any]:
        """Even and odd columns of two vectors side by side."""
        return [self.shuffle(low, high, range(odd, 2 * self.block, 2)) for odd in (0, 1)]

    def mix(self, even: Any, odd: Any) -> list[Any]:
        """The opposite of :meth:`split`."""
        n, half = self.block, self.block // 2
        order = [column + odd for column in range(n) for odd in (0, n)]
        return [self.shuffle(even, odd, order[2 * at : 2 * at + n]) for at in (0, half)]

    def fill(self, pointer: Any, value: Any, place: int) -> None:
        """One place of a vector into ``MARGIN`` columns."""
        self.store(self.shuffle(value, value, [place] * MARGIN), pointer)

    def repeat_border(self, row: Any, width: _Int) -> None:
        self.fill(self.at(row, -MARGIN), self.load(row), 0)
        self.fill(self.at(row, width), self.load(self.at(row, width - self.block)), self.block - 1)

    # Noise

    def details(self) -> None:
        """Means over blocks of luma, clipped, fine and coarse energy, see ``noise``."""
        a, zero, stride = self.a, _Int(self.b, 0), self.a['stride']
        luma = self.at(self.p['work'], stride * 3 + MARGIN)
        once = self.at(luma, stride * (BLOCK * BAND + 5))
        with self.loop(a['top'], a['bottom'], zero + BAND) as (band, _):
            last = (band + BAND).min(a['bottom'])
            first, count = band * BLOCK, (last - band) * BLOCK
            with self.loop(zero - 3, count + 3, zero + 1) as (y, _):
                sources = self.rows('source', (first + y).max(0).min(a['height'] - 1))
                target = self.at(luma, stride * y)
                with self.blocks(a['width']) as x:
                    values = [self.load(self.at(each, x)) for each in sources]
                    # As PyTorch rounds, to the bit: decisions hang on small differences.
                    squares = [self.b.fmul(value, value) for value in values]
                    parts = map(self.b.fmul, squares, map(self.const, LUMA))
                    self.store(reduce(self.b.fadd, parts), self.at(target, x))
                self.repeat_border(target, a['width'])
            rows = self.loop(zero - 2, count + 2, zero + 1)
            with rows as (y, _), self.blocks(a['width'] + 4) as x:
                self.store(self.blur(luma, y, x - 2, 1), self.at(once, stride * y + x - 2))
            with self.loop(band, last, zero + 1) as (group, _):
                self.sum_up(luma, once, first, group)

    def sum_up(self, luma: Any, once: Any, first: _Int, group: _Int) -> None:
        """A row of blocks; the last of them that fit, again."""
        start, across = group * BLOCK - first, self.a['across']
        with self.blocks(across * BLOCK) as x:
            zeros = [self.const(0.0)] * 4
            with self.loop(start, start + BLOCK, start * 0 + 1, *zeros) as (y, sums):
                sums[:] = map(self.b.fadd, sums, self.measures(luma, once, first, y, x))
            block = _Int(self.b, self.b.sdiv(x.value, (start * 0 + BLOCK).value))
            for place, total in enumerate(sums):
                total = self.b.fmul(total, self.const(1 / BLOCK**2))
                for n in (self.block, self.block // 2, self.block // 4):  # 8 columns to one
                    halves = (self.shuffle(total, total, range(odd, n, 2)) for odd in (0, 1))
                    total = self.b.fadd(*halves)
                row = self.a['means_plane'] * place + across * group
                self.store(total, self.at(self.p['means'], row + block))

    def measures(self, luma: Any, once: Any, first: _Int, y: _Int, x: _Int) -> list[Any]:
        sources = self.rows('source', first + y)
        red, green, blue = (self.load(self.at(each, x)) for each in sources)
        least = self.where('>', self.where('>', red, green), blue)
        clipped = self.b.uitofp(self.b.fcmp_ordered('<=', least, self.const(0.0)), self.floats)
        place = self.a['stride'] * y + x
        pixels, smooth = self.load(self.at(luma, place)), self.load(self.at(once, place))
        fine = self.b.fsub(pixels, smooth)
        coarse = self.b.fsub(smooth, self.blur(once, y, x, 2))
        return [pixels, clipped, self.b.fmul(fine, fine), self.b.fmul(coarse, coarse)]

    def blur(self, start: Any, y: _Int, x: _Int, step: int) -> Any:
        """(1, 2, 1)/4 along both axes with ``step`` pixels between."""
        rows = [self.at(start, self.a['stride'] * (y + step * d) + x) for d in (-1, 0, 1)]
        sums = []
        for row in rows:
            left, middle, right = (self.load(self.at(row, place)) for place in (-step, 0, step))
            sums.append(self.fma(middle, 2.0, self.b.fadd(left, right)))
        total = self.fma(sums[1], 2.0, self.b.fadd(sums[0], sums[2]))
        return self.b.fmul(total, self.const(1 / 16))

    # The pyramid

    def halve(self, *how: str) -> None:
        """Means of 2 x 2 pixels; ``luma``: theirs too; ``squares``: of squares, border repeated."""
        a, squares = self.a, 'squares' in how
        with self.every() as (y, _):
            lines = [(y * 2 + d).min(a['height'] - 1) for d in (0, 1)]
            sources = [self.rows('source', line) for line in lines]
            targets = self.rows('target', y, 4 if how else 3)
            lumas = [row[0] for row in self.two('luma', y, 1)] if how else []
            with self.blocks(a['half']) as x:
                places, means = (x * 2, x * 2 + self.block), []
                low, high = (self.pixels(sources, lumas, place, squares) for place in places)
                for channel in range(3):
                    four = [self.split(low[d][channel], high[d][channel]) for d in (0, 1)]
                    total = reduce(self.b.fadd, four[0] + four[1])  # in PyTorch's order
                    means.append(self.b.fmul(total, self.const(0.25)))
                for target, value in zip(targets, [*means, self.luma(means)], strict=False):
                    self.store(value, self.at(target, x))
            for target in targets:
                self.repeat_border(target, a['half'])
            if squares:
                self.widen(sources, lumas, targets)

    def pixels(self, sources: Any, lumas: list[Any], x: _Int, squares: bool) -> list[list[Any]]:
        """Channels of two rows; their luma goes to ``lumas``, if any."""
        values = [[self.load(self.at(each, x)) for each in row] for row in sources]
        if squares:
            values = [[self.b.fmul(each, each) for each in row] for row in values]
        for target, row in zip(lumas, values, strict=False):
            self.store(self.luma(row), self.at(target, x))
        return values

    def widen(self, sources: Any, lumas: list[Any], targets: list[Any]) -> None:
        """What lies beyond the last column, if there is anything, is like it."""
        a, last = self.a, self.block - 1
        with self.b.if_then(a['width'] < a['padded']):
            rows = self.pixels(sources, [], a['width'] - self.block, squares=True)
            for target, row in zip(lumas, rows, strict=True):
                self.fill(self.at(target, a['half'] * 2), self.luma(row), last)
            half = self.const(0.5)
            means = [self.b.fmul(self.b.fadd(*each), half) for each in zip(*rows, strict=True)]
            for target, value in zip(targets, [*means, self.luma(means)], strict=True):
                self.fill(self.at(target, a['half']), value, last)

    def pairs(self) -> None:
        """Mean energy of the luma's detail in 2 x 2 pixels."""
        with self.every() as (y, _):
            (rows,) = self.around('coarse', y, planes=1)
            (target,) = self.rows('target', y, 1)
            lumas = self.two('luma', y, 1)
            with self.blocks(self.a['columns']) as x:
                total = self.const(0.0)
                for (luma,), smooth in zip(lumas, self.double(rows, x), strict=True):
                    both = [self.load(self.at(luma, x * 2 + at)) for at in (0, self.block)]
                    for pixel, value in zip(self.split(*both), smooth, strict=True):
                        detail = self.b.fsub(pixel, value)
                        total = self.fma(detail, detail, total)
                self.store(self.b.fmul(total, self.const(0.25)), self.at(target, x))
            for place in (_Int(self.b, -MARGIN), self.a['columns']):
                self.clear(self.at(target, place), MARGIN)

    def weigh(self) -> None:
        """Wiener's weights, from the mean of 3 x 3 energies that are inside; 0 lies outside."""
        limit = self.spread(self.b.load(self.p['limit']))
        with self.every() as (y, _):
            ((above, middle, below),) = self.around('energy', y, planes=1)
            (target,) = self.rows('target', y, 1)
            inside = [_Int(self.b, 0) < y, y < self.a['height'] - 1]
            first, last = (self.spread(self.b.uitofp(each, self.float)) for each in inside)
            count = self.b.fadd(self.b.fadd(first, last), self.const(1.0))
            with self.blocks(self.a['columns']) as x:
                total = self.const(0.0)
                for place in (x - 1, x, x + 1):
                    up, here, down = (self.load(self.at(e, place)) for e in (above, middle, below))
                    total = self.b.fadd(total, self.fma(up, first, self.fma(down, last, here)))
                share = self.b.fdiv(self.load(self.at(self.p['shares'], x)), count)
                ratio = self.b.fdiv(limit, self.fma(total, share, TINY))
                weight = self.where('<', self.b.fsub(self.const(1.0), ratio), 0.0)
                self.store(weight, self.at(target, x))
            self.repeat_border(target, self.a['columns'])

    def double(self, rows: Sequence[Any], x: _Int) -> list[list[Any]]:
        """Bilinear: two rows of even and odd columns."""
        values = [[self.load(self.at(row, x + d)) for d in (-1, 0, 1)] for row in rows]
        middle = [self.b.fmul(each, self.const(0.75)) for each in values[1]]
        result = []
        for other in (values[0], values[2]):
            sums = [self.fma(a, 0.25, b) for a, b in zip(other, middle, strict=True)]
            centre = self.b.fmul(sums[1], self.const(0.75))
            result.append([self.fma(sums[side], 0.25, centre) for side in (0, 2)])
        return result

    def rise(self, *how: str) -> None:
        """The level's details, weighted, on the shrunk coarser levels. ``roots``: of squares."""
        with self.every() as (y, _):
            (weights,) = self.around('weight', y, planes=1)
            coarse, shrunk = self.around('coarse', y), self.around('shrunk', y)
            sources, targets = self.two('source', y), self.two('target', y)
            with self.blocks(self.a['columns']) as x:
                weight = self.double(weights, x)
                for c, d in product(range(3), (0, 1)):
                    smooth, quiet = self.double(coarse[c], x)[d], self.double(shrunk[c], x)[d]
                    less = map(self.b.fneg, weight[d])
                    rest = self.mix(*map(self.fma, less, smooth, quiet))
                    for part, factor in enumerate(self.mix(*weight[d])):
                        place = x * 2 + part * self.block
                        pixel = self.load(self.at(sources[d][c], place))
                        pixel = self.b.fmul(pixel, pixel) if how else pixel
                        value = self.fma(pixel, factor, rest[part])
                        value = self.root(value) if how else value
                        self.store(value, self.at(targets[d][c], place))
            for target in () if how else (*targets[0], *targets[1]):
                self.repeat_border(target, self.a['columns'] * 2)

    def root(self, square: Any) -> Any:
        square = self.b.fadd(self.clamp(square), self.const(BLACK))
        return self.b.fsub(self.b.call(self._root, [square]), self.const(BLACK**0.5))

    def clamp(self, value: Any) -> Any:
        return self.where('>', self.where('<', value, 0.0), 1.0)

    # Light

    def brighten(self) -> None:
        """``clamp(x * 2 ** power, 0, 1)``, the power between rows of a table of cells."""
        a = self.a
        with self.every() as (y, _):
            twice = a['height'] * 2
            place = ((y * 2 + 1) * a['cells'] - a['height']).max(0)
            above = _Int(self.b, self.b.sdiv(place.value, twice.value))
            rest = self.b.sitofp((place - above * twice).value, self.float)
            share = self.spread(self.b.fdiv(rest, self.b.sitofp(twice.value, self.float)))
            lines = (above, (above + 1).min(a['cells'] - 1))
            powers = [self.at(self.p['table'], a['width'] * line) for line in lines]
            sources, targets = self.rows('source', y), self.rows('target', y)
            ends = [self.load(self.at(each, a['width'] - self.block)) for each in sources]
            last = a['width'] - self.block
            with self.loop(y * 0, last, _Int(self.b, self.block)) as (x, _):
                values = [self.load(self.at(each, x)) for each in sources]
                self.scale(values, powers, share, targets, x)
            # Read before: where target is source, these would be scaled twice.
            self.scale(ends, powers, share, targets, last)

    def scale(self, values: Any, powers: Any, share: Any, targets: Any, x: _Int) -> None:
        low, high = (self.load(self.at(each, x)) for each in powers)
        factor = self.exp2(self.fma(share, self.b.fsub(high, low), low))
        for value, target in zip(values, targets, strict=True):
            self.store(self.clamp(self.b.fmul(value, factor)), self.at(target, x))
