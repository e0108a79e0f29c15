"""The primitive reassociate: a reduction in several partial results, combined in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Operation, SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.ops import For, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from ..ir.operands import copied, walk
from ..ir.types import BufferType, is_float
from .analysis import accesses, loops_of, require
from .primitive import Primitive, number_of, sizes_of
from .rewrite import before, erase, move_body

NEUTRAL: dict[type[Operation], Any] = {
    arith.AddfOp: 0.0, arith.MulfOp: 1.0, arith.MaximumfOp: -np.inf, arith.MinimumfOp: np.inf,
    arith.AddiOp: 0, arith.MuliOp: 1, arith.OrIOp: 0, arith.AndIOp: -1, arith.MaxUIOp: 0, arith.MinUIOp: -1,
    arith.MaxSIOp: None, arith.MinSIOp: None,
}  # fmt: skip


@dataclass(frozen=True)
class Reassociate(Primitive):
    """`for k {out = out + f(k)}` → n partial results, where n (a power of two) is the first size:

        for i {name[i] = 0}
        for outer in k step n { for i {name[i] = name[i] + f(outer + i)} }
        for i {name.sum[i] = name[i]}
        for h in 0..n/2 {name.sum[n + h] = name.sum[h] + name.sum[h + n/2]}, and so on: what is halved stands behind
        what it is made of, down to one at 2n - 2; out = out + name.sum[2n - 2]

    or, by t (a power of two), so many at a time, which a machine whose lanes can shuffle does by one instruction:

        for w in 0..n/t {name.sum[w] = 0; for l in 0..t {name.sum[w] = name.sum[w] + name[t * w + l]}}

    and so on with those n/t in name.sum.1, name.sum.2 ... down to one; loops over w are called `name.team`, those over
    l, reductions, `name.lane`.

    What n does not divide is added to `out` one by one before, or, where sizes are `n|rest` and not `n|1`, to the first
    of the partial results behind the rest of theirs, by a loop `inner.rest`. All other loops over i are called inner,
    those over h `name.half`. With `at` another loop, around k and reductions between: the partial results
    live there. This is the one primitive that changes the order of a reduction, so results may differ by rounding;
    the order is fixed. Legal where the loop does nothing but combine into one element, by + * max min, `or` or
    `and`."""

    label: str
    sizes: tuple[int | str, ...]
    at: str
    outer: str
    inner: str
    name: str
    team: int = 0
    form: ClassVar[str] = "reassociate <label> <sizes> at <at> -> <outer> <inner> as <name> [by <team>]"

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        numbers = {"sizes": sizes_of(str(values["sizes"]), "reassociate")}
        if "team" in values:
            numbers["team"] = number_of(str(values["team"]), "reassociate")  # pyright: ignore
        return cls(**(values | numbers))  # pyright: ignore

    def apply(self, kernel: Kernel) -> None:
        first = self.sizes[0]
        power = isinstance(first, int) and first & (first - 1) == 0 and first > 1
        plain = power and self.sizes[1:] in ((), (1,), ("rest",))
        require(plain, f"reassociate: sizes are a power of two, or that and 1 or rest, not {self.spell(self.sizes)}")
        alike = self.team == 0 or (self.team > 1 and self.team & (self.team - 1) == 0)
        require(alike, f"reassociate: what is combined at a time is a power of two, not {self.team}")
        require(self.name not in kernel.buffers(), f"reassociate: a buffer is named {self.name} already")
        for loop in loops_of(kernel, self.label):
            _Partial(self, loop, int(first)).run()


class _Partial:
    """One reduction loop."""

    def __init__(self, primitive: Reassociate, loop: For, count: int) -> None:
        self.primitive, self.loop, self.count = primitive, loop, count
        self.what = f"reassociate: loop {primitive.label}"
        require(loop.kind.data == "reduction", f"{self.what} is no reduction")
        require(loop.stride == 1 and loop.run.data == "serial", f"{self.what} has a step or is {loop.run.data}")
        self.top = loop
        while self.top.tag != primitive.at:
            parent = self.top.parent_op()
            alone = isinstance(parent, For) and parent.body.block.first_op is parent.body.block.last_op
            require(alone, f"{self.what} does not stand alone in {primitive.at}")
            assert isinstance(parent, For)
            require(parent.kind.data == "reduction", f"{self.what}: {parent.tag} is no reduction")
            self.top = parent
        stores = [op for op in accesses(loop) if isinstance(op, Store)]
        require(
            len(stores) == 1 and stores[0].parent_op() is loop, f"{self.what} does more than combine into one element"
        )
        self.store = stores[0]
        combine = self.store.value.owner
        require(
            isinstance(combine, Operation) and type(combine) in NEUTRAL, f"{self.what} does not combine by + * max min"
        )
        assert isinstance(combine, Operation)
        self.combine = combine
        require(
            combine.parent_op() is loop and self.store.value.has_one_use(), f"{self.what}: the result is used again"
        )
        old = [op for op in accesses(loop, self.store.buffer) if isinstance(op, Load)]
        same = len(old) == 1 and old[0].exprs == self.store.exprs and list(old[0].indices) == list(self.store.indices)
        require(
            same and old[0].value.has_one_use() and old[0].value in combine.operands, f"{self.what} reads the result"
        )
        self.old = old[0]
        within = {x.iv for x in walk(self.top) if isinstance(x, For)}
        require(not any(v in within for v in self.store.indices), f"{self.what} combines into several elements")
        self.result = self.store.buffer
        self.element = self.store.type.element_type
        self.scalar = self.store.value.type

    def run(self) -> None:
        p, loop, count = self.primitive, self.loop, self.count
        length = loop.upper - loop.lower
        whole = length // count * count
        if whole == 0:
            require(len(p.sizes) > 1, f"{self.what} is shorter than {count}")
            return
        require(
            whole == length or len(p.sizes) > 1, f"{self.what} is not a multiple of {count}: let the sizes end in 1"
        )
        spread = whole != length and p.sizes[1:] == ("rest",)
        end = loop.lower + whole
        partial = Alloc(p.name, BufferType.of([count], self.element, "stack"))
        totals = [
            Alloc(f"{p.name}.sum{f'.{i}' if i else ''}", BufferType.of([n], self.element, "stack"))
            for i, n in enumerate(self.levels() if p.team else [2 * count - 1])
        ]
        start = For((0, count), p.inner, "parallel")
        before(self.top, [partial, *totals, start])
        neutral = arith.ConstantOp(self.neutral())
        start.body.block.add_ops([neutral, Store(neutral.result, partial.buffer, ([Expr.dim(0)], [start.iv]))])
        if whole != length and not spread:
            rest = copied(self.top)  # what is left over, one by one
            before(self.top, [rest])
            left = next(x for x in walk(rest) if isinstance(x, For) and x.tag == loop.tag)
            left.set_indices((end, loop.upper), list(loop.indices))
            left.properties["label"] = type(left.label)(f"{p.outer}.rest")
        indices = ([*self.old.exprs], list(self.old.indices))
        outer = loop.like(bounds=(loop.lower, end), step=count, label=p.outer)
        inner = For((0, count), p.inner, "parallel")
        before(loop, [outer])
        outer.body.block.add_op(inner)
        last = outer
        if spread:
            last = For((0, length - whole), f"{p.inner}.rest", "parallel", operands=list(loop.indices))
            before(loop, [last])
            other = copied(loop)
            before(loop, [other])
            self.partially(other, partial.buffer, last)
            move_body(other, last, end + Expr.dim(len(loop.indices)), [*loop.indices, last.iv])
            erase(other)
        self.partially(loop, partial.buffer, inner)
        move_body(loop, inner, Expr.dim(0) + Expr.dim(1), [outer.iv, inner.iv])
        erase(loop)
        top = last if self.top is loop else self.top
        assert top.parent is not None
        buffers = [partial.buffer, *(t.buffer for t in totals)]
        combined, last = self.by_teams(buffers) if p.team else self.by_halves(*buffers)
        top.parent.insert_ops_after([*combined, *self.finish(last, indices)], top)

    def levels(self) -> list[int]:
        """How many results there are each time that teams have combined those before."""
        found, count = list[int](), self.count
        while count > 1:
            count = max(1, count // self.primitive.team)
            found.append(count)
        return found

    def partially(self, loop: For, partial: SSAValue, lanes: For) -> None:
        """Let the loop's body combine into the partial result of the iteration of `lanes`, which will take it."""
        ops = [op for op in accesses(loop, self.result) if op.parent_op() is loop]
        (old,) = [op for op in ops if isinstance(op, Load)]
        (store,) = [op for op in ops if isinstance(op, Store)]
        lane = ([Expr.dim(0)], [lanes.iv])
        mine = Load(partial, lane)
        before(old, [mine])
        old.value.replace_all_uses_with(mine.value)
        erase(old)
        before(store, [Store(store.value, partial, lane)])
        erase(store)

    def by_halves(self, partial: SSAValue, total: SSAValue) -> tuple[list[Operation], Load]:
        """Combine the partial results, half with half; the load of the last one."""
        p, count = self.primitive, self.count
        copy = For((0, count), p.inner, "parallel")
        at = ([Expr.dim(0)], [copy.iv])
        value = Load(partial, at)
        copy.body.block.add_ops([value, Store(value.value, total, at)])
        ops: list[Operation] = [copy]
        base = 0
        while (count := count // 2) > 0:
            half = For((0, count), f"{p.name}.half", "parallel")
            a, b, to = (([Expr.dim(0) + base + i * count], [half.iv]) for i in range(3))
            low, high = Load(total, a), Load(total, b)
            new = self.combined(low.value, high.value)
            half.body.block.add_ops([low, high, new, Store(new.results[0], total, to)])
            ops.append(half)
            base += 2 * count
        return ops, Load(total, ([Expr.const(base)], []))

    def by_teams(self, buffers: Sequence[SSAValue]) -> tuple[list[Operation], Load]:
        """Combine the values of each buffer, a team's at a time, in the next one; the load of the last one."""
        name, ops, count = self.primitive.name, list[Operation](), self.count
        for source, total, made in zip(buffers, buffers[1:], self.levels(), strict=False):
            team, size = For((0, made), f"{name}.team", "parallel"), count // made
            lane = For((0, size), f"{name}.lane", "reduction")
            neutral = arith.ConstantOp(self.neutral())
            to = ([Expr.dim(0)], [team.iv])
            team.body.block.add_ops([neutral, Store(neutral.result, total, to), lane])
            old, value = Load(total, to), Load(source, ([Expr.dim(0) * size + Expr.dim(1)], [team.iv, lane.iv]))
            new = self.combined(old.value, value.value)
            lane.body.block.add_ops([old, value, new, Store(new.results[0], total, to)])
            ops.append(team)
            count = made
        return ops, Load(buffers[-1], ([Expr.const(0)], []))

    def finish(self, last: Load, indices: tuple[list[Expr], list[SSAValue]]) -> list[Operation]:
        """Combine the last partial result with the result."""
        old = Load(self.result, indices)
        new = self.combined(old.value, last.value)
        return [old, last, new, Store(new.results[0], self.result, indices)]

    def combined(self, a: SSAValue, b: SSAValue) -> Operation:
        return type(self.combine).create(
            operands=[a, b], result_types=[self.scalar], properties=dict(self.combine.properties)
        )

    def neutral(self) -> Any:
        """The value that changes nothing."""
        value = NEUTRAL[type(self.combine)]
        if is_float(self.scalar):
            return FloatAttr(float(value), self.scalar)  # pyright: ignore
        assert isinstance(self.scalar, IntegerType)
        bits = self.scalar.width.data
        if value is None:
            value = -(1 << bits - 1) if isinstance(self.combine, arith.MaxSIOp) else (1 << bits - 1) - 1
        return IntegerAttr(value, self.scalar)
