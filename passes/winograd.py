"""Convolutions 3 × 3 with fewer multiplications.

    y = Aᵀ ((G w Gᵀ) ∘ (Bᵀ x B)) A          for a tile of m × m results, from n × n elements of x, n = m + 2

After Winograd and Toom and Cook: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016). Each row of
Bᵀ, G, Aᵀ belongs to a point at which the polynomials behind are evaluated; the points ±5/8, ±3/2 keep errors of m = 4
to a third of those of the usual ±1, ±2 (Barabasz, Anderson, Soodhalter, Gregg, Error analysis and improving the
accuracy of Winograd convolution, 2020, look for such points).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.ir import SSAValue

from ..dialects.tensor import Compute, Constant, Empty, Read
from ..dialects.tensor.builder import Body, Place, Scalar, compute, update
from ..ir.expr import ONE, ZERO, Expr, ceildiv, product
from ..ir.nodes import nodes_of, set_nodes
from ..ir.operands import copied
from ..ir.passes import Pass
from ..ir.target import Target
from ..ir.types import ExprAttr, TensorType
from ..ir.weights import Weight
from ._computes import computes_in, flops, formula_of, own_indices, splice
from .eliminate_dead_code import erase_dead

Array = np.ndarray[Any, Any]

POINTS = {2: (1.0,), 4: (5 / 8, 3 / 2)}  # by results per tile and dim: the points but 0, ∞ and the negative ones

# The costs of a layer; measured with one thread of a Cascade Lake, where a core has a vector multiplied and added in a
# cycle and gets four bytes from beyond its L2 cache.
BYTE = 0.75  # what a byte from beyond L2 takes: so much of a vector's operation
TRANSFORM = 30  # operations in whose time an element is transformed, its way to the L1 cache included
GAIN = 0.95  # what has to be reached to be worth the larger error
ROWS = 4  # the part of L2 for transformed rows: one in so many
FEW = 6  # tiles that make a product of matrices
TYPICAL = 64  # height and width that are not known


@dataclass(frozen=True)
class Winograd(Pass):
    """Compute convolutions 3 × 3 of stride 1 with constant weights, in float32 and with channels innermost, by
    transforms of tiles and a product of matrices for each element of a tile, where that takes less time: with many
    channels and pixels. `tile`: results of a tile in each dim, 2 or 4; 0 chooses by the layer and the target.

    Errors grow to some 1e-6 of the largest result; an infinity or NaN in the input makes all results of the tiles that
    read it NaN, and no others."""

    name = "winograd"
    tile: int = 0
    block: int = 0

    def run(self, module: ModuleOp) -> bool:
        target = Target.of(module)
        changed = False
        for op in computes_in(module):
            layer = layer_of(op)
            plan = None if layer is None else Cost(layer, target).best(self.tile)
            if layer is not None and plan is not None:
                rewrite(layer, plan if not self.block else replace(plan, block=self.block))
                changed = True
        if changed:
            erase_dead(module.body)  # borders that nobody else reads
        return changed


@dataclass(frozen=True)
class Layer:
    """A convolution: `out[b..., h, w, o] = sum of x[b..., h + i, w + j, c] * weights[i, j, c, o]`."""

    op: Compute
    source: Read  # of x; its index but for h + i, w + j and c is that of a batch
    x: tuple[Expr, ...]  # that index, over the dims of op
    batch: tuple[int, ...]  # dims of op
    image: tuple[int, int]  # dims of op: h, w
    window: tuple[int, int]  # dims of op: i, j
    channel: int  # dim of op
    weights: Array  # [i, j, c, o]

    @property
    def out(self) -> int:
        """The dim of op that is the output's channel."""
        return self.op.rank - 1

    def outside(self, b: Body) -> Scalar:
        """What x is outside: tiles may go beyond the last result, where anything will do."""
        other = self.source.otherwise
        if other is None:
            return b.constant(0.0, f32)
        assert isinstance(other.owner, arith.ConstantOp)
        return b.op(copied(other.owner), f32)

    def read(self, b: Body, at: Sequence[Expr], c: Expr, outside: Scalar) -> Scalar:
        """The element of x that is the first of the window of a result, whose index is `at`."""
        known = dict(zip((*self.batch, *self.image), at, strict=True)) | dict.fromkeys(self.window, ZERO)
        index = [e.substitute(known | {self.channel: c}) for e in self.x]
        return b.read(self.source.tensor, *index, otherwise=outside)

    def result(self, b: Body, value: Scalar, at: Sequence[Expr], o: Expr, outside: Scalar) -> Place:
        """What the finish of the convolution makes of a sum, and where that is. Results outside are not put: their
        finish reads anything."""
        place = dict(zip((*self.batch, *self.image, self.out), (*at, o), strict=True))
        index = [place[d] for d in range(self.op.rank)]
        if not self.op.finish.blocks:
            return value, index
        finish = self.op.finish.block
        mark = b.constant(0.0, f32).value.owner  # what is spliced in goes before it
        assert isinstance(mark, arith.ConstantOp)
        result = splice(finish, index, b.values, {}, mark, {finish.args[-1]: value.value}, outside.value)
        mark.detach()
        mark.erase()
        return b.scalar(result, f32), index


def layer_of(op: Compute) -> Layer | None:
    """The convolution that a compute is, None if it is none of those of this pass."""
    factors = op.yielded.owner
    if op.combiner != "add" or op.type.element_type != f32 or not isinstance(factors, arith.MulfOp):
        return None
    reads = [v.owner for v in factors.operands]
    if isinstance(reads[0], Read) and isinstance(reads[0].tensor.owner, Constant):
        reads.reverse()
    x, w = reads
    if not isinstance(x, Read) or not isinstance(w, Read) or not isinstance(w.tensor.owner, Constant):
        return None
    if x.otherwise is not None and not isinstance(x.otherwise.owner, arith.ConstantOp):
        return None
    at, of = own_indices(x, op), own_indices(w, op)
    if at is None or of is None or w.otherwise is not None or len(op.sizes) != op.rank + 3:
        return None
    windows = [d for d in range(op.rank, op.rank + 3) if op.sizes[d] == 3 and Expr.dim(d) not in at]
    image = [next((e.dims - {d} for e in at if d in e.dims), frozenset[int]()) for d in windows]
    if len(windows) != 2 or any(len(dims) != 1 for dims in image):
        return None
    (h,), (w_,) = image
    (channel,) = set(range(op.rank, op.rank + 3)) - set(windows)
    batch = tuple(d for d in range(op.rank - 1) if d not in (h, w_))
    moving = [Expr.dim(p) + Expr.dim(d) for p, d in zip((h, w_), windows, strict=True)]
    rest = [e - moving[0] if h in e.dims else e - moving[1] if w_ in e.dims else e for e in at]
    plain = [e for e in rest if e.constant is None]
    if plain != [*map(Expr.dim, batch), Expr.dim(channel)] or at[-1] != Expr.dim(channel) or h >= w_ >= op.rank - 1:
        return None
    order = [windows[0], windows[1], channel, op.rank - 1]
    if sorted(map(str, of)) != sorted(map(str, map(Expr.dim, order))):
        return None
    weights = w.tensor.owner.array.transpose([of.index(Expr.dim(d)) for d in order])
    return Layer(op, *unpadded(x, at), batch, (h, w_), (windows[0], windows[1]), channel, weights)


def unpadded(read: Read, index: Sequence[Expr]) -> tuple[Read, tuple[Expr, ...]]:
    """The read that makes what `read` takes from a tensor and a border around it, and the index there: a border costs
    the transforms less than a copy of the tensor."""
    source = read.tensor.owner
    plain = isinstance(source, Compute) and not source.is_reduction and not source.finish.blocks
    if isinstance(source, Compute) and plain and read.otherwise is None and formula_of(source).movement:
        (inner,) = source.reads
        at, other = own_indices(inner, source) or [ZERO], inner.otherwise
        same = at[-1] == Expr.dim(source.rank - 1)  # channels side by side as before
        if same and other is not None and isinstance(other.owner, arith.ConstantOp):
            return inner, tuple(e.substitute(dict(enumerate(index))) for e in at)
    return read, tuple(index)


# ---- where it wins


@dataclass(frozen=True)
class Plan:
    """How a layer is computed."""

    tile: int  # results per tile and dim
    block: int = 0  # tiles of a row that are transformed together; 0: all tiles of all images


@dataclass(frozen=True)
class Cost:
    """What a layer costs, in the time of one multiplication or addition of a vector's lane."""

    layer: Layer
    target: Target

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Extents; of those not known a guess."""
        layer = self.layer
        guess = dict.fromkeys(layer.batch, 1) | dict.fromkeys(layer.image, TYPICAL)
        return tuple(guess[d] if s.constant is None else s.constant for d, s in enumerate(layer.op.sizes))

    @property
    def channels(self) -> tuple[int, int]:
        """Of input and output."""
        return self.sizes[self.layer.channel], self.sizes[self.layer.out]

    def memory(self, size: int) -> float:
        """Going once through so many bytes: nothing where they stay in the L2 cache."""
        return size * BYTE * self.target.lanes(f32) if size > self.target.l2 else 0

    def direct(self) -> float:
        """The sum as it is."""
        ways, pixels = prod(self.channels), prod(self.sizes[: self.layer.out])
        return 2 * 9 * ways * pixels + self.memory(4 * 9 * ways)

    def tiles(self, m: int) -> int:
        """Tiles of m * m results."""
        return prod(self.sizes[d] for d in self.layer.batch) * prod(-(-self.sizes[d] // m) for d in self.layer.image)

    def block(self, m: int) -> int:
        """Tiles of a row, as many as go evenly where that is enough for a product, whose transforms stay in the L2
        cache beside the transformed weights; 0 where they do not."""
        n2, across = (m + 2) ** 2, -(-self.sizes[self.layer.image[1]] // m)
        most = self.target.l2 // ROWS // (4 * n2 * sum(self.channels))
        if 4 * n2 * prod(self.channels) > self.target.l2 - self.target.l2 // ROWS or min(across, most) < FEW:
            return 0
        even = max(b for b in range(1, min(most, across) + 1) if across % b == 0)
        return even if even >= FEW else -(-across // -(-across // most))

    def best(self, tile: int = 0) -> Plan | None:
        """The plan that costs least, None for the sum as it is; with `tile`, the best with such tiles."""
        plans = [Plan(m, b) for m in POINTS if tile in (0, m) for b in {0, self.block(m)}]
        best = min(plans, key=self.winograd)
        return best if tile or self.winograd(best) < GAIN * self.direct() else None

    def winograd(self, plan: Plan) -> float:
        """With transforms of input and output, and transformed weights."""
        n2, tiles, ways = (plan.tile + 2) ** 2, self.tiles(plan.tile), prod(self.channels)
        lanes = self.target.lanes(f32)
        moved = n2 * tiles * sum(-(-c // lanes) * lanes for c in self.channels)
        between = 0 if plan.block else 2 * self.memory(4 * moved)
        return 2 * n2 * ways * tiles + moved * TRANSFORM + self.memory(4 * n2 * ways) + between


# ---- the transforms


def square_polynomial(points: Sequence[float]) -> list[float]:
    """Coefficients of the product of (y - p²), the constant first."""
    found = [1.0]
    for p in points:
        found = [a - b * p * p for a, b in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found


def weighted(values: Sequence[Scalar], factors: Sequence[float]) -> Scalar:
    """The sum of values times factors, the last of which is 1."""
    total = values[-1]
    for value, factor in zip(values[:-1], factors[:-1], strict=True):
        total = total - value if factor == -1 else value * factor + total
    return total


def input_transform(d: Sequence[Scalar], points: Sequence[float]) -> list[Scalar]:
    """Bᵀ d of n values, in the order 0, +p, -p, ..., ∞. What belongs to a pair ±p is a sum and a difference of the
    even and the odd part of one polynomial."""
    whole = square_polynomial(points)
    found = [weighted(d[0:-1:2], whole)]
    for p in points:
        part = square_polynomial([q for q in points if q != p])
        even, odd = weighted(d[2::2], part), weighted(d[1:-1:2], part)
        odd = odd if p == 1 else odd * p
        found += [even + odd, even - odd]
    return [*found, weighted(d[1::2], whole)]


def output_transform(q: Sequence[Scalar], points: Sequence[float]) -> list[Scalar]:
    """Aᵀ q of n values: m results."""
    pairs = [(q[2 * i + 1], q[2 * i + 2]) for i in range(len(points))]
    sums, differences = [a + b for a, b in pairs], [a - b for a, b in pairs]
    found: list[Scalar] = []
    for j in range(len(q) - 2):
        terms = [x if p**j == 1 else x * p**j for x, p in zip(differences if j % 2 else sums, points, strict=True)]
        terms += [q[0]] * (j == 0) + [q[-1]] * (j == len(q) - 3)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        found.append(total)
    return found


def weight_transform(w: Array, points: Sequence[float]) -> Array:
    """G w Gᵀ of weights [3, 3, c, o], as [n * n, c, o], computed in float64."""
    roots = [0.0, *(s * p for p in points for s in (1, -1))]
    rows = [[r**k / np.prod([r - s for s in roots if s != r]) for k in range(3)] for r in roots]
    g = np.array([*rows, [0.0, 0.0, 1.0]])
    one = np.tensordot(g, w.astype(np.float64), (1, 0))  # [n, 3, c, o]
    both = np.tensordot(g, one, (1, 1)).swapaxes(0, 1)
    return np.ascontiguousarray(both.astype(np.float32).reshape(-1, *w.shape[2:]))


def square(transform: Any, values: Sequence[Scalar], points: Sequence[float]) -> list[Scalar]:
    """A transform of the columns of a square of values, then of the rows."""
    n = 2 * len(points) + 2
    columns = [transform([values[i * n + j] for i in range(n)], points) for j in range(n)]
    return [v for i in range(len(columns[0])) for v in transform([c[i] for c in columns], points)]


# ---- the rewriting


def rewrite(layer: Layer, plan: Plan) -> None:
    """Put the three steps in the place of a convolution. Blocks are the outermost dims of all three, so that later
    passes can take the steps of a block together."""
    op, m, block = layer.op, plan.tile, plan.block
    points, n = POINTS[m], m + 2
    sizes, count = op.sizes, Expr.const(n * n)
    channels, results = sizes[layer.channel], sizes[layer.out]
    grid = [*(sizes[d] for d in layer.batch), *(ceildiv(sizes[d], m) for d in layer.image)]  # of the tiles
    blocks = [*grid[:-1], ceildiv(grid[-1], block)] if block else []
    tiles = Expr.const(block) if block else product(grid)
    pitch = tiles + 1 if aliasing(tiles, channels) and not block else tiles
    place = op.parent
    assert place is not None

    def put(new: Any, nominal: Expr | None = None) -> SSAValue:
        set_nodes(new, nodes_of(op))
        if nominal is not None:
            new.attributes["nominal"] = ExprAttr(nominal)
        place.insert_op_before(new, op)
        return new.results[0]

    def empty(shape: Sequence[Expr]) -> SSAValue:
        return put(Empty(TensorType.of(shape, f32)))

    def element(k: Expr, tile: Expr) -> list[Expr]:
        """The index of an element of a transformed tile: one tile after the other where they are few."""
        return [tile, k] if block else [k, tile]

    def on_grid(at: Sequence[Expr], tile: Expr) -> list[Expr]:
        """The index of a tile on the grid, by that of its block and its position there."""
        if not block:
            return spread(tile, grid)
        first = ZERO if blocks[-1] == ONE else at[-1] * block
        return [*at[:-1], first + tile]

    def pixel(where: Sequence[Expr], i: int, j: int) -> list[Expr]:
        """The index of a result of a tile, without the channel."""
        return [*where[:-2], where[-2] * m + i, where[-1] * m + j]

    def into(b: Body, now: SSAValue, *index: Expr) -> list[Place]:
        *at, tile, c, _ = index
        where, outside = on_grid(at, tile), layer.outside(b)
        window = [layer.read(b, pixel(where, i, j), c, outside) for i in range(n) for j in range(n)]
        made = square(input_transform, window, points)
        return [(v, [*at, *element(Expr.const(k), tile), c]) for k, v in enumerate(made)]

    def product_of(b: Body, *index: Expr) -> Scalar:
        *at, k, tile, o, c = index
        return b.read(v, *at, *element(k, tile), c) * b.read(u, k, c, o)

    def out_of(b: Body, now: SSAValue, *index: Expr) -> list[Place]:
        *where, o, _ = index
        *at, tile = where if block else [gathered(where, grid)]
        where, outside = on_grid(at, tile) if block else where, layer.outside(b)
        made = square(output_transform, [b.read(y, *at, Expr.const(k), tile, o) for k in range(n * n)], points)
        return [layer.result(b, x, pixel(where, *divmod(k, m)), o, outside) for k, x in enumerate(made)]

    v = put(update(empty([*blocks, *element(count, pitch), channels]), [*blocks, tiles, channels], [ONE], into), ZERO)
    weights = weight_transform(layer.weights, points)
    u = put(Constant(Weight.of(weights), TensorType.of(weights.shape, f32)))
    y = put(compute([*blocks, count, tiles, results], product_of, f32, reduce=[channels], combine="add"), flops(op))
    outer = [*blocks, tiles] if block else grid
    new = put(update(empty(sizes[: op.rank]), [*outer, results], [ONE], out_of), ZERO)
    new.name_hint = op.result.name_hint
    op.result.replace_all_uses_with(new)
    op.detach()
    op.erase()


def aliasing(tiles: Expr, channels: Expr) -> bool:
    """Whether the elements of a transformed tile would lie multiples of 4 KiB apart, where they share a set of the L1
    cache."""
    return (tiles * channels * 4 % 4096).constant == 0


def spread(position: Expr, sizes: Sequence[Expr]) -> list[Expr]:
    """The index into a box of these sizes, by the position in row-major order."""
    found: list[Expr] = []
    for size in reversed(sizes[1:]):
        found.insert(0, position % size)
        position = position // size
    return [position, *found]


def gathered(index: Sequence[Expr], sizes: Sequence[Expr]) -> Expr:
    """The position in row-major order, by the index into a box of these sizes."""
    position = Expr.const(0)
    for e, size in zip(index, sizes, strict=True):
        position = position * size + e
    return position
