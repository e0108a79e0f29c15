"""Operators along axes: reductions, positions of extremes, running sums."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import BoolAttr, DenseArrayBase, IntegerAttr, i64
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def

from ...ir.expr import ONE, maximum, minimum
from ...ir.types import Check, ExprAttr, TensorType
from .base import Array, GraphOp, Sizes, is_symbolic, kind_of_dtype, need, need_kind, normal_axis, settled, wide
from .indexing import at_most


def lowest(dtype: Any) -> Any:
    """The least value: what `max` starts from."""
    match kind_of_dtype(dtype):
        case "f":
            return -np.inf
        case "b":
            return False
        case _:
            return np.iinfo(dtype).min


def highest(dtype: Any) -> Any:
    """The greatest value: what `min` starts from."""
    match kind_of_dtype(dtype):
        case "f":
            return np.inf
        case "b":
            return True
        case _:
            return np.iinfo(dtype).max


class Reduction(GraphOp):
    """Base of reductions over `axes`, which stay with size 1 if `keepdims`. No axes: each element is reduced alone.

    C1: axes are in the rank, each once. C2: the element type is of a kind that the operator takes.
    """

    KINDS: ClassVar[str] = "fiu"
    x = operand_def(TensorType)
    result = result_def(TensorType)

    def normal_axes(self) -> tuple[int, ...]:
        """The axes from the front, in order. Raises VerifyException."""
        rank = self.type_of(0).rank
        axes = sorted(normal_axis(a, rank) for a in self.get("axes"))
        need(len(set(axes)) == len(axes) and (rank > 0 or not axes), f"C1 axes {[*self.get('axes')]} for rank {rank}")
        return tuple(axes)

    def infer(self) -> Sequence[TensorType]:
        x, axes = self.type_of(0), self.normal_axes()
        need_kind(x, self.KINDS, "C2")
        if self.get("keepdims"):
            out = [ONE if i in axes else size for i, size in enumerate(x.sizes)]
        else:
            out = [size for i, size in enumerate(x.sizes) if i not in axes]
        return [TensorType.of(out, x.element_type)]

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The meaning, without the reduced axes; float16 and bfloat16 come as float32."""
        raise NotImplementedError

    def expression(self, a: Any, b: Any) -> Any:
        """How two sizes are combined. Raises TypeError where there is no meaning for them."""
        raise TypeError(f"{self.name} of sizes that are not constant")

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, axes = inputs[0], self.normal_axes()
        if is_symbolic(x):
            found: Any = x
            for axis in reversed(axes):
                parts = list(np.moveaxis(found, axis, 0))
                if not parts:
                    raise TypeError(f"{self.name} of no sizes")
                found = reduce(np.frompyfunc(self.expression, 2, 1), parts)
            found = np.asarray(found, object)
        else:
            with np.errstate(all="ignore"):
                found = settled(self.function(wide(x), axes), x.dtype)
        return [np.expand_dims(found, axes) if self.get("keepdims") else found]


class PlainReduction(Reduction):
    """Adds the properties; C1, C2 of Reduction."""

    DEFAULTS: ClassVar = {"keepdims": True}
    axes = prop_def(DenseArrayBase)
    keepdims = prop_def(BoolAttr)


def count_of(x: Array, axes: tuple[int, ...]) -> int:
    return int(np.prod([x.shape[a] for a in axes], dtype=np.int64))


def total(x: Array, axes: tuple[int, ...]) -> Array:
    """The sum, in x's dtype: integers wrap around."""
    return x.sum(axes, dtype=x.dtype)


def by_float(function: Any, x: Array) -> Array:
    """A function of floats; integers go through float64 and are rounded toward zero."""
    return function(x) if x.dtype.kind == "f" else np.trunc(function(x.astype(np.float64)))


@irdl_op_definition
class ReduceSum(PlainReduction):
    """The sum; of nothing 0. Integers wrap around. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_sum"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return total(x, axes)

    def expression(self, a: Any, b: Any) -> Any:
        return a + b


@irdl_op_definition
class ReduceMean(PlainReduction):
    """The sum divided by the number of elements, toward zero for integers; of nothing NaN (undefined for integers).

    C1 of Reduction. C2: numbers.
    """

    name = "graph.reduce_mean"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        count = count_of(x, axes)
        if x.dtype.kind == "f":
            return total(x, axes) / np.asarray(count, x.dtype)
        whole = x.sum(axes, dtype=np.uint64 if x.dtype.kind == "u" else np.int64)
        magnitude = np.abs(whole) // max(count, 1)
        return np.where(whole < 0, -magnitude.astype(np.int64), magnitude) if x.dtype.kind == "i" else magnitude


@irdl_op_definition
class ReduceProd(PlainReduction):
    """The product; of nothing 1. Integers wrap around. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_prod"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.prod(axes, dtype=x.dtype)

    def expression(self, a: Any, b: Any) -> Any:
        return a * b


@irdl_op_definition
class ReduceMax(PlainReduction):
    """The greatest, NaN if one is NaN; of nothing the type's least value. C1 of Reduction. C2: any element type."""

    name = "graph.reduce_max"
    KINDS: ClassVar = "fiub"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.max(axes, initial=lowest(x.dtype))

    def expression(self, a: Any, b: Any) -> Any:
        return maximum(a, b)


@irdl_op_definition
class ReduceMin(PlainReduction):
    """The least, NaN if one is NaN; of nothing the type's greatest value. C1 of Reduction. C2: any element type."""

    name = "graph.reduce_min"
    KINDS: ClassVar = "fiub"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.min(axes, initial=highest(x.dtype))

    def expression(self, a: Any, b: Any) -> Any:
        return minimum(a, b)


@irdl_op_definition
class ReduceL1(PlainReduction):
    """The sum of magnitudes. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_l1"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return total(np.abs(x), axes)


@irdl_op_definition
class ReduceL2(PlainReduction):
    """The square root of the sum of squares. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_l2"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return by_float(np.sqrt, total(x * x, axes))


@irdl_op_definition
class ReduceSumSquare(PlainReduction):
    """The sum of squares. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_sum_square"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return total(x * x, axes)


@irdl_op_definition
class ReduceLogSum(PlainReduction):
    """The logarithm of the sum. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_log_sum"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return by_float(np.log, total(x, axes))


@irdl_op_definition
class ReduceLogSumExp(PlainReduction):
    """The logarithm of the sum of exponentials, without overflow; of nothing -inf. C1 of Reduction. C2: numbers."""

    name = "graph.reduce_log_sum_exp"

    def function(self, x: Array, axes: tuple[int, ...]) -> Array:
        return by_float(lambda values: log_sum_exp(values, axes), x)


def log_sum_exp(x: Array, axes: tuple[int, ...]) -> Array:
    """log(sum(e^x)) over axes, the greatest taken out before the exponential."""
    greatest = x.max(axes, keepdims=True, initial=-np.inf)
    greatest = np.where(np.isfinite(greatest), greatest, 0).astype(x.dtype)
    return np.log(np.exp(x - greatest).sum(axes)) + greatest.squeeze(axes)


# ---- positions of extremes


class Position(GraphOp):
    """Base of ArgMax and ArgMin: the int64 position along `axis`, the first of equals (`select_last_index`: the last).

    C1: the axis is in the rank. C2: numbers. C3: the axis is not empty.
    """

    x = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        axis = normal_axis(self.get("axis"), x.rank)
        need(x.rank > 0, f"C1 axis {axis} of a scalar")
        need_kind(x, "fiu", "C2")
        at_most(self.name, [ONE], [x.sizes[axis]], "C3")
        kept = [ONE] if self.get("keepdims") else []
        return [TensorType.of((*x.sizes[:axis], *kept, *x.sizes[axis + 1 :]), i64)]

    def checks(self) -> Sequence[Check]:
        x = self.type_of(0)
        return at_most(self.name, [ONE], [x.sizes[normal_axis(self.get("axis"), x.rank)]], "C3")

    def position(self, x: Array, find: Any) -> Sequence[Array]:
        axis = self.get("axis")
        if self.get("select_last_index"):
            found = x.shape[axis] - 1 - find(np.flip(x, axis), axis)
        else:
            found = find(x, axis)
        return [np.asarray(np.expand_dims(found, axis) if self.get("keepdims") else found, np.int64)]


@irdl_op_definition
class ArgMax(Position):
    """The position of the greatest element (of the first NaN, if there is one). C1–C3 of Position."""

    name = "graph.arg_max"
    DEFAULTS: ClassVar = {"axis": 0, "keepdims": True, "select_last_index": False}
    axis = prop_def(IntegerAttr)
    keepdims = prop_def(BoolAttr)
    select_last_index = prop_def(BoolAttr)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return self.position(wide(inputs[0]), np.argmax)


@irdl_op_definition
class ArgMin(Position):
    """The position of the least element (of the first NaN, if there is one). C1–C3 of Position."""

    name = "graph.arg_min"
    DEFAULTS: ClassVar = {"axis": 0, "keepdims": True, "select_last_index": False}
    axis = prop_def(IntegerAttr)
    keepdims = prop_def(BoolAttr)
    select_last_index = prop_def(BoolAttr)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return self.position(wide(inputs[0]), np.argmin)


@irdl_op_definition
class TopK(GraphOp):
    """The `k` greatest (`largest`) or least elements along `axis` in order, and their int64 positions.

    Of equal elements the first comes first; NaN counts as greater than any number. Without `sorted` any order will do.
    C1: the axis is in the rank. C2: numbers. C3: k is not negative and at most the size.
    """

    name = "graph.top_k"
    EXPRESSIONS: ClassVar = ("k",)
    DEFAULTS: ClassVar = {"axis": -1, "largest": True, "sorted": True}
    x = operand_def(TensorType)
    k = prop_def(ExprAttr)
    axis = prop_def(IntegerAttr)
    largest = prop_def(BoolAttr)
    sorted = prop_def(BoolAttr)
    values = result_def(TensorType)
    positions = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, k = self.type_of(0), self.get("k")
        axis = normal_axis(self.get("axis"), x.rank)
        need(x.rank > 0, f"C1 axis {axis} of a scalar")
        need_kind(x, "fiu", "C2")
        need(k.constant is None or k.constant >= 0, f"C3 k is {k}")
        at_most("TopK", [k], [x.sizes[axis]], "C3")
        shape = (*x.sizes[:axis], k, *x.sizes[axis + 1 :])
        return [TensorType.of(shape, x.element_type), TensorType.of(shape, i64)]

    def checks(self) -> Sequence[Check]:
        x = self.type_of(0)
        return at_most("TopK", [self.get("k")], [x.sizes[normal_axis(self.get("axis"), x.rank)]], "C3")

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, axis = inputs[0], self.get("axis")
        if self.get("largest"):  # descending and stable: ascending from behind
            order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(wide(x), axis), axis, kind="stable"), axis)
        else:
            order = np.argsort(wide(x), axis, kind="stable")
        order = order.take(np.arange(sizes(self.get("k"))), axis)
        return [np.take_along_axis(x, order, axis), order.astype(np.int64)]


# ---- running sums


class Running(GraphOp):
    """Base of running reductions along `axis`: `exclusive` of the element itself, `reverse` from the end.

    C1: the axis is in the rank. C2: numbers.
    """

    NEUTRAL: ClassVar[int] = 0
    x = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        normal_axis(self.get("axis"), x.rank)
        need(x.rank > 0, "C1 a scalar has no axis")
        need_kind(x, "fiu", "C2")
        return [x]

    def running(self, x: Array, accumulate: Any) -> Sequence[Array]:
        axis, given = self.get("axis") % x.ndim, x
        x = np.flip(wide(x), axis) if self.get("reverse") else wide(x)
        if self.get("exclusive"):
            start = np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), self.NEUTRAL, x.dtype)
            x = np.concatenate([start, x], axis).take(np.arange(x.shape[axis]), axis)
        with np.errstate(all="ignore"):
            found = settled(accumulate(x, axis, dtype=x.dtype), given.dtype)
        return [np.flip(found, axis) if self.get("reverse") else found]


@irdl_op_definition
class CumSum(Running):
    """The sum of the elements up to each one. C1, C2 of Running."""

    name = "graph.cum_sum"
    DEFAULTS: ClassVar = {"exclusive": False, "reverse": False}
    axis = prop_def(IntegerAttr)
    exclusive = prop_def(BoolAttr)
    reverse = prop_def(BoolAttr)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return self.running(inputs[0], np.cumsum)


@irdl_op_definition
class CumProd(Running):
    """The product of the elements up to each one. C1, C2 of Running."""

    name = "graph.cum_prod"
    NEUTRAL: ClassVar[int] = 1
    DEFAULTS: ClassVar = {"exclusive": False, "reverse": False}
    axis = prop_def(IntegerAttr)
    exclusive = prop_def(BoolAttr)
    reverse = prop_def(BoolAttr)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return self.running(inputs[0], np.cumprod)
