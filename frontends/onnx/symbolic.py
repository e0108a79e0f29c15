"""Values that are known at import: numbers, and size expressions computed by the model itself.

Models compute shapes with ordinary operators (Shape, Gather, Mul, Concat ...). Where every element is a number or an
`Expr`, the operator's reference meaning is evaluated, on NumPy object arrays if need be. Two things are done here:
detours through floats (Cast, Mul by a scale, Floor) are exact fractions of expressions, and comparisons that the sizes
decide are expressions that are 0 or 1, so that a Where between shapes is an expression too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from ...dialects.graph import GraphOp
from ...ir.expr import ONE, ZERO, Expr, ExprLike, maximum, minimum

Array: TypeAlias = "np.ndarray[Any, Any]"

LIMIT = 4096  # elements of a value that is evaluated at import
SYMBOLIC = 256  # elements of one that holds expressions
COMBINED = 64  # expressions that one reduction or n-ary operator may combine
ATOMS = 256  # atoms of an expression, nested ones counted: beyond, nobody reads it, and its text may be exponential
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


def less(a: Ratio, b: Ratio) -> Expr:
    """1 where a < b, else 0."""
    return minimum(maximum(b.num * a.den - a.num * b.den, 0), 1)


def different(a: Ratio, b: Ratio) -> Expr:
    """1 where a != b, else 0."""
    d = a.num * b.den - b.num * a.den
    if (d - 1).nonnegative() or (-d - 1).nonnegative():
        return ONE
    return minimum(maximum(d, -d), 1)


def chosen(condition: Expr, a: Any, b: Any) -> Any:
    """a where the condition is 1, b where it is 0."""
    if condition.constant is not None:
        return b if condition == ZERO else a
    if a == b:
        return a
    if not isinstance(a, Expr) or not isinstance(b, Expr):
        raise Undecided
    return condition * a + (ONE - condition) * b


FLOATS: Mapping[str, Callable[..., Ratio]] = {
    "graph.add": lambda a, b: a + b,
    "graph.sub": lambda a, b: a - b,
    "graph.mul": lambda a, b: a * b,
    "graph.div": lambda a, b: a / b,
    "graph.floor": Ratio.floor,
    "graph.ceil": Ratio.ceil,
    "graph.identity": lambda a: a,
}
COMPARISONS: Mapping[str, Callable[[Ratio, Ratio], Expr]] = {
    "graph.equal": lambda a, b: ONE - different(a, b),
    "graph.less": less,
    "graph.greater": lambda a, b: less(b, a),
    "graph.less_or_equal": lambda a, b: ONE - less(b, a),
    "graph.greater_or_equal": lambda a, b: ONE - less(a, b),
}
LOGIC: Mapping[str, Callable[..., Expr]] = {
    "graph.and": lambda a, b: a * b,
    "graph.or": lambda a, b: a + b - a * b,
    "graph.xor": lambda a, b: a + b - 2 * a * b,
    "graph.not": lambda a: ONE - a,
}
# operators that only move elements: their reference meaning holds for elements of any kind
MOVEMENT = frozenset(
    f"graph.{name}"
    for name in ("concat", "gather", "slice", "reshape", "transpose", "expand", "tile", "split", "identity")
)


def is_symbolic(array: Array) -> bool:
    """True when the array holds expressions rather than numbers."""
    return array.dtype == object


def settled(array: Array, dtype: np.dtype[Any]) -> Array:
    """The object array as numbers of `dtype` when all elements are, else with all elements as Expr or Ratio."""
    elements = [_number(e) for e in array.flat]
    if not any(isinstance(e, Expr | Ratio) for e in elements):
        return np.array(elements, dtype).reshape(array.shape)
    if len(elements) > SYMBOLIC:
        raise Undecided
    wrap = Ratio.of if is_float(dtype) else Expr.of
    return objects([simple(e if isinstance(e, Expr | Ratio) else wrap(e)) for e in elements], array.shape)


def objects(elements: Sequence[Any], shape: Sequence[int]) -> Array:
    """An array of dtype object."""
    out = np.empty(len(elements), object)
    for i, e in enumerate(elements):
        out[i] = e
    return out.reshape(shape)


def simple(e: Any) -> Any:
    """The expression or fraction itself. Raises Undecided when it has become too large to be of use."""
    for part in (e.num, e.den) if isinstance(e, Ratio) else (e,):
        if too_large(part):
            raise Undecided
    return e


def too_large(e: Expr) -> bool:
    """True for an expression of more than ATOMS atoms or terms, or with numbers that int64 does not hold."""
    if len(e.terms) > ATOMS or any(abs(c) > 2**63 for c in e.terms.values()):
        return True
    return len([*islice(e.atoms(), ATOMS + 1)]) > ATOMS


def is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind not in "iub"


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
        if any(is_symbolic(i) for i in given) and op.name not in MOVEMENT:
            if len(given) > COMBINED or (op.name.startswith("graph.reduce") and given[0].size > COMBINED):
                return None
            own = _elementwise(op, given)
        else:
            own = None
        found: Sequence[Array] = op.evaluate(inputs, _size) if own is None else [own]
        values = [np.asarray(f) for f in found]
        return [settled(v, _dtype(r)) if is_symbolic(v) else v for v, r in zip(values, op.results, strict=True)]
    except (Undecided, TypeError, ValueError, IndexError, OverflowError, AttributeError, NotImplementedError):
        return None


def _dtype(result: Any) -> np.dtype[Any]:
    return result.type.dtype


def _size(e: ExprLike) -> int:
    if (k := Expr.of(e).constant) is None:
        raise Undecided
    return k


def _elementwise(op: GraphOp, given: Sequence[Array]) -> Array | None:
    """The value where it is this file's own matter: fractions, truth values. None for what the operator evaluates."""
    dtype, floats = _dtype(op.results[0]), any(isinstance(e, Ratio) for a in given for e in a.flat)
    if op.name == "graph.where":
        return _mapped(lambda c, a, b: chosen(_truth(c), _plain(a), _plain(b)), *given)
    if op.name in LOGIC:
        return _mapped(lambda *e: LOGIC[op.name](*map(_truth, e)), *given)
    if op.name in COMPARISONS:
        return _mapped(lambda a, b: COMPARISONS[op.name](Ratio.of(a), Ratio.of(b)), *given)
    if op.name == "graph.cast":
        return _mapped(lambda e: _cast(_plain(e), dtype), *given)
    if floats or is_float(dtype):
        if op.name not in FLOATS or dtype.itemsize < 4:  # half types are not exact on sizes
            raise Undecided
        return _mapped(lambda *e: FLOATS[op.name](*map(Ratio.of, e)), *given)
    return None


def _mapped(function: Callable[..., Any], *arrays: Array) -> Array:
    spread = np.broadcast_arrays(*arrays)
    if spread[0].size > SYMBOLIC:
        raise Undecided
    return objects([function(*elements) for elements in zip(*(a.flat for a in spread), strict=True)], spread[0].shape)


def _truth(e: Any) -> Expr:
    """A truth value as 0 or 1."""
    return e if isinstance(e, Expr) else Expr.const(int(bool(e)))


def _plain(e: Any) -> Any:
    """An element as Expr or Ratio."""
    if isinstance(e, Expr | Ratio):
        return e
    return Expr.const(int(e)) if isinstance(e, int | bool | np.integer | np.bool_) else Ratio.of(e)


def _cast(e: Expr | Ratio, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return different(Ratio.of(e), Ratio(ZERO))
    if dtype.kind in "iu":
        return e.truncated() if isinstance(e, Ratio) else e
    if dtype.itemsize < 4:  # half types are not exact on sizes
        raise Undecided
    return Ratio.of(e)
