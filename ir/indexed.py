"""Operations with index expressions: `%x[%i * 2 + %k, N - 1 - %j]`.

The expressions stand in the property `map` over d0, d1, ...; the operands `indices` (of type index) say what those are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
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
        held = cast(Operation, self).properties["map"]
        return tuple([e.data for e in held.data])  # pyright: ignore[reportAttributeAccessIssue]

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
        places = tuple([-1 if v is old else kept.index(v) for v in self.indices])
        self.set_indices(_replaced(self.exprs, places, value, len(kept), len(operands)), [*kept, *operands])


@lru_cache(maxsize=1 << 14)  # kernels alike are scheduled alike
def _replaced(exprs: tuple[Expr, ...], places: tuple[int, ...], value: Expr, kept: int, new: int) -> tuple[Expr, ...]:
    """Expressions whose dims go to `places`, or to a value over the dims behind those that are kept (-1)."""
    moved = value.substitute({i: Expr.dim(kept + i) for i in range(new)})
    mapping = {i: moved if place < 0 else Expr.dim(place) for i, place in enumerate(places)}
    return tuple(e.substitute(mapping) for e in exprs)


INDEX = IndexType()
