"""Values that are known at import: numbers, and size expressions computed by the model itself.

Models compute shapes with ordinary operators (Shape, Gather, Mul, Concat ...). Where every element is a number or an
`Expr`, the operator's reference meaning is evaluated, on NumPy object arrays if need be. Detours through floats (Cast,
Mul by a scale, Floor) are kept here as exact fractions of expressions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from ...dialects.graph import GraphOp
from ...ir.expr import ONE, ZERO, Expr, ExprLike, maximum

Array: TypeAlias = "np.ndarray[Any, Any]"

LIMIT = 4096  # elements of a value that is evaluated at import
EXACT = 1024  # largest denominator of a constant: the products of sizes with it are exact in float32


class Undecided(Exception):
    """The value depends on sizes in a way that an expression does not say."""


@dataclass(frozen=True)
class Ratio:
    """num / den, den > 0: a float computed from sizes."""

    num: Expr
    den: Expr = ONE

    @staticmethod
    def of(value: Any) -> Ratio:
        """Raises Undecided for a float that is no short fraction."""
        if isinstance(value, Ratio):
            return value
        if isinstance(value, Expr):
            return Ratio(value)
        number = float(value)
        if not math.isfinite(number) or (exact := Fraction(number)).denominator > EXACT:
            raise Undecided
        return Ratio(Expr.const(exact.numerator), Expr.const(exact.denominator))

    def __add__(self, other: Ratio) -> Ratio:
        return _reduced(self.num * other.den + other.num * self.den, self.den * other.den)

    def __sub__(self, other: Ratio) -> Ratio:
        return _reduced(self.num * other.den - other.num * self.den, self.den * other.den)

    def __mul__(self, other: Ratio) -> Ratio:
        return _reduced(self.num * other.num, self.den * other.den)

    def __truediv__(self, other: Ratio) -> Ratio:
        if other.num.constant == 0 or not other.num.nonnegative():
            raise Undecided
        return _reduced(self.num * other.den, self.den * other.num)

    def floor(self) -> Ratio:
        return Ratio(self.num // self.den)

    def ceil(self) -> Ratio:
        return Ratio(-((-self.num) // self.den))

    def truncated(self) -> Expr:
        """Rounded towards 0."""
        if self.num.nonnegative():
            return self.num // self.den
        return maximum(self.num, 0) // self.den - maximum(-self.num, 0) // self.den


def _reduced(num: Expr, den: Expr) -> Ratio:
    return Ratio(num // den) if num % den == ZERO else Ratio(num, den)


FLOATS: Mapping[str, Callable[..., Ratio]] = {
    "graph.add": lambda a, b: a + b,
    "graph.sub": lambda a, b: a - b,
    "graph.mul": lambda a, b: a * b,
    "graph.div": lambda a, b: a / b,
    "graph.floor": Ratio.floor,
    "graph.ceil": Ratio.ceil,
    "graph.identity": lambda a: a,
}
# operators that only move elements: their reference meaning holds for elements of any kind
MOVEMENT = frozenset(
    f"graph.{name}"
    for name in ("concat", "gather", "slice", "reshape", "transpose", "expand", "tile", "split", "identity", "where")
)


def is_symbolic(array: Array) -> bool:
    """True when the array holds expressions rather than numbers."""
    return array.dtype == object


def settled(array: Array, dtype: np.dtype[Any]) -> Array:
    """The object array as numbers of `dtype` when all elements are, else with all elements as Expr or Ratio."""
    elements = [_number(e) for e in array.flat]
    if not any(isinstance(e, Expr | Ratio) for e in elements):
        return np.array(elements, dtype).reshape(array.shape)
    wrap = Expr.of if dtype.kind in "iub" else Ratio.of
    out = np.empty(len(elements), object)
    for i, e in enumerate(elements):
        out[i] = e if isinstance(e, Expr | Ratio) else wrap(e)
    return out.reshape(array.shape)


def _number(element: Any) -> Any:
    if isinstance(element, Expr):
        return element if (k := element.constant) is None else k
    if isinstance(element, Ratio):
        n, d = element.num.constant, element.den.constant
        return element if n is None or d is None else n / d
    return element


def evaluate(op: GraphOp, inputs: Sequence[Array | None]) -> list[Array] | None:
    """The values of the operator's results, or None when they are not decided by what is known."""
    try:
        given = [i for i in inputs if i is not None]
        if any(is_symbolic(i) for i in given) and op.name not in MOVEMENT and _floating(op, given):
            found: Sequence[Array] = [_float_value(op, given)]
        else:
            found = op.evaluate(inputs, _size)
        values = [np.asarray(f) for f in found]
        return [settled(v, r.type.dtype) if is_symbolic(v) else v for v, r in zip(values, op.results, strict=True)]  # type: ignore
    except (Undecided, TypeError, ValueError, IndexError, OverflowError, AttributeError, NotImplementedError):
        return None


def _size(e: ExprLike) -> int:
    if (k := Expr.of(e).constant) is None:
        raise Undecided
    return k


def _floating(op: GraphOp, given: Sequence[Array]) -> bool:
    type_: Any = op.results[0].type
    return type_.dtype.kind == "f" or any(isinstance(e, Ratio) for a in given for e in a.flat)


def _float_value(op: GraphOp, given: Sequence[Array]) -> Array:
    """An elementwise operator on fractions."""
    type_: Any = op.results[0].type
    if type_.dtype.itemsize < 4 and type_.dtype.kind == "f":
        raise Undecided  # half types are not exact on sizes
    if op.name == "graph.cast":
        function: Callable[..., Any] = Ratio.truncated if type_.dtype.kind in "iu" else Ratio.of
        if type_.dtype.kind == "b":
            raise Undecided
    elif (found := FLOATS.get(op.name)) is None:
        raise Undecided
    else:
        function = found
    arrays = np.broadcast_arrays(*given)
    out = np.empty(arrays[0].shape, object)
    for index in np.ndindex(out.shape):
        out[index] = function(*(Ratio.of(a[index]) for a in arrays))
    return out
