"""Kernels beside a device with a memory of its own: constants are in both memories, and nothing copies them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

import ircc
from ircc.dialects.loop import Constant, Transfer, root_of
from ircc.errors import BackendError

MODEL = """<ir_version: 9, opset_import: ["": 20]> m (float[N, 70] x) => (double[N, 70] y, float[N, 70] z)
<double[70] w = {%s}, float[70] v = {%s}> {
    z = Mul(x, v)
    wide = Cast<to = 11>(z)
    scaled = Mul(wide, w)
    y = Exp(scaled)
}"""
W = np.arange(70) / 70 - 0.3
V = np.arange(70, dtype=np.float32) / 7


def beside(target: str) -> Any:
    """What has to be there for a target; skips where it is not."""
    if target == "cuda":
        pytest.importorskip("cuda.bindings", reason="needs cuda-bindings: pip install ircc[cuda]")
        from ircc.testing.emulated_driver import emulated

        return emulated()
    pytest.importorskip("pyopencl", reason="needs pyopencl: pip install ircc[opencl]")
    from ircc.codegen.opencl.device import context

    try:
        context()
    except BackendError as error:
        pytest.skip(f"needs an OpenCL device: apt-get install pocl-opencl-icd ({error})")
    return nullcontext()


@pytest.mark.parametrize("target", ["opencl:fp32", "cuda"])
def test_constants_of_kernels_on_the_host_are_not_copied(target: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(MODEL % (", ".join(map(repr, W.tolist())), ", ".join(map(repr, V.tolist()))))
    with beside(target):
        module = ircc.lower(model, "loop-ir", target=target)
        host = [op for op in module.walk() if isinstance(op, Constant) and "f64" in str(op.buffer.type)]
        copied = [root_of(op.buffer) for op in module.walk() if isinstance(op, Transfer)]
        assert host and copied and not any(isinstance(buffer.owner, Constant) for buffer in copied)
        engine = ircc.compile(model, target=target)
        assert len({kernel.on for kernel in engine.kernels}) == 2
        engine.save(tmp_path / "m.engine")
        for made in (engine, ircc.load(tmp_path / "m.engine")):
            for rows in (3, 1, 3):
                x = np.random.default_rng(rows).standard_normal((rows, 70), np.float32)
                found = made.run({"x": x})
                np.testing.assert_array_equal(found["z"], x * V)
                np.testing.assert_allclose(found["y"], np.exp((x * V).astype(np.float64) * W), rtol=1e-12)
