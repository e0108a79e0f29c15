"""The strategy for everything else: the kernel as it is, which is always right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..nest import Nest
from ..strategy import Case, Choice, Choices, Strategy, sizes

WALKS = 8  # that go side by side: as many as there are registers for
CHAIN = 8  # reads one after the other, from which on walks go side by side


class Serial(Strategy):
    """No rewrites, but for sharing the outermost loops among threads where they are parallel and worth it, and for
    walks from read to read, as through a decision tree: each step waits for memory, so `walks` of them go side by
    side, the same ones for all rows."""

    name = "serial"
    rank = 100
    updates = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        many = WALKS if len(nest.parallel) == len(nest.dims) and walk_length(nest) >= CHAIN else 1
        size = nest.dims[inner(nest)].size if many > 1 else 1
        walks = many if size is None else min(many, size)
        return {"walks": Choice(walks, tuple(sorted({1, 4, 8, walks})))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        first, lines = nest.dims[0], list[str]()
        if values["walks"] > 1:
            last = nest.dims[inner(nest)]
            lines += [f"inline {d.label}" for d in nest.dims if d.size == 1]
            lines += [f"split {last.label} {sizes(last.size, values['walks'])} -> {last.label} {last.label}t"]
            lines += [f"unroll {last.label}t"]
            if [d for d in nest.dims if d.size != 1] == [first, last]:  # for all rows while the trees are in a cache
                lines.append(f"sink {first.label} past {last.label}")
                first = last
        if not nest.reduction and first.parallel and case.worth_sharing and first.size != 1:
            lines.append(f"parallel {first.label}")
        return lines


def inner(nest: Nest) -> int:
    """The innermost parallel dim that is more than one."""
    return max((d for d in nest.parallel if nest.dims[d].size != 1), default=nest.parallel[-1])


def walk_length(nest: Nest) -> int:
    """How many reads of the body have an index that was read."""
    return sum(r.data for r in nest.reads)
