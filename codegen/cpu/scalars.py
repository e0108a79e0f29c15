"""arith, math and vector.broadcast operations as LLVM instructions, on scalars and vectors alike.

Floating-point arithmetic carries the one fast-math flag `contract` (a multiply and an add may become one instruction),
but for what is `rounded`; the greater of 0 and -0 may be either, as in NumPy (`nsz`), because telling them apart takes
more than all the rest.
Half to even is how processors round (`rint`), unless a process has told them otherwise: every architecture has an
instruction for that, where `roundeven` is a function that some libraries lack.
Where LLVM leaves a result undefined (division by zero, shifts too far, conversions out of range), the code gives what
the reference meaning in ir/scalars.py gives.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    VectorType,
)
from xdsl.ir import Attribute, Operation

from ...dialects.loop import Lanewise
from ...errors import BackendError
from ...ir.scalars import ROUNDED
from ...ir.types import dtype_of

Put = Callable[[str], str]  # an instruction's text → the value that holds its result

_FLOATS: dict[type[Attribute], str] = {
    Float32Type: "float", Float64Type: "double", Float16Type: "half", BFloat16Type: "bfloat",
}  # fmt: skip
_INFINITY = {"": (0x7FF << 52, (1 << 63) - 1), "H": (0x7C00, 0x7FFF), "R": (0x7F80, 0x7FFF)}  # bits, and but the sign
_SUFFIX = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}
_BINARY: dict[type[Operation], str] = {
    arith.AddfOp: "fadd", arith.SubfOp: "fsub", arith.MulfOp: "fmul", arith.DivfOp: "fdiv",
    arith.AddiOp: "add", arith.SubiOp: "sub", arith.MuliOp: "mul",
    arith.AndIOp: "and", arith.OrIOp: "or", arith.XOrIOp: "xor",
}  # fmt: skip
_CONTRACTED = ("fadd", "fsub", "fmul")
_INTRINSIC: dict[type[Operation], str] = {
    arith.MaximumfOp: "maximum", arith.MinimumfOp: "minimum", arith.MaxnumfOp: "maxnum", arith.MinnumfOp: "minnum",
    arith.MaxSIOp: "smax", arith.MinSIOp: "smin", arith.MaxUIOp: "umax", arith.MinUIOp: "umin",
    math.AbsFOp: "fabs", math.CeilOp: "ceil", math.CopySignOp: "copysign", math.FloorOp: "floor", math.FmaOp: "fma",
    math.RoundEvenOp: "rint", math.RoundOp: "round", math.SqrtOp: "sqrt", math.TruncOp: "trunc",
}  # fmt: skip
_LIBRARY: dict[type[Operation], str] = {  # functions of the C library, lane by lane
    math.AcosOp: "acos", math.AcoshOp: "acosh", math.AsinOp: "asin", math.AsinhOp: "asinh", math.AtanOp: "atan",
    math.Atan2Op: "atan2", math.AtanhOp: "atanh", math.CbrtOp: "cbrt", math.CosOp: "cos", math.CoshOp: "cosh",
    math.ErfOp: "erf", math.ExpOp: "exp", math.Exp2Op: "exp2", math.ExpM1Op: "expm1", math.LogOp: "log",
    math.Log10Op: "log10", math.Log1pOp: "log1p", math.Log2Op: "log2", math.PowFOp: "pow", math.SinOp: "sin",
    math.SinhOp: "sinh", math.TanOp: "tan", math.TanhOp: "tanh",
}  # fmt: skip
_COMPARE_INTEGERS = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_COMPARE_FLOATS = (
    "false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true",
)  # fmt: skip
_CASTS: dict[type[Operation], str] = {
    arith.SIToFPOp: "sitofp", arith.UIToFPOp: "uitofp", arith.ExtFOp: "fpext", arith.TruncFOp: "fptrunc",
    arith.TruncIOp: "trunc", arith.ExtSIOp: "sext", arith.ExtUIOp: "zext", arith.BitcastOp: "bitcast",
}  # fmt: skip


@lru_cache(maxsize=1024)
def llvm_type(type_: Attribute) -> str:
    """LLVM's name of a scalar or vector type."""
    if isinstance(type_, VectorType):
        return f"<{type_.get_shape()[0]} x {llvm_type(type_.element_type)}>"
    if isinstance(type_, IndexType):
        return "i64"
    if isinstance(type_, IntegerType):
        return f"i{type_.width.data}"
    return _FLOATS[type(type_)]


def literal(value: Any, type_: Attribute) -> str:
    """A number as LLVM text."""
    match type_:
        case IntegerType() | IndexType():
            return str(int(value))
        case Float16Type():
            return f"0xH{struct.unpack('<H', struct.pack('<e', value))[0]:04X}"
        case BFloat16Type():
            return f"0xR{int(np.array(value, dtype_of(type_)).view(np.uint16)):04X}"
        case Float32Type():
            return f"0x{struct.unpack('<Q', struct.pack('<d', float(np.float32(value))))[0]:016X}"
        case _:
            return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"


def is_literal(operand: str) -> bool:
    """Whether an operand's text is a constant."""
    return not operand.startswith("%")


def splat(value: str, scalar: str) -> str:
    """A constant vector with one value in all lanes."""
    return f"splat ({scalar} {value})"


class ScalarEmitter:
    """Writes operations; collects the declarations they need."""

    def __init__(self) -> None:
        self.declarations: set[str] = set()
        # by operation and literal operands: what was written, `%{n}` for operands and results before; and the result
        self.templates: dict[Operation, dict[tuple[str, ...], tuple[list[str], str]]] = {}

    def emit(self, op: Operation, args: Sequence[str], put: Put) -> str:
        """The operand that holds the result of `op` on these operands. Raises BackendError for an unknown operation.

        Unrolled loops visit an operation many times: its text is made once, and filled in."""
        key = tuple(["" if a[0] == "%" else a for a in args])
        if (templates := self.templates.get(op)) is None:
            templates = self.templates[op] = {}
        if (template := templates.get(key)) is None:
            lines: list[str] = []
            slots = [a if is_literal(a) else f"%{{{i}}}" for i, a in enumerate(args)]

            def record(text: str) -> str:
                lines.append(text)
                return f"%{{{len(args) + len(lines) - 1}}}"

            template = templates[key] = lines, self._emit(op, slots, record)
        names = [a[1:] if a[0] == "%" else a for a in args]
        for line in template[0]:
            names.append(put(line.format(*names)).removeprefix("%"))
        return template[1].format(*names)

    def _emit(self, op: Operation, args: Sequence[str], put: Put) -> str:
        type_ = op.results[0].type
        types = [o.type for o in op.operands]
        if isinstance(op, Lanewise):
            op = op.scalar
        t = llvm_type(type_)
        if (word := _BINARY.get(type(op))) is not None:
            free = word in _CONTRACTED and ROUNDED not in op.attributes
            return put(f"{word}{' contract' * free} {t} {args[0]}, {args[1]}")
        match op:
            case arith.ConstantOp():
                return self._constant(op)
            case vector.BroadcastOp():
                return self.broadcast(args[0], types[0], type_, put)
            case arith.CmpiOp() | arith.CmpfOp():
                word, names = ("icmp", _COMPARE_INTEGERS) if isinstance(op, arith.CmpiOp) else ("fcmp", _COMPARE_FLOATS)
                return put(f"{word} {names[op.predicate.value.data]} {llvm_type(types[0])} {args[0]}, {args[1]}")
            case arith.SelectOp():
                c = llvm_type(types[0])
                return put(f"select {c} {args[0]}, {t} {args[1]}, {t} {args[2]}")
            case arith.NegfOp():
                return put(f"fneg {t} {args[0]}")
            case arith.IndexCastOp():
                return self._index_cast(llvm_type(types[0]), t, args[0], put)
            case arith.FPToSIOp() | arith.FPToUIOp():
                s = llvm_type(types[0])
                kind = "fptosi" if isinstance(op, arith.FPToSIOp) else "fptoui"
                return self._intrinsic(f"{kind}.sat", t, [(s, args[0])], put, suffix=f"{_mangled(t)}.{_mangled(s)}")
            case arith.DivSIOp() | arith.DivUIOp() | arith.RemSIOp() | arith.RemUIOp():
                return self._divide(op, t, args, put)
            case arith.ShLIOp() | arith.ShRSIOp() | arith.ShRUIOp():
                return self._shift(op, t, args, put)
            case math.RsqrtOp():
                root = self._intrinsic("sqrt", t, [(t, args[0])], put)
                one = literal(1.0, _scalar(type_))
                return put(f"fdiv {t} {one if t[0] != '<' else splat(one, llvm_type(_scalar(type_)))}, {root}")
            case math.AbsIOp():
                return self._intrinsic("abs", t, [(t, args[0]), ("i1", "false")], put)
            case arith.MaximumfOp() | arith.MinimumfOp() if any(map(is_literal, args)):
                return self._extreme(op, t, args, put)
            case arith.MaximumfOp() | arith.MinimumfOp():
                return self._intrinsic(_INTRINSIC[type(op)], t, [(t, a) for a in args], put, flags="nsz ")
            case _:
                if isinstance(op, arith.TruncFOp) and isinstance(_scalar(type_), BFloat16Type):
                    return self._to_bfloat(llvm_type(types[0]), t, args[0], put)
                if isinstance(op, arith.ExtFOp) and isinstance(_scalar(types[0]), BFloat16Type):
                    return self._from_bfloat(t, args[0], put)
                if (word := _CASTS.get(type(op))) is not None:
                    return put(f"{word} {llvm_type(types[0])} {args[0]} to {t}")
                if (word := _INTRINSIC.get(type(op))) is not None:
                    return self._intrinsic(word, t, [(t, a) for a in args], put)
                if (word := _LIBRARY.get(type(op))) is not None:
                    return self.library(word, type_, args, put)
        raise BackendError(f"LLVM has no instruction for {op.name}")

    def _constant(self, op: arith.ConstantOp) -> str:
        match op.value:
            case IntegerAttr() | FloatAttr():
                return literal(op.value.value.data, op.result.type)
            case _:
                raise BackendError(f"LLVM text has no constant {op.value}")

    def broadcast(self, value: str, source: Attribute, type_: Attribute, put: Put) -> str:
        """One scalar in all lanes."""
        assert isinstance(type_, VectorType)
        s, t, lanes = llvm_type(source), llvm_type(type_), type_.get_shape()[0]
        if is_literal(value):
            return splat(value, s)
        first = put(f"insertelement {t} poison, {s} {value}, i64 0")
        return put(f"shufflevector {t} {first}, {t} poison, <{lanes} x i32> zeroinitializer")

    def _intrinsic(
        self,
        name: str,
        result: str,
        args: Sequence[tuple[str, str]],
        put: Put,
        suffix: str | None = None,
        flags: str = "",
    ) -> str:
        full = f"@llvm.{name}.{suffix or _mangled(result)}"
        self.declarations.add(f"declare {result} {full}({', '.join(t for t, _ in args)})")
        return put(f"call {flags}{result} {full}({', '.join(f'{t} {a}' for t, a in args)})")

    def library(self, name: str, type_: Attribute, args: Sequence[str], put: Put) -> str:
        """Half types go through float; vectors lane by lane."""
        scalar = _scalar(type_)
        s = llvm_type(scalar)
        lanes = type_.get_shape()[0] if isinstance(type_, VectorType) else 0
        wide = "double" if s == "double" else "float"
        function = f"@{name}" if wide == "double" else f"@{name}f"
        self.declarations.add(f"declare {wide} {function}({', '.join([wide] * len(args))})")

        def one(values: Sequence[str]) -> str:
            if s != wide:
                values = [put(f"fpext {s} {v} to {wide}") for v in values]
            result = put(f"call {wide} {function}({', '.join(f'{wide} {v}' for v in values)})")
            return result if s == wide else put(f"fptrunc {wide} {result} to {s}")

        if not lanes:
            return one(args)
        t, out = llvm_type(type_), "poison"
        for lane in range(lanes):
            result = one([put(f"extractelement {t} {a}, i64 {lane}") for a in args])
            out = put(f"insertelement {t} {out}, {s} {result}, i64 {lane}")
        return out

    def _extreme(self, op: Operation, t: str, args: Sequence[str], put: Put) -> str:
        """max or min with a constant: one comparison, the constant first, so that NaN passes."""
        constant, x = (args[0], args[1]) if is_literal(args[0]) else (args[1], args[0])
        if _is_nan(constant):
            return constant
        word = "ogt" if isinstance(op, arith.MaximumfOp) else "olt"
        test = put(f"fcmp {word} {t} {constant}, {x}")
        return put(f"select {_bool_like(t)} {test}, {t} {constant}, {t} {x}")

    def _to_bfloat(self, source: str, t: str, x: str, put: Put) -> str:
        """float → bfloat, to nearest even, on the bits: LLVM would call a library for most targets."""
        n = _lanes(t)
        f, i, half, c = _as(n, "float"), _as(n, "i32"), _as(n, "i16"), _bool_like(t)
        if source != f:
            x = put(f"fptrunc {source} {x} to {f}")
        bits = put(f"bitcast {f} {x} to {i}")
        high = put(f"lshr {i} {bits}, {_ones(i, 16)}")
        even = put(f"and {i} {high}, {_ones(i, 1)}")
        bias = put(f"add {i} {even}, {_ones(i, 0x7FFF)}")
        rounded = put(f"lshr {i} {put(f'add {i} {bits}, {bias}')}, {_ones(i, 16)}")
        quiet = put(f"or {i} {high}, {_ones(i, 0x40)}")
        nan = put(f"fcmp uno {f} {x}, {x}")
        chosen = put(f"select {c} {nan}, {i} {quiet}, {i} {rounded}")
        return put(f"bitcast {half} {put(f'trunc {i} {chosen} to {half}')} to {t}")

    def _from_bfloat(self, t: str, x: str, put: Put) -> str:
        """bfloat → float or double: the bits, shifted."""
        n = _lanes(t)
        f, i, half = _as(n, "float"), _as(n, "i32"), _as(n, "i16")
        narrow = put(f"bitcast {_as(n, 'bfloat')} {x} to {half}")
        wide = put(f"zext {half} {narrow} to {i}")
        value = put(f"bitcast {i} {put(f'shl {i} {wide}, {_ones(i, 16)}')} to {f}")
        return value if t == f else put(f"fpext {f} {value} to {t}")

    def _index_cast(self, source: str, target: str, x: str, put: Put) -> str:
        a, b = _bits(source), _bits(target)
        if a == b:
            return x
        return put(f"{'sext' if a < b else 'trunc'} {source} {x} to {target}")

    def _divide(self, op: Operation, t: str, args: Sequence[str], put: Put) -> str:
        """x / 0 is 0 and x rem 0 is x; the least integer / -1 is itself."""
        a, b = args
        signed = isinstance(op, arith.DivSIOp | arith.RemSIOp)
        divide = isinstance(op, arith.DivSIOp | arith.DivUIOp)
        word = f"{'s' if signed else 'u'}{'div' if divide else 'rem'}"
        if b.lstrip("-").isdigit() and int(b) not in (0, -1):
            return put(f"{word} {t} {a}, {b}")
        c, one, none = _bool_like(t), _ones(t, 1), _ones(t, 0)
        zero = put(f"icmp eq {t} {b}, {none}")
        by_zero = none if divide else a
        if not signed:
            result = put(f"{word} {t} {a}, {put(f'select {c} {zero}, {t} {one}, {t} {b}')}")
            return put(f"select {c} {zero}, {t} {by_zero}, {t} {result}")
        minus = put(f"icmp eq {t} {b}, {_ones(t, -1)}")
        bad = put(f"or {c} {zero}, {minus}")
        result = put(f"{word} {t} {a}, {put(f'select {c} {bad}, {t} {one}, {t} {b}')}")
        by_minus = put(f"sub {t} {none}, {a}") if divide else none
        result = put(f"select {c} {minus}, {t} {by_minus}, {t} {result}")
        return put(f"select {c} {zero}, {t} {by_zero}, {t} {result}")

    def _shift(self, op: Operation, t: str, args: Sequence[str], put: Put) -> str:
        a, b = args
        word = {arith.ShLIOp: "shl", arith.ShRSIOp: "ashr", arith.ShRUIOp: "lshr"}[type(op)]  # pyright: ignore[reportArgumentType]
        bits = _bits(t)
        if b.isdigit() and int(b) < bits:
            return put(f"{word} {t} {a}, {b}")
        c = _bool_like(t)
        good = put(f"icmp ult {t} {b}, {_ones(t, bits)}")
        amount = put(f"select {c} {good}, {t} {b}, {t} {_ones(t, bits - 1)}")
        result = put(f"{word} {t} {a}, {amount}")
        if word == "ashr":
            return result
        return put(f"select {c} {good}, {t} {result}, {t} {_ones(t, 0)}")


def _is_nan(constant: str) -> bool:
    """Whether the text of a floating-point constant says NaN."""
    if (found := re.search(r"0x([HR]?)([0-9A-F]+)", constant)) is None:
        return False
    infinity, mask = _INFINITY[found[1]]
    return int(found[2], 16) & mask > infinity


def _scalar(type_: Attribute) -> Attribute:
    return type_.element_type if isinstance(type_, VectorType) else type_


def _lanes(t: str) -> int:
    return int(t[1:].split()[0]) if t[0] == "<" else 0


def _as(lanes: int, scalar: str) -> str:
    """A scalar type, or a vector of it."""
    return f"<{lanes} x {scalar}>" if lanes else scalar


def _mangled(t: str) -> str:
    """`<16 x float>` → `v16f32`, as in the names of intrinsics."""
    scalar = t[1:-1].split(" x ")[1] if t[0] == "<" else t
    return (f"v{_lanes(t)}" if t[0] == "<" else "") + _SUFFIX.get(scalar, scalar)


def _bool_like(t: str) -> str:
    return f"<{_lanes(t)} x i1>" if t[0] == "<" else "i1"


def _bits(t: str) -> int:
    return int(t.strip("<>").split()[-1][1:])


def _ones(t: str, value: int) -> str:
    """The integer in every lane of an integer type."""
    return str(value) if t[0] != "<" else splat(str(value), t[1:-1].split(" x ")[1])
