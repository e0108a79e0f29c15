"""Engines get other weights: byte for byte the file that compiling gives, or an error that names the weight."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import ircc
from ircc.cli import main
from ircc.codegen.cpu import backend, llvm
from ircc.compiler import Compilation, reproduce
from ircc.engines import verify_engine
from ircc.errors import EngineError
from ircc.runtime.file import change_engine, write_engine

Array = np.ndarray[Any, Any]
X86 = pytest.mark.skipif(llvm.host().architecture != "x86_64", reason="these targets are of x86-64")

# weights by Winograd's algorithm, folded with a normalisation, in panels, turned around, of integers, short ones, a
# scalar, a shape, and values so small that they are flushed
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 16, 10, 24] x) => (float[N, 12] y, int64[N] picked)
{
    wide = Conv <pads = [1, 1, 1, 1]> (x, w3, b3)
    normed = BatchNormalization (wide, scale, bias, mean, var)
    deep = Conv <strides = [2, 2]> (normed, w2)
    half = Mul (deep, factor)
    axes = Constant <value_ints: ints = [2, 3]> ()
    means = ReduceMean <keepdims = 0> (half, axes)
    rows = Reshape (means, shape)
    y = Gemm <transB = 1> (rows, w, b)
    best = ArgMax <axis = 1, keepdims = 0> (y)
    picked = Gather (table, best)
}
"""


def weights(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shapes = {"w3": (24, 16, 3, 3), "b3": (24,), "w2": (40, 24, 2, 2), "w": (12, 40), "b": (12,)}
    found: dict[str, Array] = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    found |= {name: rng.uniform(0.5, 2, 24).astype(np.float32) for name in ("scale", "bias", "mean", "var")}
    found["w2"][0, 0, 0, 0] = 1e-35
    found["table"] = rng.integers(0, 99, 18)
    return {**found, "factor": np.array([[[0.5]]], np.float32), "shape": np.array([-1, 40])}


def model_of(held: Mapping[str, Array], text: str = MODEL) -> onnx.ModelProto:
    made = onnx.parser.parse_model(text)
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in held.items())
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refit") / "m.engine"
    Compilation().save(model_of(weights(1)), path)
    return path


CHOICES: list[Any] = [
    {},
    {"without": ["winograd", "fuse-epilogues"], "ranges": {"N": (1, 2, 5)}},
    {"shapes": {"x": (2, None, 10, None)}, "passes": "graph-to-tensor,tensor-to-loop,expand-math,plan-memory"},
    pytest.param({"target": "cpu:x86-64,cpu:x86-64-v3"}, marks=X86),
]


@pytest.mark.parametrize("choices", CHOICES)
def test_it_is_what_compiling_gives(
    tmp_path: Path, choices: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        Compilation(**choices).save(model_of(weights(seed)), tmp_path / f"{seed}.engine")

    def no_code(*_: Any) -> None:
        raise AssertionError("code was generated")

    monkeypatch.setattr(backend.llvm, "compile_object", no_code)
    monkeypatch.setattr(backend, "Builder", no_code)
    ircc.refit(tmp_path / "1.engine", model_of(weights(2)), tmp_path / "refit.engine")
    monkeypatch.undo()
    assert (tmp_path / "refit.engine").read_bytes() == (tmp_path / "2.engine").read_bytes()
    assert (tmp_path / "refit.engine").read_bytes() != (tmp_path / "1.engine").read_bytes()


def test_what_comes_out_holds(file: Path, tmp_path: Path) -> None:
    """Its hashes, its graph, its numbers; and it is signed by nobody."""
    signed = tmp_path / "m.engine"
    signed.write_bytes(file.read_bytes())
    change_engine(signed, lambda seal: seal._replace(public_key=b"k" * 32, signature=b"s" * 64))
    model = model_of(weights(3))
    ircc.refit(signed, model, signed)
    assert verify_engine(signed) is None
    reproduce(signed)
    x = {"x": np.random.default_rng(2).standard_normal((2, 16, 10, 24), np.float32)}
    found, expected = ircc.load(signed, verify="all").run(x), ircc.compile(model).run(x)
    assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in expected.items()}
    ircc.refit(signed, model_of(weights(1)), signed)
    assert signed.read_bytes() == file.read_bytes()


SMALL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 40] x) => (float[N, 12] y, int64[N] picked, float[A, B] rows) {
    half = Mul (x, factor)
    rows = Reshape (half, shape)
    y = Gemm <transB = 1> (half, w, b)
    best = ArgMax <axis = 1, keepdims = 0> (y)
    picked = Gather (table, best)
}
"""


def small(text: str = SMALL, **others: Any) -> onnx.ModelProto:
    """A model with other values of some weights."""
    held = {name: array for name, array in weights(1).items() if name in ("w", "b", "table", "factor", "shape")}
    return model_of({**held, "factor": np.array([[0.5]], np.float32), **others}, text)


REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "a scalar": (small(factor=np.array([[0.25]], np.float32)), r"'factor'"),
    "a shape": (small(shape=np.array([-1, 20])), r"in more than its weights: .*20"),
    "a size": (small(w=np.ones((13, 40), np.float32), b=np.ones(13, np.float32)),
               r"weight 'w' is .*13, 40.* in the model, .*12, 40.* in the engine"),
    "a type": (small(table=np.arange(18, dtype=np.int32)), r"weight 'table' is .*i32.*i64"),
    "what is added is 0": (small(b=np.zeros(12, np.float32)), r"'b'"),
    "one value for all": (small(b=np.full(12, 3, np.float32)), r"'b'"),
    "nothing": (small(w=weights(5)["w"], b=weights(5)["b"], table=weights(5)["table"]), ""),
    "a name": (small(SMALL.replace("(half, w, b)", "(half, v, b)"), v=weights(1)["w"]),
               r"weight 'w' of the engine is not in the model"),
    "an operator": (small(SMALL.replace("ArgMax", "ArgMin")), r"more than its weights: .*arg_min"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    """A value that is part of the code, or a model that differs in more than weights. What is not refused is right."""
    model, told = REFUSED[name]
    file = tmp_path / "m.engine"
    Compilation().save(small(), file)
    if told:
        with pytest.raises(EngineError, match=told):
            ircc.refit(file, model, tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == ["m.engine"]
    else:
        ircc.refit(file, model, tmp_path / "out")
        Compilation().save(model, tmp_path / "again")
        assert (tmp_path / "out").read_bytes() == (tmp_path / "again").read_bytes()


TWINS = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 40] x) => (float[N, 40] y) { a = MatMul(x, one) b = Tanh(a) y = MatMul(b, other) }
"""


@pytest.mark.parametrize("equal", [True, False])
def test_equal_weights_have_one_place(tmp_path: Path, equal: bool) -> None:
    a, b = (np.random.default_rng(seed).standard_normal((40, 40), np.float32) for seed in (1, 2))
    models = [model_of({"one": a, "other": a if same else b}, TWINS) for same in (equal, not equal)]
    Compilation().save(models[0], tmp_path / "m.engine")
    with pytest.raises(EngineError, match="'one' and 'other' are equal in one of the two models"):
        ircc.refit(tmp_path / "m.engine", models[1], tmp_path / "out")


def test_engines_that_cannot_be_refitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(w=weights(2)["w"])
    Compilation(graph=False).save(small(), tmp_path / "bare.engine")
    with pytest.raises(EngineError, match="does not hold its graph"):
        ircc.refit(tmp_path / "bare.engine", model, tmp_path / "out")
    made = Compilation().build(small())
    assert isinstance(made.provenance, dict)
    del made.provenance["program"]
    write_engine(made, tmp_path / "old.engine")
    with pytest.raises(EngineError, match="make it again first"):
        ircc.refit(tmp_path / "old.engine", model, tmp_path / "out")
    made.provenance["program"] = "of another version"
    write_engine(made, tmp_path / "other.engine")
    with pytest.raises(EngineError, match="though no weight is another"):
        ircc.refit(tmp_path / "other.engine", small(), tmp_path / "out")
    monkeypatch.setattr(backend.CpuBackend, "outlines", False)
    with pytest.raises(EngineError, match="engines of the backend cpu cannot be given other weights"):
        ircc.refit(tmp_path / "old.engine", model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(small(w=weights(2)["w"]), tmp_path / "new.onnx")
    onnx.save(small(factor=np.array([[0.25]], np.float32)), tmp_path / "scalar.onnx")
    engine = tmp_path / "m.engine"
    Compilation().save(small(), engine)
    before = engine.read_bytes()
    assert main(["refit", str(engine), "--weights", str(tmp_path / "new.onnx"), "-o", str(tmp_path / "n.engine")]) == 0
    assert "the code as it was" in capsys.readouterr().err
    assert main(["refit", str(engine), "--weights", str(tmp_path / "scalar.onnx")]) == 1
    assert "hint: compile the model" in capsys.readouterr().err
    assert engine.read_bytes() == before
    assert main(["refit", str(engine), "--weights", str(tmp_path / "new.onnx")]) == 0
    assert engine.read_bytes() == (tmp_path / "n.engine").read_bytes()
    assert engine.read_bytes() != before
