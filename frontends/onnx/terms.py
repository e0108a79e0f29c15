"""Formulas in rules: values with Python's operators, so that a rule reads like what ONNX's specification says.

    x, y = term(n, 0), term(n, 1)
    return ((x - y) * 0.5).floor().value

Operands broadcast as ONNX's do. A Python number takes the other operand's element type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ...ir.expr import ONE, ZERO, Expr, ExprLike
from .builder import Value
from .node import Node
from .rules_shape import known_sizes

Number: TypeAlias = "int | float | bool"


class Term:
    """A value of a node in a formula. Comparisons are methods (lt, le, gt, ge, eq)."""

    def __init__(self, node: Node, value: Value) -> None:
        self.node, self.value = node, value

    @property
    def sizes(self) -> tuple[Expr, ...]:
        return self.value.sizes

    @property
    def rank(self) -> int:
        return self.value.rank

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def emit(self, operator: str, *others: Term | Number, **properties: Any) -> Term:
        """A graph operator with this as its first operand."""
        operands = [self.like(o).value for o in others]
        return Term(self.node, self.node.emit(operator, self.value, *operands, **properties))

    def like(self, x: Term | Number) -> Term:
        """A number in this element type; a term as it is."""
        return x if isinstance(x, Term) else Term(self.node, self.node.like(x, self.value))

    # ---- arithmetic

    def __add__(self, x: Term | Number) -> Term:
        return self.emit("Add", x)

    def __sub__(self, x: Term | Number) -> Term:
        return self.emit("Sub", x)

    def __mul__(self, x: Term | Number) -> Term:
        return self.emit("Mul", x)

    def __truediv__(self, x: Term | Number) -> Term:
        """Division; of integers toward zero."""
        return self.emit("Div", x)

    def __mod__(self, x: Term | Number) -> Term:
        """Remainder of integers, with the sign of x."""
        return self.emit("Mod", x)

    def __radd__(self, x: Number) -> Term:
        return self.like(x) + self

    def __rsub__(self, x: Number) -> Term:
        return self.like(x) - self

    def __rmul__(self, x: Number) -> Term:
        return self.like(x) * self

    def __rtruediv__(self, x: Number) -> Term:
        return self.like(x) / self

    def __neg__(self) -> Term:
        return self.emit("Neg")

    def __pow__(self, x: Term | Number) -> Term:
        return self.emit("Pow", x)

    def __and__(self, x: Term) -> Term:
        return self.emit("And", x)

    def __or__(self, x: Term) -> Term:
        return self.emit("Or", x)

    def __invert__(self) -> Term:
        return self.emit("Not")

    def __xor__(self, x: Term | Number) -> Term:
        """Bits of integers."""
        return self.emit("BitwiseXor", x)

    def __lshift__(self, x: Number) -> Term:
        return self.emit("BitShift", x, direction="LEFT")

    def __rshift__(self, x: Number) -> Term:
        return self.emit("BitShift", x, direction="RIGHT")

    def lt(self, x: Term | Number) -> Term:
        return self.emit("Less", x)

    def le(self, x: Term | Number) -> Term:
        return self.emit("LessOrEqual", x)

    def gt(self, x: Term | Number) -> Term:
        return self.emit("Greater", x)

    def ge(self, x: Term | Number) -> Term:
        return self.emit("GreaterOrEqual", x)

    def eq(self, x: Term | Number) -> Term:
        return self.emit("Equal", x)

    def minimum(self, x: Term | Number) -> Term:
        return Term(self.node, self.node.emit("Min", [self.value, self.like(x).value]))

    def maximum(self, x: Term | Number) -> Term:
        return Term(self.node, self.node.emit("Max", [self.value, self.like(x).value]))

    def clip(self, low: Term | Number, high: Term | Number) -> Term:
        return self.maximum(low).minimum(high)

    def where(self, a: Term | Number, b: Term | Number) -> Term:
        """a where this bool holds, else b; one of the two is a term."""
        typed = a if isinstance(a, Term) else b
        assert isinstance(typed, Term)
        return Term(self.node, self.node.emit("Where", self.value, typed.like(a).value, typed.like(b).value))

    def cast(self, dtype: Any) -> Term:
        return Term(self.node, self.node.cast(self.value, dtype))

    def wide(self) -> Term:
        """Half types as float32, in which arithmetic is done."""
        return self.cast(np.float32) if self.dtype.itemsize == 2 else self

    # ---- shape

    def reshape(self, *sizes: ExprLike) -> Term:
        return Term(self.node, self.node.reshape(self.value, sizes))

    def unsqueeze(self, *axes: int) -> Term:
        """With axes of size 1 at these places of the result."""
        rank, sizes = self.rank + len(axes), iter(self.sizes)
        places = {a % rank for a in axes}
        return self.reshape(*(ONE if i in places else next(sizes) for i in range(rank)))

    def transpose(self, *perm: int) -> Term:
        return self if list(perm) == sorted(perm) else self.emit("Transpose", perm=list(perm))

    def expand(self, *sizes: ExprLike) -> Term:
        return self.emit("Expand", shape=[Expr.of(s) for s in sizes])

    def part(self, axis: int, start: ExprLike, size: ExprLike, step: int = 1) -> Term:
        """`size` elements from `start` along an axis."""
        axis %= self.rank
        starts, sizes, steps = [ZERO] * self.rank, list(self.sizes), [1] * self.rank
        starts[axis], sizes[axis], steps[axis] = Expr.of(start), Expr.of(size), step
        return self.emit("Slice", starts=starts, sizes=sizes, steps=steps)

    def at(self, axis: int, place: ExprLike) -> Term:
        """One element along an axis, which goes."""
        axis %= self.rank
        return self.part(axis, place, 1).reshape(*self.sizes[:axis], *self.sizes[axis + 1 :])

    def sized(self, axis: int, size: ExprLike) -> Term:
        """The same with this size along an axis; that it has it is checked when the model runs."""
        axis, expected = axis % self.rank, Expr.of(size)
        found = self.sizes[axis]
        if found == expected:
            return self
        message = f"{self.node.operator}: size {axis} of an input of {self.rank} dimensions is {found}, not {expected}"
        self.node.builder.same(found, expected, message)
        return self.part(axis, 0, expected)

    def take(self, *indices: Term) -> Term:
        """x[indices], one for each of the first axes, broadcast together; 0 outside."""
        return Term(self.node, self.node.emit("Take", self.value, [i.value for i in indices]))

    # ---- reductions

    def reduce(self, kind: str, *axes: int, keepdims: bool = False) -> Term:
        return self.emit(f"Reduce{kind}", axes=[a % self.rank for a in axes], keepdims=keepdims)

    def sum(self, *axes: int, keepdims: bool = False) -> Term:
        return self.reduce("Sum", *axes, keepdims=keepdims)

    def mean(self, *axes: int, keepdims: bool = False) -> Term:
        return self.reduce("Mean", *axes, keepdims=keepdims)

    def max(self, *axes: int, keepdims: bool = False) -> Term:
        return self.reduce("Max", *axes, keepdims=keepdims)

    def matmul(self, x: Term) -> Term:
        return self.emit("MatMul", x)


def term(n: Node, position: int) -> Term:
    """An input of the node. Raises ModelError when it is absent."""
    return Term(n, n.input(position))


def number(n: Node, value: Any, dtype: Any) -> Term:
    """Constant data."""
    return Term(n, n.constant(value, dtype))


def size(n: Node, value: ExprLike, dtype: Any = np.int64) -> Term:
    """A size as a scalar."""
    return Term(n, known_sizes([Expr.of(value)], [])).cast(dtype)


def iota(n: Node, count: ExprLike, *, axis: int = 0, rank: int = 1, dtype: Any = np.int64) -> Term:
    """0, 1 ... count - 1 along an axis of a tensor of this rank; its other sizes are 1."""
    zero, one = n.constant(0, dtype), n.constant(1, dtype)
    line = Term(n, n.emit("Range", zero, one, size=Expr.of(count)))
    axis %= rank
    return line.reshape(*(Expr.of(count) if i == axis else ONE for i in range(rank)))


def concat(terms: Sequence[Term], axis: int) -> Term:
    """Terms one after the other along an axis."""
    first = terms[0]
    if len(terms) == 1:
        return first
    return Term(first.node, first.node.emit("Concat", [t.value for t in terms], axis=axis))


def stack(terms: Sequence[Term], axis: int) -> Term:
    """Terms of equal shape side by side along a new axis."""
    return concat([t.unsqueeze(axis) for t in terms], axis)
