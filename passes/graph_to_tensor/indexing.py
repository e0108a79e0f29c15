"""Operators whose indices are data: reads at an index computed in the body, with `else` because it may be anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xdsl.dialects.builtin import i1, i64
from xdsl.ir import Attribute, SSAValue

from ...dialects.graph import data, indexing
from ...dialects.graph.base import GraphOp, normal_axis
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import ZERO, Expr, ExprLike, product
from .elementwise import scalar_constant
from .rules import Emitter, broadcast_read, highest, lowers, lowest, refuses, size_of, sizes_of, type_of, wide, widened

LARGEST_SCATTER = 1 << 28  # comparisons of a place with an index
NOWHERE = -1


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


# ---- scatter: every place looks for the updates that are meant for it


Match = Callable[[Body, Sequence[Expr], Sequence[Expr]], Scalar]  # of a place and the position of an update

NEUTRAL: dict[str, Callable[[Attribute], float]] = {
    "add": lambda _: 0, "mul": lambda _: 1, "max": lowest, "min": highest,
}  # fmt: skip
JOIN = {"add": Scalar.__add__, "mul": Scalar.__mul__, "max": Scalar.maximum, "min": Scalar.minimum}


def scattered(op: GraphOp, emit: Emitter, depth: int, taps: Sequence[Expr], matches: Match, update: Match) -> SSAValue:
    """x where no update `matches` a place, else joined with the updates by `reduction`. Places are told apart by their
    first `depth` axes; updates lie on a grid of sizes `taps`."""
    x, out, kind = op.operands[0], type_of(op.results[0]), op.get("reduction")
    if kind == "none":
        return replaced(x, emit, depth, taps, matches, update)
    element = wide(out.element_type)

    def body(b: Body, *dims: Expr) -> Scalar:
        place, tap = dims[: out.rank], dims[out.rank :]
        value = widened(update(b, place, tap))
        return matches(b, place, tap).where(value, NEUTRAL[kind](element))

    def finish(b: Body, *given: Any) -> Scalar:
        *dims, total = given
        return JOIN[kind](widened(b.read(x, *dims)), total)

    return emit.cast(emit.compute(out.sizes, body, element, reduce=taps, combine=kind, finish=finish), out.element_type)


def replaced(x: SSAValue, emit: Emitter, depth: int, taps: Sequence[Expr], matches: Match, update: Match) -> SSAValue:
    """The last update that matches wins; first which one that is, per place, then its value."""
    out = type_of(x)

    def which(b: Body, *dims: Expr) -> Scalar:
        flat = ZERO
        for tap, size in zip(dims[depth:], taps, strict=True):
            flat = flat * size + tap
        return matches(b, dims[:depth], dims[depth:]).where(b.from_index(flat), NOWHERE)

    winner = emit.compute(out.sizes[:depth], which, i64, reduce=taps, combine="max")

    def value(b: Body, *dims: Expr) -> Scalar:
        chosen = b.read(winner, *dims[:depth])
        flat = b.as_index(chosen)
        tap: list[Expr] = []
        for size in reversed(taps):
            tap.insert(0, flat % size)
            flat = flat // size
        return chosen.lt(0).where(b.read(x, *dims), update(b, dims, tap))

    return emit.compute(out.sizes, value, out.element_type)


@lowers(indexing.ScatterElements)
def scatter_elements(op: GraphOp, emit: Emitter) -> SSAValue:
    """The updates for a place lie along one line of `indices`: O(elements of x * length of the line)."""
    (_, indices, updates), out = op.operands, type_of(op.results[0])
    axis, given = normal_axis(op.get("axis"), out.rank), sizes_of(indices)

    def line(dims: Sequence[Expr], k: ExprLike) -> list[ExprLike]:
        return [*dims[:axis], k, *dims[axis + 1 :]]

    def matches(b: Body, dims: Sequence[Expr], taps: Sequence[Expr]) -> Scalar:
        # outside of `indices` along the other axes nothing is meant for this place
        index = b.read(indices, *line(dims, taps[0]), otherwise=NOWHERE - (1 << 30))
        return from_front(index, out.sizes[axis]).eq(b.from_index(dims[axis], index.element))

    def update(b: Body, dims: Sequence[Expr], taps: Sequence[Expr]) -> Scalar:
        return b.read(updates, *line(dims, taps[0]), otherwise=0)

    return scattered(op, emit, out.rank, [given[axis]], matches, update)


@refuses(indexing.ScatterND)
def too_large_to_scatter(op: GraphOp) -> str | None:
    work = scatter_work(op).constant
    if work is not None and work > LARGEST_SCATTER:
        return f"every place looks at every index, {work} comparisons; at most {LARGEST_SCATTER} are allowed"
    return None


def scatter_work(op: GraphOp) -> Expr:
    """Comparisons of a place with an index vector."""
    x, indices = sizes_of(op.operands[0]), sizes_of(op.operands[1])
    places = x[: indices[-1].__index__()] if op.get("reduction") == "none" else x
    return product(places) * product(indices[:-1])


@lowers(indexing.ScatterND)
def scatter_nd(op: GraphOp, emit: Emitter) -> SSAValue:
    """Every place looks at every index vector."""
    (x, indices, updates), out = op.operands, type_of(op.results[0])
    *lead, last = sizes_of(indices)
    depth = last.__index__()

    def matches(b: Body, dims: Sequence[Expr], taps: Sequence[Expr]) -> Scalar:
        found = b.constant(True, i1)
        for k in range(depth):
            index = b.read(indices, *taps, k)
            found = found & from_front(index, sizes_of(x)[k]).eq(b.from_index(dims[k], index.element))
        return found

    def update(b: Body, dims: Sequence[Expr], taps: Sequence[Expr]) -> Scalar:
        return b.read(updates, *taps, *dims[depth:], otherwise=0)

    assert out.sizes == sizes_of(x)
    return scattered(op, emit, depth, lead, matches, update)


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
