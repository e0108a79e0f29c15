"""Engines for CUDA on an emulated driver: what is launched, in which order, and what happens where something fails."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx.parser
import pytest

import ircc
from ircc.errors import BackendError, EngineError
from ircc.testing import conformance

pytest.importorskip("cuda.bindings", reason="needs cuda-bindings: pip install ircc[cuda]")
from ircc.codegen.cuda import device
from ircc.testing.emulated_driver import EmulatedDriver, emulated

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 64] x, float[64, 96] w) => (float[N, 96] y, double[N, 96] z)
{
    product = MatMul(x, w)
    wide = Cast<to = 11>(product)
    z = Exp(wide)
    y = Softmax(product)
}
"""


@pytest.fixture
def gpu() -> Iterator[EmulatedDriver]:
    with emulated() as driver:
        yield driver


def model(rows: int | str = "N") -> onnx.ModelProto:
    return onnx.parser.parse_model(MODEL.replace("[N", f"[{rows}"))


def inputs(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    return {"x": rng.standard_normal((rows, 64), np.float32), "w": rng.standard_normal((64, 96), np.float32) / 8}


@pytest.mark.parametrize("size", ["N", 64])
def test_a_model(gpu: EmulatedDriver, size: int | str) -> None:
    """Tiles of sizes that change and of sizes that are known; what the GPU lacks runs on the host."""
    made = ircc.compile(model(size), target="cuda")
    assert made.artifact.backend == "cuda" and {k.on for k in made.kernels} == {"cuda", "host"}
    assert any(k.strategy == "tiled" for k in made.kernels)
    right = ircc.compile(model(size), target="cpu")
    for rows in (1, 7, 0) if size == "N" else (64,):
        before = gpu.launched
        found, expected = made.run(inputs(rows)), right.run(inputs(rows))
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
        assert (gpu.launched > before) == (rows > 0)
    left = len(gpu.memory)
    for _ in range(3):
        made.run(inputs(64))
    assert len(gpu.memory) <= left + 1, "memory of runs is freed or kept for the next one"


def straight(rows: int | str = "N") -> onnx.ModelProto:
    """A model all of which the GPU runs."""
    text = MODEL.replace("    wide = Cast<to = 11>(product)\n    z = Exp(wide)\n", "").replace(", double[N, 96] z", "")
    return onnx.parser.parse_model(text.replace("[N", f"[{rows}"))


def test_graphs(gpu: EmulatedDriver) -> None:
    """A run that comes again is one launch; other sizes, other memory, and what the graph must not keep of old runs."""
    made, right = ircc.compile(straight(), target="cuda"), ircc.compile(straight(), target="cpu")
    launched: list[int] = []
    for i, rows in enumerate([6, 6, 6, 6, 5, 5, 6, 6]):
        before = gpu.launched, gpu.replayed
        given = {name: x + i for name, x in inputs(rows).items()}
        np.testing.assert_allclose(made.run(given)["y"], right.run(given)["y"], rtol=1e-4, atol=1e-6)
        launched.append(gpu.launched - before[0])
        assert gpu.replayed - before[1] == (i in (1, 2, 3, 5, 7)), i
    assert [n > 0 for n in launched] == [True, True, False, False, True, True, True, True]
    given = inputs(3)
    bound = made.bind(given)
    for i in range(3):
        given["x"] += i
        bound()
        np.testing.assert_allclose(bound.outputs["y"], right.run(given)["y"], rtol=1e-4, atol=1e-6)
    assert gpu.graphs == 2
    del bound, made
    assert gpu.graphs == 0, "graphs go with what they were made for"


def test_what_is_no_graph(gpu: EmulatedDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels on the host, and a way through the program that follows from what it computes."""
    made = ircc.compile(model(), target="cuda")
    for _ in range(3):
        made.run(inputs(4))
    loop = """
    <ir_version: 9, opset_import: ["": 20]>
    net (float[4] x, int64 n) => (float[4] y)
    {
        again = Constant<value = bool {1}>()
        y = Loop(n, again, x) <body = step (int64 i, bool before, float[4] state) => (bool after, float[4] next)
            {after = Identity(before)  next = Add(state, state)}>
    }
    """
    made = ircc.compile(onnx.parser.parse_model(loop), target="cuda")
    x = np.arange(4, dtype=np.float32)
    for n in (3, 3, 3, 1, 0, 2):
        np.testing.assert_array_equal(made.run({"x": x, "n": np.array(n)})["y"], x * 2**n)
    assert gpu.replayed == 0 and gpu.launched > 0
    monkeypatch.setattr(
        gpu, "cuGraphInstantiate", lambda *args: (device.driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY, None)
    )
    made = ircc.compile(straight(), target="cuda")
    found = [made.run(inputs(4))["y"] for _ in range(3)]
    assert gpu.replayed == 0 and all(np.array_equal(y, found[0]) for y in found)


def test_many_threads(gpu: EmulatedDriver) -> None:
    made = ircc.compile(model(), target="cuda")
    expected = [made.run(inputs(rows)) for rows in range(1, 4)]
    wrong: list[object] = []

    def work(rows: int) -> None:
        try:
            for _ in range(5):
                found = made.run(inputs(rows))
                assert all(np.array_equal(found[name], y) for name, y in expected[rows - 1].items())
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(rows,)) for rows in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def test_failures(gpu: EmulatedDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ircc.compile(model(), target="cuda")
    with pytest.raises(EngineError, match="CUDA cannot have 1152921504606846976 bytes of memory: CUDA_ERROR_OUT_OF_M"):
        made.device.alloc(1 << 60)
    lost = (device.driver.CUresult.CUDA_ERROR_LAUNCH_FAILED,)
    with monkeypatch.context() as patched:
        patched.setattr(gpu, "cuLaunchKernel", lambda *args: lost)
        with pytest.raises(EngineError, match="CUDA cannot launch MatMul_0 for 3 groups: CUDA_ERROR_LAUNCH_FAILED"):
            made.run(inputs(2))
    assert made.run(inputs(2))["y"].shape == (2, 96)
    refused = (device.driver.CUresult.CUDA_ERROR_INVALID_PTX, None)
    monkeypatch.setattr(gpu, "cuModuleLoadData", lambda image: refused)
    with pytest.raises(EngineError, match="CUDA cannot make code of kernel MatMul_0: CUDA_ERROR_INVALID_PTX"):
        ircc.compile(model(), target="cuda").run(inputs(2))


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a driver, and one without a GPU."""

    def none(flags: int) -> Any:
        raise RuntimeError("libcuda.so is not here")

    with emulated() as driver:
        for start in (none, lambda flags: (device.driver.CUresult.CUDA_ERROR_NO_DEVICE,)):
            device.context.cache_clear()
            monkeypatch.setattr(driver, "cuInit", start)
            with pytest.raises(BackendError, match=r"there is no NVIDIA GPU here: .*(not here|NO_DEVICE)"):
                ircc.compile(model(), target="cuda")


def test_an_engine_needs_no_compiler() -> None:
    script = """if True:
        import sys
        import ircc.codegen.cuda.device
        assert not {"xdsl", "llvmlite", "onnx"} & set(sys.modules), sys.modules
    """
    subprocess.run([sys.executable, "-c", script], check=True)


def test_conformance(gpu: EmulatedDriver) -> None:
    """Some of each level: the kit on the very kernels that become PTX."""
    report = conformance.run("cuda", each=3)
    assert not report.failures, [(o.name, o.fault) for o in report.failures]
    assert all(kernels > 0 for *_, kernels in report.levels()) and gpu.launched > 20
