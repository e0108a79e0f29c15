"""The primitive vectorize: an innermost loop becomes operations on lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import ClassVar, Self

from xdsl.dialects import arith, vector
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.lanes import lifted
from ..dialects.loop.ops import For, Index, Load, Store, scalar_of, vector_of
from ..dialects.loop.program import Kernel
from ..ir.expr import Atom, Expr
from ..ir.operands import make
from .analysis import Access, divisor_of, lane_form, loops_of, require
from .primitive import Primitive, number_of
from .rewrite import before, erase, replace_variable


@dataclass(frozen=True)
class Vectorize(Primitive):
    """An innermost `for l in lo..lo + t`, t <= width → operations on lanes, as many as the power of two that holds
    t (at most `width`), the first t of them active.

    Legal for parallel loops whose variable steps through buffers evenly (each index has a constant coefficient of
    it) and does not go through data: an access whose index is itself computed lane by lane is refused. Loads that do
    not name the variable stay scalar and are broadcast where they are used. An index that is a value, no place in a
    buffer, may be any expression: what does not step evenly is computed on lanes."""

    label: str
    width: int
    form: ClassVar[str] = "vectorize <label> <width>"

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        return cls(**(values | {"width": number_of(str(values["width"]), "vectorize")}))  # pyright: ignore

    def apply(self, kernel: Kernel) -> None:
        for loop in loops_of(kernel, self.label):
            self.check(loop)
            self.vectorize(loop)

    def check(self, loop: For) -> None:
        require(loop.is_parallel, f"vectorize: {self.label} is not parallel")
        trip = loop.trip
        require(trip is not None, f"vectorize: the bounds of loop {self.label} are no numbers")
        require(loop.stride == 1, f"vectorize: loop {self.label} has a step")
        require(loop.run.data != "concurrent", f"vectorize: loop {self.label} is concurrent")
        assert trip is not None
        require(trip <= self.width, f"vectorize: loop {self.label} has {trip} iterations, more than {self.width} lanes")
        for op in loop.body.block.ops:
            require(not isinstance(op, For), f"vectorize: loop {self.label} is not innermost")
            require(not isinstance(op, Alloc), f"vectorize: a buffer is private to an iteration of loop {self.label}")

    def vectorize(self, loop: For) -> None:
        trip = loop.trip
        assert trip is not None
        if not trip:
            erase(loop)
            return
        if trip == 1:
            lanes_of_one(loop)
            return
        body = _Body(self.label, min(self.width, 1 << (trip - 1).bit_length()), loop)
        for op in list(loop.body.block.ops):
            body.op(op)
        erase(loop)


def lanes_of_one(loop: For) -> None:
    """The loop's body, once: vectors of one lane are scalars."""
    replace_variable(loop.iv, loop.lower, [])
    for op in list(loop.body.block.ops):
        op.detach()
        before(loop, [op])
    erase(loop)


class _Body:
    """The ops of one loop, moved in front of it one by one as operations on lanes."""

    def __init__(self, label: str, width: int, loop: For) -> None:
        self.loop, self.width, self.label = loop, width, label
        self.live = loop.trip or 0
        self.active = self.live if self.live != width else None
        self.varying: dict[SSAValue, SSAValue] = {}  # what varies by lane
        self.copies: dict[SSAValue, SSAValue] = {}  # what does not, on all lanes

    def put(self, op: Operation) -> None:
        if op.parent is not None:
            op.detach()
        before(self.loop, [op])

    def vector(self, value: SSAValue) -> SSAValue:
        """The value on all lanes."""
        if value in self.varying:
            return self.varying[value]
        if value not in self.copies:
            op = make(vector.BroadcastOp, [value], [vector_of(value.type, self.width)])
            self.put(op)
            self.copies[value] = op.results[0]
        return self.copies[value]

    def op(self, op: Operation) -> None:
        match op:
            case Load() | Store():
                self.access(op)
            case Index():
                if self.is_same(op.expr, list(op.indices)):
                    self.put(op)
                else:
                    self.varying[op.value] = self.index(op.expr, list(op.indices))
            case _:
                require(len(op.results) == 1, f"vectorize: {op.name} has no form on lanes")
                if any(v is self.loop.iv for v in op.operands):
                    index = Index(Expr.dim(0), [self.loop.iv])
                    before(op, [index])
                    op.operands = [index.value if v is self.loop.iv else v for v in op.operands]
                    self.op(index)
                if not any(v in self.varying for v in op.operands):
                    self.put(op)
                    return
                require(not isinstance(op, vector.BroadcastOp), f"vectorize: loop {self.label} holds vectors already")
                new = lifted(op, [self.vector(v) for v in op.operands], self.width)
                self.put(new)
                self.varying[op.results[0]] = new.results[0]

    # ---- indices

    def form(self, e: Expr, operands: Sequence[SSAValue]) -> tuple[Expr, int] | None:
        """The expression in the first lane, and how far it goes from lane to lane; None where that varies."""
        if any(operands[d] in self.varying for d in e.dims):
            return None
        if self.loop.iv not in operands:
            return e, 0
        lane = operands.index(self.loop.iv)
        moved = e.substitute({lane: Expr.dim(lane) + self.loop.lower})
        return lane_form(moved, lane, self.live, lambda d: divisor_of(operands[d]))

    def is_same(self, e: Expr, operands: Sequence[SSAValue]) -> bool:
        """Whether an expression has one value on all lanes."""
        return not any(operands[d] is self.loop.iv or operands[d] in self.varying for d in e.dims)

    def index(self, e: Expr, operands: Sequence[SSAValue]) -> SSAValue:
        """The value of an expression on lanes: of its terms that step evenly together, plus the others one by one."""
        even, uneven = Expr.const(0), list[SSAValue]()
        for monomial, c in e.terms.items():
            term = Expr({monomial: c})
            if self.form(term, operands) is not None:
                even = even + term
            else:
                factors = [self.atom(a, operands) for a in monomial]
                scale = [] if c == 1 else [self.index(Expr.const(c), operands)]
                uneven.append(reduce(lambda x, y: self.on_lanes(arith.MuliOp, x, y), [*factors, *scale]))
        if even.terms or not uneven:
            form = self.form(even, operands)
            assert form is not None
            first, step = form
            new = Index(first, operands, lanes=self.width, lane_step=step) if step else Index(first, operands)
            self.put(new)
            uneven.append(new.value if step else self.vector(new.value))
        return reduce(lambda x, y: self.on_lanes(arith.AddiOp, x, y), uneven)

    def atom(self, a: Atom, operands: Sequence[SSAValue]) -> SSAValue:
        """The value of a factor on lanes."""
        if a.kind == "dim" and (value := operands[a.args[0]]) in self.varying:
            return self.varying[value]
        if a.kind in ("symbol", "dim"):
            return self.index(Expr({(a,): 1}), operands)
        x, *others = [self.index(e, operands) for e in a.args]
        if a.kind in ("min", "max"):
            op = arith.MinSIOp if a.kind == "min" else arith.MaxSIOp
            return reduce(lambda x, y: self.on_lanes(op, x, y), others, x)
        (n,) = others
        rest, zero = self.on_lanes(arith.RemSIOp, x, n), self.index(Expr.const(0), operands)  # has the sign of x
        below = self.on_lanes(partial(arith.CmpiOp, arg="slt"), rest, zero)
        rest = self.on_lanes(arith.SelectOp, below, self.on_lanes(arith.AddiOp, rest, n), rest)
        return rest if a.kind == "mod" else self.on_lanes(arith.DivSIOp, self.on_lanes(arith.SubiOp, x, rest), n)

    def on_lanes(self, operation: Callable[..., Operation], *operands: SSAValue) -> SSAValue:
        """A scalar operation on vectors."""
        scalars = Block(arg_types=[scalar_of(v.type) for v in operands])
        new = lifted(operation(*scalars.args), operands, self.width)
        self.put(new)
        return new.results[0]

    # ---- memory

    def access(self, op: Access) -> None:
        require(op.lanes == 1, f"vectorize: loop {self.label} holds vectors already")
        operands = list(op.indices)
        known = not any(v in self.varying for v in operands)
        require(known, f"vectorize: an access depends on data that varies in loop {self.label}")
        forms = [form for e in op.exprs if (form := self.form(e, operands)) is not None]
        even = len(forms) == op.type.rank
        require(even, f"vectorize: an access does not step evenly through loop {self.label}")
        first, steps = [e for e, _ in forms], [s for _, s in forms]
        indices = (first, operands)
        if isinstance(op, Store):
            require(any(steps), f"vectorize: all iterations of loop {self.label} store to one place")
            value, skip = self.vector(op.value), op.tolerant
            self.put(Store(value, op.buffer, indices, skip=skip, lane_steps=steps, active=self.active))
            return
        varying = op.otherwise is not None and op.otherwise in self.varying
        if not any(steps) and not varying:
            op.set_indices(first, operands)
            self.put(op)
            return
        otherwise = None if op.otherwise is None else self.vector(op.otherwise)
        type_ = vector_of(op.value.type, self.width)
        new = Load(op.buffer, indices, type_=type_, otherwise=otherwise, lane_steps=steps, active=self.active)
        self.put(new)
        self.varying[op.value] = new.value
