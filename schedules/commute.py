"""The primitive commute: reductions around each other change places, and with them the order of a sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.ir import Operation

from ..dialects.loop.ops import For, Load, Store
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from ..ir.operands import walk
from .analysis import accesses, loops_of, require
from .primitive import Primitive
from .reassociate import NEUTRAL
from .rewrite import add, before, erase, replace_variable


@dataclass(frozen=True)
class Commute(Primitive):
    """`for x {for y {out = out + f(x, y)}}` → `for y {for x {out = out + f(x, y)}}`, and so past the next label.

    The order of a reduction changes, so results may differ by rounding; the new order is fixed. Legal where each of the
    loops is all that is in the one around it, both are reductions, the bounds of the inner one do not depend on the
    outer one, and what they do is combine into elements that are the same for all of their iterations, by + * max min,
    `or` or `and`."""

    label: str
    past: tuple[str, ...]
    form: ClassVar[str] = "commute <label> past <past...>"

    def apply(self, kernel: Kernel) -> None:
        for target in self.past:
            for loop in loops_of(kernel, self.label):
                self.swap(loop, target)

    def swap(self, x: For, target: str) -> None:
        y = x.body.block.first_op
        alone = isinstance(y, For) and y.tag == target and y is x.body.block.last_op
        require(alone, f"commute: a loop {target} is not all that is in a loop {self.label}")
        assert isinstance(y, For)
        require(x.iv not in y.indices, f"commute: the bounds of {target} depend on {self.label}")
        for loop in (x, y):
            require(loop.kind.data == "reduction", f"commute: {loop.tag} is no reduction")
            require(loop.run.data in ("serial", "unrolled"), f"commute: loop {loop.tag} is {loop.run.data}")
        check_combines(x, (x, y), f"commute: loop {self.label}")
        outer, inner = y.like(), x.like()
        before(x, [outer])
        outer.body.block.add_op(inner)
        add(inner.body.block, y.body.block.ops)
        replace_variable(y.iv, Expr.dim(0), [outer.iv])
        replace_variable(x.iv, Expr.dim(0), [inner.iv])
        erase(x)


def check_combines(root: For, loops: tuple[For, ...], what: str) -> None:
    """Raises ScheduleError unless all that is done below is combine into elements, the same for all iterations of the
    loops, in a way that the order does not matter."""
    stores = [op for op in accesses(root) if isinstance(op, Store)]
    require(len(stores) == 1, f"{what} stores {len(stores)} times")
    (store,) = stores
    combine = store.value.owner
    known = isinstance(combine, Operation) and type(combine) in NEUTRAL and store.value.has_one_use()
    require(known, f"{what} does not combine by + * max min")
    assert isinstance(combine, Operation)
    old = [op for op in accesses(root, store.buffer) if isinstance(op, Load)]
    same = len(old) == 1 and old[0].exprs == store.exprs and list(old[0].indices) == list(store.indices)
    same = same and old[0].value.has_one_use() and old[0].value in combine.operands
    require(same and old[0].steps == store.steps, f"{what} reads the result")
    inside = [v for v in store.indices if isinstance(v.owner, Operation) and root.is_ancestor(v.owner)]
    varies = any(loop.iv in store.indices for loop in loops)
    require(not varies and not inside, f"{what} combines into several elements")
    require(not any(op.regions and not isinstance(op, For) for op in walk(root)), f"{what} is more than loops")
