"""Maps: each element of the result by itself, lanes over its innermost dim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import columns, vector_width

CHUNK = 16 << 10  # elements that one chunk of a single loop takes


class Elementwise(Strategy):
    """`vectors` vectors of the innermost dim at a time."""

    name = "elementwise"
    rank = 40

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        if nest.reduction or not liftable(nest) or case.lanes < 2:
            return None
        size = nest.dims[lane_dim(nest)].size
        many = 2 if size is None or size >= 4 * case.lanes else 1
        return {"vectors": Choice(many, (1, 2, 4))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        dim = nest.dims[lane_dim(nest)]
        v, size = dim.label, dim.size
        lanes = vector_width(case, lane_dim(nest))
        wide = lanes * values["vectors"]
        lines = [f"inline {d.label}" for d in nest.dims if d.size == 1 and d is not dim]
        outermost = next((d.label for d in nest.dims if d.size != 1), v)
        large = size is None or size > CHUNK
        if outermost == v and large and case.worth_sharing:
            lines.append(f"block {v} {CHUNK} -> {v}b {v}")
            outermost = f"{v}b"
            size = CHUNK if size is not None and size % CHUNK == 0 else None
        if lanes > 1:
            lines.append(f"split {v} {columns(size, wide, lanes)} -> {v} {v}t")
            lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
            lines.append(f"vectorize {v}l {lanes}")
            lines.append(f"unroll {v}t")
        if case.worth_sharing and (outermost != v or size != 1):
            lines.append(f"parallel {outermost}")
        return lines


def lane_dim(nest: Nest) -> int:
    """The innermost parallel dim that is more than one."""
    return next((d for d in reversed(nest.parallel) if nest.dims[d].size != 1), nest.parallel[-1])


def liftable(nest: Nest) -> bool:
    """Whether the innermost dim steps evenly through all buffers."""
    dim = lane_dim(nest)
    step = nest.store.step(dim)
    if step is None or not any(step):
        return False
    return all(r.step(dim) is not None and not (r.data and dim in r.dims) for r in (*nest.reads, *nest.finish_reads))
