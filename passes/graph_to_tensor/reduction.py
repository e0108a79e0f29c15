"""Operators along axes: reductions, positions of extremes, running sums, the greatest elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import math
from xdsl.dialects.builtin import IntegerType, Signedness, f64, i64
from xdsl.ir import Attribute, SSAValue

from ...dialects.graph import reduction as graph
from ...dialects.graph.base import GraphOp, normal_axis
from ...dialects.tensor.builder import Body, Place, Scalar
from ...ir.expr import ONE, Expr, product
from ...ir.types import is_bool, is_float, is_unsigned
from .pooling import rooted
from .rules import Emitter, broadcast_read, element_type, lowers, size_of, sizes_of, type_of, wide, widened
from .sorting import sorted_places

NO_POSITION = (1 << 63) - 1  # greater than any position
Element = Callable[..., Scalar]  # of an element and the values of `others` at its place
u8, u64 = IntegerType(8, Signedness.UNSIGNED), IntegerType(64, Signedness.UNSIGNED)


def reduced(
    emit: Emitter,
    x: SSAValue,
    axes: Sequence[int],
    combine: str,
    element: Attribute,
    body: Element = lambda x: x,
    finish: Element | None = None,
    *,
    others: Sequence[SSAValue] = (),
    keepdims: bool = True,
) -> SSAValue:
    """`body(x, *others)` combined over axes in `element`, then `finish(total, *others)`.

    What `body` gets is in the type of arithmetic. Others broadcast to x; with `finish` they have size 1 along the axes,
    which are kept."""
    sizes = sizes_of(x)
    kept = [i for i in range(len(sizes)) if i not in axes]
    if sizes and not kept and not keepdims:  # a scalar has no loop that a schedule could work with
        found = reduced(emit, x, axes, combine, element, body, finish, others=others)
        return emit.move([], found, lambda: [0] * len(sizes))
    shape = [ONE if i in axes else s for i, s in enumerate(sizes)] if keepdims else [sizes[i] for i in kept]

    def inner(b: Body, *dims: Expr) -> Scalar:
        outer = {i: dims[i] for i in kept} if keepdims else dict(zip(kept, dims, strict=False))
        place = outer | dict(zip(axes, dims[len(shape) :], strict=True))
        index = [place[i] for i in range(len(sizes))]
        values = [widened(broadcast_read(b, v, index, sizes)) for v in (x, *others)]
        return body(*values).cast(element)

    def end(b: Body, *given: Expr | Scalar) -> Scalar:
        *dims, total = given
        assert finish is not None and isinstance(total, Scalar)
        values = [widened(broadcast_read(b, v, dims, shape)) for v in others]  # pyright: ignore[reportArgumentType]
        return finish(total, *values).cast(element)

    return emit.compute(
        shape, inner, element, reduce=[sizes[a] for a in axes], combine=combine, finish=end if finish else None
    )


def count(x: SSAValue, axes: Sequence[int]) -> Expr:
    """The number of elements over axes."""
    return product(sizes_of(x)[a] for a in axes)


def mean(
    emit: Emitter, x: SSAValue, axes: Sequence[int], element: Attribute, body: Element, *others: SSAValue
) -> SSAValue:
    """The mean of `body(x, *others)` over axes, which are kept."""
    many = count(x, axes)
    total = lambda total, *_: total / size_of(total.body, many, element)  # noqa: E731
    return reduced(emit, x, axes, "add", element, body, total, others=others)


def squared(x: Scalar) -> Scalar:
    return x * x


def absolute(x: Scalar) -> Scalar:
    if is_unsigned(x.element):
        return x
    return x.math(math.AbsFOp) if is_float(x.element) else x.maximum(-x)


def by_float(function: Element) -> Element:
    """A function of floats; integers go through f64 and are rounded toward zero."""
    return lambda x, *_: function(x) if is_float(x.element) else function(x.cast(f64)).cast(x.element)


PLAIN: dict[type[GraphOp], tuple[str, Element, Element | None]] = {
    graph.ReduceSum: ("add", lambda x: x, None),
    graph.ReduceProd: ("mul", lambda x: x, None),
    graph.ReduceMax: ("max", lambda x: x, None),
    graph.ReduceMin: ("min", lambda x: x, None),
    graph.ReduceL1: ("add", absolute, None),
    graph.ReduceL2: ("add", squared, by_float(lambda x: rooted(x, 2))),
    graph.ReduceSumSquare: ("add", squared, None),
    graph.ReduceLogSum: ("add", lambda x: x, by_float(lambda x: x.math(math.LogOp))),
}


@lowers(*PLAIN)
def reduction(op: graph.Reduction, emit: Emitter) -> SSAValue:
    out = element_type(op.results[0])
    combine, body, finish = PLAIN[type(op)]
    element = u8 if is_bool(out) else wide(out)
    x = op.operands[0]
    found = reduced(emit, x, op.normal_axes(), combine, element, body, finish, keepdims=op.get("keepdims"))
    return emit.cast(found, out)


@lowers(graph.ReduceMean)
def reduce_mean(op: graph.Reduction, emit: Emitter) -> SSAValue:
    x, axes, out = op.operands[0], op.normal_axes(), element_type(op.results[0])
    element = wide(out) if is_float(out) else u64 if is_unsigned(out) else i64  # integers: the sum shall not overflow
    many = count(x, axes)

    def finish(total: Scalar) -> Scalar:
        size = size_of(total.body, many, element)
        return total / (size if is_float(out) else size.maximum(1))

    found = reduced(emit, x, axes, "add", element, finish=finish, keepdims=op.get("keepdims"))
    return emit.cast(found, out)


@lowers(graph.ReduceLogSumExp)
def reduce_log_sum_exp(op: graph.Reduction, emit: Emitter) -> SSAValue:
    """log(sum(e^(x - m))) + m, m the greatest if that is finite"""
    x, axes, out = op.operands[0], op.normal_axes(), type_of(op.results[0])
    element = wide(out.element_type) if is_float(out.element_type) else f64
    finite = lambda m: m.math(math.AbsFOp).lt(float("inf")).where(m, 0)  # noqa: E731
    greatest = reduced(emit, x, axes, "max", element, finish=finite)
    found = reduced(
        emit, x, axes, "add", element,
        lambda x, m: (x.cast(element) - m).math(math.ExpOp), lambda total, m: total.math(math.LogOp) + m,
        others=[greatest],
    )  # fmt: skip
    if not op.get("keepdims"):
        kept = [i for i in range(len(sizes_of(x))) if i not in axes]
        place = {axis: i for i, axis in enumerate(kept)}
        rank = len(sizes_of(x))
        found = emit.move(out.sizes, found, lambda *d: [d[place[i]] if i in place else 0 for i in range(rank)])
    return emit.cast(found, out.element_type)


# ---- positions of extremes


def position(
    emit: Emitter, x: SSAValue, axis: int, combine: str, *, last: bool = False, keepdims: bool = True
) -> SSAValue:
    """The i64 position along an axis of the first (or last) element that is the extreme, or NaN."""
    sizes = sizes_of(x)
    extreme = reduced(emit, x, [axis], combine, wide(element_type(x)))

    def body(b: Body, *dims: Expr) -> Scalar:
        outer, k = list(dims[:-1]), dims[-1]
        if keepdims:
            outer.pop(axis)
        element = widened(b.read(x, *outer[:axis], k, *outer[axis:]))
        wins = element.eq(b.read(extreme, *outer[:axis], 0, *outer[axis:]))
        if is_float(element.element):
            wins = wins | element.is_nan()
        return wins.where(b.from_index(k), -1 if last else NO_POSITION)

    shape = [*sizes[:axis], *([ONE] if keepdims else []), *sizes[axis + 1 :]]
    return emit.compute(shape, body, i64, reduce=[sizes[axis]], combine="max" if last else "min")


@lowers(graph.ArgMax, graph.ArgMin)
def arg_extreme(op: GraphOp, emit: Emitter) -> SSAValue:
    x = op.operands[0]
    axis = normal_axis(op.get("axis"), type_of(x).rank)
    combine = "max" if isinstance(op, graph.ArgMax) else "min"
    return position(emit, x, axis, combine, last=op.get("select_last_index"), keepdims=op.get("keepdims"))


@lowers(graph.TopK)
def top_k(op: GraphOp, emit: Emitter) -> list[SSAValue]:
    """The first ones of a sort; NaN is greater than any number, and of equal elements the earlier one is first."""
    x, (values, positions) = op.operands[0], op.results
    axis, shape = normal_axis(op.get("axis"), type_of(x).rank), sizes_of(values)

    def before(a: Scalar, b: Scalar) -> Scalar:
        """a stands before b wherever they are."""
        first, second = (widened(a), widened(b)) if op.get("largest") else (widened(b), widened(a))
        found = first.gt(second)
        return found | (first.is_nan() & ~second.is_nan()) if is_float(a.element) else found

    places = sorted_places(emit, x, axis, before, op.get("k"))

    def taken(b: Body, *dims: Expr) -> Scalar:
        k = b.as_index(b.read(places, *dims))
        return b.read(x, *dims[:axis], k, *dims[axis + 1 :], otherwise=0)

    assert type_of(positions).element_type == i64
    return [emit.compute(shape, taken, element_type(values)), emit.move(shape, places, lambda *d: d)]


# ---- running sums


@lowers(graph.CumSum, graph.CumProd)
def running(op: GraphOp, emit: Emitter) -> SSAValue:
    """now[i] = now[i - 1] + now[i] from the second element on; it starts as x, shifted by one if `exclusive`."""
    x, out = op.operands[0], type_of(op.results[0])
    axis, reverse = normal_axis(op.get("axis"), out.rank), op.get("reverse")
    join, neutral = (Scalar.__add__, 0) if isinstance(op, graph.CumSum) else (Scalar.__mul__, 1)
    size = out.sizes[axis]
    if op.get("exclusive"):
        shift = 1 if reverse else -1
        x = emit.move(out.sizes, x, lambda *d: [*d[:axis], d[axis] + shift, *d[axis + 1 :]], otherwise=neutral)

    def body(b: Body, state: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        old, new = (size - 1 - k, size - 2 - k) if reverse else (k, k + 1)
        before, here = ([*others[:axis], i, *others[axis:]] for i in (old, new))
        return join(b.read(state, *before), b.read(state, *here)), here

    others = [*out.sizes[:axis], *out.sizes[axis + 1 :]]
    return emit.cast(emit.update(emit.cast(x, wide(out.element_type)), others, [size - 1], body), out.element_type)
