"""Copies between a device and the host, where kernels of one program run on both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.control import ReadSizes
from ..dialects.loop import HOST_CALL, Alloc, Call, Constant, Copy, If, Kernel, Program, Transfer, While, root_of
from ..dialects.loop.host import DEVICE, HOST, host_ops
from ..ir.passes import Pass
from .hoist_invariants import written


@dataclass(frozen=True)
class InsertTransfers(Pass):
    """Before a kernel reads or changes a buffer that was last written on the other side, bring the buffer over.

    A kernel marked `on = "host"` works on the host's memory, which has the same places as the device's. Inputs and
    outputs are the device's, and so is all that branches and loops of the program change, at their ends. Constants are
    right on both sides from the start: the host has them in the engine.
    A buffer that was brought over is right on both sides until it is written again. It may run before memory is
    planned or behind: a copy stands where its buffer is needed anyway. Without such kernels nothing changes."""

    name = "insert-transfers"

    def run(self, module: ModuleOp) -> bool:
        kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        changed = False
        for program in [op for op in module.body.ops if isinstance(op, Program)]:
            calls = [op for op in program.ops if isinstance(op, Call) and kernels[op.callee].on_host]
            old = [op for op in program.ops if isinstance(op, Transfer)]
            if not calls and not old:
                continue
            before = str(program)
            for op in old:
                op.detach()
                op.erase()
            for call in calls:
                call.attributes[HOST_CALL] = UnitAttr()
            sides = _Sides(program)
            sides.block(program.body.block)
            sides.finish(program.body.block, program.written)
            changed |= str(program) != before
        return changed


class _Sides:
    """Walks a program; knows on which sides each buffer is right. One that nobody wrote yet is not there."""

    def __init__(self, program: Program) -> None:
        self.right: dict[SSAValue, frozenset[str]] = {arg: frozenset({DEVICE}) for arg in program.inputs}

    def block(self, block: Block) -> None:
        for op in list(block.ops):
            self.step(op)

    def step(self, op: Operation) -> None:
        match op:
            case Alloc():
                self.right.pop(op.buffer, None)
            case Constant():
                self.right[op.buffer] = frozenset({DEVICE, HOST})
            case If():
                self.need(op, [op.condition], DEVICE)
                self.branch(op)
            case While():
                self.loop(op)
            case Call() | Copy() | ReadSizes():
                side = side_of(op)
                self.need(op, op.operands, side)
                for buffer in written(op):
                    self.right[root_of(buffer)] = frozenset({side})
            case _:
                pass

    def need(self, op: Operation, buffers: Iterable[SSAValue], side: str) -> None:
        """Bring buffers to a side in front of an operation, where they are not right there."""
        for root in dict.fromkeys(map(root_of, buffers)):
            if root in self.right and side not in self.right[root]:
                assert op.parent is not None
                op.parent.insert_op_before(Transfer(root, side), op)
                self.right[root] |= {side}

    def finish(self, block: Block, buffers: Iterable[SSAValue]) -> None:
        """Bring buffers to the device at the end of a block."""
        for root in buffers:
            if root in self.right and DEVICE not in self.right[root]:
                block.add_op(Transfer(root, DEVICE))
                self.right[root] |= {DEVICE}

    def branch(self, op: If) -> None:
        changed = outer([region.block for region in op.regions], writes=True)
        before = dict(self.right)
        for region in op.regions:
            self.right = dict(before)
            self.block(region.block)
            self.finish(region.block, changed)
        self.right = before | dict.fromkeys(changed, frozenset({DEVICE}))

    def loop(self, op: While) -> None:
        changed = outer([op.body.block], writes=True)
        self.need(op, [*changed, *([op.condition] if op.condition is not None else [])], DEVICE)
        for inner in host_ops(op.body.block):  # what stays the same is brought over once
            if isinstance(inner, Call | Copy | ReadSizes):
                self.need(op, [b for b in outer([op.body.block], of=inner) if b not in changed], side_of(inner))
        self.right |= dict.fromkeys(changed, frozenset({DEVICE}))
        before = dict(self.right)
        self.block(op.body.block)
        self.finish(op.body.block, changed)
        self.right = before


def side_of(op: Operation) -> str:
    """Where an operation of a program works."""
    return HOST if isinstance(op, Call) and op.on_host else DEVICE


def outer(blocks: Iterable[Block], *, writes: bool = False, of: Operation | None = None) -> list[SSAValue]:
    """The buffers from outside of blocks that operations in them use, or only those that they write; or one of them."""
    inside = [op for block in blocks for op in host_ops(block)]
    own = {result for op in inside for result in op.results}
    used = [b for op in ([of] if of else inside) for b in (written(op) if writes else op.operands)]
    return [root for root in dict.fromkeys(map(root_of, used)) if root not in own]
