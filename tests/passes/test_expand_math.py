"""The functions that expand-math writes out, against NumPy in float64: errors in units in the last place."""

import math as library
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects import math
from xdsl.dialects.builtin import f32
from xdsl.ir import Block

from ircc.dialects.tensor.builder import Body, Scalar
from ircc.ir.scalars import evaluate_scalar
from ircc.passes._functions import FUNCTIONS, erf_beside_one, exp_beside_one

Array = np.ndarray[Any, Any]

# the function, its reference in float64, and how many units in the last place it may be off
CASES: dict[str, tuple[Any, Callable[[Array], Array], float]] = {
    "exp": (math.ExpOp, np.exp, 1.5),
    "expm1": (math.ExpM1Op, np.expm1, 2.0),
    "log": (math.LogOp, np.log, 1.0),
    "log1p": (math.Log1pOp, np.log1p, 2.0),
    "tanh": (math.TanhOp, np.tanh, 1.5),
    "erf": (math.ErfOp, np.vectorize(library.erf, otypes=[np.float64]), 1.5),
    "erf beside one": (erf_beside_one, np.vectorize(library.erf, otypes=[np.float64]), 2.5),
    "exp beside one": (lambda x: 1.0 / (exp_beside_one(-x) + 1.0), lambda x: 1 / (1 + np.exp(-x)), 2.5),
    "sin": (math.SinOp, np.sin, 2.0),
    "cos": (math.CosOp, np.cos, 2.0),
    "tan": (math.TanOp, np.tan, 4.0),
}
LARGEST = {"exp beside one": 87.0, "sin": 2.0**31, "cos": 2.0**31, "tan": 2.0**31}
EDGES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, -1e-38, 3e38, -3e38, 1, -1, 88.72283, 88.7229, -87.4,
     -103.9,
     -104, -120, -175.3, -175.4, -176, -1e4, 0.5, -0.5, 0.70710677, 1.4142135, 0.625, 0.92773437, 4.0, 9.02],
    np.float32,
)  # fmt: skip
every_function = pytest.mark.parametrize("name", CASES)


@cache
def written(name: str) -> tuple[Block, Scalar]:
    """A function's operations and their result."""
    block = Block(arg_types=[f32])
    function = CASES[name][0]
    formula = FUNCTIONS[function] if isinstance(function, type) else function
    return block, formula(Scalar(Body(block, 0), block.args[0], f32))


def computed(name: str, x: Array) -> Array:
    """What the written-out function gives, by the reference meaning of its operations."""
    block, result = written(name)
    values: dict[Any, Array] = {block.args[0]: x}
    for op in block.ops:
        values[op.results[0]] = evaluate_scalar(op, [values[v] for v in op.operands])
    return values[result.value]


def check(name: str, x: Array) -> None:
    _, reference, allowed = CASES[name]
    x = x[~(np.abs(x) > LARGEST.get(name, np.inf)) | np.isinf(x)]
    if not x.size:
        return
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
        rounded = exact.astype(np.float32)
        actual = computed(name, x)
        assert actual.dtype == np.float32
        unit = np.maximum(np.spacing(np.abs(rounded)).astype(np.float64), 2.0**-149)
        error = np.abs(actual.astype(np.float64) - exact) / unit
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(actual[~finite], rounded[~finite])
    error = np.where(finite, error, 0)
    worst = np.argmax(error)
    assert error[worst] <= allowed, f"{name}({x[worst]}): {actual[worst]}, exact {exact[worst]}"


@every_function
def test_edges(name: str) -> None:
    check(name, EDGES)


@every_function
def test_every_exponent(name: str) -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    check(name, words.view(np.float32))


@every_function
@pytest.mark.parametrize("largest", [0.1, 1.0, 10.0, 1e5])
def test_common_ranges(name: str, largest: float) -> None:
    check(name, np.random.default_rng(1).uniform(-largest, largest, 10_000).astype(np.float32))


@every_function
def test_zeros_keep_their_sign(name: str) -> None:
    zeros = np.array([0.0, -0.0], np.float32)
    expected = CASES[name][1](zeros.astype(np.float64)) if name != "log" else np.array([-np.inf, -np.inf])
    np.testing.assert_array_equal(np.signbit(computed(name, zeros)), np.signbit(expected))


@every_function
@given(st.floats(width=32))
def test_any_number(name: str, number: float) -> None:
    check(name, np.array([number, -number], np.float32))


@pytest.mark.parametrize("name", LARGEST)
def test_beyond_the_range_the_value_is_bounded(name: str) -> None:
    x = np.array([1e10, -1e20, 3e38], np.float32)
    if name != "tan":
        assert np.all(np.abs(computed(name, x)) <= 1.001)
