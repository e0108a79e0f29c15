"""Matrix products and convolutions on devices: a tile of the result is a group's, parts of it each work item's.

After Volkov and Demmel (Benchmarking GPUs to tune dense linear algebra, 2008): panels of both operands come into memory
that the group shares, a block of the reduction at a time; each work item keeps a small tile in registers. A convolution
is a product for each place in its window (implicit GEMM: Chetlur et al., cuDNN: efficient primitives for deep learning,
2014): channels are the reduction in blocks, places of the window loops around it, and no matrix is made in memory.

Where no tile fits, or a size is not known, the last tiles go beyond the result (`cover`); what blocks leave of the
reduction is a block of its own, or goes one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

from ..nest import Nest, Read
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin, covered, fitting, item, singles, tiles_line

TILES = (64, 32, 16, 8)  # rows and columns of a group's tile
LINES = 8  # of rows in a tile, at most
DEPTHS = (32, 16, 8, 4)  # of a block of the reduction
LEAST = 64  # rows or columns, and depth, from which on tiles pay
SMALL = 8  # rows or columns of a tile, and
SHALLOW = 4  # ... depth of a block, with less than which tiles that fit are worse than those that do not


class Roles(NamedTuple):
    """Dims of a product: rows, columns, the reduction that goes by blocks; lines of rows, and reductions around."""

    i: int
    j: int
    k: int
    lines: int | None
    around: tuple[int, ...]
    first: Read  # the operand of the rows
    second: Read  # that of the columns


class Tiled(Strategy):
    """`lines` × `rows` × `columns` of the result for a group, `depth` of the reduction at a time."""

    name = "tiled"
    rank = 10
    device = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        if (roles := roles_of(nest)) is None:
            return None
        size = [LEAST if d.size is None else d.size for d in nest.dims]  # what is not known is worth it
        lines = [1] if roles.lines is None else [n for n in range(1, LINES + 1) if size[roles.lines] % n == 0]
        depth = size[roles.k]
        for d in roles.around:
            depth *= size[d]
        if max(size[roles.i] * lines[-1], size[roles.j]) < LEAST or depth < LEAST:
            return None
        rows, columns = (fitting(nest.dims[d].size, TILES, SMALL) for d in (roles.i, roles.j))
        if not all(covered(nest, d, options[0]) for d, options in ((roles.i, rows), (roles.j, columns))):
            return None
        depths = fitting(nest.dims[roles.k].size, DEPTHS, SHALLOW)
        every = product(lines, rows, columns, depths)
        found = [t for t in every if shared_bytes(nest, roles, *t) <= case.target.shared]
        if not found:
            return None

        def items(tile: tuple[int, int, int, int]) -> int:
            n, r, c, _ = tile
            return n * (r // item(r)) * (c // item(c))

        enough = [t for t in found if items(t) <= case.target.group] or found[-1:]
        n, r, c, d = max(enough, key=lambda t: (t[0] * t[1] * t[2], min(t[0] * t[1], t[2]), -abs(t[3] - 16), t[1]))
        found_choices = {
            "rows": Choice(r, tuple(rows)),
            "columns": Choice(c, tuple(columns)),
            "depth": Choice(d, tuple(depths)),
        }
        return found_choices if roles.lines is None else {"lines": Choice(n, tuple(lines)), **found_choices}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        roles = roles_of(nest)
        assert roles is not None
        i, j, k = (nest.dims[d].label for d in roles[:3])
        line = [] if roles.lines is None else [nest.dims[roles.lines].label]
        taken = {*singles(nest), roles.i, roles.j, roles.lines}
        others = [nest.dims[d].label for d in nest.parallel if d not in taken]
        inside = " ".join([*(nest.dims[d].label for d in roles.around), k])
        tile = [f"tile.{label}g" for label in (*line, i, j)]
        lines = begin(nest, [*others, *line, i, j])
        lines += [f"split {label} {values['lines']} -> {label} {label}g" for label in line]
        lines += [
            tiles_line(nest.dims[roles.i], values["rows"]),
            tiles_line(nest.dims[roles.j], values["columns"]),
            f"sink {i}g past {j}",
            *(f"sink {label}g past {i} {j}" for label in line),
            f"split {k} {values['depth']}{_left(nest.dims[roles.k].size, values['depth'])} -> {k} {k}g",
            *(f"sink {label}g past {inside}" for label in (j, i, *line)),
            f"stage {roles.first.buffer} at {k} in stack as rows",
            f"stage {roles.second.buffer} at {k} in stack as columns",
            f"stage {nest.store.buffer} at {j} in stack as tile",
        ]
        rows, columns = panels_first(lines, roles, (i, j, k), line)
        r, c = item(values["rows"]), item(values["columns"])
        lines += [
            f"split {i}g {r} -> {i}g {i}r",
            f"split {j}g {c} -> {j}g {j}r",
            f"sink {i}r past {j}g",
            f"sink {j}r past {k}g",
            f"sink {i}r past {k}g",
            f"unroll {i}r {j}r",
            f"stage tile at {j}g in register as part",
        ]
        shared = [f"{label}g" for label in (*line, i, j)]
        lines += [f"lanes {' '.join(labels)}" for labels in (shared, rows, columns, tile)]
        lines.append(f"parallel {[*others, *line, i][0]}")
        return lines


def panels_first(
    lines: list[str], roles: Roles, labels: tuple[str, str, str], line: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The loops that copy the panels `rows` and `columns`, and lines added: neighbours are copied by neighbours."""
    i, j, k = labels
    rows, columns = [f"rows.{label}g" for label in (*line, i, k)], [f"columns.{j}g", f"columns.{k}g"]
    for read, dim, copied in ((roles.first, roles.i, rows), (roles.second, roles.j, columns)):
        if read.contiguous(dim):
            lines.append(f"sink {copied[-2]} past {copied[-1]}")
            copied[-2:] = copied[:-3:-1]
    return rows, columns


def roles_of(nest: Nest) -> Roles | None:
    """The dims of a matrix product, or of a convolution; None for what is none."""
    single = singles(nest)
    parallel = [d for d in nest.parallel if d not in single]
    reduction = [d for d in nest.reduction if d not in single]
    if len(parallel) < 2 or not reduction or len(nest.reads) != 2 or any(r.guarded or r.data for r in nest.reads):
        return None
    i, j, k, around = parallel[-2], parallel[-1], reduction[-1], tuple(reduction[:-1])
    if len({r.buffer for r in nest.reads}) != 2:
        return None
    uses = {r.dims & {i, j, k} for r in nest.reads}
    if uses != {frozenset((i, k)), frozenset((j, k))} or not {i, j} <= nest.store.dims:
        return None
    first, second = (next(r for r in nest.reads if d in r.dims) for d in (i, j))
    line = parallel[-3] if len(parallel) > 2 else None
    if line is not None and (nest.dims[line].size is None or line not in first.dims or line in second.dims):
        line = None
    if any(read.step(d) is None for read in nest.reads for d in (i, j, k, line) if d in read.dims):
        return None
    if any(len(e.dims & {i, j, k, line}) > 1 for read in nest.reads for e in read.index):
        return None  # a window that slides along a signal: the panel has one dimension for two loops
    return Roles(i, j, k, line, around, first, second)


def _left(size: int | None, depth: int) -> str:
    """How blocks of the reduction go on where they leave something over."""
    return "|1" if size is None else "|rest" if size % depth else ""


def shared_bytes(nest: Nest, roles: Roles, lines: int, rows: int, columns: int, depth: int) -> int:
    """Of shared memory: both panels and the tile."""

    def reach(dim: int | None, count: int) -> int:
        """How many elements a panel has for so many rows: where steps are longer than one, there are some between."""
        step = (1,) if dim is None else roles.first.step(dim) or (1,)
        return (count - 1) * max(1, *map(abs, step)) + 1

    widths = [r.type.dtype.itemsize for r in nest.reads]
    total = nest.dims[roles.k].size
    depth += 1 if total is None else total % depth  # what is left over has panels of its own
    panels = depth * (reach(roles.lines, lines) * reach(roles.i, rows) + columns)
    return max(widths) * panels + nest.lane_bytes * lines * rows * columns
