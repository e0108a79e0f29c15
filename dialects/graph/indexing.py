"""Operators that take elements from, or put them to, places given by integer tensors.

A negative index counts from the end. An index outside of its axis is an error: the reference raises IndexError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, StringAttr
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def, var_operand_def

from ...ir.expr import ZERO, Expr, maximum
from ...ir.types import Check, ExprAttr, TensorType
from .base import (
    Array,
    GraphOp,
    Sizes,
    broadcast_checks,
    broadcast_shapes,
    is_symbolic,
    need,
    need_kind,
    need_same,
    normal_axis,
    same_checks,
)

REDUCTIONS = ("none", "add", "mul", "max", "min")


def need_indices(type_: TensorType, constraint: str) -> None:
    """int32 or int64. Raises VerifyException."""
    integer = type_.dtype.kind == "i" and type_.dtype.itemsize >= 4
    need(integer, f"{constraint} indices of element type {type_.element_type}")


def needs_known(size: Expr, constraint: str, what: str) -> int:
    """The size as a number. Raises VerifyException when it is symbolic."""
    need(size.constant is not None, f"{constraint} {what} is {size}, not a number")
    return size.__index__()


def at_most(name: str, small: Sequence[Expr], large: Sequence[Expr], constraint: str) -> list[Check]:
    """Run-time checks that sizes are at most others, where that is not known. Raises VerifyException."""
    found: list[Check] = []
    for a, b in zip(small, large, strict=True):
        beyond = maximum(a - b, 0)
        need(beyond.constant in (None, 0), f"{constraint} size {a} is greater than {b}")
        if beyond != ZERO:
            found.append(Check.of(beyond, f"{name}: size {a} is greater than {b}"))
    return found


@irdl_op_definition
class Gather(GraphOp):
    """Slices of x along `axis`: the axis is replaced by those of `indices`.

    C1: the axis is in the rank. C2: indices are int32 or int64.
    """

    name = "graph.gather"
    DEFAULTS: ClassVar = {"axis": 0}
    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, indices = self.type_of(0), self.type_of(1)
        axis = normal_axis(self.get("axis"), x.rank)
        need(x.rank > 0, f"C1 axis {axis} of a scalar")
        need_indices(indices, "C2")
        return [TensorType.of((*x.sizes[:axis], *indices.sizes, *x.sizes[axis + 1 :]), x.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, indices = inputs
        return [np.asarray(np.take(x, _numbers(indices), self.get("axis")), x.dtype)]


def _numbers(indices: Array) -> Array:
    """Indices as int64. Raises TypeError for expressions that are not constant."""
    return indices.astype(np.int64) if indices.dtype == object else indices


@irdl_op_definition
class GatherElements(GraphOp):
    """Element `[.., indices[i], ..]` of x for every index i: `axis` is replaced by the value.

    C1: the axis is in the rank. C2: indices are int32 or int64. C3: ranks are equal. C4: sizes of indices along the
    other axes are at most x's.
    """

    name = "graph.gather_elements"
    DEFAULTS: ClassVar = {"axis": 0}
    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, indices = self.type_of(0), self.type_of(1)
        need(x.rank == indices.rank > 0, f"C3 ranks {x.rank} and {indices.rank}")
        normal_axis(self.get("axis"), x.rank)
        need_indices(indices, "C2")
        self.checks()
        return [TensorType.of(indices.sizes, x.element_type)]

    def checks(self) -> Sequence[Check]:
        x, indices = self.type_of(0), self.type_of(1)
        axis = normal_axis(self.get("axis"), x.rank)
        others = [i for i in range(x.rank) if i != axis]
        return at_most("GatherElements", [indices.sizes[i] for i in others], [x.sizes[i] for i in others], "C4")

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, indices = inputs
        axis = self.get("axis") % x.ndim
        x = x[tuple(slice(None if i == axis else n) for i, n in enumerate(indices.shape))]
        return [np.take_along_axis(x, _numbers(indices).astype(np.int64), axis)]


@irdl_op_definition
class GatherND(GraphOp):
    """Slices of x at index vectors, the last axis of `indices`; the first `batch_dims` axes go in step.

    C1: `batch_dims` is below both ranks. C2: indices are int64. C3: the length of a vector is a number, and x has as
    many axes after the batch. C4: batch sizes are equal.
    """

    name = "graph.gather_nd"
    DEFAULTS: ClassVar = {"batch_dims": 0}
    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    batch_dims = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, indices, batch = self.type_of(0), self.type_of(1), self.get("batch_dims")
        need(0 <= batch < min(x.rank, indices.rank), f"C1 batch_dims {batch} for ranks {x.rank} and {indices.rank}")
        need_indices(indices, "C2")
        depth = needs_known(indices.sizes[-1], "C3", "the length of an index vector")
        need(1 <= depth <= x.rank - batch, f"C3 index vectors of {depth} for rank {x.rank}")
        for a, b in zip(x.sizes[:batch], indices.sizes[:batch], strict=True):
            need((a - b).constant in (None, 0), f"C4 batch sizes {a} and {b} differ")
        return [TensorType.of((*indices.sizes[:-1], *x.sizes[batch + depth :]), x.element_type)]

    def checks(self) -> Sequence[Check]:
        x, indices, batch = self.type_of(0), self.type_of(1), self.get("batch_dims")
        return same_checks("GatherND", [*zip(x.sizes[:batch], indices.sizes[:batch], strict=True)])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, indices, batch = inputs[0], _numbers(inputs[1]), self.get("batch_dims")
        grid = np.indices(indices.shape[:-1], sparse=True)[:batch]
        return [np.asarray(x[(*grid, *np.moveaxis(indices, -1, 0))], x.dtype)]


@irdl_op_definition
class Take(GraphOp):
    """`x[i, j, ...]`: elements at index tensors that broadcast together, one for each of the first axes of x; 0 where
    one of them is outside of its axis, as every negative one is. Axes of x without an index follow.

    C1: there are as many indices as x has axes, or fewer, but one. C2: they are int32 or int64. C3: they broadcast.
    """

    name = "graph.take"
    x = operand_def(TensorType)
    indices = var_operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, *indices = (self.type_of(i) for i in range(len(self.inputs)))
        need(1 <= len(indices) <= x.rank, f"C1 {len(indices)} indices for rank {x.rank}")
        for index in indices:
            need_indices(index, "C2")
        places = broadcast_shapes(*(i.sizes for i in indices), constraint="C3")
        return [TensorType.of((*places, *x.sizes[len(indices) :]), x.element_type)]

    def checks(self) -> Sequence[Check]:
        return broadcast_checks("Take", *(self.type_of(i).sizes for i in range(1, len(self.inputs))))

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, *indices = inputs
        places = np.broadcast_arrays(*map(_numbers, indices))
        inside = np.ones(places[0].shape, np.bool_)
        for place, size in zip(places, x.shape, strict=False):
            inside &= (place >= 0) & (place < size)
        found = np.zeros((*inside.shape, *x.shape[len(places) :]), x.dtype)
        found[inside] = x[tuple(place[inside] for place in places)]
        return [found]


def scattered(x: Array, place: Any, updates: Array, reduction: str) -> Array:
    """x with updates put to, or combined with, its elements at an index of NumPy's kind, one after the other."""
    found = x.astype(object) if is_symbolic(updates) else x.copy()
    match reduction:
        case "none":
            found[place] = updates
        case "add" if x.dtype.kind == "b":
            np.logical_or.at(found, place, updates)
        case "add":
            np.add.at(found, place, updates)
        case "mul":
            np.multiply.at(found, place, updates)
        case "max":
            np.maximum.at(found, place, updates)
        case _:
            np.minimum.at(found, place, updates)
    return found


class Scatter(GraphOp):
    """Base of scatters: `reduction` "none", "add", "mul", "max" or "min" says how an update joins an element.

    With "none" two updates of one place are undefined. C1: indices are int32 or int64. C2: the element types of x and
    updates are equal. C3: the reduction is known, and x a number if there is one.
    """

    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    updates = operand_def(TensorType)
    result = result_def(TensorType)

    def need_types(self) -> None:
        x, indices, updates = (self.type_of(i) for i in range(3))
        reduction = self.get("reduction")
        need_indices(indices, "C1")
        need_same(x, updates, "C2")
        need(reduction in REDUCTIONS, f"C3 reduction {reduction!r}")
        if reduction != "none":
            need_kind(x, "fiu", "C3")


@irdl_op_definition
class ScatterElements(Scatter):
    """x with element `[.., indices[i], ..]` (at `axis`) replaced by `updates[i]` for every index i.

    C1, C2, C3 of Scatter. C4: the axis is in the rank, and all ranks are equal. C5: sizes of indices and updates are
    equal. C6: along the other axes they are at most x's.
    """

    name = "graph.scatter_elements"
    DEFAULTS: ClassVar = {"axis": 0, "reduction": "none"}
    axis = prop_def(IntegerAttr)
    reduction = prop_def(StringAttr)

    def infer(self) -> Sequence[TensorType]:
        self.need_types()
        x, indices, updates = (self.type_of(i) for i in range(3))
        need(x.rank == indices.rank == updates.rank > 0, f"C4 ranks {x.rank}, {indices.rank} and {updates.rank}")
        normal_axis(self.get("axis"), x.rank, "C4 axis")
        for a, b in zip(indices.sizes, updates.sizes, strict=True):
            need((a - b).constant in (None, 0), f"C5 sizes {a} and {b} differ")
        self.checks()
        return [x]

    def checks(self) -> Sequence[Check]:
        x, indices, updates = (self.type_of(i) for i in range(3))
        axis = normal_axis(self.get("axis"), x.rank)
        others = [i for i in range(x.rank) if i != axis]
        found = same_checks("ScatterElements", [*zip(indices.sizes, updates.sizes, strict=True)])
        given, room = [indices.sizes[i] for i in others], [x.sizes[i] for i in others]
        return found + at_most("ScatterElements", given, room, "C6")

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, indices, updates = inputs
        place: list[Any] = list(np.indices(indices.shape, sparse=True))
        axis = self.get("axis") % x.ndim
        numbers = _numbers(indices)
        place[axis] = np.where(numbers < 0, numbers + x.shape[axis], numbers)
        return [scattered(x, tuple(place), updates, self.get("reduction"))]


@irdl_op_definition
class ScatterND(Scatter):
    """x with the slices at index vectors (the last axis of `indices`) replaced by those of `updates`.

    C1, C2, C3 of Scatter. C4: the length of a vector is a number, and x has as many axes. C5: the sizes of updates are
    those of indices without the last, then x's after the vector.
    """

    name = "graph.scatter_nd"
    DEFAULTS: ClassVar = {"reduction": "none"}
    reduction = prop_def(StringAttr)

    def _pairs(self) -> list[tuple[Expr, Expr]]:
        x, indices, updates = (self.type_of(i) for i in range(3))
        need(indices.rank > 0, "C4 indices are a scalar")
        depth = needs_known(indices.sizes[-1], "C4", "the length of an index vector")
        need(1 <= depth <= x.rank, f"C4 index vectors of {depth} for rank {x.rank}")
        expected = (*indices.sizes[:-1], *x.sizes[depth:])
        need(len(expected) == updates.rank, f"C5 updates of rank {updates.rank}, not {len(expected)}")
        return [*zip(expected, updates.sizes, strict=True)]

    def infer(self) -> Sequence[TensorType]:
        self.need_types()
        for a, b in self._pairs():
            need((a - b).constant in (None, 0), f"C5 sizes {a} and {b} differ")
        return [self.type_of(0)]

    def checks(self) -> Sequence[Check]:
        return same_checks("ScatterND", self._pairs())

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, indices, updates = inputs
        return [scattered(x, tuple(np.moveaxis(_numbers(indices), -1, 0)), updates, self.get("reduction"))]


@irdl_op_definition
class OneHot(GraphOp):
    """`values[1]` where the new axis's position is the index, else `values[0]`.

    The new axis, of size `depth`, stands at `axis` of the result. Indices beyond [-depth, depth) give `values[0]`.

    C1: the axis is in the result's rank. C2: indices are numbers. C3: values has two elements. C4: `depth` is not
    negative.
    """

    name = "graph.one_hot"
    EXPRESSIONS: ClassVar = ("depth",)
    DEFAULTS: ClassVar = {"axis": -1}
    indices = operand_def(TensorType)
    values = operand_def(TensorType)
    depth = prop_def(ExprAttr)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        indices, values, depth = self.type_of(0), self.type_of(1), self.get("depth")
        axis = normal_axis(self.get("axis"), indices.rank + 1)
        need_kind(indices, "fiu", "C2")
        need(values.rank == 1 and (values.sizes[0] - 2).constant in (None, 0), f"C3 values of type {values}")
        need(depth.constant is None or depth.constant >= 0, f"C4 depth {depth}")
        return [TensorType.of((*indices.sizes[:axis], depth, *indices.sizes[axis:]), values.element_type)]

    def checks(self) -> Sequence[Check]:
        return same_checks("OneHot", [(self.type_of(1).sizes[0], Expr.const(2))])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        indices, values = inputs
        depth, axis = sizes(self.get("depth")), self.get("axis") % (indices.ndim + 1)
        indices = indices.astype(np.int64)
        indices = np.expand_dims(np.where(indices < 0, indices + depth, indices), axis)
        positions = np.arange(depth).reshape(-1, *[1] * (indices.ndim - axis - 1))
        return [np.where(indices == positions, values[1], values[0])]


@irdl_op_definition
class ReverseSequence(GraphOp):
    """x with the first `lengths[b]` elements along `time_axis` in reverse order, for each b along `batch_axis`.

    C1: the axes are 0 and 1, or 1 and 0. C2: lengths are int64, one per b. C3: the rank is at least 2.
    """

    name = "graph.reverse_sequence"
    DEFAULTS: ClassVar = {"batch_axis": 1, "time_axis": 0}
    x = operand_def(TensorType)
    lengths = operand_def(TensorType)
    batch_axis = prop_def(IntegerAttr)
    time_axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, lengths = self.type_of(0), self.type_of(1)
        axes = self.get("batch_axis"), self.get("time_axis")
        need(sorted(axes) == [0, 1], f"C1 axes {axes}")
        need(x.rank >= 2, f"C3 rank {x.rank}")
        need_indices(lengths, "C2")
        need(lengths.rank == 1, f"C2 lengths of rank {lengths.rank}")
        batch = x.sizes[axes[0]]
        need((batch - lengths.sizes[0]).constant in (None, 0), f"C2 {lengths.sizes[0]} lengths for {batch}")
        return [x]

    def checks(self) -> Sequence[Check]:
        return same_checks(
            "ReverseSequence", [(self.type_of(0).sizes[self.get("batch_axis")], self.type_of(1).sizes[0])]
        )

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, lengths = inputs
        x = np.moveaxis(x, self.get("time_axis"), 0)  # now [time, batch, ...]
        time = np.arange(x.shape[0])[:, None]
        place = np.where(time < lengths, lengths - 1 - time, time)
        found = x[place, np.arange(x.shape[1])]
        return [np.moveaxis(found, 0, self.get("time_axis"))]


@irdl_op_definition
class SuppressOverlaps(GraphOp):
    """Which boxes stay, of `boxes` [lines, n, 4] in the order of their worth, each [y1, x1, y2, x2] with y1 <= y2.

    A box of `candidates` [lines, n] stays unless it overlaps an earlier one that stays by more than the threshold:
    intersection / union; one without area overlaps none. What NonMaxSuppression does with one class of one image.
    C1: boxes are float32, 4 numbers each. C2: candidates are bools, one per box. C3: the threshold is one float32.
    """

    name = "graph.suppress_overlaps"
    boxes = operand_def(TensorType)
    candidates = operand_def(TensorType)
    threshold = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        boxes, candidates, threshold = (self.type_of(i) for i in range(3))
        need(boxes.rank == 3 and boxes.sizes[-1] == 4 and boxes.dtype == np.float32, f"C1 boxes are {boxes}")
        need(candidates.rank == 2 and candidates.dtype == np.bool_, f"C2 candidates are {candidates}")
        pairs = zip(boxes.sizes, candidates.sizes, strict=False)
        need(all((a - b).constant in (None, 0) for a, b in pairs), f"C2 candidates {candidates} for {boxes}")
        need(threshold.rank == 0 and threshold.dtype == np.float32, f"C3 the threshold is {threshold}")
        return [candidates]

    def checks(self) -> Sequence[Check]:
        pairs = zip(self.type_of(0).sizes, self.type_of(1).sizes, strict=False)
        return same_checks("SuppressOverlaps", list(pairs))

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        boxes, candidates, threshold = inputs
        kept = candidates.copy()
        height, width = (boxes[..., k + 2] - boxes[..., k] for k in (0, 1))
        area = height * width
        for line, i in np.ndindex(*candidates.shape):
            low, high = (boxes[line, :i, :2], boxes[line, i, :2]), (boxes[line, :i, 2:], boxes[line, i, 2:])
            shared = np.maximum(np.minimum(*high) - np.maximum(*low), 0).prod(-1)
            union = area[line, :i] + area[line, i] - shared
            real = (shared > 0) & (area[line, :i] > 0) & (area[line, i] > 0) & (union > 0)
            over = real & (np.divide(shared, union, out=np.zeros_like(shared), where=real) > threshold)
            kept[line, i] &= not (kept[line, :i] & over).any()
        return [kept]
