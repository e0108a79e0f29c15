"""Maps: each element of the result by itself, lanes over its innermost dim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy, reordered
from ..tile import CHUNK, alignment, columns, share, shared_lines, vector_width

LONG = 16  # operations of a body from which on each vector waits for itself, and more of them go side by side


class Elementwise(Strategy):
    """`vectors` vectors at a time, over the dim in which memory is touched most evenly."""

    name = "elementwise"
    rank = 40

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        if nest.reduction or case.lanes < 2 or (lane := lane_dim(case)) is None:
            return None
        size = nest.dims[lane].size
        wide = 4 if nest.operations >= LONG else 2
        many = wide if size is None or size >= 2 * wide * case.lanes else 1
        return {"vectors": Choice(many, (1, 2, 4))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        lane = lane_dim(case)
        assert lane is not None
        v, size = nest.dims[lane].label, nest.dims[lane].size
        lanes = vector_width(case, lane)
        lines = [f"inline {d.label}" for i, d in enumerate(nest.dims) if d.size == 1 and i != lane]
        current = [d.label for i, d in enumerate(nest.dims) if d.size != 1 or i == lane]
        order = [x for x in current if x != v] + [v]
        shared = share(case, lane)
        if shared == (lane,) and case.worth_sharing:
            lines.append(f"block {v} {CHUNK} -> {v}b {v}")
            current.insert(current.index(v), f"{v}b")
            order.insert(0, f"{v}b")
            size = CHUNK if size is not None and size % CHUNK == 0 else None
        lines += reordered(current, order)
        if lanes > 1:
            lines.append(f"split {v} {columns(size, lanes * values['vectors'], lanes)} -> {v} {v}t")
            if (across := crossed(nest, lane)) is not None:
                u = nest.dims[across].label
                lines.append(f"block {u} {case.lanes} -> {u} {u}t")
                lines.append(f"sink {u}t past {' '.join(order[order.index(u) + 1 :])}")
            lines.append(f"split {v}t {lanes}|rest -> {v}t {v}l")
            lines.append(f"vectorize {v}l {lanes}")
            lines.append(f"unroll {v}t")
        if shared and case.worth_sharing:
            lines += [f"parallel {order[0]}"] if shared == (lane,) else shared_lines(case, shared)
        return lines


def crossed(nest: Nest, lane: int) -> int | None:
    """The dim in which elements lie side by side, when that is not the lanes': a transposition, which goes by blocks,
    so that what shares a cache line is touched together."""
    for access in (*nest.reads, nest.store):
        if lane in access.dims and not access.contiguous(lane):
            for dim in nest.parallel:
                if dim != lane and nest.dims[dim].size != 1 and access.contiguous(dim):
                    return dim
    return None


def lane_dim(case: Case) -> int | None:
    """The dim over which vectors cost least, among those that step evenly through all buffers."""
    nest = case.nest
    costs: dict[int, float] = {}
    for dim in reversed(nest.parallel):
        if (nest.dims[dim].size != 1 or len(nest.parallel) == 1) and (cost := lane_cost(case, dim)) is not None:
            costs[dim] = cost
    return min(costs, key=lambda d: costs[d], default=None)


def lane_cost(case: Case, dim: int) -> float | None:
    """Memory operations per element, roughly, with vectors over a dim; None where they cannot be."""
    nest, whole = case.nest, alignment(case, dim)
    size, lanes = nest.dims[dim].size, vector_width(case, dim)
    filled = case.lanes if size is None else size / -(-size // lanes) if size else 1  # elements in a vector
    total = nest.functions / filled
    for access in (*nest.reads, *nest.finish_reads, nest.store):
        if access.step(dim, whole) is None:
            return None
        if dim not in access.dims:
            if access is nest.store:
                return None
            total += 0.02
        elif access.contiguous(dim, whole):
            total += 1 / filled
        else:
            total += 3 if access.guarded else 1
    return total
