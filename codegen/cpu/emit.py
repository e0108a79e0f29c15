"""loop.kernel → LLVM text, in one walk.

Unrolled loops are walked once per iteration; the cells of buffers in space `register` become SSA values, with phis at
the serial loops that write them; pure text is value-numbered per scope; each address is a chain of pointer steps, every
step placed in the loop that owns its variable. Nothing is left for LLVM's loop passes, and none run.

A kernel k becomes `void @k.kernel(ptr launch, ptr args)`; args holds a pointer per buffer, then a 64-bit integer per
size. Its concurrent loops become `void @k.part0(ptr args, i64 chunk)` and so on, run by the worker pool once per
iteration. Where those may be few, the iterations of the loops right inside are shared with them: `@k.part0.one` is one
of all of these, and a chunk as many as make MOST_CHUNKS. The endings keep kernels apart from each other's parts and
from the functions of libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, NamedTuple

from xdsl.dialects.builtin import IndexType, VectorType
from xdsl.ir import Operation, SSAValue

from ...dialects.loop import Alloc, For, Index, Kernel, Load, Prefetch, Store
from ...dialects.loop.ops import loop_of
from ...dialects.loop.sharing import shared
from ...errors import BackendError
from ...ir.expr import ZERO, Expr
from ...ir.operands import walk
from ...ir.types import BufferType
from .memory import Plan, first_lanes, load_text, memory_type, store_text
from .scalars import ScalarEmitter, is_literal, llvm_type
from .shuffle import assembled
from .text import Lines, Operand, Writer, quoted

MOST_CHUNKS = 64  # of loops that are shared together
MOST_STACK = 1 << 20  # bytes of a function's stack buffers: a worker's stack holds them several times


class Cell(NamedTuple):
    """Elements of a register buffer that one SSA value holds, and always together."""

    buffer: SSAValue
    offset: int
    kind: str  # LLVM type
    step: int  # from one lane's element to the next one's
    live: int  # lanes that hold elements


class FunctionEmitter(Writer):
    """Emits one LLVM function: a kernel's own, or the part that one chunk of a concurrent loop runs."""

    def __init__(self, kernel: Kernel, scalars: ScalarEmitter) -> None:
        super().__init__(scalars.declarations)
        self.kernel, self.scalars = kernel, scalars
        self.env: dict[SSAValue, Operand] = {}
        self.depth: dict[SSAValue, int] = {}
        self.registers: dict[Cell, str] = {}  # what the cells hold
        self.elements: dict[
            tuple[SSAValue, int], tuple[Cell, int]
        ] = {}  # where a register buffer's element is: cell, lane
        self.stored: dict[For, frozenset[SSAValue]] = {}  # buffers from outside of a loop that it stores to
        self.stack = 0  # bytes
        self.version: dict[SSAValue, int] = {}
        self.plans: dict[Operation, Plan] = {}
        self.bodies: dict[For, tuple[list[Operation], bool]] = {}  # of unrolled loops; whether steps go together
        self.ends: dict[Operation, tuple[tuple[SSAValue, ...], SSAValue]] = {}  # operands and result
        self.position: dict[SSAValue, Expr] = {}  # what stands for an index value, over the whole function
        self.values: list[SSAValue] = []
        self.ranges: dict[int, tuple[Expr, Expr]] = {}
        self.counters: dict[int, SSAValue] = {}  # dim that counts the iterations of a strided loop: its variable
        self.label = "entry"
        self.kinds: dict[type[Operation], Callable[[Any], None]] = {
            For: self.loop, Alloc: self.alloc, Load: self.load, Store: self.store, Index: self.index,
            Prefetch: self.prefetch,
        }  # fmt: skip
        for i, arg in enumerate(kernel.args):
            self.env[arg], self.depth[arg] = self.load_argument(i, "ptr"), 0
        for i, name in enumerate(kernel.sizes):
            self.sizes[name] = self.load_argument(len(kernel.args) + i, "i64")
            self.placed[self.sizes[name]] = 0

    def load_argument(self, position: int, kind: str) -> str:
        slot = self.put(f"getelementptr i8, ptr %args, i64 {8 * position}", 0)
        return self.put(f"load {kind}, ptr {slot}, align 8", 0)

    # ---- expressions over dims of the whole function

    def dim(self, value: SSAValue) -> Expr:
        """What stands for an index value: a dim, or `step * counter + lower` for the variable of a strided loop."""
        if (found := self.position.get(value)) is not None:
            return found
        dim = len(self.values)
        self.values.append(value)
        found = self.position[value] = Expr.dim(dim)
        loop = None if isinstance(value.owner, Operation) else value.owner.parent_op()
        if isinstance(loop, For):
            lower, upper = self.globalised(loop.lower, loop.indices), self.globalised(loop.upper, loop.indices)
            if loop.stride > 1 and loop.lower.constant is not None:
                self.counters[dim] = value
                self.ranges[dim] = (Expr.const(0), (upper - lower + (loop.stride - 1)) // loop.stride - 1)
                found = self.position[value] = Expr.dim(dim) * loop.stride + lower
            else:
                self.ranges[dim] = (lower, upper - 1)
        return found

    def dim_depth(self, dim: int) -> int:
        value = self.values[dim]
        return -1 if isinstance(self.env[value], int) else self.depth[value]

    def globalised(self, expr: Expr, operands: Sequence[SSAValue]) -> Expr:
        """An op's expression over the function's dims."""
        return expr.substitute({i: self.dim(v) for i, v in enumerate(operands)}) if expr.dims else expr

    def key_of(self, expr: Expr) -> Hashable | None:
        return (expr, *[self.env[self.values[d]] for d in sorted(expr.dims)]) if expr.dims else expr

    def value_of(self, dim: int) -> Operand:
        """The value of a dim: an index value, or the count of iterations of a strided loop."""
        value = self.env[self.values[dim]]
        if dim not in self.counters:
            return value
        loop = loop_of(self.counters[dim])
        low = loop.lower.constant or 0
        if isinstance(value, int):
            return (value - low) // loop.stride
        depth = self.depth[self.values[dim]]
        moved = self.arithmetic("add", value, -low, depth)
        return self.put(f"udiv exact i64 {moved}, {loop.stride}", depth)

    # ---- operations

    def block(self, ops: Sequence[Operation]) -> None:
        for op in ops:
            self.op(op)

    def op(self, op: Operation) -> None:
        if (own := self.kinds.get(type(op))) is not None:
            own(op)
            return
        if not op.results:
            raise BackendError(
                f"kernel {self.kernel.sym_name.data}: there is no code for {op.name}",
                hint="the pass expand-instructions writes a machine's instructions out as loops",
            )
        if (ends := self.ends.get(op)) is None:  # an unrolled loop visits an op many times
            ends = self.ends[op] = (tuple(op.operands), op.results[0])
        self.bind(ends[1], self.scalars.emit(op, [str(self.env[o]) for o in ends[0]], self.put))

    def bind(self, value: SSAValue, operand: Operand) -> None:
        if isinstance(operand, str) and is_literal(operand) and isinstance(value.type, IndexType):
            operand = int(operand)
        self.env[value] = operand
        self.depth[value] = len(self.scopes) - 1

    def index(self, op: Index) -> None:
        base = self.integer(self.globalised(op.expr, op.indices))
        if op.lanes == 1:
            self.bind(op.value, base)
            return
        assert op.lane_step is not None and isinstance(op.value.type, VectorType)
        t = llvm_type(op.value.type)
        start = self.scalars.broadcast(str(base), op.value.type.element_type, op.value.type, self.put)
        steps = ", ".join(f"i64 {i * op.lane_step.data}" for i in range(op.lanes))
        self.bind(op.value, self.put(f"add {t} {start}, <{steps}>"))

    # ---- loops

    def loop(self, op: For) -> None:
        trip = op.trip
        if trip == 0:
            return
        if op.run.data != "concurrent" and (trip == 1 or op.run.data == "unrolled"):
            assert op.static is not None
            self.unrolled(op, range(*op.static))
            return
        lower = self.integer(self.globalised(op.lower, op.indices))
        upper = self.integer(self.globalised(op.upper, op.indices))

        def body(iv: str) -> None:
            self.env[op.iv], self.depth[op.iv] = iv, len(self.scopes) - 1
            self.block(list(op.body.block.ops))

        self.counted(lower, upper, op.stride, trip is None, self.written(op), body)

    def counted(
        self,
        lower: Operand,
        upper: Operand,
        step: Operand,
        guarded: bool,
        written: Collection[SSAValue],
        body: Callable[[str], None],
    ) -> None:
        """A loop whose variable `body` is given; `guarded`: it may have no iteration. `written`: what it stores to."""
        front: Lines = []
        self.lines.append(front)
        self.scopes[-1].before = front
        n = self.count = self.count + 1
        before, head, after = self.label, f"L{n}", f"E{n}"
        phis: Lines = []
        for buffer in written:
            self.version[buffer] = self.version.get(buffer, 0) + 1
        cells = {c: v for c, v in self.registers.items() if c.buffer in written}
        self.lines += [f"  br label %{head}", f"{head}:", phis]
        for c in cells:
            self.registers[c] = self.fresh()
        at_head = {c: self.registers[c] for c in cells}
        iv = self.fresh()
        self.placed[iv] = len(self.scopes)
        self.label = head
        if guarded:
            self.lines += [
                f"  %c{n} = icmp slt i64 {iv}, {upper}",
                f"  br i1 %c{n}, label %B{n}, label %{after}",
                f"B{n}:",
            ]
            self.label = f"B{n}"
        self.open_scope()
        body(iv)
        self.scopes.pop()
        self.run(f"{iv}n = add nuw nsw i64 {iv}, {step}")
        latch = self.label
        if guarded:
            self.lines += [f"  br label %{head}", f"{after}:"]
        else:
            self.lines += [
                f"  %c{n} = icmp slt i64 {iv}n, {upper}",
                f"  br i1 %c{n}, label %{head}, label %{after}",
                f"{after}:",
            ]
        phis.append(f"  {iv} = phi i64 [ {lower}, %{before} ], [ {iv}n, %{latch} ]")
        for c in [c for c in self.registers if c.buffer in written and c not in cells]:
            if guarded:  # first written in the loop, which may have no iteration
                cells[c], at_head[c] = "poison", self.fresh()
        for c, start in cells.items():
            phis.append(f"  {at_head[c]} = phi {c.kind} [ {start}, %{before} ], [ {self.registers[c]}, %{latch} ]")
            if guarded:
                self.registers[c] = at_head[c]
        for buffer in written:
            self.version[buffer] += 1
        self.label = after

    def unrolled(self, op: For, iterations: Sequence[int]) -> None:
        """Every iteration of a loop. Those of an innermost parallel loop go step by step together: each is a chain of
        operations that wait for each other, and the processor looks only so far ahead for others to do meanwhile."""
        if (body := self.bodies.get(op)) is None:
            found = list(op.body.block.ops)
            body = self.bodies[op] = found, op.is_parallel and not any(isinstance(o, For | Alloc) for o in found)
        ops, together = body
        if len(iterations) < 2 or not together:
            for i in iterations:
                self.env[op.iv] = i
                self.block(ops)
            return
        inside: list[dict[SSAValue, tuple[Operand, int]]] = [{} for _ in iterations]
        for step in ops:
            for i, values in zip(iterations, inside, strict=True):
                self.env[op.iv] = i
                for v in step.operands:
                    if v in values:
                        self.env[v], self.depth[v] = values[v]
                self.op(step)
                values |= {v: (self.env[v], self.depth[v]) for v in step.results}

    def written(self, op: For) -> frozenset[SSAValue]:
        """The buffers that a loop stores to and that live on after an iteration."""
        if (found := self.stored.get(op)) is None:
            ops = list(walk(op))
            private = {o.buffer for o in ops if isinstance(o, Alloc)}
            found = self.stored[op] = frozenset({o.buf for o in ops if isinstance(o, Store)} - private)
        return found

    # ---- memory

    def alloc(self, op: Alloc) -> None:
        if self.in_registers(op.buffer):
            self.forget(op.buffer)
            return
        if op.buffer not in self.env:
            length = op.type.length.constant or 0
            self.stack += length * op.type.dtype.itemsize
            if self.stack > MOST_STACK:
                raise BackendError(
                    f"kernel {self.kernel.sym_name.data}: its stack buffers take more than {MOST_STACK} bytes",
                    hint="stage smaller windows",
                )
            text = f"alloca [{max(1, length)} x {memory_type(op.type)}], align 64"
            self.env[op.buffer] = self.entry_value(text, f"alloca {len(self.env)}")
            self.depth[op.buffer] = 0

    def in_registers(self, buffer: SSAValue) -> bool:
        """Whether the elements of a buffer become SSA values."""
        return isinstance(buffer.type, BufferType) and buffer.type.space.data == "register"

    def forget(self, buffer: SSAValue) -> None:
        """A register buffer holds nothing."""
        for cell in [c for c in self.registers if c.buffer is buffer]:
            del self.registers[cell]
        for place in [p for p in self.elements if p[0] is buffer]:
            del self.elements[place]

    def plan(self, op: Load | Store) -> Plan:
        """The access's offset over the function's dims, simplified by their ranges."""
        if (found := self.plans.get(op)) is not None:
            return found
        lane = len(self.values)
        self.values.append(op.buf)
        index = [self.globalised(e, op.indices) for e in op.exprs]
        moved = [e + Expr.dim(lane) * s if s else e for e, s in zip(index, op.steps, strict=True)]
        ranges = {**self.ranges, lane: (Expr.const(0), Expr.const(op.live - 1))}
        offset = op.type.offset.substitute(dict(enumerate(moved))).simplify(ranges)
        first = offset.substitute({lane: 0})
        step: Expr | None = ZERO if first is offset else offset.substitute({lane: 1}) - first
        if step.dims or (step is not ZERO and offset != first + Expr.dim(lane) * step):
            step = None
        guards: list[tuple[Expr, Expr, int]] = []
        if op.tolerant:
            for e, m, s, size in zip(index, moved, op.steps, op.type.sizes, strict=True):
                if not (m.nonnegative(ranges) and (size - 1 - m).nonnegative(ranges)):
                    guards.append((e, size, s))
        form = first.linear() if step is not None else None
        otherwise = op.otherwise if isinstance(op, Load) else None
        found = self.plans[op] = Plan(
            op.buf, op.type, offset, step, lane, guards, form, op.value, llvm_type(op.value.type), otherwise,
            op.lanes, op.live, self.in_registers(op.buf),
        )  # fmt: skip
        return found

    def address(self, plan: Plan, lane: int = 0) -> str:
        """Pointer to the element of a lane: steps from the outermost loop inwards, constants last."""
        size = plan.type.dtype.itemsize
        pointer = str(self.env[plan.buffer])
        form = plan.form
        if form is not None and lane:
            assert plan.lane is not None
            form = (form[0], form[1] + plan.lane * lane)
        if form is None:
            offset = plan.offset.substitute({plan.lane_dim: lane})
            if (form := offset.linear()) is None:
                amount = self.integer(offset * size)
                return self.put(f"getelementptr i8, ptr {pointer}, i64 {amount}")
        rest, constant = form[1], 0
        steps: list[tuple[int, Operand]] = []
        for d, coefficient in sorted(form[0].items()):
            value = self.value_of(d) if isinstance(self.env[self.values[d]], int) else ""
            if d in self.counters and not isinstance(value, int):
                loop = loop_of(self.counters[d])
                if all(c % loop.stride == 0 for c in coefficient.terms.values()):
                    # count * c = (variable - lower) * (c / stride): no division
                    coefficient = Expr({m: c // loop.stride for m, c in coefficient.terms.items()})
                    rest = rest - coefficient * loop.lower
                    value = self.env[self.values[d]]
            if value == "":
                value = self.value_of(d)
            factor = coefficient.constant
            if not isinstance(value, int):
                depth = self.depth[self.values[d]]
                scale = self.integer(coefficient * size) if factor is None else factor * size
                steps.append((depth, self.arithmetic("mul", value, scale, depth)))
            elif factor is not None:
                constant += factor * value
            else:
                rest = rest + coefficient * value
        number = rest.terms.get((), 0)
        constant += number
        if (symbolic := rest - number).terms:
            depth = max(0, self.depth_of_expr(symbolic))
            pointer = self.put(f"getelementptr i8, ptr {pointer}, i64 {self.integer(symbolic * size)}", depth)
        for depth, step in sorted(steps, key=lambda s: s[0]):
            pointer = self.put(f"getelementptr i8, ptr {pointer}, i64 {step}", depth)
        return self.put(f"getelementptr i8, ptr {pointer}, i64 {constant * size}") if constant else pointer

    def prefetch(self, op: Prefetch) -> None:
        """A line of memory comes into a cache."""
        plan = self.plans.get(op)
        if plan is None:
            index = [self.globalised(e, op.indices) for e in op.exprs]
            offset = (op.type.offset.substitute(dict(enumerate(index[:-1]))) + index[-1]).simplify(self.ranges)
            plan = self.plans[op] = Plan(
                op.buffer, op.type, offset, Expr.const(0), len(self.values), [], offset.linear(), op.buffer, "", None,
                1, 1, False,
            )  # fmt: skip
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.run(f"call void @llvm.prefetch.p0(ptr {self.address(plan)}, i32 0, i32 {4 - op.level.data}, i32 1)")

    def allowed(self, inside: str) -> str:
        """Whether a store is made, an i1, of one that is made where `inside` is true."""
        return inside

    def store_where(self, inside: str, value: str, pointer: str, align: int, size: int) -> None:
        """Store `size` bytes where `inside` is true; else into a place on the stack that nobody reads."""
        nowhere = self.entry_value(f"alloca [{size} x i8], align 64", f"nowhere {size}")
        target = self.put(f"select i1 {inside}, ptr {pointer}, ptr {nowhere}")
        self.run(f"store {value}, ptr {target}, align {align}")

    # ---- registers

    def cell(self, plan: Plan) -> Cell:
        """The cell of a register buffer that an access means. Raises BackendError where emission cannot tell."""
        offset = self.constant(plan)
        if offset is None or plan.step is None or (plan.step == 0 and plan.live > 1):
            raise BackendError(
                f"kernel {self.kernel.sym_name.data}: an index into a register buffer is not constant",
                hint="unroll the loops around accesses to buffers staged in registers",
            )
        return Cell(plan.buffer, offset, plan.kind, plan.step, plan.live)

    def constant(self, plan: Plan) -> int | None:
        """The offset of an access's first lane where it is a number."""
        if plan.form is None or (total := plan.form[1].constant) is None:
            return None
        for d, coefficient in plan.form[0].items():
            value, factor = self.value_of(d), coefficient.constant
            if factor is None or not isinstance(value, int):
                return None
            total += value * factor
        return total

    def load(self, op: Load) -> None:
        plan = self.plans.get(op) or self.plan(op)
        if not plan.register:
            self.bind(plan.value, load_text(self, plan))
            return
        cell = self.cell(plan)
        held = self.registers[cell] if cell in self.registers else self.assembled(cell, plan.lanes)
        if plan.live < plan.lanes and held != "poison":
            mask, kind = f"<{plan.lanes} x i1> {first_lanes(plan)}", plan.kind
            held = self.put(f"select {mask}, {kind} {held}, {kind} zeroinitializer")
        self.bind(plan.value, held)

    def assembled(self, cell: Cell, lanes: int) -> str:
        """What a cell holds whose elements are in others: a row or column of them, or lane by lane."""
        places = [self.elements.get((cell.buffer, cell.offset + i * cell.step)) for i in range(cell.live)]
        sources = [None if p is None else (self.registers[p[0]], p[0].kind, p[1]) for p in places]
        if all(s is None for s in sources):
            return "poison"
        return assembled(self.put, sources, cell.kind, lanes)

    def store(self, op: Store) -> None:
        plan = self.plans.get(op) or self.plan(op)
        if plan.register:
            cell = self.cell(plan)
            if cell not in self.registers:
                for lane in range(cell.live):
                    if self.elements.setdefault((cell.buffer, cell.offset + lane * cell.step), (cell, lane))[0] != cell:
                        raise BackendError(
                            f"kernel {self.kernel.sym_name.data}: an element of a register buffer is stored in "
                            "different vectors",
                            hint="vectorize all loops that store to the buffer in the same way",
                        )
            self.registers[cell] = str(self.env[plan.value])
        else:
            written = store_text(self, plan)
            self.version[plan.buffer] = self.version.get(plan.buffer, 0) + 1
            if written is not None:  # a load of the same place needs not wait for the store
                self.hold(f"{written} @{self.version[plan.buffer]}", str(self.env[plan.value]))


# ---- kernels


def kernel_symbol(name: str) -> str:
    """The function of a kernel, as the object names it."""
    return f"{name}.kernel"


def emit_kernel(kernel: Kernel, scalars: ScalarEmitter) -> str:
    """The functions of a kernel. Raises BackendError, naming the kernel, for what has no instruction."""
    name = kernel.sym_name.data
    parts: list[str] = []
    main = FunctionEmitter(kernel, scalars)
    for op in kernel.body.block.ops:
        if isinstance(op, For) and op.run.data == "concurrent":
            part = f"{name}.part{len(parts)}"
            nest = shared(op)
            parts.append(_part(kernel, nest, part, scalars))
            trips = total = _iterations(main, nest)
            if len(nest) > 1:
                trips = main.arithmetic("smin", total, MOST_CHUNKS, 0)
            pool = main.put("load ptr, ptr %launch, align 8")
            main.run(f"call void @ircc_pool_run(ptr {pool}, ptr @{quoted(part)}, ptr %args, i64 {trips})")
            for buffer in main.written(op):
                main.version[buffer] = main.version.get(buffer, 0) + 1
        else:
            main.op(op)
    return "\n".join([*parts, main.text(kernel_symbol(name), "ptr %launch, ptr %args")])


def _iterations(emitter: FunctionEmitter, nest: Sequence[For]) -> Operand:
    """How many iterations loops have together, whose lengths do not depend on each other."""
    total: Operand = 1
    for loop in nest:
        trips = emitter.integer(emitter.globalised(loop.trip_expr, loop.indices))
        if len(nest) > 1:  # a length below 0 is none
            trips = emitter.arithmetic("smax", trips, 0, 0)
        total = emitter.arithmetic("mul", total, trips, 0)
    return total


def _part(kernel: Kernel, nest: Sequence[For], name: str, scalars: ScalarEmitter) -> str:
    """A chunk of loops that stand right inside of each other as a function of its number; what it uses from before them
    is computed again."""
    needed = _needed(kernel, nest[0])
    emitter = FunctionEmitter(kernel, scalars)
    emitter.block(needed)
    number: Operand = "%chunk"
    for loop in reversed(nest):
        at = number
        if loop is not nest[0]:
            trips = _iterations(emitter, [loop])
            at = emitter.arithmetic("urem", number, trips, 0)
            number = emitter.arithmetic("udiv", number, trips, 0)
        start = emitter.integer(emitter.globalised(loop.lower, loop.indices))
        iv = emitter.arithmetic("add", emitter.arithmetic("mul", at, loop.stride, 0), start, 0)
        emitter.env[loop.iv], emitter.depth[loop.iv] = iv, 0
        emitter.placed[str(iv)] = 0
    emitter.block(list(nest[-1].body.block.ops))
    if len(nest) == 1:
        return emitter.text(name, "ptr %args, i64 %chunk", "internal ")
    one = f"{name}.one"
    chunk = FunctionEmitter(kernel, scalars)
    chunk.block(needed)
    total = _iterations(chunk, nest)
    chunks = chunk.arithmetic("smin", total, MOST_CHUNKS, 0)
    before = chunk.arithmetic("mul", total, "%chunk", 0)
    first = chunk.arithmetic("udiv", before, chunks, 0)
    end = chunk.arithmetic("udiv", chunk.arithmetic("add", before, total, 0), chunks, 0)
    chunk.lines += [
        "  br label %next",
        "next:",
        f"  %at = phi i64 [ {first}, %{chunk.label} ], [ %after, %next ]",
        f"  call void @{quoted(one)}(ptr %args, i64 %at)",
        "  %after = add nuw nsw i64 %at, 1",
        f"  %more = icmp slt i64 %after, {end}",
        "  br i1 %more, label %next, label %done",
        "done:",
    ]
    parameters = "ptr %args, i64 %chunk"
    return emitter.text(one, parameters, "internal ") + "\n" + chunk.text(name, parameters, "internal ")


def _needed(kernel: Kernel, loop: For) -> list[Operation]:
    """The operations before a concurrent loop that it depends on.

    Raises BackendError for a load from a buffer that changes before the loop ends."""
    used = {v for op in walk(loop) for v in op.operands}
    stored = {op.buf for op in walk(loop) if isinstance(op, Store)}
    found: list[Operation] = []
    before = list(kernel.body.block.ops)[: kernel.body.block.get_operation_index(loop)]
    for op in reversed(before):
        if not used.isdisjoint(op.results):
            if isinstance(op, Load) and op.buf in stored:
                raise BackendError(
                    f"kernel {kernel.sym_name.data}: loop {loop.tag} uses what is loaded before it from a buffer that "
                    "changes until the loop ends",
                    hint="load inside of the loop, or do not run it concurrently",
                )
            used.update(op.operands)
            found.append(op)
        stored |= {o.buf for o in walk(op) if isinstance(o, Store)}
    return found[::-1]
