"""The reference meaning of a module of any level: what it takes, and what it computes in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block

from ..errors import IRError
from ..ir.check_each import TooLarge
from ..ir.evaluator import bind_symbols, names_of
from ..ir.evaluator import evaluate as evaluate_function
from ..ir.expr import ONE, Expr
from ..ir.types import BufferType, TensorType
from . import control
from .control import called
from .loop import Call, For, Program
from .loop.evaluate import bind_sizes, evaluate_program
from .loop.host import While
from .tensor import Update, WithBody

Array = np.ndarray[Any, Any]
MOST_STEPS = 2_000_000  # operations of loops, which are interpreted one by one: some 10 s
STEP = 1e4  # elements that NumPy computes in the time of one step of an update
MOST_ELEMENTS = 1e11  # of operations in computes, which NumPy does on many elements at once: some 30 s


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
    """The outputs by name, in order. Raises TooLarge for what would take minutes, else what the levels raise."""
    main = main_of(module)
    if isinstance(main, FuncOp):
        if (count := elements(main, inputs)) > MOST_ELEMENTS:
            raise TooLarge(f"its computes take {count:.1e} scalar operations, too many for NumPy")
        return evaluate_function(module, inputs)
    arrays = [np.asarray(inputs[name]) for name in inputs_of(module)]
    symbols = bind_sizes(list(inputs_of(module).values()), arrays, list(inputs_of(module)))  # pyright: ignore[reportArgumentType]
    if (count := steps(main, symbols)) > MOST_STEPS:
        raise TooLarge(f"its loops have {count:.1e} steps, too many to interpret")
    return evaluate_program(module, inputs)


def guess(expr: Expr, symbols: Mapping[str, int]) -> int:
    """The value of a size; symbols that become known only in a run are taken to be small."""
    return int(expr.evaluate(symbols={**dict.fromkeys(expr.symbols, 8), **symbols}))


def elements(main: FuncOp, inputs: Mapping[str, Array]) -> float:
    """How many scalar operations a run evaluates in computes. Raises InputError for sizes that are not as declared."""
    names = names_of(main.arg_attrs, len(main.body.block.args), "input_")
    types = [a.type for a in main.body.block.args if isinstance(a.type, TensorType)]
    return _elements(main, bind_symbols(types, [np.asarray(inputs[name]) for name in names], names))


def _elements(function: FuncOp, symbols: Mapping[str, int]) -> float:
    total = 0.0
    for op in function.body.block.ops:
        if isinstance(op, WithBody):
            sizes = [max(0.0, float(guess(s, symbols))) for s in op.sizes]
            points = prod(sizes) + (STEP * prod(sizes[op.rank :]) if isinstance(op, Update) else 0)
            total += points * sum(1 for inner in op.walk() if inner is not op)
        for body in called(op):
            rows = op.rows if isinstance(op, control.Loop) else ONE
            total += float(8 if rows is None else guess(rows, symbols)) * _elements(body, symbols)
    return total


def steps(program: Program, symbols: Mapping[str, int]) -> float:
    """About how many operations a run interprets: a bound that depends on loops around it counts as in their first
    iteration."""
    return _program_steps(program.body.block, symbols)


def _program_steps(block: Block, symbols: Mapping[str, int]) -> float:
    total = 0.0
    for op in block.ops:
        if isinstance(op, Call):
            kernel = op.find()
            values = {name: guess(e, symbols) for name, e in op.bound(kernel).items()}
            total += _steps(kernel.body.block, values)
        for region in op.regions:
            bound = op.bound.data if isinstance(op, While) and op.bound is not None else ONE
            total += float(guess(bound, symbols)) * _program_steps(region.block, symbols)
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
