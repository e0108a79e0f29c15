"""How a kernel becomes functions for work items: decisions that every printer for devices shares.

A concurrent loop at the top of a kernel, and the parallel loops that stand right inside of each other in it, become a
grid: each of their iterations is a work item. What stands between such loops is done by a single work item. So a kernel
is one or more functions that are launched one after the other, `Part`s, each with the number of its work items.

Loops that lanes share make the grid's iterations groups': each of them is one group's, whose work items share those
loops and wait for each other behind each. Buffers outside of such loops are then in memory that the group shares, but
for registers that no such loop writes: there each work item has its own. What stands between such loops all work items
do alike, and what is stored there the first one alone stores (`Turns`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from xdsl.ir import Operation, SSAValue

from ...dialects.loop import Alloc, For, Invoke, Kernel, Load, Store
from ...errors import BackendError
from ...ir.expr import ONE, Expr, maximum, product
from ...ir.operands import walk
from ...ir.types import BufferType

MOST_PRIVATE = 1 << 14  # bytes of a work item's buffers
MOST_SHARED = 1 << 15  # bytes of a group's: what every GPU has


@dataclass(frozen=True)
class Part:
    """A function of a kernel, launched for `items` work items, an expression over the kernel's sizes; or for as many
    whole groups."""

    function: str
    items: Expr
    groups: bool = False


@dataclass(frozen=True)
class Printed:
    """The functions of a kernel, and its parts in the order in which they are launched."""

    code: str
    parts: tuple[Part, ...]


def stored_by(op: Operation) -> Sequence[SSAValue]:
    """The buffers that an operation itself may store to."""
    return [op.buf] if isinstance(op, Store) else op.buffers if isinstance(op, Invoke) else []


@dataclass(frozen=True)
class Piece:
    """What is launched by itself: the loops of a grid and what its work items do, or what one work item does alone."""

    nest: Sequence[For]
    ops: Sequence[Operation]

    @property
    def items(self) -> Expr:
        """How many work items or groups there are."""
        return product([maximum(loop.trip_expr, 0) for loop in self.nest]) if self.nest else ONE

    @cached_property
    def shared_loops(self) -> tuple[For, ...]:
        """The loops that lanes share, outermost ones."""
        found: list[For] = []

        def visit(ops: Iterable[Operation]) -> None:
            for op in ops:
                if isinstance(op, For):
                    if op.run.data == "lanes":
                        found.append(op)
                    else:
                        visit(op.body.block.ops)

        visit(self.ops)
        return tuple(found)

    @property
    def groups(self) -> bool:
        """Whether an iteration of the grid is a whole group's."""
        return bool(self.nest) and bool(self.shared_loops)

    def is_private(self, op: Alloc) -> bool:
        """Whether each work item has a buffer to itself that stands outside of all loops that lanes share."""
        stores = (o for loop in self.shared_loops for o in walk(loop) if isinstance(o, Store))
        return op.type.space.data == "register" and all(o.buf is not op.buffer for o in stores)

    @cached_property
    def reread(self) -> frozenset[SSAValue]:
        """The buffers that all work items of a group read alike, and that change."""
        every = [o for op in self.ops for o in (op, *walk(op))]
        inside = {o for loop in self.shared_loops for o in walk(loop)}
        private = {o.buffer for o in every if isinstance(o, Alloc) and self.is_private(o)}
        stored = {b for o in every for b in stored_by(o)} - private
        return frozenset(o.buf for o in every if isinstance(o, Load) and o not in inside and o.buf in stored)


class Turns:
    """When the work items of a group have to wait before one of them stores: others may still have to read what is
    there. Behind a store they wait in any case, unless it is each one's own."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self.read: frozenset[SSAValue] = frozenset()  # since all have waited

    def reads(self, buffer: SSAValue) -> None:
        """All read a buffer alike."""
        self.read |= self.piece.reread & {buffer}

    def around(self) -> None:
        """A loop begins or ends that all do alike: what stands behind it in the text may have happened before."""
        self.read = self.piece.reread

    def must_wait(self, stored: Iterable[SSAValue]) -> bool:
        """Whether all have to wait before these buffers are stored to."""
        return not self.read.isdisjoint(stored)

    def waited(self) -> None:
        self.read = frozenset()


def pieces(kernel: Kernel) -> list[Piece]:
    """The pieces of a kernel, in the order in which they are launched; without those that have nothing to do.

    Raises BackendError, naming the kernel, where it cannot be taken apart."""
    found: list[Piece] = []
    before: list[Operation] = []
    alone: list[Operation] = []

    def finish() -> None:
        if any(isinstance(op, Store | For) for op in alone):
            found.append(Piece([], _needed(kernel, before, alone) + alone))
        before.extend(alone)
        alone.clear()

    for op in kernel.body.block.ops:
        if isinstance(op, For) and op.run.data == "concurrent":
            finish()
            nest = grid(op)
            found.append(Piece(nest, _needed(kernel, before, [op]) + list(nest[-1].body.block.ops)))
            before.append(op)
        else:
            alone.append(op)
    finish()
    return [piece for piece in found if piece.items.constant != 0]


def grid(loop: For) -> list[For]:
    """A concurrent loop, and the parallel ones right inside whose lengths do not depend on those around them."""
    nest = [loop]
    while True:
        inner = nest[-1].body.block.first_op
        if not isinstance(inner, For) or inner is not nest[-1].body.block.last_op:
            return nest
        if not inner.is_parallel or inner.run.data in ("unrolled", "lanes") or any(x.iv in inner.indices for x in nest):
            return nest
        nest.append(inner)


def shared_nest(loop: For) -> list[For]:
    """A loop that lanes share, and those right inside of it that they share too."""
    nest = [loop]
    while isinstance(inner := nest[-1].body.block.first_op, For) and inner.run.data == "lanes":
        if inner is not nest[-1].body.block.last_op or any(x.iv in inner.indices for x in nest):
            break
        nest.append(inner)
    return nest


def identifier(name: str) -> str:
    """A name that C and assemblers take, like this one."""
    text = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return text if re.match(r"[A-Za-z]", text) else f"k_{text}"


class Memory:
    """Counts what a function's buffers take. `claim` raises BackendError, naming the kernel, where it is too much."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.private = 0  # bytes of a work item's buffers
        self.shared = 0  # bytes of those that a group shares

    def claim(self, type_: BufferType, shared: bool) -> int:
        """The number of elements that a buffer in the memory of a group (`shared`) or a work item takes."""
        length = max(1, type_.length.constant or 0)
        size = length * type_.dtype.itemsize
        if shared:
            self.shared += size
        else:
            self.private += size
        whose, most = ("group", MOST_SHARED) if shared else ("work item", MOST_PRIVATE)
        if (self.shared if shared else self.private) > most:
            raise BackendError(
                f"kernel {self.kernel.sym_name.data}: a {whose}'s buffers take more than {most} bytes",
                hint="stage smaller windows",
            )
        return length


def _needed(kernel: Kernel, before: Sequence[Operation], ops: Sequence[Operation]) -> list[Operation]:
    """Of the operations in front of others, those that they depend on: a work item does them for itself.

    Raises BackendError for what cannot be done again there."""
    used = {v for op in ops for o in (op, *walk(op)) for v in o.operands}
    stored = {o.buf for op in ops for o in (op, *walk(op)) if isinstance(o, Store)}
    found: list[Operation] = []
    for op in reversed(before):
        inside = {o.buf for o in (op, *walk(op)) if isinstance(o, Store)}
        if any(isinstance(b.owner, Alloc) and b in used for b in inside):
            raise BackendError(f"kernel {kernel.sym_name.data}: a private buffer is filled in front of the grid")
        if not used.isdisjoint(op.results):
            if isinstance(op, Load) and op.buf in stored:
                raise BackendError(
                    f"kernel {kernel.sym_name.data}: what is loaded in front of the grid changes while it runs"
                )
            used.update(op.operands)
            found.append(op)
        stored |= inside
    return found[::-1]
