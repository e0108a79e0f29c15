"""Models of engines and Python steps in turn: what is cut where, and what comes out."""

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

import ircc
from ircc.errors import EngineError, Error, InputError, NeedsPython, UnsupportedError
from ircc.runtime.composite import Composite

X = np.arange(8, dtype=np.float32).reshape(2, 4) - 3
S = np.array(["1.5", "-2"], object)


def model(signature: str, body: str, opset: int = 20) -> ModelProto:
    header = f'<ir_version: 9, opset_import: ["" : {opset}, "ai.onnx.ml" : 3]>'
    return onnx.parser.parse_model(f"{header} main {signature} {{ {body} }}")


def same(proto: ModelProto, inputs: dict[str, Any]) -> Any:
    """The engine, after a run that gave what the reference gives."""
    engine = ircc.compile(proto, threads=1)
    found = engine.run(inputs)
    expected: Any = ReferenceEvaluator(proto).run(None, inputs)
    for name, wanted in zip(found, expected, strict=True):
        assert found[name].dtype.kind == ("O" if wanted.dtype.kind in "OU" else wanted.dtype.kind)
        if found[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], wanted, rtol=1e-6)
        else:
            assert found[name].shape == wanted.shape and (found[name] == wanted).all()
    return engine


MIXED = model(
    "(float[N, 4] x, string[N] s) => (float[N, 4] y, string[N] u, float[N, 4] z)",
    """a = Relu(x)  b = Add(a, x)
       t = StringNormalizer<case_change_action = "UPPER">(s)  u = Identity(t)
       n = Cast<to = 1>(s)  k = Constant<value_ints = [1]>()  c = Unsqueeze(n, k)
       d = Mul(b, c)  y = Sub(d, x)  z = Sigmoid(b)""",
)


def test_numbers_are_compiled_and_strings_are_not() -> None:
    engine = same(MIXED, {"x": X, "s": S})
    assert isinstance(engine, Composite) and not engine.native
    kinds = [(step.kernel.name if step.engine is None else "engine") for step in engine.steps]
    assert sorted(kinds) == ["Cast", "Identity", "StringNormalizer", "engine", "engine"]
    assert kinds[0] == "engine"
    nodes = {node for kernel in engine.kernels if kernel.strategy != "python" for node in kernel.nodes}
    assert {name.partition("_")[0] for name in nodes} >= {"Relu", "Add", "Mul", "Sub", "Sigmoid"}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_number_of_rows(rows: int) -> None:
    engine = ircc.compile(MIXED, threads=1)
    x = np.linspace(-2, 2, rows * 4, dtype=np.float32).reshape(rows, 4)
    strings = np.array([str(i) for i in range(rows)], object)
    found = engine.run({"x": x, "s": strings})
    assert found["u"].tolist() == (strings.tolist() or [""])  # StringNormalizer never gives an empty tensor
    assert found["u"].dtype == object
    np.testing.assert_allclose(found["y"], (np.maximum(x, 0) + x) * np.arange(rows)[:, None] - x, rtol=1e-6)


def test_what_comes_of_strings_may_be_of_any_size() -> None:
    proto = model(
        "(string[N] s) => (string[N, M] y, int64[N] z, float t)",
        """y, n = StringSplit<delimiter = ",">(s)  z = Add(n, n)
           f = Cast<to = 1>(y)  t = ReduceSum<keepdims = 0>(f)""",
    )
    for texts in (["1,2,3", "4,5,6"], ["7"]):
        same(proto, {"s": np.array(texts, object)})


def test_string_operators() -> None:
    proto = model(
        "(string[N] s, string[1] p, float[M] f) =>"
        "(string[N] c, bool[N] e, bool[N] r, string[M] t, string[1, N] w, int64[1] n)",
        """c = StringConcat(p, s)  e = Equal(c, s)  r = RegexFullMatch<pattern = "a+b?">(s)  t = Cast<to = 8>(f)
           k = Constant<value_ints = [1, -1]>()  w = Reshape(s, k)  n = Shape(s)""",
    )
    inputs = {"s": np.array(["aab", "ba", ""], object), "p": np.array([""], object), "f": X[0]}
    same(proto, inputs)
    empty = ircc.compile(proto, threads=1).run({**inputs, "s": np.array([], object)})
    assert empty["e"].shape == (0,) and empty["r"].dtype == np.bool_ and empty["n"] == [0]


def test_strings_in_constants_and_initializers() -> None:
    names = helper.make_tensor("names", TensorProto.STRING, [2], np.array(["left", "rést"], object))
    proto = model(
        "(string[N] s) => (string[M] y, string[1] c)",
        'y = Concat<axis = 0>(s, names) c = Constant<value_strings = ["x"]>()',
    )
    proto.graph.initializer.append(names)
    same(proto, {"s": S})


def test_an_output_may_be_an_input_or_an_initializer() -> None:
    names = helper.make_tensor("names", TensorProto.STRING, [1], np.array(["left"], object))
    proto = model("(string[N] s) => (string[N] s, string[1] names)", "")
    proto.graph.initializer.append(names)
    found = ircc.compile(proto).run({"s": S})
    assert found["s"].tolist() == S.tolist() and found["names"].tolist() == ["left"]


def test_every_form_of_strings_is_taken() -> None:
    proto = model("(string[N] s, string[1] p) => (string[N] c)", "c = StringConcat(s, p)")
    engine = ircc.compile(proto)
    for given in (np.array(["a", "é"]), np.array(["a", "é"], object), np.array(["a", "é".encode()], object)):
        assert engine.run({"s": given, "p": np.array(["!"])})["c"].tolist() == ["a!", "é!"]
    for given, message in ((np.array([1.0]), "expected strings"), (np.array([1, "a"], object), "no string")):
        with pytest.raises(InputError, match=message):
            engine.run({"s": given, "p": np.array(["!"])})
    with pytest.raises(InputError, match="missing: p"):
        engine.run({"s": S})
    with pytest.raises(InputError, match="no input q"):
        engine.run({"s": S, "p": S[:1], "q": S})
    with pytest.raises(InputError, match="2 dimensions"):
        engine.run({"s": S[None], "p": S[:1]})


def test_bound_inputs_are_read_at_every_call() -> None:
    s = S.copy()
    bound = ircc.compile(MIXED, threads=1).bind({"x": X, "s": s})
    bound()
    first = bound.outputs["u"].tolist()
    s[0] = "4"
    bound()
    assert first == ["1.5", "-2"] and bound.outputs["u"].tolist() == ["4", "-2"]


def test_outputs_go_to_arrays_that_are_given() -> None:
    engine, x, s = ircc.compile(MIXED, threads=1), X.copy(), S.copy()
    for _ in range(2):
        expected = engine.run({"x": x, "s": s})
        bound = engine.bind({"x": x, "s": s}, {"y": x, "u": s})
        bound()
        assert bound.outputs["y"] is x and np.array_equal(x, expected["y"])
        assert bound.outputs["u"] is s and s.tolist() == expected["u"].tolist()
        assert np.array_equal(bound.outputs["z"], expected["z"])


def test_arrays_that_do_not_fit() -> None:
    engine = ircc.compile(MIXED, threads=1)
    with pytest.raises(InputError, match="no output q"):
        engine.bind({"x": X, "s": S}, {"q": X})
    with pytest.raises(InputError, match="outputs 'y' and 'z' overlap"):
        engine.bind({"x": X, "s": S}, {"y": X, "z": X})
    with pytest.raises(InputError, match=r"output 'y' is float32\[2, 4\], the array given for it float32\[3, 4\]"):
        engine.bind({"x": X, "s": S}, {"y": np.zeros((3, 4), np.float32)})()


def test_it_has_no_file(tmp_path: Any) -> None:
    with ircc.compile(MIXED, threads=1) as engine, pytest.raises(EngineError, match="runs partly in Python"):
        engine.save(tmp_path / "x.engine")
    with pytest.raises(NeedsPython) as caught:
        ircc.lower(MIXED)
    assert caught.value.exit_status == 4
    assert {i.operator for i in caught.value.issues} == {"StringNormalizer", "Cast", "Identity"}


def test_a_number_that_cannot_be_compiled_is_refused_all_the_same() -> None:
    proto = model("(float[N] x, string[N] s) => (float[N] y, string[N] u)", "y = com.example.Magic(x)  u = Identity(s)")
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedError, match=r"Magic") as caught:
        ircc.compile(proto)
    assert not isinstance(caught.value, NeedsPython)


def test_strings_within_functions_and_branches() -> None:
    proto = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["" : 20, "local" : 1]>
        main (string[N] s, float[N] x, bool b) => (string[N] u, float[N] y, string[N] v) {
            u, y = local.both(s, x)
            v = If(b) <then_branch = a () => (string[N] p) { p = Identity(s) },
                       else_branch = c () => (string[N] q) { q = StringConcat(s, s) }>
        }
        <domain: "local", opset_import: ["" : 20]>
        both (s, x) => (u, y) { u = StringConcat(s, s)  y = Neg(x) }""")
    for b in (True, False):
        engine = same(proto, {"s": S, "x": X[0, :2], "b": np.array(b)})
    assert any(node for kernel in engine.kernels if kernel.strategy != "python" for node in kernel.nodes)


def test_sizes_are_fixed_for_the_pieces_too() -> None:
    engine = ircc.compile(MIXED, shapes={"x": (2, 4)}, threads=1)
    assert [port.shape for port in engine.inputs] == [(2, 4), (2,)]
    engine.run({"x": X, "s": S})
    with pytest.raises(InputError):
        engine.run({"x": X[:1], "s": S[:1]})


def test_what_an_operator_refuses_is_an_error_of_ircc() -> None:
    proto = model("(string[N] s) => (float[N] y)", "y = Cast<to = 1>(s)")
    with pytest.raises(Error, match="Cast"):
        ircc.compile(proto).run({"s": np.array(["no number"])})


def test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    from io import BytesIO

    pixels = np.random.default_rng(0).integers(0, 255, (3, 5, 3), np.uint8)
    buffer = BytesIO()
    image.fromarray(pixels).save(buffer, "png")
    data = np.frombuffer(buffer.getvalue(), np.uint8)
    for kind, wanted in (("RGB", pixels), ("BGR", pixels[:, :, ::-1])):
        proto = model("(uint8[N] x) => (uint8[H, W, C] y)", f'y = ImageDecoder<pixel_format = "{kind}">(x)')
        assert (ircc.compile(proto).run({"x": data})["y"] == wanted).all()
    proto = model(
        "(uint8[N] x) => (float y)", "i = ImageDecoder(x)  f = Cast<to = 1>(i)  y = ReduceMean<keepdims = 0>(f)"
    )
    found = ircc.compile(proto, threads=1).run({"x": data})
    np.testing.assert_allclose(found["y"], pixels.mean(dtype=np.float64), rtol=1e-6)
    monkeypatch.setattr("ircc.frontends.onnx.evaluate.PACKAGES", {"ImageDecoder": ("no_such_module", "some-package")})
    with pytest.raises(EngineError, match="some-package"):
        ircc.compile(proto)


def test_the_compiler_is_not_imported_for_what_needs_none() -> None:
    assert ircc.compile(model("(float[N] x) => (float[N] y)", "y = Neg(x)")).kernels[0].strategy != "python"


def test_a_rank_that_depends_on_data_is_settled_when_it_runs() -> None:
    """What the importer knows of the values beside it stays known: how many sizes a Reshape is given, and ranks."""
    proto = model(
        "(int64[3] size, float[2, 3] x) => (float[A, B, C] y, float[D, E] z)",
        """count = Size(size)  five = Constant<value_int = 5>()  long = Equal(count, five)
           target = If(long) <
             then_branch = a () => (int64[1] s) { s = Constant<value_ints = [1]>() },
             else_branch = b () => (int64[3] t) { t = Identity(size) }
           >
           image = If(long) <
             then_branch = c () => (float[1] s) { s = Constant<value_floats = [1.0]>() },
             else_branch = d () => (float[2, 3] t) { t = Identity(x) }
           >
           n, h, w = Split<axis = 0, num_outputs = 3>(size)
           one = Constant<value_ints = [1]>()  zero = Constant<value_float = 0.0>()
           flat = Equal(w, one)
           wf = Cast<to = 1>(w)
           step = If(flat) <
             then_branch = e () => (float s) { s = Identity(zero) },
             else_branch = f () => (float[1] t) { t = Div(wf, wf) }
           >
           r = Reshape(x, target)  y = Add(r, step)
           q = Add(image, step)  z = Transpose<perm = [1, 0]>(q)""",
    )
    for size in ([1, 2, 3], [3, 2, 1], [2, 3, 1]):
        engine = same(proto, {"size": np.array(size), "x": X[:, :3]})
        assert not engine.native
