"""What the vector unit does with its lanes: the operations of ircc's scalar bodies, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Value = Any


def _unsigned(x: Value) -> Value:
    x = np.asarray(x)
    return x if x.dtype.kind == "b" else x.view(f"u{x.dtype.itemsize}")


def _on_unsigned(f: Callable[..., Value]) -> Callable[..., Value]:
    def g(*a: Value) -> Value:
        found = np.asarray(f(*map(_unsigned, a)))
        return found if found.dtype.kind != "u" else found.view(f"i{found.dtype.itemsize}")

    return g


def _shift(f: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    def shift(a: Value, b: Value) -> Value:
        a = np.asarray(a)
        bits, amount = a.dtype.itemsize * 8, _unsigned(b)
        return np.where(amount < bits, f(a, np.minimum(amount, bits - 1).astype(a.dtype)), 0).astype(a.dtype)

    return shift


def _shift_right_signed(a: Value, b: Value) -> Value:
    a = np.asarray(a)
    return np.right_shift(a, np.minimum(_unsigned(b), a.dtype.itemsize * 8 - 1).astype(a.dtype))


def compare_integers(predicate: int, a: Value, b: Value) -> Value:
    """eq ne slt sle sgt sge ult ule ugt uge"""
    if predicate >= 6:
        a, b, predicate = _unsigned(a), _unsigned(b), predicate - 4
    return (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)[predicate](a, b)


def compare_floats(predicate: int, a: Value, b: Value) -> Value:
    """false oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno true"""
    ordered = ~(np.isnan(a) | np.isnan(b))
    tests = (None, np.equal, np.greater, np.greater_equal, np.less, np.less_equal, np.not_equal)
    if predicate in (0, 15):
        return np.full(np.shape(ordered), predicate == 15)
    if predicate in (7, 14):
        return ordered if predicate == 7 else ~ordered
    test: Any = tests[predicate if predicate < 7 else predicate - 7]
    return test(a, b) & ordered if predicate < 7 else test(a, b) | ~ordered


def to_integer(x: Value, dtype: str) -> Value:
    """Toward zero; what does not fit becomes the nearest end of the range, NaN becomes 0."""
    info = np.iinfo(dtype)
    wide = np.nan_to_num(np.trunc(np.asarray(x).astype(np.float64)), nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = wide <= float(info.min), wide >= float(info.max)
    inside = np.where(low | high, 0, wide).astype(dtype)
    return np.where(low, info.min, np.where(high, info.max, inside)).astype(dtype)


def convert(x: Value, dtype: str) -> Value:
    """Between integers, and from them to floats; a bool is 0 or -1, truncation to one keeps the lowest bit."""
    x = np.asarray(x)
    if dtype == "bool":
        return (x.astype(np.int64) & 1).astype(np.bool_)
    return (np.where(x, -1, 0) if x.dtype.kind == "b" else x).astype(dtype)


def from_unsigned(x: Value, dtype: str) -> Value:
    """From unsigned integers."""
    return _unsigned(x).astype(dtype)


def bits(x: Value, dtype: str) -> Value:
    """The same bits as another type."""
    return np.asarray(x).view(dtype)


def round_to(x: Value, dtype: str) -> Value:
    """Between floats."""
    return np.asarray(x).astype(dtype)


def fma(a: Value, b: Value, c: Value, dtype: str) -> Value:
    """a b + c, rounded once."""
    x, y, z = (np.asarray(v).astype(np.float64) for v in (a, b, c))
    return (x * y + z).astype(dtype)


PLAIN: dict[str, Callable[..., Value]] = {
    "arith.addf": np.add, "arith.subf": np.subtract, "arith.mulf": np.multiply, "arith.divf": np.divide,
    "arith.negf": np.negative, "arith.maximumf": np.maximum, "arith.minimumf": np.minimum, "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin, "arith.addi": np.add, "arith.subi": np.subtract, "arith.muli": np.multiply,
    "arith.maxsi": np.maximum, "arith.minsi": np.minimum, "arith.maxui": _on_unsigned(np.maximum),
    "arith.minui": _on_unsigned(np.minimum), "arith.andi": np.bitwise_and, "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor, "arith.shli": _shift(np.left_shift),
    "arith.shrui": _on_unsigned(_shift(np.right_shift)), "arith.shrsi": _shift_right_signed,
    "arith.select": np.where, "math.absf": np.abs, "math.absi": np.abs, "math.ceil": np.ceil, "math.floor": np.floor,
    "math.copysign": np.copysign, "math.roundeven": np.rint, "math.sqrt": np.sqrt, "math.trunc": np.trunc,
}  # fmt: skip
TYPED: dict[str, Callable[..., Value]] = {  # given the result's dtype too
    "arith.sitofp": convert, "arith.extsi": convert, "arith.trunci": convert, "arith.index_cast": convert,
    "arith.uitofp": from_unsigned, "arith.extui": from_unsigned, "arith.fptosi": to_integer, "arith.bitcast": bits,
    "arith.extf": round_to, "arith.truncf": round_to, "math.fma": fma,
}  # fmt: skip
