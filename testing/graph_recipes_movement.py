"""How to draw operators that move elements or make them: operands and properties that their constraints allow."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.dialects.builtin import f32, i1, i64

from ..dialects.graph import GraphOp
from ..dialects.graph.data import Constant
from ..dialects.graph.movement import slice_range
from ..dialects.graph.resize import COORDINATES, NEAREST
from ..ir.expr import ONE, Expr, minimum, product
from ..ir.types import TensorType, dtype_of
from .graph_builder import GraphBuilder, numpy_rng, random_array, type_of
from .graph_table import axis_of, make, recipe

# ---- movement


@recipe
def reshape(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs")
    factors: list[Expr] = []
    for size in type_of(x).sizes:
        known = size.constant
        split = next((d for d in (2, 3) if known and known > d and known % d == 0), None)
        factors += [size] if split is None else [Expr.const(split), size // split]
    g.rng.shuffle(factors)
    factors += [ONE] * g.rng.randrange(2)
    cuts = sorted(g.rng.randint(0, len(factors)) for _ in range(g.rng.randrange(3)))
    ends = zip([0, *cuts], [*cuts, len(factors)], strict=True)
    return make("Reshape", x, shape=[product(factors[a:b]) for a, b in ends])


@recipe
def transpose(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs")
    perm = list(range(type_of(x).rank))
    g.rng.shuffle(perm)
    return make("Transpose", x, perm=perm)


@recipe
def expand(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (0, 1, 2, 3))
    shape = [g.size() if s == ONE and g.flip() else ONE if g.flip(0.2) else s for s in type_of(x).sizes]
    return make("Expand", x, shape=[*g.sizes(g.rng.randrange(2)), *shape][g.rng.randrange(2) :])


@recipe
def tile(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (0, 1, 2, 3))
    return make("Tile", x, repeats=[g.rng.choice((1, 1, 2, 3, 0)) for _ in type_of(x).sizes])


@recipe
def concat(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (1, 2, 3, 4))
    axis = axis_of(g, type_of(x).rank)
    operands = [x]
    for _ in range(g.rng.randrange(3)):
        shape = list(type_of(x).sizes)
        shape[axis] = g.size()
        operands.insert(g.rng.randint(0, len(operands)), g.shaped(shape, type_of(x).element_type))
    return make("Concat", operands, axis=axis)


@recipe
def split(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (1, 2, 3, 4))
    axis = axis_of(g, type_of(x).rank)
    size = type_of(x).sizes[axis]
    parts: list[Expr] = []
    left = g.number(size)
    for _ in range(g.rng.randrange(3)):
        parts.append(Expr.const(g.rng.randint(0, left)))
        left -= int(parts[-1])
    return make("Split", x, axis=axis, sizes=[*parts, size - sum(parts, Expr.const(0))])


@recipe
def slice_(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (0, 1, 2, 3, 4))
    steps = [g.rng.choice((1, 1, 1, 2, -1, -2)) for _ in type_of(x).sizes]
    ranges = [
        slice_range(size, g.rng.randint(-4, 4), g.rng.choice((*range(-4, 9), 2**31, -(2**31))), step)
        for size, step in zip(type_of(x).sizes, steps, strict=True)
    ]
    return make("Slice", x, starts=[r[0] for r in ranges], sizes=[r[1] for r in ranges], steps=steps)


@recipe
def pad(g: GraphBuilder) -> GraphOp:
    x, mode = g.tensor("fiubs", (0, 1, 2, 3, 4)), g.rng.choice(("constant", "constant", "reflect", "edge", "wrap"))
    before, after = [0] * type_of(x).rank, [0] * type_of(x).rank
    for i, size in enumerate(type_of(x).sizes):
        n = g.number(size)
        most = {"constant": 3, "reflect": max(n - 1, 0), "edge": 3 * min(n, 1), "wrap": 3 * min(n, 1)}[mode]
        before[i], after[i] = (g.rng.randint(0, min(most, 3)) for _ in range(2))
        if g.flip(0.15) and n >= 1:
            before[i], after[i] = (-1, 0) if g.flip() else (0, -1)
    pads = [*before, *after]
    if mode == "constant" and g.flip():
        return make("Pad", x, g.shaped([], type_of(x).element_type), pads=pads)
    return make("Pad", x, pads=pads, mode=mode)


@recipe
def depth_to_space(g: GraphBuilder) -> GraphOp:
    b = g.rng.choice((1, 2, 3))
    x = g.input([g.size(), g.size() * b * b, g.size(), g.size()], g.element("fiubs"))
    return make("DepthToSpace", x, blocksize=b, mode=g.rng.choice(("DCR", "CRD")))


@recipe
def space_to_depth(g: GraphBuilder) -> GraphOp:
    b = g.rng.choice((1, 2, 3))
    return make(
        "SpaceToDepth", g.input([g.size(), g.size(), g.size() * b, g.size() * b], g.element("fiubs")), blocksize=b
    )


@recipe
def trilu(g: GraphBuilder) -> GraphOp:
    k = g.size() if g.flip(0.2) else Expr.const(g.rng.randint(-3, 3))
    return make("Trilu", g.tensor("fiubs", (2, 3, 4)), k=k, upper=g.flip())


@recipe
def resize(g: GraphBuilder) -> GraphOp:
    x = g.tensor("f", (2, 3, 4), low=1)
    mode = g.rng.choice(("nearest", "nearest", "linear", "linear", "cubic"))
    if mode == "nearest":
        x = g.tensor("f", (2, 3, 4), low=1, exact=True)
    sizes, roi = list(type_of(x).sizes), [0.0] * type_of(x).rank + [1.0] * type_of(x).rank
    scales = [1.0] * len(sizes)
    for i in range(max(len(sizes) - 2, 0), len(sizes)):
        known = sizes[i].constant
        scales[i] = g.rng.choice((1.0, 2.0, 3.0) if known is None else (1.0, 2.0, 0.5, 1.5, 0.75, 2.5))
        sizes[i] = sizes[i] * int(scales[i]) if known is None else Expr.const(int(known * scales[i]))
        roi[i], roi[i + len(sizes)] = g.rng.choice(((0.0, 1.0), (0.25, 0.75), (-0.25, 1.125)))
    coordinates = g.rng.choice(COORDINATES)
    given: dict[str, Any] = {
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": g.rng.choice(NEAREST),
        "mode": mode,
    }
    given["roi"] = roi if coordinates == "tf_crop_and_resize" else None
    given["antialias"] = mode != "nearest" and g.flip(0.3)
    given["exclude_outside"] = mode == "cubic" and g.flip(0.3)
    return make("Resize", x, sizes=sizes, scales=scales if g.flip() else None, extrapolation_value=0.5, **given)


# ---- indexing


@recipe
def gather(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (1, 2, 3), low=1)
    axis = axis_of(g, type_of(x).rank)
    size = type_of(x).sizes[axis]
    return make("Gather", x, g.input(g.sizes(g.rng.randrange(3)), i64, -size, size - 1), axis=axis)


@recipe
def gather_elements(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (1, 2, 3), low=1)
    axis = axis_of(g, type_of(x).rank)
    size = type_of(x).sizes[axis]
    shape = [s if s.constant is None or g.flip() else ONE for s in type_of(x).sizes]
    shape[axis] = g.size()
    return make("GatherElements", x, g.input(shape, i64, -size, size - 1), axis=axis)


@recipe
def take(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiub", (1, 2, 3))
    places = g.sizes(g.rng.randrange(3))
    shapes = [
        [ONE if g.flip(0.3) else s for s in places][g.rng.randrange(2) :]
        for _ in range(g.rng.randint(1, type_of(x).rank))
    ]
    return make("Take", x, [g.input(shape, i64, -2, 4) for shape in shapes])


@recipe
def gather_nd(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (1, 2, 3), low=1)
    sizes = type_of(x).sizes
    batch = g.rng.randrange(len(sizes))
    depth = g.rng.randint(1, len(sizes) - batch)
    most = minimum(*sizes[batch : batch + depth])  # all axes share one range of indices
    shape = [*sizes[:batch], *g.sizes(g.rng.randrange(2)), depth]
    return make("GatherND", x, g.input(shape, i64, -most, most - 1), batch_dims=batch)


@recipe
def tree_leaves(g: GraphBuilder) -> GraphOp:
    x = g.input([g.size(), g.rng.randint(1, 5)], g.element("f"))
    interior, trees = g.rng.randint(0, 5), g.rng.randint(0, 3)
    nodes = 2 * interior + 1  # children come after their parents, so that there is no circle
    own = [[i, i] for i in range(interior, nodes)]
    children = [[g.rng.randrange(i + 1, nodes) for _ in range(2)] for i in range(interior)] + own
    width = type_of(x).sizes[1].__index__()
    modes = sorted(g.rng.sample(range(6), g.rng.randint(1, 3)))
    rules = [g.rng.choice(modes) + 8 * g.flip() for _ in range(nodes)]
    tables: list[tuple[Any, Any]] = [
        ([g.rng.randrange(width) for _ in range(nodes)], np.int32),
        ([g.rng.choice((-1, 0, 0.5, 1, 2)) for _ in range(nodes)], dtype_of(type_of(x).element_type)),
        (rules, np.uint8), (children, np.int32), ([g.rng.randrange(nodes) for _ in range(trees)], np.int32),
    ]  # fmt: skip
    constants = [g.constant(np.array(table, dtype)) for table, dtype in tables]
    return make("TreeLeaves", x, *constants, steps=interior, modes=modes, tracks=True)


@recipe
def scatter_elements(g: GraphBuilder) -> GraphOp:
    shape = [g.rng.randint(1, 4) for _ in range(g.rng.randint(1, 3))]
    element, axis, rank = g.element("fiu"), axis_of(g, len(shape)), len(shape)
    taken = [g.rng.randint(1, n) for n in shape]
    numbers = np.random.default_rng(g.rng.getrandbits(32))
    order = np.argsort(numbers.random([shape[i] if i == axis % rank else taken[i] for i in range(rank)]), axis)
    indices = order.take(range(taken[axis]), axis) - shape[axis] * g.rng.randrange(2)  # no element twice
    operands = (g.shaped(shape, element), g.constant(indices.astype(np.int64)), g.shaped(taken, element))
    return make("ScatterElements", *operands, axis=axis, reduction=g.rng.choice(("none", "add", "mul", "max", "min")))


@recipe
def scatter_nd(g: GraphBuilder) -> GraphOp:
    shape = [g.rng.randint(1, 4) for _ in range(g.rng.randint(1, 3))]
    depth = g.rng.randint(1, len(shape))
    places = list(np.ndindex(*shape[:depth]))
    chosen = g.rng.sample(places, g.rng.randint(1, len(places)))  # no element twice
    element = g.element("fiu")
    updates = g.shaped([len(chosen), *shape[depth:]], element)
    operands = (g.shaped(shape, element), g.constant(np.array(chosen, np.int64)), updates)
    return make("ScatterND", *operands, reduction=g.rng.choice(("none", "add", "mul", "max", "min")))


@recipe
def one_hot(g: GraphBuilder) -> GraphOp:
    depth, shape = g.size(), g.sizes(g.rng.randrange(4))
    indices = g.input(shape, i64, -depth - 1, depth)
    values = g.shaped([2], g.element("fiub"))
    return make("OneHot", indices, values, depth=depth, axis=g.rng.randrange(-len(shape) - 1, len(shape) + 1))


@recipe
def reverse_sequence(g: GraphBuilder) -> GraphOp:
    x = g.tensor("fiubs", (2, 3), low=1)
    batch = g.rng.randrange(2)
    lengths = g.input([type_of(x).sizes[batch]], i64, 1, type_of(x).sizes[1 - batch])
    return make("ReverseSequence", x, lengths, batch_axis=batch, time_axis=1 - batch)


@recipe
def suppress_overlaps(g: GraphBuilder) -> GraphOp:
    lines, count = g.size(), g.size()
    boxes = g.input([lines, count, 4], f32, -8, 8)
    return make("SuppressOverlaps", boxes, g.input([lines, count], i1), g.input([], f32, 0, 1))


# ---- data


@recipe
def constant(g: GraphBuilder) -> GraphOp:
    shape = [g.rng.randrange(5) for _ in range(g.rng.randrange(4))]
    array = random_array(numpy_rng(g.rng), TensorType.of([], g.element("fiubs")).dtype, shape)
    return Constant.of(array)


@recipe
def sizes(g: GraphBuilder) -> GraphOp:
    values = [g.size() * g.rng.randint(-1, 2) + g.rng.randint(0, 2) for _ in range(g.rng.randrange(4))]
    return make("SizesOf", values=values, shape=[len(values)])


@recipe
def range_(g: GraphBuilder) -> GraphOp:
    element = g.element("fiu")
    return make("Range", g.input([], element, 0, 3), g.input([], element, 0, 2), size=g.size())


@recipe
def eye_like(g: GraphBuilder) -> GraphOp:
    return make("EyeLike", g.tensor("fiub", (2,)), k=g.rng.randint(-2, 2), to=g.element("fiub"))
