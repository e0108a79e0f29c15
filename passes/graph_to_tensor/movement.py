"""Operators that move elements: one read at an index computed from the result's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from xdsl.ir import SSAValue

from ...dialects.graph import movement as graph
from ...dialects.graph.base import GraphOp, normal_axis
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import ONE, ZERO, Expr, ExprLike, maximum, minimum, product
from .rules import Emitter, broadcast_index, lowers, simplified, sizes_of, type_of


@lowers(graph.Reshape)
def reshape(op: GraphOp, emit: Emitter) -> SSAValue:
    source, shape = op.operands[0], sizes_of(op.results[0])
    return reshaped(emit, source, shape)


def reshaped(emit: Emitter, source: SSAValue, shape: Sequence[Expr]) -> SSAValue:
    """The elements of `source`, in row-major order, in another shape; itself if it has that shape."""
    given = sizes_of(source)
    if given == tuple(shape):
        return source
    return emit.move(shape, source, lambda *dims: reshape_index(dims, shape, given))


def reshape_index(dims: Sequence[ExprLike], shape: Sequence[Expr], given: Sequence[Expr]) -> list[Expr]:
    """The index into sizes `given` of the element at `dims` of `shape`, both in row-major order.

    Axes between two places where the products of the sizes before them agree form a group of its own, so that an
    index does not depend on more than it must."""
    index: list[Expr] = []
    for (i, end_i), (j, end_j) in groups(given, shape):
        flat = ZERO
        for dim, size in zip(dims[j:end_j], shape[j:end_j], strict=True):
            flat = flat * size + dim
        part: list[Expr] = []
        for position in range(end_i - 1, i - 1, -1):
            size = given[position]
            first = position == i or all(s == ONE for s in given[i:position])
            part.append(ZERO if size == ONE else flat if first else flat % size)
            flat = flat // size
        index += reversed(part)
    return index


def groups(a: Sequence[Expr], b: Sequence[Expr]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges of axes of a and b, in order, whose sizes have equal products."""
    cuts = [(0, 0)]
    for i in range(len(a) + 1):
        for j in range(cuts[-1][1], len(b) + 1):
            if (i, j) != cuts[-1] and product(a[:i]) == product(b[:j]):
                cuts.append((i, j))
    if cuts[-1] != (len(a), len(b)):  # products that agree only at run time
        cuts.append((len(a), len(b)))
    return [((i, k), (j, m)) for (i, j), (k, m) in pairwise(cuts)]


@lowers(graph.Transpose)
def transpose(op: GraphOp, emit: Emitter) -> SSAValue:
    return transposed(emit, op.operands[0], op.get("perm"))


def transposed(emit: Emitter, source: SSAValue, perm: Sequence[int]) -> SSAValue:
    """Axis i of the result is axis `perm[i]` of the source; itself if nothing moves."""
    if list(perm) == sorted(perm):
        return source
    sizes = sizes_of(source)
    where = [list(perm).index(i) for i in range(len(perm))]
    return emit.move([sizes[p] for p in perm], source, lambda *dims: [dims[i] for i in where])


@lowers(graph.Expand)
def expand(op: GraphOp, emit: Emitter) -> SSAValue:
    source, shape = op.operands[0], sizes_of(op.results[0])
    given = sizes_of(source)
    if given == shape:
        return source
    lead = len(shape) - len(given)
    return emit.move(shape, source, lambda *dims: [*map(broadcast_index, dims[lead:], given, shape[lead:])])


@lowers(graph.Tile)
def tile(op: GraphOp, emit: Emitter) -> SSAValue:
    source, shape = op.operands[0], sizes_of(op.results[0])
    given = sizes_of(source)
    if given == shape:
        return source
    return emit.move(
        shape, source, lambda *dims: [d if s == o else d % s for d, s, o in zip(dims, given, shape, strict=True)]
    )


@lowers(graph.Concat)
def concat(op: GraphOp, emit: Emitter) -> SSAValue:
    """x0[i] else x1[i - n0] else x2[i - n0 - n1] ..."""
    out = type_of(op.results[0])
    sources = [x for x in op.operands if sizes_of(x) and ZERO not in sizes_of(x)] or [op.operands[0]]
    if len(sources) == 1 and sizes_of(sources[0]) == out.sizes:
        return sources[0]
    axis = normal_axis(op.get("axis"), out.rank)

    def body(b: Body, *dims: Expr) -> Scalar:
        offset = sum((sizes_of(x)[axis] for x in sources), ZERO)
        found = b.constant(0, out.element_type)
        for x in reversed(sources):
            offset = offset - sizes_of(x)[axis]
            found = b.read(x, *dims[:axis], dims[axis] - offset, *dims[axis + 1 :], otherwise=found)
        return found

    return emit.compute(out.sizes, body, out.element_type)


@lowers(graph.Split)
def split(op: GraphOp, emit: Emitter) -> list[SSAValue]:
    source, axis = op.operands[0], normal_axis(op.get("axis"), len(sizes_of(op.operands[0])))
    found: list[SSAValue] = []
    start = ZERO
    for result in op.results:
        starts = [start if i == axis else ZERO for i in range(len(sizes_of(source)))]
        found.append(sliced(emit, source, starts, sizes_of(result)))
        start = start + sizes_of(result)[axis]
    return found


@lowers(graph.Slice)
def slice_(op: GraphOp, emit: Emitter) -> SSAValue:
    return sliced(emit, op.operands[0], op.get("starts"), sizes_of(op.results[0]), op.get("steps"))


def sliced(
    emit: Emitter,
    source: SSAValue,
    starts: Sequence[ExprLike],
    shape: Sequence[Expr],
    steps: Sequence[int] | None = None,
) -> SSAValue:
    """`shape[i]` elements from `starts[i]` in steps of `steps[i]` (1 if not given) along axis i."""
    steps = steps or [1] * len(shape)
    if sizes_of(source) == tuple(shape) and all(s == 0 for s in starts) and all(s == 1 for s in steps):
        return source
    return emit.move(shape, source, lambda *dims: [d * t + s for d, s, t in zip(dims, starts, steps, strict=True)])


@lowers(graph.Pad)
def pad(op: GraphOp, emit: Emitter) -> SSAValue:
    source, value = [*op.inputs, None][:2]
    assert source is not None
    out, sizes, pads, mode = type_of(op.results[0]), sizes_of(source), op.get("pads"), op.get("mode")
    n = len(sizes)
    before, after = pads[:n], pads[n:]
    if all(p == 0 for p in pads):
        return source
    if mode == "constant":
        inside = all((-p).nonnegative() for p in pads)

        def body(b: Body, *dims: Expr) -> Scalar:
            index = [d - p for d, p in zip(dims, before, strict=True)]
            if inside:
                return b.read(source, *index)
            fill = 0 if value is None else b.read(value, *[0] * len(sizes_of(value)))
            return b.read(source, *index, otherwise=fill)

        return emit.compute(out.sizes, body, out.element_type)

    def index(*dims: Expr) -> list[Expr]:
        return [pad_index(mode, *given) for given in zip(dims, sizes, before, after, strict=True)]

    return emit.move(out.sizes, source, index)


def pad_index(mode: str, dim: Expr, size: Expr, before: Expr, after: Expr) -> Expr:
    """Which element of an axis a padded axis has at `dim`; negative pads removed elements first."""
    if before == 0 and after == 0:
        return dim
    first, last = maximum(-before, 0), size - 1 - maximum(-after, 0)
    place = dim - before
    if mode == "edge":
        return maximum(first, minimum(place, last))
    from_first, length = place - first, last - first + 1
    if mode == "wrap":
        return first + from_first % length
    mirrored = maximum(from_first, -from_first)
    return first + minimum(mirrored, 2 * (length - 1) - mirrored)


@lowers(graph.DepthToSpace)
def depth_to_space(op: GraphOp, emit: Emitter) -> SSAValue:
    source, shape, b = op.operands[0], sizes_of(op.results[0]), op.get("blocksize")
    depth = shape[1]

    def index(n: Expr, c: Expr, y: Expr, x: Expr) -> list[Expr]:
        block = (y % b) * b + x % b
        channel = block * depth + c if op.get("mode") == "DCR" else c * (b * b) + block
        return [n, channel, y // b, x // b]

    return emit.move(shape, source, index)


@lowers(graph.SpaceToDepth)
def space_to_depth(op: GraphOp, emit: Emitter) -> SSAValue:
    source, shape, b = op.operands[0], sizes_of(op.results[0]), op.get("blocksize")
    channels = sizes_of(source)[1]

    def index(n: Expr, c: Expr, y: Expr, x: Expr) -> list[Expr]:
        block = c // channels
        return [n, c % channels, y * b + block // b, x * b + block % b]

    return emit.move(shape, source, index)


@lowers(graph.Trilu)
def trilu(op: GraphOp, emit: Emitter) -> SSAValue:
    source, out, k = op.operands[0], type_of(op.results[0]), op.get("k")

    def body(b: Body, *dims: Expr) -> Scalar:
        offset = b.from_index(simplified([dims[-1] - dims[-2] - k], out.sizes)[0])
        kept = offset.ge(0) if op.get("upper") else offset.le(0)
        return kept.where(b.read(source, *dims), 0)

    return emit.compute(out.sizes, body, out.element_type)
