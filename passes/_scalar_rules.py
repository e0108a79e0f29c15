"""Algebra of scalar operations in bodies. Every rule keeps the value bit for bit (of a NaN: that it is one), or says
why it does not: `x + 0.0`, for one, stays, because it makes 0.0 of -0.0."""

from __future__ import annotations

import math as _math
from typing import Any

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IndexType, IntegerAttr, IntegerType, UnitAttr
from xdsl.ir import Attribute, Operation, SSAValue

from ..ir.scalars import ROUNDED
from ._rewrite import Rule, Rules, enter

SCALAR_RULES: Rules = {}


def on(*kinds: type[Operation]) -> Any:
    return enter(SCALAR_RULES, *kinds)


def number(value: SSAValue) -> int | float | None:
    """The number that a value is, None if it is not a constant."""
    if not isinstance(value.owner, arith.ConstantOp):
        return None
    attribute = value.owner.value
    return attribute.value.data if isinstance(attribute, IntegerAttr | FloatAttr) else None


def is_zero(value: SSAValue, negative: bool) -> bool:
    """Whether a value is the float 0.0, or -0.0."""
    found = number(value)
    return isinstance(found, float) and found == 0.0 and (_math.copysign(1, found) < 0) == negative


def integer(value: int, type_: Attribute) -> Operation:
    """A new integer constant."""
    assert isinstance(type_, IntegerType | IndexType)
    return arith.ConstantOp(IntegerAttr(value, type_))


def either(op: Any, wanted: int | float) -> SSAValue | None:
    """The other operand where one of the two is the number `wanted`."""
    for a, b in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        if number(b) == wanted:
            return a
    return None


# x + 0 → x; x | 0 → x; x ^ 0 → x
@on(arith.AddiOp, arith.OrIOp, arith.XOrIOp)
def add_zero(op: Any) -> SSAValue | None:
    return either(op, 0)


# x - 0 → x; x - x → 0; x << 0 → x; x >> 0 → x
@on(arith.SubiOp, arith.ShLIOp, arith.ShRSIOp, arith.ShRUIOp)
def subtract_zero(op: Any) -> SSAValue | Operation | None:
    if isinstance(op, arith.SubiOp) and op.lhs is op.rhs:
        return integer(0, op.result.type)
    return op.lhs if number(op.rhs) == 0 else None


# x * 1 → x; x * 0 → 0
@on(arith.MuliOp)
def multiply_integers(op: arith.MuliOp) -> SSAValue | Operation | None:
    if either(op, 0) is not None:
        return integer(0, op.result.type)
    return either(op, 1)


# x / 1 → x
@on(arith.DivSIOp, arith.DivUIOp)
def divide_integers(op: Any) -> SSAValue | None:
    return op.lhs if number(op.rhs) == 1 and op.result.type != IntegerType(1) else None


# x & x → x; x | x → x; max(x, x) → x; min(x, x) → x
@on(
    arith.AndIOp, arith.OrIOp, arith.MaxSIOp, arith.MinSIOp, arith.MaxUIOp, arith.MinUIOp, arith.MaximumfOp,
    arith.MinimumfOp, arith.MaxnumfOp, arith.MinnumfOp,
)  # fmt: skip
def idempotent(op: Any) -> SSAValue | None:
    return op.lhs if op.lhs is op.rhs else None


# max(max(x, c), c) → max(x, c), and so for min
@on(arith.MaxSIOp, arith.MinSIOp, arith.MaxUIOp, arith.MinUIOp, arith.MaximumfOp, arith.MinimumfOp)
def repeated_bound(op: Any) -> SSAValue | None:
    inner = op.lhs.owner
    same = type(inner) is type(op) and number(op.rhs) is not None and same_constant(inner.rhs, op.rhs)
    return op.lhs if same else None


def same_constant(a: SSAValue, b: SSAValue) -> bool:
    """Whether two values are the same constant."""
    x, y = a.owner, b.owner
    return a is b or (isinstance(x, arith.ConstantOp) and isinstance(y, arith.ConstantOp) and x.value == y.value)


# x & -1 → x; x & 0 → 0; all bits of i1 are one bit
@on(arith.AndIOp)
def mask(op: arith.AndIOp) -> SSAValue | Operation | None:
    if either(op, 0) is not None:
        return integer(0, op.result.type)
    return either(op, -1) or (either(op, 1) if op.result.type == IntegerType(1) else None)


# (x ^ c) ^ c → x
@on(arith.XOrIOp)
def flip_twice(op: arith.XOrIOp) -> SSAValue | None:
    inner = op.lhs.owner
    if isinstance(inner, arith.XOrIOp) and number(op.rhs) is not None and same_constant(inner.rhs, op.rhs):
        return inner.lhs
    return None


# x + -0.0 → x
@on(arith.AddfOp)
def add_negative_zero(op: arith.AddfOp) -> SSAValue | None:
    if is_zero(op.rhs, negative=True):
        return op.lhs
    return op.rhs if is_zero(op.lhs, negative=True) else None


# x - 0.0 → x
@on(arith.SubfOp)
def subtract_float_zero(op: arith.SubfOp) -> SSAValue | None:
    return op.lhs if is_zero(op.rhs, negative=False) else None


# x * 1.0 → x
@on(arith.MulfOp)
def multiply_one(op: arith.MulfOp) -> SSAValue | None:
    return either(op, 1.0)


def product(a: SSAValue, b: SSAValue) -> Operation:
    """A product that is rounded, as what it stands for is."""
    found = arith.MulfOp(a, b)
    found.attributes[ROUNDED] = UnitAttr()
    return found


# x / 1.0 → x; x / c → x * (1 / c) for c a power of two: both round the same real number
@on(arith.DivfOp)
def divide_floats(op: arith.DivfOp) -> SSAValue | Operation | None:
    divisor = number(op.rhs)
    if divisor == 1.0:
        return op.lhs
    if not isinstance(divisor, float) or not _math.isfinite(divisor) or divisor == 0.0:
        return None
    mantissa, exponent = _math.frexp(divisor)
    if abs(mantissa) != 0.5 or abs(exponent) > 14:  # far from where the reciprocal is subnormal, in f16 too
        return None
    assert isinstance(op.result.type, AnyFloat)
    block = op.parent
    assert block is not None
    reciprocal = arith.ConstantOp(FloatAttr(1 / divisor, op.result.type))
    block.insert_op_before(reciprocal, op)
    return product(op.lhs, reciprocal.result)


# -(-x) → x
@on(arith.NegfOp)
def negate_twice(op: arith.NegfOp) -> SSAValue | None:
    inner = op.operand.owner
    return inner.operand if isinstance(inner, arith.NegfOp) else None


# | |x| | → |x|; | -x | → |x|
@on(math.AbsFOp)
def absolute(op: math.AbsFOp) -> SSAValue | Operation | None:
    inner = op.operand.owner
    if isinstance(inner, math.AbsFOp):
        return inner.result
    return math.AbsFOp(inner.operand) if isinstance(inner, arith.NegfOp) else None


# x^1 → x; x^2 → x * x, the correctly rounded square, from which a library's pow may be an ulp away
@on(math.PowFOp)
def power(op: math.PowFOp) -> SSAValue | Operation | None:
    match number(op.rhs):
        case 1.0:
            return op.lhs
        case 2.0:
            return product(op.lhs, op.lhs)
        case _:
            return None


# select(true, a, b) → a; select(false, a, b) → b; select(c, a, a) → a; select(not c, a, b) → select(c, b, a)
@on(arith.SelectOp)
def select(op: arith.SelectOp) -> SSAValue | Operation | None:
    if op.lhs is op.rhs:
        return op.lhs
    if (known := number(op.cond)) is not None:
        return op.lhs if known else op.rhs
    inner = op.cond.owner
    if isinstance(inner, arith.XOrIOp) and number(inner.rhs) in (1, -1):
        return arith.SelectOp(inner.lhs, op.rhs, op.lhs)
    return None


# x = x → true; x < x → false (integers)
@on(arith.CmpiOp)
def compare_with_itself(op: arith.CmpiOp) -> Operation | None:
    if op.lhs is not op.rhs:
        return None
    holds = op.predicate.value.data in (0, 3, 5, 7, 9)  # eq, sle, sge, ule, uge
    return integer(-int(holds), IntegerType(1))


# truncate(extend(x)) → x, where the types are the same
@on(arith.TruncIOp, arith.TruncFOp)
def there_and_back(op: Any) -> SSAValue | None:
    inner = op.input.owner
    extends = isinstance(inner, arith.ExtFOp | arith.ExtSIOp | arith.ExtUIOp)
    return inner.input if extends and inner.input.type == op.result.type else None


# extend(extend(x)) → extend(x), of one sort
@on(arith.ExtFOp, arith.ExtSIOp, arith.ExtUIOp)
def extend_twice(op: Any) -> Operation | None:
    inner = op.input.owner
    return type(op)(inner.input, op.result.type) if type(inner) is type(op) else None


# index → i64 → index, and iN → index → iN: x
@on(arith.IndexCastOp)
def index_and_back(op: arith.IndexCastOp) -> SSAValue | None:
    inner = op.input.owner
    if not isinstance(inner, arith.IndexCastOp) or inner.input.type != op.result.type:
        return None
    through = inner.result.type
    whole = isinstance(through, IndexType) or through == IntegerType(64)
    return inner.input if whole else None


__all__ = ["SCALAR_RULES", "Rule", "number"]
