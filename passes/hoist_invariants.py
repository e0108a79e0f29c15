"""Take out of loops of the host program what is the same in every iteration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from ..dialects.loop import Alloc, Call, Constant, Copy, Program, root_of
from ..dialects.loop.host import While, defined_symbols, host_ops
from ..ir.passes import Pass
from ..ir.types import BufferType


@dataclass(frozen=True)
class HoistInvariants(Pass):
    """Run a kernel in front of the loop around it, once, where it reads nothing that the loop writes: a product of
    two weights, or the packing of one.

    It comes behind fusion, so that what is cheap is in the kernels already that use it, and nothing is computed to
    memory that was not before. Its result gets memory of its own for as long as the loop runs.
    """

    name = "hoist-invariants"

    def run(self, module: ModuleOp) -> bool:
        programs = [op for op in module.body.ops if isinstance(op, Program)]
        loops = [op for program in programs for op in host_ops(program.body.block) if isinstance(op, While)]
        return sum(hoist(loop) for loop in reversed(loops)) > 0  # inner ones first


def hoist(loop: While) -> int:
    """How many operations were moved in front of the loop."""
    inside = list(host_ops(loop.body.block))
    own = {loop.iteration.data, *(name for op in inside for name in defined_symbols(op))}
    own |= {op.iteration.data for op in inside if isinstance(op, While)}
    here = set(inside)
    writes = Counter(root_of(buffer) for op in inside for buffer in written(op))

    def stays(buffer: SSAValue) -> bool:
        return buffer.owner not in here and not writes[root_of(buffer)]

    def is_private(buffer: SSAValue) -> bool:
        alloc = buffer.owner
        return isinstance(alloc, Alloc) and alloc.parent is loop.body.block and writes[buffer] == 1

    moved = 0
    for op in list(loop.body.block.ops):
        made: list[Operation] = []
        if isinstance(op, Constant):
            made = [op]
        elif isinstance(op, Call) and not symbols(op) & own:
            results = written(op)
            read = list(op.buffers)[: len(op.buffers) - len(results)]
            if all(map(stays, read)) and all(map(is_private, results)):
                made = [*(buffer.owner for buffer in results if isinstance(buffer.owner, Alloc)), op]
                writes.subtract(results)
        for each in made:
            each.detach()
            assert loop.parent is not None
            loop.parent.insert_op_before(each, loop)
        here.difference_update(made)
        moved += len(made)
    return moved


def written(op: Operation) -> list[SSAValue]:
    """The buffers that an operation of a host program writes itself."""
    match op:
        case Call():
            return list(op.buffers)[len(op.buffers) - op.find().outputs.data :]
        case Copy():
            return [op.target]
        case _:
            return []


def symbols(call: Call) -> set[str]:
    """The size symbols of a call and its buffers."""
    types: Iterable[BufferType] = (b.type for b in call.buffers if isinstance(b.type, BufferType))
    return {s for e in call.sizes for s in e.data.symbols}.union(*(t.symbols | t.offset.symbols for t in types))
