"""The Python API as DESIGN promises it: names, what they take, what engines do."""

import inspect
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import ircc

MODEL = """
<ir_version: 9, opset_import: ["": 20]>
net (float[N, 3, H, W] x) => (float[N, 8, H2, W2] y, float[N, 3, H, W] z)
{
    c = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w, b)
    r = Relu(c)
    y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
    z = Neg(x)
}
"""


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """A small network with a symbolic batch, height and width."""
    made = onnx.parser.parse_model(MODEL)
    random = np.random.default_rng(1)
    for name, shape in ("w", (8, 3, 3, 3)), ("b", (8,)):
        made.graph.initializer.append(onnx.numpy_helper.from_array(random.standard_normal(shape, np.float32), name))
    return made


@pytest.fixture(scope="module")
def engine(model: onnx.ModelProto) -> ircc.Engine:
    return ircc.compile(model, threads=2)


def reference(model: onnx.ModelProto, x: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return {name: np.asarray(y) for name, y in zip(names, session.run(names, {"x": x}), strict=True)}


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def test_signatures_are_the_contract() -> None:
    """Scripts call these by keyword: names and defaults may be added to, never changed."""
    contract = {"target": None, "threads": None, "shapes": None, "precision": "f32", "passes": None}
    given = inspect.signature(ircc.compile).parameters
    assert {name: given[name].default for name in contract} == contract
    assert inspect.signature(ircc.lower).parameters["to"].default == "loop-ir"
    assert inspect.signature(ircc.load).parameters["threads"].default is None
    for name in "Engine", "Error", "Pipeline", "compile", "load", "lower", "__version__":
        assert hasattr(ircc, name) and name in dir(ircc)


def test_every_way_to_give_a_model_gives_the_same(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    x = picture(1, 3, 6, 8)
    ways = [str(path), path, path.read_bytes(), model, ircc.lower(path, "graph-ir"), ircc.lower(path)]
    results = [ircc.compile(way).run({"x": x})["y"] for way in ways]
    for result in results[1:]:
        assert np.array_equal(result, results[0])


def test_engines_say_what_they_take_and_give(engine: ircc.Engine) -> None:
    (x,) = engine.inputs
    assert (x.name, x.dtype, x.shape) == ("x", np.float32, ("N", 3, "H", "W"))
    assert [port.name for port in engine.outputs] == ["y", "z"]
    assert engine.outputs[0].shape[:2] == ("N", 8)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 3, 9, 5), (3, 3, 17, 16), (1, 3, 33, 2), (4, 3, 8, 31)])
def test_one_engine_runs_at_many_shapes(engine: ircc.Engine, model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    x = picture(*shape)
    outputs = engine.run({"x": x})
    assert list(outputs) == ["y", "z"]
    for name, expected in reference(model, x).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_the_same_bits_at_every_number_of_threads(model: onnx.ModelProto) -> None:
    x = picture(2, 3, 20, 20)
    first, *others = [ircc.compile(model, threads=threads).run({"x": x})["y"] for threads in (1, 2, 5)]
    for other in others:
        assert np.array_equal(first, other)


def test_one_engine_runs_from_many_threads(engine: ircc.Engine) -> None:
    inputs = [picture(1, 3, 8, 4 + i) for i in range(6)]
    expected = [engine.run({"x": x})["y"] for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not np.array_equal(engine.run({"x": inputs[i]})["y"], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_bound_arrays_are_read_and_written_in_place(engine: ircc.Engine) -> None:
    x = picture(1, 3, 6, 6)
    bound = engine.bind({"x": x})
    y = bound.outputs["y"]
    bound()
    first = y.copy()
    x *= 2
    bound()
    assert bound.outputs["y"] is y
    assert np.array_equal(y, engine.run({"x": x})["y"]) and not np.array_equal(y, first)


def test_a_saved_engine_loads_without_the_compiler(engine: ircc.Engine, tmp_path: Path) -> None:
    x = picture(2, 3, 6, 6)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", engine.run({"x": x})["y"])
    engine.save(tmp_path / "net.engine")
    program = """
import sys, numpy as np, ircc
engine = ircc.load("net.engine", threads=1)
assert np.array_equal(engine.run({"x": np.load("x.npy")})["y"], np.load("y.npy"))
print([name for name in ("xdsl", "onnx", "ircc.compiler", "ircc.ir") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_pipelines_run_on_lowered_modules(model: onnx.ModelProto) -> None:
    module = ircc.lower(model, "graph-ir", passes="")
    assert "graph.conv" in str(module)
    ircc.Pipeline.parse("graph-to-tensor,eliminate-dead-code").run(module)
    module.verify()
    x = picture(1, 3, 4, 4)
    np.testing.assert_allclose(ircc.compile(module).run({"x": x})["y"], reference(model, x)["y"], rtol=1e-5, atol=1e-5)


def test_text_of_stages(model: onnx.ModelProto) -> None:
    assert "tensor.compute" in str(ircc.emit(model, "tensor-ir"))
    assert isinstance(ircc.emit(model, "obj"), bytes)


def test_kernels_name_their_nodes(engine: ircc.Engine, model: onnx.ModelProto) -> None:
    nodes = {node for kernel in engine.kernels for node in kernel.nodes}
    assert nodes == {"Conv_0", "Relu_1", "MaxPool_2", "Neg_3"}


def test_examples_of_inputs(engine: ircc.Engine) -> None:
    made = ircc.example_inputs(engine, shapes={"N": 2, "H": 6, "W": 5})
    assert made.arrays["x"].shape == (2, 3, 6, 5)
    assert engine.run(made.arrays)["y"].shape == (2, 8, 3, 2)
    for wrong in {"x": (1, 4, 6, 5)}, {"x": (1, 3)}, {"M": 3}:
        with pytest.raises(ircc.Error):
            ircc.example_inputs(engine, shapes=wrong)
    with pytest.raises(ircc.Error, match="no input 'q'"):
        ircc.example_inputs(engine, {"q": np.ones(3)})


def test_what_goes_wrong_is_an_ircc_error(engine: ircc.Engine, model: onnx.ModelProto) -> None:
    with pytest.raises(ircc.Error, match="'x'"):
        engine.run({"x": np.ones((1, 4, 4, 4), np.float32)})
    with pytest.raises(ircc.Error, match="precision 'f16' is not there yet"):
        ircc.compile(model, precision="f16")
    with pytest.raises(ircc.Error, match="unknown target"):
        ircc.compile(model, target="abacus")
    with pytest.raises(ircc.Error, match="cannot be read"):
        ircc.compile("missing.onnx")
    with pytest.raises(ircc.Error, match="threads is 0"):
        ircc.compile(model, threads=0)
    far = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["": 20, "far": 1]> m (float[N] x) => (float[N] y) {y = far.Away(x)}'
    )
    with pytest.raises(ircc.Error, match=r"far\.Away"):
        ircc.compile(far)
