"""ONNX's Backend API, over a stand-in for the compiler: the graph module, evaluated in NumPy."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper

from ircc.errors import BackendError, InputError, UnsupportedError
from ircc.frontends.onnx import import_model
from ircc.frontends.onnx_backend import make_backend
from ircc.ir.evaluator import evaluate, main_function, names_of

X, Y = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)


class Engine:
    """Runs a model by the reference meaning of its operators."""

    def __init__(self, model: onnx.ModelProto, strategy: str = "naive") -> None:
        self.module = import_model(model)
        main = main_function(self.module)
        self.inputs = [SimpleNamespace(name=n) for n in names_of(main.arg_attrs, len(main.body.block.args), "")]
        self.outputs = [SimpleNamespace(name=n) for n in names_of(main.res_attrs, len(main.function_type.outputs), "")]
        self.kernels = [SimpleNamespace(strategy=strategy)]

    def run(self, inputs: Any) -> dict[str, Any]:
        return evaluate(self.module, inputs)


backend: Any = make_backend(Engine)
MODEL = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
    main (float[N, 3] b, float[3] a) => (float[N, 3] z, float[N, 3] y) <float[1] two = {2.0}> {
        y = Add(b, a)  z = Mul(b, two) }""")


def test_inputs_by_position_or_by_name_and_outputs_in_order() -> None:
    rep = backend.prepare(MODEL)
    for inputs in ([X, Y], (X, Y), {"a": Y, "b": X}):
        z, y = rep.run(inputs)
        np.testing.assert_array_equal(z, 2 * X)
        np.testing.assert_array_equal(y, X + Y)
    with pytest.raises(InputError, match="1 inputs are given"):
        rep.run(X)


def test_run_model_and_run_node() -> None:
    assert len(backend.run_model(MODEL, [X, Y])) == 2
    node = helper.make_node("TopK", ["x"], ["v", "i"], axis=0, k=1)
    (v, i) = backend.run_node(node, [X], opset_version=7)
    assert v.tolist() == [[3, 4, 5]] and i.dtype == np.int64
    (total,) = backend.run_node(helper.make_node("Add", ["a", "b"], ["c"]), [X, Y], outputs_info=[(np.float32, (2, 3))])
    np.testing.assert_array_equal(total, X + Y)


def test_devices() -> None:
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA")
    with pytest.raises(BackendError):
        backend.prepare(MODEL, "CUDA")


def test_native_is_what_the_kernel_map_says() -> None:
    assert backend.prepare(MODEL).native
    assert not backend.prepare(MODEL, strategy="reference").native


def test_what_is_unsupported_can_be_told_by_the_message() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        main (float[N] x, int64[R] s) => (float[M] y) { y = Reshape(x, s) }""")
    with pytest.raises(UnsupportedError) as caught:
        backend.prepare(model)
    assert re.search(backend.unsupported, f"{type(caught.value).__name__}: {caught.value}")
