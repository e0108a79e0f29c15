"""The primitive replace: a nest that is the meaning of a machine's instruction becomes that instruction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, ClassVar

from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.loop.alloc import Alloc
from ..dialects.loop.instruction import Instruction, Invoke, Window
from ..dialects.loop.ops import For, Load, Store
from ..dialects.loop.program import Kernel
from ..errors import ScheduleError
from ..ir.expr import Expr
from ..ir.operands import walk
from ..ir.types import BufferType
from .analysis import Numbering, form_of, interval, loops_of, name_of, require, value_range
from .primitive import Primitive
from .rewrite import before, erase

COMMUTE = (arith.AddfOp, arith.MulfOp, arith.AddiOp, arith.MuliOp, arith.MaximumfOp, arith.MinimumfOp)


@dataclass(frozen=True)
class Replace(Primitive):
    """A nest of loops → the instruction whose meaning it is, on windows of its buffers.

    The nest is compared with the declared meaning, operation by operation: loops of the same kind (their bounds give
    the sizes), scalar operations that are the same but for the order of a sum's or product's operands, and accesses
    whose indices step evenly with the loops. Where the instruction has more loops, those have one iteration.
    Legal where all of that is so, every size is known to be at most the largest one, and the buffers are of the memory
    spaces and element types of the instruction, and are distinct where one is written. An instruction whose loads have
    an `else` does for loads that have none."""

    label: str
    instruction: str
    form: ClassVar[str] = "replace <label> by <instruction>"

    def apply(self, kernel: Kernel) -> None:
        instruction = instruction_of(kernel, self.instruction)
        for loop in loops_of(kernel, self.label):
            require(loop.run.data != "concurrent", f"replace: loop {self.label} is concurrent")
            before(loop, [invocation(kernel, instruction, loop)])
            erase(loop)


def invocation(kernel: Kernel, instruction: Instruction, loop: For) -> Invoke:
    """The instruction that a nest is. Raises ScheduleError where it is not.

    Where the nest has fewer loops, those that are missing have one iteration: the outer ones, if that fits."""
    loops = [op for op in walk(instruction) if isinstance(op, For)]
    spare = _depth(list(instruction.body.block.ops)) - _depth([loop])
    first: ScheduleError | None = None
    for missing in combinations(loops, max(spare, 0)):
        try:
            return _Match(kernel, instruction, loop, missing).invocation()
        except ScheduleError as error:
            first = first or error
    assert first is not None
    raise first


def instruction_of(kernel: Kernel, name: str) -> Instruction:
    """The instruction of a name. Raises ScheduleError where the kernel's module declares none."""
    module = kernel.parent_op()
    declared = [op for op in module.body.ops if isinstance(op, Instruction)] if isinstance(module, ModuleOp) else []
    found = next((op for op in declared if op.sym_name.data == name), None)
    names = ", ".join(op.sym_name.data for op in declared) or "none"
    require(found is not None, f"there is no instruction {name}; the module declares {names}")
    assert found is not None
    return found


@dataclass
class _Match:
    """An instruction's meaning laid over a nest."""

    kernel: Kernel
    instruction: Instruction
    nest: For
    missing: Sequence[For]  # loops of the instruction that have one iteration
    loops: dict[SSAValue, For] = field(default_factory=dict[SSAValue, For])  # of the instruction's variables
    values: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])
    windows: dict[SSAValue, Window] = field(default_factory=dict[SSAValue, Window])
    sizes: dict[str, Expr] = field(default_factory=dict[str, Expr])
    seen: set[tuple[SSAValue, SSAValue]] = field(default_factory=set[tuple[SSAValue, SSAValue]])

    def __post_init__(self) -> None:
        self.what = f"replace: loop {self.nest.tag} is not {self.instruction.sym_name.data}:"
        self.numbering = Numbering()
        for loop in self.missing:
            self.size(loop, Expr.const(1))
        self.block(list(self.instruction.body.block.ops), [self.nest])

    def there(self, ops: Iterable[Operation]) -> Iterator[Operation]:
        """The operations, with the bodies of the loops that are missing in their place."""
        for op in ops:
            if op in self.missing and isinstance(op, For):
                yield from self.there(op.body.block.ops)
            elif isinstance(op, For | Store | Alloc | Invoke):
                yield op

    def block(self, meaning: Sequence[Operation], ops: Sequence[Operation]) -> None:
        """Loops and stores in order; what stores store is compared from there."""
        mine, its = list(self.there(meaning)), [op for op in ops if isinstance(op, For | Store | Alloc | Invoke)]
        require([type(op) for op in mine] == [type(op) for op in its], self.what, "it does other things")
        require(len(its) < 2 or not any(isinstance(op, Store) for op in its), self.what, "it stores more than once")
        last = its[-1].next_op if its and isinstance(its[-1], Store) else None
        require(last is None, self.what, "it reads behind a store")
        for a, b in zip(mine, its, strict=True):
            if isinstance(a, For) and isinstance(b, For):
                self.loop(a, b)
            elif isinstance(a, Store) and isinstance(b, Store):
                require(b.lanes == 1, self.what, "it works on vectors")
                require(a.tolerant == b.tolerant, self.what, "one of them skips what is outside")
                self.access(a, b)
                self.value(a.value, b.value)

    def loop(self, a: For, b: For) -> None:
        require(a.kind == b.kind, self.what, f"loop {b.tag} is {b.kind.data}, not {a.kind.data}")
        require(b.stride == 1 and b.run.data in ("serial", "unrolled"), self.what, f"loop {b.tag} has steps or lanes")
        low, high = self.numbering.exprs(b)
        self.size(a, high - low)
        self.loops[a.iv] = b
        self.block(list(a.body.block.ops), list(b.body.block.ops))

    def value(self, mine: SSAValue, its: SSAValue) -> None:
        """See that two values are the same function of what the windows hold."""
        if self.values.setdefault(mine, its) is its and (mine, its) in self.seen:
            return
        require(self.values[mine] is its or isinstance(its.owner, arith.ConstantOp), self.what, "it uses other values")
        a, b = mine.owner, its.owner
        require(isinstance(b, Operation) and type(a) is type(b), self.what, "it computes something else")
        if isinstance(a, Load) and isinstance(b, Load):
            require(b.lanes == 1, self.what, "it works on vectors")
            self.access(a, b)
            if b.otherwise is not None:
                require(a.otherwise is not None, self.what, "it may read outside of a buffer")
                assert a.otherwise is not None
                self.value(a.otherwise, b.otherwise)
        else:
            assert isinstance(a, Operation) and isinstance(b, Operation)
            same = a.properties == b.properties and a.attributes == b.attributes and mine.type == its.type
            require(same and not a.regions, self.what, f"its {b.name} is another one")
            kept = self.state()
            try:
                self.values_of(a, list(b.operands))
            except ScheduleError:
                if not isinstance(b, COMMUTE):
                    raise
                self.restore(kept)
                self.values_of(a, list(b.operands)[::-1])
        self.seen.add((mine, its))

    def values_of(self, a: Operation, operands: Sequence[SSAValue]) -> None:
        for mine, its in zip(a.operands, operands, strict=True):
            self.value(mine, its)

    def state(self) -> tuple[Any, ...]:
        return dict(self.values), dict(self.windows), set(self.seen)

    def restore(self, state: tuple[Any, ...]) -> None:
        self.values, self.windows, self.seen = state

    def size(self, loop: For, length: Expr) -> None:
        """A loop of the instruction goes over a length, in the numbering."""
        require(loop.lower.constant == 0, self.what, f"its loop {loop.tag} does not begin at 0")
        atom = loop.upper.single
        if atom is None or atom.kind != "symbol":
            require(loop.upper == length, self.what, f"its loop {loop.tag} has {loop.upper} iterations")
            return
        name = atom.args[0]
        known = self.sizes.setdefault(name, length)
        require(known == length, self.what, f"{name} would be {known} and {length}")

    def access(self, a: Load | Store, b: Load | Store) -> None:
        """Bind a window, or see that it is the one that is bound."""
        arg, buffer = a.buf, b.buf
        window, type_ = arg.type, buffer.type
        assert isinstance(window, BufferType) and isinstance(type_, BufferType)
        name = name_of(self.kernel, buffer)
        same = (type_.space, type_.element_type) == (window.space, window.element_type)
        require(same, self.what, f"{name} is {type_}, where the instruction takes {window}")
        lows = {self.numbering.number(x.iv): self.numbering.exprs(x)[0] for x in self.loops.values()}
        forms = [form_of(e, lows) for e in self.numbering.exprs(b)]
        require(None not in forms, self.what, f"{name} moves unevenly")
        base: list[Expr] = []
        left: list[dict[int, int]] = []
        for form in forms:
            assert form is not None
            start = sum((lows[d] * c for d, c in form.coefficients.items()), form.base)
            require(not start.dims & lows.keys(), self.what, f"{name} moves unevenly")
            base.append(start)
            left.append({d: c for d, c in form.coefficients.items() if c})
        steps: list[tuple[int, ...]] = []
        for e in a.exprs:
            variable = None if e.constant == 0 else list(a.indices)[next(iter(e.dims))]
            loop = None if variable is None else self.loops.get(variable)
            number = -1 if loop is None else self.numbering.number(loop.iv)
            steps.append(tuple(coefficients.pop(number, 0) for coefficients in left))
        require(not any(left), self.what, f"{name} moves with a loop with which its window does not")
        found = Window(buffer, tuple(base), tuple(steps))
        require(self.windows.setdefault(arg, found) == found, self.what, f"{name} is accessed at several places")

    def invocation(self) -> Invoke:
        """The instruction, on what it was laid over."""
        operands = list(self.numbering.values)
        for name, most in self.instruction.limits.items():
            size = self.sizes.get(name, Expr.const(1))
            high = interval(size, lambda d: value_range(operands[d]))[1]
            require(high is not None and high <= most, self.what, f"{name} is {size}, which may be more than {most}")
        windows = [self.windows[arg] for arg in self.instruction.args]
        written = windows[len(windows) - self.instruction.outputs.data :]
        buffers = [w.buffer for w in windows]
        require(all(buffers.count(w.buffer) == 1 for w in written), self.what, "it writes a buffer that it also reads")
        sizes = [self.sizes.get(name, Expr.const(1)) for name in self.instruction.sizes]
        found = Invoke(self.instruction.sym_name.data, windows, sizes, operands)
        inside = [v for v in found.indices if isinstance(p := v.owner, Block) and self.nest.is_ancestor(p)]
        require(not inside, self.what, "its sizes depend on its own loops")
        return found


def _depth(ops: Sequence[Operation]) -> int:
    """Loops around the innermost operation."""
    return max((1 + _depth(list(op.body.block.ops)) for op in ops if isinstance(op, For)), default=0)
