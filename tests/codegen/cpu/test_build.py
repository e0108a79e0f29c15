"""Parts compiled by several processes, or found: the same code in the same order, whoever made it."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import ircc
from ircc.codegen.cpu import build, llvm
from ircc.codegen.cpu.backend import Emitted, together
from ircc.codegen.cpu.build import WORTH_KEEPING, Builder
from ircc.codegen.cpu.worker import Worker
from ircc.errors import BackendError
from ircc.ir.cache import KERNELS


def text(number: int) -> str:
    return f"define i64 @f{number}(i64 %x) nounwind {{\n  %y = add i64 %x, {number}\n  ret i64 %y\n}}\n"


TEXTS = [text(n) for n in range(40)]
EXPECTED = [llvm.compile_object(t, llvm.host()) for t in TEXTS]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is in a folder of the test's own. Every text is worth a process, and to be kept."""
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(build, "WORTH_KEEPING", 0)


def built(processes: int) -> list[bytes]:
    with Builder(llvm.host(), processes) as builder:
        for t in TEXTS:
            builder.add(t)
        assert len(builder.helpers) <= processes - 1
        return builder.finish()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_at_any_number_of_processes_the_code_is_the_same(processes: int) -> None:
    assert built(processes) == EXPECTED


def test_a_process_compiles_as_this_one_does() -> None:
    worker = Worker()
    try:
        assert [worker.compile(t, llvm.host()) for t in TEXTS[:3]] == EXPECTED[:3]
        with pytest.raises(BackendError, match="LLVM refuses the generated code"):
            worker.compile("nonsense", llvm.host())
        assert worker.compile(TEXTS[3], llvm.host()) == EXPECTED[3]
    finally:
        worker.close()
    assert worker.process.returncode is not None


class Dies(Worker):
    """A process that is killed after its first answer."""

    def compile(self, text: str, machine: llvm.Machine) -> bytes:
        code = super().compile(text, machine)
        os.kill(self.process.pid, signal.SIGKILL)
        return code


class Missing:
    """A process that cannot be started."""

    def __init__(self) -> None:
        raise OSError("no more processes")


@pytest.mark.parametrize("kind", [Dies, Missing])
def test_what_a_process_leaves_behind_is_done_here(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setattr(build, "Worker", kind)
    assert built(2) == EXPECTED


@pytest.mark.parametrize("processes", [1, 2])
def test_what_llvm_refuses_is_an_error(processes: int) -> None:
    with Builder(llvm.host(), processes) as builder:
        for t in [*TEXTS[:3], "nonsense", *TEXTS[3:]]:
            builder.add(t)
        with pytest.raises(BackendError, match="LLVM refuses the generated code"):
            builder.finish()
    assert not any(helper.is_alive() for helper in builder.helpers)


def test_code_is_found_and_damaged_code_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCC_CACHE_SIZE", "1M")
    assert built(1) == EXPECTED
    files = sorted(KERNELS.folder.iterdir())
    assert len(files) == len(TEXTS)
    files[0].write_bytes(files[0].read_bytes()[:-1])
    files[1].write_bytes(b"")
    made: list[str] = []

    def counted(text: str, machine: llvm.Machine) -> bytes:
        made.append(text)
        return llvm.compile_object(text, machine)

    monkeypatch.setattr(build, "compile_object", counted)
    assert built(1) == EXPECTED
    assert len(made) == 2
    assert built(1) == EXPECTED
    assert len(made) == 2
    other = llvm.Machine("x86_64-unknown-linux-gnu")
    with Builder(other, 1) as builder:
        builder.add(TEXTS[0])
        assert builder.finish() == [llvm.compile_object(TEXTS[0], other)]
    assert len(made) == 3


def test_short_kernels_are_compiled_together_and_long_ones_alone() -> None:
    """All of them, in their order; what is long has a module of its own, of which the code can be kept."""
    lengths = [10, 20, WORTH_KEEPING, 5, WORTH_KEEPING - 5, 10, 10]
    kernels = [Emitted("k" * n, {f"declare {i}"}) for i, n in enumerate(lengths)]
    found = list(together(kernels))
    assert [k for part in found for k in part] == kernels
    assert [[len(k.text) for k in part] for part in found] == [
        [10, 20], [WORTH_KEEPING], [5], [WORTH_KEEPING - 5], [10, 10]
    ]  # fmt: skip
    assert list(together([])) == []


def test_what_all_engines_have_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "WORTH_A_PROCESS", 1 << 30)
    compiled: list[str] = []
    of = llvm.compile_object
    monkeypatch.setattr(build, "compile_object", lambda text, machine: compiled.append(text) or of(text, machine))
    x = np.ones(3, np.float32)
    for operator in ("Relu", "Neg"):
        node = helper.make_node(operator, ["x"], ["y"])
        info = [helper.make_tensor_value_info(name, 1, [3]) for name in ("x", "y")]
        model = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]), ir_version=10)
        found = ircc.compile(model).run({"x": x})["y"]
        assert found.tolist() == ([1.0] * 3 if operator == "Relu" else [-1.0] * 3)
    assert sum("@ircc_pool_create" in text for text in compiled) <= 1
    assert sum("ircc_plan" in text for text in compiled) == 2
