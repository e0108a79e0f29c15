"""Decision trees: a fixed number of steps from node to node, by reads whose index is what was read before."""

from __future__ import annotations

from functools import reduce

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from ...dialects.graph import trees as graph
from ...dialects.graph.base import GraphOp
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import Expr
from .rules import Emitter, lowers, type_of

AT_ONCE = 16  # steps in one compute: bodies stay short however deep the trees are


def compared(rule: Scalar | None, modes: tuple[int, ...], x: Scalar, threshold: Scalar) -> Scalar:
    """Whether x goes to the true branch, by the only mode there is or by the node's own; never for NaN."""

    def by(mode: int) -> Scalar:
        if graph.COMPARISONS[mode] == "ne":
            return x.lt(threshold) | x.gt(threshold)
        return getattr(x, graph.COMPARISONS[mode])(threshold)

    if rule is None or len(modes) == 1:
        return by(modes[0])
    own = rule & graph.MODE
    return reduce(lambda found, mode: own.eq(mode).where(by(mode), found), modes[1:], by(modes[0]))


@lowers(graph.TreeLeaves)
def tree_leaves(op: GraphOp, emit: Emitter) -> SSAValue:
    x, features, thresholds, rules, children, roots = op.operands
    out, modes, tracks = type_of(op.results[0]), op.get("modes") or (0,), op.get("tracks")

    def walk(start: SSAValue, steps: int) -> SSAValue:
        def body(b: Body, row: Expr, tree: Expr) -> Scalar:
            node = b.read(start, tree) if start == roots else b.read(start, row, tree)
            for _ in range(steps):
                i = b.as_index(node)
                value = b.read(x, row, b.as_index(b.read(features, i)))
                rule = b.read(rules, i) if tracks or len(modes) > 1 else None
                holds = compared(rule, modes, value, b.read(thresholds, i))
                if tracks and rule is not None:
                    holds = holds | (value.is_nan() & rule.ge(graph.TRACKS))
                node = b.read(children, i, b.as_index(holds.cast(i32)))
            return node

        return emit.compute(out.sizes, body, i32)

    found, left = roots, op.get("steps")
    while left > 0 or found == roots:
        found = walk(found, min(left, AT_ONCE))
        left -= AT_ONCE
    return found
