"""Models that ONNX Runtime's own quantiser wrote, against ONNX Runtime on the file as it is.

Small models are quantised in every format. With IRCC_FULL=1, and IRCC_MODELS the name of a folder that has them, so are
real ones: convolutions with PRelu, a MobileNet, an encoder. What is printed (`pytest -s`) is how many steps the outputs
are apart at most.

Results are no more than one step apart: always in eight bits with scales that the file says. Two kinds of file do not
say so much about their results. Where scales are found at run time, they depend on largest elements, and so each
element of a tensor on how a mean before it was rounded; and a step of sixteen bits is of the order of what floats round
on the way. A tie that falls to the other side then moves an element by a step, and what comes after by more: by up to
hundreds of steps in the MobileNet. For such files of real models the measure is ONNX Runtime itself, on the same file
with each float result of its nodes moved by one unit in the last place: ircc may be as far from it as it then is from
itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

import ircc

Array = np.ndarray[Any, Any]
OPSET = 13  # the first whose QuantizeLinear has an axis


class Source(NamedTuple):
    """A model to quantise: its text or its file's name, and the sizes of its inputs; `ids`: ids are below that."""

    model: str
    inputs: Mapping[str, tuple[int, ...]]
    ids: int = 0


BRANCHES = """
    <ir_version: 10, opset_import: ["" : 17]>
    net (float[N, 3, 16, 16] x) => (float[N, 10] y)
    <float[8, 3, 3, 3] w1, float[8] b1, float[8, 1, 3, 3] w2, float[12, 8, 1, 1] w3, float[12] b3, float[20, 12] w4,
     float[20] b4, float[20, 10] w5> {
        a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
        r = Relu (a)
        p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
        c = Conv <pads = [1, 1, 1, 1], group = 8> (p, w2, b1)
        s = Sigmoid (c)
        m = Mul (c, s)
        d = Add (m, p)
        e = Conv (d, w3, b3)
        l = LeakyRelu <alpha = 0.1> (e)
        g = GlobalAveragePool (l)
        f = Flatten (g)
        h = Gemm <transB = 1> (f, w4, b4)
        y = MatMul (h, w5)
    }
"""
SCANNER = """
    <ir_version: 10, opset_import: ["" : 17]>
    net (float[N, H, W, 3] x) => (float[N, P, Q, 4] boxes, float[N, P, Q, 2] scores)
    <float[10, 3, 3, 3] w1, float[10] b1, float[10, 1, 1] s1, float[16, 10, 3, 3] w2, float[16] b2, float[16, 1, 1] s2,
     float[2, 16, 1, 1] w3, float[2] b3, float[4, 16, 1, 1] w4, float[4] b4> {
        t = Transpose <perm = [0, 3, 1, 2]> (x)
        a = Conv (t, w1, b1)
        b = PRelu (a, s1)
        c = MaxPool <kernel_shape = [2, 2], strides = [2, 2], auto_pad = "SAME_UPPER"> (b)
        d = Conv (c, w2, b2)
        e = PRelu (d, s2)
        f = Conv (e, w3, b3)
        g = Conv (e, w4, b4)
        h = Transpose <perm = [0, 2, 3, 1]> (f)
        boxes = Transpose <perm = [0, 2, 3, 1]> (g)
        scores = Softmax <axis = 3> (h)
    }
"""
SMALL = {
    "branches": Source(BRANCHES, {"x": (2, 3, 16, 16)}),
    "scanner": Source(SCANNER, {"x": (1, 27, 22, 3)}),
}
REAL = {
    "pnet": Source("pnet.onnx", {"input_1": (1, 160, 120, 3)}),
    "rnet": Source("rnet.onnx", {"input_2": (4, 24, 24, 3)}),
    "onet": Source("onet.onnx", {"input_3": (4, 48, 48, 3)}),
    "cls": Source("ch_ppocr_mobile_v2.0_cls_mobile.onnx", {"x": (1, 3, 48, 192)}),
    "khmersm": Source("khmersm/model.onnx", {"x": (1, 64), "mask": (1, 64)}, 60),
}
QDQ, QOPERATOR = quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator
INT8, UINT8, UINT16 = quantization.QuantType.QInt8, quantization.QuantType.QUInt8, quantization.QuantType.QUInt16
STATIC: dict[str, dict[str, Any]] = {
    "qdq": {"quant_format": QDQ},
    "qdq-per-channel": {"quant_format": QDQ, "per_channel": True},
    "qdq-int8": {"quant_format": QDQ, "activation_type": INT8},
    "qdq-uint16": {"quant_format": QDQ, "activation_type": UINT16},
    "qoperator": {"quant_format": QOPERATOR},
    "qoperator-uint8": {"quant_format": QOPERATOR, "activation_type": UINT8, "weight_type": UINT8},
    "qoperator-per-channel": {"quant_format": QOPERATOR, "per_channel": True},
}
DYNAMIC: dict[str, dict[str, Any]] = {
    "dynamic": {"weight_type": INT8},
    "dynamic-uint8": {"weight_type": UINT8},
    "dynamic-per-channel": {"weight_type": INT8, "per_channel": True},
}
ONCE = ("qdq-int8", "qdq-uint16", "qoperator-uint8")  # formats of the first small model only
UNSTABLE = ("qdq-uint16", *DYNAMIC)  # formats in which rounding may move a result by many steps
DRAWS = 8  # files whose float results are moved


def chosen() -> list[tuple[str, str]]:
    """Models and formats of this run."""
    formats = [*STATIC, *DYNAMIC]
    real = REAL if os.environ.get("IRCC_FULL") and os.environ.get("IRCC_MODELS") else ()
    first, *others = SMALL
    found = [(model, form) for model in (first, *real) for form in formats]
    return found + [(model, form) for model in others for form in formats if form not in ONCE]


def drawn(source: Source, infos: Mapping[str, int], seed: int) -> dict[str, Array]:
    """Inputs of these types: normal floats, ids, a mask of ones."""
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name, shape in source.inputs.items():
        dtype = onnx.helper.tensor_dtype_to_np_dtype(infos[name])
        values = random.standard_normal(shape) if dtype.kind == "f" else np.ones(shape)
        found[name] = (random.integers(0, source.ids, shape) if dtype.kind == "i" else values).astype(dtype)
    return found


class Reader(quantization.CalibrationDataReader):
    """A few inputs to calibrate with."""

    def __init__(self, source: Source, infos: Mapping[str, int]) -> None:
        self.left: Iterator[dict[str, Array]] = iter([drawn(source, infos, seed) for seed in range(3)])

    def get_next(self) -> dict[str, Array] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return next(self.left, None)


def small(text: str) -> onnx.ModelProto:
    """The model of a text, with drawn weights that keep the size of what goes through them."""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(1)
    infos = {info.name: info for info in model.graph.value_info}
    for name, info in infos.items():
        shape = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        array = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    del model.graph.value_info[:]
    return model


def prepared(source: Source, folder: Path) -> Path:
    """The model in a file, as the quantiser wants it."""
    path = folder / "plain.onnx"
    if "{" in source.model:
        onnx.save(onnx.shape_inference.infer_shapes(small(source.model)), path)
        return path
    (given,) = Path(os.environ["IRCC_MODELS"]).rglob(source.model)
    model = onnx.load(given)
    if model.opset_import[0].version < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    onnx.save(model, folder / "given.onnx")
    quant_pre_process(folder / "given.onnx", path, skip_symbolic_shape=True)
    return path


def runtime(path: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    """ONNX Runtime's results, of the model as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, feeds)), strict=True))


@pytest.mark.parametrize(("name", "form"), chosen())
def test_one_step(name: str, form: str, tmp_path: Path) -> None:
    """No output is more than one step away: of the DequantizeLinear that gives it, or of one that would give it in
    eight bits, where none does. Formats that are unstable may be off, in real models, by what they are off in ONNX
    Runtime."""
    source = {**SMALL, **REAL}[name]
    plain, path = prepared(source, tmp_path), tmp_path / "quantised.onnx"
    infos = {info.name: info.type.tensor_type.elem_type for info in onnx.load(plain).graph.input}
    if form in STATIC:
        quantization.quantize_static(plain, path, Reader(source, infos), **STATIC[form])
    else:
        kinds = ["MatMul", "Gemm", "Conv", "Gather"]
        quantization.quantize_dynamic(plain, path, op_types_to_quantize=kinds, **DYNAMIC[form])
    model = onnx.load(path)
    assert any("Quant" in node.op_type or "Integer" in node.op_type for node in model.graph.node)
    feeds = drawn(source, infos, 9)
    expected = runtime(path, feeds)
    found = ircc.compile(path, threads=1).run(feeds)
    scales = last_scales(model)
    noise: dict[str, float] = {}
    for output, wanted in expected.items():
        step = scales.get(output, float(np.ptp(wanted)) / 255)
        apart = float(np.abs(found[output].astype(np.float64) - wanted).max()) / step
        assert np.abs(wanted).max() > 5 * step  # the result is more than a few steps
        if apart > 1.001 and form in UNSTABLE and name in REAL:
            noise = noise or spread(model, feeds, tmp_path)
        most = max(1.001, noise.get(output, 0.0) / step)
        sys.stdout.write(f"{name} {form} {output}: {apart:.4f} steps of {step:.3g}, at most {most:.4f}\n")
        assert apart <= most


def moved(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The model with each float result of its nodes moved by one unit in the last place, up or down."""
    random = np.random.default_rng(seed)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {info.name: info.type.tensor_type.elem_type for info in (*inferred.value_info, *inferred.output)}
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:]
    eps = np.finfo(np.float32).eps
    for name, factor in (("moved_up", 1 + eps), ("moved_down", 1 - eps)):
        found.graph.initializer.append(numpy_helper.from_array(np.asarray(factor, np.float32), name))
    for given in model.graph.node:
        node = found.graph.node.add()
        node.CopyFrom(given)
        for i, output in enumerate(given.output):
            if output and types[output] == TensorProto.FLOAT:
                node.output[i] = f"{output}_exact"
                factor = random.choice(["moved_up", "moved_down"])
                found.graph.node.append(onnx.helper.make_node("Mul", [node.output[i], factor], [output]))
    return found


def spread(model: onnx.ModelProto, feeds: dict[str, Array], folder: Path) -> dict[str, float]:
    """How far ONNX Runtime's results are from each other at most, of the model as it is and of it moved."""
    results: list[dict[str, Array]] = []
    for form in (model, *(moved(model, seed) for seed in range(DRAWS))):
        onnx.save(form, folder / "moved.onnx")
        results.append(runtime(folder / "moved.onnx", feeds))
    return {name: float(np.ptp([found[name] for found in results], axis=0).max()) for name in results[0]}


def test_the_measure_of_unstable_formats(tmp_path: Path) -> None:
    """Where there is nothing to fall to the other side of a tie, what is moved by a unit is off by units; where there
    is, a step: 0.5 is one of ties."""
    x = np.array([0.5, 8.0, 255.0], np.float32)
    text = """<ir_version: 10, opset_import: ["" : 21]>
        net (float[3] x) => (float[3] y, float[3] z) <float one = {1.0}, uint8 zero = {0}> {
            y = Sqrt (x)
            e = Identity (x)
            q = QuantizeLinear (e, one, zero)
            z = DequantizeLinear (q, one, zero)
        }"""
    found = spread(onnx.parser.parse_model(text), {"x": x}, tmp_path)
    assert 0 < found["y"] <= 5 * np.finfo(np.float32).eps * 16
    assert 1 <= found["z"] < 1.001


def last_scales(model: onnx.ModelProto) -> dict[str, float]:
    """The scales of outputs that a DequantizeLinear gives."""
    arrays: dict[str, TensorProto] = {t.name: t for t in model.graph.initializer}
    outputs = {output.name for output in model.graph.output}
    last = [n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.output[0] in outputs]
    return {n.output[0]: float(numpy_helper.to_array(arrays[n.input[1]])) for n in last}
