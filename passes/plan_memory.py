"""Give every buffer of the host program a place in one arena, with reuse and updates in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from ..dialects.loop import ARENA, Alloc, Call, For, Kernel, Load, Program, Store
from ..dialects.loop.ops import loops_around
from ..ir.expr import Expr, ceildiv
from ..ir.passes import Pass
from ..ir.types import BufferType, ExprAttr

ALIGNMENT = 64  # bytes: one cache line, one widest vector


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Assign byte offsets to `loop.alloc`s: two buffers share memory when they are not needed at the same time.

    A kernel that reads a buffer for the last time, and every element before its result has one there, writes its result
    there (`in-place=false` forbids it). Constant sizes are placed greedily, the largest first, each at the lowest
    offset that is free while it lives; symbolic ones share slots of a size that is provably enough.
    """

    name = "plan-memory"
    in_place: bool = True

    def run(self, module: ModuleOp) -> bool:
        programs = [op for op in module.body.ops if isinstance(op, Program)]
        return sum(self.plan(module, program) for program in programs) > 0

    def plan(self, module: ModuleOp, program: Program) -> bool:
        kernels = {op.sym_name.data: op for op in module.body.ops if isinstance(op, Kernel)}
        allocs = [op for op in program.body.block.ops if isinstance(op, Alloc)]
        if all(op.offset is not None for op in allocs) and (ARENA in program.attributes or not allocs):
            return False
        if self.in_place:
            update_in_place(program, kernels)
        place(program)
        return True


# ---- updates in place


def update_in_place(program: Program, kernels: dict[str, Kernel]) -> None:
    """Let calls write into an operand that dies there: `call @k(%a, %b)` → `call @k(%a, %a)`."""
    ops = list(program.body.block.ops)
    last_use = {v: i for i, op in enumerate(ops) for v in op.operands}
    first_use: dict[SSAValue, int] = {}
    for i, op in enumerate(ops):
        for v in op.operands:
            first_use.setdefault(v, i)
    owner: dict[SSAValue, Alloc] = {op.buffer: op for op in ops if isinstance(op, Alloc)}
    for i, op in enumerate(ops):
        if not isinstance(op, Call):
            continue
        kernel = kernels[op.callee]
        start = len(op.buffers) - kernel.outputs.data
        for target, out in zip(list(op.buffers)[start:], kernel.written, strict=True):
            if target not in owner or first_use[target] != i:
                continue
            for source, arg in zip(list(op.buffers)[:start], kernel.args, strict=False):
                reusable = source in owner and last_use[source] == i and source.type == target.type
                if reusable and list(op.buffers).count(source) == 1 and unharmed(kernel, arg, out):
                    last_use[source] = last_use.pop(target)
                    alloc = owner.pop(target)
                    target.replace_all_uses_with(source)
                    alloc.detach()
                    alloc.erase()
                    break


def unharmed(kernel: Kernel, source: SSAValue, target: SSAValue) -> bool:
    """Whether no element of `source` is read after the same element of `target` may have been written; False where that
    cannot be shown."""
    accesses = [op for op in kernel.walk() if isinstance(op, Load | Store)]
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


def place(program: Program) -> None:
    """Set the offset of every alloc."""
    ops = list(program.body.block.ops)
    life: dict[Alloc, tuple[int, int]] = {}
    owner: dict[SSAValue, Alloc] = {op.buffer: op for op in ops if isinstance(op, Alloc)}
    for i, op in enumerate(ops):
        for v in op.operands:
            if (alloc := owner.get(v)) is not None:
                life[alloc] = (life.get(alloc, (i, i))[0], i)
    static = {a: _size(a.type) for a in life if a.type.bytes.constant is not None}
    end = _place_static({a: s.constant or 0 for a, s in static.items()}, life)
    total = _place_symbolic({a: _size(a.type) for a in life if a not in static}, life, end)
    program.attributes[ARENA] = ExprAttr(total)
    for op in owner.values():
        if op not in life:  # never used
            op.properties["offset"] = ExprAttr(Expr.const(0))


def _size(type_: BufferType) -> Expr:
    return ceildiv(type_.bytes, ALIGNMENT) * ALIGNMENT


def _place_static(sizes: dict[Alloc, int], life: dict[Alloc, tuple[int, int]]) -> int:
    """Greedy by size: the largest first, each at the lowest free offset. Returns the bytes used."""
    placed: list[tuple[int, int, Alloc]] = []
    for alloc in sorted(sizes, key=lambda a: (-sizes[a], life[a])):
        first, last = life[alloc]
        offset = 0
        for start, stop, other in sorted(placed, key=lambda p: p[:2]):
            if life[other][0] > last or life[other][1] < first:
                continue
            if start - offset >= sizes[alloc]:
                break
            offset = max(offset, stop)
        placed.append((offset, offset + sizes[alloc], alloc))
        alloc.properties["offset"] = ExprAttr(Expr.const(offset))
    return max((stop for _, stop, _ in placed), default=0)


def _place_symbolic(sizes: dict[Alloc, Expr], life: dict[Alloc, tuple[int, int]], start: int) -> Expr:
    """In program order, each into a free slot that is provably large enough (an exact one first), or a new one.

    Returns the bytes used."""
    slots: list[tuple[Expr, int]] = []  # size, and when it is free again
    chosen: dict[Alloc, int] = {}
    for alloc in sorted(sizes, key=lambda a: life[a]):
        first, last = life[alloc]
        fits = [i for i, (size, busy) in enumerate(slots) if busy < first and (size - sizes[alloc]).nonnegative()]
        exact = [i for i in fits if slots[i][0] == sizes[alloc]]
        if fits:
            index = (exact or fits)[0]
            slots[index] = (slots[index][0], last)
        else:
            index = len(slots)
            slots.append((sizes[alloc], last))
        chosen[alloc] = index
    offsets = [Expr.const(start)]
    for size, _ in slots:
        offsets.append(offsets[-1] + size)
    for alloc, index in chosen.items():
        alloc.properties["offset"] = ExprAttr(offsets[index])
    return offsets[-1]
