"""Engines of formats that were, stored as they were written: they load, and compute what they did.

`engines/format3.engine` was made by `python tests/runtime/test_formats.py PATH`, and that of format 2 when this was the
newest. A new format gets a file of its own beside them; each stays for as long as the promise says: a reader knows its
own format and the one before."""

import platform
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.compiler import Compilation, recompile
from ircc.engines import describe_engine, verify_engine
from ircc.errors import EngineError
from ircc.runtime.file import FORMAT, read_engine

FORMATS = [2, 3]
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 6] x, float[4] state) => (float[N, 4] y, float[4] next)
<float[6, 4] w = {0.5, -1, 2, 0.25, 1, 1, -0.5, 3, -2, 0.125, 1, 1, 0, 4, -1, 0.5, 1, -3, 2, 2, 0.75, 1, -1, 1}> {
    product = MatMul (x, w)
    y = Relu (product)
    total = ReduceSum <keepdims = 0> (y)
    next = Add (state, total)
}
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="its code is for x86-64")
@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("number", FORMATS)
def test_a_stored_engine_runs(number: int, n: int) -> None:
    engine = ircc.load(stored(number), threads=2, verify="all")
    assert [str(p) for p in engine.inputs] == ["x: float32[N, 6]", "state: float32[4]"]
    assert [p.name for p in engine.outputs] == ["y", "next"]
    x = np.random.default_rng(n).integers(-4, 5, (n, 6)).astype(np.float32)  # so that sums are exact
    state = np.arange(4, dtype=np.float32)
    weights = [0.5, -1, 2, 0.25, 1, 1, -0.5, 3, -2, 0.125, 1, 1, 0, 4, -1, 0.5, 1, -3, 2, 2, 0.75, 1, -1, 1]
    y = np.maximum(x @ np.array(weights, np.float32).reshape(6, 4), 0)
    found = engine.run({"x": x, "state": state})
    assert np.array_equal(found["y"], y)
    assert np.array_equal(found["next"], state + y.sum())


@pytest.mark.parametrize("number", FORMATS)
def test_a_stored_engine_is_read(number: int) -> None:
    path = stored(number)
    assert path.stat().st_size < 40_000
    assert verify_engine(path) is None
    told = describe_engine(path)
    assert told["file"]["format"] == number
    (variant,) = told["variants"]
    assert variant["target"]["name"] == "x86-64-v2" and variant["kernels"]
    sections = read_engine(path, verify=True).sections
    assert {name: len(sections[name]) > 0 for name in sections} == {"graph": True, "constants": False}


@pytest.mark.parametrize("number", FORMATS)
def test_a_section_that_changed_is_found_when_it_is_read(number: int, tmp_path: Path) -> None:
    path, data = tmp_path / "m.engine", bytearray(stored(number).read_bytes())
    sections = read_engine(stored(number)).sections
    data[dict(zip(sections, sections.offsets(), strict=True))["graph"]] ^= 1
    path.write_bytes(data)
    with pytest.raises(EngineError, match="hash"):
        ircc.load(path, verify="all")
    with pytest.raises(EngineError, match="hash"):
        recompile(path, tmp_path / "other.engine")


def test_the_newest_format_is_stored() -> None:
    assert FORMATS[-1] == FORMAT


def stored(number: int) -> Path:
    return Path(__file__).parent / "engines" / f"format{number}.engine"


if __name__ == "__main__":
    Compilation(target="cpu:x86-64-v2").save(onnx.parser.parse_model(MODEL), sys.argv[1])
