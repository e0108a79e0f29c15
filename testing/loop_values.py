"""Random values in the bodies of loop nests, for testing/loop_kernels.py: formulas, and loads of all kinds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    VectorType,
    f16,
    f32,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ..dialects.loop import For, Index, Load, Store
from ..dialects.loop.lanes import lifted
from ..ir.expr import Expr, ExprLike, ceildiv, maximum, minimum, product
from ..ir.types import DTYPES, BufferType, dtype_of, is_float, signless

Array = np.ndarray[Any, Any]

SYMBOLS = ("M", "N")
LARGEST = 150  # elements of a nest's domain, or of a buffer, at typical sizes
TYPICAL = {"M": 5, "N": 7}
ELEMENTS = (f32, f32, f32, *DTYPES)
FLOAT_BINARY = (arith.AddfOp, arith.SubfOp, arith.MaximumfOp, arith.MinimumfOp)
INTEGER_BINARY = (
    arith.AddiOp, arith.SubiOp, arith.MuliOp, arith.AndIOp, arith.OrIOp, arith.XOrIOp, arith.MaxSIOp, arith.MinSIOp,
    arith.MaxUIOp, arith.MinUIOp, arith.DivSIOp, arith.DivUIOp, arith.RemSIOp, arith.RemUIOp, arith.ShLIOp,
    arith.ShRSIOp, arith.ShRUIOp,
)  # fmt: skip
BOOL_BINARY = (arith.AndIOp, arith.OrIOp, arith.XOrIOp)
CASTS = (
    arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp, arith.FPToUIOp, arith.ExtFOp, arith.TruncFOp, arith.ExtSIOp,
    arith.ExtUIOp, arith.TruncIOp, arith.IndexCastOp,
)  # fmt: skip


@dataclass
class Dim:
    """A dimension of a nest's domain: the element that is computed, and where the lanes go."""

    extent: Expr
    index: Expr = field(default_factory=lambda: Expr.const(0))  # over the nest's variables
    step: int = 0  # from lane to lane


@dataclass
class Lanes:
    """The shape of the values at a place of a nest: 1 lane is a scalar."""

    count: int = 1
    active: int | None = None

    def of(self, scalar: Attribute) -> Attribute:
        return scalar if self.count == 1 else VectorType(scalar, [self.count])


class Nest:
    """A place in a kernel under construction: the innermost block, and the loop variables there."""

    def __init__(self, block: Block, variables: Sequence[SSAValue] = ()) -> None:
        self.block = block
        self.variables = list(variables)
        self.lanes = Lanes()

    def put(self, op: Operation) -> Any:
        self.block.add_op(op)
        return op.results[0] if op.results else None

    def loop(self, lower: ExprLike, upper: ExprLike, label: str, kind: str, **options: Any) -> tuple[Nest, Expr]:
        """A loop here, the place in it, and its variable."""
        op = For((lower, upper), label, kind, operands=self.variables, **options)
        self.block.add_op(op)
        return Nest(op.body.block, [*self.variables, op.iv]), Expr.dim(len(self.variables))


def attribute(number: int, element: Any) -> Any:
    """A number of a scalar type."""
    return FloatAttr(float(number), element) if is_float(element) else IntegerAttr(number, element)


class ValueBuilder:
    """A kernel under construction, and the random choices. Buffers lie in blocked, transposed and padded layouts."""

    def __init__(self, rng: random.Random, symbolic: bool = True) -> None:
        self.rng, self.symbolic = rng, symbolic
        self.block = Block()
        self.names: list[str] = []
        self.inputs = 0
        self.outputs: list[SSAValue] = []
        self.ranges: dict[str, tuple[int, int]] = {}  # of inputs that are used as indices
        self.finished: list[SSAValue] = []  # outputs that later nests may read

    # ---- choices

    def flip(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def size(self) -> Expr:
        """A size: small, odd, one, symbolic, rarely empty."""
        if self.symbolic and self.flip(0.45):
            n = Expr.symbol(self.rng.choice(SYMBOLS))
            return self.rng.choice((n, n, n, n + 1, n * 2, n // 2, maximum(n - 2, 0)))
        return Expr.const(self.rng.choice((1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 12, 0)))

    def shape(self, ranks: Sequence[int] = (0, 1, 1, 2, 2, 2, 3)) -> list[Expr]:
        while True:
            found = [self.size() for _ in range(self.rng.choice(ranks))]
            if product(found).evaluate(symbols=TYPICAL) <= LARGEST:
                return found

    # ---- buffers

    def layout(self, sizes: Sequence[Expr]) -> Expr | None:
        """Blocked, transposed, padded, or none."""
        if self.flip(0.6) or not sizes:
            return None
        dims = [Expr.dim(i) for i in range(len(sizes))]
        order = self.rng.sample(range(len(sizes)), len(sizes))
        padded = [s + self.rng.choice((0, 0, 3)) for s in sizes]
        total = Expr.const(0)
        if self.flip():  # panels of `block` along one dim, innermost
            b, block = self.rng.randrange(len(sizes)), self.rng.choice((2, 4, 8))
            panels = ceildiv(sizes[b], block)
            for i in order:
                total = total * (panels if i == b else padded[i]) + (dims[i] // block if i == b else dims[i])
            return total * block + dims[b] % block
        for i in order:
            total = total * padded[i] + dims[i]
        return total

    def input(self, sizes: Sequence[ExprLike], element: Attribute, values: tuple[int, int] | None = None) -> SSAValue:
        exact = [Expr.of(s) for s in sizes]
        value = self.block.insert_arg(BufferType.of(exact, element, layout=self.layout(exact)), self.inputs)
        name = f"x{self.inputs}"
        self.names.insert(self.inputs, name)
        self.inputs += 1
        if values is not None:
            self.ranges[name] = values
        return value

    def output(self, sizes: Sequence[Expr], element: Attribute) -> SSAValue:
        type_ = BufferType.of(sizes, element, layout=self.layout(sizes))
        value = self.block.insert_arg(type_, len(self.block.args))
        self.names.append(f"y{len(self.outputs)}")
        self.outputs.append(value)
        return value

    # ---- values

    def apply(
        self, n: Nest, cls: type[Operation], operands: Sequence[SSAValue], result: Attribute, *more: Any
    ) -> SSAValue:
        """An operation on scalars, or on as many lanes as the place has."""
        scalars = [v.type.element_type if isinstance(v.type, VectorType) else v.type for v in operands]
        block = Block(arg_types=scalars)
        if cls in CASTS:
            op = cls.create(operands=block.args, result_types=[result])
        else:
            op = cls(*block.args, *more)
        if n.lanes.count > 1:
            return n.put(lifted(op, operands, n.lanes.count))
        op.operands = operands
        return n.put(op)

    def constant(self, n: Nest, element: Attribute) -> SSAValue:
        number = self.rng.choice((0, 1, 2, 3, -1, -2))
        if element == i1:
            number = self.rng.choice((0, 1))
        return self.spread(n, n.put(arith.ConstantOp(attribute(number, element))))

    def spread(self, n: Nest, value: SSAValue) -> SSAValue:
        """The value on all lanes."""
        if n.lanes.count == 1 or isinstance(value.type, VectorType):
            return value
        return n.put(vector.BroadcastOp(value, VectorType(value.type, [n.lanes.count])))

    def value(self, n: Nest, dims: Sequence[Dim], element: Attribute, depth: int) -> SSAValue:
        """A random formula of a signless scalar type."""
        if depth <= 0 or self.flip(0.15):
            return self.leaf(n, dims, element)

        def sub(type_: Attribute = element) -> SSAValue:
            return self.value(n, dims, type_, depth - 1)

        if element == i1:
            match self.rng.randrange(3):
                case 0:
                    t = self.rng.choice((f32, i32, f16, i8))
                    cls, count = (arith.CmpfOp, 16) if is_float(t) else (arith.CmpiOp, 10)
                    return self.apply(n, cls, [sub(t), sub(t)], i1, self.rng.randrange(count))
                case 1 if self.flip():
                    return self.apply(n, arith.TruncIOp, [sub(i32)], i1)
                case _:
                    return self.apply(n, self.rng.choice(BOOL_BINARY), [sub(), sub()], i1)
        kind = self.rng.randrange(5)
        if kind == 0:
            return self.apply(n, arith.SelectOp, [sub(i1), sub(), sub()], element)
        if kind == 1:
            return self.cast(n, dims, element, depth)
        if not is_float(element):
            return self.apply(n, self.rng.choice(INTEGER_BINARY), [sub(), sub()], element)
        if kind == 2 and not isinstance(element, Float16Type | BFloat16Type):
            small = [
                self.leaf(n, dims, element),
                self.constant(n, element),
            ]  # the product is exact: fma changes nothing
            return self.apply(n, arith.MulfOp, small, element)
        if kind == 3:
            return self.apply(n, arith.NegfOp, [sub()], element)
        return self.apply(n, self.rng.choice(FLOAT_BINARY), [sub(), sub()], element)

    def cast(self, n: Nest, dims: Sequence[Dim], element: Attribute, depth: int) -> SSAValue:
        """A value of another type, converted."""
        source: Any = signless(self.rng.choice(tuple(DTYPES)))
        if source == element:
            return self.leaf(n, dims, element)
        wider = dtype_of(source).itemsize < dtype_of(element).itemsize or source == i1
        choices: list[type[Operation]]
        if is_float(element) and is_float(source):
            if dtype_of(source).itemsize == dtype_of(element).itemsize:
                return self.leaf(n, dims, element)
            choices = [arith.ExtFOp if wider else arith.TruncFOp]
        elif is_float(element):
            choices = [arith.UIToFPOp] if source == i1 else [arith.SIToFPOp, arith.UIToFPOp]
        elif is_float(source):
            choices = [arith.FPToSIOp, arith.FPToUIOp]
        else:
            choices = [arith.ExtSIOp, arith.ExtUIOp] if wider else [arith.TruncIOp]
        return self.apply(n, self.rng.choice(choices), [self.value(n, dims, source, depth - 1)], element)

    def leaf(self, n: Nest, dims: Sequence[Dim], element: Attribute) -> SSAValue:
        if self.flip(0.12):
            return self.constant(n, element)
        if element == i64 and self.flip(0.3):
            return self.position(n, dims)
        return self.read(n, dims, element)

    def position(self, n: Nest, dims: Sequence[Dim]) -> SSAValue:
        """The value of an index expression."""
        expr, step = Expr.symbol("N") if self.symbolic else Expr.const(3), 0
        for d in dims:
            factor = self.rng.choice((0, 1, 2, -3))
            expr, step = expr + d.index * factor, step + d.step * factor
        if not step and self.flip(0.3):
            expr = self.rng.choice((expr // 3, expr % 5, minimum(expr, 4), maximum(expr, 2)))
        if n.lanes.count > 1 and step:
            index = n.put(Index(expr, n.variables, lanes=n.lanes.count, lane_step=step))
            return self.apply(n, arith.IndexCastOp, [index], i64)
        index = n.put(Index(expr, n.variables))
        return self.spread(n, n.put(arith.IndexCastOp(index, i64)))

    def read(self, n: Nest, dims: Sequence[Dim], element: Attribute) -> SSAValue:
        """An element of a buffer, in one of many ways."""
        dims = list(dims)
        stored = self.rng.choice([e for e in DTYPES if signless(e) == element])
        ways = (
            self.window,
            self.window,
            self.window,
            self.wrapped,
            self.beyond,
            self.beyond,
            self.gathered,
            self.earlier,
        )
        found = self.rng.choice(ways)(n, dims, stored)
        return self.spread(n, found)

    def load(
        self, n: Nest, buffer: SSAValue, at: Sequence[ExprLike], steps: Sequence[int], otherwise: SSAValue | None = None
    ) -> SSAValue:
        type_ = buffer.type
        assert isinstance(type_, BufferType)
        if not any(steps) and (otherwise is None or not isinstance(otherwise.type, VectorType)):
            return n.put(Load(buffer, (at, n.variables), otherwise=otherwise))  # lanes that load one place are one
        vector_type = n.lanes.of(signless(type_.element_type))
        return n.put(
            Load(
                buffer, (at, n.variables), type_=vector_type, otherwise=otherwise,
                lane_steps=steps if n.lanes.count > 1 else None, active=n.lanes.active,
            )
        )  # fmt: skip

    def window(self, n: Nest, dims: list[Dim], element: Attribute) -> SSAValue:
        """The element of the domain in a buffer that is as large or larger, of some of its dims."""
        some = self.rng.sample(dims, self.rng.randint(min(1, len(dims)), len(dims)))
        sizes: list[ExprLike] = []
        at: list[ExprLike] = []
        for d in some:
            low, high = self.rng.choice(((0, 0), (0, 0), (1, 2), (2, 0)))
            sizes.append(d.extent + low + high)
            at.append(d.index + self.rng.randint(0, low + high))
        if self.flip(0.2):
            sizes.append(3)
            at.append(self.rng.randrange(3))
        return self.load(n, self.input(sizes, element), at, [d.step for d in some] + [0] * (len(sizes) - len(some)))

    def wrapped(self, n: Nest, dims: list[Dim], element: Attribute) -> SSAValue:
        """Remainders, quotients and clamped indices; all lanes at one place."""
        sizes = [self.rng.randint(1, 6) for _ in range(self.rng.randint(1, 2))]
        at: list[Expr] = []
        for size in sizes:
            e = sum((d.index * self.rng.choice((1, 1, 2, 0)) for d in dims), Expr.const(self.rng.randrange(-3, 4)))
            e = self.rng.choice((e, e // 2, e * 3 - 7))
            at.append(self.rng.choice((e % size, minimum(maximum(e, 0), size - 1), (e // 2) % size)))
        return self.load(n, self.input(sizes, element), at, [0] * len(sizes))

    def beyond(self, n: Nest, dims: list[Dim], element: Attribute) -> SSAValue:
        """Indices that may leave the buffer, with an `else` value."""
        sizes = [self.size() for _ in range(self.rng.choice((1, 1, 2, 2, 3)))]
        at: list[Expr] = []
        steps: list[int] = []
        for _ in sizes:
            e, step = Expr.const(self.rng.randrange(-3, 3)), 0
            for d in self.rng.sample(dims, min(len(dims), self.rng.choice((1, 1, 2)))):
                factor = self.rng.choice((1, 1, 1, 2, -1))
                e, step = e + d.index * factor, step + d.step * factor
            at.append(e)
            steps.append(step)
        other = self.value(n, dims, signless(element), 0)
        if not any(steps) and isinstance(other.type, VectorType):
            other = n.put(arith.ConstantOp(attribute(1, signless(element))))
        return self.load(n, self.input(sizes, element), at, steps, other)

    def gathered(self, n: Nest, dims: list[Dim], element: Attribute) -> SSAValue:
        """An index that is data, the same for all lanes; one more dim goes on with the lanes."""
        size = self.rng.randint(1, 6)
        inside = self.flip()
        places = self.input([5], self.rng.choice((i64, i32, i8)), (0, size - 1) if inside else (-3, size + 3))
        number = sum((d.index for d in dims), Expr.const(0))
        loaded = self.load(n, places, [number % 5], [0])
        place = n.put(arith.IndexCastOp(loaded, IndexType()))
        inner = Nest(n.block, [*n.variables, place])
        inner.lanes = n.lanes
        if not self.symbolic and inside and self.flip():  # the place of a place
            place = inner.put(Index(Expr.dim(len(n.variables)) * 2 // 2, inner.variables))
            inner.variables[-1] = place
        more = dims[-1:]
        at = [Expr.dim(len(n.variables)), *(d.index for d in more)]
        other = None if inside else n.put(arith.ConstantOp(attribute(1, signless(element))))
        steps = [0, *(d.step for d in more)]
        if other is not None and any(steps):
            other = self.spread(n, other)
        return self.load(inner, self.input([size, *(d.extent for d in more)], element), at, steps, other)

    def earlier(self, n: Nest, dims: list[Dim], element: Attribute) -> SSAValue:
        """What an earlier nest has written, with an `else`."""
        found = [b for b in self.finished if isinstance(b.type, BufferType) and b.type.element_type == element]
        if not found:
            return self.window(n, dims, element)
        buffer = self.rng.choice(found)
        assert isinstance(buffer.type, BufferType)
        picked = [self.rng.choice(dims) if dims else Dim(Expr.const(1)) for _ in buffer.type.sizes]
        other = self.value(n, dims, signless(element), 0)
        steps = [d.step for d in picked]
        if not any(steps) and isinstance(other.type, VectorType):
            other = n.put(arith.ConstantOp(attribute(1, signless(element))))
        return self.load(n, buffer, [d.index for d in picked], steps, other)

    def store(self, n: Nest, value: SSAValue, buffer: SSAValue, dims: Sequence[Dim]) -> None:
        steps = [d.step for d in dims] if n.lanes.count > 1 else None
        n.put(Store(value, buffer, ([d.index for d in dims], n.variables), lane_steps=steps, active=n.lanes.active))
