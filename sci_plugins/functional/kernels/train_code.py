"""The machine code of :mod:`.train_fused`, written in LLVM's language."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import product
from math import e, log2
from typing import Any

from sci_plugins.functional.kernels.sci_code import Writer, _Int
from sci_plugins.functional.kernels.train_fused import BAND, CHANNELS, HALF_WINDOW, RADIUS, TILES

CHAINS = 4  #: sums at a time


class Code(Writer):
    """Of one row of pixels each, 8 or 16 channels a vector; ``vectors`` lie one after the other."""

    def body(self, name: str, *how: str) -> None:
        with self.every() as (y, _):
            getattr(self, name)(y)

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
        """Sums keep what rounding takes from them (Kahan, 1965): gradients hang on it."""
        width = self.spread(self.b.sitofp(self.a['width'].value, self.float))
        mean = self.b.fdiv(self.summed(y, lambda value: value), width)
        self.keep(y, mean, self.summed(y, lambda each: self.b.fmul(*[self.b.fsub(each, mean)] * 2)))

    def summed(self, y: _Int, change: Callable[[Any], Any]) -> Any:
        """Of all pixels of a row, in chains that need not wait for each other."""
        empty, step, last = self.const(0.0), _Int(self.b, CHAINS), self.a['width'] - 1
        with self.loop(step - CHAINS, last + 1, step, *[empty] * 2 * CHAINS) as (x, sums):
            for n in range(CHAINS):
                value = change(self.read('source', y, (x + n).min(last)))
                value = self.b.select(last < x + n, empty, value)
                sums[2 * n : 2 * n + 2] = self.add(sums[2 * n : 2 * n + 2], value)
        total = sums[0], reduce(self.b.fadd, sums[1::2])
        return reduce(self.add, sums[2::2], total)[0]

    def add(self, sums: Sequence[Any], value: Any) -> tuple[Any, Any]:
        """A sum, with by how much it is too large, and another value: the same of all."""
        total, excess = sums
        value = self.b.fsub(value, excess)
        later = self.b.fadd(total, value)
        return later, self.b.fsub(self.b.fsub(later, total), value)

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
        is_off = self.b.fcmp_ordered('<=', self.fma(value, gain, offset), self.const(0.0))
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

    def convolve(self, y: _Int) -> None:
        """Two rows; not for vectors of 8. In Winograd's terms ``turn`` is Bᵀ, ``back`` is Aᵀ."""
        with self.turned('source', y * 2) as first:
            with self.count(16) as place:
                self.multiply(place)
            with self.count(TILES) as tile:
                self.turn_back(tile, y * 2, (first + tile) * 2)

    @contextmanager
    def turned(self, name: str, y: _Int) -> Iterator[_Int]:
        """Neighbouring tiles of two rows, turned, in ``tiles``; yields the number of the first."""
        zero, places = _Int(self.b, 0), (0, 1, 2, 2 + 16 * TILES)
        self.zeros, self.outside, self.tiles, self.pairs = (
            self.of(self.p['work'], place) for place in places
        )
        self.store(self.const(0.0), self.zeros)
        half = _Int(self.b, self.b.ashr((self.a['width'] + 1).value, (zero + 1).value))
        with self.loop(zero, half, zero + TILES) as (first, _):
            with self.count(TILES) as tile:
                x = (first + tile) * 2 - 1
                self.turn_tile(self.tiles, tile, lambda *at: self.padded(name, y - 1, x, *at))
            yield first

    def turn_tile(self, buffer: Any, tile: _Int, pixel: Callable[[int, int], Any]) -> None:
        columns = [self.turn(*(pixel(row, column) for row in range(4))) for column in range(4)]
        for row, values in enumerate(zip(*columns, strict=True)):
            for column, value in enumerate(self.turn(*values)):
                self.store(value, self.of(buffer, tile + (4 * row + column) * TILES))

    def correlate(self, y: _Int) -> None:
        """Of a band of rows the gradient of the weight, by Winograd's F(3x3, 2x2).

        Its G is Bᵀ of the 2x2 pixels turned around, between zeros, but for a sign and halves.
        """
        zero, top, empty = _Int(self.b, 0), y * BAND, self.const(0.0)
        rows = self.loop(top, (top + BAND).min(self.a['height']), zero + 2)
        with rows as (row, _), self.turned('grad', row) as first:
            with self.count(TILES) as tile:
                x, corners = (first + tile) * 2, product(range(2), repeat=2)
                pixels = {(2 - a, 2 - b): self.padded('source', row, x, a, b) for a, b in corners}
                self.turn_tile(self.pairs, tile, lambda *at: pixels.get(at, empty))
            with self.count(16) as place:
                self.add_products(place, self.of(self.p['sums'], (y * 16 + place) * CHANNELS))

    def add_products(self, place: _Int, sums: Any) -> None:
        """Of each tile, all channels of one image with all of the other, at one place of 4x4."""
        grads, pairs = (self.of(each, place * TILES) for each in (self.tiles, self.pairs))
        start = [self.load(self.of(sums, channel)) for channel in range(CHANNELS)]
        zero = _Int(self.b, 0)
        with self.loop(zero, zero + TILES, zero + 1, *start) as (tile, totals):
            value = self.load(self.of(pairs, tile))
            for channel in range(CHANNELS):
                grad = self.load(self.at(grads, tile * self.block + channel), self.float)
                totals[channel] = self.fma(self.spread(grad), value, totals[channel])
        for channel, total in enumerate(totals):
            self.store(total, self.of(sums, channel))

    @contextmanager
    def count(self, number: int) -> Iterator[_Int]:
        zero = _Int(self.b, 0)
        with self.loop(zero, zero + number, zero + 1) as (counter, _):
            yield counter

    def of(self, buffer: Any, number: _Int | int) -> Any:
        """The place of a vector."""
        return self.at(buffer, _Int(self.b, number) * self.block)

    def is_inside(self, y: _Int, x: _Int) -> Any:
        return self.b.and_(
            self.b.icmp_unsigned('<', y.value, self.a['height'].value),
            self.b.icmp_unsigned('<', x.value, self.a['width'].value),
        )

    def inside(self, name: str, y: _Int, x: _Int, other: Any) -> Any:
        """The place of a pixel; ``other`` for one outside the image."""
        pixel = self.of(self.p[name], self.a['width'] * y + x)
        return self.b.select(self.is_inside(y, x), pixel, other)

    def padded(self, name: str, y: _Int, x: _Int, down: int, right: int) -> Any:
        """A pixel, the source's after normalisation and ReLU if there are vectors; 0 outside."""
        y, x = y + down, x + right
        value = self.load(self.inside(name, y, x, self.zeros))
        if name == 'source' and 'vectors' in self.p:
            gain, offset = (self.load(self.of(self.p['vectors'], n)) for n in range(2))
            value = self.where('<', self.fma(value, gain, offset), 0.0)
            value = self.b.select(self.is_inside(y, x), value, self.const(0.0))
        return value

    def turn(self, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, ...]:
        add, sub = self.b.fadd, self.b.fsub
        return sub(a, c), add(b, c), sub(c, b), sub(b, d)

    def multiply(self, place: _Int) -> None:
        """All channels of each tile at one place of 4x4, in place."""
        start = self.of(self.tiles, place * TILES)
        weights = self.of(self.p['weights'], place * CHANNELS)
        sums = [self.const(0.0)] * TILES
        for channel in range(CHANNELS):
            weight = self.load(self.of(weights, channel))
            for tile in range(TILES):
                value = self.load(self.at(start, tile * self.block + channel), self.float)
                sums[tile] = self.fma(self.spread(value), weight, sums[tile])
        for tile, total in enumerate(sums):
            self.store(total, self.of(start, tile))

    def turn_back(self, tile: _Int, y: _Int, x: _Int) -> None:
        halves = []
        for row in range(4):
            places = [tile + (4 * row + n) * TILES for n in range(4)]
            halves.append(self.back(*(self.load(self.of(self.tiles, each)) for each in places)))
        for column, half in enumerate(zip(*halves, strict=True)):
            for row, value in enumerate(self.back(*half)):
                self.store(value, self.inside('target', y + row, x + column, self.outside))

    def back(self, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any]:
        add, sub = self.b.fadd, self.b.fsub
        return add(add(a, b), c), sub(sub(b, c), d)

    def variation(self, y: _Int) -> None:
        """Illumination and colours, three planes each; see :func:`.train_fused.variation`."""
        zero, start = self.const(0.0), _Int(self.b, 0)
        places = [self.at(self.p['factors'], n) for n in range(len(HALF_WINDOW) + 2)]
        *shares, own, color = [self.spread(self.load(place, self.float)) for place in places]
        with self.loop(start, self.a['width'], start + self.block, zero) as (x, total):
            here, gradients = self.planes(y, x, 0, 0), [zero] * 6
            for (down, right), share in zip(HALF_WINDOW, shares, strict=True):
                for side in (1, -1):
                    there = self.planes(y, x, side * down, side * right)
                    total[0] = self.b.fadd(total[0], self.pair(here, there, share, gradients))
            for plane, gradient in enumerate(gradients):
                scaled = self.b.fmul(gradient, own if plane < 3 else color)
                row = (y * 6 + plane) * self.a['width']
                self.store(scaled, self.at(self.p['target'], row + x))
        self.store(total[0], self.at(self.p['sums'], y * self.block))

    def planes(self, y: _Int, x: _Int, down: int, right: int) -> list[Any]:
        row, column = y + (RADIUS + down), x + (RADIUS + right)
        places = [(row * 6 + plane) * self.a['across'] + column for plane in range(6)]
        return [self.load(self.at(self.p['source'], place)) for place in places]

    def pair(self, here: list[Any], there: list[Any], share: Any, gradients: list[Any]) -> Any:
        """Its value; adds to the gradients of ``here``."""
        zero = self.const(0.0)
        differences = [self.b.fsub(*both) for both in zip(here, there, strict=True)]
        contrast = zero
        for each in differences[3:]:
            contrast = self.fma(each, each, contrast)
        power = self.b.fmul(contrast, self.const(-log2(e)))
        weight, value = self.b.fmul(self.exp2(power), share), zero
        negative = self.b.fsub(zero, weight)
        for plane, each in enumerate(differences[:3]):
            is_less, is_more = (self.b.fcmp_ordered(sign, each, zero) for sign in '<>')
            slope = self.b.select(is_more, weight, self.b.select(is_less, negative, zero))
            gradients[plane] = self.b.fadd(gradients[plane], slope)
            value = self.fma(slope, each, value)
        for plane, each in enumerate(differences[3:], 3):
            gradients[plane] = self.fma(value, each, gradients[plane])
        return value
