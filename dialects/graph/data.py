"""Values known before the run: constants and tensors of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, i64
from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.parser import Parser
from xdsl.printer import Printer

from ...ir.expr import ONE
from ...ir.nodes import set_nodes
from ...ir.types import ExprAttr, TensorType, element_of
from ...ir.weights import Weight, array_of
from .base import Array, GraphOp, Sizes, need, need_kind, need_same, settled, wide


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
    """start + i delta for i from 0 to `size` - 1: how long ONNX's range is is known before the run.

    C1: start and delta have one element. C2: their element types are equal, and numbers. C3: the size is not negative.
    """

    name = "graph.range"
    EXPRESSIONS: ClassVar[Sequence[str]] = ("size",)
    start = operand_def(TensorType)
    delta = operand_def(TensorType)
    size = prop_def(ExprAttr)
    result = result_def(TensorType)

    def infer(self) -> Sequence[TensorType]:
        start, delta, size = self.type_of(0), self.type_of(1), self.get("size")
        need(start.elements == ONE and delta.elements == ONE, f"C1 start {start}, delta {delta}")
        need_same(start, delta, "C2")
        need_kind(start, "fiu", "C2")
        need(size.constant is None or size.constant >= 0, f"C3 size {size}")
        return [TensorType.of([size], start.element_type)]

    def evaluate(self, inputs: Sequence[Array], sizes: Sizes) -> Sequence[Array]:
        start, delta = (wide(x.reshape(())) for x in inputs)
        positions = np.arange(sizes(self.get("size")))
        with np.errstate(all="ignore"):
            return [settled(start + positions.astype(start.dtype) * delta, inputs[0].dtype)]


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
