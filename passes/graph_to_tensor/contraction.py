"""Matrix products and convolutions: sums of products, with bias and scale in `finish`.

Convolutions work channels-last: what brings x and the weight into that order, and the result back, are movements that
later passes cancel against their neighbours or fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from xdsl.dialects.builtin import f64
from xdsl.ir import Attribute, SSAValue

from ...dialects.graph import contraction as graph
from ...dialects.graph import data
from ...dialects.graph.base import GraphOp
from ...dialects.tensor import Constant
from ...dialects.tensor.builder import Body, Scalar
from ...ir.broadcast import broadcast
from ...ir.expr import ONE, ZERO, Expr, ExprLike, ceildiv
from ...ir.types import is_float
from .movement import transposed
from .rules import Emitter, broadcast_index, broadcast_read, lowers, sizes_of, type_of, wide, widened


@lowers(graph.MatMul)
def matmul(op: GraphOp, emit: Emitter) -> SSAValue:
    (a, b), out = op.operands, type_of(op.results[0])
    rows, columns = len(sizes_of(a)) > 1, len(sizes_of(b)) > 1
    lead = out.rank - rows - columns
    depth = sizes_of(a)[-1]

    def body(s: Body, *dims: Expr) -> Scalar:
        batch, k = dims[:lead], dims[-1]
        m, n = dims[lead : lead + rows], dims[lead + rows : out.rank]
        x = s.read(a, *batch_index(a, batch, out.sizes[:lead], 1 + rows), *m, k)
        y = s.read(b, *batch_index(b, batch, out.sizes[:lead], 1 + columns), k, *n)
        return widened(x) * widened(y)

    found = emit.compute(out.sizes, body, wide(out.element_type), reduce=[depth], combine="add")
    return emit.cast(found, out.element_type)


def batch_index(x: SSAValue, batch: Sequence[Expr], sizes: Sequence[Expr], matrix: int) -> list[Expr]:
    """The index into the leading axes of `x` (all but its last `matrix` ones), which broadcast to `sizes`."""
    given = sizes_of(x)[: len(sizes_of(x)) - matrix]
    skipped = len(sizes) - len(given)
    return [*map(broadcast_index, batch[skipped:], given, sizes[skipped:])]


@lowers(graph.Gemm)
def gemm(op: GraphOp, emit: Emitter) -> SSAValue:
    (a, b, c), out = op.inputs, type_of(op.results[0])
    assert a is not None and b is not None
    alpha, beta, trans_a, trans_b = (op.get(n) for n in ("alpha", "beta", "trans_a", "trans_b"))

    def body(s: Body, m: Expr, n: Expr, k: Expr) -> Scalar:
        x = s.read(a, *((k, m) if trans_a else (m, k)))
        y = s.read(b, *((n, k) if trans_b else (k, n)))
        return widened(x) * widened(y)

    whole = not is_float(out.element_type)
    middle = f64 if whole and (alpha, beta) != (1, 1) else wide(out.element_type)  # factors are floats

    def finish(s: Body, m: Expr, n: Expr, total: Scalar) -> Scalar:
        found = total.cast(middle)
        found = found if alpha == 1 else found * alpha
        if c is not None:
            addend = broadcast_read(s, c, (m, n), out.sizes).cast(middle)
            found = found + (addend if beta == 1 else addend * beta)
        return found.cast(total.element)

    depth = sizes_of(a)[0 if trans_a else 1]
    plain = alpha == 1 and c is None
    found = emit.compute(
        out.sizes, body, wide(out.element_type), reduce=[depth], combine="add", finish=None if plain else finish
    )
    return emit.cast(found, out.element_type)


# ---- convolution


def channels_last(emit: Emitter, x: SSAValue) -> SSAValue:
    """`[N, C, space...]` as `[N, space..., C]`."""
    n = len(sizes_of(x))
    return transposed(emit, x, [0, *range(2, n), 1])


def channels_first(emit: Emitter, x: SSAValue) -> SSAValue:
    """`[N, space..., C]` as `[N, C, space...]`."""
    n = len(sizes_of(x))
    return transposed(emit, x, [0, n - 1, *range(1, n - 1)])


def padded_channels_last(emit: Emitter, x: SSAValue, pads: Sequence[ExprLike]) -> SSAValue:
    """`[N, C, space...]` as `[N, before + space + after..., C]`, zeros around; a negative pad removes elements."""
    batch, channels, *space = sizes_of(x)
    n = len(space)
    before, after = pads[:n], pads[n:]
    if all(p == 0 for p in pads):
        return channels_last(emit, x)
    inside = all((-Expr.of(p)).nonnegative() for p in pads)
    shape = [batch, *(s + b + a for s, b, a in zip(space, before, after, strict=True)), channels]
    return emit.move(
        shape,
        x,
        lambda i, *dims: [i, dims[-1], *(d - b for d, b in zip(dims, before, strict=False))],
        otherwise=None if inside else 0,
    )


@lowers(graph.Conv)
def conv(op: GraphOp, emit: Emitter) -> SSAValue:
    (x, w, bias), out = op.inputs, type_of(op.results[0])
    assert x is not None and w is not None
    strides, dilations, pads, group = (op.get(n) for n in ("strides", "dilations", "pads", "group"))
    n = out.rank - 2
    source = padded_channels_last(emit, x, pads)
    weight = transposed(emit, w, [*range(2, 2 + n), 1, 0])  # [kernel..., C / group, M]
    *kernel, depth, channels = sizes_of(weight)

    def term(b: Body, i: Expr, space: Sequence[Expr], taps: Sequence[Expr], g: Expr, c: Expr, m: Expr) -> Scalar:
        place = [s * t + k * d for s, k, t, d in zip(space, taps, strides, dilations, strict=True)]
        value = widened(b.read(source, i, *place, g * depth + c))
        return value * widened(b.read(weight, *taps, c, g * (channels // group) + m))

    return windowed(emit, op, kernel, group, depth, bias, term)


def windowed(
    emit: Emitter,
    op: GraphOp,
    kernel: Sequence[Expr],
    group: int,
    depth: Expr,
    bias: SSAValue | None,
    term: Callable[..., Scalar],
    space: Sequence[Expr] = (),
    where: Callable[[Sequence[Expr]], Sequence[Expr]] = lambda place: place,
) -> SSAValue:
    """The sum over a window and over `depth` channels of a group: `[N, M, space...]`, M in `group` groups.

    `term(b, n, place, window position, g, c, m)` is the product for input channel c and output channel m of group g.
    It is computed over other sizes of space, where those are given; `where` is the place there of a place."""
    out = type_of(op.results[0])
    batch, channels = out.sizes[:2]
    space = space or out.sizes[2:]
    n, element = len(space), wide(out.element_type)
    width = channels // group

    def finish(b: Body, *given: Any) -> Scalar:
        *dims, total = given
        m = dims[n + 1] if len(dims) == n + 2 else dims[n + 1] * width + dims[n + 2]
        return total + widened(b.read(bias, m))  # pyright: ignore[reportArgumentType]

    def contraction(shape: Sequence[Expr], body: Callable[..., Scalar], reduce: Sequence[Expr]) -> SSAValue:
        end = None if bias is None else finish
        found = emit.compute(shape, body, element, reduce=reduce, combine="add", finish=end)
        return emit.cast(found, out.element_type)

    if group == 1:

        def dense(b: Body, i: Expr, *dims: Expr) -> Scalar:
            return term(b, i, dims[:n], dims[n + 1 : -1], ZERO, dims[-1], dims[n])

        found = contraction([batch, *space, channels], dense, [*kernel, depth])
    elif depth == ONE and width == ONE:

        def depthwise(b: Body, i: Expr, *dims: Expr) -> Scalar:
            return term(b, i, dims[:n], dims[n + 1 :], dims[n], ZERO, ZERO)

        found = contraction([batch, *space, channels], depthwise, kernel)
    else:

        def grouped(b: Body, i: Expr, *dims: Expr) -> Scalar:
            return term(b, i, dims[:n], dims[n + 2 : -1], dims[n], dims[-1], dims[n + 1])

        found = contraction([batch, *space, Expr.const(group), width], grouped, [*kernel, depth])
        return emit.move(out.sizes, found, lambda i, m, *dims: [i, *where(dims), m // width, m % width])
    return emit.move(out.sizes, found, lambda i, m, *dims: [i, *where(dims), m])


@lowers(graph.ConvTranspose)
def conv_transpose(op: GraphOp, emit: Emitter) -> SSAValue:
    """Gathered: output o takes tap k from input `(o + before - k dilation) / stride`, where that is a whole number and
    inside; elsewhere there is no term, not one of 0 times a weight that may be infinite."""
    (x, w, bias), out = op.inputs, type_of(op.results[0])
    assert x is not None and w is not None
    strides, dilations, pads, group = (op.get(n) for n in ("strides", "dilations", "pads", "group"))
    n = out.rank - 2
    weight = transposed(emit, w, [*range(2, 2 + n), 0, 1])  # [kernel..., C, M / group]
    *kernel, channels, _ = sizes_of(weight)
    depth = channels // group
    if all(d == 1 for d in dilations):
        return phased(op, emit, weight, finite(w))
    source = channels_last(emit, x)

    def term(b: Body, i: Expr, space: Sequence[Expr], taps: Sequence[Expr], g: Expr, c: Expr, m: Expr) -> Scalar:
        far = [o + p - k * d for o, p, k, d in zip(space, pads, taps, dilations, strict=False)]
        place = [f // s for f, s in zip(far, strides, strict=True)]
        channel = g * depth + c
        found = widened(b.read(source, i, *place, channel, otherwise=0)) * widened(b.read(weight, *taps, channel, m))
        for f, s, p, size in zip(far, strides, place, sizes_of(source)[1:-1], strict=True):
            there = b.from_index(p).ge(0) & b.from_index(p).lt(b.from_index(size))
            if s != 1:
                there = there & b.from_index(f % s).eq(0)
            found = there.where(found, 0)
        return found

    return windowed(emit, op, kernel, group, depth, bias, term)


def phased(op: GraphOp, emit: Emitter, weight: SSAValue, is_finite: bool) -> SSAValue:
    """A transposed convolution without dilation, as a convolution per phase.

    Where `o + before = stride h + p`, output o takes the taps `p + stride t` from the inputs h - t: for each phase p
    (below the stride) a convolution over h with ceil(kernel / stride) taps."""
    (x, _, bias), out = op.inputs, type_of(op.results[0])
    assert x is not None
    strides, pads, group = (op.get(n) for n in ("strides", "pads", "group"))
    *kernel, channels, _ = sizes_of(weight)
    given, depth = sizes_of(x)[2:], channels // group
    taps = [ceildiv(k, s) for k, s in zip(kernel, strides, strict=True)]
    places = [ceildiv(o + b, s) for o, b, s in zip(out.sizes[2:], pads, strides, strict=False)]
    around = [(t - 1).constant for t in taps] + [(h - size).constant for h, size in zip(places, given, strict=True)]
    inside = is_finite and None not in around  # zeros around the input add nothing then
    source = padded_channels_last(emit, x, [max(0, p or 0) for p in around]) if inside else channels_last(emit, x)

    def term(b: Body, i: Expr, space: Sequence[Expr], turn: Sequence[Expr], g: Expr, c: Expr, m: Expr) -> Scalar:
        channel, there = g * depth + c, list[Scalar]()
        tap = [p + t * s for p, t, s in zip(space[1::2], turn, strides, strict=True)]
        place = [h - t for h, t in zip(space[::2], turn, strict=True)]
        for k, size, s in zip(tap, kernel, strides, strict=True):
            if size % s != 0:  # phases of fewer taps
                there.append(b.from_index(k).lt(b.from_index(size)))
        if inside:
            place = [p + (t - 1) for p, t in zip(place, taps, strict=True)]
            value = widened(b.read(source, i, *place, channel))
        else:
            value = widened(b.read(source, i, *place, channel, otherwise=0))
            for p, size in zip(place, given, strict=True):
                there.append(b.from_index(p).ge(0) & b.from_index(p).lt(b.from_index(size)))
        found = value * widened(b.read(weight, *tap, channel, m, otherwise=0 if there else None))
        return reduce(lambda value, condition: condition.where(value, 0), there, found)

    space = [e for pair in zip(places, map(Expr.of, strides), strict=True) for e in pair]

    def where(place: Sequence[Expr]) -> list[Expr]:
        far = [(o + b, s) for o, b, s in zip(place, pads, strides, strict=False)]
        return [e for f, s in far for e in (f // s, f % s)]

    return windowed(emit, op, taps, group, depth, bias, term, space, where)


def finite(value: SSAValue) -> bool:
    """Whether a tensor is known to hold neither infinities nor NaN."""
    owner = value.owner
    return isinstance(owner, Constant | data.Constant) and bool(np.isfinite(owner.array.astype(np.float64)).all())


# ---- Einstein's sum


@lowers(graph.Einsum)
def einsum(op: graph.Einsum, emit: Emitter) -> SSAValue:
    """Operands are contracted two by two, from left to right; a letter that neither later operands nor the result name
    is summed at once."""
    given, out = op.axes()
    result = type_of(op.results[0])
    terms = [*zip(op.operands, given, strict=True)]
    while True:
        pair, terms = terms[:2], terms[2:]
        later = {a for _, axes in terms for a in axes} | set(out)
        kept = out if not terms else tuple(dict.fromkeys(a for _, axes in pair for a in axes if a in later))
        found = contracted(emit, pair, kept, wide(result.element_type))
        if not terms:
            return emit.cast(found, result.element_type)
        terms.insert(0, (found, kept))


def contracted(
    emit: Emitter, terms: Sequence[tuple[SSAValue, tuple[str, ...]]], kept: Sequence[str], element: Attribute
) -> SSAValue:
    """The product of one or two tensors, whose axes have names, summed over those that are not kept."""
    sizes: dict[str, Expr] = {}
    for x, axes in terms:
        for axis, size in zip(axes, sizes_of(x), strict=True):
            known = sizes.setdefault(axis, size)
            if axis.startswith("."):
                sizes[axis] = broadcast(known, size)
            elif size.constant is not None:
                sizes[axis] = size
    summed = [a for a in sizes if a not in kept]

    def body(b: Body, *dims: Expr) -> Scalar:
        place = dict(zip((*kept, *summed), dims, strict=True))
        factors: list[Scalar] = []
        for x, axes in terms:
            shape = sizes_of(x)
            # only axes of `...` broadcast
            index = [
                broadcast_index(place[a], s, sizes[a]) if a.startswith(".") else place[a]
                for a, s in zip(axes, shape, strict=True)
            ]
            factors.append(widened(b.read(x, *index)))
        return reduce(Scalar.__mul__, factors)

    return emit.compute([sizes[a] for a in kept], body, element, reduce=[sizes[a] for a in summed], combine="add")
