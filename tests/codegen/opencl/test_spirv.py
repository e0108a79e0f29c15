"""SPIR-V of kernels: what is in it, that Khronos' validator takes it, and what drivers make of it."""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

import ircc
from ircc.codegen.cuda.emit import emit_kernel, module_text
from ircc.codegen.opencl.spirv import spirv_and_parts, spirv_text
from ircc.dialects.loop import Kernel
from ircc.errors import BackendError, Error
from ircc.testing.case_programs import inputs_of_case, program_of_case
from ircc.testing.graph_cases import CASES, SIZES

MAGIC = 0x07230203  # of SPIR-V
EACH = 20  # operators of the graph dialect
TARGET = "opencl:spirv"

NET = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 64] x, float[64, 96] w, float16[N, 96] h, int64[N, 96] i)
    => (float[N, 96] y, float16[N, 96] z, int64[N, 96] j)
{
    product = MatMul(x, w)
    y = Softmax(product)
    z = Relu(h)
    j = Mod(i, i)
}
"""


def net() -> onnx.ModelProto:
    return onnx.parser.parse_model(NET)


def kernels(module: Any) -> list[Kernel]:
    assert isinstance(module, ModuleOp)
    return [op for op in module.body.ops if isinstance(op, Kernel)]


def test_what_is_in_it() -> None:
    """A module for each kernel, whose numbers are a part's and whose NaN is NaN."""
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (float[64, 128] x, float[128, 96] w) => (float[64] y)'
        " <int64[1] axes = {1}> {p = MatMul(x, w) y = ReduceMax<keepdims = 0>(p, axes)}"
    )
    placed = kernels(ircc.lower(model, to="loop-ir", target=TARGET))
    assert placed and not any(k.on_host for k in placed)
    texts = [spirv_text(module_text([emit_kernel(k).code])) for k in placed]
    assert any("addrspace(3) global" in t and "@ircc.barrier" in t for t in texts)  # the tiled product
    assert any("@ircc.maximum.f32" in t for t in texts) and not any("llvm.maximum" in t for t in texts)
    for kernel in placed:
        code, parts = spirv_and_parts(kernel)
        assert struct.unpack("<I", code[:4]) == (MAGIC,) and parts


def test_a_kernel_that_llvm_has_no_spirv_for() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20]> m (double[N] x) => (double[N] y) {y = Exp(x)}'
    )
    (kernel,) = kernels(ircc.lower(model, to="loop-ir", target=TARGET))
    assert kernel.on_host and "no function exp of f64" in str(kernel.attributes["because"])


@pytest.mark.skipif(not shutil.which("spirv-val"), reason="no spirv-val here; Debian: spirv-tools")
def test_the_validator_takes_operators(tmp_path: Path) -> None:
    """One behind the other in one process: LLVM mixed up the types of different modules."""
    checked = 0
    for case in CASES[:: len(CASES) // EACH]:
        symbols = SIZES | dict(case.sizes[0])
        try:
            module = program_of_case(case, inputs_of_case(case, np.random.default_rng(0), symbols)[0], symbols)
        except (Error, ArithmeticError, LookupError, ValueError, VerifyException):
            continue
        for kernel in kernels(ircc.lower(module, to="loop-ir", target=TARGET)):
            if not kernel.on_host:
                (tmp_path / "k.spv").write_bytes(spirv_and_parts(kernel)[0])
                told = subprocess.run(["spirv-val", tmp_path / "k.spv"], capture_output=True, text=True, check=False)
                assert told.returncode == 0, f"{kernel.sym_name.data}: {told.stderr}"
                checked += 1
    assert checked >= EACH


def takes_spirv() -> bool:
    try:
        from ircc.codegen.opencl import device

        return "SPIR-V" in getattr(device.context().devices[0], "il_version", "")
    except (ImportError, BackendError):
        return False


@pytest.mark.skipif(not takes_spirv(), reason="no OpenCL driver that takes SPIR-V: make spirv-check")
@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_model(n: int) -> None:
    rng = np.random.default_rng(n)
    given = {
        "x": rng.standard_normal((n, 64), np.float32),
        "w": rng.standard_normal((64, 96), np.float32),
        "h": rng.standard_normal((n, 96)).astype(np.float16),
        "i": rng.integers(-9, 9, (n, 96)),
    }
    engine = ircc.compile(net(), target=TARGET)
    found, right = engine.run(given), ircc.compile(net(), target="cpu").run(given)
    assert {k.on for k in engine.kernels} == {"opencl"}
    for name, expected in right.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)
