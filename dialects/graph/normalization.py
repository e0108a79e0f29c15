"""Operators that scale by statistics of their input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def, result_def

from ...ir.types import Check, TensorType
from .base import (
    Array,
    GraphOp,
    Sizes,
    broadcast_checks,
    broadcast_shapes,
    need,
    need_kind,
    need_same,
    normal_axis,
    same_checks,
    settled,
    wide,
)
from .pooling import p_norm


class PerChannel(GraphOp):
    """Base of normalisations of `[N, C, ...]` with vectors of C elements.

    C1: the rank is at least 2. C2: x is float. C3: each vector has C elements. C4: each vector is float.
    """

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        need(x.rank >= 2, f"C1 rank {x.rank}")
        need_kind(x, "f", "C2")
        for i in range(1, len(self.operands)):
            vector = self.type_of(i)
            need_kind(vector, "f", "C4")
            need(vector.rank == 1, f"C3 a vector of rank {vector.rank}")
            need(
                (vector.sizes[0] - x.sizes[1]).constant in (None, 0), f"C3 {vector.sizes[0]} for {x.sizes[1]} channels"
            )
        return [x]

    def checks(self) -> Sequence[Check]:
        channels = self.type_of(0).sizes[1]
        return same_checks(self.name, [(channels, self.type_of(i).sizes[0]) for i in range(1, len(self.operands))])


def per_channel(vector: Array, x: Array) -> Array:
    """A vector along axis 1 of x, float16 and bfloat16 as float32."""
    return wide(vector).reshape(-1, *[1] * (x.ndim - 2))


@irdl_op_definition
class BatchNormalization(PerChannel):
    """(x - mean) / sqrt(variance + `epsilon`) * scale + bias per channel, as at inference. C1–C4 of PerChannel."""

    name = "graph.batch_normalization"
    DEFAULTS: ClassVar = {"epsilon": 1e-5}
    x = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = operand_def(TensorType)
    mean = operand_def(TensorType)
    variance = operand_def(TensorType)
    epsilon = prop_def(FloatAttr)
    result = result_def(TensorType)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = wide(inputs[0])
        scale, bias, mean, variance = (per_channel(v, x) for v in inputs[1:])
        with np.errstate(all="ignore"):
            found = (x - mean) / np.sqrt(variance + self.get("epsilon")) * scale + bias
            return [settled(found, inputs[0].dtype)]


@irdl_op_definition
class InstanceNormalization(PerChannel):
    """(x - mean) / sqrt(variance + `epsilon`) * scale + bias, with statistics of each channel of each image.

    C1–C4 of PerChannel.
    """

    name = "graph.instance_normalization"
    DEFAULTS: ClassVar = {"epsilon": 1e-5}
    x = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = operand_def(TensorType)
    epsilon = prop_def(FloatAttr)
    result = result_def(TensorType)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = wide(inputs[0])
        scale, bias = (per_channel(v, x) for v in inputs[1:])
        with np.errstate(all="ignore"):
            found = standardized(x, tuple(range(2, x.ndim)), self.get("epsilon")) * scale + bias
            return [settled(found, inputs[0].dtype)]


def mean_of(x: Array, axes: tuple[int, ...]) -> Array:
    """The mean over axes, which stay with size 1; NaN of nothing."""
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    return x.sum(axes, keepdims=True) / np.asarray(count, x.dtype)


def standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon) with statistics over axes."""
    centred = x - mean_of(x, axes)
    return centred / np.sqrt(mean_of(centred * centred, axes) + epsilon)


class FromAxis(GraphOp):
    """Base of normalisations over the axes from `axis` on, with a scale (and bias) that broadcasts to x.

    C1: scale and bias broadcast to x's sizes. C2: the axis is in the rank. C3: the element types are equal and float.
    """

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        need(x.rank > 0, "C2 a scalar has no axis")
        normal_axis(self.get("axis"), x.rank, "C2 axis")
        need_kind(x, "f", "C3")
        for i in range(1, len(self.operands)):
            other = self.type_of(i)
            need_same(x, other, "C3")
            need(other.rank <= x.rank, f"C1 rank {other.rank} does not broadcast to {x.rank}")
            for size, given in zip(broadcast_shapes(x.sizes, other.sizes), x.sizes, strict=True):
                need((size - given).constant in (None, 0), f"C1 sizes {other.sizes} do not broadcast to {x.sizes}")
        return [x]

    def checks(self) -> Sequence[Check]:
        x = self.type_of(0).sizes
        return [c for i in range(1, len(self.operands)) for c in broadcast_checks(self.name, x, self.type_of(i).sizes)]

    def axes(self) -> tuple[int, ...]:
        rank = self.type_of(0).rank
        return tuple(range(self.get("axis") % rank, rank))


@irdl_op_definition
class LayerNormalization(FromAxis):
    """(x - mean) / sqrt(variance + `epsilon`) * scale + bias, with statistics over the axes from `axis` on.

    C1–C3 of FromAxis.
    """

    name = "graph.layer_normalization"
    DEFAULTS: ClassVar = {"axis": -1, "epsilon": 1e-5}
    x = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    epsilon = prop_def(FloatAttr)
    result = result_def(TensorType)

    def evaluate(self, inputs: Sequence[Array | None], sizes: Sizes) -> Sequence[Array]:
        x, scale, bias = (*inputs, None)[:3]
        assert x is not None and scale is not None
        with np.errstate(all="ignore"):
            found = standardized(wide(x), self.axes(), self.get("epsilon")) * wide(scale)
            return [settled(found if bias is None else found + wide(bias), x.dtype)]


@irdl_op_definition
class RMSNormalization(FromAxis):
    """x / sqrt(mean of x^2 + `epsilon`) * scale, with the mean over the axes from `axis` on. C1–C3 of FromAxis."""

    name = "graph.rms_normalization"
    DEFAULTS: ClassVar = {"axis": -1, "epsilon": 1e-5}
    x = operand_def(TensorType)
    scale = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    epsilon = prop_def(FloatAttr)
    result = result_def(TensorType)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, scale = wide(inputs[0]), wide(inputs[1])
        with np.errstate(all="ignore"):
            found = x / np.sqrt(mean_of(x * x, self.axes()) + self.get("epsilon")) * scale
            return [settled(found, inputs[0].dtype)]


@irdl_op_definition
class LRN(GraphOp):
    """x / (`bias` + `alpha` / `size` * s)^`beta`, s the sum of squares over `size` neighbouring channels (axis 1).

    The neighbours are (size - 1) floordiv 2 before and (size - 1) ceildiv 2 after.
    C1: the rank is at least 2. C2: float. C3: `size` is positive.
    """

    name = "graph.lrn"
    DEFAULTS: ClassVar = {"alpha": 0.0001, "beta": 0.75, "bias": 1.0}
    x = operand_def(TensorType)
    size = prop_def(IntegerAttr)
    alpha = prop_def(FloatAttr)
    beta = prop_def(FloatAttr)
    bias = prop_def(FloatAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        need(x.rank >= 2, f"C1 rank {x.rank}")
        need_kind(x, "f", "C2")
        need(self.get("size") >= 1, f"C3 size {self.get('size')}")
        return [x]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, size = wide(inputs[0]), self.get("size")
        before, channels = (size - 1) // 2, x.shape[1]
        squares = np.pad(x * x, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
        total = np.zeros_like(x)
        for i in range(size):
            total += squares[:, i : i + channels]
        with np.errstate(all="ignore"):
            found = x / np.power(self.get("bias") + self.get("alpha") / size * total, self.get("beta"))
            return [settled(found, inputs[0].dtype)]


class AlongAxis(GraphOp):
    """Base of normalisations along one `axis`. C1: the axis is in the rank. C2: float."""

    x = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        normal_axis(self.get("axis"), x.rank)
        need_kind(x, "f", "C2")
        return [x]

    def function(self, x: Array, axis: int) -> Array:
        """The meaning; float16 and bfloat16 come as float32."""
        raise NotImplementedError

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = wide(inputs[0])
        with np.errstate(all="ignore"):
            found = self.function(x.reshape(x.shape or (1,)), self.get("axis")) if x.size else x
            return [settled(found.reshape(x.shape), inputs[0].dtype)]


@irdl_op_definition
class Softmax(AlongAxis):
    """e^x / sum of e^x along `axis`, the greatest taken out before the exponential. C1, C2 of AlongAxis.

    In float16 and bfloat16 exponentials and sums are rounded to the type, as the steps of ONNX's function body are.
    """

    name = "graph.softmax"
    DEFAULTS: ClassVar = {"axis": -1}
    axis = prop_def(IntegerAttr)

    def function(self, x: Array, axis: int) -> Array:
        short = self.type_of(0).dtype
        exponentials = np.exp(x - x.max(axis, keepdims=True)).astype(short).astype(x.dtype)
        return exponentials / exponentials.sum(axis, keepdims=True).astype(short).astype(x.dtype)


@irdl_op_definition
class LogSoftmax(AlongAxis):
    """x - log(sum of e^x) along `axis`, the greatest taken out before the exponential. C1, C2 of AlongAxis."""

    name = "graph.log_softmax"
    DEFAULTS: ClassVar = {"axis": -1}
    axis = prop_def(IntegerAttr)

    def function(self, x: Array, axis: int) -> Array:
        shifted = x - x.max(axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


@irdl_op_definition
class Hardmax(AlongAxis):
    """1 at the first greatest element along `axis`, 0 elsewhere. C1, C2 of AlongAxis."""

    name = "graph.hardmax"
    DEFAULTS: ClassVar = {"axis": -1}
    axis = prop_def(IntegerAttr)

    def function(self, x: Array, axis: int) -> Array:
        found = np.zeros_like(x)
        np.put_along_axis(found, np.expand_dims(x.argmax(axis), axis), 1, axis)
        return found


@irdl_op_definition
class LpNormalization(AlongAxis):
    """x / (sum of |x|^p)^(1/p) along `axis`; 0 where that is 0. C1, C2 of AlongAxis. C3: p is 1 or 2."""

    name = "graph.lp_normalization"
    DEFAULTS: ClassVar = {"axis": -1, "p": 2}
    axis = prop_def(IntegerAttr)
    p = prop_def(IntegerAttr)

    def infer(self) -> Sequence[TensorType]:
        need(self.get("p") in (1, 2), f"C3 p is {self.get('p')}")
        return super().infer()

    def function(self, x: Array, axis: int) -> Array:
        norm = p_norm(x, self.get("p"), (axis,), keepdims=True)
        return np.where(norm == 0, 0, x / norm)
