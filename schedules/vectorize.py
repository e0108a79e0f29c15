"""The primitive vectorize: an innermost loop becomes operations on lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xdsl.dialects import vector
from xdsl.dialects.builtin import VectorType
from xdsl.ir import Operation, SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.lanes import lifted
from ..dialects.loop.ops import For, Index, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from .analysis import Access, divisor_of, lane_form, loops_of, require
from .primitive import Primitive, number_of
from .rewrite import before, erase, replace_variable


@dataclass(frozen=True)
class Vectorize(Primitive):
    """An innermost `for l in lo..lo + t`, t <= width → operations on lanes, as many as the power of two that holds
    t (at most `width`), the first t of them active.

    Legal for parallel loops whose variable steps through buffers evenly (each index has a constant coefficient of
    it) and does not go through data: an index that is itself computed lane by lane is refused. Loads that do not
    name the variable stay scalar and are broadcast where they are used."""

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
        self.vectors: dict[SSAValue, SSAValue] = {}  # what varies by lane, or has been broadcast

    def put(self, op: Operation) -> None:
        if op.parent is not None:
            op.detach()
        before(self.loop, [op])

    def vector(self, value: SSAValue) -> SSAValue:
        """The value on all lanes."""
        if value not in self.vectors:
            op = vector.BroadcastOp(value, VectorType(value.type, [self.width]))
            self.put(op)
            self.vectors[value] = op.vector
        return self.vectors[value]

    def op(self, op: Operation) -> None:
        match op:
            case Load() | Store():
                self.access(op)
            case Index():
                (first,), operands, (step,) = self.lanes(op, "an index value")
                if not step:
                    op.set_indices([first], operands)
                    self.put(op)
                    return
                new = Index(first, operands, lanes=self.width, lane_step=step)
                self.put(new)
                self.vectors[op.value] = new.value
            case _:
                require(len(op.results) == 1, f"vectorize: {op.name} has no form on lanes")
                if any(v is self.loop.iv for v in op.operands):
                    index = Index(Expr.dim(0), [self.loop.iv])
                    before(op, [index])
                    op.operands = [index.value if v is self.loop.iv else v for v in op.operands]
                    self.op(index)
                if not any(v in self.vectors for v in op.operands):
                    self.put(op)
                    return
                require(not isinstance(op, vector.BroadcastOp), f"vectorize: loop {self.label} holds vectors already")
                new = lifted(op, [self.vector(v) for v in op.operands], self.width)
                self.put(new)
                self.vectors[op.results[0]] = new.results[0]

    def lanes(self, op: Access | Index, what: str) -> tuple[list[Expr], list[SSAValue], list[int]]:
        """Index expressions of the first lane, their operands, and how far each goes from lane to lane."""
        for value in op.indices:
            require(value not in self.vectors, f"vectorize: {what} depends on data that varies in loop {self.label}")
        operands = list(op.indices)
        if self.loop.iv not in operands:
            return list(op.exprs), operands, [0] * len(op.exprs)
        lane, low = operands.index(self.loop.iv), self.loop.lower
        first: list[Expr] = []
        steps: list[int] = []
        for e in op.exprs:
            moved = e.substitute({lane: Expr.dim(lane) + low})
            form = lane_form(moved, lane, self.live, lambda d: divisor_of(operands[d]))
            require(form is not None, f"vectorize: {what} does not step evenly through loop {self.label}")
            assert form is not None
            first.append(form[0])
            steps.append(form[1])
        return first, operands, steps

    def access(self, op: Access) -> None:
        require(op.lanes == 1, f"vectorize: loop {self.label} holds vectors already")
        first, operands, steps = self.lanes(op, "an access")
        indices = (first, operands)
        if isinstance(op, Store):
            require(any(steps), f"vectorize: all iterations of loop {self.label} store to one place")
            value, skip = self.vector(op.value), op.tolerant
            self.put(Store(value, op.buffer, indices, skip=skip, lane_steps=steps, active=self.active))
            return
        varying = op.otherwise is not None and op.otherwise in self.vectors
        if not any(steps) and not varying:
            op.set_indices(first, operands)
            self.put(op)
            return
        require(any(steps), f"vectorize: an `else` value varies in loop {self.label}, the load does not")
        otherwise = None if op.otherwise is None else self.vector(op.otherwise)
        type_ = VectorType(op.value.type, [self.width])
        new = Load(op.buffer, indices, type_=type_, otherwise=otherwise, lane_steps=steps, active=self.active)
        self.put(new)
        self.vectors[op.value] = new.value
