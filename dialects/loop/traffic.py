"""What a kernel has to move."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Operation, SSAValue

from ...ir.expr import Expr, minimum, product
from ...ir.operands import walk
from ...ir.types import BufferType
from .instruction import invoked
from .ops import For, Load, Store
from .program import Kernel


def traffic(kernel: Kernel) -> Expr:
    """Bytes that a launch must read or write at least, over the kernel's sizes: of each buffer all of it, or as much as
    accesses can touch where that is less, as of a table of which data chooses some rows. What is read again, or read
    where it was written, counts once."""
    accesses: dict[SSAValue, list[Load | Store]] = {arg: [] for arg in kernel.args}
    for op in walk(kernel):
        if isinstance(op, Load | Store) and op.buf in accesses:
            accesses[op.buf].append(op)
    trips: dict[For, Expr] = {}
    total = Expr.const(0)
    for arg, uses in accesses.items():
        if invoked(kernel, arg):  # windows may overlap, and lie partly outside
            assert isinstance(arg.type, BufferType)
            total = total + arg.type.bytes
            continue
        found = [points(op, trips) for op in [op for op in uses if isinstance(op, Store)] or uses]
        if found:
            size, element = uses[0].type.bytes, uses[0].type.dtype.itemsize
            touched = None if None in found else sum((n for n in found if n is not None), Expr.const(0)) * element
            total = total + (size if touched is None else minimum(size, touched))
    return total


def points(op: Load | Store, trips: dict[For, Expr]) -> Expr | None:
    """Elements that an access touches, as often as the loops that its index depends on go round; None where that is
    no number of the kernel's sizes. `trips` has what is known of loops."""
    loops = loops_of(op.indices)
    trips |= {loop: loop.trip_expr for loop in loops if loop not in trips}
    return None if any(trips[loop].dims for loop in loops) else product(trips[loop] for loop in loops) * op.live


def loops_of(values: Sequence[SSAValue]) -> list[For]:
    """The loops whose variables values are made of."""
    found: list[For] = []
    seen, waiting = set(values), list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value.owner, Operation):
            new = [v for v in value.owner.operands if v not in seen]
            seen.update(new)
            waiting += new
        elif isinstance(loop := value.owner.parent_op(), For):
            found.append(loop)
    return found
