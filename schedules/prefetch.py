"""The primitive prefetch: what a loop reads next comes into a cache while it still works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple, Self

from xdsl.ir import BlockArgument, Operation, SSAValue

from ..dialects.loop.ops import For, loops_around
from ..dialects.loop.prefetch import Prefetch as Hint
from ..dialects.loop.program import Kernel
from ..ir.expr import ZERO, Expr
from ..ir.operands import walk
from ..ir.types import BufferType
from .analysis import Access, Numbering, accesses, buffer_of, loops_of, require
from .primitive import Primitive, number_of

LINE = 64  # bytes that come from memory at once
MOST = 32  # lines that one place fetches
NEAR = 8 << 10  # bytes: more goes to the second cache, so that the first one keeps what is in use


@dataclass(frozen=True)
class Prefetch(Primitive):
    """`for x {S; for y {T}}` → `for x {S; for y {fetch a part; T}}`: the parts are, together, what S and T touch of a
    buffer `ahead` iterations of x later; with 0, in this one.

    `at` names x, and then the loops in it over which the parts are spread, the innermost one last; of several loops of
    one label the longest one. Where few lines are to be fetched, the first of them do, or x alone, and where a loop has
    more iterations than lines, several fetch the same one: more would fetch what is read much later, in the place of
    what is in use. Rows that lie apart are fetched row by row, by x, where they are few lines. Always legal, for no
    value changes. A loop is left alone where what an iteration touches is no range of memory of a known length, or more
    than can be fetched in so many parts."""

    buffer: str
    ahead: int
    at: tuple[str, ...]
    form: ClassVar[str] = "prefetch <buffer> <ahead> at <at...>"

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        ahead = str(values["ahead"])
        return cls(**(values | {"ahead": 0 if ahead == "0" else number_of(ahead, "prefetch")}))  # pyright: ignore

    def apply(self, kernel: Kernel) -> None:
        buffer = buffer_of(kernel, self.buffer)
        require(isinstance(buffer, BlockArgument), f"prefetch: {self.buffer} is private to the kernel")
        loops = loops_of(kernel, self.at[0])
        require(any(accesses(x, buffer) for x in loops), f"prefetch: no loop {self.at[0]} reads {self.buffer}")
        for loop in loops:
            found = touched(loop, accesses(loop, buffer))
            over = self.nest(loop)
            if found is not None and over is not None:
                self.fetch(loop, over, buffer, found)

    def fetch(self, loop: For, over: Sequence[For], buffer: SSAValue, found: Range) -> None:
        assert isinstance(buffer.type, BufferType)
        size = buffer.type.dtype.itemsize
        line = max(1, LINE // size)
        rows = found.rows(line)
        slots, slot, needed = 1, ZERO, 0
        while not rows and found.elements > MOST * line * slots:
            if needed == len(over):
                return
            x = over[needed]
            trip, lines = x.trip or 1, -(-found.elements // (line * slots))  # an iteration of x has so many of them
            several = max(1, trip // lines)  # iterations that fetch the same line: else they would fetch far beyond
            parts = min(trip, lines)
            slot = slot * parts + (Expr.dim(needed) - x.lower) // (x.stride * several)
            slots *= parts
            needed += 1
        over = over[:needed]
        each = -(-found.elements // (line * slots))
        numbering = Numbering()
        for x in over:
            numbering.number(x.iv)
        later = {numbering.number(loop.iv): Expr.dim(numbering.number(loop.iv)) + self.ahead * loop.stride}
        later |= {numbering.number(x.iv): x.lower for x in loops_around(found.first, loop)}
        index = [e.substitute(later) for e in numbering.exprs(found.first)]
        level = 1 if 0 < found.elements * size * self.ahead <= NEAR else 2  # what this iteration ends with can wait
        place = (over[-1] if over else loop).body.block
        places = rows or [(slot * each + n) * line for n in range(each)]
        hints = [Hint(buffer, (index, list(numbering.values)), at, level) for at in places]
        assert place.first_op is not None
        place.insert_ops_before(hints, place.first_op)

    def nest(self, loop: For) -> list[For] | None:
        """The loops in `loop` over which the parts are spread; None where how many there are is not known."""
        found: list[For] = []
        for label in self.at[1:]:
            around = found[-1] if found else loop
            inside = [x for x in walk(around) if isinstance(x, For) and x.tag == label]
            if not any(x.trip for x in inside):
                return None
            found.append(max(inside, key=lambda x: x.trip or 0))
        return found


class Range(NamedTuple):
    """What an iteration touches: from the first element of an access on, so many; but where there are `steps`, rows of
    `run` neighbours only, (distance, count) of each loop from one row to the next."""

    first: Access
    elements: int
    run: int
    steps: tuple[tuple[int, int], ...]

    def rows(self, line: int) -> list[int]:
        """Where the lines of the rows begin, if there are rows, and these are few lines."""
        if not self.steps or prod(count for _, count in self.steps) * -(-self.run // line) > MOST:
            return []
        starts = [0]
        for step, count in self.steps:
            starts = [s + n * step for n in range(count) for s in starts]
        return [s + n for s in sorted(starts) for n in range(0, self.run, line)]


def touched(loop: For, ops: Sequence[Access]) -> Range | None:
    """The range of memory that an iteration of a loop touches by these accesses to one buffer; None where they touch
    nothing, or that is not known."""
    numbering = Numbering()
    lows: list[Expr] = []
    highs: list[Expr] = []
    shapes: set[tuple[int, tuple[tuple[int, int], ...]]] = set()
    for op in ops:
        if any(isinstance(v.owner, Operation) and loop.is_ancestor(v.owner) for v in op.indices):
            return None
        index = numbering.exprs(op)
        inner = [numbering.number(x.iv) for x in loops_around(op, loop)]
        around = [(numbering.number(x.iv), x) for x in loops_around(op)]
        lane = len(numbering.values)
        ranges = {lane: (ZERO, Expr.const(op.live - 1))}
        counted: dict[int, Expr] = {}
        for d, x in around:
            if x.trip:
                counted[d] = Expr.dim(d) * x.stride + x.lower
                ranges[d] = (ZERO, Expr.const(x.trip - 1))
        if any(d not in ranges for d in inner):
            return None
        moved = [e.substitute(counted) + Expr.dim(lane) * s for e, s in zip(index, op.steps, strict=True)]
        low = high = op.type.offset.substitute(dict(enumerate(moved))).simplify(ranges)
        steps: list[tuple[int, int]] = []
        for d in (lane, *inner):
            step = (low.substitute({d: Expr.dim(d) + 1}) - low).constant
            if step is None or step < 0:
                return None
            low, high = low.substitute({d: ZERO}), high.substitute({d: ranges[d][1]})
            steps.append((step, (ranges[d][1].constant or 0) + 1))
        shapes.add(split_rows(steps, LINE // op.type.dtype.itemsize))
        lows.append(low)
        highs.append(high)
    starts = [start for low in lows if (start := (low - lows[0]).constant) is not None]
    ends = [end for high in highs if (end := (high - lows[0]).constant) is not None]
    if not ops or len(starts) < len(ops) or len(ends) < len(ops):
        return None
    run, rows = shapes.pop() if len(shapes) == 1 and len(set(starts)) == 1 else (0, ())
    return Range(ops[starts.index(min(starts))], max(ends) - min(starts) + 1, run, rows)


def split_rows(steps: Sequence[tuple[int, int]], line: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Of loops (distance, count): how many neighbours they touch, and the loops that go further than to the next
    line."""
    run = 1
    far: list[tuple[int, int]] = []
    for step, count in sorted(steps):
        if step > run + line:
            far.append((step, count))
        elif count > 1:
            run += step * (count - 1)
    return run, tuple(far)
