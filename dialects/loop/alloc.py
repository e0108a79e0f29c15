"""Buffers: private ones of a kernel, and those of the host program."""

from __future__ import annotations

from typing import Self

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def, result_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ...ir.expr import Expr
from ...ir.operands import direct
from ...ir.syntax import parse_expr
from ...ir.types import BufferType, ExprAttr


@direct
@irdl_op_definition
class Alloc(IRDLOperation):
    """A buffer: `loop.alloc "acc" : !loop.buffer<[8, 32], f32, "register">`.

    In a kernel it is private to a chunk (space `stack`, `register` or one of the target's own, constant sizes) and
    undefined at first; in the program it is global, a place in the arena, whose byte offset memory planning fills in:
    `at 4096`. One whose size becomes known only while the program runs has a piece of memory that grows: `slot 0`.
    C1: private buffers have constant sizes. C2: an offset or a slot belongs to a global buffer, which has one of them.
    """

    name = "loop.alloc"
    label = prop_def(StringAttr)
    offset = opt_prop_def(ExprAttr)
    slot = opt_prop_def(IntAttr)
    buffer = result_def(BufferType)

    def __init__(self, label: str, type_: BufferType, offset: Expr | None = None, slot: int | None = None) -> None:
        super().__init__(
            properties={
                "label": StringAttr(label),
                "offset": None if offset is None else ExprAttr(offset),
                "slot": None if slot is None else IntAttr(slot),
            },
            result_types=[type_],
        )
        self.buffer.name_hint = label if label.isidentifier() else None

    @property
    def type(self) -> BufferType:
        assert isinstance(self.buffer.type, BufferType)
        return self.buffer.type

    def verify_(self) -> None:
        private = self.type.space.data != "global"
        if private and self.type.static_shape is None:
            raise VerifyException("C1 a private buffer has constant sizes")
        if (self.offset is not None) + (self.slot is not None) > (not private):
            raise VerifyException("C2 an offset or a slot belongs to a global buffer")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.label.data)
        if self.offset is not None:
            printer.print_string(f" at {self.offset.data}")
        if self.slot is not None:
            printer.print_string(f" slot {self.slot.data}")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.type)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        label = parser.parse_str_literal()
        offset = parse_expr(parser) if parser.parse_optional_keyword("at") else None
        slot = parser.parse_integer() if parser.parse_optional_keyword("slot") else None
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        assert isinstance(type_, BufferType)
        op = cls(label, type_, offset, slot)
        op.attributes |= attributes
        return op
