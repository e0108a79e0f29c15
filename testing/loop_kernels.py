"""Random kernels of the loop dialect: what schedules make of them, and more.

`random_kernel` takes any source of random choices with the methods of `random.Random`. A kernel has one to three nests,
each with an output buffer of its own: maps in scalars and vectors, reductions in memory, in registers and on the stack.
Loops are split, shifted and run backwards, concurrently or unrolled; buffers lie in blocked, transposed and padded
layouts; loads go through windows, strides, remainders, data, and past the ends of buffers. Whatever order the loops
of a parallel kind run in, the bits are the same, and no access without an `else` leaves its buffer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import bf16, f32, f64, i1, i32
from xdsl.ir import Attribute, Region, SSAValue

from ..dialects.loop import Alloc, Kernel, Load, Store
from ..ir.expr import Expr, ceildiv, maximum, minimum
from ..ir.types import BufferType, is_float, signless
from .loop_values import ELEMENTS, FLOAT_BINARY, SYMBOLS, Dim, Lanes, Nest, ValueBuilder

Array = np.ndarray[Any, Any]
VALUES = (0, 1, 2, 3, 4, 5, 8, 11, 17)  # that symbols take


class KernelBuilder(ValueBuilder):
    """A kernel under construction: loops, and nests of them."""

    # ---- loops

    def nests(self, extents: Sequence[Expr], vectors: bool) -> Iterator[tuple[Nest, list[Dim]]]:
        """Places that together visit every element of a domain once; the last of them may be in vectors."""
        lane = self.rng.randrange(len(extents)) if vectors and extents else None
        if lane is None or self.flip(0.4):
            yield self.loops(extents)
            return
        width, stride = self.rng.choice((2, 4, 4, 8, 8, 16)), self.rng.choice((1, 1, 1, 2, -1))
        reach = width * abs(stride)
        whole = extents[lane] // reach
        rest = extents[lane] - whole * reach
        yield self.loops([*extents[:lane], whole, *extents[lane + 1 :]], (lane, width, stride))
        if (tail := rest.constant) is not None and 0 < tail < width and self.flip(0.7):
            fixed = [Expr.const(1) if i == lane else e for i, e in enumerate(extents)]
            nest, dims = self.loops(fixed)
            nest.lanes = Lanes(width, tail)
            if tail > 1 or self.flip():
                dims[lane] = Dim(extents[lane], whole * reach, 1)
                yield nest, dims
                return
        nest, dims = self.loops([rest if i == lane else e for i, e in enumerate(extents)])
        dims[lane] = Dim(extents[lane], dims[lane].index + whole * reach)
        yield nest, dims

    def loops(self, extents: Sequence[Expr], lane: tuple[int, int, int] | None = None) -> tuple[Nest, list[Dim]]:
        """Loops over a domain, in any order; `lane`: the dim whose index counts vectors, their width and stride."""
        n = Nest(self.block)
        dims = [Dim(e) for e in extents]
        order = self.rng.sample(range(len(extents)), len(extents))
        later: list[Callable[[Nest], Nest]] = []
        for i in order:
            if lane is not None and i == lane[0]:
                later.append(lambda n, i=i: self.vectors(n, dims[i], *lane[1:]))
            else:
                n = self.dim(n, dims[i], f"i{i}", later)
        self.rng.shuffle(later)
        for step in later:
            n = step(n)
        if lane is not None:
            n.lanes = Lanes(lane[1])
        return n, dims

    def run(self, n: Nest, static: bool) -> str:
        if n.block is self.block and self.flip(0.6):
            return "concurrent"
        return "unrolled" if static and self.flip(0.3) else "serial"

    def vectors(self, n: Nest, dim: Dim, width: int, stride: int) -> Nest:
        """A loop over whole vectors, and for strided ones over their first elements."""
        reach = width * abs(stride)
        whole = dim.extent
        n, v = n.loop(0, whole, "v", "parallel", run=self.run(n, whole.constant is not None))
        index = v * reach
        if stride == -1:
            index = index + (width - 1)
        elif stride > 1:
            n, p = n.loop(0, stride, "p", "parallel", run=self.run(n, True))
            index = index + p
        dim.extent, dim.index, dim.step = whole * reach, index, stride
        return n

    def dim(self, n: Nest, dim: Dim, label: str, later: list[Callable[[Nest], Nest]]) -> Nest:
        """A loop over a dim, in one of many forms; what is left of it goes to `later`."""
        size, b = dim.extent, self.rng.choice((2, 3, 4))
        static = size.constant is not None
        run = self.run(n, static)

        def tail(limit: Expr) -> None:
            def inner(n: Nest) -> Nest:
                n, i = n.loop(0, minimum(b, limit), f"{label}i", "parallel")
                dim.index = dim.index + i
                return n

            later.append(inner)

        match self.rng.randrange(6):
            case 0:
                shift = self.rng.randint(1, 3)
                n, i = n.loop(shift, size + shift, label, "parallel", run=run)
                dim.index = i - shift
            case 1:
                n, i = n.loop(0, size, label, "parallel", run=run)
                dim.index = size - 1 - i
            case 2:
                low = self.rng.choice((0, 2))
                n, i = n.loop(low, size + low, label, "parallel", run=run, step=b)
                dim.index = i - low
                tail(size - dim.index)
            case 3:
                n, i = n.loop(0, ceildiv(size, b), label, "parallel", run=run)
                dim.index = i * b
                tail(size - dim.index)
            case _:
                n, dim.index = n.loop(0, size, label, "parallel", run=run)
        return n

    # ---- nests

    def element(self) -> Attribute:
        return self.rng.choice(ELEMENTS)

    def map(self) -> None:
        """Every element by itself."""
        extents, element = self.shape(), self.element()
        out = self.output(extents, element)
        for n, dims in self.nests(extents, vectors=True):
            self.store(n, self.value(n, dims, signless(element), self.rng.randint(1, 3)), out, dims)

    def combine(self, n: Nest, element: Attribute, a: SSAValue, b: SSAValue) -> SSAValue:
        if element == i1:
            return self.apply(n, arith.OrIOp, [a, b], i1)
        options = FLOAT_BINARY if is_float(element) else (arith.AddiOp, arith.MaxSIOp, arith.MinUIOp)
        return self.apply(n, self.rng.choice(options), [a, b], element)

    def reduction(self) -> None:
        """Sums, maxima and the like, in the output, in registers or on the stack."""
        extents, element = self.shape((0, 1, 1, 2)), self.element()
        length = self.size()
        out = self.output(extents, element)
        space = self.rng.choice(("global", "register", "register", "stack"))
        for n, dims in self.nests(extents, vectors=True):
            self.accumulate(n, dims, out, length, space)

    def accumulate(self, n: Nest, dims: list[Dim], out: SSAValue, length: Expr, space: str) -> None:
        assert isinstance(out.type, BufferType)
        element: Any = out.type.element_type
        scalar = signless(element)
        target, place = out, dims
        if space != "global":
            target = n.put(Alloc("acc", BufferType.of([2, n.lanes.count], element, space)))
            place = [Dim(Expr.const(2), Expr.const(self.rng.randrange(2))), Dim(Expr.const(n.lanes.count), step=1)]
            if n.lanes.count == 1:
                place[1].step = 0
        start = self.value(n, dims, scalar, 0)
        first_inside = space == "register" and self.flip(0.2)  # written in the loop first, and read behind it
        if first_inside:
            length = maximum(length, 1)
        self.store(n, start, target, place)
        low, step = self.rng.choice(((0, 1), (0, 1), (2, 1), (1, 3)))
        run = "unrolled" if length.constant is not None and self.flip(0.3) else "serial"
        inner, k = n.loop(low, length * step + low, "k", "reduction", step=step, run=run)
        inner.lanes = n.lanes
        more = [*dims, Dim(length, (k - low) // step if step > 1 else k - low)]
        if first_inside:
            self.store(inner, self.value(inner, more, scalar, 1), target, place)
        else:
            held = self.held(inner, target, place, out)
            self.store(inner, self.combine(inner, scalar, held, self.value(inner, more, scalar, 1)), target, place)
        if target is not out:
            result = self.held(n, target, place, out)
            self.store(n, self.combine(n, scalar, result, self.value(n, dims, scalar, 0)), out, dims)

    def held(self, n: Nest, target: SSAValue, place: Sequence[Dim], out: SSAValue) -> SSAValue:
        if n.lanes.count == 1:
            return n.put(Load(target, ([d.index for d in place], n.variables)))
        assert isinstance(out.type, BufferType)
        return n.put(
            Load(
                target, ([d.index for d in place], n.variables), type_=n.lanes.of(signless(out.type.element_type)),
                lane_steps=[d.step for d in place], active=n.lanes.active,
            )
        )  # fmt: skip

    def tile(self) -> None:
        """A register tile: rows of vectors that a loop adds to, all of them unrolled."""
        rows, width, vectors = self.rng.choice((1, 2, 3)), self.rng.choice((1, 4, 8)), self.rng.choice((1, 2))
        m, k, element = self.size(), self.size(), self.rng.choice((f32, f64, i32, bf16))
        columns = width * vectors
        out = self.output([m * rows, Expr.const(columns)], element)
        a, b = self.input([m * rows, k], element), self.input([k, columns], element)
        n, i = Nest(self.block).loop(0, m, "i", "parallel", run="concurrent" if self.flip() else "serial")
        acc = n.put(Alloc("acc", BufferType.of([rows, columns], element, "register")))

        def tiles(n: Nest, fill: Callable[[Nest, Expr, Expr], None]) -> None:
            inner, r = n.loop(0, rows, "r", "parallel", run="unrolled")
            inner, v = inner.loop(0, columns, "v", "parallel", step=width, run="unrolled")
            inner.lanes = Lanes(width)
            fill(inner, r, v)

        def at(n: Nest, *index: Expr) -> tuple[Sequence[Expr], Sequence[SSAValue]]:
            return index, n.variables

        def vector_load(n: Nest, buffer: SSAValue, *index: Expr) -> SSAValue:
            return n.put(Load(buffer, at(n, *index), type_=n.lanes.of(element)))

        def start(n: Nest, r: Expr, v: Expr) -> None:
            n.put(Store(self.constant(n, element), acc, at(n, r, v)))

        def finish(n: Nest, r: Expr, v: Expr) -> None:
            n.put(Store(vector_load(n, acc, r, v), out, at(n, i * rows + r, v)))

        tiles(n, start)
        inner, depth = n.loop(0, k, "k", "reduction")

        def step(n: Nest, r: Expr, v: Expr) -> None:
            x = self.spread(n, n.put(Load(a, at(n, i * rows + r, depth))))
            y = vector_load(n, b, depth, v)
            multiply, add = (arith.MulfOp, arith.AddfOp) if is_float(element) else (arith.MuliOp, arith.AddiOp)
            if element == bf16:
                multiply = arith.MaximumfOp
            product_ = self.apply(n, multiply, [x, y], element)
            n.put(Store(self.apply(n, add, [vector_load(n, acc, r, v), product_], element), acc, at(n, r, v)))

        tiles(inner, step)
        tiles(n, finish)

    def scratch(self) -> None:
        """Rows that are made on the stack, and read there in another order."""
        extents, element = [self.size(), Expr.const(self.rng.choice((1, 3, 4, 8)))], self.element()
        out = self.output(extents, element)
        columns = extents[1]
        n, row = Nest(self.block).loop(0, extents[0], "i", "parallel", run="concurrent" if self.flip() else "serial")
        sizes = [Expr.const(2), columns] if self.flip() else [columns, Expr.const(2)]
        turned = sizes[0] == columns
        scratch = n.put(Alloc("t", BufferType.of(sizes, element, "stack", self.layout(sizes))))
        fill, c = n.loop(0, columns, "c", "parallel")
        fill, h = fill.loop(0, 2, "h", "parallel")
        dims = [Dim(extents[0], row), Dim(columns, c), Dim(Expr.const(2), h)]
        value = self.value(fill, dims, signless(element), 1)
        fill.put(Store(value, scratch, ((c, h) if turned else (h, c), fill.variables)))
        read, c = n.loop(0, columns, "c", "parallel")
        first, second = (columns - 1 - c, Expr.const(1)), ((c + 1) % columns, Expr.const(0))
        found = [read.put(Load(scratch, (p if turned else p[::-1], read.variables))) for p in (first, second)]
        result = self.combine(read, signless(element), *found)
        read.put(Store(result, out, ((row, c), read.variables)))

    def kernel(self, name: str) -> Kernel:
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self.rng.choice((self.map, self.map, self.map, self.reduction, self.reduction, self.tile, self.scratch))()
            self.finished = list(self.outputs)
        used: set[str] = set()
        for arg in self.block.args:
            assert isinstance(arg.type, BufferType)
            used |= arg.type.symbols
        sizes = [s for s in SYMBOLS if self.symbolic or s in used]
        return Kernel(name, self.names, len(self.outputs), Region(self.block), sizes=sizes)


@dataclass
class Program:
    """A kernel and what calls of it take."""

    kernel: Kernel
    ranges: Mapping[str, tuple[int, int]]  # of the values of inputs that are indices

    def arrays(self, rng: np.random.Generator, sizes: Mapping[str, int]) -> list[Array]:
        """An array per argument, by logical index: small whole numbers; outputs hold some too."""
        found: list[Array] = []
        for name, arg in zip(self.kernel.arg_names, self.kernel.args, strict=True):
            assert isinstance(arg.type, BufferType)
            shape = [int(s.evaluate(symbols=sizes)) for s in arg.type.sizes]
            low, high = self.ranges.get(name, (-4, 4))
            numbers = rng.integers(low, high, shape, endpoint=True)
            values = numbers % 2 == 0 if arg.type.dtype.kind == "b" else numbers
            found.append(np.asarray(values, arg.type.dtype))
        return found


def random_kernel(rng: random.Random, name: str = "k", *, symbolic: bool = True) -> Program:
    """A kernel, its sizes M and N where it is symbolic."""
    builder = KernelBuilder(rng, symbolic)
    kernel = builder.kernel(name)
    return Program(kernel, builder.ranges)


def random_sizes(rng: random.Random, kernel: Kernel) -> dict[str, int]:
    return {s: rng.choice(VALUES) for s in kernel.sizes}


def in_memory(array: Array, type_: BufferType, sizes: Mapping[str, int]) -> Array:
    """An array as it lies in a buffer, flat; places between elements hold bytes of a pattern."""
    length = int(type_.length.evaluate(symbols=sizes))
    found = np.full(length * array.itemsize, 0x5A, np.uint8).view(array.dtype)
    found[offsets(type_, array.shape, sizes)] = array
    return found


def from_memory(flat: Array, type_: BufferType, shape: Sequence[int], sizes: Mapping[str, int]) -> Array:
    """The array by logical index that lies in a buffer."""
    return flat[offsets(type_, shape, sizes)]


def offsets(type_: BufferType, shape: Sequence[int], sizes: Mapping[str, int]) -> Array:
    """Element offset of every index."""
    dims = {i: np.arange(n).reshape([-1 if i == d else 1 for d in range(len(shape))]) for i, n in enumerate(shape)}
    return np.broadcast_to(np.asarray(type_.offset.evaluate(dims, sizes), np.int64), shape)


__all__ = ["Program", "from_memory", "in_memory", "random_kernel", "random_sizes"]
