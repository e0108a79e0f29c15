"""Rules of operators along axes: reductions, extremes, running sums, and normalisations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import ModelError
from ...ir.expr import Expr
from . import late
from .builder import Value
from .node import Node, Result, Rule
from .rules_shape import flat, normal, numbers_of
from .terms import term


def reduction(operator: str) -> Rule:
    """Without axes all are reduced, or none with `noop_with_empty_axes`."""

    def rule(n: Node) -> Value:
        x, axes, keepdims = n.input(0), n.axes(1), bool(n.attr("keepdims", 1))
        if axes and late.is_late(axes):
            return reduced_late(n, operator, axes, keepdims)
        if axes:
            numbers = normal(numbers_of(axes, "the axes"), x.rank)
        else:  # a reduction over no axes is still taken of each element: |x|, x * x ...
            numbers = [] if n.attr("noop_with_empty_axes", 0) else list(range(x.rank))
        return n.emit(operator, x, axes=numbers, keepdims=keepdims)

    return rule


def reduced_late(n: Node, operator: str, axes: list[Expr], keepdims: bool) -> Value:
    """Over axes that are data: each dimension becomes two, what is kept and what is reduced, and one of them is 1."""
    x = n.input(0)
    chosen = late.flags(n, axes, x.rank)
    parts = late.parted(n, x, chosen)
    found = n.emit(operator, parts, axes=list(range(1, 2 * x.rank, 2)), keepdims=False)
    return found if keepdims else n.reshape(found, late.without(n, x.sizes, chosen, len(axes)))


def extreme(operator: str) -> Rule:
    def rule(n: Node) -> Value:
        flags = {k: bool(n.attr(k, d)) for k, d in (("keepdims", 1), ("select_last_index", 0))}
        return n.emit(operator, n.input(0), axis=n.attr("axis", 0), **flags)

    return rule


def running(operator: str) -> Rule:
    def rule(n: Node) -> Value:
        x, axes = n.input(0), n.sizes(1, "the axis")
        flags = {k: bool(n.attr(k, 0)) for k in ("exclusive", "reverse")}
        if not late.is_late(axes):
            (axis,) = numbers_of(axes, "the axis")
            return n.emit(operator, x, axis=axis, **flags)
        rows = late.around(n, x, late.flags(n, axes, x.rank))
        return n.reshape(n.emit(operator, rows, axis=1, **flags), x.sizes)

    return rule


def top_k(n: Node) -> Result:
    k = n.sizes(1, "k") if n.opset >= 10 else [n.required("k")]
    if len(k) != 1:
        raise ModelError(f"k has {len(k)} elements, not one")
    flags = {name: bool(n.attr(name, 1)) for name in ("largest", "sorted")}
    (size,) = n.named([Expr.of(k[0])], "k")
    return n.emit_all("TopK", n.input(0), k=size, axis=n.attr("axis", -1), **flags)


def softmax(operator: str) -> Rule:
    """Before opset 13 all axes from `axis` on are normalised together."""

    def rule(n: Node) -> Value:
        x = n.input(0)
        if n.opset >= 13:
            return n.emit(operator, x, axis=n.attr("axis", -1))
        axis = n.attr("axis", 1)
        rows = flat(x, axis)
        if rows[1] == x.sizes[-1]:
            return n.emit(operator, x, axis=-1)
        return n.reshape(n.emit(operator, n.reshape(x, rows), axis=-1), x.sizes)

    return rule


# ---- normalisations


def batch_normalization(n: Node) -> Result:
    """In training the statistics are those of the batch, and running ones are further results."""
    x = term(n, 0)
    trained = n.attr("training_mode", 0) if n.opset >= 14 else n.opset < 7 and not n.attr("is_test", 0)
    trained = trained or any(n.wants(i) for i in range(1, len(n.outputs)))
    alone = n.opset < 9 and not n.attr("spatial", 1)  # statistics of each element over the batch
    if not trained and not alone:
        return n.emit("BatchNormalization", *n.inputs[:5], epsilon=n.attr("epsilon", 1e-5))
    parameters = [term(n, i) for i in range(1, 5)]
    element = np.float64 if np.dtype(np.float64) in [t.dtype for t in (x, *parameters)] else np.float32
    shape = list(x.sizes[1:] if alone else [x.sizes[1], *[1] * (x.rank - 2)])
    scale, bias, mean, variance = (t.cast(element).reshape(*shape) for t in parameters)
    wide, axes = x.cast(element), [0] if alone else [0, *range(2, x.rank)]
    running = [mean, variance]
    if trained:
        mean = wide.mean(*axes).reshape(*shape)
        variance = ((wide - mean) * (wide - mean)).mean(*axes).reshape(*shape)
        momentum = n.attr("momentum", 0.9)
        found = zip(running, (mean, variance), strict=True)
        running = [old * momentum + new * (1 - momentum) for old, new in found]
    y = (wide - mean) / (variance + n.attr("epsilon", 1e-5)).emit("Sqrt") * scale + bias
    given = parameters[2]
    statistics = [*running, mean, variance]  # the last two until opset 13
    results = [t.reshape(*given.sizes).cast(given.dtype).value for t in statistics]
    return [y.cast(x.dtype).value, *results[: len(n.outputs) - 1]]


def instance_normalization(n: Node) -> Value:
    return n.emit("InstanceNormalization", *n.inputs, epsilon=n.attr("epsilon", 1e-5))


def layer_normalization(n: Node) -> Result:
    """Its mean and the reciprocal of its deviation are formulas of their own, for those that ask for them."""
    axis, epsilon = n.attr("axis", -1), n.attr("epsilon", 1e-5)
    y = n.emit("LayerNormalization", n.input(0), n.input(1), n.optional(2), axis=axis, epsilon=epsilon)
    if not n.wants(1) and not n.wants(2):
        return y
    x = term(n, 0).cast(np.float32)  # stash_type 1, the only one that there is
    axes = range(normal([axis], x.rank)[0], x.rank)
    mean = x.mean(*axes, keepdims=True)
    variance = ((x - mean) * (x - mean)).mean(*axes, keepdims=True)
    return y, mean.value, (1.0 / (variance + epsilon).emit("Sqrt")).value


def mean_variance_normalization(n: Node) -> Value:
    """The body takes the square of the mean off the mean of squares, which rounds to less than 0 where a row is
    constant: this is the formula of its text, which does not."""
    given = term(n, 0)
    x = given.cast(np.float64 if given.dtype == np.float64 else np.float32)
    centred = x - x.mean(*(axes := normal(n.attr("axes", [0, 2, 3]), x.rank)), keepdims=True)
    deviation = (centred * centred).mean(*axes, keepdims=True).emit("Sqrt")
    return (centred / (deviation + 1e-9)).cast(given.dtype).value


def rms_normalization(n: Node) -> Value:
    return n.emit("RMSNormalization", *n.inputs, axis=n.attr("axis", -1), epsilon=n.attr("epsilon", 1e-5))


def lp_normalization(n: Node) -> Value:
    return n.emit("LpNormalization", n.input(0), axis=n.attr("axis", -1), p=n.attr("p", 2))


def lrn(n: Node) -> Value:
    values = {"alpha": n.attr("alpha", 0.0001), "beta": n.attr("beta", 0.75), "bias": n.attr("bias", 1.0)}
    return n.emit("LRN", n.input(0), size=n.required("size"), **values)


REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

RULES: Mapping[str, Rule] = {
    **{f"Reduce{kind}": reduction(f"Reduce{kind}") for kind in REDUCTIONS.split()},
    **{operator: softmax(operator) for operator in ("Hardmax", "LogSoftmax", "Softmax")},
    "ArgMax": extreme("ArgMax"),
    "ArgMin": extreme("ArgMin"),
    "BatchNormalization": batch_normalization,
    "CumProd": running("CumProd"),
    "CumSum": running("CumSum"),
    "InstanceNormalization": instance_normalization,
    "LRN": lrn,
    "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
    "TopK": top_k,
}
