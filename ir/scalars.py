"""The meaning of scalar operations (`arith`, `math`, `vector.broadcast`) in NumPy.

One table for all levels: bodies of `tensor.compute`, loop nests, constant folding and tests share it. Operands are
NumPy scalars or arrays that broadcast; integers are held as signed arrays, whatever their sign means to an operation.
"""

from __future__ import annotations

import math as _math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr, IntegerType, VectorType
from xdsl.ir import Attribute, Operation

from .types import dtype_of

Value = Any

# An attribute of additions and products of floats: the result is rounded before it is used. Without it, a product that
# is added to something may become one instruction with the sum, which rounds once.
ROUNDED = "rounded"


def held_dtype(type_: Attribute) -> np.dtype[Any]:
    """The dtype that holds values of a scalar (or vector) type: `index` is int64."""
    if isinstance(type_, VectorType):
        type_ = type_.element_type
    return np.dtype(np.int64) if isinstance(type_, IndexType) else dtype_of(type_)


def _unsigned(x: Value) -> Value:
    x = np.asarray(x)
    return x if x.dtype.kind == "b" else x.view(f"u{x.dtype.itemsize}")


def _signed(x: Value) -> Value:
    x = np.asarray(x)
    return x if x.dtype.kind != "u" else x.view(f"i{x.dtype.itemsize}")


def _on_unsigned(f: Callable[..., Value]) -> Callable[..., Value]:
    return lambda *a: _signed(f(*map(_unsigned, a)))


def _divide_toward_zero(a: Value, b: Value) -> Value:
    """Quotient toward zero; x / 0 is 0 here, and the least integer / -1 is itself."""
    a, b = np.asarray(a), np.asarray(b)
    zero = b == 0
    safe = np.where(zero, 1, b).astype(b.dtype)
    wide_a, wide_b = np.broadcast_arrays(a, safe)
    q = np.where(wide_b == -1, -wide_a, wide_a // np.where(wide_b == -1, 1, wide_b))
    r = wide_a - q * wide_b
    q = np.where((r != 0) & ((r < 0) != (wide_a < 0)), q + 1, q)
    return np.where(zero, 0, q).astype(a.dtype)


def _remainder_toward_zero(a: Value, b: Value) -> Value:
    a, b = np.asarray(a), np.asarray(b)
    return np.where(b == 0, a, a - _divide_toward_zero(a, b) * b).astype(a.dtype)


def _unsigned_divide(a: Value, b: Value) -> Value:
    return np.where(b == 0, 0, a // np.where(b == 0, 1, b)).astype(a.dtype)


def _unsigned_remainder(a: Value, b: Value) -> Value:
    return np.where(b == 0, a, a % np.where(b == 0, 1, b)).astype(a.dtype)


def _shift(f: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    def shift(a: Value, b: Value) -> Value:
        a, b = np.asarray(a), np.asarray(b)
        bits = a.dtype.itemsize * 8
        amount = _unsigned(b)
        return np.where(amount < bits, f(a, np.minimum(amount, bits - 1).astype(a.dtype)), 0).astype(a.dtype)

    return shift


def _shift_right_signed(a: Value, b: Value) -> Value:
    a = np.asarray(a)
    return np.right_shift(a, np.minimum(_unsigned(b), a.dtype.itemsize * 8 - 1).astype(a.dtype))


def _round_half_away(x: Value) -> Value:
    whole = np.trunc(x)  # the difference is exact, where x + 0.5 would be rounded
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x), np.copysign(whole, x))


_erf = np.vectorize(_math.erf, otypes=[np.float64])


def erf(x: Value) -> Value:
    """The error function, in double precision and rounded to the operand's type."""
    x = np.asarray(x)
    return _erf(x.astype(np.float64)).astype(x.dtype) if x.size else x.copy()


def _to_integer(x: Value, dtype: np.dtype[Any]) -> Value:
    """Toward zero; what does not fit becomes the nearest end of the range, NaN becomes 0."""
    info = np.iinfo(dtype)
    x = np.asarray(x).astype(np.float64)
    wide = np.nan_to_num(np.trunc(x), nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = wide <= float(info.min), wide >= float(info.max)
    inside = np.where(low | high, 0, wide).astype(dtype)
    return np.where(low, info.min, np.where(high, info.max, inside)).astype(dtype)


def _compare_integers(predicate: int, a: Value, b: Value) -> Value:
    if predicate >= 6:
        a, b, predicate = _unsigned(a), _unsigned(b), predicate - 4
    return (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)[predicate](a, b)


def _compare_floats(predicate: int, a: Value, b: Value) -> Value:
    ordered = ~(np.isnan(a) | np.isnan(b))
    tests = {1: np.equal, 2: np.greater, 3: np.greater_equal, 4: np.less, 5: np.less_equal, 6: np.not_equal}
    if predicate in (0, 15):
        return np.full(np.shape(ordered), predicate == 15)
    if predicate == 7:
        return ordered
    if predicate == 14:
        return ~ordered
    if predicate < 7:
        return tests[predicate](a, b) & ordered
    return tests[predicate - 7](a, b) | ~ordered


SIMPLE: dict[type[Operation], Callable[..., Value]] = {
    arith.AddfOp: np.add, arith.SubfOp: np.subtract, arith.MulfOp: np.multiply, arith.DivfOp: np.divide,
    arith.NegfOp: np.negative, arith.MaximumfOp: np.maximum, arith.MinimumfOp: np.minimum,
    arith.MaxnumfOp: np.fmax, arith.MinnumfOp: np.fmin,
    arith.AddiOp: np.add, arith.SubiOp: np.subtract, arith.MuliOp: np.multiply,
    arith.DivSIOp: _divide_toward_zero, arith.RemSIOp: _remainder_toward_zero,
    arith.DivUIOp: _on_unsigned(_unsigned_divide), arith.RemUIOp: _on_unsigned(_unsigned_remainder),
    arith.MaxSIOp: np.maximum, arith.MinSIOp: np.minimum,
    arith.MaxUIOp: _on_unsigned(np.maximum), arith.MinUIOp: _on_unsigned(np.minimum),
    arith.AndIOp: np.bitwise_and, arith.OrIOp: np.bitwise_or, arith.XOrIOp: np.bitwise_xor,
    arith.ShLIOp: _shift(np.left_shift), arith.ShRUIOp: _on_unsigned(_shift(np.right_shift)),
    arith.ShRSIOp: _shift_right_signed,
    arith.SelectOp: lambda c, a, b: np.where(c, a, b),
    math.AbsFOp: np.abs, math.AbsIOp: np.abs, math.AcosOp: np.arccos, math.AcoshOp: np.arccosh, math.AsinOp: np.arcsin,
    math.AsinhOp: np.arcsinh, math.AtanOp: np.arctan, math.AtanhOp: np.arctanh, math.Atan2Op: np.arctan2,
    math.CeilOp: np.ceil, math.CopySignOp: np.copysign, math.CosOp: np.cos, math.CoshOp: np.cosh, math.ErfOp: erf,
    math.ExpOp: np.exp, math.Exp2Op: np.exp2, math.ExpM1Op: np.expm1, math.FloorOp: np.floor, math.LogOp: np.log,
    math.Log2Op: np.log2, math.Log10Op: np.log10, math.Log1pOp: np.log1p, math.PowFOp: np.power,
    math.RoundEvenOp: np.rint, math.RoundOp: _round_half_away, math.RsqrtOp: lambda x: 1 / np.sqrt(x),
    math.SinOp: np.sin, math.SinhOp: np.sinh, math.SqrtOp: np.sqrt, math.TanOp: np.tan, math.TanhOp: np.tanh,
    math.TruncOp: np.trunc,
}  # fmt: skip


def evaluate_scalar(op: Operation, operands: Sequence[Value]) -> Value:
    """The result of a one-result scalar operation. Raises NotImplementedError for an unknown one."""
    type_ = op.results[0].type
    dtype = held_dtype(type_)
    with np.errstate(all="ignore"):
        match op:
            case arith.ConstantOp():
                match op.value:
                    case IntegerAttr():
                        return np.array(op.value.value.data).astype(dtype)
                    case FloatAttr():
                        return np.array(op.value.value.data).astype(dtype)
                    case _:
                        raise NotImplementedError(f"constant {op.value}")
            case vector.BroadcastOp():
                return np.asarray(operands[0])
            case arith.CmpiOp():
                return _compare_integers(op.predicate.value.data, *operands)
            case arith.CmpfOp():
                return _compare_floats(op.predicate.value.data, *operands)
            case math.FmaOp():
                a, b, c = (np.asarray(x).astype(np.float64) for x in operands)
                return _fused(a, b, c) if dtype == np.float64 else (a * b + c).astype(dtype)
            case (
                arith.SIToFPOp() | arith.ExtFOp() | arith.TruncFOp()
                | arith.TruncIOp() | arith.ExtSIOp() | arith.IndexCastOp()
            ):  # fmt: skip
                return _converted(operands[0], op.operands[0].type, dtype)
            case arith.UIToFPOp() | arith.ExtUIOp():
                return _unsigned(operands[0]).astype(dtype)
            case arith.FPToSIOp():
                return _to_integer(operands[0], dtype)
            case arith.FPToUIOp():
                return _signed(_to_integer(operands[0], np.dtype(f"u{dtype.itemsize}")))
            case arith.BitcastOp():
                return np.asarray(operands[0]).view(dtype)
            case _:
                if (f := SIMPLE.get(type(op))) is None:
                    raise NotImplementedError(f"no meaning for {op.name}")
                return np.asarray(f(*operands)).astype(dtype, copy=False)


def _fused(a: Value, b: Value, c: Value) -> Value:
    """a b + c of doubles in one rounding: by rational numbers, element by element."""
    plain = np.asarray(a * b + c)
    a, b, c = np.broadcast_arrays(a, b, c)
    for i in np.ndindex(plain.shape):
        if np.isfinite(a[i]) and np.isfinite(b[i]) and np.isfinite(c[i]):
            exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
            if exact:  # else the sign of 0 is that of the plain sum
                try:
                    plain[i] = float(exact)
                except OverflowError:
                    plain[i] = np.inf if exact > 0 else -np.inf
    return plain


def _converted(x: Value, source: Attribute, dtype: np.dtype[Any]) -> Value:
    x = np.asarray(x)
    if isinstance(source, VectorType):
        source = source.element_type
    if dtype.kind == "b":  # truncation to i1 keeps the lowest bit
        return (x.astype(np.int64) & 1).astype(np.bool_)
    if source == IntegerType(1):  # signed i1 is 0 or -1
        return np.where(x, -1, 0).astype(dtype)
    return x.astype(dtype)
