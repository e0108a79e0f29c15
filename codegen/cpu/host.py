"""loop.program → LLVM text: `ircc_plan` (sizes, checks, output shapes) and `ircc_main` (one run).

Their ABI is described in runtime/artifact.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from ...dialects.loop import ARENA, Alloc, Call, Constant, Program
from ...errors import BackendError
from ...ir.expr import Expr
from ...ir.types import BufferType, ExprAttr
from .text import Operand, Writer

# byte offsets in runtime.device.DeviceTable and in the frame
CONTEXT, LAUNCH, WAIT = 8, 16, 48
FRAME = {"plan": 0, "arena": 8, "weights": 16, "inputs": 24, "outputs": 32}


@dataclass
class Host:
    """A program's text, and what the engine must know about it."""

    text: str
    calls: list[Call] = field(default_factory=list[Call])  # in the order of their launch numbers


class _HostWriter(Writer):
    """Integers of the host program: symbols are in the plan, or among the input dimensions while that is made."""

    def plan_slot(self, base: str, index: int) -> str:
        return self.put(f"getelementptr i64, ptr {base}, i64 {index}")

    def word(self, base: str, index: int, kind: str = "i64") -> str:
        """Word number `index` of an array of 8-byte words."""
        return self.put(f"load {kind}, ptr {self.plan_slot(base, index)}, align 8")

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
    return Host(_plan(program) + _main(program, place_constant), calls_of(program))


def calls_of(program: Program) -> list[Call]:
    return [op for op in program.body.block.ops if isinstance(op, Call)]


def _buffer_type(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


def arena_bytes(program: Program) -> Expr:
    """Bytes that all of the program's buffers take together."""
    size = program.attributes.get(ARENA)
    for op in program.body.block.ops:
        if isinstance(op, Alloc) and (op.offset is None or not isinstance(size, ExprAttr)):
            raise BackendError(f"buffer {op.label.data!r} has no place in memory", hint="run the pass plan-memory")
    return size.data if isinstance(size, ExprAttr) else Expr.const(0)


def _plan(program: Program) -> str:
    writer = _HostWriter(set())
    position = 0
    for arg in program.inputs:
        for size in _buffer_type(arg).sizes:
            for name in size.symbols:
                if size == Expr.symbol(name) and name not in writer.sizes:
                    writer.sizes[name] = writer.word("%dims", position)
                    writer.placed[writer.sizes[name]] = 0
            position += 1
    for i, check in enumerate(program.checks):
        value = writer.integer(check.expr.data)
        bad = writer.put(f"icmp ne i64 {value}, 0")
        writer.branch_if(bad, i + 1)
    found: list[Operand] = [writer.sizes[s] for s in program.symbols]
    found.append(writer.integer(arena_bytes(program)))
    found += [writer.integer(s) for arg in program.written for s in _buffer_type(arg).sizes]
    for i, value in enumerate(found):
        writer.run(f"store i64 {value}, ptr {writer.plan_slot('%plan', i)}, align 8")
    return writer.text("ircc_plan", "ptr %dims, ptr %plan", result="i32", end="ret i32 0")


def _main(program: Program, place_constant: Callable[[Constant], int]) -> str:
    writer = _HostWriter(set())
    frame = {name: writer.word("%frame", offset // 8, "ptr") for name, offset in FRAME.items()}
    for i, name in enumerate(program.symbols):
        writer.sizes[name] = writer.word(frame["plan"], i)
        writer.placed[writer.sizes[name]] = 0
    context = writer.word("%device", CONTEXT // 8, "ptr")
    launch = writer.word("%device", LAUNCH // 8, "ptr")
    pointers: dict[SSAValue, str] = {}
    for i, arg in enumerate(program.inputs):
        pointers[arg] = writer.word(frame["inputs"], i, "ptr")
    for i, arg in enumerate(program.written):
        pointers[arg] = writer.word(frame["outputs"], i, "ptr")
    most = max((len(c.buffers) + len(c.sizes) for c in calls_of(program)), default=0)
    args = writer.entry_value(f"alloca [{max(1, most)} x i64], align 8", "args")
    number = 0
    for op in program.body.block.ops:
        match op:
            case Alloc():
                assert op.offset is not None
                pointers[op.buffer] = _moved(writer, frame["arena"], writer.integer(op.offset.data))
            case Constant():
                pointers[op.buffer] = _moved(writer, frame["weights"], place_constant(op))
            case Call():
                values: list[str] = [f"ptr {pointers[b]}" for b in op.buffers]
                values += [f"i64 {writer.integer(e.data)}" for e in op.sizes]
                for i, value in enumerate(values):
                    slot = writer.put(f"getelementptr i64, ptr {args}, i64 {i}")
                    writer.run(f"store {value}, ptr {slot}, align 8")
                status = writer.fresh()
                writer.run(f"{status} = call i32 {launch}(ptr {context}, i32 {number}, ptr {args}, i64 {len(values)})")
                failed = writer.put(f"icmp ne i32 {status}, 0")
                writer.branch_if(failed, status)
                number += 1
            case _:
                raise BackendError(f"the host program has no meaning for {op.name}")
    wait = writer.word("%device", WAIT // 8, "ptr")
    writer.run(f"%waited = call i32 {wait}(ptr {context})")
    return writer.text("ircc_main", "ptr %device, ptr %frame", result="i32", end="ret i32 %waited")


def _moved(writer: _HostWriter, base: str, offset: Operand) -> str:
    return base if offset == 0 else writer.put(f"getelementptr i8, ptr {base}, i64 {offset}")


def laid_out(array: Any, type_: BufferType) -> Any:
    """Constant data as a flat array in the buffer's layout; padding is zero."""
    shape = type_.static_shape
    assert shape is not None
    length = type_.length.constant
    assert length is not None
    if type_.offset == BufferType.of(shape, type_.element_type).offset:
        return np.ascontiguousarray(array).reshape(-1)
    out = np.zeros(length, array.dtype)
    dims = {i: np.arange(n).reshape([-1 if i == d else 1 for d in range(len(shape))]) for i, n in enumerate(shape)}
    offsets = np.broadcast_to(type_.offset.evaluate(dims), shape)
    out[offsets.reshape(-1)] = np.asarray(array).reshape(-1)
    return out


def sizes_text(values: Sequence[Expr]) -> tuple[int | str, ...]:
    """Sizes as the engine's header holds them."""
    return tuple(v.constant if v.constant is not None else str(v) for v in values)
