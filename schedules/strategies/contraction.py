"""Matrix products and convolutions: a tile of the result in registers, one operand by vectors, the other broadcast.

After Goto and van de Geijn (Anatomy of high-performance matrix multiplication, 2008) with the whole reduction in
one block: panels of the vector operand are stored one after the other as the kernel reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product as product_of

from ...ir.expr import Expr, ceildiv, product
from ..nest import Read, at_least, collapsed
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import ENOUGH, Tile, alignment, begin, singles, tile_lines, vector_width

PACKING_PAYS = 64  # rows that use a panel, from which on copying it first is worth it
MOST_ROWS = 14  # of a tile: each is a stream of its own
LATENCY = 4  # cycles from a multiply-add to the next one on the same accumulator
L2_BYTES = 22  # bytes that come from the L2 cache in a cycle
LOAD = 0.35  # cycles that a load costs beside the multiplications
FAR = 0.25  # cycles that waiting for the L2 cache costs, of one that it takes
RESERVE = 10  # one register in so many stays free, for what is loaded early
CROWD = 0.01  # of the time, for each line of a tile's rows beyond two in one set of the L1 cache
LONG = 16  # accumulators of a tile whose steps keep the processor busy: two of them an iteration
FEW_ROWS = 96  # multiplying so many with a panel takes about as long as fetching it
GROUPS = (1, 2, 4)  # panels that one chunk of work has: who works on one fetches the next one
LONG_SUM = 32  # products of a sum in whose time what it ends with comes from a cache
SOON = 4  # iterations that a panel is fetched before it is read, where it does not come from the L1 cache
MANY_ROWS = 2048  # that use a panel: the time in which it comes from memory is a hundredth of the work
LINE, PAGE, WAYS = 64, 4096, 8  # of the L1 cache: bytes of a line, bytes after which its sets repeat, lines of a set
STAGED = 4  # the part of the L2 cache that a panel may fill which is copied in each run: one in so many
MOVED_BLOCK = 2  # the part of the L2 cache that a block of the broadcast operand may fill: one in so many


@dataclass(frozen=True)
class Shape:
    """The roles of a contraction's dims."""

    lanes: int  # dim of the vectors: neighbours in the result
    panels: tuple[Read, ...]  # what is read by vectors
    broadcast: tuple[Read, ...]  # what is the same for all lanes
    rows: tuple[int, ...]  # dims that the panels do not depend on, innermost first
    others: tuple[int, ...]  # parallel dims that panels depend on too: batches
    reduction: tuple[int, ...]


def shape_of(case: Case) -> Shape | None:
    """The roles of the dims, None where the nest is no contraction."""
    nest = case.nest
    single = singles(nest)
    parallel = [i for i in nest.parallel if i not in single]
    reduction = tuple(i for i in nest.reduction if i not in single)
    if not parallel or not reduction or any(r.data for r in nest.reads):
        return None
    lanes = parallel[-1]
    whole = alignment(case, lanes)
    if not nest.store.contiguous(lanes, whole) or not all(evenly(r, lanes, whole) for r in nest.finish_reads):
        return None
    panels = tuple(r for r in nest.reads if lanes in r.dims)
    broadcast = tuple(r for r in nest.reads if lanes not in r.dims)
    if not panels or not any(r.dims & set(reduction) for r in broadcast):
        return None
    used = frozenset().union(*(r.dims for r in panels))
    rows = tuple(i for i in reversed(parallel[:-1]) if i not in used)
    others = tuple(i for i in parallel[:-1] if i in used)
    return Shape(lanes, panels, broadcast, rows, others, reduction)


def evenly(read: Read, lanes: int, whole: int) -> bool:
    """Whether vectors step evenly through what is read."""
    return read.step(lanes, whole) is not None


def distance(read: Read, dim: int) -> int:
    """Bytes from one element that is read to the next one along a dim, in a row-major buffer; 0 when not constant."""
    offset = read.type.offset.substitute(dict(enumerate(read.index)))
    step = (offset.substitute({dim: Expr.dim(dim) + 1}) - offset).constant
    return (step or 0) * read.type.dtype.itemsize


def tiles(case: Case, shape: Shape) -> Sequence[tuple[int, int, int]]:
    """Tiles that fit the registers: rows * vectors accumulators, a panel's vectors, a broadcast one, and what a
    multiplication needs that does not add."""
    nest, spare = case.nest, case.target.vector_registers // RESERVE + (0 if case.target.fma else 4)
    width = nest.dims[shape.lanes].size
    found: list[tuple[int, int, int]] = []
    for vectors in range(1, 5):
        most = (case.target.vector_registers - spare - vectors) // vectors
        if most < 1 or (width is not None and (vectors - 1) * case.lanes >= width):
            continue
        if not shape.rows:
            found.append((vectors, 1, 1))
            continue
        size = nest.dims[shape.rows[0]].size
        if size is None:
            rows = min(most, 8)
        else:  # as few tiles as can be, of nearly one size
            rows = -(-size // -(-size // min(most, MOST_ROWS)))
        second = 1
        if len(shape.rows) > 1 and 2 * rows <= min(most, MOST_ROWS):
            limit = nest.dims[shape.rows[1]].size
            second = min(min(most, MOST_ROWS) // rows, limit or MOST_ROWS)
        found.append((vectors, rows, second))
    return found


def crowded(read: Read, rows: Sequence[int], first: int, second: int) -> int:
    """The most rows of a tile that begin in one set of an L1 cache whose sets repeat each 4 KiB."""
    steps = [distance(read, d) for d in rows[:2]]
    lines = Counter(
        sum(i * s for i, s in zip(at, steps, strict=False)) // LINE % (PAGE // LINE)
        for at in product_of(range(first), range(second))
    )
    return max(lines.values()) if any(steps) else 1


class Contraction(Strategy):
    """Register tiles of `rows` × `vectors`; the reduction unrolled by `unroll`; rows blocked for the L2 cache."""

    name = "contraction"
    rank = 10

    def choices(self, case: Case) -> Choices | None:
        nest, _ = collapsed(case.nest)
        case = replace(case, nest=nest)
        shape = shape_of(case)
        if shape is None:
            return None
        pack = [r for r in shape.panels if self.packing(case, shape, r, 2 * case.lanes) is not None]
        whole = alignment(case, shape.lanes)
        if any(not r.contiguous(shape.lanes, whole) and r not in pack for r in shape.panels):
            return None
        vectors, rows, second = self.tile(case, shape)
        width = nest.dims[shape.lanes].size
        block = self.block(case, shape, rows, None if width is None else -(-width // (vectors * case.lanes)))
        depth = nest.dims[shape.reduction[-1]].size
        steps = 2 if rows * second * vectors >= LONG else 4
        unroll = steps if depth is None else min(steps, depth)
        return {
            "rows": Choice(rows, tuple(sorted({*range(1, 15), rows}))),
            "second": Choice(second, tuple(sorted({1, 2, 3, 4, second}))),
            "vectors": Choice(vectors, tuple(sorted({1, 2, 3, 4, vectors}))),
            "unroll": Choice(unroll, tuple(sorted({1, 2, 4, 8, unroll}))),
            "block": Choice(block, tuple(sorted({0, 64, 128, 256, block}))),
            "pack": Choice(int(bool(pack)), (0, 1)),
            "stage": Choice(int(any(self.stages(case, shape, r, vectors) for r in shape.panels)), (0, 1)),
            "panels_outside": Choice(int(self.panels_outside(case, shape, block)), (0, 1)),
            "prefetch": Choice(1, (0, 1)),
            "panels": Choice(self.panels(case, shape, vectors * case.lanes), GROUPS),
        }

    def tile(self, case: Case, shape: Shape) -> tuple[int, int, int]:
        """Vectors of a tile, its rows in the innermost row dim and in the next one: what takes the least time."""
        least = min((self.time(case, shape, *tile), -tile[0] * tile[1], tile) for tile in tiles(case, shape))
        return least[2]

    def time(self, case: Case, shape: Shape, vectors: int, rows: int, second: int) -> float:
        """Cycles per vector of results and step of the sum, roughly, on a core that starts two operations and two loads
        in a cycle.

        A tile waits for its accumulators (each for the one before it); loads take slots of the processor, and waiting
        for a panel that comes from the L2 cache is not quite hidden. Rows that lie in the same set of the L1 cache
        evict each other if there are more than eight, and leave little room for the panel before."""
        nest = case.nest
        width, extent = nest.dims[shape.lanes].size, nest.dims[shape.rows[0]].size if shape.rows else 1
        near = self.near(case, shape, vectors)

        def tile(r: int, v: int) -> float:
            far = 0.0 if near else v * case.target.vector_bits / 8 / L2_BYTES
            return max(r * v / 2, LATENCY, far) + LOAD * (r + v) + FAR * far

        columns = -(-width // case.lanes) if width is not None else vectors
        across = {vectors: columns // vectors, columns % vectors: 1}
        down = {rows * second: extent // rows, extent % rows * second: 1} if extent is not None else {rows * second: 1}
        total = sum(tile(r, v) * m * n for r, m in down.items() for v, n in across.items() if r and v)
        done = columns * second * (extent if extent is not None else rows)
        crowd = max((crowded(read, shape.rows, rows, second) for read in shape.broadcast), default=1)
        return total / done * (2 if crowd > WAYS else 1 + CROWD * max(0, crowd - 2))

    def near(self, case: Case, shape: Shape, vectors: int) -> bool:
        """Whether a panel stays in the L1 cache."""
        depth = product(case.nest.dims[d].extent for d in shape.reduction).constant or 1024
        return depth * vectors * case.lanes * case.nest.lane_bytes <= case.target.l1 // 2

    def block(self, case: Case, shape: Shape, rows: int, panels: int | None) -> int:
        """Rows that are multiplied with all panels before the next ones are; 0 for all of them.

        Where the panels do not fit in the L2 cache beside the rows, they would come from memory for each block: then
        one panel after the other takes all rows, which stream. Threads share blocks or panels, whichever are many."""
        if not shape.rows or len(shape.broadcast) != 1:
            return 0
        dim, few = case.nest.dims[shape.rows[0]], panels is not None and panels < ENOUGH
        if len(shape.rows) > 1 and not (few and self.is_batch(case, shape)):
            return 0
        size = sum((r.bytes for r in shape.panels), Expr.const(0)).constant
        far = size is None or size > case.target.l2 // MOVED_BLOCK
        if (far and (panels is None or panels >= ENOUGH // 2)) or (
            dim.size is None and (panels is None or panels >= ENOUGH)
        ):
            return 0
        depth = product(case.nest.dims[d].extent for d in shape.reduction if d in shape.broadcast[0].dims).constant
        row = (depth or 1024) * case.nest.lane_bytes
        fitting = case.target.l2 // MOVED_BLOCK // row
        block = min(fitting, 256) // rows * rows
        return block if block and at_least(dim.extent, 2 * block) else 0

    def is_batch(self, case: Case, shape: Shape) -> bool:
        """Whether around the rows there is only a batch of unknown size: it may be 1, and leave nothing to share."""
        if len(shape.rows) != 2:
            return False
        batch = shape.rows[1]
        return Expr.dim(batch) in shape.broadcast[0].index and case.nest.dims[batch].size is None

    def panels_outside(self, case: Case, shape: Shape, block: int) -> bool:
        """Whether the loop over panels stands outside of the rows' loops: where the panels do not all fit in L2."""
        if block:
            return False
        size = sum((r.bytes for r in shape.panels), Expr.const(0)).constant
        others = product(case.nest.dims[d].extent for d in shape.others).constant
        if size is None or len(shape.rows) < 2:
            return True
        return size // (others or 1) > case.target.l2 // MOVED_BLOCK

    def panels(self, case: Case, shape: Shape, wide: int) -> int:
        """Panels of a chunk, where the loop over panels is shared: as many as leave enough chunks, all of one size,
        where memory is about as fast as the arithmetic on so few rows; else one panel."""
        rows = product(case.nest.dims[d].extent for d in shape.rows).constant
        width = case.nest.dims[shape.lanes].size
        if rows is None or rows > FEW_ROWS or width is None:
            return 1
        return max(n for n in GROUPS if n == 1 or (width % (n * wide) == 0 and width // (n * wide) >= ENOUGH))

    def stays_outside(self, case: Case, shape: Shape, row: int) -> bool:
        """Whether a row dim that stands outside of all batches in the nest stays there: where the panels of all batches
        stay in L2, so that each row finds them there, and what it makes as well."""
        size = sum((r.bytes for r in shape.panels), Expr.const(0)).constant
        kept = case.target.l2 - case.target.l2 // (2 * MOVED_BLOCK)
        return row < min(shape.others) and size is not None and size <= kept

    def packing(self, case: Case, shape: Shape, read: Read, width: int) -> Expr | None:
        """The layout of panels `width` wide, None where it is impossible or does not pay."""
        at = [i for i, e in enumerate(read.index) if shape.lanes in e.dims]
        if len(at) != 1 or read.index[at[0]] != Expr.dim(shape.lanes) or read.guarded:
            return None
        if read.buffer not in case.constants:
            uses = product(case.nest.dims[d].extent for d in shape.rows)
            few = not at_least(uses, PACKING_PAYS, unknown=not read.contiguous(shape.lanes))
            if few or (
                at_least(product(case.nest.dims[d].extent for d in shape.others), 2, unknown=False)
                and (read.contiguous(shape.lanes))
            ):
                return None
        batch = [i for i, e in enumerate(read.index) if i != at[0] and not e.dims & set(shape.reduction)]
        inner = [i for i in range(read.type.rank) if i != at[0] and i not in batch]
        inner.sort(key=lambda i: min(read.index[i].dims & set(shape.reduction)))
        column = Expr.dim(at[0])
        offset = Expr.const(0)
        for i in batch:
            offset = offset * read.type.sizes[i] + Expr.dim(i)
        offset = offset * ceildiv(read.type.sizes[at[0]], width) + column // width
        for i in inner:
            offset = offset * read.type.sizes[i] + Expr.dim(i)
        return offset * width + column % width

    def stages(self, case: Case, shape: Shape, read: Read, vectors: int) -> bool:
        """Whether each panel is copied when its turn comes, so that its rows lie one behind the other in a cache: where
        a buffer comes from elsewhere, its vectors lie as they are needed, and many rows use them."""
        at = [e for e in read.index if shape.lanes in e.dims]
        if read.buffer in case.constants or read.guarded or len(at) != 1 or at[0].dims & set(shape.reduction):
            return False
        sizes = [case.nest.dims[d].size for d in shape.rows[:1]]
        depth = product(case.nest.dims[d].extent for d in shape.reduction).constant
        many = any(size is not None and size >= PACKING_PAYS for size in sizes)
        if not many or depth is None or not read.contiguous(shape.lanes, alignment(case, shape.lanes)):
            return False
        return depth * vectors * case.lanes * case.nest.lane_bytes <= case.target.l2 // STAGED

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest, collapses = collapsed(case.nest)
        case = replace(case, nest=nest)
        shape = shape_of(case)
        assert shape is not None
        outer = self.outer(case, shape, values)
        deep = self.deep(case, shape, values)
        v = nest.dims[shape.lanes].label
        lines = collapses + (begin(nest, outer, outer[: outer.index(v) + 1]) if any(deep) else begin(nest))
        wide = values["vectors"] * vector_width(case, shape.lanes)
        groups: tuple[tuple[int, int], ...] = ()
        width, group = nest.dims[shape.lanes].size, values["panels"] * wide
        if outer[0] == v and group > wide and width is not None and width % group == 0 and width > group:
            groups, outer = ((shape.lanes, group),), [f"{v}b", *outer]
        staged: list[str] = []
        for read in {r.buffer: r for r in shape.panels}.values():
            if values["stage"] and self.stages(case, shape, read, values["vectors"]):
                staged.append(read.buffer)
            elif values["pack"]:
                offset = self.packing(case, shape, read, wide)
                if offset is not None:
                    dims = ", ".join(f"d{i}" for i in range(read.type.rank))
                    lines.append(f"layout {read.buffer} ({dims}) -> {offset}")
        rows = tuple(zip(shape.rows, (values["rows"], values["second"]), strict=False))
        blocks = ((shape.rows[0], values["block"]),) if values["block"] and shape.rows else ()
        tile = Tile(
            shape.lanes, values["vectors"], rows, tuple(outer), values["unroll"], groups + blocks, *deep, tuple(staged)
        )
        return lines + tile_lines(case, tile) + (self.prefetch(case, shape, tile) if values["prefetch"] else [])

    def prefetch(self, case: Case, shape: Shape, tile: Tile) -> list[str]:
        """Lines that fetch what the tiles read, and where they write, before they do.

        Where a tile goes, and what is added to it at its end, comes while its sum is made. A panel that lies in the L2
        cache comes into the first one a few steps ahead. One that is constant comes from memory in each run: the next
        one is fetched while the rows are multiplied with this one, or the next part of a long one. A core that waits
        for memory computes nothing; beside the arithmetic it costs nothing. With a single row reading the panels is all
        the work: the machine fetches such a stream by itself, and a hint would only be one more read."""
        nest = case.nest
        reduction = [nest.dims[d].label for d in shape.reduction if d not in singles(nest)]
        if not reduction or not tile.unroll:
            return []
        depth = product(nest.dims[d].extent for d in shape.reduction).constant
        ends = [nest.store, *(() if tile.deep or tile.cut else nest.finish_reads)]
        met = {r.buffer: r for r in ends if shape.lanes in r.dims and r.dims & set(shape.rows) and not r.data}
        long = depth is None or depth >= LONG_SUM
        lines = [f"prefetch {name} 0 at {tile.outer[-1]}" for name in met if long]
        if len(shape.panels) != 1 or tile.staged:
            return lines
        read, v = shape.panels[0], nest.dims[shape.lanes].label
        rows = product(nest.dims[d].extent for d in shape.rows).constant
        if not self.near(case, shape, tile.vectors) and rows != 1:
            lines.append(f"prefetch {read.buffer} {SOON} at {reduction[-1]}")
        inside = tile.outer[tile.outer.index(v) + 1 :]
        several = rows is not None and bool(tile.rows) and tile.rows[0][1] < rows <= MANY_ROWS
        if several and read.buffer in case.constants and all(nest.dims[d].label in inside for d in shape.rows):
            if tile.cut:
                reduction.insert(-1, f"{reduction[-1]}b")
            parts = [v, *reduction]
            outside = tile.deep + bool(tile.cut)
            lines.append(f"prefetch {read.buffer} 1 at {' '.join([parts[outside], *inside, *parts[outside + 1 :]])}")
        return lines

    def deep(self, case: Case, shape: Shape, values: Mapping[str, int]) -> tuple[int, int]:
        """How many of the outermost reductions stand outside of the rows, and by how much the next one is cut: where a
        panel is too long for the L2 cache, it is used for all rows part by part. The order of each sum stays."""
        nest = case.nest
        if values["block"] or not values["panels_outside"] or not shape.rows or len(shape.panels) != 1:
            return 0, 0
        row = values["vectors"] * case.lanes * nest.lane_bytes
        room = case.target.l2 // MOVED_BLOCK // row  # elements of a panel's columns
        sizes = [nest.dims[d].size for d in shape.reduction]
        depth = product(nest.dims[d].extent for d in shape.reduction).constant
        rows = product(nest.dims[d].extent for d in shape.rows)
        if depth is None or None in sizes or depth <= room or not at_least(rows, 2 * values["rows"] * values["second"]):
            return 0, 0
        for outside in range(1, len(sizes)):
            depth //= sizes[outside - 1] or 1
            if depth <= room:
                return outside, 0
        size, unroll = sizes[-1] or 1, values["unroll"]
        least = -(-size // max(1, room // 4))
        parts = next((n for n in range(least, 2 * least) if size % (n * unroll) == 0), least)
        return len(sizes) - 1, -(-size // (parts * unroll)) * unroll

    def outer(self, case: Case, shape: Shape, values: Mapping[str, int]) -> list[str]:
        """The order of the loops around the tile: the innermost row loop last, so that a panel stays in the cache."""
        nest = case.nest
        label = [d.label for d in nest.dims]
        rows = [label[d] for d in reversed(shape.rows)]
        others = [label[d] for d in sorted(shape.others, key=lambda d: -(nest.dims[d].size or 1 << 20))]
        blocks = [f"{rows[-1]}b"] if values["block"] and rows else []
        first = [label[d] for d in reversed(shape.rows[1:]) if others and self.stays_outside(case, shape, d)]
        inner, around, v = rows[-1:], [r for r in rows[:-1] if r not in first], label[shape.lanes]
        others = [*first, *others]
        if values["panels_outside"]:
            return [*others, *blocks, v, *around, *inner]
        return [*others, *blocks, *around, v, *inner]
