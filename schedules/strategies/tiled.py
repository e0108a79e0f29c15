"""Matrix products on devices: a tile of the result is a group's, parts of it each work item's.

After Volkov and Demmel (Benchmarking GPUs to tune dense linear algebra, 2008): panels of both operands come into memory
that the group shares, a block of the reduction at a time; each work item keeps a small tile in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin, singles

TILES = (64, 32, 16, 8)  # rows and columns of a group's tile
ITEM = 4  # rows and columns of a work item's tile
DEPTHS = (32, 16, 8, 4)  # of a block of the reduction
LEAST = 64  # rows or columns, and depth, from which on tiles pay


class Tiled(Strategy):
    """`rows` × `columns` of the result for a group, `depth` of the reduction at a time."""

    name = "tiled"
    rank = 10
    device = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        if (roles := roles_of(nest)) is None:
            return None
        i, j, k = (nest.dims[d].size or 0 for d in roles)
        if max(i, j) < LEAST or k < LEAST:
            return None
        rows, columns = _fitting(i, TILES), _fitting(j, TILES)
        depths = _fitting(k, DEPTHS)
        every = [(r, c, d) for r in rows for c in columns for d in depths]
        found = [t for t in every if _bytes(nest, *t) <= case.target.shared]
        if not found:
            return None
        enough = [t for t in found if t[0] * t[1] <= ITEM * ITEM * case.target.group] or found[-1:]
        r, c, d = max(enough, key=lambda t: (t[0] * t[1], min(t[0], t[1]), -abs(t[2] - 16)))
        return {"rows": Choice(r, tuple(rows)), "columns": Choice(c, tuple(columns)), "depth": Choice(d, tuple(depths))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        roles = roles_of(nest)
        assert roles is not None
        i, j, k = (nest.dims[d].label for d in roles)
        others = [nest.dims[d].label for d in nest.parallel if d not in (*singles(nest), *roles)]
        first, second = (next(r for r in nest.reads if roles[d] in r.dims) for d in (0, 1))
        rows, columns = [f"rows.{i}g", f"rows.{k}g"], [f"columns.{j}g", f"columns.{k}g"]
        tile = [f"tile.{i}g", f"tile.{j}g"]
        lines = begin(nest, [*others, i, j])
        lines += [
            f"split {i} {values['rows']} -> {i} {i}g",
            f"split {j} {values['columns']} -> {j} {j}g",
            f"sink {i}g past {j}",
            f"split {k} {values['depth']} -> {k} {k}g",
            f"sink {j}g past {k}",
            f"sink {i}g past {k}",
            f"stage {first.buffer} at {k} in stack as rows",
            f"stage {second.buffer} at {k} in stack as columns",
            f"stage {nest.store.buffer} at {j} in stack as tile",
        ]
        for read, dim, copied in ((first, roles[0], rows), (second, roles[1], columns)):
            if read.contiguous(dim):  # neighbours are copied by neighbours
                lines.append(f"sink {copied[0]} past {copied[1]}")
                copied.reverse()
        lines += [
            f"split {i}g {ITEM} -> {i}g {i}r",
            f"split {j}g {ITEM} -> {j}g {j}r",
            f"sink {i}r past {j}g",
            f"sink {j}r past {k}g",
            f"sink {i}r past {k}g",
            f"unroll {i}r {j}r",
            f"stage tile at {j}g in register as part",
        ]
        lines += [f"lanes {' '.join(labels)}" for labels in ([f"{i}g", f"{j}g"], rows, columns, tile)]
        lines.append(f"parallel {[*others, i][0]}")
        return lines


def roles_of(nest: Nest) -> tuple[int, int, int] | None:
    """The dims of rows, columns and the reduction of a matrix product; None for what is none."""
    single = singles(nest)
    parallel = [d for d in nest.parallel if d not in single]
    reduction = [d for d in nest.reduction if d not in single]
    if len(parallel) < 2 or len(reduction) != 1 or len(nest.reads) != 2 or any(r.guarded or r.data for r in nest.reads):
        return None
    i, j, k = parallel[-2], parallel[-1], reduction[0]
    if any(nest.dims[d].size is None for d in (i, j, k)) or len({r.buffer for r in nest.reads}) != 2:
        return None
    uses = {r.dims & {i, j, k} for r in nest.reads}
    if uses != {frozenset((i, k)), frozenset((j, k))} or not {i, j} <= nest.store.dims:
        return None
    return i, j, k


def _fitting(size: int, options: Sequence[int]) -> list[int]:
    """The options that a size is a multiple of."""
    return [n for n in options if size % n == 0]


def _bytes(nest: Nest, rows: int, columns: int, depth: int) -> int:
    """Of shared memory: both panels and the tile."""
    widths = [r.type.dtype.itemsize for r in nest.reads]
    return max(widths) * depth * (rows + columns) + nest.lane_bytes * rows * columns
