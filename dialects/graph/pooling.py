"""Pools: one value per window of `[N, C, ...]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DenseArrayBase, IntegerAttr, i64
from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def, var_result_def

from ...ir.expr import ONE, Expr
from ...ir.types import Check, ExprAttr, TensorType
from .base import Array, GraphOp, Sizes, kind_of_dtype, need, need_kind, settled, value, wide
from .windows import need_output, need_windows, output_checks, output_size, windows


class Pool(GraphOp):
    """Base of pools with windows: `kernel`, `strides`, `dilations`, `pads` (sizes) and `ceil_mode`.

    C1: x has at least one axis of space. C2: the element type is of a kind that the operator takes. C3: kernel,
    strides, dilations (positive) and pads fit the rank. C4: the padded input holds the kernel.
    """

    KINDS: ClassVar[str] = "f"
    x = operand_def(TensorType)

    def space(self) -> list[Expr]:
        """Output sizes of the axes of space. Raises VerifyException."""
        x = self.type_of(0)
        need(x.rank >= 3, f"C1 rank {x.rank}")
        need_kind(x, self.KINDS, "C2")
        kernel, strides, dilations, pads = (self.get(n) for n in ("kernel", "strides", "dilations", "pads"))
        n = x.rank - 2
        need(len(kernel) == n and min(kernel) >= 1, f"C3 kernel {kernel} for {n} axes")
        need_windows(n, strides, dilations, pads, "C3")
        found = [
            output_size(*given, ceil=self.get("ceil_mode"))
            for given in zip(x.sizes[2:], kernel, strides, dilations, pads[:n], pads[n:], strict=True)
        ]
        need_output(found, "C4")
        return found

    def checks(self) -> Sequence[Check]:
        return output_checks(self.name, self.space())

    def windows_of(self, x: Array, sizes: Sizes, pad: Any) -> Array:
        """The windows as a view `[N, C, out..., kernel...]`, padded with `pad`."""
        pads, out = [sizes(e) for e in self.get("pads")], [sizes(e) for e in self.space()]
        return windows(x, self.get("kernel"), self.get("strides"), self.get("dilations"), pads, out, pad)

    def axes(self) -> tuple[int, ...]:
        """The axes of a window in the view."""
        n = self.type_of(0).rank - 2
        return tuple(range(2 + n, 2 + 2 * n))


@irdl_op_definition
class MaxPool(Pool):
    """The greatest of each window; pads do not count. With `indices` a second result says where, as int64: the position
    in x, flat, with `storage_order` 0 in row-major order, 1 with the axes of space transposed (first of equals); -1 for
    a window of pads alone.

    C1, C3, C4 of Pool; C2: float, or integer of 8 bits. C5: `storage_order` is 0 or 1.
    """

    name = "graph.max_pool"
    KINDS: ClassVar = "fiu"
    EXPRESSIONS: ClassVar = ("pads",)
    DEFAULTS: ClassVar = {"ceil_mode": False, "indices": False, "storage_order": 0}
    kernel = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(ArrayAttr[ExprAttr])
    dilations = prop_def(DenseArrayBase)
    ceil_mode = prop_def(BoolAttr)
    indices = prop_def(BoolAttr)
    storage_order = prop_def(IntegerAttr)
    outputs = var_result_def(TensorType)

    @classmethod
    def result_count(cls, properties: Mapping[str, Attribute]) -> int:
        return 2 if value(properties["indices"]) else 1

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        need(self.get("storage_order") in (0, 1), f"C5 storage_order {self.get('storage_order')}")
        need(x.dtype.kind not in "iu" or x.dtype.itemsize == 1, f"C2 element type {x.element_type}")
        shape = (*x.sizes[:2], *self.space())
        found = [TensorType.of(shape, x.element_type), TensorType.of(shape, i64)]
        return found if self.get("indices") else found[:1]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = inputs[0]
        lowest = -np.inf if kind_of_dtype(x.dtype) == "f" else np.iinfo(x.dtype).min
        view = self.windows_of(wide(x), sizes, lowest)
        found = [settled(view.max(self.axes()), x.dtype)]
        if self.get("indices"):
            order = "F" if self.get("storage_order") else "C"
            within = np.arange(int(np.prod(x.shape[2:]))).reshape(x.shape[2:], order=order)
            lead = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
            place = self.windows_of(lead * within.size + within, sizes, -1)
            flat = (*view.shape[: x.ndim], -1) if view.size else (*view.shape[: x.ndim], 1)
            values, place = view.reshape(flat), place.reshape(flat)
            # a pad never wins: where nothing is greater than the lowest value, the first real element does
            best = np.where(place < 0, False, values == values.max(-1, keepdims=True)) | np.isnan(values)
            found.append(np.take_along_axis(place, best.argmax(-1)[..., None], -1)[..., 0].astype(np.int64))
        return found


@irdl_op_definition
class AveragePool(Pool):
    """The mean of each window, over what lies in the input; with `count_include_pad` also over the pads (as 0).

    What `ceil_mode` adds beyond the pads never counts. C1, C3, C4 of Pool; C2: float.
    """

    name = "graph.average_pool"
    EXPRESSIONS: ClassVar = ("pads",)
    DEFAULTS: ClassVar = {"ceil_mode": False, "count_include_pad": False}
    kernel = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(ArrayAttr[ExprAttr])
    dilations = prop_def(DenseArrayBase)
    ceil_mode = prop_def(BoolAttr)
    count_include_pad = prop_def(BoolAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        return [TensorType.of((*x.sizes[:2], *self.space()), x.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, n = wide(inputs[0]), inputs[0].ndim - 2
        counted = np.ones((1, 1, *x.shape[2:]), x.dtype)
        if self.get("count_include_pad"):
            pads = [sizes(e) for e in self.get("pads")]
            view = self._padded_ones(x.shape[2:], pads, [sizes(e) for e in self.space()], x.dtype)
        else:
            view = self.windows_of(counted, sizes, 0)
        total = self.windows_of(x, sizes, 0).sum(self.axes())
        assert view.ndim == 2 + 2 * n
        with np.errstate(all="ignore"):
            return [settled(total / view.sum(self.axes()), inputs[0].dtype)]

    def _padded_ones(self, space: Sequence[int], pads: Sequence[int], out: Sequence[int], dtype: Any) -> Array:
        n = len(space)
        ones = np.ones((1, 1, *(s + pads[i] + pads[n + i] for i, s in enumerate(space))), dtype)
        return windows(ones, self.get("kernel"), self.get("strides"), self.get("dilations"), [0] * 2 * n, out)


@irdl_op_definition
class LpPool(Pool):
    """(sum of |x|^p)^(1/p) of each window; pads count as 0. C1, C3, C4 of Pool; C2: float. C5: p is at least 1."""

    name = "graph.lp_pool"
    EXPRESSIONS: ClassVar = ("pads",)
    DEFAULTS: ClassVar = {"ceil_mode": False, "p": 2}
    kernel = prop_def(DenseArrayBase)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(ArrayAttr[ExprAttr])
    dilations = prop_def(DenseArrayBase)
    ceil_mode = prop_def(BoolAttr)
    p = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        need(self.get("p") >= 1, f"C5 p is {self.get('p')}")
        return [TensorType.of((*x.sizes[:2], *self.space()), x.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        view = self.windows_of(wide(inputs[0]), sizes, 0)
        return [settled(p_norm(view, self.get("p"), self.axes()), inputs[0].dtype)]


def p_norm(x: Array, p: int, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """(sum of |x|^p)^(1/p) over axes."""
    magnitude = np.abs(x)
    if p == 1:
        return magnitude.sum(axes, keepdims=keepdims)
    if p == 2:
        return np.sqrt((magnitude * magnitude).sum(axes, keepdims=keepdims))
    return np.power(np.power(magnitude, p).sum(axes, keepdims=keepdims), 1 / p).astype(x.dtype)


class GlobalPool(GraphOp):
    """One value per channel: `[N, C, ...] -> [N, C, 1, ...]`. C1: the rank is at least 2. C2: float."""

    x = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        need(x.rank >= 2, f"C1 rank {x.rank}")
        need_kind(x, "f", "C2")
        return [TensorType.of((*x.sizes[:2], *[ONE] * (x.rank - 2)), x.element_type)]

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The meaning; float16 and bfloat16 come as float32."""
        raise NotImplementedError

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = wide(inputs[0])
        with np.errstate(all="ignore"):
            return [settled(self.function(x, tuple(range(2, x.ndim))), inputs[0].dtype)]


@irdl_op_definition
class GlobalAveragePool(GlobalPool):
    """The mean of each channel. C1, C2 of GlobalPool."""

    name = "graph.global_average_pool"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        count = int(np.prod([x.shape[a] for a in axes]))
        return x.sum(axes, keepdims=True) / np.asarray(count, x.dtype)


@irdl_op_definition
class GlobalMaxPool(GlobalPool):
    """The greatest of each channel. C1, C2 of GlobalPool."""

    name = "graph.global_max_pool"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.max(axes, keepdims=True, initial=-np.inf)


@irdl_op_definition
class GlobalLpPool(GlobalPool):
    """(sum of |x|^p)^(1/p) of each channel. C1, C2 of GlobalPool. C3: p is at least 1."""

    name = "graph.global_lp_pool"
    DEFAULTS: ClassVar = {"p": 2}
    p = prop_def(IntegerAttr)

    def infer(self) -> Sequence[TensorType]:
        need(self.get("p") >= 1, f"C3 p is {self.get('p')}")
        return super().infer()

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return p_norm(x, self.get("p"), axes, keepdims=True)
