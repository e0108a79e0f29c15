"""What stands in the bodies of `tensor.compute` and `tensor.update`, besides arith and math."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from xdsl.dialects.builtin import ArrayAttr, IndexType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import Expr, ExprLike
from ...ir.indexed import INDEX, Indexed, Indices, indexed
from ...ir.operands import SEGMENTS, direct, init, segmented, segments
from ...ir.syntax import operand_reader, parse_expr, parse_indices, parse_value, print_expr, print_indices
from ...ir.types import ExprAttr, TensorType, signless


@direct
@irdl_op_definition
class Yield(IRDLOperation):
    """Ends a body with its value. C1: it stands in a tensor.compute."""

    name = "tensor.yield"
    value = operand_def()
    traits = traits_def(IsTerminator(), Pure())

    assembly_format = "$value attr-dict `:` type($value)"

    def __init__(self, value: SSAValue | Operation) -> None:
        init(self, [SSAValue.get(value)], ())

    def verify_(self) -> None:
        parent = self.parent_op()
        if parent is None or parent.name != "tensor.compute":
            raise VerifyException("C1 tensor.yield stands in a tensor.compute")


@segmented
@direct
@irdl_op_definition
class Read(Indexed, IRDLOperation):
    """One element of a tensor: `tensor.read %x[%i - 1, %k] else %zero`.

    With `else`, an index outside of the tensor gives that value; without it the index must be inside.
    C1: one index per dimension. C2: the value has the tensor's element type, without sign. C3: so has the `else`.
    """

    name = "tensor.read"
    tensor = operand_def(TensorType)
    indices = var_operand_def(IndexType())
    otherwise = opt_operand_def()
    map = prop_def(ArrayAttr[ExprAttr])
    value = result_def()
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())

    def __init__(self, tensor: SSAValue, indices: Indices, otherwise: SSAValue | None = None) -> None:
        operands, attr = indexed(indices)
        assert isinstance(tensor.type, TensorType)
        last = () if otherwise is None else (otherwise,)
        properties = {"map": attr, SEGMENTS: segments(1, len(operands), len(last))}
        init(self, [tensor, *operands, *last], [signless(tensor.type.element_type)], properties)

    def index_position(self) -> int:
        return 1

    def resegment(self, count: int) -> None:
        self.properties[SEGMENTS] = segments(1, count, len(self.operands) - 1 - count)

    def verify_(self) -> None:
        assert isinstance(self.tensor.type, TensorType)
        if len(self.map) != self.tensor.type.rank:
            raise VerifyException("C1 one index per dimension")
        if self.value.type != signless(self.tensor.type.element_type):
            raise VerifyException("C2 the value has the tensor's element type, without sign")
        if self.otherwise is not None and self.otherwise.type != self.value.type:
            raise VerifyException("C3 the `else` value has the element type")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.tensor)
        print_indices(printer, self.exprs, self.indices)
        if self.otherwise is not None:
            printer.print_string(" else ")
            printer.print_ssa_value(self.otherwise)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        tensor = parse_value(parser)
        values, names = parse_indices(parser)
        operands = [parser.resolve_operand(n, INDEX) for n in names]
        otherwise = parse_value(parser) if parser.parse_optional_keyword("else") else None
        return cls(tensor, (values, operands), otherwise)


@segmented
@direct
@irdl_op_definition
class Put(Indexed, IRDLOperation):
    """Ends the body of a `tensor.update` with what one step writes: `tensor.put %v at [%i, %k], %n at [%i, 0]`.

    All of the body is computed before anything is written; of two values for one place the last one stays. What is
    outside of the tensor is not written: an index that comes from data needs no other care, and -1 means nowhere.
    C1: it stands in a tensor.update. C2: as many indices for each value as the tensor has dimensions. C3: the values
    have the tensor's element type, without sign.
    """

    name = "tensor.put"
    values = var_operand_def()
    indices = var_operand_def(IndexType())
    map = prop_def(ArrayAttr[ExprAttr])
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, values: Sequence[SSAValue], indices: Indices) -> None:
        """`indices` are those of all values, one after the other."""
        operands, attr = indexed(indices)
        init(self, [*values, *operands], (), {"map": attr, SEGMENTS: segments(len(values), len(operands))})

    def index_position(self) -> int:
        return len(self.values)

    def resegment(self, count: int) -> None:
        self.properties[SEGMENTS] = segments(len(self.operands) - count, count)

    @property
    def places(self) -> list[tuple[SSAValue, tuple[Expr, ...]]]:
        """Each value and its index, over the positions of `indices`."""
        rank = len(self.exprs) // max(1, len(self.values))
        return [(v, self.exprs[k * rank : (k + 1) * rank]) for k, v in enumerate(self.values)]

    def verify_(self) -> None:
        parent = self.parent_op()
        if parent is None or parent.name != "tensor.update":
            raise VerifyException("C1 tensor.put stands in a tensor.update")
        type_ = parent.results[0].type
        assert isinstance(type_, TensorType)
        if not self.values or len(self.exprs) != len(self.values) * type_.rank:
            raise VerifyException(f"C2 {len(self.values)} values, {len(self.exprs)} indices into {type_}")
        if any(v.type != signless(type_.element_type) for v in self.values):
            raise VerifyException("C3 the values have the tensor's element type, without sign")

    def print(self, printer: Printer) -> None:
        def place(pair: tuple[SSAValue, tuple[Expr, ...]]) -> None:
            printer.print_ssa_value(pair[0])
            printer.print_string(" at ")
            print_indices(printer, pair[1], self.indices)

        printer.print_string(" ")
        printer.print_list(self.places, place)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        names: list[Any] = []
        read = operand_reader(parser, names)
        values: list[SSAValue] = []
        exprs: list[Expr] = []

        def place() -> None:
            values.append(parse_value(parser))
            parser.parse_keyword("at")
            exprs.extend(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_expr(parser, read)))

        parser.parse_comma_separated_list(parser.Delimiter.NONE, place)
        return cls(values, (exprs, [parser.resolve_operand(n, INDEX) for n in names]))


@direct
@irdl_op_definition
class Index(Indexed, IRDLOperation):
    """The value of an index expression: `tensor.index %i * 2 + N`."""

    name = "tensor.index"
    indices = var_operand_def(IndexType())
    map = prop_def(ArrayAttr[ExprAttr])
    value = result_def(IndexType())
    traits = traits_def(Pure())

    def __init__(self, expr: ExprLike, operands: Sequence[SSAValue] = ()) -> None:
        values, attr = indexed(([expr], operands))
        init(self, values, [INDEX], {"map": attr})

    def index_position(self) -> int:
        return 0

    @property
    def expr(self) -> Expr:
        return self.exprs[0]

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        print_expr(printer, self.expr, self.indices)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        names: list[Any] = []
        expr = parse_expr(parser, operand_reader(parser, names))
        return cls(expr, [parser.resolve_operand(n, INDEX) for n in names])


def body_block(count: int, *extra: Attribute) -> Block:
    """A block with `count` index arguments and these others."""
    return Block(arg_types=[*[INDEX] * count, *extra])
