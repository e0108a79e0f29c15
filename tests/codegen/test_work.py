"""What the kernel map says of a kernel's work: operations and bytes, counted by hand."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import ircc

FLOAT = 4  # bytes


def model(operator: str, shapes: list[list[Any]], constants: dict[str, Any] | None = None, **attributes: Any) -> bytes:
    """One node with inputs x0, x1, ... of these shapes, and constants behind them."""
    given = {name: np.asarray(value) for name, value in (constants or {}).items()}
    names = [f"x{i}" for i in range(len(shapes))]
    node = helper.make_node(operator, [*names, *given], ["y"], name="node", **attributes)
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes, strict=True)]
    output = helper.make_empty_tensor_value_info("y")
    initializers = [numpy_helper.from_array(value, name) for name, value in given.items()]
    graph = helper.make_graph([node], "g", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


# the model, its floating-point operations, and the bytes that it has to touch
CASES: dict[str, tuple[bytes, int, int]] = {
    "a product of matrices": (
        model("MatMul", [[32, 48], [48, 64]]),
        2 * 32 * 48 * 64,
        (32 * 48 + 48 * 64 + 32 * 64) * FLOAT,
    ),
    "with odd sizes": (model("MatMul", [[33, 47], [47, 65]]), 2 * 33 * 47 * 65, (33 * 47 + 47 * 65 + 33 * 65) * FLOAT),
    "a sum": (model("Add", [[30, 17], [17]]), 30 * 17, (30 * 17 + 17 + 30 * 17) * FLOAT),
    "a sum over rows": (
        model("ReduceSum", [[100, 30]], {"axes": np.array([1])}, keepdims=0),
        100 * 30,
        (3000 + 100) * FLOAT,
    ),
    "a transposition": (model("Transpose", [[40, 30]], perm=[1, 0]), 0, 2 * 1200 * FLOAT),
    "a slice of a long tensor": (
        model("Slice", [[1000, 16]], {"starts": np.array([7]), "ends": np.array([17])}),
        0,
        2 * 10 * 16 * FLOAT,
    ),
    "rows of a table, which data chooses": (
        model("Gather", [[1000, 16]], {"indices": np.array([3, 999, 0], np.int64)}),
        0,
        2 * 3 * 16 * FLOAT + 3 * 8,
    ),
    "a maximum of windows": (
        model("MaxPool", [[1, 16, 8, 8]], kernel_shape=[2, 2], strides=[2, 2]),
        4 * 16 * 16,
        (16 * 64 + 16 * 16) * FLOAT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_operations_and_bytes(case: str) -> None:
    given, flops, moved = CASES[case]
    kernels = ircc.compile(given).kernels
    assert sum(int(k.flops) for k in kernels) == flops
    (kernel,) = [k for k in kernels if k.nodes]
    assert int(kernel.bytes) == moved


def test_of_symbolic_sizes_they_are_those_of_the_run() -> None:
    engine = ircc.compile(model("MatMul", [["N", 48], [48, 64]]))
    for n in (1, 5, 40):
        inputs = {"x0": np.ones((n, 48), np.float32), "x1": np.ones((48, 64), np.float32)}
        kernels = ircc.profile(engine, inputs, rounds=1, peaks=False).kernels
        assert sum(k.flops for k in kernels) == 2 * n * 48 * 64
        assert max(k.bytes for k in kernels) == (n * 48 + 48 * 64 + n * 64) * FLOAT
