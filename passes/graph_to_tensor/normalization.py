"""Operators that scale by statistics: the statistics as reductions, then one elementwise compute."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import math
from xdsl.dialects.builtin import f32, f64
from xdsl.ir import Attribute, SSAValue

from ...dialects.graph import normalization as graph
from ...dialects.graph.base import GraphOp, normal_axis
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import Expr
from .pooling import powered, rooted
from .reduction import mean, position, reduced
from .rules import Emitter, broadcast_read, element_type, lowers, sizes_of, type_of, wide, widened


def axis_of(op: GraphOp) -> list[int]:
    """The axis of an operator along one axis; none for a scalar."""
    rank = type_of(op.operands[0]).rank
    return [normal_axis(op.get("axis"), rank)] if rank else []


@lowers(graph.Softmax)
def softmax(op: GraphOp, emit: Emitter) -> SSAValue:
    x, out, axes = op.operands[0], type_of(op.results[0]), axis_of(op)
    element = wide(out.element_type)
    greatest = reduced(emit, x, axes, "max", element)
    exponentials = emit.elementwise(out.sizes, out.element_type, lambda x, m: (x - m).math(math.ExpOp), x, greatest)
    if element != out.element_type:  # ONNX rounds the sum and the quotient, where roundings are coarse
        total = emit.cast(reduced(emit, exponentials, axes, "add", element), out.element_type)
        return emit.elementwise(out.sizes, out.element_type, lambda e, t: e / t, exponentials, total)
    # one division per line: the sum is at least 1, so nothing is lost but a rounding
    share = reduced(emit, exponentials, axes, "add", element, lambda e: e, lambda total: 1.0 / total)
    return emit.elementwise(out.sizes, out.element_type, lambda e, s: e * s, exponentials, share)


@lowers(graph.LogSoftmax)
def log_softmax(op: GraphOp, emit: Emitter) -> SSAValue:
    x, out, axes = op.operands[0], type_of(op.results[0]), axis_of(op)
    element = wide(out.element_type)
    greatest = reduced(emit, x, axes, "max", element)
    logarithm = reduced(
        emit, x, axes, "add", element,
        lambda x, m: (x - m).math(math.ExpOp), lambda t, _: t.math(math.LogOp), others=[greatest],
    )  # fmt: skip
    return emit.elementwise(out.sizes, out.element_type, lambda x, m, t: x - m - t, x, greatest, logarithm)


@lowers(graph.Hardmax)
def hardmax(op: GraphOp, emit: Emitter) -> SSAValue:
    x, out, axes = op.operands[0], type_of(op.results[0]), axis_of(op)
    if not axes:
        return emit.compute([], lambda b: b.constant(1, out.element_type), out.element_type)
    (axis,) = axes
    best = position(emit, x, axis, "max")

    def body(b: Body, *dims: Expr) -> Scalar:
        chosen = broadcast_read(b, best, dims, out.sizes).eq(b.from_index(dims[axis]))
        return chosen.where(b.constant(1, out.element_type), 0)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(graph.LpNormalization)
def lp_normalization(op: GraphOp, emit: Emitter) -> SSAValue:
    x, out, p = op.operands[0], type_of(op.results[0]), op.get("p")
    norm = reduced(
        emit, x, axis_of(op), "add", wide(out.element_type), lambda x: powered(x, p), lambda total: rooted(total, p)
    )
    return emit.elementwise(
        out.sizes, out.element_type, lambda x, n: n.eq(0).where(n.body.constant(0, n.element), x / n), x, norm
    )


@lowers(graph.LRN)
def lrn(op: GraphOp, emit: Emitter) -> SSAValue:
    x, out = op.operands[0], type_of(op.results[0])
    size, alpha, beta, bias = (op.get(n) for n in ("size", "alpha", "beta", "bias"))
    element = wide(out.element_type)

    def body(b: Body, *dims: Expr) -> Scalar:
        n, c, *space, k = dims
        value = widened(b.read(x, n, c + k - (size - 1) // 2, *space, otherwise=0))
        return value * value

    def finish(b: Body, *given: Expr | Scalar) -> Scalar:
        *dims, total = given
        assert isinstance(total, Scalar)
        value = widened(b.read(x, *dims))  # pyright: ignore[reportArgumentType]
        return value / (total * (alpha / size) + bias).math(math.PowFOp, beta)

    found = emit.compute(out.sizes, body, element, reduce=[size], combine="add", finish=finish)
    return emit.cast(found, out.element_type)


# ---- mean and variance


def common(*values: SSAValue) -> Attribute:
    """The element type of arithmetic on floats of these types."""
    return f64 if any(element_type(v) == f64 for v in values) else f32


def per_channel(emit: Emitter, vector: SSAValue, rank: int) -> SSAValue:
    """`[C]` as `[C, 1...]`, which broadcasts along axis 1 of a tensor of this rank."""
    ones = [Expr.const(1)] * (rank - 2)
    return emit.move([sizes_of(vector)[0], *ones], vector, lambda c, *_: [c]) if ones else vector


@lowers(graph.BatchNormalization)
def batch_normalization(op: GraphOp, emit: Emitter) -> SSAValue:
    """(x - mean) * factor + bias; the factor, of constants, is folded."""
    (x, scale, bias, mean, variance), out = op.operands, type_of(op.results[0])
    element, epsilon = common(*op.operands), op.get("epsilon")
    factor = emit.elementwise(
        sizes_of(scale),
        element,
        lambda s, v: s.cast(element) / (v.cast(element) + epsilon).math(math.SqrtOp),
        scale,
        variance,
    )

    def body(b: Body, *dims: Expr) -> Scalar:
        m, f, a = (widened(b.read(v, dims[1])).cast(element) for v in (mean, factor, bias))
        return ((widened(b.read(x, *dims)).cast(element) - m) * f + a).cast(out.element_type)

    return emit.compute(out.sizes, body, out.element_type)


def standardized(
    op: GraphOp, emit: Emitter, axes: Sequence[int], element: Attribute, scale: SSAValue, bias: SSAValue | None
) -> SSAValue:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias with statistics over axes, in two passes."""
    x, out, epsilon = op.operands[0], type_of(op.results[0]), op.get("epsilon")
    average = mean(emit, x, axes, element, lambda x: x.cast(element))

    def deviation(x: Scalar, m: Scalar) -> Scalar:
        centred = x.cast(element) - m
        return centred * centred

    factor = inverse_root(emit, mean(emit, x, axes, element, deviation, average), epsilon)

    def body(x: Scalar, m: Scalar, f: Scalar, s: Scalar, a: Scalar | None) -> Scalar:
        found = (x.cast(element) - m) * f * s.cast(element)
        return found if a is None else found + a.cast(element)

    return emit.elementwise(out.sizes, out.element_type, body, x, average, factor, scale, bias)


def inverse_root(emit: Emitter, variance: SSAValue, epsilon: float) -> SSAValue:
    """1 / sqrt(variance + epsilon): to divide once per line. What a root divides may be multiplied by its inverse,
    which is finite but for 0."""
    return emit.elementwise(
        sizes_of(variance), element_type(variance), lambda v: 1.0 / (v + epsilon).math(math.SqrtOp), variance
    )


@lowers(graph.InstanceNormalization)
def instance_normalization(op: GraphOp, emit: Emitter) -> SSAValue:
    rank = type_of(op.operands[0]).rank
    scale, bias = (per_channel(emit, v, rank) for v in op.operands[1:])
    return standardized(op, emit, range(2, rank), common(*op.operands), scale, bias)


@lowers(graph.LayerNormalization)
def layer_normalization(op: graph.FromAxis, emit: Emitter) -> SSAValue:
    _, scale, bias = op.inputs
    assert scale is not None
    return standardized(op, emit, op.axes(), common(*op.operands), scale, bias)


@lowers(graph.RMSNormalization)
def rms_normalization(op: graph.FromAxis, emit: Emitter) -> SSAValue:
    (x, scale), out, epsilon = op.operands, type_of(op.results[0]), op.get("epsilon")
    factor = inverse_root(emit, mean(emit, x, op.axes(), wide(out.element_type), lambda x: x * x), epsilon)
    return emit.elementwise(out.sizes, out.element_type, lambda x, f, s: x * f * s, x, factor, scale)
