"""Sizes that become known while a model runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import AnyOf, BaseAttr, IRDLOperation, irdl_op_definition, operand_def, prop_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ...errors import InputError
from ...ir.evaluator import Environment, run_checks
from ...ir.expr import Expr
from ...ir.nodes import set_nodes
from ...ir.syntax import parse_expr, parse_value
from ...ir.types import BufferType, ExprAttr, TensorType, is_float


def learn(op: Operation, sizes: dict[str, int], env: Environment) -> None:
    """Size symbols become known; checks that name them are made. Raises InputError by those, and for no size."""
    if wrong := {n: v for n, v in sizes.items() if v < 0 and not n.startswith("$")}:
        raise InputError(f"sizes that were computed are negative: {wrong}")
    env.symbols |= sizes
    function = op.parent_op()
    run_checks(function.attributes.get("ircc.checks") if function is not None else None, env.symbols, sizes)


@irdl_op_definition
class ReadSizes(IRDLOperation):
    """Elements of a tensor, or buffer, of integers become size symbols: `control.read_sizes %k ["$TopK_0.k"]`.

    Types and expressions behind it may name them. A name that begins with `$` may be negative; one without is trusted
    to be a size, which the computation of the tensor makes sure of.
    C1: integers, as many as names. C2: names are distinct.
    """

    name = "control.read_sizes"
    source = operand_def(AnyOf((BaseAttr(TensorType), BaseAttr(BufferType))))
    names = prop_def(ArrayAttr[StringAttr])

    def __init__(self, source: SSAValue, names: Sequence[str], nodes: Sequence[str] = ()) -> None:
        super().__init__(operands=[source], properties={"names": ArrayAttr(map(StringAttr, names))})
        set_nodes(self, nodes)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(n.data for n in self.names)

    def verify_(self) -> None:
        type_ = self.source.type
        assert isinstance(type_, TensorType | BufferType)
        if is_float(type_.element_type) or type_.elements.constant != len(self.names):
            raise VerifyException(f"C1 {len(self.names)} integers are read from {type_}")
        if len({*self.symbols}) != len(self.symbols):
            raise VerifyException("C2 names are distinct")

    def interpret(self, env: Environment) -> None:
        """The symbols become known; checks that only now can be made are made. Raises InputError by those."""
        values = np.asarray(env.values[self.source]).reshape(-1)
        learn(self, dict(zip(self.symbols, map(int, values), strict=True)), env)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.source)
        printer.print_string(" ")
        with printer.in_square_brackets():
            printer.print_list(self.symbols, printer.print_string_literal)
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        source = parse_value(parser)
        op = cls(source, parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal))
        op.attributes |= parser.parse_optional_attr_dict()
        return op


@irdl_op_definition
class SetSizes(IRDLOperation):
    """Expressions get names: `control.set_sizes ["Slice_0.d0"] to [max("$Slice_0.start", 0)]`.

    What follows is simpler for it: a symbol is a size, whatever its expression is made of. A run in which a value is
    negative ends with an error.
    C1: as many expressions as names, which are distinct and do not begin with `$`.
    """

    name = "control.set_sizes"
    names = prop_def(ArrayAttr[StringAttr])
    values = prop_def(ArrayAttr[ExprAttr])

    def __init__(self, names: Sequence[str], values: Sequence[Expr], nodes: Sequence[str] = ()) -> None:
        super().__init__(
            properties={"names": ArrayAttr(map(StringAttr, names)), "values": ArrayAttr(map(ExprAttr, values))}
        )
        set_nodes(self, nodes)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(n.data for n in self.names)

    @property
    def exprs(self) -> tuple[Expr, ...]:
        return tuple(v.data for v in self.values)

    def verify_(self) -> None:
        if len({*self.symbols}) != len(self.values) or any(n.startswith("$") for n in self.symbols):
            raise VerifyException("C1 each of the distinct names has an expression, and none is of a signed value")

    def interpret(self, env: Environment) -> None:
        """The symbols become known. Raises InputError for a negative size, and for checks that do not hold."""
        learn(self, {n: env.size(e) for n, e in zip(self.symbols, self.exprs, strict=True)}, env)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        with printer.in_square_brackets():
            printer.print_list(self.symbols, printer.print_string_literal)
        printer.print_string(f" to [{', '.join(map(str, self.exprs))}]")
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        names = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal)
        parser.parse_keyword("to")
        op = cls(names, parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_expr(parser)))
        op.attributes |= parser.parse_optional_attr_dict()
        return op
