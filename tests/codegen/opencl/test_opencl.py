"""Kernels on an OpenCL device; PoCL makes one of any CPU."""

import json
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from xdsl.dialects.builtin import StringAttr
from xdsl.parser import Parser

import ircc
from ircc.codegen.opencl.backend import code_and_parts
from ircc.codegen.simt.backend import described
from ircc.codegen.simt.printer import head_of, print_kernel
from ircc.codegen.simt.words import OPENCL
from ircc.dialects import context
from ircc.dialects.loop import Kernel, Transfer
from ircc.dialects.loop.evaluate import evaluate_kernel
from ircc.errors import BackendError, EngineError
from ircc.ir.operands import walk
from ircc.runtime.artifact import Artifact
from ircc.testing.control_programs import with_control
from ircc.testing.graph_programs import random_graph, random_inputs
from ircc.testing.group_kernels import WIDE_KINDS, group_kernels, wide_buffers, wide_kernel
from ircc.testing.loop_kernels import from_memory, in_memory, random_kernel, random_sizes

cl = pytest.importorskip("pyopencl", reason="needs pyopencl: pip install ircc[opencl]")
try:
    from ircc.codegen.opencl import device as opencl

    opencl.context()
except BackendError as error:
    pytest.skip(f"needs an OpenCL device: apt-get install pocl-opencl-icd ({error})", allow_module_level=True)

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 5] x, float[5, 4] w) => (float[N, 4] y, double[N, 4] z, bool[N, 4] positive)
<float zero = {0.0}>
{
    product = MatMul(x, w)
    wide = Cast<to = 11>(product)
    z = Softmax<axis = 1>(wide)
    narrow = Cast<to = 1>(z)
    y = Relu(narrow)
    positive = Greater(product, zero)
}
"""


def model() -> onnx.ModelProto:
    return onnx.parser.parse_model(MODEL)


def inputs(rows: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((rows, 5), np.float32), "w": rng.standard_normal((5, 4), np.float32)}


def agree(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        assert found[name].dtype == right.dtype and found[name].shape == right.shape, name
        np.testing.assert_allclose(found[name].astype(np.float64), right, rtol=1e-6, atol=1e-7, err_msg=name)


def test_a_model() -> None:
    engine = ircc.compile(model(), target="opencl")
    assert engine.artifact.backend == "opencl" and {k.on for k in engine.kernels} == {"opencl"}
    for rows in 1, 6, 0:
        agree(engine.run(inputs(rows)), ircc.compile(model(), target="cpu").run(inputs(rows)))
    assert engine.device.built.keys() == {k.name for k in engine.kernels}  # type: ignore[attr-defined]
    bound = engine.bind(inputs(6))
    bound()
    agree(dict(bound.outputs), engine.run(inputs(6)))


def test_what_the_device_lacks_runs_on_the_cpu() -> None:
    module = ircc.lower(model(), target="opencl:fp32")
    placed = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
    assert {op.on for op in placed.values()} == {"opencl", "host"}
    assert all(("because" in op.attributes) == (op.on == "host") for op in placed.values())
    assert "f64" in str(next(op for op in placed.values() if op.on == "host").attributes["because"])
    assert any(isinstance(op, Transfer) for op in walk(module))
    engine = ircc.compile(model(), target="opencl:fp32")
    assert {k.on for k in engine.kernels} == {"opencl", "host"}
    for rows in 1, 6, 0:
        agree(engine.run(inputs(rows)), ircc.compile(model(), target="cpu").run(inputs(rows)))


def test_an_engine_file_needs_no_compiler(tmp_path: Path) -> None:
    ircc.compile(model(), target="opencl:fp32").save(tmp_path / "m.engine")
    script = """if True:
        import sys, ircc, numpy as np
        engine = ircc.load(sys.argv[1])
        y = engine.run({"x": np.ones((2, 5), np.float32), "w": np.ones((5, 4), np.float32)})["y"]
        assert np.allclose(y, 0.25) and engine.artifact.backend == "opencl", y
        assert not {"xdsl", "llvmlite", "onnx"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "m.engine")], check=True)


def test_many_threads() -> None:
    engine = ircc.compile(model(), target="opencl:fp32")
    expected = [engine.run(inputs(3, seed)) for seed in range(4)]
    wrong: list[object] = []

    def work(seed: int) -> None:
        try:
            for _ in range(10):
                agree(engine.run(inputs(3, seed)), expected[seed])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def opened(kernels: list[Kernel], group: int = 32) -> Any:
    """A device with kernels, each launched by its place in the list."""
    made = described(kernels, code_and_parts)
    head = head_of("".join(k["source"] for k in made.values()), OPENCL)
    section = {"group": group, "head": head, "kernels": made, "launches": [k.sym_name.data for k in kernels]}
    empty = np.zeros(0, np.uint8)
    artifact = Artifact("opencl", {}, (), (), (), (), (), b"", empty, sections={"opencl": json.dumps(section).encode()})
    return opencl.OpenClDevice(artifact)


def test_random_kernels() -> None:
    """Against the interpreter of the loop dialect, bit by bit."""
    rng = random.Random(7)
    programs = [random_kernel(rng, f"k{i}", symbolic=i % 4 != 0) for i in range(8)]
    device = opened([p.kernel for p in programs])
    for number, p in enumerate(programs):
        sizes = random_sizes(rng, p.kernel)
        arrays = p.arrays(np.random.default_rng(number), sizes)
        types: list[Any] = [a.type for a in p.kernel.args]
        flat = [in_memory(a, t, sizes) for a, t in zip(arrays, types, strict=True)]
        places = [device.alloc(a.nbytes) for a in flat]
        for place, array in zip(places, flat, strict=True):
            device.copy(place, array.ctypes.data, array.nbytes) if array.nbytes else None
        device.launch(number, [*places, *(sizes[name] for name in p.kernel.sizes)])
        for place, array in zip(places, flat, strict=True):
            device.copy(array.ctypes.data, place, array.nbytes) if array.nbytes else None
        device.wait()
        with np.errstate(all="ignore"):
            evaluate_kernel(p.kernel, arrays, sizes)
        for right, array, type_, place in zip(arrays, flat, types, places, strict=True):
            actual = from_memory(array, type_, right.shape, sizes)
            same = (actual == right) | ((actual != actual) & (right != right))
            assert same.all(), f"{p.kernel}\nwith {sizes}:\n{right}\nis\n{actual}"
            device.free(place)


@pytest.mark.parametrize("seed", range(2))
def test_random_models_on_both(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With branches and loops, and some of the kernels on the CPU."""
    from ircc.codegen.opencl.backend import OpenClBackend

    rng = random.Random(f"opencl {seed}")
    monkeypatch.setattr(OpenClBackend, "supports", lambda self, kernel: rng.choice((None, "it is not this one's turn")))
    elements = ("float32", "int64", "bool", "uint8")
    module = with_control(random_graph(rng, length=(3, 5), symbolic=True, elements=elements), rng, 2)
    given = random_inputs(module, rng, vary=False)
    expected = ircc.compile(module, target="cpu").run(given)
    agree(ircc.compile(module, target="opencl").run(given), expected)


SUM = """
loop.kernel @sum(%x "x" : !loop.buffer<[N], i32>, %y "y" : !loop.buffer<[1], i32>) outputs 1 sizes ["N"] {
  loop.for "i" %i = 0 to N ordered {
    %a = loop.load %x[%i]
    %b = loop.load %y[0]
    %c = arith.addi %a, %b : i32
    loop.store %c, %y[0]
  }
}
"""
PRODUCT = """
func.func @main(%x: !graph.tensor<[2, 64, 96], f32> {ircc.name = "x"},
    %w: !graph.tensor<[2, 96, 128], f32> {ircc.name = "w"}) -> (!graph.tensor<[2, 64, 128], f32> {ircc.name = "y"}) {
  %p = graph.matmul %x, %w : (!graph.tensor<[2, 64, 96], f32>, !graph.tensor<[2, 96, 128], f32>)
      -> !graph.tensor<[2, 64, 128], f32>
  %y = graph.relu %p : (!graph.tensor<[2, 64, 128], f32>) -> !graph.tensor<[2, 64, 128], f32>
  func.return %y : !graph.tensor<[2, 64, 128], f32>
}
"""


def test_a_schedule_that_asks_for_too_much_makes_the_cpu_run_it() -> None:
    tile = "parallel i0\nstage out at i0 in stack as much"
    module = ircc.lower(Parser(context(), PRODUCT).parse_module(), "tensor-ir", target="opencl")
    pipeline = "tensor-to-loop,expand-math"
    module = ircc.lower(module, target="opencl", passes=pipeline)
    for kernel in [op for op in module.body.ops if isinstance(op, Kernel)]:
        assert kernel.on == "opencl"
        kernel.properties["schedule"] = StringAttr(f"fuse i0\n{tile}")
    engine = ircc.compile(module, target="opencl", passes="apply-schedules,plan-memory")
    assert [k.on for k in engine.kernels] == ["host"]
    x, w = np.ones((2, 64, 96), np.float32), np.ones((2, 96, 128), np.float32)
    assert (engine.run({"x": x, "w": w})["y"] == 96).all()


def launched(device: Any, kernel: Kernel, arrays: list[Any], sizes: list[int]) -> None:
    """One launch of a device's only kernel, on arrays that it changes."""
    places = [device.alloc(a.nbytes) for a in arrays]
    for place, array in zip(places, arrays, strict=True):
        device.copy(place, array.ctypes.data, array.nbytes)
    device.launch(0, [*places, *sizes])
    for place, array in zip(places, arrays, strict=True):
        device.copy(array.ctypes.data, place, array.nbytes)
    device.wait()


def test_what_has_an_order_is_done_once() -> None:
    """By one work item, though a whole group is launched."""
    kernel = next(iter(Parser(context(), SUM).parse_module().body.ops))
    assert isinstance(kernel, Kernel)
    arrays = [np.arange(10, dtype=np.int32), np.array([1], np.int32)]
    launched(opened([kernel]), kernel, arrays, [10])
    assert arrays[1][0] == 46


@pytest.mark.parametrize("group", [1, 32, 48, 64])
def test_a_group_shares_a_tile(group: int) -> None:
    """Whatever its width is: the code asks for it."""
    module = ircc.lower(Parser(context(), PRODUCT).parse_module(), target="opencl")
    kernel = next(op for op in module.body.ops if isinstance(op, Kernel))
    assert kernel.strategy is not None and kernel.strategy.data == "tiled"
    text = print_kernel(kernel, OPENCL).code
    assert "__local f32 rows[" in text and "barrier(" in text
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-3, 4, shape).astype(np.float32) for shape in ((2, 64, 96), (2, 96, 128), (2, 64, 128))]
    expected = np.maximum(arrays[0] @ arrays[1], 0)
    launched(opened([kernel], group), kernel, arrays, [])
    assert np.array_equal(arrays[2], expected)


def test_tiles_of_sizes_that_are_not_known() -> None:
    """All work items of a group come to each barrier, those beyond the result too."""
    text = '<ir_version: 9, opset_import: ["": 20]> '
    text += "m (float[B, M, K] x, float[B, K, N] w, float[N] b) => (float[B, M, N] y) {p = MatMul(x, w) y = Add(p, b)}"
    made = ircc.compile(onnx.parser.parse_model(text), target="opencl")
    assert [k.strategy for k in made.kernels] == ["tiled"]
    rng = np.random.default_rng(0)
    for b, m, k, n in ((1, 1, 1, 1), (2, 33, 65, 67), (1, 0, 5, 5), (2, 5, 0, 7), (0, 4, 4, 4), (1, 64, 96, 32)):
        x, w, bias = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((b, m, k), (b, k, n), (n,)))
        assert np.array_equal(made.run({"x": x, "w": w, "b": bias})["y"], x @ w + bias), (b, m, k, n)


def test_pieces_of_pictures() -> None:
    text = '<ir_version: 9, opset_import: ["": 20]> m (float[N, 20, H, W] x, float[20, 1, 3, 3] w) => '
    text += "(float[N, 20, H, W] y) {y = Conv<pads = [1, 1, 1, 1], group = 20>(x, w)}"
    made = ircc.compile(onnx.parser.parse_model(text), target="opencl")
    assert "halo" in [k.strategy for k in made.kernels]
    rng = np.random.default_rng(0)
    for n, h, w in ((2, 13, 11), (1, 1, 1), (0, 5, 5), (1, 8, 32)):
        x, weights = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((n, 20, h, w), (20, 1, 3, 3)))
        around = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        places = [(p, q) for p in range(3) for q in range(3)]
        right = sum(around[:, :, p : p + h, q : q + w] * weights[:, :1, p, q, None] for p, q in places)
        assert np.array_equal(made.run({"x": x, "w": weights})["y"], right)


@pytest.mark.parametrize("group", [1, 33, 64])
def test_groups(group: int) -> None:
    """What is stored for all, and what all read alike."""
    rng = np.random.default_rng(group)
    for number, kernel in enumerate(group_kernels()):
        made = opened([kernel], group)
        for m in (19, 64):
            x = rng.integers(-9, 10, (m, 8)).astype(np.int32) if number else rng.random((m, 48), np.float32)
            shapes = [(m, 8), (m,)] if number else [(48, m)]
            arrays = [x, *(np.zeros(shape, x.dtype) for shape in shapes)]
            expected = [a.copy() for a in arrays]
            evaluate_kernel(kernel, expected, {"M": m})
            launched(made, kernel, arrays, [m])
            assert all(np.array_equal(a, b) for a, b in zip(arrays, expected, strict=True)), (kernel, m)


@pytest.mark.parametrize("element", WIDE_KINDS)
def test_neighbours_together(element: str) -> None:
    """From anywhere: OpenCL asks for no more than elements at their places."""
    kernel = wide_kernel(element)
    assert print_kernel(kernel, OPENCL).code.count("vload") == 5
    device, arrays = opened([kernel]), wide_buffers(kernel, 0)
    expected = arrays[0] + arrays[1]
    for gap in (0, arrays[0].itemsize):
        places = [device.alloc(a.nbytes + gap) + gap for a in arrays]
        arrays[2][...] = 0
        for place, array in zip(places, arrays, strict=True):
            device.copy(place, array.ctypes.data, array.nbytes)
        device.launch(0, [*places, len(arrays[0])])
        device.copy(arrays[2].ctypes.data, places[2], arrays[2].nbytes)
        device.wait()
        assert np.array_equal(arrays[2], expected)


def test_reductions_by_groups() -> None:
    text = '<ir_version: 9, opset_import: ["": 20]> m (float[N, K] x) => (float[N, K] y) {y = Softmax(x)}'
    made = ircc.compile(onnx.parser.parse_model(text), target="opencl")
    assert [k.strategy for k in made.kernels] == ["grouped", "simt", "grouped", "simt"]
    for n, k in ((3, 1000), (4, 64), (2, 7), (1, 1), (0, 5)):
        x = np.random.default_rng(k).standard_normal((n, k), np.float32)
        e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
        found = made.run({"x": x})["y"]
        np.testing.assert_allclose(found, e / e.sum(axis=1, keepdims=True), rtol=2e-6, atol=1e-9)


def test_what_the_driver_refuses_runs_on_the_host(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """It is asked when the model is compiled; the engine holds no such kernel."""
    from ircc.codegen.opencl import backend

    whole = backend.print_kernel

    def broken(kernel: Kernel, words: Any) -> Any:
        made = whole(kernel, words)
        return replace(made, code=made.code + "int broken( {") if kernel.sym_name.data == "MatMul_0" else made

    monkeypatch.setattr(backend, "print_kernel", broken)
    engine = ircc.compile(model(), target="opencl")
    assert {k.name: k.on for k in engine.kernels}["MatMul_0"] == "host" and {k.on for k in engine.kernels[1:]} == {
        "opencl"
    }
    assert (
        "kernel MatMul_0 runs on the host: the OpenCL compiler refuses it: " in caplog.text
        and "expected" in caplog.text
    )
    for rows in 1, 6, 0:
        agree(engine.run(inputs(rows)), ircc.compile(model(), target="cpu").run(inputs(rows)))


def test_a_driver_that_is_not_at_hand_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from ircc.codegen.opencl import backend

    device, here = opened([next(iter(Parser(context(), SUM).parse_module().body.ops))]), opencl.driver()  # type: ignore[list-item]
    assert not backend.refusals(device.launches, here)
    device.launches.sources["sum"] = "int broken( {"
    assert "refuses it: " in backend.refusals(device.launches, here)["sum"]
    assert not backend.refusals(device.launches, "another") and not backend.refusals(device.launches, "")
    monkeypatch.setattr(backend, "device", lambda: None)
    assert not backend.OpenClBackend().describe().driver and not backend.refusals(device.launches, here)


def test_errors_say_what_is_wrong() -> None:
    engine = ircc.compile(model(), target="opencl")
    device: Any = engine.device
    name = engine.kernels[0].name
    device.launches.sources[name] += "int broken( {"
    with pytest.raises(BackendError, match=f"kernel {name}: the OpenCL compiler refuses it"):
        engine.run(inputs(1))
    with pytest.raises(EngineError, match="no memory for"):
        device.alloc(1 << 60)


def test_the_source_is_shown() -> None:
    text = str(ircc.emit(model(), "source", target="opencl"))
    assert "__kernel void MatMul_0(" in text and text.count("typedef double f64;") == 1
