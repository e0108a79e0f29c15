"""Operators that are updates against ONNX Runtime: running sums, scatters, the greatest elements."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import ircc

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
dynamic = pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "symbolic"])


def agrees(
    operator: str, inputs: list[Array], constants: int = 0, dynamic: bool = False, outputs: int = 1, **attributes: Any
) -> None:
    """The same results, sizes known or symbols; the last inputs are constants."""
    names, results = [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(outputs)]
    given = dict(zip(names[: len(inputs) - constants], inputs, strict=False))
    types = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(a.dtype), [f"{n}_{d}" for d in range(a.ndim)] if dynamic else a.shape
        )
        for n, a in given.items()
    ]
    fixed = [numpy_helper.from_array(a, n) for n, a in zip(names, inputs, strict=True) if n not in given]
    node = helper.make_node(operator, names, results, **attributes)
    graph = helper.make_graph([node], "order", types, [onnx.ValueInfoProto(name=r) for r in results], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = list(ircc.compile(model).run(given).values())
    expected = [np.asarray(e) for e in session.run(None, given)]
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, 1e-5, 1e-5)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@dynamic
@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), 0), ((3, 70), 1), ((70, 33), 0), ((1, 1), 1), ((0, 4), 0), ((4, 0), 1)]
)
@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}], ids=str)
def test_cum_sum(shape: tuple[int, ...], axis: int, attributes: dict[str, int], dynamic: bool) -> None:
    x = RNG.integers(-9, 9, shape) if dynamic else floats(*shape)
    agrees("CumSum", [x, np.array(axis)], 1, dynamic, **attributes)


def test_cum_sum_of_odd_values() -> None:
    agrees("CumSum", [np.array([1, np.inf, 2, -np.inf, 3, np.nan], np.float32), np.array(0)], 1)


@dynamic
@pytest.mark.parametrize(("n", "k"), [(1, 1), (33, 7), (300, 300), (300, 64), (1500, 3)])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(n: int, k: int, largest: int, dynamic: bool) -> None:
    """Many equal elements and some NaN; lines along both axes."""
    x = RNG.integers(0, 9, (3, n)).astype(np.float32)
    x[:, ::5] = np.nan
    x[0, ::7], x[1, ::3] = np.inf, -np.inf
    agrees("TopK", [x, np.array([k])], 1, dynamic, 2, largest=largest)
    agrees("TopK", [x.T.copy(), np.array([k])], 1, dynamic, 2, axis=0, largest=largest)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float64"])
def test_top_k_of_other_types(dtype: str) -> None:
    x = RNG.integers(-100, 100, (2, 500)).astype(dtype)
    agrees("TopK", [x, np.array([499])], 1, False, 2)


@dynamic
@pytest.mark.parametrize("reduction", ["none", "mul", "max"])
@pytest.mark.parametrize(
    ("shape", "given", "axis"),
    [((5,), (3,), 0), ((3, 17), (3, 9), 1), ((40, 70), (50, 65), 0), ((1, 1), (1, 1), 1), ((4, 5), (0, 5), 0)],
)
def test_scatter_elements(
    shape: tuple[int, ...], given: tuple[int, ...], axis: int, reduction: str, dynamic: bool
) -> None:
    """Equal places, but where their order is not defined; places from behind."""
    n = shape[axis]
    at = RNG.integers(-n, n, given)
    if reduction == "none":
        given = tuple(min(g, n) if d == axis else g for d, g in enumerate(given))
        at = np.argsort(RNG.random((*given[:axis], n, *given[axis + 1 :])), axis=axis).take(range(given[axis]), axis)
    inputs = [floats(*shape), at, floats(*given)]
    agrees("ScatterElements", inputs, 0, dynamic, axis=axis, reduction=reduction)


@dynamic
@pytest.mark.parametrize("reduction", ["add", "min"])
@pytest.mark.parametrize(
    ("shape", "lead", "depth"),
    [
        ((5,), (7,), 1),
        ((3, 17), (4,), 2),
        ((17, 3), (2, 3), 1),
        ((4, 5, 64), (3,), 2),
        ((40, 64), (0,), 1),
        ((8, 1100), (6,), 1),
    ],
)
def test_scatter_nd(shape: tuple[int, ...], lead: tuple[int, ...], depth: int, reduction: str, dynamic: bool) -> None:
    at = np.stack([RNG.integers(-s, s, lead) for s in shape[:depth]], -1)
    agrees("ScatterND", [floats(*shape), at, floats(*lead, *shape[depth:])], 0, dynamic, reduction=reduction)


def test_the_last_of_equal_places_stays() -> None:
    inputs = [floats(10, 3), np.array([[1], [4], [1], [1]]), floats(4, 3)]
    agrees("ScatterND", inputs)
