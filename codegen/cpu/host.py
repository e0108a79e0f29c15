"""loop.program → LLVM text: `ircc_plan` (sizes, checks, output shapes) and `ircc_main` (one run).

Their ABI is described in runtime/artifact.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.ir import Block, Operation, SSAValue

from ...dialects.control import ReadSizes, SetSizes
from ...dialects.loop import ARENA, Alloc, Call, Constant, Copy, If, Program, Transfer, View, While
from ...dialects.loop.host import HOST
from ...errors import BackendError
from ...ir.expr import Expr
from ...ir.types import BufferType, ExprAttr
from ...runtime.device import MIRROR
from .text import Operand, Writer

# byte offsets in runtime.device.DeviceTable and in the frame
CONTEXT, LAUNCH, COPY, ALLOC, FREE, WAIT = 8, 16, 24, 32, 40, 48
FRAME = {"plan": 0, "arena": 8, "weights": 16, "inputs": 24, "outputs": 32, "slots": 40}
MOST_BYTES = 2.0**46  # of one buffer
NO_MEMORY = -2  # what ircc_plan and ircc_main return for sizes too large for the memory, or negative ones from data


@dataclass
class Host:
    """A program's text, and what the engine must know about it."""

    text: str
    calls: list[Call] = field(default_factory=list[Call])  # in the order of their launch numbers
    slots: int = 0  # pieces of memory that grow
    late: tuple[int, ...] = ()  # outputs whose sizes are known only after a run


class _HostWriter(Writer):
    """Integers of the host program: symbols are in the plan, or among the input dimensions while that is made."""

    def put(self, text: str, depth: int | None = None, key: str | None = None) -> str:
        """`%v = text` here, or the value that already holds it: nothing moves in front of a loop of the program."""
        del depth
        if (found := self.held(key or text, len(self.scopes) - 1)) is None:
            found = self.scopes[-1].known[key or text] = self.fresh()
            self.lines.append(f"  {found} = {text}")
        return found

    def plan_slot(self, base: str, index: int) -> str:
        return self.put(f"getelementptr i64, ptr {base}, i64 {index}")

    def word(self, base: str, index: int, kind: str = "i64") -> str:
        """Word number `index` of an array of 8-byte words that nobody writes."""
        return self.put(f"load {kind}, ptr {self.plan_slot(base, index)}, align 8")

    def now(self, text: str) -> str:
        """`%v = text`, where the value may be another one each time."""
        value = self.fresh()
        self.run(f"{value} = {text}")
        return value

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def branch_if(self, condition: str, result: Operand) -> None:
        """Return `result` if the condition holds, else go on."""
        self.count += 1
        n = self.count
        self.lines += [
            f"  br i1 {condition}, label %R{n}, label %G{n}",
            f"R{n}:",
            f"  ret i32 {result}",
            f"G{n}:",
        ]


def emit_host(program: Program, place_constant: Callable[[Constant], int]) -> Host:
    """The two functions; `place_constant` gives the byte offset of a constant among the weights.

    Raises BackendError when the program has no memory plan."""
    late = tuple(i for i, arg in enumerate(program.written) if _buffer_type(arg).symbols & program.late)
    main = _Main(program, place_constant)
    return Host(_check(program) + _plan(program) + main.function() + RESERVE, calls_of(program), main.slots, late)


def calls_of(program: Program) -> list[Call]:
    return [op for op in program.ops if isinstance(op, Call)]


def _buffer_type(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


def arena_bytes(program: Program) -> Expr:
    """Bytes that all of the program's buffers take together."""
    size = program.attributes.get(ARENA)
    for op in program.ops:
        if isinstance(op, Alloc) and op.slot is None and (op.offset is None or not isinstance(size, ExprAttr)):
            raise BackendError(f"buffer {op.label.data!r} has no place in memory", hint="run the pass plan-memory")
    return size.data if isinstance(size, ExprAttr) else Expr.const(0)


def _given(program: Program) -> tuple[_HostWriter, list[Expr]]:
    """A function of `%dims`, the sizes of the inputs: symbols that are one of them have their values. And the sizes as
    they are declared."""
    writer = _HostWriter(set())
    declared = [size for arg in program.inputs for size in _buffer_type(arg).sizes]
    for position, size in enumerate(declared):
        for name in size.symbols:
            if size == Expr.symbol(name) and name not in writer.sizes:
                writer.sizes[name] = writer.word("%dims", position)
                writer.placed[writer.sizes[name]] = 0
    return writer, declared


def _check(program: Program) -> str:
    """`ircc_check`: whether the sizes of the inputs are as they are declared."""
    writer, declared = _given(program)
    for i, size in enumerate(declared):
        given = writer.word("%dims", i)
        writer.branch_if(writer.put(f"icmp slt i64 {given}, 0"), i + 1)
        if size.symbols <= writer.sizes.keys() and (expected := writer.integer(size)) != given:
            writer.branch_if(writer.put(f"icmp ne i64 {given}, {expected}"), i + 1)
    return writer.text("ircc_check", "ptr %dims", result="i32", end="ret i32 0")


def _refuse_too_large(writer: _HostWriter, type_: BufferType) -> None:
    """Return NO_MEMORY where so many bytes are more than any machine has."""
    total = f"{float(type_.dtype.itemsize):e}"  # as a float, which does not overflow
    for size in type_.sizes:
        total = writer.put(f"fmul double {total}, {writer.put(f'sitofp i64 {writer.integer(size)} to double')}")
    writer.branch_if(writer.put(f"fcmp ogt double {total}, {MOST_BYTES:e}"), NO_MEMORY)


def _plan(program: Program) -> str:
    writer, _ = _given(program)
    late = program.late
    for i, check in enumerate(program.checks):
        if not check.expr.data.symbols & late:
            value = writer.integer(check.expr.data)
            bad = writer.put(f"icmp ne i64 {value}, 0")
            writer.branch_if(bad, i + 1)
    in_arena = [_buffer_type(op.buffer) for op in program.ops if isinstance(op, Alloc) and op.slot is None]
    for type_ in dict.fromkeys(t for t in in_arena if t.symbols):  # or else the sum of their bytes may overflow
        _refuse_too_large(writer, type_)
    found: list[Operand] = [writer.integer(Expr.symbol(s)) for s in program.symbols]
    found.append(writer.integer(arena_bytes(program)))
    sizes = [s for arg in program.written for s in _buffer_type(arg).sizes]
    found += [0 if s.symbols & late else writer.integer(s) for s in sizes]
    for i, value in enumerate(found):
        writer.run(f"store i64 {value}, ptr {writer.plan_slot('%plan', i)}, align 8")
    return writer.text("ircc_plan", "ptr %dims, ptr %plan", result="i32", end="ret i32 0")


class _Main:
    """`ircc_main`: the program's operations one after the other."""

    def __init__(self, program: Program, place_constant: Callable[[Constant], int]) -> None:
        self.program, self.place_constant = program, place_constant
        self.writer = writer = _HostWriter(set())
        self.frame = {name: writer.word("%frame", offset // 8, "ptr") for name, offset in FRAME.items()}
        self.context = writer.word("%device", CONTEXT // 8, "ptr")
        self.known = set(program.symbols)  # symbols that have a value here
        for i, name in enumerate(program.symbols):
            self.define(name, writer.word(self.frame["plan"], i))
        self.pointers: dict[SSAValue, str] = {}
        for i, arg in enumerate(program.inputs):
            self.pointers[arg] = writer.word(self.frame["inputs"], i, "ptr")
        for i, arg in enumerate(program.written):
            if not _buffer_type(arg).symbols & program.late:
                self.pointers[arg] = writer.word(self.frame["outputs"], i, "ptr")
        self.calls = {call: i for i, call in enumerate(calls_of(program))}
        most = max((len(c.buffers) + len(c.sizes) for c in self.calls), default=0)
        self.args = writer.entry_value(f"alloca [{max(1, most)} x i64], align 8", "args")
        self.slots = 1 + max(
            (op.slot.data for op in program.ops if isinstance(op, Alloc) and op.slot is not None), default=-1
        )

    def function(self) -> str:
        """Its definition."""
        self.block(self.program.body.block)
        wait = self.writer.word("%device", WAIT // 8, "ptr")
        self.writer.run(f"%waited = call i32 {wait}(ptr {self.context})")
        return self.writer.text("ircc_main", "ptr %device, ptr %frame", result="i32", end="ret i32 %waited")

    # ---- sizes

    def define(self, symbol: str, value: str) -> None:
        self.writer.sizes[symbol] = value
        self.writer.placed[value] = 0

    def learned(self, symbols: Sequence[str]) -> None:
        """Symbols have got their values: checks on them, and outputs of these sizes."""
        self.known.update(symbols)
        for i, check in enumerate(self.program.checks):
            used = check.expr.data.symbols
            if used & set(symbols) and used <= self.known:
                bad = self.writer.put(f"icmp ne i64 {self.writer.integer(check.expr.data)}, 0")
                self.writer.branch_if(bad, i + 1)
        if len(self.writer.scopes) > 1:
            return
        place = len(self.program.symbols) + 1  # of an output's sizes in the plan
        for i, arg in enumerate(self.program.written):
            type_ = _buffer_type(arg)
            if arg not in self.pointers and type_.symbols <= self.known:
                self.pointers[arg] = pointer = self.reserve(self.slots, type_)
                self.slots += 1
                self.writer.run(f"store ptr {pointer}, ptr {self.writer.plan_slot(self.frame['outputs'], i)}, align 8")
                for j, size in enumerate(type_.sizes):
                    slot = self.writer.plan_slot(self.frame["plan"], place + j)
                    self.writer.run(f"store i64 {self.writer.integer(size)}, ptr {slot}, align 8")
            place += type_.rank

    def reserve(self, slot: int, type_: BufferType) -> str:
        """The memory of a slot, at least as large as the type says; the run fails where there is none."""
        writer = self.writer
        for size in type_.sizes:
            writer.branch_if(writer.put(f"icmp slt i64 {writer.integer(size)}, 0"), NO_MEMORY)
        _refuse_too_large(writer, type_)
        place = writer.put(f"getelementptr i64, ptr {self.frame['slots']}, i64 {2 * slot}")
        bytes_ = writer.integer(type_.bytes)
        pointer = writer.now(f"call ptr @ircc.reserve(ptr %device, ptr {place}, i64 {bytes_})")
        writer.branch_if(writer.now(f"icmp eq ptr {pointer}, null"), NO_MEMORY)
        return pointer

    def fetch(self, buffer: SSAValue, size: int) -> str:
        """Memory of the host that holds `size` bytes of a buffer, once everything before has happened."""
        writer = self.writer
        place = writer.entry_value(f"alloca [{size} x i8], align 8", f"fetched {size}")
        for function, args in ((COPY, f", ptr {place}, ptr {self.pointers[buffer]}, i64 {size}"), (WAIT, "")):
            pointer = writer.word("%device", function // 8, "ptr")
            self.checked(f"call i32 {pointer}(ptr {self.context}{args})")
        return place

    def checked(self, call: str) -> None:
        """A call of a device's function, whose error ends the run."""
        status = self.writer.now(call)
        self.writer.branch_if(self.writer.now(f"icmp ne i32 {status}, 0"), status)

    # ---- operations

    def block(self, block: Block) -> None:
        for op in block.ops:
            self.step(op)

    def step(self, op: Operation) -> None:
        writer, pointers = self.writer, self.pointers
        match op:
            case Alloc() if op.slot is not None:
                pointers[op.buffer] = self.reserve(op.slot.data, op.type)
            case Alloc():
                assert op.offset is not None
                pointers[op.buffer] = _moved(writer, self.frame["arena"], writer.integer(op.offset.data))
            case Constant():
                pointers[op.buffer] = _moved(writer, self.frame["weights"], self.place_constant(op))
            case View():
                offset = writer.integer(op.offset.data * op.type.dtype.itemsize)
                pointers[op.buffer] = _moved(writer, pointers[op.source], offset)
            case Call():
                self.call(op)
            case Copy():
                self.copy(op)
            case Transfer():
                self.transfer(op)
            case ReadSizes():
                self.read_sizes(op)
            case SetSizes():
                for symbol, value in zip(op.symbols, op.exprs, strict=True):
                    number = writer.integer(value)
                    writer.branch_if(writer.put(f"icmp slt i64 {number}, 0"), NO_MEMORY)
                    self.define(symbol, writer.now(f"add i64 {number}, 0"))
                self.learned(op.symbols)
            case If():
                self.branch(op)
            case While():
                self.loop(op)
            case _:
                raise BackendError(f"the host program has no meaning for {op.name}")

    def call(self, op: Call) -> None:
        writer = self.writer
        pointers = [self.pointers[b] for b in op.buffers]
        values = [f"ptr {_moved(writer, p, MIRROR) if op.on_host else p}" for p in pointers]
        values += [f"i64 {writer.integer(e.data)}" for e in op.sizes]
        for i, value in enumerate(values):
            slot = writer.put(f"getelementptr i64, ptr {self.args}, i64 {i}")
            writer.run(f"store {value}, ptr {slot}, align 8")
        launch = writer.word("%device", LAUNCH // 8, "ptr")
        number = f"i32 {self.calls[op]}, ptr {self.args}, i64 {len(values)}"
        self.checked(f"call i32 {launch}(ptr {self.context}, {number})")

    def copy(self, op: Copy) -> None:
        writer = self.writer
        bytes_ = writer.integer(_buffer_type(op.source).bytes)
        function = writer.word("%device", COPY // 8, "ptr")
        target, source = self.pointers[op.target], self.pointers[op.source]
        # An output may be the memory of an input. It holds what it has to then, and a large cache is not touched.
        bound = op.source in self.program.inputs and op.target in self.program.written
        writer.count += 1
        n = writer.count
        if bound:
            same = writer.put(f"icmp eq ptr {target}, {source}")
            writer.run(f"br i1 {same}, label %S{n}, label %D{n}")
            writer.label(f"D{n}")
            writer.open_scope()
        self.checked(f"call i32 {function}(ptr {self.context}, ptr {target}, ptr {source}, i64 {bytes_})")
        if bound:
            writer.scopes.pop()
            writer.run(f"br label %S{n}")
            writer.label(f"S{n}")

    def transfer(self, op: Transfer) -> None:
        """A copy between the same place on the two sides."""
        writer, here = self.writer, self.pointers[op.buffer]
        there = _moved(writer, here, MIRROR)
        target, source = (there, here) if op.to.data == HOST else (here, there)
        function = writer.word("%device", COPY // 8, "ptr")
        bytes_ = writer.integer(_buffer_type(op.buffer).bytes)
        self.checked(f"call i32 {function}(ptr {self.context}, ptr {target}, ptr {source}, i64 {bytes_})")

    def read_sizes(self, op: ReadSizes) -> None:
        type_ = _buffer_type(op.source)
        width = type_.dtype.itemsize
        place = self.fetch(op.source, width * len(op.symbols))
        wider = "zext" if type_.dtype.kind in "ub" else "sext"
        for i, symbol in enumerate(op.symbols):
            at = self.writer.put(f"getelementptr i8, ptr {place}, i64 {i * width}")
            value = self.writer.now(f"load i{8 * width}, ptr {at}, align {width}")
            self.define(symbol, value if width == 8 else self.writer.now(f"{wider} i{8 * width} {value} to i64"))
        self.learned(op.symbols)

    def condition(self, buffer: SSAValue) -> str:
        value = self.writer.now(f"load i8, ptr {self.fetch(buffer, 1)}, align 1")
        return self.writer.now(f"icmp ne i8 {value}, 0")

    def branch(self, op: If) -> None:
        writer = self.writer
        condition = self.condition(op.condition)
        writer.count += 1
        n = writer.count
        cells = [writer.entry_value("alloca i64, align 8", f"cell {n} {s}") for s in op.symbols]
        writer.run(f"br i1 {condition}, label %T{n}, label %F{n}")
        for name, region, sizes in (("T", op.then, op.then_sizes), ("F", op.otherwise, op.else_sizes)):
            writer.label(f"{name}{n}")
            known, before = set(self.known), dict(writer.sizes)
            writer.open_scope()
            self.block(region.block)
            for cell, size in zip(cells, sizes, strict=True):
                writer.run(f"store i64 {writer.integer(size.data)}, ptr {cell}, align 8")
            writer.scopes.pop()
            self.known, writer.sizes = known, before
            writer.run(f"br label %E{n}")
        writer.label(f"E{n}")
        for symbol, cell in zip(op.symbols, cells, strict=True):
            self.define(symbol, writer.now(f"load i64, ptr {cell}, align 8"))
        self.learned(op.symbols)

    def loop(self, op: While) -> None:
        writer = self.writer
        writer.count += 1
        n = writer.count
        counter = writer.entry_value("alloca i64, align 8", f"counter {n}")
        bound = None if op.bound is None else writer.integer(op.bound.data)
        writer.run(f"store i64 0, ptr {counter}, align 8")
        writer.run(f"br label %H{n}")
        writer.label(f"H{n}")
        writer.open_scope()  # what is computed from here on need not have been computed where the loop ends
        i = writer.now(f"load i64, ptr {counter}, align 8")
        if bound is not None:
            inside = writer.now(f"icmp slt i64 {i}, {bound}")
            writer.run(f"br i1 {inside}, label %C{n}, label %E{n}")
            writer.label(f"C{n}")
        if op.condition is not None:
            writer.run(f"br i1 {self.condition(op.condition)}, label %B{n}, label %E{n}")
            writer.label(f"B{n}")
        sizes, known = dict(writer.sizes), set(self.known)
        self.define(op.iteration.data, i)
        self.learned([op.iteration.data])
        self.block(op.body.block)
        writer.run(f"store i64 {writer.now(f'add i64 {i}, 1')}, ptr {counter}, align 8")
        writer.scopes.pop()
        writer.sizes, self.known = sizes, known
        writer.run(f"br label %H{n}")
        writer.label(f"E{n}")
        if op.count is not None:
            self.define(op.count.data, i)  # the header comes before the end
            self.learned([op.count.data])


RESERVE = """
; the memory of a slot { ptr, i64 bytes }, made larger where it is too small; what it held is gone then
define internal ptr @ircc.reserve(ptr %device, ptr %slot, i64 %wanted) nounwind {
  %some = call i64 @llvm.smax.i64(i64 %wanted, i64 64)
  %place = getelementptr i64, ptr %slot, i64 1
  %has = load i64, ptr %place, align 8
  %old = load ptr, ptr %slot, align 8
  %enough = icmp sle i64 %some, %has
  br i1 %enough, label %keep, label %grow
keep:
  ret ptr %old
grow:
  %contextp = getelementptr i8, ptr %device, i64 8
  %context = load ptr, ptr %contextp, align 8
  %freep = getelementptr i8, ptr %device, i64 40
  %free = load ptr, ptr %freep, align 8
  %allocp = getelementptr i8, ptr %device, i64 32
  %alloc = load ptr, ptr %allocp, align 8
  %none = icmp eq ptr %old, null
  br i1 %none, label %make, label %drop
drop:
  call void %free(ptr %context, ptr %old)
  br label %make
make:
  %new = call ptr %alloc(ptr %context, i64 %some)
  %failed = icmp eq ptr %new, null
  %size = select i1 %failed, i64 0, i64 %some
  store ptr %new, ptr %slot, align 8
  store i64 %size, ptr %place, align 8
  ret ptr %new
}
"""


def _moved(writer: _HostWriter, base: str, offset: Operand) -> str:
    return base if offset == 0 else writer.put(f"getelementptr i8, ptr {base}, i64 {offset}")


def is_row_major(type_: BufferType) -> bool:
    """Whether elements stand in the order of their indices, without gaps."""
    shape = type_.static_shape
    return shape is not None and type_.offset == BufferType.of(shape, type_.element_type).offset


def laid_out(array: Any, type_: BufferType) -> Any:
    """Constant data as a flat array in the buffer's layout; padding is zero."""
    shape = type_.static_shape
    assert shape is not None
    length = type_.length.constant
    assert length is not None
    if is_row_major(type_):
        return np.ascontiguousarray(array).reshape(-1)
    out = np.zeros(length, array.dtype)
    dims = {i: np.arange(n).reshape([-1 if i == d else 1 for d in range(len(shape))]) for i, n in enumerate(shape)}
    offsets = np.broadcast_to(type_.offset.evaluate(dims), shape)
    out[offsets.reshape(-1)] = np.asarray(array).reshape(-1)
    return out


def sizes_text(values: Sequence[Expr]) -> tuple[int | str, ...]:
    """Sizes as the engine's header holds them."""
    return tuple(v.constant if v.constant is not None else str(v) for v in values)
