"""Elementwise operators, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.irdl import irdl_op_definition, operand_def, result_def

from ...ir.types import Check, TensorType
from .base import Array, GraphOp, Sizes, broadcast_checks, broadcast_shapes, need


class Unary(GraphOp):
    """One operand, a result of the same type."""

    x = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        return [self.type_of(0)]


class Binary(GraphOp):
    """Two operands of one element type that broadcast; the result has that element type.

    C1: the sizes broadcast. C2: the element types are equal.
    """

    a = operand_def(TensorType)
    b = operand_def(TensorType)
    result = result_def(TensorType)

    def element(self) -> Any:
        return self.type_of(0).element_type

    def infer(self) -> Sequence[TensorType]:
        a, b = self.type_of(0), self.type_of(1)
        need(a.element_type == b.element_type, f"C2 element types {a.element_type} and {b.element_type} differ")
        return [TensorType.of(broadcast_shapes(a.sizes, b.sizes), self.element())]

    def checks(self) -> Sequence[Check]:
        return broadcast_checks(self.name, self.type_of(0).sizes, self.type_of(1).sizes)


@irdl_op_definition
class Add(Binary):
    """a + b. C1, C2 of Binary."""

    name = "graph.add"

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [inputs[0] + inputs[1]]


@irdl_op_definition
class Relu(Unary):
    """max(x, 0); NaN stays NaN."""

    name = "graph.relu"

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [np.maximum(inputs[0], 0)]
