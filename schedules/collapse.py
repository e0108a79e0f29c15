"""The primitive collapse: two loops over neighbouring dimensions become one, and so do the dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.ir import BlockArgument, SSAValue
from xdsl.rewriter import Rewriter

from ..dialects.loop.ops import For, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from ..ir.types import BufferType, ExprAttr
from .analysis import Access, loops_of, name_of, require
from .nest import merged
from .primitive import Primitive
from .rewrite import before, erase, move_body


@dataclass(frozen=True)
class Collapse(Primitive):
    """`for x in 0..X { for y in 0..Y {S[b[x, y]]} }` → `for x in 0..X Y {S[b'[x]]}`, where b' is b seen with one
    dimension instead of two.

    Legal where y is all of x's body and of its kind, both begin at 0, and each buffer that they go through is a
    row-major argument which all accesses name by x and y in two neighbouring dimensions, the second one of Y elements:
    then neighbours in x are neighbours in memory. Callers hand over the same memory."""

    outer: str
    inner: str
    form: ClassVar[str] = "collapse <outer> <inner>"

    def apply(self, kernel: Kernel) -> None:
        pairs = [(x, self.inside(x)) for x in loops_of(kernel, self.outer)]
        place: dict[SSAValue, int] = {}
        found: set[Access] = set()
        for x, y in pairs:
            for use in (*x.iv.uses, *y.iv.uses):
                op = use.operation
                require(isinstance(op, Load | Store), f"collapse: {self.outer} or {self.inner} is more than an index")
                assert isinstance(op, Load | Store)
                at = self.dimension(op, x, y)
                name = name_of(kernel, op.buf)
                require(at is not None, f"collapse: {name} is not read by {self.outer} and {self.inner} side by side")
                assert at is not None
                require(place.setdefault(op.buf, at) == at, f"collapse: {name} is read in several ways")
                found.add(op)
        for buffer in place:
            others = [use for use in buffer.uses if use.operation not in found]
            require(not others, f"collapse: {name_of(kernel, buffer)} is read elsewhere too")
        for op in found:
            at = place[op.buf]
            op.set_indices([e for i, e in enumerate(op.exprs) if i != at], list(op.indices))
        for x, y in pairs:
            new = x.like(bounds=(0, x.upper * y.upper))
            before(x, [new])
            move_body(y, new)
            erase(x)
        for buffer, at in place.items():
            type_ = buffer.type
            assert isinstance(type_, BufferType)
            Rewriter.replace_value_with_new_type(buffer, merged(type_, at))

    def inside(self, x: For) -> For:
        """The loop that is all of another's body."""
        y = x.body.block.first_op
        require(
            isinstance(y, For) and y is x.body.block.last_op and y.tag == self.inner,
            f"collapse: a loop {self.outer} holds more than a loop {self.inner}",
        )
        assert isinstance(y, For)
        plain = all(
            z.lower == Expr.const(0) and z.stride == 1 and z.run.data == "serial" and not z.indices for z in (x, y)
        )
        require(plain, f"collapse: {self.outer} and {self.inner} do not go from 0 on by one")
        require(x.kind == y.kind, f"collapse: {self.outer} is {x.kind.data}, {self.inner} is {y.kind.data}")
        return y

    def dimension(self, op: Access, x: For, y: For) -> int | None:
        """The dimension that x goes through, where the next one is y's and no other index names them."""
        position = {v: d for d, v in op.dims.items()}
        if op.lanes > 1 or op.tolerant or not isinstance(op.buf, BlockArgument) or x.iv not in position:
            return None
        if not isinstance(op.buf.owner.parent_op(), Kernel) or y.iv not in position:
            return None
        own = [Expr.dim(position[v]) for v in (x.iv, y.iv)]
        at = next((i for i, e in enumerate(op.exprs) if e == own[0]), len(op.exprs))
        rest = [e for i, e in enumerate(op.exprs) if i not in (at, at + 1)]
        alone = not any(e.dims & {position[x.iv], position[y.iv]} for e in rest)
        side_by_side = list(op.exprs[at : at + 2]) == own and op.type.sizes[at + 1] == y.upper
        return at if alone and side_by_side and not isinstance(op.type.layout, ExprAttr) else None
