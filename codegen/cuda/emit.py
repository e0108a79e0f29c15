"""loop.kernel → LLVM text for GPUs, by the CPU's emitter: what a GPU has more is the grid, groups and what they share.

A part of a kernel (codegen/simt/grid.py) becomes a function of the kernel's arguments: a pointer per buffer, an i64 per
size. Which work item it is, and how many are in its group, it asks by functions that `WORDS` defines: in PTX these are
special registers, elsewhere they may be anything, so that the same text runs on a CPU too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from xdsl.ir import Attribute, SSAValue

from ...dialects.loop import Alloc, For, Invoke, Kernel, Load, Prefetch, Store
from ...dialects.loop.instruction import Window, invoked
from ...errors import BackendError
from ...ir.expr import ONE, ZERO, Expr
from ..cpu.emit import FunctionEmitter
from ..cpu.memory import Plan, memory_type
from ..cpu.scalars import Put, ScalarEmitter
from ..cpu.text import DIVISION, Operand, quoted
from ..simt.grid import Memory, Part, Piece, Printed, Turns, identifier, pieces, shared_nest
from ..simt.teams import COMBINATIONS
from . import matrix, teams

CONVENTION = "ptx_kernel "  # how a function is called that the driver launches
WIDE = 16  # bytes that an instruction loads or stores, at most
SHARED = 3  # LLVM's number of the memory that a group shares

# what a load that is not made points to
ZEROS = "@ircc.zeros = internal constant [512 x i8] zeroinitializer, align 64\n"


QUESTIONS = {"group": "ctaid", "lane": "tid", "width": "ntid"}  # number of the group; in it; work items in it

WORDS = (
    "".join(
        f"""\
declare i32 @llvm.nvvm.read.ptx.sreg.{register}.x()
define internal i64 @ircc.{name}() alwaysinline nounwind {{
  %x = call i32 @llvm.nvvm.read.ptx.sreg.{register}.x()
  %wide = zext i32 %x to i64
  ret i64 %wide
}}
"""
        for name, register in QUESTIONS.items()
    )
    + """\
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32) convergent
; all lanes of a group come here
define internal void @ircc.barrier() alwaysinline convergent nounwind {
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  ret void
}
"""
)


def module_text(codes: Iterable[str]) -> str:
    """Kernels as a whole module, but for WORDS: with what they need beside themselves."""
    lines = [line for code in codes for line in code.splitlines()]
    declared = sorted({line for line in lines if line.startswith("declare ")})
    defined = "\n".join(line for line in lines if not line.startswith("declare "))
    zeros = ZEROS if "@ircc.zeros" in defined else ""
    division = DIVISION if "@ircc.s" in defined else ""
    return "\n".join([zeros + division, defined, *declared, ""])


def emit_kernel(kernel: Kernel) -> Printed:
    """The functions of a kernel, and what they need declared.

    Raises BackendError, naming the kernel, where it cannot be said."""
    name = identifier(kernel.sym_name.data)
    scalars = DeviceScalars()
    parts: list[Part] = []
    texts: list[str] = []
    for piece in pieces(kernel):
        function = f"{name}__{len(parts)}"
        try:
            texts.append(_Function(kernel, scalars, piece, function).written_out())
        except _NotInRegisters:
            texts.append(_Function(kernel, scalars, piece, function, registers=False).written_out())
        parts.append(Part(function, piece.items, piece.groups))
    return Printed("\n".join([*texts, *sorted(scalars.declarations), ""]), tuple(parts))


_TILES = re.compile(r"@ircc\.(mma_\w+)\.([rc])([rc])\(")


def team_words(text: str) -> str:
    """What WORDS lacks for kernels with instructions, which teams carry out."""
    found = [teams.functions(text), *(matrix.words(*used) for used in sorted(set(_TILES.findall(text))))]
    if not any(found):
        return ""
    lines = "".join([teams.WORDS, *found]).splitlines()
    known = {line for line in text.splitlines() if line.startswith("declare ")}
    declared = sorted({line for line in lines if line.startswith("declare ")} - known)
    return "\n".join([*declared, *(line for line in lines if not line.startswith("declare ")), ""])


class _NotInRegisters(Exception):
    """A buffer in space `register` is indexed by numbers that are known at run time only."""


class DeviceScalars(ScalarEmitter):
    """Scalar operations where there is no C library."""

    def library(self, name: str, type_: Attribute, args: Sequence[str], put: Put) -> str:
        raise BackendError(f"the GPU has no function {name} of {type_}")


class _Function(FunctionEmitter):
    """One part."""

    def __init__(self, kernel: Kernel, scalars: ScalarEmitter, piece: Piece, name: str, registers: bool = True) -> None:
        self.registers_are_values = registers
        self.shared: set[SSAValue] = set()  # buffers of the group
        self.team = False  # in a loop that teams share
        self.first: str | None = None  # "lane" or "team": the first one of it stores for all
        super().__init__(kernel, scalars)
        self.piece, self.name = piece, name
        self.kinds[Invoke] = self.invoke
        self.inside = not piece.groups  # a lane is alone: no other does the same
        self.memory = Memory(kernel)
        self.turns = Turns(piece)
        self.globals: list[str] = []

    def written_out(self) -> str:
        """The function's definition, behind its group's memory."""
        kernel = self.kernel
        number: Operand = self.ask("group")
        if not self.piece.groups:
            before = self.arithmetic("mul", number, self.ask("width"), 0)
            number = self.arithmetic("add", before, self.ask("lane"), 0)
            self.only_where(f"icmp ult i64 {number}, {self.integer(self.piece.items)}")
        self.number(self.piece.nest, number)
        self.block(list(self.piece.ops))
        kinds = ["ptr"] * len(kernel.args) + ["i64"] * len(kernel.sizes)
        parameters = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds))
        end = "ret void" if self.piece.groups else "br label %done\ndone:\n  ret void"
        return "".join(self.globals) + self.text(self.name, parameters, CONVENTION, end=end)

    def load_argument(self, position: int, kind: str) -> str:
        return f"%a{position}"

    def only_where(self, test: str) -> None:
        """What follows is done only where a test holds."""
        self.lines += [f"  br i1 {self.put(test)}, label %work, label %done", "work:"]
        self.label = "work"

    def ask(self, name: str) -> str:
        """The value of one of QUESTIONS."""
        value = self.entry_value(f"call i64 @ircc.{name}()", name)
        self.placed[value] = 0
        return value

    def number(self, nest: Sequence[For], number: Operand) -> None:
        """The variables of loops that stand right inside of each other, from the number of an iteration among all."""
        depth = len(self.scopes) - 1
        for loop in reversed(nest):
            at = number
            if loop is not nest[0]:
                trips = self.trips(loop)
                at = self.arithmetic("urem", number, trips, depth)
                number = self.arithmetic("udiv", number, trips, depth)
            start = self.integer(self.globalised(loop.lower, loop.indices))
            iv = self.arithmetic("add", self.arithmetic("mul", at, loop.stride, depth), start, depth)
            self.env[loop.iv], self.depth[loop.iv] = iv, depth
            self.placed[str(iv)] = depth

    def trips(self, loop: For) -> Operand:
        """The iterations of a loop; where there are none, nothing asks."""
        return self.integer(self.globalised(loop.trip_expr, loop.indices))

    # ---- groups

    def loop(self, op: For) -> None:
        if self.inside or op.trip == 0:
            super().loop(op)
            return
        if op.run.data != "lanes":
            self.turns.around()
            super().loop(op)
            self.turns.around()
            return
        nest = shared_nest(op)
        total: Operand = 1
        for loop in nest:
            trips = self.trips(loop)
            if len(nest) > 1:  # a length below 0 is none
                trips = self.arithmetic("smax", trips, 0, len(self.scopes) - 1)
            total = self.arithmetic("mul", total, trips, len(self.scopes) - 1)

        def body(at: str) -> None:
            self.number(nest, at)
            self.block(list(nest[-1].body.block.ops))

        if self.turns.must_wait(self.written(op)):
            self.wait()
        first, step = self.ask("lane"), self.ask("width")
        self.team = bool(invoked(op))
        if self.team:  # an iteration is a team's
            team = self.ask("team")
            first, step = (str(self.arithmetic("udiv", x, team, 0)) for x in (first, step))
        self.inside = True
        self.counted(first, total, step, True, self.written(op), body)
        self.inside = self.team = False
        self.wait()

    def wait(self) -> None:
        """All lanes of the group come here."""
        self.run("call void @ircc.barrier()")
        self.turns.waited()

    def invoke(self, op: Invoke) -> None:
        """A team carries out an instruction on windows of what its group shares."""
        if not self.team or op.instruction not in (*matrix.LLVM, *COMBINATIONS):
            raise BackendError(f"kernel {self.kernel.sym_name.data}: a GPU cannot carry out {op.instruction} there")
        if op.instruction in matrix.LLVM:
            self.multiply(op)
        else:
            self.combine(op)
        for buffer in op.buffers:
            self.version[buffer] = self.version.get(buffer, 0) + 1

    def offset(self, op: Invoke, window: Window, *at: Expr) -> Expr:
        """Where an element of a window is in its buffer; dims in front of `at` are 0."""
        place = [*[ZERO] * (len(window.steps) - len(at)), *at]
        index = (self.globalised(e, op.indices) for e in window.at(place))
        return window.type.offset.substitute(dict(enumerate(index)))

    def pointer(self, window: Window, offset: Expr) -> str:
        amount = self.integer(offset.simplify(self.ranges) * window.type.dtype.itemsize)
        return self.put(f"getelementptr i8, ptr {self.env[window.buffer]}, i64 {amount}")

    def combine(self, op: Invoke) -> None:
        """By teams.functions."""
        parts, total = op.windows
        start = self.offset(op, parts, ZERO)
        step = self.integer((self.offset(op, parts, ONE) - start).simplify(self.ranges))
        count = self.integer(self.globalised(op.sizes[0], op.indices))
        self.ask("team")
        pointers = self.pointer(parts, start), self.pointer(total, self.offset(op, total, ZERO))
        self.run(f"call void @ircc.{op.instruction}(ptr {pointers[0]}, i64 {step}, i64 {count}, ptr {pointers[1]})")

    def multiply(self, op: Invoke) -> None:
        """By matrix.words."""
        given, layouts = list[str](), ""
        for window in op.windows:
            first, across, down = (self.offset(op, window, *at) for at in ((ZERO, ZERO), (ZERO, ONE), (ONE, ZERO)))
            down, across = ((e - first).constant for e in (down, across))
            layouts += "r" if across == 1 else "c"
            if None in (down, across) or 1 not in (down, across):
                raise BackendError(f"kernel {self.kernel.sym_name.data}: neighbours in a tile lie apart")
            given += [f"ptr {self.pointer(window, first)}", f"i64 {down if across == 1 else across}"]
        if layouts[-1] != "r":
            raise BackendError(f"kernel {self.kernel.sym_name.data}: rows of a tile's result lie apart")
        self.run(f"call void @ircc.{op.instruction}.{layouts[:-1]}({', '.join(given)})")

    def written(self, op: For) -> frozenset[SSAValue]:
        return super().written(op).union(*(o.buffers for o in invoked(op)))

    def alloc(self, op: Alloc) -> None:
        is_shared = not self.inside and not self.piece.is_private(op)
        if is_shared:
            self.shared.add(op.buffer)
        elif self.in_registers(op.buffer):
            self.forget(op.buffer)
            return
        if op.buffer in self.env:  # in an unrolled loop
            return
        length = self.memory.claim(op.type, is_shared)
        array = f"[{length} x {memory_type(op.type)}]"
        if not is_shared:
            text = f"alloca {array}, align 16"
        else:
            name = f"@{quoted(f'{self.name}.{len(self.globals)}')}"
            self.globals.append(f"{name} = internal addrspace({SHARED}) global {array} undef, align 128\n")
            text = f"addrspacecast ptr addrspace({SHARED}) {name} to ptr"
        self.env[op.buffer] = self.entry_value(text, f"buffer {len(self.env)}")
        self.depth[op.buffer] = 0

    def in_registers(self, buffer: SSAValue) -> bool:
        return self.registers_are_values and buffer not in self.shared and super().in_registers(buffer)

    def cell(self, plan: Any) -> Any:
        try:
            return super().cell(plan)
        except BackendError:
            raise _NotInRegisters from None

    def load(self, op: Load) -> None:
        if not self.inside:
            self.turns.reads(op.buffer)
        plan = self.plans.get(op) or self.plan(op)
        if not self.is_wide(plan):
            super().load(op)
            return
        kind, pointer = f"<{plan.lanes} x {plan.memory}>", self.address(plan)
        access = f"load {kind}, ptr {pointer}, align"
        if plan.buffer in self.shared:
            self.bind(plan.value, self.put(f"{access} {WIDE}", key=f"{access} @{self.version.get(plan.buffer, 0)}"))
            return
        found, whole, parts = self.fresh(), self.fresh(), self.fresh()
        n = self.where_aligned(plan, f"{whole} = {access} {WIDE}", f"{parts} = {access} {plan.size}")
        self.lines.append(f"  {found} = phi {kind} [ {whole}, %W{n} ], [ {parts}, %P{n} ]")
        self.bind(plan.value, found)

    def is_wide(self, plan: Plan) -> bool:
        """Whether a vector has a multiple of its elements in front of it in the buffer, and as many bytes as one access
        takes at most: it is then one access, where the buffer begins at a multiple of that."""
        if plan.register or plan.guards or plan.is_bool or not plan.neighbours or plan.live != plan.lanes:
            return False
        if plan.form is None or plan.lanes * plan.size != WIDE or self.first is not None:
            return False
        return all(c % plan.lanes == 0 for e in (*plan.form[0].values(), plan.form[1]) for c in e.terms.values())

    def where_aligned(self, plan: Plan, whole: str, parts: str) -> int:
        """Do one thing where a buffer begins at a multiple of WIDE bytes, which all lanes find alike, or another one;
        the number of the labels."""
        place = self.put(f"ptrtoint ptr {self.env[plan.buffer]} to i64", 0)
        even = self.put(f"icmp eq i64 {self.put(f'and i64 {place}, {WIDE - 1}', 0)}, 0", 0)
        n = self.count = self.count + 1
        self.lines += [f"  br i1 {even}, label %W{n}, label %P{n}"]
        for label, text in (("W", whole), ("P", parts)):
            self.lines += [f"{label}{n}:", f"  {text}", f"  br label %A{n}"]
        self.lines.append(f"A{n}:")
        self.label = f"A{n}"
        return n

    def store(self, op: Store) -> None:
        owner = op.buf.owner
        own = isinstance(owner, Alloc) and (
            self.piece.is_private(owner) if not self.inside else op.buf not in self.shared
        )
        if own or (self.inside and not self.team):
            self.store_own(op)
            return
        if op.lanes > 1:
            raise BackendError(f"kernel {self.kernel.sym_name.data}: a group stores a vector that no lane owns")
        if not self.team and self.turns.must_wait([op.buf]):
            self.wait()
        self.first = "team" if self.team else "lane"
        super().store(op)
        self.first = None
        if self.team:
            self.run("call void @ircc.meet()")
        else:
            self.wait()

    def store_own(self, op: Store) -> None:
        """What no other lane stores."""
        plan = self.plans.get(op) or self.plan(op)
        if not self.is_wide(plan):
            super().store(op)
            return
        access = f"store {plan.kind} {self.env[plan.value]}, ptr {self.address(plan)}, align"
        if plan.buffer in self.shared:
            self.run(f"{access} {WIDE}")
        else:
            self.where_aligned(plan, f"{access} {WIDE}", f"{access} {plan.size}")
        self.version[plan.buffer] = self.version.get(plan.buffer, 0) + 1

    def allowed(self, inside: str) -> str:
        if self.first is None:
            return inside
        number: Operand = self.ask("lane")
        if self.first == "team":
            number = self.arithmetic("urem", number, self.ask("team"), 0)
        first = self.put(f"icmp eq i64 {number}, 0", 0)
        return first if inside == "true" else self.put(f"and i1 {first}, {inside}")

    def store_where(self, inside: str, value: str, pointer: str, align: int, size: int) -> None:
        n = self.count = self.count + 1
        self.lines += [
            f"  br i1 {inside}, label %S{n}, label %A{n}",
            f"S{n}:",
            f"  store {value}, ptr {pointer}, align {align}",
            f"  br label %A{n}",
            f"A{n}:",
        ]
        self.label = f"A{n}"

    def prefetch(self, op: Prefetch) -> None:
        """Other lanes hide what memory takes."""
