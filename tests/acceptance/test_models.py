"""From ONNX to numbers: small models with the structure of real ones and a real one, against ONNX Runtime."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ircc

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
same_bits: Any = importlib.import_module("same_bits")

Array = np.ndarray[Any, Any]
Cases = Callable[[str], Any]

STAGES = ("graph-ir", "tensor-ir", "loop-ir")
SHAPES = [(1, 16, 16), (3, 15, 17), (2, 4, 40), (1, 33, 7), (5, 8, 9)]  # N, H, W
ROOT = Path(__file__).resolve().parents[2]
FLAGS = {"cpu:x86-64": {"sse2"}, "cpu:x86-64-v3": {"avx2", "fma", "f16c", "bmi2"},
         "cpu:x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}  # fmt: skip


def agree(found: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float = 2e-5) -> None:
    """Names, types and shapes are equal; numbers differ by `tolerance` of the largest at most."""
    assert list(found) == list(expected)
    for name, right in expected.items():
        left = found[name]
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        assert np.isfinite(left).all()
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance * max(np.abs(right).max(), 1e-3))


def same(found: Mapping[str, Array], expected: Mapping[str, Array]) -> bool:
    """The same bits."""
    return list(found) == list(expected) and all(found[n].tobytes() == expected[n].tobytes() for n in found)


def bytes_of_files() -> Array:
    """What magika looks at, int32 [files, 2048]: how files begin and end, 256 where there is nothing."""
    rows: list[Array] = []
    for name in ("pyproject.toml", "Makefile", "README.md", "ir/expr.py", "LICENSE"):
        data = (ROOT / name).read_bytes()
        row = np.full(2048, 256, np.int32)
        begin, end = data.lstrip()[:1024], data.rstrip()[-1024:]
        row[: len(begin)] = np.frombuffer(begin, np.uint8)
        row[2048 - len(end) :] = np.frombuffer(end, np.uint8)
        rows.append(row)
    return np.stack(rows)


def inputs_of(name: str, case: Any) -> dict[str, Array]:
    return {"bytes": bytes_of_files()} if name == "magika" else case.inputs()


@pytest.fixture(scope="module")
def compiled(model_case: Cases) -> Callable[[str], Any]:
    """The engine of a model by name: one for all tests and all shapes."""
    return lru_cache(lambda name: ircc.compile(model_case(name).path, threads=2))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_engine_runs_at_every_shape(compiled: Any, model_case: Cases, shape: tuple[int, int, int]) -> None:
    case = model_case("pyramid")
    inputs = case.inputs(**dict(zip("NHW", shape, strict=True)))
    agree(compiled("pyramid").run(inputs), case.expected(inputs))


def test_shapes_may_come_in_any_order(compiled: Any, model_case: Cases) -> None:
    """What a run leaves behind does not matter to the next."""
    case, pyramid = model_case("pyramid"), compiled("pyramid")
    inputs = [case.inputs(**dict(zip("NHW", shape, strict=True))) for shape in SHAPES]
    first = [pyramid.run(given) for given in inputs]
    for given, before in zip(reversed(inputs), reversed(first), strict=True):
        assert same(pyramid.run(given), before)


@pytest.mark.parametrize("name", ["residual_network", "transformer_block"])
def test_small_models_against_onnxruntime(compiled: Any, model_case: Cases, name: str) -> None:
    case = model_case(name)
    inputs = case.inputs()
    agree(compiled(name).run(inputs), case.expected(inputs))


def test_a_real_model_on_real_bytes(compiled: Any, model_case: Cases) -> None:
    """magika tells the types of files of this repository, and as sure of them as in ONNX Runtime."""
    case = model_case("magika")
    inputs = {"bytes": bytes_of_files()}
    found, expected = compiled("magika").run(inputs), case.expected(inputs)
    agree(found, expected)
    (scores,), (right,) = found.values(), expected.values()
    assert scores.argmax(1).tolist() == right.argmax(1).tolist()
    assert len(set(scores.argmax(1))) >= 4 and (scores.max(1) > 0.5).all()


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")
@pytest.mark.parametrize("name", ["pyramid", "magika"])
def test_files_loaded_and_from_c(compiled: Any, model_case: Cases, name: str, tmp_path: Path) -> None:
    """The same bits as in this process, and nothing needed but libc: what `make engine-check` does to larger models."""
    told, good = same_bits.checked(
        compiled(name), inputs_of(name, model_case(name)), tmp_path, same_bits.built(tmp_path)
    )
    assert good, told


@pytest.mark.parametrize("name", ["residual_network", "transformer_block", "magika"])
def test_printed_text_gives_the_same_engine_again(compiled: Any, model_case: Cases, name: str, tmp_path: Path) -> None:
    """Every level: the engine is the same bytes, and so is what it computes."""
    case = model_case(name)
    inputs = inputs_of(name, case)
    direct = compiled(name)
    expected = direct.run(inputs)
    for stage in STAGES:
        text = tmp_path / f"{stage}.mlir"
        text.write_text(str(ircc.emit(case.path, stage)))
        again = ircc.compile(text, threads=1)
        assert again.artifact.object == direct.artifact.object, stage
        assert np.asarray(again.artifact.weights).tobytes() == np.asarray(direct.artifact.weights).tobytes(), stage
        assert same(again.run(inputs), expected), stage


@pytest.mark.parametrize("name", ["residual_network", "transformer_block"])
def test_the_same_bits_at_every_number_of_threads(compiled: Any, model_case: Cases, name: str, tmp_path: Path) -> None:
    inputs = model_case(name).inputs(N=3)
    compiled(name).save(tmp_path / "m.engine")
    one, two, five = (ircc.load(tmp_path / "m.engine", threads=n).run(inputs) for n in (1, 2, 5))
    assert same(two, one) and same(five, one)


@pytest.mark.parametrize("target", FLAGS)
@pytest.mark.parametrize("name", ["residual_network", "transformer_block"])
def test_every_kind_of_vector(model_case: Cases, name: str, target: str) -> None:
    """Code for every x86-64 there is; what this machine cannot run it refuses to load."""
    case = model_case(name)
    if not FLAGS[target] <= flags_of_this_machine():
        assert ircc.emit(case.path, "obj", target=target)
        with pytest.raises(ircc.Error):
            ircc.compile(case.path, target=target, threads=1)
        return
    engine = ircc.compile(case.path, target=target, threads=1)
    inputs = case.inputs()
    agree(engine.run(inputs), case.expected(inputs))
    if target == "cpu:x86-64":
        assert "ymm" not in str(ircc.emit(case.path, "asm", target=target))


def flags_of_this_machine() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())
