"""Operations with index expressions: `%x[%i * 2 + %k, N - 1 - %j]`.

The expressions stand in the property `map` over d0, d1, ...; the operands `indices` (of type index) say what those are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from xdsl.dialects.builtin import ArrayAttr, IndexType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import VarOperand

from .expr import Expr, ExprLike
from .syntax import canonical_indices
from .types import ExprAttr, exprs

Indices = tuple[Sequence[ExprLike], Sequence[SSAValue]]  # expressions over d0, d1 ..., and what those are


def indexed(indices: Indices) -> tuple[list[SSAValue], ArrayAttr[ExprAttr]]:
    """Operands and `map` property for these indices, in canonical order."""
    values, operands = canonical_indices([Expr.of(e) for e in indices[0]], indices[1])
    return operands, exprs(values)


class Indexed:
    """Mixin of operations with a `map` property and `indices` operands."""

    if TYPE_CHECKING:
        map: ArrayAttr[ExprAttr]
        indices: VarOperand

    @property
    def exprs(self) -> tuple[Expr, ...]:
        """Index expressions over the positions of `indices`."""
        return tuple(e.data for e in self.map)

    @property
    def dims(self) -> dict[int, SSAValue]:
        """What the expressions' dims stand for."""
        return dict(enumerate(self.indices))

    def set_indices(self, values: Iterable[ExprLike], operands: Sequence[SSAValue]) -> None:
        """Replace the index expressions and their operands."""
        op = cast(Operation, self)
        new, attr = indexed((list(values), operands))
        old = list(self.indices)
        all_operands = list(op.operands)
        start = self.index_position()
        op.operands = [*all_operands[:start], *new, *all_operands[start + len(old) :]]
        op.properties["map"] = attr
        if "operandSegmentSizes" in op.properties:
            self.resegment(len(new))

    def index_position(self) -> int:
        """Position of the first index operand."""
        raise NotImplementedError

    def resegment(self, count: int) -> None:
        """Update the operand segments for a number of index operands."""
        raise NotImplementedError

    def replace_index(self, old: SSAValue, value: Expr, operands: Sequence[SSAValue]) -> None:
        """Replace the index operand `old` by an expression over `operands`."""
        kept = [v for v in self.indices if v is not old]
        shift = len(kept)
        moved = value.substitute({i: Expr.dim(shift + i) for i in range(len(operands))})
        mapping = {i: moved if v is old else Expr.dim(kept.index(v)) for i, v in enumerate(self.indices)}
        self.set_indices([e.substitute(mapping) for e in self.exprs], [*kept, *operands])


INDEX = IndexType()
