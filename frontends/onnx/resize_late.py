"""Resize by scales, sizes or regions that arrive while the model runs, as formulas along one axis after the other.

Along an axis every element of the result is a sum over taps: elements of x at places `[new, taps]` times weights
`[new, taps]`, both computed in float64 while the model runs, and so is the number of taps where `antialias` makes it
depend on the scale. The formulas are those of graph.resize.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...dialects.graph.resize import COORDINATES, NEAREST
from ...errors import ModelError
from ...ir.expr import ONE, Expr, minimum
from .builder import Value
from .node import Node
from .symbolic import is_float
from .terms import Term, iota, number, size

SIMPLE = "simple"  # nearest_mode of opset 10: down where the axis grows, up where it shrinks
HUGE = 2.0**40  # beyond what any tensor has; an infinite scale makes it


class Line(NamedTuple):
    """An axis of x: its size, the one it gets, the scale and the region of it, float64 scalars."""

    axis: int
    size: Expr
    new: Expr
    scale: Term
    start: Term | None
    end: Term | None

    @property
    def whole(self) -> Term:
        """Its size as a float."""
        return size(self.scale.node, self.size, np.float64)


def by_scales(n: Node, axes: Sequence[int], scales: Value, how: Mapping[str, Any]) -> Value:
    """x resized by scales that are data, a float32 for each of the axes; sizes round down."""
    given = Term(n, n.reshape(scales, [len(axes)])).cast(np.float32)
    factors = [given.at(0, i) for i in range(len(axes))]
    sizes = [length(n, size(n, n.input(0).sizes[a], np.float32) * f) for a, f in zip(axes, factors, strict=True)]
    return interpolated(n, axes, sizes, [f.cast(np.float64) for f in factors], how)


def by_aspect(n: Node, axes: Sequence[int], wanted: Sequence[Expr], policy: str, how: Mapping[str, Any]) -> Value:
    """x resized by the one scale with which no axis is larger, or none smaller, than wanted; sizes round to nearest."""
    found = [size(n, n.input(0).sizes[a], np.float64) for a in axes]
    factors = [size(n, w, np.float64) / f for w, f in zip(wanted, found, strict=True)]
    scale = factors[0]
    for factor in factors[1:]:
        scale = scale.minimum(factor) if policy == "not_larger" else scale.maximum(factor)
    return interpolated(n, axes, [length(n, f * scale + 0.5) for f in found], [scale] * len(axes), how)


def length(n: Node, size_: Term) -> Expr:
    """A size that is computed, rounded down; one that is not positive for its sign ends the run."""
    found = size_.ge(0.0).where(size_.emit("Floor").minimum(HUGE), -1.0)
    return n.counted(found.cast(np.int64).value, "size")


def interpolated(
    n: Node, axes: Sequence[int], sizes: Sequence[Expr], scales: Sequence[Term], how: Mapping[str, Any]
) -> Value:
    """x with these sizes of the axes, by scales (float64 scalars). `how` is as for graph.resize, but for `roi`: a
    tensor, starts and then ends of the axes.

    Raises ModelError for modes that ONNX does not know or that do not go together."""
    x, mode, coordinates = Term(n, n.input(0)), how["mode"], how["coordinate_transformation_mode"]
    nearest = mode == "nearest"
    if mode not in ("nearest", "linear", "cubic") or coordinates not in COORDINATES:
        raise ModelError(f"mode {mode!r} with coordinate_transformation_mode {coordinates!r}")
    if how["nearest_mode"] not in (*NEAREST, SIMPLE):
        raise ModelError(f"nearest_mode {how['nearest_mode']!r}")
    if nearest and how.get("antialias"):
        raise ModelError("antialias for mode nearest")
    if not nearest and x.dtype.kind == "b":
        raise ModelError(f"mode {mode} of booleans")
    roi = region(n, how, len(axes))
    found = x if nearest else x.wide() if is_float(x.dtype) else x.cast(np.float64)
    for i, (axis, new, scale) in enumerate(zip(axes, sizes, scales, strict=True)):
        line = Line(axis, x.sizes[axis], new, scale, *(r.at(0, i) if r is not None else None for r in roi))
        if new == line.size and roi[0] is None and same(scale):
            continue
        n.check(minimum(new, 1) * (ONE - minimum(line.size, 1)), "an axis grows from nothing")
        found = along(found, line, how)
    return (found if nearest else whole_numbers(found, x.dtype)).cast(x.dtype).value


def whole_numbers(found: Term, dtype: Any) -> Term:
    """Interpolated integers within their type's limits. ONNX does not say how they become whole: for Resize the
    reference rounds; for Upsample there is ONNX Runtime alone, which drops the fraction."""
    if is_float(dtype):
        return found
    limits = np.iinfo(dtype)
    whole = found if found.node.operator == "Upsample" else found.emit("Round")
    return whole.clip(float(limits.min), float(limits.max))


def region(n: Node, how: Mapping[str, Any], count: int) -> tuple[Term | None, Term | None]:
    """The regions' starts and ends along the axes."""
    if how["coordinate_transformation_mode"] != "tf_crop_and_resize":
        return None, None
    roi = Term(n, n.reshape(how["roi"], [2 * count])).cast(np.float64)
    return roi.part(0, 0, count), roi.part(0, count, count)


def same(scale: Term) -> bool:
    """True for a scale that is known to be 1."""
    numbers = scale.value.numbers
    return numbers is not None and float(numbers.reshape(-1)[0]) == 1


def along(x: Term, line: Line, how: Mapping[str, Any]) -> Term:
    """x resized along one axis. An axis that turns out to stay as it is takes each element alone, unweighted."""
    y = iota(x.node, line.new, dtype=np.float64)
    position, last = positions(line, y, how["coordinate_transformation_mode"]), line.whole - 1
    stays = size(x.node, line.new).eq(size(x.node, line.size)) & line.scale.eq(1.0)
    outside = None
    if line.start is not None and line.end is not None:
        stays = stays & line.start.eq(0.0) & line.end.eq(1.0)
        outside = ~(stays | (position.ge(0.0) & position.le(last)))  # what is no number is outside, too
        position = outside.where(0.0, position)
    if how["mode"] == "nearest":
        place = rounded(position, how["nearest_mode"], line.scale)
        found = taken(x, stays.where(y, place), last, line.axis)
    else:
        places, weights = taps(line, position, how)
        count = size(x.node, weights.sizes[1], np.float64)  # 2 or 4 where the axis stays: the sum is exact
        places, weights = stays.where(y.unsqueeze(1), places), stays.where(1.0 / count, weights)
        weights = weights.reshape(*weights.sizes, *[1] * (x.rank - line.axis - 1))
        found = (taken(x, places, last, line.axis) * weights.cast(x.dtype)).sum(line.axis + 1)
    if outside is None:
        return found
    outside = outside.reshape(line.new, *[1] * (x.rank - line.axis - 1))
    return outside.where(how["extrapolation_value"], found)


def taken(x: Term, places: Term, last: Term, axis: int) -> Term:
    """Elements at whole positions, those at the border for what is beyond it; the axis becomes those of `places`."""
    return x.emit("Gather", places.clip(0.0, last.maximum(0.0)).cast(np.int64), axis=axis)


def positions(line: Line, y: Term, coordinates: str) -> Term:
    """Where each element of the result lies in x."""
    length, last = line.scale * line.whole, line.whole - 1
    single = length.eq(1.0)
    match coordinates:
        case "asymmetric":
            return y / line.scale
        case "align_corners":
            return single.where(0.0, y * last / (length - 1))
        case "pytorch_half_pixel":
            return single.where(-0.5, (y + 0.5) / line.scale - 0.5)
        case "half_pixel_symmetric":
            shift = line.whole / 2 * (1 - size(y.node, line.new, np.float64) / length)
            return shift + (y + 0.5) / line.scale - 0.5
        case "tf_crop_and_resize":
            assert line.start is not None and line.end is not None
            extent = (line.end - line.start) * last
            return single.where(extent / 2, y * extent / (length - 1)) + line.start * last
        case _:
            return (y + 0.5) / line.scale - 0.5


def rounded(x: Term, how: str, scale: Term) -> Term:
    """Positions as whole numbers."""
    match how:
        case "round_prefer_floor":
            return (x - 0.5).emit("Ceil")
        case "round_prefer_ceil":
            return (x + 0.5).emit("Floor")
        case "floor":
            return x.emit("Floor")
        case "ceil":
            return x.emit("Ceil")
        case _:
            return scale.lt(1.0).where(x.emit("Ceil"), x.emit("Floor"))


def taps(line: Line, x: Term, how: Mapping[str, Any]) -> tuple[Term, Term]:
    """Positions in x, which may be beyond its borders, and weights: both float64 `[new, taps]`."""
    n, reach = x.node, 1.0 if how["mode"] == "linear" else 2.0
    first, count, shrink = number(n, 1 - reach, np.float64), Expr.const(int(2 * reach)), number(n, 1, np.float64)
    if how.get("antialias"):
        # with less than half an element to a tap nothing is left of the axis, and the scale does not matter
        shrink = line.scale.maximum(0.5 / line.whole.maximum(1.0)).minimum(1.0)
        first = (-reach / shrink).emit("Floor") + 1
        count = n.counted((2 - 2 * first).cast(np.int64).value, "taps")
    base = x.emit("Ceil") - 1  # so that the rest is in (0, 1]
    offsets = first + iota(n, count, axis=1, rank=2, dtype=np.float64)
    places = base.unsqueeze(1) + offsets
    weights = kernel(how["mode"], ((offsets - (x - base).unsqueeze(1)) * shrink).emit("Abs"), how)
    if how.get("antialias"):
        weights = weights / weights.sum(1, keepdims=True)
    if how.get("exclude_outside"):
        weights = (places.lt(0.0) | places.ge(line.whole)).where(0.0, weights)
        total = weights.sum(1, keepdims=True)
        weights = weights / total.eq(0.0).where(1.0, total)
    return places, weights


def kernel(mode: str, d: Term, how: Mapping[str, Any]) -> Term:
    """The weight of an element at a distance: a triangle, or cubic convolution (Keys, 1981) with parameter a."""
    if mode == "linear":
        return (1 - d).clip(0.0, 1.0)
    a = how["cubic_coeff_a"]
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return d.le(1.0).where(near, d.lt(2.0).where(far, 0.0))
