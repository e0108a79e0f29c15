"""The way down: stages, leaving and entering at each, what modules remember, sizes, backends."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from xdsl.dialects.builtin import ModuleOp

from ircc import compiler
from ircc.codegen.backend import Backend, backend_names, find_backend
from ircc.compiler import LEVELS, STAGES, Compilation, compile, emit, level_of, lower, remembered
from ircc.dialects.loop import WHY, Kernel, Program
from ircc.dialects.reference import inputs_of, main_of
from ircc.errors import BackendError, Error, InputError, IRError, ModelError, PassError
from ircc.frontends.text import contents, is_text, read_text, write_text
from ircc.ir import weights
from ircc.ir.nodes import nodes_of
from ircc.ir.pipeline import Pipeline
from ircc.ir.target import PRESETS, Target
from ircc.runtime.artifact import Artifact
from ircc.verdict import check

DENSE = """
<ir_version: 9, opset_import: ["": 20]>
dense (float[N, 18] x) => (float[N, 24] y)
{
    product = MatMul(x, w)
    sum = Add(product, b)
    y = Relu(sum)
}
"""
DEPTH = 18


@pytest.fixture
def model() -> onnx.ModelProto:
    """relu(x @ w + b) with weights that printed IR refers to."""
    made = onnx.parser.parse_model(DENSE)
    random = np.random.default_rng(1)
    for name, shape in ("w", (DEPTH, 24)), ("b", (24,)):
        made.graph.initializer.append(onnx.numpy_helper.from_array(random.standard_normal(shape, np.float32), name))
    return made


@pytest.fixture
def file(model: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "dense.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Constants that passes make are kept in a folder of the test's own."""
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IRCC_TARGET", raising=False)
    return tmp_path / "cache"


# ---- stages


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_holds_its_level_alone(file: Path, stage: str) -> None:
    module = lower(file, stage)
    module.verify()
    assert level_of(module) == LEVELS[list(STAGES).index(stage)]


@pytest.mark.parametrize("stage", STAGES)
def test_going_on_from_printed_text_gives_the_same_bytes(file: Path, tmp_path: Path, stage: str) -> None:
    """Not only the same numbers: the engine is the same file."""
    text = tmp_path / "m.mlir"
    text.write_text(str(emit(file, stage)))
    direct, again = Compilation().build(file), Compilation().build(text)
    assert again.object == direct.object
    assert again.weights.tobytes() == direct.weights.tobytes()
    assert again.provenance == direct.provenance
    x = np.random.default_rng(2).standard_normal((7, DEPTH), np.float32)
    assert np.array_equal(compile(text).run({"x": x})["y"], compile(file).run({"x": x})["y"])


CONVOLUTIONS = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 4, H, W] x) => (float[N, 16] y)
{
    a = Conv<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(x, w)
    b = Sigmoid(a)
    c = MaxPool<kernel_shape = [2, 2], strides = [2, 2], pads = [0, 1, 0, 1]>(b)
    d = Concat<axis = 1>(c, c)
    e = GlobalAveragePool(d)
    f = Flatten(e)
    y = Softmax<axis = 1>(f)
}
"""


@pytest.mark.parametrize("stage", STAGES)
def test_windows_and_symbols_come_back_as_they_were(tmp_path: Path, stage: str) -> None:
    """Index expressions with several terms: their order in memory is no part of the text, so it must not count."""
    model = onnx.parser.parse_model(CONVOLUTIONS)
    w = np.random.default_rng(3).standard_normal((8, 4, 3, 3), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    direct, again = Compilation().build(model), Compilation().build(str(emit(model, stage)).encode())
    assert again.object == direct.object and again.kernels == direct.kernels


@pytest.mark.parametrize("stage", STAGES)
def test_text_in_full_needs_no_file(file: Path, tmp_path: Path, stage: str) -> None:
    text = str(emit(file, stage, inline_weights=True))
    expected = Compilation().build(file)
    file.unlink()
    assert Compilation().build(text.encode()).object == expected.object


def test_a_module_is_left_as_it_was(file: Path) -> None:
    module = lower(file, "graph-ir")
    before = str(module)
    assert level_of(lower(module, "loop-ir")) == "loop"
    assert str(module) == before


def test_a_module_remembers_its_passes_and_goes_on_behind_them(file: Path) -> None:
    half = lower(file, "tensor-ir")
    way = Compilation()
    expected = [str(p) for name in STAGES for p in STAGES[name].split(",") if p.strip()]
    assert remembered(half) + [p.name for p in way.pipeline(half, "loop-ir")] == [p.strip() for p in expected]
    assert len(way.pipeline(half, "tensor-ir")) == 0


def test_text_from_nowhere_takes_all_passes_of_its_level(file: Path) -> None:
    module = lower(file, "tensor-ir")
    del module.attributes[compiler.PASSES]
    names = [p.name for p in Compilation().pipeline(module, "loop-ir")]
    assert names[0] == "graph-to-tensor" and names[-1] == "plan-memory"


def test_passes_replace_all_of_them(file: Path) -> None:
    module = lower(file, "tensor-ir", passes="graph-to-tensor")
    assert remembered(module) == ["graph-to-tensor"]
    with pytest.raises(PassError, match="still has operations of level graph"):
        lower(file, "tensor-ir", passes="eliminate-dead-code")


def test_a_pass_can_be_left_out(model: onnx.ModelProto) -> None:
    module = lower(model, "tensor-ir")
    names = [p.name for p in Compilation().pipeline(module, "loop-ir")]
    left = [p.name for p in Compilation(without=["winograd"]).pipeline(module, "loop-ir")]
    assert "winograd" in names and left == [name for name in names if name != "winograd"]
    with pytest.raises(PassError, match="unknown pass 'winogrd'"):
        compile(model, without=["winogrd"])


def test_there_is_no_way_up(file: Path) -> None:
    with pytest.raises(PassError, match="no way up"):
        lower(lower(file, "tensor-ir"), "graph-ir")
    with pytest.raises(InputError, match="no module at stage"):
        lower(file, "asm")
    with pytest.raises(InputError, match="stages are graph-ir"):
        emit(file, "graph")


def test_an_identity_comes_through_all_levels() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (float[N] x) => (float[N] y) {y = Identity(x)}'
    )
    x = np.arange(5, dtype=np.float32)
    for stage in STAGES:
        assert np.array_equal(compile(str(emit(model, stage)).encode()).run({"x": x})["y"], x)


def test_code_of_every_kind(file: Path) -> None:
    assert "define" in str(emit(file, "llvm-ir"))
    assert "ircc_main" in str(emit(file, "asm"))
    code = emit(file, "obj")
    assert isinstance(code, bytes) and code == Compilation().build(file).object


def test_what_is_compiled_twice_is_the_same(file: Path) -> None:
    one, two = Compilation().build(file), Compilation().build(file.read_bytes())
    assert (one.object, one.provenance) == (two.object, two.provenance)
    assert one.provenance["model"]["sha256"] and one.provenance["passes"][0]


# ---- constants


def test_a_changed_weight_is_an_error(file: Path, model: onnx.ModelProto) -> None:
    text = str(emit(file, "graph-ir"))
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]) + 1
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, file)
    with pytest.raises(IRError, match="sha256"):
        lower(text.encode(), "graph-ir")


def test_weights_are_found_beside_the_text(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "m.mlir"
    text.write_text(str(emit("dense.onnx", "graph-ir")))
    monkeypatch.chdir("/")
    assert all(c.array(np.dtype(np.float32), c.held.shape).size for c in contents(lower(text, "graph-ir")))  # type: ignore[union-attr]


def test_constants_of_passes_are_kept(cache: Path, model: onnx.ModelProto) -> None:
    """A model that was never a file: its weights are found by hash, and only where they were kept."""
    text = str(emit(model, "graph-ir"))
    kept = list((cache / "weights").iterdir())
    assert len(kept) == 2
    known: dict[str, Any] = vars(weights)["_known"]
    known.clear()  # as in another process
    assert level_of(lower(text.encode(), "graph-ir")) == "graph"
    known.clear()
    for path in kept:
        path.unlink()
    with pytest.raises(IRError, match="no data for weight"):
        compile(text.encode())


# ---- text that is none


@pytest.mark.parametrize("data", [b"", b"  \n", b"\x08", b"\xff\xfe", b"\x08\x09\x12\x07pytorch"])
def test_what_is_no_model_is_a_model_error(data: bytes) -> None:
    with pytest.raises(ModelError):
        lower(data, "graph-ir")


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "builtin.module {",
        "builtin.module { unknown.op }",
        "builtin.module {}",
        'builtin.module { "graph.relu"() : () -> () }',
        "builtin.module { func.func @main(%x: !graph.tensor<[N], f31>) { func.return } }",
        "builtin.module { func.func @main(%x: !graph.tensor<[N floordiv], f32>) { func.return } }",
        "(" * 10_000,
    ],
)
def test_text_that_is_no_ir_is_an_ir_error(text: str) -> None:
    with pytest.raises(IRError):
        lower(text.encode(), "graph-ir")


def test_a_parse_error_names_the_place() -> None:
    with pytest.raises(IRError, match=r"m\.mlir is not valid IR: line 2, column 13"):
        read_text("builtin.module {\n  func.func @ 1\n}", name="m.mlir")


def test_text_and_onnx_are_told_apart(file: Path) -> None:
    assert not is_text(file.read_bytes())
    assert is_text(("// ü\n" * 4096).encode()) and is_text(b"x" * 4095 + "ü".encode())
    module = lower(file, "graph-ir")
    assert read_text(write_text(module)).is_structurally_equivalent(module)


def test_an_engine_is_no_model(file: Path, tmp_path: Path) -> None:
    compile(file).save(tmp_path / "m.engine")
    with pytest.raises(InputError, match="is an engine"):
        compile(tmp_path / "m.engine")


# ---- sizes


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("shapes", [{"N": 5}, {"x": (5, DEPTH)}, {"x": (5, None)}])
def test_sizes_are_fixed_at_every_level(file: Path, stage: str, shapes: dict[str, int]) -> None:
    text = str(emit(file, stage)).encode()
    for model in (file, text):
        assert inputs_of(lower(model, "loop-ir", shapes=shapes))["x"].static_shape == (5, DEPTH)
    x = np.random.default_rng(2).standard_normal((5, DEPTH), np.float32)
    engine = compile(text, shapes=shapes)
    assert engine.outputs[0].shape == (5, 24)
    np.testing.assert_allclose(engine.run({"x": x})["y"], compile(file).run({"x": x})["y"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "shapes", [{"M": 5}, {"z": (5, 18)}, {"x": (5, 19)}, {"x": (5,)}, {"N": -1}, {"N": 4, "x": (5, 18)}]
)
def test_sizes_that_do_not_fit_are_input_errors(file: Path, stage: str, shapes: dict[str, int]) -> None:
    text = str(emit(file, stage)).encode()
    for model in (file, text):
        with pytest.raises(InputError):
            lower(model, "loop-ir", shapes=shapes)


@pytest.mark.parametrize("stage", STAGES)
def test_ranges_are_remembered_and_checked(file: Path, stage: str) -> None:
    text = str(emit(file, stage)).encode()
    engine = Compilation(ranges={"N": (2, 4, 8)}).engine(text)
    assert engine.artifact.provenance["ranges"] == {"N": [2, 4, 8]}
    x = np.ones((9, DEPTH), np.float32)
    assert engine.run({"x": x[:2]})["y"].shape == (2, 24)
    for rows in (1, 9):
        with pytest.raises(InputError, match=r"N is (below 2|above 8)"):
            engine.run({"x": x[:rows]})


@pytest.mark.parametrize("ranges", [{"N": (4, 2, 8)}, {"N": (-1, 2, 8)}, {"M": (1, 2, 3)}])
def test_ranges_that_are_none(file: Path, ranges: dict[str, tuple[int, int, int]]) -> None:
    with pytest.raises(InputError):
        Compilation(ranges=ranges).lower(file, "graph-ir")


# ---- targets and backends


def test_the_target_stands_in_loop_text_and_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = lower(file, "loop-ir", target="cpu:x86-64-v3")
    assert Target.of(module) == PRESETS["x86-64-v3"]
    assert Target.of(lower(module, "loop-ir")) == PRESETS["x86-64-v3"]
    monkeypatch.setenv("IRCC_TARGET", "cpu:x86-64")
    assert Target.of(lower(file, "loop-ir")) == PRESETS["x86-64"]
    assert (
        compiler.PASSES in lower(file, "graph-ir").attributes
        and "ircc.target" not in lower(file, "graph-ir").attributes
    )


@pytest.mark.parametrize("target", ["cpu:x86-64", "cpu:x86-64-v3", "cpu:x86-64-v4"])
def test_every_kind_of_vector_gives_the_right_numbers(file: Path, target: str) -> None:
    x = np.random.default_rng(2).standard_normal((7, DEPTH), np.float32)
    try:
        engine = compile(file, target=target)
    except Error as error:
        pytest.skip(f"this machine cannot run it: {error}")
    reference = compile(file).run({"x": x})["y"]
    np.testing.assert_allclose(engine.run({"x": x})["y"], reference, rtol=1e-5, atol=1e-5)


def test_code_for_another_machine(file: Path) -> None:
    assert "ret" in str(emit(file, "asm", target="cpu:aarch64"))


@pytest.mark.parametrize("target", ["gpu", "cpu:z80", "", ":"])
def test_unknown_targets(file: Path, target: str) -> None:
    if not target:  # is none
        assert level_of(lower(file, "loop-ir", target=target)) == "loop"
        return
    with pytest.raises(BackendError, match="unknown"):
        lower(file, "loop-ir", target=target)


class Picky(Backend):
    """A backend that runs nothing with a reduction."""

    name = "picky"

    def describe(self, spec: str | None = None) -> Target:
        return PRESETS["x86-64"]

    def emit(self, module: ModuleOp, kind: str) -> str | bytes | Artifact:
        return f"{kind} of {sum(isinstance(op, Program) for op in module.body.ops)} program"

    def supports(self, kernel: object) -> str | None:
        return "it reduces" if "reduction" in str(kernel) else None

    def pipeline(self, stages: object) -> dict[str, str]:
        return {"graph-ir": "", "tensor-ir": "graph-to-tensor", "loop-ir": "tensor-to-loop"}


def test_a_backend_of_another_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backend refuses is for the CPU; what it asks for is run; what it has is emitted."""
    monkeypatch.setattr(compiler, "find_backend", lambda spec: Picky())
    assert remembered(lower(file, "loop-ir")) == ["graph-to-tensor", "tensor-to-loop"]
    placed = {
        ", ".join(nodes_of(op)): (op.on, str(op.attributes.get(WHY)))
        for op in lower(file, "loop-ir").body.ops
        if isinstance(op, Kernel)
    }
    assert placed["MatMul_0"] == ("host", '"it reduces"')
    assert {on for node, (on, _) in placed.items() if node != "MatMul_0"} == {"picky"}
    assert emit(file, "asm") == "asm of 1 program"
    relu = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (float[N] x) => (float[N] y) {y = Relu(x)}'
    )
    assert emit(relu, "asm") == "asm of 1 program"
    with pytest.raises(BackendError, match="made no artifact"):
        compile(relu)


def test_backends_are_found_by_place() -> None:
    assert "cpu" in backend_names()
    assert find_backend("cpu:x86-64-v3").name == "cpu"
    with pytest.raises(BackendError, match="unknown target 'cup'") as caught:
        find_backend("cup")
    assert caught.value.hint == "did you mean cpu?"


# ---- the report


def test_check_lists_ports(file: Path) -> None:
    verdict = check(file)
    assert verdict.exit_status == 0 and "all 3 nodes" in verdict.verdict
    assert list(verdict.ports) == [("input", "x", f"f32[N, {DEPTH}]"), ("output", "y", "f32[N, 24]")]


def test_check_lists_every_obstacle() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20, "far": 1]> m (float[N] x) => (float[N] z)'
        "{a = far.Strange(x) b = Relu(x) c = far.Other(b) z = Add(a, c)}"
    )
    verdict = check(model)
    assert verdict.exit_status == 3
    assert {issue.operator for issue in verdict.issues} == {"far.Strange", "far.Other"}


def test_check_of_a_broken_model_says_so() -> None:
    verdict = check(b"\x08\x09\x12\x07pytorch")
    assert verdict.exit_status == 1 and verdict.issues


def test_main_of_needs_one() -> None:
    with pytest.raises(IRError, match="computes nothing"):
        main_of(ModuleOp([]))
    assert len(Pipeline.parse("")) == 0


def test_each_node_rounds() -> None:
    """A product of one node and the sum of the next are two roundings, as in ONNX: no fused instruction, which would
    leave something of what cancels."""
    text = """<ir_version: 9, opset_import: ["": 20]>
        chain (float[N] x, float[N] y) => (float[N] a, float[N] b, float[N] c)
        {
            two = Constant<value_float = 2.0>()  eight = Constant<value_float = 8.0>()
            p = Mul(x, y)  q = Mul(y, y)  a = Sub(p, q)
            r = Pow(x, two)  s = Add(r, q)  t = Div(s, eight)  b = Add(t, p)
            u = Mul(s, x)  v = Sum(u, p, q)  w = Neg(v)  c = Sub(w, u)
        }"""
    random = np.random.default_rng(3)
    x = random.standard_normal(1000).astype(np.float32)
    y = np.nextafter(x, np.float32(9))  # so that the differences are all rounding
    found = compile(onnx.parser.parse_model(text), threads=1).run({"x": x, "y": y})
    p, q, s = x * y, y * y, x * x + y * y
    assert found["a"].tobytes() == (p - q).tobytes()
    assert found["b"].tobytes() == (s / 8 + p).tobytes()
    assert found["c"].tobytes() == (-(s * x + p + q) - s * x).tobytes()
