"""Rules of operators that move elements, or take them from places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import ModelError
from ...ir.expr import ONE, ZERO, Expr, ceildiv, maximum, minimum
from . import late
from .builder import Value
from .node import Node, Result, Rule
from .rules_shape import known_sizes, normal, numbers_of

FAR = 10**9  # bounds that exporters write for "to the end" (TensorFlow this one, others the greatest integers)
MOST = 2**48  # elements that no axis has


def transpose(n: Node) -> Value:
    x = n.input(0)
    perm = n.attr("perm", list(range(x.rank))[::-1])
    return x if perm == list(range(x.rank)) else n.emit("Transpose", x, perm=perm)


def concat(n: Node) -> Value:
    axis = n.required("axis")
    return n.input(0) if len(n.values) == 1 else n.emit("Concat", n.inputs, axis=axis)


def split(n: Node) -> Result:
    x = n.input(0)
    (axis,) = normal([n.attr("axis", 0)], x.rank)
    sizes = n.sizes(1, "the split") if n.has(1) else [Expr.const(s) for s in n.attr("split", [])]
    sizes = n.named(sizes, "part")
    if not sizes:
        sizes = parts(n, x.sizes[axis], n.attr("num_outputs", len(n.outputs)))
    if len(sizes) != len(n.outputs):
        raise ModelError(f"it has {len(n.outputs)} outputs for {len(sizes)} parts")
    return n.emit_all("Split", x, axis=axis, sizes=sizes)


def parts(n: Node, size: Expr, count: int) -> list[Expr]:
    """Equal parts of an axis; since opset 18 the last one may be smaller."""
    if count != len(n.outputs):
        raise ModelError(f"num_outputs is {count}, and there are {len(n.outputs)} outputs")
    if size % count == ZERO:
        return [size // count] * count
    if n.opset < 18:
        if size.constant is not None:
            raise ModelError(f"a size of {size} does not split into {count} equal parts")
        return [size // count] * count  # that nothing is left over is checked by the operator
    each = ceildiv(size, count)
    last = size - each * (count - 1)
    n.check(maximum(-last, 0), f"a size of {size} does not split into {count} parts")
    return [*[each] * (count - 1), last]


def slice_(n: Node) -> Value:
    x = n.input(0)
    if n.opset < 10:
        starts, ends = ([Expr.const(e) for e in n.required(name)] for name in ("starts", "ends"))
        axes, steps = n.attr("axes"), None
    else:
        starts, ends = n.sizes(1, "starts"), n.sizes(2, "ends")
        late_axes = n.sizes(3, "axes") if n.has(3) else [Expr.const(a) for a in range(len(starts))]
        late_steps = n.sizes(4, "steps") if n.has(4) else [ONE] * len(starts)
        if late.is_late([*starts, *ends, *late_axes, *late_steps]):
            return slice_late(n, starts, ends, late_axes, late_steps)
        axes, steps = numbers_of(late_axes, "the axes"), numbers_of(late_steps, "the steps")
    axes = normal(list(range(len(starts))) if axes is None else axes, x.rank)
    steps = [1] * len(axes) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError("starts, ends, axes and steps do not fit together, or a step is 0")
    first, count, stride = [ZERO] * x.rank, list(x.sizes), [1] * x.rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        first[axis], count[axis] = span(n, x.sizes[axis], start, end, step)
        stride[axis] = step
    if tuple(count) == x.sizes and set(stride) <= {1}:
        return x
    return n.emit("Slice", x, starts=first, sizes=count, steps=stride)


def slice_late(
    n: Node, starts: Sequence[Expr], ends: Sequence[Expr], axes: Sequence[Expr], steps: Sequence[Expr]
) -> Value:
    """A slice whose bounds are data, and maybe its axes and steps: an axis is taken from in places of a range."""
    x = n.input(0)
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(axes) > x.rank:
        raise ModelError("starts, ends, axes and steps do not fit together")
    for step in steps:
        n.check(late.equal(step, 0), "the step of a slice is 0")
    chosen = [late.flags(n, [axis], x.rank) for axis in axes]
    first, sizes, stride = [ZERO] * x.rank, list(x.sizes), [ONE] * x.rank
    for start, end, step, flags in zip(starts, ends, steps, chosen, strict=True):
        for d, flag in enumerate(flags):
            if flag != ZERO:
                begin, count = late.span(n, x.sizes[d], start, end, step)
                first[d] = first[d] + flag * begin
                sizes[d] = sizes[d] + flag * (count - x.sizes[d])
                stride[d] = stride[d] + flag * (step - 1)
    # where nothing is taken the first place may be -1, which is no size
    first, sizes = n.named([maximum(f, 0) for f in first], "start"), n.named(sizes, "d")
    numbers = [s.constant for s in stride]
    if None not in numbers:
        return n.emit("Slice", x, starts=first, sizes=sizes, steps=numbers)
    for d, step in enumerate(stride):
        if first[d] != ZERO or sizes[d] != x.sizes[d] or step != ONE:
            places = n.emit("Range", known_sizes([first[d]], []), known_sizes([step], []), size=sizes[d])
            x = n.emit("Gather", x, places, axis=d)
    return x


def span(n: Node, size: Expr, start: Expr, end: Expr, step: int) -> tuple[Expr, Expr]:
    """First element and number of elements of `start:end:step`, in as simple a form as is exact.

    Bounds count from the end when negative, and are clamped to the axis."""

    def settled(bound: Expr) -> Expr:
        """The bound from the front, not clamped."""
        if bound.nonnegative():
            return bound
        if (-1 - bound).nonnegative():
            return bound + size
        # a size that may be 0 leaves the sign open: negative ones are refused when the model runs
        n.check(maximum(-bound, 0), f"the bound {bound} of a slice is negative")
        return bound

    last_start, last_end = start.constant, end.constant
    if last_start is not None:  # differences of the greatest integers would overflow
        start = Expr.const(max(-MOST, min(last_start, MOST)))
    if last_end is not None:
        end = Expr.const(max(-MOST, min(last_end, MOST)))
    if step > 0:
        if last_end is not None and last_end >= FAR:
            if size.constant is None and last_end < 2**31 - 1:
                n.check(maximum(size - last_end, 0), f"a size is greater than {last_end}, where a slice ends")
            end = size
        if end == size and last_start is not None and last_start < 0 and step == 1:
            return maximum(size + start, 0), minimum(size, -start)  # the last few
        begin, stop = maximum(settled(start), 0), minimum(settled(end), size)
        return begin, ceildiv(maximum(stop - begin, 0), step)
    begin = size - 1 if last_start is not None and last_start >= FAR else minimum(settled(start), size - 1)
    stop = Expr.const(-1) if last_end is not None and last_end <= -FAR else maximum(settled(end), -1)
    return begin, ceildiv(maximum(begin - stop, 0), -step)


def tile(n: Node) -> Value:
    return n.emit("Tile", n.input(0), repeats=n.named(n.sizes(1, "repeats"), "repeat"))


def pad(n: Node) -> Value:
    x, mode = n.input(0), n.attr("mode", "constant")
    if n.opset >= 11:
        pads, value = n.sizes(1, "pads"), n.optional(2)
        axes = n.sizes(3, "axes") if n.has(3) else None
        if axes is not None and late.is_late(axes):
            pads = spread_late(n, pads, axes, x.rank)
        elif axes is not None:
            pads = spread(pads, normal(numbers_of(axes, "the axes"), x.rank), x.rank)
    else:
        pads = [Expr.const(p) for p in n.required("pads")]
        value = n.like(n.attr("value", 0.0), x) if n.attr("value", 0.0) else None
    if all(p == ZERO for p in pads) and len(pads) == 2 * x.rank:
        return x
    return n.emit("Pad", x, value if mode == "constant" else None, pads=pads, mode=mode)


def spread(pads: Sequence[Expr], axes: Sequence[int], rank: int) -> list[Expr]:
    """Pads of some axes as pads of all."""
    if len(pads) != 2 * len(axes):
        raise ModelError(f"{len(pads)} pads for {len(axes)} axes")
    found = [ZERO] * (2 * rank)
    for i, axis in enumerate(axes):
        found[axis], found[rank + axis] = pads[i], pads[len(axes) + i]
    return found


def spread_late(n: Node, pads: Sequence[Expr], axes: Sequence[Expr], rank: int) -> list[Expr]:
    """Pads of axes that are data as pads of all."""
    if len(pads) != 2 * len(axes):
        raise ModelError(f"{len(pads)} pads for {len(axes)} axes")
    chosen = [late.flags(n, [axis], rank) for axis in axes]
    sides = (pads[: len(axes)], pads[len(axes) :])
    return [sum((f[d] * p for f, p in zip(chosen, side, strict=True)), ZERO) for side in sides for d in range(rank)]


def depth_to_space(n: Node) -> Value:
    return n.emit("DepthToSpace", n.input(0), blocksize=n.required("blocksize"), mode=n.attr("mode", "DCR"))


def space_to_depth(n: Node) -> Value:
    x, block = n.input(0), n.required("blocksize")
    if n.attr("mode", "DCR") == "DCR":
        return n.emit("SpaceToDepth", x, blocksize=block)
    batch, channels, rows, columns = x.sizes  # CRD: the channel comes first, then the place in its block
    tiles = n.reshape(x, [batch, channels, rows // block, block, columns // block, block])
    tiles = n.emit("Transpose", tiles, perm=[0, 1, 3, 5, 2, 4])
    return n.reshape(tiles, [batch, channels * (block * block), rows // block, columns // block])


def trilu(n: Node) -> Value:
    x, upper = n.input(0), bool(n.attr("upper", 1))
    if not n.has(1) or n.input(1).known is not None:
        return n.emit("Trilu", x, k=n.sizes(1, "k")[0] if n.has(1) else ZERO, upper=upper)
    if x.rank < 2:
        raise ModelError(f"its input has {x.rank} dimensions, fewer than 2")
    # a diagonal that is data: column - row >= k (or <= k) chooses between x and 0
    zero, one, rows, columns = n.constant(0, "int64"), n.constant(1, "int64"), *x.sizes[-2:]
    row = n.reshape(n.emit("Range", zero, one, size=rows), [rows, 1])
    distance = n.emit("Sub", n.emit("Range", zero, one, size=columns), row)
    diagonal = n.reshape(n.cast(n.input(1), "int64"), [])
    kept = n.emit("GreaterOrEqual" if upper else "LessOrEqual", distance, diagonal)
    return n.emit("Where", kept, x, n.like(0, x))


# ---- places


def gather(operator: str) -> Rule:
    def rule(n: Node) -> Value:
        return n.emit(operator, n.input(0), n.input(1), axis=n.attr("axis", 0))

    return rule


def gather_nd(n: Node) -> Value:
    return n.emit("GatherND", n.input(0), n.input(1), batch_dims=n.attr("batch_dims", 0))


def scatter_elements(n: Node) -> Value:
    return n.emit("ScatterElements", *n.inputs, axis=n.attr("axis", 0), reduction=n.attr("reduction", "none"))


def scatter_nd(n: Node) -> Value:
    x, indices, updates = n.inputs
    if indices.rank and indices.sizes[-1].constant is None:
        # the ranks tell how long the index vectors are
        indices = n.reshape(indices, [*indices.sizes[:-1], indices.rank - 1 + x.rank - updates.rank])
    return n.emit("ScatterND", x, indices, updates, reduction=n.attr("reduction", "none"))


def one_hot(n: Node) -> Value:
    depth = n.input(1)
    if depth.dtype.kind in "iu":
        (size,) = n.named(n.sizes(1, "the depth")[:1], "depth")
    elif depth.known is None:
        size = n.counted(n.cast(n.reshape(depth, []), "int64"), "depth")
    else:
        given = float(n.numbers(1, "the depth").reshape(-1)[0])
        if not 0 <= given < 2**62:
            raise ModelError(f"the depth is {given}")
        size = Expr.const(int(given))
    return n.emit("OneHot", n.input(0), n.input(2), depth=size, axis=n.attr("axis", -1))


def reverse_sequence(n: Node) -> Value:
    axes = {"batch_axis": n.attr("batch_axis", 1), "time_axis": n.attr("time_axis", 0)}
    return n.emit("ReverseSequence", n.input(0), n.input(1), **axes)


RULES: Mapping[str, Rule] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Gather": gather("Gather"),
    "GatherElements": gather("GatherElements"),
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "Pad": pad,
    "ReverseSequence": reverse_sequence,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
}
