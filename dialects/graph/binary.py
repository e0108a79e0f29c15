"""Elementwise operators with several operands, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import BoolAttr, StringAttr, i1
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    var_operand_def,
)

from ...ir.expr import ONE, maximum, minimum
from ...ir.types import Check, TensorType
from .base import (
    Array,
    GraphOp,
    Sizes,
    broadcast_checks,
    broadcast_shapes,
    is_symbolic,
    need,
    need_kind,
    need_same,
    settled,
    wide,
)
from .sizes import divide, equal, less, mapped, modulo


class Binary(GraphOp):
    """Two operands of one element type that broadcast; the result has that element type.

    C1: the sizes broadcast. C2: the element types are equal. C3: the element type is of a kind that the operator takes.
    """

    KINDS: ClassVar[str] = "fiu"
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        a, b = self.type_of(0), self.type_of(1)
        need_same(a, b, "C2")
        need_kind(a, self.KINDS, "C3")
        return [TensorType.of(broadcast_shapes(a.sizes, b.sizes), a.element_type)]

    def checks(self) -> Sequence[Check]:
        return broadcast_checks(self.name, self.type_of(0).sizes, self.type_of(1).sizes)

    def function(self, a: Array, b: Array) -> Array:
        """The meaning; float16 and bfloat16 come as float32."""
        raise NotImplementedError

    def expression(self, a: Any, b: Any) -> Any:
        """The meaning for two sizes. Raises TypeError where there is none, or where it cannot be decided."""
        raise TypeError(f"{self.name} of sizes that are not constant")

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        a, b = inputs
        if is_symbolic(a, b):
            return [mapped(self.expression, a, b)]
        with np.errstate(all="ignore"):
            return [settled(self.function(wide(a), wide(b)), a.dtype)]


class Comparison(Binary):
    """Two operands of one element type that broadcast; the result is bool. C1–C3 of Binary."""

    def infer(self) -> Sequence[TensorType]:
        return [TensorType.of(super().infer()[0].sizes, i1)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        if is_symbolic(*inputs):
            return [mapped(self.expression, *inputs).astype(np.bool_)]
        return [settled(self.function(*inputs), np.bool_)]


# ---- arithmetic


@irdl_op_definition
class Add(Binary):
    """a + b; integers wrap around. C1, C2 of Binary; C3: numbers."""

    name = "graph.add"

    def function(self, a: Array, b: Array) -> Array:
        return a + b

    def expression(self, a: Any, b: Any) -> Any:
        return a + b


@irdl_op_definition
class Sub(Binary):
    """a - b; integers wrap around. C1, C2 of Binary; C3: numbers."""

    name = "graph.sub"

    def function(self, a: Array, b: Array) -> Array:
        return a - b

    def expression(self, a: Any, b: Any) -> Any:
        return a - b


@irdl_op_definition
class Mul(Binary):
    """a b; integers wrap around. C1, C2 of Binary; C3: numbers."""

    name = "graph.mul"

    def function(self, a: Array, b: Array) -> Array:
        return a * b

    def expression(self, a: Any, b: Any) -> Any:
        return a * b


@irdl_op_definition
class Div(Binary):
    """a / b; integers round toward zero, by 0 undefined. C1, C2 of Binary; C3: numbers."""

    name = "graph.div"

    def function(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "f":
            return a / b
        quotient = a // b
        return quotient + ((quotient * b != a) & ((a < 0) != (b < 0)) & (b != 0))

    def expression(self, a: Any, b: Any) -> Any:
        return divide(a, b)


@irdl_op_definition
class Mod(Binary):
    """The remainder of a / b: with b's sign, or with a's if `fmod`; by 0 undefined.

    C1, C2 of Binary. C3: numbers. C4: floats need `fmod`.
    """

    name = "graph.mod"
    DEFAULTS: ClassVar = {"fmod": False}
    fmod = prop_def(BoolAttr)

    def infer(self) -> Sequence[TensorType]:
        found = super().infer()
        need(self.get("fmod") or found[0].dtype.kind in "iu", "C4 Mod of floats needs fmod")
        return found

    def function(self, a: Array, b: Array) -> Array:
        return np.fmod(a, b) if self.get("fmod") else np.mod(a, b)

    def expression(self, a: Any, b: Any) -> Any:
        return modulo(a, b, self.get("fmod"))


@irdl_op_definition
class Pow(Binary):
    """a to the power of b, in a's element type; integers round toward zero.

    C1: the sizes broadcast. C2: a is float or integer of 32 or 64 bits. C3: b is a number.
    """

    name = "graph.pow"

    def infer(self) -> Sequence[TensorType]:
        a, b = self.type_of(0), self.type_of(1)
        need_kind(a, "fi", "C2")
        need(a.dtype.kind != "i" or a.dtype.itemsize >= 4, f"C2 element type {a.element_type} is too short")
        need_kind(b, "fiu", "C3")
        return [TensorType.of(broadcast_shapes(a.sizes, b.sizes), a.element_type)]

    def function(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "f":
            return np.power(a, b.astype(a.dtype))
        if b.dtype.kind == "f":
            return np.power(a.astype(np.float64), b)
        whole = np.power(a, np.maximum(b, 0).astype(a.dtype))
        below = np.trunc(np.power(a.astype(np.float64), b)).astype(a.dtype)
        return np.where(b < 0, below, whole)


# ---- comparisons


@irdl_op_definition
class Equal(Comparison):
    """a = b. C1, C2 of Binary; C3: any element type."""

    name = "graph.equal"
    KINDS: ClassVar = "fiub"

    def function(self, a: Array, b: Array) -> Array:
        return np.equal(a, b)

    def expression(self, a: Any, b: Any) -> Any:
        return equal(a, b)


@irdl_op_definition
class Greater(Comparison):
    """a > b. C1, C2 of Binary; C3: numbers."""

    name = "graph.greater"

    def function(self, a: Array, b: Array) -> Array:
        return np.greater(a, b)

    def expression(self, a: Any, b: Any) -> Any:
        return less(b, a)


@irdl_op_definition
class GreaterOrEqual(Comparison):
    """a >= b. C1, C2 of Binary; C3: numbers."""

    name = "graph.greater_or_equal"

    def function(self, a: Array, b: Array) -> Array:
        return np.greater_equal(a, b)

    def expression(self, a: Any, b: Any) -> Any:
        return not less(a, b)


@irdl_op_definition
class Less(Comparison):
    """a < b. C1, C2 of Binary; C3: numbers."""

    name = "graph.less"

    def function(self, a: Array, b: Array) -> Array:
        return np.less(a, b)

    def expression(self, a: Any, b: Any) -> Any:
        return less(a, b)


@irdl_op_definition
class LessOrEqual(Comparison):
    """a <= b. C1, C2 of Binary; C3: numbers."""

    name = "graph.less_or_equal"

    def function(self, a: Array, b: Array) -> Array:
        return np.less_equal(a, b)

    def expression(self, a: Any, b: Any) -> Any:
        return not less(b, a)


# ---- logic and bits


@irdl_op_definition
class And(Binary):
    """Logical and. C1, C2 of Binary; C3: bool."""

    name = "graph.and"
    KINDS: ClassVar = "b"

    def function(self, a: Array, b: Array) -> Array:
        return np.logical_and(a, b)


@irdl_op_definition
class Or(Binary):
    """Logical or. C1, C2 of Binary; C3: bool."""

    name = "graph.or"
    KINDS: ClassVar = "b"

    def function(self, a: Array, b: Array) -> Array:
        return np.logical_or(a, b)


@irdl_op_definition
class Xor(Binary):
    """Logical exclusive or. C1, C2 of Binary; C3: bool."""

    name = "graph.xor"
    KINDS: ClassVar = "b"

    def function(self, a: Array, b: Array) -> Array:
        return np.logical_xor(a, b)


@irdl_op_definition
class BitwiseAnd(Binary):
    """The bits of a and b. C1, C2 of Binary; C3: integers."""

    name = "graph.bitwise_and"
    KINDS: ClassVar = "iu"

    def function(self, a: Array, b: Array) -> Array:
        return np.bitwise_and(a, b)


@irdl_op_definition
class BitwiseOr(Binary):
    """The bits of a or b. C1, C2 of Binary; C3: integers."""

    name = "graph.bitwise_or"
    KINDS: ClassVar = "iu"

    def function(self, a: Array, b: Array) -> Array:
        return np.bitwise_or(a, b)


@irdl_op_definition
class BitwiseXor(Binary):
    """The bits of either a or b. C1, C2 of Binary; C3: integers."""

    name = "graph.bitwise_xor"
    KINDS: ClassVar = "iu"

    def function(self, a: Array, b: Array) -> Array:
        return np.bitwise_xor(a, b)


@irdl_op_definition
class BitShift(Binary):
    """a shifted by b bits, in `direction` "LEFT" or "RIGHT"; by its width or more gives 0.

    C1, C2 of Binary. C3: unsigned integers. C4: the direction is one of the two.
    """

    name = "graph.bit_shift"
    KINDS: ClassVar = "u"
    direction = prop_def(StringAttr)

    def infer(self) -> Sequence[TensorType]:
        need(self.get("direction") in ("LEFT", "RIGHT"), f"C4 direction {self.get('direction')!r}")
        return super().infer()

    def function(self, a: Array, b: Array) -> Array:
        return np.left_shift(a, b) if self.get("direction") == "LEFT" else np.right_shift(a, b)


# ---- any number of operands


class Variadic(GraphOp):
    """One or more operands of one element type that broadcast; the result has that element type.

    C1: the sizes broadcast. C2: the element types are equal. C3: the element type is of a kind that the operator takes.
    C4: there is an operand.
    """

    KINDS: ClassVar[str] = "f"
    xs = var_operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        need(len(self.operands) > 0, "C4 no operands")
        types = [self.type_of(i) for i in range(len(self.operands))]
        for type_ in types:
            need_same(types[0], type_, "C2")
        need_kind(types[0], self.KINDS, "C3")
        return [TensorType.of(broadcast_shapes(*(t.sizes for t in types)), types[0].element_type)]

    def checks(self) -> Sequence[Check]:
        return broadcast_checks(self.name, *(self.type_of(i).sizes for i in range(len(self.operands))))

    def function(self, xs: Sequence[Array]) -> Array:
        """The meaning; float16 and bfloat16 come as float32."""
        raise NotImplementedError

    def expression(self, *xs: Any) -> Any:
        """The meaning for sizes. Raises TypeError where there is none."""
        raise TypeError(f"{self.name} of sizes that are not constant")

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        if is_symbolic(*inputs):
            return [mapped(self.expression, *inputs)]
        with np.errstate(all="ignore"):
            return [settled(self.function([wide(x) for x in inputs]), inputs[0].dtype)]


@irdl_op_definition
class Max(Variadic):
    """The greatest; NaN if one is NaN. C1, C2, C4 of Variadic; C3: numbers."""

    name = "graph.max"
    KINDS: ClassVar = "fiu"

    def function(self, xs: Sequence[Array]) -> Array:
        return reduce(np.maximum, xs)

    def expression(self, *xs: Any) -> Any:
        return maximum(*xs)


@irdl_op_definition
class Min(Variadic):
    """The least; NaN if one is NaN. C1, C2, C4 of Variadic; C3: numbers."""

    name = "graph.min"
    KINDS: ClassVar = "fiu"

    def function(self, xs: Sequence[Array]) -> Array:
        return reduce(np.minimum, xs)

    def expression(self, *xs: Any) -> Any:
        return minimum(*xs)


@irdl_op_definition
class Sum(Variadic):
    """The sum, from left to right. C1, C2, C4 of Variadic; C3: float."""

    name = "graph.sum"

    def function(self, xs: Sequence[Array]) -> Array:
        return reduce(np.add, xs)


@irdl_op_definition
class Mean(Variadic):
    """The sum, from left to right, divided by the number of operands. C1, C2, C4 of Variadic; C3: float."""

    name = "graph.mean"

    def function(self, xs: Sequence[Array]) -> Array:
        return reduce(np.add, xs) / len(xs)


# ---- the rest


@irdl_op_definition
class Where(GraphOp):
    """a where the condition holds, else b.

    C1: the sizes of all three broadcast. C2: the condition is bool. C3: the element types of a and b are equal.
    """

    name = "graph.where"
    condition = operand_def(TensorType)
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        condition, a, b = (self.type_of(i) for i in range(3))
        need_kind(condition, "b", "C2")
        need_same(a, b, "C3")
        return [TensorType.of(broadcast_shapes(condition.sizes, a.sizes, b.sizes), a.element_type)]

    def checks(self) -> Sequence[Check]:
        return broadcast_checks(self.name, *(self.type_of(i).sizes for i in range(3)))

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        if inputs[0].dtype == object:
            raise TypeError("which operand of graph.where is taken depends on the sizes")
        return [np.where(*inputs)]


@irdl_op_definition
class PRelu(GraphOp):
    """x, or x times the slope where x < 0.

    C1: the slope broadcasts to x's sizes. C2: the element types are equal. C3: they are numbers.
    """

    name = "graph.prelu"
    x = operand_def(TensorType)
    slope = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, slope = self.type_of(0), self.type_of(1)
        need_same(x, slope, "C2")
        need_kind(x, "fiu", "C3")
        need(slope.rank <= x.rank, f"C1 a slope of rank {slope.rank} for rank {x.rank}")
        for size, other in zip(x.sizes[x.rank - slope.rank :], slope.sizes, strict=True):
            need(other == ONE or (size - other).constant in (None, 0), f"C1 size {other} does not broadcast to {size}")
        return [x]

    def checks(self) -> Sequence[Check]:
        x, slope = self.type_of(0).sizes, self.type_of(1).sizes
        pairs = zip(x[len(x) - len(slope) :], slope, strict=True)
        return [
            Check.of((a - b) * (b - 1), f"{self.name}: size {b} does not broadcast to {a}")
            for a, b in pairs
            if b != ONE and a != b
        ]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, slope = wide(inputs[0]), wide(inputs[1])
        with np.errstate(all="ignore"):
            return [settled(np.where(x < 0, x * slope, x), inputs[0].dtype)]


@irdl_op_definition
class Clip(GraphOp):
    """min(max(x, low), high): `high` where the bounds cross; an absent bound does not bind. NaN stays NaN.

    C1: a bound has one element and rank 0. C2: the element types are equal. C3: they are numbers.
    """

    name = "graph.clip"
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    x = operand_def(TensorType)
    low = opt_operand_def(TensorType)
    high = opt_operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        for i, bound in enumerate((self.low, self.high), 1):
            if bound is not None:
                need(self.type_of(i).elements == ONE, f"C1 a bound of type {bound.type}")
                need_same(x, self.type_of(i), "C2")
        need_kind(x, "fiu", "C3")
        return [x]

    def evaluate(self, inputs: Sequence[Array | None], sizes: Sizes) -> Sequence[Array]:
        x, low, high = inputs
        assert x is not None
        if is_symbolic(*inputs):
            found = x if low is None else mapped(lambda a, b: maximum(a, b), x, low.reshape(()))
            return [found if high is None else mapped(lambda a, b: minimum(a, b), found, high.reshape(()))]
        found = x
        if low is not None:
            found = np.maximum(found, low.reshape(()))
        if high is not None:
            found = np.minimum(found, high.reshape(()))
        return [settled(found, x.dtype)]
