"""Reductions along the rows of what is read: partial results in the lanes of vectors, combined in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin_around, reduced_rows, share, shared_lines, singles

SHORTEST = 2  # vectors that a row must fill for lanes to pay


class Reduction(Strategy):
    """`partial` partial results, which `reassociate` writes down; the one strategy that changes the order of a sum."""

    name = "reduction"
    rank = 30

    def choices(self, case: Case) -> Choices | None:
        nest = case.nest
        reduction = reduced_rows(nest)
        if reduction is None or case.lanes < 2:
            return None
        size = nest.dims[reduction[-1]].size
        if size is not None and size < SHORTEST * case.lanes:
            return None
        options = [case.lanes * n for n in (4, 2, 1) if size is None or case.lanes * n <= size]
        if size is None:
            partial = options[1]
        else:  # as many as leave the fewest over
            partial = min(options, key=lambda n: (size % n, -n))
        return {"partial": Choice(partial, tuple(sorted(options)))}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        single = singles(nest)
        parallel, lines = begin_around(nest)
        k = [nest.dims[d].label for d in nest.reduction if d not in single]
        count, lanes = values["partial"], case.lanes
        size = nest.dims[next(d for d in reversed(nest.reduction) if d not in single)].size
        rest = "" if size is not None and size % count == 0 else "|1"
        lines.append(f"reassociate {k[-1]} {count}{rest} at {k[0]} -> {k[-1]} {k[-1]}l as part")
        lines.append(f"split {k[-1]}l {lanes} -> {k[-1]}u {k[-1]}l")
        lines.append(f"vectorize {k[-1]}l {lanes}")
        lines.append(f"split part.half {lanes}|rest -> part.half part.lane")
        lines.append(f"vectorize part.lane {lanes}")
        lines.append(f"unroll {k[-1]}u part.half")
        lines.append(f"stage part at {parallel[-1]} in register as acc")
        lines.append(f"stage part.sum at {parallel[-1]} in register as halves")
        lines.append(f"stage {nest.store.buffer} at {parallel[-1]} in register as total")
        if case.worth_sharing and (shared := share(case)):  # as elementwise kernels do, so that rows of both can meet
            lines += shared_lines(case, shared)
        return lines
