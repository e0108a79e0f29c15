"""Rules of ONNX's quantised operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...errors import ModelError
from ...ir.types import element_of
from .builder import Value
from .node import Node, Rule
from .quantized import centred, dequantized, float_type, is_one, quantized, requantized, scalar, spread
from .rules_nets import conv
from .source import dtype_of

U8 = element_of(np.uint8)


def quantize_linear(n: Node) -> Value:
    x, scale, zero = n.input(0), n.input(1), n.optional(2)
    axis, block = n.attr("axis", 1), n.attr("block_size", 0)
    output, precision = n.attr("output_dtype", 0), n.attr("precision", 0)
    element = zero.type.element_type if zero is not None else n.element("output_dtype") if output else U8
    dtype = dtype_of(precision, "attribute precision") if precision else float_type(n, scale)
    scale = n.cast(spread(n, scale, x, axis, block), dtype)
    zero = None if zero is None else spread(n, zero, x, axis, block)
    return quantized(n, n.cast(x, dtype), scale, zero, element, bool(n.attr("saturate", 1)))


def dequantize_linear(n: Node) -> Value:
    x, scale, zero = n.input(0), n.input(1), n.optional(2)
    axis, block, output = n.attr("axis", 1), n.attr("block_size", 0), n.attr("output_dtype", 0)
    dtype = dtype_of(output, "attribute output_dtype") if output else float_type(n, scale)
    scale = spread(n, scale, x, axis, block)
    return dequantized(n, x, scale, None if zero is None else spread(n, zero, x, axis, block), dtype)


def dynamic_quantize_linear(n: Node) -> tuple[Value, ...]:
    return dynamically_quantized(n, n.input(0))


def dynamically_quantized(n: Node, x: Value) -> tuple[Value, Value, Value]:
    """x as uint8, its scale and its zero point: the range of x, with 0 in it, is spread over 0 to 255."""
    zero = n.like(0, x)
    # an empty x has the range 0 to 0
    low = n.emit("Min", [n.emit("ReduceMin", x, axes=list(range(x.rank)), keepdims=False), zero])
    high = n.emit("Max", [n.emit("ReduceMax", x, axes=list(range(x.rank)), keepdims=False), zero])
    extent = n.emit("Sub", high, low)
    # zeros alone have a range of nothing: their scale is 1, as ONNX Runtime has it, because what has it divides by it
    scale = n.emit("Where", n.emit("Equal", extent, zero), n.like(1, x), n.emit("Div", extent, n.like(255, x)))
    point = n.emit("Div", n.emit("Sub", zero, low), scale)
    point = n.cast(n.emit("Round", n.emit("Clip", point, zero, n.like(255, x))), np.uint8)
    return quantized(n, x, scale, point, U8), scale, point


# ---- products of integers


def per_row(n: Node, zero: Value | None) -> Value | None:
    """A zero point of the left matrix: one for all, one per row `[M]`, or `[..., M, 1]`."""
    if zero is None or is_one(zero):
        return None if zero is None else scalar(n, zero)
    return n.reshape(zero, [*zero.sizes, 1]) if zero.rank == 1 else zero


def per_column(n: Node, zero: Value | None) -> Value | None:
    """A zero point or scale of the right matrix: one for all, one per column `[N]`, or `[..., 1, N]`."""
    return scalar(n, zero) if zero is not None and is_one(zero) else zero


def integer_product(n: Node, a: Value, b: Value, a_zero: Value | None, b_zero: Value | None) -> Value:
    """The matrix product of `a - a_zero` and `b - b_zero` in int32."""
    left, right = centred(n, a, per_row(n, a_zero)), centred(n, b, per_column(n, b_zero))
    return n.emit("MatMul", left, right)


def matmul_integer(n: Node) -> Value:
    return integer_product(n, n.input(0), n.input(1), n.optional(2), n.optional(3))


def qlinear_matmul(n: Node) -> Value:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = n.inputs
    total = integer_product(n, a, b, a_zero, b_zero)
    left, right = per_row(n, n.cast(a_scale, np.float32)), per_column(n, n.cast(b_scale, np.float32))
    assert left is not None and right is not None
    scale = n.emit("Div", n.emit("Mul", left, right), per_row(n, n.cast(y_scale, np.float32)))
    return requantized(n, total, scale, per_row(n, y_zero), y_zero.type.element_type)


def per_channel(n: Node, value: Value | None, before: int, after: int) -> Value | None:
    """One for all, or one per channel `[M]` with axes of size 1 around it."""
    if value is None or is_one(value):
        return None if value is None else scalar(n, value)
    if value.rank != 1:
        raise ModelError(f"a scale or zero point of the weights has {value.rank} dimensions")
    return n.reshape(value, [*[1] * before, value.sizes[0], *[1] * after])


def integer_conv(
    n: Node, x: Value, w: Value, x_zero: Value | None, w_zero: Value | None, bias: Value | None = None
) -> Value:
    """The convolution of `x - x_zero` with `w - w_zero` in int32; what pads is 0, that is `x_zero`."""
    left = centred(n, x, None if x_zero is None else scalar(n, x_zero))
    right = centred(n, w, per_channel(n, w_zero, 0, w.rank - 1))
    return conv(replace(n, values=[left, right, bias]))


def conv_integer(n: Node) -> Value:
    return integer_conv(n, n.input(0), n.input(1), n.optional(2), n.optional(3))


def qlinear_conv(n: Node) -> Value:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (n.input(i) for i in range(8))
    total = integer_conv(n, x, w, x_zero, w_zero, n.optional(8))
    scales = per_channel(n, w_scale, 1, w.rank - 2)
    assert scales is not None
    scale = n.emit("Div", n.emit("Mul", scalar(n, x_scale), scales), scalar(n, y_scale))
    return requantized(n, total, scale, scalar(n, y_zero), y_zero.type.element_type)


RULES: Mapping[str, Rule] = {
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
}
