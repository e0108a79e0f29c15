"""Resize: interpolation along axes, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DenseArrayBase, FloatAttr, StringAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def

from ...ir.expr import ONE, ZERO
from ...ir.types import Check, ExprAttr, TensorType
from .base import Array, GraphOp, Sizes, need, need_kind, settled
from .indexing import at_most

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@irdl_op_definition
class Resize(GraphOp):
    """x interpolated to `sizes`, by `mode` "nearest", "linear" or "cubic", as ONNX says.

    `scales` has one factor per axis; without it they are result size / size. An axis with factor 1 and an unchanged
    size stays as it is. `roi` `[start_1, ..., end_1, ...]` is for "tf_crop_and_resize".
    C1: sizes, scales (positive) and roi fit the rank. C2: numbers, floats for "cubic". C3: the modes are known, roi
    stands with its mode, "nearest" has no `antialias`. C4: an axis that grows from nothing is an error.
    """

    name = "graph.resize"
    EXPRESSIONS: ClassVar = ("sizes",)
    DEFAULTS: ClassVar = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_floor",
        "cubic_coeff_a": -0.75,
        "exclude_outside": False,
        "extrapolation_value": 0.0,
        "antialias": False,
    }
    x = operand_def(TensorType)
    sizes = prop_def(ArrayAttr[ExprAttr])
    scales = opt_prop_def(DenseArrayBase)
    roi = opt_prop_def(DenseArrayBase)
    mode = prop_def(StringAttr)
    coordinate_transformation_mode = prop_def(StringAttr)
    nearest_mode = prop_def(StringAttr)
    cubic_coeff_a = prop_def(FloatAttr)
    exclude_outside = prop_def(BoolAttr)
    extrapolation_value = prop_def(FloatAttr)
    antialias = prop_def(BoolAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, sizes, mode = self.type_of(0), self.get("sizes"), self.get("mode")
        scales, roi, coordinates = self.get("scales"), self.get("roi"), self.get("coordinate_transformation_mode")
        need(len(sizes) == x.rank, f"C1 {len(sizes)} sizes for rank {x.rank}")
        need(all(s.constant is None or s.constant >= 0 for s in sizes), f"C1 sizes {sizes}")
        need(scales is None or (len(scales) == x.rank and min(scales, default=1) > 0), f"C1 scales {scales}")
        need(roi is None or len(roi) == 2 * x.rank, f"C1 roi {roi}")
        need_kind(x, "f" if mode == "cubic" else "fiub" if mode == "nearest" else "fiu", "C2")
        need(mode in ("nearest", "linear", "cubic"), f"C3 mode {mode!r}")
        need(coordinates in COORDINATES, f"C3 coordinate_transformation_mode {coordinates!r}")
        need(self.get("nearest_mode") in NEAREST, f"C3 nearest_mode {self.get('nearest_mode')!r}")
        need((roi is None) == (coordinates != "tf_crop_and_resize"), f"C3 roi {roi} for {coordinates}")
        need(not (mode == "nearest" and self.get("antialias")), "C3 antialias for nearest")
        self.checks()
        return [TensorType.of(sizes, x.element_type)]

    def checks(self) -> Sequence[Check]:
        pairs = zip(self.get("sizes"), self.type_of(0).sizes, strict=True)
        sources = [size for new, size in pairs if new != size and new != ZERO]
        return at_most("Resize", [ONE] * len(sources), sources, "C4")

    def positions(self, axis: int, size: int, new: int) -> Array:
        """Where each of the `new` elements along an axis of `size` lies in x: float64 coordinates."""
        scales, roi = self.get("scales"), self.get("roi")
        scale = new / size if scales is None else scales[axis]
        length = new if scales is None else scale * size  # not always a whole number
        y = np.arange(new, dtype=np.float64)
        match self.get("coordinate_transformation_mode"):
            case "asymmetric":
                return y / scale
            case "align_corners":
                return y * 0 if length == 1 else y * (size - 1) / (length - 1)
            case "pytorch_half_pixel":
                return y * 0 - 0.5 if length == 1 else (y + 0.5) / scale - 0.5
            case "half_pixel_symmetric":
                return size / 2 * (1 - new / length) + (y + 0.5) / scale - 0.5
            case "tf_crop_and_resize":
                start, end = roi[axis], roi[axis + len(roi) // 2]
                if length == 1:
                    return y * 0 + (end - start) * (size - 1) / 2 + start * (size - 1)
                return y * (end - start) * (size - 1) / (length - 1) + start * (size - 1)
            case _:
                return (y + 0.5) / scale - 0.5

    def is_identity(self, axis: int, size: int, new: int) -> bool:
        """True for an axis that stays as it is."""
        scales, roi = self.get("scales"), self.get("roi")
        whole = roi is None or (roi[axis] == 0 and roi[axis + len(roi) // 2] == 1)
        return new == size and (scales is None or scales[axis] == 1) and whole

    def taps(self, axis: int, size: int, new: int) -> tuple[Array, Array, Array]:
        """What each of the `new` elements along an axis is made of: positions in x `[new, n]` (int64, in range), their
        weights `[new, n]` (float64), and where the extrapolation value stands instead `[new]` (bool)."""
        x, mode = self.positions(axis, size, new), self.get("mode")
        scales = self.get("scales")
        scale = new / size if scales is None else scales[axis]
        outside = np.zeros(new, np.bool_)
        if self.get("coordinate_transformation_mode") == "tf_crop_and_resize":
            outside = (x < 0) | (x > size - 1)
        if mode == "nearest":
            nearest = {
                "round_prefer_floor": np.ceil(x - 0.5),
                "round_prefer_ceil": np.floor(x + 0.5),
                "floor": np.floor(x),
                "ceil": np.ceil(x),
            }[self.get("nearest_mode")]
            return np.clip(nearest, 0, size - 1).astype(np.int64)[:, None], np.ones((new, 1)), outside
        base = np.ceil(x) - 1  # so that the rest is in (0, 1]
        shrink = min(scale, 1.0) if self.get("antialias") else 1.0
        reach = 1 if mode == "linear" else 2
        first = int(np.floor(-reach / shrink)) + 1
        offsets = np.arange(first, 2 - first)
        weights = kernel(mode, (offsets - (x - base)[:, None]) * shrink, self.get("cubic_coeff_a"))
        places = base[:, None] + offsets
        if self.get("antialias"):
            weights = weights / weights.sum(1, keepdims=True)
        if self.get("exclude_outside"):
            weights = np.where((places < 0) | (places >= size), 0, weights)
            sums = weights.sum(1, keepdims=True)
            weights = weights / np.where(sums == 0, 1, sums)
        return np.clip(places, 0, size - 1).astype(np.int64), weights, outside

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = inputs[0]
        nearest = self.get("mode") == "nearest"
        found: Any = x if nearest else x.astype(np.float64)
        shape = [sizes(e) for e in self.get("sizes")]
        if 0 in shape:
            return [np.zeros(shape, x.dtype)]
        for axis, new in enumerate(shape):
            size = x.shape[axis]
            if self.is_identity(axis, size, new):
                continue
            places, weights, outside = self.taps(axis, size, new)
            shape = (*places.shape, *[1] * (x.ndim - axis - 1))
            found = np.take(found, places, axis)
            found = found.squeeze(axis + 1) if nearest else (found * weights.reshape(shape)).sum(axis + 1)
            if outside.any():
                value = np.asarray(self.get("extrapolation_value"), found.dtype)
                found = np.where(outside.reshape(-1, *shape[2:]), value, found)
        if x.dtype.kind in "iu" and not nearest:
            limits = np.iinfo(x.dtype)
            found = np.clip(np.rint(found), limits.min, limits.max)
        return [settled(found, x.dtype)]


def kernel(mode: str, distance: Array, a: float) -> Array:
    """The weight of an element at a distance: a triangle, or the cubic convolution with parameter `a`."""
    d = np.abs(distance)
    if mode == "linear":
        return np.clip(1 - d, 0, 1)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
