"""Rules of operators that are formulas, or loops of formulas, of their own: caches, determinants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...errors import ModelError
from ...ir.expr import Expr, product
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


# ---- matrices


def det(n: Node) -> Value:
    """The product of the pivots of Gaussian elimination with row exchanges."""
    x = term(n, 0)
    matrix, lead = square(x)
    total = matrix.like(1.0).expand(*matrix.sizes[:1])
    return reduced(matrix, total, matrix.sizes[1], eliminated)[1].reshape(*lead).cast(x.dtype).value


def inverse(n: Node) -> Value:
    """Gauss-Jordan elimination with row exchanges: what makes x the unit matrix makes the unit matrix its inverse."""
    x = term(n, 0)
    matrix, lead = square(x)
    count, rows, _ = matrix.sizes
    unit = iota(n, rows).eq(iota(n, rows, axis=0, rank=2)).where(matrix.like(1.0), 0.0)
    both = concat([matrix, unit.expand(count, rows, rows)], 2)
    both, _ = reduced(both, matrix.like(1.0).expand(count), rows, cleared)
    return both.part(2, rows, rows).reshape(*lead, rows, rows).cast(x.dtype).value


def square(x: Term) -> tuple[Term, Sequence[Expr]]:
    """Square matrices as [count, rows, rows], and the axes before. Raises ModelError where they are none."""
    if x.rank < 2:
        raise ModelError(f"its input has {x.rank} dimensions, fewer than 2")
    *lead, rows, columns = x.sizes
    x.node.builder.same(rows, columns, f"{x.node.operator}: a matrix is not square")
    return x.wide().part(-1, 0, rows).reshape(product(lead), rows, rows), lead


Step = Callable[[Term, Term, Term], tuple[Term, Term]]


def reduced(matrix: Term, total: Term, rows: Expr, step: Step) -> tuple[Term, Term]:
    """`step` for each row in turn; written out where there are few."""
    n = matrix.node
    if (known := rows.constant) is not None and known <= UNROLLED:
        for i in range(known):
            matrix, total = step(matrix, total, number(n, i, np.int64))
        return matrix, total
    steps = Steps(n, Body(n.builder, f"{n.name}.{n.operator.lower()}"), rows)
    states = [steps.state(t.value) for t in (matrix, total)]
    inside = n.within(steps.body.builder)
    now = size(inside, Expr.symbol(steps.symbol))
    after = step(Term(inside, states[0]), Term(inside, states[1]), now)
    (matrix_, total_), _ = steps.finish([t.value for t in after], [])
    return Term(n, matrix_), Term(n, total_)


def cleared(matrix: Term, total: Term, i: Term) -> tuple[Term, Term]:
    """Column i made 0 but for a 1 on the diagonal."""
    n = matrix.node
    line = iota(n, matrix.sizes[1])
    matrix, _, pivot, new = exchanged_rows(matrix, i)
    new = new / pivot.unsqueeze(2)
    factor = line.eq(i).where(0.0, matrix.emit("Gather", i, axis=2))
    return line.eq(i).unsqueeze(1).where(new, matrix - factor.unsqueeze(2) * new), total


def eliminated(matrix: Term, total: Term, i: Term) -> tuple[Term, Term]:
    """Column i below the diagonal made 0, after the row with its greatest element has come to row i; `total` times the
    pivot, and -1 where rows were exchanged."""
    n, lead = matrix.node, matrix.rank - 2
    line = iota(n, matrix.sizes[-2])
    matrix, chosen, pivot, new = exchanged_rows(matrix, i)
    factor = matrix.emit("Gather", i, axis=lead + 1) / pivot
    factor = (line.gt(i) & ~pivot.eq(0.0)).where(factor, 0.0)
    matrix = matrix - factor.unsqueeze(lead + 1) * new
    sign = chosen.eq(i).where(pivot, -pivot).reshape(*total.sizes)
    return matrix, total * sign


def exchanged_rows(matrix: Term, i: Term) -> tuple[Term, Term, Term, Term]:
    """The matrices with the row, of those from i on, that has the greatest element in column i as row i; which one
    that was [.., 1], the element [.., 1], the row [.., 1, columns]."""
    n, lead = matrix.node, matrix.rank - 2
    line = iota(n, matrix.sizes[-2])
    column = matrix.emit("Gather", i, axis=lead + 1)
    size_ = line.ge(i).where(column.emit("Abs"), -1.0)
    chosen = size_.emit("ArgMax", axis=lead, keepdims=False).unsqueeze(lead)  # [.., 1]
    first, exchanged = line.eq(i), line.eq(chosen)
    old = matrix.emit("Gather", i, axis=lead).unsqueeze(lead)
    new = exchanged.unsqueeze(lead + 1).where(matrix, 0.0).sum(lead, keepdims=True)  # the chosen row
    matrix = exchanged.unsqueeze(lead + 1).where(old, matrix)
    matrix = first.unsqueeze(1).where(new, matrix)
    return matrix, chosen, new.emit("Gather", i, axis=lead + 1), new


RULES: Mapping[str, Rule] = {"CausalConvWithState": causal_conv, "Det": det}
