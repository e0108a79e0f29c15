"""Quantised operators and models as compiled code, against ONNX Runtime.

Integers are equal, but where ONNX Runtime rounds in another order: there they are one step apart at most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ircc
from ircc.ir.types import SMALL_DTYPES

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
NAN, INF = float("nan"), float("inf")


def integers(*shape: int, of: Any = np.uint8) -> Array:
    info = np.iinfo(of)
    return RNG.integers(info.min, info.max, shape, of, endpoint=True)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def f32(*values: float) -> Array:
    return np.array(values, np.float32).reshape(-1 if len(values) > 1 else ())


class Row(NamedTuple):
    operator: str
    inputs: Sequence[
        Any
    ]  # arrays, None for an absent one: the first is what is computed with, the others are its parameters
    attributes: dict[str, Any] = {}
    outputs: int = 1
    steps: int = 0  # by how much integers may differ
    data: Sequence[int] = (0,)  # which inputs are no parameters
    opset: int = 21
    domain: str = ""

    def __str__(self) -> str:
        given = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        shown = "_".join(f"{a.dtype}{list(a.shape)}" for a in self.inputs[:2] if a is not None)
        return f"{self.operator}-{shown}-{given}".replace(" ", "")[:90]


def microsoft(operator: str, inputs: Sequence[Any], **given: Any) -> Row:
    names = {k: given.pop(k) for k in ("steps", "data") if k in given}
    return Row(operator, inputs, given, domain="com.microsoft", **names)


TIES = f32(-2.5, -1.5, -0.5, -0.0, 0.5, 1.5, 2.5, 126.5, 127.5, 254.5, 255.5, 300, -300, 1e30, -1e30, INF, -INF)
W4 = integers(7, 5, 8)  # 7 columns, 5 blocks of 16 numbers of 4 bits
ROWS = [
    *(Row("QuantizeLinear", [TIES, f32(1), z]) for z in (None, np.uint8(3), np.int8(-3), np.int16(0), np.uint16(7))),
    Row("QuantizeLinear", [floats(2, 3, 4) * 99, f32(0.5, 2, 0.1), integers(3)], {"axis": 1}),
    Row("QuantizeLinear", [floats(2, 3, 4) * 99, f32(0.5, 2), integers(2, of=np.int8)], {"axis": -3}),
    Row("QuantizeLinear", [floats(2, 0, 4), f32(0.5), np.uint8(1)]),
    Row("QuantizeLinear", [floats(1), f32(0.02)]),
    Row("QuantizeLinear", [floats(4, 64), abs(floats(4, 4)) + 0.1, integers(4, 4)], {"axis": 1, "block_size": 16}),
    Row("DequantizeLinear", [integers(2, 3, 4), f32(0.5, 2, 0.1), integers(3)], {"axis": 1}),
    Row("DequantizeLinear", [integers(4, 64), abs(floats(4, 4)), integers(4, 4)], {"axis": 1, "block_size": 16}),
    Row("DequantizeLinear", [integers(48, 5, of=np.int8), floats(3, 5)], {"axis": 0, "block_size": 16}),
    Row("DequantizeLinear", [np.array([2**31 - 1, -5, 2**24 + 1], np.int32), f32(0.3)]),
    Row("DequantizeLinear", [np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn), f32(0.3)], data=(1,)),
    Row("DequantizeLinear", [np.arange(16, dtype=np.uint8).view(ml_dtypes.int4), f32(0.3)], data=(1,)),
    Row("DynamicQuantizeLinear", [floats(3, 40)], outputs=3),
    Row("DynamicQuantizeLinear", [-1 - abs(floats(1, 40))], outputs=3),
    *(
        Row("MatMulInteger", [integers(3, 40), integers(40, 6, of=t), np.uint8(5), z])
        for t in (np.uint8, np.int8)
        for z in (None, integers(of=t), integers(6, of=t))
    ),
    Row("MatMulInteger", [integers(2, 1, 40), integers(2, 40, 6), np.uint8(9), np.uint8(4)]),
    Row("ConvInteger", [integers(2, 4, 9, 8), integers(6, 2, 3, 3), np.uint8(5)], {"group": 2, "pads": [1, 1, 0, 1]}),
    Row("ConvInteger", [integers(1, 1, 5, 5), integers(1, 1, 1, 1), np.uint8(5), np.uint8(3)]),
    *(
        Row("QLinearMatMul", [
            integers(3, 40), f32(0.02), np.uint8(5), integers(40, 6, of=t), abs(floats(6)) / 50,
            integers(6, of=t) // 16,
            f32(0.5), np.uint8(100),
        ])
        for t in (np.uint8, np.int8)
    ),
    *(
        Row(
            "QLinearConv",
            [
                integers(2, 4, 9, 8), f32(0.02), np.uint8(5), integers(6, 2, 3, 3, of=np.int8), abs(floats(6)) / 50,
                np.zeros(6, np.int8), f32(0.5), np.uint8(100), bias,
            ],
            {"group": 2, "pads": [1, 1, 0, 1], "strides": [2, 1]},
        )
        for bias in (None, RNG.integers(-999, 999, 6).astype(np.int32))
    ),
]  # fmt: skip

for t in (np.uint8, np.int8):
    X = [integers(3, 40, of=t), f32(0.02), t(5)]
    IMAGE = [integers(2, 5, 9, 7, of=t), f32(0.02), t(5)]
    LAST = [integers(2, 9, 7, 5, of=t), f32(0.02), t(5)]
    PAIR = [*X, integers(40, of=t), f32(0.03), t(7), f32(0.04), t(3)]
    ROWS.extend([
        microsoft("QuantizeLinear", [floats(3, 4), f32(0.02), t(9)]),
        microsoft("DequantizeLinear", [integers(3, 4, of=t), f32(0.02), t(9)]),
        microsoft("QLinearAdd", PAIR, data=(0, 3)),
        microsoft("QLinearMul", PAIR, data=(0, 3), steps=1),
        microsoft("QLinearSigmoid", [*X, f32(1 / 256), t(0)]),
        microsoft("QLinearLeakyRelu", [*X, f32(0.02), t(9)], alpha=0.2),
        microsoft(
            "QLinearConcat",
            [f32(0.03), t(3), X[0], f32(0.02), t(5), integers(3, 7, of=t), f32(0.03), t(3)],
            axis=1,
            data=(2, 5),
        ),
        microsoft("QLinearGlobalAveragePool", [*IMAGE, f32(0.01), t(9)], steps=1),
        microsoft("QLinearGlobalAveragePool", [*LAST, f32(0.01), t(9)], channels_last=1, steps=1),
        microsoft("QLinearAveragePool", [*IMAGE, f32(0.01), t(9)], kernel_shape=[3, 3], pads=[1, 1, 1, 1], steps=1),
        microsoft("QLinearAveragePool", [*LAST, f32(0.01), t(9)], kernel_shape=[3, 2], channels_last=1, steps=1),
        microsoft("QLinearSoftmax", [*X, f32(1 / 256), t(0)], opset=13, axis=-1, steps=1),
        microsoft("QLinearSoftmax", [*IMAGE, f32(1 / 256), t(0)], opset=11, axis=2, steps=1),
        microsoft("QLinearWhere", [floats(3, 40) > 0, *PAIR], data=(0, 1, 4)),
        microsoft(
            "MatMulIntegerToFloat",
            [X[0], integers(40, 6, of=t), f32(0.02), abs(floats(6)), t(5), integers(6, of=t), floats(6)],
        ),
        microsoft(
            "DynamicQuantizeMatMul",
            [floats(3, 40), integers(40, 6, of=t), abs(floats(6)), integers(6, of=t), floats(6)],
        ),
        microsoft(
            "QGemm",
            [
                integers(3, 40), f32(0.02), np.uint8(5), integers(40, 6, of=t), abs(floats(6)) / 50,
            integers(6, of=t) // 16,
                RNG.integers(-999, 999, 6).astype(np.int32), f32(0.5), np.uint8(100),
            ],
            alpha=0.7,
            steps=1,
        ),
        microsoft(
            "QGemm",
            [integers(40, 3), f32(0.02), np.uint8(5), integers(6, 40, of=t), f32(0.02), t(3)],
            transA=1,
            transB=1,
        ),
    ])  # fmt: skip
GROUPS = RNG.permutation(np.arange(70, dtype=np.int32) // 16)
ROWS.extend(
    [
        *(
            microsoft(
                "MatMulNBits",
                [floats(3, 70), integers(7, 5, 8), floats(7, 5), zero, GROUPS],
                K=70,
                N=7,
                bits=4,
                block_size=16,
            )
            for zero in (None, floats(7, 5))
        ),
        *(
            microsoft(
                "MatMulNBits",
                [floats(3, 70), integers(7, 5, 2 * bits), floats(7, 5), zero, None, bias],
                K=70,
                N=7,
                bits=bits,
                block_size=16,
            )
            for bits in (4, 8)
            for zero, bias in ((None, None), (integers(7, -(-5 * bits // 8)), floats(7)))
        ),
        microsoft(
            "GatherBlockQuantized",
            [RNG.integers(0, 10, (2, 3)), integers(10, 32), floats(10, 4)],
            bits=4,
            block_size=16,
            quantize_axis=1,
            gather_axis=0,
        ),
    ]
)


def model_of(row: Row, constant: bool, symbolic: bool) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model of the one operator; its parameters are initializers if `constant`."""
    names: list[str] = []
    feeds: dict[str, Array] = {}
    initializers: list[TensorProto] = []
    infos: list[onnx.ValueInfoProto] = []
    for i, given in enumerate(row.inputs):
        names.append("" if given is None else f"x{i}")
        if given is None:
            continue
        array = np.asarray(given)
        if (constant or array.dtype in SMALL_DTYPES) and i not in row.data:  # the runtime takes no small types
            initializers.append(numpy_helper.from_array(array, names[-1]))
            continue
        feeds[names[-1]] = array
        shape = [f"d{i}_{j}" for j in range(array.ndim)] if symbolic else array.shape
        infos.append(helper.make_tensor_value_info(names[-1], helper.np_dtype_to_tensor_dtype(array.dtype), shape))
    if row.operator == "GatherBlockQuantized":  # the data come first
        names[:2] = names[1::-1]
    outputs = [f"y{i}" for i in range(row.outputs)]
    node = helper.make_node(row.operator, names, outputs, domain=row.domain, **row.attributes)
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph([node], "one", infos, results, initializers)
    opsets = [helper.make_opsetid("", row.opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


def runtime(model: onnx.ModelProto | Path, feeds: dict[str, Array]) -> list[Array]:
    """ONNX Runtime's results, of the model as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return [np.asarray(a) for a in session.run(None, feeds)]


VARIANTS = {"constant": (True, False), "given": (False, True)}  # parameters, and sizes that are symbols
ONLY_CONSTANT = {"GatherBlockQuantized", "QLinearConcat", "MatMulNBits"}  # the runtime demands it, or K is a number


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_operator(row: Row, variant: str) -> None:
    constant, symbolic = VARIANTS[variant]
    if not constant and row.operator in ONLY_CONSTANT:
        pytest.skip("its parameters are constants")
    model, feeds = model_of(row, constant, symbolic)
    expected = runtime(model, feeds)
    for info, array in zip(model.graph.output, expected, strict=True):
        info.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    found = list(ircc.compile(model, threads=1).run(feeds).values())
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if ours.dtype.kind in "iu":
            assert np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max(initial=0) <= row.steps
        else:
            np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6 * np.abs(theirs[theirs == theirs]).max())


def test_groups_have_packed_zero_points_too() -> None:
    """As the schema says; ONNX Runtime takes 8 for all of them where there is a g_idx."""
    zero = integers(7, 3)
    plain = np.stack([zero & 15, zero >> 4], 2).reshape(7, 6)[:, :5].astype(np.float32)
    inputs = [floats(3, 70), integers(7, 5, 8), floats(7, 5)]
    found: list[Array] = []
    for points in (zero, plain):
        row = microsoft("MatMulNBits", [*inputs, points, GROUPS], K=70, N=7, bits=4, block_size=16)
        model, feeds = model_of(row, True, False)
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
        found += ircc.compile(model, threads=1).run(feeds).values()
    np.testing.assert_array_equal(found[0], found[1])
