"""Primitives that rearrange loops: split, block, sink, fuse, peel, inline, unroll, parallel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xdsl.dialects import arith
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

from ..dialects.loop.ops import For, Index
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr, minimum
from ..ir.operands import copied, walk
from .analysis import loops_of, name_of, require, stores_conflict
from .primitive import Primitive, number_of, sizes_of
from .rewrite import add, before, erase, move_body, replace_variable


@dataclass(frozen=True)
class Split(Primitive):
    """`for x in D {S}` → `for outer in D step s { for inner in 0..s {S[outer + inner]} }`, for each size s in turn over
    what the sizes before it left.

    The same iterations in the same order: always legal. The sizes must cover D: a constant size that divides, `rest`
    (one trip over all that is left, of a constant D), or a last size of 1."""

    label: str
    sizes: tuple[int | str, ...]
    outer: str
    inner: str
    form: ClassVar[str] = "split <label> <sizes> -> <outer> <inner>"

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        return cls(**(values | {"sizes": sizes_of(str(values["sizes"]), "split")}))  # pyright: ignore

    def apply(self, kernel: Kernel) -> None:
        for loop in loops_of(kernel, self.label):
            self.split(loop)

    def split(self, loop: For) -> None:
        require(loop.stride == 1, "split: loop", self.label, "has a step already")
        require(loop.run.data == "serial", "split: loop", self.label, "is", loop.run.data)
        parts: list[tuple[Expr, Expr, int]] = []
        low, high = loop.lower, loop.upper
        empty = (high - low).constant is not None and ((high - low).constant or 0) <= 0
        for given in self.sizes if not empty else ():
            left = (high - low).constant
            if left == 0:
                break
            if given == "rest":
                require(left is not None, f"split {self.label}: `rest` needs constant bounds")
            size = (left or 1) if given == "rest" else int(given)
            end = high if size == 1 else low + (high - low) // size * size
            if end != low:
                parts.append((low, end, size))
            low = end
        require(empty or low == high, f"split: the sizes {self.spell(self.sizes)} do not cover loop {self.label}")
        operands = list(loop.indices)
        for i, (start, end, size) in enumerate(parts):
            source = loop if i + 1 == len(parts) else copied(loop)
            outer = loop.like(bounds=(start, end), step=size, label=self.outer, operands=operands)
            inner = For((0, size), self.inner, loop.kind.data)
            before(loop, [outer])
            outer.body.block.add_op(inner)
            move_body(source, inner, Expr.dim(0) + Expr.dim(1), [outer.iv, inner.iv])
        erase(loop)


@dataclass(frozen=True)
class Block(Primitive):
    """`for x in lo..hi {S}` → `for outer in lo..hi step s { for inner in 0..min(s, hi - outer) {S[outer + inner]} }`.

    Always legal, like split, and for any bounds, but the inner loop's are constant only where s divides."""

    label: str
    size: int
    outer: str
    inner: str
    form: ClassVar[str] = "block <label> <size> -> <outer> <inner>"

    @classmethod
    def of(cls, values: dict[str, str | tuple[str, ...] | bool]) -> Self:
        return cls(**(values | {"size": number_of(str(values["size"]), "block")}))  # pyright: ignore

    def apply(self, kernel: Kernel) -> None:
        for loop in loops_of(kernel, self.label):
            require(loop.stride == 1, "block: loop", self.label, "has a step already")
            require(loop.run.data == "serial", "block: loop", self.label, "is", loop.run.data)
            operands = list(loop.indices)
            outer = loop.like(step=self.size, label=self.outer)
            length = loop.upper - loop.lower
            if length % self.size == 0:
                inner = For((0, self.size), self.inner, loop.kind.data)
            elif (total := length.constant) is not None and total < self.size:
                inner = For((0, max(total, 0)), self.inner, loop.kind.data)
            else:
                left = minimum(self.size, loop.upper - Expr.dim(len(operands)))
                inner = For((0, left), self.inner, loop.kind.data, operands=[*operands, outer.iv])
            before(loop, [outer])
            outer.body.block.add_op(inner)
            move_body(loop, inner, Expr.dim(0) + Expr.dim(1), [outer.iv, inner.iv])
            erase(loop)


@dataclass(frozen=True)
class Sink(Primitive):
    """`for x {S; for y {T}}` → `for x {S}; for y {for x {T}}`: distribute x over its body, and interchange it with the
    loops called y; then with the next label.

    Legal when x is parallel (it carries no dependence). Another loop may pass a parallel loop that is its whole body,
    never one that is not: that would change the order."""

    label: str
    past: tuple[str, ...]
    form: ClassVar[str] = "sink <label> past <past...>"

    def apply(self, kernel: Kernel) -> None:
        for target in self.past:
            found = False
            for loop in loops_of(kernel, self.label):
                if any(isinstance(op, For) and op.tag == target for op in loop.body.block.ops):
                    self.sink(loop, target)
                    found = True
            require(found, f"sink: no loop {target} stands right in a loop {self.label}")

    def sink(self, x: For, target: str) -> None:
        require(x.run.data != "concurrent", f"sink: loop {self.label} is concurrent")
        copy_pure(x)
        parts: list[list[Operation]] = []  # each loop alone, other ops together
        for op in x.body.block.ops:
            if isinstance(op, For) or not parts or isinstance(parts[-1][0], For):
                parts.append([op])
            else:
                parts[-1].append(op)
        alone = len(parts) == 1 and isinstance(parts[0][0], For) and parts[0][0].is_parallel
        require(x.is_parallel or alone, f"sink: {self.label} is not parallel and would pass {target}")
        where = {op: i for i, part in enumerate(parts) for top in part for op in walk(top)}
        for i, part in enumerate(parts):
            uses = [use.operation for op in part for r in op.results for use in r.uses]
            require(all(where.get(u) == i for u in uses), f"sink: a value crosses the parts of loop {self.label}")
        for part in parts:
            y = part[0]
            copy = x.like()
            if isinstance(y, For) and y.tag == target:
                require(x.iv not in y.indices, f"sink: the bounds of {target} depend on {self.label}")
                require(y.run.data != "concurrent", f"sink: loop {target} is concurrent")
                outer = y.like()
                before(x, [outer])
                outer.body.block.add_op(copy)
                add(copy.body.block, y.body.block.ops)
                replace_variable(y.iv, Expr.dim(0), [outer.iv])
                erase(y)
            else:
                before(x, [copy])
                add(copy.body.block, part)
            for op in copy.body.block.walk():
                if any(v is x.iv for v in op.operands):
                    op.operands = [copy.iv if v is x.iv else v for v in op.operands]
        erase(x)


def copy_pure(loop: For) -> None:
    """Give each op of a loop's body its own copy of the constants and index values that stand in that body."""
    if not any(isinstance(op, For) for op in loop.body.block.ops):
        return
    for op in [op for op in loop.body.block.ops if isinstance(op, arith.ConstantOp | Index)]:
        result = op.results[0]
        tops: dict[Operation, list[Operation]] = {}
        for use in result.uses:
            top = use.operation
            while top.parent_op() is not loop:
                parent = top.parent_op()
                assert parent is not None
                top = parent
            tops.setdefault(top, []).append(use.operation)
        for top, users in tops.items():
            own = copied(op)
            if isinstance(top, For):
                assert top.body.block.first_op is not None
                before(top.body.block.first_op, [own])
            else:
                before(top, [own])
            for user in users:
                user.operands = [own.results[0] if v is result else v for v in user.operands]
        erase(op)


@dataclass(frozen=True)
class Fuse(Primitive):
    """`for x {S}; for x {T}` → `for x {S; T}`, for neighbours with equal bounds.

    Legal when x is parallel and cuts each buffer that one of them writes and both touch into slices that stay apart."""

    label: str
    form: ClassVar[str] = "fuse <label>"

    def apply(self, kernel: Kernel) -> None:
        for first in loops_of(kernel, self.label):
            if first.parent is None:
                continue
            while isinstance(other := first.next_op, For) and same_header(first, other):
                require(first.is_parallel, f"fuse: {self.label} is not parallel")
                crossing = stores_conflict([first, other])
                if crossing is not None:
                    require(False, f"fuse: iterations of {self.label} meet in {name_of(kernel, crossing)}")
                move_body(other, first)
                erase(other)


def same_header(a: For, b: For) -> bool:
    return a.properties == b.properties and list(a.indices) == list(b.indices)


@dataclass(frozen=True)
class Peel(Primitive):
    """`for x in lo..hi {S}` → `for new in lo..lo + step {S}; for x in lo + step..hi {S}`, of the first loop of the
    label. Always legal."""

    label: str
    new: str
    form: ClassVar[str] = "peel <label> as <new>"

    def apply(self, kernel: Kernel) -> None:
        loop = loops_of(kernel, self.label)[0]
        s = loop.static
        require(s is not None and loop.trip, f"peel: loop {self.label} has no first iteration that is known")
        require(loop.run.data != "concurrent", f"peel: loop {self.label} is concurrent")
        assert s is not None
        low, high, step = s
        first = loop.like(bounds=(low, min(low + step, high)), label=self.new)
        before(loop, [first])
        if low + step >= high:
            move_body(loop, first)
            erase(loop)
            return
        move_body(copied(loop), first)
        loop.set_indices((low + step, high), [])


@dataclass(frozen=True)
class Inline(Primitive):
    """A loop of one trip → its body. Always legal."""

    label: str
    form: ClassVar[str] = "inline <label>"

    def apply(self, kernel: Kernel) -> None:
        for loop in loops_of(kernel, self.label):
            require(loop.trip == 1, f"inline: loop {self.label} has not one trip")
            require(loop.run.data != "concurrent", f"inline: loop {self.label} is concurrent")
            replace_variable(loop.iv, loop.lower, [])
            for op in list(loop.body.block.ops):
                op.detach()
                before(loop, [op])
            erase(loop)


@dataclass(frozen=True)
class Unroll(Primitive):
    """Mark loops for unrolling when code is emitted; the IR stays rolled. Legal for constant bounds."""

    labels: tuple[str, ...]
    form: ClassVar[str] = "unroll <labels...>"

    def apply(self, kernel: Kernel) -> None:
        for label in self.labels:
            for loop in loops_of(kernel, label):
                require(loop.static is not None, f"unroll: the bounds of loop {label} are no numbers")
                require(loop.run.data != "concurrent", f"unroll: loop {label} is concurrent")
                loop.properties["run"] = StringAttr("unrolled")


@dataclass(frozen=True)
class Parallel(Primitive):
    """Share the iterations of a loop among threads; each is one chunk. Legal for loops of parallel kind that stand in
    no other loop."""

    label: str
    form: ClassVar[str] = "parallel <label>"

    def apply(self, kernel: Kernel) -> None:
        for loop in loops_of(kernel, self.label):
            require(loop.is_parallel, f"parallel: {self.label} is not parallel")
            require(not isinstance(loop.parent_op(), For), f"parallel: loop {self.label} stands in another loop")
            require(loop.run.data == "serial", f"parallel: loop {self.label} is {loop.run.data}")
            loop.properties["run"] = StringAttr("concurrent")


@dataclass(frozen=True)
class Lanes(Primitive):
    """Share the iterations of loops among the work items of a group, which wait for each other at the end; what is
    staged outside of such a loop they share. Legal for loops of parallel kind that stand in another loop; loops of this
    kind right inside of each other are shared together."""

    labels: tuple[str, ...]
    form: ClassVar[str] = "lanes <labels...>"

    def apply(self, kernel: Kernel) -> None:
        for label in self.labels:
            for loop in loops_of(kernel, label):
                require(loop.is_parallel, f"lanes: {label} is not parallel")
                require(loop.run.data == "serial", f"lanes: loop {label} is {loop.run.data}")
                outer = loop.parent_op()
                require(isinstance(outer, For), f"lanes: loop {label} stands in no other loop")
                assert isinstance(outer, For)
                alone = outer.body.block.first_op is outer.body.block.last_op
                require(outer.run.data != "lanes" or alone, f"lanes: loop {label} stands beside others in {outer.tag}")
                loop.properties["run"] = StringAttr("lanes")
