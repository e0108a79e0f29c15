"""Engines that were compiled before: the same bytes, unless anything that they are made from has changed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ircc import compiler
from ircc.codegen.cpu import build, shared
from ircc.compiler import Compilation
from ircc.errors import EngineError
from ircc.ir.cache import ENGINES, KERNELS
from ircc.ir.instruments import TimePasses
from ircc.ir.pipeline import Instrument, Pipeline

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
dense (float[N, 18] x) => (float[N, 24] y)
{
    product = MatMul(x, w)
    y = Relu(product)
}
"""


class Counted(Instrument):
    """Counts the runs of the pipeline, which go on as they would without it."""

    optional = True

    def __init__(self) -> None:
        self.runs = 0

    def begin(self, module: Any) -> None:
        self.runs += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = onnx.parser.parse_model(MODEL)
    weights = np.random.default_rng(1).standard_normal((18, 24), np.float32)
    made.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(made, tmp_path / "dense.onnx")
    return tmp_path / "dense.onnx"


@pytest.fixture(autouse=True)
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IRCC_CACHE_SIZE", "10M")
    monkeypatch.setattr(compiler, "WORTH_KEEPING", -1.0)


def runs(model: Any, **choices: Any) -> int:
    """How often passes run when the model is compiled: 0 where it is there from before."""
    counted = Counted()
    Compilation(instruments=(counted,), **choices).build(model)
    return counted.runs


def test_an_engine_is_compiled_once(file: Path, tmp_path: Path) -> None:
    assert [runs(file), runs(file), runs(str(file)), runs(file.read_bytes())] == [1, 0, 0, 0]
    (tmp_path / "elsewhere").mkdir()
    assert runs(file.rename(tmp_path / "elsewhere" / "other.onnx")) == 0


def test_kept_or_not_it_is_the_same_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["made", "copied", "read", "unkept"]
    Compilation().save(file, tmp_path / "made")
    Compilation().save(file, tmp_path / "copied")
    compiler.write_engine(Compilation().build(file), tmp_path / "read")
    monkeypatch.setenv("IRCC_CACHE_SIZE", "0")
    assert runs(file) == 1
    Compilation().save(file, tmp_path / "unkept")
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1


def test_a_kept_engine_computes_the_same(file: Path) -> None:
    x = np.random.default_rng(2).standard_normal((5, 18), np.float32)
    made, found = (Compilation().engine(file).run({"x": x})["y"] for _ in range(2))
    assert runs(file) == 0
    assert made.tobytes() == found.tobytes()


def test_every_choice_has_an_engine_of_its_own(file: Path) -> None:
    choices: list[dict[str, Any]] = [
        {}, {"shapes": {"N": 4}}, {"shapes": {"N": 5}}, {"shapes": {"x": (4, 18)}}, {"target": "cpu:x86-64-v3"},
        {"ranges": {"N": (1, 4, 8)}}, {"passes": "".join(compiler.STAGES.values())},
    ]  # fmt: skip
    assert [runs(file, **c) for c in choices] == [1] * len(choices)
    choices[-1]["passes"] = Pipeline.parse(choices[-1]["passes"])
    assert [runs(file, **c) for c in choices] == [0] * len(choices)


def test_another_model_or_compiler_is_another_engine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs(file) == 1
    changed = onnx.load(file)
    changed.graph.node[0].name = "renamed"
    assert runs(changed) == 1
    monkeypatch.setattr(compiler, "compiler_identity", lambda: ("another version",))
    assert runs(file) == 1
    monkeypatch.setattr(compiler, "compiler_identity", lambda: None)
    assert [runs(file), runs(file)] == [1, 1]


def test_external_data_is_a_part_of_the_model(file: Path) -> None:
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="dense.bin", size_threshold=0)
    assert [runs(file), runs(file)] == [1, 0]
    data = file.with_name("dense.bin")
    data.write_bytes(bytes(data.stat().st_size))
    assert [runs(file), runs(file)] == [1, 0]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:2000] + b"\0" * 100 + data[2100:])


@pytest.mark.parametrize("damage", [cut_short, emptied, overwritten])
def test_a_damaged_file_is_made_again(file: Path, damage: Callable[[Path], None]) -> None:
    assert runs(file) == 1
    (path,) = ENGINES.folder.iterdir()
    before = path.read_bytes()
    damage(path)
    assert [runs(file), runs(file)] == [1, 0]
    assert path.read_bytes() == before


def test_what_shows_the_passes_runs_them(file: Path) -> None:
    assert [runs(file), runs(file)] == [1, 0]
    times = TimePasses()
    Compilation(instruments=(times,)).build(file)
    assert times.seconds


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_at_any_number_of_processes_it_is_the_same_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """With kernels that are compiled, and with kernels that are found."""
    monkeypatch.setattr(compiler, "WORTH_KEEPING", 1000.0)
    expected = Compilation().build(file).object
    monkeypatch.setattr(build, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(build, "WORTH_KEEPING", 0)
    monkeypatch.setattr(build.threads, "available", lambda: processes)
    assert Compilation().build(file).object == expected
    assert list(KERNELS.folder.iterdir())
    assert Compilation().build(file).object == expected


def test_quick_compilations_are_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "WORTH_KEEPING", 1000.0)
    assert [runs(file), runs(file)] == [1, 1]
    assert not ENGINES.folder.exists()


def test_without_a_linker_nothing_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_linker(architecture: str) -> tuple[str, ...]:
        raise EngineError(f"no linker for {architecture}")

    monkeypatch.setattr(shared, "find_linker", find_linker)
    assert [runs(file), runs(file)] == [1, 1]
    assert not list(ENGINES.folder.iterdir())


def test_somebody_without_a_home_compiles(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("IRCC_CACHE")
    monkeypatch.setattr(Path, "home", home)
    assert [runs(file), runs(file)] == [1, 1]


def test_a_model_that_changes_meanwhile_is_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Changes(Counted):
        def begin(self, module: Any) -> None:
            file.write_bytes(file.read_bytes() + b"\x32\x00")  # an empty doc_string

    Compilation(instruments=(Changes(),)).build(file)
    assert not ENGINES.folder.exists()


def test_processes_share_the_folder(file: Path) -> None:
    code = f"""
from ircc import compiler
compiler.WORTH_KEEPING = -1.0
print(len(compiler.Compilation().build({str(file)!r}).object))
"""
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert len({p.communicate()[0] for p in started}) == 1
    assert [p.returncode for p in started] == [0, 0]
    assert [p.suffix for p in ENGINES.folder.iterdir()] == [".engine"]
    assert runs(file) == 0
