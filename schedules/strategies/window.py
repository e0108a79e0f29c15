"""Reductions whose result has contiguous lanes in all that is read: depthwise convolution, pooling, sums over outer
dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ...ir.expr import Expr, product
from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import Tile, alignment, begin, singles, tile_lines

UNROLLED = 25  # points of a window, or of its innermost dim, that are written out: one load serves several results then
BODIES = 256  # at most so many bodies in the unrolled tile


class Window(Strategy):
    """Vectors of the innermost dim; tiles of `rows` × `second` results, whose windows share what they read."""

    name = "window"
    rank = 20
    strided: ClassVar[bool] = False  # whether lanes may step through memory

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        single = singles(nest)
        parallel = [d for d in nest.parallel if d not in single]
        if not nest.reduction or not parallel or case.lanes < 2:
            return None
        lanes = parallel[-1]
        if self.layouts(case, lanes) is None:
            return None
        points = product(nest.dims[d].extent for d in nest.reduction).constant
        small = points is not None and points <= UNROLLED
        inner = nest.dims[nest.reduction[-1]].size
        slides = len(parallel) > 1 and self.overlaps(nest, parallel[-2])
        written = points if small else inner if slides and inner is not None and inner <= UNROLLED else None
        accumulators = case.target.vector_registers // 3
        width = nest.dims[lanes].size
        most = 8 if width is None else max(1, -(-width // case.lanes))
        rows, second, vectors = 1, 1, min(most, accumulators, 8)
        if written is not None and len(parallel) > 1:
            near = nest.dims[parallel[-2]].size
            vectors = 1
            rows = 4 if near is None or near >= 4 else near
            if len(parallel) > 2 and self.overlaps(nest, parallel[-3]):
                second = min(2, nest.dims[parallel[-3]].size or 1)
            limit = max(1, min(accumulators, BODIES // (written or 1)))
            while rows * second > limit:
                rows, second = (rows, second // 2) if second > 1 else (max(1, rows // 2), 1)
        unroll = 0 if small else written or (4 if vectors <= 4 else 2)
        inside = small and rows > 1 and self.lanes_inside(case, parallel[-2])
        return {
            "rows": Choice(rows, tuple(sorted({1, 2, 4, 7, 8, rows}))),
            "second": Choice(second, tuple(sorted({1, 2, 4, second}))),
            "vectors": Choice(vectors, tuple(sorted({1, 2, 4, 8, vectors}))),
            "unroll": Choice(unroll, tuple(sorted({*((0,) if small else ()), 1, 2, 4, unroll}))),
            "lanes_inside": Choice(int(inside), (0, 1)),
        }

    def layouts(self, case: Case, lanes: int) -> list[str] | None:
        """Lines that make lanes neighbours in constants where they are not; None where the strategy does not apply."""
        nest, whole = case.nest, alignment(case, lanes)
        varying = [r for r in nest.reads if lanes in r.dims]
        if not varying or not nest.store.contiguous(lanes, whole):
            return None
        reads = (*nest.reads, *nest.finish_reads)
        if any(lanes in r.dims and r.step(lanes, whole) is None for r in reads):
            return None
        lines: dict[str, str] = {}
        for read in varying:
            if read.contiguous(lanes, whole):
                continue
            at = [i for i, e in enumerate(read.index) if e == Expr.dim(lanes)]
            if read.buffer not in case.constants or len(at) != 1 or read.guarded:
                if self.strided:
                    continue
                return None
            order = [*(i for i in range(read.type.rank) if i != at[0]), at[0]]
            offset = Expr.const(0)
            for i in order:
                offset = offset * read.type.sizes[i] + Expr.dim(i)
            dims = ", ".join(f"d{i}" for i in range(read.type.rank))
            lines[read.buffer] = f"layout {read.buffer} ({dims}) -> {offset}"
        return list(lines.values())

    def lanes_inside(self, case: Case, rows: int) -> bool:
        """Whether the loop over vectors stands inside of that over tiles of `rows`, so that memory is gone through as
        it lies. Where the weights of all vectors do not stay in the L1 cache it stands outside, and those of one do."""
        beside = [r.bytes for r in case.nest.reads if rows not in r.dims]
        size = sum(beside, Expr.const(0)).constant
        return size is not None and size <= case.target.l1 // 2

    def overlaps(self, nest: Nest, dim: int) -> bool:
        """Whether neighbouring results in a dim read from a common window."""
        return any(dim in e.dims and e.dims & set(nest.reduction) for r in nest.reads for e in r.index)

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        single = singles(nest)
        *around, lanes = [d for d in nest.parallel if d not in single]
        near = [*reversed(around)]
        rows = tuple(zip(near, (values["rows"], values["second"]), strict=False))
        order = (*around, lanes) if values["lanes_inside"] else (*around[:-1], lanes, *around[-1:])
        outer = [nest.dims[d].label for d in order]
        tile = Tile(lanes, values["vectors"], rows, tuple(outer), values["unroll"])
        return begin(nest) + (self.layouts(case, lanes) or []) + tile_lines(case, tile)
