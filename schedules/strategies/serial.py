"""The strategy for everything else: the kernel as it is, which is always right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..strategy import Case, Choices, Strategy


class Serial(Strategy):
    """No rewrites, but for sharing the outermost loops among threads where they are parallel and worth it."""

    name = "serial"
    rank = 100
    updates = True

    def choices(self, case: Case) -> Choices | None:
        return {}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        first = nest.dims[0]
        if nest.reduction or not first.parallel or not case.worth_sharing or first.size == 1:
            return ()
        return (f"parallel {first.label}",)
