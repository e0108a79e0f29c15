"""Matrix products and convolutions on devices that have an instruction for products of tiles.

Panels of both operands and the tile of the result lie in memory that a group shares; the instruction multiplies and
adds parts of them, shared out among those that carry it out together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin, singles
from .tiled import Roles, panels_first, roles_of, shared_bytes

SIDE = 16  # of the instruction's tiles
TILES = (64, 48, 32, 16)
DEPTHS = (32, 16)


class Matrix(Strategy):
    """`rows` × `columns` of the result for a group, `depth` of the reduction at a time, by the instruction `mma_f16` or
    `mma_bf16`: the sum of products of 16 × 16 elements, in f32."""

    name = "matrix"
    rank = 8
    device = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        roles = roles_of(nest)
        if roles is None or instruction_of(nest, roles) not in case.instructions:
            return None
        rows, columns = (_fitting(nest.dims[d].size, TILES) for d in (roles.i, roles.j))
        depths = _fitting(nest.dims[roles.k].size, DEPTHS)
        every = [(r, c, d) for r in rows for c in columns for d in depths]
        found = [t for t in every if shared_bytes(nest, roles, 1, *t) <= case.target.shared]
        if not found:
            return None
        r, c, d = max(found, key=lambda t: (t[0] * t[1], min(t[0], t[1]), t[2]))
        return {"rows": Choice(r, tuple(rows)), "columns": Choice(c, tuple(columns)), "depth": Choice(d, tuple(depths))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        roles = roles_of(nest)
        assert roles is not None
        i, j, k = (nest.dims[d].label for d in roles[:3])
        others = [nest.dims[d].label for d in nest.parallel if d not in (*singles(nest), roles.i, roles.j)]
        inside = " ".join([*(nest.dims[d].label for d in roles.around), k])
        lines = begin(nest, [*others, i, j])
        lines += [
            f"split {i} {values['rows']} -> {i} {i}g",
            f"split {j} {values['columns']} -> {j} {j}g",
            f"sink {i}g past {j}",
            f"split {k} {values['depth']} -> {k} {k}g",
            f"sink {j}g past {inside}",
            f"sink {i}g past {inside}",
            f"stage {roles.first.buffer} at {k} in stack as rows",
            f"stage {roles.second.buffer} at {k} in stack as columns",
            f"stage {nest.store.buffer} at {j} in stack as tile",
        ]
        rows, columns = panels_first(lines, roles, (i, j, k), [])
        lines += [
            *(f"split {label}g {SIDE} -> {label}g {label}m" for label in (i, j, k)),
            f"sink {i}m past {j}g",
            f"sink {j}m past {k}g {k}m",
            f"sink {i}m past {k}g {k}m",
            f"replace {k}m by {instruction_of(nest, roles)}",
        ]
        tile = [f"tile.{i}g", f"tile.{j}g"]
        lines += [f"lanes {' '.join(labels)}" for labels in ([f"{i}g", f"{j}g"], rows, columns, tile)]
        lines.append(f"parallel {[*others, i][0]}")
        return lines


def instruction_of(nest: Nest, roles: Roles) -> str:
    """The instruction that multiplies such operands."""
    first, second = roles.first.type.element_type, roles.second.type.element_type
    return f"mma_{first}" if first == second and str(nest.element) == "f32" else ""


def _fitting(size: int | None, options: Sequence[int]) -> list[int]:
    """The options that a size is a multiple of; none where it is not known."""
    return [] if size is None else [n for n in options if size % n == 0]
