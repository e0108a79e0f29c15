"""Maps: each element of the result by itself, lanes over its innermost dim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import alignment, columns, vector_width

CHUNK = 16 << 10  # elements that one chunk of a single loop takes


class Elementwise(Strategy):
    """`vectors` vectors of the innermost dim at a time."""

    name = "elementwise"
    rank = 40

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        if nest.reduction or not liftable(case) or case.lanes < 2:
            return None
        size = nest.dims[lane_dim(nest)].size
        many = 2 if size is None or size >= 4 * case.lanes else 1
        return {"vectors": Choice(many, (1, 2, 4))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        lane = lane_dim(nest)
        v, size = nest.dims[lane].label, nest.dims[lane].size
        lanes = vector_width(case, lane)
        lines = [f"inline {d.label}" for i, d in enumerate(nest.dims) if d.size == 1 and i != lane]
        order = [d.label for i, d in enumerate(nest.dims) if d.size != 1 or i == lane]
        outermost = order[0]
        if outermost == v and (size is None or size > CHUNK) and case.worth_sharing:
            lines.append(f"block {v} {CHUNK} -> {v}b {v}")
            outermost = f"{v}b"
            size = CHUNK if size is not None and size % CHUNK == 0 else None
        if lanes > 1:
            lines.append(f"split {v} {columns(size, lanes * values['vectors'], lanes)} -> {v} {v}t")
            if (across := crossed(nest, lane)) is not None:
                u = nest.dims[across].label
                lines.append(f"block {u} {case.lanes} -> {u} {u}t")
                lines.append(f"sink {u}t past {' '.join(order[order.index(u) + 1 :])}")
            lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
            lines.append(f"vectorize {v}l {lanes}")
            lines.append(f"unroll {v}t")
        if case.worth_sharing and (outermost != v or size != 1):
            lines.append(f"parallel {outermost}")
        return lines


def crossed(nest: Nest, lane: int) -> int | None:
    """The dim in which elements that are read lie side by side, when that is not the lanes': a transposition, which
    goes by blocks, so that what shares a cache line is read together."""
    for read in nest.reads:
        if lane in read.dims and not read.contiguous(lane):
            for dim in nest.parallel:
                if dim != lane and nest.dims[dim].size != 1 and read.contiguous(dim):
                    return dim
    return None


def lane_dim(nest: Nest) -> int:
    """The innermost parallel dim that is more than one."""
    return next((d for d in reversed(nest.parallel) if nest.dims[d].size != 1), nest.parallel[-1])


def liftable(case: Case) -> bool:
    """Whether the innermost dim steps evenly through all buffers."""
    nest = case.nest
    dim = lane_dim(nest)
    whole = alignment(case, dim)
    step = nest.store.step(dim, whole)
    if step is None or not any(step):
        return False
    reads = (*nest.reads, *nest.finish_reads)
    return all(r.step(dim, whole) is not None for r in reads)
