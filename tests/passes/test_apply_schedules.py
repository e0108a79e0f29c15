"""What is packed for a kernel, and how."""

from typing import Any

import numpy as np
from xdsl.dialects.builtin import FunctionType, ModuleOp, f32
from xdsl.dialects.func import FuncOp, ReturnOp

from ircc.dialects.loop import Kernel
from ircc.dialects.loop.evaluate import evaluate_program
from ircc.dialects.tensor.builder import compute
from ircc.ir.pipeline import Pipeline
from ircc.ir.types import TensorType

ROWS, DEPTH = 72, 20


def scores() -> ModuleOp:
    """The product of x and a middle third of y, transposed, in loops."""

    def body(b: Any, i: Any, j: Any, k: Any) -> Any:
        return b.read(x, i, k) * b.read(y, j, k + DEPTH)

    types = [TensorType.of([ROWS, n * DEPTH], f32) for n in (1, 3)]
    main = FuncOp("main", (types, []))
    x, y = main.body.block.args
    op = compute([ROWS, ROWS], body, f32, reduce=[DEPTH], combine="add")
    main.body.block.add_ops([op, ReturnOp(op)])
    main.function_type = FunctionType.from_lists(types, [op.result.type])
    module = ModuleOp([main])
    Pipeline.parse("tensor-to-loop,select-schedules,apply-schedules").run(module)
    return module


def test_only_what_is_read_is_packed() -> None:
    module = scores()
    (pack,) = [op for op in module.body.ops if isinstance(op, Kernel) and op.sym_name.data == "pack"]
    assert {loop.upper.constant for loop in pack.loops("i1")} == {DEPTH}
    assert pack.strategy is not None and pack.strategy.data == "transposition"


def test_what_is_packed_is_right() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-3, 4, (ROWS, n * DEPTH)).astype(np.float32) for n in (1, 3))
    (found,) = evaluate_program(scores(), {"input_0": x, "input_1": y}).values()
    np.testing.assert_array_equal(found, x @ y[:, DEPTH : 2 * DEPTH].T)
