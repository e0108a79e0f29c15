"""Give every buffer of the host program a place in one arena, with reuse and updates in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import IntAttr, ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.loop import ARENA, Alloc, Call, For, Kernel, Load, Program, Store, root_of
from ..dialects.loop.host import host_ops
from ..dialects.loop.instruction import invoked
from ..dialects.loop.ops import loops_around
from ..ir.expr import Expr
from ..ir.operands import walk
from ..ir.passes import Pass
from ..ir.types import ExprAttr
from ._placement import placed


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Assign byte offsets to `loop.alloc`s: two buffers share memory when they are not needed at the same time.

    A kernel that reads a buffer for the last time, and every element before its result has one there, writes its result
    there (`in-place=false` forbids it). Offsets are numbers where all sizes are; else expressions, such that buffers
    never overlap whatever the sizes are, and little is lost between them (`_placement.py`). Buffers whose sizes come
    from data get a slot: memory that grows while the program runs, and stays for the next run.
    """

    name = "plan-memory"
    in_place: bool = True

    def run(self, module: ModuleOp) -> bool:
        programs = [op for op in module.body.ops if isinstance(op, Program)]
        return sum(self.plan(module, program) for program in programs) > 0

    def plan(self, module: ModuleOp, program: Program) -> bool:
        kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        if is_placed(program):
            return False
        if self.in_place:
            update_in_place(program, kernels)
        place(program)
        return True


def is_placed(program: Program) -> bool:
    """Whether every buffer of the program has its place."""
    allocs = [op for op in program.ops if isinstance(op, Alloc)]
    return all(op.offset is not None or op.slot is not None for op in allocs) and (
        ARENA in program.attributes or not allocs
    )


# ---- updates in place


class Lives:
    """When the program needs its buffers: `of[buffer]` is the first and last position of operations that use it.

    What is used in a part of the program that its buffer stands outside of is used by all of that part: a loop comes
    by again. Views count as uses of their buffer."""

    def __init__(self, program: Program) -> None:
        self.ops = list(program.ops)
        self.position = {op: i for i, op in enumerate(self.ops)}
        self.of: dict[SSAValue, tuple[int, int]] = {}
        for op in self.ops:
            for value in op.operands:
                root = root_of(value)
                first, last = self._span(op, root.owner.parent if isinstance(root.owner, Alloc) else program.body.block)
                known = self.of.get(root, (first, last))
                self.of[root] = min(first, known[0]), max(last, known[1])

    def _span(self, op: Operation, block: Block | None) -> tuple[int, int]:
        """First and last position of the operation in `block` that is `op`, or that it is part of."""
        while op.parent is not block:
            parent = op.parent_op()
            assert parent is not None
            op = parent
        inner = [o for region in op.regions for b in region.blocks for o in host_ops(b)]
        return self.position[op], self.position[op] + len(inner)


def update_in_place(program: Program, kernels: dict[str, Kernel]) -> None:
    """Let calls write into an operand that dies there: `call @k(%a, %b)` → `call @k(%a, %a)`."""
    lives = Lives(program)
    owner: dict[SSAValue, Alloc] = {op.buffer: op for op in lives.ops if isinstance(op, Alloc)}
    known: dict[tuple[SSAValue, SSAValue], bool] = {}  # calls share kernels

    def harmless(kernel: Kernel, arg: SSAValue, out: SSAValue) -> bool:
        if (arg, out) not in known:
            known[arg, out] = unharmed(kernel, arg, out)
        return known[arg, out]

    for i, op in enumerate(lives.ops):
        if not isinstance(op, Call):
            continue
        kernel = kernels[op.callee]
        start = len(op.buffers) - kernel.outputs.data
        for target, out in zip(list(op.buffers)[start:], kernel.written, strict=True):
            if target not in owner or lives.of[target][0] != i or owner[target].parent is not op.parent:
                continue
            for source, arg in zip(list(op.buffers)[:start], kernel.args, strict=False):
                reusable = source in owner and lives.of[source][1] == i and source.type == target.type
                reusable = reusable and owner[source].parent is op.parent
                once = [root_of(b) for b in op.buffers].count(source) == 1
                if reusable and once and harmless(kernel, arg, out):
                    lives.of[source] = (lives.of[source][0], lives.of.pop(target)[1])
                    alloc = owner.pop(target)
                    target.replace_all_uses_with(source)
                    alloc.detach()
                    alloc.erase()
                    break


def unharmed(kernel: Kernel, source: SSAValue, target: SSAValue) -> bool:
    """Whether no element of `source` is read after the same element of `target` may have been written; False where that
    cannot be shown."""
    if invoked(kernel, source) or invoked(kernel, target):
        return False
    accesses = [op for op in walk(kernel) if isinstance(op, Load | Store)]
    loads = [op for op in accesses if isinstance(op, Load) and op.buf is source]
    stores = [op for op in accesses if isinstance(op, Store) and op.buf is target]
    if any(isinstance(op, Store) and op.buf is source for op in accesses):
        return False
    order = {op: i for i, op in enumerate(accesses)}
    return all(_read_first(load, store, order[load] < order[store]) for load in loads for store in stores)


def _read_first(load: Load, store: Store, before: bool) -> bool:
    """Whether the load never reads what the store has written; `before`: it stands in front of it."""
    shared = [x for x, y in zip(loops_around(load), loops_around(store), strict=False) if x is y]
    if not before and not _apart(load, store, shared, None):
        return False
    for loop in shared:
        if loop.trip is not None and loop.trip < 2:
            continue
        if not _apart(store, load, shared, loop) or (loop.is_parallel and not _apart(load, store, shared, loop)):
            return False
    return True


def _apart(a: Load | Store, b: Load | Store, shared: Sequence[For], later: For | None) -> bool:
    """Whether two accesses touch different elements in the same iteration of the `shared` loops; or, where `later` is
    one of them, with the same iteration of those around it, and b in a later one of it than a."""
    split = len(shared) if later is None else shared.index(later)
    common = {loop.iv for loop in shared[:split]}
    numbers: dict[tuple[SSAValue, bool], int] = {}
    ranges: dict[int, tuple[Expr, Expr]] = {}

    def number(value: SSAValue, second: bool) -> int:
        return numbers.setdefault((value, second and value not in common), len(numbers))

    def over(exprs: Iterable[Expr], operands: Iterable[SSAValue], second: bool) -> list[Expr]:
        dims = {i: Expr.dim(number(v, second)) for i, v in enumerate(operands)}
        return [e.substitute(dims) for e in exprs]

    for op, second in ((a, False), (b, True)):
        for loop in loops_around(op):
            low, high = over(loop.exprs, loop.indices, second)
            if loop is later and second:
                low = Expr.dim(number(loop.iv, False)) + loop.stride
            ranges[number(loop.iv, second)] = (low, high - 1)
    first, other = over(a.exprs, a.indices, False), over(b.exprs, b.indices, True)
    for x, y, s, t in zip(first, other, a.steps, b.steps, strict=True):
        far, reach = s * (a.live - 1), t * (b.live - 1)
        ahead = y + min(reach, 0) - x - max(far, 0) - 1
        behind = x + min(far, 0) - y - max(reach, 0) - 1
        if ahead.nonnegative(ranges) or behind.nonnegative(ranges):
            return True
    return False


# ---- placement


def place(program: Program, reuse: bool = True) -> None:
    """Set the offset of every alloc; without `reuse` no two share memory."""
    lives = Lives(program)
    if not reuse:
        lives.of = dict.fromkeys(lives.of, (0, len(lives.ops)))
    owner: dict[SSAValue, Alloc] = {op.buffer: op for op in lives.ops if isinstance(op, Alloc)}
    late = program.late
    life = {op: lives.of[buffer] for buffer, op in owner.items() if buffer in lives.of}
    # the memory of a slot is had where the alloc stands, not where the buffer is used first
    growing = {
        op: (lives.position[op] if reuse else 0, last)
        for op, (_, last) in life.items()
        if op.type.offset.symbols & late or op.type.symbols & late
    }
    _place_growing(growing)
    life = {op: span for op, span in life.items() if op not in growing}
    offsets, total = placed([op.type.bytes for op in life], list(life.values()))
    for op, offset in zip(life, offsets, strict=True):
        op.properties["offset"] = ExprAttr(offset)
    program.attributes[ARENA] = ExprAttr(total)
    for op in owner.values():
        if op.buffer not in lives.of:  # never used
            op.properties["offset"] = ExprAttr(Expr.const(0))


def _place_growing(life: dict[Alloc, tuple[int, int]]) -> None:
    """Slots, in the order in which the buffers are needed; one that is free again is taken again."""
    busy: list[int] = []  # until when, by slot
    for alloc in sorted(life, key=lambda a: life[a]):
        first, last = life[alloc]
        slot = next((i for i, until in enumerate(busy) if until < first), len(busy))
        busy[slot : slot + 1] = [last]
        alloc.properties["slot"] = IntAttr(slot)
