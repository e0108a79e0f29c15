"""Kernels on devices of many lanes, the plain way: each element of the result is a work item's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...dialects.loop import For, Kernel
from ...ir.types import dtype_of
from ..nest import Nest, collapsed
from ..strategy import Case, Choice, Choices, Strategy
from ..tile import begin_around

WIDE = 16  # bytes of an access, at most
ENOUGH = 1 << 14  # elements from which on there are work items enough that each may take several


class Simt(Strategy):
    """The parallel loops become a grid; a reduction is one work item's, in a register, in the order of the model.
    Of a map a work item takes `lanes` neighbours, which it loads and stores together."""

    name = "simt"
    rank = 90
    device = True
    updates = True

    def choices(self, case: Case) -> Choices | None:
        most = neighbours(case.nest)
        return {"lanes": Choice(most, tuple(n for n in (1, 2, 4, 8, 16) if n <= most))} if most > 1 else {}

    def lines(self, case: Case, values: Mapping[str, int]) -> Sequence[str]:
        nest = case.nest
        if not nest.parallel:
            return []
        if (lanes := values.get("lanes", 1)) > 1:
            flat, lines = collapsed(nest, known=True)
            label, first = (flat.dims[flat.parallel[at]].label for at in (-1, 0))
            together = [f"split {label} {lanes} -> {label} {label}l", f"vectorize {label}l {lanes}"]
            return [*lines, *together, f"parallel {first}"]
        if not nest.reduction:
            return [f"parallel {nest.dims[nest.parallel[0]].label}"]
        labels, lines = begin_around(nest)
        lines.append(f"stage {nest.store.buffer} at {labels[-1]} in register as total")
        lines.append(f"parallel {labels[0]}")
        return lines


def neighbours(nest: Nest) -> int:
    """How many elements of a map one access may take: those of the innermost dim, which lie side by side in everything
    that is read by it."""
    points = nest.points.constant
    if nest.reduction or nest.ordered or nest.more_stores or not nest.parallel or nest.phases > 1:
        return 1
    flat, _ = collapsed(nest, known=True)
    dim = flat.parallel[-1]
    size = flat.dims[dim].size
    accesses = [r for r in (*flat.reads, flat.store) if dim in r.dims]
    if size is None or (points is not None and points < ENOUGH) or dim not in flat.store.dims:
        return 1
    if any(r.guarded or r.data or not r.contiguous(dim) for r in accesses):
        return 1
    lanes = WIDE // max(dtype_of(r.type.element_type).itemsize for r in accesses)
    while size % lanes:
        lanes //= 2
    return lanes


def grid_lines(kernel: Kernel) -> str:
    """The schedule of a kernel of any form: its outermost loops become grids where they are parallel."""
    tops = [op for op in kernel.body.block.ops if isinstance(op, For)]
    labels = dict.fromkeys(op.tag for op in tops if op.is_parallel)
    return "\n".join(f"parallel {label}" for label in labels if all(x.is_parallel for x in kernel.loops(label)))
