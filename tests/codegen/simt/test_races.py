"""Lanes of a group wait for each other wherever one reads what another has written, and groups do not meet at all."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.dialects.builtin import StringAttr

import ircc
from ircc.codegen.simt.words import CUDA
from ircc.dialects.loop import Kernel
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.ir.types import BufferType
from ircc.testing.cuda_threads import Raced, Threads
from ircc.testing.group_kernels import group_kernels, team_kernels, team_rows
from ircc.testing.loop_kernels import from_memory, in_memory

if shutil.which("g++") is None or shutil.which("setarch") is None:
    pytest.skip("needs a C++ compiler and setarch: apt-get install g++ util-linux", allow_module_level=True)
if subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode:
    pytest.skip("may not turn off what moves addresses about, as ThreadSanitizer wants it", allow_module_level=True)

MODELS = {  # bodies of models, and the sizes of what they call N and K
    "(float[64, 64] x, float[64, 32] w, float[32] b) => (float[64, 32] y) {p = MatMul(x, w) s = Add(p, b) y = Relu(s)}":
        {},
    "(float[N, K] x, float[K, 5] w) => (float[N, 5] y) {y = MatMul(x, w)}": {"N": 7, "K": 9},
    "(float[N, 16, 9, 9] x, float[64, 16, 3, 3] w) => (float[N, 64, 9, 9] y) {y = Conv<pads = [1, 1, 1, 1]>(x, w)}":
        {"N": 1},
    "(float[1, 8, 9, 9] x, float[8, 1, 3, 3] w) => (float[1, 8, 9, 9] y) "
    "{y = Conv<pads = [1, 1, 1, 1], group = 8>(x, w)}": {},
    "(float[N, K] x) => (float[N, K] y) {y = Softmax<axis = 1>(x)}": {"N": 4, "K": 70},
    "(float[5, 300] x, float[300] w) => (float[5, 300] y) {y = LayerNormalization<axis = 1>(x, w)}": {},
    "(float[2, 3, 12, 12] x) => (float[2, 3, 1, 1] y) {y = GlobalAveragePool(x)}": {},
    "(float[N, 40] x) => (float[40, N] y) {e = Sigmoid(x) y = Transpose<perm = [1, 0]>(e)}": {"N": 33},
}  # fmt: skip


def compiled(number: int, body: str) -> list[Kernel]:
    """The kernels that a model becomes on the device, by names of their own."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> m {body}')
    module = ircc.lower(model, to="loop-ir", target="simt:cuda-c")
    found = [op for op in module.body.ops if isinstance(op, Kernel) and not op.on_host]
    for kernel in found:
        kernel.properties["sym_name"] = StringAttr(f"{kernel.sym_name.data}_of_{number}")
    return found


def arrays_for(kernel: Kernel, sizes: dict[str, int]) -> list[np.ndarray[Any, Any]]:
    """Zeros for its buffers, row-major or not."""
    types = [a.type for a in kernel.args if isinstance(a.type, BufferType)]
    return [np.zeros(t.length.evaluate(symbols=sizes), t.dtype) for t in types]


def check(threads: Threads, kernel: Kernel, arrays: list[np.ndarray[Any, Any]], sizes: dict[str, int]) -> None:
    types = [a.type for a in kernel.args if isinstance(a.type, BufferType)]
    flat = [in_memory(a, t, sizes) for a, t in zip(arrays, types, strict=True)]
    threads.run(kernel, flat, sizes)
    expected = [a.copy() for a in arrays]
    evaluate_kernel(kernel, expected, sizes)
    for type_, right, found in zip(types, expected, flat, strict=True):
        np.testing.assert_allclose(from_memory(found, type_, right.shape, sizes), right, rtol=1e-5, atol=1e-6)


def test_schedules(tmp_path: Path) -> None:
    """Kernels as the compiler schedules them have no race. (Whether their results are right the other tests say.)"""
    made = {i: compiled(i, body) for i, body in enumerate(MODELS)}
    every = [kernel for kernels in made.values() for kernel in kernels]
    strategies = {kernel.strategy.data for kernel in every if kernel.strategy is not None}
    assert {"simt", "tiled", "halo", "grouped"} <= strategies
    threads = Threads(every, tmp_path)
    for i, sizes in enumerate(MODELS.values()):
        for kernel in made[i]:
            known = {name: sizes[name] for name in kernel.sizes}
            threads.run(kernel, arrays_for(kernel, known), known)


def test_teams(tmp_path: Path) -> None:
    """What a team is to combine is there when it comes, and what comes of it when others read it."""
    every, rng = team_kernels(6), np.random.default_rng(0)
    threads = Threads(every, tmp_path, 4, 4)
    for kernel in every:
        check(threads, kernel, team_rows(kernel, rng), {"M": 6})
    threads = Threads(every[:1], tmp_path, words=replace(CUDA, barrier=""))
    with pytest.raises(Raced, match="data race"):
        threads.run(every[0], team_rows(every[0], rng), {"M": 6})


def test_groups(tmp_path: Path) -> None:
    """What is read alike and stored again; and without barriers the sanitizer sees it."""
    turn, sums = group_kernels()
    x, rows = np.arange(19 * 48, dtype=np.float32).reshape(19, 48), np.arange(19 * 8, dtype=np.int32).reshape(19, 8)
    given = {turn: [x, np.zeros((48, 19), np.float32)], sums: [rows, np.zeros_like(rows), np.zeros(19, np.int32)]}
    threads = Threads([turn, sums], tmp_path)
    for kernel, arrays in given.items():
        check(threads, kernel, arrays, {"M": 19})
    threads = Threads([turn, sums], tmp_path, words=replace(CUDA, barrier=""))
    for kernel, arrays in given.items():
        with pytest.raises(Raced, match="data race"):
            threads.run(kernel, arrays, {"M": 19})
