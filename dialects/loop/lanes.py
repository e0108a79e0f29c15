"""Scalar operations on every lane of vectors, where xDSL's own operations take scalars only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Self

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, StringAttr, VectorType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from ...ir.operands import init, make
from .ops import lanes_of, scalar_of, vector_of

SCALAR_ONLY: tuple[type[Operation], ...] = (
    arith.SelectOp, arith.CmpfOp, arith.CmpiOp, arith.SIToFPOp, arith.UIToFPOp, arith.FPToSIOp, arith.FPToUIOp,
    arith.ExtSIOp, arith.ExtUIOp, arith.TruncIOp, arith.IndexCastOp,
)  # fmt: skip


@cache
def scalar_operations() -> Mapping[str, type[Operation]]:
    """The operations that `loop.lanewise` may name."""
    return {cls.name: cls for cls in SCALAR_ONLY}


@cache
def _name(operation: str) -> StringAttr:
    return StringAttr(operation)


@irdl_op_definition
class Lanewise(IRDLOperation):
    """A scalar operation on every lane: `loop.lanewise "arith.select"(%c, %a, %b) : vector<16xi1>, vector<16xf32>,
    vector<16xf32> -> vector<16xf32>`.

    For comparisons, selection and conversions, which `arith` has for scalars only; what takes vectors there stands
    in the IR as itself. A comparison's `predicate` is that of the scalar operation.
    C1: the operation is one of those. C2: operands and result are vectors of as many lanes.
    """

    name = "loop.lanewise"
    operation = prop_def(StringAttr)
    predicate = opt_prop_def(IntegerAttr)
    values = var_operand_def(VectorType)
    result = result_def(VectorType)
    traits = traits_def(Pure())

    def __init__(
        self, operation: str, values: Sequence[SSAValue], type_: Attribute, predicate: Attribute | None = None
    ) -> None:
        order = {} if predicate is None else {"predicate": predicate}
        init(self, values, [type_], {"operation": _name(operation), **order})

    @property
    def scalar(self) -> Operation:
        """The scalar operation that every lane does, on operands of its own."""
        block = Block(arg_types=[scalar_of(v.type) for v in self.values])
        properties: dict[str, Attribute] = {} if self.predicate is None else {"predicate": self.predicate}
        cls = scalar_operations()[self.operation.data]
        if cls is arith.CmpfOp:
            properties["fastmath"] = arith.FastMathFlagsAttr("none")
        op = cls.create(operands=block.args, result_types=[scalar_of(self.result.type)], properties=properties)
        block.add_op(op)
        return op

    def verify_(self) -> None:
        if self.operation.data not in scalar_operations():
            raise VerifyException(f"C1 {self.operation.data} is not done lane by lane")
        if len({lanes_of(v.type) for v in (*self.values, self.result)}) != 1:
            raise VerifyException("C2 operands and result have as many lanes")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.operation.data)
        with printer.in_parens():
            printer.print_list(self.values, printer.print_ssa_value)
        if self.predicate is not None:
            printer.print_string(f" predicate {self.predicate.value.data}")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_list([v.type for v in self.values], printer.print_attribute)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_str_literal()
        operands = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        predicate = IntegerAttr(parser.parse_integer(), 64) if parser.parse_optional_keyword("predicate") else None
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        types: list[Any] = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        parser.parse_punctuation("->")
        result = parser.parse_type()
        op = cls(name, parser.resolve_operands(operands, types, parser.pos), result, predicate)
        op.attributes |= attributes
        return op


def lifted(op: Operation, operands: Sequence[SSAValue], lanes: int) -> Operation:
    """The one-result scalar operation `op` on vectors of `lanes` lanes."""
    type_ = vector_of(op.results[0].type, lanes)
    if isinstance(op, SCALAR_ONLY):
        return Lanewise(op.name, operands, type_, op.properties.get("predicate"))
    return make(type(op), operands, [type_], op.properties, op.attributes)
