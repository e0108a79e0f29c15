"""Rules of operators that are formulas, or loops of formulas, of their own: caches, determinants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import ModelError
from ...ir.expr import Expr
from .bodies import Body
from .builder import Value
from .node import Node, Result, Rule
from .rules_control import Steps
from .terms import Term, concat, iota, number, size, term

UNROLLED = 4  # rows of a matrix up to which its determinant needs no loop


# ---- CausalConvWithState


def causal_conv(n: Node) -> Result:
    """A convolution of each channel by itself, of what came before and the input; what the next one needs to know."""
    x, weight, activation = term(n, 0), term(n, 1), n.attr("activation", "none")
    if x.rank != 3 or weight.rank != 3 or activation not in ("none", "silu", "swish"):
        raise ModelError(f"its inputs have {x.rank} and {weight.rank} dimensions, activation is {activation!r}")
    weight = weight.sized(0, x.sizes[1]).sized(1, 1)
    before = weight.sizes[2] - 1
    if n.has(3):
        whole = concat([term(n, 3).sized(0, x.sizes[0]).sized(1, x.sizes[1]).sized(2, before), x], 2)
    else:
        whole = x.emit("Pad", pads=[0, 0, before, 0, 0, 0])
    bias = term(n, 2) if n.has(2) else None
    if (channels := x.sizes[1].constant) and weight.sizes[2].constant is not None:
        given = None if bias is None else bias.value
        options = {"group": channels, "strides": [1], "dilations": [1], "pads": [0, 0]}
        y = Term(n, n.emit("Conv", whole.value, weight.value, given, **options))
    else:
        place = iota(n, x.sizes[2], axis=2, rank=4) + iota(n, weight.sizes[2], axis=3, rank=4)
        lines = (iota(n, x.sizes[i], axis=i, rank=4) for i in range(2))
        y = (whole.take(*lines, place).wide() * weight.wide()).sum(3)
        y = (y if bias is None else y + bias.wide().reshape(x.sizes[1], 1)).cast(x.dtype)
    if activation != "none":
        y = y * y.emit("Sigmoid")
    return y.value, whole.part(2, whole.sizes[2] - before, before).value


# ---- Det


def det(n: Node) -> Value:
    """The product of the pivots of Gaussian elimination with row exchanges."""
    x = term(n, 0)
    if x.rank < 2:
        raise ModelError(f"its input has {x.rank} dimensions, fewer than 2")
    *lead, rows, columns = x.sizes
    n.builder.same(rows, columns, "Det: a matrix is not square")
    matrix = x.wide().part(-1, 0, rows)
    total = matrix.like(1.0).expand(*lead)
    if (known := rows.constant) is not None and known <= UNROLLED:
        for i in range(known):
            matrix, total = eliminated(matrix, total, number(n, i, np.int64))
        return total.cast(x.dtype).value
    # the lead axes as one: the state of the loop
    steps = Steps(n, Body(n.builder, f"{n.name}.det"), rows)
    count = total.value.type.elements
    states = [steps.state(t.value) for t in (matrix.reshape(count, rows, rows), total.reshape(count))]
    inside = n.within(steps.body.builder)
    step = size(inside, Expr.symbol(steps.symbol))
    after = eliminated(Term(inside, states[0]), Term(inside, states[1]), step)
    (_, found), _ = steps.finish([t.value for t in after], [])
    return Term(n, found).reshape(*lead).cast(x.dtype).value


def eliminated(matrix: Term, total: Term, i: Term) -> tuple[Term, Term]:
    """Column i below the diagonal made 0, after the row with its greatest element has come to row i; `total` times the
    pivot, and -1 where rows were exchanged."""
    n, lead = matrix.node, matrix.rank - 2
    rows = matrix.sizes[-2]
    line = iota(n, rows)
    column = matrix.emit("Gather", i, axis=lead + 1)
    size_ = line.ge(i).where(column.emit("Abs"), -1.0)
    chosen = size_.emit("ArgMax", axis=lead, keepdims=False).unsqueeze(lead)  # [.., 1]
    first, exchanged = line.eq(i), line.eq(chosen)
    old = matrix.emit("Gather", i, axis=lead).unsqueeze(lead)
    new = exchanged.unsqueeze(lead + 1).where(matrix, 0.0).sum(lead, keepdims=True)  # the chosen row
    matrix = exchanged.unsqueeze(lead + 1).where(old, matrix)
    matrix = first.unsqueeze(1).where(new, matrix)
    pivot = new.emit("Gather", i, axis=lead + 1)  # [.., 1]
    factor = matrix.emit("Gather", i, axis=lead + 1) / pivot
    factor = (line.gt(i) & ~pivot.eq(0.0)).where(factor, 0.0)
    matrix = matrix - factor.unsqueeze(lead + 1) * new
    sign = chosen.eq(i).where(pivot, -pivot).reshape(*total.sizes)
    return matrix, total * sign


RULES: Mapping[str, Rule] = {"CausalConvWithState": causal_conv, "Det": det}
