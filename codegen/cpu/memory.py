"""Loads and stores as LLVM text.

Elements outside of a buffer are never touched: their lanes are masked off, or the pointer is turned to a block of zeros
and the value replaced, or to a place on the stack that nobody reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import copysign
from typing import TYPE_CHECKING

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import SSAValue

from ...ir.expr import Expr
from ...ir.types import BufferType, is_bool, signless
from .scalars import llvm_type
from .text import Operand

if TYPE_CHECKING:
    from .emit import FunctionEmitter


ZEROS = 512  # bytes of @ircc.zeros (text.py)


@dataclass
class Plan:
    """What all visits of one access share: an unrolled loop visits it many times."""

    buffer: SSAValue
    type: BufferType
    offset: Expr  # in elements, over dims that stand for loop variables and the lane
    lane: Expr | None  # offset of one lane from the next; None when it is not constant over the lanes
    lane_dim: int  # the dim that stands for the lane in `offset`
    guards: list[tuple[Expr, Expr, int]]  # index, size, lane step: 0 <= index < size is not known
    form: tuple[dict[int, Expr], Expr] | None  # offset of lane 0 as sum of dim * coefficient, and the rest
    value: SSAValue  # what is loaded or stored
    kind: str  # LLVM's type of it
    otherwise: SSAValue | None
    lanes: int
    live: int
    register: bool  # the buffer is in space `register`

    def __post_init__(self) -> None:
        self.memory = memory_type(self.type)
        self.is_bool = is_bool(self.type.element_type)
        self.size = self.type.dtype.itemsize
        self.otherwise_zero = self.otherwise is not None and is_zero(self.otherwise)
        self.varying = any(g[2] for g in self.guards)
        self.step = None if self.lane is None else self.lane.constant
        # One active lane is a scalar: LLVM 22 makes a wide store of a truncated vector under a mask of one lane.
        self.neighbours = self.step == 1 and self.live > 1


def is_zero(value: SSAValue) -> bool:
    """Whether a value is a constant of bits that are all 0, in all lanes."""
    made = value.owner
    if isinstance(made, vector.BroadcastOp):
        made = made.source.owner
    if not isinstance(made, arith.ConstantOp):
        return False
    match made.value:
        case FloatAttr() as number:
            return number.value.data == 0 and copysign(1, number.value.data) > 0
        case IntegerAttr() as number:
            return number.value.data == 0
        case _:
            return False


def memory_type(type_: BufferType) -> str:
    """LLVM's type of an element in memory: a bool takes a byte."""
    return "i8" if is_bool(type_.element_type) else llvm_type(signless(type_.element_type))


def zero_of(kind: str) -> str:
    """Zero of an integer type, or in all lanes."""
    return "zeroinitializer" if kind[0] == "<" else "0"


def load_text(emitter: FunctionEmitter, plan: Plan) -> str:
    """Loads one element or a vector: in one piece when the lanes are neighbours, else lane by lane.

    Elements outside of the buffer are never touched: their lanes are masked off, or the pointer is turned to a block
    of zeros and the value replaced."""
    t, memory, bool_, size, lanes = plan.kind, plan.memory, plan.is_bool, plan.size, plan.lanes
    version = emitter.version.get(plan.buffer, 0)
    otherwise = None if plan.otherwise is None else str(emitter.env[plan.otherwise])

    def get(kind: str, text: str) -> str:
        loaded = emitter.put(text, key=f"{text} @{version}")
        return emitter.put(f"icmp ne {kind} {loaded}, {zero_of(kind)}") if bool_ else loaded

    def whole(kind: str, lane: int, instead: str | None) -> str:
        """One load of type `kind` from the place of a lane, all of it inside or none."""
        pointer = emitter.address(plan, lane)
        inside = _inside(emitter, plan.guards, lane)
        if inside == "true":
            return get(kind, f"load {kind}, ptr {pointer}, align {size}")
        if inside == "false":
            return str(instead)
        safe = emitter.put(f"select i1 {inside}, ptr {pointer}, ptr @ircc.zeros")
        value = get(kind, f"load {kind}, ptr {safe}, align {size}")
        if plan.otherwise_zero:
            return value
        k = kind.replace("i8", "i1") if bool_ else kind
        return emitter.put(f"select i1 {inside}, {k} {value}, {k} {instead}")

    if lanes == 1:
        return whole(memory, 0, otherwise)
    wide = f"<{lanes} x {memory}>"
    neighbours = plan.neighbours
    if neighbours and not plan.varying and plan.live == lanes and (not plan.guards or lanes * size <= ZEROS):
        return whole(wide, 0, otherwise)
    if neighbours:
        pointer = emitter.address(plan)
        mask = _mask(emitter, plan)
        m = f"<{lanes} x i1>"
        name = f"@llvm.masked.load.v{lanes}{_suffix(memory)}.p0"
        emitter.declarations.add(f"declare {wide} {name}(ptr, i32, {m}, {wide})")
        value = get(wide, f"call {wide} {name}(ptr {pointer}, i32 {size}, {m} {mask}, {wide} zeroinitializer)")
        return value if not plan.guards else emitter.put(f"select {m} {mask}, {t} {value}, {t} {otherwise}")
    scalar = t[1:-1].split(" x ")[1]
    out = "zeroinitializer"
    for lane in range(plan.live):
        instead = None if otherwise is None else emitter.put(f"extractelement {t} {otherwise}, i64 {lane}")
        out = emitter.put(f"insertelement {t} {out}, {scalar} {whole(memory, lane, instead)}, i64 {lane}")
    return out


def store_text(emitter: FunctionEmitter, plan: Plan) -> str | None:
    """Stores one element or a vector: in one piece when the lanes are neighbours, else lane by lane. Returns the load
    that gives the same value again, if one does."""
    t, memory, size, lanes = plan.kind, plan.memory, plan.size, plan.lanes
    value = str(emitter.env[plan.value])
    if plan.is_bool:
        wide_bool = t.replace("i1", "i8")
        value, t = emitter.put(f"zext {t} {value} to {wide_bool}"), wide_bool
    if lanes == 1 or (plan.neighbours and plan.live == lanes and not plan.varying):
        pointer = _store(emitter, plan, 0, t, value, lanes * size)
        return None if plan.guards or plan.is_bool else f"load {t}, ptr {pointer}, align {size}"
    if plan.neighbours and not plan.guards:
        mask, m = first_lanes(plan), f"<{lanes} x i1>"
        name = f"@llvm.masked.store.v{lanes}{_suffix(memory)}.p0"
        emitter.declarations.add(f"declare void {name}({t}, ptr, i32, {m})")
        emitter.run(f"call void {name}({t} {value}, ptr {emitter.address(plan)}, i32 {size}, {m} {mask})")
    else:
        for lane in range(plan.live):
            one = emitter.put(f"extractelement {t} {value}, i64 {lane}")
            _store(emitter, plan, lane, memory, one, size)
    return None


def _store(emitter: FunctionEmitter, plan: Plan, lane: int, kind: str, value: str, size: int) -> str:
    """Stores `size` bytes at the place of a lane, where that is inside; returns the pointer to it."""
    pointer = emitter.address(plan, lane)
    inside = emitter.allowed(_inside(emitter, plan.guards, lane))
    if inside == "true":
        emitter.run(f"store {kind} {value}, ptr {pointer}, align {plan.size}")
    elif inside != "false":
        emitter.store_where(inside, f"{kind} {value}", pointer, plan.size, size)
    return pointer


def _inside(emitter: FunctionEmitter, guards: Sequence[tuple[Expr, Expr, int]], lane: int) -> str:
    """Whether the element of a lane is inside of the buffer, an i1. One unsigned comparison per dimension."""
    result = "true"
    for index, size, step in guards:
        position, limit = emitter.integer(index + step * lane), emitter.integer(size)
        if isinstance(position, int) and isinstance(limit, int):
            if not 0 <= position < limit:
                return "false"
            continue
        test = emitter.put(f"icmp ult i64 {position}, {limit}")
        result = test if result == "true" else emitter.put(f"and i1 {result}, {test}")
    return result


def first_lanes(plan: Plan) -> str:
    """The live lanes, as a mask."""
    return "<" + ", ".join(f"i1 {int(i < plan.live)}" for i in range(plan.lanes)) + ">"


def _mask(emitter: FunctionEmitter, plan: Plan) -> str:
    """The lanes that are touched: the live ones that are inside of the buffer."""
    lanes = plan.lanes
    m = f"<{lanes} x i1>"
    mask = "" if plan.live == lanes else first_lanes(plan)
    v = f"<{lanes} x i64>"

    def everywhere(x: Operand) -> str:
        first = emitter.put(f"insertelement {v} poison, i64 {x}, i64 0")
        return emitter.put(f"shufflevector {v} {first}, {v} poison, <{lanes} x i32> zeroinitializer")

    for index, size, step in plan.guards:
        steps = ", ".join(f"i64 {i * step}" for i in range(lanes))
        position = emitter.put(f"add {v} {everywhere(emitter.integer(index))}, <{steps}>")
        test = emitter.put(f"icmp ult {v} {position}, {everywhere(emitter.integer(size))}")
        mask = emitter.put(f"and {m} {mask}, {test}") if mask else test
    return mask


def _suffix(memory: str) -> str:
    return {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}.get(memory, memory)
