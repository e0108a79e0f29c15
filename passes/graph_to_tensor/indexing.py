"""Operators whose indices are data: reads at an index computed in the body, with `else` because it may be anything."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from ...dialects.graph import data, indexing
from ...dialects.graph.base import GraphOp, normal_axis
from ...dialects.tensor.builder import Body, Place, Scalar
from ...ir.expr import Expr, ExprLike
from .elementwise import scalar_constant
from .rules import Emitter, broadcast_read, lowers, size_of, sizes_of, type_of, widened


def from_front(index: Scalar, size: Expr) -> Scalar:
    """A negative index counts from the end."""
    return index.lt(0).where(index + size_of(index.body, size, index.element), index)


# ---- gather


@lowers(indexing.Gather)
def gather(op: GraphOp, emit: Emitter) -> SSAValue:
    (x, indices), out = op.operands, type_of(op.results[0])
    sizes, count = sizes_of(x), type_of(indices).rank
    axis = normal_axis(op.get("axis"), len(sizes))
    if (known := scalar_constant(indices)) is not None:
        place = Expr.const(int(known)) + (sizes[axis] if known < 0 else 0)
        inside = place.nonnegative() and (sizes[axis] - 1 - place).nonnegative()
        return emit.move(
            out.sizes, x, lambda *d: [*d[:axis], place, *d[axis + count :]], otherwise=None if inside else 0
        )

    def body(b: Body, *dims: Expr) -> Scalar:
        index = b.as_index(from_front(b.read(indices, *dims[axis : axis + count]), sizes[axis]))
        return b.read(x, *dims[:axis], index, *dims[axis + count :], otherwise=0)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(indexing.GatherElements)
def gather_elements(op: GraphOp, emit: Emitter) -> SSAValue:
    (x, indices), out = op.operands, type_of(op.results[0])
    axis = normal_axis(op.get("axis"), out.rank)

    def body(b: Body, *dims: Expr) -> Scalar:
        index = b.as_index(from_front(b.read(indices, *dims), sizes_of(x)[axis]))
        return b.read(x, *dims[:axis], index, *dims[axis + 1 :], otherwise=0)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(indexing.GatherND)
def gather_nd(op: GraphOp, emit: Emitter) -> SSAValue:
    (x, indices), out, batch = op.operands, type_of(op.results[0]), op.get("batch_dims")
    lead, depth = type_of(indices).rank - 1, sizes_of(indices)[-1].__index__()

    def body(b: Body, *dims: Expr) -> Scalar:
        vector = [
            b.as_index(from_front(b.read(indices, *dims[:lead], k), sizes_of(x)[batch + k])) for k in range(depth)
        ]
        return b.read(x, *dims[:batch], *vector, *dims[lead:], otherwise=0)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(indexing.Take)
def take(op: GraphOp, emit: Emitter) -> SSAValue:
    x, *indices = op.operands
    out = type_of(op.results[0])
    places = out.sizes[: out.rank - type_of(x).rank + len(indices)]

    def body(b: Body, *dims: Expr) -> Scalar:
        found = [b.as_index(broadcast_read(b, i, dims[: len(places)], places)) for i in indices]
        return b.read(x, *found, *dims[len(places) :], otherwise=0)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(indexing.ReverseSequence)
def reverse_sequence(op: GraphOp, emit: Emitter) -> SSAValue:
    (x, lengths), out = op.operands, type_of(op.results[0])
    batch, time = op.get("batch_axis"), op.get("time_axis")

    def body(b: Body, *dims: Expr) -> Scalar:
        length, t = b.read(lengths, dims[batch]).cast(i64), b.from_index(dims[time])
        place = b.as_index(t.lt(length).where(length - 1 - t, t))
        return b.read(x, *dims[:time], place, *dims[time + 1 :], otherwise=0)

    return emit.compute(out.sizes, body, out.element_type)


# ---- scatter: the updates are written one after the other


JOIN = {"add": Scalar.__add__, "mul": Scalar.__mul__, "max": Scalar.maximum, "min": Scalar.minimum}


def joined(op: GraphOp, b: Body, state: SSAValue, place: Sequence[ExprLike], value: Scalar) -> Place:
    """An update at its place, joined with what is there by `reduction`."""
    kind = op.get("reduction")
    if kind != "none":
        old = b.read(state, *place, otherwise=0)
        value = JOIN[kind](widened(old), widened(value)).cast(value.element)
    return value, place


@lowers(indexing.ScatterElements)
def scatter_elements(op: GraphOp, emit: Emitter) -> SSAValue:
    """The updates along the axis in order; the other axes are independent."""
    (x, indices, updates), out = op.operands, type_of(op.results[0])
    axis, given = normal_axis(op.get("axis"), out.rank), sizes_of(indices)

    def body(b: Body, state: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        here = [*others[:axis], k, *others[axis:]]
        index = b.as_index(from_front(b.read(indices, *here), out.sizes[axis]))
        return joined(op, b, state, [*others[:axis], index, *others[axis:]], b.read(updates, *here))

    return emit.update(x, [*given[:axis], *given[axis + 1 :]], [given[axis]], body)


@lowers(indexing.ScatterND)
def scatter_nd(op: GraphOp, emit: Emitter) -> SSAValue:
    """The index vectors in order; what each of them writes is a slice, whose elements are independent."""
    (x, indices, updates), out = op.operands, type_of(op.results[0])
    *lead, last = sizes_of(indices)
    depth = last.__index__()

    def body(b: Body, state: SSAValue, *dims: Expr) -> Place:
        inner, outer = dims[: out.rank - depth], dims[out.rank - depth :]
        vector = [b.as_index(from_front(b.read(indices, *outer, k), out.sizes[k])) for k in range(depth)]
        return joined(op, b, state, [*vector, *inner], b.read(updates, *outer, *inner))

    return emit.update(x, out.sizes[depth:], lead, body)


# ---- positions as values


@lowers(indexing.OneHot)
def one_hot(op: GraphOp, emit: Emitter) -> SSAValue:
    (indices, values), out = op.operands, type_of(op.results[0])
    axis = normal_axis(op.get("axis"), out.rank)

    def body(b: Body, *dims: Expr) -> Scalar:
        index = widened(b.read(indices, *dims[:axis], *dims[axis + 1 :])).cast(i64)
        hot = from_front(index, out.sizes[axis]).eq(b.from_index(dims[axis]))
        return hot.where(b.read(values, 1), b.read(values, 0))

    return emit.compute(out.sizes, body, out.element_type)


@lowers(data.Range)
def range_(op: GraphOp, emit: Emitter) -> SSAValue:
    (start, delta), out = [emit.scalar(v) for v in op.operands], type_of(op.results[0])

    def body(b: Body, i: Expr) -> Scalar:
        step = widened(b.read(delta))
        return (b.from_index(i, step.element) * step + widened(b.read(start))).cast(out.element_type)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(data.EyeLike)
def eye_like(op: GraphOp, emit: Emitter) -> SSAValue:
    out, k = type_of(op.results[0]), op.get("k")

    def body(b: Body, i: Expr, j: Expr) -> Scalar:
        return b.from_index(j - i - k).eq(0).where(b.constant(1, out.element_type), 0)

    return emit.compute(out.sizes, body, out.element_type)


@lowers(indexing.SuppressOverlaps)
def suppress_overlaps(op: GraphOp, emit: Emitter) -> SSAValue:
    """Box i against each box j before it, in order; whether j stays is settled when i comes."""
    boxes, candidates, threshold = op.operands
    lines, count = sizes_of(candidates)

    def body(b: Body, state: SSAValue, line: Expr, i: Expr, j: Expr) -> Place:
        mine, other = ([b.read(boxes, line, k, c) for c in range(4)] for k in (i, j))

        def area(box: list[Scalar]) -> Scalar:
            return (box[2] - box[0]) * (box[3] - box[1])

        def side(axis: int) -> Scalar:
            length = mine[axis + 2].minimum(other[axis + 2]) - mine[axis].maximum(other[axis])
            return length.maximum(b.constant(0.0, length.element))

        shared = side(0) * side(1)
        union = area(mine) + area(other) - shared
        real = shared.gt(0.0) & area(mine).gt(0.0) & area(other).gt(0.0) & union.gt(0.0)
        over = real & (shared / union).gt(b.read(threshold))
        earlier = b.from_index(j).lt(b.from_index(i))
        return b.read(state, line, i) & ~(earlier & b.read(state, line, j) & over), [line, i]

    return emit.update(candidates, [lines], [count, count], body)
