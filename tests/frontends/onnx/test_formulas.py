"""Operators that rules say as formulas, compiled, against ONNX Runtime or, where it lacks them, ONNX's reference: with
fixed and with symbolic sizes, and shapes that are odd, empty or 1."""

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import ircc
from ircc.frontends.onnx import import_model
from ircc.ir.evaluator import evaluate

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def floats(*shape: int, dtype: Any = np.float32) -> Array:
    return RNG.standard_normal(shape).astype(dtype)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


class Const(NamedTuple):
    """An input that is an initializer."""

    array: Any


class Row(NamedTuple):
    operator: str
    opset: int
    inputs: list[Any]  # arrays, Const, or None for an absent one
    attributes: dict[str, Any] = {}
    outputs: int = 1
    rtol: float = 1e-5
    domain: str = ""

    def __str__(self) -> str:
        given = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        shapes = "_".join("x".join(map(str, a.shape)) for a in self.inputs if isinstance(a, np.ndarray))
        return f"{self.operator}-{self.opset}-{shapes}-{given}"[:80]


def grids() -> list[Row]:
    """Positions in x, on its border and far outside."""
    odd = np.array([-1, 1, 0, -0.5, 0.999, -1.3, 1.7, 3.6, -9.25], np.float32)
    found = []
    for mode in ("linear", "nearest", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            for aligned in (0, 1):
                attributes = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
                grid = RNG.choice(odd, (2, 3, 5, 2)) + np.float32(0.01)
                found.append(Row("GridSample", 20, [floats(2, 3, 4, 6), grid], attributes, rtol=1e-4))
    found += [
        Row("GridSample", 16, [floats(1, 1, 1, 1), floats(1, 1, 2, 2)], {"mode": "bicubic"}, rtol=1e-4),
        Row("GridSample", 16, [floats(2, 1, 3, 2), floats(2, 0, 2, 2)], {"mode": "bilinear"}),
        Row("GridSample", 22, [floats(1, 2, 3, 2, 4), floats(1, 2, 1, 3, 3)], {"padding_mode": "reflection"}),
        Row("GridSample", 22, [floats(1, 2, 3, 2, 4, dtype=np.float64), floats(1, 2, 1, 3, 3)], {}),
    ]
    return found


ROIS = np.array([[0, 0, 5, 4], [1.5, 2.25, 3, 9], [-3, -2, 20, 15], [4, 4, 2, 1], [2, 2, 2, 2]], np.float32)
BATCHES = ints(0, 1, 1, 0, 1)


def regions() -> list[Row]:
    x, found = floats(2, 3, 7, 6), []
    for ratio in (0, 1, 2, 3):
        for coordinates in ("half_pixel", "output_half_pixel"):
            attributes = {
                "output_height": 3, "output_width": 2, "sampling_ratio": ratio, "spatial_scale": 0.75,
                "coordinate_transformation_mode": coordinates,
            }  # fmt: skip
            # a region that ends before it starts has no samples to count
            keep = slice(None) if ratio or coordinates != "half_pixel" else slice(0, 3)
            found.append(Row("RoiAlign", 16, [x, ROIS[keep], BATCHES[keep]], attributes, rtol=1e-4))
    pooled = np.concatenate([BATCHES[:, None].astype(np.float32), ROIS], 1)
    return [
        *found,
        Row("RoiAlign", 10, [x, ROIS[:0], BATCHES[:0]], {"output_height": 2, "output_width": 2}),
        Row("MaxRoiPool", 13, [x, pooled], {"pooled_shape": [3, 2], "spatial_scale": 0.5}),
        Row("MaxRoiPool", 13, [x, pooled[:2]], {"pooled_shape": [7, 9]}),
    ]


def windows() -> list[Row]:
    return [
        Row("DeformConv", 19, [floats(1, 4, 5, 6), floats(6, 2, 3, 3), floats(1, 36, 3, 4), floats(6),
                               floats(1, 18, 3, 4)], {"group": 2, "offset_group": 2}, rtol=1e-4),
        Row("DeformConv", 19, [floats(2, 2, 5, 4), floats(3, 2, 2, 1), floats(2, 4, 3, 3) * 3],
            {"strides": [2, 2], "pads": [1, 1, 1, 0], "dilations": [2, 1]}, rtol=1e-4),
        Row("MaxUnpool", 11, [floats(2, 1, 2, 3), RNG.permutation(2 * 5 * 6)[:12].reshape(2, 1, 2, 3)],
            {"kernel_shape": [3, 2], "strides": [2, 2]}),
        Row("MaxUnpool", 22, [floats(1, 2, 3), np.array([[[1, 2, 4], [7, 9, 11]]])], {"kernel_shape": [2],
                                                                                    "strides": [2]}),
        Row("Col2Im", 18, [floats(2, 12, 12), Const(ints(4, 5)), Const(ints(2, 2))], {}),
        Row("Col2Im", 18, [floats(1, 18, 4), Const(ints(5, 7)), Const(ints(3, 2))],
            {"strides": [2, 3], "dilations": [1, 2], "pads": [0, 0, 1, 1]}),
        Row("Col2Im", 18, [floats(0, 6, 10), Const(ints(12)), Const(ints(3))], {}),
    ]  # fmt: skip


def signals() -> list[Row]:
    found = []
    for length in (1, 7, 64, 66, 360, 101):
        found += [
            Row("DFT", 17, [floats(2, length, 1)], {"axis": 1, "onesided": 1}, rtol=2e-3),
            Row("DFT", 17, [floats(1, length, 3, 2, dtype=np.float64)], {"axis": 1, "inverse": 1}, rtol=1e-6),
        ]
    return [
        *found,
        Row("DFT", 20, [floats(3, 9, 2), Const(np.array(16)), Const(np.array(-2))], {}, rtol=1e-3),
        Row("DFT", 20, [floats(3, 9, 1), Const(np.array(4)), Const(np.array(0))], {}, rtol=1e-3),
        Row("STFT", 17, [floats(2, 50, 1), Const(np.array(7)), floats(16)], {}, rtol=1e-3),
        Row("STFT", 17, [floats(1, 80, 1), Const(np.array(16)), None, Const(np.array(32))], {"onesided": 0}, rtol=1e-3),
    ]


def optimizers() -> list[Row]:
    rate, time, domain = np.float32(0.1), np.array(3, np.int64), "ai.onnx.preview.training"
    x, g, v, h = (floats(4) for _ in range(4))
    y, k, w, i = (floats(2, 3) for _ in range(4))
    common = {"norm_coefficient": 0.01}
    momentum = {**common, "alpha": 0.9, "beta": 0.3}
    return [
        Row("Adagrad", 1, [rate, time, x, y, g, k, abs(h), abs(i)], {**common, "decay_factor": 0.1}, 4, 1e-5, domain),
        Row("Adam", 1, [rate, time, x, y, g, k, v, w, abs(h), abs(i)], common, 6, 1e-5, domain),
        Row("Adam", 1, [rate, time * 0, x, g, v, abs(h)], {**common, "norm_coefficient_post": 0.2}, 3, 1e-5, domain),
        *(Row("Momentum", 1, [rate, t, x, g, v], {**momentum, "mode": mode}, 2, 1e-5, domain)
          for mode in ("standard", "nesterov") for t in (time, time * 0)),
    ]  # fmt: skip


def statistics() -> list[Row]:
    vectors = [floats(3), floats(3), floats(3), abs(floats(3))]
    elements = [floats(3, 4), floats(3, 4), floats(3, 4), abs(floats(3, 4))]
    return [
        Row("BatchNormalization", 15, [floats(2, 3, 4, 5), *vectors], {"training_mode": 1, "momentum": 0.7}, 3, 1e-4),
        Row("BatchNormalization", 14, [floats(1, 3), *vectors], {"training_mode": 1}, 3, 1e-4),
        Row("BatchNormalization", 7, [floats(2, 3, 4), *elements], {"spatial": 0}, 1, 1e-4),
        Row("LayerNormalization", 17, [floats(2, 3, 4), floats(3, 4)], {"axis": 1}, 3, 1e-4),
    ]


def matrices() -> list[Row]:
    singular = np.array([[[0, 1, 2], [0, 3, 4], [0, 5, 6]], [[0, 0, 1], [0, 2, 0], [3, 0, 0]]], np.float32)
    return [
        Row("Det", 11, [singular], {}),
        *(Row("Det", 22, [floats(2, size, size)], {}, rtol=1e-4) for size in (1, 4, 5, 12)),
        Row("Det", 22, [floats(3, 3)], {}),
    ]


def convolutions() -> list[Row]:
    x, w, b, past = floats(2, 3, 5), floats(3, 1, 4), floats(3), floats(2, 3, 3)
    return [
        Row("CausalConvWithState", 27, [x, w, b, past], {"activation": "silu"}, 2, 1e-4),
        Row("CausalConvWithState", 27, [x[:, :, :1], w], {}, 2, 1e-4),
        Row("CausalConvWithState", 27, [x, w[:, :, :1], None, past[:, :, :0]], {}, 2, 1e-4),
    ]


ROWS = [
    *grids(),
    *regions(),
    *windows(),
    *signals(),
    *optimizers(),
    *statistics(),
    *matrices(),
    *convolutions(),
    Row("SpaceToDepth", 28, [floats(2, 3, 4, 6)], {"blocksize": 2, "mode": "CRD"}),
    Row("TensorScatter", 24, [floats(2, 3, 5, 4), floats(2, 3, 2, 4), ints(1, 3)], {}),
    Row("TensorScatter", 24, [floats(2, 5, 4), floats(2, 3, 4), ints(4, 3)], {"mode": "circular", "axis": 1}),
    Row("TensorScatter", 24, [floats(2, 4), floats(2, 4)], {"axis": -1}),
    Row("MelWeightMatrix", 17, [Const(np.array(k)) for k in (8, 16, 8192)] + [np.float32(0), np.float32(4096)], {}),
]  # fmt: skip


def model_of(row: Row, symbolic: bool) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model of one node, and its inputs."""
    names, feeds, initializers, infos = [], {}, [], []
    for i, given in enumerate(row.inputs):
        names.append("" if given is None else f"x{i}")
        if isinstance(given, Const):
            initializers.append(numpy_helper.from_array(np.asarray(given.array), names[-1]))
        elif given is not None:
            array = feeds[names[-1]] = np.asarray(given)
            shape = [f"d{i}_{j}" for j in range(array.ndim)] if symbolic else list(array.shape)
            code = helper.np_dtype_to_tensor_dtype(array.dtype)
            infos.append(helper.make_tensor_value_info(names[-1], code, shape))
    outputs = [f"y{i}" for i in range(row.outputs)]
    node = helper.make_node(row.operator, names, outputs, domain=row.domain, **row.attributes)
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], "one", infos, results, initializers)
    opsets = [helper.make_opsetid("", row.opset if not row.domain else 22)]
    if row.domain:
        opsets.append(helper.make_opsetid(row.domain, row.opset))
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), feeds


def expected_of(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """ONNX Runtime's results, or those of ONNX's reference."""
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        found: Any = onnxruntime.InferenceSession(
            onnx.shape_inference.infer_shapes(model).SerializeToString(), options
        ).run(None, feeds)
    except Exception:  # of one of its many kinds: it has not the operator, or not this type
        found = ReferenceEvaluator(model).run(None, feeds)
    return list(found)


def assert_same(row: Row, found: list[Array], expected: list[Array]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=row.rtol, atol=row.rtol)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_formula(row: Row) -> None:
    """Its meaning, with fixed and with symbolic sizes."""
    for symbolic in (False, True):
        model, feeds = model_of(row, symbolic)
        found = list(evaluate(import_model(model), feeds).values())
        assert_same(row, found, expected_of(model, feeds))


@pytest.mark.parametrize("row", {r.operator: r for r in ROWS}.values(), ids=str)
def test_compiled(row: Row) -> None:
    """One row of each operator as compiled code, with symbolic sizes."""
    model, feeds = model_of(row, symbolic=True)
    assert_same(row, list(ircc.compile(model).run(feeds).values()), expected_of(model, feeds))
