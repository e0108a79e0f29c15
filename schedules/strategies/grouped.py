"""Reductions on devices: a result is a group's, whose work items share the reduction.

Each has partial results of its own, with the neighbours' elements beside its own in memory; they are combined half with
half in memory that the group shares (Harris, Optimizing parallel reduction in CUDA, 2007), or, where there is an
instruction for it, by teams of lanes that hand each other values (Luitjens, Faster parallel reductions on Kepler,
2014): two turns for 1024 partial results, not ten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects import arith
from xdsl.ir import Operation

from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin_around, reduced_rows, singles

LEAST = 32  # partial results from which on a group pays
WORDS: Mapping[type[Operation] | None, str] = {  # in names of instructions: team_add_f32
    arith.AddfOp: "add", arith.AddiOp: "add", arith.MaximumfOp: "max", arith.MinimumfOp: "min",
}  # fmt: skip


class Grouped(Strategy):
    """`partial` partial results."""

    name = "grouped"
    rank = 20
    device = True

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        reduction = reduced_rows(nest)
        if reduction is None:
            return None
        size = nest.dims[reduction[-1]].size
        options = [
            n for n in (1024, 512, 256, 128, 64, LEAST) if n <= case.target.group and (size is None or n <= size)
        ]
        if len(reduction) > 1:  # what is left over would be every work item's
            options = [n for n in options if size is not None and size % n == 0]
        if not options:
            return None
        return {"partial": Choice(options[0], tuple(sorted(options)))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        single = singles(nest)
        parallel, lines = begin_around(nest)
        k = [nest.dims[d].label for d in nest.reduction if d not in single]
        size = nest.dims[next(d for d in reversed(nest.reduction) if d not in single)].size
        whole = size is not None and size % values["partial"] == 0
        sizes = f"{values['partial']}{'' if whole else '|rest'}"
        instruction, team = f"team_{WORDS.get(nest.combine)}_{nest.element}", case.target.team
        by_teams = team > 1 and case.target.group % team == 0 and instruction in case.instructions
        by = f" by {team}" if by_teams else ""
        lines.append(f"reassociate {k[-1]} {sizes} at {k[0]} -> {k[-1]} {k[-1]}l as part{by}")
        lines += [f"sink {label} past {k[-1]}l" for label in reversed(k)]
        lines.append(f"stage part at {k[-1]}l in register as acc")
        lines.append(f"stage {nest.store.buffer} at {parallel[-1]} in register as total")
        if by_teams:
            lines.append(f"replace part.lane by {instruction}")
        combined = "part.team" if by_teams else "part.half"
        lines.append(f"lanes {k[-1]}l{'' if whole else f' {k[-1]}l.rest'} {combined}")
        lines.append(f"parallel {parallel[0]}")
        return lines
