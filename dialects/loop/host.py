"""What the host program does between kernels: parts of buffers, copies, control flow.

Sizes that become known while it runs come from the control dialect's read_sizes and set_sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import Expr, ExprLike
from ...ir.syntax import parse_expr, parse_value
from ...ir.types import BufferType, ExprAttr, is_bool
from ..control import ReadSizes, SetSizes


def _buffer(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


def _print_strings(printer: Printer, values: Iterable[str]) -> None:
    with printer.in_square_brackets():
        printer.print_list(values, printer.print_string_literal)


def _parse_strings(parser: Parser) -> list[str]:
    return parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal)


@irdl_op_definition
class View(IRDLOperation):
    """Part of a buffer as a buffer, without a copy: `%row = loop.view %x at 64 * "$i" : !loop.buffer<[64], f32>`.

    The offset counts elements; both buffers are row-major.
    C1: element types are equal and layouts row-major.
    """

    name = "loop.view"
    source = operand_def(BufferType)
    offset = prop_def(ExprAttr)
    buffer = result_def(BufferType)

    def __init__(self, source: SSAValue, offset: ExprLike, type_: BufferType) -> None:
        super().__init__(operands=[source], properties={"offset": ExprAttr(Expr.of(offset))}, result_types=[type_])

    @property
    def type(self) -> BufferType:
        return _buffer(self.buffer)

    def verify_(self) -> None:
        types = (_buffer(self.source), self.type)
        if types[0].element_type != types[1].element_type or any(isinstance(t.layout, ExprAttr) for t in types):
            raise VerifyException("C1 a view has its buffer's element type, and both are row-major")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.source)
        printer.print_string(f" at {self.offset.data}")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        source = parse_value(parser)
        parser.parse_keyword("at")
        offset = parse_expr(parser)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        assert isinstance(type_, BufferType)
        op = cls(source, offset, type_)
        op.attributes |= attributes
        return op


@irdl_op_definition
class Copy(IRDLOperation):
    """All of a buffer into another one: `loop.copy %new, %state`.

    C1: both have the same type.
    """

    name = "loop.copy"
    source = operand_def(BufferType)
    target = operand_def(BufferType)

    def __init__(self, source: SSAValue, target: SSAValue) -> None:
        super().__init__(operands=[source, target])

    def verify_(self) -> None:
        if self.source.type != self.target.type:
            raise VerifyException(f"C1 {self.source.type} is copied to {self.target.type}")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list((self.source, self.target), printer.print_ssa_value)
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        source = parse_value(parser)
        parser.parse_punctuation(",")
        op = cls(source, parse_value(parser))
        op.attributes |= parser.parse_optional_attr_dict()
        return op


HOST, DEVICE = "host", "device"


@irdl_op_definition
class Transfer(IRDLOperation):
    """What a buffer holds on one side goes to the other: `loop.transfer %x to host`.

    Where kernels of a program run on a device and others on the host, each side has a memory of its own with the same
    places in it. Calls work on the device's, those that are `{host}` on the host's; all else on the device's.
    Constants are in both.
    C1: the side is `host` or `device`.
    """

    name = "loop.transfer"
    buffer = operand_def(BufferType)
    to = prop_def(StringAttr)

    def __init__(self, buffer: SSAValue, to: str) -> None:
        super().__init__(operands=[buffer], properties={"to": StringAttr(to)})

    def verify_(self) -> None:
        if self.to.data not in (HOST, DEVICE):
            raise VerifyException(f"C1 a buffer goes to the host or the device, not to {self.to.data!r}")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.buffer)
        printer.print_string(f" to {self.to.data}")
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        buffer = parse_value(parser)
        parser.parse_keyword("to")
        op = cls(buffer, parser.parse_identifier())
        op.attributes |= parser.parse_optional_attr_dict()
        return op


def _verify_condition(value: SSAValue | None) -> None:
    if value is not None and (not is_bool(_buffer(value).element_type) or _buffer(value).elements.constant != 1):
        raise VerifyException(f"C1 a condition is one bool, not {value.type}")


@irdl_op_definition
class If(IRDLOperation):
    """One of two parts of the host program: `loop.if %c { ... } else { ... }`.

    Both parts may write buffers that stand outside; what they allocate is theirs. With `sizes ["n"]` each part ends
    with as many expressions, `{ ... } gives [N + 1]`: the values of new symbols.
    C1: the condition is a buffer of one bool. C2: as many values as symbols.
    """

    name = "loop.if"
    condition = operand_def(BufferType)
    names = prop_def(ArrayAttr[StringAttr])
    then_sizes = prop_def(ArrayAttr[ExprAttr])
    else_sizes = prop_def(ArrayAttr[ExprAttr])
    then = region_def("single_block")
    otherwise = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(
        self,
        condition: SSAValue,
        then: Region,
        otherwise: Region,
        names: Sequence[str] = (),
        sizes: tuple[Sequence[ExprLike], Sequence[ExprLike]] = ((), ()),
    ) -> None:
        first, second = (ArrayAttr(ExprAttr(Expr.of(e)) for e in part) for part in sizes)
        super().__init__(
            operands=[condition],
            properties={"names": ArrayAttr(map(StringAttr, names)), "then_sizes": first, "else_sizes": second},
            regions=[then, otherwise],
        )

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(n.data for n in self.names)

    def verify_(self) -> None:
        _verify_condition(self.condition)
        if not len(self.names) == len(self.then_sizes) == len(self.else_sizes):
            raise VerifyException("C2 each part gives a value for each symbol")

    def print(self, printer: Printer) -> None:
        def part(region: Region, sizes: ArrayAttr[ExprAttr]) -> None:
            printer.print_region(region, print_entry_block_args=False, print_empty_block=False)
            if len(sizes):
                printer.print_string(f" gives [{', '.join(str(e.data) for e in sizes)}]")

        printer.print_string(" ")
        printer.print_ssa_value(self.condition)
        if self.symbols:
            printer.print_string(" sizes ")
            _print_strings(printer, self.symbols)
        if self.attributes:
            printer.print_string(" attributes")
            printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        part(self.then, self.then_sizes)
        printer.print_string(" else ")
        part(self.otherwise, self.else_sizes)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        def part() -> tuple[Region, list[Expr]]:
            region = _filled(parser.parse_region())
            gives = parser.parse_optional_keyword("gives")
            delimiter = parser.Delimiter.SQUARE
            return region, parser.parse_comma_separated_list(delimiter, lambda: parse_expr(parser)) if gives else []

        condition = parse_value(parser)
        names = _parse_strings(parser) if parser.parse_optional_keyword("sizes") else []
        attributes = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("attributes") else {}
        then, first = part()
        parser.parse_keyword("else")
        otherwise, second = part()
        op = cls(condition, then, otherwise, names, (first, second))
        op.attributes |= attributes
        return op


@irdl_op_definition
class While(IRDLOperation):
    """A loop of the host program: `loop.while "$i" to N if %go counts "n" { ... }`.

    The body runs with "$i" = 0, 1, ... below the bound, as long as the buffer %go holds true, which is read before
    each iteration; either may be missing. What the body allocates is gone after the iteration. `counts` names a symbol
    that is the number of iterations once the loop has ended.
    C1: the condition is a buffer of one bool. C2: there is a bound or a condition.
    """

    name = "loop.while"
    condition = opt_operand_def(BufferType)
    iteration = prop_def(StringAttr)
    bound = opt_prop_def(ExprAttr)
    count = opt_prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(
        self,
        iteration: str,
        bound: ExprLike | None,
        condition: SSAValue | None,
        body: Region,
        count: str | None = None,
    ) -> None:
        super().__init__(
            operands=[condition],
            properties={
                "iteration": StringAttr(iteration),
                "bound": None if bound is None else ExprAttr(Expr.of(bound)),
                "count": None if count is None else StringAttr(count),
            },
            regions=[body],
        )

    def verify_(self) -> None:
        _verify_condition(self.condition)
        if self.condition is None and self.bound is None:
            raise VerifyException("C2 a loop ends: by a bound, or by a condition")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.iteration.data)
        if self.bound is not None:
            printer.print_string(f" to {self.bound.data}")
        if self.condition is not None:
            printer.print_string(" if ")
            printer.print_ssa_value(self.condition)
        if self.count is not None:
            printer.print_string(" counts ")
            printer.print_string_literal(self.count.data)
        if self.attributes:
            printer.print_string(" attributes")
            printer.print_op_attributes(self.attributes)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        iteration = parser.parse_str_literal()
        bound = parse_expr(parser) if parser.parse_optional_keyword("to") else None
        condition = parse_value(parser) if parser.parse_optional_keyword("if") else None
        count = parser.parse_str_literal() if parser.parse_optional_keyword("counts") else None
        attributes = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("attributes") else {}
        op = cls(iteration, bound, condition, _filled(parser.parse_region()), count)
        op.attributes |= attributes
        return op


def _filled(region: Region) -> Region:
    """A region that has a block, as an empty one has in text."""
    if not region.blocks:
        region.add_block(Block())
    return region


def host_ops(block: Block) -> Iterator[Operation]:
    """The operations of a host program in order, those in parts of it included, each before what it holds."""
    for op in block.ops:
        yield op
        if isinstance(op, If | While):
            for region in op.regions:
                yield from host_ops(region.block)


def defined_symbols(op: Operation) -> tuple[str, ...]:
    """The symbols to which an operation of a host program gives values, for what follows it."""
    match op:
        case ReadSizes() | SetSizes() | If():
            return op.symbols
        case While() if op.count is not None:
            return (op.count.data,)
        case _:
            return ()


def root_of(buffer: SSAValue) -> SSAValue:
    """The buffer that a view is part of."""
    while isinstance(buffer.owner, View):
        buffer = buffer.owner.source
    return buffer


__all__ = ["DEVICE", "HOST", "Copy", "If", "Transfer", "View", "While", "defined_symbols", "host_ops", "root_of"]
