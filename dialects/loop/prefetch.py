"""A hint to the memory: fetch what will be read soon."""

from __future__ import annotations

from typing import Any, Self

from xdsl.dialects.builtin import ArrayAttr, IndexType, IntAttr
from xdsl.ir import SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, var_operand_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import Expr, ExprLike
from ...ir.indexed import INDEX, Indexed, Indices, indexed
from ...ir.syntax import operand_reader, parse_expr, parse_value, print_expr, print_indices
from ...ir.types import BufferType, ExprAttr

LEVELS = (1, 2)


@irdl_op_definition
class Prefetch(Indexed, IRDLOperation):
    """Bring a line of memory into a cache: `loop.prefetch %w[%k, %j + 64] ahead 16 * %i level 2`.

    The line is the one of the element that lies `ahead` elements behind that of the index, in memory. It changes no
    value, and may be anywhere, outside of the buffer too. `level`: the cache that it is brought into.
    C1: one index per dimension, and `ahead`. C2: the level is 1 or 2.
    """

    name = "loop.prefetch"
    buffer = operand_def(BufferType)
    indices = var_operand_def(IndexType())
    map = prop_def(ArrayAttr[ExprAttr])
    level = prop_def(IntAttr)

    def __init__(self, buffer: SSAValue, indices: Indices, ahead: ExprLike, level: int) -> None:
        operands, attr = indexed(([*indices[0], ahead], indices[1]))
        super().__init__(operands=[buffer, operands], properties={"map": attr, "level": IntAttr(level)})

    @property
    def type(self) -> BufferType:
        assert isinstance(self.buffer.type, BufferType)
        return self.buffer.type

    @property
    def at(self) -> tuple[Expr, ...]:
        """The index."""
        return self.exprs[:-1]

    @property
    def ahead(self) -> Expr:
        """Elements from there to what is fetched."""
        return self.exprs[-1]

    def index_position(self) -> int:
        return 1

    def verify_(self) -> None:
        if len(self.exprs) != self.type.rank + 1:
            raise VerifyException("C1 one index per dimension, and `ahead`")
        if self.level.data not in LEVELS:
            raise VerifyException("C2 the level is 1 or 2")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.buffer)
        print_indices(printer, self.at, self.indices)
        printer.print_string(" ahead ")
        print_expr(printer, self.ahead, self.indices)
        printer.print_string(f" level {self.level.data}")

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        buffer = parse_value(parser)
        names: list[Any] = []
        read = operand_reader(parser, names)
        at = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_expr(parser, read))
        parser.parse_keyword("ahead")
        ahead = parse_expr(parser, read)
        parser.parse_keyword("level")
        level = parser.parse_integer()
        return cls(buffer, (at, [parser.resolve_operand(n, INDEX) for n in names]), ahead, level)
