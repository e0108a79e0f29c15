"""What operations over an iteration domain share: `[%i : M, %j : N]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from xdsl.dialects.builtin import ArrayAttr, IntAttr
from xdsl.ir import BlockArgument, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer

from ...ir.expr import ONE, ZERO, Expr
from ...ir.indexed import INDEX
from ...ir.operands import walk
from ...ir.syntax import parse_expr
from ...ir.types import ExprAttr, TensorType
from .body import Read

DEFAULT_NAME = re.compile(r"[ik]\d+")


class Domain:
    """Mixin of operations whose body runs at the points of a box: parallel dims first, then the others."""

    if TYPE_CHECKING:
        extents: ArrayAttr[ExprAttr]
        parallel: IntAttr
        body: Region
        result: Any

    @property
    def sizes(self) -> tuple[Expr, ...]:
        """Extents of all dims, parallel ones first."""
        return tuple(e.data for e in self.extents)

    @property
    def rank(self) -> int:
        """Number of parallel dims."""
        return self.parallel.data

    @property
    def type(self) -> TensorType:
        assert isinstance(self.result.type, TensorType)
        return self.result.type

    @property
    def indices(self) -> tuple[BlockArgument, ...]:
        """The body's index variables."""
        return self.body.block.args[: len(self.extents)]

    @property
    def ranges(self) -> dict[SSAValue, tuple[Expr, Expr]]:
        """Inclusive range of each index variable."""
        return {a: (ZERO, s - ONE) for a, s in zip(self.indices, self.sizes, strict=True)}

    @property
    def is_reduction(self) -> bool:
        """Whether many points make one element."""
        return False

    @property
    def reads(self) -> list[Read]:
        """All reads."""
        return [op for op in walk(cast(Operation, self)) if isinstance(op, Read)]

    @property
    def sources(self) -> list[SSAValue]:
        """The tensors from outside that the result depends on, in order, each once."""
        own = cast(Operation, self)
        used = [*own.operands, *(r.tensor for r in self.reads)]
        return [v for v in dict.fromkeys(used) if v not in self.body.block.args]


def name_indices(region: Region, parallel: int, others: str = "") -> None:
    """Name the arguments of a body that nobody named: i0, i1 ... the parallel indices, k0, k1 ... the others, as the
    loops of the next level will be; or `others` what is behind the parallel ones."""
    for n, arg in enumerate(region.blocks[0].args if region.blocks else ()):
        if arg.name_hint is None or DEFAULT_NAME.fullmatch(arg.name_hint):
            arg.name_hint = f"i{n}" if n < parallel else others or f"k{n - parallel}"


def print_dims(printer: Printer, variables: Sequence[SSAValue], sizes: Sequence[Expr]) -> None:
    """`[%i : M, %j : N]`"""

    def dim(pair: tuple[SSAValue, Expr]) -> None:
        printer.print_ssa_value(pair[0])
        printer.print_string(f" : {pair[1]}")

    with printer.in_square_brackets():
        printer.print_list(list(zip(variables, sizes, strict=True)), dim)


def parse_dims(parser: Parser) -> tuple[list[Any], list[Expr]]:
    """The arguments of a body and their extents, as `print_dims` writes them."""
    args: list[Any] = []
    sizes: list[Expr] = []

    def dim() -> None:
        args.append(parser.parse_argument(expect_type=False).resolve(INDEX))
        parser.parse_punctuation(":")
        sizes.append(parse_expr(parser))

    parser.parse_comma_separated_list(parser.Delimiter.SQUARE, dim)
    return args, sizes
