"""Elementwise operators: one compute, its body the operator's formula. float16 and bfloat16 compute in f32."""

from __future__ import annotations

import math as _math
from collections.abc import Callable
from functools import reduce
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects import math
from xdsl.dialects.builtin import f64, i8
from xdsl.ir import Operation, SSAValue

from ...dialects.graph import binary, conversion, data, unary
from ...dialects.graph.base import GraphOp
from ...dialects.tensor import Constant
from ...dialects.tensor.builder import Body, Scalar
from ...ir.expr import Expr
from ...ir.types import dtype_of, is_bool, is_float, is_small, is_unsigned
from .rules import Emitter, element_type, lowers, type_of, wide

Formula = Callable[..., Scalar]


def formula(*operators: type[GraphOp]) -> Callable[[Formula], Formula]:
    """Lower operators with one result to a compute with body `formula(op, *operands)`."""

    def enter(body: Formula) -> Formula:
        @lowers(*operators)
        def rule(op: GraphOp, emit: Emitter) -> SSAValue:  # pyright: ignore[reportUnusedFunction]
            out = type_of(op.results[0])
            return emit.elementwise(out.sizes, out.element_type, lambda *xs: body(op, *xs), *op.inputs)

        return body

    return enter


# ---- what is one operation of the math dialect

MATH: dict[type[GraphOp], Callable[..., Operation]] = {
    unary.Floor: math.FloorOp, unary.Ceil: math.CeilOp, unary.Round: math.RoundEvenOp, unary.Exp: math.ExpOp,
    unary.Log: math.LogOp, unary.Sqrt: math.SqrtOp, unary.Sin: math.SinOp, unary.Cos: math.CosOp,
    unary.Tan: math.TanOp, unary.Asin: math.AsinOp, unary.Acos: math.AcosOp, unary.Atan: math.AtanOp,
    unary.Sinh: math.SinhOp, unary.Cosh: math.CoshOp, unary.Tanh: math.TanhOp, unary.Asinh: math.AsinhOp,
    unary.Acosh: math.AcoshOp, unary.Atanh: math.AtanhOp,
}  # fmt: skip


@formula(*MATH)
def function(op: GraphOp, x: Scalar) -> Scalar:
    return x.math(MATH[type(op)])


# ---- one operand


@lowers(unary.Identity)
def identity(op: GraphOp, emit: Emitter) -> SSAValue:
    return op.operands[0]


@formula(unary.Abs)
def absolute(op: GraphOp, x: Scalar) -> Scalar:
    if is_unsigned(x.element):
        return x
    return x.math(math.AbsFOp) if is_float(x.element) else x.maximum(-x)


@formula(unary.Neg)
def negative(op: GraphOp, x: Scalar) -> Scalar:
    return -x


@formula(unary.Sign)
def sign(op: GraphOp, x: Scalar) -> Scalar:
    one = x.body.constant(1, x.element)
    below = x if is_unsigned(x.element) else x.lt(0).where(-one, x)
    return x.gt(0).where(one, below)


@formula(unary.Reciprocal)
def reciprocal(op: GraphOp, x: Scalar) -> Scalar:
    return 1 / x


@formula(unary.Erf)
def erf(op: GraphOp, x: Scalar) -> Scalar:
    return (x if is_float(x.element) else x.cast(f64)).math(math.ErfOp)


@formula(unary.IsNaN)
def is_nan(op: GraphOp, x: Scalar) -> Scalar:
    return x.is_nan()


@formula(unary.IsInf)
def is_inf(op: GraphOp, x: Scalar) -> Scalar:
    match op.get("detect_positive"), op.get("detect_negative"):
        case True, True:
            return x.math(math.AbsFOp).eq(_math.inf)
        case False, False:
            return x.body.constant(False, element_type(op.results[0]))
        case positive, _:
            return x.eq(_math.inf if positive else -_math.inf)


@formula(unary.Not, unary.BitwiseNot)
def inverted(op: GraphOp, x: Scalar) -> Scalar:
    return ~x


@formula(conversion.Cast)
def cast(op: GraphOp, x: Scalar) -> Scalar:
    to = element_type(op.results[0])
    if is_small(to):
        saturate, round_mode = op.options  # pyright: ignore[reportAttributeAccessIssue]
        return x.cast(to, saturate=saturate, round_mode=round_mode)
    return x.cast(wide(to)) if not is_float(x.element) else x


@lowers(conversion.BitCast)
def bit_cast(op: GraphOp, emit: Emitter) -> SSAValue:
    source, out = op.operands[0], type_of(op.results[0])

    def body(b: Body, *dims: Expr) -> Scalar:
        x = b.read(source, *dims)
        if is_bool(x.element):  # a bool is a byte in memory and a bit in a body
            x = x.cast(i8)
        return x.bitcast(i8).ne(0) if is_bool(out.element_type) else x.bitcast(out.element_type)

    return emit.compute(out.sizes, body, out.element_type)


@formula(unary.Relu)
def relu(op: GraphOp, x: Scalar) -> Scalar:
    return x.maximum(0)


@formula(unary.LeakyRelu)
def leaky_relu(op: GraphOp, x: Scalar) -> Scalar:
    return x.lt(0).where(x * op.get("alpha"), x)


@formula(unary.ThresholdedRelu)
def thresholded_relu(op: GraphOp, x: Scalar) -> Scalar:
    return x.gt(op.get("alpha")).where(x, 0)


@formula(unary.Elu)
def elu(op: GraphOp, x: Scalar) -> Scalar:
    return x.lt(0).where(x.math(math.ExpM1Op) * op.get("alpha"), x)


@formula(unary.Selu)
def selu(op: GraphOp, x: Scalar) -> Scalar:
    below = x.math(math.ExpM1Op) * op.get("alpha")
    return x.le(0).where(below, x) * op.get("gamma")


@formula(unary.Celu)
def celu(op: GraphOp, x: Scalar) -> Scalar:
    alpha = op.get("alpha")
    return x.maximum(0) + ((x / alpha).math(math.ExpM1Op) * alpha).minimum(0)


def logistic(x: Scalar) -> Scalar:
    """1 / (1 + e^-x)"""
    return 1 / (1 + (-x).math(math.ExpOp))


def softplus_of(x: Scalar) -> Scalar:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|), which does not overflow"""
    return x.maximum(0) + (-x.math(math.AbsFOp)).math(math.ExpOp).math(math.Log1pOp)


@formula(unary.Sigmoid)
def sigmoid(op: GraphOp, x: Scalar) -> Scalar:
    return logistic(x)


@formula(unary.HardSigmoid)
def hard_sigmoid(op: GraphOp, x: Scalar) -> Scalar:
    return (x * op.get("alpha") + op.get("beta")).maximum(0).minimum(1)


@formula(unary.HardSwish)
def hard_swish(op: GraphOp, x: Scalar) -> Scalar:
    return x * (x * (1 / 6) + 0.5).maximum(0).minimum(1)


@formula(unary.Swish)
def swish(op: GraphOp, x: Scalar) -> Scalar:
    alpha = op.get("alpha")
    return x * logistic(x if alpha == 1 else x * alpha)


@formula(unary.Mish)
def mish(op: GraphOp, x: Scalar) -> Scalar:
    return x * softplus_of(x).math(math.TanhOp)


@formula(unary.Softplus)
def softplus(op: GraphOp, x: Scalar) -> Scalar:
    return softplus_of(x)


@formula(unary.Softsign)
def softsign(op: GraphOp, x: Scalar) -> Scalar:
    return x / (1 + x.math(math.AbsFOp))


@formula(unary.Gelu)
def gelu(op: GraphOp, x: Scalar) -> Scalar:
    if op.get("approximate") == "tanh":
        inner = (x + x * x * x * 0.044715) * _math.sqrt(2 / _math.pi)
        return x * 0.5 * (inner.math(math.TanhOp) + 1)
    return x * 0.5 * ((x * _math.sqrt(0.5)).math(math.ErfOp) + 1)


@formula(unary.Shrink)
def shrink(op: GraphOp, x: Scalar) -> Scalar:
    # thresholds are floats also for integers: in double precision they are exact
    y = x if is_float(x.element) else x.cast(f64)
    bias, lambd = op.get("bias"), op.get("lambd")
    return y.lt(-lambd).where(y + bias, y.gt(lambd).where(y - bias, 0))


# ---- two operands

ARITHMETIC: dict[type[GraphOp], Callable[[Scalar, Scalar], Scalar]] = {
    binary.Add: Scalar.__add__, binary.Sub: Scalar.__sub__, binary.Mul: Scalar.__mul__, binary.Div: Scalar.__truediv__,
    binary.Equal: Scalar.eq, binary.Greater: Scalar.gt, binary.GreaterOrEqual: Scalar.ge, binary.Less: Scalar.lt,
    binary.LessOrEqual: Scalar.le, binary.And: Scalar.__and__, binary.Or: Scalar.__or__, binary.Xor: Scalar.__xor__,
    binary.BitwiseAnd: Scalar.__and__, binary.BitwiseOr: Scalar.__or__, binary.BitwiseXor: Scalar.__xor__,
}  # fmt: skip


@formula(*ARITHMETIC)
def arithmetic(op: GraphOp, a: Scalar, b: Scalar) -> Scalar:
    return ARITHMETIC[type(op)](a, b)


@formula(binary.BitShift)
def bit_shift(op: GraphOp, a: Scalar, b: Scalar) -> Scalar:
    # shifting by the width or more is undefined in machine code; here it gives 0
    shifted = a << b if op.get("direction") == "LEFT" else a >> b
    return b.lt(dtype_of(a.element).itemsize * 8).where(shifted, 0)


@formula(binary.Mod)
def mod(op: GraphOp, a: Scalar, b: Scalar) -> Scalar:
    if is_float(a.element):
        info = ml_dtypes.finfo(dtype_of(element_type(op.results[0])))
        gap = int(info.maxexp - np.log2(float(info.smallest_subnormal)))
        return float_remainder(a.cast(f64), b.cast(f64), gap)
    rest = a.rem(b)
    if op.get("fmod") or is_unsigned(a.element):
        return rest
    # rem has a's sign; with b's sign it is that plus b where the signs differ
    return (rest.ne(0) & (rest.lt(0) ^ b.lt(0))).where(rest + b, rest)


def float_remainder(a: Scalar, b: Scalar, gap: int) -> Scalar:
    """C's fmod of doubles whose exponents are at most `gap` apart: exact, by long division of 52 bits a step.

    A step is `a - trunc(a / d) d` in one rounding, for d = b 2^52k: quotients are below 2^52, and the difference is a
    double. The division may round up to the next integer, which shows in a remainder below 0."""
    rest, divisors = a.math(math.AbsFOp), [b.math(math.AbsFOp)]
    for _ in range(gap // 52):
        divisors.append(divisors[-1] * 2.0**52)  # infinity is greater than a, and changes nothing
    for d in reversed(divisors):
        found = (-(rest / d).math(math.TruncOp)).math(math.FmaOp, d, rest)
        rest = rest.lt(d).where(rest, found.lt(0).where(found + d, found))
    return rest.math(math.CopySignOp, a)


@lowers(binary.Pow)
def power(op: GraphOp, emit: Emitter) -> SSAValue:
    (a, b), out = op.operands, type_of(op.results[0])
    exponent = scalar_constant(b)
    if exponent in (1, 2, 3, 4) and type_of(a).sizes == out.sizes:
        factors = int(exponent)
        return emit.elementwise(out.sizes, out.element_type, lambda x: reduce(Scalar.__mul__, [x] * factors), a)
    return emit.elementwise(out.sizes, out.element_type, general_power, a, b)


def scalar_constant(value: SSAValue) -> float | int | None:
    """The number that a tensor of one element holds, if that is known."""
    owner = value.owner
    if isinstance(owner, Constant | data.Constant) and type_of(value).elements == 1:
        return owner.array.reshape(-1)[0].item()
    return None


def general_power(a: Scalar, b: Scalar) -> Scalar:
    if is_float(a.element):
        return a.math(math.PowFOp, b.cast(a.element))
    if is_float(b.element):
        return a.cast(f64).math(math.PowFOp, b.cast(f64))
    return integer_power(a, b)


def integer_power(a: Scalar, b: Scalar) -> Scalar:
    """Square and multiply over the 7 low bits of the exponent. From 128 on every power but those of -1, 0 and 1
    has overflowed, and these have period 2."""
    e = b.lt(128).where(b, (b & 1) + 126).cast(a.element)
    one = a.body.constant(1, a.element)
    result, base = one, a
    for bit in range(7):
        result = ((e >> bit) & 1).ne(0).where(result * base, result)
        base = base * base
    if is_unsigned(b.element):
        return result
    # a^-n = 1 / a^n rounds to 0 but for a = 1 and -1
    inverse = a.eq(1).where(one, a.eq(-1).where(1 - (e & 1) * 2, 0))
    return b.lt(0).where(inverse, result)


# ---- more operands


@formula(binary.Max)
def greatest(op: GraphOp, *xs: Scalar) -> Scalar:
    return reduce(Scalar.maximum, xs)


@formula(binary.Min)
def least(op: GraphOp, *xs: Scalar) -> Scalar:
    return reduce(Scalar.minimum, xs)


@formula(binary.Sum)
def total(op: GraphOp, *xs: Scalar) -> Scalar:
    return reduce(Scalar.__add__, xs)


@formula(binary.Mean)
def mean(op: GraphOp, *xs: Scalar) -> Scalar:
    return reduce(Scalar.__add__, xs) / len(xs)


@formula(binary.Where)
def where(op: GraphOp, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
    return condition.where(a, b)


@formula(binary.PRelu)
def prelu(op: GraphOp, x: Scalar, slope: Scalar) -> Scalar:
    return x if is_unsigned(x.element) else x.lt(0).where(x * slope, x)


@lowers(binary.Clip)
def clip(op: GraphOp, emit: Emitter) -> SSAValue:
    out, (x, low, high) = type_of(op.results[0]), op.inputs
    # a bound may have a greater rank than x, as long as it has one element
    bounds = [b if b is None else emit.scalar(b) for b in (low, high)]

    def body(x: Scalar, low: Scalar | None, high: Scalar | None) -> Scalar:
        found = x if low is None else x.maximum(low)
        return found if high is None else found.minimum(high)

    return emit.elementwise(out.sizes, out.element_type, body, x, *bounds)


# ---- values known before the run


@lowers(data.Constant)
def constant(op: Any, emit: Emitter) -> SSAValue:
    return emit.insert(Constant(op.value, type_of(op.result)))


@lowers(data.SizesOf)
def sizes_as_data(op: GraphOp, emit: Emitter) -> SSAValue:
    """Position (row-major) selects among the expressions."""
    out, values = type_of(op.results[0]), op.get("values")

    def body(b: Any, *dims: Any) -> Scalar:
        flat = 0
        for dim, size in zip(dims, out.sizes, strict=True):
            flat = flat * size + dim
        found = b.from_index(values[-1] if values else 0)
        position = b.from_index(flat)
        for i in range(len(values) - 2, -1, -1):
            found = position.eq(i).where(b.from_index(values[i]), found)
        return found.cast(out.element_type)

    return emit.compute(out.sizes, body, out.element_type)
