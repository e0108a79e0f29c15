"""Parts compiled by several processes, or found: the same code in the same order, whoever made it."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ircc.codegen.cpu import build, llvm
from ircc.codegen.cpu.build import Builder
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
