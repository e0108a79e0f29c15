"""arith and math operations on scalars as expressions of C.

A half or bfloat16 is held in a float that it is equal to, and rounded after every operation that is not exact; its 16
bits are in memory only. Integers are signed, whatever their sign means to an operation; a bool is 0 or 1 in a byte.
"""

from __future__ import annotations

import math as _math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
)
from xdsl.ir import Attribute, Operation

from ...errors import BackendError
from ...ir.types import dtype_of
from .words import Words

_FLOAT_BINARY: dict[type[Operation], str] = {
    arith.AddfOp: "+", arith.SubfOp: "-", arith.MulfOp: "*", arith.DivfOp: "/",
}  # fmt: skip
_WRAPPING: dict[type[Operation], str] = {arith.AddiOp: "+", arith.SubiOp: "-", arith.MuliOp: "*"}
_BITWISE: dict[type[Operation], str] = {arith.AndIOp: "&", arith.OrIOp: "|", arith.XOrIOp: "^"}
_HELPERS: dict[type[Operation], str] = {
    arith.DivSIOp: "divs", arith.RemSIOp: "rems", arith.DivUIOp: "divu", arith.RemUIOp: "remu",
    arith.ShLIOp: "shl", arith.ShRSIOp: "shrs", arith.ShRUIOp: "shru",
}  # fmt: skip
_EXTREMES: dict[type[Operation], tuple[str, bool]] = {  # how the chosen one compares; whether unsigned
    arith.MaxSIOp: (">", False), arith.MinSIOp: ("<", False), arith.MaxUIOp: (">", True), arith.MinUIOp: ("<", True),
}  # fmt: skip
_EXACT: dict[type[Operation], str] = {  # their results need no rounding
    math.AbsFOp: "fabs", math.CeilOp: "ceil", math.FloorOp: "floor", math.TruncOp: "trunc", math.RoundOp: "round",
    math.RoundEvenOp: "rint", math.CopySignOp: "copysign", arith.MaxnumfOp: "fmax", arith.MinnumfOp: "fmin",
}  # fmt: skip
_FUNCTIONS: dict[type[Operation], str] = {
    math.SqrtOp: "sqrt", math.FmaOp: "fma", math.AcosOp: "acos", math.AcoshOp: "acosh", math.AsinOp: "asin",
    math.AsinhOp: "asinh", math.AtanOp: "atan", math.Atan2Op: "atan2", math.AtanhOp: "atanh", math.CbrtOp: "cbrt",
    math.CosOp: "cos", math.CoshOp: "cosh", math.ErfOp: "erf", math.ExpOp: "exp", math.Exp2Op: "exp2",
    math.ExpM1Op: "expm1", math.LogOp: "log", math.Log10Op: "log10", math.Log1pOp: "log1p", math.Log2Op: "log2",
    math.PowFOp: "pow", math.SinOp: "sin", math.SinhOp: "sinh", math.TanOp: "tan", math.TanhOp: "tanh",
}  # fmt: skip
_INTEGER_TESTS = ("==", "!=", "<", "<=", ">", ">=", "<", "<=", ">", ">=")  # from the seventh on unsigned
_FLOAT_TESTS = {1: "==", 2: ">", 3: ">=", 4: "<", 5: "<=", 13: "!="}  # those that C has for every operand
_CONVERSIONS = (
    arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp, arith.FPToUIOp, arith.ExtFOp, arith.TruncFOp, arith.ExtSIOp,
    arith.ExtUIOp, arith.TruncIOp, arith.IndexCastOp, arith.BitcastOp,
)  # fmt: skip
_HALVES = {Float16Type: "f16", BFloat16Type: "bf16"}


def half_of(type_: Attribute) -> str | None:
    """`f16` or `bf16` for a type of 16 bits that a float holds."""
    return _HALVES.get(type(type_))  # pyright: ignore[reportArgumentType]


def held_type(type_: Attribute) -> str:
    """C's type of a value. Raises BackendError for one that there is none for."""
    match type_:
        case IndexType():
            return "i64"
        case IntegerType():
            width = type_.width.data
            return "u8" if width == 1 else f"i{width}"
        case Float64Type():
            return "f64"
        case Float16Type() | BFloat16Type() | Float32Type():
            return "f32"
        case _:
            raise BackendError(f"C has no type for {type_}")


def is_bool(type_: Attribute) -> bool:
    return isinstance(type_, IntegerType) and type_.width.data == 1


def literal(value: Any, type_: Attribute, words: Words) -> str:
    """A number as an expression."""
    if isinstance(type_, IntegerType | IndexType):
        number = int(value)
        if is_bool(type_):
            return str(number & 1)
        if number == -(1 << 63):
            return "(-9223372036854775807 - 1)"
        return str(number) if number >= 0 else f"({number})"
    if isinstance(type_, Float64Type):
        number = float(value)
        if not _math.isfinite(number):
            return words.bits_f64.format(f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016x}")
        return _signed(repr(number))
    number = float(np.array(value, dtype_of(type_)))
    if not _math.isfinite(number):
        return words.bits_f32.format(f"0x{struct.unpack('<I', struct.pack('<f', number))[0]:08x}")
    text = str(np.float32(number))
    return _signed(text + "f" if "." in text or "e" in text else f"{text}.0f")


def _signed(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


def _unsigned(t: str) -> str:
    return f"u{t[1:]}"


def _wide(t: str) -> str:
    """The unsigned type in which C computes on integers of a type without promoting them to signed ones."""
    return "u64" if t == "i64" else "u32"


class Scalars:
    """Writes operations in the words of a dialect."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def constant(self, op: arith.ConstantOp, type_: Attribute) -> str:
        if not isinstance(op.value, IntegerAttr | FloatAttr):
            raise BackendError(f"C has no constant {op.value}")
        return literal(op.value.value.data, type_, self.words)

    def expression(self, op: Operation, args: Sequence[str], sources: Sequence[Attribute], type_: Attribute) -> str:
        """The result of a scalar operation, of `type_`, on operands of the types `sources`, which have no side effects
        and are names or in parentheses. Raises BackendError for an unknown operation."""
        kind = type(op)
        t = held_type(type_)
        if (word := _FLOAT_BINARY.get(kind)) is not None:
            return self.rounded(f"{args[0]} {word} {args[1]}", type_)
        if (word := _WRAPPING.get(kind)) is not None:
            wide = _wide(t)
            text = f"({t})(({wide}){args[0]} {word} ({wide}){args[1]})"
            return f"{text} & 1" if is_bool(type_) else text
        if (word := _BITWISE.get(kind)) is not None:
            return f"({t})({args[0]} {word} {args[1]})"
        if (word := _HELPERS.get(kind)) is not None and not is_bool(type_):
            return f"ircc_{word}_{t}({args[0]}, {args[1]})"
        if (extreme := _EXTREMES.get(kind)) is not None:
            sign = f"({_unsigned(t)})" if extreme[1] and not is_bool(type_) else ""
            return f"{sign}{args[0]} {extreme[0]} {sign}{args[1]} ? {args[0]} : {args[1]}"
        if (word := _EXACT.get(kind)) is not None:
            return self.call(word, args, t)
        if (word := _FUNCTIONS.get(kind)) is not None:
            return self.rounded(self.call(word, args, t), type_)
        match op:
            case arith.MaximumfOp() | arith.MinimumfOp():
                return f"ircc_{'max' if kind is arith.MaximumfOp else 'min'}_{t}({args[0]}, {args[1]})"
            case arith.CmpiOp():
                return self.compare_integers(op.predicate.value.data, args, sources[0])
            case arith.CmpfOp():
                return self.compare_floats(op.predicate.value.data, args)
            case arith.SelectOp():
                return f"{args[0]} ? {args[1]} : {args[2]}"
            case arith.NegfOp():
                return f"-{args[0]}"
            case math.RsqrtOp():
                one = "1.0" if t == "f64" else "1.0f"
                return self.rounded(f"{one} / {self.call('sqrt', args, t)}", type_)
            case math.AbsIOp():
                return f"{args[0]} < 0 ? ({t})(0 - ({_wide(t)}){args[0]}) : {args[0]}"
            case _ if isinstance(op, _CONVERSIONS):
                return self.converted(op, args[0], sources[0], type_)
            case _:
                raise BackendError(f"C has no expression for {op.name}")

    def call(self, name: str, args: Sequence[str], t: str) -> str:
        function = self.words.function.format(name) if t == "f32" else name
        return f"{function}({', '.join(args)})"

    def rounded(self, text: str, type_: Attribute) -> str:
        """What a float that was computed is as a value of a type."""
        half = half_of(type_)
        return text if half is None else f"ircc_round_{half}({text})"

    def compare_integers(self, predicate: int, args: Sequence[str], source: Attribute) -> str:
        sign = "" if predicate < 6 or is_bool(source) else f"({_unsigned(held_type(source))})"
        minus = "-" if is_bool(source) and 2 <= predicate < 6 else ""  # a signed bool is 0 or -1
        return f"{sign}{minus}{args[0]} {_INTEGER_TESTS[predicate]} {sign}{minus}{args[1]}"

    def compare_floats(self, predicate: int, args: Sequence[str]) -> str:
        a, b = args
        if predicate in (0, 15):
            return str(int(predicate == 15))
        if predicate in _FLOAT_TESTS:
            return f"{a} {_FLOAT_TESTS[predicate]} {b}"
        if predicate == 6:
            return f"{a} < {b} || {a} > {b}"
        if predicate == 7:
            return f"{a} == {a} && {b} == {b}"
        if predicate == 14:
            return f"{a} != {a} || {b} != {b}"
        if predicate == 8:
            return f"!({a} < {b} || {a} > {b})"
        opposite = {9: "<=", 10: "<", 11: ">=", 12: ">"}[predicate]  # unordered or ...
        return f"!({a} {opposite} {b})"

    def converted(self, op: Operation, x: str, source: Attribute, type_: Attribute) -> str:
        s, t = held_type(source), held_type(type_)
        match op:
            case arith.SIToFPOp():
                return self.rounded(f"({t}){'-' if is_bool(source) else ''}{x}", type_)
            case arith.UIToFPOp():
                return self.rounded(f"({t}){x}" if is_bool(source) else f"({t})({_unsigned(s)}){x}", type_)
            case arith.FPToSIOp() | arith.FPToUIOp() if not is_bool(type_):
                return f"ircc_{'signed' if isinstance(op, arith.FPToSIOp) else 'unsigned'}_{s}_{t}({x})"
            case arith.ExtFOp():
                return f"({t}){x}" if s != t else x
            case arith.TruncFOp():
                half = half_of(type_)
                if s == "f64" and half == "f16":
                    return f"ircc_narrow_f16({x})"
                return self.rounded(f"({t}){x}" if s != t else x, type_)
            case arith.ExtUIOp():
                return f"({t}){x}" if is_bool(source) else f"({t})({_unsigned(s)}){x}"
            case arith.ExtSIOp() | arith.IndexCastOp() | arith.TruncIOp():
                if is_bool(type_):
                    return f"(u8)({x} & 1)"
                return f"({t})-{x}" if is_bool(source) else f"({t}){x}"
            case arith.BitcastOp():
                return self.bitcast(x, source, type_)
            case _:
                raise BackendError(f"C has no conversion {op.name} from {source} to {type_}")

    def bitcast(self, x: str, source: Attribute, type_: Attribute) -> str:
        """The bits of a value as a value of another type."""
        if (half := half_of(source)) is not None:
            x, source = f"(i16)ircc_to_{half}({x})", IntegerType(16)
        elif isinstance(source, Float32Type):
            x = self.words.f32_bits.format(x)
        elif isinstance(source, Float64Type):
            x = self.words.f64_bits.format(x)
        if (half := half_of(type_)) is not None:
            return f"ircc_from_{half}((u16)({x}))"
        if isinstance(type_, Float32Type):
            return self.words.bits_f32.format(x)
        if isinstance(type_, Float64Type):
            return self.words.bits_f64.format(x)
        return f"({held_type(type_)}){x}"
