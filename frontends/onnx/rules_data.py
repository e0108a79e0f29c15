"""Rules of operators whose results have sizes that depend on data: how many elements are not 0, or differ.

All of them mark elements, count the marks, which gives the size, and gather the places of the marks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import ModelError
from ...ir.expr import ONE, Expr, product
from .builder import Value
from .node import Node, Result, Rule
from .rules_shape import known_sizes, normal


def scalar(size: Expr) -> Value:
    """A size as an int64 tensor of rank 0."""
    return known_sizes([size], [])


def counting(n: Node, size: Expr) -> Value:
    """0, 1, 2 ... as int64."""
    return n.emit("Range", n.constant(0, np.int64), n.constant(1, np.int64), size=size)


def zeros(n: Node, size: Expr) -> Value:
    return n.emit("Expand", n.constant(0, np.int64), shape=[size])


def scattered(n: Node, size: Expr, places: Value, values: Value, reduction: str = "none") -> Value:
    """int64 `values` at `places` of a vector of zeros."""
    return n.emit("ScatterElements", zeros(n, size), places, values, axis=0, reduction=reduction)


def places_of(n: Node, marks: Value, what: str = "count") -> Value:
    """Where a vector of bools is true, in order: int64, of a size that is known only when the model runs."""
    ones = n.cast(marks, np.int64)
    count = n.counted(n.emit("ReduceSum", ones, axes=[0], keepdims=False), what)
    (length,) = marks.sizes
    before = n.emit("CumSum", ones, axis=0, exclusive=True, reverse=False)
    # what is not marked goes behind the end, and is cut off
    place = n.emit("Where", marks, before, scalar(count))
    found = scattered(n, count + 1, place, counting(n, length))
    return n.emit("Slice", found, starts=[Expr.const(0)], sizes=[count], steps=[1])


def flat(n: Node, x: Value) -> Value:
    return n.reshape(x, [product(x.sizes)])


def coordinates(n: Node, places: Value, sizes: tuple[Expr, ...]) -> list[Value]:
    """Places in a tensor, counted in row-major order, as one vector per dimension."""
    found: list[Value] = []
    for axis, size in enumerate(sizes):
        whole = n.emit("Div", places, scalar(product(sizes[axis + 1 :])))
        found.append(n.emit("Mod", whole, scalar(size)) if axis else whole)
    return found


def non_zero(n: Node) -> Value:
    x = n.input(0)
    if x.rank == 0:
        x = n.reshape(x, [ONE])
    marks = x if x.dtype == np.bool_ else n.emit("Not", n.emit("Equal", x, n.like(0, x)))
    places = places_of(n, flat(n, marks))
    rows = [n.reshape(c, [ONE, *places.sizes]) for c in coordinates(n, places, x.sizes)]
    found = rows[0] if len(rows) == 1 else n.emit("Concat", rows, axis=0)
    if n.input(0).rank:
        return found
    return n.emit("Slice", found, starts=[0, 0], sizes=[0, *places.sizes], steps=[1, 1])  # no coordinates


def compress(n: Node) -> Value:
    x, condition = n.input(0), n.input(1)
    if "axis" in n.attributes:
        (axis,) = normal([n.required("axis")], x.rank)
    else:
        x, axis = flat(n, x), 0
    return n.emit("Gather", x, places_of(n, condition), axis=axis)


def unique(n: Node) -> Result:
    """Elements, or slices along an axis, are sorted; the first of each run of equal ones stays."""
    x = n.input(0)
    if "axis" in n.attributes:
        (axis,) = normal([n.required("axis")], x.rank)
        perm = [axis, *(i for i in range(x.rank) if i != axis)]
        moved = n.emit("Transpose", x, perm=perm)
        order, same = rows_in_order(n, n.reshape(moved, [moved.sizes[0], product(moved.sizes[1:])]))
    else:
        moved, axis, perm = flat(n, x), 0, [0]
        order, same = elements_in_order(n, moved)
    (length,) = order.sizes
    first = n.emit("Not", same)
    starts = places_of(n, first)
    (count,) = starts.sizes
    indices = n.emit("Gather", order, starts, axis=0)  # the sort is stable: where each came first
    running = n.emit("CumSum", n.cast(first, np.int64), axis=0, exclusive=False, reverse=False)
    group = n.emit("Sub", running, n.constant(1, np.int64))
    if not n.attr("sorted", 1):
        _, by_place = n.emit_all("TopK", indices, k=count, axis=0, largest=False, sorted=True)
        indices = n.emit("Gather", indices, by_place, axis=0)
        group = n.emit("Gather", scattered(n, count, by_place, counting(n, count)), group, axis=0)
    kept = n.emit("Gather", moved, indices, axis=0)
    back = [perm.index(i) for i in range(len(perm))]
    values = kept if perm == sorted(perm) else n.emit("Transpose", kept, perm=back)
    inverse = scattered(n, length, order, group)
    ones = n.emit("Expand", n.constant(1, np.int64), shape=[length])
    return [values, indices, inverse, scattered(n, count, group, ones, "add")]


def elements_in_order(n: Node, x: Value) -> tuple[Value, Value]:
    """The places of a vector's elements in ascending order, and whether each equals the one before it."""
    (length,) = x.sizes
    number = n.cast(x, np.int64) if x.dtype == np.bool_ else x
    values, order = n.emit_all("TopK", number, k=length, axis=0, largest=False, sorted=True)
    previous = n.emit("Gather", values, previous_places(n, length), axis=0)
    equal = n.emit("Equal", values, previous)
    return order, n.emit("And", equal, later(n, length))


def rows_in_order(n: Node, rows: Value) -> tuple[Value, Value]:
    """The same for the rows of a matrix, compared from the left: each column is replaced by the ranks of its elements,
    then each two neighbours by the ranks of their pairs, until one column is left. Of a width that is not known each
    row is compared with each."""
    length, width = rows.sizes
    number = n.cast(rows, np.int64) if rows.dtype == np.bool_ else rows
    if known := width.constant:
        ranks = column_ranks(n, number)
        while known > 1:
            if known % 2:
                ranks = n.emit("Pad", ranks, pads=[0, 0, 0, 1], mode="constant")
            known = (known + 1) // 2
            left, right = (n.emit("Slice", ranks, starts=[0, i], sizes=[length, known], steps=[1, 2]) for i in range(2))
            ranks = column_ranks(n, n.emit("Add", n.emit("Mul", left, scalar(length)), right))
        return elements_in_order(n, n.reshape(ranks, [length]))
    mine, other = n.reshape(number, [length, ONE, width]), n.reshape(number, [ONE, length, width])
    column = n.reshape(counting(n, width), [ONE, ONE, width])
    column = n.emit("Expand", column, shape=[length, length, width])
    differs = n.emit("Not", n.emit("Equal", mine, other))
    where = n.emit("Where", differs, column, scalar(width))
    first = n.emit("ReduceMin", where, axes=[2], keepdims=True)
    least = n.emit("And", n.emit("Less", other, mine), n.emit("Equal", column, first))
    less = n.emit("ReduceMax", n.cast(least, np.int64), axes=[2], keepdims=False)
    same = n.reshape(n.emit("Equal", first, scalar(width)), [length, length])
    row, earlier = n.reshape(counting(n, length), [length, ONE]), n.reshape(counting(n, length), [ONE, length])
    tie = n.cast(n.emit("And", same, n.emit("Less", earlier, row)), np.int64)
    rank = n.emit("ReduceSum", n.emit("Max", [less, tie]), axes=[1], keepdims=False)
    order = scattered(n, length, rank, counting(n, length))
    before = n.emit("Gather", order, previous_places(n, length), axis=0)
    pair = n.emit("Add", n.emit("Mul", order, scalar(length)), before)
    equal = n.emit("Gather", flat(n, same), pair, axis=0)
    return order, n.emit("And", equal, later(n, length))


def column_ranks(n: Node, x: Value) -> Value:
    """For each element of a matrix how many smaller ones there are in its column, equal ones counted once; int64."""
    length, width = x.sizes
    values, order = n.emit_all("TopK", x, k=length, axis=0, largest=False, sorted=True)
    equal = n.emit("Equal", values, n.emit("Gather", values, previous_places(n, length), axis=0))
    first = n.emit("Not", n.emit("And", equal, n.reshape(later(n, length), [length, 1])))
    rank = n.emit("CumSum", n.cast(first, np.int64), axis=0, exclusive=False, reverse=False)
    rank = n.emit("Sub", rank, n.constant(1, np.int64))
    start = n.emit("Expand", n.constant(0, np.int64), shape=[length, width])
    return n.emit("ScatterElements", start, order, rank, axis=0, reduction="none")


def previous_places(n: Node, length: Expr) -> Value:
    """0, 0, 1, 2 ..."""
    shifted = n.emit("Sub", counting(n, length), n.constant(1, np.int64))
    return n.emit("Max", [shifted, n.constant(0, np.int64)])


def later(n: Node, length: Expr) -> Value:
    """False for the first of a vector, true for the others."""
    return n.emit("Greater", counting(n, length), n.constant(0, np.int64))


def non_max_suppression(n: Node) -> Value:
    """Boxes in the order of their scores; one that overlaps a better one that stays is dropped."""
    boxes, scores = n.input(0), n.input(1)
    if boxes.rank != 3 or scores.rank != 3:
        raise ModelError("boxes and scores have 3 dimensions")
    (batches, count, _), classes = boxes.sizes, scores.sizes[1]
    n.builder.same(scores.sizes[0], batches, "boxes and scores have different batches")
    n.builder.same(scores.sizes[2], count, "boxes and scores differ in number")
    most = n.cast(n.reshape(n.input(2), []), np.int64) if n.has(2) else n.constant(0, np.int64)
    overlap = n.reshape(n.input(3), []) if n.has(3) else n.constant(0, np.float32)
    values, order = n.emit_all("TopK", scores, k=count, axis=2, largest=True, sorted=True)
    corners = corners_of(n, boxes, bool(n.attr("center_point_box", 0)))
    line = [batches * classes, count]
    spread = n.emit("Expand", n.reshape(corners, [batches, ONE, count, 4]), shape=[batches, classes, count, 4])
    place = n.emit("Expand", n.reshape(order, [batches, classes, count, ONE]), shape=[batches, classes, count, 4])
    ranked = n.reshape(n.emit("GatherElements", spread, place, axis=2), [*line, 4])
    good = n.reshape(values, line)
    if n.has(4):
        good = n.emit("Greater", good, n.reshape(n.input(4), []))
    else:
        good = n.emit("Expand", n.constant(True), shape=line)
    kept = n.emit("SuppressOverlaps", ranked, good, overlap)
    before = n.emit("CumSum", n.cast(kept, np.int64), axis=1, exclusive=True, reverse=False)
    chosen = n.emit("And", kept, n.emit("Less", before, most))
    places = places_of(n, flat(n, chosen))
    batch, class_, _ = coordinates(n, places, (batches, classes, count))
    box = n.emit("Gather", flat(n, order), places, axis=0)
    columns = [n.reshape(c, [*places.sizes, ONE]) for c in (batch, class_, box)]
    return n.emit("Concat", columns, axis=1)


def corners_of(n: Node, boxes: Value, centered: bool) -> Value:
    """Boxes as [y1, x1, y2, x2] with y1 <= y2 and x1 <= x2, from any two corners, or from centre and size."""

    def part(first: int) -> Value:
        sizes = [*boxes.sizes[:2], Expr.const(2)]
        return n.emit("Slice", boxes, starts=[Expr.const(e) for e in (0, 0, first)], sizes=sizes, steps=[1, 1, 1])

    a, b = part(0), part(2)
    if centered:
        half = n.emit("Mul", b, n.like(0.5, b))
        return n.emit("Concat", [n.emit("Sub", a, half), n.emit("Add", a, half)], axis=2)
    return n.emit("Concat", [n.emit("Min", [a, b]), n.emit("Max", [a, b])], axis=2)


RULES: Mapping[str, Rule] = {
    "Compress": compress,
    "NonMaxSuppression": non_max_suppression,
    "NonZero": non_zero,
    "Unique": unique,
}
