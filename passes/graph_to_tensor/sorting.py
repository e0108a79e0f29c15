"""Sorting: by counting what comes before where that is little, else by merging longer and longer runs."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from ...dialects.tensor.builder import Body, Place, Scalar
from ...ir.expr import Expr, minimum
from .rules import Emitter, size_of, sizes_of

Before = Callable[[Scalar, Scalar], Scalar]
LITTLE = 256  # elements: up to here comparing all with all, in lanes, takes less time than merging
LARGEST = 40  # bits of the length of an axis that is not known


def sorted_places(emit: Emitter, x: SSAValue, axis: int, before: Before) -> SSAValue:
    """The i64 positions along an axis of x in the order in which `before(a, b)` holds of neighbours; where it holds in
    neither direction, in their own order."""
    size = sizes_of(x)[axis].constant
    return (ranked if size is not None and size <= LITTLE else merged)(emit, x, axis, before)


def ranked(emit: Emitter, x: SSAValue, axis: int, before: Before) -> SSAValue:
    """Each position is written where as many come before it: n^2 comparisons, but on all lanes."""
    sizes = sizes_of(x)

    def precedes(b: Body, *dims: Expr) -> Scalar:
        *place, k = dims
        mine, other = b.read(x, *place), b.read(x, *place[:axis], k, *place[axis + 1 :])
        earlier = b.from_index(k).lt(b.from_index(place[axis]))
        return (before(other, mine) | (earlier & ~before(mine, other))).cast(i64)

    def write(b: Body, now: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        rank = b.as_index(b.read(ranks, *others[:axis], k, *others[axis:]))
        return b.from_index(k), [*others[:axis], rank, *others[axis:]]

    ranks = emit.compute(sizes, precedes, i64, reduce=[sizes[axis]], combine="add")
    start = emit.compute(sizes, lambda b, *dims: b.constant(0, i64), i64)
    return emit.update(start, [*sizes[:axis], *sizes[axis + 1 :]], [sizes[axis]], write)


def merged(emit: Emitter, x: SSAValue, axis: int, before: Before) -> SSAValue:
    """Bottom-up merge sort, n log n steps: pass p merges pairs of sorted runs of 2^p positions. It reads them from one
    half of a line of 2 n + 1 numbers and writes them to the other half, in turns; the last number says how many were
    taken from the left run so far."""
    sizes = sizes_of(x)
    n = sizes[axis]
    passes = log2_ceil(n)

    def line(dims: list[Expr], i: Expr) -> list[Expr]:
        return [*dims[:axis], i, *dims[axis:]]

    def start(b: Body, *dims: Expr) -> Scalar:
        return b.from_index(dims[axis])

    def merge(b: Body, now: SSAValue, *dims: Expr) -> list[Place]:
        *others, p, t = dims
        source, target = p % 2 * n, (p + 1) % 2 * n
        size, at, one = size_of(b, n, i64), b.from_index(t), b.constant(1, i64)
        length = one << b.from_index(p)
        offset = at & (length + length - 1)  # within the merged run
        left = offset.eq(0).where(b.constant(0, i64), b.read(now, *line(others, n * 2)))
        right = offset - left
        from_left, from_right = at - offset + left, at - offset + length + right
        a, c = (b.read(now, *line(others, source + b.as_index(i)), otherwise=0) for i in (from_left, from_right))
        x_a, x_c = (b.read(x, *line(others, b.as_index(i)), otherwise=0) for i in (a, c))
        no_left, no_right = left.ge(length), right.ge(length) | from_right.ge(size)
        takes_right = ~no_right & (no_left | before(x_c, x_a))
        count = takes_right.where(left, left + 1)
        return [(takes_right.where(c, a), line(others, target + t)), (count, line(others, n * 2))]

    init = emit.compute([*sizes[:axis], n * 2 + 1, *sizes[axis + 1 :]], start, i64)
    found = emit.update(init, [*sizes[:axis], *sizes[axis + 1 :]], [passes, n], merge)
    return emit.move(sizes, found, lambda *d: line([*d[:axis], *d[axis + 1 :]], passes % 2 * n + d[axis]))


def log2_ceil(n: Expr) -> Expr:
    """How often 1 must be doubled until it is at least n: the number of k with 2^k < n."""
    if n.constant is not None:
        return Expr.const(max(n.constant - 1, 0).bit_length())
    return sum((minimum(1, n // (2**k + 1)) for k in range(LARGEST)), start=Expr.const(0))
