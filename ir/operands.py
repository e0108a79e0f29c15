"""Operations that are made and asked often: what xDSL derives from a definition each time, at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from xdsl.dialects.builtin import DenseArrayBase, i32
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, OptOperandDef, VarOperandDef

SEGMENTS = "operandSegmentSizes"
T = TypeVar("T", bound=type[IRDLOperation])


def walk(op: Operation) -> Iterator[Operation]:
    """`op` and what is in it, as `op.walk()`, without a generator for each operation that holds nothing."""
    yield op
    for region in op.regions:
        for block in region.blocks:
            for inner in block.ops:
                if inner.regions:
                    yield from walk(inner)
                else:
                    yield inner


@lru_cache(maxsize=1024)
def segments(*sizes: int) -> DenseArrayBase[Any]:
    """How many operands each of an operation's definitions has, as the attribute that says so."""
    return DenseArrayBase.from_list(i32, sizes)


@lru_cache(maxsize=1024)
def _ends(data: bytes) -> tuple[int, ...]:
    """Where the operands of each definition end, from the attribute's bytes."""
    sizes = memoryview(data).cast("i")
    return tuple(sum(sizes[: n + 1]) for n in range(len(sizes)))


class _Operands:
    """The operands of one definition."""

    def __init__(self, position: int, definition: object) -> None:
        self.position = position
        self.optional = isinstance(definition, OptOperandDef)
        self.variadic = isinstance(definition, VarOperandDef) and not self.optional

    def __get__(self, op: Operation, owner: type | None = None) -> SSAValue | Sequence[SSAValue] | None:
        attribute: Any = op.properties[SEGMENTS]
        ends = _ends(attribute.data.data)
        start, end = ends[self.position - 1] if self.position else 0, ends[self.position]
        found = op.operands[start:end]
        if self.variadic:
            return found
        return found[0] if found else None


def segmented(cls: T) -> T:
    """Class decorator of an operation whose operands come in segments: they are found without decoding the attribute
    that says how long these are, which takes most of the time of a pass over bodies."""
    for position, (name, definition) in enumerate(cls.get_irdl_definition().operands):
        setattr(cls, name, _Operands(position, definition))
    return cls
