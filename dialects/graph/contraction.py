"""Contractions: matrix products and convolutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, BoolAttr, DenseArrayBase, FloatAttr, IntegerAttr, StringAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def, result_def, var_operand_def

from ...ir.expr import ONE, Expr
from ...ir.types import Check, ExprAttr, TensorType
from .base import (
    Array,
    GraphOp,
    Sizes,
    broadcast_checks,
    broadcast_shapes,
    need,
    need_kind,
    need_same,
    same_checks,
    settled,
    wide,
)
from .windows import need_output, need_windows, output_checks, output_size, padded, windows


def need_equal(a: Expr, b: Expr, message: str) -> None:
    """Two sizes are not known to differ. Raises VerifyException."""
    need((a - b).constant in (None, 0), f"{message} {a} and {b} differ")


@irdl_op_definition
class MatMul(GraphOp):
    """NumPy's `matmul`: `[..., M, K] x [..., K, N] -> [..., M, N]`; vectors count as one row or column that goes again.

    C1: the leading sizes broadcast. C2: ranks are at least 1. C3: the element types are equal. C4: the two K are equal.
    C5: the element type is a number.
    """

    name = "graph.matmul"
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        a, b = self.type_of(0), self.type_of(1)
        need(a.rank > 0 and b.rank > 0, "C2 MatMul of a scalar")
        need_same(a, b, "C3")
        need_kind(a, "fiu", "C5")
        need_equal(a.sizes[-1], b.sizes[-2] if b.rank > 1 else b.sizes[0], "C4 inner sizes")
        lead = broadcast_shapes(a.sizes[:-2], b.sizes[:-2])
        columns = b.sizes[-1:] if b.rank > 1 else ()
        return [TensorType.of((*lead, *a.sizes[-2:-1], *columns), a.element_type)]

    def checks(self) -> Sequence[Check]:
        a, b = self.type_of(0).sizes, self.type_of(1).sizes
        inner = [(a[-1], b[-2:][0])]
        return same_checks("MatMul", inner) + broadcast_checks("MatMul", a[:-2], b[:-2])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [settled(np.matmul(wide(inputs[0]), wide(inputs[1])), inputs[0].dtype)]


@irdl_op_definition
class Gemm(GraphOp):
    """`alpha` A B + `beta` C, with A `[M, K]` (`[K, M]` if `trans_a`), B `[K, N]` (`[N, K]` if `trans_b`).

    C1: C broadcasts to `[M, N]`. C2: A and B are matrices. C3: the element types are equal. C4: the two K are equal.
    C5: the element type is a number.
    """

    name = "graph.gemm"
    DEFAULTS: ClassVar = {"alpha": 1.0, "beta": 1.0, "trans_a": False, "trans_b": False}
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    c = opt_operand_def(TensorType)
    alpha = prop_def(FloatAttr)
    beta = prop_def(FloatAttr)
    trans_a = prop_def(BoolAttr)
    trans_b = prop_def(BoolAttr)
    result = result_def(TensorType)

    def _sizes(self) -> tuple[Expr, Expr, Expr, Expr]:
        """M, K of A, K of B, N."""
        a, b = self.type_of(0).sizes, self.type_of(1).sizes
        a, b = (a[::-1] if self.get("trans_a") else a), (b[::-1] if self.get("trans_b") else b)
        return a[0], a[1], b[0], b[1]

    def infer(self) -> Sequence[TensorType]:
        a, b = self.type_of(0), self.type_of(1)
        need(a.rank == b.rank == 2, f"C2 ranks {a.rank} and {b.rank}")
        need_same(a, b, "C3")
        need_kind(a, "fiu", "C5")
        m, k, other, n = self._sizes()
        need_equal(k, other, "C4 inner sizes")
        if self.c is not None:
            c = self.type_of(2)
            need_same(a, c, "C3")
            need(c.rank <= 2, f"C1 C has rank {c.rank}")
            for size, given in zip((m, n)[2 - c.rank :], c.sizes, strict=True):
                need(given == ONE or (size - given).constant in (None, 0), f"C1 {given} does not broadcast to {size}")
        return [TensorType.of((m, n), a.element_type)]

    def checks(self) -> Sequence[Check]:
        m, k, other, n = self._sizes()
        found = same_checks("Gemm", [(k, other)])
        if self.c is not None:
            sizes = self.type_of(2).sizes
            for size, given in zip((m, n)[2 - len(sizes) :], sizes, strict=True):
                if given not in (ONE, size):
                    message = f"Gemm: size {given} does not broadcast to {size}"
                    found.append(Check.of((size - given) * (given - 1), message))
        return found

    def evaluate(self, inputs: Sequence[Array | None], sizes: Sizes) -> Sequence[Array]:
        a, b, c = inputs
        assert a is not None and b is not None
        x, y = wide(a.T if self.get("trans_a") else a), wide(b.T if self.get("trans_b") else b)
        found = np.matmul(x, y)
        if (alpha := self.get("alpha")) != 1:
            found = found * alpha
        if c is not None:
            found = found + (wide(c) if (beta := self.get("beta")) == 1 else wide(c) * beta)
        return [settled(found, a.dtype)]


@irdl_op_definition
class Conv(GraphOp):
    """Convolution of x `[N, C, ...]` with w `[M, C / group, kernel...]`, plus a bias `[M]`.

    Output sizes are `(size + before + after - dilation (kernel - 1) - 1) floordiv stride + 1`; `pads` are sizes.
    C1: x has at least one axis of space, w has its rank. C2: the element types are equal and numbers. C3: strides,
    dilations (positive) and pads fit the rank. C4: C is w's second size times `group`, which divides M. C5: the bias
    has M elements. C6: the padded input holds the kernel.
    """

    name = "graph.conv"
    EXPRESSIONS: ClassVar = ("pads",)
    DEFAULTS: ClassVar = {"group": 1}
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    b = opt_operand_def(TensorType)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(ArrayAttr[ExprAttr])
    dilations = prop_def(DenseArrayBase)
    group = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, w = self.type_of(0), self.type_of(1)
        need(x.rank >= 3 and x.rank == w.rank, f"C1 ranks {x.rank} and {w.rank}")
        need_same(x, w, "C2")
        need_kind(x, "fiu", "C2")
        strides, dilations, pads, group = (self.get(n) for n in ("strides", "dilations", "pads", "group"))
        n = x.rank - 2
        need_windows(n, strides, dilations, pads, "C3")
        need(group >= 1 and w.sizes[0] % group == 0, f"C4 {group} groups of {w.sizes[0]} channels")
        need_equal(x.sizes[1], w.sizes[1] * group, "C4 channels")
        if self.b is not None:
            need_same(x, self.type_of(2), "C2")
            need(self.type_of(2).rank == 1, f"C5 the bias has rank {self.type_of(2).rank}")
            need_equal(self.type_of(2).sizes[0], w.sizes[0], "C5 bias sizes")
        space = [
            output_size(*given)
            for given in zip(x.sizes[2:], w.sizes[2:], strides, dilations, pads[:n], pads[n:], strict=True)
        ]
        need_output(space, "C6")
        return [TensorType.of((x.sizes[0], w.sizes[0], *space), x.element_type)]

    def checks(self) -> Sequence[Check]:
        x, w = self.type_of(0).sizes, self.type_of(1).sizes
        pairs = [(x[1], w[1] * self.get("group"))]
        if self.b is not None:
            pairs.append((self.type_of(2).sizes[0], w[0]))
        return same_checks("Conv", pairs) + output_checks("Conv", self.infer()[0].sizes[2:])

    def evaluate(self, inputs: Sequence[Array | None], sizes: Sizes) -> Sequence[Array]:
        x, w, b = inputs
        assert x is not None and w is not None
        pads, group = [sizes(e) for e in self.get("pads")], self.get("group")
        out = [sizes(e) for e in self.infer()[0].sizes[2:]]
        found = convolution(wide(x), wide(w), self.get("strides"), self.get("dilations"), pads, group, out)
        if b is not None:
            found = found + wide(b).reshape(-1, *[1] * len(out))
        return [settled(found, x.dtype)]


def convolution(
    x: Array,
    w: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    group: int,
    out: Sequence[int],
) -> Array:
    """x `[N, C, ...]` with w `[M, C / group, ...]` as one matrix product per group: `[N, M, out...]`."""
    batch, m, kernel, n = x.shape[0], w.shape[0], w.shape[2:], len(out)
    view = windows(x, kernel, strides, dilations, pads, out)
    view = view.reshape(batch, group, w.shape[1], *out, *kernel)
    order = (1, 0, *range(3, 3 + n), 2, *range(3 + n, 3 + 2 * n))
    depth = w.shape[1] * int(np.prod(kernel))
    rows = view.transpose(order).reshape(group, batch * int(np.prod(out)), depth)
    found = np.matmul(rows, w.reshape(group, m // group, depth).transpose(0, 2, 1))
    found = found.reshape(group, batch, *out, m // group)
    return found.transpose(1, 0, n + 2, *range(2, n + 2)).reshape(batch, m, *out)


@irdl_op_definition
class ConvTranspose(GraphOp):
    """The transpose of convolution: x `[N, C, ...]` with w `[C, M / group, kernel...]`, plus a bias `[M]`.

    Output sizes are `stride (size - 1) + output_padding + dilation (kernel - 1) + 1 - before - after`.
    C1: x has at least one axis of space, w has its rank. C2: the element types are equal and float. C3: strides,
    dilations (positive), pads and output_padding fit the rank. C4: C is w's first size, which `group` divides. C5: the
    bias has M elements. C6: output sizes are not negative.
    """

    name = "graph.conv_transpose"
    EXPRESSIONS: ClassVar = ("pads",)
    DEFAULTS: ClassVar = {"group": 1}
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    b = opt_operand_def(TensorType)
    strides = prop_def(DenseArrayBase)
    pads = prop_def(ArrayAttr[ExprAttr])
    dilations = prop_def(DenseArrayBase)
    output_padding = prop_def(DenseArrayBase)
    group = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x, w = self.type_of(0), self.type_of(1)
        need(x.rank >= 3 and x.rank == w.rank, f"C1 ranks {x.rank} and {w.rank}")
        need_same(x, w, "C2")
        need_kind(x, "f", "C2")
        strides, dilations, pads, extra, group = (
            self.get(n) for n in ("strides", "dilations", "pads", "output_padding", "group")
        )
        n = x.rank - 2
        need_windows(n, strides, dilations, pads, "C3")
        need(len(extra) == n and min(extra) >= 0, f"C3 output_padding {extra}")
        need(group >= 1 and w.sizes[0] % group == 0, f"C4 {group} groups of {w.sizes[0]} channels")
        need_equal(x.sizes[1], w.sizes[0], "C4 channels")
        channels = w.sizes[1] * group
        if self.b is not None:
            need_same(x, self.type_of(2), "C2")
            need(self.type_of(2).rank == 1, f"C5 the bias has rank {self.type_of(2).rank}")
            need_equal(self.type_of(2).sizes[0], channels, "C5 bias sizes")
        space = [
            (size - 1) * s + e + (k - 1) * d + 1 - before - after
            for size, k, s, d, e, before, after in zip(
                x.sizes[2:], w.sizes[2:], strides, dilations, extra, pads[:n], pads[n:], strict=True
            )
        ]
        need_output(space, "C6")
        return [TensorType.of((x.sizes[0], channels, *space), x.element_type)]

    def checks(self) -> Sequence[Check]:
        x, w = self.type_of(0).sizes, self.type_of(1).sizes
        pairs = [(x[1], w[0])]
        if self.b is not None:
            pairs.append((self.type_of(2).sizes[0], w[1] * self.get("group")))
        return same_checks("ConvTranspose", pairs) + output_checks("ConvTranspose", self.infer()[0].sizes[2:])

    def evaluate(self, inputs: Sequence[Array | None], sizes: Sizes) -> Sequence[Array]:
        given, weights, b = inputs
        assert given is not None and weights is not None
        x, w, group = wide(given), wide(weights), self.get("group")
        strides, dilations, pads = self.get("strides"), self.get("dilations"), [sizes(e) for e in self.get("pads")]
        n, batch, kernel = x.ndim - 2, x.shape[0], w.shape[2:]
        out = [sizes(e) for e in self.infer()[0].sizes[2:]]
        full = [max(o + pads[i] + pads[n + i], 0) for i, o in enumerate(out)]  # before pads are taken away
        found = np.zeros((batch, group, w.shape[1], *full), x.dtype)
        rows = x.reshape(batch, group, x.shape[1] // group, int(np.prod(x.shape[2:])))
        w = w.reshape(group, w.shape[0] // group, w.shape[1], *kernel)
        for tap in np.ndindex(*kernel) if x.size else ():
            part = np.matmul(w[(..., *tap)].transpose(0, 2, 1), rows).reshape(*found.shape[:3], *x.shape[2:])
            place = tuple(
                slice(t * d, t * d + (size - 1) * s + 1, s)
                for t, d, size, s in zip(tap, dilations, x.shape[2:], strides, strict=True)
            )
            found[(..., *place)] += part
        found = padded(found, [-p for p in pads[:n]], [-p for p in pads[n:]])
        found = found.reshape(batch, group * w.shape[2], *out)
        if b is not None:
            found = found + wide(b).reshape(-1, *[1] * n)
        return [settled(found, given.dtype)]


@irdl_op_definition
class Einsum(GraphOp):
    """Einstein's sum by an equation such as `bij,bjk->bik`; `...` stands for axes that broadcast.

    Without `->` the result has the axes of `...`, then the letters that occur once, in alphabetical order.
    C1: axes of `...` broadcast. C2: the equation names each axis of each operand. C3: the element types are equal.
    C4: the sizes of a letter are equal. C5: the element type is a number.
    """

    name = "graph.einsum"
    xs = var_operand_def(TensorType)
    equation = prop_def(StringAttr)
    result = result_def(TensorType)

    def axes(self) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        """The letters of each operand's axes and of the result's; an axis of `...` is called by its distance from the
        end: `...1` is the last. Raises VerifyException."""
        left, arrow, right = self.get("equation").replace(" ", "").partition("->")
        terms = left.split(",")
        need(len(terms) == len(self.operands), f"C2 {len(terms)} terms for {len(self.operands)} operands")

        def spelled(term: str, covered: int) -> tuple[str, ...]:
            head, dots, tail = term.partition("...")
            need(all(c.isascii() and c.isalpha() for c in head + tail), f"C2 term {term!r}")
            return (*head, *(f"...{i}" for i in range(covered, 0, -1)), *tail) if dots else tuple(head)

        given: list[tuple[str, ...]] = []
        most = 0
        for i, term in enumerate(terms):
            rank = self.type_of(i).rank
            covered = rank - len(term.replace("...", ""))
            need(covered == 0 or ("..." in term and covered > 0), f"C2 term {term!r} for rank {rank}")
            most = max(most, covered)
            given.append(spelled(term, covered))
        if arrow:
            out = spelled(right, most)
            need(len(set(out)) == len(out) and set(out) <= {a for t in given for a in t}, f"C2 result {right!r}")
            return given, out
        letters = Counter(a for t in given for a in t if not a.startswith("."))
        once = sorted(a for a, count in letters.items() if count == 1)
        return given, (*(f"...{i}" for i in range(most, 0, -1)), *once)

    def infer(self) -> Sequence[TensorType]:
        need(len(self.operands) > 0, "C2 no operands")
        types = [self.type_of(i) for i in range(len(self.operands))]
        given, out = self.axes()
        found: dict[str, Expr] = {}
        for axes, type_ in zip(given, types, strict=True):
            need_same(types[0], type_, "C3")
            for axis, size in zip(axes, type_.sizes, strict=True):
                if axis.startswith("."):
                    (found[axis],) = broadcast_shapes([found.get(axis, ONE)], [size])
                else:
                    need_equal(found.setdefault(axis, size), size, f"C4 sizes of {axis!r}")
                    if size.constant is not None:
                        found[axis] = size
        need_kind(types[0], "fiu", "C5")
        return [TensorType.of([found[a] for a in out], types[0].element_type)]

    def checks(self) -> Sequence[Check]:
        given, _ = self.axes()
        of: dict[str, list[Expr]] = {}
        for i, axes in enumerate(given):
            for axis, size in zip(axes, self.type_of(i).sizes, strict=True):
                of.setdefault(axis, []).append(size)
        found: list[Check] = []
        for axis, all_sizes in of.items():
            if axis.startswith("."):
                found += broadcast_checks("Einsum", *([s] for s in all_sizes))
            else:
                found += same_checks("Einsum", [(all_sizes[0], s) for s in all_sizes[1:]])
        return found

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        equation = self.get("equation").replace(" ", "")
        found = np.einsum(equation, *(wide(x) for x in inputs), optimize=len(inputs) > 1)
        return [settled(found, inputs[0].dtype)]
