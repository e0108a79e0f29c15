"""Engines with code for several kinds of machine: the best one that a machine can run is run."""

import ctypes
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.codegen.cpu import shared
from ircc.codegen.cpu.jit import unfit
from ircc.codegen.cpu.llvm import host
from ircc.errors import BackendError, EngineError, InputError
from ircc.runtime.artifact import Artifact
from ircc.runtime.file import read_engine, write_engine

pytestmark = pytest.mark.skipif(host().architecture != "x86_64", reason="these targets are of x86-64")
TARGETS = "cpu:x86-64-v2,cpu:x86-64-v4,cpu:x86-64-v3"
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 18] x) => (float[N, 24] y) { product = MatMul(x, w) y = Relu(product) }
"""
WEIGHTS = np.random.default_rng(1).standard_normal((18, 24), np.float32)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    made = onnx.parser.parse_model(MODEL)
    made.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHTS, "w"))
    return made


@pytest.fixture(scope="module")
def engine(model: onnx.ModelProto) -> ircc.Engine:
    return ircc.compile(model, target=TARGETS, threads=2)


@pytest.fixture(scope="module")
def file(engine: ircc.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("variants") / "m.engine"
    engine.save(path)
    return path


def close(engine: ircc.Engine) -> bool:
    x = np.random.default_rng(2).standard_normal((7, 18), np.float32)
    expected = np.maximum(x.astype(np.float64) @ WEIGHTS, 0)
    return np.allclose(engine.run({"x": x})["y"], expected, rtol=1e-5, atol=1e-5)


def test_the_best_one_comes_first(file: Path) -> None:
    variants = read_engine(file, verify=True).artifacts
    assert [v.target["name"] for v in variants] == ["x86-64-v4", "x86-64-v3", "x86-64-v2"]
    assert [v.prefix for v in variants] == ["v0.", "v1.", "v2."]
    sizes = [v.weights.size for v in variants]
    assert sizes[0] < sizes[1] < sizes[2]  # of different layouts, so each has some of its own
    assert all(np.array_equal(v.weights[: a.size], a) for v in variants for a in [variants[0].weights])


def test_every_variant_computes(engine: ircc.Engine, file: Path) -> None:
    for made, read in zip(engine.variants, read_engine(file).artifacts, strict=True):
        if unfit(read) is None:
            assert close(ircc.Engine(made)) and close(ircc.Engine(read))
            x = {"x": np.ones((3, 18), np.float32)}
            assert np.array_equal(ircc.Engine(made).run(x)["y"], ircc.Engine(read).run(x)["y"])


def test_what_is_run_here(engine: ircc.Engine, file: Path) -> None:
    fitting = [v.target["name"] for v in engine.variants if unfit(v) is None]
    assert fitting[-1] == "x86-64-v2"
    assert engine.artifact.target["name"] == ircc.load(file).artifact.target["name"] == fitting[0]
    assert close(engine) and close(ircc.load(file))


@pytest.mark.parametrize("lacking", [1, 2])
def test_a_machine_that_lacks_the_best(engine: ircc.Engine, tmp_path: Path, lacking: int) -> None:
    def without(number: int) -> Artifact:
        found = engine.variants[number]
        if number >= lacking:
            return found
        return replace(found, target={**found.target, "features": f"{found.target['features']},+fma4,+amx-tile"})

    write_engine([without(i) for i in range(3)], tmp_path / "m.engine")
    first = next(i for i, v in enumerate(engine.variants) if i >= lacking and unfit(v) is None)
    loaded = ircc.load(tmp_path / "m.engine")
    assert loaded.artifact.prefix == f"v{first}."
    assert ctypes.CDLL(str(tmp_path / "m.engine")).ircc_select() == first
    assert close(loaded)


def test_a_machine_that_lacks_all(engine: ircc.Engine, tmp_path: Path) -> None:
    odd = [
        replace(v, target={**v.target, "name": name, "features": f"{v.target['features']},+fma4,+amx-tile"})
        for v, name in zip(engine.variants, ["much", "more", "less"], strict=True)
    ]
    write_engine(odd, tmp_path / "m.engine")
    with pytest.raises(EngineError, match=r"code for much, more, less; this machine .* lacks .*: (amx-tile|fma4)"):
        ircc.load(tmp_path / "m.engine")
    assert ctypes.CDLL(str(tmp_path / "m.engine")).ircc_select() == -1


def test_the_order_of_targets_changes_nothing(model: onnx.ModelProto, file: Path, tmp_path: Path) -> None:
    again = ircc.compile(model, target="cpu:x86-64-v4, cpu:x86-64-v3,cpu:x86-64-v2,cpu:x86-64-v3")
    again.save(tmp_path / "again.engine")
    assert (tmp_path / "again.engine").read_bytes() == file.read_bytes()


def test_equal_weights_are_there_once(model: onnx.ModelProto, tmp_path: Path) -> None:
    ircc.compile(model, target="cpu:x86-64,cpu:x86-64-v2").save(tmp_path / "m.engine")
    first, second = read_engine(tmp_path / "m.engine", verify=True).artifacts
    assert first.target["name"] == "x86-64-v2" and np.array_equal(first.weights, second.weights)
    assert first.weights.offset == second.weights.offset  # type: ignore[attr-defined]  # memory-mapped
    assert close(ircc.Engine(first)) and close(ircc.Engine(second))


def test_what_cannot_be_one_engine(model: onnx.ModelProto) -> None:
    with pytest.raises(BackendError, match=r"one engine cannot be for .*aarch64, cpu, x86_64"):
        ircc.compile(model, target="cpu:x86-64-v3,cpu:aarch64")
    with pytest.raises(BackendError, match="unknown CPU 'x86-64-v9'"):
        ircc.compile(model, target="cpu:x86-64-v3,cpu:x86-64-v9")
    with pytest.raises(InputError, match="several targets"):
        ircc.emit(model, "loop-ir", target=TARGETS)


FULL = pytest.mark.skipif(not os.environ.get("IRCC_FULL"), reason="writes files of 2.5 GiB: IRCC_FULL=1")


@pytest.mark.parametrize("size", [1 << 20, pytest.param(5 << 29, marks=FULL)], ids=["1 MiB", "2.5 GiB"])
@pytest.mark.parametrize("linker", ["ld", "ld.lld"])
def test_weights_that_code_cannot_reach(
    engine: ircc.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linker: str, size: int
) -> None:
    """They stand outside of everything else, and the file is no longer for that; the small one is told to be large."""
    if not shutil.which(linker):
        pytest.skip(f"no {linker} here")
    first, *others = engine.variants
    weights = np.memmap(tmp_path / "weights", np.uint8, "w+", shape=(size,))
    weights[: first.weights.size] = first.weights
    monkeypatch.setattr(shared, "_FAR", size // 2)
    monkeypatch.setenv(shared.LINKER, linker)
    shared.find_linker.cache_clear()
    try:
        write_engine([replace(first, weights=weights), *others], tmp_path / "m.engine")
    finally:
        monkeypatch.undo()
        shared.find_linker.cache_clear()
    assert (tmp_path / "m.engine").stat().st_size < size + 200_000
    file = read_engine(tmp_path / "m.engine", verify=True)
    assert file.places[0] == 0 and file.places[1] >= size
    for read in file.artifacts:
        if unfit(read) is None:
            assert close(ircc.Engine(read))
    assert close(ircc.load(tmp_path / "m.engine"))


def test_weights_that_kernels_want_alike_are_there_once(tmp_path: Path) -> None:
    """A table is read row by row on every machine; panels of a product are as wide as its vectors."""
    text = """
    <ir_version: 9, opset_import: ["": 20]>
    m (int64[N] at) => (float[N, 24] y) { x = Gather(table, at) y = MatMul(x, w) }
    """
    table = np.random.default_rng(3).standard_normal((5000, 18), np.float32)
    made = onnx.parser.parse_model(text)
    made.graph.initializer.extend([onnx.numpy_helper.from_array(a, n) for n, a in (("table", table), ("w", WEIGHTS))])
    ircc.compile(made, target=TARGETS).save(tmp_path / "m.engine")
    file = read_engine(tmp_path / "m.engine", verify=True)
    assert file.places == (0, 0, 0)
    assert table.nbytes < file.seal.weights_length < table.nbytes + 4 * WEIGHTS.nbytes + 8192
    at = np.array([7, 4999, 0])
    for variant in file.artifacts:
        if unfit(variant) is None:
            y = ircc.Engine(variant).run({"at": at})["y"]
            np.testing.assert_allclose(y, table[at].astype(np.float64) @ WEIGHTS, rtol=1e-5, atol=1e-5)
