"""The primitive cover: blocks of one length over a loop of any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xdsl.dialects.builtin import UnitAttr
from xdsl.ir import Operation, SSAValue

from ..dialects.loop.ops import For, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from ..ir.operands import walk
from .analysis import Access, accesses, loops_of, name_of, private_buffers, require
from .primitive import Primitive, number_of
from .rewrite import before, erase, move_body
from .stage import zero


@dataclass(frozen=True)
class Cover(Primitive):
    """`for x in lo..hi {S}` → `for outer in lo..hi step s { for inner in 0..s {S'[outer + inner]} }`: all blocks are
    whole, and the last one may go beyond hi, where S' stores nothing and loads 0 for what is outside of its buffer.

    Legal where each store of S names x itself in a dimension of length hi, so that beyond hi it is outside of the
    buffer. Buffers private to the loop may come later, by `stage`."""

    label: str
    size: int
    outer: str
    inner: str
    form: ClassVar[str] = "cover <label> <size> -> <outer> <inner>"

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        return cls(**(values | {"size": number_of(str(values["size"]), "cover")}))  # pyright: ignore

    def apply(self, kernel: Kernel) -> None:
        for loop in loops_of(kernel, self.label):
            require(loop.stride == 1, "cover: loop", self.label, "has a step already")
            require(loop.run.data == "serial", "cover: loop", self.label, "is", loop.run.data)
            if (loop.upper - loop.lower) % self.size != 0:
                require(not private_buffers(loop), f"cover: a buffer is private to loop {self.label}")
                tolerate(kernel, loop)
            outer = loop.like(step=self.size, label=self.outer)
            inner = For((0, self.size), self.inner, loop.kind.data)
            before(loop, [outer])
            outer.body.block.add_op(inner)
            move_body(loop, inner, Expr.dim(0) + Expr.dim(1), [outer.iv, inner.iv])
            erase(loop)


def tolerate(kernel: Kernel, loop: For) -> None:
    """Let iterations behind a loop's last one do nothing, and no harm."""
    moving: set[SSAValue] = {loop.iv}
    for op in walk(loop):
        if not moving.isdisjoint(op.operands):
            moving.update(op.results)
    for op in accesses(loop):
        if isinstance(op, Store):
            what = f"cover: beyond {loop.tag} a store to {name_of(kernel, op.buf)}"
            require(op.lanes == 1 and ends_with(op, loop), what, "would be inside of the buffer")
            op.properties["skip"] = UnitAttr()
        elif op.otherwise is None and not moving.isdisjoint(op.indices):
            other: list[Operation] = zero(op.value.type)
            steps = op.steps if op.lanes > 1 else None
            active = op.live if op.live < op.lanes else None
            index = (op.exprs, list(op.indices))
            new = Load(
                op.buffer, index, type_=op.value.type, otherwise=other[-1].results[0], lane_steps=steps, active=active
            )
            before(op, [*other, new])
            op.value.replace_all_uses_with(new.value)
            moving.add(new.value)
            erase(op)


def ends_with(op: Access, loop: For) -> bool:
    """Whether a dimension of an access's buffer is the loop's variable, and ends where the loop does."""
    return not loop.upper.dims and any(
        len(e.dims) == 1 and e == Expr.dim(d := next(iter(e.dims))) and op.indices[d] is loop.iv and size == loop.upper
        for e, size in zip(op.exprs, op.type.sizes, strict=True)
    )
