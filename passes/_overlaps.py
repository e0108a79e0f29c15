"""Which outputs of a program may lie in the memory of which inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.ir import Operation, SSAValue

from ..dialects.loop import Call, Copy, Kernel, Program, View, While, root_of
from ..ir.types import BufferType
from .plan_memory import unharmed


def in_place(program: Program, kernels: Mapping[str, Kernel]) -> tuple[tuple[int, ...], ...]:
    """For each output the positions of the inputs that it may be the very memory of: that nothing reads any more once
    the output is written, of as many bytes. An output whose size comes from data is none, the run allocates it."""
    return _Overlaps(program, kernels).found()


class _Overlaps:
    def __init__(self, program: Program, kernels: Mapping[str, Kernel]) -> None:
        self.program, self.kernels = program, kernels
        self.reads: dict[SSAValue, list[Operation]] = {arg: [] for arg in program.args}
        self.writes: dict[SSAValue, list[Operation]] = {arg: [] for arg in program.args}
        self.position: dict[Operation, int] = {}
        self.known: dict[tuple[SSAValue, SSAValue], bool] = {}  # calls share kernels
        for i, op in enumerate(program.ops):
            self.position[op] = i
            if isinstance(op, View):
                continue
            last = len(op.operands)
            if isinstance(op, Call):
                last -= kernels[op.callee].outputs.data
            elif isinstance(op, Copy):
                last = 1
            for k, value in enumerate(op.operands):
                if (root := root_of(value)) in self.reads:
                    (self.reads if k < last else self.writes)[root].append(op)
        self.path = {op: self._path(op) for ops in (*self.reads.values(), *self.writes.values()) for op in ops}

    def found(self) -> tuple[tuple[int, ...], ...]:
        inputs, late = self.program.inputs, self.program.late

        def fits(source: SSAValue, target: SSAValue) -> bool:
            return _type(source).bytes == _type(target).bytes and self.safe(source, target)

        return tuple(
            () if _type(out).symbols & late else tuple(i for i, arg in enumerate(inputs) if fits(arg, out))
            for out in self.program.written
        )

    def safe(self, source: SSAValue, target: SSAValue) -> bool:
        """Whether results are the same where the input and the output are the same memory."""
        if self.writes[source]:
            return False

        def same(op: Operation) -> bool:  # a copy of the memory to itself, which changes nothing
            return isinstance(op, Copy) and op.source is source and op.target is target

        writes = [op for op in self.writes[target] if not same(op)]
        return all(self._first(r, w, source, target) for r in self.reads[source] for w in writes)

    def _first(self, read: Operation, write: Operation, source: SSAValue, target: SSAValue) -> bool:
        """Whether the read never sees what the write has written."""
        for a, b in zip(self.path[read], self.path[write], strict=False):
            if a is b:
                if isinstance(a, While):
                    return False  # it comes round to the read again
            elif a.parent is not b.parent:
                return True  # two branches, one of which runs
            else:
                return self.position[a] < self.position[b]
        if read is not write:
            return len(self.path[read]) < len(self.path[write])  # a branch reads its condition first
        return isinstance(read, Call) and self._elementwise(read, source, target)

    def _elementwise(self, call: Call, source: SSAValue, target: SSAValue) -> bool:
        """Whether a kernel reads each element before it writes there."""
        if source.type != target.type:
            return False
        kernel = self.kernels[call.callee]
        start = len(call.buffers) - kernel.outputs.data
        for k, (value, arg) in enumerate(zip(call.buffers, kernel.args, strict=True)):
            if k >= start or root_of(value) is not source:
                continue
            for other, out in zip(call.buffers[start:], kernel.written, strict=True):
                if root_of(other) is not target:
                    continue
                if value is not source or other is not target or not self._unharmed(kernel, arg, out):
                    return False
        return True

    def _unharmed(self, kernel: Kernel, arg: SSAValue, out: SSAValue) -> bool:
        if (arg, out) not in self.known:
            self.known[arg, out] = unharmed(kernel, arg, out)
        return self.known[arg, out]

    def _path(self, op: Operation) -> Sequence[Operation]:
        """The operation and those that it is part of, the outermost first."""
        found = [op]
        while (parent := found[0].parent_op()) is not None and parent is not self.program:
            found.insert(0, parent)
        return found


def _type(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type
