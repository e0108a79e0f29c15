"""Text of expressions inside attributes and operations.

In an attribute dims are spelled `d0`; in an operation they are the operands: `%A[%i * 8 + %ii, %k]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from xdsl.ir import SSAValue
from xdsl.parser import AttrParser, Parser, UnresolvedOperand
from xdsl.printer import Printer

from .expr import OPERATIONS, Atom, Expr

DIM = re.compile(r"d(\d+)\Z")


def parse_expr(parser: AttrParser, operand: Callable[[], Expr | None] = lambda: None) -> Expr:
    """An expression; `operand` reads a `%name` where operands are allowed. Raises ParseError."""

    def primary() -> Expr:
        if (found := operand()) is not None:
            return found
        if parser.parse_optional_punctuation("-"):
            return -factor()
        if parser.parse_optional_punctuation("("):
            inner = total()
            parser.parse_punctuation(")")
            return inner
        if (number := parser.parse_optional_integer(allow_boolean=False, allow_negative=False)) is not None:
            return Expr.const(number)
        if (text := parser.parse_optional_str_literal()) is not None:
            return Expr.symbol(text)
        name = parser.parse_identifier(" in an expression")
        if name in ("min", "max"):
            args = parser.parse_comma_separated_list(parser.Delimiter.PAREN, total)
            return OPERATIONS[name](*args)
        if match := DIM.match(name):
            return Expr.dim(int(match[1]))
        return Expr.symbol(name)

    def factor() -> Expr:
        value = primary()
        while True:
            if parser.parse_optional_characters("*"):
                value = value * primary()
            elif word := parser.parse_optional_keyword_in(("floordiv", "ceildiv", "mod")):
                value = OPERATIONS[word](value, primary())
            else:
                return value

    def total() -> Expr:
        value = factor()
        while True:
            if parser.parse_optional_punctuation("+"):
                value = value + factor()
            elif parser.parse_optional_punctuation("-"):
                value = value - factor()
            else:
                return value

    return total()


def parse_value(parser: Parser) -> SSAValue:
    """`%name` of a value that is defined above, whose type the text does not say again. Raises ParseError."""
    found = parser.parse_unresolved_operand()
    values = parser.ssa_values.get(found.operand_name, ())
    if found.index >= len(values):
        parser.raise_error("this value is not defined above", found.span)
    return values[found.index]


def parse_indices(parser: Parser) -> tuple[list[Expr], list[UnresolvedOperand]]:
    """`[expr, expr, ...]` over operands: the expressions over d0, d1, ... and the operands those stand for."""
    operands: list[UnresolvedOperand] = []
    exprs = parser.parse_comma_separated_list(
        parser.Delimiter.SQUARE, lambda: parse_expr(parser, operand_reader(parser, operands))
    )
    return exprs, operands


def operand_reader(parser: Parser, operands: list[UnresolvedOperand]) -> Callable[[], Expr | None]:
    """Reads `%name` as a dim, and collects the operands in the order in which they appear."""

    def read() -> Expr | None:
        found = parser.parse_optional_unresolved_operand()
        if found is None:
            return None
        names = [o.operand_name for o in operands]
        if found.operand_name not in names:
            operands.append(found)
            return Expr.dim(len(operands) - 1)
        return Expr.dim(names.index(found.operand_name))

    return read


def _marked(atom: Atom) -> str:
    return f"\0{atom.args[0]}\0" if atom.kind == "dim" else str(atom)


def print_expr(printer: Printer, expr: Expr, operands: Sequence[SSAValue]) -> None:
    """The expression with its dims spelled as the operands' names."""
    for i, part in enumerate(expr.text(_marked).split("\0")):
        if i % 2:
            printer.print_ssa_value(operands[int(part)])
        else:
            printer.print_string(part)


def print_indices(printer: Printer, exprs: Iterable[Expr], operands: Sequence[SSAValue]) -> None:
    with printer.in_square_brackets():
        printer.print_list(exprs, lambda e: print_expr(printer, e, operands))


def canonical_indices(exprs: Iterable[Expr], operands: Sequence[SSAValue]) -> tuple[list[Expr], list[SSAValue]]:
    """The same expressions over the operands in the order in which their text names them, each once.

    Two ops that print alike are then alike, so text round-trips."""
    number: dict[SSAValue, int] = {}
    values, order = _canonical(tuple(exprs), tuple([number.setdefault(v, len(number)) for v in operands]))
    distinct = list(number)
    return list(values), [distinct[i] for i in order]


@lru_cache(maxsize=1 << 14)
def _canonical(exprs: tuple[Expr, ...], operands: tuple[int, ...]) -> tuple[tuple[Expr, ...], tuple[int, ...]]:
    values, order = exprs, operands
    for _ in range(4):
        seen: list[int] = []
        for e in values:
            if e.dims:
                seen += [d for part in e.text(_marked).split("\0")[1::2] if (d := int(part)) not in seen]
        distinct = tuple(dict.fromkeys(order[d] for d in seen))
        position = {d: Expr.dim(distinct.index(order[d])) for d in seen}
        if order == distinct and all(e == Expr.dim(d) for d, e in position.items()):
            break
        values, order = tuple(e.substitute(position) for e in values), distinct
    return values, order
