"""Sums of products on the matrix unit: matrix products, and convolutions as one per place of the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, nan
from typing import NamedTuple

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, f32

from ircc.dialects.loop import Load
from ircc.ir.operands import walk
from ircc.schedules.nest import Nest, Read
from ircc.schedules.strategy import Case, Choice, Choices, Strategy
from ircc.schedules.tile import begin, singles

from .instructions import LANES, TYPES, UNIT

LEAST = 2  # columns or rows, and depth, from which on the unit pays
DEEP = 16  # ... and depth, where there is but one row


class Roles(NamedTuple):
    """The dims of a matrix product, by number."""

    rows: int | None  # None: there is one
    columns: int
    depth: int
    left: Read  # varies with rows and depth
    right: Read  # ... with columns and depth


def roles_of(nest: Nest) -> Roles | None:
    """The dims of rows, columns and depth; None for what is no sum of products of two buffers."""
    single = singles(nest)
    parallel = [d for d in nest.parallel if d not in single]
    reduction = [d for d in nest.reduction if d not in single]
    every = (*nest.reads, *nest.finish_reads, nest.store)
    if len(nest.reads) != 2 or nest.operations != 2 or not reduction or nest.ordered:
        return None
    if any(r.data or r.through or not r.constant or r.type.element_type != f32 for r in every):
        return None
    if len({r.buffer for r in nest.reads}) != 2 or any(copy_of(nest, r.buffer) != "f32" for r in every):
        return None

    def size(d: int) -> int:
        return UNIT if (known := nest.dims[d].size) is None else known

    found: list[tuple[tuple[int, ...], Roles]] = []
    for left, right in (nest.reads, nest.reads[::-1]):
        rows = [d for d in parallel if d in left.dims - right.dims] or [None]
        columns = [d for d in parallel if d in right.dims - left.dims]
        depths = [d for d in reduction if d in left.dims & right.dims]
        for i in rows:
            for j in columns:
                for k in depths:
                    steps = [r.step(d) for r in (left, right) for d in (i, j, k) if d is not None]
                    if (
                        None in steps
                        or crossed(left, (i, k))
                        or crossed(right, (j, k))
                        or (size(k) < DEEP if i is None else i > j)
                    ):
                        continue
                    worth = (1 if i is None else min(size(i), UNIT)) * min(size(j), UNIT) * min(size(k), UNIT)
                    found.append(((worth, j, i or 0), Roles(i, j, k, left, right)))
    if not found:
        return None
    roles = max(found, key=lambda f: f[0])[1]
    known = all(d is None or nest.dims[d].size is not None for d in (roles.rows, roles.columns, roles.depth))
    rows = 1 if roles.rows is None else size(roles.rows)
    few = min(size(roles.depth), max(rows, size(roles.columns))) < LEAST
    return None if known and few else roles


def copy_of(nest: Nest, buffer: str) -> str | None:
    """The kind of copy that brings a buffer in, by its type and what is outside of it; None where there is none."""
    names = dict(zip(nest.kernel.arg_names, nest.kernel.args, strict=True))
    element = str(names[buffer].type.element_type)  # pyright: ignore
    found: set[float] = set()
    for op in walk(nest.kernel):
        if isinstance(op, Load) and op.buf is names[buffer] and op.otherwise is not None:
            constant = op.otherwise.owner
            value = constant.value if isinstance(constant, arith.ConstantOp) else None
            found.add(value.value.data if isinstance(value, FloatAttr | IntegerAttr) else nan)
    if element not in TYPES or (not found <= {0} and (element != "f32" or found != {-inf})):
        return None
    return f"low.{element}" if found == {-inf} else element


def crossed(read: Read, dims: Sequence[int | None]) -> bool:
    """Whether two dims move through one dim of a buffer: a window of it is no matrix."""
    return any(sum(d in e.dims for d in dims) > 1 for e in read.index)


class NpuMatrix(Strategy):
    """Tiles of the result in the accumulator; both operands come in blocks, the next one while one is multiplied."""

    name = "npu-matrix"
    rank = 5
    device = True

    def choices(self, case: Case) -> Choices | None:
        if "npu.matmul" not in case.instructions or roles_of(case.nest) is None:
            return None
        sizes = (16, 32, UNIT)
        return {name: Choice(UNIT, sizes) for name in ("rows", "columns", "depth")} | {"ahead": Choice(1, (0, 1))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        roles = roles_of(nest)
        assert roles is not None
        single = singles(nest)
        label = [d.label for d in nest.dims]
        i, j, k = None if roles.rows is None else label[roles.rows], label[roles.columns], label[roles.depth]
        others = [label[d] for d in nest.parallel if d not in (*single, roles.rows, roles.columns)]
        reduction = [label[d] for d in nest.reduction if d not in single]
        behind = reduction[reduction.index(k) + 1 :]
        last = (behind or [k])[-1]
        around = " ".join([*reduction, f"{k}t"])
        order = [*others, *([] if i is None else [i]), j]
        lines = [
            *begin(nest, order, order),
            f"split {j} {cover(nest, roles.columns, values['columns'])} -> {j} {j}t",
            f"split {k} {cover(nest, roles.depth, values['depth'])} -> {k} {k}t",
        ]
        if i is not None and roles.rows is not None:
            lines += [f"split {i} {cover(nest, roles.rows, values['rows'])} -> {i} {i}t", f"sink {i}t past {j}"]
        if behind:
            lines.append(f"commute {k}t past {' '.join(behind)}")
        lines.append(f"sink {j}t past {around}")
        if i is not None:
            lines.append(f"sink {i}t past {around}")
        lines += [
            f"stage {roles.left.buffer} at {last} in scratchpad as left",
            f"stage {roles.right.buffer} at {last} in scratchpad as right",
        ]
        extra = dict.fromkeys(r.buffer for r in nest.finish_reads)
        for n, buffer in enumerate(extra):
            lines.append(f"stage {buffer} at {j} in scratchpad as extra{n}")
        lines.append(f"stage {nest.store.buffer} at {j} in accumulator as sums")
        lines += [f"replace left.{k}t by npu.load.f32", f"replace right.{k}t by npu.load.f32"]
        lines.append(f"replace {k}t by npu.matmul")
        for n, buffer in enumerate(extra):
            reads = [r for r in nest.finish_reads if r.buffer == buffer]
            moving = [d for d in (roles.rows, roles.columns) if d is not None and any(d in r.dims for r in reads)]
            if moving:
                lines.append(f"replace extra{n}.{label[moving[0]]}t by npu.load.f32")
        lines.append(f"replace sums.{j if i is None else i}t by npu.drain.f32")
        lines.append(f"vectorize {j}t {LANES}")
        if values["ahead"]:
            lines.append(f"double {last} left right")
        return lines


def cover(nest: Nest, dim: int, size: int) -> str:
    """Sizes that cover a dim by tiles: the last one smaller; of an unknown extent, ever smaller ones."""
    extent = nest.dims[dim].size
    if extent is None:
        return "|".join(map(str, dict.fromkeys([size, max(size // 4, 1), 1])))
    return str(size) if extent % size == 0 else f"{size}|rest"
