"""Contractions: MatMul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.irdl import irdl_op_definition, operand_def, result_def

from ...ir.types import Check, TensorType
from .base import Array, GraphOp, Sizes, broadcast_checks, broadcast_shapes, need, same_checks


@irdl_op_definition
class MatMul(GraphOp):
    """NumPy's `matmul`: `[..., M, K] x [..., K, N] -> [..., M, N]`; vectors count as one row or column that goes again.

    C1: the leading sizes broadcast. C2: ranks are at least 1. C3: the element types are equal. C4: the two K are equal.
    """

    name = "graph.matmul"
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        a, b = self.type_of(0), self.type_of(1)
        need(a.rank > 0 and b.rank > 0, "C2 MatMul of a scalar")
        need(a.element_type == b.element_type, f"C3 element types {a.element_type} and {b.element_type}")
        k, other = a.sizes[-1], b.sizes[-2] if b.rank > 1 else b.sizes[0]
        need(k.constant is None or other.constant is None or k == other, f"C4 inner sizes {k} and {other} differ")
        lead = broadcast_shapes(a.sizes[:-2], b.sizes[:-2])
        rows = a.sizes[-2:-1]
        columns = b.sizes[-1:] if b.rank > 1 else ()
        return [TensorType.of((*lead, *rows, *columns), a.element_type)]

    def checks(self) -> Sequence[Check]:
        a, b = self.type_of(0).sizes, self.type_of(1).sizes
        inner = [(a[-1], b[-2] if len(b) > 1 else b[0])]
        return same_checks("MatMul", inner) + broadcast_checks("MatMul", a[:-2], b[:-2])

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [np.matmul(inputs[0], inputs[1])]
