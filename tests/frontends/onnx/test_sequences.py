"""Sequences and optionals that the importer resolves, against ONNX Runtime: nothing of them is left to run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx.parser
import onnxruntime
import pytest

import ircc
from ircc.errors import Error, InputError, ModelError, UnsupportedError

X = np.arange(24, dtype=np.float32).reshape(4, 6) - 7


def model(signature: str, body: str, opset: int = 18) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> main {signature} {{ {body} }}')


def same(proto: onnx.ModelProto, inputs: Mapping[str, Any]) -> Any:
    """What the engine gives, which is what ONNX Runtime gives, all of it compiled."""
    engine = ircc.compile(proto, threads=1)
    found = engine.run(inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected: Any = session.run(None, {name: np.asarray(value) for name, value in inputs.items()})
    for name, wanted in zip([o.name for o in proto.graph.output], expected, strict=True):
        got = found[name]
        assert isinstance(got, list) == isinstance(wanted, list)
        pairs = zip(got, wanted, strict=True) if isinstance(wanted, list) else [(got, wanted)]
        for a, b in pairs:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert all(kernel.strategy != "python" for kernel in engine.kernels)
    return found


@pytest.mark.parametrize("where", [0, 1, 2, 3, -1, -3])
def test_insert_at_a_known_place(where: int) -> None:
    text = f"""k = Constant<value = int64 {{{where}}}>()  a = Abs(x)  b = Neg(x)
        s = SequenceConstruct(x, a, b)  y = SequenceInsert(s, x, k)  n = SequenceLength(y)"""
    same(model("(float[4, N] x) => (seq(float[4, N]) y, int64 n)", text), {"x": X})


@pytest.mark.parametrize("where", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("operator", ["SequenceAt", "SequenceErase"])
def test_a_place_that_is_known_at_run_time(operator: str, where: int) -> None:
    output = "float[4, N]" if operator == "SequenceAt" else "seq(float[4, N])"
    text = f"a = Abs(x)  b = Neg(x)  s = SequenceConstruct(x, a, b)  y = {operator}(s, k)"
    same(model(f"(float[4, N] x, int64 k) => ({output} y)", text), {"x": X, "k": np.int64(where)})


@pytest.mark.parametrize("where", [0, 1, 2, -1, -2])
def test_insert_at_a_place_that_is_known_at_run_time(where: int) -> None:
    text = "a = Abs(x)  b = Neg(x)  s = SequenceConstruct(x, a)  y = SequenceInsert(s, b, k)"
    same(model("(float[4, N] x, int64 k) => (seq(float[4, N]) y)", text), {"x": X, "k": np.int64(where)})


@pytest.mark.parametrize("attributes", ["axis = 0", "axis = 1", "axis = -1, keepdims = 0", "axis = 0, keepdims = 0"])
def test_split_into_slices(attributes: str) -> None:
    text = f"t = Mul(x, x) y = SplitToSequence<{attributes}>(t)"
    same(model("(float[4, 6] x) => (seq(float[M]) y)", text), {"x": X})


@pytest.mark.parametrize("split", ["int64 {4}", "int64 {6}", "int64 {9}", "int64[3] {1, 0, 5}", "int64[1] {6}"])
def test_split_into_parts(split: str) -> None:
    text = f"k = Constant<value = {split}>() y = SplitToSequence<axis = 1>(x, k)"
    same(model("(float[N, 6] x) => (seq(float[N, M]) y)", text), {"x": X})


@pytest.mark.parametrize("attributes", ["axis = 0", "axis = -1", "axis = 1, new_axis = 1", "axis = -1, new_axis = 1"])
def test_concat(attributes: str) -> None:
    text = f"a = Abs(x)  s = SequenceConstruct(x, a, x)  y = ConcatFromSequence<{attributes}>(s)"
    same(model("(float[N, 6] x) => (float[A] y)", text), {"x": X})


def test_empty_sizes() -> None:
    text = "a = Abs(x)  s = SequenceConstruct(x, a)  y = ConcatFromSequence<axis = 0>(s)"
    same(model("(float[N, 6] x) => (float[A, 6] y)", text), {"x": X[:0]})


def test_an_empty_sequence() -> None:
    found = same(model("() => (seq(float[]) y, int64 n)", "y = SequenceEmpty()  n = SequenceLength(y)"), {})
    assert found["y"] == [] and found["n"] == 0


def test_elements_of_different_shapes() -> None:
    text = """k = Constant<value = int64 {-2}>()  a = ReduceSum(x)  t = Transpose(x)
        s = SequenceConstruct(x, a, t)  y = SequenceErase(s, k)  z = SequenceAt(s, k)"""
    same(model("(float[N, 6] x) => (seq(float[]) y, float[A, B] z)", text), {"x": X})


def test_map_takes_its_surroundings_and_tensors_along() -> None:
    text = """k = Constant<value = int64[2] {1, 3}>()  s = SplitToSequence<axis = 0>(x, k)
        c = Constant<value = float {3}>()
        y, z = SequenceMap<body = inner (float[A, 6] e, float[B] f) => (float[A, 6] g, int64[2] h) {
            d = Add(e, c)  g = Mul(d, f)  h = Shape(e)
        }>(s, w)"""
    signature = "(float[4, 6] x, float[6] w) => (seq(float[A, 6]) y, seq(int64[2]) z)"
    same(model(signature, text), {"x": X, "w": X[0]})


def test_a_sequence_as_input_is_compiled_for_its_length() -> None:
    text = """k = Constant<value = int64 {0}>()  a = SequenceAt(s, k)
        n = SequenceLength(s)  y = ConcatFromSequence<axis = 0>(s)"""
    proto = model("(seq(float[]) s) => (float[A] y, int64 n, float[B] a)", text)
    engine = ircc.compile(proto, threads=1)
    for items in ([X[0]], [X[0], X[1, :3], X[2, :0]], [X, X[1:]]):
        found = engine.run({"s": items})
        np.testing.assert_array_equal(found["y"], np.concatenate(items))
        np.testing.assert_array_equal(found["a"], items[0])
        assert found["n"] == len(items)
    with pytest.raises(Error, match="outside of a sequence of 0"):
        engine.run({"s": []})
    with pytest.raises(InputError, match="element 1 of input 's' has dtype float64"):
        engine.run({"s": [X, X.astype(np.float64)]})
    with pytest.raises(InputError, match="expected a list"):
        engine.run({"s": X})


@pytest.mark.parametrize("value", [None, X])
def test_an_optional_as_input(value: Any) -> None:
    text = """h = OptionalHasElement(o)
        y = If(h) <then_branch = a () => (float[N, 6] t) { t = OptionalGetElement(o) },
                   else_branch = b () => (float[N, 6] e) { e = Neg(x) }>"""
    proto = model("(optional(float[N, 6]) o, float[N, 6] x) => (float[N, 6] y, bool h)", text)
    found = ircc.compile(proto, threads=1).run({"o": value, "x": X})
    np.testing.assert_array_equal(found["y"], -X if value is None else X)
    assert found["h"] == (value is not None) and found["h"].dtype == np.bool_


def test_an_optional_sequence() -> None:
    text = "h = OptionalHasElement(o)  y = OptionalGetElement(o)"
    proto = model("(optional(seq(float[])) o) => (seq(float[]) y, bool h)", text)
    engine = ircc.compile(proto, threads=1)
    assert [a.shape for a in engine.run({"o": [X, X[0]]})["y"]] == [(4, 6), (6,)]
    with pytest.raises(ModelError, match="element of an empty optional"):
        engine.run({"o": None})


def test_an_empty_optional_is_an_output() -> None:
    proto = model(
        "(float[N] x) => (optional(float) y, float[N] z)", "y = Optional<type: type_proto = float>() z = Neg(x)"
    )
    found = ircc.compile(proto, threads=1).run({"x": X[0]})
    assert found["y"] is None and (found["z"] == -X[0]).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "s = SequenceConstruct(x, x)  k = Constant<value_int = 2>()  y = SequenceAt(s, k)",
            "outside of a sequence of 2",
        ),
        ("s = SequenceEmpty()  y = ConcatFromSequence<axis = 0>(s)", "empty sequence"),
        ("s = SequenceConstruct(x)  y = Relu(s)", "sequence"),
        ("y = ConcatFromSequence<axis = 0>(x)", "expected a sequence"),
        (
            "k = Constant<value_ints = [3, 4]>()  s = SplitToSequence<axis = 1>(x, k) y = SequenceAt(s, k)",
            "do not make up",
        ),
    ],
)
def test_mistakes_are_said(body: str, message: str) -> None:
    with pytest.raises((ModelError, UnsupportedError), match=message):
        ircc.compile(model("(float[2, 6] x) => (float[A] y)", body))
