"""Operators of com.microsoft against ONNX Runtime, whose own they are."""

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import ircc

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(3)


DOMAINS = {"SimplifiedLayerNormalization": ""}  # where ONNX Runtime has it


class Row(NamedTuple):
    operator: str
    inputs: list[Array | None]
    attributes: dict[str, Any] = {}
    outputs: int | list[int] = 1  # how many, or which

    def __str__(self) -> str:
        shapes = "_".join("x".join(map(str, a.shape)) if a is not None else "" for a in self.inputs)
        return f"{self.operator}-{shapes}-{','.join(f'{k}={v}' for k, v in self.attributes.items())}"[:90]


def f(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def i32(*values: Any) -> Array:
    return np.array(values, np.int32)


def whole(low: int, high: int, *shape: int, of: Any = np.int32) -> Array:
    return RNG.integers(low, high, shape).astype(of)


def caches(rows: int, half: int) -> list[Array]:
    angle = f(rows, half)
    return [np.cos(angle), np.sin(angle)]


X, B = f(2, 3, 8), f(8)
Q, K, V = f(2, 3, 8), f(2, 5, 8), f(2, 5, 12)
IMAGE, KERNEL = f(1, 3, 6, 5), f(4, 3, 3, 3)
TABLES = [f(11, 8), f(9, 8), f(2, 8), f(8), f(8)]
FLAGS = i32([1, 1, 0], [1, 1, 1])

REGIONS = np.array(
    [[0, 0, 1, 1], [0.1, 0.2, 0.73, 0.91], [0.9, 0.8, 0.21, 0.1], [-0.3, -0.2, 1.4, 1.2], [0.4, 0.4, 0.4, 0.4]],
    np.float32,
)


def matrices(n: int) -> Array:
    """Two whose pivots lie on the other diagonal."""
    return f(2, n, n) + 3 * np.eye(n, dtype=np.float32)[::-1]


ROWS = [
    Row("FusedMatMul", [f(2, 3, 4), f(2, 4, 5)], {"alpha": 0.5}),
    Row("FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], {"transA": 1, "transB": 1}),
    Row("FusedMatMul", [f(3, 2, 4), f(4, 2, 5)], {"transBatchA": 1, "transBatchB": 1}),
    Row("FusedMatMul", [f(4, 2, 3), f(4, 2, 5)], {"transBatchA": 1, "transA": 1, "transBatchB": 1}),
    Row("FusedGemm", [f(3, 4), f(4, 5), f(5)], {"activation": "Relu", "alpha": 2.0}),
    Row("FusedGemm", [f(3, 4), f(5, 4)], {"activation": "LeakyRelu", "activation_alpha": 0.3, "transB": 1}),
    Row("FusedConv", [IMAGE, KERNEL, f(4)], {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    Row("FusedConv", [IMAGE, KERNEL], {"activation": "Clip", "activation_params": [-0.5, 0.75]}),
    Row("FusedConv", [IMAGE, KERNEL], {"activation": "HardSigmoid", "activation_params": [0.25, 0.4]}),
    Row("FusedConv", [IMAGE, KERNEL, f(4), f(1, 4, 4, 3)], {"activation": "Tanh"}),
    *(Row(name, [X]) for name in ("Gelu", "FastGelu", "QuickGelu")),
    *(Row(name, [X, B]) for name in ("BiasGelu", "FastGelu")),
    Row("QuickGelu", [X], {"alpha": 1.0}),
    Row("SkipLayerNormalization", [X, f(2, 3, 8), B, f(8), f(8)], {"epsilon": 1e-5}, [0, 3]),
    Row("SkipLayerNormalization", [X, f(3, 8), B]),
    Row("SkipSimplifiedLayerNormalization", [X, f(2, 3, 8), B, f(8)], {}, [0, 3]),
    Row("EmbedLayerNormalization", [whole(0, 11, 2, 3), whole(0, 2, 2, 3), *TABLES, FLAGS], {}, [0, 1, 2]),
    Row("EmbedLayerNormalization", [whole(0, 11, 2, 3), None, *TABLES[:2], None, *TABLES[3:]], {}, [0, 1]),
    Row("ExpandDims", [X, i32(1)[0]]),
    Row("SimplifiedLayerNormalization", [X, B], {"epsilon": 1e-5}),
    Row("Trilu", [f(3, 4), np.array(1, np.int64)], {"upper": 0}),
    *(Row("Inverse", [matrices(n)]) for n in (1, 3, 4, 5, 9)),
    *(
        Row("CropAndResize", [f(2, 3, 6, 7), REGIONS, i32(0, 1, 1, 0, 1), i32(*crop)], {"mode": mode, **more})
        for mode in ("bilinear", "nearest") for crop in ((3, 5), (1, 4), (7, 1))
        for more in ({}, {"extrapolation_value": 2.5})
    ),
    # attention
    *(
        Row("Attention", [X, f(8, 24), f(24), mask], {"num_heads": 2, **more})
        for mask in (None, i32(2, 3), i32(2, 3, 1, 0), FLAGS, whole(0, 2, 2, 3, 3))
        for more in ({}, {"unidirectional": 1, "scale": 0.3})
    ),
    Row("Attention", [X, f(8, 24), f(24), None, None, f(2, 2, 3, 3)], {"num_heads": 2}),
    Row("Attention", [X, f(8, 28), f(28)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 12]}),
    Row("Attention", [X, f(8, 24), f(24), None, f(2, 2, 2, 5, 4)], {"num_heads": 2, "unidirectional": 1}, 2),
    Row("MultiHeadAttention", [Q, K, V], {"num_heads": 2}),
    Row("MultiHeadAttention", [Q, K, V, f(28), whole(0, 2, 2, 5)], {"num_heads": 2}),
    Row("MultiHeadAttention", [Q, K, V, None, None, f(1, 2, 3, 5)], {"num_heads": 2, "scale": 0.2}),
    Row("MultiHeadAttention", [Q, f(2, 2, 5, 4), f(2, 2, 5, 4)], {"num_heads": 2}),
    Row(
        "MultiHeadAttention", [Q, f(2, 3, 8), f(2, 3, 8), None, None, None, f(2, 2, 4, 4), f(2, 2, 4, 4)],
        {"num_heads": 2, "unidirectional": 1}, 3,
    ),
    *(
        Row("RotaryEmbedding", [x, places, *caches(9, 2)], {"interleaved": i})
        for x in (f(2, 3, 8), f(2, 2, 3, 4)) for places in (np.array([4]), whole(0, 9, 2, 3, of=np.int64))
        for i in (0, 1)
    ),
    Row("RotaryEmbedding", [f(2, 3, 16), np.array([0]), *caches(9, 2)], {"num_heads": 2, "rotary_embedding_dim": 4}),
]  # fmt: skip


def grouped(past: int, time: int, lengths: list[int], size: int = 8, **attributes: Any) -> Row:
    """Four heads that share the keys of two, with rows of these lengths."""
    total, batch = past + time, len(lengths)
    inputs: list[Array | None] = [
        f(batch, time, 4 * size), f(batch, time, 2 * size), f(batch, time, 2 * size),
        f(batch, 2, past, size), f(batch, 2, past, size), i32(*lengths) - 1, i32(total)[0],
    ]  # fmt: skip
    if attributes.get("do_rotary"):
        inputs += caches(20, size // 2)
    if attributes.pop("sink", False):
        inputs += [*[None] * (11 - len(inputs)), f(4)]
    return Row("GroupQueryAttention", inputs, {"num_heads": 4, "kv_num_heads": 2, **attributes}, 3)


ROWS.extend(
    [
        grouped(0, 5, [5, 5]),
        grouped(4, 1, [5, 5]),
        grouped(4, 1, [5, 3]),
        grouped(4, 1, [5, 3], size=16, do_rotary=1),
        grouped(0, 5, [5, 5], size=16, do_rotary=1, rotary_interleaved=1, local_window_size=3),
        grouped(4, 3, [7], softcap=2.0, scale=0.5),
        grouped(0, 5, [5, 5], smooth_softmax=1),
        grouped(4, 1, [5, 3], smooth_softmax=1, local_window_size=3, softcap=2.0),
        grouped(4, 1, [5, 3], sink=True),
        grouped(0, 5, [5, 5], sink=True, smooth_softmax=1),
    ]
)


def model_of(row: Row, symbolic: bool) -> onnx.ModelProto:
    names = [f"x{i}" if a is not None else "" for i, a in enumerate(row.inputs)]
    wanted = list(range(row.outputs)) if isinstance(row.outputs, int) else row.outputs
    outputs = [f"y{i}" if i in wanted else "" for i in range(max(wanted) + 1)]
    node = helper.make_node(
        row.operator, names, outputs, domain=DOMAINS.get(row.operator, "com.microsoft"), **row.attributes
    )
    infos: list[Any] = []
    constant: list[Any] = []
    for name, a in zip(names, row.inputs, strict=True):
        if a is None:
            continue
        if a.ndim == 0:
            constant.append(onnx.numpy_helper.from_array(a, name))
            continue
        shape: list[Any] = list(a.shape)
        if symbolic and a.ndim > 1 and row.operator != "EmbedLayerNormalization":
            shape[0] = f"s{shape[0]}"
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), shape))
    results = [onnx.ValueInfoProto(name=o, type=onnx.TypeProto()) for o in outputs if o]
    for info in results:
        info.type.tensor_type.elem_type = TensorProto.FLOAT
        if row.operator == "EmbedLayerNormalization" and info.name == "y1":
            info.type.tensor_type.elem_type = TensorProto.INT32
    graph = helper.make_graph([node], "contrib", infos, results, constant)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


VARIED = [
    row
    for row in ROWS
    if any(name in row.operator for name in ("Attention", "Rotary", "Skip", "Inverse")) and "24_24_4" not in str(row)
]  # ends and starts are told from lengths by their number, which must be twice the batch's


@pytest.mark.parametrize(("row", "symbolic"), [*((r, False) for r in ROWS), *((r, True) for r in VARIED)], ids=str)
def test_as_onnxruntime(row: Row, symbolic: bool) -> None:
    model = model_of(row, symbolic)
    given = {f"x{i}": a for i, a in enumerate(row.inputs) if a is not None and a.ndim}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = [np.asarray(f) for f in session.run(None, given)]
    found = list(ircc.compile(model).run(given).values())
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, 1e-4, 2e-5)


def result(row: Row) -> Array:
    given = {f"x{i}": a for i, a in enumerate(row.inputs) if a is not None}
    (found,) = ircc.compile(model_of(row, True)).run(given).values()
    return found


def test_what_onnxruntime_has_for_gpus_only() -> None:
    bias = [f(2, 4, 320), f(320), f(2, 4, 320)]
    np.testing.assert_allclose(result(Row("BiasAdd", [*bias])), bias[0] + bias[1] + bias[2], 1e-5, 1e-6)
    q, k, v = f(2, 3, 2, 4), f(2, 3, 2, 4), f(2, 3, 2, 4)
    plain = [a.reshape(2, 3, 8) for a in (q, k, v)]
    wanted = result(Row("MultiHeadAttention", [*plain], {"num_heads": 2}))
    packed = Row("MultiHeadAttention", [np.stack([q, k, v], 3)], {"num_heads": 2})
    np.testing.assert_allclose(result(packed), wanted, 1e-5, 1e-6)
    halves = Row("MultiHeadAttention", [plain[0], np.stack([k, v], 3)], {"num_heads": 2})
    np.testing.assert_allclose(result(halves), wanted, 1e-5, 1e-6)


def test_convolutions_with_channels_last() -> None:
    """As ONNX Runtime's tool writes NhwcConv, and the schema describes NhwcFusedConv: its kernels are for GPUs."""
    x, w, b, z = f(2, 4, 7, 6), f(6, 2, 3, 3), f(6), f(2, 6, 7, 6)
    attributes: dict[str, Any] = {"group": 2, "pads": [1, 1, 1, 1]}
    last, back = (0, 2, 3, 1), (0, 3, 1, 2)
    wanted = result(Row("FusedConv", [x, w, b, z], {**attributes, "activation": "Relu"}))
    row = Row("NhwcFusedConv", [x.transpose(last), w, b, z.transpose(last)], {**attributes, "activation": "Relu"})
    np.testing.assert_allclose(result(row).transpose(back), wanted, 1e-5, 1e-6)
    wanted = result(Row("FusedConv", [x, w, b], attributes))
    row = Row("NhwcConv", [x.transpose(last), w.transpose(last), b], attributes)
    np.testing.assert_allclose(result(row).transpose(back), wanted, 1e-5, 1e-6)


def test_a_fused_operator_refuses_an_activation_that_is_none() -> None:
    row = Row("FusedConv", [IMAGE, KERNEL], {"activation": "Sin"})
    with pytest.raises(ircc.errors.UnsupportedError, match="activation 'Sin'"):
        ircc.compile(model_of(row, False))
