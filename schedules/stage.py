"""The primitive stage: a window of a buffer gets a private buffer of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, ModuleOp, VectorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.traits import is_side_effect_free

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.instruction import Instruction
from ..dialects.loop.ops import For, Load, Store, loops_around, scalar_of
from ..dialects.loop.prefetch import Prefetch
from ..dialects.loop.program import Kernel
from ..ir.expr import Expr
from ..ir.operands import copied, walk
from ..ir.target import Target
from ..ir.types import BufferType, is_float
from .analysis import Access, Form, Numbering, accesses, buffer_of, form_of, loops_of, range_of, require, spread
from .primitive import Primitive
from .rewrite import before, erase

ADDITIONS = (arith.AddfOp, arith.AddiOp)


@dataclass(frozen=True)
class Stage(Primitive):
    """Inside of each loop `at`, give the window of a buffer that one iteration touches a buffer of its own: copy
    in, work there, copy out.

    Legal when all accesses there name windows that are the same or apart: index = base (outer variables, equal for
    all) + offset (inner loops with constant bounds, lanes). Nothing is copied in where the first access stores the
    whole window, nothing out where nothing is stored or the buffer ends with the iteration (it moves then). In
    space `register`, the loops that move within the window must be unrolled already. Copy loops are named
    `name.label`, after the loops whose window they copy; where several loops move through one dim of what is only read,
    `name.d0`, after the dim.

    `combine`: start from 0 and add to the buffer at the end. Legal where the window is only added to; it reassociates
    one addition."""

    buffer: str
    at: str
    space: str
    name: str
    combine: bool = False
    form: ClassVar[str] = "stage <buffer> at <at> in <space> as <name> [combine]"

    def apply(self, kernel: Kernel) -> None:
        known = spaces_of(kernel)
        require(self.space in known, f"stage: there is no space {self.space} ({', '.join(known)})")
        buffer = buffer_of(kernel, self.buffer)
        require(self.name not in kernel.buffers(), f"stage: a buffer is named {self.name} already")
        type_ = buffer.type
        assert isinstance(type_, BufferType)
        require(type_.space.data != "register", f"stage: {self.buffer} lies in registers already")
        found = False
        for loop in loops_of(kernel, self.at):
            if ops := accesses(loop, buffer):
                _Window(self, loop, buffer, ops).stage()
                found = True
        require(found, f"stage: {self.buffer} is not accessed in a loop {self.at}")


def spaces_of(kernel: Kernel) -> list[str]:
    """The memory spaces of private buffers: those of every machine, and those of the kernel's target or of instructions
    that its module declares."""
    found = ["register", "stack"]
    if isinstance(module := kernel.parent_op(), ModuleOp):
        found += Target.of(module).memories
        windows = [w for op in module.body.ops if isinstance(op, Instruction) for w in op.windows]
        found += [w.space.data for w in windows if w.space.data != "global"]
    return list(dict.fromkeys(found))


def move_inside(loop: For, buffer: SSAValue, name: str, limit: int) -> int:
    """Give what each iteration of a loop touches of a buffer a place of its own, in space `stack`; its size in bytes.

    The caller knows that an iteration reads nothing but what it has written before, and that nobody reads it later.
    Raises ScheduleError, and changes nothing, where an iteration touches no window of a constant size, or one of more
    than `limit` bytes."""
    primitive = Stage(name, loop.tag, "stack", name)
    ops = accesses(loop, buffer)
    require(all(not op.tolerant for op in ops), f"{name} is read where it may be outside")
    window = _Window(primitive, loop, buffer, ops, moves=True)
    size = window.type.bytes.constant
    require(size is not None and size <= limit, f"{name} is more than {limit} bytes")
    assert size is not None
    for hint in [op for op in walk(loop) if isinstance(op, Prefetch) and op.buffer is buffer]:
        erase(hint)  # what lies on the stack is in a cache
    window.stage()
    return size


@dataclass
class _Group:
    """Accesses that touch the same part of the window, in the same shape."""

    ops: list[Access]
    inner: dict[int, For]  # loops around the first one, by number
    forms: list[Form]  # of the first one
    low: list[int]
    high: list[int]

    @property
    def stored(self) -> bool:
        return any(isinstance(op, Store) for op in self.ops)

    @property
    def used(self) -> list[int]:
        """The loops that the first access moves with, outermost first."""
        return [d for d in self.inner if any(f.coefficients.get(d) for f in self.forms)]


class _Window:
    """What one iteration of one loop touches of a buffer."""

    def __init__(
        self, primitive: Stage, loop: For, buffer: SSAValue, ops: list[Access], moves: bool | None = None
    ) -> None:
        self.primitive, self.loop, self.buffer, self.ops = primitive, loop, buffer, ops
        owner = buffer.owner
        inside = isinstance(owner, Alloc) and loop.is_ancestor(owner)
        self.moves = inside if moves is None else moves  # undefined before, as the new one is, and not read behind
        self.numbering = Numbering()
        self.inner: dict[Access, dict[int, For]] = {}
        self.forms: dict[Access, list[Form]] = {}
        self.what = f"stage: the window of {primitive.buffer} in {primitive.at}"
        for op in ops:
            self.analyse(op)
        bases = {tuple(f.base - self.shift(f) for f in forms) for forms in self.forms.values()}
        require(len(bases) == 1, self.what, "has several bases")
        self.base = bases.pop()
        self.groups = self.grouped()
        for i, a in enumerate(self.groups):
            for b in self.groups[:i]:
                if self.moves and not (primitive.space == "register" and a.stored and b.stored):
                    continue  # nothing is copied, and lanes may be loaded from several vectors
                apart = any(
                    ha < lb or hb < la for la, ha, lb, hb in zip(a.low, a.high, b.low, b.high, strict=True)
                )  # fmt: skip
                require(apart, self.what, "is touched in parts that overlap")
        self.low = [min(g.low[d] for g in self.groups) for d in range(len(self.base))]
        sizes = [max(g.high[d] for g in self.groups) - low + 1 for d, low in enumerate(self.low)]
        type_ = buffer.type
        assert isinstance(type_, BufferType)
        self.type = BufferType.of(sizes, type_.element_type, primitive.space)

    def analyse(self, op: Access) -> None:
        indices = self.numbering.exprs(op)
        inner = self.inner[op] = {self.numbering.number(x.iv): x for x in loops_around(op, self.loop)}
        forms: list[Form] = []
        for e in indices:
            form = form_of(e, inner)
            require(form is not None, self.what, "moves unevenly with an inner loop")
            assert form is not None
            for d in form.coefficients:
                require(
                    inner[d].static is not None, self.what, f"grows with {inner[d].tag}, whose bounds are no numbers"
                )
                if self.primitive.space == "register":
                    loop = inner[d]
                    fixed = loop.run.data == "unrolled" or (loop.trip == 1 and loop.run.data == "serial")
                    require(fixed, f"{self.what} moves with {loop.tag}: unroll it before registers hold it")
            forms.append(form)
        for value in op.indices:
            owner = value.owner
            computed = isinstance(owner, Operation) and self.loop.is_ancestor(owner)
            require(not computed, self.what, "depends on data")
        self.forms[op] = forms

    def shift(self, form: Form) -> int:
        """How far an index is from the window's base; where the window is copied, all parts of it have one base."""
        return form.base.terms.get((), 0) if self.moves else 0

    def grouped(self) -> list[_Group]:
        found: dict[object, _Group] = {}
        for op in self.ops:
            inner, forms = self.inner[op], self.forms[op]
            shape = tuple(
                tuple(sorted((c, inner[d].static) for d, c in f.coefficients.items()))  # pyright: ignore
                for f in forms
            )
            key = (shape, op.lanes, op.live, op.steps, *map(self.shift, forms))
            if key in found:
                found[key].ops.append(op)
                continue
            low: list[int] = []
            high: list[int] = []
            for f, step in zip(forms, op.steps, strict=True):
                span = spread(f.coefficients, {d: range_of(inner[d]) for d in f.coefficients})
                assert span is not None
                far = step * (op.lanes - 1)
                low.append(span[0] + min(0, far) + self.shift(f))
                high.append(span[1] + max(0, far) + self.shift(f))
            found[key] = _Group([op], inner, forms, low, high)
        return list(found.values())

    # ---- rewriting

    def stage(self) -> None:
        if self.primitive.combine:
            self.check_combine()
        alloc = Alloc(self.primitive.name, self.type)
        head: list[Operation] = [alloc]
        tail: list[Operation] = []
        require(not (self.moves and self.primitive.combine), self.what, "is private to the iteration")
        for group in self.groups:
            otherwise = self.otherwise(group, group.stored)
            if not self.moves and not self.filled_first(group):
                head += self.copy(group, alloc, otherwise, out=False)
            if group.stored and not self.moves:
                tail += self.copy(group, alloc, None, out=True)
        for op in self.ops:
            self.redirect(op, alloc)
        owner = self.buffer.owner
        if self.moves and isinstance(owner, Alloc) and self.buffer.first_use is None:
            erase(owner)
        first = self.loop.body.block.first_op
        assert first is not None
        before(first, head)
        self.loop.body.block.add_ops(tail)

    def otherwise(self, group: _Group, stored: bool) -> SSAValue | None:
        """The constant that loads of this group give outside of the buffer, None where they are always inside."""
        values = [op.otherwise for op in group.ops if isinstance(op, Load)]
        if stored and any(op.tolerant for op in group.ops):
            require(all(map(self.stays, group.ops)), self.what, "is written, and read outside of the buffer")
        if not any(v is not None for v in values):
            return None
        require(None not in values, self.what, "is read outside of the buffer, and as if it were not")
        texts: set[str] = set()
        for value in values:
            assert value is not None
            owner = value.owner
            source = owner.source.owner if isinstance(owner, vector.BroadcastOp) else owner
            require(isinstance(source, arith.ConstantOp), self.what, "reads outside values that are no constants")
            assert isinstance(source, arith.ConstantOp)
            texts.add(str(source.value))
        require(len(texts) == 1, self.what, "reads different values outside of the buffer")
        return values[0]

    def stays(self, op: Access) -> bool:
        """Whether an access is tolerant, and what it loads comes to nothing but stores to that very element: so nothing
        is seen of what the private buffer holds for places outside of the buffer."""
        if not op.tolerant:
            return False
        seen = list[Operation]([op])
        for found in seen:
            for use in (u.operation for r in found.results for u in r.uses):
                if isinstance(use, Store):
                    here = use.buf is op.buf and use.exprs == op.exprs and list(use.indices) == list(op.indices)
                    if not here or not use.tolerant:
                        return False
                elif not is_side_effect_free(use):
                    return False
                else:
                    seen.append(use)
        return True

    def filled_first(self, group: _Group) -> bool:
        """Whether every element is stored before anything reads it."""
        first = group.ops[0]
        if not isinstance(first, Store) or group.used != list(group.inner):
            return False
        for op in group.ops[1:]:
            for d in group.used:  # inside of a loop that fills, only the element of that iteration may be touched
                if d in self.inner[op]:
                    mine, its = ([f.coefficients.get(d, 0) for f in self.forms[o]] for o in (first, op))
                    if mine != its:
                        return False
        return True

    def local(self, forms: Sequence[Form], variables: Mapping[int, SSAValue]) -> tuple[list[Expr], list[SSAValue]]:
        """The index in the private buffer."""
        order = list(variables)
        exprs: list[Expr] = []
        for form, low in zip(forms, self.low, strict=True):
            total = Expr.const(self.shift(form) - low)
            for d, c in form.coefficients.items():
                total = total + Expr.dim(order.index(d)) * c
            exprs.append(total)
        return exprs, list(variables.values())

    def there(self, forms: Sequence[Form], variables: Mapping[int, SSAValue]) -> tuple[list[Expr], list[SSAValue]]:
        """The index in the buffer itself."""
        numbers = list(self.numbering.values)
        operands = [variables.get(i, v) for i, v in enumerate(numbers)]
        exprs: list[Expr] = []
        for form in forms:
            total = form.base
            for d, c in form.coefficients.items():
                total = total + Expr.dim(d) * c
            exprs.append(total)
        return exprs, operands

    def is_box(self, group: _Group) -> bool:
        """Whether a window is copied as a box, element by element of it: where several loops move through one dim, each
        of them would copy what others copy too. All of a box is inside of the buffer where its corners are."""
        together = any(sum(1 for d in group.used if f.coefficients.get(d)) > 1 for f in group.forms)
        return together and not group.stored and group.ops[0].lanes == 1 and self.primitive.space != "register"

    def box(self, group: _Group, alloc: Alloc, otherwise: SSAValue | None) -> list[Operation]:
        """A loop for each dim of a window that has more than one element, named `name.d0` after the dim."""
        loops: list[For] = []
        here, there = list[Expr](), list[Expr]()
        operands = list(self.numbering.values)
        for dim, (form, low, high) in enumerate(zip(group.forms, group.low, group.high, strict=True)):
            at = Expr.const(0)
            if high > low:
                loops.append(For((0, high - low + 1), f"{self.primitive.name}.d{dim}", "parallel"))
                at = Expr.dim(len(operands) + len(loops) - 1)
            here.append(at + (low - self.low[dim]))
            there.append(at + form.base + low)
        variables = [*operands, *(x.iv for x in loops)]
        ops: list[Operation] = [] if otherwise is None else list(constant_chain(otherwise))
        other = ops[-1].results[0] if ops else None
        value = Load(self.buffer, (there, variables), otherwise=other)
        ops += [value, Store(value.value, alloc.buffer, (here, variables))]
        for x in reversed(loops):
            x.body.block.add_ops(ops)
            ops = [x]
        return ops

    def copy(self, group: _Group, alloc: Alloc, otherwise: SSAValue | None, *, out: bool) -> list[Operation]:
        """The window's own loops around one load and one store."""
        if not out and not self.primitive.combine and self.is_box(group):
            return self.box(group, alloc, otherwise)
        rep = group.ops[0]
        nest = {
            d: group.inner[d].like(kind="parallel", label=f"{self.primitive.name}.{group.inner[d].tag}")
            for d in group.used
        }
        variables: dict[int, SSAValue] = {d: x.iv for d, x in nest.items()}
        here, there = self.local(group.forms, variables), self.there(group.forms, variables)
        type_ = rep.value.type
        steps = rep.steps if rep.lanes > 1 else None
        active = rep.live if rep.live < rep.lanes else None
        ops: list[Operation] = []
        if self.primitive.combine and not out:
            ops += zero(type_)
            ops.append(Store(ops[-1].results[0], alloc.buffer, here, lane_steps=steps))
        elif out:
            value = Load(alloc.buffer, here, type_=type_, lane_steps=steps)
            ops.append(value)
            if self.primitive.combine:
                old = Load(self.buffer, there, type_=type_, lane_steps=steps, active=active)
                total = addition(type_)(old.value, value.value)
                ops += [old, total]
            skip = any(op.tolerant for op in group.ops)
            ops.append(Store(ops[-1].results[0], self.buffer, there, skip=skip, lane_steps=steps, active=active))
        else:
            other: SSAValue | None = None
            if otherwise is not None:
                ops += constant_chain(otherwise)
                other = ops[-1].results[0]
            value = Load(self.buffer, there, type_=type_, otherwise=other, lane_steps=steps, active=active)
            ops += [value, Store(value.value, alloc.buffer, here, lane_steps=steps)]
        for x in reversed(nest.values()):
            x.body.block.add_ops(ops)
            ops = [x]
        return ops

    def redirect(self, op: Access, alloc: Alloc) -> None:
        """Let an access go to the private buffer."""
        inner, forms = self.inner[op], self.forms[op]
        at = self.local(forms, {d: inner[d].iv for d in inner})
        steps = op.steps if op.lanes > 1 else None
        if isinstance(op, Load):
            new = Load(alloc.buffer, at, type_=op.value.type, lane_steps=steps)
            before(op, [new])
            op.value.replace_all_uses_with(new.value)
        else:
            before(op, [Store(op.value, alloc.buffer, at, lane_steps=steps)])
        erase(op)

    def check_combine(self) -> None:
        """All accesses are `x = x + value`, and nothing else sees x."""
        what = f"stage: {self.primitive.buffer} is not only added to in {self.primitive.at}"
        loads: set[Operation] = set()
        for op in self.ops:
            if not isinstance(op, Store):
                continue
            total = op.value.owner
            require(isinstance(total, ADDITIONS) and total.result.has_one_use(), what)
            assert isinstance(total, ADDITIONS)
            old = [v.owner for v in total.operands if isinstance(v.owner, Load) and v.owner.buf is self.buffer]
            require(len(old) == 1 and old[0].value.has_one_use(), what)
            require(old[0].exprs == op.exprs and list(old[0].indices) == list(op.indices), what)
            loads.add(old[0])
        require(all(op in loads for op in self.ops if isinstance(op, Load)) and loads, what)


def zero(type_: Attribute) -> list[Operation]:
    """Ops whose last one gives 0 of a scalar or vector type."""
    scalar = scalar_of(type_)
    attr = FloatAttr(0.0, scalar) if is_float(scalar) else IntegerAttr(0, scalar)  # pyright: ignore
    ops: list[Operation] = [arith.ConstantOp(attr)]
    if isinstance(type_, VectorType):
        ops.append(vector.BroadcastOp(ops[0].results[0], type_))
    return ops


def constant_chain(value: SSAValue) -> Iterable[Operation]:
    """Copies of the constant, and its broadcast, that make a value."""
    owner = value.owner
    assert isinstance(owner, Operation)
    if isinstance(owner, vector.BroadcastOp):
        source = owner.source.owner
        assert isinstance(source, Operation)
        constant = copied(source)
        return [constant, vector.BroadcastOp(constant.results[0], owner.vector.type)]
    return [copied(owner)]


def addition(type_: Attribute) -> type[arith.AddfOp] | type[arith.AddiOp]:
    return arith.AddfOp if is_float(scalar_of(type_)) else arith.AddiOp
