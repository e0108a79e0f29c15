"""Values known before the run: constants and tensors of sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, i64
from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.parser import Parser
from xdsl.printer import Printer

from ...ir.expr import Expr, ceildiv, maximum
from ...ir.nodes import set_nodes
from ...ir.types import ExprAttr, TensorType, element_of
from ...ir.weights import Weight, array_of
from .base import Array, GraphOp, Sizes, need, need_kind


@irdl_op_definition
class Constant(GraphOp):
    """Constant data: `graph.constant #ir.weight<[1.0]> : !graph.tensor<[1], f32>`.

    C1: the result's sizes are numbers.
    """

    name = "graph.constant"
    value = prop_def(Weight)
    result = result_def(TensorType)

    @classmethod
    def of(cls, array: Array, *, file: str = "", name: str = "", nodes: Sequence[str] = ()) -> Self:
        """The constant `array`; `file` and `name` say where the text can find it again."""
        op = cls(
            properties={"value": Weight.of(array, file=file, name=name)},
            result_types=[TensorType.of(array.shape, element_of(array.dtype))],
        )
        set_nodes(op, nodes)
        return op

    @property
    def array(self) -> Array:
        """The data. Raises IRError when a reference cannot be found."""
        type_ = self.result.type
        assert isinstance(type_, TensorType) and type_.static_shape is not None
        return array_of(self.value, type_.dtype, type_.static_shape)

    def infer(self) -> Sequence[TensorType]:
        type_ = self.result.type
        assert isinstance(type_, TensorType)
        need(type_.static_shape is not None, "C1 a constant has constant sizes")
        return [type_]

    def evaluate(self, inputs: Sequence[Any], sizes: Sizes) -> Sequence[Array]:
        return [self.array]

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.value)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        weight = parser.parse_attribute()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        return cls(properties={"value": weight}, attributes=attributes, result_types=[parser.parse_type()])


@irdl_op_definition
class SizesOf(GraphOp):
    """Size expressions as data: `graph.sizes <{values = [...]}> : () -> !graph.tensor<[2], i64>`, of any rank."""

    name = "graph.sizes"
    EXPRESSIONS: ClassVar[Sequence[str]] = ("values", "shape")
    values = prop_def(ArrayAttr[ExprAttr])
    shape = prop_def(ArrayAttr[ExprAttr])
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        return [TensorType(self.shape, i64)]

    def evaluate(self, inputs: Sequence[Any], sizes: Sizes) -> Sequence[Array]:
        shape = [sizes(e.data) for e in self.shape]
        return [np.array([sizes(e.data) for e in self.values], np.int64).reshape(shape)]


@irdl_op_definition
class Range(GraphOp):
    """start, start + delta, ... below `limit` (above it for a negative delta), as element type `to`.

    The three are sizes for integers (`#ir.expr<N>`), floats otherwise. C1: they are of the kind of `to`. C2: delta is a
    number other than 0.
    """

    name = "graph.range"
    start = prop_def(Attribute)
    limit = prop_def(Attribute)
    delta = prop_def(Attribute)
    to = prop_def(Attribute)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        start, limit, delta = (self.get(n) for n in ("start", "limit", "delta"))
        found = TensorType.of([0], self.to)
        need_kind(found, "fiu")
        kind = Expr if found.dtype.kind in "iu" else float
        need(all(isinstance(v, kind) for v in (start, limit, delta)), f"C1 bounds for element type {self.to}")
        if isinstance(delta, float):
            need(delta != 0 and math.isfinite(start) and math.isfinite(limit), f"C2 {start} to {limit} by {delta}")
            count = Expr.const(max(math.ceil((limit - start) / delta), 0))
        else:
            need(delta.constant not in (None, 0), f"C2 delta is {delta}")
            span = limit - start if delta.constant > 0 else start - limit
            count = maximum(ceildiv(span, abs(delta.constant)), 0)
        return [TensorType.of([count], self.to)]

    def evaluate(self, inputs: Sequence[Any], sizes: Sizes) -> Sequence[Array]:
        (type_,) = self.infer()
        start, delta = self.get("start"), self.get("delta")
        positions = np.arange(sizes(type_.sizes[0]))
        if isinstance(start, Expr):
            return [(sizes(start) + positions * sizes(delta)).astype(type_.dtype)]
        dtype = np.dtype(np.float32) if type_.dtype.itemsize == 2 else type_.dtype
        return [(dtype.type(start) + positions.astype(dtype) * dtype.type(delta)).astype(type_.dtype)]


@irdl_op_definition
class EyeLike(GraphOp):
    """1 on the diagonal `k` of a matrix of x's sizes, 0 elsewhere, as element type `to`. C1: x has rank 2."""

    name = "graph.eye_like"
    DEFAULTS: ClassVar = {"k": 0}
    x = operand_def(TensorType)
    k = prop_def(IntegerAttr)
    to = prop_def(Attribute)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        need(self.type_of(0).rank == 2, f"C1 rank {self.type_of(0).rank}")
        return [TensorType.of(self.type_of(0).sizes, self.to)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        return [np.eye(*inputs[0].shape, k=self.get("k")).astype(self.infer()[0].dtype)]
