"""The command: what it prints and where, exit statuses, and bugs in passes that --check-each finds."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f32

import ircc
from ircc.cli import BUG, PIPE, main
from ircc.cli.console import seconds, size
from ircc.cli.parser import SUBCOMMANDS, make_parser, parse
from ircc.cli.run import file_names
from ircc.codegen.simt.backend import SimtBackend
from ircc.dialects.loop import Alloc
from ircc.ir.passes import find_pass
from ircc.ir.types import ExprAttr

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
small (float[N, 4] x, float[4] c) => (float[N, 4] "y/out")
{
    a = Sub(x, c)
    half = Constant<value = float {0.5}>()
    b = Mul(a, half)
    "y/out" = Relu(b)
}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests run in a folder of their own, which holds small.onnx."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    for name in ("IRCC_TARGET", "IRCC_LOG"):
        monkeypatch.delenv(name, raising=False)
    onnx.save(onnx.parser.parse_model(MODEL), tmp_path / "small.onnx")
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: exit status, stdout, stderr. Tables are as wide as they are in a pipe."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            status = main(arguments)
        except SystemExit as leaving:  # argparse: --help and wrong usage
            status = int(leaving.code or 0)
        out, err = capfd.readouterr()
        return status, out, err

    return command


# ---- compiling


def test_a_model_becomes_an_engine_beside_it(run: Run, place: Path) -> None:
    status, out, err = run("small.onnx")
    assert (status, out) == (0, "")
    assert err.startswith("small.engine: ") and "compiled in" in err
    assert ircc.is_engine(place / "small.engine")
    (place / "cut.engine").write_bytes((place / "small.engine").read_bytes()[:-1000])
    for command in (("run", "cut.engine"), ("bench", "cut.engine"), ("inspect", "cut.engine")):
        status, _, err = run(*command)
        assert status == 1 and "cut.engine is damaged" in err, command
    assert ircc.load(place / "small.engine").outputs[0].name == "y/out"


@pytest.mark.parametrize("stage", ["graph-ir", "tensor-ir", "loop-ir"])
def test_text_goes_to_stdout_and_back(run: Run, place: Path, stage: str) -> None:
    assert run("small.onnx", "--strip", "-o", "direct.engine")[0] == 0  # the graph in it is what goes in
    status, text, err = run("small.onnx", "--emit", stage)
    assert status == 0 and err == "" and text.startswith("builtin.module")
    assert run("small.onnx", f"--emit={stage}", "-o", "small.mlir") == (0, "", "")
    assert (place / "small.mlir").read_text() == text
    assert run("small.mlir", "--strip", "-o", "again.engine")[0] == 0
    assert (place / "again.engine").read_bytes() == (place / "direct.engine").read_bytes()


def test_code_goes_where_it_can_be_used(run: Run, place: Path) -> None:
    assert "ircc_main" in run("small.onnx", "--emit=llvm-ir")[1]
    assert "ircc_main" in run("small.onnx", "--emit=asm")[1]
    assert run("small.onnx", "--emit=obj") == (0, "", "")
    assert (place / "small.o").read_bytes().startswith(b"\x7fELF")


def test_stdin_is_a_model(place: Path) -> None:
    command = [sys.executable, "-m", "ircc", "-"]
    done = subprocess.run([*command, "--emit=graph-ir"], input=(place / "small.onnx").read_bytes(), capture_output=True)
    assert b"graph.relu" in done.stdout
    done = subprocess.run([*command, "--emit=tensor-ir"], input=done.stdout, capture_output=True)
    assert b"tensor.compute" in done.stdout
    done = subprocess.run(command, input=done.stdout, capture_output=True)
    assert done.returncode == 1 and b"-o OUT" in done.stderr


def test_shapes(run: Run) -> None:
    for option in "x=3x4", "N=3", "x=3x?", "x=3,4":
        assert "!graph.tensor<[3, 4], f32>" in run("small.onnx", "--emit=graph-ir", "--shape", option)[1]
    assert run("small.onnx", "--shape", "c=4", "--emit=graph-ir")[0] == 0
    status, _, err = run("small.onnx", "--shape", "M=3")
    assert status == 1 and "'M'" in err


def test_a_range_is_checked_when_it_runs(run: Run) -> None:
    assert run("small.onnx", "--shape-range", "N=1:2:3")[0] == 0
    np.save("c.npy", np.zeros(4, np.float32))
    status, out, err = run("run", "small.engine", "--input", "c=c.npy")
    assert status == 0 and "size N: 2" in err and "2×4" in out
    np.save("x.npy", np.zeros((4, 4), np.float32))
    status, _, err = run("run", "small.engine", "--input", "x=x.npy")
    assert status == 1 and "N is above 3" in err


def test_weights_in_full(run: Run, place: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (float[N, 20] x) => (float[N, 20] y) {y = Mul(x, w)}'
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(20, 0.125, np.float32), "w"))
    onnx.save(model, place / "m.onnx")
    assert "m.onnx" in run("m.onnx", "--emit=graph-ir")[1]
    assert run("m.onnx", "--emit=graph-ir", "--inline-weights")[1].count("0.125") == 20


# ---- looking at passes


def test_printing_after_passes(run: Run, place: Path) -> None:
    status, out, err = run("small.onnx", "--emit=tensor-ir", "--print-ir-after=graph-to-tensor")
    assert status == 0 and "// -----" not in out
    assert err.count("// ----- after pass") == 1 and "tensor.compute" in err
    everything = run("small.onnx", "--emit=tensor-ir", "--print-ir-after-all")[2]
    changed = run("small.onnx", "--emit=tensor-ir", "--print-ir-after-changed")[2]
    assert everything.count("// ----- after") > changed.count("// ----- after") > 0
    assert "no change" in everything and "no change" not in changed
    assert run("small.onnx", "--emit=tensor-ir", "--print-ir-tree", "ir")[0] == 0
    files = sorted(path.name for path in (place / "ir").iterdir())
    assert files[0] == "00-input.mlir" and any("graph-to-tensor" in name for name in files)
    for name in files:  # every one of them is a place to enter
        assert run(f"ir/{name}", "-o", "x.engine")[0] == 0


def test_timing_and_checking(run: Run) -> None:
    status, _, err = run("small.onnx", "--emit=loop-ir", "--time-passes", "--verify-each", "--check-each")
    assert status == 0 and "graph-to-tensor" in err and "all passes" in err and "warning" not in err


def test_passes_replace_all(run: Run) -> None:
    out = run("small.onnx", "--emit=graph-ir", "--passes=eliminate-dead-code")[1]
    assert 'ircc.passes = "eliminate-dead-code"' in out
    status, _, err = run("small.onnx", "--passes=eliminate-dead-cod")
    assert status == 1 and "did you mean eliminate-dead-code" in err


def test_opt(run: Run, place: Path) -> None:
    assert run("small.onnx", "--emit=graph-ir", "-o", "g.mlir")[0] == 0
    status, out, _ = run("opt", "g.mlir", "--passes=graph-to-tensor,eliminate-dead-code", "--verify-each")
    assert status == 0 and "tensor.compute" in out
    status, out, _ = run("opt", "g.mlir", "--passes", 'fix-sizes{sizes="N=3"}')
    assert "[3, 4]" in out and "[N, 4]" not in out
    assert run("opt", "g.mlir", "-o", "same.mlir")[0] == 0
    assert (place / "same.mlir").read_text() == (place / "g.mlir").read_text()
    assert "graph-to-tensor" in run("opt", "--list")[1]
    for wrong in (["opt"], ["opt", "small.onnx"], ["opt", "missing.mlir"], ["opt", "g.mlir", "--passes=no-such-pass"]):
        assert run(*wrong)[0] == 1, wrong


# ---- bugs in passes: three kinds, at three levels, each in another pass


def wrong_constant(module: ModuleOp) -> bool:
    """Doubles the first scalar constant."""
    for op in module.walk():
        if isinstance(op, arith.ConstantOp) and isinstance(op.value, FloatAttr) and op.value.value.data:
            op.properties["value"] = FloatAttr(2 * op.value.value.data, f32)
            return True
    return False


def swapped_operands(module: ModuleOp) -> bool:
    """a - b becomes b - a."""
    for op in module.walk():
        if op.name in ("graph.sub", "arith.subf"):
            op.operands = [op.operands[1], op.operands[0]]
            return True
    return False


def dropped_operation(module: ModuleOp) -> bool:
    """max(a, 0) becomes a."""
    for op in module.walk():
        if op.name in ("graph.relu", "arith.maximumf"):
            op.results[0].replace_all_uses_with(op.operands[0])
            op.detach()
            op.erase()
            return True
    return False


def overlapping_buffers(module: ModuleOp) -> bool:
    """All of the arena's buffers at its start."""
    found = [op for op in module.walk() if isinstance(op, Alloc) and op.offset is not None]
    for op in found:
        op.properties["offset"] = ExprAttr(type(op.offset.data).const(0))  # type: ignore[union-attr]
    return len(found) > 1


def plant(monkeypatch: pytest.MonkeyPatch, name: str, bug: Callable[[ModuleOp], bool]) -> None:
    """The pass `name` does its work, and then what a bug in it would do, wherever that can be done."""
    cls = find_pass(name)
    sound = cls.run

    def run(self: object, module: ModuleOp) -> bool:
        changed = sound(self, module)  # type: ignore[arg-type]
        return bug(module) or changed

    monkeypatch.setattr(cls, "run", run)


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("fuse-elementwise", wrong_constant),
        ("eliminate-common-subexpressions", swapped_operands),
        ("canonicalize", dropped_operation),
    ],
)
def test_check_each_finds_the_guilty_pass(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, name: str, bug: Callable[[ModuleOp], bool]
) -> None:
    with monkeypatch.context() as planted:
        plant(planted, name, bug)
        status, out, err = run("small.onnx", "--emit=loop-ir", "--check-each")
        assert status == 1 and out == ""
        assert f"pass {name}" in err and "changed the value of output 'y/out'" in err
        command = err.partition("replay it with: ircc ")[2].strip()
        assert command == f"opt check-each-{name}.mlir --passes='{name}' --check-each"
        (reproducer,) = place.glob("check-each-*.mlir")
        replay = ("opt", reproducer.name, f"--passes={name}", "--check-each")
        status, _, again = run(*replay)
        assert status == 1 and f"pass {name} (1 of 1) changed the value" in again
    assert run(*replay)[0] == 0, "without the bug the reproducer passes"


@pytest.mark.parametrize("interpreted", [True, False], ids=["interpreted", "compiled"])
def test_check_each_finds_a_wrong_memory_plan(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, interpreted: bool
) -> None:
    """At the loop level too: two intermediate results that live at once get the same memory. What has too many loops
    to interpret is compiled for it."""
    if not interpreted:
        monkeypatch.setattr("ircc.dialects.reference.MOST_STEPS", 0)
    text = """
    <ir_version: 9, opset_import: ["": 20]>
    m (float[4, 5] x, float[5, 4] w) => (float[4, 4] y)
    {
        a = MatMul(x, w)
        b = Transpose<perm = [1, 0]>(a)
        c = MatMul(b, a)
        y = MatMul(c, b)
    }
    """
    onnx.save(onnx.parser.parse_model(text), place / "m.onnx")
    assert run("m.onnx", "--emit=loop-ir", "--check-each")[0] == 0
    plant(monkeypatch, "plan-memory", overlapping_buffers)
    status, _, err = run("m.onnx", "--emit=loop-ir", "--check-each")
    assert status == 1 and "pass plan-memory" in err and (place / "check-each-plan-memory.mlir").exists()


# ---- running


def test_run_writes_outputs(run: Run, place: Path) -> None:
    x, c = np.random.default_rng(0).standard_normal((3, 4), np.float32), np.ones(4, np.float32)
    np.save("x.npy", x)
    np.save("c.npy", c)
    inputs = ("--input", "x=x.npy", "--input", "c=c.npy")
    assert run("small.onnx")[0] == 0
    for model in "small.onnx", "small.engine":
        status, out, err = run("run", model, *inputs, "--output", "results")
        assert status == 0 and out == "" and "random" not in err
        np.testing.assert_allclose(np.load("results/y_out.npy"), np.maximum((x - c) / 2, 0), rtol=1e-6)
    out = run("run", "small.engine", *inputs)[1]
    assert "y/out" in out and "3×4" in out


def test_run_says_what_it_made_up(run: Run) -> None:
    run("small.onnx")
    status, _, err = run("run", "small.engine", "--shape", "N=2")
    assert status == 0 and "input x: random, normal, float32[2, 4]" in err
    first = run("run", "small.engine", "--shape", "x=2x4", "--seed", "3")[1]
    assert first == run("run", "small.engine", "--shape", "x=2x4", "--seed", "3")[1]
    assert first != run("run", "small.engine", "--shape", "x=2x4", "--seed", "4")[1]


def test_wrong_inputs(run: Run, place: Path) -> None:
    run("small.onnx")
    np.save("x.npy", np.ones((3, 5), np.float32))
    np.save("f64.npy", np.ones((3, 4)))
    np.savez("several.npz", a=np.ones(3))
    (place / "junk.npy").write_bytes(b"junk")
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in "x.npy", "f64.npy", "several.npz", "junk.npy", "objects.npy", "missing.npy":
        status, _, err = run("run", "small.engine", "--input", f"x={name}")
        assert status == 1 and err.splitlines()[-1].startswith(("ircc: input 'x'", "  hint")), err
    assert run("run", "small.engine", "--input", "z=x.npy")[0] == 1
    assert run("run", "small.engine", "--shape", "x=2x5")[0] == 1
    assert run("run", "small.engine", "--passes=canonicalize")[0] == 1


def test_file_names_are_safe_and_distinct() -> None:
    assert list(file_names(["a/b", "a_b", "../x", "A_B", ""]).values()) == ["a_b", "a_b_2", "_x", "A_B_3", "output"]


def test_bench(run: Run) -> None:
    run("small.onnx", "-o", "small.engine")
    status, out, err = run("bench", "small.engine", "--threads", "1", "--shape", "N=8", "--rounds", "2", "--json")
    found = json.loads(out)
    assert status == 0 and "float32[8, 4]" in err
    assert found["threads"] == 1 and found["seconds"] > 0 and found["peak_percent"] >= 0
    assert {"name", "nodes", "strategy", "seconds", "peak_percent"} <= found["kernels"][0].keys()
    assert {node for kernel in found["kernels"] for node in kernel["nodes"]} >= {"Sub_0", "Relu_3"}
    times = [kernel["seconds"] for kernel in found["kernels"]]
    assert times == sorted(times, reverse=True)
    status, out, _ = run("bench", "small.onnx", "--rounds", "1", "--shape", "N=8", "--html", "small.html")
    assert status == 0 and "of limit" in out
    assert "<svg" in Path("small.html").read_text()


def test_bench_against_a_peer(run: Run) -> None:
    given = ("bench", "small.onnx", "--rounds", "2", "--shape", "N=8", "--threads", "1", "--against", "onnxruntime")
    status, out, _ = run(*given, "--json")
    (found,) = json.loads(out)["against"]
    assert status == 0 and found["peer"].startswith("ONNX Runtime")
    low, high = found["speed_quartiles"]
    assert 0 < low <= found["speed"] <= high
    assert found["seconds"] > 0 and found["peer_seconds"] > 0 and found["deviation"] < 1e-5
    status, _, err = run(*given)
    assert status == 0 and "times as fast" in err
    run("small.onnx", "-o", "small.engine")
    status, _, err = run("bench", "small.engine", "--against", "onnxruntime")
    assert status == 1 and "needs an ONNX file" in err


# ---- check and targets


def test_check(run: Run, place: Path) -> None:
    status, out, err = run("check", "small.onnx")
    assert status == 0 and "f32[N, 4]" in out and "can compile" in err
    model = onnx.parser.parse_model(
        MODEL.replace("Sub(x, c)", "far.Away(x, c)").replace('["": 20]', '["": 20, "far": 1]')
    )
    onnx.save(model, place / "far.onnx")
    status, out, err = run("check", "far.onnx")
    assert status == 3 and "far.Away" in out and "cannot" in err
    status, out, _ = run("check", "far.onnx", "--json")
    assert status == 3 and json.loads(out)["issues"][0]["operator"] == "far.Away"
    status, _, err = run("far.onnx")
    assert status == 3 and "far.Away" in err
    (place / "broken.onnx").write_bytes((place / "small.onnx").read_bytes()[:-9])
    assert run("check", "broken.onnx", "--json")[0] == 1
    assert run("check", "missing.onnx")[0] == 1


STRINGS = """<ir_version: 9, opset_import: ["": 20]> strings (float[N] x, string[N] s) => (float[N] y, string[N] u) {
    u = StringConcat(s, s)  y = Neg(x) }"""


def test_check_of_what_needs_python(run: Run, place: Path) -> None:
    onnx.save(onnx.parser.parse_model(STRINGS), place / "strings.onnx")
    status, out, err = run("check", "strings.onnx")
    assert status == 4 and "StringConcat" in out and "needs Python" in out and "works on strings" in out
    assert "1 nodes are compiled" in err
    status, out, _ = run("check", "strings.onnx", "--json")
    found = json.loads(out)
    assert (status, found["exit_status"], found["verdict"], found["issues"]) == (4, 4, "python", [])
    (entry,) = found["python"]
    assert entry["operator"] == "StringConcat" and entry["reason"] and entry["hint"]
    status, _, err = run("strings.onnx")
    assert status == 4 and "StringConcat" in err and not (place / "strings.engine").exists()


def test_every_issue_has_a_hint(run: Run, place: Path) -> None:
    model = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["": 20, "far": 1]>
        m (float[N] x, complex64[N] z) => (float[N] y, complex64[N] v) { y = far.Away(x)  v = Identity(z) }""")
    onnx.save(model, place / "all.onnx")
    status, out, _ = run("check", "all.onnx", "--json")
    found = json.loads(out)
    assert status == 3 and found["verdict"] == "unsupported"
    assert {issue["operator"] for issue in found["issues"]} == {"far.Away", "Input"}
    assert all(issue["hint"] and issue["reason"] for issue in found["issues"])


def test_what_needs_python_runs(run: Run, place: Path) -> None:
    onnx.save(onnx.parser.parse_model(STRINGS), place / "strings.onnx")
    np.save("s.npy", np.array(["a", "é"]))
    status, out, _ = run("run", "strings.onnx", "--input", "s=s.npy", "--shape", "N=2")
    assert status == 0 and "'aa' 'éé'" in out and "float32" in out
    status, _, _ = run("run", "strings.onnx", "--input", "s=s.npy", "--output", "out")
    assert status == 0 and np.load("out/u.npy").tolist() == ["aa", "éé"]
    status, _, err = run("run", "strings.onnx")
    assert status == 1 and "s: string[N]" in err and "--input" in err
    status, _, err = run("bench", "strings.onnx")
    assert status == 1 and "s: string[N]" in err


def test_targets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCC_TARGET", "cpu:x86-64-v3")
    status, out, _ = run("targets")
    assert status == 0 and "* cpu:x86-64-v3" in out and "this machine" in out
    found = json.loads(run("targets", "--json")[1])
    assert found["default"] == "cpu:x86-64-v3" and found["backends"]["cpu"]["targets"]["cpu"]["vector_bits"] >= 128
    assert "vector_bits = 256" in run("small.onnx", "--emit=loop-ir")[1]


def test_placement_is_explained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kernel with where it runs; and the reason where that is not the backend that was asked for."""
    status, _, err = run("small.onnx", "--target=opencl", "--emit=source", "--explain-placement")
    rows = [line.split() for line in err.splitlines()]
    assert status == 0 and rows[0] == ["nodes", "kernel", "runs", "on", "on", "device", "on", "host", "because"]
    assert {row[-5] for row in rows[1:]} == {"opencl"} and all(row[-4:][1::2] == ["us", "us"] for row in rows[1:])
    monkeypatch.setattr(SimtBackend, "supports", lambda self, kernel: "it is Tuesday")
    err = run("small.onnx", "--target=opencl", "--emit=source", "--explain-placement")[2]
    lines = err.splitlines()[1:]
    assert all(" host " in line and line.endswith(" it is Tuesday") for line in lines[:-2])
    assert [line.partition(":")[0] for line in lines[-2:]] == ["copies to the host", "copies to the device"]
    assert "host" in run("small.onnx", "--explain-placement")[2]


# ---- manners


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS])
def test_help_has_examples(run: Run, name: str) -> None:
    status, out, _ = run(*filter(None, [name]), "--help")
    assert status == 0 and "examples:" in out and f"ircc {name}".strip() in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize(
    "line",
    ["--nonsense", "small.onnx --shape x", "small.onnx --shape x=axb", "small.onnx --threads 0", "small.onnx extra",
     "small.onnx --shape-range N=3", "run", "run small.onnx --input x", "small.onnx --shap N=3"],
)  # fmt: skip
def test_wrong_usage(run: Run, line: str) -> None:
    status, _, err = run(*line.split())
    assert status == 2 and "usage: ircc" in err


@pytest.mark.parametrize(
    "line",
    ["missing.onnx", "folder", "notes.txt", "small.onnx --emit=nonsense", "small.onnx --target=z80",
     "small.onnx --precision=f16", "small.onnx -o no/such/folder/x.engine", "small.onnx -o -",
     "small.onnx --emit=graph-ir -o no/such/folder/x.mlir", "run missing.engine", "bench broken.engine",
     "small.onnx --print-ir-after=no-such-pass"],
)  # fmt: skip
def test_what_is_wrong_is_one_message(run: Run, place: Path, line: str) -> None:
    (place / "folder").mkdir()
    (place / "notes.txt").write_text("buy milk")
    (place / "broken.engine").write_bytes(b"IRCCENG1" + bytes(20))
    status, out, err = run(*line.split())
    assert status == 1 and out == "" and err.startswith("ircc: ") and "Traceback" not in err and "bug" not in err


def test_a_bug_is_said_to_be_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: ModuleOp) -> bool:
        raise RuntimeError("impossible")

    plant(monkeypatch, "eliminate-dead-code", broken)
    status, _, err = run("small.onnx")
    assert status == BUG and "a bug in ircc: RuntimeError: impossible" in err and "Traceback" not in err
    monkeypatch.setenv("IRCC_LOG", "debug")
    assert "Traceback" in run("small.onnx")[2]


def test_what_does_not_fit_into_memory_is_no_bug(run: Run) -> None:
    text = (
        '<ir_version: 9, opset_import: ["": 20]> m (float[100000000000000, 8] x) => (float[8] y) { y = ReduceMax(x) }'
    )
    onnx.save(onnx.parser.parse_model(text), "large.onnx")
    status, _, err = run("run", "large.onnx")
    assert status == 1 and "not enough memory" in err and "bug" not in err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = (
        f"{sys.executable} -m ircc small.onnx --emit=loop-ir --inline-weights | head -c 1; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == "" and done.returncode in (0, PIPE)


def test_closed_pipe_and_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bool:
        signal.raise_signal(signal.SIGINT)
        return False

    plant(monkeypatch, "eliminate-dead-code", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what is in the background ignore it
    try:
        assert run("small.onnx") == (130, "", "ircc: interrupted\n")
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_command_starts_light() -> None:
    """--help and running an engine bring in nothing of the compiler."""
    assert main(["small.onnx"]) == 0
    program = (
        "import sys; from ircc.cli import main; main(sys.argv[1:]);"
        "print([n for n in ('xdsl', 'onnx', 'ircc.compiler', 'ircc.ir') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, "run", "small.engine"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_the_first_word_decides() -> None:
    assert parse(["bench", "x"]).command == "bench"
    assert parse(["./bench"]).command == "compile" and parse(["--emit=asm", "run"]).model == "run"
    assert make_parser("compile").prog == "ircc"


def test_numbers_for_people() -> None:
    assert [seconds(v) for v in (1.25, 0.00307, 41.2e-6, 1e-7)] == ["1.25 s", "3.07 ms", "41.2 µs", "0.100 µs"]
    assert [size(v) for v in (5, 8190, 102_300_000)] == ["5 B", "8.19 kB", "102 MB"]
    assert os.getpid()


def test_text_goes_on_to_the_target_that_it_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is asked for."""
    expected = run("small.onnx", "--target=simt:hip", "--emit=source")
    text = run("small.onnx", "--target=simt:hip", "--emit=loop-ir")[1]
    Path("m.mlir").write_text(text)
    assert run("m.mlir", "--emit=source") == expected and expected[0] == 0
    status, _, err = run("m.mlir", "-o", "m.engine")
    assert status == 1 and "the simt backend does not make artifact" in err
    assert run("m.mlir", "--emit=loop-ir")[1] == text
    assert run("m.mlir", "--target=cpu", "-o", "m.engine")[0] == 0
    monkeypatch.setenv("IRCC_TARGET", "cpu")
    assert "cannot emit 'source'" in run("m.mlir", "--emit=source")[2]
    monkeypatch.delenv("IRCC_TARGET")
    Path("m.mlir").write_text(text.replace('name = "simt:hip"', 'name = "mychip"'))
    assert "cannot emit 'source'" in run("m.mlir", "--emit=source")[2]
