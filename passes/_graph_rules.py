"""Algebra of operators. Every rule keeps the value bit for bit; one that drops a rounding says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.ir import Attribute, Operation, SSAValue

from ..dialects.graph.base import GraphOp
from ..dialects.graph.binary import Add, Div, Max, Mean, Min, Mul, Sub, Sum
from ..dialects.graph.conversion import Cast
from ..dialects.graph.data import Constant
from ..dialects.graph.movement import Concat, Expand, Pad, Reshape, Slice, Split, Tile, Transpose
from ..dialects.graph.unary import Abs, BitwiseNot, Ceil, Floor, Identity, Neg, Not, Relu, Round
from ..ir.expr import ONE, ZERO
from ..ir.types import TensorType, dtype_of, is_bool, is_float, is_small
from ._rewrite import Rules, enter

CHAINS: Rules = {}  # of `canonicalize`
IDENTITIES: Rules = {}  # of `eliminate-identities`


def on(*kinds: type[Operation]) -> Any:
    return enter(CHAINS, *kinds)


def identity(*kinds: type[Operation]) -> Any:
    return enter(IDENTITIES, *kinds)


def uniform(value: SSAValue) -> Any:
    """The number that a small constant holds everywhere, None if it holds several or is no constant."""
    if not isinstance(value.owner, Constant):
        return None
    array = value.owner.array
    if not 0 < array.size <= 4096:
        return None
    first = array.reshape(-1)[0]
    return first if (array == first).all() and not (np.signbit(array) != np.signbit(first)).any() else None


def same_type(value: SSAValue, op: Operation) -> SSAValue | None:
    """The value, if it has the type of the operation's result (a broadcast may have widened it)."""
    return value if value.type == op.results[0].type else None


# ---- arithmetic


# x + 0 → x (integers); x + -0.0 → x (floats)
@on(Add)
def add_zero(op: Add) -> SSAValue | None:
    for x, other in ((op.a, op.b), (op.b, op.a)):
        zero = uniform(other)
        if zero is not None and zero == 0 and (np.asarray(zero).dtype.kind in "iu" or np.signbit(zero)):
            return same_type(x, op)
    return None


# x - 0 → x
@on(Sub)
def subtract_zero(op: Sub) -> SSAValue | None:
    zero = uniform(op.b)
    return same_type(op.a, op) if zero is not None and zero == 0 and not np.signbit(zero) else None


# x * 1 → x
@on(Mul)
def multiply_one(op: Mul) -> SSAValue | None:
    for x, other in ((op.a, op.b), (op.b, op.a)):
        if (one := uniform(other)) is not None and one == 1:
            return same_type(x, op)
    return None


# x / 1 → x
@on(Div)
def divide_one(op: Div) -> SSAValue | None:
    one = uniform(op.b)
    return same_type(op.a, op) if one is not None and one == 1 else None


# -(-x) → x; not not x → x
@on(Neg, Not, BitwiseNot)
def twice_is_nothing(op: Any) -> SSAValue | None:
    inner = op.x.owner
    return inner.x if type(inner) is type(op) else None


# f(f(x)) → f(x)
@on(Abs, Relu, Floor, Ceil, Round)
def twice_is_once(op: Any) -> SSAValue | None:
    return op.x if type(op.x.owner) is type(op) else None


# | -x | → |x|
@on(Abs)
def absolute_of_negated(op: Abs) -> GraphOp | None:
    inner = op.x.owner
    return Abs.make(inner.x) if isinstance(inner, Neg) and is_float(_element(inner.x)) else None


# ---- movement


# transpose(transpose(x, p), q) → transpose(x, p[q])
@on(Transpose)
def transpose_twice(op: Transpose) -> GraphOp | None:
    inner = op.x.owner
    if not isinstance(inner, Transpose):
        return None
    first = inner.get("perm")
    return Transpose.make(inner.x, perm=[first[i] for i in op.get("perm")])


# reshape(reshape(x)) → reshape(x)
@on(Reshape)
def reshape_twice(op: Reshape) -> GraphOp | None:
    inner = op.x.owner
    return Reshape.make(inner.x, shape=list(_sizes(op.results[0]))) if isinstance(inner, Reshape) else None


# transpose(x, p) → reshape(x), where p keeps the order of the axes that are not 1
@on(Transpose)
def transpose_of_unit_axes(op: Transpose) -> GraphOp | None:
    sizes, perm = _sizes(op.x), list(op.get("perm"))
    moving = [i for i in perm if sizes[i] != ONE]
    if moving != sorted(moving) or perm == sorted(perm):
        return None
    return Reshape.make(op.x, shape=list(_sizes(op.results[0])))


# concat(a, x[0:k], x[k:], b) → concat(a, x, b), where the parts are those of one split along the same axis
@on(Concat)
def concat_of_split(op: Concat) -> GraphOp | None:
    axis, xs = op.get("axis"), list(op.xs)
    for i, first in enumerate(xs):
        split = first.owner
        if not isinstance(split, Split) or first is not split.results[0] or split.get("axis") != axis:
            continue
        count = len(split.results)
        if count > 1 and xs[i : i + count] == list(split.results):
            return Concat.make([*xs[:i], split.x, *xs[i + count :]], axis=axis)
    return None


# ---- casts


# cast(cast(x, T), U) → cast(x, U), where T holds every value of x's type
@on(Cast)
def cast_chain(op: Cast) -> GraphOp | None:
    inner = op.x.owner
    if not isinstance(inner, Cast):
        return None
    source, middle, target = _element(inner.x), _element(op.x), _element(op.results[0])
    if not holds(middle, source) or is_small(target):
        return None
    if is_float(middle) and not is_float(source) and not is_float(target) and not holds(target, source):
        return None  # what does not fit wraps around on one way and not on the other
    return Cast.make(inner.x, to=target)


def holds(target: Attribute, source: Attribute) -> bool:
    """Whether every value of an element type is one of another."""
    if source == target:
        return True
    if is_small(source) or is_small(target):
        return False
    a, b = dtype_of(source), dtype_of(target)
    if is_bool(source):
        return True
    if is_bool(target) or (is_float(source) and not is_float(target)):
        return False
    if is_float(source):
        return b.itemsize > a.itemsize  # f16 and bf16 do not hold one another
    low, high = np.iinfo(a).min, np.iinfo(a).max
    if is_float(target):
        digits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}[b.name]
        return bool(high < 2**digits)
    return bool(np.iinfo(b).min <= low and high <= np.iinfo(b).max)


# ---- what does nothing


# identity(x) → x
@identity(Identity)
def plain(op: Identity) -> SSAValue | None:
    return op.x


# cast(x) → x, expand(x) → x, reshape(x) → x: where x has that type already
@identity(Cast, Expand, Reshape)
def same_already(op: Any) -> SSAValue | None:
    return same_type(op.x, op)


# transpose(x, [0, 1, ...]) → x
@identity(Transpose)
def no_permutation(op: Transpose) -> SSAValue | None:
    perm = list(op.get("perm"))
    return op.x if perm == sorted(perm) else None


# concat(x) → x; split of one part → x; sum(x) → x, and so for max, min and mean
@identity(Concat, Sum, Max, Min, Mean)
def only_one(op: Any) -> SSAValue | None:
    return same_type(op.xs[0], op) if len(op.xs) == 1 else None


@identity(Split)
def one_part(op: Split) -> SSAValue | None:
    return same_type(op.x, op) if len(op.results) == 1 else None


# pad(x, 0) → x
@identity(Pad)
def no_padding(op: Pad) -> SSAValue | None:
    return same_type(op.x, op) if all(p == ZERO for p in op.get("pads")) else None


# tile(x, 1) → x
@identity(Tile)
def no_repetition(op: Tile) -> SSAValue | None:
    return same_type(op.x, op) if all(r == ONE for r in op.get("repeats")) else None


# x[0:] → x
@identity(Slice)
def whole_slice(op: Slice) -> SSAValue | None:
    whole = all(s == ZERO for s in op.get("starts")) and all(s == 1 for s in op.get("steps"))
    return same_type(op.x, op) if whole else None


def _sizes(value: SSAValue) -> Any:
    assert isinstance(value.type, TensorType)
    return value.type.sizes


def _element(value: SSAValue) -> Attribute:
    assert isinstance(value.type, TensorType)
    return value.type.element_type
