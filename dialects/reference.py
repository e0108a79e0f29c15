"""The reference meaning of a module of any level: what it takes, and what it computes in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block

from ..errors import IRError
from ..ir.check_each import TooLarge
from ..ir.evaluator import evaluate as evaluate_function
from ..ir.evaluator import names_of
from ..ir.types import BufferType, TensorType
from .loop import Call, For, Program
from .loop.evaluate import bind_sizes, evaluate_program

Array = np.ndarray[Any, Any]
MOST_STEPS = 2_000_000  # operations that are interpreted one by one: some 10 s


def main_of(module: ModuleOp) -> FuncOp | Program:
    """The function or host program that a module computes. Raises IRError without one."""
    for op in module.body.ops:
        if isinstance(op, FuncOp | Program):
            return op
    raise IRError("the module computes nothing: it has no func.func and no loop.program")


def inputs_of(module: ModuleOp) -> dict[str, TensorType | BufferType]:
    """The types of the inputs by name."""
    main = main_of(module)
    if isinstance(main, Program):
        found = zip(main.arg_names, main.inputs, strict=False)
    else:
        args = main.body.block.args
        found = zip(names_of(main.arg_attrs, len(args), "input_"), args, strict=True)
    return {name: arg.type for name, arg in found if isinstance(arg.type, TensorType | BufferType)}


def evaluate(module: ModuleOp, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name, in order. Raises TooLarge for loops that would take minutes, else what the levels raise."""
    main = main_of(module)
    if isinstance(main, FuncOp):
        return evaluate_function(module, inputs)
    arrays = [np.asarray(inputs[name]) for name in inputs_of(module)]
    symbols = bind_sizes(list(inputs_of(module).values()), arrays, list(inputs_of(module)))  # pyright: ignore[reportArgumentType]
    if (count := steps(main, symbols)) > MOST_STEPS:
        raise TooLarge(f"its loops have {count:.1e} steps, too many to interpret")
    return evaluate_program(module, inputs)


def steps(program: Program, symbols: Mapping[str, int]) -> float:
    """About how many operations a run interprets: a bound that depends on loops around it counts as in their first
    iteration."""
    total = 0.0
    for op in program.body.block.ops:
        if isinstance(op, Call):
            kernel = op.find()
            values = {name: int(e.evaluate(symbols=symbols)) for name, e in op.bound(kernel).items()}
            total += _steps(kernel.body.block, values)
    return total


def _steps(block: Block, symbols: Mapping[str, int]) -> float:
    total = 0.0
    for op in block.ops:
        if isinstance(op, For):
            dims = dict.fromkeys(range(len(op.indices)), 0)
            lower, upper = (int(e.evaluate(dims=dims, symbols=symbols)) for e in op.exprs)
            total += max(upper - lower, 0) / op.stride * _steps(op.body.block, symbols)
        else:
            total += 1
    return total
