"""Rules of elementwise operators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from xdsl.ir import Attribute

from ...errors import ModelError
from ...ir.expr import ONE
from ...ir.types import bits_of, is_small_float
from .builder import Value
from .node import Node, Result, Rule


def plain(operator: str, **attributes: float | str | bool) -> Rule:
    """The graph operator of that name, on all inputs, with these attributes (and their defaults)."""

    def rule(n: Node) -> Value:
        given = {k: type(v)(n.attr(k, int(v) if isinstance(v, bool) else v)) for k, v in attributes.items()}
        return n.emit(operator, *n.inputs, **given)

    return rule


def binary(operator: str, **attributes: float | str | bool) -> Rule:
    """Two inputs that broadcast."""
    apply = plain(operator, **attributes)

    def rule(n: Node) -> Result:
        if n.opset < 7:
            n.values = legacy(n)
        return apply(n)

    return rule


def legacy(n: Node) -> list[Value | None]:
    """Before opset 7 only b broadcasts, and only if told so: its axes lie at `axis` of a's, or at the end."""
    a, b = n.input(0), n.input(1)
    if not n.attr("broadcast", 0):
        if a.rank != b.rank:
            raise ModelError(f"its inputs have {a.rank} and {b.rank} dimensions, and broadcast is not set")
        return [a, b]
    axis = n.attr("axis", a.rank - b.rank)
    axis += a.rank if axis < 0 else 0
    if not 0 <= axis <= a.rank - b.rank:
        raise ModelError(f"axis {axis} does not fit {a.rank} and {b.rank} dimensions")
    return [a, n.reshape(b, [*b.sizes, *[1] * (a.rank - axis - b.rank)])]


def prelu(n: Node) -> Value:
    x, slope = n.input(0), n.input(1)
    if n.opset < 7 and slope.rank == 1 and x.rank > 2 and slope.sizes[0] != ONE:  # one slope per channel
        slope = n.reshape(slope, [*slope.sizes, *[1] * (x.rank - 2)])
    return n.emit("PRelu", x, slope)


def identity(n: Node) -> Result:
    return n.held(0)


def clip(n: Node) -> Value:
    x = n.input(0)
    if n.opset >= 11:
        return n.emit("Clip", x, n.optional(1), n.optional(2))
    low, high = (None if (a := n.attr(name)) is None else n.like(a, x) for name in ("min", "max"))
    return n.emit("Clip", x, low, high)


def cast(n: Node) -> Value:
    return _cast(n, n.element("to"))


def cast_like(n: Node) -> Value:
    return _cast(n, n.input(1).type.element_type)


def _cast(n: Node, to: Attribute) -> Value:
    x = n.input(0)
    saturate, round_mode = bool(n.attr("saturate", 1)), n.attr("round_mode", "up")
    if x.type.element_type == to:
        return x
    options: dict[str, bool | str] = {} if saturate or not is_small_float(to) else {"saturate": False}
    if bits_of(to) == 8 and round_mode != "up" and is_small_float(to):
        options["round_mode"] = round_mode
    return n.emit("Cast", x, to=to, **options)


def bit_cast(n: Node) -> Value:
    x, to = n.input(0), n.element("to")
    return x if x.type.element_type == to else n.emit("BitCast", x, to=to)


def many(operator: str) -> Rule:
    """An operator of any number of inputs; one alone is the result."""

    def rule(n: Node) -> Value:
        return n.input(0) if len(n.values) == 1 else n.emit(operator, n.inputs)

    return rule


def power(n: Node) -> Value:
    if n.opset < 7:
        n.values = legacy(n)
    x, y = n.input(0), n.input(1)
    if (x.dtype.kind == "i" and x.dtype.itemsize < 4) or x.dtype.kind == "u":
        wide = n.emit("Pow", n.cast(x, np.int64), y)
        return n.cast(wide, x.dtype)
    return n.emit("Pow", x, y)


def modulo(n: Node) -> Value:
    a, b = n.input(0), n.input(1)
    if n.attr("fmod", 0) or a.dtype.kind in "iu":
        return n.emit("Mod", a, b, fmod=bool(n.attr("fmod", 0)))
    # since opset 28 floats too have a remainder with b's sign: fmod's, plus b where the signs differ
    rest, zero = n.emit("Mod", a, b, fmod=True), n.like(0, a)
    below = n.emit("Less", b, zero)
    other = n.emit("Xor", n.emit("Less", rest, zero), below)
    nothing = n.emit("Where", below, n.like(-0.0, a), zero)
    moved = n.emit("Where", other, n.emit("Add", rest, b), rest)
    return n.emit("Where", n.emit("Equal", rest, zero), nothing, moved)


def bit_shift(n: Node) -> Value:
    x, y, direction = n.input(0), n.input(1), n.required("direction")
    if x.dtype.kind != "i":
        return n.emit("BitShift", x, y, direction=direction)
    # signed since opset 28, on the bits of the unsigned type; to the right of a negative x come ones: ~(~x >> y)
    bits = f"u{x.dtype.name}"
    shift = n.cast(y, bits)
    if direction == "LEFT":
        return n.cast(n.emit("BitShift", n.cast(x, bits), shift, direction=direction), x.dtype)
    negative = n.emit("Less", x, n.like(0, x))
    magnitude = n.emit("Where", negative, n.emit("BitwiseNot", x), x)
    moved = n.cast(n.emit("BitShift", n.cast(magnitude, bits), shift, direction=direction), x.dtype)
    return n.emit("Where", negative, n.emit("BitwiseNot", moved), moved)


def is_inf(n: Node) -> Value:
    flags = {k: bool(n.attr(k, 1)) for k in ("detect_positive", "detect_negative")}
    return n.emit("IsInf", n.input(0), **flags)


UNARY = (
    "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Cos Cosh Erf Exp Floor HardSwish IsNaN Log Mish Neg Not "
    "Reciprocal Relu Round Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh"
)
BINARY = "Add And BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Mul Or Sub Xor"

RULES: Mapping[str, Rule] = {
    **{operator: plain(operator) for operator in UNARY.split()},
    **{operator: binary(operator) for operator in BINARY.split()},
    **{operator: many(operator) for operator in ("Max", "Mean", "Min", "Sum")},
    "BitCast": bit_cast,
    "BitShift": bit_shift,
    "Cast": cast,
    "CastLike": cast_like,
    "Celu": plain("Celu", alpha=1.0),
    "Clip": clip,
    "Elu": plain("Elu", alpha=1.0),
    "Gelu": plain("Gelu", approximate="none"),
    "HardSigmoid": plain("HardSigmoid", alpha=0.2, beta=0.5),
    "Identity": identity,
    "IsInf": is_inf,
    "LeakyRelu": plain("LeakyRelu", alpha=0.01),
    "Mod": modulo,
    "PRelu": prelu,
    "Pow": power,
    "Selu": plain("Selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Shrink": plain("Shrink", bias=0.0, lambd=0.5),
    "Swish": plain("Swish", alpha=1.0),
    "ThresholdedRelu": plain("ThresholdedRelu", alpha=1.0),
    "Where": plain("Where"),
}
