"""Kernels on devices of many lanes, the plain way: each element of the result is a work item's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...dialects.loop import For, Kernel
from ..strategy import Case, Choices, Strategy
from ..tile import begin_around


class Simt(Strategy):
    """The parallel loops become a grid; a reduction is one work item's, in a register, in the order of the model."""

    name = "simt"
    rank = 90
    device = True
    updates = True

    def choices(self, case: Case) -> Choices | None:
        return {}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        if not nest.parallel:
            return []
        if not nest.reduction:
            return [f"parallel {nest.dims[nest.parallel[0]].label}"]
        labels, lines = begin_around(nest)
        lines.append(f"stage {nest.store.buffer} at {labels[-1]} in register as total")
        lines.append(f"parallel {labels[0]}")
        return lines


def grid_lines(kernel: Kernel) -> str:
    """The schedule of a kernel of any form: its outermost loops become grids where they are parallel."""
    tops = [op for op in kernel.body.block.ops if isinstance(op, For)]
    labels = dict.fromkeys(op.tag for op in tops if op.is_parallel)
    return "\n".join(f"parallel {label}" for label in labels if all(x.is_parallel for x in kernel.loops(label)))
