"""The primitive layout: another order of a buffer's elements in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

from xdsl.context import Context
from xdsl.ir import BlockArgument
from xdsl.parser import Parser
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import ParseError

from ..dialects.loop.program import Kernel
from ..errors import ScheduleError
from ..ir.expr import ONE, ZERO, Expr, ceildiv
from ..ir.syntax import parse_expr
from ..ir.types import BufferType
from .analysis import buffer_of, require
from .primitive import Primitive

LINE = re.compile(r"layout\s+(\S+)\s*\(([d\d,\s]*)\)\s*->\s*(.+)\Z")


@dataclass(frozen=True)
class Layout(Primitive):
    """Store a buffer in another order: a map from the logical index (d0, d1, ...) to the element's offset, such as
    `layout in1 (d0, d1) -> (d1 floordiv 32) * 2048 + d0 * 32 + d1 mod 32`.

    Indices stay logical, so the kernel's meaning is the same; who owns the buffer packs it. Legal when different
    indices have different offsets, which is shown for sums of digits: each dim is cut by floordiv and mod into
    digits, and each digit's stride is beyond what the digits below it reach."""

    buffer: str
    rank: int
    offset: Expr
    form: ClassVar[str] = "layout <buffer> (d0, d1, ...) -> <offset>"

    @classmethod
    def parse(cls, line: str) -> Self:
        match = LINE.match(line)
        if match is None:
            raise ScheduleError(f"cannot read {line!r}", hint=f"it is written {cls.form}")
        dims = [d.strip() for d in match[2].split(",") if d.strip()]
        if dims != [f"d{i}" for i in range(len(dims))]:
            raise ScheduleError(f"cannot read {line!r}: the index is written (d0, d1, ...)")
        return cls(match[1], len(dims), expr_of(match[3]))

    def __str__(self) -> str:
        return f"layout {self.buffer} ({', '.join(f'd{i}' for i in range(self.rank))}) -> {self.offset}"

    def apply(self, kernel: Kernel) -> None:
        buffer = buffer_of(kernel, self.buffer)
        type_ = buffer.type
        assert isinstance(type_, BufferType)
        require(isinstance(buffer, BlockArgument), f"layout: {self.buffer} is private to the kernel")
        require(self.rank == type_.rank, f"layout: {self.buffer} has rank {type_.rank}, not {self.rank}")
        require(
            injective(self.offset, type_.sizes),
            f"layout: elements of {self.buffer} may share a place under {self.offset}",
        )
        plain = BufferType.of(type_.sizes, type_.element_type, type_.space.data)
        layout = None if self.offset == plain.offset else self.offset
        new = BufferType.of(type_.sizes, type_.element_type, type_.space.data, layout)
        Rewriter.replace_value_with_new_type(buffer, new)


@lru_cache(maxsize=1024)
def expr_of(text: str) -> Expr:
    """An expression over d0, d1, ... and symbols. Raises ScheduleError."""
    try:
        parser = Parser(Context(), text)
        found = parse_expr(parser)
        if parser.parse_optional_punctuation(",") is None and parser.pos >= len(text.rstrip()):
            return found
    except ParseError as error:
        raise ScheduleError(f"cannot read the offset {text!r}: {error}") from error
    raise ScheduleError(f"cannot read the offset {text!r}")


@dataclass(frozen=True)
class Digit:
    """`(d floordiv unit) mod base`, or without an end: `d floordiv unit`."""

    dim: int
    unit: int
    base: int | None
    stride: Expr

    def most(self, sizes: Sequence[Expr]) -> Expr:
        """Its greatest value."""
        if self.base is not None:
            return Expr.const(self.base - 1)
        return ceildiv(sizes[self.dim], self.unit) - 1


def injective(offset: Expr, sizes: Sequence[Expr]) -> bool:
    """Whether different indices (below `sizes`) provably have different offsets."""
    digits: list[Digit] = []
    for monomial, c in offset.terms.items():
        atoms = [a for a in monomial if Expr({(a,): 1}).dims]
        if not atoms and not monomial:
            continue  # a constant moves everything alike
        if len(atoms) != 1 or c < 0:
            return False
        stride = Expr({tuple(a for a in monomial if a is not atoms[0]): c})
        found = _digit(Expr({(atoms[0],): 1}), stride)
        if found is None:
            return False
        digits.append(found)
    return _complete(digits, sizes) and _apart(digits, sizes)


def _digit(e: Expr, stride: Expr) -> Digit | None:
    """The digit that a floordiv, a mod or a dim is."""
    (monomial,) = e.terms
    if len(monomial) != 1 or e.terms[monomial] != 1:
        return None
    atom = monomial[0]
    if atom.kind == "dim":
        return Digit(atom.args[0], 1, None, stride)
    if atom.kind not in ("floordiv", "mod") or (n := atom.args[1].constant) is None or len(atom.args[0].terms) != 1:
        return None
    inner = _digit(atom.args[0], stride)
    if inner is None or inner.base is not None:
        return None
    if atom.kind == "mod":
        return Digit(inner.dim, inner.unit, n, stride)
    return Digit(inner.dim, inner.unit * n, None, stride)


def _complete(digits: Sequence[Digit], sizes: Sequence[Expr]) -> bool:
    """Whether the digits of each dim make up its whole value."""
    for dim, size in enumerate(sizes):
        unit = 1
        for digit in sorted((d for d in digits if d.dim == dim), key=lambda d: d.unit):
            if digit.unit != unit:
                return False
            if digit.base is None:
                unit = 0
                break
            unit *= digit.base
        if unit and not (unit - size).nonnegative():  # the last digit has an end below the size
            return False
    return True


def _apart(digits: Sequence[Digit], sizes: Sequence[Expr]) -> bool:
    """Whether each digit's stride is beyond what the digits below it reach together (of a buffer that is not empty)."""
    reach = ZERO
    for digit in sorted(digits, key=_magnitude):
        most = digit.most(sizes)
        if most == ZERO:
            continue
        if not (digit.stride - reach - ONE).nonnegative():
            return False
        reach = reach + digit.stride * most
    return True


def _magnitude(digit: Digit) -> tuple[int, int]:
    """Strides in the order of numbers of sizes in them, then of their coefficient."""
    ((monomial, c),) = digit.stride.terms.items()
    return len(monomial), c
