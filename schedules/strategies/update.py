"""Updates: what is ordered goes one by one; lanes and threads take the parallel dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..strategy import Case, Choice, Choices, Strategy, sizes
from ..tile import alignment, columns, singles, vector_width

CHUNK = 4 << 10  # points that one chunk takes where rows are short
SHORT = 4  # operations of a step of which several are written out, so that what one writes the next has at hand
PIECE = 512  # elements of the lanes' dim that one chunk takes


class Update(Strategy):
    """`vectors` vectors of the innermost parallel dim at each step, where memory is touched evenly along it."""

    name = "update"
    rank = 5
    updates = True

    def choices(self, case: Case) -> Choices | None:
        if not case.nest.ordered:
            return None
        return {"vectors": Choice(2, (1, 2, 4))} if lane_dim(case) is not None else {}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest, single, lane = case.nest, singles(case.nest), lane_dim(case)
        lines = [f"inline {nest.dims[d].label}" for d in single]
        around = [d for d in nest.parallel if d not in single]
        outer = [nest.dims[d].label for d in around if d != lane]
        if lane is not None:
            v, width, lanes = nest.dims[lane].label, nest.dims[lane].size, vector_width(case, lane)
            if width is None or width > PIECE:
                lines.append(f"block {v} {PIECE} -> {v}b {v}")
                outer.append(f"{v}b")
                width = PIECE if width is not None and width % PIECE == 0 else None
            if steps := [nest.dims[d].label for d in nest.ordered if d not in single]:
                lines.append(f"sink {v} past {' '.join(steps)}")
            lines.append(f"split {v} {columns(width, lanes * values['vectors'], lanes)} -> {v} {v}t")
            lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
            lines += [f"vectorize {v}l {lanes}", f"unroll {v}t"]
        elif (deep := [d for d in nest.ordered if d not in single]) and nest.operations <= SHORT:
            k = nest.dims[deep[-1]]
            lines += [f"split {k.label} {sizes(k.size, 8) if k.size else '8|1'} -> {k.label} {k.label}u"]
            lines.append(f"unroll {k.label}u")
        if case.worth_sharing and outer:
            first = nest.dims[around[0]]
            points = 1
            for d in (*around[1:], *nest.ordered):
                points *= nest.dims[d].size or CHUNK
            if outer[0] == first.label and points < CHUNK:
                lines.append(f"block {outer[0]} {CHUNK // max(points, 1)} -> {outer[0]}b {outer[0]}")
                outer[0] = f"{outer[0]}b"
            lines.append(f"parallel {outer[0]}")
        return lines


def lane_dim(case: Case) -> int | None:
    """The innermost parallel dim, where every access goes along it as memory does or does not go along it at all."""
    nest = case.nest
    dims = [d for d in nest.parallel if nest.dims[d].size != 1]
    if case.lanes < 2 or not dims:
        return None
    lane = dims[-1]
    whole = alignment(case, lane)
    stores = (nest.store, *nest.more_stores)
    along = [a.contiguous(lane, whole) for a in (*nest.reads, *stores) if lane in a.dims]
    return lane if all(along) and all(lane in s.dims for s in stores) else None
