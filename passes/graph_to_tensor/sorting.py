"""Sorting: by counting what comes before where that is little, else by merging longer and longer runs; of the first few
of many, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import i32, i64
from xdsl.ir import SSAValue

from ...dialects.tensor.builder import Body, Place, Scalar
from ...ir.expr import Expr, ceildiv, minimum
from .rules import Emitter, element_type, size_of, sizes_of

Before = Callable[[Scalar, Scalar], Scalar]
Order = Callable[[Body, list[Expr], list[Expr], bool], Scalar]  # of two places: does what is at the first come before?
LITTLE = 256  # elements: up to here comparing all with all, in lanes, takes less time than merging
FEW = 64  # up to so many of the first ones are found in blocks
LARGEST = 40  # bits of the length of an axis that is not known


def sorted_places(emit: Emitter, x: SSAValue, axis: int, before: Before, count: Expr | None = None) -> SSAValue:
    """The i64 positions along an axis of x in the order in which `before(a, b)` holds of neighbours; where it holds in
    neither direction, in their own order. With `count` at least the first so many of them."""
    sizes = sizes_of(x)

    def order(b: Body, first: list[Expr], second: list[Expr], inside: bool) -> Scalar:
        otherwise = None if inside else 0
        return before(b.read(x, *first, otherwise=otherwise), b.read(x, *second, otherwise=otherwise))

    few = None if count is None else count.constant
    if few is not None and few <= FEW and not is_little(sizes[axis]):
        return first_places(emit, x, axis, before, order, max(few, 1))
    return (ranked if is_little(sizes[axis]) else merged)(emit, sizes, axis, order)


def is_little(size: Expr) -> bool:
    return size.constant is not None and size.constant <= LITTLE


def first_places(emit: Emitter, x: SSAValue, axis: int, before: Before, order: Order, count: int) -> SSAValue:
    """Of each block the first `count` stay, a quarter at most, in rounds, until few are left; of an axis of unknown
    length in two rounds. What stays is sorted."""
    places: SSAValue | None = None
    rounds = 0
    sizes, block = sizes_of(x), max(16, 4 << (count - 1).bit_length())
    while not is_little(sizes[axis]):
        found = winners(emit, sizes, axis, order, count, block)
        sizes = sizes_of(found)
        places = found if places is None else taken(emit, places, found, axis, -1)
        order = order_of_taken(taken(emit, x, places, axis, 0), places, before)
        rounds += 1
        if rounds == 2 and sizes[axis].constant is None:
            break
    assert places is not None
    last = (ranked if is_little(sizes[axis]) else merged)(emit, sizes, axis, order)
    return taken(emit, places, last, axis, -1)


def winners(emit: Emitter, sizes: Sequence[Expr], axis: int, order: Order, count: int, block: int) -> SSAValue:
    """Per `block` places the first `count` in order; -1 where a block has fewer."""
    lead, n, trail = [*sizes[:axis]], sizes[axis], [*sizes[axis + 1 :]]
    blocks = ceildiv(n, block)

    def place(dims: Sequence[Expr], i: Expr) -> list[Expr]:
        return [*dims[:axis], dims[axis] * block + i, *dims[axis + 2 :]]

    def precedes(b: Body, *dims: Expr) -> Scalar:
        *at, k = dims
        mine, other = place(at, at[axis + 1]), place(at, k)
        exists = b.from_index(other[axis]).lt(size_of(b, n, i64))
        earlier = b.from_index(k).lt(b.from_index(at[axis + 1]))
        first = order(b, other, mine, False) | (earlier & ~order(b, mine, other, False))
        return (exists & first).cast(i32)

    def write(b: Body, now: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        where = b.from_index(others[axis] * block + k)
        rank = b.read(ranks, *others[: axis + 1], k, *others[axis + 1 :]).cast(i64)
        rank = where.lt(size_of(b, n, i64)).where(rank, count)  # behind the end: skipped
        return where, [*others[: axis + 1], b.as_index(rank), *others[axis + 1 :]]

    width = Expr.const(block)
    ranks = emit.compute([*lead, blocks, width, *trail], precedes, i32, reduce=[width], combine="add")
    none = emit.compute([*lead, blocks, count, *trail], lambda b, *dims: b.constant(-1, i64), i64)
    found = emit.update(none, [*lead, blocks, *trail], [width], write)

    def split(*d: Expr) -> list[Expr]:
        return [*d[:axis], d[axis] // count, d[axis] % count, *d[axis + 1 :]]

    return emit.move([*lead, blocks * count, *trail], found, split)


def taken(emit: Emitter, x: SSAValue, places: SSAValue, axis: int, otherwise: int) -> SSAValue:
    """x at these places along an axis."""

    def body(b: Body, *dims: Expr) -> Scalar:
        at = b.as_index(b.read(places, *dims))
        return b.read(x, *dims[:axis], at, *dims[axis + 1 :], otherwise=otherwise)

    return emit.compute(sizes_of(places), body, element_type(x))


def order_of_taken(values: SSAValue, places: SSAValue, before: Before) -> Order:
    """The order of elements that were taken from these places; -1 is none, and behind all others."""

    def order(b: Body, first: list[Expr], second: list[Expr], inside: bool) -> Scalar:
        p, q = (b.read(places, *at, otherwise=None if inside else -1) for at in (first, second))
        x, y = (b.read(values, *at, otherwise=None if inside else 0) for at in (first, second))
        return p.ge(0) & (q.lt(0) | before(x, y))

    return order


def ranked(emit: Emitter, sizes: Sequence[Expr], axis: int, order: Order) -> SSAValue:
    """Each position is written where as many come before it: n^2 comparisons, but on all lanes."""

    def precedes(b: Body, *dims: Expr) -> Scalar:
        *place, k = dims
        other = [*place[:axis], k, *place[axis + 1 :]]
        earlier = b.from_index(k).lt(b.from_index(place[axis]))
        return (order(b, other, place, True) | (earlier & ~order(b, place, other, True))).cast(i32)

    def write(b: Body, now: SSAValue, *dims: Expr) -> Place:
        *others, k = dims
        rank = b.as_index(b.read(ranks, *others[:axis], k, *others[axis:]).cast(i64))
        return b.from_index(k), [*others[:axis], rank, *others[axis:]]

    ranks = emit.compute(sizes, precedes, i32, reduce=[sizes[axis]], combine="add")
    start = emit.compute(sizes, lambda b, *dims: b.constant(0, i64), i64)
    return emit.update(start, [*sizes[:axis], *sizes[axis + 1 :]], [sizes[axis]], write)


def merged(emit: Emitter, sizes: Sequence[Expr], axis: int, order: Order) -> SSAValue:
    """Bottom-up merge sort, n log n steps: pass p merges pairs of sorted runs of 2^p positions. It reads them from one
    half of a line of 2 n + 1 numbers and writes them to the other half, in turns; the last number says how many were
    taken from the left run so far."""
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
        first, second = (line(others, b.as_index(i)) for i in (a, c))
        no_left, no_right = left.ge(length), right.ge(length) | from_right.ge(size)
        takes_right = ~no_right & (no_left | order(b, second, first, False))
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
