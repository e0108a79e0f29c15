"""Engines of formats that were, stored as they were written: they load, and compute what they did.

`engines/format2.engine` was made by `python tests/runtime/test_formats.py PATH`. A new format gets a file of its own
beside it, and this one stays for as long as the promise says: a reader knows its own format and the one before."""

import platform
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.compiler import Compilation
from ircc.engines import describe_engine, verify_engine
from ircc.runtime.file import read_engine

FILE = Path(__file__).parent / "engines" / "format2.engine"
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
def test_an_engine_of_format_2_runs(n: int) -> None:
    engine = ircc.load(FILE, threads=2, verify="all")
    assert [str(p) for p in engine.inputs] == ["x: float32[N, 6]", "state: float32[4]"]
    assert [p.name for p in engine.outputs] == ["y", "next"]
    x = np.random.default_rng(n).integers(-4, 5, (n, 6)).astype(np.float32)  # so that sums are exact
    state = np.arange(4, dtype=np.float32)
    weights = [0.5, -1, 2, 0.25, 1, 1, -0.5, 3, -2, 0.125, 1, 1, 0, 4, -1, 0.5, 1, -3, 2, 2, 0.75, 1, -1, 1]
    y = np.maximum(x @ np.array(weights, np.float32).reshape(6, 4), 0)
    found = engine.run({"x": x, "state": state})
    assert np.array_equal(found["y"], y)
    assert np.array_equal(found["next"], state + y.sum())


def test_an_engine_of_format_2_is_read() -> None:
    assert FILE.stat().st_size < 40_000
    assert verify_engine(FILE) is None
    told = describe_engine(FILE)
    assert told["file"]["format"] == 2
    (variant,) = told["variants"]
    assert variant["target"]["name"] == "x86-64-v2" and variant["kernels"]
    assert set(read_engine(FILE, verify=True).sections) == {"graph", "constants"}


if __name__ == "__main__":
    Compilation(target="cpu:x86-64-v2").save(onnx.parser.parse_model(MODEL), sys.argv[1])
