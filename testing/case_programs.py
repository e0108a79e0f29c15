"""The cases of graph_cases as modules of one operator, with inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp

from ..dialects.graph import BY_NAME
from ..dialects.graph.base import GraphOp
from ..ir.expr import Expr
from ..ir.types import TensorType
from .graph_cases import Case

VARIADIC = ("Concat", "Max", "Min", "Sum", "Mean", "Einsum")


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else -5, 10, shape)
    return rng.normal(0, 1.5, shape)


def substituted(value: Any, symbols: Mapping[str, int]) -> Any:
    """Sizes as numbers."""
    match value:
        case Expr():
            return Expr.of(value.evaluate(symbols=symbols))
        case TensorType():
            return TensorType.of([substituted(s, symbols) for s in value.sizes], value.element_type)
        case list():
            return [substituted(v, symbols) for v in value]
        case _:
            return value


def program(operator: type[GraphOp], operands: list[TensorType | None], properties: dict[str, Any]) -> ModuleOp:
    main = func.FuncOp("main", ([t for t in operands if t is not None], []))
    args = iter(main.body.block.args)
    values: list[Any] = [None if t is None else next(args) for t in operands]
    groups = [values] if operator.__name__ in VARIADIC else values
    groups = [values[0], values[1:]] if operator.__name__ == "Take" else groups
    op = operator.make(*groups, nodes=["node"], **properties)
    main.body.block.add_ops([op, func.ReturnOp(*op.results)])
    main.function_type = FunctionType.from_lists(main.function_type.inputs.data, [r.type for r in op.results])
    module = ModuleOp([main])
    module.verify()
    return module


def inputs_of_case(
    case: Case, rng: np.random.Generator, symbols: Mapping[str, int]
) -> tuple[list[TensorType | None], dict[str, Any]]:
    """The operands' types with numbers for sizes, and arrays for them by name."""
    types = [None if t is None else substituted(t, symbols) for t in case.operands]
    arrays: dict[str, Any] = {}
    for i, type_ in enumerate(types):
        if type_ is not None:
            draw = case.values.get(i)
            array = draw(rng, type_.static_shape) if draw else drawn(rng, type_.static_shape, type_.dtype)
            arrays[f"input_{len(arrays)}"] = np.asarray(array).astype(type_.dtype)
    return types, arrays


def program_of_case(case: Case, types: list[TensorType | None], symbols: Mapping[str, int] | None) -> ModuleOp:
    """The case's operator on operands of these types; `symbols` become numbers in its properties."""
    properties = {k.removesuffix("_"): v for k, v in case.properties.items()}
    if symbols is not None:
        properties = {k: substituted(v, symbols) for k, v in properties.items()}
    return program(BY_NAME[case.operator], types, properties)
