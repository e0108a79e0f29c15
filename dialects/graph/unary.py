"""Elementwise operators with one operand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import BoolAttr, FloatAttr, StringAttr, i1
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def

from ...ir.types import TensorType
from .base import Array, GraphOp, Sizes, need, need_kind, settled, wide


class Unary(GraphOp):
    """One operand, a result of the same type.

    C1: the element type is of a kind that the operator takes.
    """

    KINDS: ClassVar[str] = "f"
    x = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        need_kind(self.type_of(0), self.KINDS)
        return [self.type_of(0)]

    def function(self, x: Array) -> Array:
        """The meaning; float16 and bfloat16 come as float32."""
        raise NotImplementedError

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        with np.errstate(all="ignore"):
            return [settled(self.function(wide(inputs[0])), inputs[0].dtype)]


class Predicate(Unary):
    """One float operand, a bool result of the same sizes. C1: float."""

    def infer(self) -> Sequence[TensorType]:
        need_kind(self.type_of(0), self.KINDS)
        return [TensorType.of(self.type_of(0).sizes, i1)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [settled(self.function(wide(inputs[0])), np.bool_)]


@irdl_op_definition
class Identity(Unary):
    """x. Any element type."""

    name = "graph.identity"
    KINDS: ClassVar = "fiubs"

    def function(self, x: Array) -> Array:
        return x


# ---- signs and rounding


@irdl_op_definition
class Abs(Unary):
    """|x|; the least signed integer stays what it is. C1: number."""

    name = "graph.abs"
    KINDS: ClassVar = "fiu"

    def function(self, x: Array) -> Array:
        return np.abs(x)


@irdl_op_definition
class Neg(Unary):
    """-x. C1: float or signed integer."""

    name = "graph.neg"
    KINDS: ClassVar = "fi"

    def function(self, x: Array) -> Array:
        return np.negative(x)


@irdl_op_definition
class Sign(Unary):
    """-1, 0 or 1; NaN stays NaN. C1: number."""

    name = "graph.sign"
    KINDS: ClassVar = "fiu"

    def function(self, x: Array) -> Array:
        return np.sign(x)


@irdl_op_definition
class Floor(Unary):
    """Rounded down. C1: float."""

    name = "graph.floor"

    def function(self, x: Array) -> Array:
        return np.floor(x)


@irdl_op_definition
class Ceil(Unary):
    """Rounded up. C1: float."""

    name = "graph.ceil"

    def function(self, x: Array) -> Array:
        return np.ceil(x)


@irdl_op_definition
class Round(Unary):
    """Rounded to the nearest integer, halves to the even one. C1: float."""

    name = "graph.round"

    def function(self, x: Array) -> Array:
        return np.rint(x)


# ---- exponentials, roots


@irdl_op_definition
class Exp(Unary):
    """e to the power of x. C1: float."""

    name = "graph.exp"

    def function(self, x: Array) -> Array:
        return np.exp(x)


@irdl_op_definition
class Log(Unary):
    """Natural logarithm; NaN below 0. C1: float."""

    name = "graph.log"

    def function(self, x: Array) -> Array:
        return np.log(x)


@irdl_op_definition
class Sqrt(Unary):
    """Square root; NaN below 0. C1: float."""

    name = "graph.sqrt"

    def function(self, x: Array) -> Array:
        return np.sqrt(x)


@irdl_op_definition
class Reciprocal(Unary):
    """1 / x. C1: float."""

    name = "graph.reciprocal"

    def function(self, x: Array) -> Array:
        return np.reciprocal(x)


@irdl_op_definition
class Erf(Unary):
    """The error function; integers by way of float64, rounded toward zero. C1: number."""

    name = "graph.erf"
    KINDS: ClassVar = "fiu"

    def function(self, x: Array) -> Array:
        return erf(x)


def erf(x: Array) -> Array:
    """The error function in float64, elementwise; the result has x's dtype when that is a float."""
    found = np.fromiter(map(math.erf, x.reshape(-1).tolist()), np.float64, x.size).reshape(x.shape)
    return found.astype(x.dtype) if x.dtype.kind == "f" else found


# ---- circular and hyperbolic functions


@irdl_op_definition
class Sin(Unary):
    """Sine of x radians. C1: float."""

    name = "graph.sin"

    def function(self, x: Array) -> Array:
        return np.sin(x)


@irdl_op_definition
class Cos(Unary):
    """Cosine of x radians. C1: float."""

    name = "graph.cos"

    def function(self, x: Array) -> Array:
        return np.cos(x)


@irdl_op_definition
class Tan(Unary):
    """Tangent of x radians. C1: float."""

    name = "graph.tan"

    def function(self, x: Array) -> Array:
        return np.tan(x)


@irdl_op_definition
class Asin(Unary):
    """Inverse of sine, in [-pi/2, pi/2]. C1: float."""

    name = "graph.asin"

    def function(self, x: Array) -> Array:
        return np.arcsin(x)


@irdl_op_definition
class Acos(Unary):
    """Inverse of cosine, in [0, pi]. C1: float."""

    name = "graph.acos"

    def function(self, x: Array) -> Array:
        return np.arccos(x)


@irdl_op_definition
class Atan(Unary):
    """Inverse of tangent, in [-pi/2, pi/2]. C1: float."""

    name = "graph.atan"

    def function(self, x: Array) -> Array:
        return np.arctan(x)


@irdl_op_definition
class Sinh(Unary):
    """Hyperbolic sine. C1: float."""

    name = "graph.sinh"

    def function(self, x: Array) -> Array:
        return np.sinh(x)


@irdl_op_definition
class Cosh(Unary):
    """Hyperbolic cosine. C1: float."""

    name = "graph.cosh"

    def function(self, x: Array) -> Array:
        return np.cosh(x)


@irdl_op_definition
class Tanh(Unary):
    """Hyperbolic tangent. C1: float."""

    name = "graph.tanh"

    def function(self, x: Array) -> Array:
        return np.tanh(x)


@irdl_op_definition
class Asinh(Unary):
    """Inverse of the hyperbolic sine. C1: float."""

    name = "graph.asinh"

    def function(self, x: Array) -> Array:
        return np.arcsinh(x)


@irdl_op_definition
class Acosh(Unary):
    """Inverse of the hyperbolic cosine; NaN below 1. C1: float."""

    name = "graph.acosh"

    def function(self, x: Array) -> Array:
        return np.arccosh(x)


@irdl_op_definition
class Atanh(Unary):
    """Inverse of the hyperbolic tangent; NaN outside of [-1, 1]. C1: float."""

    name = "graph.atanh"

    def function(self, x: Array) -> Array:
        return np.arctanh(x)


# ---- predicates, bits, types


@irdl_op_definition
class IsNaN(Predicate):
    """True where x is NaN. C1: float."""

    name = "graph.is_nan"

    def function(self, x: Array) -> Array:
        return np.isnan(x)


@irdl_op_definition
class IsInf(Predicate):
    """True where x is +inf (if `detect_positive`) or -inf (if `detect_negative`). C1: float."""

    name = "graph.is_inf"
    DEFAULTS: ClassVar = {"detect_positive": True, "detect_negative": True}
    detect_positive = prop_def(BoolAttr)
    detect_negative = prop_def(BoolAttr)

    def function(self, x: Array) -> Array:
        found = np.zeros(x.shape, np.bool_)
        if self.get("detect_positive"):
            found |= np.equal(x, np.inf)
        if self.get("detect_negative"):
            found |= np.equal(x, -np.inf)
        return found


@irdl_op_definition
class Not(Unary):
    """Logical not. C1: bool."""

    name = "graph.not"
    KINDS: ClassVar = "b"

    def function(self, x: Array) -> Array:
        return np.logical_not(x)


@irdl_op_definition
class BitwiseNot(Unary):
    """All bits flipped. C1: integer."""

    name = "graph.bitwise_not"
    KINDS: ClassVar = "iu"

    def function(self, x: Array) -> Array:
        return np.invert(x)


# ---- activations


@irdl_op_definition
class Relu(Unary):
    """max(x, 0); NaN stays NaN. C1: float or signed integer."""

    name = "graph.relu"
    KINDS: ClassVar = "fi"

    def function(self, x: Array) -> Array:
        return np.maximum(x, 0)


@irdl_op_definition
class LeakyRelu(Unary):
    """x, or `alpha` x where x < 0. C1: float."""

    name = "graph.leaky_relu"
    DEFAULTS: ClassVar = {"alpha": 0.01}
    alpha = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        return np.where(x < 0, x * self.get("alpha"), x)


@irdl_op_definition
class ThresholdedRelu(Unary):
    """x where x > `alpha`, else 0. C1: float."""

    name = "graph.thresholded_relu"
    DEFAULTS: ClassVar = {"alpha": 1.0}
    alpha = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        return np.where(x > self.get("alpha"), x, 0)


@irdl_op_definition
class Elu(Unary):
    """x, or `alpha` (e^x - 1) where x < 0. C1: float."""

    name = "graph.elu"
    DEFAULTS: ClassVar = {"alpha": 1.0}
    alpha = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        return np.where(x < 0, self.get("alpha") * np.expm1(x), x)


@irdl_op_definition
class Selu(Unary):
    """`gamma` x, or `gamma` `alpha` (e^x - 1) where x <= 0. C1: float."""

    name = "graph.selu"
    DEFAULTS: ClassVar = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}
    alpha = prop_def(FloatAttr)
    gamma = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        alpha, gamma = self.get("alpha"), self.get("gamma")
        return np.where(x <= 0, gamma * (alpha * np.expm1(x)), gamma * x)


@irdl_op_definition
class Celu(Unary):
    """max(x, 0) + min(0, `alpha` (e^(x / alpha) - 1)). C1: float."""

    name = "graph.celu"
    DEFAULTS: ClassVar = {"alpha": 1.0}
    alpha = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        alpha = self.get("alpha")
        return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


@irdl_op_definition
class Sigmoid(Unary):
    """1 / (1 + e^-x). C1: float."""

    name = "graph.sigmoid"

    def function(self, x: Array) -> Array:
        return sigmoid(x)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@irdl_op_definition
class HardSigmoid(Unary):
    """max(0, min(1, `alpha` x + `beta`)). C1: float."""

    name = "graph.hard_sigmoid"
    DEFAULTS: ClassVar = {"alpha": 0.2, "beta": 0.5}
    alpha = prop_def(FloatAttr)
    beta = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        return np.clip(x * self.get("alpha") + self.get("beta"), 0, 1)


@irdl_op_definition
class HardSwish(Unary):
    """x max(0, min(1, x / 6 + 1 / 2)). C1: float."""

    name = "graph.hard_swish"

    def function(self, x: Array) -> Array:
        return x * np.clip(x * (1 / 6) + 0.5, 0, 1)


@irdl_op_definition
class Swish(Unary):
    """x / (1 + e^(-`alpha` x)). C1: float."""

    name = "graph.swish"
    DEFAULTS: ClassVar = {"alpha": 1.0}
    alpha = prop_def(FloatAttr)

    def function(self, x: Array) -> Array:
        return x * sigmoid(x * self.get("alpha"))


@irdl_op_definition
class Mish(Unary):
    """x tanh(log(1 + e^x)). C1: float."""

    name = "graph.mish"

    def function(self, x: Array) -> Array:
        return x * np.tanh(softplus(x))


@irdl_op_definition
class Softplus(Unary):
    """log(1 + e^x). C1: float."""

    name = "graph.softplus"

    def function(self, x: Array) -> Array:
        return softplus(x)


def softplus(x: Array) -> Array:
    """log(1 + e^x) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@irdl_op_definition
class Softsign(Unary):
    """x / (1 + |x|). C1: float."""

    name = "graph.softsign"

    def function(self, x: Array) -> Array:
        return x / (1 + np.abs(x))


@irdl_op_definition
class Gelu(Unary):
    """x Phi(x), with `approximate` "none" by erf, "tanh" by tanh(sqrt(2 / pi) (x + 0.044715 x^3)).

    C1: float. C2: `approximate` is "none" or "tanh".
    """

    name = "graph.gelu"
    DEFAULTS: ClassVar = {"approximate": "none"}
    approximate = prop_def(StringAttr)

    def infer(self) -> Sequence[TensorType]:
        need(self.get("approximate") in ("none", "tanh"), f"C2 approximate is {self.get('approximate')!r}")
        return super().infer()

    def function(self, x: Array) -> Array:
        if self.get("approximate") == "tanh":
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@irdl_op_definition
class Shrink(Unary):
    """x + `bias` below -`lambd`, x - `bias` above `lambd`, 0 between. C1: number."""

    name = "graph.shrink"
    KINDS: ClassVar = "fiu"
    DEFAULTS: ClassVar = {"bias": 0.0, "lambd": 0.5}
    bias = prop_def(FloatAttr)
    lambd = prop_def(FloatAttr)

    def function(self, x: Array) -> Any:
        bias, lambd = self.get("bias"), self.get("lambd")
        return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0))
