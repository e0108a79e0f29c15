"""The algebra of scalar operations, exhaustively on odd values: what `canonicalize` makes of them has the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import ModuleOp, f16, f32, f64, i1, i8, i32, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute

from ircc.dialects.tensor.builder import Body, Scalar, compute
from ircc.ir.evaluator import evaluate
from ircc.ir.pipeline import Pipeline
from ircc.ir.types import TensorType, dtype_of

FLOATS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, -8.0, 1e-40, -1e-45, 6e4, np.inf, -np.inf, np.nan)
INTEGERS = (0, 1, -1, 2, 3, 7, -8, 127, -128)

Formula = Callable[[Body, Scalar], Scalar]


def values(element: Attribute) -> np.ndarray[Any, Any]:
    if element == i1:
        return np.array([False, True])
    with np.errstate(over="ignore"):
        return np.array(FLOATS if dtype_of(element).kind == "f" else INTEGERS).astype(dtype_of(element))


def binary(kind: type[arith.AddfOp], number: Any, left: bool) -> Formula:
    def formula(b: Body, x: Scalar) -> Scalar:
        c = b.constant(number, x.element)
        return b.op(kind(c.value, x.value) if left else kind(x.value, c.value), x.element)

    return formula


def with_itself(kind: Any) -> Formula:
    return lambda b, x: b.op(kind(x.value, x.value), x.element)


def program(formulas: Sequence[Formula], element: Attribute, out: Attribute) -> ModuleOp:
    """A function that applies each formula to the odd values of an element type."""
    count = len(values(element))
    given, results = TensorType.of([count], element), [TensorType.of([count], out)] * len(formulas)
    main = FuncOp("main", ([given], results))
    (x,) = main.body.block.args
    ops = [compute([count], lambda b, i, f=f: f(b, b.read(x, i)), out) for f in formulas]
    main.body.block.add_ops([*ops, ReturnOp(*ops)])
    return ModuleOp([main])


def canonical_is_the_same(formulas: Sequence[Formula], element: Attribute, out: Attribute | None = None) -> bool:
    """Assert that `canonicalize` keeps the bits (a NaN is a NaN); whether it changed anything."""
    module = program(formulas, element, out or element)
    inputs = {"input_0": values(element)}
    with np.errstate(all="ignore"):
        before = evaluate(module, inputs)
        text = str(module)
        changed = Pipeline.parse("canonicalize").passes[0].run(module)
        module.verify()
        after = evaluate(module, inputs)
    for a, b in zip(before.values(), after.values(), strict=True):
        same = a == b
        if a.dtype.kind == "f":
            same = (same & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
        assert same.all(), f"{inputs['input_0'][~same]}: {a[~same]} became {b[~same]}\n{text}\n{module!s}"
    return changed


FLOAT_KINDS = (
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.DivfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
    arith.MaxnumfOp,
    math.Atan2Op,
)
INTEGER_KINDS = (
    arith.AddiOp, arith.SubiOp, arith.MuliOp, arith.AndIOp, arith.OrIOp, arith.XOrIOp, arith.MaxSIOp, arith.MinSIOp,
    arith.MaxUIOp, arith.MinUIOp, arith.DivSIOp, arith.DivUIOp, arith.ShLIOp, arith.ShRSIOp, arith.ShRUIOp,
)  # fmt: skip


@pytest.mark.parametrize("kind", FLOAT_KINDS, ids=lambda k: k.name)
@pytest.mark.parametrize("element", [f16, f32, f64], ids=str)
def test_floats_with_constants(kind: Any, element: Attribute) -> None:
    numbers: Sequence[float] = (*FLOATS, 0.25, 2.0**-14, 2.0**14, 1024.0)
    formulas = [binary(kind, number, left) for number in numbers for left in (False, True)]
    canonical_is_the_same([*formulas, with_itself(kind)], element)


BOOL_KINDS = (arith.AndIOp, arith.OrIOp, arith.XOrIOp, arith.MaxUIOp, arith.MinUIOp)
INTEGER_CASES = [(k, e) for e in (i8, i64) for k in INTEGER_KINDS] + [(k, i1) for k in BOOL_KINDS]


@pytest.mark.parametrize(("kind", "element"), INTEGER_CASES, ids=str)
def test_integers_with_constants(kind: Any, element: Attribute) -> None:
    shift = kind in (arith.ShLIOp, arith.ShRSIOp, arith.ShRUIOp)  # by more than the width has no meaning either
    numbers = (0, 1) if element == i1 else tuple(n for n in INTEGERS if not shift or 0 <= n < 8)
    formulas = [binary(kind, number, left) for number in numbers for left in (False, True) if not (shift and left)]
    canonical_is_the_same([*formulas, with_itself(kind)] if not shift else formulas, element)


APPLIED: dict[str, tuple[Formula, Attribute, Attribute]] = {
    "-(-x)": (lambda b, x: x.__neg__().__neg__(), f32, f32),
    "||x||": (lambda b, x: x.math(math.AbsFOp).math(math.AbsFOp), f32, f32),
    "|-x|": (lambda b, x: (-x).math(math.AbsFOp), f32, f32),
    "x^1": (lambda b, x: x.math(math.PowFOp, 1.0), f32, f32),
    "x^2": (lambda b, x: x.math(math.PowFOp, 2.0), f32, f32),
    "x / 8": (lambda b, x: x / 8.0, f32, f32),
    "max(max(x, 0), 0)": (lambda b, x: x.maximum(0.0).maximum(0.0), f32, f32),
    "select(true, x, 0)": (lambda b, x: b.constant(True, i1).where(x, 0.0), f32, f32),
    "select(false, x, 0)": (lambda b, x: b.constant(False, i1).where(x, 0.0), f32, f32),
    "select(not c, x, 1)": (lambda b, x: (~x.lt(1.0)).where(x, 1.0), f32, f32),
    "select(x = 0, x, x)": (lambda b, x: x.eq(0.0).where(x, x), f32, f32),
    "not not x": (lambda b, x: ~~x, i1, i1),
    "x ^ 5 ^ 5": (lambda b, x: (x ^ 5) ^ 5, i32, i32),
    "x < x": (lambda b, x: x.lt(x), i32, i1),
    "x <= x": (lambda b, x: x.le(x), i32, i1),
    "f32 -> f64 -> f32": (lambda b, x: x.cast(f64).cast(f32), f32, f32),
    "f16 -> f32 -> f64": (lambda b, x: x.cast(f32).cast(f64), f16, f64),
    "i8 -> i32 -> i8": (lambda b, x: x.cast(i32).cast(i8), i8, i8),
    "i8 -> i32 -> i64": (lambda b, x: x.cast(i32).cast(i64), i8, i64),
    "i64 -> index -> i64": (lambda b, x: b.from_index(b.as_index(x)), i64, i64),
}


@pytest.mark.parametrize("name", APPLIED)
def test_rule_applies_and_keeps_the_bits(name: str) -> None:
    formula, element, out = APPLIED[name]
    assert canonical_is_the_same([formula], element, out)


KEPT: dict[str, tuple[Formula, Attribute, Attribute]] = {
    "x + 0.0": (lambda b, x: x + 0.0, f32, f32),
    "x - -0.0": (lambda b, x: x - -0.0, f32, f32),
    "x * 0.0": (lambda b, x: x * 0.0, f32, f32),
    "x - x": (lambda b, x: x - x, f32, f32),
    "x / 3": (lambda b, x: x / 3.0, f32, f32),
    "f64 -> f32 -> f64": (lambda b, x: x.cast(f32).cast(f64), f64, f64),
    "i32 -> i8 -> i32": (lambda b, x: x.cast(i8).cast(i32), i32, i32),
    "i32 -> f32 -> i32": (lambda b, x: x.cast(f32).cast(i32), i32, i32),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_looks_like_algebra_and_is_none(name: str) -> None:
    formula, element, out = KEPT[name]
    assert not canonical_is_the_same([formula], element, out)


def test_sum_of_one_negative_zero_stays_a_sum() -> None:
    main = FuncOp("main", ([TensorType.of([3, 1, 1], f32)], [TensorType.of([3], f32)]))
    (x,) = main.body.block.args
    op = compute([3], lambda b, i, j, k: b.read(x, i, j, k), f32, reduce=[1, 1], combine="add")
    main.body.block.add_ops([op, ReturnOp(op)])
    module = ModuleOp([main])
    given = np.array([-0.0, 1.0, 0.0], np.float32).reshape(3, 1, 1)
    before = evaluate(module, {"input_0": given})["output_0"]
    Pipeline.parse("canonicalize").run(module)
    after = evaluate(module, {"input_0": given})["output_0"]
    assert np.signbit(before).tolist() == np.signbit(after).tolist() == [False, False, False]
    (found,) = [o for o in module.walk() if o.name == "tensor.compute"]
    assert len(found.properties["extents"]) == 2, "one of the reduced dims went"  # type: ignore[arg-type]
