"""Engines for other machines: linked here, and run by an emulator from C."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import ircc
from ircc.compiler import Compilation

ROOT = Path(ircc.__file__).parent
MODEL = """
<ir_version: 9, opset_import: ["": 20]>
m (float[N, 18] x) => (float[N, 24] y, int64[N] best)
{ product = MatMul(x, w) y = Softmax(product) best = ArgMax <axis = 1, keepdims = 0> (y) }
"""


@pytest.mark.parametrize("architecture", ["aarch64"])
@pytest.mark.parametrize("rows", [1, 7])
def test_another_architecture(architecture: str, rows: int, tmp_path: Path) -> None:
    compiler, emulator = f"{architecture}-linux-gnu-gcc", f"qemu-{architecture}"
    for tool in (compiler, emulator):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} here (Debian: gcc-{architecture}-linux-gnu, qemu-user)")
    weights = np.random.default_rng(1).standard_normal((18, 24), np.float32)
    model = onnx.parser.parse_model(MODEL)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    Compilation(target=f"cpu:{architecture}").save(model, tmp_path / "m.engine")
    place, program = ROOT / "runtime" / "c", tmp_path / "run"
    sources = [str(ROOT / "examples" / "c" / "run.c"), str(place / "ircc.c")]
    subprocess.run([compiler, "-O1", "-std=c11", f"-I{place}", "-o", str(program), *sources, "-ldl"], check=True)
    x = np.random.default_rng(2).standard_normal((rows, 18), np.float32)
    x.tofile(tmp_path / "x")
    command = [emulator, "-L", f"/usr/{architecture}-linux-gnu", str(program), str(tmp_path / "m.engine")]
    files = [str(tmp_path / "x"), "--", str(tmp_path / "y"), str(tmp_path / "best")]
    done = subprocess.run([*command, *files], env={"SIZES": f"{rows},18"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    product = x.astype(np.float64) @ weights
    powers = np.exp(product - product.max(1, keepdims=True))
    expected = powers / powers.sum(1, keepdims=True)
    y = np.fromfile(tmp_path / "y", np.float32).reshape(rows, 24)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(np.fromfile(tmp_path / "best", np.int64), y.argmax(1))
