"""Sizes that come from data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ...errors import InputError
from ...ir.evaluator import Environment, run_checks
from ...ir.nodes import set_nodes
from ...ir.syntax import parse_value
from ...ir.types import TensorType, is_float


@irdl_op_definition
class ReadSizes(IRDLOperation):
    """Elements of a tensor of integers become size symbols: `control.read_sizes %k ["$TopK_0.k"]`.

    Types and expressions behind it may name them. A name that begins with `$` may be negative; one without is trusted
    to be a size, which the computation of the tensor makes sure of.
    C1: integers, as many as names. C2: names are distinct.
    """

    name = "control.read_sizes"
    source = operand_def(TensorType)
    names = prop_def(ArrayAttr[StringAttr])

    def __init__(self, source: SSAValue, names: Sequence[str], nodes: Sequence[str] = ()) -> None:
        super().__init__(operands=[source], properties={"names": ArrayAttr(map(StringAttr, names))})
        set_nodes(self, nodes)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(n.data for n in self.names)

    def verify_(self) -> None:
        type_ = self.source.type
        assert isinstance(type_, TensorType)
        if is_float(type_.element_type) or type_.elements.constant != len(self.names):
            raise VerifyException(f"C1 {len(self.names)} integers are read from {type_}")
        if len({*self.symbols}) != len(self.symbols):
            raise VerifyException("C2 names are distinct")

    def interpret(self, env: Environment) -> None:
        """The symbols become known; checks that only now can be made are made. Raises InputError by those."""
        values = np.asarray(env.values[self.source]).reshape(-1)
        found = dict(zip(self.symbols, map(int, values), strict=True))
        if wrong := {n: v for n, v in found.items() if v < 0 and not n.startswith("$")}:
            raise InputError(f"sizes that were computed are negative: {wrong}")
        env.symbols |= found
        function = self.parent_op()
        checks = function.attributes.get("ircc.checks") if function is not None else None
        run_checks(checks, env.symbols, found)

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
