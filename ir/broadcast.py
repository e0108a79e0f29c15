"""Sizes that broadcast, as ONNX has it."""

from __future__ import annotations

from .expr import ONE, ZERO, Expr, ExprLike, maximum, minimum


def broadcast(a: ExprLike, b: ExprLike) -> Expr:
    """The size that a and b broadcast to, provided `broadcast_condition` is 0: equal, or one of them is 1."""
    a, b = Expr.of(a), Expr.of(b)
    if a == b or b == ONE:
        return a
    if a == ONE:
        return b
    if a.constant is not None:
        return a
    if b.constant is not None:
        return b
    if (b - a).nonnegative():
        return b
    if (a - b).nonnegative():
        return a
    return maximum(a, b) * minimum(a, b, 1)


def broadcast_condition(a: ExprLike, b: ExprLike) -> Expr:
    """What must be 0 for a and b to broadcast.

    Where a <= b whatever the symbols are, b = 1 with a = 0 is refused: the result is then simply b."""
    a, b = Expr.of(a), Expr.of(b)
    if a == b or ONE in (a, b):
        return ZERO
    if a.constant is None and b.constant is None:
        if (b - a).nonnegative():
            return (a - b) * (a - 1)
        if (a - b).nonnegative():
            return (a - b) * (b - 1)
    return (a - b) * (a - 1) * (b - 1)
