"""Rules of Resize and Upsample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import Expr
from . import resize_late
from .builder import Value
from .node import Node, Rule
from .rules_shape import normal
from .symbolic import Ratio
from .terms import Term, number, size

Scale = float | Ratio


def upsample(n: Node) -> Value:
    """Resize as it was before opset 10: by scales, from the corner."""
    scales: Sequence[Scale] | None = n.required("scales") if n.opset < 9 else scales_of(n, 1)
    return corner(n, scales, "floor")


def resize(n: Node) -> Value:
    if n.opset < 11:
        if (scales := scales_of(n, 1)) is None:
            return corner(n, None, resize_late.SIMPLE)
        down = {s < 1.0 for s in scales if isinstance(s, float) and s != 1.0}
        if len(down) > 1:
            raise UnsupportedError("it enlarges one axis and reduces another, which opset 10 does not define")
        return corner(n, scales, "ceil" if down == {True} else "floor")
    return newer(n)


def corner(n: Node, scales: Sequence[Scale] | None, nearest: str) -> Value:
    """Resize of all axes; by input 1 where the scales are data."""
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(n.attr("mode", "nearest"), n.attr("mode", "nearest"))
    how = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
    axes = list(range(n.input(0).rank))
    return resize_late.by_scales(n, axes, n.input(1), how) if scales is None else scaled(n, axes, scales, how)


def newer(n: Node) -> Value:
    x = n.input(0)
    axes = normal(n.attr("axes", list(range(x.rank))), x.rank)
    coordinates = n.attr("coordinate_transformation_mode", "half_pixel")
    how: dict[str, Any] = {
        "mode": n.attr("mode", "nearest"),
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": n.attr("nearest_mode", "round_prefer_floor"),
        "cubic_coeff_a": n.attr("cubic_coeff_a", -0.75),
        "exclude_outside": bool(n.attr("exclude_outside", 0)),
        "extrapolation_value": n.attr("extrapolation_value", 0.0),
        "antialias": bool(n.attr("antialias", 0)),
    }
    if coordinates == "tf_crop_and_resize":
        how["roi"] = n.input(1)
    if by_scales(n):
        scales = scales_of(n, 2)
        return resize_late.by_scales(n, axes, n.input(2), how) if scales is None else scaled(n, axes, scales, how)
    wanted = n.sizes(3, "sizes")
    if len(wanted) != len(axes):
        raise ModelError(f"{len(wanted)} sizes for {len(axes)} axes")
    policy = n.attr("keep_aspect_ratio_policy", "stretch")
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise ModelError(f"keep_aspect_ratio_policy {policy!r}")
    if policy == "stretch":
        return placed(n, axes, wanted, None, how)
    if (factor := aspect(x, axes, wanted, policy)) is None:
        return resize_late.by_aspect(n, axes, wanted, policy, how)
    return scaled(n, axes, [factor] * len(axes), how, nearest=True)


def by_scales(n: Node) -> bool:
    """Whether scales are given, and not sizes; older files give empty scales beside sizes."""
    if not n.has(2) or not n.has(3):
        return n.has(2)
    count = n.input(2).type.elements
    if count.constant is None:
        n.check(count, "it has both scales and sizes")
    return bool(count.constant)


def aspect(x: Value, axes: Sequence[int], wanted: Sequence[Expr], policy: str) -> float | None:
    """The one factor with which no axis is larger, or none smaller, than wanted; None where sizes are not known."""
    pairs = [(w.constant, x.sizes[a].constant) for w, a in zip(wanted, axes, strict=True)]
    if any(w is None or not s for w, s in pairs):
        return None
    factors = [w / s for w, s in pairs]  # type: ignore[operator]
    return min(factors) if policy == "not_larger" else max(factors)


def region(n: Node, axes: Sequence[int]) -> list[float]:
    """roi of all axes."""
    given, rank = [float(v) for v in n.numbers(1, "roi").reshape(-1)], n.input(0).rank
    if len(given) != 2 * len(axes):
        raise ModelError(f"roi has {len(given)} values for {len(axes)} axes")
    found = [0.0] * rank + [1.0] * rank
    for i, axis in enumerate(axes):
        found[axis], found[rank + axis] = given[i], given[len(axes) + i]
    return found


def scales_of(n: Node, position: int) -> list[Scale] | None:
    """Factors: numbers, or fractions of sizes; None where they are data."""
    known = n.input(position).known
    if known is None:
        return None
    return [Ratio.of(s) if isinstance(s, Ratio | Expr) else float(s) for s in known.reshape(-1)]


def scaled(
    n: Node, axes: Sequence[int], scales: Sequence[Scale], how: Mapping[str, Any], nearest: bool = False
) -> Value:
    """Resize by factors; sizes round down, or to the nearest."""
    x = n.input(0)
    if len(scales) != len(axes):
        raise ModelError(f"{len(scales)} scales for {len(axes)} axes")
    return placed(n, axes, [times(x.sizes[a], s, nearest) for a, s in zip(axes, scales, strict=True)], scales, how)


def placed(
    n: Node, axes: Sequence[int], wanted: Sequence[Expr], scales: Sequence[Scale] | None, how: Mapping[str, Any]
) -> Value:
    """Resize of the axes to the sizes that are wanted; as formulas where the operator wants to know more."""
    x, how = n.input(0), dict(how)
    pairs = [(x.sizes[a], w) for a, w in zip(axes, wanted, strict=True)]
    unknown = any(a != b and (a.constant is None or b.constant is None) for a, b in pairs)
    if (how.get("antialias") and unknown) or ("roi" in how and how["roi"].numbers is None):
        given = scales or [Ratio(w, s) for s, w in pairs]
        return resize_late.interpolated(n, axes, wanted, [factor(n, s) for s in given], how)
    if "roi" in how:
        how["roi"] = region(n, axes)
    sizes, factors = list(x.sizes), [1.0] * x.rank
    for i, axis in enumerate(axes):
        sizes[axis] = wanted[i]
        if scales is not None and not isinstance(scale := scales[i], Ratio):
            factors[axis] = scale
    exact = scales is not None and not any(isinstance(s, Ratio) for s in scales)
    given = Term(n, x)
    if whole := how["mode"] != "nearest" and x.dtype.kind in "iu":
        given = given.cast(np.float64)
    found = given.emit("Resize", sizes=sizes, scales=factors if exact else None, **how)
    return resize_late.whole_numbers(found, x.dtype).cast(x.dtype).value if whole else found.value


def factor(n: Node, scale: Scale) -> Term:
    """A scale as a float64 scalar."""
    if not isinstance(scale, Ratio):
        return number(n, scale, np.float64)
    return size(n, scale.num, np.float64) / size(n, scale.den, np.float64)


def times(length: Expr, scale: Scale, nearest: bool) -> Expr:
    """length * scale, rounded."""
    if isinstance(scale, Ratio):
        return (length * scale.num) // scale.den
    if not 0 < scale < 2**31:
        raise ModelError(f"a scale is {scale}")
    if (k := length.constant) is not None:
        return Expr.const(int(np.floor(k * scale + 0.5)) if nearest else int(np.float32(k) * np.float32(scale)))
    # a short fraction that is the same float32: 0.7 means 7/10, although the float is a little less
    exact = Fraction(scale).limit_denominator(1000)
    if np.float32(float(exact)) != np.float32(scale):
        exact = Fraction(scale)
    return (length * exact.numerator) // exact.denominator


RULES: Mapping[str, Rule] = {"Resize": resize, "Upsample": upsample}
