"""Updates of one step that put many values: a patch of neighbours in registers, one vector of the innermost dim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..strategy import Case, Choice, Choices, Strategy
from ..tile import columns, singles, vector_width
from .update import lane_dim

CHUNK = 1 << 16  # operations of one chunk


class Patch(Strategy):
    """One point of all dims but the innermost after the other; of that one `vectors` vectors at a time."""

    name = "patch"
    rank = 4
    updates = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        once = all(nest.dims[d].size == 1 for d in nest.ordered)
        if not nest.ordered or not once or not nest.more_stores or lane_dim(case) is None:
            return None
        return {"vectors": Choice(1, (1, 2))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest, single, lane = case.nest, singles(case.nest), lane_dim(case)
        assert lane is not None
        lines = [f"inline {nest.dims[d].label}" for d in single]
        v, width, lanes = nest.dims[lane].label, nest.dims[lane].size, vector_width(case, lane)
        lines.append(f"split {v} {columns(width, lanes * values['vectors'], lanes)} -> {v} {v}t")
        lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
        lines += [f"vectorize {v}l {lanes}", f"unroll {v}t"]
        around = [nest.dims[d] for d in nest.parallel if d not in single and d != lane]
        if case.worth_sharing and around:
            first, work = around[0].label, nest.operations
            for dim in (*around[1:], nest.dims[lane]):
                work *= dim.size or lanes
            if work < CHUNK:
                lines.append(f"block {first} {CHUNK // max(work, 1)} -> {first}b {first}")
                first = f"{first}b"
            lines.append(f"parallel {first}")
        return lines
