"""What the rules of quantised operators share: scales and zero points in place, numbers to integers and back.

A quantised value q stands for `(q - zero point) * scale`. Everything is composed of plain operators, which fuse:
integers are exact (their sums are int32), and floats are rounded where the formulas of ONNX say so, half to even.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.ir import Attribute

from ...errors import ModelError
from ...ir.expr import ONE, Expr, ceildiv
from ...ir.types import bits_of, is_float, is_small_float, is_unsigned
from .builder import Value
from .node import Node


def scalar(n: Node, value: Value) -> Value:
    """A value of one element as one of rank 0."""
    return n.reshape(value, [])


def is_one(value: Value) -> bool:
    """Whether the value is known to have one element."""
    return value.type.elements == ONE


def spread(n: Node, value: Value, x: Value, axis: int, block: int = 0) -> Value:
    """A scale or zero point in a shape that broadcasts with `x`: one for all, one per index of `axis`, or one per
    block of `block` indices. Raises ModelError where it fits none of these."""
    if value.rank == 0 or (is_one(value) and not (block and value.rank > 1)):
        return scalar(n, value)
    if not -x.rank <= axis < x.rank:
        raise ModelError(f"axis {axis} is outside of rank {x.rank}")
    axis %= x.rank
    if not block:
        if value.rank != 1:
            raise ModelError(f"a scale or zero point has {value.rank} dimensions, expected one")
        n.builder.same(value.sizes[0], x.sizes[axis], f"one scale per index of axis {axis}: sizes differ")
        return n.reshape(value, [*[1] * axis, value.sizes[0], *[1] * (x.rank - axis - 1)])
    if value.rank != x.rank or block < 0:
        raise ModelError(f"blocks of {block}: a scale has {value.rank} dimensions, the input {x.rank}")
    n.builder.same(value.sizes[axis], ceildiv(x.sizes[axis], block), f"blocks of {block} along axis {axis}")
    return repeated(n, value, axis, block, x.sizes[axis])


def repeated(n: Node, value: Value, axis: int, times: int, size: Expr) -> Value:
    """Each element `times` times along an axis, which is cut off at `size`."""
    sizes, whole = [*value.sizes], value.sizes[axis] * times
    value = n.reshape(value, [*sizes[: axis + 1], 1, *sizes[axis + 1 :]])
    value = n.emit("Expand", value, shape=[*sizes[: axis + 1], Expr.const(times), *sizes[axis + 1 :]])
    value = n.reshape(value, [*sizes[:axis], whole, *sizes[axis + 1 :]])
    if whole == size:
        return value
    sizes[axis] = size
    return n.emit("Slice", value, starts=[0] * value.rank, sizes=sizes, steps=[1] * value.rank)


def limits(element: Attribute) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    bits = bits_of(element)
    return (0, 2**bits - 1) if is_unsigned(element) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def centred(n: Node, x: Value, zero: Value | None) -> Value:
    """`x - zero` as int32; `zero` broadcasts."""
    x = n.cast(x, np.int32)
    return x if zero is None or nothing(zero) else n.emit("Sub", x, n.cast(zero, np.int32))


def nothing(zero: Value) -> bool:
    """Whether a zero point is known to be zero."""
    return zero.numbers is not None and not zero.numbers.astype(np.float32).any()


def dequantized(n: Node, x: Value, scale: Value, zero: Value | None = None, dtype: Any = np.float32) -> Value:
    """`(x - zero) * scale`, computed in float32; scale and zero point broadcast."""
    if is_small_float(x.type.element_type):
        centre = n.cast(x, np.float32)
        if zero is not None and not nothing(zero):
            centre = n.emit("Sub", centre, n.cast(zero, np.float32))
    else:
        centre = n.cast(centred(n, x, zero), np.float32)
    return n.cast(n.emit("Mul", centre, n.cast(scale, np.float32)), dtype)


def quantized(n: Node, x: Value, scale: Value, zero: Value | None, element: Attribute, saturate: bool = True) -> Value:
    """`x / scale + zero` in a quantised type; the division is done in the type of both."""
    return rounded(n, n.emit("Div", x, scale), zero, element, saturate)


def rounded(n: Node, x: Value, zero: Value | None, element: Attribute, saturate: bool = True) -> Value:
    """`x + zero` in a quantised type. For integers x is rounded first, half to even, and what is beyond the type's
    range becomes its end, NaN the lower one."""
    x = n.cast(x, np.float32)
    if zero is not None and nothing(zero):
        zero = None
    if is_small_float(element):
        if zero is not None:
            x = n.emit("Add", x, n.cast(zero, np.float32))
        return n.emit("Cast", x, to=element, **({} if saturate else {"saturate": False}))
    x = n.emit("Round", x)
    if zero is not None:
        x = n.emit("Add", x, n.cast(zero, np.float32))
    low, high = (n.like(limit, x) for limit in limits(element))
    x = n.emit("Where", n.emit("Greater", x, low), x, low)
    return n.emit("Cast", n.emit("Min", [x, high]), to=element)


def float_type(n: Node, value: Value) -> Any:
    """The float dtype in which a scale computes: its own, float32 for a scale of a small type or of integers."""
    return value.dtype if is_float(value.type.element_type) else np.dtype(np.float32)


def requantized(n: Node, total: Value, scale: Value, zero: Value | None, element: Attribute) -> Value:
    """`round(total * scale) + zero`, of int32 sums."""
    return rounded(n, n.emit("Mul", n.cast(total, np.float32), scale), zero, element)
