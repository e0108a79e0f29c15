"""What kernels and copies take, by the figures of a target's description, and where they run for the least of all that.

A program on two machines, where what is on different ones has to be copied, is placed best by a minimum cut (Stone,
Multiprocessor Scheduling with the Aid of Network Flow Algorithms, 1977). An edge from what is on the device to what is
on the host is paid. A value that several kernels of the other side read is copied once: it has a node of its own in
front of them. The cut is found as a maximum flow (Dinic, 1970). All numbers are whole nanoseconds, so that it is exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from ..dialects.control import ReadSizes
from ..dialects.loop import Alloc, Call, Copy, If, Kernel, Program, Transfer, While, root_of
from ..ir.expr import Expr
from ..ir.target import Target
from ..ir.types import BufferType, ExprAttr
from ..passes.hoist_invariants import written
from ..passes.insert_transfers import outer

TYPICAL = 64  # a size of which nothing is known
TURNS = 8  # of a loop of the host program
NEVER = 1 << 60  # nanoseconds: where something cannot be
THERE = ""  # whoever is on the device anyway: inputs, outputs, what is not a kernel


@dataclass
class Value:
    """What a buffer holds between two kernels that write it, by the names of kernels. `copy`: nanoseconds to bring it
    to the other side."""

    copy: int
    writer: str
    readers: set[str] = field(default_factory=set[str])


@dataclass(frozen=True)
class Work:
    """Nanoseconds of all launches of a kernel on either side."""

    device: int
    host: int


@dataclass(frozen=True)
class Costs:
    """The costs of a module's program: of kernels by name, and of values."""

    works: Mapping[str, Work]
    values: Sequence[Value]

    def total(self, host: frozenset[str]) -> int:
        """Nanoseconds of a run where these kernels are on the host and the others on the device."""
        kernels = sum(work.host if name in host else work.device for name, work in self.works.items())
        copied = (v.copy for v in self.values if any((v.writer in host) != (name in host) for name in v.readers))
        return kernels + sum(copied)

    def best(self, pinned: Mapping[str, bool]) -> frozenset[str]:
        """The kernels on the host where a run takes the least; of several such places the one with the fewest there.
        `pinned`: which cannot be elsewhere, and whether they are on the host."""
        cut = _Cut()
        device, host = cut.node(), cut.node()
        nodes = {THERE: device} | {name: cut.node() for name in sorted(self.works)}
        for name, work in sorted(self.works.items()):
            cut.edge(device, nodes[name], work.host if pinned.get(name, True) else NEVER)
            cut.edge(nodes[name], host, work.device if not pinned.get(name, False) else NEVER)
        for value in self.values:
            writer, to_host, to_device = nodes[value.writer], cut.node(), cut.node()
            cut.edge(writer, to_host, value.copy)
            cut.edge(to_device, writer, value.copy)
            for reader in sorted(value.readers):
                cut.edge(to_host, nodes[reader], NEVER)
                cut.edge(nodes[reader], to_device, NEVER)
        there = cut.sink_side(device, host)
        return frozenset(name for name in self.works if nodes[name] in there)


def costs_of(module: ModuleOp, typical: Mapping[str, int]) -> Costs:
    """The costs of a module's programs. `typical`: sizes by symbol, where something is known of them."""
    return _Reader(module, typical).costs()


def copies_of(module: ModuleOp, typical: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """The copies in a module's programs: to which side, bytes, nanoseconds of each."""
    reader = _Reader(module, typical)
    found = [op for op in module.walk() if isinstance(op, Transfer)]
    sizes = [(op.to.data, reader.number(_type(op.buffer).bytes)) for op in found]
    return [(side, size, copy_time(reader.target, size)) for side, size in sizes]


def copy_time(target: Target, size: int) -> int:
    """Nanoseconds of a copy of so many bytes between host and device; a link of 0 stands for a memory of both."""
    return target.link_latency + size // target.link if target.link else 0


def microseconds(time: int) -> str:
    """Nanoseconds, to be read."""
    return f"{time / 1e3:.1f} us"


def kernel_time(target: Target, flops: int, size: int) -> Work:
    """Nanoseconds of a launch that computes `flops` operations and moves `size` bytes: what takes longer of both."""
    device = target.launch_latency + max(flops // max(target.gflops, 1), size // max(target.bandwidth, 1))
    host = target.host_latency + max(flops // max(target.host_gflops, 1), size // max(target.host_bandwidth, 1))
    return Work(device, host)


class _Reader:
    """Reads a program as `passes/insert_transfers.py` will."""

    def __init__(self, module: ModuleOp, typical: Mapping[str, int]) -> None:
        self.module, self.typical = module, typical
        self.target = Target.of(module)
        self.kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        self.works: dict[str, Work] = {}
        self.values: list[Value] = []
        self.now: dict[SSAValue, Value] = {}  # what buffers hold

    def costs(self) -> Costs:
        for program in [op for op in self.module.body.ops if isinstance(op, Program)]:
            self.now = {}
            for buffer in program.inputs:
                self.write(buffer, THERE, 1)
            self.block(program.body.block, 1)
            self.read(program.written, THERE)
        return Costs(self.works, self.values)

    def number(self, expr: Expr) -> int:
        return max(0, int(expr.evaluate(symbols={n: self.typical.get(n, TYPICAL) for n in expr.symbols})))

    def write(self, buffer: SSAValue, by: str, times: int) -> None:
        size = self.number(_type(root_of(buffer)).bytes)
        value = self.now[root_of(buffer)] = Value(times * copy_time(self.target, size), by)
        self.values.append(value)

    def read(self, buffers: Iterable[SSAValue], by: str) -> None:
        for buffer in buffers:
            if (value := self.now.get(root_of(buffer))) is not None:
                value.readers.add(by)

    def block(self, block: Block, times: int) -> None:
        for op in block.ops:
            match op:
                case Alloc():
                    self.now.pop(op.buffer, None)
                case If():
                    self.read([op.condition], THERE)
                    self.inner([region.block for region in op.regions], times, times)
                case While():
                    turns = TURNS if op.bound is None else min(max(1, self.number(op.bound.data)), TURNS)
                    changed = outer([op.body.block], writes=True)
                    self.read([*changed, *([op.condition] if op.condition is not None else [])], THERE)
                    for buffer in changed:
                        self.write(buffer, THERE, times * turns)
                    self.inner([op.body.block], times, times * turns)
                case Call() | Copy() | ReadSizes():
                    by = op.callee if isinstance(op, Call) else THERE
                    self.read(op.operands, by)
                    for buffer in written(op):
                        self.write(buffer, by, times)
                    if isinstance(op, Call):
                        self.called(op, times)
                case _:
                    pass

    def inner(self, blocks: Sequence[Block], times: int, inside: int) -> None:
        """Parts of a program, of which each ends with what it changed on the device."""
        changed, before = outer(blocks, writes=True), dict(self.now)
        for block in blocks:
            self.now = dict(before)
            self.block(block, inside)
            self.read(changed, THERE)
        self.now = before
        for buffer in changed:
            self.write(buffer, THERE, times)

    def called(self, call: Call, times: int) -> None:
        kernel = self.kernels[call.callee]
        flops = kernel.attributes.get("flops")
        count = flops.data.substitute(symbols=call.bound(kernel)) if isinstance(flops, ExprAttr) else Expr.const(0)
        once = kernel_time(self.target, self.number(count), sum(self.number(_type(b).bytes) for b in call.buffers))
        so_far = self.works.get(call.callee, Work(0, 0))
        self.works[call.callee] = Work(so_far.device + times * once.device, so_far.host + times * once.host)


def _type(buffer: SSAValue) -> BufferType:
    assert isinstance(buffer.type, BufferType)
    return buffer.type


class _Cut:
    """A network, and its minimum cut."""

    def __init__(self) -> None:
        self.edges: list[list[int]] = []  # numbers of the edges that leave a node; number ^ 1 is the way back
        self.to: list[int] = []
        self.room: list[int] = []

    def node(self) -> int:
        self.edges.append([])
        return len(self.edges) - 1

    def edge(self, start: int, end: int, capacity: int) -> None:
        if start == end or capacity == 0:
            return
        for a, b, room in ((start, end, capacity), (end, start, 0)):
            self.edges[a].append(len(self.to))
            self.to.append(b)
            self.room.append(room)

    def sink_side(self, source: int, sink: int) -> set[int]:
        """The nodes from which the sink can be reached when the flow is as large as it can be."""
        while (levels := self.levels(source, sink)) is not None:
            following = [0] * len(self.edges)  # of a node's edges, the one to try next
            while path := self.path(source, sink, levels, following):
                amount = min(self.room[e] for e in path)
                for e in path:
                    self.room[e] -= amount
                    self.room[e ^ 1] += amount
        found, waiting = {sink}, deque([sink])
        while waiting:
            for e in self.edges[waiting.popleft()]:
                if self.room[e ^ 1] and self.to[e] not in found:
                    found.add(self.to[e])
                    waiting.append(self.to[e])
        return found

    def levels(self, source: int, sink: int) -> list[int] | None:
        """Steps from the source, by edges with room; None where the sink is out of reach."""
        levels = [-1] * len(self.edges)
        levels[source] = 0
        waiting = deque([source])
        while waiting:
            node = waiting.popleft()
            for e in self.edges[node]:
                if self.room[e] and levels[self.to[e]] < 0:
                    levels[self.to[e]] = levels[node] + 1
                    waiting.append(self.to[e])
        return levels if levels[sink] >= 0 else None

    def path(self, source: int, sink: int, levels: list[int], following: list[int]) -> list[int]:
        """Edges with room to the sink, each to the next level; none where there is no such way left."""
        path: list[int] = []
        node = source
        while node != sink:
            while following[node] < len(self.edges[node]):
                e = self.edges[node][following[node]]
                if self.room[e] and levels[self.to[e]] == levels[node] + 1:
                    path.append(e)
                    node = self.to[e]
                    break
                following[node] += 1
            else:
                if not path:
                    return []
                node = self.to[path[-1] ^ 1]
                path.pop()
                following[node] += 1
        return path
