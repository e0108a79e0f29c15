"""All else on the vector unit: windows come into the scratchpad, lanes work on them, and results go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from ircc.schedules.nest import Nest, Read, collapsed
from ircc.schedules.strategy import Case, Choice, Choices, Strategy
from ircc.schedules.tile import begin, singles

from .instructions import LANES, LONGEST, SCRATCHPAD
from .matrix import copy_of, cover

MOST = 2048  # elements of a tile of the result
BUDGET = SCRATCHPAD // 2  # bytes of tiles, of which some come twice


@dataclass(frozen=True)
class Plan:
    """How a nest is cut: the dim of the lanes and the one around it with their tiles, and a block of a reduction."""

    nest: Nest
    lines: tuple[str, ...]  # that make the nest
    inner: int
    width: int
    outer: int | None
    height: int
    block: int  # of the first reduction; 0: all of it


def plan_of(case: Case) -> Plan | None:
    """The tiles of a nest; None where no windows of known sizes are small enough."""
    nest, lines = collapsed(case.nest)
    single = singles(nest)
    every = [*nest.reads, *nest.finish_reads, nest.store]
    parallel = [d for d in nest.parallel if d not in single]
    reduction = [d for d in nest.reduction if d not in single]
    if nest.ordered or nest.more_stores or not parallel or any(r.data or r.through or not r.constant for r in every):
        return None
    if None in [copy_of(case.nest, r.buffer) for r in every]:
        return None
    inner = parallel[-1]
    size = nest.dims[inner].size
    outer = parallel[-2] if len(parallel) > 1 and size is not None else None
    if any(r.step(d) is None for r in every for d in (inner, *([] if outer is None else [outer]), *reduction)):
        return None
    if any(nest.dims[d].size is None for d in reduction):
        return None
    width = 1024 if size is None else min(size, MOST)
    rows = 1 if outer is None else nest.dims[outer].size or 1
    height = max(1, min(rows, MOST // width))
    block = 0
    while (cost := _bytes(nest, inner, width, outer, height, block)) > BUDGET:
        if reduction and block != 1:
            length = nest.dims[reduction[0]].size or 1
            block = max(1, (block or length) // 2)
        elif height > 1:
            height //= 2
        elif width > LANES:
            width //= 2
        else:
            return None
        if cost <= 0:
            return None
    if width > LONGEST or height > LONGEST:
        return None
    return Plan(nest, tuple(lines), inner, width, outer if height > 1 else None, height, block)


def _bytes(nest: Nest, inner: int, width: int, outer: int | None, height: int, block: int) -> int:
    """Of all windows at a time."""
    tile = {inner: width} | ({} if outer is None else {outer: height})
    reduction = [d for d in nest.reduction if d not in singles(nest)]
    for d in reduction:
        tile[d] = nest.dims[d].size or 1
    if reduction and block:
        tile[reduction[0]] = block
    total = 0
    for read in (*nest.reads, *nest.finish_reads, nest.store):
        spans = []
        for at in range(read.type.rank):
            steps = {d: read.step(d) for d in tile}
            spans.append(1 + sum((n - 1) * abs(s[at]) for d, n in tile.items() if (s := steps[d]) is not None))
        total += prod(spans) * read.type.dtype.itemsize * 2
    return total


class NpuVector(Strategy):
    """Tiles of neighbours in the result, 64 lanes at a time; a reduction is each lane's own, in the model's order."""

    name = "npu-vector"
    rank = 6
    device = True

    def choices(self, case: Case) -> Choices | None:
        if "npu.matmul" not in case.instructions or plan_of(case) is None:
            return None
        return {"ahead": Choice(1, (0, 1))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        plan = plan_of(case)
        assert plan is not None
        nest, single = plan.nest, singles(plan.nest)
        label = [d.label for d in nest.dims]
        v = label[plan.inner]
        u = None if plan.outer is None else label[plan.outer]
        order = [label[d] for d in nest.parallel if d not in single]
        reduction = [label[d] for d in nest.reduction if d not in single]
        lines = [*plan.lines, *begin(nest, order, order)]
        tiles = {v: plan.width} | ({} if u is None else {u: plan.height})
        lines.append(f"split {v} {cover(nest, plan.inner, plan.width)} -> {v} {v}t")
        if u is not None and plan.outer is not None:
            lines += [f"split {u} {cover(nest, plan.outer, plan.height)} -> {u} {u}t", f"sink {u}t past {v}"]
        inside = list(reduction)
        at = v
        if plan.block:
            r = reduction[0]
            extent = nest.dims[label.index(r)].size or 1
            rest = "" if extent % plan.block == 0 else "|rest"
            lines.append(f"split {r} {plan.block}{rest} -> {r} {r}t")
            inside.insert(1, f"{r}t")
            at = r
        if reduction:
            lines.append(f"sink {v}t past {' '.join(inside)}")
            if u is not None:
                lines.append(f"sink {u}t past {' '.join(inside)}")
        moving = [*inside[bool(plan.block) :], *(f"{x}t" for x in (u, v) if x is not None and x in tiles)]
        main = {r.buffer for r in nest.reads}
        staged: list[tuple[str, str]] = []
        for n, buffer in enumerate(dict.fromkeys(r.buffer for r in (*nest.reads, *nest.finish_reads))):
            both = buffer in main and any(r.buffer == buffer for r in nest.finish_reads)
            place = at if buffer in main and not both else v
            lines.append(f"stage {buffer} at {place} in scratchpad as in{n}t")
            staged.append((f"in{n}t", buffer))
        lines.append(f"stage {nest.store.buffer} at {v} in scratchpad as outt")
        doubled: list[str] = []
        for name, buffer in staged:
            reads = [r for r in (*nest.reads, *nest.finish_reads) if r.buffer == buffer]
            if (first := _first(moving, label, reads)) is not None:
                lines.append(f"replace {name}.{first} by npu.load.{copy_of(nest, buffer)}")
                if at == v or buffer in main:
                    doubled.append(name)
        if (first := _first(moving, label, [nest.store])) is not None:
            lines.append(f"replace outt.{first} by npu.save.{nest.store.type.element_type}")
        lines.append(f"split {v}t {LANES}|rest -> {v}t {v}l")
        lines.append(f"vectorize {v}l {LANES}")
        if values["ahead"] and doubled:
            lines.append(f"double {at} {' '.join(doubled)}")
        return lines


def _first(moving: Sequence[str], label: Sequence[str], reads: Sequence[Read]) -> str | None:
    """The outermost loop of the copy of a window: one of those in a tile that it moves with, or where several of them
    move through one dim of the buffer, the first dim that has more than one element."""
    dims = {label.index(x if x in label else x[:-1]): x for x in moving}
    for at in range(reads[0].type.rank):
        if sum(1 for d in dims if d in reads[0].index[at].dims) > 1:
            return next(f"d{i}" for i, e in enumerate(reads[0].index) if not e.dims.isdisjoint(dims))
    return next((x for d, x in dims.items() if any(d in r.dims for r in reads)), None)
