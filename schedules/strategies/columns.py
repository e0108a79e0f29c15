"""Long sums over an outer dim: rows are read from one end to the other, and added to the result in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..strategy import Case, Choice, Choices, Strategy, sizes
from ..tile import ENOUGH, alignment, begin, columns, singles, vector_width

PAGE = 4096  # bytes: rows this far apart lie in different pages, so a narrow column would touch a page per element
SHORTEST = 32  # rows
PIECE = 512  # elements of a row that one chunk takes, where there are few other chunks


class Columns(Strategy):
    """`unroll` rows at a time are added to `vectors` vectors of the result."""

    name = "columns"
    rank = 15

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        single = singles(nest)
        parallel = [d for d in nest.parallel if d not in single]
        reduction = [d for d in nest.reduction if d not in single]
        if len(reduction) != 1 or not parallel or case.lanes < 2:
            return None
        lane, k = parallel[-1], reduction[0]
        whole = alignment(case, lane)
        reads = (*nest.reads, nest.store)
        if not all(r.contiguous(lane, whole) for r in reads if lane in r.dims) or not nest.store.contiguous(
            lane, whole
        ):
            return None
        if any(r.step(lane, whole) is None for r in nest.finish_reads):
            return None
        apart = [s.constant for r in nest.reads if lane in r.dims and (s := r.stride(k)) is not None]
        far = any(s is None or s * nest.lane_bytes >= PAGE for s in apart)
        size = nest.dims[k].size
        if not far or (size is not None and size < SHORTEST):
            return None
        return {"unroll": Choice(8, (1, 4, 8, 16)), "vectors": Choice(2, (1, 2, 4))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        single = singles(nest)
        *around, lane = [d for d in nest.parallel if d not in single]
        v = nest.dims[lane].label
        k = next(nest.dims[d].label for d in nest.reduction if d not in single)
        depth, width = nest.dims[next(d for d in nest.reduction if d not in single)].size, nest.dims[lane].size
        lanes = vector_width(case, lane)
        lines = begin(nest)
        outer = [nest.dims[d].label for d in around]
        if pieces(case, around, width):
            lines.append(f"block {v} {PIECE} -> {v}b {v}")
            outer.append(f"{v}b")
            width = PIECE if width is not None and width % PIECE == 0 else None
        lines.append(f"sink {v} past {k}")
        count = values["unroll"]
        lines.append(f"split {k} {sizes(depth, count) if depth is not None else f'{count}|1'} -> {k} {k}u")
        lines.append(f"sink {k}u past {v}")
        lines.append(f"split {v} {columns(width, lanes * values['vectors'], lanes)} -> {v} {v}t")
        lines.append(f"sink {v}t past {k}u")
        if lanes > 1:
            lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
            lines.append(f"vectorize {v}l {lanes}")
        lines.append(f"unroll {v}t {k}u")
        lines.append(f"stage {nest.store.buffer} at {v} in register as acc")
        if case.worth_sharing and outer:
            lines.append(f"parallel {outer[0]}")
        return lines


def pieces(case: Case, around: Sequence[int], width: int | None) -> bool:
    """Whether rows are cut: so that there are chunks enough, where nothing is around them, or so that what is added to
    stays in the L1 cache. Else the longer what is read in one go, the better: each row begins anew."""
    dims = case.nest.dims
    if not around:
        return width is None or width > PIECE
    few = (size := dims[around[0]].size) is not None and size < ENOUGH
    return few and (width is None or width * case.nest.lane_bytes > case.target.l1 // 2)
