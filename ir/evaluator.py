"""The reference evaluator: runs a module in NumPy, operation by operation.

An operation joins by a method `interpret(env)`. Constant folding, the tests and the numeric check between passes
share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from ..errors import InputError, IRError
from .expr import Expr, ExprLike
from .types import Check, TensorType

Array = np.ndarray[Any, Any]


@dataclass
class Environment:
    """What is known in a run: arrays by value, and the numbers that size symbols stand for."""

    symbols: dict[str, int] = field(default_factory=dict[str, int])
    values: dict[SSAValue, Any] = field(default_factory=dict[SSAValue, Any])

    def size(self, expr: ExprLike) -> int:
        """The value of a size expression."""
        return int(Expr.of(expr).evaluate(symbols=self.symbols))


@runtime_checkable
class Interpretable(Protocol):
    """An operation with a reference meaning."""

    def interpret(self, env: Environment) -> None:
        """Set `env.values` of the results from those of the operands."""
        ...


def main_function(module: ModuleOp) -> FuncOp:
    """The function that a graph or tensor module computes. Raises IRError without one."""
    for op in module.body.ops:
        if isinstance(op, FuncOp):
            return op
    raise IRError("the module has no func.func")


def names_of(attrs: ArrayAttr[DictionaryAttr] | None, count: int, prefix: str) -> list[str]:
    """The model's names of a function's arguments or results: their `ircc.name`, else prefix and position."""
    given = list(attrs) if attrs is not None else [DictionaryAttr({})] * count
    names = [d.data.get("ircc.name") for d in given]
    return [n.data if isinstance(n, StringAttr) else f"{prefix}{i}" for i, n in enumerate(names)]


def bind_symbols(types: Sequence[TensorType], arrays: Sequence[Array], names: Sequence[str]) -> dict[str, int]:
    """The numbers that symbols take for these inputs.

    Raises InputError where a size is not as declared, or where a symbol stands nowhere alone."""
    symbols: dict[str, int] = {}
    later: list[tuple[str, int, Expr, int]] = []
    for type_, array, name in zip(types, arrays, names, strict=True):
        if len(array.shape) != type_.rank:
            raise InputError(f"input {name!r} has rank {array.ndim}, expected {type_.rank}")
        for i, (size, actual) in enumerate(zip(type_.sizes, array.shape, strict=True)):
            if size.symbols and size == Expr.symbol(next(iter(size.symbols))):
                symbols.setdefault(next(iter(size.symbols)), actual)
            later.append((name, i, size, actual))
    for name, i, size, actual in later:
        if unknown := size.symbols - symbols.keys():
            raise InputError(f"input {name!r}: no input says what {', '.join(sorted(unknown))} is")
        if size.evaluate(symbols=symbols) != actual:
            raise InputError(f"input {name!r}: dimension {i} is {actual}, expected {size}")
    return symbols


def run_checks(checks: Any, symbols: Mapping[str, int], new: Iterable[str] | None = None) -> None:
    """Raise InputError for the first size check that does not hold, of those whose symbols are known.

    With `new`, only those that name one of these symbols are asked."""
    for check in checks or ():
        assert isinstance(check, Check)
        used = check.expr.data.symbols
        asked = used <= symbols.keys() and (new is None or used.intersection(new))
        if asked and check.expr.data.evaluate(symbols=symbols) != 0:
            raise InputError(check.message.data)


def interpret_block(ops: Sequence[Operation], env: Environment) -> None:
    """Interpret operations in order. Raises IRError for one without a meaning."""
    for op in ops:
        if not isinstance(op, Interpretable):
            raise IRError(f"{op.name} has no reference meaning")
        op.interpret(env)


def call(function: FuncOp, arguments: Sequence[Array], symbols: Mapping[str, int]) -> list[Array]:
    """The results of a function. Raises InputError for the first of its size checks that does not hold."""
    env = Environment(dict(symbols), dict(zip(function.body.block.args, arguments, strict=True)))
    run_checks(function.attributes.get("ircc.checks"), env.symbols)
    *ops, last = function.body.block.ops
    assert isinstance(last, ReturnOp)
    interpret_block(ops, env)
    return [env.values[v] for v in last.arguments]


def evaluate(module: ModuleOp, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a graph or tensor module by name, in order.

    Raises InputError for missing inputs or sizes that are not as declared."""
    main = main_function(module)
    args = main.body.block.args
    names = names_of(main.arg_attrs, len(args), "input_")
    missing = [n for n in names if n not in inputs]
    if missing:
        raise InputError(f"missing inputs: {', '.join(missing)}")
    arrays = [np.asarray(inputs[n]) for n in names]
    types = [a.type for a in args]
    assert all(isinstance(t, TensorType) for t in types)
    found = call(main, arrays, bind_symbols(types, arrays, names))  # pyright: ignore[reportArgumentType]
    return dict(zip(names_of(main.res_attrs, len(found), "output_"), found, strict=True))
