"""Carry out the schedules that stand on kernels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Attribute, Operation, SSAValue

from ..dialects.loop import Alloc, Call, Constant, Kernel, View
from ..dialects.loop.instruction import invoked
from ..errors import PassError, ScheduleError
from ..ir.expr import Expr, product
from ..ir.nodes import nodes_of
from ..ir.operands import copied, walk
from ..ir.passes import Pass
from ..ir.target import Target
from ..ir.types import BufferType, ExprAttr
from ..progress import report
from ..schedules.analysis import Access, accesses, interval, lane_span, value_range
from ..schedules.nest import nest_of
from ..schedules.script import Schedule
from ..schedules.strategies.simt import grid_lines
from ..schedules.strategy import Case, select
from .tensor_to_loop import copy_kernel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApplySchedules(Pass):
    """Apply each kernel's schedule to it, and let the program hand it buffers in the layouts that it asks for.

    A constant takes on the layout (a copy of it does, where others use it); anything else is packed by a kernel
    that goes before the call. A schedule that a primitive refuses is an error, if a person wrote it; one that a
    strategy chose is dropped with a warning, and the kernel stays as it was: serial and right, or on a device a grid of
    its outermost loops."""

    name = "apply-schedules"

    def run(self, module: ModuleOp) -> bool:
        changed = False
        kernels, target = [op for op in module.body.ops if isinstance(op, Kernel)], Target.of(module)
        for count, kernel in enumerate(kernels, 1):
            if kernel.schedule is None:
                continue
            report(f"applying schedules: kernel {count} of {len(kernels)}")
            self.apply_to(kernel, kernel.schedule.data, on_device=bool(target.group) and not kernel.on_host)
            changed = True
        if changed:
            _Packing(module).run()
        return changed

    def apply_to(self, kernel: Kernel, text: str, on_device: bool = False) -> None:
        """Schedule one kernel. Raises ScheduleError for a schedule without a strategy that a primitive refuses."""
        plain = copied(kernel) if kernel.strategy is not None else None
        try:
            Schedule.parse(text).apply(kernel)
        except ScheduleError as error:
            if plain is None:
                raise
            name, text = ("simt", grid_lines(plain)) if on_device else ("serial", "")
            log.warning("%s; the kernel stays %s", error.message, "naive" if on_device else "serial")
            region = plain.body
            plain.detach_region(region)
            kernel.detach_region(kernel.body)
            kernel.add_region(region)
            kernel.properties["strategy"] = StringAttr(name)
            Schedule.parse(text).apply(kernel)
        del kernel.properties["schedule"]
        kernel.properties["applied"] = StringAttr(text)


Window: TypeAlias = "tuple[tuple[Expr, Expr], ...]"  # of a buffer: per dim the first index, and how many


@dataclass
class _Packing:
    """Brings the operands of calls into the layouts of their kernels."""

    module: ModuleOp
    constants: dict[tuple[Operation, BufferType], SSAValue] = field(
        default_factory=dict[tuple[Operation, BufferType], SSAValue]
    )
    copies: dict[tuple[BufferType, Window], str] = field(default_factory=dict[tuple[BufferType, Window], str])

    def run(self) -> None:
        for call in [op for op in walk(self.module) if isinstance(op, Call)]:
            self.reconcile(call)
        for op in [op for op in walk(self.module) if isinstance(op, Constant)]:
            if op.buffer.first_use is None:
                op.detach()
                op.erase()

    def reconcile(self, call: Call) -> None:
        kernel = call.find()
        values = call.bound(kernel)
        written = set(kernel.written)
        for position, (given, arg) in enumerate(zip(call.buffers, kernel.args, strict=True)):
            wanted = expected(arg, values)
            if given.type == wanted:
                continue
            if same_memory(given.type, wanted):
                view = self.seen(call, given, wanted)
                call.operands = [view if i == position else v for i, v in enumerate(call.operands)]
                continue
            if arg in written:
                raise PassError(
                    f"kernel {call.callee} writes {kernel.arg_names[position]!r} in another layout than its users read"
                )
            new = (
                self.constant(given.owner, wanted)
                if isinstance(given.owner, Constant)
                else self.packed(call, self.shaped(call, given, wanted), wanted, window(kernel, arg))
            )
            call.operands = [new if i == position else v for i, v in enumerate(call.operands)]

    def seen(self, call: Call, given: SSAValue, type_: BufferType) -> SSAValue:
        """A buffer as one of another type, for a call."""
        view = View(given, 0, type_)
        assert call.parent is not None
        call.parent.insert_op_before(view, call)
        return view.buffer

    def shaped(self, call: Call, given: SSAValue, wanted: BufferType) -> SSAValue:
        """A buffer with the dimensions that a call wants, of which a schedule may have made one of two: a copy from
        two would divide indices."""
        plain = BufferType.of(wanted.sizes, wanted.element_type, wanted.space.data)
        return self.seen(call, given, plain) if same_memory(given.type, plain) and given.type != plain else given

    def constant(self, op: Constant, wanted: BufferType) -> SSAValue:
        """The constant in another layout: a new one, shared by all who want it so."""
        key = (op, wanted)
        if key not in self.constants:
            new = Constant(op.value, wanted)
            new.attributes |= op.attributes
            new.buffer.name_hint = op.buffer.name_hint
            assert op.parent is not None
            op.parent.insert_ops_before([new], op)
            self.constants[key] = new.buffer
        return self.constants[key]

    def packed(self, call: Call, given: SSAValue, wanted: BufferType, read: Window) -> SSAValue:
        """A copy of what is read of a buffer in another layout, made before the call."""
        assert isinstance(given.type, BufferType) and call.parent is not None
        name = self.copies.get((wanted, read)) or self.copy(given.type, wanted, read)
        self.copies[wanted, read] = name
        alloc = Alloc(f"{given.name_hint or 'buffer'}.packed", wanted)
        sizes = [Expr.symbol(s) for s in self.kernel(name).sizes]
        call.parent.insert_ops_before([alloc, Call(name, [given, alloc.buffer], sizes, nodes_of(call))], call)
        return alloc.buffer

    def copy(self, source: BufferType, target: BufferType, read: Window) -> str:
        """The name of a new kernel that copies from one layout to another, scheduled."""
        kernel = copy_kernel(source, target, read)
        taken = {op.sym_name.data for op in self.module.body.ops if isinstance(op, Kernel)}
        name, count = "pack", 1
        while name in taken:
            count += 1
            name = f"pack_{count}"
        kernel.properties["sym_name"] = StringAttr(name)
        nest = nest_of(kernel)
        chosen = None if nest is None else select(Case(nest, Target.of(self.module)))
        if chosen is not None:
            kernel.properties["strategy"] = StringAttr(chosen[0].name)
            Schedule.parse(chosen[1]).apply(kernel)
            kernel.properties["applied"] = StringAttr(chosen[1])
        last = [op for op in self.module.body.ops if isinstance(op, Kernel)][-1]
        self.module.body.block.insert_ops_after([kernel], last)
        return name

    def kernel(self, name: str) -> Kernel:
        return next(op for op in self.module.body.ops if isinstance(op, Kernel) and op.sym_name.data == name)


def same_memory(given: Attribute, wanted: BufferType) -> bool:
    """Whether two row-major buffers have as many elements of one type: each may be seen as the other."""
    assert isinstance(given, BufferType)
    plain = not any(isinstance(t.layout, ExprAttr) for t in (given, wanted))
    return plain and given.element_type == wanted.element_type and product(given.sizes) == product(wanted.sizes)


def window(kernel: Kernel, arg: SSAValue) -> Window:
    """What a kernel reads of a buffer: per dim the first index and how many; all where that is not known."""
    type_ = arg.type
    assert isinstance(type_, BufferType)
    if invoked(kernel, arg):
        return tuple((Expr.const(0), size) for size in type_.sizes)
    return tuple(_span(accesses(kernel, arg), dim, size) for dim, size in enumerate(type_.sizes))


def _span(ops: Sequence[Access], dim: int, size: Expr) -> tuple[Expr, Expr]:
    """The first index of accesses in a dim, and how many there are up to the last one."""
    all_of_it = Expr.const(0), size
    most = size.constant
    if most is None:
        return all_of_it
    low, high = most, 0
    for op in ops:
        operands = list(op.indices)
        first, last = interval(op.exprs[dim], lambda d, v=operands: value_range(v[d]))
        if first is None or last is None:
            return all_of_it
        near, far = lane_span(op, dim)
        low, high = min(low, first + near), max(high, last + far + 1)
    low, high = max(low, 0), min(high, most)
    return (Expr.const(low), Expr.const(high - low)) if low < high else all_of_it


def expected(arg: SSAValue, values: dict[str, Expr]) -> BufferType:
    """The type of a kernel's argument in a call that passes these sizes."""
    type_ = arg.type
    assert isinstance(type_, BufferType)
    layout = type_.layout.data.substitute(symbols=values) if isinstance(type_.layout, ExprAttr) else None
    sizes = [s.substitute(symbols=values) for s in type_.sizes]
    return BufferType.of(sizes, type_.element_type, type_.space.data, layout)
