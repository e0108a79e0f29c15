"""The primitive double: what a loop's next iteration needs is fetched while this one is still at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xdsl.dialects.builtin import NoneAttr, StringAttr, UnitAttr
from xdsl.ir import SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.instruction import Invoke, Wait, Window
from ..dialects.loop.ops import For, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr, maximum, minimum
from ..ir.operands import copied, walk
from ..ir.types import BufferType
from .analysis import Numbering, loops_of, require
from .primitive import Primitive
from .rewrite import before, erase

SLOTS = 2


@dataclass(frozen=True)
class Double(Primitive):
    """`for x {t = alloc; fetch t; S}` → `t = alloc of two; start fetch t[0]; for x {start fetch t[next]; wait; S}`: the
    buffers called `buffers`, which instructions with a queue fill in each iteration, become two each, which take turns.

    The first fetch stands in front of the loop, in a loop of one iteration or none; each iteration starts the next
    one's fetches, if there is a next one, and waits for its own; the loop is an ordered one then. One of at most one
    iteration is left alone. Legal where each of the buffers is private to an iteration, is written by instructions of
    one queue that stand right in the loop and nothing else, which read nothing that is written in the loop, and where
    nothing else in the loop uses that queue."""

    label: str
    buffers: tuple[str, ...]
    form: ClassVar[str] = "double <label> <buffers...>"

    def apply(self, kernel: Kernel) -> None:
        names = set(self.buffers)
        missing = names - kernel.buffers().keys()
        require(not missing, f"double: no buffer is named {', '.join(sorted(missing))}")
        found = False
        for loop in loops_of(kernel, self.label):
            allocs = [op for op in loop.body.block.ops if isinstance(op, Alloc) and op.label.data in names]
            if {op.label.data for op in allocs} == names:
                if loop.trip not in (0, 1):
                    _Double(loop, allocs).rewrite()
                found = True
        require(found, f"double: {', '.join(self.buffers)} are not private to an iteration of {self.label}")


class _Double:
    """One loop whose buffers are doubled."""

    def __init__(self, loop: For, allocs: Sequence[Alloc]) -> None:
        self.loop, self.allocs = loop, allocs
        self.what = f"double: loop {loop.tag}"
        require(loop.run.data == "serial", self.what, f"is {loop.run.data}")
        buffers = [op.buffer for op in allocs]
        self.fetches = [
            op for op in loop.body.block.ops if isinstance(op, Invoke) and any(b in buffers for b in op.written())
        ]
        require(self.fetches, self.what, "has no instruction that fills its buffers")
        queues = {q.data if (q := op.find().queue) is not None else "" for op in self.fetches}
        require(len(queues) == 1 and "" not in queues, self.what, "fetches in several queues, or in none")
        (self.queue,) = queues
        self.check(buffers)

    def check(self, buffers: Sequence[SSAValue]) -> None:
        changed: set[SSAValue] = set()
        for op in walk(self.loop):
            if isinstance(op, Store):
                changed.add(op.buf)
            elif isinstance(op, Invoke):
                changed.update(op.written())
                other = op not in self.fetches and (q := op.find().queue) is not None and q.data == self.queue
                require(
                    not other and op.start is None, self.what, f"uses the queue {self.queue} for {op.instruction} too"
                )
            elif isinstance(op, Wait):
                require(op.queue.data != self.queue, self.what, f"waits for the queue {self.queue} already")
        for op in walk(self.loop):
            writes = (op.buf,) if isinstance(op, Store) else op.written() if isinstance(op, Invoke) else ()
            own = op in self.fetches or not any(b in buffers for b in writes)
            require(own, self.what, "writes a buffer that is fetched")
        for op in self.fetches:
            read = [b for b in op.buffers if b not in op.written()]
            require(not changed.intersection(read), self.what, "fetches what it writes")
            require(all(b in buffers for b in op.written()), self.what, "fetches into other buffers at once")
            for value in op.indices:
                owner = value.owner
                inside = self.loop.is_ancestor(owner) and owner is not self.loop.body.block
                require(not inside, self.what, "computes where it fetches from")
        first = {b: next(op for op in self.fetches if b in op.written()) for b in buffers if self.fetched(b)}
        require(len(first) == len(buffers), self.what, "has a buffer that nothing fetches")
        for op in self.loop.body.block.ops:
            for b, fetch in first.items():
                used = any(b in o.operands for o in walk(op))
                early = used and op is not fetch and op.is_before_in_block(fetch)
                require(not early, self.what, "uses a buffer before it is fetched")

    def fetched(self, buffer: SSAValue) -> bool:
        return any(buffer in op.written() for op in self.fetches)

    def rewrite(self) -> None:
        loop, step = self.loop, self.loop.stride
        loop.properties["kind"] = StringAttr("ordered")
        operands = [*loop.indices, loop.iv]
        here = Expr.dim(len(operands) - 1)
        turn = (here - loop.lower) // step
        for alloc in self.allocs:
            type_ = alloc.type
            require(isinstance(type_.layout, NoneAttr), self.what, "has a buffer in a layout")
            sizes = [Expr.const(SLOTS), *type_.sizes]
            double = Alloc(alloc.label.data, BufferType.of(sizes, type_.element_type, type_.space.data))
            before(loop, [double])
            self.redirect(alloc.buffer, double.buffer, turn % SLOTS, operands)
            erase(alloc)
        for op in self.fetches:
            op.properties["start"] = UnitAttr()
        any_left = minimum(1, maximum(loop.upper - loop.lower, 0))
        head = For((0, any_left), f"{loop.tag}.first", "ordered", operands=list(loop.indices))
        self.moved(head, loop.lower, list(loop.indices))
        before(loop, [head])
        ahead = minimum(1, maximum(loop.upper - here - step, 0))
        following = For((0, ahead), f"{loop.tag}.next", "ordered", operands=operands)
        self.moved(following, here + step, operands)
        wait = Wait(self.queue, ahead * len(self.fetches), operands)
        before(self.fetches[0], [following, wait])
        for op in self.fetches:
            erase(op)

    def moved(self, target: For, place: Expr, operands: Sequence[SSAValue]) -> None:
        """Copies of the fetches, of the iteration at a place."""
        for op in self.fetches:
            new = copied(op)
            target.body.block.add_op(new)
            if self.loop.iv in new.indices:
                new.replace_index(self.loop.iv, place, operands)

    def redirect(self, old: SSAValue, new: SSAValue, slot: Expr, operands: Sequence[SSAValue]) -> None:
        """Let all that names a buffer name the slot of an iteration in another one."""
        for op in {use.operation: None for use in old.uses}:
            numbering = Numbering()
            values = [numbering.number(v) for v in operands]
            at = slot.substitute({i: Expr.dim(n) for i, n in enumerate(values)})
            if isinstance(op, Load):
                index = [at, *numbering.exprs(op)]
                steps = [0, *op.steps] if op.lanes > 1 else None
                made = Load(
                    new, (index, list(numbering.values)), type_=op.value.type, otherwise=op.otherwise, lane_steps=steps,
                    active=op.live if op.live < op.lanes else None,
                )  # fmt: skip
                before(op, [made])
                op.value.replace_all_uses_with(made.value)
                erase(op)
            else:
                assert isinstance(op, Invoke)
                self.replaced(op, old, new, at, numbering)

    def replaced(self, op: Invoke, old: SSAValue, new: SSAValue, at: Expr, numbering: Numbering) -> None:
        mapping = {i: Expr.dim(numbering.number(v)) for i, v in enumerate(op.indices)}
        windows: list[Window] = []
        for w in op.windows:
            index = tuple(e.substitute(mapping) for e in w.first)
            if w.buffer is old:
                w = Window(new, (at, *index), tuple((0, *s) for s in w.steps))
                windows.append(w)
            else:
                windows.append(Window(w.buffer, index, w.steps))
        sizes = [e.substitute(mapping) for e in op.sizes]
        made = Invoke(op.instruction, windows, sizes, list(numbering.values), start=op.start is not None)
        before(op, [made])
        self.fetches = [made if f is op else f for f in self.fetches]
        erase(op)
