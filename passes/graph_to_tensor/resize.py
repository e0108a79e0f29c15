"""Resize: one compute per axis that changes size.

Along an axis of known sizes, what each element is made of is a table, as the reference has it; where that is a plain
index (whole factors, nearest), it becomes one. Along an axis of symbolic sizes the table's formulas stand in the body.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects import math
from xdsl.dialects.builtin import f64, i64
from xdsl.ir import Attribute, SSAValue

from ...dialects.graph.base import GraphOp
from ...dialects.graph.resize import Resize
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import Expr
from ...ir.types import is_float
from .rules import Emitter, highest, lowers, lowest, refuses, size_of, sizes_of, type_of, wide

UNROLLED = 4  # taps that stand in one body; more are a reduction
PLAIN = {  # where, enlarged by a whole factor, element y is element y floordiv factor
    *((mode, "round_prefer_floor") for mode in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")),
    *((mode, "round_prefer_ceil") for mode in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")),
    ("asymmetric", "floor"),
}


@refuses(Resize)
def symbolic_antialias(op: GraphOp) -> str | None:
    pairs = zip(op.get("sizes"), sizes_of(op.operands[0]), strict=True)
    if op.get("antialias") and any(a != b and (a.constant is None or b.constant is None) for a, b in pairs):
        return "antialias needs sizes that are known: how many elements it takes depends on them"
    return None


@lowers(Resize)
def resize(op: Resize, emit: Emitter) -> SSAValue:
    found, out = op.operands[0], type_of(op.results[0])
    nearest = op.get("mode") == "nearest"
    # integers are rounded at the end: in between double precision, so that halves are halves
    element = out.element_type if nearest else wide(out.element_type) if is_float(out.element_type) else f64
    if any(s == 0 for s in out.sizes):
        return emit.compute(out.sizes, lambda b, *_: b.constant(0, out.element_type), out.element_type)
    for axis, new in enumerate(out.sizes):
        size = sizes_of(found)[axis]
        if unchanged(op, axis, size, new):
            continue
        if size.constant is not None and new.constant is not None:
            found = by_table(op, emit, found, axis, size.constant, new.constant, element)
        elif nearest and (factor := whole_factor(op, axis, size, new)) is not None:
            found = along(emit, found, axis, new, factor)
        else:
            found = by_formula(op, emit, found, axis, new, element)
    if is_float(out.element_type) or nearest:
        return emit.cast(found, out.element_type)
    low, high = float(lowest(out.element_type)), float(highest(out.element_type))

    def rounded(x: Scalar) -> Scalar:
        return x.cast(f64).math(math.RoundEvenOp).maximum(low).minimum(high)

    return emit.elementwise(out.sizes, out.element_type, rounded, found)


def unchanged(op: Resize, axis: int, size: Expr, new: Expr) -> bool:
    """True for an axis that stays as it is, whatever the sizes."""
    return new == size and op.is_identity(axis, 1, 1)


def along(emit: Emitter, x: SSAValue, axis: int, new: Expr, factor: int) -> SSAValue:
    """Every element `factor` times along an axis."""
    shape = [new if i == axis else s for i, s in enumerate(sizes_of(x))]
    return emit.move(shape, x, lambda *d: [*d[:axis], d[axis] // factor, *d[axis + 1 :]])


def whole_factor(op: Resize, axis: int, size: Expr, new: Expr) -> int | None:
    """The whole number by which nearest elements repeat along an axis, if they do so evenly."""
    if (op.get("coordinate_transformation_mode"), op.get("nearest_mode")) not in PLAIN:
        return None
    scales = op.get("scales")
    if scales is not None:
        factor = scales[axis]
        return int(factor) if factor == int(factor) and new == size * int(factor) else None
    quotient = (new // size).constant
    return quotient if quotient is not None and quotient > 0 and new == size * quotient else None


# ---- known sizes


def by_table(op: Resize, emit: Emitter, x: SSAValue, axis: int, size: int, new: int, element: Attribute) -> SSAValue:
    """One axis of known sizes: positions and weights as constants."""
    places, weights, outside = op.taps(axis, size, new)
    shape = [Expr.const(new) if i == axis else s for i, s in enumerate(sizes_of(x))]
    nearest, many = op.get("mode") == "nearest", places.shape[1]
    if nearest and not outside.any():
        y, first = np.arange(new), int(places[0, 0])
        if new % size == 0 and np.array_equal(places[:, 0], y // (new // size)):
            return along(emit, x, axis, shape[axis], new // size)
        step = int(places[1, 0]) - first if new > 1 else 1
        if np.array_equal(places[:, 0], first + step * y):
            return emit.move(shape, x, lambda *d: [*d[:axis], first + step * d[axis], *d[axis + 1 :]])
    where = emit.constant(places)
    beyond = emit.constant(outside) if outside.any() else None
    how = None if nearest else emit.constant(weights.astype(type_of(x).dtype if element != f64 else np.float64))

    def tap(b: Body, dims: Sequence[Expr], k: Expr | int) -> Scalar:
        place = b.as_index(b.read(where, dims[axis], k))
        value = b.read(x, *dims[:axis], place, *dims[axis + 1 :], otherwise=0).cast(element)
        return value if how is None else value * b.read(how, dims[axis], k).cast(element)

    def replaced(b: Body, dims: Sequence[Expr], value: Scalar) -> Scalar:
        if beyond is None:
            return value
        fill = b.constant(op.get("extrapolation_value"), element)
        return b.read(beyond, dims[axis]).where(fill, value)

    if many > UNROLLED:
        n = len(shape)
        return emit.compute(
            shape,
            lambda b, *d: tap(b, d[:n], d[n]),
            element,
            reduce=[Expr.const(many)],
            combine="add",
            finish=None if beyond is None else lambda b, *d: replaced(b, d[:-1], d[-1]),
        )

    def body(b: Body, *dims: Expr) -> Scalar:
        found = tap(b, dims, 0)
        for k in range(1, many):
            found = found + tap(b, dims, k)
        return replaced(b, dims, found)

    return emit.compute(shape, body, element)


# ---- symbolic sizes


def by_formula(op: Resize, emit: Emitter, x: SSAValue, axis: int, new: Expr, element: Attribute) -> SSAValue:
    """One axis of symbolic sizes: positions and weights computed in double precision, as `Resize.taps` does."""
    size, mode = sizes_of(x)[axis], op.get("mode")
    shape = [new if i == axis else s for i, s in enumerate(sizes_of(x))]

    def element_at(b: Body, dims: Sequence[Expr], place: Scalar) -> Scalar:
        last = size_of(b, size, f64) - 1
        index = b.as_index(place.maximum(0).minimum(last).cast(i64))
        return b.read(x, *dims[:axis], index, *dims[axis + 1 :], otherwise=0).cast(element)

    def body(b: Body, *dims: Expr) -> Scalar:
        position = coordinate(op, b, axis, dims[axis], size, new)
        if mode == "nearest":
            found = element_at(b, dims, nearest_of(position, op.get("nearest_mode")))
        else:
            base = position.math(math.CeilOp) - 1
            offsets = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
            places = [base + k for k in offsets]
            weights = [weight(op, k - (position - base)) for k in offsets]
            if op.get("exclude_outside"):
                extent = size_of(b, size, f64)
                weights = [
                    (p.lt(0) | p.ge(extent)).where(b.constant(0, f64), w) for p, w in zip(places, weights, strict=True)
                ]
                total = sum_of(weights)
                total = total.eq(0).where(b.constant(1, f64), total)
                weights = [w / total for w in weights]
            found = sum_of([element_at(b, dims, p) * w.cast(element) for p, w in zip(places, weights, strict=True)])
            if op.is_identity(axis, 1, 1):  # sizes may turn out equal, and 0 times a neighbour's infinity is no number
                same = size_of(b, size, f64).eq(size_of(b, new, f64))
                found = same.where(element_at(b, dims, b.from_index(dims[axis], f64)), found)
        if op.get("coordinate_transformation_mode") != "tf_crop_and_resize":
            return found
        beyond = position.lt(0) | position.gt(size_of(b, size, f64) - 1)
        return beyond.where(b.constant(op.get("extrapolation_value"), element), found)

    return emit.compute(shape, body, element)


def sum_of(terms: Sequence[Scalar]) -> Scalar:
    first, *rest = terms
    for term in rest:
        first = first + term
    return first


def nearest_of(x: Scalar, mode: str) -> Scalar:
    match mode:
        case "round_prefer_floor":
            return (x - 0.5).math(math.CeilOp)
        case "round_prefer_ceil":
            return (x + 0.5).math(math.FloorOp)
        case "floor":
            return x.math(math.FloorOp)
        case _:
            return x.math(math.CeilOp)


def weight(op: Resize, distance: Scalar) -> Scalar:
    """The weight of an element at a distance: a triangle, or the cubic convolution."""
    d, a = distance.math(math.AbsFOp), op.get("cubic_coeff_a")
    if op.get("mode") == "linear":
        return (1 - d).maximum(0).minimum(1)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return d.le(1).where(near, d.lt(2).where(far, 0))


def coordinate(op: Resize, b: Body, axis: int, y: Expr, size: Expr, new: Expr) -> Scalar:
    """Where element y of an axis lies in x, as `Resize.positions` says."""
    scales, roi = op.get("scales"), op.get("roi")
    place, given, made = b.from_index(y, f64), size_of(b, size, f64), size_of(b, new, f64)
    scale = made / given if scales is None else b.constant(scales[axis], f64)
    length = made if scales is None else scale * given

    def unless_one(single: Scalar, other: Scalar) -> Scalar:
        return length.eq(1).where(single, other)

    match op.get("coordinate_transformation_mode"):
        case "asymmetric":
            return place / scale
        case "align_corners":
            return unless_one(b.constant(0, f64), place * (given - 1) / (length - 1))
        case "pytorch_half_pixel":
            return unless_one(b.constant(-0.5, f64), (place + 0.5) / scale - 0.5)
        case "half_pixel_symmetric":
            return given / 2 * (1 - made / length) + (place + 0.5) / scale - 0.5
        case "tf_crop_and_resize":
            start, end = roi[axis], roi[axis + len(roi) // 2]
            single = (given - 1) * (end - start) / 2 + (given - 1) * start
            return unless_one(single, place * (end - start) * (given - 1) / (length - 1) + (given - 1) * start)
        case _:
            return (place + 0.5) / scale - 0.5
