"""Operators as each opset spells them, against ONNX Runtime: with declared sizes, and with symbols."""

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ircc.frontends.onnx import import_model
from ircc.ir.evaluator import evaluate

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def f32(values: list[Any]) -> Array:
    return np.array(values, np.float32)


class Const(NamedTuple):
    """An input that is an initializer."""

    array: Any


class Row(NamedTuple):
    operator: str
    opset: int
    inputs: list[Any]  # arrays, Const, or None for an absent one
    attributes: dict[str, Any] = {}
    outputs: int = 1

    def __str__(self) -> str:
        given = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        shapes = "_".join("x".join(map(str, a.shape)) for a in self.inputs if isinstance(a, np.ndarray))
        return f"{self.operator}-{self.opset}-{shapes}-{given}"[:80]


def const(*values: int) -> Const:
    return Const(ints(*values))


X = floats(2, 3, 4)
IMAGE = floats(1, 4, 9, 8)
ROWS = [
    # axes: an attribute, then an input
    *(Row("Squeeze", v, [floats(2, 1, 3, 1)], {"axes": [1, 3]}) for v in (7, 11)),
    Row("Squeeze", 13, [floats(2, 1, 3, 1), const(-1, 1)]),
    Row("Squeeze", 7, [floats(2, 1, 3, 1), ]),
    *(Row("Unsqueeze", v, [X], {"axes": [0, 2]}) for v in (7, 11)),
    Row("Unsqueeze", 13, [X, const(-1, 0)]),
    *(Row("ReduceSum", v, [X], {"axes": [1], "keepdims": 0}) for v in (7, 11)),
    Row("ReduceSum", 13, [X, const(-1)]),
    Row("ReduceSum", 13, [X], {"noop_with_empty_axes": 1}),
    Row("ReduceMean", 11, [X], {"axes": [0, -1]}),
    Row("ReduceMean", 18, [X, const(0, 2)], {"keepdims": 0}),
    Row("ReduceMax", 13, [X], {"axes": [2]}),
    Row("ReduceL2", 18, [X, const(1)]),
    Row("ReduceLogSumExp", 7, [X]),
    # numbers that became inputs
    *(Row("Clip", v, [X], {"min": -0.5, "max": 0.5}) for v in (7,)),
    Row("Clip", 11, [X, Const(np.float32(-0.5)), Const(np.float32(0.5))]),
    Row("Clip", 13, [X, None, np.float32(0.1)]),
    Row("Pad", 7, [X], {"pads": [0, 1, 2, 0, 0, 1], "value": 1.5}),
    Row("Pad", 11, [X, const(0, 1, 2, 0, 0, 1), Const(np.float32(1.5))]),
    Row("Pad", 13, [X, const(1, 1, 1, 0, 1, 2)], {"mode": "reflect"}),
    Row("Pad", 18, [X, const(1, 2), None, const(-1)], {"mode": "edge"}),
    Row("Slice", 7, [X], {"starts": [0, 1], "ends": [2, 3], "axes": [0, 2]}),
    Row("Slice", 10, [X, const(-1), const(-100), const(2), const(-2)]),
    Row("Slice", 13, [X, const(1, -2), const(2**63 - 1, 2**31 - 1), const(1, -1)]),
    Row("Split", 7, [X], {"axis": 2, "split": [1, 3]}, 2),
    Row("Split", 11, [X], {"axis": -1}, 2),
    Row("Split", 13, [X, const(1, 2)], {"axis": 1}, 2),
    Row("Split", 18, [floats(2, 7)], {"axis": 1, "num_outputs": 3}, 3),
    Row("TopK", 7, [X], {"k": 2}, 2),
    Row("TopK", 10, [X, const(2)], {"axis": 1}, 2),
    Row("TopK", 11, [X, const(2)], {"largest": 0}, 2),
    Row("Dropout", 7, [X], {"ratio": 0.3}),
    Row("Dropout", 10, [X]),
    Row("Dropout", 12, [X, Const(np.float32(0.3))], {}, 2),
    Row("Upsample", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "nearest"}),
    Row("Upsample", 9, [IMAGE, Const(f32([1, 1, 2, 1.5]))], {"mode": "linear"}),
    Row("Resize", 10, [IMAGE, Const(f32([1, 1, 2, 1.5]))], {"mode": "linear"}),
    Row("Resize", 10, [IMAGE, Const(f32([1, 1, 0.5, 0.7]))]),
    Row("Resize", 11, [IMAGE, Const(f32([])), Const(f32([1, 1, 0.6, 2]))], {"mode": "cubic"}),
    Row("Resize", 13, [IMAGE, None, None, const(1, 4, 5, 12)], {"mode": "linear"}),
    Row("Resize", 18, [IMAGE, None, Const(f32([2.0, 2.0]))], {"axes": [2, 3], "mode": "nearest"}),
    # what softmax and its like take together
    *(Row(op, v, [X], {"axis": a}) for op in ("Softmax", "LogSoftmax", "Hardmax") for v in (7, 11) for a in (0, 1, 2)),
    *(Row(op, 13, [X], {"axis": a}) for op in ("Softmax", "LogSoftmax", "Hardmax") for a in (0, -1)),
    Row("Softmax", 11, [X]),
    Row("Softmax", 13, [X]),
    # the rest of those that changed
    Row("Add", 7, [X, floats(3, 1)]),
    Row("Gemm", 7, [floats(3, 2), floats(3, 4), floats(4)], {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    Row("Gemm", 11, [floats(2, 3), floats(4, 3)], {"transB": 1}),
    Row("BatchNormalization", 7, [IMAGE, *(floats(4) for _ in range(3)), abs(floats(4))]),
    Row("BatchNormalization", 9, [IMAGE, *(floats(4) for _ in range(3)), abs(floats(4))], {"epsilon": 1e-3}),
    Row("BatchNormalization", 15, [IMAGE, *(floats(4) for _ in range(3)), abs(floats(4))]),
    Row("LayerNormalization", 17, [X, floats(4), floats(4)]),
    Row("MaxPool", 7, [IMAGE], {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    Row("MaxPool", 8, [IMAGE], {"kernel_shape": [2, 2]}, 2),
    Row("MaxPool", 12, [IMAGE], {"kernel_shape": [2, 3], "ceil_mode": 1, "strides": [3, 3], "pads": [0, 1, 1, 1]}),
    Row("AveragePool", 7, [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Row("AveragePool", 10, [IMAGE], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    Row("AveragePool", 19, [IMAGE], {"kernel_shape": [2, 2], "dilations": [2, 1]}),
    Row("GlobalAveragePool", 7, [IMAGE]),
    Row("Conv", 7, [IMAGE, floats(6, 2, 3, 3), floats(6)], {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Row("Conv", 11, [IMAGE, Const(floats(6, 4, 3, 2))], {"pads": [1, 0, 1, 1], "dilations": [2, 1]}),
    Row("ConvTranspose", 7, [IMAGE, floats(4, 2, 3, 3)], {"strides": [2, 2], "output_shape": [17, 16]}),
    Row("ConvTranspose", 11, [IMAGE, floats(4, 2, 3, 3)], {"strides": [2, 1], "pads": [1, 0, 1, 0], "group": 2}),
    Row("Reshape", 7, [X, const(0, -1)]),
    Row("Reshape", 14, [X, const(3, -1, 2)], {"allowzero": 1}),
    Row("Flatten", 7, [X], {"axis": 2}),
    Row("Flatten", 13, [X], {"axis": -2}),
    Row("Expand", 8, [floats(3, 1), const(2, 1, 5)]),
    Row("Tile", 7, [X, const(2, 1, 3)]),
    Row("ConstantOfShape", 9, [const(2, 0, 3)], {"value": numpy_helper.from_array(np.array([7], np.int64))}),
    Row("OneHot", 9, [ints(0, 5, 2), const(4), Const(f32([0, 2]))]),
    Row("OneHot", 11, [ints(0, -1, 2), const(4), Const(f32([0, 2]))], {"axis": 0}),
    Row("Gather", 7, [X, const(2, 0)], {"axis": 1}),
    Row("Gather", 13, [X, ints(-1)], {"axis": -1}),
    Row("GatherND", 11, [X, const(1, 2)]),
    Row("Scatter", 9, [floats(3, 3), Const(ints(1, 0, 2).reshape(1, 3)), floats(1, 3)], {"axis": 0}),
    Row("ScatterElements", 11, [floats(3, 3), Const(ints(1, 0, 2).reshape(1, 3)), floats(1, 3)], {"axis": 1}),
    Row("ScatterND", 16, [X, Const(ints(0, 1).reshape(2, 1)), floats(2, 3, 4)], {"reduction": "add"}),
    Row("CumSum", 11, [X, Const(np.array(1, np.int32))], {"exclusive": 1, "reverse": 1}),
    Row("ArgMax", 7, [X], {"axis": 1, "keepdims": 0}),
    Row("ArgMin", 13, [X], {"axis": -1, "select_last_index": 1}),
    Row("Transpose", 7, [X]),
    Row("DepthToSpace", 7, [IMAGE], {"blocksize": 2}),
    Row("DepthToSpace", 11, [IMAGE], {"blocksize": 2, "mode": "CRD"}),
    Row("SpaceToDepth", 7, [floats(1, 2, 4, 6)], {"blocksize": 2}),
    Row("Trilu", 14, [floats(3, 4), np.array(1, np.int64)], {"upper": 0}),
    Row("PRelu", 7, [IMAGE, floats(4, 1, 1)]),
    Row("Pow", 7, [abs(X), floats(4)]),
    Row("Pow", 13, [X, Const(np.array(2, np.int64))]),
    Row("Mod", 10, [ints(-7, 7, 5), ints(3, -3, 5)]),
    Row("Mod", 13, [X, floats(4)], {"fmod": 1}),
    Row("Div", 7, [ints(-7, 7, 5), ints(3, 3, -2)]),
    Row("Where", 9, [X > 0, X, floats(4)]),
    Row("Equal", 7, [ints(1, 2), ints(1, 3)]),
    Row("Cast", 9, [X], {"to": TensorProto.INT32}),
    Row("Max", 8, [X, floats(4), floats(3, 1)]),
    Row("Sum", 8, [X, floats(4)]),
    Row("Shape", 15, [X], {"start": 1, "end": -1}),
    Row("Size", 7, [X]),
    Row("EyeLike", 9, [floats(3, 4)], {"k": 1}),
    Row("Einsum", 12, [X, floats(4, 5)], {"equation": "bij,jk->bik"}),
    Row("LRN", 7, [IMAGE], {"size": 3}),
    Row("InstanceNormalization", 7, [IMAGE, floats(4), floats(4)]),
    Row("LpNormalization", 7, [X], {"axis": 1, "p": 1}),
    Row("LpPool", 11, [IMAGE], {"kernel_shape": [2, 2], "p": 2}),
    Row("GlobalMaxPool", 7, [IMAGE]),
    # by the function bodies that ONNX gives
    Row("MeanVarianceNormalization", 9, [IMAGE]),
    Row("GroupNormalization", 21, [IMAGE, floats(4), floats(4)], {"num_groups": 2}),
    Row("LayerNormalization", 17, [X, floats(4), floats(4)], {}, 3),
    Row("NegativeLogLikelihoodLoss", 13, [floats(2, 3), Const(ints(0, 2))], {"reduction": "mean"}),
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
    node = helper.make_node(row.operator, names, outputs, **row.attributes)
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], "one", infos, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", row.opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model), feeds


@pytest.mark.parametrize("symbolic", [False, True], ids=["fixed", "symbolic"])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_operator(row: Row, symbolic: bool) -> None:
    model, feeds = model_of(row, symbolic)
    if symbolic and row.operator == "Squeeze" and len(row.inputs) == 1 and not row.attributes:
        pytest.skip("without axes the rank of its result depends on the sizes")
    module = import_model(model)
    module.verify()
    expected: Any = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    found = list(evaluate(module, feeds).values())
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
