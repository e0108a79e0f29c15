"""Let kernels write their results where these would be copied to: into paddings and concatenations.

    call @conv(%x, %y);  call @pad(%y, %z)   →   call @conv(%x, %z);  call @border(%z)

Known as elimination of empty tensors (MLIR's one-shot bufferization), or as concatenation in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xdsl.dialects import arith
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import Rewriter

from ..dialects.loop import Alloc, Call, For, Kernel, Load, Program, Store
from ..dialects.loop.ops import loops_around
from ..dialects.loop.program import kernel_block
from ..ir.expr import ZERO, Expr, Range, product
from ..ir.indexed import Indexed
from ..ir.nodes import nodes_of
from ..ir.operands import copied, walk
from ..ir.passes import Pass
from ..ir.types import BufferType, ExprAttr
from ..schedules.nest import chain
from ..schedules.rewrite import erase
from ._computes import within
from ._kernels import KernelTable

Box = tuple[tuple[Expr, Expr], ...]  # part of a buffer: per dim the first index, and how many


@dataclass(frozen=True)
class ElideCopies(Pass):
    """Where a kernel does nothing but put buffers side by side into a larger one, or one between constants, those who
    write and read such a part do so in the larger buffer, and what is left to do is the rest of it: the border of a
    padding, the parts that are inputs or constants.

    A part stays a copy where it is no buffer of the program's own (or one of a loop around), where it is written later
    again, or where a kernel asks for it with `else` or `skip`, whose meaning depends on the buffer's end."""

    name = "elide-copies"

    def run(self, module: ModuleOp) -> bool:
        elision = _Elision(KernelTable(module))
        for program in [op for op in module.body.ops if isinstance(op, Program)]:
            elision.late = program.late
            for block in [b for op in (program, *walk(program)) for r in op.regions for b in r.blocks]:
                for call in [op for op in block.ops if isinstance(op, Call)]:
                    elision.elide(call)
        return elision.finish()


# ---- what a kernel copies


@dataclass(frozen=True)
class Part:
    """A part of a copy's target: element i of it is element `index(i)` of a source."""

    box: Box
    source: SSAValue
    index: tuple[Expr, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the part is all of its source, as it stands there."""
        type_ = self.source.type
        assert isinstance(type_, BufferType)
        return len(self.box) == type_.rank and all(
            size == count and (e == Expr.dim(d) - low or (size == 1 and e == ZERO))
            for d, ((low, count), e, size) in enumerate(zip(self.box, self.index, type_.sizes, strict=True))
        )


@dataclass(frozen=True)
class Slab:
    """A part of a buffer that is filled: the index for each point of a nest, and the nest's extents."""

    index: tuple[Expr, ...]
    counts: tuple[Expr, ...]


class Copying(NamedTuple):
    """What a kernel does that only copies: its target is made of `parts`, which do not overlap, and constants."""

    parts: tuple[Part, ...]
    constant: arith.ConstantOp | None


def copying(kernel: Kernel) -> Copying | None:
    """What a naive kernel copies, None for one that does anything else."""
    tops = list(kernel.body.block.ops)
    found = chain(tops[0]) if len(tops) == 1 and isinstance(tops[0], For) else None
    if kernel.outputs.data != 1 or found is None:
        return None
    target = kernel.written[0]
    sizes = type_of(target).sizes
    loops, block = found
    plain = all(x.is_parallel and x.lower == ZERO and x.stride == 1 and x.run.data == "serial" for x in loops)
    stores = [op for op in block.ops if isinstance(op, Store)]
    known = all(isinstance(op, Load | Store | arith.ConstantOp) for op in block.ops)
    if not plain or not known or len(stores) != 1 or tuple(x.upper for x in loops) != sizes:
        return None
    (store,) = stores
    position: dict[SSAValue, int] = {x.iv: i for i, x in enumerate(loops)}
    if store.tolerant or index_of(store, position) != [Expr.dim(i) for i in range(len(sizes))]:
        return None
    parts: list[Part] = []
    value: SSAValue | None = store.value
    while value is not None and isinstance(load := value.owner, Load):
        index = index_of(load, position)
        if load.buf is target or index is None or (box := part_of(load, index, sizes)) is None:
            return None
        if load.otherwise is None and parts:
            return None
        if any(not apart(box, other.box) for other in parts):
            return None
        parts.append(Part(box, load.buf, tuple(index)))
        value = load.otherwise
    last = value.owner if value is not None else None
    if not parts or (value is not None and not isinstance(last, arith.ConstantOp)):
        return None
    covered = sum((product(n for _, n in part.box) for part in parts), ZERO) == product(sizes)
    constant = None if covered or not isinstance(last, arith.ConstantOp) else last
    return None if constant is not None and len(parts) > 1 else Copying(tuple(parts), constant)


def index_of(op: Indexed, position: dict[SSAValue, int]) -> list[Expr] | None:
    """The index of an access over the positions of loops; None where it depends on anything else."""
    if any(v not in position for v in op.indices):
        return None
    moved = {d: Expr.dim(position[v]) for d, v in op.dims.items()}
    return [e.substitute(moved) for e in op.exprs]


def part_of(load: Load, index: Sequence[Expr], sizes: Sequence[Expr]) -> Box | None:
    """The part of the target in which a load is inside of its buffer, None where it is not certainly a box in there."""
    box = [(ZERO, size) for size in sizes]
    ranges: dict[int, Range] = {d: (ZERO, size - 1) for d, size in enumerate(sizes)}
    bounded: set[int] = set()
    for e, size in zip(index, load.type.sizes, strict=True):
        if load.otherwise is None or within(e, size, ranges):
            continue
        dim = next((d for d in e.dims if not (e - Expr.dim(d)).dims), None)
        if dim is None or dim in bounded:
            return None
        low = Expr.dim(dim) - e
        if not low.nonnegative() or not (sizes[dim] - low - size).nonnegative():
            return None
        bounded.add(dim)
        box[dim] = low, size
    return tuple(box)


def apart(a: Box, b: Box) -> bool:
    """Whether two boxes certainly have nothing in common."""
    pairs = list(zip(a, b, strict=True))
    return any((y - x - n).nonnegative() or (x - y - m).nonnegative() for (x, n), (y, m) in pairs)


def type_of(buffer: SSAValue) -> BufferType:
    assert isinstance(buffer.type, BufferType)
    return buffer.type


# ---- doing without


@dataclass
class _Elision:
    """The elision of all copies of a module; kernels alike stay one."""

    table: KernelTable
    late: frozenset[str] = frozenset()  # of the program: sizes that become known while it runs
    known: dict[Kernel, Copying | None] = field(default_factory=dict[Kernel, "Copying | None"])
    left: set[Kernel] = field(default_factory=set[Kernel])  # kernels that a call is gone of

    def elide(self, call: Call) -> None:
        """Let the sources of a copy be parts of its target, where they can be; what is left to do replaces the call."""
        kernel, target, block = self.table.named[call.callee], call.buffers[-1], call.parent
        if kernel not in self.known:
            self.known[kernel] = copying(kernel)
        found = self.known[kernel]
        if found is None or block is None or not passes_sizes(call, kernel):
            return
        if not is_own(target, block) or [op for op, _, writes in self.uses_of(target) if writes] != [call]:
            return
        source: dict[SSAValue, SSAValue] = dict(zip(kernel.args, call.buffers, strict=True))
        once = [part for part in found.parts if [p.source for p in found.parts].count(part.source) == 1]
        done = [part for part in once if self.joins(part, source[part.source], call)]
        if not done:
            return
        rest = [(copy_of(part, type_of(target)), [source[part.source]]) for part in found.parts if part not in done]
        if found.constant is not None:
            rest += [(fill(found.constant, type_of(target), slab), []) for slab in border(found.parts[0].box, target)]
        for new, sources in rest:
            new.sym_name = kernel.sym_name
            made = self.table.add(new)
            sizes = [Expr.symbol(s) for s in made.sizes]
            block.insert_op_before(Call(made.sym_name.data, [*sources, target], sizes, nodes_of(call)), call)
        erase(call)
        self.left.add(kernel)
        for part in done:
            self.move(source[part.source], target, tuple(low for low, _ in part.box))

    def uses_of(self, buffer: SSAValue) -> Iterator[tuple[Operation, int, bool]]:
        """The operations that use a buffer of a program, at which position, and whether they may write it there."""
        for use in buffer.uses:
            op, position = use.operation, use.index
            reads = len(op.operands) - self.table.named[op.callee].outputs.data if isinstance(op, Call) else 0
            yield op, position, position >= reads

    def joins(self, part: Part, source: SSAValue, call: Call) -> bool:
        """Whether all who use a source may use the target instead."""
        target, block = call.buffers[-1], call.parent
        assert block is not None
        types = type_of(source), type_of(target)
        shift = tuple(low for low, _ in part.box)
        needed = types[1].symbols.union(*(e.symbols for e in shift))
        if not part.is_whole or not is_own(source, block) or list(call.buffers).count(source) > 1:
            return False
        if types[0].element_type != types[1].element_type or needed & self.late - types[0].symbols:
            return False
        for op, position, writes in self.uses_of(source):
            if op is call:
                continue
            if not isinstance(op, Call) or not passes_sizes(op, kernel := self.table.named[op.callee]):
                return False
            if writes and not (op.parent is block and op.is_before_in_block(call)):
                return False
            if not may_move(kernel.args[position], types[1], shift):
                return False
        return True

    def move(self, source: SSAValue, target: SSAValue, shift: Sequence[Expr]) -> None:
        """Let all calls use a part of `target` instead of `source`."""
        old, new = source.owner, target.owner
        assert isinstance(old, Alloc) and isinstance(new, Alloc)
        if old.is_before_in_block(new):
            new.detach()
            assert old.parent is not None
            old.parent.insert_op_before(new, old)
        for op, position, _ in list(self.uses_of(source)):
            assert isinstance(op, Call)
            kernel = self.table.named[op.callee]
            moved = self.table.add(moved_kernel(kernel, position, type_of(target), shift))
            self.left.add(kernel)
            op.properties |= Call(moved.sym_name.data, (), [Expr.symbol(s) for s in moved.sizes]).properties
            op.operands = [target if i == position else v for i, v in enumerate(op.operands)]
        erase(old)

    def finish(self) -> bool:
        """Take out what is not called any more, and say of each kernel which nodes it computes now."""
        if not self.left:
            return False
        self.table.name_nodes()
        called = {op.callee for op in walk(self.table.module) if isinstance(op, Call)}
        for kernel in self.left:
            if kernel.sym_name.data not in called:
                erase(kernel)
        return True


def is_own(buffer: SSAValue, block: Block) -> bool:
    """Whether a buffer is allocated in this block of a program, in row-major order."""
    return (
        isinstance(buffer.owner, Alloc)
        and buffer.owner.parent is block
        and not isinstance(type_of(buffer).layout, ExprAttr)
    )


def passes_sizes(call: Call, kernel: Kernel) -> bool:
    """Whether a kernel knows sizes by the names that they have around its call."""
    return all(e == Expr.symbol(s) for s, e in call.bound(kernel).items())


def may_move(arg: SSAValue, target: BufferType, shift: Sequence[Expr]) -> bool:
    """Whether an argument of a kernel may be a part of a larger buffer: no access depends on where it ends."""
    sizes = type_of(arg).sizes
    for use in arg.uses:
        op = use.operation
        if not isinstance(op, Load | Store) or op.buf is not arg:
            return False
        if not op.tolerant:
            continue
        limits: dict[SSAValue, Range] = {x.iv: (ZERO, x.upper - 1) for x in loops_around(op) if x.lower == ZERO}
        ranges = {d: limits[v] for d, v in op.dims.items() if v in limits}
        for e, size, wider, by in zip(op.exprs, sizes, target.sizes, shift, strict=True):
            if (size != wider or by != ZERO) and not within(e, size, ranges):
                return False
    return True


def moved_kernel(kernel: Kernel, position: int, target: BufferType, shift: Sequence[Expr]) -> Kernel:
    """A kernel whose argument is a part of a larger buffer, which begins at `shift`."""
    new = copied(kernel)
    Rewriter.replace_value_with_new_type(new.args[position], target)
    for use in list(new.args[position].uses):
        op = use.operation
        assert isinstance(op, Load | Store)
        op.set_indices([e + by for e, by in zip(op.exprs, shift, strict=True)], list(op.indices))
    new.properties["size_names"] = ArrayAttr(map(StringAttr, sorted(new.used_symbols())))
    return new


# ---- what is left to do


def copy_of(part: Part, target: BufferType) -> Kernel:
    """The kernel that copies a part."""
    here = {d: Expr.dim(d) + low for d, (low, _) in enumerate(part.box)}
    block = kernel_block([type_of(part.source), target], ["in0", "out"])
    inner, variables = nest(block, [count for _, count in part.box])
    load = Load(block.args[0], ([e.substitute(here) for e in part.index], variables))
    inner.add_ops([load, Store(load.value, block.args[1], (list(here.values()), variables))])
    return Kernel("copy", ["in0", "out"], 1, Region(block))


def fill(value: arith.ConstantOp, target: BufferType, slab: Slab) -> Kernel:
    """The kernel that puts a constant everywhere in a slab."""
    block = kernel_block([target], ["out"])
    inner, variables = nest(block, slab.counts)
    constant = copied(value)
    inner.add_ops([constant, Store(constant.result, block.args[0], (slab.index, variables))])
    return Kernel("fill", ["out"], 1, Region(block))


def border(box: Box, target: SSAValue) -> Iterator[Slab]:
    """All of a buffer that is not in a box: for each dim what lies before and behind it, at once where both are of one
    number, within the box in the dims before."""
    sizes = type_of(target).sizes
    here = [Expr.dim(d) for d in range(len(sizes))]
    for d, ((low, count), size) in enumerate(zip(box, sizes, strict=True)):
        after = size - low - count
        if low == after and low.constant:
            places = [(low * 2, here[d] + count * (here[d] // low))]
        else:
            places = [(n, at) for n, at in ((low, here[d]), (after, here[d] + low + count)) if n != ZERO]
        inside = [e + start for e, (start, _) in zip(here, box[:d], strict=False)]
        for number, at in places:
            yield Slab((*inside, at, *here[d + 1 :]), (*(n for _, n in box[:d]), number, *sizes[d + 1 :]))


def nest(block: Block, counts: Sequence[Expr]) -> tuple[Block, list[SSAValue]]:
    """Parallel loops `i0`, `i1` ... from 0 on, one in the other: the innermost block and the variables."""
    variables: list[SSAValue] = []
    for d, count in enumerate(counts):
        loop = For((0, count), f"i{d}", "parallel")
        block.add_op(loop)
        block = loop.body.block
        variables.append(loop.iv)
    return block, variables
