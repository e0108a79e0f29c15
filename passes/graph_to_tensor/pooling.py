"""Pools: reductions over windows, channels-last like the convolutions around them."""

from __future__ import annotations

import math as _math
from collections.abc import Callable, Sequence

from xdsl.dialects import math
from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from ...dialects.graph import pooling as graph
from ...dialects.graph.base import GraphOp
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import ZERO, Expr, ExprLike, ceildiv, maximum, minimum, product
from ...ir.types import is_float
from .contraction import channels_first, channels_last
from .rules import Emitter, element_type, lowers, lowest, size_of, sizes_of, type_of, wide, widened


class Windows:
    """The windows of a pool over channels-last x: where they lie, and whether they stay inside."""

    def __init__(self, op: GraphOp) -> None:
        x, out = type_of(op.operands[0]), type_of(op.results[0])
        self.input, self.output = x.sizes[2:], out.sizes[2:]
        n = len(self.input)
        self.kernel: Sequence[int] = op.get("kernel")
        self.strides: Sequence[int] = op.get("strides")
        self.dilations: Sequence[int] = op.get("dilations")
        pads: Sequence[Expr] = op.get("pads")
        self.before, self.after = pads[:n], pads[n:]
        self.shape = [x.sizes[0], *self.output, x.sizes[1]]
        self.inside = all(p == 0 for p in pads) and not op.get("ceil_mode")

    def place(self, space: Sequence[Expr], taps: Sequence[Expr]) -> list[Expr]:
        """The index into the axes of space."""
        given = zip(space, taps, self.strides, self.dilations, self.before, strict=True)
        return [o * s + k * d - b for o, k, s, d, b in given]

    def element(self, b: Body, x: SSAValue, dims: Sequence[Expr], pad: float) -> Scalar:
        """The element at dims (batch, space..., channel, taps...), in the type of arithmetic; `pad` outside."""
        n = len(self.kernel)
        place = self.place(dims[1 : n + 1], dims[n + 2 :])
        return widened(b.read(x, dims[0], *place, dims[n + 1], otherwise=None if self.inside else pad))

    def count(self, space: Sequence[Expr], within_pads: bool) -> Expr:
        """How many elements of a window lie inside of x, or, `within_pads`, of x and its pads."""
        sizes: list[Expr] = []
        for i, o in enumerate(space):
            low, high = ZERO, self.input[i]
            if within_pads:
                low, high = -self.before[i], self.input[i] + self.after[i]
            start, d, kernel = o * self.strides[i] - self.before[i], self.dilations[i], self.kernel[i]
            first = maximum(ceildiv(low - start, d), 0)
            sizes.append(maximum(minimum(ceildiv(high - start, d), kernel) - first, 0))
        return product(sizes)


def pooled(
    op: GraphOp,
    emit: Emitter,
    combine: str,
    pad: float,
    body: Callable[[Scalar], Scalar] = lambda x: x,
    finish: Callable[..., Scalar] | None = None,
) -> SSAValue:
    """Windows of x combined, channels-first again, in the result's element type."""
    windows, out = Windows(op), type_of(op.results[0])
    source = channels_last(emit, op.operands[0])
    found = emit.compute(
        windows.shape,
        lambda b, *dims: body(windows.element(b, source, dims, pad)),
        wide(out.element_type),
        reduce=[*windows.kernel],
        combine=combine,
        finish=finish,
    )
    return channels_first(emit, emit.cast(found, out.element_type))


@lowers(graph.MaxPool)
def max_pool(op: GraphOp, emit: Emitter) -> list[SSAValue]:
    found = [pooled(op, emit, "max", lowest(element_type(op.operands[0])))]
    if op.get("indices"):
        found.append(max_pool_indices(op, emit, found[0]))
    return found


def max_pool_indices(op: GraphOp, emit: Emitter, best: SSAValue) -> SSAValue:
    """The place of the first element of the window that is the greatest, or NaN: the least tap among those."""
    windows, x = Windows(op), op.operands[0]
    n, sizes, out = len(windows.kernel), sizes_of(x), type_of(op.results[1])
    none = 1 << 40  # more than any window has taps

    def tap(b: Body, *dims: Expr) -> Scalar:
        place = windows.place(dims[2 : n + 2], dims[n + 2 :])
        index = (*dims[:2], *place)
        value = widened(b.read(x, *index, otherwise=None if windows.inside else lowest(element_type(x))))
        wins = value.eq(widened(b.read(best, *dims[: n + 2])))
        if is_float(value.element):
            wins = wins | value.is_nan()
        for p, size in zip(place, windows.input, strict=True):
            if not windows.inside:
                inside = b.from_index(p).ge(0) & b.from_index(p).lt(b.from_index(size))
                wins = wins & inside
        flat = ZERO
        for k, size in zip(dims[n + 2 :], windows.kernel, strict=True):
            flat = flat * size + k
        return wins.where(b.from_index(flat), none)

    def finish(b: Body, *given: Expr | Scalar) -> Scalar:
        *dims, first = given
        assert isinstance(first, Scalar)
        chosen = b.as_index(first)
        taps: list[Expr] = []
        for size in reversed(windows.kernel):
            taps.insert(0, chosen % size)
            chosen = chosen // size
        place = windows.place(dims[2:], taps)  # pyright: ignore[reportArgumentType]
        axes = range(n) if op.get("storage_order") == 0 else range(n - 1, -1, -1)
        flat: ExprLike = dims[0] * sizes[1] + dims[1]  # pyright: ignore[reportOperatorIssue, reportAssignmentType]
        for axis in axes:
            flat = flat * sizes[2 + axis] + place[axis]
        return b.from_index(flat) if windows.inside else first.lt(none).where(b.from_index(flat), -1)

    return emit.compute(out.sizes, tap, i64, reduce=[*windows.kernel], combine="min", finish=finish)


@lowers(graph.AveragePool)
def average_pool(op: GraphOp, emit: Emitter) -> SSAValue:
    windows = Windows(op)

    def finish(b: Body, *given: Expr | Scalar) -> Scalar:
        *dims, total = given
        assert isinstance(total, Scalar)
        space: Sequence[Expr] = dims[1:-1]  # pyright: ignore[reportAssignmentType]
        if windows.inside:
            return total / _math.prod(windows.kernel)
        return total / b.from_index(windows.count(space, op.get("count_include_pad")), total.element)

    return pooled(op, emit, "add", 0, finish=finish)


@lowers(graph.LpPool)
def lp_pool(op: GraphOp, emit: Emitter) -> SSAValue:
    p = op.get("p")
    return pooled(op, emit, "add", 0, lambda x: powered(x, p), lambda b, *given: rooted(given[-1], p))


def powered(x: Scalar, p: int) -> Scalar:
    """|x|^p"""
    if p == 2:
        return x * x
    magnitude = x.math(math.AbsFOp)
    return magnitude if p == 1 else magnitude.math(math.PowFOp, float(p))


def rooted(x: Scalar, p: int) -> Scalar:
    """x^(1/p)"""
    if p == 1:
        return x
    return x.math(math.SqrtOp) if p == 2 else x.math(math.PowFOp, 1 / p)


# ---- one value per channel


def global_pooled(
    op: GraphOp,
    emit: Emitter,
    combine: str,
    body: Callable[[Scalar], Scalar] = lambda x: x,
    finish: Callable[..., Scalar] | None = None,
) -> SSAValue:
    """All of a channel combined, as `[N, 1..., C]` and then `[N, C, 1...]`: the read of channels-first x composes with
    the movement that made it."""
    x, out = op.operands[0], type_of(op.results[0])
    source = channels_last(emit, x)
    batch, *space, channels = sizes_of(source)
    n = len(space)

    def element(b: Body, *dims: Expr) -> Scalar:
        return body(widened(b.read(source, dims[0], *dims[n + 2 :], dims[n + 1])))

    shape = [batch, *[Expr.const(1)] * n, channels]
    found = emit.compute(shape, element, wide(out.element_type), reduce=space, combine=combine, finish=finish)
    return channels_first(emit, emit.cast(found, out.element_type))


@lowers(graph.GlobalAveragePool)
def global_average_pool(op: GraphOp, emit: Emitter) -> SSAValue:
    count = product(sizes_of(op.operands[0])[2:])

    def finish(b: Body, *given: Expr | Scalar) -> Scalar:
        total = given[-1]
        assert isinstance(total, Scalar)
        return total / size_of(b, count, total.element)

    return global_pooled(op, emit, "add", finish=finish)


@lowers(graph.GlobalMaxPool)
def global_max_pool(op: GraphOp, emit: Emitter) -> SSAValue:
    return global_pooled(op, emit, "max")


@lowers(graph.GlobalLpPool)
def global_lp_pool(op: GraphOp, emit: Emitter) -> SSAValue:
    p = op.get("p")
    return global_pooled(op, emit, "add", lambda x: powered(x, p), lambda b, *given: rooted(given[-1], p))
