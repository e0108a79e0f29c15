"""Write a `tensor.compute` or a `tensor.update` as a Python function of its indices.

    compute([M, N], lambda b, i, j, k: b.read(x, i, k) * b.read(w, k, j), f32, reduce=[K], combine="add")

The function is run once, with an `Expr` per index; scalars it computes become arith and math operations.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType, f32, i1
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...ir.expr import Expr, ExprLike
from ...ir.indexed import INDEX
from ...ir.operands import append, built, make, put_before
from ...ir.types import TensorType, dtype_of, is_bool, is_float, is_small, is_unsigned, signless
from .body import Index, Put, Read, Yield, body_block
from .ops import Compute
from .small import decode, encode
from .update import Update

Number = int | float | bool


class Scalar:
    """A scalar value in a body, with its element type (sign included). Operators make arith operations; a Python number
    takes the other operand's type. Comparisons are methods (lt, le, gt, ge, eq, ne) and give bools (i1)."""

    def __init__(self, body: Body, value: SSAValue, element: Attribute) -> None:
        self.body, self.value, self.element = body, value, element

    def _other(self, x: Scalar | Number) -> Scalar:
        return x if isinstance(x, Scalar) else self.body.constant(x, self.element)

    def _binary(self, x: Scalar | Number, on_float: Any, on_signed: Any, on_unsigned: Any = None) -> Scalar:
        y = self._other(x)
        if is_small(self.element):
            raise TypeError(f"no arithmetic on {self.element}")
        if is_float(self.element):
            kind = on_float
        else:
            kind = on_unsigned if on_unsigned and (is_unsigned(self.element) or is_bool(self.element)) else on_signed
        if kind is None or signless(self.element) != signless(y.element):
            raise TypeError(f"operands {self.element} and {y.element}")
        return self.body.op(built(kind, self.value, y.value), self.element)

    def __add__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, arith.AddfOp, arith.AddiOp)

    def __sub__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, arith.SubfOp, arith.SubiOp)

    def __mul__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, arith.MulfOp, arith.MuliOp)

    def __truediv__(self, x: Scalar | Number) -> Scalar:
        """Division; of integers toward zero."""
        return self._binary(x, arith.DivfOp, arith.DivSIOp, arith.DivUIOp)

    def rem(self, x: Scalar | Number) -> Scalar:
        """Remainder of the division toward zero (integers)."""
        return self._binary(x, None, arith.RemSIOp, arith.RemUIOp)

    def __radd__(self, x: Number) -> Scalar:
        return self._other(x) + self

    def __rsub__(self, x: Number) -> Scalar:
        return self._other(x) - self

    def __rmul__(self, x: Number) -> Scalar:
        return self._other(x) * self

    def __rtruediv__(self, x: Number) -> Scalar:
        return self._other(x) / self

    def __neg__(self) -> Scalar:
        if is_float(self.element):
            return self.body.op(arith.NegfOp(self.value), self.element)
        return 0 - self

    def __and__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, None, arith.AndIOp)

    def __or__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, None, arith.OrIOp)

    def __xor__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, None, arith.XOrIOp)

    def __lshift__(self, x: Scalar | Number) -> Scalar:
        return self._binary(x, None, arith.ShLIOp)

    def __rshift__(self, x: Scalar | Number) -> Scalar:
        """Shift right: of signed integers with the sign, of unsigned ones with zeros."""
        return self._binary(x, None, arith.ShRSIOp, arith.ShRUIOp)

    def __invert__(self) -> Scalar:
        return self ^ (1 if is_bool(self.element) else -1)

    def maximum(self, x: Scalar | Number) -> Scalar:
        """The greater one; NaN if either is."""
        return self._binary(x, arith.MaximumfOp, arith.MaxSIOp, arith.MaxUIOp)

    def minimum(self, x: Scalar | Number) -> Scalar:
        """The lesser one; NaN if either is."""
        return self._binary(x, arith.MinimumfOp, arith.MinSIOp, arith.MinUIOp)

    def _compare(self, x: Scalar | Number, on_float: str, on_signed: str, on_unsigned: str) -> Scalar:
        y = self._other(x)
        if is_float(self.element):
            return self.body.op(built(arith.CmpfOp, self.value, y.value, extra=(on_float,)), i1)
        unsigned = is_unsigned(self.element) or is_bool(self.element)
        order = on_unsigned if unsigned else on_signed
        return self.body.op(built(arith.CmpiOp, self.value, y.value, extra=(order,)), i1)

    def lt(self, x: Scalar | Number) -> Scalar:
        return self._compare(x, "olt", "slt", "ult")

    def le(self, x: Scalar | Number) -> Scalar:
        return self._compare(x, "ole", "sle", "ule")

    def gt(self, x: Scalar | Number) -> Scalar:
        return self._compare(x, "ogt", "sgt", "ugt")

    def ge(self, x: Scalar | Number) -> Scalar:
        return self._compare(x, "oge", "sge", "uge")

    def eq(self, x: Scalar | Number) -> Scalar:
        return self._compare(x, "oeq", "eq", "eq")

    def ne(self, x: Scalar | Number) -> Scalar:
        """Not equal; true for NaN."""
        return self._compare(x, "une", "ne", "ne")

    def is_nan(self) -> Scalar:
        return self.body.op(arith.CmpfOp(self.value, self.value, "uno"), i1)

    def where(self, a: Scalar, b: Scalar | Number) -> Scalar:
        """a where this bool holds, else b."""
        return self.body.op(built(arith.SelectOp, self.value, a.value, a._other(b).value), a.element)

    def math(self, kind: Callable[..., Operation], *others: Scalar | Number) -> Scalar:
        """An operation of xDSL's math dialect, e.g. `x.math(math.ExpOp)`."""
        return self.body.op(kind(self.value, *(self._other(o).value for o in others)), self.element)

    def bitcast(self, element: Attribute) -> Scalar:
        """The bits as a value of another element type of as many."""
        if signless(element) == signless(self.element):
            return Scalar(self.body, self.value, element)
        return self.body.op(arith.BitcastOp(self.value, signless(element)), element)

    def cast(self, element: Attribute, *, saturate: bool = True, round_mode: str = "up") -> Scalar:
        """The value in another element type: numbers rounded to nearest, to integers toward zero, to bool `x != 0`.

        `saturate` and `round_mode` are for small floats: see small.py."""
        source: Any = self.element
        target: Any = element
        if source == target:
            return self
        if is_small(source):
            return decode(self).cast(target, saturate=saturate, round_mode=round_mode)
        if is_small(target):
            return encode(self, target, saturate, round_mode)
        if is_bool(target):
            return self.ne(0)
        plain: Any = signless(target)
        if is_float(source) and is_float(target):
            a, b = dtype_of(source).itemsize, dtype_of(target).itemsize
            if a == b:  # f16 and bf16
                return self.cast(f32).cast(target)
            kind = arith.ExtFOp if a < b else arith.TruncFOp
            return self.body.op(kind(self.value, target), target)
        if is_float(source):
            kind = arith.FPToUIOp if is_unsigned(target) else arith.FPToSIOp
            return self.body.op(kind(self.value, plain), target)
        unsigned = is_unsigned(source) or is_bool(source)
        if is_float(target):
            return self.body.op((arith.UIToFPOp if unsigned else arith.SIToFPOp)(self.value, target), target)
        assert isinstance(source, IntegerType) and isinstance(target, IntegerType) and isinstance(plain, IntegerType)
        if source.width.data == target.width.data:
            return Scalar(self.body, self.value, target)
        if source.width.data > target.width.data:
            return self.body.op(arith.TruncIOp(self.value, plain), target)
        return self.body.op((arith.ExtUIOp if unsigned else arith.ExtSIOp)(self.value, plain), target)


@lru_cache(maxsize=4096)
def _number(value: int | bytes, element: Attribute) -> Attribute:
    """The attribute of a constant of an element type; of a float by its bytes, which tell 0 from -0."""
    number: Number = value if isinstance(value, int) else struct.unpack("d", value)[0]
    plain: Any = signless(element)
    if is_small(element):
        number = int(np.array(number).astype(dtype_of(element)).view(np.int8))
    if is_float(element):
        return FloatAttr(float(number), plain)
    bits = plain.width.data
    wrapped = int(number) & ((1 << bits) - 1)
    signed = wrapped - (1 << bits) if bits > 1 and wrapped >> (bits - 1) else wrapped
    return IntegerAttr(signed if bits > 1 else -wrapped, plain)


class Body:
    """A body under construction: its index variables and how to read, compute and convert."""

    def __init__(self, block: Block, indices: int) -> None:
        self.block = block
        self.before: Operation | None = None  # where operations go; the end of the block
        self.values: list[SSAValue] = list(block.args[:indices])  # what Expr.dim(i) stands for
        self.dims = [Expr.dim(i) for i in range(indices)]

    def op(self, op: Operation, element: Attribute) -> Scalar:
        """Append an operation and wrap its result as a scalar of this element type."""
        return Scalar(self, self.put(op), element)

    def put(self, op: Operation) -> SSAValue:
        """Append an operation; its result."""
        if self.before is None:
            append(op, self.block)
        else:
            put_before(op, self.before)
        return op.results[0]

    def scalar(self, value: SSAValue, element: Attribute) -> Scalar:
        """A value of the body as a scalar of this element type."""
        return Scalar(self, value, element)

    def constant(self, number: Number, element: Attribute) -> Scalar:
        """A number in an element type (wrapped around where an integer type is too small for it)."""
        key = int(number) if isinstance(number, int | np.integer) else struct.pack("d", number)
        return self.op(make(arith.ConstantOp, (), (signless(element),), {"value": _number(key, element)}), element)

    def read(self, tensor: SSAValue, *index: ExprLike, otherwise: Scalar | Number | None = None) -> Scalar:
        """An element of `tensor`; `otherwise`, if given, where the index is outside."""
        assert isinstance(tensor.type, TensorType)
        element = tensor.type.element_type
        if otherwise is not None and not isinstance(otherwise, Scalar):
            otherwise = self.constant(otherwise, element)
        return self.op(Read(tensor, (index, self.values), otherwise.value if otherwise else None), element)

    def as_index(self, x: Scalar) -> Expr:
        """An integer scalar as an index that `read` takes."""
        if dtype_of(x.element).kind == "u":
            x = x.cast(IntegerType(64))
        value = self.put(arith.IndexCastOp(x.value, INDEX))
        self.values.append(value)
        return Expr.dim(len(self.values) - 1)

    def from_index(self, expr: ExprLike, element: Attribute | None = None) -> Scalar:
        """An index expression as a scalar, i64 unless said otherwise."""
        index = self.put(Index(expr, self.values))
        i64 = IntegerType(64)
        wide = self.op(arith.IndexCastOp(index, i64), i64)
        return wide if element is None else wide.cast(element)


def compute(
    shape: Sequence[ExprLike],
    body: Callable[..., Scalar],
    element: Attribute,
    *,
    reduce: Sequence[ExprLike] = (),
    combine: str | None = None,
    finish: Callable[..., Scalar] | None = None,
    nodes: Sequence[str] = (),
) -> Compute:
    """A `tensor.compute` of this shape and element type.

    `body(b, i, j, ..., k, ...)` gets a `Body` and an index per extent; `finish(b, i, j, ..., acc)` the parallel
    indices and the accumulator."""
    extents = [*map(Expr.of, shape), *map(Expr.of, reduce)]
    block = body_block(len(extents))
    b = Body(block, len(extents))
    block.add_op(Yield(body(b, *b.dims).value))
    end: Region | None = None
    if finish is not None:
        last = body_block(len(shape), signless(element))
        f = Body(last, len(shape))
        last.add_op(Yield(finish(f, *f.dims, Scalar(f, last.args[-1], element)).value))
        end = Region(last)
    return Compute(extents, len(shape), TensorType.of(shape, element), Region(block), end, combine, nodes)


Place = tuple[Scalar, Sequence[ExprLike]]  # a value, and where it is put


def update(
    init: SSAValue,
    parallel: Sequence[ExprLike],
    ordered: Sequence[ExprLike],
    body: Callable[..., Place | list[Place]],
    *,
    nodes: Sequence[str] = (),
) -> Update:
    """A `tensor.update` of `init` over these parallel and ordered extents.

    `body(b, state, i, j, ..., k, ...)` gets a `Body`, the tensor as it is, to read from, and an index per extent. It
    returns a value and its index, or several: `(b.read(state, i, k) + 1, [i, k + 1])`."""
    extents = [*map(Expr.of, parallel), *map(Expr.of, ordered)]
    block = body_block(len(extents), init.type)
    b = Body(block, len(extents))
    found = body(b, block.args[-1], *b.dims)
    places = found if isinstance(found, list) else [found]
    exprs = [e for _, index in places for e in index]
    block.add_op(Put([value.value for value, _ in places], (exprs, b.values)))
    return Update(init, extents, len(parallel), Region(block), nodes)
