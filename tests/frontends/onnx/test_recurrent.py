"""RNN, GRU and LSTM against ONNX Runtime, in all that their attributes and inputs say.

Layout 1, which it lacks, is held against the same operator with layout 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import ircc
from ircc.compiler import lower
from ircc.ir.evaluator import evaluate

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Arrays = dict[str, Any]


def model_of(
    operator: str, *, direction: str = "forward", layout: int = 0, lengths: Any = None, initial: bool = False,
    bias: bool = True, peepholes: bool = False, outputs: str = "YHC", steps: int = 5, batch: int = 2,
    weights_run: bool = False, symbolic: bool = True, **attributes: Any,
) -> tuple[ModelProto, Arrays]:  # fmt: skip
    """A model of one operator with input size 3 and hidden size 4, and its inputs."""
    rng = np.random.default_rng(7)
    width, hidden, gates, ways = 3, 4, GATES[operator], 2 if direction == "bidirectional" else 1

    def floats(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    feeds: Arrays = {"x": floats(steps, batch, width)}
    weights: Arrays = {"w": floats(ways, gates * hidden, width), "r": floats(ways, gates * hidden, hidden)}
    weights["b"] = floats(ways, 2 * gates * hidden)
    if lengths is not None:
        feeds["lengths"] = np.array(lengths, np.int32)
    states = ["h", "c"] if operator == "LSTM" else ["h"]
    if initial:
        feeds |= {s: floats(ways, batch, hidden) for s in states}
    if layout:
        feeds |= {k: v.swapaxes(0, 1) for k, v in feeds.items() if v.ndim == 3}
        attributes["layout"] = 1
    if peepholes:
        weights["p"] = floats(ways, 3 * hidden)
    names = ["x", "w", "r", "b" if bias else "", "lengths" if lengths is not None else ""]
    names += [s if initial else "" for s in states]
    names += ["p"] if peepholes else []
    used = {k: v for k, v in weights.items() if k in names}
    feeds |= used if weights_run else {}
    found = ["Y", "Y_h", "Y_c"][: 1 + len(states)]
    found = [o if o[-1].upper() in outputs else "" for o in found]
    node = helper.make_node(operator, names, found, hidden_size=hidden, direction=direction, **attributes)

    def info(name: str, array: Any) -> Any:
        axes = {"x": {0: "T", 1: "B"}, "h": {1: "B"}, "c": {1: "B"}, "lengths": {0: "B"}}.get(name, {})
        if layout and array.ndim == 3:
            axes = {1 - axis: symbol for axis, symbol in axes.items()}
        shape = [axes.get(i, n) if symbolic else n for i, n in enumerate(array.shape)]
        kind = TensorProto.INT32 if array.dtype == np.int32 else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, shape)

    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in found if o]
    constants = [] if weights_run else [numpy_helper.from_array(v, k) for k, v in used.items()]
    graph = helper.make_graph([node], "g", [info(k, v) for k, v in feeds.items()], results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), feeds


def expected(model: ModelProto, feeds: Arrays) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # with more, it quantises the states of a batch in parts
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(found) for found in session.run(None, feeds)]


def agree(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"direction": "reverse", "initial": True},
    "both ways": {"direction": "bidirectional", "initial": True},
    "lengths": {"lengths": [3, 5], "initial": True},
    "lengths in reverse": {"lengths": [1, 4], "direction": "reverse"},
    "lengths both ways": {"lengths": [5, 2], "direction": "bidirectional", "initial": True},
    "without bias": {"bias": False, "direction": "bidirectional"},
    "numbers for sizes": {"symbolic": False},
    "only Y": {"outputs": "Y"},
    "only Y_h": {"outputs": "H", "direction": "bidirectional"},
    "clip": {"clip": 0.25},
    "weights at run time": {"weights_run": True, "direction": "bidirectional"},
    "one step of one": {"steps": 1, "batch": 1},
}
EXTRA: list[tuple[str, dict[str, Any]]] = [
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"linear_before_reset": 1, "bias": False}),
    ("GRU", {"linear_before_reset": 1, "direction": "bidirectional", "lengths": [5, 2], "initial": True}),
    ("LSTM", {"peepholes": True, "initial": True}),
    ("LSTM", {"peepholes": True, "direction": "bidirectional", "clip": 0.3}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"outputs": "C"}),
    ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Relu"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("LSTM", {"activations": ["Sigmoid", "Affine", "ScaledTanh"], "activation_alpha": [0.9, 1.2],
              "activation_beta": [0.1, 0.7]}),
    ("GRU", {"activations": ["Sigmoid", "LeakyRelu"], "activation_alpha": [0.2]}),
    ("GRU", {"activations": ["HardSigmoid", "Softplus"]}),
    ("RNN", {"direction": "bidirectional", "activations": ["Relu", "Tanh"]}),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [0.5]}),
    ("RNN", {"activations": ["LeakyRelu"]}),
]  # fmt: skip
every_case = pytest.mark.parametrize(
    ("operator", "given"),
    [pytest.param(o, c, id=f"{o} {name}") for o in GATES for name, c in CASES.items()]
    + [pytest.param(o, c, id=f"{o} {c}") for o, c in EXTRA],
)


@every_case
def test_the_rule(operator: str, given: dict[str, Any]) -> None:
    model, feeds = model_of(operator, **given)
    agree(list(evaluate(lower(model, "graph-ir"), feeds).values()), expected(model, feeds))


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("name", ["both ways", "lengths both ways", "weights at run time"])
def test_compiled(operator: str, name: str) -> None:
    model, feeds = model_of(operator, **CASES[name])
    engine = ircc.compile(model, threads=1)
    agree(list(engine.run(feeds).values()), expected(model, feeds))


@pytest.mark.parametrize("operator", GATES)
def test_batch_first(operator: str) -> None:
    given: dict[str, Any] = {"direction": "bidirectional", "initial": True}
    model, feeds = model_of(operator, layout=1, **given)
    other, others = model_of(operator, **given)
    y, *states = expected(other, others)
    wanted = [y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in states)]
    agree(list(evaluate(lower(model, "graph-ir"), feeds).values()), wanted)


def test_no_steps() -> None:
    model, _ = model_of("LSTM", initial=True)
    engine = ircc.compile(model, threads=1)
    h, c = np.ones((1, 2, 4), np.float32), np.full((1, 2, 4), 2, np.float32)
    y, last, cell = engine.run({"x": np.zeros((0, 2, 3), np.float32), "h": h, "c": c}).values()
    assert y.shape == (0, 1, 2, 4)
    agree([last, cell], [h, c])


@pytest.mark.parametrize(("attributes", "message"), [
    ({"activations": ["Cosine", "Tanh", "Tanh"]}, "no activation"), ({"activations": ["Tanh"]}, "1 activations"),
])  # fmt: skip
def test_what_is_no_model(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ircc.Error, match=message):
        lower(model_of("LSTM", **attributes)[0], "graph-ir")


@pytest.mark.parametrize(("dtype", "columns"), [(np.int8, False), (np.int8, True), (np.uint8, False)])
def test_dynamically_quantised(dtype: Any, columns: bool) -> None:
    rng, hidden, width = np.random.default_rng(1), 16, 8
    limits = np.iinfo(dtype)
    weights: Arrays = {
        name: rng.integers(limits.min, limits.max, (2, rows, 4 * hidden), endpoint=True).astype(dtype)
        for name, rows in (("w", width), ("r", hidden))
    }
    shape = (2, 4 * hidden) if columns else (2,)
    for name in ("w", "r"):
        weights[f"{name}_scale"] = rng.uniform(0.002, 0.004, shape).astype(np.float32)
        weights[f"{name}_zero"] = np.full(shape, 0 if columns else 3, dtype)
    weights["b"] = rng.uniform(-1, 1, (2, 8 * hidden)).astype(np.float32)
    names = ["x", "w", "r", "b", "", "", "", "", "w_scale", "w_zero", "r_scale", "r_zero"]
    made = helper.make_node(
        "DynamicQuantizeLSTM", names, ["y", "h", "c"], domain="com.microsoft", hidden_size=hidden,
        direction="bidirectional",
    )  # fmt: skip
    graph = helper.make_graph(
        [made], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "B", width])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in "yhc"],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    feeds = {"x": rng.standard_normal((5, 3, width)).astype(np.float32)}
    engine = ircc.compile(model, threads=1)
    assert engine.native
    agree(list(engine.run(feeds).values()), expected(model, feeds))
