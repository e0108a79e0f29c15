"""Values known before the run: constants and tensors of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, i64
from xdsl.irdl import irdl_op_definition, prop_def, result_def
from xdsl.parser import Parser
from xdsl.printer import Printer

from ...ir.nodes import set_nodes
from ...ir.types import ExprAttr, TensorType, element_of
from ...ir.weights import Weight, array_of
from .base import Array, GraphOp, Sizes, need


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
