"""A naive kernel as strategies see it: its dims, what it reads and where, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from xdsl.dialects import arith, math
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.ops import For, Index, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr, product
from ..ir.types import BufferType, ExprAttr, dtype_of
from .analysis import lane_form

LANE = 1 << 20  # a dim that is none of a nest's: the lane within a vector; those beyond stand for data


@dataclass(frozen=True)
class Dim:
    """A loop of the naive nest."""

    label: str
    extent: Expr
    kind: str  # of the loop: parallel, reduction, ordered

    @property
    def parallel(self) -> bool:
        return self.kind == "parallel"

    @property
    def reduction(self) -> bool:
        return self.kind == "reduction"

    @property
    def size(self) -> int | None:
        """The extent, when it is a number."""
        return self.extent.constant


@dataclass(frozen=True)
class Read:
    """A load or store: its index over the nest's dims, by their position in `Nest.dims`."""

    buffer: str
    type: BufferType
    index: tuple[Expr, ...]
    guarded: bool = False  # it may be outside of the buffer
    constant: bool = True  # what it gives there is a constant, if it may be
    through: frozenset[int] = frozenset()  # dims that the index depends on by way of data

    @cached_property
    def dims(self) -> frozenset[int]:
        """The dims that it depends on."""
        return frozenset().union(self.through, *(e.dims for e in self.index))

    @property
    def data(self) -> bool:
        """Whether the index depends on data."""
        return any(d >= LANE for e in self.index for d in e.dims)

    def step(self, dim: int, lanes: int = 0) -> tuple[int, ...] | None:
        """How far each index goes when a dim goes by one, where that is constant; with `lanes`, within whole vectors of
        so many."""
        if dim in self.through:
            return None
        steps = [_step(e, dim, lanes) for e in self.index]
        return None if None in steps else tuple(steps)  # pyright: ignore[reportReturnType]

    def contiguous(self, dim: int, lanes: int = 0) -> bool:
        """Whether neighbours in a dim are neighbours in memory; with `lanes`, within whole vectors."""
        if isinstance(self.type.layout, ExprAttr):
            offset = self.type.layout.data.substitute(dict(enumerate(self.index)))
            return dim not in self.through and _step(offset, dim, lanes) == 1
        step = self.step(dim, lanes)
        if step is None:
            return False
        at = next((i for i, n in enumerate(step) if n), None)
        return at is not None and step[at] == 1 and not any(step[at + 1 :]) and product(self.type.sizes[at + 1 :]) == 1

    def ends_with(self, dim: int, extent: Expr) -> bool:
        """Whether a dimension of the buffer goes with a dim alone, from its first to its last."""
        pairs = zip(self.index, self.type.sizes, strict=True)
        return any(e == Expr.dim(dim) and size == extent for e, size in pairs)

    def stride(self, dim: int) -> Expr | None:
        """How far elements are apart in memory, in elements, when a dim goes by one; None where that varies."""
        offset = self.type.offset.substitute(dict(enumerate(self.index)))
        step = offset.substitute({dim: Expr.dim(dim) + 1}) - offset
        return None if step.dims or dim in self.through else step

    @property
    def bytes(self) -> Expr:
        return self.type.bytes


def _step(e: Expr, dim: int, lanes: int) -> int | None:
    """How far an expression goes with each lane, where that is constant: from anywhere, or within whole vectors."""
    moved = e.substitute({dim: Expr.dim(LANE) + Expr.dim(dim) * (lanes or 1)})
    form = lane_form(moved, LANE, lanes or 2, lambda _: 1)
    return None if form is None else form[1]


@dataclass(frozen=True)
class Nest:
    """A kernel as tensor-to-loop makes it: start value, accumulation and finish as nests of their own, or one nest.

    `reads` are those of the body that runs once per point of all dims, `finish_reads` those of the finish. The body of
    an update, which has ordered dims, reads its result too, and may have more stores than the first one, `store`."""

    kernel: Kernel
    dims: tuple[Dim, ...]  # parallel ones first
    reads: tuple[Read, ...]
    finish_reads: tuple[Read, ...]
    store: Read
    phases: int  # nests at the top of the kernel
    operations: int  # arithmetic per point
    functions: int  # of which calls such as exp, and divisions, in all phases
    more_stores: tuple[Read, ...] = ()
    combine: type[Operation] | None = None  # what makes the value that the body stores

    @property
    def parallel(self) -> tuple[int, ...]:
        return tuple(i for i, d in enumerate(self.dims) if d.parallel)

    @property
    def reduction(self) -> tuple[int, ...]:
        return tuple(i for i, d in enumerate(self.dims) if d.reduction)

    @property
    def ordered(self) -> tuple[int, ...]:
        return tuple(i for i, d in enumerate(self.dims) if d.kind == "ordered")

    @property
    def element(self) -> Attribute:
        """The element type that is computed with: the result's."""
        return self.store.type.element_type

    @property
    def lane_bytes(self) -> int:
        return dtype_of(self.element).itemsize

    @property
    def points(self) -> Expr:
        """Iterations of the innermost body."""
        return product(d.extent for d in self.dims)

    @property
    def flops(self) -> Expr:
        """Arithmetic operations in the body; a multiplication and an addition are two."""
        return self.points * max(self.operations, 1)

    @property
    def traffic(self) -> Expr:
        """Bytes of all buffers, each once."""
        buffers = {r.buffer: r for r in (*self.reads, *self.finish_reads, self.store)}
        return sum((r.bytes for r in buffers.values()), Expr.const(0))


def nest_of(kernel: Kernel) -> Nest | None:
    """The kernel as a naive nest; None for one of another form (scheduled, scalar, several outputs)."""
    tops = list(kernel.body.block.ops)
    if not tops or kernel.outputs.data != 1 or not all(isinstance(op, For) for op in tops):
        return None
    chains = [found for op in tops if isinstance(op, For) and (found := chain(op)) is not None]
    if len(chains) != len(tops):
        return None
    loops, body = max(chains, key=lambda c: len(c[0]))
    dims = tuple(Dim(x.tag, x.upper, x.kind.data) for x in loops)
    plain = all(x.lower.constant == 0 and x.stride == 1 and x.run.data == "serial" and not x.upper.dims for x in loops)
    parallel = [x.tag for x in loops if x.is_parallel]
    sequence = [not d.parallel for d in dims]
    if not plain or sequence != sorted(sequence) or len({d.label for d in dims}) != len(dims):
        return None
    out, update = kernel.written[0], any(d.kind == "ordered" for d in dims)
    if not parallel and not update:
        return None
    reads: list[Read] = []
    finish: list[Read] = []
    stores: list[Read] = []
    functions, combine = 0, None
    for other, block in chains:
        main = block is body
        if not main and [x.tag for x in other] != parallel:
            return None
        position: dict[SSAValue, int] = {x.iv: i for i, x in enumerate(other)}
        depends: dict[SSAValue, frozenset[int]] = {v: frozenset((i,)) for v, i in position.items()}
        for op in block.ops:
            for result in op.results:
                depends[result] = frozenset().union(*(depends.get(v, frozenset()) for v in op.operands))
            functions += _is_function(op)
            if isinstance(op, For | Alloc) or (isinstance(op, Load | Store) and op.lanes > 1):
                return None
            if isinstance(op, Load) and (op.buf is not out or update):
                (reads if main else finish).append(_read(kernel, op, position, depends))
            elif isinstance(op, Store) and main:
                stores.append(_read(kernel, op, position, depends))
                made = op.value.owner
                combine = type(made) if isinstance(made, Operation) else None
    if len(stores) != 1 and not update:
        return None
    arithmetic = sum(_is_arithmetic(op) for op in body.ops)
    first, *more = stores
    return Nest(
        kernel, dims, tuple(reads), tuple(finish), first, len(tops), arithmetic, functions, tuple(more), combine
    )


def collapsed(nest: Nest, known: bool = False) -> tuple[Nest, list[str]]:
    """The nest with its innermost parallel dims as one, as far as all that names them is read and written in that
    order, and the lines that make it so; `known`: and as their extent is a number."""
    lines: list[str] = []
    while (shorter := _collapsed(nest)) is not None:
        a, b = nest.parallel[-2:]
        if known and shorter.dims[a].size is None:
            break
        lines.append(f"collapse {nest.dims[a].label} {nest.dims[b].label}")
        nest = shorter
    return nest, lines


def _collapsed(nest: Nest) -> Nest | None:
    """The nest with its two innermost parallel dims as one."""
    if len(nest.parallel) < 2 or nest.ordered or nest.more_stores:
        return None
    a, b = nest.parallel[-2:]
    extent = nest.dims[b].extent
    if 1 in (nest.dims[a].size, nest.dims[b].size):
        return None
    moved = {d: Expr.dim(d - (d > b)) for d in range(len(nest.dims))}

    def seen(read: Read) -> Read | None:
        index = read.index
        if read.dims.isdisjoint((a, b)):
            return replace(read, index=tuple(e.substitute(moved) for e in index))
        at = next((i for i, e in enumerate(index) if e == Expr.dim(a)), len(index))
        rest = [*index[:at], *index[at + 2 :]]
        plain = index[at : at + 2] == (Expr.dim(a), Expr.dim(b)) and not any(e.dims & {a, b} for e in rest)
        if not plain or read.guarded or read.through or isinstance(read.type.layout, ExprAttr):
            return None
        if read.type.sizes[at + 1] != extent:
            return None
        left = [e.substitute(moved) for i, e in enumerate(index) if i != at + 1]
        return replace(read, type=merged(read.type, at), index=tuple(left))

    reads, finish = [seen(r) for r in nest.reads], [seen(r) for r in nest.finish_reads]
    if (store := seen(nest.store)) is None or None in reads or None in finish:
        return None
    dims = [replace(d, extent=d.extent * extent) if i == a else d for i, d in enumerate(nest.dims) if i != b]
    return replace(
        nest,
        dims=tuple(dims),
        reads=tuple(r for r in reads if r is not None),
        finish_reads=tuple(r for r in finish if r is not None),
        store=store,
    )


def merged(type_: BufferType, at: int) -> BufferType:
    """A row-major buffer with one dimension instead of those at `at` and behind it."""
    sizes = [*type_.sizes[:at], type_.sizes[at] * type_.sizes[at + 1], *type_.sizes[at + 2 :]]
    return BufferType.of(sizes, type_.element_type, type_.space.data)


def chain(loop: For) -> tuple[list[For], Block] | None:
    """The loops of a perfect nest and its innermost block."""
    loops = [loop]
    while True:
        block = loops[-1].body.block
        inner = [op for op in block.ops if isinstance(op, For)]
        if not inner:
            return loops, block
        if len(inner) != 1 or block.first_op is not block.last_op:
            return None
        loops.append(inner[0])


def _read(
    kernel: Kernel, op: Load | Store, position: dict[SSAValue, int], depends: dict[SSAValue, frozenset[int]]
) -> Read:
    mapping = {i: Expr.dim(position.get(v, LANE + 1 + i)) for i, v in enumerate(op.indices)}
    name = next((n for n, a in zip(kernel.arg_names, kernel.args, strict=True) if a is op.buf), "")
    constant = not op.tolerant or (
        isinstance(op, Load) and op.otherwise is not None and isinstance(op.otherwise.owner, arith.ConstantOp)
    )
    through = frozenset().union(*(depends.get(v, frozenset()) for v in op.indices if v not in position))
    return Read(name, op.type, tuple(e.substitute(mapping) for e in op.exprs), op.tolerant, constant, through)


def _is_function(op: Operation) -> bool:
    return isinstance(op, arith.DivfOp | math.PowFOp) or (
        op.name.startswith("math.") and not isinstance(op, math.FmaOp)
    )


def _is_arithmetic(op: Operation) -> bool:
    return not isinstance(op, Load | Store | Index | arith.ConstantOp) and op.name.startswith(("arith.", "math."))


def at_least(size: Expr, number: int, unknown: bool = True) -> bool:
    """Whether an extent is at least a number; `unknown` where that depends on symbols."""
    return size.constant >= number if size.constant is not None else unknown


def names(nest: Nest, dims: Sequence[int]) -> str:
    """The labels of dims, as they stand in a line."""
    return " ".join(nest.dims[d].label for d in dims)
