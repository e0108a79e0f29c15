"""Operators that move elements without looking at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DenseArrayBase, IntegerAttr, StringAttr
from xdsl.ir import Attribute
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    var_operand_def,
    var_result_def,
)

from ...ir.expr import ONE, ZERO, Expr, ExprLike, ceildiv, maximum, minimum, product
from ...ir.types import Check, ExprAttr, TensorType
from .base import (
    Array,
    GraphOp,
    Sizes,
    broadcast_checks,
    broadcast_shapes,
    is_symbolic,
    need,
    need_same,
    normal_axis,
    same_checks,
    value,
)


def need_sizes(sizes: Sequence[Expr], what: str) -> None:
    """Known sizes are not negative. Raises VerifyException."""
    for size in sizes:
        need(size.constant is None or size.constant >= 0, f"{what} {size} is negative")


@irdl_op_definition
class Reshape(GraphOp):
    """The elements of x, in row-major order, in another shape. C1: the number of elements stays. C2: no size is
    negative."""

    name = "graph.reshape"
    EXPRESSIONS: ClassVar = ("shape",)
    x = operand_def(TensorType)
    shape = prop_def(ArrayAttr[ExprAttr])
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, shape = self.type_of(0), self.get("shape")
        need_sizes(shape, "C2 size")
        count = product(shape)
        need((x.elements - count).constant in (None, 0), f"C1 {x.elements} elements cannot become {count}")
        return [TensorType.of(shape, x.element_type)]

    def checks(self) -> Sequence[Check]:
        return same_checks("Reshape", [(self.type_of(0).elements, product(self.get("shape")))])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [inputs[0].reshape([sizes(e) for e in self.get("shape")])]


@irdl_op_definition
class Transpose(GraphOp):
    """Axis i of the result is axis `perm[i]` of x. C1: `perm` is a permutation of x's axes."""

    name = "graph.transpose"
    x = operand_def(TensorType)
    perm = prop_def(DenseArrayBase)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, perm = self.type_of(0), self.get("perm")
        need(sorted(perm) == [*range(x.rank)], f"C1 perm {[*perm]} for rank {x.rank}")
        return [TensorType.of([x.sizes[p] for p in perm], x.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [np.transpose(inputs[0], self.get("perm"))]


@irdl_op_definition
class Expand(GraphOp):
    """x broadcast with `shape` (each to the other, as ONNX has it). C1: they broadcast. C2: no size is negative."""

    name = "graph.expand"
    EXPRESSIONS: ClassVar = ("shape",)
    x = operand_def(TensorType)
    shape = prop_def(ArrayAttr[ExprAttr])
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, shape = self.type_of(0), self.get("shape")
        need_sizes(shape, "C2 size")
        return [TensorType.of(broadcast_shapes(x.sizes, shape), x.element_type)]

    def checks(self) -> Sequence[Check]:
        return broadcast_checks("Expand", self.type_of(0).sizes, self.get("shape"))

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        shape = [sizes(e) for e in self.infer()[0].sizes]
        return [np.broadcast_to(inputs[0], shape).copy()]


@irdl_op_definition
class Tile(GraphOp):
    """x repeated `repeats[i]` times along axis i. C1: one entry per axis. C2: none is negative."""

    name = "graph.tile"
    EXPRESSIONS: ClassVar = ("repeats",)
    x = operand_def(TensorType)
    repeats = prop_def(ArrayAttr[ExprAttr])
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, repeats = self.type_of(0), self.get("repeats")
        need(len(repeats) == x.rank, f"C1 {len(repeats)} repeats for rank {x.rank}")
        need_sizes(repeats, "C2 repeat")
        return [TensorType.of([s * r for s, r in zip(x.sizes, repeats, strict=True)], x.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [np.tile(inputs[0], [sizes(e) for e in self.get("repeats")])]


@irdl_op_definition
class Concat(GraphOp):
    """The operands one after the other along `axis`.

    C1: the axis is in the rank. C2: there is an operand. C3: element types and ranks are equal. C4: sizes along the
    other axes are equal.
    """

    name = "graph.concat"
    xs = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        need(len(self.operands) > 0, "C2 no operands")
        types = [self.type_of(i) for i in range(len(self.operands))]
        axis = normal_axis(self.get("axis"), types[0].rank)
        need(types[0].rank > 0, f"C1 axis {axis} of a scalar")
        out = list(types[0].sizes)
        for type_ in types[1:]:
            need_same(types[0], type_, "C3")
            need(type_.rank == types[0].rank, f"C3 ranks {types[0].rank} and {type_.rank} differ")
            for i, size in enumerate(type_.sizes):
                if i == axis:
                    out[i] = out[i] + size
                else:
                    need((out[i] - size).constant in (None, 0), f"C4 sizes {out[i]} and {size} differ")
                    out[i] = size if size.constant is not None else out[i]
        return [TensorType.of(out, types[0].element_type)]

    def checks(self) -> Sequence[Check]:
        types = [self.type_of(i) for i in range(len(self.operands))]
        axis = normal_axis(self.get("axis"), types[0].rank)
        pairs = [
            pair for t in types[1:] for i, pair in enumerate(zip(types[0].sizes, t.sizes, strict=True)) if i != axis
        ]
        return same_checks("Concat", pairs)

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [np.concatenate(inputs, self.get("axis"))]


@irdl_op_definition
class Split(GraphOp):
    """x cut along `axis` into parts of `sizes`, one result each.

    C1: the axis is in the rank. C2: no part is negative and there is one. C3: the parts sum up to the size.
    """

    name = "graph.split"
    EXPRESSIONS: ClassVar = ("sizes",)
    x = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    sizes = prop_def(ArrayAttr[ExprAttr])
    outputs = var_result_def(TensorType)

    @classmethod
    def result_count(cls, properties: Mapping[str, Attribute]) -> int:
        return len(value(properties["sizes"]))

    def infer(self) -> Sequence[TensorType]:
        x, parts = self.type_of(0), self.get("sizes")
        axis = normal_axis(self.get("axis"), x.rank)
        need(x.rank > 0, f"C1 axis {axis} of a scalar")
        need(len(parts) > 0, "C2 no parts")
        need_sizes(parts, "C2 part")
        total = sum(parts, ZERO)
        need((total - x.sizes[axis]).constant in (None, 0), f"C3 parts of {x.sizes[axis]} sum up to {total}")
        return [TensorType.of((*x.sizes[:axis], part, *x.sizes[axis + 1 :]), x.element_type) for part in parts]

    def checks(self) -> Sequence[Check]:
        x = self.type_of(0)
        size = x.sizes[normal_axis(self.get("axis"), x.rank)]
        parts = self.get("sizes")
        negative = [Check.of(maximum(-part, 0), f"Split: a part of {part}") for part in parts if not part.nonnegative()]
        return same_checks("Split", [(size, sum(parts, ZERO))]) + negative

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        ends = np.cumsum([sizes(e) for e in self.get("sizes")])
        return np.split(inputs[0], ends[:-1], self.get("axis"))


@irdl_op_definition
class Slice(GraphOp):
    """`sizes[i]` elements along axis i, from `starts[i]` in steps of `steps[i]` (positive or negative).

    `slice_range` has ONNX's rules for negative and outlying bounds. C1: one entry per axis. C2: no step is 0. C3: all
    elements taken are in x. C4: no size is negative.
    """

    name = "graph.slice"
    EXPRESSIONS: ClassVar = ("starts", "sizes")
    x = operand_def(TensorType)
    starts = prop_def(ArrayAttr[ExprAttr])
    sizes = prop_def(ArrayAttr[ExprAttr])
    steps = prop_def(DenseArrayBase)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, starts, sizes, steps = self.type_of(0), self.get("starts"), self.get("sizes"), self.get("steps")
        need(len(starts) == len(sizes) == len(steps) == x.rank, f"C1 starts, sizes and steps for rank {x.rank}")
        need(0 not in steps, f"C2 steps {[*steps]}")
        need_sizes(sizes, "C4 size")
        for size, start, count, step in zip(x.sizes, starts, sizes, steps, strict=True):
            if (count - 1).nonnegative():
                first, last = (start, start + (count - 1) * step)[:: 1 if step > 0 else -1]
                outside = (-1 - first).nonnegative() or (last - size).nonnegative()
                need(not outside, f"C3 elements {first} to {last} of {size}")
        return [TensorType.of(sizes, x.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        found = inputs[0]
        for axis, step in enumerate(self.get("steps")):
            start, count = sizes(self.get("starts")[axis]), sizes(self.get("sizes")[axis])
            found = found.take(start + step * np.arange(count), axis)
        return [found]


def slice_range(size: ExprLike, start: ExprLike, end: ExprLike, step: int) -> tuple[Expr, Expr]:
    """First element and number of elements of ONNX's slice `start:end:step` (negative bounds count from the end, bounds
    beyond are clamped). Raises TypeError when a bound's sign depends on the sizes, or the step is 0."""
    size = Expr.of(size)
    if step == 0:
        raise TypeError("a slice's step is 0")

    def from_front(bound: ExprLike) -> Expr:
        bound = Expr.of(bound)
        if bound.nonnegative():
            return bound
        if (-1 - bound).nonnegative():
            return bound + size
        raise TypeError(f"the sign of the slice's bound {bound} depends on the sizes")

    start, end = from_front(start), from_front(end)
    low, high = (ZERO, size) if step > 0 else (Expr.const(-1), size - 1)
    start = minimum(maximum(start, 0), high)
    end = minimum(maximum(end, low), high)
    return start, maximum(ceildiv((end - start) if step > 0 else (start - end), abs(step)), 0)


@irdl_op_definition
class Pad(GraphOp):
    """x with `pads` `[before_1, ..., after_1, ...]` elements around; a negative pad removes elements.

    `mode` says what they hold: "constant" the value (0 without one), "edge" the nearest element, "reflect" the mirror
    image without the edge itself, "wrap" the other end. C1: two pads per axis. C2: the mode is known, only "constant"
    has a value. C3: the value is one element of x's type. C4: no size is negative, and what is mirrored is there.
    """

    name = "graph.pad"
    EXPRESSIONS: ClassVar = ("pads",)
    DEFAULTS: ClassVar = {"mode": "constant"}
    x = operand_def(TensorType)
    value = opt_operand_def(TensorType)
    pads = prop_def(ArrayAttr[ExprAttr])
    mode = prop_def(StringAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, pads, mode = self.type_of(0), self.get("pads"), self.get("mode")
        need(len(pads) == 2 * x.rank, f"C1 {len(pads)} pads for rank {x.rank}")
        need(mode in ("constant", "reflect", "edge", "wrap"), f"C2 mode {mode!r}")
        if self.value is not None:
            need(mode == "constant", f"C2 mode {mode!r} takes no value")
            need_same(x, self.type_of(1), "C3")
            need(self.type_of(1).elements == ONE, f"C3 value of type {self.value.type}")
        for missing in self._missing():
            need(missing.constant is None, f"C4 pads {[str(p) for p in pads]} need more than there is")
        out = [s + a + b for s, a, b in zip(x.sizes, pads[: x.rank], pads[x.rank :], strict=True)]
        need_sizes(out, "C4 size")
        return [TensorType.of(out, x.element_type)]

    def _missing(self) -> list[Expr]:
        """What must be 0: by how many elements the pads go too far, where that is not known to be 0."""
        x, pads, mode = self.type_of(0), self.get("pads"), self.get("mode")
        found: list[Expr] = []
        for i, size in enumerate(x.sizes):
            ends = pads[i], pads[x.rank + i]
            found.append(maximum(-(size + ends[0] + ends[1]), 0))
            for pad in ends if mode != "constant" else ():
                kept = size + sum((minimum(p, 0) for p in ends), ZERO)
                room = kept - 1 if mode == "reflect" else kept * pad
                found.append(maximum(minimum(pad, maximum(pad - room, 0)), 0))
        return [e for e in found if e != ZERO]

    def checks(self) -> Sequence[Check]:
        return [Check.of(e, "Pad: the pads need more elements than there are") for e in self._missing()]

    def evaluate(self, inputs: Sequence[Array | None], sizes: Sizes) -> Sequence[Array]:
        x, fill = (*inputs, None)[:2]
        assert x is not None
        pads, mode = [sizes(e) for e in self.get("pads")], self.get("mode")
        ends = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
        if not ends:
            return [np.asarray(x)]
        around = [(max(b, 0), max(a, 0)) for b, a in ends]
        if mode == "constant":  # padded first: what is cut off at one end may be what comes to the other
            x = np.pad(x, around, constant_values=0 if fill is None else fill.reshape(()))
        x = x[tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, ends, strict=True))]
        if mode == "constant":
            return [x]
        return [np.pad(x, around, mode=mode) if x.size else np.zeros(_sum(x.shape, around), x.dtype)]


def _sum(shape: Sequence[int], around: Sequence[tuple[int, int]]) -> list[int]:
    return [n + b + a for n, (b, a) in zip(shape, around, strict=True)]


@irdl_op_definition
class DepthToSpace(GraphOp):
    """`[N, C, H, W] -> [N, C / b^2, H b, W b]` with b = `blocksize`: channels become blocks of pixels.

    `mode` "DCR" splits C into (b, b, depth), "CRD" into (depth, b, b).

    C1: the rank is 4. C2: `blocksize` is positive, the mode known. C3: b^2 divides C.
    """

    name = "graph.depth_to_space"
    DEFAULTS: ClassVar = {"mode": "DCR"}
    x = operand_def(TensorType)
    blocksize = prop_def(IntegerAttr)
    mode = prop_def(StringAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, b = self.type_of(0), self.get("blocksize")
        need(x.rank == 4, f"C1 rank {x.rank}")
        need(b >= 1 and self.get("mode") in ("DCR", "CRD"), f"C2 blocksize {b}, mode {self.get('mode')!r}")
        n, c, h, w = x.sizes
        need((c % (b * b)).constant in (None, 0), f"C3 {c} channels in blocks of {b * b}")
        return [TensorType.of((n, c // (b * b), h * b, w * b), x.element_type)]

    def checks(self) -> Sequence[Check]:
        c, b = self.type_of(0).sizes[1], self.get("blocksize")
        return same_checks("DepthToSpace", [(c % (b * b), ZERO)])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, b = inputs[0], self.get("blocksize")
        n, c, h, w = x.shape
        depth = c // (b * b)
        if self.get("mode") == "DCR":
            blocks = x.reshape(n, b, b, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            blocks = x.reshape(n, depth, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
        return [blocks.reshape(n, depth, h * b, w * b)]


@irdl_op_definition
class SpaceToDepth(GraphOp):
    """`[N, C, H, W] -> [N, C b^2, H / b, W / b]` with b = `blocksize`: blocks of pixels become channels (b, b, C).

    C1: the rank is 4. C2: `blocksize` is positive. C3: b divides H and W.
    """

    name = "graph.space_to_depth"
    x = operand_def(TensorType)
    blocksize = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, b = self.type_of(0), self.get("blocksize")
        need(x.rank == 4, f"C1 rank {x.rank}")
        need(b >= 1, f"C2 blocksize {b}")
        n, c, h, w = x.sizes
        need({(h % b).constant, (w % b).constant} <= {None, 0}, f"C3 {h} x {w} in blocks of {b}")
        return [TensorType.of((n, c * b * b, h // b, w // b), x.element_type)]

    def checks(self) -> Sequence[Check]:
        b = self.get("blocksize")
        return same_checks("SpaceToDepth", [(size % b, ZERO) for size in self.type_of(0).sizes[2:]])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x, b = inputs[0], self.get("blocksize")
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
        return [blocks.reshape(n, c * b * b, h // b, w // b)]


@irdl_op_definition
class Trilu(GraphOp):
    """The triangle of each matrix (last two axes) on and above (`upper`) or below the diagonal `k`; 0 elsewhere.

    C1: the rank is at least 2.
    """

    name = "graph.trilu"
    EXPRESSIONS: ClassVar = ("k",)
    DEFAULTS: ClassVar = {"k": Expr.const(0), "upper": True}
    x = operand_def(TensorType)
    k = prop_def(ExprAttr)
    upper = prop_def(BoolAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        need(self.type_of(0).rank >= 2, f"C1 rank {self.type_of(0).rank}")
        return [self.type_of(0)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        x = inputs[0]
        rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
        offset = columns - rows - sizes(self.get("k"))
        kept: Any = offset >= 0 if self.get("upper") else offset <= 0
        zero = 0 if is_symbolic(x) else np.asarray(0).astype(x.dtype)  # NaN in a type without 0, as a cast makes it
        return [np.where(kept, x, zero)]
