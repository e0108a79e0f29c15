"""What the classifiers and regressors of ai.onnx.ml share: transforms of scores, and labels of classes."""

from __future__ import annotations

import math

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import Expr
from .bodies import Body
from .builder import Value
from .node import Node
from .rules_control import Steps
from .terms import Term, number

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")  # by the number that TreeEnsemble gives them
NEGLIGIBLE = 1e-7  # SOFTMAX_ZERO takes a score between minus and plus this for none


def matrix(n: Node, x: Value) -> Value:
    """x as rows of features; a vector is one row."""
    if x.rank == 1:
        return n.reshape(x, [1, x.sizes[0]])
    if x.rank != 2:
        raise ModelError(f"its input has {x.rank} dimensions, expected rows of features")
    return x


def transformed(n: Node, scores: Value, transform: str) -> Value:
    """Scores [rows, classes] after `post_transform`."""
    match transform:
        case "NONE":
            return scores
        case "LOGISTIC":
            return n.emit("Sigmoid", scores)
        case "SOFTMAX":
            return n.emit("Softmax", scores, axis=-1)
        case "SOFTMAX_ZERO":
            return softmax_zero(n, scores)
        case "PROBIT":
            return probit(n, scores)
        case _:
            raise ModelError(f"post_transform is {transform!r}")


def softmax_zero(n: Node, scores: Value) -> Value:
    """A softmax over the scores that are not 0; those that are stay 0."""
    given = n.emit("Greater", n.emit("Abs", scores), n.like(NEGLIGIBLE, scores))
    most = n.emit("ReduceMax", scores, axes=[1], keepdims=True)
    exponential = n.emit("Exp", n.emit("Sub", scores, most))
    zeros = n.emit("Mul", scores, n.emit("Exp", n.emit("Neg", most)))
    total = n.emit("ReduceSum", n.emit("Where", given, exponential, n.like(0, scores)), axes=[1], keepdims=True)
    return n.emit("Div", n.emit("Where", given, exponential, zeros), total)


def probit(n: Node, scores: Value) -> Value:
    """sqrt(2) * erfinv(2 x - 1), with Winitzki's approximation of erfinv, as ONNX's reference and ONNX Runtime have it:
    its constants are part of the result. https://sites.google.com/site/winitzki/sergei-winitzkis-files"""
    y = n.emit("Sub", n.emit("Mul", scores, n.like(2, scores)), n.like(1, scores))
    one = n.like(1, y)
    log = n.emit("Log", n.emit("Mul", n.emit("Sub", one, y), n.emit("Add", one, y)))
    half = n.emit("Add", n.emit("Mul", log, n.like(0.5, y)), n.like(2 / (3.14159 * 0.147), y))
    inner = n.emit("Sub", n.emit("Mul", half, half), n.emit("Mul", log, n.like(1 / 0.147, y)))
    root = n.emit("Sqrt", n.emit("Sub", n.emit("Sqrt", inner), half))
    signed = n.emit("Where", n.emit("Less", y, n.like(0, y)), n.emit("Neg", root), root)
    return n.emit("Mul", signed, n.like(math.sqrt(2), y))


def class_labels(n: Node, ints: str, strings: str) -> list[int] | list[str]:
    """The labels of the classes. Raises ModelError when there are none, or both kinds."""
    numbers, names = n.attr(ints, []), n.attr(strings, [])
    if bool(numbers) == bool(names):
        raise ModelError(f"one of {ints} and {strings} must be given")
    return numbers or names


def labelled(n: Node, chosen: Value, labels: list[int] | list[str]) -> Value | None:
    """The labels at these positions; None when nobody asks for them."""
    if not n.wants(0):
        return None
    if isinstance(labels[0], str):
        raise UnsupportedError(
            "its labels are strings, which ircc cannot compute with", hint="export it with integer labels"
        )
    return n.emit("Gather", n.constant(labels, np.int64), chosen, axis=0)


def best(n: Node, scores: Value) -> Value:
    """The position of the first greatest score of each row."""
    return n.emit("ArgMax", scores, axis=1, keepdims=False, select_last_index=False)


def both_classes(n: Node, score: Value, complement: str) -> Value:
    """The scores of both classes where there is one of the second: as `1 - s` or `-s` before it."""
    other = n.emit("Neg", score) if complement == "negated" else n.emit("Sub", n.like(1, score), score)
    return n.emit("Concat", [other, score], axis=1)


def above(n: Node, score: Value, threshold: float) -> Value:
    """1 where the only score of a row is above, else 0: the position of a class."""
    rows: Expr = score.sizes[0]
    return n.cast(n.emit("Greater", n.reshape(score, [rows]), n.like(threshold, score)), np.int64)


ROUNDS, CLOSE = 100, 0.005  # of coupling: at most, and how near it must come
SURE = 1e-7  # a probability of one of two classes is not nearer to 0 or 1


def coupled(n: Node, ratios: Term) -> Value:
    """Probabilities of classes [rows, k] from those of i against j [rows, k, k] (0 for i = j), after Wu, Lin and Weng
    (Probability estimates for multi-class classification by pairwise coupling, 2004, algorithm 2), as libsvm has it:
    rounds of exact minimisation over one probability after the other, until all are near."""
    rows, count, _ = ratios.sizes
    k = int(count)
    unit = number(n, np.eye(k), ratios.dtype)
    other = ratios.transpose(0, 2, 1)
    start = ratios.like(1 / k).expand(rows, k)
    steps = Steps(n, Body(n.builder, f"{n.name}.coupling"), Expr.const(ROUNDS))
    matrix = unit * (other * other).sum(2, keepdims=True) - other * ratios
    states = [steps.state(t.value) for t in (matrix, start)]
    q, p = (Term(n.within(steps.body.builder), s) for s in states)
    one = number(p.node, np.eye(k), p.dtype)
    qp = (q * p.unsqueeze(1)).sum(2)
    pqp = (p * qp).sum(1, keepdims=True)
    near = (qp - pqp).emit("Abs").max(1, keepdims=True).lt(CLOSE / k)
    new = p
    for i in range(k):
        row = q.at(1, i)
        own = row.part(1, i, 1)
        diff = (pqp - qp.part(1, i, 1)) / own
        scale = 1 + diff
        pqp = (pqp + diff * (diff * own + 2 * qp.part(1, i, 1))) / scale / scale
        qp, new = (qp + diff * row) / scale, (new + one.at(0, i) * diff) / scale
    (_, found), _ = steps.finish([q.value, near.where(p, new).value], [])
    return found
