"""Rules of Resize and Upsample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import Expr
from .builder import Value
from .node import Node, Rule
from .rules_shape import normal
from .symbolic import Ratio

Scale = float | Ratio


def upsample(n: Node) -> Value:
    """Resize as it was before opset 10: by scales, from the corner."""
    scales: Sequence[Scale] = n.required("scales") if n.opset < 9 else scales_of(n, 1)
    return corner(n, scales, "floor")


def resize(n: Node) -> Value:
    if n.opset < 11:
        scales = scales_of(n, 1)
        down = {s < 1.0 for s in scales if isinstance(s, float) and s != 1.0}
        if len(down) > 1:
            raise UnsupportedError("it enlarges one axis and reduces another, which opset 10 does not define")
        return corner(n, scales, "ceil" if down == {True} else "floor")
    return newer(n)


def corner(n: Node, scales: Sequence[Scale], nearest: str) -> Value:
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(n.attr("mode", "nearest"), n.attr("mode", "nearest"))
    how = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
    return scaled(n, list(range(n.input(0).rank)), scales, how)


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
        how["roi"] = region(n, axes)
    if n.has(2) and n.input(2).type.elements != 0:  # older files give empty scales beside sizes
        return scaled(n, axes, scales_of(n, 2), how)
    wanted = n.sizes(3, "sizes")
    if len(wanted) != len(axes):
        raise ModelError(f"{len(wanted)} sizes for {len(axes)} axes")
    policy = n.attr("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        return scaled(n, axes, [aspect(x, axes, wanted, policy)] * len(axes), how, nearest=True)
    sizes = list(x.sizes)
    for axis, size in zip(axes, wanted, strict=True):
        sizes[axis] = size
    return n.emit("Resize", x, sizes=sizes, **how)


def aspect(x: Value, axes: Sequence[int], wanted: Sequence[Expr], policy: str) -> float:
    """The one factor with which no axis is larger, or none smaller, than wanted."""
    pairs = [(w.constant, x.sizes[a].constant) for w, a in zip(wanted, axes, strict=True)]
    if any(w is None or not s for w, s in pairs):
        raise UnsupportedError(f"keep_aspect_ratio_policy {policy} needs known sizes", hint="fix them with --shape")
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


def scales_of(n: Node, position: int) -> list[Scale]:
    """Factors: numbers, or fractions of sizes."""
    known = n.input(position).known
    if known is None:
        raise UnsupportedError("its scales depend on data", hint="give them as constants, or as sizes")
    return [Ratio.of(s) if isinstance(s, Ratio | Expr) else float(s) for s in known.reshape(-1)]


def scaled(
    n: Node, axes: Sequence[int], scales: Sequence[Scale], how: Mapping[str, Any], nearest: bool = False
) -> Value:
    """Resize by factors; sizes round down, or to the nearest."""
    x = n.input(0)
    if len(scales) != len(axes):
        raise ModelError(f"{len(scales)} scales for {len(axes)} axes")
    sizes, factors = list(x.sizes), [1.0] * x.rank
    for axis, scale in zip(axes, scales, strict=True):
        sizes[axis] = times(x.sizes[axis], scale, nearest)
        if not isinstance(scale, Ratio):
            factors[axis] = scale
    exact = not any(isinstance(s, Ratio) for s in scales)
    return n.emit("Resize", x, sizes=sizes, scales=factors if exact else None, **how)


def times(size: Expr, scale: Scale, nearest: bool) -> Expr:
    """size * scale, rounded."""
    if isinstance(scale, Ratio):
        return (size * scale.num) // scale.den
    if not 0 < scale < 2**31:
        raise ModelError(f"a scale is {scale}")
    if (k := size.constant) is not None:
        return Expr.const(int(np.floor(k * scale + 0.5)) if nearest else int(np.float32(k) * np.float32(scale)))
    # a short fraction that is the same float32: 0.7 means 7/10, although the float is a little less
    exact = Fraction(scale).limit_denominator(1000)
    if np.float32(float(exact)) != np.float32(scale):
        exact = Fraction(scale)
    return (size * exact.numerator) // exact.denominator


RULES: Mapping[str, Rule] = {"Resize": resize, "Upsample": upsample}
