"""Run kernels that work on the same rows together, row by row: what one writes the next reads from the cache.

    for i {A[i]};  for i {B[i]}   →   for i {A[i]; B[i]}

A is a softmax's maximum and B its exponentials, say. Known as loop fusion of producer and consumer, or as computing the
producer at the consumer's loop (Ragan-Kelley et al., Halide, 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr
from xdsl.ir import Block, Operation, Region, SSAValue

from ..dialects.loop import Alloc, Call, Constant, For, Kernel, Program, root_of
from ..dialects.loop.host import defined_symbols
from ..dialects.loop.instruction import invoked
from ..dialects.loop.ops import loops_around
from ..dialects.loop.program import kernel_block
from ..dialects.loop.sharing import is_shared
from ..errors import ScheduleError
from ..ir.expr import Expr
from ..ir.nodes import merged, nodes_of, set_nodes
from ..ir.operands import copied, walk
from ..ir.passes import Pass
from ..ir.target import Target
from ..ir.types import BufferType, ExprAttr
from ..schedules.analysis import accesses, stores_conflict
from ..schedules.rewrite import before, erase, move_body
from ..schedules.stage import move_inside
from .hoist_invariants import symbols
from .tensor_to_loop import kernel_name

ROWS = "rows"  # the strategy of kernels that are made here
ROWS_AT_ONCE = 4  # iterations of each part that run one behind the other where they are short
SHORT = 512  # elements that an iteration touches
LONG = 1 << 13  # times that an iteration does something
LONGEST = 800  # operations of a kernel that is made here: each that joins it is copied once more
FITS = 4  # the part of the L2 cache that rows between two kernels may fill: one in so many


@dataclass(frozen=True)
class FuseRows(Pass):
    """A kernel joins the one that computes what it reads, where both are one parallel loop with equal bounds around all
    that they do, and an iteration of the second reads nothing of the first but what the same iteration wrote; loops
    inside that are alike too are joined as well. A kernel that threads share well joins none where that would leave but
    one thread with its work. What nothing else reads becomes a buffer of one iteration; one of more than `most` bytes,
    a part of the target's L2 cache where that is 0, keeps the kernels apart. The schedules have been applied: each part
    keeps its own, so every value is computed as before, bit for bit."""

    name = "fuse-rows"
    most: int = 0

    def run(self, module: ModuleOp) -> bool:
        fusion = _Fusion(module, self.most or Target.of(module).l2 // FITS)
        for program in [op for op in module.body.ops if isinstance(op, Program)]:
            for block in [b for op in (program, *walk(program)) for r in op.regions for b in r.blocks]:
                fusion.block(block)
        return fusion.finish()


class Binding(NamedTuple):
    """How two calls use buffers: for each operand of both the number of its buffer, and what the buffers are."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    roles: tuple[str, ...]  # by number: in, out, or flow: what nobody but the second call reads


class Joined(NamedTuple):
    """A kernel in the place of two; the numbers of the buffers that it takes."""

    kernel: Kernel
    buffers: tuple[int, ...]


@dataclass
class _Fusion:
    """The fusion of all calls of a module; calls alike share a kernel."""

    module: ModuleOp
    limit: int
    known: dict[tuple[str, str, Binding], Joined | None] = field(
        default_factory=dict[tuple[str, str, Binding], "Joined | None"]
    )

    def __post_init__(self) -> None:
        self.kernels = {op.sym_name.data: op for op in self.module.body.ops if isinstance(op, Kernel)}
        self.new: dict[str, Kernel] = {}
        self.left: set[str] = set()  # kernels that a call is gone of
        self.lengths: dict[Kernel, int] = {}
        self.order: dict[Call, int] = {}  # of the calls of a block
        self.touched: dict[Operation, tuple[set[SSAValue], set[SSAValue]]] = {}  # by its operations, see `touches`

    def block(self, block: Block) -> None:
        """Let each call join those before it that compute what it reads, the last one first, until none can."""
        calls = [op for op in block.ops if isinstance(op, Call)]
        self.order = {call: i for i, call in enumerate(calls)}
        self.touched.clear()
        for call in calls:
            for producer in self.producers(call):
                if (new := self.fuse(producer, call)) is not None:
                    self.order[new] = self.order[producer]
                    call = new

    def producers(self, call: Call) -> list[Call]:
        """The calls in the same block that write what a call reads, the nearest first."""
        found: dict[Call, None] = {}
        for buffer in self.split(call)[0]:
            users = [op for op in (use.operation for use in buffer.uses) if isinstance(op, Call) and op in self.order]
            before = [op for op in users if self.order[op] < self.order[call]]
            found.update((op, None) for op in before if buffer in self.split(op)[1])
        return sorted(found, key=self.order.__getitem__, reverse=True)

    def split(self, call: Call) -> tuple[Sequence[SSAValue], Sequence[SSAValue]]:
        """The buffers that a call reads, and those that it writes."""
        count = len(call.buffers) - self.kernels[call.callee].outputs.data
        return call.buffers[:count], call.buffers[count:]

    def length(self, kernel: Kernel) -> int:
        """The number of a kernel's operations."""
        if (found := self.lengths.get(kernel)) is None:
            found = self.lengths[kernel] = sum(1 for _ in walk(kernel))
        return found

    def touches(self, op: Operation) -> tuple[set[SSAValue], set[SSAValue]]:
        """The buffers that an operation uses, and those that it may change, each by what it is a view of."""
        if (found := self.touched.get(op)) is None:
            used = {root_of(v) for o in walk(op) for v in o.operands if isinstance(v.type, BufferType)}
            changed = {root_of(v) for v in self.split(op)[1]} if isinstance(op, Call) else used
            found = self.touched[op] = used, changed
        return found

    def fuse(self, first: Call, second: Call) -> Call | None:
        """One call in the place of two, None where that cannot be."""
        one, two = self.kernels[first.callee], self.kernels[second.callee]
        a, b = top_loop(one), top_loop(two)
        if a is None or b is None or not alike(a, b, top=True) or not self.may_meet(first, second):
            return None
        if self.length(one) + self.length(two) > LONGEST or invoked(one) or invoked(two):
            return None
        values = list(dict.fromkeys((*first.buffers, *second.buffers)))
        key = (first.callee, second.callee, self.binding(first, second, values))
        if key not in self.known:
            found = self.known[key] = joined(one, two, key[2], self.limit)
            if found is not None:
                self.add(found.kernel)
        if (found := self.known[key]) is None:
            return None
        kernel, block = found.kernel, first.parent
        assert block is not None
        sizes = [Expr.symbol(s) for s in kernel.sizes]
        call = Call(kernel.sym_name.data, [values[n] for n in found.buffers], sizes, merged(first, second))
        between = set(ops_between(first, second))
        for op in [v.owner for v in second.buffers]:
            if isinstance(op, Alloc | Constant) and op in between:
                op.detach()
                block.insert_op_before(op, first)
        block.insert_op_before(call, first)
        set_nodes(kernel, merged(kernel, call))
        self.left |= {first.callee, second.callee}
        for op in (first, second):
            erase(op)
        for n, value in enumerate(values):
            if n not in found.buffers:
                assert isinstance(value.owner, Alloc)
                erase(value.owner)
        return call

    def may_meet(self, first: Call, second: Call) -> bool:
        """Whether the second call may run right behind the first one."""
        for call in (first, second):
            if any(e != Expr.symbol(s) for s, e in call.bound(self.kernels[call.callee]).items()):
                return False
        values = {*first.buffers, *second.buffers}
        reads, writes = self.split(second)
        if len({root_of(v) for v in values}) != len(values) or not {*writes}.isdisjoint(first.buffers):
            return False
        read, written = {root_of(v) for v in reads}, {root_of(v) for v in writes}
        needed = symbols(second)
        op = first.next_op
        while op is not second:
            assert op is not None
            if type(op) is not Alloc and type(op) is not Constant:
                used, changed = self.touched.get(op) or self.touches(op)
                if not used.isdisjoint(written) or not changed.isdisjoint(read) or not values.isdisjoint(op.results):
                    return False
                if needed and not needed.isdisjoint(defined_symbols(op)):  # a size of the second is not known before
                    return False
            op = op.next_op
        return True

    def binding(self, first: Call, second: Call, values: Sequence[SSAValue]) -> Binding:
        number = {v: i for i, v in enumerate(values)}
        written = {*self.split(first)[1], *self.split(second)[1]}
        read = {*self.split(second)[0]}

        def role(value: SSAValue) -> str:
            flows = value in written and value in read and isinstance(value.owner, Alloc)
            if flows and all(use.operation in (first, second) for use in value.uses):
                return "flow"
            return "out" if value in written else "in"

        one, two = (tuple(number[v] for v in call.buffers) for call in (first, second))
        return Binding(one, two, tuple(map(role, values)))

    def add(self, kernel: Kernel) -> None:
        """Put a new kernel before the program, by a name that is free."""
        name = base = kernel_name(nodes_of(kernel), "rows")
        count = 1
        while name in self.kernels:
            count += 1
            name = f"{base}_{count}"
        kernel.properties["sym_name"] = StringAttr(name)
        program = next(op for op in self.module.body.ops if isinstance(op, Program))
        self.module.body.block.insert_op_before(kernel, program)
        self.kernels[name] = self.new[name] = kernel

    def finish(self) -> bool:
        """Take out what is not called any more, and name the kernels by what is free now. True if any were joined."""
        called = {op.callee for op in walk(self.module) if isinstance(op, Call)}
        for name in (self.left | self.new.keys()) - called:
            erase(self.kernels.pop(name))
            self.new.pop(name, None)
        names: dict[str, str] = {}
        for old, kernel in list(self.new.items()):
            self.kernels.pop(old)
            kernel.detach()
            self.add(kernel)
            names[old] = kernel.sym_name.data
        for op in walk(self.module):
            if isinstance(op, Call) and op.callee in names:
                op.properties["kernel"] = SymbolRefAttr(names[op.callee])
        return bool(self.left)


def ops_between(first: Operation, second: Operation) -> Iterator[Operation]:
    """The operations of a block behind one of its operations and before another."""
    op = first.next_op
    while op is not None and op is not second:
        yield op
        op = op.next_op


# ---- kernels


def top_loop(kernel: Kernel) -> For | None:
    """The loop that is all of a kernel, where it is one that runs in any order."""
    found = sole(kernel.body.block)
    return found if found is not None and found.is_parallel and kernel.schedule is None else None


def alike(a: For, b: For, *, top: bool = False) -> bool:
    """Whether iterations of two parallel loops are the same, or several ones of one loop are one of the other, and may
    become one; `top`: one may be concurrent."""
    runs = {"serial", "concurrent"} if top else {"serial"}
    same = a.map == b.map and list(a.indices) == list(b.indices)
    steps = {a.stride, b.stride}
    whole = len(steps) == 1 or (1 in steps and (a.upper - a.lower) % max(steps) == 0)
    return same and whole and all(x.is_parallel and x.run.data in runs for x in (a, b))


def joined(one: Kernel, two: Kernel, binding: Binding, limit: int) -> Joined | None:
    """A kernel that does what both do, iteration by iteration, with at most `limit` bytes of its own; None where their
    iterations cannot meet, or have more between them than fits."""
    args: dict[int, SSAValue] = {}
    for numbers, source in ((binding.first, one), (binding.second, two)):
        for n, arg in zip(numbers, source.args, strict=True):
            if args.setdefault(n, arg).type != arg.type:
                return None
    order = sorted(args, key=lambda n: (binding.roles[n] != "in", n))
    reads = sum(role == "in" for role in binding.roles)
    block = kernel_block([a.type for n in order if isinstance((a := args[n]).type, BufferType)], [""] * len(order))
    place = dict(zip(order, block.args, strict=True))
    for numbers, source in ((binding.first, one), (binding.second, two)):
        env: dict[SSAValue, SSAValue] = {a: place[n] for n, a in zip(numbers, source.args, strict=True)}
        block.add_ops([copied(op, env) for op in source.body.block.ops])
    first, second = block.ops
    assert isinstance(first, For) and isinstance(second, For)
    shared = any(is_shared(x) and is_long(x) for x in (first, second))
    if (loop := meet(first, second)) is None:
        return None
    top = block.first_op
    if shared and isinstance(top, For) and not is_shared(top):
        return None
    for n in [n for n in order if binding.roles[n] == "flow"]:
        buffer = place[n]
        count = sum(isinstance(op, Alloc) and op.label.data.startswith("row") for op in walk(loop))
        try:
            limit -= move_inside(loop, buffer, f"row{count}", limit)
        except ScheduleError:
            if not one_row(loop, buffer):
                return None
        else:
            block.erase_arg(block.args[list(block.args).index(buffer)])  # pyright: ignore[reportArgumentType]
            order.remove(n)
    names = [f"in{i}" if i < reads else f"out{i - reads}" for i in range(len(order))]
    for arg, name in zip(block.args, names, strict=True):
        arg.name_hint = name
    applied = "\n".join(map(history, (one, two)))
    kernel = Kernel(
        "rows", names, len(order) - reads, Region(block), strategy=ROWS, applied=applied, nodes=merged(one, two)
    )
    for name in ("flops", "nominal"):
        work = [a for k in (one, two) if isinstance(a := k.attributes.get(name, k.attributes.get("flops")), ExprAttr)]
        if any(name in k.attributes for k in (one, two)):
            kernel.attributes[name] = ExprAttr(sum((a.data for a in work), Expr.const(0)))
    return Joined(kernel, tuple(order))


def history(kernel: Kernel) -> str:
    """The schedules of a kernel's parts, each below a comment that says whose it is."""
    text = kernel.applied.data if kernel.applied is not None else ""
    strategy = kernel.strategy.data if kernel.strategy is not None else "as it was"
    return text if strategy == ROWS else f"# {strategy}\n{text}".rstrip()


def meet(a: For, b: For) -> For | None:
    """Let two loops, neighbours and alike, become one, and so on with the loops that are all of their bodies; the
    innermost one that they have in common. None where an iteration would meet what another one of the other writes."""
    x, y = sole(a.body.block), sole(b.body.block)
    rows = max(a.stride, b.stride)
    apart = a.stride != b.stride  # one gets a loop over its rows, with what is below in it
    inner = (x, y) if not apart and x is not None and y is not None and alike(x, y) else None
    if rows == 1 and inner is None and (a.upper - a.lower) % ROWS_AT_ONCE == 0 and is_short(a) and is_short(b):
        rows = ROWS_AT_ONCE
    a, b = (loop if loop.stride == rows else by_rows(loop, rows) for loop in (a, b))
    if stores_conflict([a, b]) is not None:
        return None
    if b.run.data == "concurrent":
        a.properties["run"] = b.run
    move_body(b, a)
    erase(b)
    return a if inner is None else meet(*inner) or a


def is_long(loop: For) -> bool:
    """Whether an iteration has so much to do that threads should share it: it does not say whether there are others."""
    for op in accesses(loop):
        count: int = 1
        for inner in loops_around(op, loop):
            count *= inner.trip if inner.trip is not None else LONG
        if count >= LONG:
            return True
    return False


def is_short(loop: For) -> bool:
    """Whether an iteration touches few elements by each access: it waits for itself more than it computes then, and
    several of them, side by side in each part, have more to do meanwhile."""
    for op in accesses(loop):
        count = op.live
        for inner in loops_around(op, loop):
            count *= inner.trip if inner.trip is not None else SHORT + 1
        if count > SHORT:
            return False
    return True


def by_rows(loop: For, rows: int) -> For:
    """`for i {A[i]}` → `for i step rows {for r {A[i + r]}}`; the outer loop."""
    outer, inner = loop.like(step=rows), For((0, rows), f"{loop.tag}.row", "parallel")
    before(loop, [outer])
    outer.body.block.add_op(inner)
    move_body(loop, inner, Expr.dim(0) + Expr.dim(1), [outer.iv, inner.iv])
    erase(loop)
    return outer


def sole(block: Block) -> For | None:
    """The loop that is all of a block."""
    first = block.first_op
    return first if isinstance(first, For) and first is block.last_op else None


def one_row(loop: For, buffer: SSAValue) -> bool:
    """Whether an iteration goes through a buffer in one dimension at most."""
    inside = {x.iv for x in walk(loop) if isinstance(x, For)} - {loop.iv}
    moving = {
        d
        for op in accesses(loop, buffer)
        for d, (e, step) in enumerate(zip(op.exprs, op.steps, strict=True))
        if step or any(op.indices[i] in inside for i in e.dims)
    }
    return len(moving) <= 1
