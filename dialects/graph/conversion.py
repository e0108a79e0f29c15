"""Cast and BitCast: from one element type to another, with what NumPy leaves to ONNX: saturation, powers of two."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import BoolAttr, StringAttr
from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def

from ...ir.types import SMALL_DTYPES, TensorType, bits_of, dtype_of, is_small_float
from .base import Array, GraphOp, Sizes, need
from .sizes import cast_expressions

POWER = np.dtype(ml_dtypes.float8_e8m0fnu)


@irdl_op_definition
class Cast(GraphOp):
    """x in the element type `to`. Floats to integers round toward zero (out of range: undefined), to bool `x != 0`,
    to shorter floats the nearest, ties to even. Integers wrap around.

    Floats of 8 bits and fewer take the greatest finite value for what is too large, unless `saturate` is false: then
    infinity, or NaN where there is none. `round_mode` (up, down, nearest) is for f8E8M0FNU, a power of two.
    C1: `round_mode` is one of these.
    """

    name = "graph.cast"
    x = operand_def(TensorType)
    to = prop_def(Attribute)
    saturate = opt_prop_def(BoolAttr)
    round_mode = opt_prop_def(StringAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        need(self.get("round_mode") in (None, "up", "down", "nearest"), f"C1 round_mode {self.get('round_mode')!r}")
        return [TensorType.of(self.type_of(0).sizes, self.to)]

    @property
    def options(self) -> tuple[bool, str]:
        """`saturate` and `round_mode`."""
        return self.get("saturate") is not False, self.get("round_mode") or "up"

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        (type_,) = self.infer()
        if inputs[0].dtype == object:
            return [cast_expressions(inputs[0], type_.dtype)]
        with np.errstate(all="ignore"):
            return [converted(inputs[0], type_.element_type, *self.options)]


@irdl_op_definition
class BitCast(GraphOp):
    """The bits of x as elements of type `to`. C1: both have as many bits."""

    name = "graph.bit_cast"
    x = operand_def(TensorType)
    to = prop_def(Attribute)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        x = self.type_of(0)
        result = TensorType.of(x.sizes, self.to)
        need(bits_of(x.element_type) == bits_of(self.to), f"C1 {x.element_type} and {self.to} differ in bits")
        return [result]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [inputs[0].view(self.infer()[0].dtype)]


def converted(x: Array, element: Attribute, saturate: bool, round_mode: str) -> Array:
    """The array in another element type, by the rules of ONNX's Cast."""
    dtype = dtype_of(element)
    if x.dtype in SMALL_DTYPES and x.dtype != dtype:
        x = x.astype(np.float32)  # exact; not every two of these convert directly
    if not is_small_float(element) or x.dtype == dtype:
        return x.astype(dtype)
    if dtype == POWER:
        return power_of_two(x.astype(np.float32), saturate, round_mode)
    x = x.astype(np.float32)
    if saturate:
        info = ml_dtypes.finfo(dtype)
        x = np.clip(x, np.float32(info.min), np.float32(info.max))
    return x.astype(dtype)


def power_of_two(x: Array, saturate: bool, round_mode: str) -> Array:
    """The exponents of float32 numbers (their signs are left out) as float8_e8m0fnu: rounded up, down, or half way and
    above up (below the normal numbers: above half way). What is not finite is NaN."""
    fraction, exponent = np.frexp(np.abs(x))  # fraction in [1/2, 1)
    normal = np.abs(x) >= np.float32(2.0**-126)
    biased = np.where(normal, exponent.astype(np.int64) + 126, 0)
    rest = np.where(normal, fraction * 2 - 1, np.abs(x) * np.float32(2.0**126))  # in units of 2^(biased - 127)
    match round_mode:
        case "up":
            up = rest > 0
        case "down":
            up = np.zeros(np.shape(x), np.bool_)
        case _:
            up = (rest > 0.5) | ((rest == 0.5) & normal)
    biased = biased + (up & (biased < (254 if saturate else 255)))
    return np.where(np.isfinite(x), biased, 255).astype(np.uint8).view(POWER)
