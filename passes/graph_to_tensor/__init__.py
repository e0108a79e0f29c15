"""The pass `graph-to-tensor`: each ONNX operator as structured computations, a rule per operator."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ...dialects.graph.base import GraphOp
from ...errors import Error, Issue, UnsupportedError
from ...ir.nodes import nodes_of
from ...ir.operands import walk
from ...ir.passes import Pass
from . import contraction, elementwise, indexing, movement, normalization, pooling, reduction, resize, trees
from .rules import REFUSALS, RULES, Emitter

__all__ = ["FAMILIES", "GraphToTensor", "supported"]

# their rules are entered when they are imported
FAMILIES = (elementwise, movement, contraction, pooling, reduction, normalization, indexing, resize, trees)


@dataclass(frozen=True)
class GraphToTensor(Pass):
    """Replace every operator of the graph dialect by `tensor.compute` and `tensor.constant`.

    Raises UnsupportedError that lists all operators without a rule; the module is then as it was."""

    name = "graph-to-tensor"

    def run(self, module: ModuleOp) -> bool:
        operators = [op for op in walk(module) if isinstance(op, GraphOp)]
        issues = [issue(op, why) for op in operators if (why := supported(op)) is not None]
        if issues:
            raise UnsupportedError(issues=issues)
        for op in operators:
            lower(op)
        return bool(operators)


def supported(op: GraphOp) -> str | None:
    """None if `op` can be lowered, else the reason why not."""
    if type(op) not in RULES:
        return f"{type(op).__name__} cannot be compiled yet"
    why = REFUSALS.get(type(op))
    return why(op) if why else None


def issue(op: GraphOp, reason: str) -> Issue:
    """What cannot be compiled, for a report."""
    return Issue(", ".join(nodes_of(op)), type(op).__name__, 0, reason)


def lower(op: GraphOp) -> None:
    """Replace one operator by what its rule makes. Raises Error, placed at the operator's node."""
    try:
        made = RULES[type(op)](op, Emitter(op))
    except Error as error:
        raise error.at(", ".join(nodes_of(op)) or None, type(op).__name__) from None
    values = [made] if isinstance(made, SSAValue) else list(made)
    for result, value in zip(op.results, values, strict=True):
        assert value.type == result.type, f"{op.name}: {value.type} for {result.type}"
        if result.name_hint and not value.name_hint:
            value.name_hint = result.name_hint
        result.replace_all_uses_with(value)
    op.detach()
    op.erase()
