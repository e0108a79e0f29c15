"""Rules of ONNX Runtime's own quantised operators (domain com.microsoft).

Those that compute on numbers are what ONNX Runtime says they are: values are dequantised, the operator is done in
float32, and the result is quantised. Products of integers stay integers until the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ...errors import ModelError, UnsupportedError
from ...ir.expr import Expr, ExprLike, ceildiv
from ...ir.types import is_small, is_small_float
from .builder import Value
from .node import Node, Rule
from .quantized import centred, dequantized, is_one, quantized, repeated, requantized, rounded, scalar
from .rules_nets import pool
from .rules_quantize import (
    dequantize_linear,
    dynamically_quantized,
    integer_product,
    matmul_integer,
    per_column,
    qlinear_conv,
    quantize_linear,
)
from .rules_reduce import softmax


def zero_of(n: Node, position: int) -> Value | None:
    """A zero point for all elements, None where it is absent, which stands for 0."""
    zero = n.optional(position)
    return None if zero is None else scalar(n, zero)


def floats(n: Node, position: int) -> Value:
    """The numbers of three inputs: a quantised tensor, its scale, its zero point."""
    return dequantized(n, n.input(position), scalar(n, n.input(position + 1)), zero_of(n, position + 2))


def integers(n: Node, y: Value, position: int, like: Value) -> Value:
    """The result quantised by two inputs, a scale and a zero point, whose type it has; without it that of `like`."""
    zero = zero_of(n, position + 1)
    return quantized(n, y, scalar(n, n.input(position)), zero, (zero or like).type.element_type)


def unary(compute: Callable[[Node, Value], Value]) -> Rule:
    """X, its scale and zero point, those of Y: a function of numbers."""
    return lambda n: integers(n, compute(n, floats(n, 0)), 3, n.input(0))


def sum_of(n: Node) -> Value:
    """The operands by the ratios of their scales to the result's; its zero point is added before it is rounded."""
    result = scalar(n, n.input(6))
    terms = [
        n.emit("Mul", n.cast(whole(n, i), np.float32), n.emit("Div", scalar(n, n.input(i + 1)), result)) for i in (0, 3)
    ]
    zero, total = zero_of(n, 7), n.emit("Add", *terms)
    total = total if zero is None else n.emit("Add", total, n.cast(zero, np.float32))
    return rounded(n, total, None, (zero or n.input(0)).type.element_type)


def product_of(n: Node) -> Value:
    """The exact product of integers, by the ratio of the product of scales to the result's."""
    scale = n.emit("Mul", scalar(n, n.input(1)), scalar(n, n.input(4)))
    scale, zero = n.emit("Div", scale, scalar(n, n.input(6))), zero_of(n, 7)
    total = n.emit("Mul", whole(n, 0), whole(n, 3))
    return requantized(n, total, scale, zero, (zero or n.input(0)).type.element_type)


def whole(n: Node, position: int) -> Value:
    """The quantised tensor of three inputs less its zero point, in int32."""
    return centred(n, n.input(position), zero_of(n, position + 2))


def chosen(n: Node) -> Value:
    return integers(n, n.emit("Where", n.input(0), floats(n, 1), floats(n, 4)), 7, n.input(1))


def concat(n: Node) -> Value:
    """What has the result's scale and zero point keeps its integers: x / scale is exact then."""
    parts = [floats(n, i) for i in range(2, len(n.values), 3)]
    return integers(n, n.emit("Concat", parts, axis=n.required("axis")), 0, n.input(2))


def channels_first(n: Node, x: Value) -> Value:
    """`[N, C, space...]` of an operand that may have its channels last."""
    if not n.attr("channels_last", 0):
        return x
    return n.emit("Transpose", x, perm=[0, x.rank - 1, *range(1, x.rank - 1)])


def channels_back(n: Node, y: Value) -> Value:
    """The inverse of `channels_first`."""
    return n.emit("Transpose", y, perm=[0, *range(2, y.rank), 1]) if n.attr("channels_last", 0) else y


def global_average(n: Node, x: Value) -> Value:
    return channels_back(n, n.emit("GlobalAveragePool", channels_first(n, x)))


def average(n: Node, x: Value) -> Value:
    pooled = pool("AveragePool", flags=("ceil_mode", "count_include_pad"))
    (found,) = pooled(replace(n, values=[channels_first(n, x)]))  # type: ignore[misc]
    assert isinstance(found, Value)
    return channels_back(n, found)


def normalised(n: Node, x: Value) -> Value:
    found = softmax("Softmax")(replace(n, values=[x], opset=n.required("opset")))
    assert isinstance(found, Value)
    return found


def conv(n: Node) -> Value:
    found = qlinear_conv(replace(n, values=[channels_first(n, n.input(0)), *n.values[1:]]))
    return channels_back(n, found)


# ---- products of matrices


def plus(n: Node, y: Value, bias: Value | None) -> Value:
    return y if bias is None else n.emit("Add", y, bias)


def scaled_product(
    n: Node, a: Value, b: Value, a_scale: Value, b_scale: Value, a_zero: Value | None, b_zero: Value | None
) -> Value:
    """The matrix product of integers, times both scales: that of b may be one per column."""
    columns = per_column(n, b_scale)
    assert columns is not None
    scale = n.emit("Mul", scalar(n, a_scale), columns)
    return n.emit("Mul", n.cast(integer_product(n, a, b, a_zero, b_zero), np.float32), scale)


def matmul_integer_to_float(n: Node) -> Value:
    a, b, a_scale, b_scale = (n.input(i) for i in range(4))
    y = scaled_product(n, a, b, n.cast(a_scale, np.float32), n.cast(b_scale, np.float32), n.optional(4), n.optional(5))
    return plus(n, n.cast(y, a_scale.dtype), n.optional(6))


def dynamic_quantize_matmul(n: Node) -> Value:
    a, a_scale, a_zero = dynamically_quantized(n, n.input(0))
    return plus(n, scaled_product(n, a, n.input(1), a_scale, n.input(2), a_zero, n.optional(3)), n.optional(4))


def qgemm(n: Node) -> Value:
    """`alpha (A B) + C` in units of both scales; without a scale of Y the result is float."""
    a, a_scale, a_zero, b, b_scale, b_zero = (n.input(i) for i in range(6))
    b_zero, columns = per_column(n, b_zero), per_column(n, b_scale)
    assert b_zero is not None and columns is not None
    if n.attr("transB", 0):  # scales and zero points are those of columns, whichever way B is stored
        b = n.emit("Transpose", b, perm=[1, 0])
    if n.attr("transA", 0):
        a = n.emit("Transpose", a, perm=[1, 0])
    total = plus(n, integer_product(n, a, b, a_zero, b_zero), n.optional(6))
    scale = n.emit("Mul", scalar(n, a_scale), columns)
    if (alpha := n.attr("alpha", 1.0)) != 1:
        scale = n.emit("Mul", scale, n.like(alpha, scale))
    if not n.has(7):
        return n.emit("Mul", n.cast(total, np.float32), scale)
    zero = zero_of(n, 8)
    scale = n.emit("Div", scale, scalar(n, n.input(7)))
    return requantized(n, total, scale, zero, (zero or a).type.element_type)


# ---- weights in blocks of few bits


def unpacked(n: Node, x: Value, bits: int, count: ExprLike) -> Value:
    """The numbers of `bits` bits that lie packed in the bytes of the last axis, lowest bits first; `count` of them."""
    if bits == 8:
        return x
    if bits not in (2, 4):
        raise UnsupportedError(f"weights of {bits} bits")
    column = n.reshape(n.cast(x, np.uint8), [*x.sizes, 1])
    shifts = n.constant(np.arange(0, 8, bits), np.uint8)
    parts = n.emit("BitwiseAnd", n.emit("BitShift", column, shifts, direction="RIGHT"), n.like(2**bits - 1, column))
    flat = n.reshape(parts, [*x.sizes[:-1], x.sizes[-1] * (8 // bits)])
    return first(n, flat, x.rank - 1, Expr.of(count))


def first(n: Node, x: Value, axis: int, count: Expr) -> Value:
    """The first `count` indices of an axis."""
    sizes = [*x.sizes]
    if sizes[axis] == count:
        return x
    sizes[axis] = count
    return n.emit("Slice", x, starts=[0] * x.rank, sizes=sizes, steps=[1] * x.rank)


def matmul_n_bits(n: Node) -> Value:
    """A times weights `[N, blocks, bytes]`, each block of K with a scale and a zero point of its own."""
    a, b, scales, bias = n.input(0), n.input(1), n.input(2), n.optional(5)
    size, columns, bits, block = (int(n.required(k)) for k in ("K", "N", "bits", "block_size"))
    if n.attr("weight_prepacked", 0):
        raise UnsupportedError("its weights are packed for one device", hint="export it without weight_prepacked")
    if size < 1 or columns < 1 or block < 1:
        raise ModelError(f"K = {size}, N = {columns} and block_size = {block} must be positive")
    blocks = -(-size // block)
    b = n.reshape(b, [columns, blocks, block * bits // 8])
    weights = n.reshape(unpacked(n, b, bits, block), [columns, blocks * block])
    scales = n.reshape(scales, [columns, blocks])
    if n.has(3):
        zero = n.input(3)
        if zero.dtype.kind == "u":
            zero = unpacked(n, n.reshape(zero, [columns, ceildiv(blocks * bits, 8)]), bits, blocks)
        zero = n.cast(n.reshape(zero, [columns, blocks]), np.float32)
    else:
        zero = n.constant(2 ** (bits - 1), np.float32)

    def of(parameter: Value) -> Value:
        """One per row of weights: that of the row's block, or, with g_idx, of the group that it names."""
        if n.has(4):
            return n.emit("Gather", parameter, first(n, n.input(4), 0, Expr.const(size)), axis=1)
        return repeated(n, parameter, 1, block, Expr.const(size))

    weights = n.cast(first(n, weights, 1, Expr.const(size)), np.float32)
    found = n.emit("Sub", weights, of(zero) if zero.rank else zero)
    found = n.emit("Mul", found, of(n.cast(scales, np.float32)))
    found = n.emit("Transpose", found, perm=[1, 0])
    return plus(n, n.emit("MatMul", a, n.cast(found, a.dtype)), bias)


def gather_block_quantized(n: Node) -> Value:
    """A Gather of rows, and of their scales and zero points, dequantised."""
    data, indices, scales, zero = n.input(0), n.input(1), n.input(2), n.optional(3)
    axis, along = n.attr("gather_axis", 0), n.attr("quantize_axis", 1)
    bits, block = n.attr("bits", 4), n.attr("block_size", 128)
    if not (-data.rank <= axis < data.rank and -data.rank <= along < data.rank):
        raise ModelError(f"axes {axis} and {along} for {data.rank} dimensions")
    axis, along = axis % data.rank, along % data.rank
    packed = not is_small(data.type.element_type)
    whole = data.sizes[-1] * (8 // bits) if packed else data.sizes[along]
    values = n.emit("Gather", data, indices, axis=axis)
    values = unpacked(n, values, bits, whole) if packed else values
    if zero is None:
        zero = n.constant(2 ** (bits - 1) if packed else 0, np.float32)
    elif packed:
        zero = unpacked(n, zero, bits, scales.sizes[-1])
    block = block or int(whole)  # one block of all
    # what is not gathered is as it was; the axes of the indices stand in place of one
    moved = along if along < axis else along + indices.rank - 1

    def of(parameter: Value) -> Value:
        if is_one(parameter):
            return n.cast(scalar(n, parameter), np.float32)
        if parameter.sizes[axis] != Expr.const(1) or data.sizes[axis] == Expr.const(1):
            parameter = n.emit("Gather", parameter, indices, axis=axis)
        else:
            parameter = n.reshape(
                parameter, [*parameter.sizes[:axis], *[1] * indices.rank, *parameter.sizes[axis + 1 :]]
            )
        return repeated(n, n.cast(parameter, np.float32), moved, block, values.sizes[moved])

    number = n.cast(values, np.float32)
    if not is_small_float(data.type.element_type):
        number = n.emit("Sub", number, of(zero))
    return n.cast(n.emit("Mul", number, of(scales)), scales.dtype)


DOMAIN = "com.microsoft"

RULES: Mapping[str, Rule] = {
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "GatherBlockQuantized": gather_block_quantized,
    "MatMulInteger16": matmul_integer,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "MatMulNBits": matmul_n_bits,
    "QGemm": qgemm,
    "QLinearAdd": sum_of,
    "QLinearAveragePool": unary(average),
    "QLinearConcat": concat,
    "QLinearConv": conv,
    "QLinearGlobalAveragePool": unary(global_average),
    "QLinearLeakyRelu": unary(lambda n, x: n.emit("LeakyRelu", x, alpha=n.attr("alpha", 0.01))),
    "QLinearMul": product_of,
    "QLinearSigmoid": unary(lambda n, x: n.emit("Sigmoid", x)),
    "QLinearSoftmax": unary(normalised),
    "QLinearWhere": chosen,
    "QuantizeLinear": quantize_linear,
}
