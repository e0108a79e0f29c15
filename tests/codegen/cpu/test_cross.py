"""Engines for other architectures: linked here, run by an emulator from C, against ONNX's reference.

Bounds are those of random models: what the reference's own results are off by when every operator's are moved by some
units in the last place (ircc.testing.fuzz)."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import ircc
from ircc.codegen.cpu import shared
from ircc.codegen.cpu.llvm import Machine
from ircc.compiler import Compilation
from ircc.errors import EngineError
from ircc.runtime.machine import architecture
from ircc.testing.fuzz.evaluate import Tracks, tracks_of

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
cross = importlib.import_module("cross")

Array = np.ndarray[Any, Any]


def normal(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng([7, *shape]).standard_normal(shape).astype(dtype)


def integers(low: int, high: int, *shape: int, dtype: Any = np.int64) -> Array:
    return np.random.default_rng([8, *shape]).integers(low, high, shape).astype(dtype)


# what a model computes, its weights, its inputs
MODELS: dict[str, tuple[str, dict[str, Array], dict[str, Array]]] = {
    "convolutions": ("""
m (float[N, 8, H, W] x) => (float[N, 10] y, float[N, 16, H, W] wide) {
    wide = Conv <pads = [1, 1, 1, 1]> (x, w3, b3)
    relu = Relu (wide)
    deep = Conv <group = 16, strides = [2, 2], pads = [1, 1, 1, 1]> (relu, wd)
    sigmoid = Sigmoid (deep)
    silu = Mul (deep, sigmoid)
    small = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (silu)
    up = ConvTranspose <strides = [2, 2]> (small, wt)
    mean = GlobalAveragePool (up)
    flat = Flatten (mean)
    y = Gemm <transB = 1> (flat, w, b)
}
""", {"w3": normal(16, 8, 3, 3), "b3": normal(16), "wd": normal(16, 1, 3, 3), "wt": normal(16, 6, 2, 2),
      "w": normal(10, 6), "b": normal(10)}, {"x": normal(2, 8, 12, 13)}),
    "attention": ("""
m (float[T, 24] x) => (float[T, 24] y, int64[T] best) {
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    v = MatMul (x, wv)
    kt = Transpose <perm = [1, 0]> (k)
    scores = MatMul (q, kt)
    weights = Softmax <axis = -1> (scores)
    seen = MatMul (weights, v)
    sum = Add (x, seen)
    normed = LayerNormalization (sum, scale, bias)
    wide = MatMul (normed, w1)
    gelu = Gelu (wide)
    y = MatMul (gelu, w2)
    best = ArgMax <axis = 1, keepdims = 0> (y)
}
""", {"wq": normal(24, 16) / 4, "wk": normal(24, 16) / 4, "wv": normal(24, 24) / 4, "scale": normal(24),
      "bias": normal(24), "w1": normal(24, 50) / 4, "w2": normal(50, 24) / 4}, {"x": normal(7, 24)}),
    "recurrent": ("""
m (float[T, B, 6] x, float[1, B, 5] h, float[1, B, 5] c) => (float[T, 1, B, 5] y, float[1, B, 5] hn, float[1, B, 5] cn)
{ y, hn, cn = LSTM <hidden_size = 5> (x, w, r, b, , h, c) }
""", {"w": normal(1, 20, 6), "r": normal(1, 20, 5), "b": normal(1, 40)},
      {"x": normal(4, 2, 6), "h": normal(1, 2, 5), "c": normal(1, 2, 5)}),
    "integers": ("""
m (int64[N, 20] i, uint8[N, 20] u) => (int32[N, 12] product, float[N, 12] back, int64[N, 20] odd,
                                       uint8[N, 20] shifted, int64[N, 20] ranks)
<uint8 zero = {128}, int64 seven = {7}, uint8 two = {2}, int8 none = {0}, float both = {0.001}> {
    product = MatMulInteger (u, w, zero, none)
    wide = Cast <to = 1> (product)
    back = Mul (wide, both)
    quotient = Div (i, seven)
    rest = Mod (i, seven)
    odd = Sub (rest, quotient)
    shifted = BitShift <direction = "RIGHT"> (u, two)
    axis = Constant <value_int = 1> ()
    ranks = CumSum (i, axis)
}
""", {"w": integers(-128, 128, 20, 12, dtype=np.int8)},
      {"i": integers(-1000, 1000, 3, 20), "u": integers(0, 256, 3, 20, dtype=np.uint8)}),
    "quantised": ("""
m (float[N, 4, 9, 9] x) => (float[N, 8, 9, 9] y)
<float sx = {0.05}, uint8 zx = {128}, float sw = {0.02}, int8 zw = {0}, float sy = {0.1}, uint8 zy = {100}> {
    steps = QuantizeLinear (x, sx, zx)
    sums = QLinearConv <pads = [1, 1, 1, 1]> (steps, sx, zx, w, sw, zw, sy, zy)
    y = DequantizeLinear (sums, sy, zy)
}
""", {"w": integers(-128, 128, 8, 4, 3, 3, dtype=np.int8)}, {"x": normal(2, 4, 9, 9)}),
    "halves": ("""
m (float16[N, 24] x, bfloat16[N, 8] z) => (float16[N, 8] y, bfloat16[N, 8] sum) {
    product = MatMul (x, w)
    y = Tanh (product)
    narrow = Cast <to = 16> (y)
    sum = Add (narrow, z)
}
""", {"w": normal(24, 8, dtype=np.float16)},
      {"x": normal(5, 24, dtype=np.float16), "z": normal(5, 8).astype(onnx.helper.tensor_dtype_to_np_dtype(16))}),
    "sizes from data": ("""
m (float[N, M] x, int64[K, 2] at) => (float[K] picked, int64[2, F] where, float[3] top, int64[3] best, float[N, M] put)
<int64[1] three = {3}, int64[1] all = {-1}> {
    picked = GatherND (x, at)
    positive = Relu (x)
    where = NonZero (positive)
    flat = Reshape (x, all)
    top, best = TopK (flat, three)
    put = ScatterND (x, at, picked)
}
""", {}, {"x": normal(4, 9), "at": integers(0, 4, 5, 2)}),
    "functions": ("""
m (float[N] x, double[N] d) => (float[N] y, double[N] e) {
    a = Abs (x)
    b = Log (a)
    c = Sin (x)
    f = Atan (b)
    g = Pow (a, f)
    h = Erf (c)
    k = Softplus (h)
    l = Round (x)
    o = Sqrt (a)
    p = Cos (l)
    y = Sum (g, k, o, p)
    q = Exp (d)
    e = Floor (q)
}
""", {}, {"x": normal(37), "d": normal(37, dtype=np.float64)}),
}  # fmt: skip


def model_of(name: str) -> tuple[onnx.ModelProto, dict[str, Array], Tracks]:
    """A model, inputs for it, and what the reference makes of them."""
    text, weights, inputs = MODELS[name]
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]>{text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in weights.items())
    return model, inputs, tracks_of(model, inputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cross")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("target", cross.TARGETS)
def test_another_architecture(target: str, name: str, folder: Path) -> None:
    if lacking := cross.missing(target):
        pytest.skip(lacking)
    model, inputs, tracks = model_of(name)
    engine = folder / "m.engine"
    Compilation(target=f"cpu:{target}").save(model, engine)
    shapes = {o.name: tracks.values[o.name].shape for o in model.graph.output}
    try:
        found = cross.emulated(target, cross.build(target, folder), engine, inputs, shapes)
    except RuntimeError as error:
        if "decode_save_opc" not in str(error):
            raise
        pytest.skip("QEMU before 8.0 ends at vfcvt.rtz, which makes integers of floats")
    assert not {k: why for k, v in found.items() if (why := tracks.differs(k, v))}


def test_one_file_for_two_kinds_of_machine(folder: Path) -> None:
    """The code with vectors where there are vectors, else the other one; alone it says what is missing."""
    if lacking := cross.missing("riscv64"):
        pytest.skip(lacking)
    model, inputs, tracks = model_of("attention")
    program, shapes = cross.build("riscv64", folder), {n: tracks.values[n].shape for n in ("y", "best")}
    found: dict[tuple[str, str], bytes] = {}
    for targets in ("riscv64", "riscv64-v", "riscv64-v,cpu:riscv64"):
        Compilation(target=f"cpu:{targets}").save(model, folder / "m.engine")
        for machine in ("riscv64", "riscv64-v"):
            if targets == "riscv64-v" and machine == "riscv64":
                with pytest.raises(RuntimeError, match="lacks what the engine needs: v"):
                    cross.emulated(machine, program, folder / "m.engine", inputs, shapes)
                continue
            outputs = cross.emulated(machine, program, folder / "m.engine", inputs, shapes)
            assert not tracks.differs("y", outputs["y"])
            found[targets, machine] = outputs["y"].tobytes()
    both = "riscv64-v,cpu:riscv64"
    assert found[both, "riscv64"] == found["riscv64", "riscv64"] != found[both, "riscv64-v"]
    assert found[both, "riscv64-v"] == found["riscv64-v", "riscv64-v"]


@pytest.mark.parametrize("target", ["aarch64", "riscv64-v"])
def test_the_linker_that_comes_from_a_package(target: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not importlib.util.find_spec("ziglang"):
        pytest.skip("no ziglang here: pip install 'ircc[aot]'")
    monkeypatch.setenv(shared.LINKER, f"{sys.executable} -m ziglang ld.lld")
    shared.find_linker.cache_clear()
    try:
        model, inputs, tracks = model_of("attention")
        Compilation(target=f"cpu:{target}").save(model, folder / "zig.engine")
    finally:
        monkeypatch.undo()
        shared.find_linker.cache_clear()
    if lacking := cross.missing(target):
        pytest.skip(lacking)
    shapes = {n: tracks.values[n].shape for n in ("y", "best")}
    found = cross.emulated(target, cross.build(target, folder), folder / "zig.engine", inputs, shapes)
    assert not tracks.differs("y", found["y"])


# in place of ircc.c: a C library without dlopen runs what was linked with it
WITHIN = """
#include "ircc.h"
int32_t ircc_open(const char *path, int32_t check, ircc_library *library, char *text, size_t size) {
    (void)path, (void)check, (void)text, (void)size;
    *library = (ircc_library){
        0, ircc_abi_version, ircc_describe, ircc_select, ircc_missing, ircc_engine_create, ircc_engine_set_threads,
        ircc_engine_destroy, ircc_context_create, ircc_context_destroy, ircc_context_resize, ircc_context_run,
        ircc_context_sizes, ircc_context_error};
    return ircc_select() < 0 ? IRCC_UNSUPPORTED : IRCC_OK;
}
void ircc_close(ircc_library *library) { (void)library; }
"""


@pytest.mark.parametrize("name", ["convolutions", "attention", "integers", "quantised", "sizes from data"])
def test_loongarch(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objects of an engine in a program that needs no other library, made by what is in a package."""
    if not importlib.util.find_spec("ziglang") or not shutil.which("qemu-loongarch64"):
        pytest.skip("no ziglang or no qemu-loongarch64 here: pip install 'ircc[aot]', Debian's qemu-user")
    zig = [sys.executable, "-m", "ziglang"]
    monkeypatch.setenv(shared.LINKER, f"{' '.join(zig)} ld.lld")
    shared.find_linker.cache_clear()
    linked = shared._link  # pyright: ignore[reportPrivateUsage]

    def link(machine: Machine, arguments: Sequence[str]) -> None:
        for i, path in enumerate(a for a in arguments if a.endswith(".o")):
            shutil.copyfile(path, folder / f"loongarch{i}.o")
        linked(machine, arguments)

    monkeypatch.setattr(shared, "_link", link)
    model, inputs, tracks = model_of(name)
    try:
        Compilation(target="cpu:loongarch64").save(model, folder / "m.engine")
    finally:
        monkeypatch.undo()
        shared.find_linker.cache_clear()
    (folder / "within.c").write_text(WITHIN)
    place = Path(ircc.__file__).parent
    sources = [folder / "within.c", place / "examples" / "c" / "run.c", *sorted(folder.glob("loongarch*.o"))]
    flags = ["-target", "loongarch64-linux-musl", "-mcpu=generic_la64+64bit+f+d+ual", "-O1", "-static"]
    program = folder / "run.loongarch64"
    command = [*zig, "cc", *flags, f"-I{place / 'runtime' / 'c'}", "-o", str(program), *map(str, sources)]
    subprocess.run(command, check=True)
    shapes = {o.name: tracks.values[o.name].shape for o in model.graph.output}
    found = cross.emulated("loongarch64", program, folder / "m.engine", inputs, shapes)
    assert not {k: why for k, v in found.items() if (why := tracks.differs(k, v))}


def test_an_engine_for_another_machine_says_so(folder: Path) -> None:
    """What the loader in this process says of code that it cannot run."""
    others = [t for t in cross.TARGETS if architecture() != cross.architecture_of(t)]
    if lacking := cross.missing(others[0]):
        pytest.skip(lacking)
    Compilation(target=f"cpu:{others[0]}").save(model_of("functions")[0], folder / "other.engine")
    with pytest.raises(EngineError, match=f"(?s)the engine is for {cross.architecture_of(others[0])}-.*recompile"):
        ircc.load(folder / "other.engine")
