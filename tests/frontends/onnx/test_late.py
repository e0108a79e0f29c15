"""Axes, shapes, bounds and counts that arrive when the model runs, and results whose sizes depend on data.

One engine per model, run with many values, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import ircc

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)


def model_of(operator: str, inputs: Mapping[str, Array], outputs: int = 1, ranks: bool = False, **kw: Any) -> Any:
    """One node, whose inputs all arrive at run time; with `ranks` the sizes of the first one do too."""

    def info(name: str, array: Array, free: bool) -> onnx.ValueInfoProto:
        shape = [f"{name}{i}" for i in range(array.ndim)] if free else array.shape
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)

    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(operator, list(inputs), names, **kw)
    first = next(iter(inputs))
    given = [info(name, array, ranks and name == first) for name, array in inputs.items()]
    results = [onnx.ValueInfoProto(name=name) for name in names]
    return helper.make_model(
        helper.make_graph([node], "g", given, results), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )


def compare(operator: str, runs: Sequence[Mapping[str, Any]], outputs: int = 1, ranks: bool = False, **kw: Any) -> None:
    runs = [{k: np.asarray(v) for k, v in run.items()} for run in runs]
    model = model_of(operator, runs[0], outputs, ranks, **kw)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    engine = ircc.compile(model, threads=1)
    for run in runs:
        expected: Sequence[Any] = session.run(None, run)
        for name, found, right in zip(engine.run(run), engine.run(run).values(), expected, strict=True):
            assert found.shape == right.shape, f"{name} of {run}"
            np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6, err_msg=f"{name} of {run}")


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(
    ("operator", "axes"), [("ReduceSum", [[0], [2], [-1], [-3]]), ("ReduceMax", [[0, 2], [1, -1]])]
)
def test_reductions(operator: str, axes: list[list[int]], keepdims: int) -> None:
    compare(operator, [{"x": X, "axes": np.array(a)} for a in axes], keepdims=keepdims)


@pytest.mark.parametrize("ranks", [False, True])
def test_reshape(ranks: bool) -> None:
    shapes = [[5, -1, 2], [-1, 1, 1], [0, 0, 5], [3, 0, -1], [60, 1, 1]]
    compare("Reshape", [{"x": X, "shape": np.array(s)} for s in shapes], ranks=ranks)


@pytest.mark.parametrize("ranks", [False, True])
def test_slice(ranks: bool) -> None:
    far = 2**63 - 1
    bounds = [
        (0, 3, 1),
        (1, far, 2),
        (-2, far, 1),
        (4, 0, -1),
        (-1, -far, -2),
        (far, -far - 1, -1),
        (2, 2, 1),
        (3, 1, 1),
        (-9, 9, 3),
        (9, -9, -3),
    ]
    runs = [
        {"x": X, "s": np.array([s]), "e": np.array([e]), "a": np.array([axis]), "t": np.array([t])}
        for s, e, t in bounds
        for axis in (1, -1)
    ]
    compare("Slice", runs, ranks=ranks)


def test_squeeze_and_unsqueeze() -> None:
    ones = X.reshape(3, 1, 20, 1)
    compare("Squeeze", [{"x": ones, "axes": np.array(a)} for a in ([1, 3], [-1, 1], [3, -3])])
    compare("Unsqueeze", [{"x": X, "axes": np.array(a)} for a in ([0, 4], [1, 2], [-1, 0], [2, -4])])


def test_counts() -> None:
    compare("TopK", [{"x": X, "k": np.array([k])} for k in (1, 3, 5, 0)], outputs=2)
    compare("Tile", [{"x": X, "r": np.array(r)} for r in ([1, 2, 1], [2, 0, 3], [1, 1, 1])])
    compare("Expand", [{"x": X[:, :1], "s": np.array(s)} for s in ([3, 4, 5], [1, 1, 5], [3, 2, 1])])
    compare("ConstantOfShape", [{"s": np.array(s)} for s in ([2, 3], [0, 5], [1, 1])])
    compare("CumSum", [{"x": X, "axis": np.array(a)} for a in (0, 1, 2, -1)], reverse=1)
    values = np.array([2.0, 7.0], np.float32)
    compare("OneHot", [{"i": np.array([0, 2, -1]), "d": np.array(d), "v": values} for d in (3, 5, 1)])
    compare(
        "Pad", [{"x": X[0], "p": np.array(p), "v": np.float32(7)} for p in ([0, 1, 2, 0], [0, 0, 0, 0], [3, 0, 0, 1])]
    )
    compare(
        "Range",
        [{"a": np.array(a), "b": np.array(b), "d": np.array(d)} for a, b, d in ((0, 9, 2), (5, 0, -2), (3, 3, 1))],
    )
    floats = ((0.0, 1.0, 0.25), (1.0, 0.0, 0.5), (2.0, -1.0, -0.75))
    compare("Range", [{k: np.float32(v) for k, v in zip("abd", f, strict=True)} for f in floats])


@pytest.mark.parametrize("x", [X > 0, X[0] * 0, X[:1, :1, 0], X[:0], np.array([0, 5, 0, -1])])
def test_non_zero(x: Array) -> None:
    other = x.copy()
    other[...] = 1
    compare("NonZero", [{"x": x}, {"x": other}])
    if x.size:
        compare("NonZero", [{"x": x}, {"x": np.concatenate([x, other])}], ranks=True)


def test_compress() -> None:
    conditions = [[True, False, True], [False, False, False], [True, True, True]]
    compare("Compress", [{"x": X, "c": np.array(c)} for c in conditions], axis=0)
    compare("Compress", [{"x": X, "c": np.array(c)} for c in conditions])


@pytest.mark.parametrize("sort", [0, 1])
def test_unique(sort: int) -> None:
    rng = np.random.default_rng(1)
    vectors = [rng.integers(-3, 3, 9), np.zeros(9, np.int64), np.arange(9)[::-1].copy()]
    compare("Unique", [{"x": v} for v in vectors], outputs=4, sorted=sort)
    compare("Unique", [{"x": v} for v in (vectors[0], vectors[0][:1], vectors[1][:0])], 4, True, sorted=sort)
    rows = [rng.integers(0, 2, (6, 2, 2)).astype(np.float32), np.zeros((6, 2, 2), np.float32)]
    for axis in (0, 1, -1):
        compare("Unique", [{"x": r} for r in rows], outputs=4, axis=axis, sorted=sort)
        compare("Unique", [{"x": r} for r in rows], outputs=4, ranks=True, axis=axis, sorted=sort)


@pytest.mark.parametrize("width", [1, 3, 5, 8])
def test_unique_rows(width: int) -> None:
    """Rows are sorted by ranks of columns, of pairs of columns and so on; many are equal, many differ in one place."""
    rng = np.random.default_rng(width)
    found = [rng.integers(-2, 2, (40, width)), rng.integers(0, 2, (40, width)) * rng.integers(0, 2, (40, 1))]
    compare("Unique", [{"x": x.astype(np.float32)} for x in found], outputs=4, axis=0)
    compare("Unique", [{"x": x.astype(np.int8)} for x in found], outputs=4, axis=0)


def boxes_and_scores(seed: int, count: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 8, (2, count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(-1, 4, (2, count, 2))], 2).astype(np.float32)
    return {"boxes": boxes, "scores": rng.uniform(0, 1, (2, 3, count)).astype(np.float32)}


@pytest.mark.parametrize("center", [0, 1])
def test_non_max_suppression(center: int) -> None:
    runs = [
        boxes_and_scores(seed, 17)
        | {"most": np.array([most]), "iou": np.array([iou], np.float32), "score": np.array([least], np.float32)}
        for seed, most, iou, least in ((0, 5, 0.3, 0.2), (1, 100, 0.0, 0.0), (2, 0, 0.5, 0.5), (3, 2, 0.9, 0.99))
    ]
    compare("NonMaxSuppression", runs, center_point_box=center)


def test_wrong_values_are_refused() -> None:
    engine = ircc.compile(model_of("ReduceSum", {"x": X, "axes": np.array([0])}), threads=1)
    with pytest.raises(ircc.Error, match="axis does not fit"):
        engine.run({"x": X, "axes": np.array([3])})
    engine = ircc.compile(model_of("Reshape", {"x": X, "shape": np.array([0, 0, 0])}), threads=1)
    with pytest.raises(ircc.Error, match="Reshape"):
        engine.run({"x": X, "shape": np.array([7, 7, 7])})
    with pytest.raises(ircc.Error):
        engine.run({"x": X, "shape": np.array([-2, 3, 5])})
    engine = ircc.compile(model_of("ConstantOfShape", {"s": np.array([1, 1])}), threads=1)
    with pytest.raises(ircc.Error, match="negative"):
        engine.run({"s": np.array([-1, 5])})
