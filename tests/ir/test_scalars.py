"""Scalar operations in NumPy against Python's numbers: exact integers, and the ends of every range."""

from __future__ import annotations

import math as python
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import IndexType, IntegerType, bf16, f16, f32, f64, i1, i8, i16, i32, i64
from xdsl.dialects.test import TestOp as AnyOp
from xdsl.ir import Attribute, Operation

from ircc.ir.scalars import evaluate_scalar, held_dtype

INTEGERS = (i8, i16, i32, i64)
INFINITY, NAN = float("inf"), float("nan")


def arguments(*types: Attribute) -> list[Any]:
    return list(AnyOp(result_types=types).results)


def run(op: Operation, *operands: Any) -> Any:
    """The result for Python numbers; signed, as the evaluator holds integers."""
    held = [np.array(x).astype(held_dtype(v.type)) for x, v in zip(operands, op.operands, strict=True)]
    result = evaluate_scalar(op, held)
    assert result.dtype == held_dtype(op.results[0].type)
    return result.item() if result.ndim == 0 else result.tolist()


def wrapped(value: int, bits: int) -> int:
    """The low bits as a signed number."""
    low = value & ((1 << bits) - 1)
    return low - (1 << bits) if low >> (bits - 1) else low


def toward_zero(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else 0


def remainder(a: int, b: int) -> int:
    return a - b * toward_zero(a, b) if b else a


BINARY: dict[type[Operation], tuple[Any, bool]] = {  # meaning, and whether operands are unsigned
    arith.AddiOp: (lambda a, b: a + b, False),
    arith.SubiOp: (lambda a, b: a - b, False),
    arith.MuliOp: (lambda a, b: a * b, False),
    arith.DivSIOp: (toward_zero, False),
    arith.RemSIOp: (remainder, False),
    arith.DivUIOp: (toward_zero, True),
    arith.RemUIOp: (remainder, True),
    arith.MaxSIOp: (max, False),
    arith.MinSIOp: (min, False),
    arith.MaxUIOp: (max, True),
    arith.MinUIOp: (min, True),
    arith.AndIOp: (lambda a, b: a & b, False),
    arith.OrIOp: (lambda a, b: a | b, False),
    arith.XOrIOp: (lambda a, b: a ^ b, False),
}


@pytest.mark.parametrize("kind", BINARY, ids=lambda k: k.name)
@given(data=st.data(), type_=st.sampled_from(INTEGERS))
def test_integers_are_exact_and_wrap(kind: Any, data: st.DataObject, type_: IntegerType) -> None:
    bits, (meaning, unsigned) = type_.width.data, BINARY[kind]
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    numbers = st.one_of(st.integers(least, most), st.sampled_from([least, -1, 0, 1, most]), st.integers(-4, 4))
    a, b = data.draw(numbers), data.draw(numbers)
    mask = (1 << bits) - 1
    expected = meaning(a & mask, b & mask) if unsigned else meaning(a, b)
    assert run(kind(*arguments(type_, type_)), a, b) == wrapped(expected, bits)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-1, 70))
def test_shifts(a: int, by: int) -> None:
    """Amounts are unsigned; what is shifted by the width or more is gone."""
    inside = 0 <= by < 32
    shifted = {kind: run(kind(*arguments(i32, i32)), a, by) for kind in (arith.ShLIOp, arith.ShRUIOp, arith.ShRSIOp)}
    assert shifted[arith.ShLIOp] == (wrapped(a << by, 32) if inside else 0)
    assert shifted[arith.ShRUIOp] == (wrapped((a & 0xFFFFFFFF) >> by, 32) if inside else 0)
    assert shifted[arith.ShRSIOp] == (a >> by if inside else -(a < 0))


@given(st.integers(-128, 127), st.integers(-128, 127))
def test_integer_comparisons(a: int, b: int) -> None:
    x, y = a & 0xFF, b & 0xFF
    left, right = arguments(i8, i8)
    expected = [a == b, a != b, a < b, a <= b, a > b, a >= b, x < y, x <= y, x > y, x >= y]
    assert [run(arith.CmpiOp(left, right, p), a, b) for p in range(10)] == expected


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (NAN, 1.0), (1.0, NAN), (-0.0, 0.0)])
def test_float_comparisons(a: float, b: float) -> None:
    left, right = arguments(f32, f32)
    unordered = a != a or b != b
    ordered = [a == b, a > b, a >= b, a < b, a <= b, a != b and not unordered, not unordered]
    either = [o or unordered for o in ordered[:6]]
    expected = [False, *ordered, *either, unordered, True]
    assert [run(arith.CmpfOp(left, right, p), a, b) for p in range(16)] == expected


def test_minima_and_maxima_of_nan() -> None:
    """maximumf hands NaN on, maxnumf takes the number; -0 is less than 0 where the standard says so."""
    for kind in (arith.MaximumfOp, arith.MinimumfOp):
        assert python.isnan(run(kind(*arguments(f32, f32)), NAN, 1.0))
    for kind in (arith.MaxnumfOp, arith.MinnumfOp):
        assert run(kind(*arguments(f32, f32)), NAN, 1.0) == 1.0


# ---- conversions


@pytest.mark.parametrize(
    ("kind", "source", "target", "value", "expected"),
    [
        (arith.ExtSIOp, i8, i32, -1, -1),
        (arith.ExtUIOp, i8, i32, -1, 255),
        (arith.ExtUIOp, i1, i8, True, 1),
        (arith.ExtSIOp, i1, i8, True, -1),
        (arith.TruncIOp, i32, i8, 0x1FF, -1),
        (arith.TruncIOp, i32, i1, 2, False),
        (arith.TruncIOp, i32, i1, 3, True),
        (arith.SIToFPOp, i8, f32, -1, -1.0),
        (arith.UIToFPOp, i8, f32, -1, 255.0),
        (arith.UIToFPOp, i1, f32, True, 1.0),
        (arith.SIToFPOp, i64, f64, 2**53 + 1, 2.0**53),
        (arith.FPToSIOp, f32, i32, -2.9, -2),
        (arith.FPToSIOp, f32, i32, NAN, 0),
        (arith.FPToSIOp, f32, i32, 1e20, 2**31 - 1),
        (arith.FPToSIOp, f32, i32, -INFINITY, -(2**31)),
        (arith.FPToSIOp, f64, i64, 2.0**63, 2**63 - 1),
        (arith.FPToUIOp, f32, i8, 200.7, 200 - 256),
        (arith.FPToUIOp, f32, i8, -5.0, 0),
        (arith.FPToUIOp, f32, i8, INFINITY, -1),
        (arith.TruncFOp, f64, f32, 1 / 3, float(np.float32(1 / 3))),
        (arith.TruncFOp, f32, f16, 1e6, INFINITY),
        (arith.TruncFOp, f32, bf16, 1.00390625, float(ml_dtypes.bfloat16(1.0))),
        (arith.ExtFOp, bf16, f32, 0.1, float(ml_dtypes.bfloat16(0.1))),
        (arith.BitcastOp, f32, i32, -0.0, -(2**31)),
        (arith.BitcastOp, i32, f32, 0x3F800000, 1.0),
        (arith.IndexCastOp, i32, IndexType(), -7, -7),
        (arith.IndexCastOp, IndexType(), i8, 255, -1),
    ],
)
def test_conversions(kind: Any, source: Attribute, target: Attribute, value: Any, expected: Any) -> None:
    assert run(kind(*arguments(source), target), value) == expected


# ---- functions


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (math.RoundEvenOp, [0.5, 1.5, -0.5, 2.5], [0.0, 2.0, -0.0, 2.0]),
        (math.RoundOp, [0.5, 1.5, -0.5, 2.5, 0.49999997, 8388609.0], [1.0, 2.0, -1.0, 3.0, 0.0, 8388609.0]),
        (math.TruncOp, [1.9, -1.9, -0.1], [1.0, -1.0, -0.0]),
        (math.AbsFOp, [-1.0, -0.0, -INFINITY], [1.0, 0.0, INFINITY]),
        (math.ErfOp, [0.0, INFINITY, -INFINITY, 0.5], [0.0, 1.0, -1.0, float(np.float32(python.erf(0.5)))]),
        (math.RsqrtOp, [4.0, 0.0, 0.25], [0.5, INFINITY, 2.0]),
        (math.CeilOp, [-0.5, 1.1], [-0.0, 2.0]),
    ],
)
def test_functions(kind: Any, value: list[float], expected: list[float]) -> None:
    found = run(kind(*arguments(f32)), value)
    assert found == expected
    assert np.signbit(found).tolist() == np.signbit(expected).tolist()


def test_erf_of_nothing() -> None:
    assert run(math.ErfOp(*arguments(f32)), np.zeros(0)) == []


def test_multiply_add_rounds_once() -> None:
    a = 1 + 2.0**-12
    op = math.FmaOp(*arguments(f32, f32, f32))
    assert run(op, a, a, -1.0) == 2.0**-11 + 2.0**-24
    separate = np.float32(np.float32(a) * np.float32(a)) - np.float32(1)
    assert run(op, a, a, -1.0) != separate


def test_selection_broadcasts() -> None:
    op = arith.SelectOp(*arguments(i1, f32, f32))
    assert run(op, [True, False], 1.0, [2.0, 3.0]) == [1.0, 3.0]


def test_constants() -> None:
    assert run(arith.ConstantOp.from_int_and_width(-1, 8)) == -1
    assert run(arith.ConstantOp.from_int_and_width(1, 1)) is True


def test_an_operation_without_a_meaning() -> None:
    with pytest.raises(NotImplementedError, match=r"no meaning for test\.op"):
        evaluate_scalar(AnyOp(result_types=[f32]), [])
