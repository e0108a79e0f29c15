"""What ONNX's rules say at the corners: signs, empty axes, NaN, sizes that are expressions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import f32
from xdsl.dialects.test import TestOp

from ircc.dialects.graph import BY_NAME
from ircc.dialects.graph.movement import slice_range
from ircc.dialects.graph.windows import output_size
from ircc.ir.expr import Expr
from ircc.ir.types import TensorType, element_of

N, M = Expr.symbol("N"), Expr.symbol("M")


def number(size: Any) -> int:
    return Expr.of(size).__index__()


def run(operator: str, *arrays: Any, dtype: Any = None, **properties: Any) -> Any:
    """The first result of the operator on arrays (object arrays are sizes: int64)."""
    given = [a if a is None or isinstance(a, np.ndarray) else np.asarray(a, dtype) for a in arrays]
    operands = [None if a is None else value(a) for a in given]
    op = BY_NAME[operator].make(*operands, **properties)
    return op.evaluate(given, number)[0]


def variadic(operator: str, *arrays: np.ndarray, **properties: Any) -> Any:
    op = BY_NAME[operator].make([value(a) for a in arrays], **properties)
    return op.evaluate(arrays, number)[0]


def value(array: np.ndarray) -> Any:
    element = element_of(np.int64 if array.dtype == object else array.dtype)
    return TestOp(result_types=[TensorType.of(array.shape, element)]).results[0]


def exprs(*values: Any) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


# ---- numbers


def test_integer_division_rounds_toward_zero() -> None:
    assert run("Div", [7, -7, 7, -7], [2, 2, -2, -2], dtype=np.int32).tolist() == [3, -3, -3, 3]
    assert run("Div", [250], [7], dtype=np.uint8).tolist() == [35]


def test_mod_has_the_divisors_sign_and_fmod_the_dividends() -> None:
    a, b = [7, -7, 7, -7], [3, 3, -3, -3]
    assert run("Mod", a, b, dtype=np.int64).tolist() == [1, 2, -2, -1]
    assert run("Mod", a, b, dtype=np.int64, fmod=True).tolist() == [1, -1, 1, -1]
    assert run("Mod", [-5.5], [2.0], dtype=np.float32, fmod=True).tolist() == [-1.5]


def test_round_takes_the_even_neighbour() -> None:
    assert run("Round", [0.5, 1.5, -0.5, -2.5, 2.4], dtype=np.float32).tolist() == [0, 2, 0, -2, 2]


def test_extremes_propagate_nan() -> None:
    a, b = np.array([np.nan, 1], np.float32), np.array([1, np.nan], np.float32)
    assert np.isnan(variadic("Max", a, b)).all()
    assert np.isnan(variadic("Min", a, b)).all()
    assert np.isnan(run("Relu", a)).tolist() == [True, False]
    assert np.isnan(run("Clip", a, np.float32(0).reshape(()), None)).tolist() == [True, False]


def test_clip_with_crossed_bounds_gives_the_upper() -> None:
    assert run("Clip", [0.0, 5.0], np.array(3, np.float32), np.array(1, np.float32), dtype=np.float32).tolist() == [
        1,
        1,
    ]


def test_pow_of_integers() -> None:
    assert run("Pow", [2, -2, 1, -1], [3, 3, -2, -3], dtype=np.int64).tolist() == [8, -8, 1, -1]
    assert run("Pow", np.array([2, 3], np.int32), np.array([0.5, 2.5], np.float32)).tolist() == [1, 15]


def test_half_types_compute_in_float32() -> None:
    x = np.array([60000, 60000], np.float16)
    assert run("ReduceMean", x, axes=[0], keepdims=False) == 60000  # whose sum is no float16


def test_integers_wrap_around() -> None:
    assert run("Add", [250], [10], dtype=np.uint8).tolist() == [4]
    assert run("ReduceSum", np.array([100, 100], np.int8), axes=[0], keepdims=False) == -56
    assert run("Cast", np.array([300, -1]), to=element_of(np.uint8)).tolist() == [44, 255]


@pytest.mark.parametrize(
    "operator, dtype, expected",
    [
        ("ReduceSum", np.float32, 0), ("ReduceProd", np.float32, 1), ("ReduceMax", np.float32, -np.inf),
        ("ReduceMin", np.float32, np.inf), ("ReduceMax", np.int8, -128), ("ReduceMin", np.uint8, 255),
        ("ReduceMax", np.bool_, False), ("ReduceMin", np.bool_, True), ("ReduceLogSum", np.float32, -np.inf),
        ("ReduceLogSumExp", np.float32, -np.inf), ("ReduceL1", np.float32, 0), ("ReduceL2", np.float32, 0),
        ("ReduceSumSquare", np.float32, 0), ("ReduceMean", np.float32, np.nan),
    ],
)  # fmt: skip
def test_reduction_of_nothing(operator: str, dtype: Any, expected: Any) -> None:
    found = run(operator, np.zeros((2, 0), dtype), axes=[1], keepdims=False)
    assert found.dtype == dtype
    assert np.array_equal(found, np.array([expected] * 2, dtype), equal_nan=dtype == np.float32)


def test_mean_of_integers_rounds_toward_zero() -> None:
    assert run("ReduceMean", np.array([[-3, -2], [3, 2]]), axes=[1], keepdims=False).tolist() == [-2, 2]


def test_log_sum_exp_does_not_overflow() -> None:
    x = np.array([[1000, 1000], [-np.inf, -np.inf], [np.inf, 0]], np.float32)
    found = run("ReduceLogSumExp", x, axes=[1], keepdims=False)
    assert np.allclose(found, [1000 + np.log(2), -np.inf, np.inf])


def test_softmax_does_not_overflow() -> None:
    assert run("Softmax", [1000.0, 1000.0], dtype=np.float32).tolist() == [0.5, 0.5]


def test_top_k_takes_the_first_of_equals() -> None:
    op = BY_NAME["TopK"].make(value(x := np.array([1, 3, 3, 2, 3], np.float32)), k=2)
    assert [r.tolist() for r in op.evaluate([x], number)] == [[3, 3], [1, 2]]


def test_lrn_of_even_size_has_one_more_channel_after() -> None:
    x = np.array([1, 10, 100], np.float64).reshape(1, 3)
    sums = [1 + 100, 100 + 10000, 10000]
    found = run("LRN", x, size=2, alpha=2.0, beta=1.0, bias=0.0)
    assert np.allclose(found, x / sums)


def test_max_pool_indices() -> None:
    x = np.array([[1, 9, 9], [7, 2, 3]], np.float32).reshape(1, 1, 2, 3)
    window: dict[str, Any] = {
        "kernel": [2, 2],
        "strides": [1, 1],
        "dilations": [1, 1],
        "pads": [0, 0, 1, 1],
        "indices": True,
    }
    for order, expected in ((0, [[1, 1, 2], [3, 5, 5]]), (1, [[2, 2, 4], [1, 5, 5]])):
        op = BY_NAME["MaxPool"].make(value(x), **window, storage_order=order)
        assert op.evaluate([x], number)[1].tolist() == [[expected]]


def test_average_pool_counts_pads_but_not_what_ceil_mode_adds() -> None:
    window: dict[str, Any] = {"kernel": [2], "strides": [2], "dilations": [1], "ceil_mode": True}
    x = np.ones((1, 1, 3), np.float32)
    assert run("AveragePool", x, **window, pads=[0, 0], count_include_pad=True).tolist() == [[[1, 1]]]
    assert run("AveragePool", x, **window, pads=[1, 0], count_include_pad=True).tolist() == [[[0.5, 1]]]
    assert run("AveragePool", x, **window, pads=[1, 0], count_include_pad=False).tolist() == [[[1, 1]]]


def test_one_hot_ignores_indices_beyond_its_depth() -> None:
    found = run("OneHot", np.array([-4, -1, 0, 3]), np.array([5, 7], np.int32), depth=3)
    assert found.tolist() == [[5, 5, 5], [5, 5, 7], [7, 5, 5], [5, 5, 5]]


def test_scatter_adds_to_one_place_again_and_again() -> None:
    x, indices = np.zeros(3, np.float32), np.array([1, 1, -2])
    assert run("ScatterElements", x, indices, np.ones(3, np.float32), reduction="add").tolist() == [0, 3, 0]
    assert run("ScatterND", x, indices[:, None], np.ones(3, np.float32), reduction="add").tolist() == [0, 3, 0]


def test_gather_outside_of_the_axis_is_an_error() -> None:
    with pytest.raises(IndexError):
        run("Gather", np.zeros(3), np.array([3]))


# ---- sizes that are expressions


def test_arithmetic_on_sizes() -> None:
    assert run("Add", exprs(N, 2), np.array([1, 3])).tolist() == [N + 1, 5]
    assert run("Mul", exprs(N), exprs(M)).tolist() == [N * M]
    assert run("Sub", np.array([1]), exprs(N)).tolist() == [1 - N]
    assert run("Div", exprs(N, -N, N * M), np.array([2, 2, 1])).tolist() == [N // 2, -(N // 2), N * M]
    assert run("Div", exprs((N - M) * 3), np.array([3])).tolist() == [N - M]  # exact, whatever the sign
    assert run("Mod", exprs(N + 5), np.array([3])).tolist() == [(N + 5) % 3]
    assert variadic("Max", exprs(N), np.array([0])).tolist() == [N]
    assert run("ReduceProd", exprs(N, 3, M), axes=[0], keepdims=False).tolist() == N * M * 3
    assert run("Neg", exprs(N)).tolist() == [-N]


def test_movement_of_sizes() -> None:
    assert variadic("Concat", exprs(N), np.array([3]), axis=0).tolist() == [N, 3]
    assert run("Gather", exprs(N, M), np.array(-1)).tolist() == M
    assert run("Slice", exprs(N, M, 4), starts=[1], sizes=[2], steps=[1]).tolist() == [M, 4]
    assert run("Reshape", exprs(N, M), shape=[2, 1]).tolist() == [[N], [M]]
    assert run("Cast", exprs(N), to=element_of(np.int32)).tolist() == [N]
    kept = run("Where", np.array([True, False]), exprs(N, M), np.array([1, 2]))
    assert kept.tolist() == [N, 2]


def test_comparisons_of_sizes() -> None:
    assert run("Equal", exprs(N, N, N + 1), exprs(N, -1, 0)).tolist() == [True, False, False]
    assert run("Less", exprs(N, -1), exprs(N + 1, N)).tolist() == [True, True]
    assert run("GreaterOrEqual", exprs(N), np.array([0])).tolist() == [True]
    assert run("Cast", exprs(N + 1), to=element_of(np.bool_)).tolist() == [True]


@pytest.mark.parametrize(
    "operator, a, b",
    [("Equal", N, M), ("Equal", N, 1), ("Less", N, 1), ("GreaterOrEqual", N, M), ("Div", N - M, 2), ("Mod", 3, N - M)],
)
def test_undecided_sizes_raise(operator: str, a: Any, b: Any) -> None:
    with pytest.raises(TypeError, match="depends on the sizes"):
        run(operator, exprs(a), exprs(b))


# ---- size formulas


@given(
    size=st.integers(0, 12), bounds=st.tuples(st.integers(-15, 15), st.integers(-15, 15)),
    step=st.sampled_from([-3, -2, -1, 1, 2, 3]),
)  # fmt: skip
def test_slice_range_is_pythons(size: int, bounds: tuple[int, int], step: int) -> None:
    if step < 0 and bounds[0] < -size:
        return  # here ONNX differs: it clamps the start to 0, so that the first element is taken
    start, count = slice_range(size, *bounds, step)
    expected = np.arange(size)[bounds[0] : bounds[1] : step]
    assert number(count) == len(expected)
    assert [number(start) + i * step for i in range(number(count))] == expected.tolist()


def test_slice_range_clamps_a_start_before_the_front_as_onnx_says() -> None:
    assert [number(e) for e in slice_range(3, -9, -9, -1)] == [0, 1]


@given(size=st.integers(0, 12), start=st.integers(-9, 9), end=st.integers(-9, 9), step=st.sampled_from([-2, -1, 1, 2]))
def test_slice_range_of_a_symbol_is_that_of_its_value(size: int, start: int, end: int, step: int) -> None:
    symbolic = slice_range(N, start, end, step)
    values = tuple(e.evaluate(symbols={"N": size}) for e in symbolic)
    assert values == tuple(number(e) for e in slice_range(size, start, end, step))


@given(
    size=st.integers(0, 12), kernel=st.integers(1, 4), stride=st.integers(1, 4), dilation=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)), ceil=st.booleans(),
)  # fmt: skip
def test_output_size_counts_windows(
    size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], ceil: bool
) -> None:
    span, length = dilation * (kernel - 1) + 1, size + sum(pads)
    if length < span:
        return  # the operators refuse a kernel that does not fit
    starts = [s for s in range(0, length, stride) if s + span <= length]
    if ceil:
        if starts[-1] + span < length:
            starts.append(starts[-1] + stride)  # cut off
        starts = [s for s in starts if s < size + pads[0]]
    expected = len(starts)
    assert number(output_size(size, kernel, stride, dilation, *pads, ceil=ceil)) == expected
    symbolic = output_size(N, kernel, stride, dilation, *pads, ceil=ceil)
    assert symbolic.evaluate(symbols={"N": size}) == expected


def test_unrelated_symbols_broadcast_under_a_check() -> None:
    a, b = (TestOp(result_types=[TensorType.of([s], f32)]).results[0] for s in (N, M))
    op = BY_NAME["Add"].make(a, b)
    (check,) = op.checks()
    size = op.infer()[0].sizes[0]
    for n in range(4):
        for m in range(4):
            given = {"N": n, "M": m}
            fits = n == m or 1 in (n, m)
            assert (check.expr.data.evaluate(symbols=given) == 0) == fits
            if fits:
                assert size.evaluate(symbols=given) == np.broadcast_shapes((n,), (m,))[0]
