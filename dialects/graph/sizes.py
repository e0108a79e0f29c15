"""Arithmetic on arrays of expressions, for shape computations: what cannot be decided raises TypeError.

Such arrays have dtype object and hold `Expr` and ints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.expr import Expr, ExprLike

Array = np.ndarray[Any, Any]


def mapped(function: Callable[..., Any], *arrays: Any) -> Array:
    """`function` of the elements of arrays that broadcast; an array of bools where all results are bools."""
    objects = np.broadcast_arrays(*(np.asarray(a, object) for a in arrays))
    found = [function(*elements) for elements in zip(*(a.reshape(-1).tolist() for a in objects), strict=True)]
    out = np.empty(len(found), object)
    out[:] = found
    if found and all(isinstance(v, bool) for v in found):
        out = out.astype(np.bool_)
    return out.reshape(objects[0].shape)


def less(a: ExprLike, b: ExprLike) -> bool:
    """a < b. Raises TypeError when it depends on the sizes."""
    a, b = Expr.of(a), Expr.of(b)
    if (b - a - 1).nonnegative():
        return True
    if (a - b).nonnegative():
        return False
    raise TypeError(f"whether {a} < {b} depends on the sizes")


def equal(a: ExprLike, b: ExprLike) -> bool:
    """a == b. Raises TypeError when it depends on the sizes."""
    a, b = Expr.of(a), Expr.of(b)
    if a == b:
        return True
    if (a - b - 1).nonnegative() or (b - a - 1).nonnegative():
        return False
    raise TypeError(f"whether {a} = {b} depends on the sizes")


def divide(a: ExprLike, b: ExprLike) -> Expr:
    """a / b rounded toward zero. Raises TypeError when the sign depends on the sizes and the division is not exact."""
    a, b = Expr.of(a), Expr.of(b)
    if (-b).nonnegative():
        a, b = -a, -b
    if not b.nonnegative():
        raise TypeError(f"the sign of {b} depends on the sizes")
    if a.nonnegative() or a % b == 0:
        return a // b
    if (-a).nonnegative():
        return -(-a // b)
    raise TypeError(f"the sign of {a} depends on the sizes")


def modulo(a: ExprLike, b: ExprLike, fmod: bool) -> Expr:
    """The remainder: with b's sign, or with a's (`fmod`). Raises TypeError when it depends on the sizes."""
    if fmod:
        return Expr.of(a) - divide(a, b) * b
    a, b = Expr.of(a), Expr.of(b)
    if b.nonnegative():
        return a % b
    if (-b).nonnegative():
        return -(-a % -b)
    raise TypeError(f"the sign of {b} depends on the sizes")


def cast_expressions(x: Array, dtype: np.dtype[Any]) -> Array:
    """Expressions in another element type: integers stay expressions, bool is `x != 0`, floats need constants."""
    if dtype.kind == "b":
        return mapped(lambda e: not equal(e, 0), x).astype(np.bool_)
    if dtype.kind in "iu":
        return x
    return np.array([float(Expr.of(e).__index__()) for e in x.reshape(-1)], np.float64).astype(dtype).reshape(x.shape)
